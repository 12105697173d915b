//! Who is in the tree, and with which settings.

use alloc::vec::Vec;

use super::tree::home;
use super::{ROOT, Scheduler};
use crate::bucket::Bucket;
use crate::error::{ConfigError, JoinError, LeaveError, NodeError, SetError};
use crate::node::{Flags, Node, NodeId};
use crate::params::{Config, DEPTH_MAX, Params, Policy};
use crate::queue::Queue;
use crate::request::{Request, Warp};
use crate::units::{Instant, Share, Weight};
use crate::virt::{Position, Ticks, ticks};

/// The parent of a vacant slot.
const NOBODY: u32 = u32::MAX;

/// Returns the weight that counts of a member of `parent` with these settings.
fn claim(policy: Policy, parent: u32, params: &Params) -> u32 {
    let equal = parent == ROOT && policy == Policy::EqualShare;
    if equal { Weight::DEFAULT.get() } else { params.weight.get() }
}

impl Scheduler {
    /// Admits a node below `parent`, asleep: a group, a tenant or a session, which differ only in who is below them.
    ///
    /// Nodes that have members do not run themselves. Tenants should be nodes of their own even when they have one session
    /// each: a debt stays with the node that made it, and a session that leaves takes its own along.
    pub fn join(&mut self, parent: NodeId, params: Params, now: Instant) -> Result<NodeId, JoinError> {
        let parent_slot = self.known(parent).map_err(JoinError::Parent)?;
        if self.nodes[parent_slot as usize].flags.runnable {
            return Err(JoinError::ParentIsSession { parent });
        }
        if self.path_to(parent_slot).1 == DEPTH_MAX {
            return Err(JoinError::TooDeep { parent });
        }
        self.check_guarantees(parent_slot, None, &params)?;
        let queue = self.queue_for(parent_slot);
        let claim = claim(self.config.policy, parent_slot, &params);
        let joined = &mut self.queues[queue as usize];
        joined.joined += 1;
        joined.joined_weight += u64::from(claim);
        joined.guaranteed += u32::from(params.guarantee.is_some());
        joined.reserve();
        let warp = Warp::new(joined.service_ns);
        let bucket = params.cap.map(|cap| Bucket::new(cap, self.config.slice.0, now));
        let slot = self.seat(Node {
            generation: 0,
            parent: parent_slot,
            home: queue,
            queue: None,
            params,
            claim,
            flags: Flags { fresh: true, capped: params.cap.is_some(), ..Flags::default() },
            position: Position::default(),
            credit: 0,
            request: Request::default(),
            warp,
            bucket,
            service_ns: 0,
            guard: self.guard(claim),
            turn: 0,
        })?;
        // Time may be reserved for it from now on, or for its parent, who has its first member.
        self.refresh(slot);
        self.refresh(parent_slot);
        Ok(self.name(slot))
    }

    /// Lets `node` go, runnable or not. If it held the lease, it does no longer. Its debt goes with it.
    pub fn leave(&mut self, node: NodeId) -> Result<(), LeaveError> {
        let slot = self.below_root(node).map_err(LeaveError::Node)?;
        let own = self.nodes[slot as usize].queue;
        if let Some(queue) = own
            && self.queues[queue as usize].joined > 0
        {
            return Err(LeaveError::HasMembers { node, members: self.queues[queue as usize].joined });
        }
        self.put_to_sleep(slot);
        self.unthrottle(slot);
        let left = &mut self.nodes[slot as usize];
        left.generation = left.generation.wrapping_add(1);
        left.queue = None;
        let (params, claim, parent) = (left.params, left.claim, left.parent);
        if left.flags.active {
            // Time was reserved for it.
            self.vacancy = self.vacancy.filter(|vacancy| vacancy.slot != slot);
            self.exit(slot);
        }
        let queue = home(&self.nodes, slot);
        self.nodes[slot as usize].parent = NOBODY;
        let queue = &mut self.queues[queue];
        queue.joined -= 1;
        queue.joined_weight -= u64::from(claim);
        queue.guaranteed -= u32::from(params.guarantee.is_some());
        self.vacant_nodes.push(slot);
        self.vacant_queues.extend(own);
        self.refresh(parent);
        Ok(())
    }

