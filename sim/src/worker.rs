//! A model worker: the gate's word, its rings, and what it does when it looks around.
//!
//! It changes its word by the steps of [`proto::gate`] only, in the order the protocol page prescribes. While it runs, time
//! is turned into work lazily ([`Worker::advance`]): a worker with a million kernels causes events when something happens,
//! not when a kernel ends.

use std::collections::VecDeque;

use broker::GateView;
use proto::gate::{GateWord, LeaseState, Level, Request, Scrub, StopReason};
use proto::message::EndReason;
use proto::{ChargeId, Instant, LeaseGeneration, Nanos, TenantName};

use crate::random::{Lengths, Random};
use crate::scenario::{Delays, Vice};

/// A dispatch in a ring.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    left: u64,
    ran: u64,
    submitted: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It has no lease, or has not seen that it has, or is parked.
    Nothing,
    /// It brings its context back.
    Starting { first_at: Instant },
    /// It runs, and its work is counted up to `since`.
    Running { since: Instant },
    /// It saves its context.
    Stopping { stopped_at: Instant },
    /// It does not react to anything any more.
    Stuck,
}

/// What looking around led to.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// When to look again, if nothing happens before.
    pub(crate) again_at: Option<Instant>,
    /// The broker is to be told.
    pub(crate) ring: bool,
    /// The lease it waited for has begun, after this long.
    pub(crate) waited: Option<Nanos>,
    /// Its first instruction of this lease ran.
    pub(crate) started: bool,
    /// Dispatches that were ended because they ran too long.
    pub(crate) runaways: usize,
    /// It says that it leaves, and exits.
    pub(crate) leaves: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) program: usize,
    pub(crate) tenant: TenantName,
    /// Its tenant's place in every meter, once it was looked up: all meters have learnt of the same tenants in the same order.
    pub(crate) account: Option<usize>,
    /// Its partition, by its place among those of all devices.
    pub(crate) place: usize,
    /// It has been sent elsewhere and has not heard of it.
    pub(crate) moving: bool,
    pub(crate) word: GateWord,
    pub(crate) report: GateView,
    /// The gate's request, as stored.
    pub(crate) request: u64,
    pub(crate) deadline: Instant,
    pub(crate) max_dispatch: Nanos,
    pub(crate) scrub: Scrub,
    pub(crate) granted_at: Option<Instant>,
    doing: Doing,
    ring: VecDeque<Kernel>,
    /// It never runs out of work, and draws the lengths from here.
    endless: Option<(Lengths, Random)>,
    pub(crate) vice: Vice,
    pub(crate) ready: bool,
    /// It was told to end, or wants to.
    pub(crate) told: Option<EndReason>,
    /// The broker has asked it to end; it may not know yet.
    pub(crate) ending: bool,
    /// It has said that it leaves.
    pub(crate) left: bool,
    /// Its process has ended.
    pub(crate) dead: bool,
    /// It will be dead; being killed twice is being killed once.
    pub(crate) dying: bool,
    /// Counts what it planned; older plans are void.
    pub(crate) plan: u64,
    pub(crate) plan_at: Option<Instant>,
    wants_since: Option<Instant>,
    pub(crate) charges: VecDeque<ChargeId>,
    pub(crate) requests: u32,
    /// Nothing sent by it arrives before this.
    pub(crate) said_at: Instant,
    /// Nothing sent to it arrives before this.
    pub(crate) told_at: Instant,
    /// A ring is on its way: more are merged into it.
    pub(crate) ringing: bool,
    /// Nanoseconds of kernels run, and kernels ended, since it was asked last.
    pub(crate) work: u64,
    /// From submission to completion of what has ended since it was asked last.
    pub(crate) latencies: Vec<Nanos>,
    runaways: usize,
}

impl Worker {
    pub(crate) fn new(program: usize, tenant: TenantName, vice: Vice, endless: Option<(Lengths, Random)>) -> Self {
        Self {
            program,
            tenant,
            account: None,
            place: 0,
            moving: false,
            word: GateWord::NEW,
            report: GateView::new(GateWord::NEW),
            request: 0,
            deadline: Instant(u64::MAX),
            max_dispatch: Nanos(0),
            scrub: Scrub::NONE,
            granted_at: None,
            doing: Doing::Nothing,
            ring: VecDeque::new(),
            endless,
            vice,
            ready: false,
            told: None,
            ending: false,
            left: false,
            dead: false,
            dying: false,
            plan: 0,
            plan_at: None,
            wants_since: None,
            charges: VecDeque::new(),
            requests: 0,
            said_at: Instant(0),
            told_at: Instant(0),
            ringing: false,
            work: 0,
            latencies: Vec::new(),
            runaways: 0,
        }
    }

    /// Returns whether it has the lease, running or parked.
    pub(crate) fn holds(&self) -> bool {
        !self.dead && matches!(self.word.state(), Some(LeaseState::Leased | LeaseState::Parked))
    }

