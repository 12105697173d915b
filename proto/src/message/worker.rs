//! What a worker and the broker say to each other.
//!
//! The lease does not travel here: it changes hands through the [gate](crate::gate). This socket carries what is rare
//! (memory, faults, limits, beginnings and ends), so none of it is on the data path. Statistics are read from the gate.
//!
//! A worker is semi-trusted: what it says is decoded and checked like a tenant's words, and it can only spend what its
//! tenant has. One that breaks the protocol is killed.

use crate::ids::{Bytes, ChargeId, DeviceGeneration, Nanos, PartitionId, SessionId, ShareId, TenantName};
use crate::limits::{DEVICE_NAME_MAX, SENTENCE_MAX};
use crate::message::shared::{DenyCode, DeviceFacts, EndReason, Fault};
use crate::text::Text;
use crate::wire::{messages, record, wire_enum};

wire_enum! {
    /// What a worker wants pinned. Decides the limit it counts against.
    pub enum ChargeKind {
        /// A buffer in device memory.
        Vram = 1 "vram",
        /// Loaded code; device memory.
        Code = 2 "code",
        /// Where a suspended context is kept; device memory.
        SaveArea = 3 "save-area",
        /// Scratch of waves; device memory.
        Scratch = 4 "scratch",
        /// A buffer in host memory.
        Host = 5 "host",
        /// Kernel arguments; host memory.
        Kernarg = 6 "kernarg",
        /// A pool of signals; host memory.
        Signals = 7 "signals",
        /// A queue object; host memory, and one of the tenant's queues.
        Queue = 8 "queue",
    }
}

wire_enum! {
    /// Whether a charge comes with memory.
    pub enum Backing {
        /// The broker creates a sealed memfd.
        Memfd = 1 "memfd",
        /// The driver holds the memory; only the amount is charged.
        Driver = 2 "driver",
    }
}

record! {
    /// What one session may have. Sent at the start and whenever an administrator changes it.
    #[derive(Copy)]
    pub struct SessionLimits {
        /// Device memory of the tenant, over all its sessions.
        vram: Bytes,
        /// Pinned host memory of the tenant, over all its sessions.
        host_memory: Bytes,
        /// Queues of the tenant, over all its sessions.
        queues: u32,
        /// Longest time one dispatch may run; 0 means as long as it likes.
        max_dispatch: Nanos,
    }
}

messages! {
    /// What a worker may say to the broker.
    pub enum WorkerReport = "worker -> broker" {
        /// The device context is open and the tenant has been welcomed.
        Ready = 0x0401, fds 0 {
            /// The device as this tenant sees it.
            device: DeviceFacts,
        }
        /// Asks to pin something. Answer: [`ChargeGranted`], [`ChargeNoted`] or [`ChargeDenied`].
        ChargeRequest = 0x0402, fds 0 {
            /// What for.
            kind: ChargeKind,
            /// Whether memory shall come with it.
            backing: Backing,
            /// How much; rounded up to whole pages.
            bytes: Bytes,
        }
        /// Gives a charge back. The worker has closed and unmapped everything of it. No answer.
        ReleaseCharge = 0x0403, fds 0 {
            /// Which.
            charge: ChargeId,
        }
        /// The tenant's program went wrong. The session may go on.
        FaultReport = 0x0404, fds 0 {
            /// What and where.
            fault: Fault,
        }
        /// The worker is about to exit. The last thing it says.
        Leaving = 0x0405, fds 0 {
            /// Why.
            reason: EndReason,
            /// More about it, for the log.
            text: Text<{ SENTENCE_MAX }>,
        }
        /// Offers memory to other sessions of the tenant, or of another one, for as long as the charge stands. The descriptor is the object that came with the charge:
        /// the only one that ever travels this way. Answer: [`ChargeShared`] or [`ChargeDenied`].
        ShareCharge = 0x0406, fds 1 {
            /// Which charge.
            charge: ChargeId,
            /// To whom; `None` is the tenant itself.
            tenant: Option<TenantName>,
            /// Whether another tenant may write to it (1), or only read (0).
            write: u32,
        }
        /// Asks for memory that another session offers. Where it may only be read, so does the descriptor. Answer: [`ChargeGranted`], not all zero, or [`ChargeDenied`].
        JoinCharge = 0x0407, fds 0 {
            /// By what it is offered.
            share: ShareId,
            /// How large it is.
            bytes: Bytes,
        }
        /// From now on the session uses the compute units of another partition, and has let go of those it had: the answer to a [`Partition`] that came
        /// after the first. Until then the broker gives it no lease.
        Moved = 0x0408, fds 0 {
            /// Which partition.
            partition: PartitionId,
        }
        /// Takes back what was offered to the tenant itself. Who has joined it keeps it. No answer.
        WithdrawCharge = 0x0409, fds 0 {
            /// Which charge.
            charge: ChargeId,
        }
    }
}