    /// Changes the settings of `node` from `now` on, whatever it is doing. Nobody's debt or credit changes by it.
    pub fn set_params(&mut self, node: NodeId, params: Params, now: Instant) -> Result<(), SetError> {
        let slot = self.below_root(node).map_err(SetError::Node)?;
        let parent = self.nodes[slot as usize].parent;
        self.check_guarantees(parent, Some(slot), &params).map_err(SetError::Refused)?;
        let claim = claim(self.config.policy, parent, &params);
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        queue.guaranteed -= u32::from(node.params.guarantee.is_some());
        queue.guaranteed += u32::from(params.guarantee.is_some());
        self.reweigh(slot, claim);
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        node.bucket = match (node.bucket, params.cap) {
            (_, None) => None,
            (None, Some(cap)) => Some(Bucket::new(cap, self.config.slice.0, now)),
            (Some(mut bucket), Some(cap)) => {
                bucket.set_rate(cap, self.config.slice.0, now);
                Some(bucket)
            }
        };
        if node.params.class != params.class {
            // Warp is earned in the class.
            node.warp = Warp::new(queue.service_ns);
        }
        node.flags.capped = params.cap.is_some();
        node.params = params;
        let held = node.flags.held;
        self.unthrottle(slot);
        self.refresh(slot);
        self.rekey(slot);
        if !held {
            self.throttle_at_cap(slot);
        }
        Ok(())
    }

    /// Changes what everybody shares by, from `now` on: policy, slice, longest occupancy. Nobody's debt or credit changes, but
    /// that after [`Policy::BestEffort`], which owes nobody anything, all begin even.
    ///
    /// The bounds hold with the longer of both [`Config::occupancy_max`] until everybody has had a turn.
    pub fn set_config(&mut self, config: Config, now: Instant) -> Result<(), ConfigError> {
        config.check()?;
        if config.policy != self.config.policy {
            self.check_guarantees_under(config.policy)?;
        }
        self.release_throttled(now);
        let old = core::mem::replace(&mut self.config, config);
        let known = |node: &Node| node.parent != NOBODY;
        let all: Vec<u32> = (1..self.nodes.len() as u32).filter(|&slot| known(&self.nodes[slot as usize])).collect();
        if old.policy != config.policy {
            let members: Vec<u32> =
                all.iter().copied().filter(|&slot| self.nodes[slot as usize].parent == ROOT).collect();
            self.change_policy(old.policy, &members);
        }
        for slot in all {
            let claim = self.nodes[slot as usize].claim;
            self.nodes[slot as usize].guard = self.guard(claim);
            self.rekey(slot);
        }
        self.note_contention();
        Ok(())
    }

    /// Refuses a policy under which a guarantee would not hold.
    fn check_guarantees_under(&self, policy: Policy) -> Result<(), ConfigError> {
        let members = || (0u32..).zip(&self.nodes).skip(1).filter(|(_, node)| node.parent == ROOT);
        let claim = |node: &Node| u64::from(claim(policy, ROOT, &node.params));
        let total: u64 = members().map(|(_, node)| claim(node)).sum();
        let whole = u64::from(Share::WHOLE.millionths());
        for (slot, node) in members() {
            let Some(guarantee) = node.params.guarantee else { continue };
            if policy == Policy::BestEffort || claim(node) * whole < total * u64::from(guarantee.millionths()) {
                return Err(ConfigError::GuaranteeBroken { holder: self.name(slot), guarantee, policy });
            }
        }
        Ok(())
    }

    fn change_policy(&mut self, old: Policy, members: &[u32]) {
        self.vacancy = None;
        if old == Policy::BestEffort {
            let active = |&slot: &u32| self.nodes[slot as usize].flags.active;
            let active: Vec<u32> = members.iter().copied().filter(active).collect();
            active.iter().for_each(|&slot| self.exit(slot));
            for &slot in members {
                self.nodes[slot as usize].flags.fresh = true;
            }
            let root = self.root_queue();
            self.queues[root].set_round(false);
            active.iter().for_each(|&slot| self.enter(slot));
        }
        for &slot in members {
            let claim = claim(self.config.policy, ROOT, &self.nodes[slot as usize].params);
            self.reweigh(slot, claim);
            self.refresh(slot);
        }
        let root = self.root_queue();
        self.queues[root].set_round(self.config.policy == Policy::BestEffort);
    }

    /// Gives `slot` another weight. What it is owed stays, awake or asleep.
    fn reweigh(&mut self, slot: u32, to: u32) {
        let queue = &mut self.queues[home(&self.nodes, slot)];
        let node = &mut self.nodes[slot as usize];
        let from = node.claim;
        queue.joined_weight = queue.joined_weight - u64::from(from) + u64::from(to);
        if from == to {
            // Nothing moves.
        } else if node.flags.active {
            node.position = queue.mean.reweigh(&node.position, from, to);
        } else if !node.flags.fresh {
            let reference = queue.mean.reference();
            let excess = node.position.excess(reference, from);
            node.position = Position::from_excess(reference, excess, to);
            node.credit = node.credit * Ticks::from(from) / Ticks::from(to);
        }
        node.claim = to;
        self.nodes[slot as usize].guard = self.guard(to);
    }

