//! A program that is stopped, put aside and brought back ends as if nothing had happened, whoever used the compute units in between.
//!
//! The lease counts questions, not time, so on one host thread a stop falls on the same instruction in every run, and the device
//! asks after every instruction if told to. In between, another tenant runs on the same compute units: `canary_write`, which fills
//! all registers and all LDS, and programs that do what programs do; their own results show that they did. What is compared is all
//! memory that the tenant has mapped: code, arguments, rings, signals (but for their times) and buffers, those it must not write among them.

use crate::rig::{Everything, Random, Rig, soft};
use gcn::aql::{KernelDispatch, Packet};
use kernels::{Case, Ending, Target};
use proptest::prelude::*;
use wavegate::device::soft::ComputeUnits;
use wavegate::device::{ContextBytes, Device, RunEnd};

const CUS: u32 = 4;

/// Another tenant on the same compute units.
struct Intruder {
    rig: Rig,
    queue: crate::rig::Queue,
    programs: Vec<(Case, Vec<u64>, KernelDispatch)>,
    turn: usize,
}

impl Intruder {
    fn new(target: Target, units: ComputeUnits) -> Intruder {
        let mut rig = Rig::on(&soft(&format!("arch={target},cus={CUS}")), units);
        let small = |name| kernels::find(name).expect("an embedded kernel").small_case(11);
        let cases =
            [kernels::canary::write_case(CUS, 0x5eed_0000), small("reduction"), small("scratch"), small("convert")];
        let programs = cases.into_iter().map(|case| {
            let program = rig.load(case.kernel);
            let addresses = rig.place(&case);
            let dispatch = rig.dispatch(&program, &case, &addresses);
            (case, addresses, dispatch)
        });
        let programs = programs.collect();
        let queue = rig.queue(64);
        Intruder { rig, queue, programs, turn: 0 }
    }

    /// Overwrites everything, then leaves what the next one of its programs leaves.
    fn intrude(&mut self) {
        self.turn += 1;
        for number in [0, self.turn % self.programs.len()] {
            let (case, addresses, dispatch) = &self.programs[number];
            self.queue.put(&Packet::kernel(dispatch, true, 0));
            self.rig.run();
            self.rig.check(case, addresses);
        }
    }
}

/// How a run went: all memory there is, and what was reported.
#[derive(Debug, PartialEq)]
struct Ended {
    everything: Everything,
    buffers: Vec<Vec<u8>>,
    signal: i64,
    fault: Option<String>,
    instructions: u64,
}

/// Runs `case`; `stops` says after how many questions to stop each time, then it runs to its end.
fn run(case: &Case, target: Target, threads: u32, look_every: u32, stops: &[u64]) -> (Ended, usize) {
    let config = soft(&format!("arch={target},cus={CUS},threads={threads}"));
    let units = ComputeUnits::private(CUS).expect("compute units");
    let mut rig = Rig::on(&config, units.clone());
    rig.device.set_look_every(look_every);
    let mut queue = rig.queue(64);
    let done = rig.signal(1);
    let addresses = rig.submit(&mut queue, case, done.address());
    let mut intruder = (!stops.is_empty()).then(|| Intruder::new(target, units));
    let (mut instructions, mut stopped) = (0, 0);
    for &questions in stops {
        let report = rig.run_until(questions);
        instructions += report.instructions;
        if report.end == RunEnd::Drained {
            break;
        }
        stopped += 1;
        let resident = rig.device.context();
        assert_eq!(rig.device.suspend(), resident);
        intruder.as_mut().expect("made for stops").intrude();
        if kernels::find(case.kernel).is_some_and(kernels::Kernel::wants_clean_units) {
            // It reads registers it never wrote, on compute units it had not begun to use.
            rig.device.scrub().expect("the software GPU can");
        }
        assert_eq!(rig.device.resume(), resident);
    }
    instructions += rig.run().instructions;
    assert_eq!(rig.device.context().waves, 0);
    let fault = rig.faults().into_iter().next().map(|(_, fault)| fault.text);
    let (everything, buffers) = (rig.everything(), rig.results(case, &addresses));
    (Ended { everything, buffers, signal: done.value(), fault, instructions }, stopped)
}

/// Whether its wave-instructions are the same however waves take turns: not if work-groups wait for each other, or try again what another wave was faster with.
fn counts_instructions(case: &Case) -> bool {
    !matches!(case.kernel, "flags" | "atomics" | "global_sync")
}

/// Everything that ends, in small.
fn case() -> impl Strategy<Value = Case> {
    let ends: Vec<_> =
        kernels::all().iter().filter(|k| k.small_case(0).ending != Ending::NeverEnds && k.name != "fault").collect();
    (prop::sample::select(ends), 1..400u32, any::<u64>())
        .prop_map(|(kernel, size, seed)| kernel.case(size.min(kernel.sizes.small), seed).expect("a size in range"))
}

