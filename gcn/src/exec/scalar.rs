//! Scalar instructions: arithmetic with SCC, branches, EXEC manipulation, scalar loads, program control.

use super::atomic::Word;
use super::cx::{Cx, EXEC, Flow};
use super::inst::{Inst, Src};
use crate::fault::FaultKind;
use crate::isa::fields::flag;

/// A scalar operand's value.
pub(crate) trait Scalar: Copy {
    fn load(cx: &Cx<'_>, src: Src) -> Self;
    fn store(self, cx: &mut Cx<'_>, sdst: u8);
}

macro_rules! scalar {
    ($($t:ty: $load:ident, $set:expr;)*) => {$(
        impl Scalar for $t {
            #[inline(always)]
            fn load(cx: &Cx<'_>, src: Src) -> Self {
                cx.$load(src) as $t
            }
            #[inline(always)]
            fn store(self, cx: &mut Cx<'_>, sdst: u8) {
                $set(cx, usize::from(sdst), self);
            }
        }
    )*};
}

scalar! {
    u32: s32, |cx: &mut Cx<'_>, d: usize, v: u32| cx.s[d & 127] = v;
    i32: s32, |cx: &mut Cx<'_>, d: usize, v: i32| cx.s[d & 127] = v as u32;
    u64: s64, |cx: &mut Cx<'_>, d: usize, v: u64| cx.set_sgpr64(d, v);
    i64: s64, |cx: &mut Cx<'_>, d: usize, v: i64| cx.set_sgpr64(d, v as u64);
}

impl Cx<'_> {
    /// `sdst = f(ssrc0)`.
    #[inline(always)]
    pub(crate) fn s1<A: Scalar, R: Scalar>(&mut self, i: &Inst, f: impl Fn(A) -> R) -> Flow {
        f(A::load(self, i.src[0])).store(self, i.sdst);
        Flow::Next
    }

    /// `sdst, scc = f(ssrc0)`.
    #[inline(always)]
    pub(crate) fn s1c<A: Scalar, R: Scalar>(&mut self, i: &Inst, f: impl Fn(A) -> (R, bool)) -> Flow {
        let (value, scc) = f(A::load(self, i.src[0]));
        value.store(self, i.sdst);
        self.w.scc = scc;
        Flow::Next
    }

    /// `sdst = f(ssrc0)` if SCC, else nothing (`s_cmov`).
    #[inline(always)]
    pub(crate) fn s_cmov<A: Scalar>(&mut self, i: &Inst, f: impl Fn(A) -> A) -> Flow {
        if self.w.scc { self.s1(i, f) } else { Flow::Next }
    }

    /// `sdst = f(sdst, ssrc0)` (`s_bitset`).
    #[inline(always)]
    pub(crate) fn s_update<R: Scalar, A: Scalar>(&mut self, i: &Inst, f: impl Fn(R, A) -> R) -> Flow {
        let old = R::load(self, Src::S(i.sdst));
        f(old, A::load(self, i.src[0])).store(self, i.sdst);
        Flow::Next
    }

    /// `sdst = f(ssrc0, ssrc1)`.
    #[inline(always)]
    pub(crate) fn s2<A: Scalar, B: Scalar, R: Scalar>(&mut self, i: &Inst, f: impl Fn(A, B) -> R) -> Flow {
        f(A::load(self, i.src[0]), B::load(self, i.src[1])).store(self, i.sdst);
        Flow::Next
    }

    /// `sdst, scc = f(ssrc0, ssrc1)`.
    #[inline(always)]
    pub(crate) fn s2c<A: Scalar, B: Scalar, R: Scalar>(&mut self, i: &Inst, f: impl Fn(A, B) -> (R, bool)) -> Flow {
        let (value, scc) = f(A::load(self, i.src[0]), B::load(self, i.src[1]));
        value.store(self, i.sdst);
        self.w.scc = scc;
        Flow::Next
    }

    /// `sdst, scc = f(ssrc0, ssrc1, scc)`.
    #[inline(always)]
    pub(crate) fn s2cc<A: Scalar, R: Scalar>(&mut self, i: &Inst, f: impl Fn(A, A, bool) -> (R, bool)) -> Flow {
        let (value, scc) = f(A::load(self, i.src[0]), A::load(self, i.src[1]), self.w.scc);
        value.store(self, i.sdst);
        self.w.scc = scc;
        Flow::Next
    }

    /// `scc = f(ssrc0, ssrc1)`.
    #[inline(always)]
    pub(crate) fn scmp<A: Scalar, B: Scalar>(&mut self, i: &Inst, f: impl Fn(A, B) -> bool) -> Flow {
        self.w.scc = f(A::load(self, i.src[0]), B::load(self, i.src[1]));
        Flow::Next
    }

    /// `sdst = f(sdst, simm16, scc)` without touching SCC.
    #[inline(always)]
    pub(crate) fn sk(&mut self, i: &Inst, f: impl Fn(u32, i32, bool) -> u32) -> Flow {
        let old = self.s[usize::from(i.sdst) & 127];
        self.s[usize::from(i.sdst) & 127] = f(old, i.imm, self.w.scc);
        Flow::Next
    }

    /// `sdst, scc = f(sdst, simm16)`.
    #[inline(always)]
    pub(crate) fn skc(&mut self, i: &Inst, f: impl Fn(i32, i32) -> (i32, bool)) -> Flow {
        let (value, scc) = f(self.s[usize::from(i.sdst) & 127] as i32, i.imm);
        self.s[usize::from(i.sdst) & 127] = value as u32;
        self.w.scc = scc;
        Flow::Next
    }

    /// `scc = f(sdst, simm16)`.
    #[inline(always)]
    pub(crate) fn skcmp(&mut self, i: &Inst, f: impl Fn(u32, i32) -> bool) -> Flow {
        self.w.scc = f(self.s[usize::from(i.sdst) & 127], i.imm);
        Flow::Next
    }

    /// `sdst = exec; exec = f(ssrc0, exec); scc = exec != 0`.
    #[inline(always)]
    pub(crate) fn saveexec(&mut self, i: &Inst, f: impl Fn(u64, u64) -> u64) -> Flow {
        let (source, old) = (self.s64(i.src[0]), self.exec());
        let new = f(source, old);
        self.set_sgpr64(usize::from(i.sdst), old);
        self.set_sgpr64(EXEC, new);
        self.w.scc = new != 0;
        Flow::Next
    }

    /// `exec = sdst = f(ssrc0, exec); scc = exec != 0` (`s_andn1_wrexec`, `s_andn2_wrexec`).
    #[inline(always)]
    pub(crate) fn wrexec(&mut self, i: &Inst, f: impl Fn(u64, u64) -> u64) -> Flow {
        let new = f(self.s64(i.src[0]), self.exec());
        self.set_sgpr64(usize::from(i.sdst), new);
        self.set_sgpr64(EXEC, new);
        self.w.scc = new != 0;
        Flow::Next
    }

    /// Branches by `simm16` words if `condition` holds.
    #[inline(always)]
    pub(crate) fn branch(&mut self, i: &Inst, condition: impl Fn(&Cx<'_>) -> bool) -> Flow {
        if condition(self) {
            self.w.pc = self.w.pc.wrapping_add_signed(i64::from(i.imm) * 4);
            return Flow::Jump;
        }
        Flow::Next
    }

    /// `sdst = pc + simm16 * 4; pc = ...` (`s_call_b64`).
    pub(crate) fn s_call(&mut self, i: &Inst) -> Flow {
        self.set_sgpr64(usize::from(i.sdst), self.w.pc);
        self.branch(i, |_| true)
    }

    pub(crate) fn s_getpc(&mut self, i: &Inst) -> Flow {
        self.set_sgpr64(usize::from(i.sdst), self.w.pc);
        Flow::Next
    }

    pub(crate) fn s_setpc(&mut self, i: &Inst) -> Flow {
        self.w.pc = self.s64(i.src[0]) & !3;
        Flow::Jump
    }

    pub(crate) fn s_swappc(&mut self, i: &Inst) -> Flow {
        let target = self.s64(i.src[0]) & !3;
        self.set_sgpr64(usize::from(i.sdst), self.w.pc);
        self.w.pc = target;
        Flow::Jump
    }

    /// Instructions whose effect (waiting, cache control, priorities) has nothing to act on here.
    #[inline(always)]
    pub(crate) fn nothing(&mut self, _: &Inst) -> Flow {
        Flow::Next
    }

    pub(crate) fn flow(&mut self, _: &Inst, flow: Flow) -> Flow {
        flow
    }

    pub(crate) fn s_sendmsg(&mut self, i: &Inst) -> Flow {
        self.w.message = i.imm as u16;
        Flow::Message
    }

    pub(crate) fn s_trap(&mut self, i: &Inst) -> Flow {
        self.fault(FaultKind::Trap { id: i.imm as u8 }, None)
    }

    /// Loads `dwords` words to consecutive scalar registers.
    #[inline(always)]
    pub(crate) fn s_load(&mut self, i: &Inst, dwords: usize) -> Flow {
        let address = self.smem_address(i) & !3;
        let mut bytes = [0u8; 64];
        let bytes = &mut bytes[..dwords * 4];
        match self.mem.read(address, bytes) {
            Ok(()) => {
                for (k, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
                    self.s[(usize::from(i.sdst) + k) & 127] = u32::from_le_bytes(*word);
                }
                Flow::Next
            }
            Err(fault) => self.fault(FaultKind::Memory(fault), None),
        }
    }

    /// As [`s_load`](Self::s_load) through a buffer descriptor; words beyond its end read as zero.
    pub(crate) fn s_buffer_load(&mut self, i: &Inst, dwords: usize) -> Flow {
        let Src::S(descriptor) = i.src[0] else { return self.illegal(i) };
        let word = |k: usize| self.s[(usize::from(descriptor) + k) & 127];
        let base = u64::from(word(0)) | u64::from(word(1) & 0xffff) << 32;
        let stride = u64::from(word(1) >> 16 & 0x3fff);
        let bytes = u64::from(word(2)) * stride.max(1);
        let offset = self.smem_offset(i) & !3;
        for k in 0..dwords {
            let at = offset.wrapping_add(4 * k as u64);
            let mut word = [0; 4];
            if at.saturating_add(4) <= bytes
                && let Err(fault) = self.mem.read(base.wrapping_add(at), &mut word)
            {
                return self.fault(FaultKind::Memory(fault), None);
            }
            self.s[(usize::from(i.sdst) + k) & 127] = u32::from_le_bytes(word);
        }
        Flow::Next
    }

    /// The inverse of [`s_buffer_load`](Self::s_buffer_load); words beyond the end are dropped.
    pub(crate) fn s_buffer_store(&mut self, i: &Inst, dwords: usize) -> Flow {
        let Src::S(descriptor) = i.src[0] else { return self.illegal(i) };
        let word = |k: usize| self.s[(usize::from(descriptor) + k) & 127];
        let base = u64::from(word(0)) | u64::from(word(1) & 0xffff) << 32;
        let bytes = u64::from(word(2)) * u64::from(word(1) >> 16 & 0x3fff).max(1);
        let offset = self.smem_offset(i) & !3;
        for k in 0..dwords {
            let at = offset.wrapping_add(4 * k as u64);
            let word = self.s[(usize::from(i.sdst) + k) & 127].to_le_bytes();
            if at.saturating_add(4) <= bytes
                && let Err(fault) = self.mem.write(base.wrapping_add(at), &word)
            {
                return self.fault(FaultKind::Memory(fault), None);
            }
        }
        Flow::Next
    }

    /// `s_atomic` and `s_buffer_atomic`: memory becomes `f(memory, sdst)`; with `glc`, `sdst` becomes what it was.
    pub(crate) fn s_atomic<A: Word>(&mut self, i: &Inst, buffer: bool, f: impl Fn(A, A) -> A) -> Flow {
        let data = A::from_raw(self.sgpr64(usize::from(i.sdst)));
        self.s_update_memory(i, buffer, |old| Some(f(old, data)))
    }

    /// As [`s_atomic`](Self::s_atomic): the first register's new value, if memory is the second's.
    pub(crate) fn s_cmpswap<A: Word>(&mut self, i: &Inst, buffer: bool) -> Flow {
        let first = usize::from(i.sdst);
        let new = A::from_raw(self.sgpr64(first));
        let compare = A::from_raw(self.sgpr64(first + A::DWORDS));
        self.s_update_memory(i, buffer, |old| (old == compare).then_some(new))
    }

    fn s_update_memory<A: Word>(&mut self, i: &Inst, buffer: bool, f: impl Fn(A) -> Option<A>) -> Flow {
        let address = if buffer {
            let Src::S(descriptor) = i.src[0] else { return self.illegal(i) };
            let word = |k: usize| self.s[(usize::from(descriptor) + k) & 127];
            let base = u64::from(word(0)) | u64::from(word(1) & 0xffff) << 32;
            let bytes = u64::from(word(2)) * u64::from(word(1) >> 16 & 0x3fff).max(1);
            let offset = self.smem_offset(i) & !3;
            if offset.saturating_add(4 * A::DWORDS as u64) > bytes {
                return Flow::Next;
            }
            base.wrapping_add(offset)
        } else {
            self.smem_address(i) & !3
        };
        match super::atomic::update(self.mem, address, f) {
            Ok(old) if i.flags & flag::GLC != 0 => {
                let raw = old.to_raw();
                for d in 0..A::DWORDS {
                    self.s[(usize::from(i.sdst) + d) & 127] = (raw >> (32 * d)) as u32;
                }
                Flow::Next
            }
            Ok(_) => Flow::Next,
            Err(fault) => self.fault(FaultKind::Memory(fault), None),
        }
    }

    /// Stores `dwords` consecutive scalar registers.
    pub(crate) fn s_store(&mut self, i: &Inst, dwords: usize) -> Flow {
        let address = self.smem_address(i) & !3;
        self.store_scalars(i, address, dwords)
    }

    fn store_scalars(&mut self, i: &Inst, address: u64, dwords: usize) -> Flow {
        let mut bytes = [0u8; 16];
        for (k, word) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *word = self.s[(usize::from(i.sdst) + k) & 127].to_le_bytes();
        }
        match self.mem.write(address, &bytes[..dwords * 4]) {
            Ok(()) => Flow::Next,
            Err(fault) => self.fault(FaultKind::Memory(fault), None),
        }
    }

    /// As [`s_load`](Self::s_load) with the offset register counting in units of 64 bytes.
    pub(crate) fn s_scratch_load(&mut self, i: &Inst, dwords: usize) -> Flow {
        let address = self.scratch_address(i);
        let mut bytes = [0u8; 16];
        if let Err(fault) = self.mem.read(address, &mut bytes[..dwords * 4]) {
            return self.fault(FaultKind::Memory(fault), None);
        }
        for (k, word) in bytes[..dwords * 4].as_chunks::<4>().0.iter().enumerate() {
            self.s[(usize::from(i.sdst) + k) & 127] = u32::from_le_bytes(*word);
        }
        Flow::Next
    }

    /// The inverse of [`s_scratch_load`](Self::s_scratch_load).
    pub(crate) fn s_scratch_store(&mut self, i: &Inst, dwords: usize) -> Flow {
        let address = self.scratch_address(i);
        self.store_scalars(i, address, dwords)
    }

    fn scratch_address(&self, i: &Inst) -> u64 {
        let mut offset = if i.flags & flag::IMM != 0 { i64::from(i.imm) as u64 } else { 0 };
        if i.flags & flag::SOFFSET != 0 || i.flags & flag::IMM == 0 {
            offset = offset.wrapping_add(u64::from(self.s32(i.src[1])) * 64);
        }
        self.s64(i.src[0]).wrapping_add(offset) & !3
    }

    #[inline(always)]
    fn smem_address(&self, i: &Inst) -> u64 {
        self.s64(i.src[0]).wrapping_add(self.smem_offset(i))
    }

    #[inline(always)]
    fn smem_offset(&self, i: &Inst) -> u64 {
        let mut offset = 0u64;
        if i.flags & flag::IMM != 0 {
            offset = offset.wrapping_add_signed(i64::from(i.imm));
        }
        if i.flags & flag::SOFFSET != 0 || i.flags & flag::IMM == 0 {
            offset = offset.wrapping_add(u64::from(self.s32(i.src[1])));
        }
        offset
    }

    /// `s_memtime` and `s_memrealtime`: the device's clock, 100 MHz as on CDNA for the latter.
    pub(crate) fn s_clock(&mut self, i: &Inst, nanos_per_tick: u64) -> Flow {
        let ticks = (self.clock)() / nanos_per_tick;
        self.set_sgpr64(usize::from(i.sdst), ticks);
        Flow::Next
    }

    /// `s_getreg_b32`: MODE, STATUS (SCC, EXECZ, VCCZ), HW_ID; others read as zero.
    pub(crate) fn s_getreg(&mut self, i: &Inst) -> Flow {
        let (id, offset, size) = hwreg(i.imm);
        let value = match id {
            1 => self.w.mode,
            2 => {
                u32::from(self.w.scc)
                    | u32::from(self.exec() == 0) << 9
                    | u32::from(self.sgpr64(super::cx::VCC) == 0) << 10
            }
            4 => self.w.hw_id,
            _ => 0,
        };
        let mask = if size == 32 { !0 } else { (1u32 << size) - 1 };
        self.s[usize::from(i.sdst) & 127] = value >> offset & mask;
        Flow::Next
    }

    /// `s_setreg`: only MODE may be written.
    pub(crate) fn s_setreg(&mut self, i: &Inst, literal: bool) -> Flow {
        let (id, offset, size) = hwreg(i.imm);
        if id != 1 {
            return Flow::Next;
        }
        let mask = if size == 32 { !0 } else { (1u32 << size) - 1 };
        let value = if literal { i.literal } else { self.s[usize::from(i.sdst) & 127] };
        let mode = self.w.mode & !(mask << offset) | (value & mask) << offset;
        self.w.set_mode(mode);
        Flow::Next
    }
}

/// Splits a hardware-register immediate: id, first bit, number of bits.
fn hwreg(imm: i32) -> (u32, u32, u32) {
    let imm = imm as u32;
    (imm & 63, imm >> 6 & 31, (imm >> 11 & 31) + 1)
}
