//! Host code for a plan: registers chosen, instructions encoded.
//!
//! Promise: what is emitted accesses nothing but what [`code`](super::code) says it is given: rows below [`Plan::vgprs`] and [`Plan::agprs`], scalar
//! registers by their seven-bit code, LDS after it was compared with the sizes, its own constants, and its frame. Every loop is four
//! strips.
//!
//! ```text
//!   constants | frame; EXEC full? ── yes ─► LDS addresses in bounds? ─► four times: strip, stored plainly ─► 1
//!             |                  └── no ──► four times: strip, stored under EXEC's sixteen bits          ─► 1
//!             |  (0 where LDS is out of bounds or, with LDS, EXEC is not full: nothing was written)
//! ```
//!
//! Both loops are the same plan. Lanes that EXEC switches off are computed too and not stored: no step can see another lane, and none can fail.

use super::plan::{Base, Place, Plan, Uniform};
use super::strip::Strip;
use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};
use std::collections::HashMap;

/// Registers that the code is entered with.
pub(super) const ROWS: Register = Register::RDI;
pub(super) const ACC_ROWS: Register = Register::RSI;
pub(super) const SCALARS: Register = Register::RDX;
const LDS: Register = Register::RCX;
const LDS_BYTES: Register = Register::R8;
const LDS_ROOM: Register = Register::R9;
/// Scalar registers, two bytes further with each strip: where the strip's part of a mask is.
pub(super) const MASKS: Register = Register::R9;
/// Strips left, and EXEC before.
const COUNT: Register = Register::R10;
/// The same where EXEC is shifted in [`COUNT`].
const COUNT_PARTIAL: Register = Register::R8;
/// Where LDS accesses begin, by number of the base: the sizes of LDS and the result are not needed while these are.
const BASES: [Register; 3] = [Register::R8, Register::R11, Register::RAX];
/// EXEC's bits of the strip.
pub(super) const ACTIVE: Register = Register::K1;
/// Bytes of a row, and of a strip's part of it.
const ROW: i64 = 256;
const STRIP: i32 = 64;
/// Spilled values at most.
pub(super) const SLOTS: u32 = 32;
const EXEC_AT: i64 = 4 * 126;

/// Why a plan becomes no code.
#[derive(Debug)]
pub(super) enum Refused {
    /// The encoder does not take an instruction: an error of ours.
    Encoding(#[expect(dead_code, reason = "for whoever debugs")] IcedError),
    /// More values are alive than registers and slots hold.
    Crowded,
}

impl From<IcedError> for Refused {
    fn from(error: IcedError) -> Refused {
        Refused::Encoding(error)
    }
}

/// Returns a plan's bytes and the offset at which they are entered.
pub(super) fn emit(plan: &Plan) -> Result<(Vec<u8>, usize), Refused> {
    let mut out = Emitter::new(plan);
    let entry = out.bytes();
    out.frame()?;
    out.with_all_lanes(plan)?;
    out.with_some_lanes(plan)?;
    Ok((out.encoder.take_buffer(), entry))
}

/// Jumps that do not know their target yet: where the last four bytes of each end.
#[derive(Default)]
struct Label(Vec<usize>);

/// Encodes instructions, one behind the other.
pub(super) struct Emitter {
    encoder: Encoder,
    at: u64,
    constants: HashMap<u32, i64>,
    patches: Vec<(usize, u64)>,
}

impl Emitter {
    fn new(plan: &Plan) -> Emitter {
        let mut constants = HashMap::new();
        let mut bytes = Vec::new();
        for step in &plan.steps {
            if let super::plan::Step::Uniform(Uniform::Constant(bits)) = *step {
                constants.entry(bits).or_insert_with(|| {
                    bytes.extend(bits.to_le_bytes());
                    bytes.len() as i64 - 4
                });
            }
        }
        bytes.resize(bytes.len().next_multiple_of(64), 0xcc);
        let at = bytes.len() as u64;
        let mut encoder = Encoder::new(64);
        encoder.set_buffer(bytes);
        Emitter { encoder, at, constants, patches: Vec::new() }
    }

    fn bytes(&self) -> usize {
        self.at as usize
    }

    /// Appends an instruction.
    pub(super) fn put(&mut self, instruction: Result<Instruction, IcedError>) -> Result<(), Refused> {
        self.at += self.encoder.encode(&instruction?, self.at)? as u64;
        Ok(())
    }

    /// Appends a jump to a place that is not known yet.
    fn jump(&mut self, code: Code, to: &mut Label) -> Result<(), Refused> {
        self.put(Instruction::with_branch(code, self.at))?;
        to.0.push(self.bytes());
        Ok(())
    }

    /// Says that what was to be jumped to is here.
    fn here(&mut self, label: Label) {
        self.patches.extend(label.0.into_iter().map(|end| (end, self.at)));
    }

