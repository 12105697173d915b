//! Parts that several messages have in common: what a device is, how it failed, and the words for "no".

use crate::ids::{Bytes, DeviceAddress, QueueId};
use crate::limits::{DEVICE_NAME_MAX, FAULT_KERNEL_NAME_MAX, ISA_NAME_MAX, SENTENCE_MAX};
use crate::text::Text;
use crate::wire::{record, wire_enum};

wire_enum! {
    /// Why a tenant is not admitted.
    pub enum RefuseCode {
        /// It speaks another version of the protocol.
        Version = 1 "version",
        /// Its first packet was not a well-formed `Hello`.
        Malformed = 2 "malformed",
        /// Its credentials match no tenant and unknown users are denied.
        UnknownUser = 3 "unknown-user",
        /// It asked to be a tenant its credentials do not match, or that does not exist. One code for both: an answer
        /// must not tell a stranger which tenants there are.
        NotThatTenant = 4 "not-that-tenant",
        /// The tenant has all the sessions it may have.
        SessionLimit = 5 "session-limit",
        /// The broker has all the sessions it can have.
        BrokerFull = 6 "broker-full",
        /// An administrator paused the tenant.
        Paused = 7 "paused",
        /// There is no such device.
        NoDevice = 8 "no-device",
        /// The broker is going down.
        ShuttingDown = 9 "shutting-down",
        /// The worker process could not be started, or it could not open the device.
        WorkerFailed = 10 "worker-failed",
    }
}

wire_enum! {
    /// Why a request is not granted. The session carries on.
    pub enum DenyCode {
        /// Over the tenant's device-memory limit.
        Vram = 1 "vram-limit",
        /// Over the tenant's host-memory limit.
        HostMemory = 2 "host-memory-limit",
        /// Over the tenant's queue limit.
        Queues = 3 "queue-limit",
        /// Over a fixed limit of the protocol: buffers, pools or code objects of one session.
        Objects = 4 "object-limit",
        /// A size that is zero, too large, or not what this kind of object comes in.
        Size = 5 "bad-size",
        /// An address outside the arena, not on a page, or already in use.
        Address = 6 "bad-address",
        /// No object of this session has that id.
        UnknownObject = 7 "unknown-object",
        /// A range that reaches outside its buffer.
        Range = 8 "bad-range",
        /// The code object is damaged or for another device.
        Code = 9 "bad-code-object",
        /// The code object has no such symbol.
        UnknownSymbol = 10 "unknown-symbol",
        /// The object is in use: a queue still runs kernels of this code, or a packet is in flight.
        Busy = 11 "busy",
        /// This backend cannot do that.
        Unsupported = 12 "unsupported",
        /// The host ran out of memory or descriptors; nobody's limit was reached.
        Host = 13 "host-out-of-resources",
        /// The session is ending.
        Ending = 14 "session-ending",
        /// The administrator does not let this tenant share with that one, or not so.
        NotAllowed = 15 "not-allowed",
    }
}

wire_enum! {
    /// Why a session ended.
    pub enum EndReason {
        /// The tenant said goodbye or closed its socket.
        Goodbye = 1 "goodbye",
        /// The tenant's process died.
        TenantDied = 2 "tenant-died",
        /// The worker died, by a signal or an exit nobody asked for.
        WorkerDied = 3 "worker-died",
        /// The broker died; the worker noticed and gave up.
        BrokerDied = 4 "broker-died",
        /// The tenant broke the protocol.
        TenantViolation = 5 "tenant-violation",
        /// The worker broke the protocol.
        WorkerViolation = 6 "worker-violation",
        /// A kernel ran longer than `max_dispatch_time`.
        Runaway = 7 "runaway",
        /// The device did not stop within `preempt_timeout`.
        PreemptTimeout = 8 "preempt-timeout",
        /// An administrator ended the session.
        Killed = 9 "killed",
        /// An administrator removed the tenant.
        TenantRemoved = 10 "tenant-removed",
        /// The device was reset or is gone.
        DeviceLost = 11 "device-lost",
        /// The broker went down in order.
        Shutdown = 12 "shutdown",
        /// The worker could not be started, open the device or get ready in time.
        StartFailed = 13 "start-failed",
        /// A fault of the tenant's program took the session's queues on the device with it.
        Faulted = 14 "faulted",
    }
}

