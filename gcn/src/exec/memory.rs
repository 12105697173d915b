//! Vector memory: FLAT, GLOBAL, SCRATCH and MUBUF loads, stores and atomics.
//!
//! Every instruction computes an address for each lane, then one of three things happens: sixty-four consecutive elements move as one
//! copy, scattered ones lane by lane, and lanes of a FLAT instruction that point into an aperture go to LDS or to scratch. Scratch is
//! interleaved as on hardware: dword `k` of lane `n` lies at `base + 256 k + 4 n`.

use super::cx::{Cx, Flow};
use super::inst::{Dst, Inst, Src};
use super::lane::{CHUNK, following};
use crate::arch::{LANES, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use crate::fault::FaultKind;
use crate::hardware::{OPERAND_ROWS, Row, SIMD_ROWS};
use crate::isa::fields::flag;
use crate::memory::{Access, LaneFault, Lanes, MemoryFault, Refusal, active};
use zerocopy::IntoBytes;

/// Where a FLAT address leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aperture {
    Global,
    Shared,
    Private,
}

fn aperture(address: u64) -> Aperture {
    match (address >> 32) as u32 {
        SHARED_APERTURE_HI => Aperture::Shared,
        PRIVATE_APERTURE_HI => Aperture::Private,
        _ => Aperture::Global,
    }
}

/// Addresses of all lanes, and which take part.
pub(super) struct Addresses {
    pub(super) address: [u64; LANES],
    pub(super) mask: u64,
}

impl Addresses {
    /// All lanes, `bytes` apart from `first`.
    fn run(first: u64, bytes: u32) -> Addresses {
        let address = core::array::from_fn(|lane| first.wrapping_add(lane as u64 * u64::from(bytes)));
        Addresses { address, mask: !0 }
    }

    fn lanes(&self) -> Lanes<'_> {
        Lanes { address: &self.address, mask: self.mask }
    }

    /// Whether all lanes take part and lie `stride` bytes apart.
    #[inline(always)]
    fn contiguous(&self, stride: u64) -> bool {
        let first = self.address[0];
        let mut different = 0;
        for (lane, address) in self.address.iter().enumerate() {
            different |= address ^ first.wrapping_add(lane as u64 * stride);
        }
        self.mask == !0 && different == 0
    }

    /// Whether all lanes of chunk `c` take part and lie four bytes apart.
    #[inline(always)]
    fn chunk_contiguous(&self, c: usize) -> bool {
        let mut expected = [self.address[c * CHUNK]; CHUNK];
        for (k, address) in expected.iter_mut().enumerate() {
            *address = address.wrapping_add(4 * k as u64);
        }
        self.mask >> (c * CHUNK) & 0xffff == 0xffff && self.address.as_chunks::<CHUNK>().0[c] == expected
    }

    /// Splits off the lanes whose FLAT address lies in `which`; `None` if there are none.
    fn within(&self, which: Aperture) -> Option<Addresses> {
        let mask = active(self.mask).filter(|&l| aperture(self.address[l]) == which).fold(0, |m, l| m | 1u64 << l);
        (mask != 0).then_some(Addresses { address: self.address, mask })
    }
}