messages! {
    /// What the broker may say to a worker.
    pub enum WorkerOrder = "broker -> worker" {
        /// Begins the session; the first thing a worker hears. The descriptors are, in this order: the tenant's socket,
        /// the [gate object](crate::gate), the [session page](crate::session), the eventfd that wakes the broker.
        Start = 0x0501, fds 4 {
            /// The session.
            session: SessionId,
            /// Its tenant.
            tenant: TenantName,
            /// The life of the device.
            generation: DeviceGeneration,
            /// The device to open, as on the command line.
            device: Text<{ DEVICE_NAME_MAX }>,
            /// What tells it from every other device of the broker, for the tenant.
            uuid: u64,
            /// What the session may have.
            limits: SessionLimits,
            /// The partition it competes for.
            partition: PartitionId,
            /// Whether LDS and registers of another tenant must be scrubbed (1); 0 only in tests of that very thing.
            scrub: u32,
        }
        /// The memory object with register files and LDS of the session's partition, for backends that have one. Sent
        /// right after [`Start`], and to a session without a lease when it shall move. Answer to the latter: [`Moved`].
        Partition = 0x0502, fds 1 {
            /// Which partition.
            partition: PartitionId,
            /// How large the object is.
            bytes: Bytes,
        }
        /// Pinned; the descriptor is a sealed memfd of exactly this size, all zero.
        ChargeGranted = 0x0503, fds 1 {
            /// The charge to give back later.
            charge: ChargeId,
            /// Its size, in whole pages.
            bytes: Bytes,
        }
        /// Pinned, without memory.
        ChargeNoted = 0x0504, fds 0 {
            /// The charge to give back later.
            charge: ChargeId,
            /// Its size, in whole pages.
            bytes: Bytes,
        }
        /// Not pinned.
        ChargeDenied = 0x0505, fds 0 {
            /// Why.
            code: DenyCode,
            /// What was asked for, in the unit of the limit.
            asked: u64,
            /// The limit, or 0 where there is none.
            limit: u64,
            /// What of the limit is in use.
            used: u64,
        }
        /// The limits changed.
        LimitsChanged = 0x0506, fds 0 {
            /// The new ones.
            limits: SessionLimits,
        }
        /// Tells what the tenant uses over all its sessions. Sent with [`Start`] and after every change by another session
        /// of the tenant.
        UsageChanged = 0x0507, fds 0 {
            /// Device memory.
            vram_used: Bytes,
            /// Pinned host memory.
            host_used: Bytes,
            /// Queues.
            queues_used: u32,
        }
        /// End the session: give the device back, tell the tenant why, exit.
        Stop = 0x0508, fds 0 {
            /// Why.
            reason: EndReason,
        }
        /// The memory is offered to other sessions of the tenant.
        ChargeShared = 0x0509, fds 0 {
            /// By what.
            share: ShareId,
        }
    }
}
