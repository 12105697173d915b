//! Queues: a ring in shared memory that any number of threads put packets into.
//!
//! A producer claims a slot with one atomic add, waits until the slot is free, fills it, hands it over by storing its header, and rings. No
//! lock, no message; a system call only to wake a worker that sleeps, or to sleep when the ring is full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use proto::aql::{FenceScope, KernelDispatchPacket, PACKET_BYTES, PacketHeader, PacketType};
use proto::message::tenant::{CreateQueue, CuMask, DestroyQueue, QueuePriority, SetQueuePriority, SetQueueUnits};
use proto::message::{Fault, TenantAnswer};
use proto::queue::{AmdQueue, FEATURE_KERNEL_DISPATCH, QueueLayout, TYPE_COOPERATIVE, TYPE_MULTI, TYPE_SINGLE};
use proto::range::RingSlots;
use proto::signal::{AmdSignal, SignalField};
use proto::{DeviceAddress, QueueId, session};
use sys::CallFailed;
use sys::clock::Deadline;
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;
use sys::wake;
use zerocopy::IntoBytes;

use crate::code::Kernel;
use crate::connection::Sleepers;
use crate::error::ClientError;
use crate::memory::{Buffer, map, place, wanted};
use crate::placed::settled;
use crate::session::{Client, Session};
use crate::signal::Signal;

/// High half of the addresses at which kernels see LDS and scratch through flat instructions (the gfx9 driver's values).
const SHARED_APERTURE_HI: u32 = 0x0001_0000;
const PRIVATE_APERTURE_HI: u32 = 0x0002_0000;

/// Offset of the number of claimed slots in a queue object (u64, atomic).
pub const WRITE_INDEX: usize = QueueLayout::WRITE_INDEX;
/// Offset of the number of consumed packets in a queue object (u64, atomic).
pub const READ_INDEX: usize = QueueLayout::READ_INDEX;

/// A queue, given back when dropped with whatever is left in it.
pub struct Queue {
    id: QueueId,
    layout: QueueLayout,
    memory: Arc<Mapping>,
    address: u64,
    /// The worker has forgotten it.
    gone: AtomicBool,
    session: Arc<Session>,
}

/// A kernel to run: what goes into a dispatch packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// Address of the kernel's descriptor, [`Kernel::object`].
    pub kernel_object: u64,
    /// Address of its arguments.
    pub kernarg_address: u64,
    /// Work-items in x, y and z; at least 1 each.
    pub grid: [u32; 3],
    /// Work-items of a work-group in x, y and z.
    pub workgroup: [u16; 3],
    /// Bytes of scratch of a work-item.
    pub private_bytes: u32,
    /// Bytes of LDS of a work-group, the kernel's own included.
    pub group_bytes: u32,
    /// Whether it waits for all packets before it.
    pub barrier: bool,
    /// Address of the signal to decrement when done, or 0.
    pub completion: u64,
}

impl Dispatch {
    /// Returns a dispatch of `kernel` with its own LDS and scratch, waiting for the packets before it.
    pub fn of(kernel: &Kernel, grid: [u32; 3], workgroup: [u16; 3], kernarg: &Buffer) -> Self {
        Self {
            kernel_object: kernel.object,
            kernarg_address: kernarg.address(),
            grid,
            workgroup,
            private_bytes: kernel.private_bytes,
            group_bytes: kernel.group_bytes,
            barrier: true,
            completion: 0,
        }
    }

    /// Decrements `signal` when done.
    #[must_use]
    pub fn completing(self, signal: &Signal) -> Self {
        Self { completion: signal.address(), ..self }
    }

    fn packet(&self) -> [u8; PACKET_BYTES] {
        let kind = PacketType::KernelDispatch;
        let header = PacketHeader::new(kind, self.barrier, FenceScope::System, FenceScope::System);
        let dims = match self.grid {
            [_, 0 | 1, 0 | 1] => 1,
            [_, _, 0 | 1] => 2,
            _ => 3,
        };
        let packet = KernelDispatchPacket {
            header: header.0,
            setup: dims,
            workgroup_size_x: self.workgroup[0],
            workgroup_size_y: self.workgroup[1],
            workgroup_size_z: self.workgroup[2],
            grid_size_x: self.grid[0],
            grid_size_y: self.grid[1],
            grid_size_z: self.grid[2],
            private_segment_size: self.private_bytes,
            group_segment_size: self.group_bytes,
            kernel_object: self.kernel_object,
            kernarg_address: self.kernarg_address,
            completion_signal: self.completion,
            ..KernelDispatchPacket::default()
        };
        zerocopy::transmute!(packet)
    }
}