wire_enum! {
    /// What went wrong in a tenant's program on the device.
    pub enum FaultKind {
        /// A kernel touched an address that is not mapped for it.
        Memory = 1 "memory",
        /// A kernel executed something that is no instruction of this device.
        Instruction = 2 "illegal-instruction",
        /// A kernel trapped or aborted itself.
        Trap = 3 "trap",
        /// A packet has a type or fields the processor does not accept.
        Packet = 4 "bad-packet",
        /// A packet's kernel object is not in loaded code, or its descriptor is damaged.
        KernelObject = 5 "bad-kernel-object",
        /// A packet names a signal that is none.
        Signal = 6 "bad-signal",
        /// A dispatch wants more LDS, scratch or registers than there is.
        Resources = 7 "out-of-resources",
        /// A kernel ran longer than `max_dispatch_time`.
        Runaway = 8 "runaway",
    }
}

wire_enum! {
    /// How strongly a backend can take the device away from a running kernel. Each includes those before it.
    pub enum Capability {
        /// It can stop feeding packets and wait for those in flight.
        Drain = 1 "drain",
        /// It can stop running waves and keep their state.
        Suspend = 2 "suspend",
    }
}

wire_enum! {
    /// Who chooses the addresses of buffers.
    pub enum ArenaRule {
        /// The tenant does, inside the arena it reserved.
        Tenant = 1 "tenant",
        /// The backend does, and the tenant maps host-visible memory where it is told (without replacing anything).
        Backend = 2 "backend",
    }
}

record! {
    /// What a tenant may know about its device. Sizes are the tenant's own limits, not the whole device's.
    pub struct DeviceFacts {
        /// Marketing name.
        name: Text<{ DEVICE_NAME_MAX }>,
        /// Full name of the instruction set, features included.
        isa: Text<{ ISA_NAME_MAX }>,
        /// Stable identity of the device.
        uuid: u64,
        /// Compute units this tenant may use.
        compute_units: u32,
        /// SIMDs of one compute unit.
        simds_per_cu: u32,
        /// Waves one compute unit can hold.
        waves_per_cu: u32,
        /// Lanes of one wave.
        wave_size: u32,
        /// LDS of one compute unit, in bytes.
        lds_bytes: u32,
        /// Highest engine clock in MHz.
        clock_mhz: u32,
        /// Device memory as this tenant sees it.
        vram: Bytes,
        /// Host memory this tenant may pin.
        host_memory: Bytes,
        /// Queues this tenant may have.
        queues: u32,
        /// Most slots of a ring.
        ring_slots_max: u32,
        /// Who chooses addresses.
        arena: ArenaRule,
        /// Whether the tenant may map device memory (1) or reaches it by copies only (0).
        vram_mappable: u32,
        /// Lowest address of the arena, when the tenant chooses.
        arena_lowest: DeviceAddress,
        /// Longest arena, when the tenant chooses.
        arena_bytes_max: Bytes,
        /// Best way to take the device away.
        capability: Capability,
    }
}

record! {
    /// What went wrong, and where, as exactly as the device tells.
    pub struct Fault {
        /// What.
        kind: FaultKind,
        /// The queue whose packet it was.
        queue: QueueId,
        /// Index of that packet in its ring, counted from the first packet ever.
        packet: u64,
        /// The address touched, for memory faults.
        address: DeviceAddress,
        /// Where the kernel was, if the device tells.
        pc: DeviceAddress,
        /// Name of the kernel, if known.
        kernel: Text<{ FAULT_KERNEL_NAME_MAX }>,
        /// The whole story in words, as far as it fits: work-group, wave and lane, how far into the kernel, or what was asked for and what there is.
        detail: Text<{ SENTENCE_MAX }>,
    }
}
