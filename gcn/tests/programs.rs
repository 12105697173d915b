//! The programs of `kernels`, as every level of optimisation makes them, against their oracles; and stopped at thousands of places.
//!
//! Promise of `gcn`: it runs what compilers emit, exactly, and a program that is suspended anywhere, while others use the same compute
//! units, ends as if nothing had happened.

mod rig;

use gcn::Tier;
use kernels::{Ending, Kernel, Level, Target};
use rig::Machine;

/// Runs a case to its end and returns its buffers and how often it was stopped; `stops` are the questions until each stop, with `look_every`
/// instructions between two. All that can be translated is, or nothing.
fn run(
    machine: &mut Machine,
    target: Target,
    object: &[u8],
    case: &kernels::Case,
    translate: bool,
    (look_every, stops): (u32, &[u64]),
) -> (Vec<Vec<u8>>, usize) {
    let mut session = machine.session(target, object, case, 1);
    session.translate(translate);
    session.submit();
    if !stops.is_empty() {
        session.look_every(look_every);
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
            for translate in [false, true] {
                let (after, _) = run(&mut machine, target, object, &case, translate, (1, &[]));
                let what = format!("{} at {level:?} on {target}, translated: {translate}", kernel.name);
                assert_eq!(case.check(&after), Ok(()), "{what}");
            }
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
        let (whole, _) = run(&mut machine, target, object, &case, false, (1, &[]));
        // At every instruction, where nothing that is translated fits between two questions, and at some of them, between what is.
        for (translate, look_every) in [(false, 1), (true, 20)] {
            let (pieces, stopped) = run(&mut machine, target, object, &case, translate, (look_every, &stops));
            assert!(
                whole == pieces,
                "{} on {target}: suspends changed the result, translated: {translate}",
                kernel.name
            );
            assert_eq!(case.check(&pieces), Ok(()), "{} on {target}", kernel.name);
            points += stopped;
        }
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

/// Whether what it leaves depends on whose turn it is: the order in which atomics that race return, or who found a flag set.
fn depends_on_the_schedule(kernel: &str) -> bool {
    matches!(kernel, "atomics" | "flags" | "global_sync")
}

/// Where a run is stopped: close together and far apart.
fn places(random: &mut impl FnMut() -> u64, count: usize) -> Vec<u64> {
    (0..count).map(|_| random() % [2, 20, 150][(random() % 3) as usize]).collect()
}

/// Every program at places that a seed chooses, other tenants' programs in between on the same compute units: `canary_write`, which fills all
/// registers and all LDS of a unit, and two that use LDS and private memory. All memory must be the same to the bit, code, arguments and
/// private memory included. What does not depend on the schedule runs on several host threads too, and leaves what it leaves on one; but for
/// private memory, because which wave has which slot does depend on it.
fn all_give_way(target: Target) {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed >> 33
    };
    let small = |name: &str| kernels::find(name).unwrap().small_case(11);
    let cases = [kernels::canary::write_case(8, 0x5eed_0000), small("reduction"), small("scratch")];
    let mut machines: Vec<Machine> = cases.iter().map(|_| Machine::new()).collect();
    let others = machines.iter_mut().zip(&cases);
    let mut others: Vec<_> = others
        .map(|(machine, case)| {
            machine.session(target, kernels::find(case.kernel).unwrap().code_object(target), case, 1)
        })
        .collect();
    let mut machine = Machine::new();
    let (mut points, mut turn, mut private) = (0, 0, 0);
    for kernel in programs() {
        let (case, object) = (kernel.small_case(5), kernel.code_object(target));
        let mut whole = machine.session(target, object, &case, 1);
        whole.submit();
        assert!(whole.run(u64::MAX).0);
        let (plain, plain_private) = (whole.everything(), whole.private_memory());
        drop(whole);
        private += usize::from(plain_private.iter().any(|byte| *byte != plain_private[0]));
        for (threads, count) in [(1, 30), (2, 6), (4, 6)] {
            if threads > 1 && depends_on_the_schedule(kernel.name) {
                continue;
            }
            let stops = places(&mut random, count);
            let mut session = machine.session(target, object, &case, threads);
            session.submit();
            session.look_every(1);
            for &after in stops.iter().chain([&u64::MAX]) {
                if session.run(after).0 {
                    break;
                }
                session.give_way(&mut others[turn % cases.len()]);
                (points, turn) = (points + 1, turn + 1);
            }
            let place = format!("{} on {target}, {threads} threads, stopped at {stops:?}", kernel.name);
            assert!(session.everything() == plain, "{place}: memory is not what it is without stops");
            if threads == 1 {
                assert!(
                    session.private_memory() == plain_private,
                    "{place}: private memory is not what it is without stops"
                );
            }
            assert_eq!(case.check(&session.buffers()), Ok(()), "{place}");
        }
    }
    println!("{target}: {points} suspends");
    assert!(points > 1000, "only {points} suspends");
    assert!(private >= 2, "only {private} programs use private memory");
    assert_eq!(cases[0].check(&others[0].buffers()), Ok(()), "the other tenant filled everything");
}

#[test]
fn gfx90a_programs_give_way_to_others_anywhere() {
    all_give_way(Target::Gfx90a);
}

#[test]
fn gfx942_programs_give_way_to_others_anywhere() {
    all_give_way(Target::Gfx942);
}

/// What is between instructions and not in registers alone, or in many of them: registers chosen by index, waits for the whole grid, products of
/// the matrix cores. Suspended after every single instruction, with everything of the compute units overwritten meanwhile.
fn all_stopped_at_every_instruction(target: Target) {
    let mut machine = Machine::new();
    let mut points = 0;
    for name in ["vector_index", "global_sync", "mfma_f32", "mfma_f16", "mfma_i8", "mfma_f64"] {
        let kernel = kernels::find(name).unwrap();
        let (case, object) = (kernel.small_case(3), kernel.code_object(target));
        let mut whole = machine.session(target, object, &case, 1);
        whole.submit();
        let (done, instructions) = whole.run(u64::MAX);
        assert!(done);
        let plain = whole.buffers();
        drop(whole);
        let mut session = machine.session(target, object, &case, 1);
        session.submit();
        session.look_every(1);
        let mut stopped = 0;
        // One question is asked before the first instruction.
        while !session.run(1).0 {
            session.step_aside(stopped);
            stopped += 1;
        }
        // Nobody asks after the last instruction of a wave, nor after one that gives up its turn.
        assert!(u64::from(stopped) > instructions / 2, "{name} on {target}: {stopped} stops in {instructions}");
        assert_eq!(case.check(&session.buffers()), Ok(()), "{name} on {target}");
        if !depends_on_the_schedule(name) {
            assert!(session.buffers() == plain, "{name} on {target}: suspends changed the result");
        }
        points += stopped;
    }
    println!("{target}: {points} suspends");
    assert!(points > 1000, "only {points} suspends");
}

#[test]
fn gfx90a_programs_survive_being_suspended_at_every_instruction() {
    all_stopped_at_every_instruction(Target::Gfx90a);
}

#[test]
fn gfx942_programs_survive_being_suspended_at_every_instruction() {
    all_stopped_at_every_instruction(Target::Gfx942);
}

/// Memory, lane exchange and control flow included: what one tier leaves in memory, all leave there.
#[test]
fn programs_leave_the_same_bits_on_every_tier() {
    let mut machine = Machine::new();
    for (target, kernel) in [Target::Gfx90a, Target::Gfx942].into_iter().flat_map(|t| programs().map(move |k| (t, k))) {
        let (case, object) = (kernel.small_case(11), kernel.code_object(target));
        let mut after = |tier: &'static Tier| {
            let mut session = machine.session_on(tier, target, object, &case, 1);
            session.submit();
            assert!(session.run(u64::MAX).0);
            session.buffers()
        };
        let (portable, wider) = Tier::all().split_last().expect("the portable tier");
        let expected = after(portable);
        for tier in wider {
            assert!(after(tier) == expected, "{} on {target}: {} differs from portable", kernel.name, tier.name());
        }
    }
}
