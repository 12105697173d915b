//! The host threads that run a context's compute units.
//!
//! Each has compute units of its own, which follow each other, and takes work-groups for them as they have room: two atomic steps for each
//! work-group are all that threads share while they work. Whose own have nothing to do runs those of a thread that is not awake yet. The thread of
//! [`Context::run`](super::Context::run) is one of them. Between passes it looks at the queues, so the others are called together only when what there is
//! to run has changed; an earlier version called them every 50 us, and each time somebody waited for the slowest and somebody had to be woken.

use super::Host;
use super::code::CodeCache;
use super::cu::{Cu, PassEnd};
use super::launch::Dispatch;
use super::run::Env;
use crate::arch::Arch;
use crate::exec::gws::Gws;
use crate::hardware::CuHardware;
use crate::memory::Memory;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Duration;

/// Nanoseconds between two looks at the queues while compute units run on several host threads.
const LOOK_NS: u64 = 50_000;
/// Rounds of waiting for other threads before this one gives up its processor: some ten microseconds.
const SPINS: u32 = 256;

/// What the threads of a run have in common.
pub(super) struct Crew<'a> {
    pub(super) arch: Arch,
    pub(super) code: &'a CodeCache,
    pub(super) mem: &'a (dyn Memory + Sync),
    pub(super) host: &'a dyn Host,
    pub(super) gws: &'a Gws,
    pub(super) look_every: u32,
    /// What runs, oldest first.
    pub(super) dispatches: &'a [Arc<Dispatch>],
}

/// What the threads of a round tell each other.
struct Round {
    /// Everybody is to come back after this pass.
    called: AtomicBool,
    /// The host wants to stop.
    stop: AtomicBool,
    /// Threads beside the first that have not come back.
    away: AtomicUsize,
    first: Thread,
}

impl Round {
    fn call(&self) {
        self.called.store(true, Ordering::Release);
        self.first.unpark();
    }

    /// Whether this round goes on.
    fn goes_on(&self) -> bool {
        !self.called.load(Ordering::Acquire)
    }

    fn everybody_is_back(&self) -> bool {
        self.away.load(Ordering::Acquire) == 0
    }

    /// Waits a little for the others; they wake the first thread when they call and when they come back.
    fn wait(&self, done: impl Fn() -> bool) {
        for _ in 0..SPINS {
            if done() {
                return;
            }
            std::hint::spin_loop();
        }
        std::thread::park_timeout(Duration::from_nanos(LOOK_NS));
    }
}

/// A thread's word that it comes back, whatever happens to it.
struct Away<'a>(&'a Round);

impl<'a> Away<'a> {
    fn new(round: &'a Round) -> Away<'a> {
        round.away.fetch_add(1, Ordering::Relaxed);
        Away(round)
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.away.fetch_sub(1, Ordering::Release);
        self.0.first.unpark();
    }
}

/// A compute unit with its storage. Whoever runs it has it locked, and nobody waits for that.
type Unit<'a> = Mutex<(&'a mut Cu, &'a mut CuHardware)>;

/// What one thread runs.
struct Share<'r, 'a> {
    /// Its own compute units.
    own: &'r [Unit<'a>],
    /// Everybody's. While its own have nothing to do it runs those of threads that are not there yet: waking one takes as long as many a kernel.
    all: &'r [Unit<'a>],
    /// Which comes first. A round can end after each thread's first compute unit, so rounds begin with different ones.
    first: usize,
}

