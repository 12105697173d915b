//! Local data share. Addresses are offsets into the work-group's allocation; beyond it reads are zero and writes are dropped, as on hardware.

use super::atomic::Word;
use super::cx::{Cx, Flow};
use super::inst::{Dst, Inst, Src};
use super::lane::{CHUNK, following, spread};
use super::memory::plus;
use super::mode::M0;
use crate::arch::LANES;
use crate::hardware::{LDS_BYTES, Row};
use crate::memory::active;
use zerocopy::IntoBytes;

const LDS_DWORDS: usize = LDS_BYTES / 4;

/// A chunk of places that follow each other.
#[inline(always)]
fn consecutive(first: u32) -> [u32; CHUNK] {
    let mut out = [first; CHUNK];
    for (k, place) in out.iter_mut().enumerate() {
        *place = first.wrapping_add(k as u32);
    }
    out
}

/// What sixteen lanes access together.
#[derive(Clone, Copy)]
struct Tile {
    /// Its first byte in LDS.
    from: usize,
    /// A dword for each lane instead of the same bytes for all.
    row: bool,
}

/// LDS as dwords. Which of them an access means is in [`Cx::lds_places`].
#[inline(always)]
fn lds_dwords(lds: &[u8; LDS_BYTES]) -> &[[u8; 4]; LDS_DWORDS] {
    // PANIC: the length is the constant's.
    lds.as_chunks().0.try_into().expect("all of LDS")
}

#[inline(always)]
fn lds_dwords_mut(lds: &mut [u8; LDS_BYTES]) -> &mut [[u8; 4]; LDS_DWORDS] {
    // PANIC: the length is the constant's.
    lds.as_chunks_mut().0.try_into().expect("all of LDS")
}

