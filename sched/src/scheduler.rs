//! The tree, the lease and the books of one partition.
//!
//! | file | subject |
//! |---|---|
//! | here | who is runnable, who holds the lease, who is charged |
//! | `admission` | who is in the tree, and with which settings |
//! | `tree` | how a change at one node reaches its ancestors |

mod admission;
mod tree;

use tree::Turn;

use alloc::vec::Vec;

use crate::error::{ConfigError, NodeError};
use crate::heap::{Heap, Positions};
use crate::node::{Node, NodeId};
use crate::params::{Class, Config, DEPTH_MAX, Policy};
use crate::queue::{Queue, Rule, Seats};
use crate::totals::{ChargeKind, Totals};
use crate::units::{Instant, Nanos};
use crate::virt::{TICK_BITS, Ticks};

const ROOT: u32 = 0;

/// The right to run, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The session that holds the lease now.
    pub node: NodeId,
    /// After how long to [renew](Scheduler::renew) it: the scheduler's slice, or the request of a latency node on the way.
    pub slice: Nanos,
    /// Whether anybody else is runnable. If not, no timer is needed: renew after the next wake that comes later than the slice.
    pub contended: bool,
}

/// What a wake means for the leaseholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Nothing: the waker waits for its turn, or for the device if nobody holds it.
    Queued,
    /// The waker should not wait: stop `holder`, charge it until it has stopped, then [pick](Scheduler::pick).
    Preempt {
        /// The leaseholder.
        holder: NodeId,
    },
}

/// The lease, as the scheduler sees it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// From the root's member down to the session.
    path: [u32; DEPTH_MAX],
    depth: usize,
    /// Charged since it was granted, renewed, or first wanted by somebody else.
    occupied_ns: u64,
    /// Charged for the switch to it.
    switched_ns: u64,
    contended: bool,
}

/// A slice in which the device stays empty, unless its owner comes.
#[derive(Clone, Copy, Debug)]
struct Vacancy {
    slot: u32,
    until: Instant,
}

impl Lease {
    fn path(&self) -> &[u32] {
        &self.path[..self.depth]
    }

    fn session(&self) -> u32 {
        self.path[self.depth - 1]
    }
}

/// Divides one partition of a device among the sessions of tenants, see the [crate].
///
/// The calls of one lease, as a broker makes them:
///
/// ```
/// # use sched::*;
/// # let config = Config { policy: Policy::Weighted, slice: Nanos::from_millis(5), occupancy_max: Nanos::from_millis(8) };
/// let mut sched = Scheduler::new(config, Instant(0)).unwrap();
/// let tenant = sched.join(sched.root(), Params::default(), Instant(0)).unwrap();
/// let session = sched.join(tenant, Params::default(), Instant(0)).unwrap();
/// assert_eq!(sched.wake(session, Instant(0)), Ok(Wake::Queued));
/// let grant = sched.pick(Instant(0)).unwrap();
/// sched.charge(session, ChargeKind::SwitchIn, Instant(40_000)).unwrap(); // its first instruction ran at 40 us
/// sched.charge(session, ChargeKind::Occupancy, Instant(1_000_000)).unwrap(); // a tick: lag is true to the millisecond
/// sched.charge(session, ChargeKind::Occupancy, Instant(5_000_000)).unwrap(); // the slice is over,
/// assert_eq!(sched.renew(Instant(5_000_000)).unwrap().node, session); // but nobody else wants the device.
/// sched.sleep(session, Instant(5_000_000)).unwrap(); // its queues drained
/// assert_eq!(sched.pick(Instant(5_000_000)), None);
/// sched.idle(Instant(7_000_000));
/// assert_eq!(sched.totals().wall(), Nanos::from_millis(7));
/// # assert_eq!(grant.node, session);
/// ```
///
/// A *parked* lease is one whose holder drained but kept the device because nobody else wanted it. The scheduler is not
/// told; whoever takes it back books what the holder ran with [`charge`](Scheduler::charge), the rest with
/// [`idle`](Scheduler::idle), and only then lets the holder [`sleep`](Scheduler::sleep).
#[derive(Debug)]
pub struct Scheduler {
    config: Config,
    rule: Rule,
    nodes: Vec<Node>,
    vacant_nodes: Vec<u32>,
    queues: Vec<Queue>,
    vacant_queues: Vec<u32>,
    seats: Seats,
    /// Nodes at their cap, by the nanosecond they may run again.
    throttled: Heap,
    throttled_at: Positions,
    lease: Option<Lease>,
    /// Time reserved for somebody who does not want it.
    vacancy: Option<Vacancy>,
    /// Turns there have been, where they go round.
    turns: Ticks,
    totals: Totals,
    started: Instant,
    booked: Instant,
}