    /// Writes the distances of jumps that were appended before their targets.
    fn patch(&mut self) {
        let mut bytes = self.encoder.take_buffer();
        for (end, target) in self.patches.drain(..) {
            let distance = target as i64 - end as i64;
            bytes[end - 4..end].copy_from_slice(&(distance as i32).to_le_bytes());
        }
        self.encoder.set_buffer(bytes);
    }

    pub(super) fn row(place: Place) -> MemoryOperand {
        let (base, row) = match place {
            Place::V(row) => (ROWS, row),
            Place::A(row) => (ACC_ROWS, row),
        };
        MemoryOperand::with_base_displ(base, ROW * i64::from(row))
    }

    pub(super) fn scalar(code: u8) -> MemoryOperand {
        MemoryOperand::with_base_displ(SCALARS, 4 * i64::from(code))
    }

    pub(super) fn uniform(&self, uniform: Uniform) -> MemoryOperand {
        match uniform {
            Uniform::Scalar(code) => Emitter::scalar(code),
            // PANIC: none; every constant of the plan was laid out first.
            Uniform::Constant(bits) => {
                MemoryOperand::with_base_displ(Register::RIP, self.constants.get(&bits).copied().unwrap_or(0))
            }
        }
    }

    pub(super) fn lds(base: u8, offset: u32) -> MemoryOperand {
        MemoryOperand::with_base_displ(BASES[usize::from(base) % BASES.len()], i64::from(offset))
    }

    /// Makes base `number` the address in host memory of what `from` holds of an address in LDS.
    pub(super) fn base(&mut self, number: u8, from: MemoryOperand) -> Result<(), Refused> {
        let base = BASES[usize::from(number) % BASES.len()];
        self.put(Instruction::with2(Code::Mov_r32_rm32, low(base), from))?;
        self.put(Instruction::with2(Code::Add_r64_rm64, base, LDS))
    }

    fn frame(&mut self) -> Result<(), Refused> {
        self.put(Instruction::with1(Code::Push_r64, Register::RBP))?;
        self.put(Instruction::with2(Code::Mov_r64_rm64, Register::RBP, Register::RSP))?;
        self.put(Instruction::with2(Code::And_rm64_imm8, Register::RSP, -64))?;
        self.put(Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, 64 * SLOTS as i32))?;
        // The upper halves of arguments of 32 bits are whatever they were.
        for size in [low(LDS_BYTES), low(LDS_ROOM)] {
            self.put(Instruction::with2(Code::Mov_r32_rm32, size, size))?;
        }
        Ok(())
    }

    fn leave(&mut self, result: i32) -> Result<(), Refused> {
        self.put(Instruction::with2(Code::Mov_r32_imm32, Register::EAX, result))?;
        self.put(Ok(Instruction::with(Code::VEX_Vzeroupper)))?;
        self.put(Ok(Instruction::with(Code::Leaveq)))?;
        self.put(Ok(Instruction::with(Code::Retnq)))
    }

    /// The way with all lanes, from the question whether they are.
    fn with_all_lanes(&mut self, plan: &Plan) -> Result<(), Refused> {
        let (mut some, mut failed) = (Label::default(), Label::default());
        self.put(Instruction::with2(Code::Mov_r64_rm64, COUNT, MemoryOperand::with_base_displ(SCALARS, EXEC_AT)))?;
        self.put(Instruction::with2(Code::Cmp_rm64_imm8, COUNT, -1))?;
        let to = if plan.bases.is_empty() { &mut some } else { &mut failed };
        self.jump(Code::Jne_rel32_64, to)?;
        for reach in &plan.bases {
            self.check(reach.base, reach.end, &mut failed)?;
        }
        for (number, reach) in plan.bases.iter().enumerate() {
            if let Base::Scalar(code) = reach.base {
                self.base(number as u8, Emitter::scalar(code))?;
            }
        }
        self.put(Instruction::with2(Code::Mov_r64_rm64, MASKS, SCALARS))?;
        self.put(Instruction::with2(Code::Mov_r32_imm32, low(COUNT), 4))?;
        let again = self.at;
        Strip::new(plan, true).emit(self)?;
        self.advance()?;
        self.put(Instruction::with1(Code::Dec_rm32, low(COUNT)))?;
        self.put(Instruction::with_branch(Code::Jne_rel32_64, again))?;
        self.leave(1)?;
        if !plan.bases.is_empty() {
            self.here(failed);
            self.leave(0)?;
        }
        self.here(some);
        self.patch();
        Ok(())
    }

