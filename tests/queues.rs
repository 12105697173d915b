//! AQL: order, barriers, signals and slots. HSA Platform System Architecture Specification 1.2, sections 2.8 and 2.9.

use crate::rig::{Queue, Rig};
use gcn::aql::{Packet, TYPE_INVALID, signal};
use kernels::{Case, Target};
use std::sync::atomic::Ordering;
use wavegate::device::{Device, FaultClass, RunEnd};

/// A kernel of one wave that runs for this many wave-instructions.
fn spin(wave_instructions: u64) -> Case {
    kernels::spin::case(1, kernels::spin::iterations_for(wave_instructions), 1)
}

fn empty() -> Case {
    kernels::find("empty").expect("an embedded kernel").case(64, 0).expect("a size")
}

/// Puts `case` with or without the barrier bit; returns its completion signal.
fn put(rig: &mut Rig, queue: &mut Queue, case: &Case, barrier: bool) -> crate::rig::Signal {
    let done = rig.signal(1);
    let program = rig.load(case.kernel);
    let addresses = rig.place(case);
    queue.put(&Packet::kernel(&rig.dispatch(&program, case, &addresses), barrier, done.address()));
    done
}

fn header_kind(queue: &Queue, index: u64) -> u8 {
    queue.header(index) as u8
}

/// Runs a little at a time until `until`, or fails.
fn run_until(rig: &mut Rig, mut until: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if until() {
            return;
        }
        rig.run_until(1);
    }
    panic!("it never came to pass");
}

#[test]
fn completion_decrements_the_signal_and_stamps_it() {
    let mut rig = Rig::new("cus=2");
    let mut queue = rig.queue(64);
    let before = wavegate::clock::now_ns();
    let done = put(&mut rig, &mut queue, &spin(1000), true);
    done.set(5);
    let report = rig.run();
    let (start, end) = done.times();
    assert_eq!(done.value(), 4);
    assert!(before <= start && start < end && end <= wavegate::clock::now_ns(), "{before} {start} {end}");
    let first = report.first_instruction_ns.expect("instructions were executed");
    assert!(before <= first && first <= end);
    assert_eq!(*rig.lease.signals.lock().unwrap(), [done.address()], "its waiters are woken once");
}

/// What a driver reads to know which event to tell: the number is in the mailbox before anybody is woken.
#[test]
fn completion_writes_the_signals_event_into_its_mailbox() {
    let mut rig = Rig::new("cus=1");
    let mut queue = rig.queue(64);
    let (mailbox, untouched) = (rig.signal(0), rig.signal(77));
    for (event, has_mailbox) in [(0x1234_5678u32, true), (9, false)] {
        let done = rig.signal(1);
        let at = if has_mailbox { mailbox.address() + signal::VALUE } else { 0 };
        rig.memory.write(done.address() + signal::EVENT_MAILBOX, &at.to_le_bytes()).expect("a signal");
        rig.memory.write(done.address() + signal::EVENT_ID, &event.to_le_bytes()).expect("a signal");
        queue.put(&Packet::barrier([0; 5], false, done.address()));
        rig.run();
        assert_eq!((done.value(), mailbox.value(), untouched.value()), (0, 0x1234_5678, 77));
        assert_eq!(rig.lease.signals.lock().unwrap().pop(), Some(done.address()), "its waiters are woken");
    }
    // A mailbox that is none is its owner's fault.
    let done = rig.signal(1);
    rig.memory.write(done.address() + signal::EVENT_MAILBOX, &0x1000u64.to_le_bytes()).expect("a signal");
    queue.put(&Packet::barrier([0; 5], false, done.address()));
    rig.run();
    let faults = rig.faults();
    assert!(
        matches!(&faults[..], [(failed, fault)] if *failed == queue.handle && fault.address == Some(0x1000)),
        "{faults:?}"
    );
}

