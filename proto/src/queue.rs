//! The queue object: one memory object per queue, shared by a tenant and its worker.
//!
//! ```text
//! 0      256 bytes    AmdQueue: what programs read directly, and both indices
//! 256    64 bytes     the doorbell, an AmdSignal
//! 320    4 bytes      wake word of producers that wait for room
//! 4096   slots x 64   the ring
//! ```
//!
//! The first part is `amd_queue_t` of AMD's `amd_hsa_queue.h` (with `hsa_queue_t` at its head), because HIP reads size,
//! base address, doorbell and the segment apertures from it without asking anybody.
//!
//! Who writes what. The tenant: the `hsa_queue_t` part, the apertures and `read_dispatch_id_field_base_byte_offset` once,
//! the write index, packet bodies and headers, the doorbell. The worker: INVALID into a consumed slot, then the read index.
//!
//! What the worker believes of it: nothing but packet headers, each loaded once. The read index it keeps for itself and only
//! publishes; the write index is a hint, since HSA lets N producers claim N-1 slots past a full ring; the doorbell's value is
//! ignored, only its ringing counts. After the doorbell a producer rings the session's wake word
//! ([`session`](crate::session)), which is what a sleeping worker waits for.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::aql::PACKET_BYTES;
use crate::ids::Bytes;
use crate::limits::PAGE_BYTES;
use crate::range::RingSlots;
use crate::signal::SIGNAL_BYTES;

/// `HSA_QUEUE_TYPE_MULTI`: any number of producers.
pub const TYPE_MULTI: u32 = 0;
/// `HSA_QUEUE_TYPE_SINGLE`: one producer.
pub const TYPE_SINGLE: u32 = 1;
/// `HSA_QUEUE_TYPE_COOPERATIVE`: the work-groups of a grid may wait for each other, so a grid is resident as a whole or refused.
pub const TYPE_COOPERATIVE: u32 = 2;
/// `HSA_QUEUE_FEATURE_KERNEL_DISPATCH`.
pub const FEATURE_KERNEL_DISPATCH: u32 = 1;

/// The head of a queue object (`amd_queue_t`; the first 40 bytes are `hsa_queue_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct AmdQueue {
    /// [`TYPE_MULTI`], [`TYPE_SINGLE`] or [`TYPE_COOPERATIVE`]. The device looks at it when a kernel begins.
    pub queue_type: u32,
    /// [`FEATURE_KERNEL_DISPATCH`].
    pub features: u32,
    /// Address of the ring.
    pub base_address: u64,
    /// Address of the doorbell.
    pub doorbell_signal: u64,
    /// Slots of the ring.
    pub size: u32,
    /// Zero.
    pub reserved0: u32,
    /// Unique in the process.
    pub id: u64,
    /// Zero.
    pub reserved1: [u32; 4],
    /// How many slots producers have claimed, ever.
    pub write_dispatch_id: u64,
    /// Upper half of the address at which kernels see LDS through flat instructions.
    pub group_segment_aperture_base_hi: u32,
    /// Upper half of the address at which kernels see scratch through flat instructions.
    pub private_segment_aperture_base_hi: u32,
    /// Highest compute unit.
    pub max_cu_id: u32,
    /// Highest wave.
    pub max_wave_id: u32,
    /// For old doorbells; unused.
    pub max_legacy_doorbell_dispatch_id_plus_1: u64,
    /// For old doorbells; unused.
    pub legacy_doorbell_lock: u32,
    /// Zero.
    pub reserved2: [u32; 9],
    /// How many packets have been consumed, ever.
    pub read_dispatch_id: u64,
    /// Where `read_dispatch_id` lies in this structure; debuggers find its head by it.
    pub read_dispatch_id_field_base_byte_offset: u32,
    /// Hardware register of scratch; unused.
    pub compute_tmpring_size: u32,
    /// Hardware resource of scratch; unused.
    pub scratch_resource_descriptor: [u32; 4],
    /// Scratch memory; unused.
    pub scratch_backing_memory_location: u64,
    /// Scratch memory; unused.
    pub scratch_backing_memory_byte_size: u64,
    /// Scratch of one lane; unused.
    pub scratch_wave64_lane_byte_size: u32,
    /// Bit set (`amd_queue_properties32_t`): 0 pointers are 64 bit, 3 time stamps wanted.
    pub queue_properties: u32,
    /// Zero.
    pub reserved3: [u32; 2],
    /// Signal for the end of the queue, or 0.
    pub queue_inactive_signal: u64,
    /// Zero.
    pub reserved4: [u32; 14],
}

