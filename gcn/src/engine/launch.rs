//! From a kernel-dispatch packet to work-groups that fit a compute unit, or a reason why not.

use super::wave::Start;
use crate::aql::KernelDispatch;
use crate::arch::{Arch, LANES};
use crate::descriptor::{DESCRIPTOR_ALIGN, DESCRIPTOR_BYTES, DescriptorError, KernelDescriptor};
use crate::fault::Fault;
use crate::hardware::{LDS_BYTES, SIMD_ROWS, SIMDS, WAVE_SLOTS};
use crate::memory::{Memory, MemoryFault};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Work-items of a work-group at most.
pub const MAX_WORKGROUP_ITEMS: u32 = 1024;
/// VGPR rows are handed out in units of this many.
pub(super) const ROW_GRANULE: u16 = 8;
/// LDS is handed out in units of this many bytes.
pub(super) const LDS_GRANULE: u32 = 512;
/// Scratch of a wave is a multiple of this many bytes.
const SCRATCH_GRANULE: u64 = 1024;
/// Private memory of one lane at most: what 16 bits of hardware's scratch size field in KiB a wave allow.
const PRIVATE_BYTES_MAX: u32 = 128 * 1024;
const PRELOAD_WORDS: usize = 16;

/// Why a kernel-dispatch packet cannot be run. All are the program's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// The packet's dimension count is not 1, 2 or 3.
    #[error("the packet's setup asks for {dimensions} dimensions: use 1, 2 or 3")]
    Dimensions {
        /// What it asked for.
        dimensions: u16,
    },
    /// A grid or work-group dimension is zero.
    #[error("a dimension is zero: grid {grid:?}, work-group {workgroup:?}")]
    EmptyGrid {
        /// Work-items of the grid.
        grid: [u32; 3],
        /// Work-items of a work-group.
        workgroup: [u16; 3],
    },
    /// More work-items in a work-group than hardware can hold.
    #[error("a work-group of {items} work-items: at most {MAX_WORKGROUP_ITEMS}")]
    WorkgroupItems {
        /// Work-items.
        items: u64,
    },
    /// The work-group needs more registers or wave slots than a compute unit has.
    #[error(
        "{waves} waves of {vgprs} vector registers do not fit a compute unit ({SIMDS} SIMDs of {SIMD_ROWS}, {WAVE_SLOTS} waves)"
    )]
    Registers {
        /// Waves of the work-group.
        waves: u32,
        /// Registers of each.
        vgprs: u16,
    },
    /// More LDS than a compute unit has.
    #[error("{bytes} bytes of LDS: a compute unit has {LDS_BYTES}")]
    Lds {
        /// Static and dynamic bytes together.
        bytes: u32,
    },
    /// More private memory per work-item than is allowed.
    #[error("{bytes} bytes of private memory a work-item: at most {PRIVATE_BYTES_MAX}")]
    Private {
        /// Bytes asked for.
        bytes: u32,
    },
    /// No memory for scratch.
    #[error(
        "no memory for {bytes} bytes of scratch: raise the tenant's limit or run fewer work-items with less private memory"
    )]
    OutOfScratch {
        /// Bytes of backing for the whole device.
        bytes: u64,
    },
    /// A cooperative grid that cannot be resident as a whole: its work-groups would wait for each other for ever.
    #[error(
        "a cooperative grid of {groups} work-groups: at most {resident} fit the {cus} compute units at once; launch fewer, or smaller ones"
    )]
    Cooperative {
        /// Work-groups of the grid.
        groups: u64,
        /// Work-groups of this kernel that fit.
        resident: u64,
        /// Compute units that take work-groups.
        cus: u32,
    },
    /// The kernel object cannot be read.
    #[error("the kernel object cannot be read: {0}")]
    Unreadable(MemoryFault),
    /// The kernel object is no kernel descriptor.
    #[error("the kernel object is no kernel descriptor: {0}")]
    Descriptor(#[from] DescriptorError),
}

/// A dispatch that is under way: launch facts that never change, and how far it is.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) arch: Arch,
    pub(super) descriptor: KernelDescriptor,
    /// Address of the first instruction.
    pub(super) entry: u64,
    pub(super) packet: KernelDispatch,
    /// Address of the packet in the ring, for `dispatch_ptr`.
    pub(super) packet_address: u64,
    pub(super) queue_address: u64,
    pub(super) dispatch_id: u64,
    pub(super) grid: [u32; 3],
    pub(super) workgroup: [u32; 3],
    pub(super) groups: [u64; 3],
    pub(super) groups_total: u64,
    pub(super) waves_per_group: u32,
    pub(super) lds_bytes: u32,
    pub(super) private_bytes: u32,
    pub(super) scratch_base: u64,
    /// Bytes between the scratch of one wave slot and the next.
    pub(super) scratch_stride: u64,
    pub(super) scratch_total: u64,
    pub(super) preload: [u32; PRELOAD_WORDS],
    /// Its work-groups wait for each other: all must be resident at once.
    pub(super) cooperative: bool,
    /// See [`Dispatch::start`].
    start: OnceLock<Start>,
    pub(super) fault: OnceLock<Fault>,
    /// When the first work-group started, in host nanoseconds.
    pub(super) started: OnceLock<u64>,
    progress: Progress,
}

