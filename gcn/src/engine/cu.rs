//! A compute unit's residents: which work-groups have which registers, LDS and wave slots, and whose turn it is.

use super::launch::{Dispatch, LDS_GRANULE, ROW_GRANULE};
use super::run::{Env, TurnEnd, turn};
use super::wave::{Place, Status, Wave};
use crate::fault::{Fault, FaultKind};
use crate::hardware::{CuHardware, LDS_BYTES, Row, SIMD_ROWS, SIMDS, ScalarFile, WAVE_SLOTS};
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

const SLOTS_PER_SIMD: usize = WAVE_SLOTS / SIMDS;
const LDS_GRANULES: u32 = LDS_BYTES as u32 / LDS_GRANULE;
const _: () = assert!(SIMD_ROWS / ROW_GRANULE as usize == 64, "a SIMD's free granules are one u64");
const _: () = assert!(LDS_GRANULES == 128, "a compute unit's free LDS granules are one u128");

/// What the resident context of a dispatch, or of a whole session, occupies. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextSize {
    /// Resident waves.
    pub waves: u64,
    /// Vector registers.
    pub vgpr_bytes: u64,
    /// Scalar registers.
    pub sgpr_bytes: u64,
    /// LDS of resident work-groups.
    pub lds_bytes: u64,
    /// Private memory of resident waves. Lives in device memory and is not copied.
    pub scratch_bytes: u64,
}

impl ContextSize {
    /// Returns the bytes that a suspend copies.
    pub fn copied_bytes(&self) -> u64 {
        self.vgpr_bytes + self.sgpr_bytes + self.lds_bytes
    }

    pub(super) fn add(&mut self, other: ContextSize) {
        self.waves += other.waves;
        self.vgpr_bytes += other.vgpr_bytes;
        self.sgpr_bytes += other.sgpr_bytes;
        self.lds_bytes += other.lds_bytes;
        self.scratch_bytes += other.scratch_bytes;
    }
}

/// What a SIMD has left.
#[derive(Clone, Copy)]
struct Simd {
    /// Free row granules, a bit each.
    rows: u64,
    /// Free wave slots, a bit each.
    slots: u8,
    /// How many of both: waves go where there is most, and are launched often.
    free_rows: u8,
    free_slots: u8,
}

impl Simd {
    const EMPTY: Simd = Simd { rows: !0, slots: !0, free_rows: 64, free_slots: SLOTS_PER_SIMD as u8 };
}

struct Group {
    dispatch: Arc<Dispatch>,
    id: [u32; 3],
    waves: Vec<Wave>,
    lds_base: u32,
}

impl Group {
    fn size(&self) -> ContextSize {
        let mut size = ContextSize { lds_bytes: u64::from(self.dispatch.lds_bytes), ..ContextSize::default() };
        for wave in self.waves.iter().filter(|w| w.status != Status::Ended) {
            size.add(ContextSize {
                waves: 1,
                vgpr_bytes: u64::from(wave.rows) * size_of::<Row>() as u64,
                sgpr_bytes: size_of::<ScalarFile>() as u64,
                lds_bytes: 0,
                scratch_bytes: self.dispatch.scratch_wave_bytes(),
            });
        }
        size
    }

    fn ended(&self) -> bool {
        self.waves.iter().all(|w| w.status == Status::Ended)
    }
}

/// How a pass over a compute unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassEnd {
    /// Every resident wave had its turn.
    Through,
    /// Nothing is resident.
    Empty,
    /// The host asked to stop.
    Stop,
}

/// One compute unit of a context. Aligned, as neighbours may belong to different host threads.
#[repr(align(128))]
pub(super) struct Cu {
    index: u32,
    /// Whether it takes work-groups.
    pub(super) enabled: bool,
    groups: Vec<Group>,
    simds: [Simd; SIMDS],
    /// Free LDS granules, a bit each.
    free_lds: u128,
    /// Where the waves of a work-group that is about to begin go.
    places: Vec<Place>,
    /// Lists of waves that have ended, for those to come.
    spare: Vec<Vec<Wave>>,
    /// Work-group and wave whose turn is next: where the host's last stop cut a pass short.
    ///
    /// Without it a host that stops more often than a pass takes would run the first waves for ever, and they may be waiting for
    /// the others. Work-groups that retire before it shift it; what is left out then has its turn in the next pass.
    turn_at: (usize, usize),
    pub(super) instructions: u64,
    /// Most that was resident at once.
    pub(super) peak: ContextSize,
}