    /// The way with some lanes, if there is one.
    fn with_some_lanes(&mut self, plan: &Plan) -> Result<(), Refused> {
        if !plan.bases.is_empty() {
            return Ok(());
        }
        let mut none = Label::default();
        let left = low(COUNT_PARTIAL);
        self.put(Instruction::with2(Code::Mov_r64_rm64, MASKS, SCALARS))?;
        self.put(Instruction::with2(Code::Mov_r32_imm32, left, 4))?;
        let again = self.at;
        self.put(Instruction::with2(Code::VEX_Kmovw_kr_r32, ACTIVE, low(COUNT)))?;
        self.put(Instruction::with2(Code::VEX_Kortestw_kr_kr, ACTIVE, ACTIVE))?;
        self.jump(Code::Je_rel32_64, &mut none)?;
        Strip::new(plan, false).emit(self)?;
        let next = self.at;
        self.advance()?;
        self.put(Instruction::with2(Code::Shr_rm64_imm8, COUNT, 16))?;
        self.put(Instruction::with1(Code::Dec_rm32, left))?;
        self.put(Instruction::with_branch(Code::Jne_rel32_64, again))?;
        self.leave(1)?;
        // No lane of the strip: its parts of masks become zero.
        self.here(none);
        for &pair in &plan.pairs {
            let at = MemoryOperand::with_base_displ(MASKS, 4 * i64::from(pair));
            self.put(Instruction::with2(Code::Mov_rm16_imm16, at, 0))?;
        }
        self.put(Instruction::with_branch(Code::Jmp_rel32_64, next))?;
        self.patch();
        Ok(())
    }

    /// Jumps to `failed` unless every lane's accesses from `base`, which end before `end`, lie within the work-group's LDS, and, where lanes
    /// differ, a strip's addresses are dwords of the sixteen that begin with its first lane's.
    ///
    /// Those sixteen are loaded together and handed out, which may read beyond the work-group's LDS, but never beyond all LDS.
    fn check(&mut self, base: Base, end: u32, failed: &mut Label) -> Result<(), Refused> {
        let end = end as i32;
        let place = match base {
            Base::Scalar(code) => {
                self.put(Instruction::with2(Code::Mov_r32_rm32, Register::EAX, Emitter::scalar(code)))?;
                self.put(Instruction::with2(Code::Add_rm64_imm32, Register::RAX, end))?;
                self.put(Instruction::with2(Code::Cmp_r64_rm64, Register::RAX, LDS_BYTES))?;
                return self.jump(Code::Ja_rel32_64, failed);
            }
            Base::Row(place) => place,
        };
        let [address, first, most, dwords] = [Register::ZMM0, Register::ZMM1, Register::ZMM2, Register::ZMM3];
        let spread = Code::EVEX_Vpbroadcastd_zmm_k1z_r32;
        self.put(Instruction::with2(Code::Mov_r32_imm32, Register::EAX, !0x3c))?;
        self.put(Instruction::with2(spread, dwords, Register::EAX))?;
        self.put(Instruction::with2(Code::Mov_r32_rm32, Register::EAX, low(LDS_BYTES)))?;
        self.put(Instruction::with2(Code::Sub_rm32_imm32, Register::EAX, end))?;
        self.jump(Code::Jb_rel32_64, failed)?;
        self.put(Instruction::with2(spread, most, Register::EAX))?;
        for strip in 0..4 {
            let mut at = Emitter::row(place);
            at.displacement += strip * i64::from(STRIP);
            let (above, mask) = (Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8, Register::K2);
            self.put(Instruction::with2(Code::EVEX_Vmovups_zmm_k1z_zmmm512, address, at))?;
            self.put(Instruction::with4(above, mask, address, most, 6u32))?;
            self.put(Instruction::with2(Code::VEX_Kortestw_kr_kr, mask, mask))?;
            self.jump(Code::Jne_rel32_64, failed)?;
            self.put(Instruction::with2(Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32, first, at))?;
            self.put(Instruction::with3(Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, address, address, first))?;
            self.put(Instruction::with3(Code::EVEX_Vptestmd_kr_k1_zmm_zmmm512b32, mask, address, dwords))?;
            self.put(Instruction::with2(Code::VEX_Kortestw_kr_kr, mask, mask))?;
            self.jump(Code::Jne_rel32_64, failed)?;
            self.put(Instruction::with2(Code::Mov_r32_rm32, Register::EAX, at))?;
            self.put(Instruction::with2(Code::Add_rm64_imm32, Register::RAX, end + STRIP - 4))?;
            self.put(Instruction::with2(Code::Cmp_r64_rm64, Register::RAX, LDS_ROOM))?;
            self.jump(Code::Ja_rel32_64, failed)?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Refused> {
        self.put(Instruction::with2(Code::Add_rm64_imm8, ROWS, STRIP))?;
        self.put(Instruction::with2(Code::Add_rm64_imm8, ACC_ROWS, STRIP))?;
        self.put(Instruction::with2(Code::Add_rm64_imm8, MASKS, 2))
    }
}

/// The lower 32 bits of a general register.
fn low(register: Register) -> Register {
    Register::EAX + (register as u32 - Register::RAX as u32)
}
