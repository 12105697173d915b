//! What a tenant and its worker say to each other after admission.
//!
//! The worker answers every request with exactly one answer that bears its request id: the one named at the request, or
//! [`Denied`]. Work itself never travels here; it goes through rings and signals in shared memory.

use crate::ids::{BufferId, Bytes, CodeId, DeviceAddress, DeviceGeneration, QueueId, SessionId, ShareId, TenantName};
use crate::limits::{ALIAS_PARTS_MAX, CU_MASK_BITS, DEVICES_MAX, SENTENCE_MAX, SYMBOL_NAME_MAX};
use crate::message::shared::{DenyCode, DeviceFacts, EndReason, Fault, RefuseCode};
use crate::range::ClaimedRange;
use crate::text::Text;
use crate::wire::{messages, record, wire_enum};

wire_enum! {
    /// What a buffer is for; decides where it lives and which limit it counts against.
    pub enum BufferKind {
        /// Device memory.
        Vram = 1 "vram",
        /// Host memory that kernels can reach.
        Host = 2 "host",
        /// Host memory for kernel arguments.
        Kernarg = 3 "kernarg",
        /// Host memory laid out as a pool of signals, see [`signal::PoolLayout`](crate::signal::PoolLayout).
        Signals = 4 "signals",
    }
}

wire_enum! {
    /// How urgent a queue is among the queues of its own session. It moves nothing between tenants.
    pub enum QueuePriority {
        /// After the others.
        Low = 1 "low",
        /// The default.
        Normal = 2 "normal",
        /// Before the others.
        High = 3 "high",
    }
}

wire_enum! {
    /// What a symbol stands for.
    pub enum SymbolKind {
        /// A kernel; the address is that of its descriptor, which a packet names as its kernel object.
        Kernel = 1 "kernel",
        /// A variable in device memory.
        Variable = 2 "variable",
    }
}

/// Compute units a queue may use, bit `i` of byte `i / 8` for unit `i`.
pub type CuMask = [u8; (CU_MASK_BITS / 8) as usize];