impl Scheduler {
    /// Returns a scheduler without nodes whose books begin at `now`.
    pub fn new(config: Config, now: Instant) -> Result<Scheduler, ConfigError> {
        config.check()?;
        let mut scheduler = Scheduler {
            config,
            rule: Rule::default(),
            nodes: Vec::new(),
            vacant_nodes: Vec::new(),
            queues: Vec::new(),
            vacant_queues: Vec::new(),
            seats: Seats::default(),
            throttled: Heap::default(),
            throttled_at: Positions::default(),
            lease: None,
            vacancy: None,
            turns: 0,
            totals: Totals::default(),
            started: now,
            booked: now,
        };
        scheduler.plant();
        Ok(scheduler)
    }

    /// Returns the node that stands for the device: the parent of groups, or of tenants if there are no groups.
    #[must_use]
    pub fn root(&self) -> NodeId {
        self.name(ROOT)
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config
    }

    /// Changes the slice for leases granted or renewed from now on, within the longest occupancy.
    pub fn set_slice(&mut self, slice: Nanos) -> Result<(), ConfigError> {
        let config = Config { slice, ..self.config };
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// Says that `session` has work. Charge the holder up to `now` first, so that the two are compared as they stand.
    ///
    /// Waking twice is waking once.
    pub fn wake(&mut self, session: NodeId, now: Instant) -> Result<Wake, NodeError> {
        let slot = self.session(session)?;
        self.release_throttled(now);
        if self.nodes[slot as usize].flags.runnable {
            return Ok(Wake::Queued);
        }
        self.nodes[slot as usize].flags.runnable = true;
        self.nodes[slot as usize].flags.woken = true;
        self.refresh(slot);
        self.note_contention();
        Ok(self.preemption_by(slot))
    }

    /// Says that `session` has no work. If it held the lease, it does no longer.
    ///
    /// What it owes it will still owe when it wakes, less what its siblings have received by then. What it is owed is kept
    /// up to one request. Charge what it ran before saying so.
    pub fn sleep(&mut self, session: NodeId, now: Instant) -> Result<(), NodeError> {
        let slot = self.session(session)?;
        self.release_throttled(now);
        self.put_to_sleep(slot);
        Ok(())
    }

    /// Takes `node` and all below it out of the competition until it is [resumed](Scheduler::resume); sessions may wake,
    /// sleep, join and leave meanwhile. Returns the leaseholder if the lease ended by this: stop it, and charge it until
    /// it has stopped.
    pub fn pause(&mut self, node: NodeId) -> Result<Option<NodeId>, NodeError> {
        let slot = self.below_root(node)?;
        let holder = self.holder().filter(|_| self.nodes[slot as usize].flags.held);
        if holder.is_some() {
            self.end_lease();
        }
        self.nodes[slot as usize].flags.paused = true;
        self.refresh(slot);
        Ok(holder)
    }

    /// Lets a paused node compete again, with the debt or credit it had.
    pub fn resume(&mut self, node: NodeId, now: Instant) -> Result<Wake, NodeError> {
        let slot = self.below_root(node)?;
        self.release_throttled(now);
        if !core::mem::take(&mut self.nodes[slot as usize].flags.paused) {
            return Ok(Wake::Queued);
        }
        self.refresh(slot);
        self.note_contention();
        Ok(self.preemption_by(slot))
    }

    /// Ends the current lease, if there is one, and grants the device to whose turn it is; `None` if nobody may run now.
    ///
    /// The holder that is thereby ended stays runnable. Charge all it used first, and book with [`idle`](Scheduler::idle) the
    /// time in which nobody ran. While the time of somebody who does not want it stays empty,
    /// [`next_event`](Scheduler::next_event) says until when; its owner may still come and take what is left of it.
    pub fn pick(&mut self, now: Instant) -> Option<Grant> {
        self.end_lease();
        self.release_throttled(now);
        let mut first = None;
        if let Some(Vacancy { slot, until }) = self.vacancy {
            let left = until.since(now);
            if left > Nanos::ZERO {
                // What is left of it must be worth a switch.
                let comes = self.is_able(slot) && left.0 >= self.slice_of(slot) / 2;
                first = comes.then_some((slot, left));
                first?;
            }
            self.vacancy = None;
        }
        match self.descend(first.map(|(slot, _)| slot)) {
            Turn::Nobody => None,
            Turn::Absent(slot) => {
                self.vacancy = Some(Vacancy { slot, until: now.after(Nanos(self.slice_of(slot))) });
                None
            }
            Turn::Session(lease) => {
                for &slot in lease.path() {
                    self.nodes[slot as usize].flags.held = true;
                }
                self.lease = Some(lease);
                let grant = self.grant(&lease);
                Some(Grant { slice: first.map_or(grant.slice, |(_, left)| left.min(grant.slice)), ..grant })
            }
        }
    }

    /// Asks at the end of a slice whether the holder may go on, charged up to `now`.
    ///
    /// `Some` is a new slice for the same holder. `None` means that it is somebody else's turn, or that the holder is at its
    /// cap: it still holds the lease and is to be stopped, charged until it has stopped, and followed by
    /// [`pick`](Scheduler::pick). Also `None` if nobody holds the lease.
    pub fn renew(&mut self, now: Instant) -> Option<Grant> {
        let lease = self.lease?;
        if lease.path().iter().any(|&slot| self.nodes[slot as usize].at_cap_until().is_some()) {
            return None;
        }
        self.release_throttled(now);
        self.go_round(lease.path[0]);
        lease.path().iter().for_each(|&slot| self.rekey(slot));
        let Turn::Session(next) = self.descend(None) else { return None };
        if next.session() != lease.session() {
            return None;
        }
        for &slot in lease.path() {
            let node = &mut self.nodes[slot as usize];
            node.request = node.request.after(lease.occupied_ns);
        }
        self.lease = Some(next);
        Some(self.grant(&next))
    }

    /// Ends the current lease without granting another, as when the device is lost. The holder stays runnable.
    pub fn release(&mut self) {
        self.end_lease();
    }

    /// Returns the session that holds the lease.
    #[must_use]
    pub fn holder(&self) -> Option<NodeId> {
        self.lease.map(|lease| self.name(lease.session()))
    }

    /// Books the time from [`booked_until`](Scheduler::booked_until) to `until` to `node` and its ancestors, and returns how
    /// much that was. Nothing is booked twice: an `until` that was reached before is a charge of zero.
    ///
    /// Charge the holder continuously, every millisecond or so, and not only when it gives the device back: wakes and lag are
    /// judged by what has been charged. A node may be charged whether or not it runs, and a tenant instead of a session when
    /// the session is gone.
    pub fn charge(&mut self, node: NodeId, kind: ChargeKind, until: Instant) -> Result<Nanos, NodeError> {
        let slot = self.below_root(node)?;
        let span = self.book(until);
        if span == 0 {
            return Ok(Nanos::ZERO);
        }
        self.totals.add(kind, span);
        if let Some(lease) = &mut self.lease
            && lease.session() == slot
        {
            lease.occupied_ns += match kind {
                // What a switch takes says nothing about who comes, unless it is longer than any switch is.
                ChargeKind::SwitchIn | ChargeKind::Scrub => {
                    let before = lease.switched_ns.max(self.config.slice.0);
                    lease.switched_ns += span;
                    lease.switched_ns.saturating_sub(before)
                }
                _ => span,
            };
        }
        self.charge_up(slot, span);
        Ok(Nanos(span))
    }

    /// Books the time from [`booked_until`](Scheduler::booked_until) to `until` to nobody. Where it was reserved for somebody
    /// it is gone for that one all the same.
    pub fn idle(&mut self, until: Instant) -> Nanos {
        if let Some(vacancy) = self.vacancy {
            let span = until.min(vacancy.until).since(self.booked);
            self.pass_over(vacancy.slot, span.0);
        }
        let span = self.book(until);
        self.totals.idle.0 += span;
        Nanos(span)
    }

    /// Returns up to when time is booked.
    #[must_use]
    pub fn booked_until(&self) -> Instant {
        self.booked
    }

    /// Returns when the books began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns where the device's time went.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Returns when the next node at its cap may run again, or time that stays empty is over: call
    /// [`pick`](Scheduler::pick) or [`renew`](Scheduler::renew) then.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        // The keys are instants, so they fit 64 bits.
        let throttled = self.throttled.peek().map(|(key, _)| Instant(key as u64));
        throttled.into_iter().chain(self.vacancy.map(|vacancy| vacancy.until)).min()
    }