impl Cu {
    pub(super) fn new(index: u32) -> Cu {
        const { assert!(SLOTS_PER_SIMD == 8, "a SIMD's free slots are one u8") };
        Cu {
            index,
            enabled: true,
            groups: Vec::new(),
            simds: [Simd::EMPTY; SIMDS],
            free_lds: !0,
            places: Vec::new(),
            spare: Vec::new(),
            turn_at: (0, 0),
            instructions: 0,
            peak: ContextSize::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes registers, wave slots and LDS for one work-group of `dispatch`, if all of it fits, and notes in `places` what each wave has.
    fn place(&mut self, dispatch: &Dispatch) -> bool {
        self.places.clear();
        let free_slots: u32 = self.simds.iter().map(|simd| u32::from(simd.free_slots)).sum();
        if free_slots < dispatch.waves_per_group {
            return false;
        }
        let lds_granules = dispatch.lds_bytes / LDS_GRANULE;
        let Some(lds_at) = find_run(self.free_lds, lds_granules) else { return false };
        let rows = dispatch.descriptor.vgprs.next_multiple_of(ROW_GRANULE).max(ROW_GRANULE);
        let granules = u32::from(rows / ROW_GRANULE);
        let before = self.simds;
        for _ in 0..dispatch.waves_per_group {
            // The SIMD with most room, so that waves spread as on hardware; the first of those that have the same.
            let mut best: Option<((u8, u8), usize, u32)> = None;
            for (k, simd) in self.simds.iter().enumerate() {
                let room = (simd.free_slots, simd.free_rows);
                if simd.free_slots > 0
                    && best.is_none_or(|(most, ..)| room > most)
                    && let Some(at) = find_run_64(simd.rows, granules)
                {
                    best = Some((room, k, at));
                }
            }
            let Some((_, k, at)) = best else {
                self.simds = before;
                return false;
            };
            let simd = &mut self.simds[k];
            let slot = simd.slots.trailing_zeros();
            simd.rows &= !(run_mask(at, granules) as u64);
            simd.slots &= simd.slots - 1;
            simd.free_rows -= granules as u8;
            simd.free_slots -= 1;
            self.places.push(Place {
                cu: self.index,
                simd: k,
                slot: k * SLOTS_PER_SIMD + slot as usize,
                row_base: at as u16 * ROW_GRANULE,
                rows,
                lds_base: lds_at * LDS_GRANULE,
            });
        }
        self.free_lds &= !run_mask(lds_at, lds_granules);
        true
    }

    /// Returns how many work-groups of `dispatch` a compute unit holds that holds nothing else.
    pub(super) fn capacity(dispatch: &Dispatch) -> u64 {
        let mut empty = Cu::new(0);
        (0..).take_while(|_| empty.place(dispatch)).count() as u64
    }

    /// Launches one work-group of `dispatch` if it fits.
    pub(super) fn launch(&mut self, dispatch: &Arc<Dispatch>, hw: &mut CuHardware, now: &dyn Fn() -> u64) -> bool {
        if !self.enabled {
            return false;
        }
        let before = (self.simds, self.free_lds);
        if !self.place(dispatch) {
            return false;
        }
        let Some(id) = dispatch.take_group() else {
            (self.simds, self.free_lds) = before;
            return false;
        };
        dispatch.started.get_or_init(now);
        let mut waves = self.spare.pop().unwrap_or_default();
        waves.extend(self.places.iter().zip(0..).map(|(place, n)| Wave::launch(dispatch, id, n, place, hw)));
        let lds_base = self.places.first().map_or(0, |place| place.lds_base);
        self.groups.push(Group { dispatch: Arc::clone(dispatch), id, waves, lds_base });
        true
    }

    /// Gives every resident wave one turn, or those that the last pass left out. `over` is called when a dispatch may have ended.
    pub(super) fn pass(&mut self, env: &Env<'_>, hw: &mut CuHardware, over: &dyn Fn()) -> PassEnd {
        if self.groups.is_empty() {
            return PassEnd::Empty;
        }
        // Work-groups are launched before passes only, so this sees all there are together.
        let size = self.size();
        if size.copied_bytes() > self.peak.copied_bytes() {
            self.peak = size;
        }
        let from = std::mem::take(&mut self.turn_at);
        let mut end = self.turns(env, hw, from);
        if end == PassEnd::Empty {
            // None of those that were left out can run: nobody shall have waited for them.
            end = self.turns(env, hw, (0, 0));
        }
        self.retire(over);
        if end == PassEnd::Empty { PassEnd::Through } else { end }
    }

    /// Gives one turn to every wave that can run, beginning with wave `from.1` of work-group `from.0`. `Empty`: there was none.
    ///
    /// A work-group whose barrier opens goes on at once, as far as its waves' turns together would have taken it: what they work with is in the
    /// host's nearest cache now.
    fn turns(&mut self, env: &Env<'_>, hw: &mut CuHardware, from: (usize, usize)) -> PassEnd {
        let mut end = PassEnd::Empty;
        let (first_group, mut first_wave) = from;
        // Waves that begin mostly begin where the one before them ended: its page spares them the search.
        let mut page = None;
        let mut unlooked = 0;
        for (at, group) in self.groups.iter_mut().enumerate().skip(first_group) {
            // Not where the host's last stop cut its turns short: a host that stops often would never get to the next work-group.
            let whole = first_wave == 0;
            let mut left = group.waves.len() as u64 * env.turn_instructions();
            loop {
                let mut opened = false;
                for number in std::mem::take(&mut first_wave)..group.waves.len() {
                    if group.waves[number].status != Status::Running {
                        continue;
                    }
                    end = PassEnd::Through;
                    let wave = &mut group.waves[number];
                    if wave.page.is_none() {
                        wave.page = page.take();
                    }
                    let (turn_end, executed) = turn(env, wave, hw);
                    if turn_end == TurnEnd::Ended {
                        page = wave.page.take();
                    }
                    self.instructions += executed;
                    left = left.saturating_sub(executed);
                    unlooked += executed;
                    match turn_end {
                        TurnEnd::Turn => {}
                        TurnEnd::Barrier => group.waves[number].status = Status::AtBarrier,
                        TurnEnd::Ended => group.waves[number].status = Status::Ended,
                        TurnEnd::Fault => {
                            report(group, number);
                            left = 0;
                            break;
                        }
                        TurnEnd::Stop => {
                            self.turn_at = (at, number + 1);
                            return PassEnd::Stop;
                        }
                    }
                    if turn_end != TurnEnd::Turn {
                        opened |= release_barrier(group);
                    }
                }
                if !opened || !whole || left == 0 {
                    break;
                }
                // Turns that end at a barrier may be too short to have looked.
                if unlooked >= u64::from(env.look_every) {
                    unlooked = 0;
                    if env.host.should_stop() {
                        self.turn_at = (at + 1, 0);
                        return PassEnd::Stop;
                    }
                }
            }
        }
        end
    }

    /// Frees what ended work-groups held, and work-groups of dispatches that met a fault.
    fn retire(&mut self, over: &dyn Fn()) {
        let (simds, free_lds, spare) = (&mut self.simds, &mut self.free_lds, &mut self.spare);
        self.groups.retain_mut(|group| {
            if !group.ended() && !group.dispatch.is_cut_short() {
                return true;
            }
            for wave in &group.waves {
                let (at, granules) = (wave.state.row_base / ROW_GRANULE, wave.rows / ROW_GRANULE);
                let simd = &mut simds[wave.simd % SIMDS];
                simd.rows |= run_mask(u32::from(at), u32::from(granules)) as u64;
                simd.slots |= 1 << (wave.slot % SLOTS_PER_SIMD);
                simd.free_rows += granules as u8;
                simd.free_slots += 1;
            }
            let mut waves = std::mem::take(&mut group.waves);
            waves.clear();
            spare.push(waves);
            *free_lds |= run_mask(group.lds_base / LDS_GRANULE, group.dispatch.lds_bytes / LDS_GRANULE);
            if group.dispatch.end_group() {
                over();
            }
            false
        });
    }

    /// Drops the work-groups of dispatches that were cut short elsewhere.
    pub(super) fn drop_cut_short(&mut self) {
        self.retire(&|| {});
    }

    pub(super) fn size(&self) -> ContextSize {
        let mut size = ContextSize::default();
        for group in &self.groups {
            size.add(group.size());
        }
        size
    }

    /// Returns what `dispatch` has here.
    pub(super) fn size_of(&self, dispatch: &Arc<Dispatch>) -> ContextSize {
        let mut size = ContextSize::default();
        for group in self.groups.iter().filter(|group| Arc::ptr_eq(&group.dispatch, dispatch)) {
            size.add(group.size());
        }
        size
    }

    /// Copies the residents' registers and LDS to the end of `area`.
    pub(super) fn save(&self, hw: &CuHardware, area: &mut Vec<u8>) {
        for group in &self.groups {
            area.extend_from_slice(lds_of(group, &hw.lds));
            for wave in group.waves.iter().filter(|w| w.status != Status::Ended) {
                area.extend_from_slice(hw.sgpr[wave.slot % WAVE_SLOTS].as_bytes());
                area.extend_from_slice(rows_of(wave, &hw.vgpr[wave.simd % SIMDS]).as_bytes());
            }
        }
    }

    /// Copies them back; `area` is what is left of the save area. The inverse of [`save`](Self::save).
    pub(super) fn restore<'a>(&self, hw: &mut CuHardware, mut area: &'a [u8]) -> &'a [u8] {
        // PANIC: none; the area was written by `save` of the same residents, and a short one is cut off.
        let mut take = |len: usize| {
            let (head, tail) = area.split_at(len.min(area.len()));
            area = tail;
            head
        };
        for group in &self.groups {
            let from = group.lds_base as usize;
            for wave in &group.waves {
                let row_end = usize::from(wave.state.row_base + wave.rows);
                hw.use_up_to(wave.simd, row_end, wave.slot, group.lds_base + group.dispatch.lds_bytes);
            }
            let saved = take(group.dispatch.lds_bytes as usize);
            hw.lds[from..from + saved.len()].copy_from_slice(saved);
            for wave in group.waves.iter().filter(|w| w.status != Status::Ended) {
                if let Ok(saved) = ScalarFile::ref_from_bytes(take(size_of::<ScalarFile>())) {
                    hw.sgpr[wave.slot % WAVE_SLOTS] = *saved;
                }
                let saved = take(usize::from(wave.rows) * size_of::<Row>());
                let first = usize::from(wave.state.row_base);
                let rows = &mut hw.vgpr[wave.simd % SIMDS][first..first + usize::from(wave.rows)];
                let bytes = rows.as_mut_bytes();
                bytes[..saved.len()].copy_from_slice(saved);
            }
        }
        area
    }
}