impl Crew<'_> {
    fn env<'e>(&'e self, mem: &'e dyn Memory) -> Env<'e> {
        let &Crew { arch, code, host, gws, look_every, .. } = self;
        Env { arch, code, mem, host, gws, look_every }
    }

    /// Launches work-groups on all compute units in turn, one at a time, so that a small grid spreads. Each host thread runs `share` compute units
    /// that follow each other, so the turn goes from thread to thread first.
    fn spread(&self, cus: &mut [Cu], hw: &mut [CuHardware], share: usize) {
        let (count, now) = (cus.len(), || self.host.now());
        for dispatch in self.dispatches {
            let mut launched = true;
            while launched && dispatch.has_groups_left() {
                launched = false;
                for at in (0..share).flat_map(|first| (first..count).step_by(share)) {
                    launched |= cus[at].launch(dispatch, &mut hw[at], &now);
                }
            }
        }
    }

    /// One pass over the next compute unit that has residents, on this thread alone.
    pub(super) fn one_unit(
        &self,
        mem: &dyn Memory,
        cus: &mut [Cu],
        hw: &mut [CuHardware],
        next: &mut usize,
    ) -> PassEnd {
        self.spread(cus, hw, cus.len());
        let (env, count) = (self.env(mem), cus.len());
        for _ in 0..count {
            let at = *next % count;
            *next = (at + 1) % count;
            let end = cus[at].pass(&env, &mut hw[at], &|| {});
            if end != PassEnd::Empty {
                return end;
            }
        }
        PassEnd::Empty
    }

    /// All compute units on all threads until a dispatch ends, the host asks to stop, nothing is left to do, or `look`, which looks at the
    /// queues, says that what there is to run has changed. Returns how it ended and the last word of `look`.
    pub(super) fn all_units(
        &self,
        pool: &rayon::ThreadPool,
        mem: &dyn Memory,
        cus: &mut [Cu],
        hw: &mut [CuHardware],
        next: &mut usize,
        look: &mut dyn FnMut() -> bool,
    ) -> (PassEnd, bool) {
        let size = cus.len().div_ceil(pool.current_num_threads() + 1);
        self.spread(cus, hw, size);
        let round = Round {
            called: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            away: AtomicUsize::new(0),
            first: std::thread::current(),
        };
        let first = *next;
        *next = first.wrapping_add(1);
        let units: Vec<Unit<'_>> = cus.iter_mut().zip(hw).map(Mutex::new).collect();
        let mut shares = units.chunks(size).map(|own| Share { own, all: &units, first });
        let lead = shares.next();
        let mut changed = false;
        pool.in_place_scope(|scope| {
            for share in shares {
                let (round, away) = (&round, Away::new(&round));
                scope.spawn(move |_| {
                    let _away = away;
                    self.mem.lend(&mut |mem| {
                        let env = self.env(mem);
                        // A pass at least, however short the round: nobody's compute units are left out.
                        while self.work(round, &env, &share) && round.goes_on() {}
                    });
                });
            }
            if let Some(share) = lead {
                changed = self.lead(&round, &self.env(mem), &share, look);
            }
            while !round.everybody_is_back() {
                round.wait(|| round.everybody_is_back());
            }
        });
        let stop = round.stop.load(Ordering::Relaxed);
        (if stop { PassEnd::Stop } else { PassEnd::Through }, changed)
    }

    /// The first thread's part of a round. Returns the last word of `look`.
    fn lead(&self, round: &Round, env: &Env<'_>, share: &Share<'_, '_>, look: &mut dyn FnMut() -> bool) -> bool {
        let mut looked = self.host.now();
        loop {
            let worked = self.work(round, env, share);
            if !round.goes_on() {
                return false;
            }
            if !worked && round.everybody_is_back() {
                return false;
            }
            let now = self.host.now();
            if now.saturating_sub(looked) >= LOOK_NS {
                looked = now;
                if look() {
                    round.call();
                    return true;
                }
            }
            if !worked {
                round.wait(|| !round.goes_on() || round.everybody_is_back());
            }
        }
    }

    /// One pass over each compute unit of a thread, or over everybody's if there was nothing to do. Returns whether any had residents.
    fn work(&self, round: &Round, env: &Env<'_>, share: &Share<'_, '_>) -> bool {
        self.sweep(round, env, share.own, share.first)
            || round.goes_on() && self.sweep(round, env, share.all, share.first)
    }

    /// One pass over each of these compute units that nobody else runs, or until somebody calls. Returns whether any of them had residents.
    fn sweep(&self, round: &Round, env: &Env<'_>, units: &[Unit<'_>], first: usize) -> bool {
        let (count, now) = (units.len(), || self.host.now());
        let mut worked = false;
        for k in 0..count {
            let Ok(mut unit) = units[first.wrapping_add(k) % count].try_lock() else { continue };
            let (cu, hw) = &mut *unit;
            for dispatch in self.dispatches {
                while dispatch.has_groups_left() && cu.launch(dispatch, hw, &now) {}
            }
            let end = cu.pass(env, hw, &|| round.call());
            worked |= end != PassEnd::Empty;
            if end == PassEnd::Stop {
                round.stop.store(true, Ordering::Relaxed);
                round.call();
            }
            if !round.goes_on() {
                break;
            }
        }
        worked
    }
}