impl Cx<'_> {
    /// Addresses of a GLOBAL instruction: a 64-bit register pair, or a scalar base and a 32-bit offset.
    #[inline(always)]
    pub(super) fn global_addresses(&self, i: &Inst) -> Addresses {
        let mut address = [0; LANES];
        let low = self.lanes(i.src[0], 0);
        if i.flags & flag::SADDR != 0 {
            let base = self.sgpr64(usize::from(i.sdst)).wrapping_add_signed(i64::from(i.imm));
            for lane in 0..LANES {
                address[lane] = base.wrapping_add(u64::from(low[lane]));
            }
        } else {
            let high = self.lanes(i.src[0], 1);
            for lane in 0..LANES {
                let pair = u64::from(low[lane]) | u64::from(high[lane]) << 32;
                address[lane] = pair.wrapping_add_signed(i64::from(i.imm));
            }
        }
        Addresses { address, mask: self.exec() }
    }

    /// Returns where the elements of a FLAT or GLOBAL instruction begin, if all lanes take part and their `bytes` follow each other.
    ///
    /// What programs do most of the time, so it is asked before anything is worked out lane by lane. Low halves that wrap around are left to
    /// the lanes.
    #[inline(always)]
    fn global_run(&self, i: &Inst, bytes: u32) -> Option<u64> {
        let Src::V(register) = i.src[0] else { return None };
        let low = self.row(Dst::V(register), 0);
        let (first, mut different) = (low[0], 0);
        for (lane, address) in low.iter().enumerate() {
            different |= address ^ first.wrapping_add(lane as u32 * bytes);
        }
        let base = if i.flags & flag::SADDR != 0 {
            self.sgpr64(usize::from(i.sdst))
        } else {
            let high = self.row(Dst::V(register), 1);
            for address in high {
                different |= address ^ high[0];
            }
            u64::from(high[0]) << 32
        };
        let wraps = first.checked_add(LANES as u32 * bytes).is_none();
        let run = different == 0 && !wraps && self.exec() == !0;
        run.then(|| base.wrapping_add(u64::from(first)).wrapping_add_signed(i64::from(i.imm)))
    }

    /// As [`global_run`](Self::global_run) for a dword a lane and sixteen lanes at a time, which is how rows of a tile lie: returns where each sixteen
    /// begin.
    #[inline(always)]
    fn global_tiles(&self, i: &Inst) -> Option<[u64; LANES / CHUNK]> {
        let Src::V(register) = i.src[0] else { return None };
        if self.exec() != !0 {
            return None;
        }
        let mut from = [i64::from(i.imm) as u64; LANES / CHUNK];
        for (from, low) in from.iter_mut().zip(self.row(Dst::V(register), 0).as_chunks::<CHUNK>().0) {
            // Low halves that wrap around are left to the lanes.
            if *low != following(low[0]) || low[0].checked_add(4 * CHUNK as u32).is_none() {
                return None;
            }
            *from = from.wrapping_add(u64::from(low[0]));
        }
        if i.flags & flag::SADDR != 0 {
            let base = self.sgpr64(usize::from(i.sdst));
            return Some(from.map(|from| from.wrapping_add(base)));
        }
        for (from, high) in from.iter_mut().zip(self.row(Dst::V(register), 1).as_chunks::<CHUNK>().0) {
            if *high != [high[0]; CHUNK] {
                return None;
            }
            *from = from.wrapping_add(u64::from(high[0]) << 32);
        }
        Some(from)
    }

    /// Returns the first `N` operand rows, in which what is moved at once lies as it does in memory.
    #[inline(always)]
    fn carried<const N: usize>(&mut self) -> &mut [Row; N] {
        // PANIC: none; there are more operand rows than an instruction moves dwords a lane.
        const { assert!(N <= OPERAND_ROWS) };
        self.v[SIMD_ROWS..].first_chunk_mut().expect("operand rows")
    }

    /// Loads `N` dwords a lane that follow each other from `first`. Returns whether all of them could be read; if not, nothing has changed
    /// that the lanes one by one would not change.
    #[inline(always)]
    fn load_run<const N: usize>(&mut self, dst: Dst, first: u64) -> bool {
        let mem = self.mem;
        if N == 1 {
            return mem.read(first, self.row_mut(dst, 0).as_mut_bytes()).is_ok();
        }
        if mem.read(first, self.carried::<N>().as_mut_bytes()).is_err() {
            return false;
        }
        // Lane by lane, all dwords of each: the compiler makes shuffles of whole vectors of this, and scatters where it is dword by dword.
        let (words, mut rows) = (self.carried::<N>().as_flattened(), [[0u32; LANES]; N]);
        for lane in 0..LANES {
            for (d, row) in rows.iter_mut().enumerate() {
                row[lane] = words[lane * N + d];
            }
        }
        for (d, row) in rows.iter().enumerate() {
            *self.row_mut(dst, d) = *row;
        }
        true
    }

    /// The mirror image of [`load_run`](Self::load_run), of registers only.
    #[inline(always)]
    fn store_run<const N: usize>(&mut self, data: Src, first: u64) -> bool {
        let from = match data {
            Src::V(r) => Dst::V(r),
            Src::A(r) => Dst::A(r),
            _ => return false,
        };
        if N == 1 {
            return self.mem.write(first, self.row(from, 0).as_bytes()).is_ok();
        }
        let rows: [Row; N] = core::array::from_fn(|d| *self.row(from, d));
        let words = self.carried::<N>().as_flattened_mut();
        for lane in 0..LANES {
            for (d, row) in rows.iter().enumerate() {
                words[lane * N + d] = row[lane];
            }
        }
        self.mem.write(first, self.v[SIMD_ROWS..][..N].as_bytes()).is_ok()
    }

    /// Addresses of a SCRATCH instruction, after interleaving.
    pub(super) fn scratch_addresses(&self, i: &Inst, bytes: u64) -> Result<Addresses, (FaultKind, u8)> {
        let vector = if i.flags & flag::HAS_SVE != 0 { i.flags & flag::SVE != 0 } else { i.flags & flag::SADDR == 0 };
        let scalar = if i.flags & flag::SADDR != 0 { self.s[usize::from(i.sdst) & 127] } else { 0 };
        let lanes = if vector { self.lanes(i.src[0], 0) } else { [0; LANES] };
        self.interleave(
            |lane| u64::from(lanes[lane].wrapping_add(scalar).wrapping_add(i.imm as u32)),
            self.exec(),
            bytes,
        )
    }

    /// Turns each lane's offset into private memory into an address.
    fn interleave(&self, offset: impl Fn(usize) -> u64, mask: u64, bytes: u64) -> Result<Addresses, (FaultKind, u8)> {
        let base = self.scratch_base();
        let lane_bytes = self.w.scratch_lane_bytes;
        let mut address = [0; LANES];
        for lane in active(mask) {
            let offset = offset(lane);
            if offset.saturating_add(bytes) > u64::from(lane_bytes) {
                return Err((FaultKind::Scratch { offset, bytes: lane_bytes }, lane as u8));
            }
            address[lane] = base.wrapping_add((offset & !3) * LANES as u64 + 4 * lane as u64 + (offset & 3));
        }
        Ok(Addresses { address, mask })
    }

    /// The wave's scratch: hardware's own register on gfx942, the scalar pair `flat_scratch` that the prologue set on gfx90a.
    fn scratch_base(&self) -> u64 {
        if self.arch.has_architected_flat_scratch() { self.w.scratch } else { self.sgpr64(102) }
    }

    /// Addresses of a MUBUF instruction from its buffer descriptor. `None` in a lane: out of range, reads zero, writes nothing.
    pub(super) fn buffer_addresses(&self, i: &Inst, bytes: u64) -> Addresses {
        let Src::S(descriptor) = i.src[1] else { return Addresses { address: [0; LANES], mask: 0 } };
        let word = |k: usize| self.s[(usize::from(descriptor) + k) & 127];
        let base = u64::from(word(0)) | u64::from(word(1) & 0xffff) << 32;
        let stride = u64::from(word(1) >> 16 & 0x3fff);
        let swizzle = word(1) >> 31 == 1;
        let records = u64::from(word(2));
        let index_stride = 8u64 << (word(3) >> 21 & 3);
        let add_thread = word(3) >> 23 & 1 == 1;
        let scalar = u64::from(self.s32(i.src[2]));
        let (offen, idxen) = (i.flags & flag::OFFEN != 0, i.flags & flag::IDXEN != 0);
        let index_row = if idxen { self.lanes(i.src[0], 0) } else { [0; LANES] };
        let offset_row = if offen { self.lanes(i.src[0], usize::from(idxen)) } else { [0; LANES] };
        let mut out = Addresses { address: [0; LANES], mask: 0 };
        for lane in active(self.exec()) {
            let index = u64::from(index_row[lane]) + if add_thread { lane as u64 } else { 0 };
            let offset = u64::from(offset_row[lane]) + i.imm as u64;
            let (within, in_range) = if swizzle {
                let element = 4;
                let at = (index / index_stride * stride + offset / element * element) * index_stride
                    + index % index_stride * element
                    + offset % element;
                (at, at + scalar + bytes <= records)
            } else {
                let at = index * stride + offset;
                (
                    at,
                    if stride == 0 {
                        at + bytes <= records
                    } else {
                        index < records && offset + bytes <= stride.max(bytes)
                    },
                )
            };
            if in_range {
                out.address[lane] = base.wrapping_add(scalar).wrapping_add(within);
                out.mask |= 1 << lane;
            }
        }
        out
    }

    // ---- moving data ----------------------------------------------------------------------------------------------------------

    /// Loads `N` dwords a lane.
    #[inline(always)]
    fn load_words<const N: usize>(&mut self, dst: Dst, at: &Addresses) -> Result<(), LaneFault> {
        if at.contiguous(4 * N as u64) && self.load_run::<N>(dst, at.address[0]) {
            return Ok(());
        }
        let mut rows: [Row; N] = core::array::from_fn(|d| *self.row(dst, d));
        let mut left = at.mask;
        if let [row] = rows.as_mut_slice() {
            // Rows of a tile: sixteen lanes follow each other where the wave does not. What cannot be read so is left to the lanes, which
            // find out who met the fault.
            for (c, row) in row.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate() {
                if at.chunk_contiguous(c) && self.mem.read(at.address[c * CHUNK], row.as_mut_bytes()).is_ok() {
                    left &= !(0xffff << (c * CHUNK));
                }
            }
        }
        let done =
            if left == 0 { Ok(()) } else { self.mem.gather(Lanes { address: &at.address, mask: left }, &mut rows) };
        for (d, row) in rows.iter().enumerate() {
            *self.row_mut(dst, d) = *row;
        }
        done
    }

    /// Stores `N` dwords a lane.
    #[inline(always)]
    fn store_words<const N: usize>(&mut self, data: Src, at: &Addresses) -> Result<(), LaneFault> {
        if at.contiguous(4 * N as u64) && self.store_run::<N>(data, at.address[0]) {
            return Ok(());
        }
        let rows: [Row; N] = core::array::from_fn(|d| self.lanes(data, d));
        self.mem.scatter(at.lanes(), &rows)
    }

    /// Loads `B` bytes a lane and lets `widen` make the register's new value of them and of its old one.
    #[inline(always)]
    fn load_narrow<const B: usize>(
        &mut self,
        dst: Dst,
        at: &Addresses,
        widen: impl Fn(u32, u32) -> u32,
    ) -> Result<(), LaneFault> {
        let mut raw = [0u32; LANES];
        for lane in active(at.mask) {
            let mut bytes = [0; 4];
            let read = self.mem.read(at.address[lane], &mut bytes[..B]);
            read.map_err(|fault| LaneFault { lane: lane as u8, fault })?;
            raw[lane] = u32::from_le_bytes(bytes);
        }
        let row = self.row_mut(dst, 0);
        for lane in active(at.mask) {
            row[lane] = widen(raw[lane], row[lane]);
        }
        Ok(())
    }

    #[inline(always)]
    fn store_narrow<const B: usize>(&mut self, data: Src, shift: u32, at: &Addresses) -> Result<(), LaneFault> {
        let row = self.lanes(data, 0);
        for lane in active(at.mask) {
            let bytes = (row[lane] >> shift).to_le_bytes();
            let write = self.mem.write(at.address[lane], &bytes[..B]);
            write.map_err(|fault| LaneFault { lane: lane as u8, fault })?;
        }
        Ok(())
    }

    #[inline(always)]
    fn settle(&mut self, done: Result<(), LaneFault>) -> Flow {
        match done {
            Ok(()) => Flow::Next,
            Err(fault) => self.lane_fault(fault),
        }
    }

    // ---- GLOBAL ---------------------------------------------------------------------------------------------------------------

    #[inline(always)]
    pub(crate) fn global_load<const N: usize>(&mut self, i: &Inst) -> Flow {
        if N == 1 {
            return self.global_load_dword(i);
        }
        let at = match self.global_run(i, 4 * N as u32) {
            Some(first) if self.load_run::<N>(i.dst, first) => return Flow::Next,
            // Somewhere on the way it is refused: the lanes find out where. Their registers may have been loaded over.
            Some(first) => Addresses::run(first, 4 * N as u32),
            None => self.global_addresses(i),
        };
        let done = self.load_words::<N>(i.dst, &at);
        self.settle(done)
    }

    /// A dword a lane: all lanes at once, or sixteen at a time.
    #[inline(always)]
    fn global_load_dword(&mut self, i: &Inst) -> Flow {
        let mut at = None;
        if let Some(tiles) = self.global_tiles(i) {
            let mem = self.mem;
            let first = tiles[0];
            let follow = (1..).zip(&tiles[1..]).all(|(c, &tile)| tile == first.wrapping_add(c * 4 * CHUNK as u64));
            if follow && self.load_run::<1>(i.dst, first) {
                return Flow::Next;
            }
            // What is refused on the way shall not have changed the destination, which may be what the addresses are in.
            if mem.read_each(&tiles, self.carried::<1>().as_mut_bytes()).is_ok() {
                *self.row_mut(i.dst, 0) = self.carried::<1>()[0];
                return Flow::Next;
            }
            at = follow.then(|| Addresses::run(first, 4));
        }
        let at = at.unwrap_or_else(|| self.global_addresses(i));
        let done = self.load_words::<1>(i.dst, &at);
        self.settle(done)
    }

    #[inline(always)]
    pub(crate) fn global_store<const N: usize>(&mut self, i: &Inst) -> Flow {
        if let Some(first) = self.global_run(i, 4 * N as u32)
            && self.store_run::<N>(i.src[1], first)
        {
            return Flow::Next;
        }
        let at = self.global_addresses(i);
        let done = self.store_words::<N>(i.src[1], &at);
        self.settle(done)
    }

    #[inline(always)]
    pub(crate) fn global_load_narrow<const B: usize>(&mut self, i: &Inst, widen: impl Fn(u32, u32) -> u32) -> Flow {
        if let Some(first) = self.global_run(i, B as u32) {
            let mut flat = [[0u8; B]; LANES];
            if self.mem.read(first, flat.as_flattened_mut()).is_ok() {
                for (word, bytes) in self.row_mut(i.dst, 0).iter_mut().zip(&flat) {
                    let mut raw = [0; 4];
                    raw[..B].copy_from_slice(bytes);
                    *word = widen(u32::from_le_bytes(raw), *word);
                }
                return Flow::Next;
            }
        }
        let at = self.global_addresses(i);
        let done = self.load_narrow::<B>(i.dst, &at, widen);
        self.settle(done)
    }

    #[inline(always)]
    pub(crate) fn global_store_narrow<const B: usize>(&mut self, i: &Inst, shift: u32) -> Flow {
        if let Some(first) = self.global_run(i, B as u32) {
            let row = self.lanes(i.src[1], 0);
            let mut flat = [[0u8; B]; LANES];
            for (bytes, word) in flat.iter_mut().zip(&row) {
                bytes.copy_from_slice(&(word >> shift).to_le_bytes()[..B]);
            }
            if self.mem.write(first, flat.as_flattened()).is_ok() {
                return Flow::Next;
            }
        }
        let at = self.global_addresses(i);
        let done = self.store_narrow::<B>(i.src[1], shift, &at);
        self.settle(done)
    }

    pub(crate) fn global_atomic<A: super::atomic::Word>(&mut self, i: &Inst, f: impl Fn(A, A) -> A) -> Flow {
        let at = self.global_addresses(i);
        self.atomic_at(i, i.src[1], &at, |old, data, _| Some(f(old, data)))
    }

    pub(crate) fn global_cmpswap<A: super::atomic::Word>(&mut self, i: &Inst) -> Flow {
        let at = self.global_addresses(i);
        self.atomic_at(i, i.src[1], &at, |old, new: A, compare| (old == compare).then_some(new))
    }

    // ---- FLAT -----------------------------------------------------------------------------------------------------------------

    /// Runs a FLAT access lane group by lane group: global, LDS, private.
    #[inline(always)]
    fn flat(
        &mut self,
        i: &Inst,
        bytes: u64,
        mut memory: impl FnMut(&mut Self, &Addresses) -> Result<(), LaneFault>,
        mut shared: impl FnMut(&mut Self, &Addresses),
    ) -> Flow {
        let at = self.global_addresses(i);
        let mut apertures = 0;
        for &address in &at.address {
            apertures |= u32::from(aperture(address) != Aperture::Global);
        }
        if apertures == 0 {
            let done = memory(self, &at);
            return self.settle(done);
        }
        if let Some(at) = at.within(Aperture::Shared) {
            shared(self, &at);
        }
        if let Some(at) = at.within(Aperture::Private) {
            match self.interleave(|lane| at.address[lane] & 0xffff_ffff, at.mask, bytes) {
                Ok(at) => {
                    if let Err(fault) = memory(self, &at) {
                        return self.lane_fault(fault);
                    }
                }
                Err((kind, lane)) => return self.fault(kind, Some(lane)),
            }
        }
        match at.within(Aperture::Global) {
            Some(at) => {
                let done = memory(self, &at);
                self.settle(done)
            }
            None => Flow::Next,
        }
    }

    /// As [`global_run`](Self::global_run), if none of it points into an aperture.
    #[inline(always)]
    fn flat_run(&self, i: &Inst, bytes: u32) -> Option<u64> {
        let first = self.global_run(i, bytes)?;
        let last = first.wrapping_add(u64::from(bytes) * LANES as u64 - 1);
        (aperture(first) == Aperture::Global && aperture(last) == Aperture::Global).then_some(first)
    }

    pub(crate) fn flat_load<const N: usize>(&mut self, i: &Inst) -> Flow {
        if let Some(first) = self.flat_run(i, 4 * N as u32) {
            if self.load_run::<N>(i.dst, first) {
                return Flow::Next;
            }
            let done = self.load_words::<N>(i.dst, &Addresses::run(first, 4 * N as u32));
            return self.settle(done);
        }
        self.flat(
            i,
            // Private memory is interleaved by dword: wider accesses are split below.
            4 * N as u64,
            |cx, at| cx.load_private_or_global::<N>(i.dst, at),
            |cx, at| cx.lds_load::<N>(i.dst, at.mask, &at.address.map(|a| a as u32), 0),
        )
    }

    pub(crate) fn flat_store<const N: usize>(&mut self, i: &Inst) -> Flow {
        if let Some(first) = self.flat_run(i, 4 * N as u32)
            && self.store_run::<N>(i.src[1], first)
        {
            return Flow::Next;
        }
        self.flat(
            i,
            4 * N as u64,
            |cx, at| cx.store_private_or_global::<N>(i.src[1], at),
            |cx, at| cx.lds_store::<N>(i.src[1], at.mask, &at.address.map(|a| a as u32), 0),
        )
    }

    pub(crate) fn flat_load_narrow<const B: usize>(&mut self, i: &Inst, widen: impl Fn(u32, u32) -> u32) -> Flow {
        self.flat(
            i,
            B as u64,
            |cx, at| cx.load_narrow::<B>(i.dst, at, &widen),
            |cx, at| cx.lds_load_narrow::<B>(i.dst, at.mask, &at.address.map(|a| a as u32), 0, &widen),
        )
    }

    pub(crate) fn flat_store_narrow<const B: usize>(&mut self, i: &Inst, shift: u32) -> Flow {
        self.flat(
            i,
            B as u64,
            |cx, at| cx.store_narrow::<B>(i.src[1], shift, at),
            |cx, at| cx.lds_store_narrow::<B>(i.src[1], shift, at.mask, &at.address.map(|a| a as u32), 0),
        )
    }

    pub(crate) fn flat_atomic<A: super::atomic::Word>(&mut self, i: &Inst, f: impl Fn(A, A) -> A) -> Flow {
        let at = self.global_addresses(i);
        self.flat_atomic_at(i, &at, |old, data, _| Some(f(old, data)))
    }

    pub(crate) fn flat_cmpswap<A: super::atomic::Word>(&mut self, i: &Inst) -> Flow {
        let at = self.global_addresses(i);
        self.flat_atomic_at(i, &at, |old, new: A, compare| (old == compare).then_some(new))
    }

    fn flat_atomic_at<A: super::atomic::Word>(
        &mut self,
        i: &Inst,
        at: &Addresses,
        f: impl Fn(A, A, A) -> Option<A>,
    ) -> Flow {
        if let Some(shared) = at.within(Aperture::Shared) {
            self.lds_atomic_at(i, shared.mask, &shared.address.map(|a| a as u32), i.flags & flag::GLC != 0, &f);
        }
        if let Some(private) = at.within(Aperture::Private) {
            let lane = private.mask.trailing_zeros() as u8;
            let address = private.address[usize::from(lane) % LANES];
            let fault = MemoryFault { address, access: Access::Atomic, refusal: Refusal::Rights };
            return self.lane_fault(LaneFault { lane, fault });
        }
        match at.within(Aperture::Global) {
            Some(at) => self.atomic_at(i, i.src[1], &at, f),
            None => Flow::Next,
        }
    }

    // ---- SCRATCH --------------------------------------------------------------------------------------------------------------

    /// Loads words of which each may lie in another interleaved dword row: told by the wave's scratch range.
    fn load_private_or_global<const N: usize>(&mut self, dst: Dst, at: &Addresses) -> Result<(), LaneFault> {
        if N == 1 || !self.in_scratch(at) {
            return self.load_words::<N>(dst, at);
        }
        for d in 0..N {
            let dst = plus(dst, d);
            self.load_words::<1>(dst, &stepped(at, d))?;
        }
        Ok(())
    }

    fn store_private_or_global<const N: usize>(&mut self, data: Src, at: &Addresses) -> Result<(), LaneFault> {
        if N == 1 || !self.in_scratch(at) {
            return self.store_words::<N>(data, at);
        }
        for d in 0..N {
            self.store_words::<1>(plus_src(data, d), &stepped(at, d))?;
        }
        Ok(())
    }

    fn in_scratch(&self, at: &Addresses) -> bool {
        let base = self.scratch_base();
        let bytes = u64::from(self.w.scratch_lane_bytes) * LANES as u64;
        active(at.mask).next().is_some_and(|lane| at.address[lane].wrapping_sub(base) < bytes)
    }

    pub(crate) fn scratch_load<const N: usize>(&mut self, i: &Inst) -> Flow {
        match self.scratch_addresses(i, 4 * N as u64) {
            Ok(at) => {
                for d in 0..N {
                    if let Err(fault) = self.load_words::<1>(plus(i.dst, d), &stepped(&at, d)) {
                        return self.lane_fault(fault);
                    }
                }
                Flow::Next
            }
            Err((kind, lane)) => self.fault(kind, Some(lane)),
        }
    }

    pub(crate) fn scratch_store<const N: usize>(&mut self, i: &Inst) -> Flow {
        match self.scratch_addresses(i, 4 * N as u64) {
            Ok(at) => {
                for d in 0..N {
                    if let Err(fault) = self.store_words::<1>(plus_src(i.src[1], d), &stepped(&at, d)) {
                        return self.lane_fault(fault);
                    }
                }
                Flow::Next
            }
            Err((kind, lane)) => self.fault(kind, Some(lane)),
        }
    }

    pub(crate) fn scratch_load_narrow<const B: usize>(&mut self, i: &Inst, widen: impl Fn(u32, u32) -> u32) -> Flow {
        match self.scratch_addresses(i, B as u64) {
            Ok(at) => {
                let done = self.load_narrow::<B>(i.dst, &at, widen);
                self.settle(done)
            }
            Err((kind, lane)) => self.fault(kind, Some(lane)),
        }
    }

    pub(crate) fn scratch_store_narrow<const B: usize>(&mut self, i: &Inst, shift: u32) -> Flow {
        match self.scratch_addresses(i, B as u64) {
            Ok(at) => {
                let done = self.store_narrow::<B>(i.src[1], shift, &at);
                self.settle(done)
            }
            Err((kind, lane)) => self.fault(kind, Some(lane)),
        }
    }

    // ---- MUBUF ----------------------------------------------------------------------------------------------------------------

    /// Whether the buffer interleaves dwords between lanes (the scratch descriptor does).
    fn swizzled(&self, i: &Inst) -> bool {
        matches!(i.src[1], Src::S(d) if self.s[(usize::from(d) + 1) & 127] >> 31 == 1)
    }

    pub(crate) fn buffer_load<const N: usize>(&mut self, i: &Inst) -> Flow {
        let at = self.buffer_addresses(i, 4 * N as u64);
        let exec = self.exec();
        for d in 0..N {
            // Out of range reads as zero.
            self.put(plus(i.dst, d), 0, &[0; LANES], exec & !at.mask);
        }
        let done = if self.swizzled(i) {
            (0..N).try_for_each(|d| self.load_words::<1>(plus(i.dst, d), &stepped(&at, d)))
        } else {
            self.load_words::<N>(i.dst, &at)
        };
        self.settle(done)
    }

    pub(crate) fn buffer_store<const N: usize>(&mut self, i: &Inst) -> Flow {
        let at = self.buffer_addresses(i, 4 * N as u64);
        let data = as_src(i.dst);
        let done = if self.swizzled(i) {
            (0..N).try_for_each(|d| self.store_words::<1>(plus_src(data, d), &stepped(&at, d)))
        } else {
            self.store_words::<N>(data, &at)
        };
        self.settle(done)
    }

    pub(crate) fn buffer_load_narrow<const B: usize>(&mut self, i: &Inst, widen: impl Fn(u32, u32) -> u32) -> Flow {
        let at = self.buffer_addresses(i, B as u64);
        let outside = self.exec() & !at.mask;
        let row = self.row_mut(i.dst, 0);
        for lane in active(outside) {
            row[lane] = widen(0, row[lane]);
        }
        let done = self.load_narrow::<B>(i.dst, &at, widen);
        self.settle(done)
    }

    pub(crate) fn buffer_store_narrow<const B: usize>(&mut self, i: &Inst, shift: u32) -> Flow {
        let at = self.buffer_addresses(i, B as u64);
        let done = self.store_narrow::<B>(as_src(i.dst), shift, &at);
        self.settle(done)
    }

    pub(crate) fn buffer_atomic<A: super::atomic::Word>(&mut self, i: &Inst, f: impl Fn(A, A) -> A) -> Flow {
        let at = self.buffer_addresses(i, 4 * A::DWORDS as u64);
        self.atomic_at(i, as_src(i.dst), &at, |old, data, _| Some(f(old, data)))
    }

    pub(crate) fn buffer_cmpswap<A: super::atomic::Word>(&mut self, i: &Inst) -> Flow {
        let at = self.buffer_addresses(i, 4 * A::DWORDS as u64);
        self.atomic_at(i, as_src(i.dst), &at, |old, new: A, compare| (old == compare).then_some(new))
    }
}

/// Addresses of the next-but-`d` dword under dword interleaving.
fn stepped(at: &Addresses, d: usize) -> Addresses {
    Addresses { address: at.address.map(|a| a.wrapping_add((d * 4 * LANES) as u64)), mask: at.mask }
}

/// The register `d` after `dst`.
pub(super) fn plus(dst: Dst, d: usize) -> Dst {
    let d = d as u16;
    match dst {
        Dst::V(r) => Dst::V(r + d),
        Dst::A(r) => Dst::A(r + d),
        Dst::T(r) => Dst::T(r + d),
    }
}

/// The register `d` after `src`, for vector sources.
fn plus_src(src: Src, d: usize) -> Src {
    let d = d as u16;
    match src {
        Src::V(r) => Src::V(r + d),
        Src::A(r) => Src::A(r + d),
        Src::T(r) => Src::T(r + d),
        other => other,
    }
}

/// A destination read as a source.
pub(super) fn as_src(dst: Dst) -> Src {
    match dst {
        Dst::V(r) => Src::V(r),
        Dst::A(r) => Src::A(r),
        Dst::T(r) => Src::T(r),
    }
}
