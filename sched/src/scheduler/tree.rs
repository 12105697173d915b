//! How a change at one node reaches its ancestors: who is in which queue, and by which keys.
//!
//! A node is *active*, that is in its parent's queue, exactly while it wants to run: a session that is runnable, a group
//! with an active member, neither paused nor at its cap. [`Scheduler::refresh`] is the only place that makes it so.

use super::{Lease, ROOT, Scheduler};
use crate::error::NodeError;
use crate::node::{FIRST, Node, NodeId};
use crate::params::{Class, DEPTH_MAX, Policy};
use crate::queue::{Keys, Queue};
use crate::units::Instant;
use crate::virt::{Position, ticks};

/// Returns the index of the queue that `slot` is or may be in, its parent's.
pub(super) fn home(nodes: &[Node], slot: u32) -> usize {
    nodes[slot as usize].home as usize
}

/// Whose turn it is.
pub(super) enum Turn {
    /// Nobody's: there is no work.
    Nobody,
    /// This session's.
    Session(Lease),
    /// A member of the root that does not want it, and whose time is reserved.
    Absent(u32),
}

impl Scheduler {
    pub(super) fn name(&self, slot: u32) -> NodeId {
        NodeId { slot, generation: self.nodes[slot as usize].generation }
    }

    pub(super) fn known(&self, node: NodeId) -> Result<u32, NodeError> {
        match self.nodes.get(node.slot as usize) {
            Some(known) if known.generation == node.generation => Ok(node.slot),
            _ => Err(NodeError::Unknown { node }),
        }
    }

    pub(super) fn below_root(&self, node: NodeId) -> Result<u32, NodeError> {
        match self.known(node)? {
            ROOT => Err(NodeError::Root),
            slot => Ok(slot),
        }
    }

    pub(super) fn session(&self, node: NodeId) -> Result<u32, NodeError> {
        let slot = self.below_root(node)?;
        if self.nodes[slot as usize].queue.is_some() { Err(NodeError::NotASession { node }) } else { Ok(slot) }
    }

    /// Returns the queue that `slot` is or may be in.
    pub(super) fn queue_of(&self, slot: u32) -> &Queue {
        &self.queues[home(&self.nodes, slot)]
    }

    /// Returns the index of the queue of groups and tenants.
    pub(super) fn root_queue(&self) -> usize {
        // PANIC: the root gets its queue when it is planted, and never leaves.
        self.nodes[ROOT as usize].queue.expect("the root has a queue") as usize
    }

    /// Returns the nodes from the root's member down to `slot`.
    pub(super) fn path_to(&self, slot: u32) -> ([u32; DEPTH_MAX], usize) {
        let (mut path, mut depth, mut at) = ([ROOT; DEPTH_MAX], 0, slot);
        while at != ROOT {
            path[depth] = at;
            depth += 1;
            at = self.nodes[at as usize].parent;
        }
        path[..depth].reverse();
        (path, depth)
    }

    /// Returns whose turn it is. `first` is the member of the root to begin with, if that is decided.
    pub(super) fn descend(&mut self, first: Option<u32>) -> Turn {
        let reserves = self.config.policy.reserves();
        let mut lease =
            Lease { path: [ROOT; DEPTH_MAX], depth: 0, occupied_ns: 0, switched_ns: 0, contended: reserves };
        let mut at = ROOT;
        while let Some(queue) = self.nodes[at as usize].queue {
            let queue = &mut self.queues[queue as usize];
            let decided = first.filter(|_| at == ROOT);
            let Some(next) = decided.or_else(|| queue.choose(self.rule, &mut self.seats)) else { return Turn::Nobody };
            lease.contended |= queue.mean.members() > 1;
            if reserves && at == ROOT && !self.is_able(next) {
                return Turn::Absent(next);
            }
            at = next;
            lease.path[lease.depth] = at;
            lease.depth += 1;
        }
        if at == ROOT { Turn::Nobody } else { Turn::Session(lease) }
    }