    /// Returns all that `node` was ever charged.
    pub fn service(&self, node: NodeId) -> Result<Nanos, NodeError> {
        Ok(Nanos(self.nodes[self.below_root(node)? as usize].service_ns))
    }

    /// Returns what `node` is owed, in ns of device time, rounded down: positive if it received less than its share among the
    /// siblings it competed with, negative if it received more. For one that sleeps: what it would be owed if it woke now.
    pub fn lag(&self, node: NodeId) -> Result<i64, NodeError> {
        let node = &self.nodes[self.below_root(node)? as usize];
        let mean = &self.queues[node.home as usize].mean;
        let owed = if node.flags.active {
            let (numerator, denominator) = mean.lag(&node.position, node.weight());
            numerator.div_euclid(denominator)
        } else {
            let reference = mean.reference();
            (-node.placement(reference).excess(reference, node.weight())).div_euclid(1 << TICK_BITS)
        };
        Ok(i64::try_from(owed).unwrap_or(if owed < 0 { i64::MIN } else { i64::MAX }))
    }

    fn book(&mut self, until: Instant) -> u64 {
        let span = until.since(self.booked).0;
        self.booked = self.booked.max(until);
        span
    }

    fn grant(&self, lease: &Lease) -> Grant {
        // Who sets nothing inherits; of what is set the shortest counts.
        let slices = lease.path().iter().map(|&slot| &self.nodes[slot as usize].params);
        let set = slices.filter(|params| params.slice.is_some() || params.class != Class::Throughput);
        let slice = set.map(|params| params.slice(self.config.slice)).min().unwrap_or(self.config.slice.0);
        let slice = slice.min(self.config.occupancy_max.0);
        Grant { node: self.name(lease.session()), slice: Nanos(slice), contended: lease.contended }
    }