/// What a queue is used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum QueueType {
    /// Any number of threads put packets into it.
    #[default]
    Multi = TYPE_MULTI,
    /// One does.
    Single = TYPE_SINGLE,
    /// Any number do, and the work-groups of a grid may wait for each other: one that cannot be resident as a whole is refused.
    Cooperative = TYPE_COOPERATIVE,
}

impl Client {
    /// Makes a queue with a ring of `slots` packets, a power of two from 64.
    pub fn queue(&self, slots: u32) -> Result<Queue, ClientError> {
        self.queue_of(slots, QueueType::Multi)
    }

    /// Makes a queue of a type.
    pub fn queue_of(&self, slots: u32, queue_type: QueueType) -> Result<Queue, ClientError> {
        let next = "use a power of two from 64 to 131072";
        let bad = || ClientError::Argument { what: "the number of slots", value: slots.into(), next };
        let layout = QueueLayout::new(RingSlots::new(slots).ok_or_else(bad)?);
        let session = &self.0;
        let (made, memory) = match place(session, layout.bytes().0)? {
            Some(place) => {
                let (made, memory) = Made::ask(session, layout, wanted(Some(&place)))?;
                (made, Mapping::in_arena(&memory, Access::ReadWrite, place)?)
            }
            None => {
                let ask = || Made::ask(session, layout, DeviceAddress(0));
                let ((made, _), memory) = settled(ask, |(made, memory)| map(memory, None, made.address))?;
                (made, memory)
            }
        };
        let (memory, (id, address)) = (Arc::new(memory), made.keep());
        session.connection.register(Sleepers::Word(Arc::downgrade(&memory), QueueLayout::ROOM_WAKE));
        let queue = Queue {
            id,
            layout,
            memory,
            address: address.0,
            gone: AtomicBool::new(false),
            session: Arc::clone(session),
        };
        session.connection.queues().fetch_add(1, Ordering::Relaxed);
        queue.write_head(queue_type)?;
        Ok(queue)
    }
}

/// A queue that the worker has made and that has no place here yet: destroyed when dropped.
struct Made<'a> {
    session: &'a Session,
    id: QueueId,
    address: DeviceAddress,
}

impl<'a> Made<'a> {
    fn ask(session: &'a Session, layout: QueueLayout, at: DeviceAddress) -> Result<(Self, MemFd), ClientError> {
        let wanted = CreateQueue { slots: layout.slots().get(), priority: QueuePriority::Normal, at };
        match session.request(&wanted.into())? {
            (TenantAnswer::QueueReady(got), Some(fd)) => {
                let made = Self { session, id: got.queue, address: got.address };
                Ok((made, MemFd::adopt(fd, usize::try_from(layout.bytes().0).unwrap_or(0))?))
            }
            (other, _) => Err(session.misunderstood(&other)),
        }
    }

    /// It has its place.
    fn keep(self) -> (QueueId, DeviceAddress) {
        let this = std::mem::ManuallyDrop::new(self);
        (this.id, this.address)
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // A session that is over has nothing left to give back.
        let _ = self.session.command(&DestroyQueue { queue: self.id }.into());
    }
}

impl Queue {
    /// Writes the part that programs read and the worker does not.
    fn write_head(&self, queue_type: QueueType) -> Result<(), ClientError> {
        let head = AmdQueue {
            queue_type: queue_type as u32,
            features: FEATURE_KERNEL_DISPATCH,
            base_address: self.address + QueueLayout::RING as u64,
            doorbell_signal: self.address + QueueLayout::DOORBELL as u64,
            size: self.layout.slots().get(),
            id: u64::from(self.id.0),
            group_segment_aperture_base_hi: SHARED_APERTURE_HI,
            private_segment_aperture_base_hi: PRIVATE_APERTURE_HI,
            read_dispatch_id_field_base_byte_offset: QueueLayout::READ_INDEX as u32,
            queue_properties: 1,
            ..AmdQueue::default()
        };
        self.memory.write(0, head.as_bytes())?;
        let doorbell = AmdSignal { queue_ptr: self.address, ..AmdSignal::new(-1) };
        Ok(self.memory.write(QueueLayout::DOORBELL, doorbell.as_bytes())?)
    }

    fn index(&self, offset: usize) -> &AtomicU64 {
        // PANIC: both indices and the doorbell's value lie in the first page of every queue object, aligned to 8.
        self.memory.atomic_u64(offset).expect("inside the head")
    }

    fn room(&self) -> &AtomicU32 {
        // PANIC: as above, aligned to 4.
        self.memory.atomic_u32(QueueLayout::ROOM_WAKE).expect("inside the head")
    }

    /// Returns the queue's number in its session.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Returns the address of the `amd_queue_t`.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Returns the queue object, for those who fill slots themselves.
    pub fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// Returns the layout of the queue object.
    pub fn layout(&self) -> QueueLayout {
        self.layout
    }

