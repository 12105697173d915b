//! The programs of `kernels`, as every level of optimisation makes them, against their oracles; and stopped at thousands of places.
//!
//! Promise of `gcn`: it runs what compilers emit, exactly, and a program that is suspended anywhere, while others use the same compute
//! units, ends as if nothing had happened.

mod rig;

use kernels::{Ending, Kernel, Level, Target};
use rig::Machine;

/// Runs a case to its end and returns its buffers and how often it was stopped; `stops` are the instructions until each stop.
fn run(
    machine: &mut Machine,
    target: Target,
    object: &[u8],
    case: &kernels::Case,
    stops: &[u64],
) -> (Vec<Vec<u8>>, usize) {
    let mut session = machine.session(target, object, case, 1);
    session.submit();
    if !stops.is_empty() {
        session.look_always();
    }
    let mut stopped = 0;
    for &after in stops.iter().chain([&u64::MAX]) {
        if session.run(after).0 {
            break;
        }
        session.step_aside(stopped as u32);
        stopped += 1;
    }
    (session.buffers(), stopped)
}

/// Programs that come to an end by themselves, and one that judges what others left behind.
fn programs() -> impl Iterator<Item = &'static Kernel> {
    kernels::all().iter().filter(|k| k.small_case(0).ending == Ending::Completes && !k.wants_clean_units())
}

/// Whatever a compiler makes of a program, it computes the same: unoptimised code calls every function and keeps every variable in memory.
fn all_levels(target: Target) {
    let mut machine = Machine::new();
    let mut judged = 0;
    for kernel in programs() {
        for level in Level::ALL {
            let Some(object) = kernel.code_object_at(target, level) else { continue };
            let case = kernel.small_case(level as u64);
            let (after, _) = run(&mut machine, target, object, &case, &[]);
            assert_eq!(case.check(&after), Ok(()), "{} at {level:?} on {target}", kernel.name);
            judged += 1;
        }
    }
    assert!(judged >= 4 * 40, "only {judged} programs");
}

#[test]
fn gfx90a_programs_of_every_level_are_right() {
    all_levels(Target::Gfx90a);
}

#[test]
fn gfx942_programs_of_every_level_are_right() {
    all_levels(Target::Gfx942);
}

/// Stops at places that a seed chooses, close together and far apart.
fn all_stopped(target: Target) {
    let mut machine = Machine::new();
    let (mut points, mut seed) = (0, 0x9e37_79b9_7f4a_7c15u64);
    for kernel in programs() {
        let case = kernel.small_case(7);
        let stops: Vec<u64> = (0..120)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                (seed >> 32) % [2, 20, 150][(seed % 3) as usize]
            })
            .collect();
        let object = kernel.code_object(target);
        let (whole, _) = run(&mut machine, target, object, &case, &[]);
        let (pieces, stopped) = run(&mut machine, target, object, &case, &stops);
        assert!(whole == pieces, "{} on {target}: suspends changed the result", kernel.name);
        assert_eq!(case.check(&pieces), Ok(()), "{} on {target}", kernel.name);
        points += stopped;
    }
    assert!(points > 1000, "only {points} suspends");
}

#[test]
fn gfx90a_programs_survive_being_suspended_anywhere() {
    all_stopped(Target::Gfx90a);
}

#[test]
fn gfx942_programs_survive_being_suspended_anywhere() {
    all_stopped(Target::Gfx942);
}