messages! {
    /// What a tenant may ask of its worker.
    pub enum TenantRequest = "tenant -> worker" {
        /// Asks for memory. Answer: [`BufferShared`] where the tenant may map it, else [`BufferReady`].
        AllocBuffer = 0x0201, fds 0 {
            /// What for.
            kind: BufferKind,
            /// How much; rounded up to whole pages.
            bytes: Bytes,
            /// Where, when the arena is the tenant's to choose in, else 0.
            at: DeviceAddress,
        }
        /// Gives memory back. The tenant promises that no packet in flight uses it. Answer: [`Done`].
        FreeBuffer = 0x0202, fds 0 {
            /// Which.
            buffer: BufferId,
        }
        /// Asks for a queue. Answer: [`QueueReady`].
        CreateQueue = 0x0203, fds 0 {
            /// Slots of its ring, see [`RingSlots`](crate::RingSlots).
            slots: u32,
            /// Its priority.
            priority: QueuePriority,
            /// Where the queue object shall lie, when the arena is the tenant's to choose in, else 0.
            at: DeviceAddress,
        }
        /// Gives a queue back, with whatever packets are left in it. Answer: [`Done`].
        DestroyQueue = 0x0204, fds 0 {
            /// Which.
            queue: QueueId,
        }
        /// Narrows a queue to some of the tenant's compute units. Answer: [`Done`].
        SetQueueUnits = 0x0205, fds 0 {
            /// Which queue.
            queue: QueueId,
            /// The units; an empty mask means all.
            mask: CuMask,
        }
        /// Changes a queue's priority. Answer: [`Done`].
        SetQueuePriority = 0x0206, fds 0 {
            /// Which queue.
            queue: QueueId,
            /// The new priority.
            priority: QueuePriority,
        }
        /// Loads a code object that the tenant put into a buffer. The worker copies it once and reads only its copy, so
        /// the buffer may be freed as soon as the answer is there. Answer: [`CodeShared`] where the tenant may map it, else
        /// [`CodeReady`].
        LoadCode = 0x0207, fds 0 {
            /// Where the ELF file lies.
            image: ClaimedRange,
            /// Where the loaded segments shall lie, when the arena is the tenant's to choose in, else 0.
            at: DeviceAddress,
        }
        /// Unloads a code object. Answer: [`Done`].
        UnloadCode = 0x0208, fds 0 {
            /// Which.
            code: CodeId,
        }
        /// Looks a symbol up by name. Answer: [`Symbol`].
        FindSymbol = 0x0209, fds 0 {
            /// In which code object.
            code: CodeId,
            /// Its name, as in the ELF symbol table, without `.kd` for kernels.
            name: Text<{ SYMBOL_NAME_MAX }>,
        }
        /// Looks a symbol up by index, from 0 to [`CodeReady::symbols`]. Answer: [`Symbol`].
        SymbolAt = 0x020a, fds 0 {
            /// In which code object.
            code: CodeId,
            /// Which.
            index: u32,
        }
        /// Asks how much memory is used. Answer: [`MemoryUse`].
        QueryMemory = 0x020b, fds 0 {}
        /// Ends the session in order. Answer: [`Done`], then the connection closes.
        Goodbye = 0x020c, fds 0 {}
        /// Opens an alias: addresses at which kernels will see memory that is not there yet. Parts of it are supplied with [`MapBuffer`], before
        /// or when a kernel first touches them. Answer: [`Done`].
        OpenAlias = 0x020d, fds 0 {
            /// Where it begins, in the tenant's arena.
            at: DeviceAddress,
            /// How long it is, in whole pages.
            bytes: Bytes,
            /// Whether the tenant wants to be asked when a kernel touches what is not there (1), or such a kernel faults (0).
            ask: u32,
        }
        /// Closes an alias and unmaps what was supplied in it. Answer: [`Done`].
        CloseAlias = 0x020e, fds 0 {
            /// Where it begins.
            at: DeviceAddress,
        }
        /// Lets kernels see a part of a buffer at another address, in an open alias. Answer: [`Done`].
        MapBuffer = 0x020f, fds 0 {
            /// Which part, in whole pages.
            part: ClaimedRange,
            /// Where, in whole pages.
            at: DeviceAddress,
            /// Whether kernels may store there (1), or only load (0).
            write: u32,
        }
        /// Takes back what [`MapBuffer`] did. Answer: [`Done`].
        UnmapBuffer = 0x0210, fds 0 {
            /// Where it was mapped.
            at: DeviceAddress,
        }
        /// Says that nothing will be supplied at an address that a kernel has touched: the kernel faults. Answer: [`Done`].
        RefuseTouch = 0x0211, fds 0 {
            /// The address that was asked for.
            at: DeviceAddress,
        }
        /// Lets other sessions of the tenant, or of another one, see a buffer, too, for as long as this one has it. Answer: [`BufferExported`].
        ExportBuffer = 0x0212, fds 0 {
            /// Which.
            buffer: BufferId,
            /// To whom; `None` is the tenant itself.
            tenant: Option<TenantName>,
            /// Whether another tenant may write to it (1), or only read (0).
            write: u32,
        }
        /// Asks for memory that another session of the tenant has exported. It stays for as long as anybody has it. Answer: [`BufferShared`].
        ImportBuffer = 0x0213, fds 0 {
            /// By what it was exported.
            share: ShareId,
            /// Its size.
            bytes: Bytes,
            /// Where it shall lie, in the tenant's arena.
            at: DeviceAddress,
            /// What it is to this session: [`BufferKind::Signals`] has its signals told to this session, too. Every other kind is alike.
            kind: BufferKind,
        }
        /// Has the device copy memory of the session. Answer: [`Done`], when the bytes have arrived.
        CopyMemory = 0x0214, fds 0 {
            /// Where to.
            to: DeviceAddress,
            /// Where from.
            from: DeviceAddress,
            /// How much, at most [`COPY_BYTES_MAX`](crate::limits::COPY_BYTES_MAX).
            bytes: Bytes,
        }
        /// Lets kernels see parts of buffers, one after the other, at an address that the device chooses: what [`OpenAlias`] and [`MapBuffer`] do
        /// where the tenant chooses. Closed with [`CloseAlias`], and with the first of its buffers that is freed. Answer: [`AliasPlaced`].
        PlaceAlias = 0x0215, fds 0 {
            /// Which parts, in whole pages; parts without bytes are none.
            parts: [ClaimedRange; ALIAS_PARTS_MAX],
        }
        /// Offers a buffer no more to other sessions of the tenant. Who has imported it keeps it, and grants to others stand. Answer: [`Done`].
        WithdrawBuffer = 0x0216, fds 0 {
            /// Which.
            buffer: BufferId,
        }
    }
}

record! {
    /// A device of the broker's, as [`Hello`](crate::message::opening::Hello) asks for it and as people tell it from others.
    #[derive(Copy, Default)]
    pub struct DeviceName {
        /// Its index, in the broker's order.
        index: u32,
        /// Its stable identity: [`DeviceFacts::uuid`] of the sessions there.
        uuid: u64,
    }
}