    /// Returns the settings of `node`.
    pub fn params(&self, node: NodeId) -> Result<Params, NodeError> {
        Ok(self.nodes[self.below_root(node)? as usize].params)
    }

    /// Plants the root, in a scheduler that has no nodes.
    pub(super) fn plant(&mut self) {
        let root = Node {
            generation: 0,
            parent: ROOT,
            home: 0,
            queue: None,
            params: Params::default(),
            claim: Weight::DEFAULT.get(),
            flags: Flags::default(),
            position: Position::default(),
            credit: 0,
            request: Request::default(),
            warp: Warp::default(),
            bucket: None,
            service_ns: 0,
            guard: 0,
            turn: 0,
        };
        // PANIC: the first of u32::MAX slots is free.
        let slot = self.seat(root).expect("an empty scheduler has room for its root");
        debug_assert!(slot == ROOT);
        let queue = self.queue_for(ROOT);
        self.queues[queue as usize].set_round(self.config.policy == Policy::BestEffort);
    }

    fn guard(&self, claim: u32) -> u64 {
        // The longest occupancy there may be is below 2^43 ns, so its ticks fit.
        ticks(self.config.occupancy_max.0, claim) as u64
    }

    /// Puts `node` into a free slot, under a name that was not used before.
    fn seat(&mut self, mut node: Node) -> Result<u32, JoinError> {
        if let Some(slot) = self.vacant_nodes.pop() {
            node.generation = self.nodes[slot as usize].generation;
            self.nodes[slot as usize] = node;
            return Ok(slot);
        }
        let slot = u32::try_from(self.nodes.len()).ok().filter(|&slot| slot < u32::MAX).ok_or(JoinError::Full)?;
        self.nodes.push(node);
        self.seats.grow();
        self.throttled_at.grow();
        self.throttled.reserve(self.nodes.len());
        Ok(slot)
    }

    /// Returns the queue of `parent`, new if it had none.
    fn queue_for(&mut self, parent: u32) -> u32 {
        if let Some(queue) = self.nodes[parent as usize].queue {
            return queue;
        }
        let empty = Queue::default();
        let queue = match self.vacant_queues.pop() {
            Some(queue) => {
                self.queues[queue as usize] = empty;
                queue
            }
            None => {
                self.queues.push(empty);
                // There are no more queues than nodes, which were counted.
                (self.queues.len() - 1) as u32
            }
        };
        self.nodes[parent as usize].queue = Some(queue);
        queue
    }

    /// Refuses `params` for a newcomer below `parent`, or for the member `slot`, if a guarantee would not hold.
    ///
    /// A guarantee `g` of a node with weight `w` holds when everybody is busy, that is while `w / sum of weights >= g`.
    fn check_guarantees(&self, parent: u32, slot: Option<u32>, params: &Params) -> Result<(), JoinError> {
        if let (Some(cap), Some(guarantee)) = (params.cap, params.guarantee)
            && cap < guarantee
        {
            return Err(JoinError::CapBelowGuarantee { cap, guarantee });
        }
        let policy = self.config.policy;
        if parent == ROOT && policy == Policy::BestEffort && params.guarantee.is_some() {
            return Err(JoinError::NothingGuaranteed { policy });
        }
        let Some(queue) = self.nodes[parent as usize].queue else { return Ok(()) };
        let queue = &self.queues[queue as usize];
        let own = slot.map_or(0, |slot| u64::from(self.nodes[slot as usize].weight()));
        let (others, weight) = (queue.joined_weight - own, u64::from(claim(policy, parent, params)));
        // The most weight that others may have beside a node of weight `w`, rounded down.
        let whole = u64::from(Share::WHOLE.millionths());
        let beside = |w: u64, guarantee: Share| w * whole / u64::from(guarantee.millionths()) - w;
        let mut broken = None;
        if let Some(guarantee) = params.guarantee
            && beside(weight, guarantee) < others
        {
            broken = Some((None, guarantee, beside(weight, guarantee)));
        }
        if queue.guaranteed > 0 {
            for (at, node) in (0u32..).zip(&self.nodes).skip(1) {
                let sibling = node.parent == parent && Some(at) != slot;
                if let (true, Some(guarantee)) = (sibling, node.params.guarantee) {
                    let w = u64::from(node.weight());
                    let room = (beside(w, guarantee) + w).saturating_sub(others);
                    if room < weight && broken.is_none_or(|(_, _, least)| room < least) {
                        broken = Some((Some(self.name(at)), guarantee, room));
                    }
                }
            }
        }
        match broken {
            None => Ok(()),
            Some((holder, guarantee, room)) => {
                let weight_max = u32::try_from(room).unwrap_or(u32::MAX);
                Err(JoinError::GuaranteeBroken { holder, guarantee, weight_max })
            }
        }
    }
}
