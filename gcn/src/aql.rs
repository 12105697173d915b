//! AQL packets: 64 bytes, copied once out of the ring, then taken apart here.
//!
//! Sources: "HSA Platform System Architecture Specification" 1.2, section 2.9 (packet formats, queue rules); AMD's public
//! `hsa_ext_amd.h` (the vendor packet BARRIER_VALUE) and `amd_hsa_signal.h` (`amd_signal_t`) and
//! `amd_hsa_queue.h` (`amd_queue_t`).

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 64;
/// Header type of a slot that holds no packet.
pub const TYPE_INVALID: u8 = 1;
/// Dependencies of a barrier packet.
pub const BARRIER_SIGNALS: usize = 5;

/// Byte offsets in an `amd_signal_t`.
pub mod signal {
    /// `value`, 64 bits.
    pub const VALUE: u64 = 8;
    /// `event_mailbox_ptr`: where to write `event_id` after a change, or null.
    pub const EVENT_MAILBOX: u64 = 16;
    /// `event_id`, 32 bits.
    pub const EVENT_ID: u64 = 24;
    /// `start_ts`: when the work began.
    pub const START_TS: u64 = 32;
    /// `end_ts`: when it ended.
    pub const END_TS: u64 = 40;
    /// Size and alignment.
    pub const BYTES: u64 = 64;
}

/// Byte offsets and values in an `amd_queue_t`.
pub mod queue {
    /// `hsa_queue.type`, 32 bits.
    pub const TYPE: u64 = 0;
    /// `HSA_QUEUE_TYPE_COOPERATIVE`: work-groups of a grid wait for each other, so a grid is resident as a whole or refused.
    pub const TYPE_COOPERATIVE: u32 = 2;
}

/// A packet's 16-bit header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(pub u16);

impl Header {
    /// Returns the packet type, bits 0..8.
    pub const fn kind(self) -> u8 {
        self.0 as u8
    }

    /// Whether the packet waits for all earlier ones to complete.
    pub const fn barrier(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    /// Returns the acquire fence scope: 0 none, 1 agent, 2 system.
    pub const fn acquire_scope(self) -> u8 {
        (self.0 >> 9 & 3) as u8
    }

    /// Returns the release fence scope.
    pub const fn release_scope(self) -> u8 {
        (self.0 >> 11 & 3) as u8
    }
}

/// A kernel-dispatch packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelDispatch {
    /// Number of dimensions is in bits 0..2.
    pub setup: u16,
    /// Work-items of a work-group.
    pub workgroup: [u16; 3],
    /// Work-items of the grid.
    pub grid: [u32; 3],
    /// Bytes of private memory a work-item.
    pub private_segment_size: u32,
    /// Bytes of LDS a work-group, static and dynamic.
    pub group_segment_size: u32,
    /// Address of the kernel descriptor.
    pub kernel_object: u64,
    /// Address of the arguments.
    pub kernarg_address: u64,
}

impl KernelDispatch {
    /// Returns how many dimensions the packet says it has.
    pub const fn dimensions(&self) -> u16 {
        self.setup & 3
    }
}

/// How a BARRIER_VALUE packet compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Signed less than.
    Lt,
    /// Signed greater than or equal.
    Gte,
}

/// What a packet asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Run a kernel.
    Kernel(KernelDispatch),
    /// Wait until all signals are zero.
    BarrierAnd([u64; BARRIER_SIGNALS]),
    /// Wait until any signal is zero.
    BarrierOr([u64; BARRIER_SIGNALS]),
    /// Wait until `(value & mask) condition operand` holds of one signal.
    BarrierValue {
        /// The signal, or null: satisfied.
        signal: u64,
        /// Right-hand side.
        operand: i64,
        /// Applied to the value first.
        mask: i64,
        /// Comparison.
        condition: Condition,
    },
    /// A vendor packet of another format: the host's business, see [`Host::vendor_packet`](crate::engine::Host::vendor_packet).
    Vendor([u8; PACKET_BYTES]),
}

/// A packet, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its header.
    pub header: Header,
    /// What it asks for.
    pub body: Body,
    /// The signal to decrement when it is done, or null.
    pub completion: u64,
}

