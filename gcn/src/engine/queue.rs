//! The packet processor: consumes a ring in order, keeps a bounded window of packets in flight, completes their signals.
//!
//! Rules (HSA Platform System Architecture Specification 1.2, section 2.9; DESIGN notes in ARCHITECTURE.md): a slot is consumed when its header is valid, whatever the
//! write index says; the packet is copied once and only the copy is looked at; after it is done the slot's header becomes INVALID,
//! then the read index moves on, then the completion signal is decremented. Slots are given back in ring order. Indices are
//! private: what a tenant writes over the shared ones misleads nobody but itself.
//!
//! Fences of a header, whatever their scope, need nothing beside this: the header is loaded with acquire before a packet begins, decoded
//! instructions are compared with the version of the code before its kernel does, and all that its waves stored, on whatever host thread, happens
//! before the release store of its slot's header and the step of its signal. There is no cache that would have to be written back.

use super::Host;
use super::cu::Cu;
use super::launch::{Descriptors, Dispatch, LaunchError};
use crate::aql::{
    BARRIER_SIGNALS, Body, Condition, Header, PACKET_BYTES, Packet, PacketError, TYPE_INVALID, queue, signal,
};
use crate::arch::Arch;
use crate::fault::Fault;
use crate::memory::{Memory, MemoryFault};
use std::collections::VecDeque;
use std::sync::Arc;

/// Packets of one queue that may be in flight.
pub const MAX_IN_FLIGHT: usize = 16;

/// Names a queue of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u32);

/// Where a queue lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct QueueSpec {
    /// Address of slot 0.
    pub ring: u64,
    /// Number of slots: a power of two.
    pub slots: u32,
    /// Address of the 64-bit read index.
    pub read_index: u64,
    /// Address of the `amd_queue_t` that kernels get as `queue_ptr`.
    pub structure: u64,
}

/// Why a queue stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// A kernel met a fault.
    #[error("{fault}, {} its first instruction, in the kernel at {kernel_object:#x} (packet {packet})", from_entry(.fault.pc, *.entry))]
    Kernel {
        /// What happened, where.
        fault: Fault,
        /// The packet's kernel object.
        kernel_object: u64,
        /// Address of the kernel's first instruction.
        entry: u64,
        /// Packet number since the queue was made.
        packet: u64,
    },
    /// A packet that this processor does not run.
    #[error("packet {packet}: {error}")]
    Packet {
        /// Why.
        error: PacketError,
        /// Packet number since the queue was made.
        packet: u64,
    },
    /// A kernel that cannot be launched.
    #[error("packet {packet}: {error}")]
    Launch {
        /// Why.
        error: LaunchError,
        /// Packet number since the queue was made.
        packet: u64,
    },
    /// The ring, its read index or a signal that a packet names cannot be accessed.
    #[error("packet {packet}: {fault}")]
    Memory {
        /// The refused access.
        fault: MemoryFault,
        /// Packet number since the queue was made.
        packet: u64,
    },
}

/// Says where `pc` is from `entry` on: what a listing of the kernel counts in.
fn from_entry(pc: u64, entry: u64) -> String {
    match pc.checked_sub(entry) {
        Some(after) => format!("{after:#x} bytes after"),
        None => format!("{:#x} bytes before", entry - pc),
    }
}

/// What a packet in flight waits for.
enum Progress {
    Running(Arc<Dispatch>),
    /// Its signal has been decremented; it waits for earlier packets to give their slots back.
    Done,
}

struct InFlight {
    packet: Packet,
    progress: Progress,
}

/// Facts a queue needs from its context to launch kernels.
pub(super) struct Launcher<'a> {
    pub(super) arch: Arch,
    pub(super) mem: &'a dyn Memory,
    pub(super) host: &'a dyn Host,
    pub(super) scratch: &'a mut Scratch,
    pub(super) room: &'a mut Room,
    pub(super) descriptors: &'a mut Descriptors,
}

impl Launcher<'_> {
    /// Gives a dispatch what it needs to begin. `Ok(None)`: not before others have ended.
    fn admit(&mut self, dispatch: Dispatch) -> Result<Option<Arc<Dispatch>>, LaunchError> {
        if !self.room.admit(&dispatch)? {
            return Ok(None);
        }
        let admitted = self.scratch.assign(dispatch, self.host)?;
        self.room.live.extend(admitted.clone());
        Ok(admitted)
    }
}

/// What a context has for dispatches: compute units that take work-groups, and who is on them.
#[derive(Default)]
pub(super) struct Room {
    pub(super) cus: u32,
    /// Dispatches that have begun and are not over.
    pub(super) live: Vec<Arc<Dispatch>>,
}