fn lds_of<'a>(group: &Group, lds: &'a [u8; LDS_BYTES]) -> &'a [u8] {
    let from = group.lds_base as usize;
    lds.get(from..from + group.dispatch.lds_bytes as usize).unwrap_or_default()
}

fn rows_of<'a>(wave: &Wave, file: &'a [Row]) -> &'a [Row] {
    let from = usize::from(wave.state.row_base);
    file.get(from..from + usize::from(wave.rows)).unwrap_or_default()
}

/// Lets a work-group go on when all of its waves that still run have arrived. Returns whether any did.
fn release_barrier(group: &mut Group) -> bool {
    if group.waves.iter().any(|w| w.status == Status::Running) {
        return false;
    }
    let mut any = false;
    for wave in group.waves.iter_mut().filter(|w| w.status == Status::AtBarrier) {
        wave.status = Status::Running;
        any = true;
    }
    any
}

/// Notes a wave's fault as its dispatch's; the first one counts.
fn report(group: &mut Group, number: usize) {
    let wave = &mut group.waves[number];
    wave.status = Status::Ended;
    let (kind, lane) = wave.state.fault.take().unwrap_or((FaultKind::IllegalInstruction { word: 0 }, None));
    let fault = Fault { kind, pc: wave.state.pc, workgroup: group.id, wave: number as u32, lane };
    group.dispatch.fail(fault);
}

