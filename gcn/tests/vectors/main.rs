//! Differential vectors: every instruction against a slow model of one lane, written from the ISA documents' pseudo-code.
//!
//! Promise of `gcn`: each row of the instruction table computes what the document says at the values where instructions go wrong (NaNs of both kinds,
//! infinities, denormals, the ends of the integers, shifts beyond the width), on every execution tier, for lanes that are on, and leaves lanes that are off
//! alone. The models share no code with the interpreter: floats are exact integers that are rounded once ([`exact`]).
//!
//! The rows come from the table, so a new one without a model fails [`every_row_has_vectors`] until it has one here, or a line in [`elsewhere`]
//! that says which test has its vectors.

mod edges;
mod elsewhere;
mod exact;
mod machine;
mod memory;
mod scalar;
mod special;
mod vector;

use std::panic::{AssertUnwindSafe, catch_unwind};

use gcn::arch::Arch;
use gcn::isa::{self, Encoding, ROWS, Row, Traits, Ty};

use edges::Operands;
use machine::{Machine, tiers};
use vector::{Lane, Model, Want};

/// First registers of the sources, of the destination and of the mask that VOP3 forms read and write.
const SOURCES: [usize; 3] = [2, 10, 18];
const TO: usize = 26;
const MASK: usize = 30;
const VCC: usize = 106;
/// First accumulation register, in the rows of the register file.
const ACCUMULATION: usize = 64;
const LITERAL: u32 = 0x4049_3c01;

/// What must run: everything of an architecture that is not decoded only.
fn executed(arch: Arch) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.archs.contains(arch) && !row.traits.has(Traits::DECODE_ONLY))
}

/// Which part of this test a row's vectors are in, if any.
fn has_vectors(row: &Row) -> bool {
    vector::model(row).is_some() || scalar::model(row).is_some() || memory::has_model(row)
}

#[test]
fn every_row_has_vectors() {
    let mut named = Vec::new();
    let mut without = Vec::new();
    for row in ROWS.iter().filter(|row| !row.traits.has(Traits::DECODE_ONLY)) {
        match (has_vectors(row), elsewhere::covered(row)) {
            (true, None) => {}
            (false, Some(name)) => named.push(name),
            (false, None) => without.push(row.name),
            (true, Some(_)) => panic!("{} has vectors here: elsewhere.rs need not name it", row.name),
        }
        assert!(vector::model(row).is_none() || words(row).is_some(), "{} has a model that is never run", row.name);
    }
    assert!(without.is_empty(), "no vectors for {without:?}: give them a model, or say where they are");
    for (name, _) in elsewhere::LIST {
        assert!(named.contains(name), "{name} of elsewhere.rs is no row");
    }
}

/// The words of a vector instruction on the registers above; `None` if its encoding is no vector one.
fn words(row: &Row) -> Option<Vec<u32>> {
    let op = u32::from(row.op);
    let [a, b, c] = SOURCES.map(|r| r as u32);
    let to = TO as u32;
    let third = if row.src[2] == Ty::Mask { MASK as u32 } else { 0x100 | c };
    let second = 0x100 | a | (0x100 | b) << 9 | third << 18;
    Some(match row.encoding {
        Encoding::Vop1 => vec![0x7e00_0000 | to << 17 | op << 9 | 0x100 | a],
        Encoding::Vop2 if row.traits.has(Traits::LITERAL) => vec![op << 25 | to << 17 | b << 9 | 0x100 | a, LITERAL],
        Encoding::Vop2 => vec![op << 25 | to << 17 | b << 9 | 0x100 | a],
        Encoding::Vopc => vec![0x7c00_0000 | op << 17 | b << 9 | 0x100 | a],
        Encoding::Vop3 => vec![0xd000_0000 | op << 16 | to, second],
        Encoding::Vop3b => vec![0xd000_0000 | op << 16 | (MASK as u32) << 8 | to, second],
        // Halves crosswise by default; a mixed operand is a float without.
        Encoding::Vop3p if row.traits.has(Traits::MIX) => vec![0xd380_0000 | op << 16 | to, second],
        Encoding::Mai if row.name.starts_with("v_accvgpr") => vec![0xd380_4000 | op << 16 | to, 0x1800_0100 | a],
        Encoding::Vop3p => vec![0xd380_4000 | op << 16 | to, second | 0x1800_0000],
        _ => return None,
    })
}

fn is_half(ty: Ty) -> bool {
    matches!(ty, Ty::F16 | Ty::B16 | Ty::I16 | Ty::U16)
}

/// Whether the half of a register that a 16-bit result leaves alone keeps what it held. It becomes zero for the others, as on the processors before.
fn keeps_high_half(row: &Row) -> bool {
    row.traits.has(Traits::OP_SEL)
}

