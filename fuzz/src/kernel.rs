//! Real kernels with some of their instructions changed, run beside another tenant on the same compute units.
//!
//! Promise: whatever a kernel became, it can be stopped, put aside, brought back and got rid of; and the other tenant, whose waves
//! come and go in between, computes what its oracle says.
//!
//! The first bytes choose the program, its target and level, and the other tenant's turns; then eight bytes each are a change: where, how, and what.

use gcn::engine::Outcome;
use gcn::hardware::CuHardware;
use kernels::Ending;

use crate::rig::{CUS, Tenant, place_of};

/// Turns of both tenants before the changed program is ended.
const TURNS: u32 = 6;
/// Questions of a turn: each is 256 instructions of a wave.
const QUESTIONS: u32 = 40;
/// Bytes from a kernel's entry in which changes fall.
const CODE_BYTES: usize = 4096;

pub(crate) fn feed(data: &[u8]) {
    let &[program, place, turns, ref changes @ ..] = data else { return };
    let (arch, target, level) = place_of(place);
    let kernel = &kernels::all()[usize::from(program) % kernels::all().len()];
    let Some(object) = kernel.code_object_at(target, level) else { return };
    let mut hostile = Tenant::new(arch);
    let case = kernel.small_case(u64::from(turns));
    if hostile.submit(object, &case, |code| apply(changes, code)).is_none() {
        return;
    }
    let neighbour = kernels::find("reduction").expect("an embedded kernel");
    let quiet_case = neighbour.small_case(3);
    let mut quiet = Tenant::new(arch);
    let addresses = quiet.submit(neighbour.code_object(target), &quiet_case, |_| {}).expect("room for a small case");

    let mut hw = CuHardware::power_on(CUS as usize);
    let mut quiet_done = false;
    for turn in 0..TURNS {
        hostile.turn(&mut hw, QUESTIONS << (turns >> turn & 1));
        hw.iter_mut().for_each(CuHardware::scrub);
        if !quiet_done {
            quiet_done = quiet.turn(&mut hw, 3) == Outcome::Drained;
            hw.iter_mut().for_each(CuHardware::scrub);
        }
    }
    while !quiet_done {
        quiet_done = quiet.turn(&mut hw, 1000) == Outcome::Drained;
    }
    let found = quiet_case.check(&quiet.buffers(&quiet_case, &addresses));
    assert!(found.is_ok(), "{} beside {}: {found:?}", neighbour.name, kernel.name);
    assert!(hostile.context.destroy_queue(hostile.queue));
    hostile.context.resume(&mut hw);
    assert_eq!(hostile.context.size().waves, 0);
    assert_eq!(hostile.context.dispatch_sizes(), []);
}

pub(crate) fn apply(changes: &[u8], code: &mut [u8]) {
    let words = code.len().min(CODE_BYTES) / 4;
    if words == 0 {
        return;
    }
    for change in changes.as_chunks::<8>().0 {
        let [w0, w1, how, with, value @ ..] = *change;
        let at = 4 * (usize::from(u16::from_le_bytes([w0, w1])) % words);
        let value = u32::from_le_bytes(value);
        let from = 4 * (usize::from(with) % words);
        let read = |code: &[u8], at: usize| u32::from_le_bytes([code[at], code[at + 1], code[at + 2], code[at + 3]]);
        let word = read(code, at);
        let new = match how % 6 {
            0 => value,
            1 => word ^ 1 << (with % 32),
            2 => read(code, from),
            // The operands of one instruction under the opcode of another, and the other way round.
            3 => word & 0xffff_0000 | value & 0xffff,
            4 => word & 0xffff | value & 0xffff_0000,
            _ => word.wrapping_add(1 << (with % 32)),
        };
        code[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
}

/// Every program that ends, with nothing changed and with one word.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, kernel) in kernels::all().iter().enumerate() {
        if kernel.small_case(0).ending == Ending::NeverEnds {
            continue;
        }
        for place in 0..8 {
            let change = |at: u8| [at, 0, at % 6, at.wrapping_mul(7), at, 3, 0x40, 0x7e];
            seeds.push([&[number as u8, place, 0x15][..], &change(place * 9 + 1), &change(place * 11 + 40)].concat());
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_fall_into_the_code_and_nowhere_else() {
        let mut code = vec![0; 64];
        apply(&[3, 0, 0, 0, 1, 2, 3, 4, 255, 255, 0, 0, 9, 9, 9, 9], &mut code);
        assert_eq!((code[12..16].to_vec(), code[60..].to_vec()), (vec![1, 2, 3, 4], vec![9; 4]));
        assert_eq!(code.iter().filter(|&&byte| byte != 0).count(), 8);
        apply(&[0; 8], &mut []);
    }

    /// What was not changed computes what it always does: the target would see if its harness were broken.
    #[test]
    fn an_unchanged_program_ends_right() {
        let kernel = kernels::find("scan").expect("an embedded kernel");
        let case = kernel.small_case(1);
        for place in [0, 1] {
            let (arch, target, _) = place_of(place);
            let mut tenant = Tenant::new(arch);
            let addresses = tenant.submit(kernel.code_object(target), &case, |_| {}).expect("room");
            let mut hw = CuHardware::power_on(CUS as usize);
            while tenant.turn(&mut hw, 2) == Outcome::Stopped {}
            assert_eq!(case.check(&tenant.buffers(&case, &addresses)), Ok(()));
        }
    }
}
