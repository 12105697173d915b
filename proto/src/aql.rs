//! AQL packets: the 64 bytes in a ring slot, as far as two processes must agree on them.
//!
//! Follows the HSA Runtime Programmer's Reference Manual 1.2, section 2.9 (architected queuing language), and for the
//! vendor packets AMD's `hsa_ext_amd.h`. Layouts are checked by offset in the tests.
//!
//! A producer fills bytes 4 to 63 first and then stores bytes 0 to 3 (header and setup) in one 32-bit release store,
//! which hands the slot over. A consumer loads those four bytes with acquire, copies the rest once, and works on the copy.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Size of a packet and of a ring slot in bytes.
pub const PACKET_BYTES: usize = 64;

/// What a packet is (bits 0 to 7 of the header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketType {
    /// Defined by the vendor; byte 2 says which format, see [`VendorFormat`].
    VendorSpecific = 0,
    /// The slot is empty, or its producer has not finished.
    Invalid = 1,
    /// Runs a kernel.
    KernelDispatch = 2,
    /// Waits for all of up to five signals.
    BarrierAnd = 3,
    /// Calls back to the host.
    AgentDispatch = 4,
    /// Waits for one of up to five signals.
    BarrierOr = 5,
}

/// Formats of AMD's vendor packets (`hsa_amd_packet_type_t`, byte 2 of the packet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VendorFormat {
    /// Waits for a comparison of one signal's value. HIP 5.7 and later put it, with a null signal, into every recorded event.
    BarrierValue = 2,
}

/// How far a packet's memory fence reaches (`hsa_fence_scope_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FenceScope {
    /// Nowhere.
    None = 0,
    /// To the device.
    Agent = 1,
    /// To the whole system.
    System = 2,
}

/// The 16-bit header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketHeader(pub u16);

impl PacketHeader {
    /// The header of an empty slot.
    pub const INVALID: Self = Self(PacketType::Invalid as u16);
    const BARRIER_BIT: u32 = 8;
    const ACQUIRE_SHIFT: u32 = 9;
    const RELEASE_SHIFT: u32 = 11;

    /// Puts a header together. `barrier` makes the packet wait for all packets before it in its ring.
    pub const fn new(kind: PacketType, barrier: bool, acquire: FenceScope, release: FenceScope) -> Self {
        Self(
            kind as u16
                | (barrier as u16) << Self::BARRIER_BIT
                | (acquire as u16) << Self::ACQUIRE_SHIFT
                | (release as u16) << Self::RELEASE_SHIFT,
        )
    }

    /// Returns the type, or the number that is none.
    pub const fn packet_type(self) -> Result<PacketType, u8> {
        match self.0 as u8 {
            0 => Ok(PacketType::VendorSpecific),
            1 => Ok(PacketType::Invalid),
            2 => Ok(PacketType::KernelDispatch),
            3 => Ok(PacketType::BarrierAnd),
            4 => Ok(PacketType::AgentDispatch),
            5 => Ok(PacketType::BarrierOr),
            other => Err(other),
        }
    }

    /// Returns whether the packet waits for all packets before it.
    pub const fn barrier(self) -> bool {
        self.0 >> Self::BARRIER_BIT & 1 == 1
    }

    /// Returns the scope of the fence before the packet, or the number that is none.
    pub const fn acquire(self) -> Result<FenceScope, u8> {
        scope((self.0 >> Self::ACQUIRE_SHIFT & 3) as u8)
    }

    /// Returns the scope of the fence after the packet, or the number that is none.
    pub const fn release(self) -> Result<FenceScope, u8> {
        scope((self.0 >> Self::RELEASE_SHIFT & 3) as u8)
    }

    /// Returns the 32-bit word that hands a slot over: this header, and the 16 bits after it.
    pub const fn with_setup(self, setup: u16) -> u32 {
        self.0 as u32 | (setup as u32) << 16
    }

    /// Returns the header and the 16 bits after it from the first word of a slot.
    pub const fn split(word: u32) -> (Self, u16) {
        (Self(word as u16), (word >> 16) as u16)
    }
}

const fn scope(bits: u8) -> Result<FenceScope, u8> {
    match bits {
        0 => Ok(FenceScope::None),
        1 => Ok(FenceScope::Agent),
        2 => Ok(FenceScope::System),
        other => Err(other),
    }
}