    /// Returns whether it has something to run.
    pub(crate) fn has_work(&self) -> bool {
        self.endless.is_some() || !self.ring.is_empty()
    }

    /// A tenant rings a doorbell.
    pub(crate) fn submit(&mut self, now: Instant, length: u64) {
        self.advance(now);
        self.ring.push_back(Kernel { left: length, ran: 0, submitted: now });
    }

    /// Returns what the broker would read from the gate now.
    pub(crate) fn view(&mut self, now: Instant, random: &mut Random) -> GateView {
        self.advance(now);
        let running = matches!(self.doing, Doing::Running { .. } | Doing::Stuck);
        let ran = self.ring.front().map_or(0, |k| k.ran);
        let (since, before) = if running && ran > 0 { (now.0 - ran, 0) } else { (0, ran) };
        let honest =
            GateView { word: self.word, dispatch_since: Instant(since), dispatch_ran: Nanos(before), ..self.report };
        if self.vice != Vice::Lies {
            return honest;
        }
        let mut lie = || match random.below(4) {
            0 => 0,
            1 => u64::MAX,
            2 => now.0,
            _ => random.below(now.0.saturating_mul(2)),
        };
        GateView {
            parked_at: Instant(lie()),
            parked_total: Nanos(lie()),
            first_instruction_at: Instant(lie()),
            stop_seen_at: Instant(lie()),
            stopped_at: Instant(lie()),
            resume: Nanos(lie()),
            scrub: Nanos(lie()),
            report: if lie() == 0 { LeaseGeneration::new(lie() as u32) } else { honest.report },
            ..honest
        }
    }

    /// The broker granted the lease.
    pub(crate) fn granted(&mut self, word: GateWord, generation: LeaseGeneration) {
        self.word = word;
        self.report = GateView { report: generation, ..GateView::new(word) };
        self.doing = Doing::Nothing;
    }

    /// The broker took the parked lease.
    pub(crate) fn taken(&mut self, word: GateWord) {
        self.word = word;
        self.doing = Doing::Nothing;
    }

    /// Turns the time since it was last counted into work.
    pub(crate) fn advance(&mut self, now: Instant) {
        let Doing::Running { since } = self.doing else { return };
        let max = if self.max_dispatch.0 == 0 || self.vice == Vice::Overruns { u64::MAX } else { self.max_dispatch.0 };
        let mut at = since;
        while at < now {
            self.refill(at);
            let Some(kernel) = self.ring.front_mut() else { break };
            let step = kernel.left.min(now.0 - at.0).min(max.saturating_sub(kernel.ran));
            kernel.left -= step;
            kernel.ran += step;
            at.0 += step;
            self.work += step;
            let (ended, runaway) = (kernel.left == 0, kernel.left > 0 && kernel.ran >= max);
            if ended {
                self.latencies.push(at.since(kernel.submitted));
            }
            if ended || runaway {
                self.runaways += usize::from(runaway);
                self.ring.pop_front();
            }
        }
        self.doing = Doing::Running { since: now };
    }

    fn refill(&mut self, at: Instant) {
        if let Some((lengths, random)) = &mut self.endless
            && self.ring.is_empty()
        {
            self.ring.push_back(Kernel { left: random.length(*lengths), ran: 0, submitted: at });
        }
    }

    fn level(&self) -> Level {
        Request::level_for(self.request, self.word.generation())
    }

    /// Does what is to be done now.
    pub(crate) fn look(&mut self, now: Instant, delays: &Delays, random: &mut Random) -> Looked {
        let mut looked = Looked::default();
        self.advance(now);
        match self.word.state() {
            Some(LeaseState::Leased) => self.look_at_lease(now, delays, random, &mut looked),
            Some(LeaseState::Parked) if self.told.is_some() => self.release(now, StopReason::Ending, &mut looked),
            Some(LeaseState::Parked) if self.has_work() => {
                self.report.parked_total.0 += now.since(self.report.parked_at).0;
                self.step(GateWord::unpark);
                self.doing = Doing::Running { since: now };
                self.look_at_lease(now, delays, random, &mut looked);
            }
            Some(LeaseState::Idle) if self.told.is_none() && self.has_work() && self.ready => {
                self.step(GateWord::announce);
                self.wants_since = Some(now);
                looked.ring = true;
            }
            Some(LeaseState::Runnable) if !self.has_work() => {
                self.step(GateWord::withdraw);
                looked.ring = true;
            }
            _ => {}
        }
        looked.leaves = self.told.is_some() && !self.holds() && !self.left;
        self.left |= looked.leaves;
        looked.runaways = std::mem::take(&mut self.runaways);
        looked
    }

