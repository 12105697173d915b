//! How a change at one node reaches its ancestors: who is in which queue, and by which keys.
//!
//! A node is *active*, that is in its parent's queue, exactly while it wants to run: a session that is runnable, a group
//! with an active member, neither paused nor at its cap. [`Scheduler::refresh`] is the only place that makes it so.

use super::{Lease, ROOT, Scheduler};
use crate::error::NodeError;
use crate::node::{Node, NodeId};
use crate::params::{Class, DEPTH_MAX};
use crate::queue::{Keys, Queue};
use crate::virt::{Position, ticks};

/// Returns the index of the queue that `parent` has, as every parent does.
pub(super) fn queue_index(nodes: &[Node], parent: u32) -> usize {
    // PANIC: a node gets its queue before its first member, and keeps it until it leaves.
    nodes[parent as usize].queue.expect("a parent has a queue") as usize
}

pub(super) fn queue_index_of_parent(nodes: &[Node], slot: u32) -> usize {
    queue_index(nodes, nodes[slot as usize].parent)
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

    pub(super) fn queue_of(&self, parent: u32) -> &Queue {
        &self.queues[queue_index(&self.nodes, parent)]
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

    /// Returns a lease for whose turn it is.
    pub(super) fn descend(&mut self) -> Option<Lease> {
        let mut lease = Lease { path: [ROOT; DEPTH_MAX], depth: 0, occupied_ns: 0, contended: false };
        let mut at = ROOT;
        while let Some(queue) = self.nodes[at as usize].queue {
            let queue = &mut self.queues[queue as usize];
            at = queue.choose(self.rule, &mut self.seats)?;
            lease.contended |= queue.mean.members() > 1;
            lease.path[lease.depth] = at;
            lease.depth += 1;
        }
        Some(lease)
    }

    /// Ends the lease: the heaps learn what the holder used, and a node that used up its cap leaves them.
    pub(super) fn end_lease(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        for &slot in lease.path() {
            self.nodes[slot as usize].flags.held = false;
            self.observe(slot, lease.occupied_ns);
            self.rekey(slot);
        }
        for &slot in lease.path() {
            self.throttle_at_cap(slot);
        }
    }

    /// Learns from one occupancy of `slot`.
    pub(super) fn observe(&mut self, slot: u32, occupied_ns: u64) {
        let queue = &mut self.queues[queue_index_of_parent(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        let slice_ns = node.params.slice(self.config.slice);
        let predicted_ns = node.request.length(slice_ns, self.config.occupancy_max.0);
        queue.trust.broken_by(occupied_ns.saturating_sub(predicted_ns));
        node.request = node.request.after(occupied_ns);
    }

    /// Charges `slot` and its ancestors `span_ns`.
    pub(super) fn charge_up(&mut self, slot: u32, span_ns: u64) {
        let mut at = slot;
        while at != ROOT {
            let queue = &mut self.queues[queue_index_of_parent(&self.nodes, at)];
            let node = &mut self.nodes[at as usize];
            queue.service_ns += span_ns;
            queue.trust.forgive(span_ns);
            node.service_ns += span_ns;
            node.warp.spend(span_ns);
            if let Some(bucket) = &mut node.bucket {
                bucket.spend(span_ns, self.config.slice.0, self.booked);
            }
            if node.flags.active {
                queue.mean.advance(span_ns);
            } else if node.flags.fresh {
                node.flags.fresh = false;
                node.position = Position::at(queue.mean.reference());
            }
            let before = node.position.ticks;
            node.position.advance(span_ns, node.params.weight.get());
            // What it is charged in its sleep it pays from its credit first.
            node.credit = (node.credit - (node.position.ticks - before)).max(0);
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
            let has_work = match node.queue {
                Some(queue) => self.queues[queue as usize].mean.members() > 0,
                None => node.flags.runnable,
            };
            let wanted = has_work && !node.flags.paused && !node.flags.throttled;
            let parent = node.parent;
            match (node.flags.active, wanted) {
                (false, true) => self.enter(at),
                (true, false) => self.exit(at),
                _ => return,
            }
            at = parent;
        }
    }

    /// Tells the heaps where `slot` stands, if they hold it.
    pub(super) fn rekey(&mut self, slot: u32) {
        if self.nodes[slot as usize].flags.active {
            let keys = self.keys(slot);
            self.queues[queue_index_of_parent(&self.nodes, slot)].rekey(slot, keys, &mut self.seats);
        }
    }

    /// Lets nodes compete again that waited for their caps until `now`.
    pub(super) fn release_throttled(&mut self, now: crate::Instant) {
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
        let Some(until) = self.nodes[slot as usize].bucket.and_then(|bucket| bucket.in_debt_until()) else { return };
        self.unthrottle(slot);
        self.throttled.push(i128::from(until.0), slot, &mut self.throttled_at);
        self.nodes[slot as usize].flags.throttled = true;
        self.refresh(slot);
    }

    fn enter(&mut self, slot: u32) {
        let queue = &mut self.queues[queue_index_of_parent(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        node.position = node.placement(queue.mean.reference());
        node.credit = 0;
        node.flags.fresh = false;
        node.flags.active = true;
        queue.mean.enter(&node.position, node.weight());
        let keys = self.keys(slot);
        self.queues[queue_index_of_parent(&self.nodes, slot)].enter(slot, keys, &mut self.seats);
    }

    fn exit(&mut self, slot: u32) {
        let queue = &mut self.queues[queue_index_of_parent(&self.nodes, slot)];
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
        let queue = &self.queues[queue_index_of_parent(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        let slice_ns = node.params.slice(self.config.slice);
        // The holder is judged as if its turn ended now, so that what `renew` says is what `pick` does.
        let request = match &self.lease {
            Some(lease) if node.flags.held => node.request.after(lease.occupied_ns),
            _ => node.request,
        };
        let request_ns = request.length(slice_ns, self.config.occupancy_max.0);
        let warped = node.params.class != Class::Throughput
            && node.warp.covers(request_ns, queue.service_ns, self.config.slice.0);
        let eligible = node.position.ticks;
        Keys {
            eligible,
            deadline: if warped { eligible } else { eligible + ticks(request_ns, node.weight()) },
            critical: eligible + node.guard,
            warped,
        }
    }
}

impl Node {
    pub(super) fn is_at_cap(&self) -> bool {
        self.bucket.is_some_and(|bucket| bucket.in_debt_until().is_some())
    }
}