messages! {
    /// What a tenant may hear.
    pub enum TenantAnswer = "broker or worker -> tenant" {
        /// The tenant is not admitted; the connection closes. Said by the broker.
        Refused = 0x0301, fds 0 {
            /// Why, for programs.
            code: RefuseCode,
            /// Why and what to do, for people.
            text: Text<{ SENTENCE_MAX }>,
        }
        /// The session is ready. The descriptor is the [session page](crate::session). Said by the worker.
        Welcome = 0x0302, fds 1 {
            /// The session.
            session: SessionId,
            /// The tenant it belongs to.
            tenant: TenantName,
            /// The life of the device.
            generation: DeviceGeneration,
            /// The device, as this tenant sees it.
            device: DeviceFacts,
        }
        /// The request was carried out.
        Done = 0x0303, fds 0 {}
        /// The request was not carried out; nothing has changed.
        Denied = 0x0304, fds 0 {
            /// Why, for programs.
            code: DenyCode,
            /// What was asked for, in the unit of the limit.
            asked: u64,
            /// The limit, or 0 where there is none.
            limit: u64,
            /// What of the limit is in use.
            used: u64,
            /// Why and what to do, for people.
            text: Text<{ SENTENCE_MAX }>,
        }
        /// Memory that the tenant cannot map.
        BufferReady = 0x0305, fds 0 {
            /// Its id.
            buffer: BufferId,
            /// Its size, in whole pages.
            bytes: Bytes,
            /// Where kernels see it.
            address: DeviceAddress,
        }
        /// Memory that the tenant may map. The descriptor is a sealed memfd of exactly this size.
        BufferShared = 0x0306, fds 1 {
            /// Its id.
            buffer: BufferId,
            /// Its size, in whole pages.
            bytes: Bytes,
            /// Where kernels see it and the tenant maps it.
            address: DeviceAddress,
        }
        /// A queue. The descriptor is a sealed memfd with the [queue object](crate::queue).
        QueueReady = 0x0307, fds 1 {
            /// Its id.
            queue: QueueId,
            /// Its slots.
            slots: u32,
            /// Where the tenant maps the queue object.
            address: DeviceAddress,
        }
        /// A code object is loaded where the tenant cannot map it.
        CodeReady = 0x0308, fds 0 {
            /// Its id.
            code: CodeId,
            /// How many symbols it has.
            symbols: u32,
            /// Where its segments begin.
            address: DeviceAddress,
            /// How much device memory they take.
            bytes: Bytes,
        }
        /// One symbol.
        Symbol = 0x0309, fds 0 {
            /// What it stands for.
            kind: SymbolKind,
            /// Its address.
            address: DeviceAddress,
            /// Size of a variable; 0 for a kernel.
            bytes: Bytes,
            /// Bytes of kernel arguments.
            kernarg_bytes: u32,
            /// Alignment of kernel arguments in bytes.
            kernarg_align: u32,
            /// Bytes of LDS a work-group needs, without what a packet adds.
            group_bytes: u32,
            /// Bytes of scratch a work-item needs.
            private_bytes: u32,
            /// Whether the kernel calls functions with unknown stack needs (1) or not (0).
            dynamic_stack: u32,
            /// Whether a variable is read-only (1) or not (0).
            constant: u32,
            /// Length of the whole name in bytes; more than fits here when it was cut.
            name_bytes: u32,
            /// Its name.
            name: Text<{ SYMBOL_NAME_MAX }>,
        }
        /// What the tenant may use and uses, over all its sessions.
        MemoryUse = 0x030a, fds 0 {
            /// Limit of device memory.
            vram_limit: Bytes,
            /// Device memory in use, hidden parts (save areas, loaded code) included.
            vram_used: Bytes,
            /// Limit of pinned host memory.
            host_limit: Bytes,
            /// Pinned host memory in use.
            host_used: Bytes,
        }
        /// A queue stopped because of the tenant's own program. An event.
        QueueFault = 0x030b, fds 0 {
            /// What and where.
            fault: Fault,
        }
        /// The session is over; the connection closes. The last word, said by the worker, or by the broker when the
        /// worker is dead. An event.
        Ending = 0x030c, fds 0 {
            /// Why, for programs.
            reason: EndReason,
            /// The signal that ended the worker, or 0.
            signal: u32,
            /// Why and what to do, for people.
            text: Text<{ SENTENCE_MAX }>,
        }
        /// A code object is loaded. The descriptor is a sealed memfd of exactly this size: the loaded segments, variables among them.
        CodeShared = 0x030d, fds 1 {
            /// Its id.
            code: CodeId,
            /// How many symbols it has.
            symbols: u32,
            /// Where its segments begin, and the tenant maps them.
            address: DeviceAddress,
            /// How much device memory they take.
            bytes: Bytes,
        }
        /// A kernel has touched an address in an alias at which there is nothing, and waits. Answered with [`MapBuffer`] or [`RefuseTouch`]; a
        /// kernel does not wait for ever.
        AliasTouched = 0x030e, fds 0 {
            /// The address.
            at: DeviceAddress,
        }
        /// A buffer may be imported by other sessions of the tenant.
        BufferExported = 0x030f, fds 0 {
            /// By what.
            share: ShareId,
        }
        /// Kernels see the parts of an alias.
        AliasPlaced = 0x0310, fds 0 {
            /// Where the first of them begins.
            at: DeviceAddress,
        }
        /// The devices that a tenant may use; the connection closes. Said by the broker.
        Devices = 0x0311, fds 0 {
            /// How many there are.
            count: u32,
            /// Each of them, in the broker's order; zeroes behind the last.
            list: [DeviceName; DEVICES_MAX],
        }
    }
}