    fn look_at_lease(&mut self, now: Instant, delays: &Delays, random: &mut Random, looked: &mut Looked) {
        match self.doing {
            Doing::Nothing => {
                let scrub = if self.scrub == Scrub::NONE { Nanos(0) } else { random.within(delays.scrub) };
                let resume = random.within(delays.resume);
                (self.report.scrub, self.report.resume) = (scrub, resume);
                let first_at = now.after(resume).after(scrub);
                self.doing = Doing::Starting { first_at };
                looked.again_at = Some(first_at);
            }
            Doing::Starting { first_at } if now < first_at => looked.again_at = Some(first_at),
            Doing::Starting { .. } => {
                self.report.first_instruction_at = now;
                looked.started = true;
                looked.waited = self.wants_since.take().map(|since| now.since(since));
                self.doing = Doing::Running { since: now };
                self.look_at_lease(now, delays, random, looked);
            }
            Doing::Running { .. } => self.run_on(now, delays, random, looked),
            Doing::Stopping { stopped_at } if now < stopped_at => looked.again_at = Some(stopped_at),
            Doing::Stopping { stopped_at } => {
                self.report.stopped_at = stopped_at;
                let reason = self.report.stop_reason.unwrap_or(StopReason::Preempted);
                self.release(now, reason, looked);
            }
            Doing::Stuck => {}
        }
    }

    fn run_on(&mut self, now: Instant, delays: &Delays, random: &mut Random, looked: &mut Looked) {
        self.refill(now);
        let level = self.level();
        let reason = if self.told.is_some() {
            StopReason::Ending
        } else if level == Level::Suspend {
            StopReason::Preempted
        } else if level == Level::Yield && now >= self.deadline {
            StopReason::SliceEnd
        } else if !self.has_work() && level == Level::Yield {
            self.report.stop_seen_at = now;
            self.report.stopped_at = now;
            return self.release(now, StopReason::Drained, looked);
        } else if !self.has_work() {
            // Store when, first; look at the request once more, afterwards: nothing can come between here.
            self.report.parked_at = now;
            self.step(GateWord::park);
            self.doing = Doing::Nothing;
            return;
        } else {
            return looked.again_at = self.due(now, level);
        };
        if let Vice::Sticks { one_in } = self.vice
            && random.one_in(one_in)
        {
            self.doing = Doing::Stuck;
            return;
        }
        self.report.stop_seen_at = now;
        self.report.stop_reason = Some(reason);
        let drain = if delays.suspends { 0 } else { self.ring.front().map_or(0, |k| k.left) };
        let save = match self.vice {
            Vice::Dawdles(span) => random.within(span),
            _ => random.within(delays.suspend),
        };
        self.advance_by_draining(now, drain);
        let stopped_at = now.after(Nanos(drain)).after(save);
        self.report.context = proto::Bytes(save.0 / 10);
        self.doing = Doing::Stopping { stopped_at };
        looked.again_at = Some(stopped_at);
    }

    /// A device that cannot stop a kernel finishes it: count that now, as nothing can come between.
    fn advance_by_draining(&mut self, now: Instant, drain: u64) {
        if drain > 0 {
            self.doing = Doing::Running { since: now };
            self.advance(now.after(Nanos(drain)));
        }
    }

    /// Returns when something about the running work is due.
    fn due(&self, now: Instant, level: Level) -> Option<Instant> {
        let max = if self.vice == Vice::Overruns { Nanos(0) } else { self.max_dispatch };
        let runaway = self.ring.front().filter(|k| max.0 > 0 && k.ran + k.left > max.0).map(|k| max.0 - k.ran);
        let drained = self.endless.is_none().then(|| self.ring.iter().map(|k| k.left).sum::<u64>());
        let deadline = (level == Level::Yield).then_some(self.deadline);
        let work = runaway.into_iter().chain(drained).min().map(|span| now.after(Nanos(span.max(1))));
        work.into_iter().chain(deadline).min()
    }

    fn release(&mut self, now: Instant, reason: StopReason, looked: &mut Looked) {
        self.report.stop_reason = Some(reason);
        if self.report.stopped_at.0 == 0 {
            self.report.stopped_at = now;
        }
        let more = self.has_work() && self.told.is_none();
        self.step(|word| word.release(more));
        self.doing = Doing::Nothing;
        self.wants_since = more.then_some(now);
        looked.ring = true;
    }

    /// Says that it has work although it has none, or takes that back.
    pub(crate) fn chatter(&mut self) {
        let next = self.word.announce().or_else(|_| self.word.withdraw());
        self.word = next.unwrap_or(self.word);
    }

    /// Overwrites the state of its word with one that does not exist.
    pub(crate) fn damage(&mut self) {
        self.word = GateWord(self.word.0 | 7);
        self.doing = Doing::Stuck;
    }

    fn step(&mut self, step: impl FnOnce(GateWord) -> Result<GateWord, proto::gate::NotNow>) {
        // PANIC: the model looked at the state first, and nobody else runs in between.
        self.word = step(self.word).expect("the protocol allows this step");
    }
}
