//! What one decision costs: pick, and one charge for a whole occupancy, with `n` tenants that are all busy.
//!
//! `flat` has sessions right below the root; `deep` has groups of about the square root of `n` tenants with one session
//! each, so that every charge walks three levels. Occupancies are a slice and a little, as on a device that
//! suspends, and differ, so that the order does not settle into a cycle. `wake` is a sleeping tenant that comes, is
//! served and goes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sched::{ChargeKind, Config, Instant, Nanos, NodeId, Params, Policy, Scheduler, Weight};

const SIZES: [u32; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
const SLICE: Nanos = Nanos::from_millis(5);

/// A scheduler in its steady state, and what time it is there.
struct World {
    sched: Scheduler,
    sessions: Vec<NodeId>,
    now: u64,
    random: u64,
}

impl World {
    fn new(tenants: u32, deep: bool) -> World {
        let config = Config { policy: Policy::Weighted, slice: SLICE, occupancy_max: Nanos::from_millis(20) };
        let mut sched = Scheduler::new(config, Instant(0)).expect("the settings are sound");
        let root = sched.root();
        let mut join = |parent, n: u32| {
            let weight = Weight::new(1 + n * 7919 % 1000).expect("in range");
            sched.join(parent, Params::weight(weight), Instant(0)).expect("nothing is guaranteed")
        };
        let mut sessions = Vec::new();
        let per_group = tenants.isqrt();
        let mut group = root;
        for n in 0..tenants {
            if !deep {
                sessions.push(join(root, n));
                continue;
            }
            if n % per_group == 0 {
                group = join(root, n);
            }
            let tenant = join(group, n);
            sessions.push(join(tenant, 0));
        }
        for &session in &sessions {
            sched.wake(session, Instant(0)).expect("it just joined");
        }
        let mut world = World { sched, sessions, now: 0, random: 1 };
        for _ in 0..2 * tenants.max(1_000) {
            world.decide();
        }
        world
    }

    fn decide(&mut self) -> NodeId {
        let grant = self.sched.pick(Instant(self.now)).expect("everybody is busy");
        self.now += SLICE.0 + self.overrun();
        self.sched.charge(grant.node, ChargeKind::Occupancy, Instant(self.now)).expect("it holds the lease");
        grant.node
    }

    /// Up to 131 us (Marsaglia, "Xorshift RNGs", 2003).
    fn overrun(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random & 0x1_ffff
    }
}

fn decision(criterion: &mut Criterion) {
    for (shape, deep) in [("flat", false), ("deep", true)] {
        let mut group = criterion.benchmark_group(format!("decision/{shape}"));
        for tenants in SIZES {
            let mut world = World::new(tenants, deep);
            group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| {
                bencher.iter(|| black_box(world.decide()));
            });
        }
        group.finish();
    }
}

fn wake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sleep-wake/flat");
    for tenants in SIZES {
        let mut world = World::new(tenants, false);
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| {
            bencher.iter(|| {
                next = (next + 7919) % world.sessions.len();
                let session = world.sessions[next];
                world.sched.sleep(session, Instant(world.now)).expect("it is known");
                black_box(world.sched.wake(session, Instant(world.now)).expect("it is known"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decision, wake);
criterion_main!(benches);