/// Runs a kernel (`hsa_kernel_dispatch_packet_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct KernelDispatchPacket {
    /// See [`PacketHeader`].
    pub header: u16,
    /// Number of grid dimensions, 1 to 3, in bits 0 and 1.
    pub setup: u16,
    /// Work-items of a work-group in x.
    pub workgroup_size_x: u16,
    /// Work-items of a work-group in y.
    pub workgroup_size_y: u16,
    /// Work-items of a work-group in z.
    pub workgroup_size_z: u16,
    /// Zero.
    pub reserved0: u16,
    /// Work-items of the grid in x.
    pub grid_size_x: u32,
    /// Work-items of the grid in y.
    pub grid_size_y: u32,
    /// Work-items of the grid in z.
    pub grid_size_z: u32,
    /// Scratch of a work-item in bytes.
    pub private_segment_size: u32,
    /// LDS of a work-group in bytes.
    pub group_segment_size: u32,
    /// Address of the kernel descriptor.
    pub kernel_object: u64,
    /// Address of the kernel arguments.
    pub kernarg_address: u64,
    /// Zero.
    pub reserved2: u64,
    /// Address of the signal to decrement when done, or 0.
    pub completion_signal: u64,
}

/// Waits for signals (`hsa_barrier_and_packet_t`, `hsa_barrier_or_packet_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct BarrierPacket {
    /// See [`PacketHeader`].
    pub header: u16,
    /// Zero.
    pub reserved0: u16,
    /// Zero.
    pub reserved1: u32,
    /// Addresses of the signals to wait for; 0 is satisfied.
    pub dep_signal: [u64; 5],
    /// Zero.
    pub reserved2: u64,
    /// Address of the signal to decrement when done, or 0.
    pub completion_signal: u64,
}

/// Waits until `(value of signal & mask) cond value` (`hsa_amd_barrier_value_packet_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct BarrierValuePacket {
    /// See [`PacketHeader`].
    pub header: u16,
    /// See [`VendorFormat`].
    pub format: u8,
    /// Zero.
    pub reserved: u8,
    /// Zero.
    pub reserved0: u32,
    /// Address of the signal; 0 is satisfied.
    pub signal: u64,
    /// What to compare with.
    pub value: i64,
    /// What to keep of the signal's value.
    pub mask: i64,
    /// How to compare (`hsa_signal_condition_t`: 0 equal, 1 not equal, 2 less, 3 greater or equal).
    pub cond: u32,
    /// Zero.
    pub reserved1: u32,
    /// Zero.
    pub reserved2: u64,
    /// Zero.
    pub reserved3: u64,
    /// Address of the signal to decrement when done, or 0.
    pub completion_signal: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn packets_have_the_architected_layout() {
        assert_eq!(size_of::<KernelDispatchPacket>(), PACKET_BYTES);
        assert_eq!(size_of::<BarrierPacket>(), PACKET_BYTES);
        assert_eq!(size_of::<BarrierValuePacket>(), PACKET_BYTES);
        assert_eq!(offset_of!(KernelDispatchPacket, grid_size_x), 12);
        assert_eq!(offset_of!(KernelDispatchPacket, kernel_object), 32);
        assert_eq!(offset_of!(KernelDispatchPacket, kernarg_address), 40);
        assert_eq!(offset_of!(KernelDispatchPacket, completion_signal), 56);
        assert_eq!(offset_of!(BarrierPacket, dep_signal), 8);
        assert_eq!(offset_of!(BarrierPacket, completion_signal), 56);
        assert_eq!(offset_of!(BarrierValuePacket, signal), 8);
        assert_eq!(offset_of!(BarrierValuePacket, cond), 32);
        assert_eq!(offset_of!(BarrierValuePacket, completion_signal), 56);
    }

    /// A dispatch with the barrier bit and system fences on both sides.
    #[test]
    fn header_fields_sit_at_their_bits() {
        let header = PacketHeader::new(PacketType::KernelDispatch, true, FenceScope::System, FenceScope::System);
        assert_eq!(header.0, 0x1502);
        assert_eq!(header.packet_type(), Ok(PacketType::KernelDispatch));
        assert!(header.barrier());
        assert_eq!((header.acquire(), header.release()), (Ok(FenceScope::System), Ok(FenceScope::System)));
        assert_eq!(PacketHeader::split(header.with_setup(3)), (header, 3));
        assert_eq!(PacketHeader::INVALID.packet_type(), Ok(PacketType::Invalid));
    }

    #[test]
    fn every_header_can_be_looked_at() {
        for raw in 0..=u16::MAX {
            let header = PacketHeader(raw);
            assert_eq!(header.packet_type().is_ok(), raw & 0xff <= 5);
            let _ = (header.barrier(), header.acquire(), header.release());
        }
    }
}