/// Runs a row through all its operands.
fn check(machine: &mut Machine, row: &Row, model: &Model, words: &[u32], every: usize) {
    let seed = words.iter().fold(u64::from(row.op), |seed, &word| seed.rotate_left(21) ^ u64::from(word));
    let mut operands = Operands::new(row.src.map(|ty| if ty == Ty::Mask { Ty::None } else { ty }), seed);
    let passes = operands.passes(64);
    let dwords = usize::from(row.dst.dwords());
    // Where a mask comes from and goes to: VCC in the short forms and where an instruction reads it by itself.
    let short = matches!(row.encoding, Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc);
    let reads = if short || row.name.starts_with("v_div_fmas") { VCC } else { MASK };
    let writes_mask = row.traits.has(Traits::CARRY_OUT) || matches!(row.encoding, Encoding::Vopc | Encoding::Vop3b);
    let writes = if short { VCC } else { MASK };
    // Accumulation registers lie behind the others.
    let from = if row.traits.has(Traits::ACC_SRC) { ACCUMULATION } else { 0 };
    let to = TO + if row.traits.has(Traits::ACC_DST) { ACCUMULATION } else { 0 };
    machine.load(words);
    // The last passes, with lanes off, are always among them.
    for pass in (0..passes).rev().step_by(every).chain(passes - 4..passes) {
        let exec = operands.exec(pass, passes);
        let bits = edges::Random(seed ^ pass as u64).next();
        let mut lanes = Vec::with_capacity(64);
        for lane in 0..64 {
            let mut s = operands.lane(pass, lane, 64);
            for (k, (value, ty)) in s.iter_mut().zip(row.src).enumerate() {
                machine.set_lane(from + SOURCES[k], usize::from(ty.dwords()), lane, u128::from(*value));
                *value &= match ty.dwords() {
                    _ if is_half(ty) => 0xffff,
                    1 => 0xffff_ffff,
                    _ => u64::MAX,
                };
            }
            // What accumulates begins with any third operand.
            let old = if row.traits.has(Traits::ACCUMULATES) {
                operands.lane(pass + 3, 63 - lane, 64)[0]
            } else {
                s[0] ^ 0x9b9b_9b9b
            };
            let old = old & if dwords == 2 { u64::MAX } else { 0xffff_ffff };
            machine.set_lane(to, dwords.max(1), lane, u128::from(old));
            lanes.push(Lane { s, old, bit: bits >> lane & 1 == 1, literal: LITERAL, lane: lane as u32 });
        }
        machine.set_exec(exec);
        machine.set_pair(VCC, 0x0123_4567_89ab_cdef);
        machine.set_pair(MASK, 0x0123_4567_89ab_cdef);
        machine.set_pair(reads, bits);
        if let Err(error) = machine.run() {
            panic!("{}: {error}", row.name);
        }
        let mut mask = 0;
        for (at, lane) in lanes.iter().enumerate() {
            let got = if row.encoding == Encoding::Vopc { 0 } else { machine.lane(to, dwords, at) as u64 };
            let on = exec >> at & 1 == 1 || row.traits.has(Traits::IGNORES_EXEC);
            let (want, bit) = if on { model(lane) } else { (Want::Bits(lane.old), false) };
            mask |= u64::from(bit) << at;
            if dwords == 0 || row.encoding == Encoding::Vopc {
                continue;
            }
            let (width, compared) = if is_half(row.dst) && on && !row.traits.has(Traits::MIX) {
                let high = if keeps_high_half(row) { lane.old >> 16 } else { 0 };
                assert_eq!(got >> 16, high, "{}: the other half, lane {at} of {:x?}", row.name, lane.s);
                (16, got & 0xffff)
            } else {
                (32 * dwords as u32, got)
            };
            assert!(
                want.allows(compared, width),
                "{} lane {at}: {:x?}, {:x} before, bit {}: got {got:#x}, want {want:x?}",
                row.name,
                lane.s,
                lane.old,
                lane.bit
            );
        }
        if writes_mask {
            assert_eq!(machine.pair(writes), mask, "{}: the mask it writes, EXEC {exec:#x}", row.name);
        }
        let exec_then = if row.name.starts_with("v_cmpx") { mask } else { exec };
        assert_eq!(machine.pair(126), exec_then, "{}: EXEC", row.name);
    }
}

/// Applies `check` to all rows, on every architecture and tier; returns how many it had a model for.
///
/// A row that fails does not hide the others: all are named in the end.
fn all(check: impl Fn(&mut Machine, Arch, &'static Row, usize) -> bool) -> usize {
    let (mut rows, mut wrong) = (0, Vec::new());
    for arch in Arch::ALL {
        for (number, tier) in tiers().iter().enumerate() {
            let mut machine = Machine::new(arch, tier);
            for row in executed(arch) {
                // All pairs of operands once; where the row has had them, every fifth lot of them.
                let seen = number > 0 || arch == Arch::Gfx942 && row.archs.contains(Arch::Gfx90a);
                let every = if seen { 5 } else { 1 };
                match catch_unwind(AssertUnwindSafe(|| check(&mut machine, arch, row, every))) {
                    Ok(checked) => rows += usize::from(checked),
                    Err(_) => {
                        wrong.push(format!("{} on {arch}, {}", row.name, tier.name()));
                        machine = Machine::new(arch, tier);
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} failed, each said above how: {wrong:?}", wrong.len());
    rows
}

#[test]
fn vector_instructions_compute_what_the_document_says() {
    let rows = all(|machine, arch, row, every| {
        let (Some(model), Some(words)) = (vector::model(row), words(row)) else { return false };
        assert!(isa::decode(arch, &words).is_ok_and(|fields| std::ptr::eq(fields.row(), row)), "{}", row.name);
        check(machine, row, &model, &words, every);
        true
    });
    assert!(rows > 4 * 450, "only {rows} rows");
}

#[test]
fn scalar_instructions_compute_what_the_document_says() {
    let rows = all(|machine, _, row, every| {
        let Some(model) = scalar::model(row) else { return false };
        scalar::check(machine, row, &model, every);
        true
    });
    assert!(rows > 4 * 100, "only {rows} rows");
}

#[test]
fn loads_stores_and_atomics_do_what_the_document_says() {
    let rows = all(memory::check);
    assert!(rows > 4 * 250, "only {rows} rows");
}