/// How far a dispatch is: what its host threads write, away from what they read all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress {
    /// Work-groups handed out, and [`CLOSED`].
    taken: AtomicU64,
    /// Work-groups ended.
    ended: AtomicU64,
}

/// Set in [`Progress::taken`] when a fault or the end of the queue cuts a dispatch short: whoever is about to take a work-group finds it in the same
/// step, so none begins after somebody has seen the dispatch over.
const CLOSED: u64 = 1 << 63;

/// Descriptors that were read before, by the kernel object's address: programs launch few kernels often, and making sense of one costs more than
/// comparing its bytes. The bytes are read for every dispatch, so what is known is never out of date.
#[derive(Debug)]
pub(super) struct Descriptors(Box<[Option<Known>; DESCRIPTORS_KNOWN]>);

/// Places for them; those of two kernels may be one, which costs time and nothing else.
const DESCRIPTORS_KNOWN: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Known {
    bytes: [u8; DESCRIPTOR_BYTES],
    descriptor: KernelDescriptor,
}

impl Default for Descriptors {
    fn default() -> Descriptors {
        Descriptors(Box::new([None; DESCRIPTORS_KNOWN]))
    }
}

impl Descriptors {
    /// Returns the descriptor at `address`.
    fn read(&mut self, mem: &dyn Memory, address: u64) -> Result<KernelDescriptor, LaunchError> {
        let mut bytes = [0u8; DESCRIPTOR_BYTES];
        mem.read(address, &mut bytes).map_err(LaunchError::Unreadable)?;
        let place = &mut self.0[(address / DESCRIPTOR_ALIGN) as usize % DESCRIPTORS_KNOWN];
        if let Some(known) = place
            && known.bytes == bytes
        {
            return Ok(known.descriptor);
        }
        let descriptor = KernelDescriptor::parse(&bytes)?;
        *place = Some(Known { bytes, descriptor });
        Ok(descriptor)
    }
}