    fn slice_of(&self, slot: u32) -> u64 {
        self.nodes[slot as usize].params.slice(self.config.slice)
    }

    /// Starts counting the holder's occupancy when somebody else first wants the device: how long it ran while nobody did says
    /// nothing about how long it makes others wait.
    fn note_contention(&mut self) {
        let Some(mut lease) = self.lease else { return };
        if !lease.contended && self.is_contended(&lease) {
            lease.contended = true;
            lease.occupied_ns = 0;
            self.lease = Some(lease);
        }
    }

    fn is_contended(&self, lease: &Lease) -> bool {
        lease.path().iter().any(|&slot| self.queue_of(slot).mean.members() > 1)
    }

    /// Decides whether the node that just became active may take the device away from the holder.
    ///
    /// The two are compared where their paths part. The waker must be of the latency class with some warp left, have an earlier deadline than the
    /// holder, and be the one that would be picked: where somebody is critical, that is somebody else.
    fn preemption_by(&mut self, slot: u32) -> Wake {
        let Some(lease) = self.lease else { return Wake::Queued };
        let (path, depth) = self.path_to(slot);
        let mut pairs = path[..depth].iter().zip(lease.path());
        let Some((&waker, &holder)) = pairs.find(|(a, b)| a != b) else { return Wake::Queued };
        let node = &self.nodes[waker as usize];
        let by_turns = node.parent == ROOT && self.config.policy != Policy::Weighted;
        if by_turns || !node.flags.active || node.params.class == Class::Throughput {
            return Wake::Queued;
        }
        self.rekey(waker);
        if !self.seats.is_warped(waker) {
            return Wake::Queued;
        }
        // A holder that had what it was granted is as good as back in the queue with its next request.
        if self.nodes[holder as usize].position.ticks >= self.seats.deadline(holder) {
            self.rekey(holder);
        }
        let queue = &mut self.queues[tree::home(&self.nodes, waker)];
        let next = queue.choose(self.rule, &mut self.seats) == Some(waker);
        if next && self.seats.deadline(waker) < self.seats.deadline(holder) {
            Wake::Preempt { holder: self.name(lease.session()) }
        } else {
            Wake::Queued
        }
    }
}

/// What tests may see that nobody else needs.
#[cfg(test)]
impl Scheduler {
    pub(crate) fn with_rule(config: Config, rule: Rule) -> Scheduler {
        Scheduler { rule, ..Scheduler::new(config, Instant(0)).unwrap() }
    }

    /// Returns what an active node is owed as an exact fraction of ns.
    pub(crate) fn exact_lag(&self, node: NodeId) -> (i128, i128) {
        let node = &self.nodes[self.below_root(node).unwrap() as usize];
        self.queues[node.home as usize].mean.lag(&node.position, node.weight())
    }
}