/// Why bytes are no packet that this processor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A type that a kernel agent does not process.
    #[error(
        "packet type {kind}: a GPU queue takes kernel-dispatch (2), barrier-and (3), barrier-or (5) and vendor (0) packets"
    )]
    Type {
        /// The type.
        kind: u8,
    },
    /// A vendor packet that neither this processor nor its host knows.
    #[error("vendor packet format {format}: only BARRIER_VALUE (2) is processed")]
    VendorFormat {
        /// The format.
        format: u8,
    },
    /// A BARRIER_VALUE packet with an unknown comparison.
    #[error("barrier-value condition {condition}: use 0 (eq), 1 (ne), 2 (lt) or 3 (gte)")]
    Condition {
        /// The condition.
        condition: u32,
    },
}

impl Packet {
    /// Takes a private copy of a packet apart.
    pub fn parse(bytes: &[u8; PACKET_BYTES]) -> Result<Packet, PacketError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let header = Header(u16_at(0));
        let signals = || core::array::from_fn(|k| u64_at(8 + 8 * k));
        let body = match header.kind() {
            2 => Body::Kernel(KernelDispatch {
                setup: u16_at(2),
                workgroup: [u16_at(4), u16_at(6), u16_at(8)],
                grid: [u32_at(12), u32_at(16), u32_at(20)],
                private_segment_size: u32_at(24),
                group_segment_size: u32_at(28),
                kernel_object: u64_at(32),
                kernarg_address: u64_at(40),
            }),
            3 => Body::BarrierAnd(signals()),
            5 => Body::BarrierOr(signals()),
            0 if bytes[2] == 2 => Body::BarrierValue {
                signal: u64_at(8),
                operand: u64_at(16) as i64,
                mask: u64_at(24) as i64,
                condition: match u32_at(32) {
                    0 => Condition::Eq,
                    1 => Condition::Ne,
                    2 => Condition::Lt,
                    3 => Condition::Gte,
                    condition => return Err(PacketError::Condition { condition }),
                },
            },
            0 => Body::Vendor(*bytes),
            kind => return Err(PacketError::Type { kind }),
        };
        Ok(Packet { header, body, completion: u64_at(56) })
    }

    /// Writes a kernel-dispatch packet, as a producer does: header bits `barrier`, acquire and release at system scope.
    pub fn kernel(dispatch: &KernelDispatch, barrier: bool, completion: u64) -> [u8; PACKET_BYTES] {
        let mut bytes = [0; PACKET_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &(2u16 | u16::from(barrier) << 8 | 2 << 9 | 2 << 11).to_le_bytes());
        put(2, &dispatch.setup.to_le_bytes());
        for (k, n) in dispatch.workgroup.iter().enumerate() {
            put(4 + 2 * k, &n.to_le_bytes());
        }
        for (k, n) in dispatch.grid.iter().enumerate() {
            put(12 + 4 * k, &n.to_le_bytes());
        }
        put(24, &dispatch.private_segment_size.to_le_bytes());
        put(28, &dispatch.group_segment_size.to_le_bytes());
        put(32, &dispatch.kernel_object.to_le_bytes());
        put(40, &dispatch.kernarg_address.to_le_bytes());
        put(56, &completion.to_le_bytes());
        bytes
    }

    /// Writes a barrier packet: waits for all of `signals` (`any` false) or any of them.
    pub fn barrier(signals: [u64; BARRIER_SIGNALS], any: bool, completion: u64) -> [u8; PACKET_BYTES] {
        let mut bytes = [0; PACKET_BYTES];
        let kind: u16 = if any { 5 } else { 3 };
        bytes[..2].copy_from_slice(&(kind | 1 << 8 | 2 << 9 | 2 << 11).to_le_bytes());
        for (slot, signal) in bytes[8..48].as_chunks_mut::<8>().0.iter_mut().zip(signals) {
            *slot = signal.to_le_bytes();
        }
        bytes[56..].copy_from_slice(&completion.to_le_bytes());
        bytes
    }
}
