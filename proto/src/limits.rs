//! Every bound two processes must agree on, with its reason.
//!
//! These are what the *protocol* can carry. What a tenant may have is a matter of configuration, lives in the broker
//! and is never above these.

/// The protocol spoken. A peer with another number is told so ([`Violation::Version`](crate::Violation::Version)).
pub const PROTOCOL_VERSION: u16 = 1;

/// Longest packet in bytes. One page: the largest message (a symbol with its name) is about 2.1 KiB, and a receive
/// buffer of this size on the stack costs nobody anything.
pub const MAX_MESSAGE: usize = 4096;

/// Most descriptors one packet carries. `WorkerOrder::Start` needs four; Linux would allow 253, and a receiver must
/// have room for all of them or the packet arrives truncated and the connection ends.
pub const MAX_FDS: usize = 4;

/// Most requests one side may leave unanswered on a connection; the next one is a violation. A client library sends
/// one at a time per thread, so this is a bound on our memory, not on anybody's programs.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 64;

/// Memory is charged, sealed and mapped in whole pages of this size.
pub const PAGE_BYTES: u64 = 4096;

/// Fewest slots of a ring: 64 packets of 64 bytes are one page, and what ROCr reports as `HSA_AGENT_INFO_QUEUE_MIN_SIZE`.
pub const RING_SLOTS_MIN: u32 = 64;

/// Most slots of a ring: 8 MiB of packets, what ROCr reports as `HSA_AGENT_INFO_QUEUE_MAX_SIZE`. HIP asks for 16,384.
pub const RING_SLOTS_MAX: u32 = 1 << 17;

/// Most queues of one session. Every queue costs its worker a look per wake-up, so there is a bound at all; HIP spreads its
/// streams over a handful of hardware queues.
pub const QUEUES_PER_SESSION_MAX: usize = 64;

/// Most live buffers of one session. Each is a memfd and a mapping in two processes, of which Linux allows 65,530 by
/// default (`vm.max_map_count`); a program with more should sub-allocate.
pub const BUFFERS_PER_SESSION_MAX: usize = 16_384;

/// Most open aliases of one session, and most parts of buffers mapped in them: as many as buffers, for the same reason.
pub const ALIASES_PER_SESSION_MAX: usize = 16_384;

/// Parts of buffers that an alias which the device places is made of, at most.
pub const ALIAS_PARTS_MAX: usize = 8;

/// Bytes that the device copies for one request, at most: a worker hears nothing else meanwhile.
pub const COPY_BYTES_MAX: u64 = 16 << 20;

/// Most loaded code objects of one session. HIP loads one per translation unit or library, and a few of its own.
pub const CODE_OBJECTS_PER_SESSION_MAX: usize = 4_096;

/// Largest code object in bytes: far above the tens of MiB of large libraries, far below what would be a way to fill a host.
pub const CODE_OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Most signals of one pool, so that an event id always fits its 32-bit field with room for the pool.
pub const SIGNALS_PER_POOL_MAX: u32 = 4_096;

/// Most signal pools of one session: 262,144 signals. HIP 6.4 creates about 60 up front and recycles the rest.
pub const SIGNAL_POOLS_PER_SESSION_MAX: usize = 64;

/// Longest tenant name in bytes. `wavegate:NAME` then fits a process title and a file name with room to spare.
pub const TENANT_NAME_MAX: usize = 32;

/// Longest command name carried, in bytes. It is for people to read; longer ones are cut.
pub const COMMAND_NAME_MAX: usize = 64;

/// Longest sentence in a refusal, denial or ending, in bytes.
pub const SENTENCE_MAX: usize = 240;

/// Longest symbol name carried, in bytes. C++ kernels of template libraries reach a kilobyte; a longer name can still
/// be reached by index.
pub const SYMBOL_NAME_MAX: usize = 2048;

/// Longest kernel name in a fault report, in bytes; longer ones are cut.
pub const FAULT_KERNEL_NAME_MAX: usize = 128;

/// Longest device name such as `soft:arch=gfx90a,cus=8,threads=1,vram=4GiB`, in bytes.
pub const DEVICE_NAME_MAX: usize = 96;

/// Longest instruction-set name such as `amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-`, in bytes.
pub const ISA_NAME_MAX: usize = 64;

/// Compute units a mask can name. 304 (MI300X) is the most AMD has shipped in one device so far.
pub const CU_MASK_BITS: u32 = 512;

/// Most devices of one broker: what a host has, several times over, and a list of them fits a packet.
pub const DEVICES_MAX: usize = 64;

/// In a `Hello`: any device, chosen by the broker.
pub const ANY_DEVICE: u32 = u32::MAX;

const _: () = assert!(RING_SLOTS_MIN.is_power_of_two() && RING_SLOTS_MAX.is_power_of_two());
const _: () = assert!(RING_SLOTS_MIN as u64 * 64 == PAGE_BYTES);