    /// Returns whether somebody at or below `slot` could run.
    pub(super) fn is_able(&self, slot: u32) -> bool {
        let node = &self.nodes[slot as usize];
        self.has_work(node) && !node.flags.paused && !node.flags.throttled
    }

    fn has_work(&self, node: &Node) -> bool {
        match node.queue {
            Some(queue) => self.queues[queue as usize].mean.members() > 0,
            None => node.flags.runnable,
        }
    }

    /// Returns whether time passes for `slot`, a member of the root, whether or not it wants any.
    fn is_reserved_for(&self, node: &Node) -> bool {
        match (self.config.policy, node.queue) {
            (Policy::FixedShare, _) => true,
            (Policy::EqualShare, Some(queue)) => self.queues[queue as usize].joined > 0,
            (Policy::EqualShare, None) => node.flags.woken,
            (Policy::Weighted | Policy::BestEffort, _) => false,
        }
    }

    /// Ends the lease: the heaps learn what the holder used, and a node that used up its cap leaves them.
    pub(super) fn end_lease(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        self.go_round(lease.path[0]);
        let mut capped = false;
        for &slot in lease.path() {
            let node = &mut self.nodes[slot as usize];
            node.flags.held = false;
            node.request = node.request.after(lease.occupied_ns);
            capped |= node.flags.capped;
            self.rekey(slot);
        }
        if capped {
            lease.path().iter().for_each(|&slot| self.throttle_at_cap(slot));
        }
    }

    /// Puts a member of the root that had its turn at the end of the round.
    pub(super) fn go_round(&mut self, slot: u32) {
        self.turns += 1;
        self.nodes[slot as usize].turn = self.turns;
    }

    /// Charges `slot` and its ancestors `span_ns`.
    pub(super) fn charge_up(&mut self, slot: u32, span_ns: u64) {
        let mut at = slot;
        while at != ROOT {
            let queue = &mut self.queues[home(&self.nodes, at)];
            let node = &mut self.nodes[at as usize];
            queue.service_ns += span_ns;
            node.service_ns += span_ns;
            if node.params.class != Class::Throughput && queue.mean.members() > u32::from(node.flags.active) {
                // Alone it goes ahead of nobody.
                node.warp.spend(span_ns);
            }
            if node.flags.capped
                && let Some(bucket) = &mut node.bucket
            {
                bucket.spend(span_ns, self.config.slice.0, self.booked);
            }
            if node.flags.active {
                queue.mean.advance(span_ns);
            } else if node.flags.fresh {
                node.flags.fresh = false;
                node.position = Position::at(queue.mean.reference());
            }
            let before = node.position.ticks;
            node.position.advance(span_ns, node.claim);
            if !node.flags.active {
                // What it is charged in its sleep it pays from its credit first.
                node.credit = (node.credit - (node.position.ticks - before)).max(0);
            }
            let (parent, held) = (node.parent, node.flags.held);
            if !held {
                self.rekey(at);
                self.throttle_at_cap(at);
            }
            at = parent;
        }
    }

    /// Puts a session to sleep, and ends its lease if it has one.
    pub(super) fn put_to_sleep(&mut self, slot: u32) {
        if self.nodes[slot as usize].flags.held {
            self.end_lease();
        }
        self.nodes[slot as usize].flags.runnable = false;
        self.refresh(slot);
    }

    /// Makes `slot` and its ancestors active or not, as they should be.
    pub(super) fn refresh(&mut self, slot: u32) {
        let mut at = slot;
        while at != ROOT {
            let node = &self.nodes[at as usize];
            let reserves = node.parent == ROOT && self.config.policy.reserves();
            let wanted = if reserves { self.is_reserved_for(node) } else { self.is_able(at) };
            let parent = node.parent;
            match (node.flags.active, wanted) {
                (false, true) => self.enter(at),
                (true, false) => self.exit(at),
                _ => return,
            }
            at = parent;
        }
    }

    /// Tells the heaps where `slot` stands, if they hold it and it is not alone there.
    pub(super) fn rekey(&mut self, slot: u32) {
        if self.nodes[slot as usize].flags.active && self.queue_of(slot).alone().is_none() {
            let keys = self.keys(slot);
            self.queues[home(&self.nodes, slot)].rekey(slot, keys, &mut self.seats);
        }
    }

