//! One strip of a plan: which value is in which host register, step by step.
//!
//! Promise: a value is where a step looks for it. Values that can be had again without arithmetic (registers of the wave, which keep their old values
//! until the end of the strip, scalars, constants, LDS at a scalar address) are fetched when they are used and forgotten when room is
//! needed; others go to the frame. Room is made by the value whose next use is furthest.

use super::emit::{ACTIVE, Emitter, MASKS, Refused, SLOTS};
use super::plan::{Base, Plan, Step, Value};
use iced_x86::{Code, Instruction, MemoryOperand, Register};

const LOAD: Code = Code::EVEX_Vmovups_zmm_k1z_zmmm512;
const STORE: Code = Code::EVEX_Vmovups_zmmm512_k1z_zmm;
const SPREAD: Code = Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32;
/// Vector registers for values; the last one is for what lasts one step.
const VECTORS: usize = 31;
const TEMPORARY: Register = Register::ZMM31;
/// Mask registers: K0 means "no mask", K1 is EXEC.
const FIRST_MASK: usize = 2;
const MASK_REGISTERS: usize = 8;
/// A use behind the last step: stored.
const AT_END: u32 = u32::MAX - 1;
const NEVER: u32 = u32::MAX;

/// The last operand of an instruction.
#[derive(Clone, Copy)]
enum Operand {
    Register(Register),
    /// Memory, and whether one dword of it stands for all lanes.
    Memory(MemoryOperand, bool),
}

/// The registers while a strip is emitted.
pub(super) struct Strip<'p> {
    plan: &'p Plan,
    all_lanes: bool,
    /// The steps that use each value, the last one first.
    uses: Vec<Vec<u32>>,
    register: Vec<Option<u8>>,
    slot: Vec<Option<u32>>,
    vectors: [Option<Value>; VECTORS],
    masks: [Option<Value>; MASK_REGISTERS],
    /// Vector registers that the step at hand needs, a bit each.
    pinned: u32,
    slots: u32,
}