/// A run of `len` ones from bit `at`.
fn run_mask(at: u32, len: u32) -> u128 {
    let ones = if len >= 128 { !0 } else { (1u128 << len) - 1 };
    ones.checked_shl(at).unwrap_or(0)
}

/// Returns the first place where `len` free bits follow each other.
fn find_run(free: u128, len: u32) -> Option<u32> {
    if len == 0 {
        return Some(0);
    }
    // After folding, bit k says that `covered` bits from k on are free.
    let (mut runs, mut covered) = (free, 1);
    while covered < len {
        let step = covered.min(len - covered);
        runs &= runs >> step;
        covered += step;
    }
    (runs != 0).then(|| runs.trailing_zeros())
}

/// As [`find_run`] for what a SIMD has.
fn find_run_64(free: u64, len: u32) -> Option<u32> {
    let (mut runs, mut covered) = (free, 1);
    while covered < len {
        let step = covered.min(len - covered);
        // More than there can be in a row leaves nothing.
        runs &= runs.checked_shr(step).unwrap_or(0);
        covered += step;
    }
    (runs != 0).then(|| runs.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_run_returns_the_first_fit_or_none() {
        assert_eq!(find_run(!0, 128), Some(0));
        assert_eq!(find_run(!0 - 1, 128), None);
        assert_eq!(find_run(0b1110_0110, 3), Some(5));
        assert_eq!(find_run(0b1110_0110, 4), None);
        assert_eq!(find_run(0, 1), None);
        assert_eq!(find_run(0, 0), Some(0));
        for len in 1..128 {
            let free = run_mask(128 - len, len);
            assert_eq!(find_run(free, len), Some(128 - len), "{len}");
            assert_eq!(find_run(free >> 1 & !(1 << 127), len + 1), None, "{len}");
            let narrow = 0x00f0_7f3f_ffff_c001;
            assert_eq!(find_run_64(narrow, len), find_run(u128::from(narrow), len), "{len}");
        }
    }
}