/// `s_sendmsg` with the interrupt message is how device code (`printf`, `malloc`, signals that kernels store to) asks for the host.
#[test]
fn a_kernel_that_sends_an_interrupt_wakes_the_host() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        let (mut queue, done) = (rig.queue(64), rig.signal(1));
        let case = empty();
        let program = rig.load(case.kernel);
        let dispatch = rig.dispatch(&program, &case, &[]);
        // The program's one instruction becomes s_sendmsg sendmsg(MSG_INTERRUPT), the word behind it what it was.
        let mut word = [0; 4];
        let first = (program.image.address..program.image.address + program.image.bytes).step_by(4).find(|&at| {
            rig.memory.read(at, &mut word).expect("code");
            word == 0xbf81_0000_u32.to_le_bytes()
        });
        let at = first.expect("s_endpgm");
        rig.memory.write(at, &[0xbf90_0001_u32, 0xbf81_0000].map(u32::to_le_bytes).concat()).expect("code");
        queue.put(&Packet::kernel(&dispatch, true, done.address()));
        rig.run();
        assert_eq!((done.value(), rig.lease.interrupts.load(Ordering::Relaxed)), (0, 1), "{target}");
    }
}

#[test]
fn packets_without_the_barrier_bit_overlap_and_complete_in_any_order() {
    let mut rig = Rig::new("cus=2");
    let mut queue = rig.queue(64);
    let long = put(&mut rig, &mut queue, &spin(1_000_000), false);
    let short = put(&mut rig, &mut queue, &spin(100), false);
    run_until(&mut rig, || short.value() == 0);
    assert_eq!(long.value(), 1);
    // The second is done, but slots are given back in order.
    assert_eq!(queue.read_index().load(Ordering::Acquire), 0);
    assert_ne!(header_kind(&queue, 1), TYPE_INVALID);
    rig.run();
    assert_eq!((long.value(), queue.read_index().load(Ordering::Acquire)), (0, 2));
    assert_eq!([0, 1].map(|n| header_kind(&queue, n)), [TYPE_INVALID; 2]);
}

#[test]
fn the_barrier_bit_waits_for_all_earlier_packets_of_its_queue_only() {
    let mut rig = Rig::new("cus=2");
    let (mut queue, mut other) = (rig.queue(64), rig.queue(64));
    let elsewhere = put(&mut rig, &mut other, &spin(10_000_000), false);
    let first = put(&mut rig, &mut queue, &spin(100_000), false);
    let second = put(&mut rig, &mut queue, &spin(50_000), false);
    let after = put(&mut rig, &mut queue, &empty(), true);
    run_until(&mut rig, || {
        assert!(after.value() == 1 || (first.value() == 0 && second.value() == 0), "it overtook");
        after.value() == 0
    });
    assert_eq!(elsewhere.value(), 1, "another queue's work is not waited for");
    let started = after.times().0;
    assert!(started >= first.times().1 && started >= second.times().1);
}

#[test]
fn barrier_and_waits_for_all_of_its_signals() {
    let mut rig = Rig::new("cus=2");
    let (mut waiting, mut working) = (rig.queue(64), rig.queue(64));
    let a = put(&mut rig, &mut working, &spin(20_000), false);
    let b = put(&mut rig, &mut working, &spin(200_000), false);
    let passed = rig.signal(1);
    waiting.put(&Packet::barrier([a.address(), 0, b.address(), 0, 0], false, passed.address()));
    let after = put(&mut rig, &mut waiting, &empty(), false);
    run_until(&mut rig, || {
        let both = a.value() == 0 && b.value() == 0;
        assert!(both || (passed.value() == 1 && after.value() == 1), "it did not wait");
        after.value() == 0
    });
    assert_eq!((passed.value(), waiting.read_index().load(Ordering::Acquire)), (0, 2));
}