/// Where everything lies in the object of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLayout {
    slots: RingSlots,
}

impl QueueLayout {
    /// Offset of the write index (u64, atomic).
    pub const WRITE_INDEX: usize = offset_of!(AmdQueue, write_dispatch_id);
    /// Offset of the read index (u64, atomic).
    pub const READ_INDEX: usize = offset_of!(AmdQueue, read_dispatch_id);
    /// Offset of the doorbell.
    pub const DOORBELL: usize = size_of::<AmdQueue>();
    /// Offset of the wake word for producers that wait for room (u32, atomic).
    pub const ROOM_WAKE: usize = Self::DOORBELL + SIGNAL_BYTES;
    /// Offset of the first slot.
    pub const RING: usize = PAGE_BYTES as usize;

    /// Returns the layout for a ring of this many slots.
    pub fn new(slots: RingSlots) -> Self {
        Self { slots }
    }

    /// Returns the number of slots.
    pub fn slots(self) -> RingSlots {
        self.slots
    }

    /// Returns the size of the whole object, in whole pages.
    pub fn bytes(self) -> Bytes {
        // Whole pages, because RING_SLOTS_MIN slots are a page and there are 2^n times as many.
        Bytes(Self::RING as u64 + u64::from(self.slots.get()) * PACKET_BYTES as u64)
    }

    /// Returns the offset of the slot that belongs to a packet index.
    pub fn slot(self, index: u64) -> usize {
        Self::RING + self.slots.slot(index) as usize * PACKET_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{RING_SLOTS_MAX, RING_SLOTS_MIN};

    #[test]
    fn the_head_is_amds() {
        assert_eq!(size_of::<AmdQueue>(), 256);
        for (field, offset) in [
            (offset_of!(AmdQueue, base_address), 8),
            (offset_of!(AmdQueue, doorbell_signal), 16),
            (offset_of!(AmdQueue, size), 24),
            (offset_of!(AmdQueue, id), 32),
            (offset_of!(AmdQueue, write_dispatch_id), 56),
            (offset_of!(AmdQueue, group_segment_aperture_base_hi), 64),
            (offset_of!(AmdQueue, private_segment_aperture_base_hi), 68),
            (offset_of!(AmdQueue, read_dispatch_id), 128),
            (offset_of!(AmdQueue, read_dispatch_id_field_base_byte_offset), 136),
            (offset_of!(AmdQueue, scratch_backing_memory_location), 160),
            (offset_of!(AmdQueue, queue_properties), 180),
            (offset_of!(AmdQueue, queue_inactive_signal), 192),
        ] {
            assert_eq!(field, offset);
        }
    }

    #[test]
    fn every_slot_lies_inside_the_object() {
        let mut slots = RING_SLOTS_MIN;
        while slots <= RING_SLOTS_MAX {
            let layout = QueueLayout::new(RingSlots::new(slots).unwrap());
            assert_eq!(layout.bytes().round_up_to_page(), Some(layout.bytes()));
            for index in [0, 1, u64::from(slots) - 1, u64::from(slots), u64::MAX] {
                let slot = layout.slot(index);
                assert!(slot >= QueueLayout::RING && (slot + PACKET_BYTES) as u64 <= layout.bytes().0);
            }
            slots *= 2;
        }
    }

    #[test]
    fn the_head_and_the_ring_share_no_page() {
        const { assert!(QueueLayout::ROOM_WAKE + 4 <= QueueLayout::RING) };
        assert_eq!((QueueLayout::DOORBELL, QueueLayout::ROOM_WAKE), (256, 320));
    }
}