/// One lane's read-modify-write of one dword, of which nothing comes back. A function and not a closure: that was called instead of inlined, at three
/// times the price.
#[inline(always)]
fn count<A: Word>(
    dwords: &mut [[u8; 4]; LDS_DWORDS],
    places: &Row,
    data: &Row,
    second: &Row,
    lane: usize,
    f: &impl Fn(A, A, A) -> Option<A>,
) {
    // PANIC: none; see `Cx::lds_places`.
    let word = &mut dwords[places[lane] as usize];
    let value = |row: &Row| A::from_raw(u64::from(row[lane]));
    let old = A::from_raw(u64::from(u32::from_le_bytes(*word)));
    if let Some(new) = f(old, value(data), value(second)) {
        *word = (new.to_raw() as u32).to_le_bytes();
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

    /// Returns where in [`lds_dwords`] each lane's `N` dwords at `address + offset` begin, an active lane's for those that are not; `None` unless
    /// all of them are whole dwords within the window.
    ///
    /// Then any of them may be taken without another question, which makes scattered accesses a load and a store a lane.
    #[inline(always)]
    fn lds_places<const N: usize>(&self, mask: u64, address: &Row, offset: u32) -> Option<Row> {
        let base = self.w.lds_base;
        let end = self.w.lds_bytes.checked_sub(4 * N as u32)?;
        if base as usize + self.w.lds_bytes as usize > LDS_BYTES || (base | offset) & 3 != 0 {
            return None;
        }
        if mask == !0 && offset == 0 {
            // Counting and summing up by the whole wave: a compare, a shift and a sum of each sixteen lanes.
            let (mut at, mut outside) = ([0; LANES], 0);
            for lane in 0..LANES {
                at[lane] = address[lane].wrapping_add(base) / 4;
                outside |= u32::from(address[lane] > end) | address[lane] & 3;
            }
            return (outside == 0).then_some(at);
        }
        let here = spread(mask);
        let first = address[mask.trailing_zeros() as usize % LANES];
        let (mut at, mut outside) = ([0; LANES], 0);
        for lane in 0..LANES {
            let from = (address[lane] & here[lane] | first & !here[lane]).wrapping_add(offset);
            at[lane] = from.wrapping_add(base) / 4;
            // Beyond the end, wrapped around, or not a whole dword.
            outside |= u32::from(from > end) | u32::from(from < offset) | from & 3;
        }
        (outside == 0).then_some(at)
    }

    /// Returns what each sixteen lanes of an access by all lanes have in common, if that is one element or, where `rows`, dwords that follow each
    /// other, all of it within the window.
    ///
    /// Tiles are read like that: of a matrix in LDS every lane wants an element of its column, and all lanes of a row want the same one of theirs.
    /// A compare or two say so, where working out each lane's place takes longer than the loads.
    #[inline(always)]
    fn lds_tiles(&self, address: &Row, offset: u32, bytes: usize, rows: bool) -> Option<[Tile; LANES / CHUNK]> {
        let (base, end) = (self.w.lds_base as usize, self.w.lds_bytes as usize);
        if base + end > LDS_BYTES {
            return None;
        }
        let mut tiles = [Tile { from: 0, row: false }; LANES / CHUNK];
        for (tile, at) in tiles.iter_mut().zip(address.as_chunks::<CHUNK>().0) {
            let row = *at != [at[0]; CHUNK];
            if row && !(rows && *at == following(at[0])) {
                return None;
            }
            // As the hardware does, offsets are added without a carry: what wraps around is no tile.
            let from = at[0].checked_add(offset)? as usize;
            let len = if row { 4 * CHUNK } else { bytes };
            if from + len > end {
                return None;
            }
            *tile = Tile { from: base + from, row };
        }
        Some(tiles)
    }

    /// Loads `N` dwords a lane from tiles.
    #[inline(always)]
    fn lds_load_tiles<const N: usize>(&mut self, dst: Dst, tiles: &[Tile; LANES / CHUNK]) {
        let mut out = [[0u32; LANES]; N];
        for (c, tile) in tiles.iter().enumerate() {
            for (d, out) in out.iter_mut().enumerate() {
                let out = &mut out.as_chunks_mut::<CHUNK>().0[c];
                // PANIC: none; see `lds_tiles`. A row is of one dword a lane.
                if tile.row {
                    out.as_mut_bytes().copy_from_slice(&self.lds[tile.from..][..4 * CHUNK]);
                } else {
                    *out = [Self::lds_word(&self.lds[..], tile.from + 4 * d); CHUNK];
                }
            }
        }
        for (d, out) in out.iter().enumerate() {
            *self.row_mut(plus(dst, d), 0) = *out;
        }
    }

    #[inline(always)]
    fn lds_word(window: &[u8], at: usize) -> u32 {
        window.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// Loads `N` dwords for each lane of `mask` from `address + offset`.
    #[inline(always)]
    pub(super) fn lds_load<const N: usize>(&mut self, dst: Dst, mask: u64, address: &Row, offset: u32) {
        let (first, mut different) = (address[0], 0);
        for a in address {
            different |= a ^ first;
        }
        if different == 0 {
            // Every lane reads the same place: the usual way to broadcast a tile's element.
            let at = first.wrapping_add(offset) as usize;
            let window = self.lds_window();
            let words: [u32; N] = core::array::from_fn(|d| Self::lds_word(window, at + 4 * d));
            for (d, word) in words.into_iter().enumerate() {
                self.put_all(plus(dst, d), word, mask);
            }
            return;
        }
        if mask == !0
            && let Some(tiles) = self.lds_tiles(address, offset, 4 * N, N == 1)
        {
            self.lds_load_tiles::<N>(dst, &tiles);
            return;
        }
        let mut rows = [[0; LANES]; N];
        if let Some(places) = self.lds_places::<N>(mask, address, offset) {
            let dwords = lds_dwords(self.lds);
            for (c, at) in places.as_chunks::<CHUNK>().0.iter().enumerate() {
                let first = at[0] as usize;
                for (d, row) in rows.iter_mut().enumerate() {
                    let row = &mut row.as_chunks_mut::<CHUNK>().0[c];
                    // Sixteen lanes often do what the whole wave does not: rows of a tile, of which every lane reads one element or its own.
                    // PANIC: none; see `lds_places`. Checked all the same, because the compiler would make gathers of single
                    // loads otherwise, and they take longer.
                    if *at == [at[0]; CHUNK] {
                        *row = [u32::from_le_bytes(dwords[first + d]); CHUNK];
                    } else if let Some(words) = dwords.get(first + d..first + d + CHUNK)
                        && N == 1
                        && *at == consecutive(at[0])
                    {
                        for (to, word) in row.iter_mut().zip(words) {
                            *to = u32::from_le_bytes(*word);
                        }
                    } else {
                        for (to, at) in row.iter_mut().zip(at) {
                            *to = u32::from_le_bytes(dwords[*at as usize + d]);
                        }
                    }
                }
            }
        } else {
            let window = self.lds_window();
            for lane in active(mask) {
                let at = address[lane].wrapping_add(offset) as usize;
                if let Some(bytes) = window.get(at..at + 4 * N) {
                    for (row, word) in rows.iter_mut().zip(bytes.as_chunks::<4>().0) {
                        row[lane] = u32::from_le_bytes(*word);
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
        if mask == !0
            && let Some(places) = self.lds_places::<N>(mask, address, offset)
        {
            let dwords = lds_dwords_mut(self.lds);
            for (c, at) in places.as_chunks::<CHUNK>().0.iter().enumerate() {
                let first = at[0] as usize;
                if N == 1
                    && *at == consecutive(at[0])
                    && let Some(words) = dwords.get_mut(first..first + CHUNK)
                {
                    for (to, word) in words.iter_mut().zip(&rows[0][c * CHUNK..]) {
                        *to = word.to_le_bytes();
                    }
                    continue;
                }
                for (k, at) in at.iter().enumerate() {
                    for (d, row) in rows.iter().enumerate() {
                        // PANIC: none; see `lds_places`.
                        dwords[*at as usize + d] = row[c * CHUNK + k].to_le_bytes();
                    }
                }
            }
            return;
        }
        let window = self.lds_window();
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
    #[inline(always)]
    pub(super) fn lds_atomic_at<A: Word>(
        &mut self,
        i: &Inst,
        mask: u64,
        address: &Row,
        returns: bool,
        f: impl Fn(A, A, A) -> Option<A>,
    ) {
        if A::DWORDS == 1
            && !returns
            && !matches!(i.src[2], Src::V(_) | Src::A(_))
            && let Some(places) = self.lds_places::<1>(mask, address, 0)
        {
            // Counting and summing up: nothing comes back, so nothing that a later lane needs changes on the way.
            let (data, second) = (self.lanes(i.src[1], 0), self.lanes(i.src[1], 1));
            let dwords = lds_dwords_mut(self.lds);
            if mask == !0 {
                // Without a search for the next lane, which the one before it would wait for.
                for lane in 0..LANES {
                    count(dwords, &places, &data, &second, lane, &f);
                }
            } else {
                for lane in active(mask) {
                    count(dwords, &places, &data, &second, lane, &f);
                }
            }
            return;
        }
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
        let mask = self.exec();
        if N == 1
            && mask == !0
            && let (Src::V(address), Src::V(data)) = (i.src[0], i.src[1])
            && let Some(tiles) = self.lds_tiles(self.row(Dst::V(address), 0), Self::ds_offset(i), 4, true)
        {
            for (c, tile) in tiles.iter().enumerate() {
                let mut words = [0u32; CHUNK];
                words.copy_from_slice(&self.row(Dst::V(data), 0)[c * CHUNK..][..CHUNK]);
                // PANIC: none; see `lds_tiles`.
                if tile.row {
                    self.lds[tile.from..][..4 * CHUNK].copy_from_slice(words.as_bytes());
                } else {
                    // Of lanes that store to one place, the last one's value stays.
                    self.lds[tile.from..][..4].copy_from_slice(&words[CHUNK - 1].to_le_bytes());
                }
            }
            return Flow::Next;
        }
        let address = self.lanes(i.src[0], 0);
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

    #[inline(always)]
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
