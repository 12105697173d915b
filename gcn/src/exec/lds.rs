//! Local data share. Addresses are offsets into the work-group's allocation; beyond it reads are zero and writes are dropped, as on hardware.

use super::atomic::Word;
use super::cx::{Cx, Flow};
use super::inst::{Dst, Inst, Src};
use super::memory::plus;
use super::mode::M0;
use crate::arch::LANES;
use crate::hardware::Row;
use crate::memory::active;

/// How the addresses of the active lanes lie to each other.
#[derive(Clone, Copy)]
enum Pattern {
    /// All the same: this one.
    Same(u32),
    /// One element after the other; lane 0's address.
    Consecutive(u32),
    Scattered,
}

impl Pattern {
    #[inline(always)]
    fn of(address: &Row, mask: u64, stride: u32) -> Pattern {
        let lane = mask.trailing_zeros() % LANES as u32;
        let first = address[lane as usize];
        let mut different = 0;
        for a in address {
            different |= a ^ first;
        }
        if different == 0 {
            return Pattern::Same(first);
        }
        let base = first.wrapping_sub(lane * stride);
        let (mut same, mut consecutive) = (0, 0);
        for (lane, a) in address.iter().enumerate() {
            let active = ((mask >> lane & 1) as u32).wrapping_neg();
            same |= (a ^ first) & active;
            consecutive |= (a ^ base.wrapping_add(lane as u32 * stride)) & active;
        }
        match (same, consecutive) {
            (0, _) => Pattern::Same(first),
            (_, 0) => Pattern::Consecutive(base),
            _ => Pattern::Scattered,
        }
    }

    /// Returns the bytes that all lanes touch together, if they follow each other.
    #[inline(always)]
    fn consecutive(self, offset: u32, bytes: usize) -> Option<core::ops::Range<usize>> {
        let Pattern::Consecutive(base) = self else { return None };
        // Addresses wrap at 32 bits lane by lane; a range that would is left to the lanes.
        let at = base.checked_add(offset)? as usize;
        Some(at..at + bytes)
    }
}