#[test]
fn barrier_or_waits_for_one_of_its_signals() {
    let mut rig = Rig::new("cus=2");
    let mut queue = rig.queue(64);
    let [a, b, passed] = [rig.signal(1), rig.signal(1), rig.signal(1)];
    queue.put(&Packet::barrier([0, a.address(), b.address(), 0, 0], true, passed.address()));
    let after = put(&mut rig, &mut queue, &empty(), false);
    assert!(!rig.device.runnable(), "nothing is to be done before a signal is");
    rig.run();
    assert_eq!((passed.value(), after.value()), (1, 1));
    b.set(0);
    assert!(rig.device.runnable());
    rig.run();
    assert_eq!((passed.value(), after.value(), a.value()), (0, 0, 1));
}

#[test]
fn barriers_without_signals_are_satisfied() {
    let mut rig = Rig::new("cus=1");
    let mut queue = rig.queue(64);
    let [and, or, value] = [rig.signal(1), rig.signal(1), rig.signal(1)];
    queue.put(&Packet::barrier([0; 5], false, and.address()));
    queue.put(&Packet::barrier([0; 5], true, or.address()));
    queue.put(&barrier_value(0, 7, -1, 0, value.address()));
    rig.run();
    assert_eq!([and.value(), or.value(), value.value()], [0; 3]);
}

/// A vendor packet of format BARRIER_VALUE, by the offsets of `hsa_amd_barrier_value_packet_t` (AMD's `hsa_ext_amd.h`).
fn barrier_value(signal: u64, operand: i64, mask: i64, condition: u32, completion: u64) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[1] = 1; // the barrier bit
    bytes[2] = 2; // HSA_AMD_PACKET_TYPE_BARRIER_VALUE
    bytes[8..16].copy_from_slice(&signal.to_le_bytes());
    bytes[16..24].copy_from_slice(&operand.to_le_bytes());
    bytes[24..32].copy_from_slice(&mask.to_le_bytes());
    bytes[32..36].copy_from_slice(&condition.to_le_bytes());
    bytes[56..].copy_from_slice(&completion.to_le_bytes());
    bytes
}

#[test]
fn barrier_value_compares_under_its_mask() {
    // hsa_signal_condition_t: 0 equal, 1 not equal, 2 less than, 3 greater or equal; signed.
    for (condition, operand, mask, waits, passes) in [
        (0, 5, -1, 4, 5),
        (0, 5, 0xff, 0x106, 0x105),
        (1, 5, -1, 5, 6),
        (2, -3, -1, -3, -4),
        (3, 10, -1, 9, 10),
        (3, 0, -1, -1, 0),
    ] {
        let what = format!("condition {condition}, operand {operand}, mask {mask:#x}");
        let mut rig = Rig::new("cus=1");
        let mut queue = rig.queue(64);
        let [signal, done] = [rig.signal(waits), rig.signal(1)];
        queue.put(&barrier_value(signal.address(), operand, mask, condition, done.address()));
        rig.run();
        assert_eq!((done.value(), rig.device.runnable()), (1, false), "{what}");
        signal.set(passes);
        assert!(rig.device.runnable(), "{what}");
        rig.run();
        assert_eq!((done.value(), signal.value()), (0, passes), "{what}");
    }
}

/// A conforming producer may publish its write index late or claim far more than the ring holds: only headers count.
#[test]
fn valid_headers_are_consumed_whatever_the_write_index_says() {
    for claim in [0, 1, u64::MAX, 1 << 63, 64, 65] {
        let mut rig = Rig::new("cus=1");
        let mut queue = rig.queue(64);
        let done: Vec<_> = (0..3).map(|_| put(&mut rig, &mut queue, &empty(), true)).collect();
        queue.write_index().store(claim, Ordering::Release);
        rig.run();
        assert!(done.iter().all(|d| d.value() == 0), "write index {claim}");
        assert_eq!(queue.read_index().load(Ordering::Acquire), 3);
        assert!(!rig.device.runnable());
    }
}

#[test]
fn what_a_tenant_writes_over_the_read_index_misleads_nobody() {
    let mut rig = Rig::new("cus=1");
    let mut queue = rig.queue(64);
    for n in 0..3 {
        let done = put(&mut rig, &mut queue, &empty(), true);
        rig.run();
        assert_eq!((done.value(), queue.read_index().load(Ordering::Acquire)), (0, n + 1));
        queue.read_index().store(u64::MAX / 3, Ordering::Release);
    }
}