fn target() -> impl Strategy<Value = Target> {
    prop::sample::select(Target::ALL.to_vec())
}

/// The context is the sum of its dispatches', each with its own registers, LDS and scratch.
#[test]
fn a_context_is_told_dispatch_by_dispatch() {
    for target in Target::ALL {
        let mut rig = Rig::on(&soft(&format!("arch={target},cus={CUS}")), ComputeUnits::private(CUS).expect("units"));
        let cases = [
            kernels::spin::case(3, 1 << 20, 1),
            kernels::find("transpose").expect("an embedded kernel").small_case(1),
            kernels::find("scratch").expect("an embedded kernel").case(128, 1).expect("a size"),
        ];
        let queues: Vec<_> = cases
            .iter()
            .map(|case| {
                let mut queue = rig.queue(64);
                queue.put(&Packet::barrier([0; 5], false, 0));
                rig.submit(&mut queue, case, 0);
                queue.handle
            })
            .collect();
        assert_eq!(rig.run_until(1).end, RunEnd::Stopped);
        let whole = rig.device.suspend();
        let parts = rig.device.residents();
        let names: Vec<_> = parts.iter().map(|part| (part.queue, part.packet)).collect();
        assert_eq!(names, queues.iter().map(|&queue| (queue, 1)).collect::<Vec<_>>(), "{target}");
        let sum = parts.iter().fold([0; 5], |sum, part| {
            let ContextBytes { waves, vgpr, sgpr, lds, scratch } = part.bytes;
            std::array::from_fn(|k| sum[k] + [waves, vgpr, sgpr, lds, scratch][k])
        });
        assert_eq!(sum, [whole.waves, whole.vgpr, whole.sgpr, whole.lds, whole.scratch], "{target}");
        let [spin, transpose, scratch] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!((spin.bytes.waves, spin.bytes.lds, spin.bytes.scratch), (3, 0, 0), "{target}");
        assert!(transpose.bytes.lds > 0 && transpose.bytes.scratch == 0, "{target}");
        assert!(scratch.bytes.scratch > 0, "{target}");
        rig.device.resume();
        for handle in queues {
            rig.device.destroy_queue(handle);
        }
        assert_eq!(rig.device.residents(), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    /// On one host thread waves take turns the same way with stops and without, but for whose turn is first after a stop. So
    /// memory must be the same to the bit, tolerance or not.
    #[test]
    fn memory_is_bit_identical_to_an_unsuspended_run(
        case in case(), target in target(), look_every in prop::sample::select(vec![1u32, 2, 7, 64, 256]),
        stops in prop::collection::vec(0..600u64, 1..8)
    ) {
        let (plain, _) = run(&case, target, 1, 256, &[]);
        let (suspended, _) = run(&case, target, 1, look_every, &stops);
        prop_assert_eq!(plain.everything.difference(&suspended.everything), None, "{}", case.kernel);
        prop_assert_eq!((plain.signal, &plain.fault), (suspended.signal, &suspended.fault));
        if counts_instructions(&case) {
            prop_assert_eq!(plain.instructions, suspended.instructions);
        }
        prop_assert!(case.check(&suspended.buffers).is_ok());
    }

    /// Two host threads race, so only the oracle can judge; every kernel's result is independent of the schedule.
    #[test]
    fn two_threads_pass_their_oracles_when_suspended(
        case in case(), target in target(), stops in prop::collection::vec(0..60u64, 1..6)
    ) {
        let (suspended, _) = run(&case, target, 2, 16, &stops);
        prop_assert_eq!(suspended.signal, 0);
        let wrong = case.check(&suspended.buffers);
        prop_assert!(wrong.is_ok(), "{:?}", wrong);
    }
}

/// The finest there is: a stop after every single instruction of every wave, from the first to the last.
#[test]
fn a_stop_after_every_instruction_changes_nothing() {
    for target in Target::ALL {
        for (kernel, size) in [("vector_add", 100), ("call", 3), ("scratch", 1), ("histogram", 40), ("transpose", 5)] {
            let case = kernels::find(kernel).expect("an embedded kernel").case(size, 7).expect("a size");
            let (plain, _) = run(&case, target, 1, 256, &[]);
            // The loop asks once before a pass and once after an instruction: one question, one instruction, a stop.
            let at_every = vec![1; 600];
            let (suspended, stopped) = run(&case, target, 1, 1, &at_every);
            // Nobody asks after an instruction that ends a wave or brings it to a barrier.
            let instructions = plain.instructions.min(600);
            assert!(
                stopped as u64 >= instructions * 8 / 10,
                "{kernel}: {stopped} stops in {instructions} instructions"
            );
            assert_eq!(plain, suspended, "{kernel} on {target}");
        }
    }
}

/// Whether what it leaves depends on whose turn it is: the order in which atomics of work-groups that race return, or which of them found a flag set.
fn depends_on_the_schedule(kernel: &str) -> bool {
    matches!(kernel, "atomics" | "flags" | "global_sync")
}

/// Every program that ends, at many places that a seed chooses, close together and far apart. Programs that do not depend on the schedule run on
/// several host threads too, and leave the same bits as on one.
fn suspended_anywhere(target: Target) {
    let mut random = Random(0x5eed ^ target as u64);
    let (mut points, mut programs) = (0, 0);
    for kernel in kernels::all().iter().filter(|k| k.small_case(0).ending == Ending::Completes) {
        let case = kernel.small_case(random.next());
        let (plain, _) = run(&case, target, 1, 256, &[]);
        assert!(case.check(&plain.buffers).is_ok(), "{}", kernel.name);
        for (threads, count) in [(1, 24), (2, 5), (4, 5)] {
            if threads > 1 && depends_on_the_schedule(kernel.name) {
                continue;
            }
            let look_every = [1, 3, 64][random.below(3) as usize];
            let mut stop = || {
                let bound = [3, 30, 300][random.below(3) as usize];
                random.below(bound)
            };
            let stops: Vec<u64> = (0..count).map(|_| stop()).collect();
            let (suspended, stopped) = run(&case, target, threads, look_every, &stops);
            let place =
                format!("{} on {target}, {threads} threads, stops {stops:?}, look every {look_every}", kernel.name);
            assert_eq!(plain.everything.difference(&suspended.everything), None, "{place}");
            assert_eq!((plain.signal, &plain.fault), (suspended.signal, &suspended.fault), "{place}");
            points += stopped;
        }
        programs += 1;
    }
    // A small program ends before all of its stops: some 750 come to pass.
    assert!(programs >= 40 && points >= 500, "only {points} suspends of {programs} programs");
}

#[test]
fn gfx90a_programs_suspended_anywhere_leave_the_same_bits() {
    suspended_anywhere(Target::Gfx90a);
}

#[test]
fn gfx942_programs_suspended_anywhere_leave_the_same_bits() {
    suspended_anywhere(Target::Gfx942);
}

/// A fault is found by the same instruction, lane and work-group, wherever the program was stopped before.
#[test]
fn a_fault_after_a_resume_is_the_same_fault() {
    let case = kernels::find("fault").expect("an embedded kernel").small_case(3);
    for target in Target::ALL {
        let (plain, _) = run(&case, target, 1, 256, &[]);
        assert!(plain.fault.is_some());
        // The text names addresses, and those depend on nothing but the order of allocations.
        let mut random = Random(5);
        for _ in 0..8 {
            let (suspended, _) = run(&case, target, 1, 1, &[random.below(6)]);
            assert_eq!(plain, suspended);
        }
    }
}

/// The other half of the tests above: without `resume` doing its work they would fail.
#[test]
fn the_intruder_really_overwrites() {
    let config = soft(&format!("arch=gfx90a,cus={CUS}"));
    let units = ComputeUnits::private(CUS).expect("compute units");
    let mut rig = Rig::on(&config, units.clone());
    let mut queue = rig.queue(64);
    let case = kernels::spin::case(8, 1000, 1);
    let addresses = rig.submit(&mut queue, &case, 0);
    assert_eq!(rig.run_until(10).end, RunEnd::Stopped);
    // No suspend, no resume: what is resident is lost to the other tenant.
    Intruder::new(rig.target, units).intrude();
    rig.lease.stop_after(100_000);
    rig.device.run(&rig.lease);
    assert!(case.check(&rig.results(&case, &addresses)).is_err());
}

#[test]
fn what_a_suspend_copies_is_what_is_resident() {
    let mut rig = Rig::new("arch=gfx90a,cus=2");
    let mut queue = rig.queue(64);
    assert_eq!(rig.device.suspend().copied(), 0);
    assert_eq!(rig.device.resume().copied(), 0);
    rig.submit(&mut queue, &kernels::canary::write_case(2, 1 << 30), 0);
    assert_eq!(rig.run_until(1).end, RunEnd::Stopped);
    let resident = rig.device.context();
    // Two full compute units: all 512 rows of four SIMDs, four waves' scalar registers, all LDS.
    assert_eq!((resident.waves, resident.vgpr, resident.lds), (8, 2 * 512 * 1024, 2 * 64 * 1024));
    assert_eq!(resident.sgpr, 8 * 128 * 4);
    assert_eq!(rig.device.suspend(), resident);
    assert_eq!(rig.device.suspend(), resident, "a second suspend keeps what the first one saved");
    assert_eq!(rig.device.resume(), resident);
    rig.run();
    assert_eq!(rig.device.context().copied(), 0);
    assert_eq!(rig.device.context_peak(), resident);
}
