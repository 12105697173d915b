//! What a world is made of: tenants, what their programs do, how slow the machine is, what administrators do, and when.
//!
//! A [`Scenario`] is data. [`crate::worlds`] makes them from names and seeds; `World` plays them.

use broker::{AdminCommand, Config};
use proto::{Nanos, TenantName};

use crate::random::{Lengths, Span};

/// When a program has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Always.
    Saturated,
    /// So many kernels at once, then a pause.
    Bursts {
        /// How many.
        kernels: Span,
        /// How long until the next burst, from the beginning of this one.
        every: Span,
    },
    /// Never: it is there and sleeps.
    Idle,
    /// What was recorded of a running broker: these of [`Scenario::recordings`], one after the other.
    Recorded(usize),
}

/// A piece of work as it was recorded: how long its session had no work before it, and how long it had the device for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// From the end of the work before.
    pub pause: Nanos,
    /// How long it has the device in all, however often that is taken away meanwhile.
    pub work: Nanos,
}

/// What a program does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// Nothing.
    Nothing,
    /// Allocates now and then, and gives the oldest back when it has so many.
    Turnover {
        /// How large.
        bytes: Span,
        /// How often.
        every: Span,
        /// How many it keeps.
        keeps: usize,
    },
    /// Takes whatever it can get and gives nothing back, so many at a time.
    Greedy {
        /// How large.
        bytes: Span,
        /// How often.
        every: Span,
        /// How many requests at once.
        at_once: usize,
    },
}

/// How a session of a program ends, if the world does not end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It says goodbye.
    Goodbye,
    /// Its process is killed.
    TenantDies,
    /// Its worker is killed.
    WorkerDies,
    /// Any of the three.
    Any,
}

/// How a program, or its worker, misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    /// Not at all.
    None,
    /// Its worker does not stop when it is asked to, once in so many requests, until it is killed.
    Sticks {
        /// Once in how many requests.
        one_in: u32,
    },
    /// Its worker takes this long to stop, which may be too long.
    Dawdles(Span),
    /// All numbers its worker reports are made up.
    Lies,
    /// Its worker writes nonsense into the gate's word.
    DamagesGate(Span),
    /// Its worker sends packets that are none.
    Babbles(Span),
    /// Its worker rings, and says it has work and then that it has none, all the time.
    Chatters(Span),
    /// Its worker does not end dispatches that run for too long.
    Overruns,
    /// Its worker never becomes ready.
    NeverReady,
    /// It has no session and asks for one all the time, in every wrong way.
    Knocks(Span),
}

/// One program of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Whose it is.
    pub tenant: TenantName,
    /// The user it runs as.
    pub uid: u32,
    /// When it has work.
    pub habit: Habit,
    /// How long its kernels are.
    pub kernels: Lengths,
    /// What it does with memory.
    pub appetite: Appetite,
    /// How long a session of it lasts; `None` for as long as the world does.
    pub life: Option<Span>,
    /// How that ends.
    pub end: End,
    /// How long after the end of a session, or a refusal, it connects again; `None` for never.
    pub again: Option<Span>,
    /// How it misbehaves.
    pub vice: Vice,
    /// When it connects first.
    pub first_at: Nanos,
    /// Whether it is there to harm others: a world can be run without.
    pub attacker: bool,
}

/// How slow the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// From a worker's ring, or its message, to the broker.
    pub ring: Span,
    /// From the broker's ring, or its order, to the worker.
    pub wake: Span,
    /// Until a running worker looks at a request.
    pub look: Span,
    /// Until the device has stopped and the context is saved.
    pub suspend: Span,
    /// Until the context is back.
    pub resume: Span,
    /// Until nothing of the last tenant is left.
    pub scrub: Span,
    /// Until a worker is ready.
    pub start: Span,
    /// From a kill to the end of the process.
    pub die: Span,
    /// From the end of a process until the broker hears of it.
    pub reap: Span,
    /// How late a timer is.
    pub timer: Span,
    /// Whether running kernels can be stopped; if not, they finish first.
    pub suspends: bool,
    /// Once in how many times a worker of an attacker cannot be started. Innocents are spared, so that what they get can be
    /// compared with a run without attackers.
    pub start_fails: u32,
    /// Once in how many times an attacker's memory cannot be had from the host.
    pub memory_fails: u32,
    /// Once in how many times an answer about a lease is told twice.
    pub answers_twice: u32,
}

impl Delays {
    /// A machine like the ones at hand.
    pub const USUAL: Self = Self {
        ring: Span::micros(2, 30),
        wake: Span::micros(2, 40),
        look: Span::micros(1, 20),
        suspend: Span::micros(3, 30),
        resume: Span::micros(2, 30),
        scrub: Span::micros(2, 10),
        start: Span::millis(2, 10),
        die: Span::micros(20, 300),
        reap: Span::micros(10, 200),
        timer: Span::micros(0, 60),
        suspends: true,
        start_fails: 0,
        memory_fails: 0,
        answers_twice: 0,
    };

    /// Returns the longest time between two steps that belong together may add to an occupancy beyond what the broker
    /// decides.
    pub(crate) fn slack(&self) -> u64 {
        [self.ring, self.wake, self.look, self.suspend, self.resume, self.scrub, self.die, self.reap, self.timer]
            .iter()
            .map(|span| span.max)
            .sum()
    }
}

/// What an administrator does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a scenario has few, and each is consumed once")]
pub enum Chore {
    /// A command.
    Command(AdminCommand),
    /// Ends one of the sessions there are, by its place in their list.
    KillOneOf(usize),
    /// Nobody does this: a device is lost with everything in it, as after a hang that its driver ends by a reset. All workers on it die at
    /// once; who comes back finds it as it was when nobody had used it.
    ResetDevice(usize),
}

/// A world before it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The name it is asked for by.
    pub world: &'static str,
    /// The seed it was made from.
    pub seed: u64,
    /// What the broker is configured with.
    pub config: Config,
    /// Who runs what.
    pub programs: Vec<Program>,
    /// What recorded programs do.
    pub recordings: Vec<Vec<Turn>>,
    /// How slow the machine is.
    pub delays: Delays,
    /// What administrators do, and when.
    pub chores: Vec<(Nanos, Chore)>,
    /// How long it lasts, before everything is shut down.
    pub span: Nanos,
    /// By how many millionths of the device a share may be off over all time in which everybody is backlogged; `None` where
    /// only the bounds of the scheduler are promised.
    pub share_error_max: Option<u64>,
}

impl Scenario {
    /// Returns the same world in which the attackers never come. Programs keep their places, so all others do the same.
    #[must_use]
    pub fn without_attackers(&self) -> Self {
        let mut without = self.clone();
        for program in without.programs.iter_mut().filter(|p| p.attacker) {
            program.first_at = Nanos(u64::MAX);
        }
        without
    }

    /// Returns the longest single occupancy, *L* of [`sched::bounds`]: what the broker computes from its configuration.
    pub fn occupancy_max(&self) -> u64 {
        self.config.occupancy_max(0).0
    }
}