impl Cx<'_> {
    /// The work-group's LDS.
    #[inline(always)]
    pub(super) fn lds_window(&mut self) -> &mut [u8] {
        let from = self.w.lds_base as usize;
        let to = from + self.w.lds_bytes as usize;
        self.lds.get_mut(from..to).unwrap_or_default()
    }

    #[inline(always)]
    fn lds_word(window: &[u8], at: usize) -> u32 {
        window.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// Loads `N` dwords for each lane of `mask` from `address + offset`.
    #[inline(always)]
    pub(super) fn lds_load<const N: usize>(&mut self, dst: Dst, mask: u64, address: &Row, offset: u32) {
        let pattern = Pattern::of(address, mask, 4 * N as u32);
        let window = self.lds_window();
        if let Pattern::Same(first) = pattern {
            // Every lane reads the same place: the usual way to broadcast a tile's element.
            let at = first.wrapping_add(offset) as usize;
            let words: [u32; N] = core::array::from_fn(|d| Self::lds_word(window, at + 4 * d));
            for (d, word) in words.into_iter().enumerate() {
                self.put(plus(dst, d), 0, &[word; LANES], mask);
            }
            return;
        }
        let mut rows = [[0; LANES]; N];
        match pattern.consecutive(offset, 4 * N * LANES).and_then(|range| window.get(range)) {
            Some(bytes) => {
                for (each, lane) in bytes.chunks_exact(4 * N).zip(0..LANES) {
                    for (row, word) in rows.iter_mut().zip(each.as_chunks::<4>().0) {
                        row[lane] = u32::from_le_bytes(*word);
                    }
                }
            }
            None => {
                for lane in active(mask) {
                    let at = address[lane].wrapping_add(offset) as usize;
                    if let Some(bytes) = window.get(at..at + 4 * N) {
                        for (row, word) in rows.iter_mut().zip(bytes.as_chunks::<4>().0) {
                            row[lane] = u32::from_le_bytes(*word);
                        }
                    }
                }
            }
        }
        for (d, row) in rows.iter().enumerate() {
            self.put(plus(dst, d), 0, row, mask);
        }
    }

    /// Stores `N` dwords of each lane of `mask`, lowest lane first.
    #[inline(always)]
    pub(super) fn lds_store<const N: usize>(&mut self, data: Src, mask: u64, address: &Row, offset: u32) {
        let rows: [Row; N] = core::array::from_fn(|d| self.lanes(data, d));
        // Only whole rows are stored at once: what inactive lanes would write must stay as it is.
        let pattern = if mask == !0 { Pattern::of(address, mask, 4 * N as u32) } else { Pattern::Scattered };
        let window = self.lds_window();
        if let Some(bytes) = pattern.consecutive(offset, 4 * N * LANES).and_then(|range| window.get_mut(range)) {
            for (each, lane) in bytes.chunks_exact_mut(4 * N).zip(0..LANES) {
                for (row, word) in rows.iter().zip(each.as_chunks_mut::<4>().0) {
                    *word = row[lane].to_le_bytes();
                }
            }
            return;
        }
        for lane in active(mask) {
            let at = address[lane].wrapping_add(offset) as usize;
            if let Some(bytes) = window.get_mut(at..at + 4 * N) {
                for (row, word) in rows.iter().zip(bytes.as_chunks_mut::<4>().0) {
                    *word = row[lane].to_le_bytes();
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn lds_load_narrow<const B: usize>(
        &mut self,
        dst: Dst,
        mask: u64,
        address: &Row,
        offset: u32,
        widen: impl Fn(u32, u32) -> u32,
    ) {
        let mut row = *self.row(dst, 0);
        let window = self.lds_window();
        for lane in active(mask) {
            let at = address[lane].wrapping_add(offset) as usize;
            let mut bytes = [0; 4];
            if let Some(source) = window.get(at..at + B) {
                bytes[..B].copy_from_slice(source);
            }
            row[lane] = widen(u32::from_le_bytes(bytes), row[lane]);
        }
        *self.row_mut(dst, 0) = row;
    }

    #[inline(always)]
    pub(super) fn lds_store_narrow<const B: usize>(
        &mut self,
        data: Src,
        shift: u32,
        mask: u64,
        address: &Row,
        offset: u32,
    ) {
        let row = self.lanes(data, 0);
        let window = self.lds_window();
        for lane in active(mask) {
            let at = address[lane].wrapping_add(offset) as usize;
            if let Some(bytes) = window.get_mut(at..at + B) {
                bytes.copy_from_slice(&(row[lane] >> shift).to_le_bytes()[..B]);
            }
        }
    }

    /// One read-modify-write per lane, lowest first; a work-group's waves share a host thread, so each is indivisible.
    pub(super) fn lds_atomic_at<A: Word>(
        &mut self,
        i: &Inst,
        mask: u64,
        address: &Row,
        returns: bool,
        f: impl Fn(A, A, A) -> Option<A>,
    ) {
        for lane in active(mask) {
            let at = address[lane] as usize;
            // DS: data0 and data1 are registers of their own; FLAT: the second follows the first.
            let data: A = self.operand(i.src[1], 0, lane);
            let second = match i.src[2] {
                Src::V(_) | Src::A(_) => self.operand(i.src[2], 0, lane),
                _ => self.operand(i.src[1], A::DWORDS, lane),
            };
            let window = self.lds_window();
            let Some(bytes) = window.get_mut(at..at + 4 * A::DWORDS) else { continue };
            let mut raw = [0; 8];
            raw[..4 * A::DWORDS].copy_from_slice(bytes);
            let old = A::from_raw(u64::from_le_bytes(raw));
            if let Some(new) = f(old, data, second) {
                bytes.copy_from_slice(&new.to_raw().to_le_bytes()[..4 * A::DWORDS]);
            }
            if returns {
                self.set_operand(i.dst, lane, old);
            }
        }
    }

    // ---- DS instructions ------------------------------------------------------------------------------------------------------

    #[inline(always)]
    fn ds_offset(i: &Inst) -> u32 {
        i.imm as u32 & 0xffff
    }

    #[inline(always)]
    pub(crate) fn ds_read<const N: usize>(&mut self, i: &Inst) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        self.lds_load::<N>(i.dst, mask, &address, Self::ds_offset(i));
        Flow::Next
    }

    #[inline(always)]
    pub(crate) fn ds_write<const N: usize>(&mut self, i: &Inst) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        self.lds_store::<N>(i.src[1], mask, &address, Self::ds_offset(i));
        Flow::Next
    }

    #[inline(always)]
    pub(crate) fn ds_read_narrow<const B: usize>(&mut self, i: &Inst, widen: impl Fn(u32, u32) -> u32) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        self.lds_load_narrow::<B>(i.dst, mask, &address, Self::ds_offset(i), widen);
        Flow::Next
    }

    #[inline(always)]
    pub(crate) fn ds_write_narrow<const B: usize>(&mut self, i: &Inst, shift: u32) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        self.lds_store_narrow::<B>(i.src[1], shift, mask, &address, Self::ds_offset(i));
        Flow::Next
    }

    /// Two elements of `N` dwords, each at its own offset in units of `unit` bytes.
    #[inline(always)]
    pub(crate) fn ds_read2<const N: usize>(&mut self, i: &Inst, unit: u32) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        let (first, second) = (Self::ds_offset(i) & 0xff, Self::ds_offset(i) >> 8);
        self.lds_load::<N>(i.dst, mask, &address, first * unit);
        self.lds_load::<N>(plus(i.dst, N), mask, &address, second * unit);
        Flow::Next
    }

    #[inline(always)]
    pub(crate) fn ds_write2<const N: usize>(&mut self, i: &Inst, unit: u32) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        let (first, second) = (Self::ds_offset(i) & 0xff, Self::ds_offset(i) >> 8);
        self.lds_store::<N>(i.src[1], mask, &address, first * unit);
        self.lds_store::<N>(i.src[2], mask, &address, second * unit);
        Flow::Next
    }

    pub(crate) fn ds_atomic<A: Word>(&mut self, i: &Inst, returns: bool, f: impl Fn(A, A) -> A) -> Flow {
        let (mask, offset) = (self.exec(), Self::ds_offset(i));
        let address = self.lanes(i.src[0], 0).map(|a| a.wrapping_add(offset));
        self.lds_atomic_at(i, mask, &address, returns, |old, data, _| Some(f(old, data)));
        Flow::Next
    }

    /// Atomics with two operands (`ds_cmpst`, `ds_mskor`): `f(old, data0, data1)`, `None` leaves memory alone.
    pub(crate) fn ds_atomic2<A: Word>(&mut self, i: &Inst, returns: bool, f: impl Fn(A, A, A) -> Option<A>) -> Flow {
        let (mask, offset) = (self.exec(), Self::ds_offset(i));
        let address = self.lanes(i.src[0], 0).map(|a| a.wrapping_add(offset));
        self.lds_atomic_at(i, mask, &address, returns, f);
        Flow::Next
    }

    /// Two exchanges at offsets in units of `unit` bytes; both old values are returned.
    pub(crate) fn ds_wrxchg2<A: Word>(&mut self, i: &Inst, unit: u32) -> Flow {
        let (mask, address) = (self.exec(), self.lanes(i.src[0], 0));
        let offsets = [Self::ds_offset(i) & 0xff, Self::ds_offset(i) >> 8];
        let new = |cx: &Self, k: usize, lane: usize| cx.operand::<A>(i.src[1 + k], 0, lane);
        let data: [[A; 2]; LANES] = core::array::from_fn(|lane| [new(self, 0, lane), new(self, 1, lane)]);
        for lane in active(mask) {
            for (k, offset) in offsets.into_iter().enumerate() {
                let at = address[lane].wrapping_add(offset * unit) as usize;
                let Some(bytes) = self.lds_window().get_mut(at..at.wrapping_add(4 * A::DWORDS)) else { continue };
                let mut raw = [0; 8];
                raw[..4 * A::DWORDS].copy_from_slice(bytes);
                bytes.copy_from_slice(&data[lane][k].to_raw().to_le_bytes()[..4 * A::DWORDS]);
                self.set_operand(plus(i.dst, k * A::DWORDS), lane, A::from_raw(u64::from_le_bytes(raw)));
            }
        }
        Flow::Next
    }

    /// Addresses that M0 and the lane's number make: `ds_read_addtid` and `ds_write_addtid`.
    fn addtid(&self, i: &Inst) -> Row {
        let base = (self.s[M0] & 0xffff).wrapping_add(Self::ds_offset(i));
        core::array::from_fn(|lane| base.wrapping_add(4 * lane as u32))
    }

    pub(crate) fn ds_read_addtid(&mut self, i: &Inst) -> Flow {
        let (mask, address) = (self.exec(), self.addtid(i));
        self.lds_load::<1>(i.dst, mask, &address, 0);
        Flow::Next
    }

    pub(crate) fn ds_write_addtid(&mut self, i: &Inst) -> Flow {
        let (mask, address) = (self.exec(), self.addtid(i));
        self.lds_store::<1>(i.src[1], mask, &address, 0);
        Flow::Next
    }

    /// `ds_append` and `ds_consume`: the counter that M0 points to changes by the number of active lanes; all get its old value.
    pub(crate) fn ds_count(&mut self, i: &Inst, change: fn(u32, u32) -> u32) -> Flow {
        let exec = self.exec();
        let at = (self.s[M0] & 0xffff).wrapping_add(Self::ds_offset(i)) as usize & !3;
        let old = Self::lds_word(self.lds_window(), at);
        if let Some(word) = self.lds_window().get_mut(at..at + 4) {
            word.copy_from_slice(&change(old, exec.count_ones()).to_le_bytes());
        }
        self.put(i.dst, 0, &[old; LANES], exec);
        Flow::Next
    }

    /// Pulls each lane's value from the lane its address names (in bytes). Touches no LDS.
    pub(crate) fn ds_bpermute(&mut self, i: &Inst) -> Flow {
        let exec = self.exec();
        let (address, data) = (self.lanes(i.src[0], 0), self.lanes(i.src[1], 0));
        let offset = Self::ds_offset(i);
        let out = address.map(|a| {
            let from = (a.wrapping_add(offset) / 4) as usize % LANES;
            if exec >> from & 1 == 1 { data[from] } else { 0 }
        });
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }

    /// Pushes each lane's value to the lane its address names; the highest lane wins.
    pub(crate) fn ds_permute(&mut self, i: &Inst) -> Flow {
        let exec = self.exec();
        let (address, data) = (self.lanes(i.src[0], 0), self.lanes(i.src[1], 0));
        let offset = Self::ds_offset(i);
        let mut out = [0; LANES];
        for lane in active(exec) {
            out[(address[lane].wrapping_add(offset) / 4) as usize % LANES] = data[lane];
        }
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }

    /// Exchanges lanes by a pattern in the offset: quad permute, or and/or/xor masks within 32 lanes.
    pub(crate) fn ds_swizzle(&mut self, i: &Inst) -> Flow {
        let exec = self.exec();
        let data = self.lanes(i.src[0], 0);
        let pattern = Self::ds_offset(i) as usize;
        let mut out = [0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            let from = if pattern & 0x8000 != 0 {
                lane & !3 | pattern >> (2 * (lane & 3)) & 3
            } else {
                let (and, or, xor) = (pattern & 31, pattern >> 5 & 31, pattern >> 10 & 31);
                lane & 32 | ((lane & 31 & and | or) ^ xor)
            };
            *out = if exec >> from & 1 == 1 { data[from] } else { 0 };
        }
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }
}