#[test]
fn a_hole_in_the_ring_stops_consumption_until_it_is_filled() {
    let mut rig = Rig::new("cus=1");
    let queue = rig.queue(64);
    let signals: Vec<_> = (0..3).map(|_| rig.signal(1)).collect();
    let packet = |n: usize| Packet::barrier([0; 5], false, signals[n].address());
    queue.put_at(0, &packet(0));
    queue.put_at(2, &packet(2));
    rig.run();
    assert_eq!([0, 1, 2].map(|n| signals[n].value()), [0, 1, 1]);
    queue.put_at(1, &packet(1));
    rig.run();
    assert_eq!([0, 1, 2].map(|n| signals[n].value()), [0, 0, 0]);
}

#[test]
fn the_ring_wraps_many_times() {
    // Rings smaller than the window of packets in flight, too: a slot is found again only when its packet is done.
    for slots in [1, 2, 4, 64] {
        let mut rig = Rig::new("cus=2");
        let mut queue = rig.queue(slots);
        let counter = rig.signal(0);
        let (program, case) = (rig.load("empty"), empty());
        let dispatch = rig.dispatch(&program, &case, &[]);
        let mut index = 0;
        for round in 0..5 * slots + 3 {
            for _ in 0..slots {
                index = queue.put(&Packet::kernel(&dispatch, round % 2 == 0, counter.address()));
            }
            rig.run();
            assert_eq!(counter.value(), -(queue.submitted as i64), "ring of {slots}, round {round}");
            assert_eq!(queue.read_index().load(Ordering::Acquire), queue.submitted);
            assert_eq!(header_kind(&queue, index), TYPE_INVALID);
        }
    }
}

#[test]
fn a_packet_that_fails_stops_its_queue_and_no_other() {
    let mut rig = Rig::new("cus=1");
    let (mut bad, mut good) = (rig.queue(64), rig.queue(64));
    // In flight when its queue fails: it must not keep its place on the only compute unit.
    let runaway = kernels::find("runaway").expect("an embedded kernel").case(2048, 1).expect("a size");
    rig.submit(&mut bad, &runaway, 0);
    rig.run_until(1);
    assert_eq!(rig.device.context().waves, 32, "the compute unit is full");
    bad.put(&[4; 64]);
    let after = put(&mut rig, &mut bad, &empty(), true);
    let done = put(&mut rig, &mut good, &empty(), true);
    rig.run();
    let [(failed, fault)] = &rig.faults()[..] else { panic!("one fault") };
    assert_eq!((*failed, fault.kind, fault.packet), (bad.handle, FaultClass::Packet, 1));
    assert!(fault.text.contains("packet type 4"), "{}", fault.text);
    assert_eq!((done.value(), after.value()), (0, 1));
    assert_eq!(rig.device.context().waves, 0);
    assert!(!rig.device.runnable());
    rig.run();
    assert_eq!(rig.faults(), [], "told once");
    assert!(rig.device.destroy_queue(bad.handle));
    rig.verify(&spin(100));
}

#[test]
fn a_queue_destroyed_while_it_runs_leaves_its_compute_units() {
    for suspended in [false, true] {
        let mut rig = Rig::new("cus=1,threads=1");
        let mut queue = rig.queue(64);
        let runaway = kernels::find("runaway").expect("an embedded kernel").case(2048, 1).expect("a size");
        rig.submit(&mut queue, &runaway, 0);
        assert_eq!(rig.run_until(5).end, RunEnd::Stopped);
        if suspended {
            rig.device.suspend();
        }
        assert!(rig.device.destroy_queue(queue.handle));
        assert!(!rig.device.destroy_queue(queue.handle), "once");
        if suspended {
            rig.device.resume();
        }
        assert_eq!(rig.device.context().waves, 0);
        assert!(!rig.device.runnable());
        rig.verify(&kernels::canary::write_case(2, 1 << 30));
    }
}
