//! A resident wave and the state its registers start in.
//!
//! Source: LLVM "User Guide for AMDGPU Backend", "Initial Kernel Execution State".

use super::code::CodePage;
use super::launch::Dispatch;
use crate::arch::LANES;
use crate::exec::cx::{EXEC, WaveState};
use crate::hardware::{CuHardware, Row, SIMD_ROWS, WAVE_SLOTS};
use std::sync::Arc;

/// Words of the scratch buffer descriptor but its address (gfx9): swizzled, index stride 64, thread id added, 32-bit data.
const SCRATCH_WORD1: u32 = 1 << 31;
const SCRATCH_WORD3: u32 = 0x00ea_7fac;

/// What a wave is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    AtBarrier,
    Ended,
}

/// One wave on a compute unit.
pub(super) struct Wave {
    pub(super) state: WaveState,
    pub(super) status: Status,
    pub(super) simd: usize,
    pub(super) slot: usize,
    /// Rows allocated in the SIMD's register file, from `state.row_base`.
    pub(super) rows: u16,
    /// The page `state.pc` was last found in.
    pub(super) page: Option<Arc<CodePage>>,
}

/// Where a new wave goes.
pub(super) struct Place {
    pub(super) cu: u32,
    pub(super) simd: usize,
    pub(super) slot: usize,
    pub(super) row_base: u16,
    pub(super) rows: u16,
    pub(super) lds_base: u32,
}

/// What all waves of a dispatch begin with, worked out once.
#[derive(Debug)]
pub(super) struct Start {
    /// User registers: those that the descriptor asks for, in order.
    user: [u32; USER_WORDS],
    user_count: usize,
    mode: u32,
    vgprs: u16,
    agprs: u16,
    /// By what a lane's packed position is masked: 10 bits for each index that the descriptor asks for.
    wanted_ids: u32,
}

/// More user registers than any descriptor may ask for: with preloaded arguments behind all the others.
const USER_WORDS: usize = 32;

impl Start {
    pub(super) fn of(d: &Dispatch) -> Start {
        let k = &d.descriptor;
        let (mut words, mut count) = ([0; USER_WORDS], 0);
        let mut user = |more: &[u32]| {
            for &word in more {
                words[count % USER_WORDS] = word;
                count += 1;
            }
        };
        let pair = |v: u64| [v as u32, (v >> 32) as u32];
        if k.private_segment_buffer {
            let [low, high] = pair(d.scratch_base);
            user(&[low, high & 0xffff | SCRATCH_WORD1, d.scratch_total.min(u64::from(u32::MAX)) as u32, SCRATCH_WORD3]);
        }
        if k.dispatch_ptr {
            user(&pair(d.packet_address));
        }
        if k.queue_ptr {
            user(&pair(d.queue_address));
        }
        if k.kernarg_segment_ptr {
            user(&pair(d.packet.kernarg_address));
        }
        if k.dispatch_id {
            user(&pair(d.dispatch_id));
        }
        if k.flat_scratch_init {
            user(&pair(d.scratch_base));
        }
        if k.private_segment_size {
            user(&[d.private_bytes]);
        }
        if let Some(preload) = k.kernarg_preload {
            user(d.preload.get(..usize::from(preload.length_words)).unwrap_or(&d.preload));
        }
        let wanted_ids = match k.workitem_id_dims {
            1 => 0x3ff,
            2 => 0xf_ffff,
            _ => 0x3fff_ffff,
        };
        let (mode, vgprs, agprs) = (k.initial_mode(), k.arch_vgprs(), k.agprs());
        Start { user: words, user_count: count.min(USER_WORDS), mode, vgprs, agprs, wanted_ids }
    }
}

impl Wave {
    /// Sets up wave `number` of work-group `id`: registers that the descriptor names are written, all others stay as they are.
    pub(super) fn launch(d: &Dispatch, id: [u32; 3], number: u32, place: &Place, hw: &mut CuHardware) -> Wave {
        let (k, start) = (&d.descriptor, d.start());
        let slot_of_device = u64::from(place.cu) * WAVE_SLOTS as u64 + place.slot as u64;
        let wave_offset = slot_of_device * d.scratch_stride;
        hw.use_up_to(place.simd, usize::from(place.row_base + place.rows), place.slot, place.lds_base + d.lds_bytes);
        let s = &mut hw.sgpr[place.slot % WAVE_SLOTS];
        for (register, word) in s.iter_mut().zip(&start.user[..start.user_count]) {
            *register = *word;
        }
        // System registers follow the declared number of user registers, however many of those were filled.
        let mut next = usize::from(k.user_sgpr_count);
        for (wanted, value) in [
            (k.workgroup_id_x, id[0]),
            (k.workgroup_id_y, id[1]),
            (k.workgroup_id_z, id[2]),
            (k.workgroup_info, u32::from(number == 0) << 31 | d.waves_per_group << 6 | number),
            (k.enable_private_segment && !d.arch.has_architected_flat_scratch(), wave_offset as u32),
        ] {
            if wanted {
                s[next & 127] = value;
                next += 1;
            }
        }

        let size = d.group_size(id);
        let items = size[0] * size[1] * size[2];
        let first = number * LANES as u32;
        let active = items.saturating_sub(first).min(LANES as u32);
        let exec = if active == LANES as u32 { !0 } else { (1u64 << active) - 1 };
        s[EXEC] = exec as u32;
        s[EXEC + 1] = (exec >> 32) as u32;

        // Work-item ids are packed into one register: 10 bits each, zero where the descriptor does not ask for one (a program that
        // asks for x alone does not mask it). Counted up, as dividing for each lane took most of a launch.
        let wanted = start.wanted_ids;
        let (width, height) = (size[0].max(1), size[1].max(1));
        // The first wave begins at the origin, and others of a work-group of one dimension in its only row.
        let (mut x, mut y, mut z) = if first < width {
            (first, 0, 0)
        } else {
            (first % width, first / width % height, first / (width * height))
        };
        let ids: Row = if x + LANES as u32 <= width {
            // The usual case: the wave lies in one row of the work-group.
            core::array::from_fn(|lane| ((x + lane as u32) | y << 10 | z << 20) & wanted)
        } else {
            core::array::from_fn(|_| {
                let packed = (x | y << 10 | z << 20) & wanted;
                x += 1;
                if x == width {
                    (x, y) = (0, y + 1);
                    if y == height {
                        (y, z) = (0, z + 1);
                    }
                }
                packed
            })
        };
        hw.vgpr[place.simd % hw.vgpr.len()][usize::from(place.row_base) % SIMD_ROWS] = ids;

        let mut wave = Wave {
            state: WaveState {
                pc: d.entry,
                scc: false,
                mode: 0,
                unusual: false,
                row_base: place.row_base,
                vgprs: start.vgprs,
                acc_offset: k.accum_offset,
                agprs: start.agprs,
                lds_base: place.lds_base,
                lds_bytes: d.lds_bytes,
                scratch: d.scratch_base.wrapping_add(wave_offset),
                scratch_lane_bytes: d.private_bytes,
                hw_id: place.slot as u32 & 7 | (place.simd as u32) << 4 | place.cu << 8,
                gws_waits: None,
                message: 0,
                fault: None,
            },
            status: if active == 0 { Status::Ended } else { Status::Running },
            simd: place.simd,
            slot: place.slot,
            rows: place.rows,
            page: None,
        };
        wave.state.set_mode(start.mode);
        wave
    }
}
