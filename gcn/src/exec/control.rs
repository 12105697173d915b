//! Scalar instructions that change how others run: registers by index, vector instructions skipped, forks of diverging branches, halts.
//!
//! Sources: AMD "Instinct MI200" ISA document, SOP1, SOP2, SOPC, SOPK and SOPP operation.

use super::cx::{Cx, EXEC, Flow};
use super::inst::{Inst, Src};
use super::mode::{GPR_IDX_EN, M0, VSKIP};

/// First bit of MODE.CSP, the depth of the fork stack: three bits.
const CSP: u32 = 29;

impl Cx<'_> {
    /// `s_movrels`: `sdst = SGPR[ssrc0 + M0]`. Outside of the scalar registers, nothing happens.
    pub(crate) fn s_movrels(&mut self, i: &Inst, dwords: usize) -> Flow {
        if let Some(from) = self.moved(i.src[0], dwords) {
            for d in 0..dwords {
                self.s[(usize::from(i.sdst) + d) & 127] = self.s[(from + d) & 127];
            }
        }
        Flow::Next
    }

    /// `s_movreld`: `SGPR[sdst + M0] = ssrc0`.
    pub(crate) fn s_movreld(&mut self, i: &Inst, dwords: usize) -> Flow {
        let value = self.s64(i.src[0]);
        if let Some(to) = self.moved(Src::S(i.sdst), dwords) {
            for d in 0..dwords {
                self.s[(to + d) & 127] = (value >> (32 * d)) as u32;
            }
        }
        Flow::Next
    }

    /// A scalar register moved by M0, if all of it lies below VCC.
    fn moved(&self, src: Src, dwords: usize) -> Option<usize> {
        let Src::S(register) = src else { return None };
        let to = usize::from(register).checked_add(self.s[M0] as usize)?;
        (to + dwords <= super::cx::VCC).then_some(to)
    }

    /// `s_set_gpr_idx_on`: index in the low byte of M0, what it applies to in its bits 12..16.
    pub(crate) fn s_set_gpr_idx_on(&mut self, i: &Inst) -> Flow {
        // The second field is an immediate, not an operand.
        let Src::S(which) = i.src[1] else { return self.illegal(i) };
        self.s[M0] = self.s[M0] & !0xf0ff | self.s32(i.src[0]) & 0xff | (u32::from(which) & 15) << 12;
        self.w.set_mode(self.w.mode | GPR_IDX_EN);
        Flow::Next
    }

    pub(crate) fn s_set_gpr_idx_off(&mut self, _: &Inst) -> Flow {
        self.w.set_mode(self.w.mode & !GPR_IDX_EN);
        Flow::Next
    }

    pub(crate) fn s_set_gpr_idx_idx(&mut self, i: &Inst) -> Flow {
        self.s[M0] = self.s[M0] & !0xff | self.s32(i.src[0]) & 0xff;
        Flow::Next
    }

    pub(crate) fn s_set_gpr_idx_mode(&mut self, i: &Inst) -> Flow {
        self.s[M0] = self.s[M0] & !0xf000 | (i.imm as u32 & 15) << 12;
        Flow::Next
    }

    /// `s_setvskip`: a bit of a scalar says whether vector instructions are skipped.
    pub(crate) fn s_setvskip(&mut self, i: &Inst) -> Flow {
        let skip = self.s32(i.src[0]) >> (self.s32(i.src[1]) & 31) & 1 == 1;
        self.w.set_mode(if skip { self.w.mode | VSKIP } else { self.w.mode & !VSKIP });
        Flow::Next
    }

    /// `s_cbranch_g_fork`: runs the smaller side of a branch first and pushes the other.
    pub(crate) fn s_cbranch_g_fork(&mut self, i: &Inst) -> Flow {
        let (mask, target) = (self.s64(i.src[0]), self.s64(i.src[1]) & !3);
        self.fork(mask, target);
        Flow::Jump
    }

    /// `s_cbranch_i_fork`: the target is relative.
    pub(crate) fn s_cbranch_i_fork(&mut self, i: &Inst) -> Flow {
        let mask = self.sgpr64(usize::from(i.sdst));
        self.fork(mask, self.w.pc.wrapping_add_signed(i64::from(i.imm) * 4));
        Flow::Jump
    }

    fn fork(&mut self, mask: u64, target: u64) {
        let exec = self.exec();
        let (pass, fail) = (mask & exec, !mask & exec);
        let next = self.w.pc;
        let (run, go, wait, later) = if fail == 0 {
            self.w.pc = target;
            return;
        } else if pass == 0 {
            return;
        } else if fail.count_ones() < pass.count_ones() {
            (fail, next, pass, target)
        } else {
            (pass, target, fail, next)
        };
        // Four registers an entry: address, then mask.
        let at = self.csp() * 4;
        self.set_sgpr64(at, later);
        self.set_sgpr64(at + 2, wait);
        self.set_csp(self.csp() + 1);
        self.set_sgpr64(EXEC, run);
        self.w.pc = go;
    }

    /// `s_cbranch_join`: goes to the other side of the branch, or on if both have run.
    pub(crate) fn s_cbranch_join(&mut self, i: &Inst) -> Flow {
        if self.csp() as u32 != self.s32(i.src[0]) {
            self.set_csp(self.csp().wrapping_sub(1));
            let at = self.csp() * 4;
            self.w.pc = self.sgpr64(at) & !3;
            let mask = self.sgpr64(at + 2);
            self.set_sgpr64(EXEC, mask);
        }
        Flow::Jump
    }

    fn csp(&self) -> usize {
        (self.w.mode >> CSP) as usize
    }

    fn set_csp(&mut self, depth: usize) {
        self.w.mode = self.w.mode & !(7 << CSP) | (depth as u32 & 7) << CSP;
    }

    /// `s_sethalt`: with bit 0 the wave stays where it is until its queue is destroyed: nobody can wake it here.
    pub(crate) fn s_sethalt(&mut self, i: &Inst) -> Flow {
        if i.imm & 1 == 1 { self.wait(i) } else { Flow::Next }
    }

    /// `s_setkill`: with bit 0 the wave ends.
    pub(crate) fn s_setkill(&mut self, i: &Inst) -> Flow {
        if i.imm & 1 == 1 { Flow::End } else { Flow::Next }
    }

    /// Lets others run, and this instruction again after them.
    pub(super) fn wait(&mut self, i: &Inst) -> Flow {
        self.w.pc = self.w.pc.wrapping_sub(u64::from(i.bytes));
        Flow::Yield
    }
}