impl<'p> Strip<'p> {
    pub(super) fn new(plan: &'p Plan, all_lanes: bool) -> Strip<'p> {
        let count = plan.steps.len();
        let mut uses = vec![Vec::new(); count];
        for &(_, value) in &plan.stores {
            uses[usize::from(value)].push(AT_END);
        }
        for (at, step) in plan.steps.iter().enumerate().rev() {
            for value in step.operands() {
                uses[usize::from(value)].push(at as u32);
            }
        }
        Strip {
            plan,
            all_lanes,
            uses,
            register: vec![None; count],
            slot: vec![None; count],
            vectors: [None; VECTORS],
            masks: [None; MASK_REGISTERS],
            pinned: 0,
            slots: 0,
        }
    }

    /// Emits all steps, then the stores.
    pub(super) fn emit(mut self, out: &mut Emitter) -> Result<(), Refused> {
        for at in 0..self.plan.steps.len() {
            self.pinned = 0;
            self.step(out, at as Value)?;
        }
        for &(place, value) in &self.plan.stores {
            self.pinned = 0;
            let from = self.vector(out, value)?;
            self.store(out, Emitter::row(place), from)?;
            self.used(value);
            self.release(value);
        }
        Ok(())
    }

    fn store(&self, out: &mut Emitter, to: MemoryOperand, from: Register) -> Result<(), Refused> {
        let mut store = Instruction::with2(STORE, to, from)?;
        if !self.all_lanes {
            store.set_op_mask(ACTIVE);
        }
        out.put(Ok(store))
    }

    fn next_use(&self, value: Value) -> u32 {
        self.uses[usize::from(value)].last().copied().unwrap_or(NEVER)
    }

    /// Notes one use as done.
    fn used(&mut self, value: Value) {
        self.uses[usize::from(value)].pop();
    }

    /// Frees the register of a value that nobody will use.
    fn release(&mut self, value: Value) {
        if self.next_use(value) == NEVER
            && let Some(register) = self.register[usize::from(value)].take()
        {
            if self.is_mask(value) {
                self.masks[usize::from(register)] = None;
            } else {
                self.vectors[usize::from(register)] = None;
            }
        }
    }

    fn is_mask(&self, value: Value) -> bool {
        matches!(
            self.plan.steps[usize::from(value)],
            Step::Compare { .. } | Step::Mask(_) | Step::Either(..) | Step::Both(..)
        )
    }

    /// Returns where a value can be had again at any time, and whether one dword there stands for all lanes.
    fn source(&self, out: &Emitter, value: Value) -> Option<(MemoryOperand, bool)> {
        match self.plan.steps[usize::from(value)] {
            Step::Row(place) => Some((Emitter::row(place), false)),
            Step::Uniform(uniform) => Some((out.uniform(uniform), true)),
            Step::Lds { base, offset, index: None } => Some((Emitter::lds(base, offset), true)),
            _ => None,
        }
    }

    /// Takes a vector register for `value`.
    fn take(&mut self, out: &mut Emitter, value: Value) -> Result<Register, Refused> {
        let at = self.room(out)?;
        Ok(self.hold(at, value))
    }

    /// Returns a vector register that holds nothing.
    fn room(&mut self, out: &mut Emitter) -> Result<usize, Refused> {
        match self.vectors.iter().position(Option::is_none) {
            Some(at) => Ok(at),
            None => self.evict(out),
        }
    }

    /// Notes that a register holds `value`, and that the step at hand needs it.
    fn hold(&mut self, at: usize, value: Value) -> Register {
        self.vectors[at] = Some(value);
        self.register[usize::from(value)] = Some(at as u8);
        self.pinned |= 1 << at;
        vector(at)
    }

    /// Frees the register whose value is used last.
    fn evict(&mut self, out: &mut Emitter) -> Result<usize, Refused> {
        let held = self.vectors.iter().enumerate().filter_map(|(at, held)| held.map(|value| (at, value)));
        let unpinned = held.filter(|(at, _)| self.pinned >> at & 1 == 0);
        let (at, value) = unpinned.max_by_key(|&(_, value)| self.next_use(value)).ok_or(Refused::Crowded)?;
        if self.slot[usize::from(value)].is_none() && self.source(out, value).is_none() {
            if self.slots == SLOTS {
                return Err(Refused::Crowded);
            }
            self.slot[usize::from(value)] = Some(self.slots);
            out.put(Instruction::with2(STORE, frame(self.slots), vector(at)))?;
            self.slots += 1;
        }
        self.register[usize::from(value)] = None;
        Ok(at)
    }

    /// Loads a value into a register.
    fn load(&self, out: &mut Emitter, to: Register, value: Value) -> Result<(), Refused> {
        if let Some(from) = self.register[usize::from(value)] {
            return out.put(Instruction::with2(LOAD, to, vector(usize::from(from))));
        }
        let (from, one) = match (self.slot[usize::from(value)], self.source(out, value)) {
            (Some(slot), _) => (frame(slot), false),
            (None, Some(source)) => source,
            // PANIC: none; a value that is nowhere has not been computed, and plans name values after they are made.
            (None, None) => return Err(Refused::Crowded),
        };
        out.put(Instruction::with2(if one { SPREAD } else { LOAD }, to, from))
    }

    /// Returns the register that holds a value, which is loaded if it was in none.
    fn vector(&mut self, out: &mut Emitter, value: Value) -> Result<Register, Refused> {
        if let Some(at) = self.register[usize::from(value)] {
            self.pinned |= 1 << at;
            return Ok(vector(usize::from(at)));
        }
        let at = self.room(out)?;
        self.load(out, vector(at), value)?;
        Ok(self.hold(at, value))
    }

    /// Returns a value as a last operand: memory, where it is there and used no more.
    fn operand(&mut self, out: &mut Emitter, value: Value) -> Result<Operand, Refused> {
        if self.register[usize::from(value)].is_none() && self.uses[usize::from(value)].len() == 1 {
            if let Some(slot) = self.slot[usize::from(value)] {
                return Ok(Operand::Memory(frame(slot), false));
            }
            if let Some((memory, one)) = self.source(out, value) {
                return Ok(Operand::Memory(memory, one));
            }
        }
        Ok(Operand::Register(self.vector(out, value)?))
    }

    /// Returns a mask's register.
    fn mask(&self, value: Value) -> Result<Register, Refused> {
        let at = self.register[usize::from(value)].ok_or(Refused::Crowded)?;
        Ok(mask(usize::from(at)))
    }

    fn take_mask(&mut self, value: Value) -> Result<Register, Refused> {
        let free = (FIRST_MASK..MASK_REGISTERS).find(|&at| self.masks[at].is_none());
        let at = free.ok_or(Refused::Crowded)?;
        self.masks[at] = Some(value);
        self.register[usize::from(value)] = Some(at as u8);
        Ok(mask(at))
    }

    /// Notes that a step has its operands; what it makes may go where they were.
    fn consumed(&mut self, step: &Step) {
        for value in step.operands() {
            self.used(value);
        }
        for value in step.operands() {
            self.release(value);
        }
    }

    fn step(&mut self, out: &mut Emitter, value: Value) -> Result<(), Refused> {
        let step = self.plan.steps[usize::from(value)];
        let wanted = !self.uses[usize::from(value)].is_empty();
        if !wanted && !matches!(step, Step::PutMask { .. }) {
            // Overwritten before anybody used it. Its operands are not used here either.
            for operand in step.operands() {
                self.used(operand);
                self.release(operand);
            }
            return Ok(());
        }
        match step {
            // Fetched where they are used.
            Step::Row(_) | Step::Uniform(_) | Step::Lds { index: None, .. } => Ok(()),
            Step::Index { base } => self.index(out, value, base),
            Step::Lds { base, offset, index: Some(index) } => {
                let index = self.vector(out, index)?;
                self.consumed(&step);
                let to = self.take(out, value)?;
                let code = Code::EVEX_Vpermd_zmm_k1z_zmm_zmmm512b32;
                out.put(Instruction::with3(code, to, index, Emitter::lds(base, offset)))
            }
            Step::Copy(a) => {
                let to = self.take(out, value)?;
                self.load(out, to, a)?;
                self.consumed(&step);
                Ok(())
            }
            Step::Unary { code, imm, a } => {
                let a = self.operand(out, a)?;
                self.consumed(&step);
                let to = self.take(out, value)?;
                out.put(unary(code, to, a, imm))
            }
            Step::Binary { code, imm, a, b } => {
                let a = self.vector(out, a)?;
                let b = self.operand(out, b)?;
                self.consumed(&step);
                let to = self.take(out, value)?;
                out.put(binary(code, to, a, b, imm))
            }
            Step::Fma { a, b, c } => self.fma(out, value, [a, b, c]),
            Step::Ternary { imm, a, b, c } => {
                let to = self.overlay(out, value, a, &[b, c])?;
                let b = self.vector(out, b)?;
                let c = self.operand(out, c)?;
                out.put(binary(Code::EVEX_Vpternlogd_zmm_k1z_zmm_zmmm512b32_imm8, to, b, c, Some(imm)))?;
                self.consumed(&step);
                Ok(())
            }
            Step::Compare { code, imm, a, b } => {
                let a = self.vector(out, a)?;
                let b = self.operand(out, b)?;
                self.consumed(&step);
                let to = self.take_mask(value)?;
                let mut compare = binary(code, to, a, b, Some(imm))?;
                if !self.all_lanes {
                    compare.set_op_mask(ACTIVE);
                }
                out.put(Ok(compare))
            }
            Step::Mask(pair) => {
                let to = self.take_mask(value)?;
                out.put(Instruction::with2(Code::VEX_Kmovw_kr_km16, to, pair_at(pair)))
            }
            Step::Either(a, b) => self.combine(out, value, Code::VEX_Korw_kr_kr_kr, [a, b]),
            Step::Both(a, b) => self.combine(out, value, Code::VEX_Kandw_kr_kr_kr, [a, b]),
            Step::Select { mask, a, b } => {
                let by = self.mask(mask)?;
                let a = self.vector(out, a)?;
                let b = self.operand(out, b)?;
                self.consumed(&step);
                let to = self.take(out, value)?;
                let mut select = binary(Code::EVEX_Vpblendmd_zmm_k1z_zmm_zmmm512b32, to, a, b, None)?;
                select.set_op_mask(by);
                out.put(Ok(select))
            }
            Step::PutMask { pair, mask } => {
                let from = self.mask(mask)?;
                self.consumed(&step);
                out.put(Instruction::with2(Code::VEX_Kmovw_m16_kr, pair_at(pair), from))
            }
        }
    }

    /// A mask of two others.
    fn combine(&mut self, out: &mut Emitter, value: Value, code: Code, [a, b]: [Value; 2]) -> Result<(), Refused> {
        let (a, b) = (self.mask(a)?, self.mask(b)?);
        self.consumed(&self.plan.steps[usize::from(value)]);
        let to = self.take_mask(value)?;
        out.put(Instruction::with3(code, to, a, b))
    }

    /// The strip's lanes as dwords from the first one's address, which the base's register gets.
    fn index(&mut self, out: &mut Emitter, value: Value, base: u8) -> Result<(), Refused> {
        let Base::Row(place) = self.plan.bases[usize::from(base)].base else { return Ok(()) };
        let (to, at) = (self.take(out, value)?, Emitter::row(place));
        out.base(base, at)?;
        out.put(Instruction::with2(LOAD, TEMPORARY, at))?;
        out.put(Instruction::with2(Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32, to, at))?;
        out.put(Instruction::with3(Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, to, TEMPORARY, to))?;
        out.put(Instruction::with3(Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8, to, to, 2u32))
    }

    /// Whether the step at hand may write the register of operand `value`: it is used no more.
    fn may_overwrite(&self, value: Value, others: &[Value]) -> bool {
        let own = 1 + others.iter().filter(|&&other| other == value).count();
        self.register[usize::from(value)].is_some() && self.uses[usize::from(value)].len() == own
    }

    /// Gives `value` the register of `over`, which the instruction overwrites, or another one with the same in it.
    fn overlay(&mut self, out: &mut Emitter, value: Value, over: Value, others: &[Value]) -> Result<Register, Refused> {
        if self.may_overwrite(over, others)
            && let Some(at) = self.register[usize::from(over)]
            && others.iter().all(|&other| other != over)
        {
            self.register[usize::from(over)] = None;
            return Ok(self.hold(usize::from(at), value));
        }
        let to = self.take(out, value)?;
        self.load(out, to, over)?;
        Ok(to)
    }

    /// `a * b + c` in the form that overwrites an operand that is not needed any more. All forms prefer `a`'s NaN, then `b`'s.
    fn fma(&mut self, out: &mut Emitter, value: Value, [a, b, c]: [Value; 3]) -> Result<(), Refused> {
        let step = self.plan.steps[usize::from(value)];
        let [form_132, form_213, form_231] = [
            Code::EVEX_Vfmadd132ps_zmm_k1z_zmm_zmmm512b32_er,
            Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er,
            Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er,
        ];
        let distinct = a != b && b != c && a != c;
        if distinct && !self.may_overwrite(c, &[]) && self.may_overwrite(b, &[]) {
            let to = self.overlay(out, value, b, &[])?;
            let a = self.vector(out, a)?;
            let c = self.operand(out, c)?;
            out.put(binary(form_213, to, a, c, None))?;
        } else if distinct && !self.may_overwrite(c, &[]) && self.may_overwrite(a, &[]) {
            let to = self.overlay(out, value, a, &[])?;
            let c = self.vector(out, c)?;
            let b = self.operand(out, b)?;
            out.put(binary(form_132, to, c, b, None))?;
        } else {
            let to = self.overlay(out, value, c, &[a, b])?;
            let a = self.vector(out, a)?;
            let b = self.operand(out, b)?;
            out.put(binary(form_231, to, a, b, None))?;
        }
        self.consumed(&step);
        Ok(())
    }
}

fn vector(at: usize) -> Register {
    Register::ZMM0 + at as u32
}

fn mask(at: usize) -> Register {
    Register::K0 + at as u32
}

/// The strip's part of a mask in a pair of scalar registers.
fn pair_at(pair: u8) -> MemoryOperand {
    MemoryOperand::with_base_displ(MASKS, 4 * i64::from(pair))
}

fn frame(slot: u32) -> MemoryOperand {
    MemoryOperand::with_base_displ(Register::RSP, 64 * i64::from(slot))
}

type Encoded = Result<Instruction, iced_x86::IcedError>;

fn unary(code: Code, to: Register, a: Operand, imm: Option<u8>) -> Encoded {
    match (a, imm.map(u32::from)) {
        (Operand::Register(a), None) => Instruction::with2(code, to, a),
        (Operand::Register(a), Some(imm)) => Instruction::with3(code, to, a, imm),
        (Operand::Memory(a, one), None) => spread(Instruction::with2(code, to, a), one),
        (Operand::Memory(a, one), Some(imm)) => spread(Instruction::with3(code, to, a, imm), one),
    }
}

fn binary(code: Code, to: Register, a: Register, b: Operand, imm: Option<u8>) -> Encoded {
    match (b, imm.map(u32::from)) {
        (Operand::Register(b), None) => Instruction::with3(code, to, a, b),
        (Operand::Register(b), Some(imm)) => Instruction::with4(code, to, a, b, imm),
        (Operand::Memory(b, one), None) => spread(Instruction::with3(code, to, a, b), one),
        (Operand::Memory(b, one), Some(imm)) => spread(Instruction::with4(code, to, a, b, imm), one),
    }
}

/// Makes a memory operand one dword for all lanes.
fn spread(instruction: Encoded, one: bool) -> Encoded {
    let mut instruction = instruction?;
    instruction.set_is_broadcast(one);
    Ok(instruction)
}