impl Room {
    /// Whether `dispatch` may begin now.
    ///
    /// The work-groups of a cooperative grid must all be resident at once, so nothing may lie between them: such a grid begins on empty compute
    /// units, and others wait until it is resident as a whole. Two half-resident ones would wait for each other for ever.
    fn admit(&mut self, dispatch: &Dispatch) -> Result<bool, LaunchError> {
        self.live.retain(|d| !d.is_over());
        if !dispatch.cooperative {
            return Ok(!self.live.iter().any(|d| d.cooperative && d.has_groups_left()));
        }
        let resident = Cu::capacity(dispatch) * u64::from(self.cus);
        if dispatch.groups_total > resident {
            return Err(LaunchError::Cooperative { groups: dispatch.groups_total, resident, cus: self.cus });
        }
        Ok(self.live.is_empty())
    }
}

/// Private-memory backing of a context: `stride` bytes for each of `slots` wave slots.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) base: u64,
    pub(super) stride: u64,
    pub(super) slots: u64,
    /// Dispatches that use it now. It only moves when there are none.
    pub(super) users: Vec<Arc<Dispatch>>,
}

impl Scratch {
    /// Gives `dispatch` scratch. `Ok(None)`: wait until the dispatches that run have ended.
    fn assign(&mut self, mut dispatch: Dispatch, host: &dyn Host) -> Result<Option<Arc<Dispatch>>, LaunchError> {
        let wave_bytes = dispatch.scratch_wave_bytes();
        if wave_bytes == 0 {
            return Ok(Some(Arc::new(dispatch)));
        }
        self.users.retain(|d| !d.is_over());
        if wave_bytes > self.stride {
            if !self.users.is_empty() {
                return Ok(None);
            }
            let bytes = wave_bytes.saturating_mul(self.slots);
            // Whoever refuses more may have given up what there was: until the next answer there is nothing.
            self.stride = 0;
            self.base = host.scratch(bytes).ok_or(LaunchError::OutOfScratch { bytes })?;
            self.stride = wave_bytes;
        }
        dispatch.set_scratch(self.base, self.stride, self.slots);
        let dispatch = Arc::new(dispatch);
        self.users.push(Arc::clone(&dispatch));
        Ok(Some(dispatch))
    }
}

/// Counts of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) packets: u64,
    pub(super) dispatches: u64,
}

pub(super) struct Queue {
    id: QueueId,
    spec: QueueSpec,
    /// Slots given back.
    retired: u64,
    in_flight: VecDeque<InFlight>,
    /// The packet after those in flight, copied and checked but not begun: a barrier that is not satisfied, a kernel that waits for scratch.
    pending: Option<Packet>,
    error: Option<QueueError>,
    pub(super) counts: Counts,
}

impl Queue {
    pub(super) fn new(id: QueueId, spec: QueueSpec) -> Queue {
        let (in_flight, counts) = (VecDeque::with_capacity(MAX_IN_FLIGHT), Counts::default());
        Queue { id, spec, retired: 0, in_flight, pending: None, error: None, counts }
    }

    pub(super) fn error(&self) -> Option<&QueueError> {
        self.error.as_ref()
    }

    /// Returns the dispatches that run with their packets' numbers, oldest first.
    pub(super) fn dispatches(&self) -> impl Iterator<Item = (u64, &Arc<Dispatch>)> {
        (self.retired..).zip(&self.in_flight).filter_map(|(number, p)| match &p.progress {
            Progress::Running(d) => Some((number, d)),
            Progress::Done => None,
        })
    }

    /// Returns the dispatches that run, oldest first.
    pub(super) fn running(&self) -> impl Iterator<Item = &Arc<Dispatch>> {
        self.dispatches().map(|(_, dispatch)| dispatch)
    }

    fn slot(&self, index: u64) -> u64 {
        self.spec.ring.wrapping_add((index & (u64::from(self.spec.slots) - 1)) * PACKET_BYTES as u64)
    }

    fn next(&self) -> u64 {
        self.retired + self.in_flight.len() as u64
    }

    /// Completes what has ended and begins what can begin. Returns whether the set of running dispatches changed.
    pub(super) fn poll(&mut self, with: &mut Launcher<'_>) -> bool {
        if self.error.is_some() {
            return false;
        }
        let before = self.counts;
        let ended = match self.complete(with) {
            Ok(ended) => ended,
            Err(error) => return self.fail(error, with.host),
        };
        match self.begin(with) {
            Ok(()) => ended || self.counts != before,
            Err(error) => self.fail(error, with.host),
        }
    }

