//! A scheduler in its steady state, as the benches, the probes and the test of allocations use it.
//!
//! Occupancies are a slice and a little, as on a device that suspends, and differ, so that the order does not settle into a cycle.

use sched::{ChargeKind, Config, Instant, Nanos, NodeId, Params, Policy, Scheduler, Wake, Weight};

const SLICE: Nanos = Nanos::from_millis(5);

/// A scheduler in its steady state, and what time it is there.
pub(crate) struct World {
    sched: Scheduler,
    sessions: Vec<NodeId>,
    now: u64,
    random: u64,
    next: usize,
}

impl World {
    /// Returns one with `tenants` that are all busy, right below the root or at depth 3.
    pub(crate) fn new(tenants: u32, deep: bool) -> World {
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
        let mut world = World { sched, sessions, now: 0, random: 1, next: 0 };
        for _ in 0..2 * tenants.max(1_000) {
            world.decide();
        }
        world
    }

    /// Picks, and charges one occupancy.
    pub(crate) fn decide(&mut self) -> NodeId {
        let grant = self.sched.pick(Instant(self.now)).expect("everybody is busy");
        self.now += SLICE.0 + self.overrun();
        self.sched.charge(grant.node, ChargeKind::Occupancy, Instant(self.now)).expect("it holds the lease");
        grant.node
    }

    #[allow(dead_code, reason = "for the test of allocations")]
    pub(crate) fn sched(&mut self) -> &mut Scheduler {
        &mut self.sched
    }

    #[allow(dead_code, reason = "for the test of allocations")]
    pub(crate) fn sessions(&self) -> &[NodeId] {
        &self.sessions
    }

    #[allow(dead_code, reason = "for the test of allocations")]
    pub(crate) fn now(&self) -> Instant {
        Instant(self.now)
    }

    /// Lets one of them sleep and wake again.
    pub(crate) fn sleep_and_wake(&mut self) -> Wake {
        self.next = (self.next + 7919) % self.sessions.len();
        let session = self.sessions[self.next];
        self.sched.sleep(session, Instant(self.now)).expect("it is known");
        self.sched.wake(session, Instant(self.now)).expect("it is known")
    }

    /// Up to 131 us (Marsaglia, "Xorshift RNGs", 2003).
    fn overrun(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random & 0x1_ffff
    }
}