impl Dispatch {
    /// Reads the descriptor and checks that a work-group fits. Scratch is the caller's to add ([`Dispatch::set_scratch`]).
    pub(super) fn new(
        arch: Arch,
        mem: &dyn Memory,
        known: &mut Descriptors,
        packet: &KernelDispatch,
        packet_address: u64,
        queue_address: u64,
        dispatch_id: u64,
    ) -> Result<Dispatch, LaunchError> {
        let dimensions = packet.dimensions();
        if !(1..=3).contains(&dimensions) {
            return Err(LaunchError::Dimensions { dimensions });
        }
        let (mut grid, mut workgroup) = (packet.grid, packet.workgroup.map(u32::from));
        for k in usize::from(dimensions)..3 {
            (grid[k], workgroup[k]) = (1, 1);
        }
        if grid.contains(&0) || workgroup.contains(&0) {
            return Err(LaunchError::EmptyGrid { grid: packet.grid, workgroup: packet.workgroup });
        }
        let items = workgroup.iter().map(|&n| u64::from(n)).product::<u64>();
        if items > u64::from(MAX_WORKGROUP_ITEMS) {
            return Err(LaunchError::WorkgroupItems { items });
        }
        let descriptor = known.read(mem, packet.kernel_object)?;

        let waves_per_group = (items as u32).div_ceil(LANES as u32);
        let waves_per_simd =
            SIMD_ROWS as u32 / u32::from(descriptor.vgprs.next_multiple_of(ROW_GRANULE).max(ROW_GRANULE));
        if waves_per_group > waves_per_simd.min((WAVE_SLOTS / SIMDS) as u32) * SIMDS as u32 {
            return Err(LaunchError::Registers { waves: waves_per_group, vgprs: descriptor.vgprs });
        }
        let lds = packet.group_segment_size.max(descriptor.group_segment_fixed_size);
        if lds as usize > LDS_BYTES {
            return Err(LaunchError::Lds { bytes: lds });
        }
        let private_bytes = packet.private_segment_size.max(descriptor.private_segment_fixed_size);
        if private_bytes > PRIVATE_BYTES_MAX {
            return Err(LaunchError::Private { bytes: private_bytes });
        }
        let private_bytes = private_bytes.next_multiple_of(4);
        let groups = core::array::from_fn(|k| u64::from(grid[k].div_ceil(workgroup[k])));
        let mut entry = packet.kernel_object.wrapping_add_signed(descriptor.entry_byte_offset);
        let mut preload = [0; PRELOAD_WORDS];
        if let Some(wanted) = descriptor.kernarg_preload {
            // Code that loads the arguments itself comes first, for firmware that does not preload; this device does.
            entry = entry.wrapping_add_signed(crate::descriptor::KERNARG_PRELOAD_PROLOGUE_BYTES);
            let mut bytes = [0u8; 4 * PRELOAD_WORDS];
            let from = packet.kernarg_address.wrapping_add(4 * u64::from(wanted.offset_words));
            let len = 4 * usize::from(wanted.length_words).min(PRELOAD_WORDS);
            mem.read(from, &mut bytes[..len]).map_err(LaunchError::Unreadable)?;
            for (word, bytes) in preload.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_le_bytes(*bytes);
            }
        }
        Ok(Dispatch {
            arch,
            descriptor,
            entry,
            packet: *packet,
            packet_address,
            queue_address,
            dispatch_id,
            grid,
            workgroup,
            groups,
            groups_total: groups.iter().fold(1u64, |a, &b| a.saturating_mul(b)).min(CLOSED - 1),
            waves_per_group,
            lds_bytes: lds.next_multiple_of(LDS_GRANULE),
            private_bytes,
            scratch_base: 0,
            scratch_stride: 0,
            scratch_total: 0,
            preload,
            cooperative: false,
            start: OnceLock::new(),
            fault: OnceLock::new(),
            started: OnceLock::new(),
            progress: Progress::default(),
        })
    }

    /// Returns bytes of scratch that one wave needs.
    pub(super) fn scratch_wave_bytes(&self) -> u64 {
        (u64::from(self.private_bytes) * LANES as u64).next_multiple_of(SCRATCH_GRANULE)
    }

    /// Says where scratch lies: `stride` bytes for every wave slot of the device.
    pub(super) fn set_scratch(&mut self, base: u64, stride: u64, slots: u64) {
        (self.scratch_base, self.scratch_stride, self.scratch_total) = (base, stride, stride * slots);
    }

    /// Returns what all of its waves begin with. Asked for once scratch has been assigned.
    pub(super) fn start(&self) -> &Start {
        self.start.get_or_init(|| Start::of(self))
    }

    /// Hands out the next work-group's coordinates.
    pub(super) fn take_group(&self) -> Option<[u32; 3]> {
        let next = |taken| (taken < self.groups_total).then_some(taken + 1);
        let n = self.progress.taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).ok()?;
        let [x, y, _] = self.groups;
        Some([(n % x) as u32, (n / x % y) as u32, (n / x / y) as u32])
    }

    /// Notes a fault, which cuts it short; the first one counts.
    pub(super) fn fail(&self, fault: Fault) {
        // A second fault of the same dispatch adds nothing.
        let _ = self.fault.set(fault);
        self.abandon();
    }

    /// Lets nothing more of it begin; what is resident is dropped by whoever runs it.
    pub(super) fn abandon(&self) {
        self.progress.taken.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether a fault or the end of its queue stops it before its work is done.
    pub(super) fn is_cut_short(&self) -> bool {
        self.progress.taken.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Whether work-groups wait to be handed out.
    pub(super) fn has_groups_left(&self) -> bool {
        self.progress.taken.load(Ordering::Relaxed) < self.groups_total
    }

    /// Notes that a work-group has left its compute unit; returns whether the dispatch is over.
    pub(super) fn end_group(&self) -> bool {
        let ended = self.progress.ended.fetch_add(1, Ordering::AcqRel) + 1;
        self.is_over_with(ended)
    }

    /// Whether nothing of it runs or will run: all work-groups ended, or it was cut short and all that had begun have gone.
    pub(super) fn is_over(&self) -> bool {
        self.is_over_with(self.progress.ended.load(Ordering::Acquire))
    }

    fn is_over_with(&self, ended: u64) -> bool {
        let taken = self.progress.taken.load(Ordering::Acquire);
        ended == if taken & CLOSED != 0 { taken & !CLOSED } else { self.groups_total }
    }

    /// Returns the size of the work-group at `id`: smaller at the edges of a grid that is no multiple.
    pub(super) fn group_size(&self, id: [u32; 3]) -> [u32; 3] {
        core::array::from_fn(|k| {
            self.workgroup[k].min(self.grid[k].saturating_sub(id[k].saturating_mul(self.workgroup[k])))
        })
    }
}