    /// Whether [`poll`](Self::poll) would find something to do, or work is in flight. Touches nothing.
    pub(super) fn runnable(&self, mem: &dyn Memory) -> bool {
        if self.error.is_some() {
            return false;
        }
        if self.running().next().is_some() {
            return true;
        }
        if let Some(packet) = &self.pending {
            return self.satisfied(packet, mem).unwrap_or(true);
        }
        match mem.load_acquire_u32(self.slot(self.next())) {
            Ok(header) if Header(header as u16).kind() == TYPE_INVALID => false,
            Ok(_) => match self.copy(mem) {
                Ok(Some(packet)) => self.satisfied(&packet, mem).unwrap_or(true),
                // An error is something to do: it must be reported.
                Ok(None) | Err(_) => true,
            },
            Err(_) => true,
        }
    }

    #[cold]
    fn fail(&mut self, error: QueueError, host: &dyn Host) -> bool {
        host.queue_failed(self.id, &error);
        self.error = Some(error);
        self.abandon();
        true
    }

    fn complete(&mut self, with: &Launcher<'_>) -> Result<bool, QueueError> {
        let mut changed = false;
        for at in 0..self.in_flight.len() {
            let entry = &mut self.in_flight[at];
            let number = self.retired + at as u64;
            let Progress::Running(dispatch) = &entry.progress else { continue };
            if !dispatch.is_over() {
                continue;
            }
            if let Some(fault) = dispatch.fault.get() {
                let kernel_object = dispatch.packet.kernel_object;
                return Err(QueueError::Kernel {
                    fault: fault.clone(),
                    kernel_object,
                    entry: dispatch.entry,
                    packet: number,
                });
            }
            let times = dispatch.started.get().map(|&start| (start, with.host.now()));
            let completion = entry.packet.completion;
            entry.progress = Progress::Done;
            changed = true;
            self.give_back(with.mem)?;
            decrement(completion, times, with.mem, with.host)
                .map_err(|fault| QueueError::Memory { fault, packet: number })?;
            with.host.dispatch_ended(self.id, number);
            // Giving slots back may have shifted the window; look again from its start.
            return self.complete(with).map(|_| changed);
        }
        Ok(changed)
    }

    /// Gives the slots of the oldest packets back as far as they are done.
    fn give_back(&mut self, mem: &dyn Memory) -> Result<(), QueueError> {
        while matches!(self.in_flight.front(), Some(InFlight { progress: Progress::Done, .. })) {
            self.in_flight.pop_front();
            let packet = self.retired;
            let failed = |fault| QueueError::Memory { fault, packet };
            mem.store_release_u32(self.slot(packet), u32::from(TYPE_INVALID)).map_err(failed)?;
            self.retired += 1;
            mem.store_release_u64(self.spec.read_index, self.retired).map_err(failed)?;
        }
        Ok(())
    }

    /// Copies the next packet out of the ring, if there is one.
    fn copy(&self, mem: &dyn Memory) -> Result<Option<Packet>, QueueError> {
        let number = self.next();
        let slot = self.slot(number);
        let failed = |fault| QueueError::Memory { fault, packet: number };
        let first = mem.load_acquire_u32(slot).map_err(failed)?;
        if Header(first as u16).kind() == TYPE_INVALID {
            return Ok(None);
        }
        let mut bytes = [0; PACKET_BYTES];
        mem.read(slot, &mut bytes).map_err(failed)?;
        // The header that was acquired is the one that counts, whatever the bytes say by now.
        bytes[..4].copy_from_slice(&first.to_le_bytes());
        Packet::parse(&bytes).map(Some).map_err(|error| QueueError::Packet { error, packet: number })
    }