    /// Returns why the queue stopped, if it did. It runs nothing any more.
    pub fn fault(&self) -> Option<Fault> {
        self.session.fault(self.id)
    }

    /// Returns how many packets were consumed.
    pub fn consumed(&self) -> u64 {
        self.index(QueueLayout::READ_INDEX).load(Ordering::Acquire)
    }

    /// Submits a kernel. Returns the packet's index. Waits while the ring is full.
    pub fn dispatch(&self, dispatch: &Dispatch) -> Result<u64, ClientError> {
        self.submit(&dispatch.packet())
    }

    /// Submits a packet: 64 bytes as they shall stand in the ring. Returns its index. Waits while the ring is full.
    pub fn submit(&self, packet: &[u8; PACKET_BYTES]) -> Result<u64, ClientError> {
        let index = self.index(QueueLayout::WRITE_INDEX).fetch_add(1, Ordering::AcqRel);
        self.wait_for_room(index)?;
        let slot = self.layout.slot(index);
        let (head, body) = packet.split_at(4);
        self.memory.write(slot + 4, body)?;
        // PANIC: slots are multiples of 64 inside the object, and `head` has four bytes.
        let word = self.memory.atomic_u32(slot).expect("inside the ring");
        word.store(u32::from_le_bytes(head.try_into().expect("four bytes")), Ordering::Release);
        self.index(QueueLayout::DOORBELL + SignalField::VALUE).store(index, Ordering::Release);
        self.session.ring_worker()?;
        Ok(index)
    }

    /// Makes the worker look at the rings: for those who fill slots themselves.
    pub fn ring(&self) -> Result<(), ClientError> {
        Ok(self.session.ring_worker()?)
    }

    fn has_room(&self, index: u64) -> bool {
        // Wrapping, because a tenant may have written anything into the index it shares.
        index.wrapping_sub(self.consumed()) < u64::from(self.layout.slots().get())
    }

    fn wait_for_room(&self, index: u64) -> Result<(), ClientError> {
        if self.has_room(index) {
            return Ok(());
        }
        let room = wake::wait([self.room()], self.session.connection.patience(), Deadline::NEVER, || {
            if self.has_room(index) {
                return Some(Ok(()));
            }
            if let Some(fault) = self.fault() {
                return Some(Err(ClientError::Fault(Box::new(fault))));
            }
            self.session.connection.ended().map(|end| Err(ClientError::Ended(end.clone())))
        })?;
        // PANIC free: without a deadline there is an answer.
        room.unwrap_or(Ok(()))
    }

    /// Stops the queue for good: what is left in it never runs. Its memory stays until it is dropped.
    pub fn inactivate(&self) -> Result<(), ClientError> {
        if self.gone.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.session.command(&DestroyQueue { queue: self.id }.into())
    }

    /// Narrows the queue to some of the tenant's compute units; an empty mask means all.
    pub fn set_units(&self, mask: &CuMask) -> Result<(), ClientError> {
        self.session.command(&SetQueueUnits { queue: self.id, mask: *mask }.into())
    }

    /// Changes how urgent the queue is among the queues of this session, where the device can do that.
    pub fn set_priority(&self, priority: QueuePriority) -> Result<(), ClientError> {
        self.session.command(&SetQueuePriority { queue: self.id, priority }.into())
    }
}

impl Session {
    /// Wakes the worker if it sleeps: something in shared memory has changed.
    pub(crate) fn ring_worker(&self) -> Result<(), CallFailed> {
        // PANIC: the first word of a page.
        wake::ring(self.page.atomic_u32(session::WORKER_WAKE).expect("inside the page"))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // The worker first, as with a buffer. A session that is over has nothing left to give back.
        let _ = self.inactivate();
        self.session.connection.queues().fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispatch_becomes_the_packet_of_the_manual() {
        let dispatch = Dispatch {
            kernel_object: 0x1111_2222_3333_4444,
            kernarg_address: 0x5555_6666_7777_8888,
            grid: [100, 7, 1],
            workgroup: [64, 2, 1],
            private_bytes: 16,
            group_bytes: 512,
            barrier: true,
            completion: 0x40,
        };
        let packet = dispatch.packet();
        assert_eq!(packet[..4], [0x02, 0x15, 2, 0]);
        assert_eq!(packet[4..10], [64, 0, 2, 0, 1, 0]);
        assert_eq!(packet[12..16], 100u32.to_le_bytes());
        assert_eq!(packet[32..40], 0x1111_2222_3333_4444u64.to_le_bytes());
        assert_eq!(packet[56..64], 0x40u64.to_le_bytes());
        for (grid, dims) in [([1, 1, 1], 1), ([9, 2, 1], 2), ([9, 1, 2], 3)] {
            assert_eq!(Dispatch { grid, ..dispatch }.packet()[2], dims);
        }
    }
}