    /// Lets nodes compete again that waited for their caps until `now`.
    pub(super) fn release_throttled(&mut self, now: Instant) {
        while let Some((until, slot)) = self.throttled.peek()
            && until <= i128::from(now.0)
        {
            self.unthrottle(slot);
            self.refresh(slot);
        }
        // A lease that was uncontended may no longer be.
        self.note_contention();
    }

    /// Forgets that `slot` waits for its cap, if it does.
    pub(super) fn unthrottle(&mut self, slot: u32) {
        if core::mem::take(&mut self.nodes[slot as usize].flags.throttled) {
            self.throttled.remove(slot, &mut self.throttled_at);
        }
    }

    /// Takes `slot` out of the competition if it is at its cap.
    pub(super) fn throttle_at_cap(&mut self, slot: u32) {
        let Some(until) = self.nodes[slot as usize].at_cap_until() else { return };
        self.unthrottle(slot);
        self.throttled.push(i128::from(until.0), slot, &mut self.throttled_at);
        self.nodes[slot as usize].flags.throttled = true;
        self.refresh(slot);
    }

    /// Charges a member of the root for time that was reserved for it and that it did not use. It is nobody's service.
    pub(super) fn pass_over(&mut self, slot: u32, span_ns: u64) {
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        if span_ns > 0 && node.flags.active {
            queue.mean.advance(span_ns);
            node.position.advance(span_ns, node.claim);
            self.rekey(slot);
        }
    }

    pub(super) fn enter(&mut self, slot: u32) {
        self.go_round(slot);
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        node.position = node.placement(queue.mean.reference());
        node.credit = 0;
        node.flags.fresh = false;
        node.flags.active = true;
        let alone = queue.alone();
        queue.mean.enter(&node.position, node.weight());
        if let Some(sibling) = alone {
            self.rekey(sibling);
        }
        let keys = self.keys(slot);
        self.queues[home(&self.nodes, slot)].enter(slot, keys, &mut self.seats);
    }

    pub(super) fn exit(&mut self, slot: u32) {
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        node.flags.active = false;
        queue.mean.exit(&node.position, node.weight());
        queue.exit(slot, &mut self.seats);
        // Measured after it left: waking at once puts it back exactly where it was.
        let request_ns = node.request.length(node.params.slice(self.config.slice), self.config.occupancy_max.0);
        let owed = queue.mean.ticks() - node.position.ticks;
        node.credit = owed.clamp(0, ticks(request_ns, node.weight()));
    }

    fn keys(&mut self, slot: u32) -> Keys {
        let at_root = self.nodes[slot as usize].parent == ROOT;
        if at_root && self.config.policy == Policy::BestEffort {
            let turn = self.nodes[slot as usize].turn;
            return Keys { eligible: turn, deadline: turn, guard: 0 };
        }
        let queue = &self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        let slice_ns = node.params.slice(self.config.slice);
        // The holder is judged as if its turn ended now, so that what `renew` says is what `pick` does.
        let request = match &self.lease {
            Some(lease) if node.flags.held => node.request.after(lease.occupied_ns),
            _ => node.request,
        };
        let may_warp = !at_root || self.config.policy == Policy::Weighted;
        let warped =
            may_warp && node.params.class != Class::Throughput && node.warp.earn(queue.service_ns, self.config.slice.0);
        let eligible = node.position.ticks;
        let deadline = if warped {
            eligible - FIRST
        } else {
            let request_ns = request.length(slice_ns, self.config.occupancy_max.0);
            eligible + ticks(request_ns, node.weight())
        };
        Keys { eligible, deadline, guard: node.guard }
    }
}

impl Node {
    /// Returns until when it is at its cap, if it is.
    pub(super) fn at_cap_until(&self) -> Option<Instant> {
        if self.flags.capped { self.bucket.and_then(|bucket| bucket.in_debt_until()) } else { None }
    }
}