    fn begin(&mut self, with: &mut Launcher<'_>) -> Result<(), QueueError> {
        // A slot stays valid until its packet is done, so a window past the ring's end would find the oldest packet again.
        let window = MAX_IN_FLIGHT.min(self.spec.slots as usize);
        while self.in_flight.len() < window {
            let number = self.next();
            let packet = match self.pending.take() {
                Some(packet) => packet,
                None => match self.copy(with.mem)? {
                    Some(packet) => packet,
                    None => return Ok(()),
                },
            };
            let memory = |fault| QueueError::Memory { fault, packet: number };
            if !self.satisfied(&packet, with.mem).map_err(memory)? {
                self.pending = Some(packet);
                return Ok(());
            }
            let progress = match &packet.body {
                Body::Kernel(kernel) => {
                    let (slot, structure) = (self.slot(number), self.spec.structure);
                    let launched =
                        Dispatch::new(with.arch, with.mem, with.descriptors, kernel, slot, structure, number)
                            .and_then(|mut dispatch| {
                                dispatch.cooperative = self.is_cooperative(with.mem);
                                with.admit(dispatch)
                            })
                            .map_err(|error| QueueError::Launch { error, packet: number })?;
                    let Some(dispatch) = launched else {
                        self.pending = Some(packet);
                        return Ok(());
                    };
                    self.counts.dispatches += 1;
                    Progress::Running(dispatch)
                }
                Body::Vendor(bytes) if !with.host.vendor_packet(bytes) => {
                    let error = PacketError::VendorFormat { format: bytes[2] };
                    return Err(QueueError::Packet { error, packet: number });
                }
                Body::Vendor(_) | Body::BarrierAnd(_) | Body::BarrierOr(_) | Body::BarrierValue { .. } => {
                    // A packet without a kernel takes no time, but whoever asks its signal for times must get some.
                    let now = with.host.now();
                    decrement(packet.completion, Some((now, now)), with.mem, with.host).map_err(memory)?;
                    Progress::Done
                }
            };
            self.counts.packets += 1;
            with.host.packet_began(self.id, number, matches!(progress, Progress::Running(_)));
            self.in_flight.push_back(InFlight { packet, progress });
            self.give_back(with.mem)?;
        }
        Ok(())
    }

    /// Whether the queue was made for grids whose work-groups wait for each other. Its own structure says so: who lies there has its
    /// own launches refused that would have run, or hung as they would on any queue.
    fn is_cooperative(&self, mem: &dyn Memory) -> bool {
        let kind = self.spec.structure.wrapping_add(queue::TYPE);
        mem.load_acquire_u32(kind) == Ok(queue::TYPE_COOPERATIVE)
    }

    /// Whether a packet's barrier bit and dependencies let it begin.
    fn satisfied(&self, packet: &Packet, mem: &dyn Memory) -> Result<bool, MemoryFault> {
        if packet.header.barrier() && self.running().next().is_some() {
            return Ok(false);
        }
        let value = |signal: u64| mem.load_acquire_u64(signal.wrapping_add(signal::VALUE)).map(|v| v as i64);
        match &packet.body {
            Body::Kernel(_) => Ok(true),
            Body::Vendor(_) => Ok(self.running().next().is_none()),
            Body::BarrierAnd(signals) => {
                for &signal in signals.iter().filter(|&&s| s != 0) {
                    if value(signal)? != 0 {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Body::BarrierOr(signals) => {
                for &signal in signals.iter().filter(|&&s| s != 0) {
                    if value(signal)? == 0 {
                        return Ok(true);
                    }
                }
                Ok(*signals == [0; BARRIER_SIGNALS])
            }
            // A null signal counts as satisfied: HIP 5.7 and later record events so.
            Body::BarrierValue { signal: 0, .. } => Ok(true),
            Body::BarrierValue { signal, operand, mask, condition } => {
                let left = value(*signal)? & mask;
                Ok(match condition {
                    Condition::Eq => left == *operand,
                    Condition::Ne => left != *operand,
                    Condition::Lt => left < *operand,
                    Condition::Gte => left >= *operand,
                })
            }
        }
    }

    /// Gives up everything in flight: the queue has failed or is being destroyed.
    pub(super) fn abandon(&mut self) {
        for dispatch in self.running() {
            dispatch.abandon();
        }
        self.in_flight.clear();
        self.pending = None;
    }
}

/// Writes a completion signal's times, then decrements its value, then tells the host.
fn decrement(signal: u64, times: Option<(u64, u64)>, mem: &dyn Memory, host: &dyn Host) -> Result<(), MemoryFault> {
    if signal == 0 {
        return Ok(());
    }
    if let Some((start, end)) = times {
        mem.store_release_u64(signal.wrapping_add(signal::START_TS), start)?;
        mem.store_release_u64(signal.wrapping_add(signal::END_TS), end)?;
    }
    mem.update_u64(signal.wrapping_add(signal::VALUE), &mut |v| Some(v.wrapping_sub(1)))?;
    let mailbox = mem.load_acquire_u64(signal.wrapping_add(signal::EVENT_MAILBOX))?;
    if mailbox != 0 {
        let event = mem.load_acquire_u32(signal.wrapping_add(signal::EVENT_ID))?;
        mem.store_release_u64(mailbox, u64::from(event))?;
    }
    host.signal_changed(signal);
    Ok(())
}
