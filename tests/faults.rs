//! Programs and packets that go wrong: each ends with a name for what happened, where, and only its own queue stops.

use crate::rig::{Queue, Random, Rig};
use gcn::aql::{KernelDispatch, Packet};
use kernels::{Case, Target};
use std::sync::atomic::{AtomicBool, Ordering};
use wavegate::device::{Device, DeviceFault, FaultClass, Rights, RunEnd};

fn empty() -> Case {
    kernels::find("empty").expect("an embedded kernel").case(64, 0).expect("a size")
}

/// Runs what is in `queue` beside a queue that works, and returns the one fault.
#[track_caller]
fn fault_of(rig: &mut Rig, queue: &Queue) -> DeviceFault {
    rig.run();
    let mut faults = rig.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let (failed, fault) = faults.remove(0);
    assert_eq!(failed, queue.handle);
    assert!(!rig.device.runnable(), "a failed queue has nothing to run");
    assert_eq!(rig.device.context().waves, 0, "and nothing on the compute units");
    // Other queues go on, and the failed one can be got rid of.
    rig.verify(&kernels::find("reduction").expect("an embedded kernel").small_case(1));
    assert!(rig.device.destroy_queue(queue.handle));
    fault
}

#[test]
fn a_store_to_nowhere_names_its_place() {
    for target in Target::ALL {
        for threads in [1, 2] {
            let mut rig = Rig::new(&format!("arch={target},cus=2,threads={threads}"));
            let page = rig.allocate(4096, Rights::ReadWrite).address;
            // The last mapped word is lane 9's of the first work-group; lane 10 is the first to miss.
            let case = kernels::fault::at(page + 4096 - 40, 64, 7);
            let mut queue = rig.queue(64);
            let program = rig.load("fault");
            let dispatch = rig.dispatch(&program, &case, &[]);
            queue.put(&Packet::kernel(&dispatch, true, 0));
            let fault = fault_of(&mut rig, &queue);
            assert_eq!((fault.kind, fault.address, fault.packet), (FaultClass::Memory, Some(page + 4096), 0));
            assert_eq!(fault.kernel_object, Some(dispatch.kernel_object));
            let code = program.image.address..program.image.address + program.image.bytes;
            assert!(fault.pc.is_some_and(|pc| code.contains(&pc)), "{fault:?}");
            for part in ["Write", "Unmapped", "lane 10", "work-group [0, 0, 0]", "wave 0"] {
                assert!(fault.text.contains(part), "{part}: {}", fault.text);
            }
        }
    }
}

/// A work-group further on and a lane in the middle of a wave are named, not just the first.
#[test]
fn the_work_group_at_fault_is_named() {
    let mut rig = Rig::new("cus=1");
    let page = rig.allocate(4096, Rights::ReadWrite).address;
    // Two work-groups of 64 fit, and 17 lanes of the third.
    let at = page + 4096 - 4 * (128 + 17);
    let mut queue = rig.queue(64);
    rig.submit(&mut queue, &kernels::fault::at(at, 192, 7), 0);
    let fault = fault_of(&mut rig, &queue);
    assert_eq!(fault.address, Some(page + 4096));
    assert!(fault.text.contains("lane 17") && fault.text.contains("work-group [2, 0, 0]"), "{}", fault.text);
    // What the lanes before it stored is there, as on hardware.
    assert_eq!(rig.download(page + 4096 - 4, 4), (7u32 + 144).to_le_bytes());
}

#[test]
fn code_cannot_be_written() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        let program = rig.load("spin");
        let object = kernels::find("spin").expect("an embedded kernel").code_object(target);
        let object = gcn::code_object::CodeObject::parse(object).expect("it is one");
        let offset = |executable| {
            let segment = object.segments().iter().find(|s| s.executable == executable).expect("both kinds");
            program.image.address + segment.offset
        };
        // Constants are the session's own, to change as on a card; code is not.
        let (code, constants) = (offset(true), offset(false));
        let mut queue = rig.queue(64);
        let case = kernels::fault::at(code, 64, 7);
        let before = rig.download(code, 4096);
        rig.submit(&mut queue, &case, 0);
        let fault = fault_of(&mut rig, &queue);
        assert_eq!((fault.kind, fault.address), (FaultClass::Memory, Some(code)));
        assert!(fault.text.contains("Rights"), "{}", fault.text);
        assert_eq!(rig.download(code, 4096), before);
        let before = rig.download(constants, 64);
        let mut queue = rig.queue(64);
        rig.submit(&mut queue, &kernels::fault::at(constants, 64, 7), 0);
        rig.run();
        assert!(rig.faults().is_empty());
        assert_ne!(rig.download(constants, 64), before);
    }
}

#[test]
fn read_only_memory_stays_as_it_was() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        let page = rig.allocate(4096, Rights::Read).address;
        rig.memory.write(page, &[0x5a; 4096]).expect("the host may");
        let mut queue = rig.queue(64);
        rig.submit(&mut queue, &kernels::fault::at(page + 64, 64, 7), 0);
        let fault = fault_of(&mut rig, &queue);
        assert_eq!((fault.kind, fault.address), (FaultClass::Memory, Some(page + 64)), "{target}");
        assert!(fault.text.contains("Write") && fault.text.contains("Rights"), "{}", fault.text);
        assert_eq!(rig.download(page, 4096), [0x5a; 4096], "{target}");
    }
}

/// A descriptor may lie in any readable memory, but what it points at must be code.
#[test]
fn data_cannot_be_executed() {
    let mut rig = Rig::new("cus=1");
    let program = rig.load("spin");
    let case = kernels::spin::case(1, 10, 1);
    let addresses = rig.place(&case);
    // A faithful copy of the whole image, in memory without the right to execute.
    let image = rig.download(program.image.address, program.image.bytes as usize);
    let copy = rig.upload(&image);
    let mut dispatch = rig.dispatch(&program, &case, &addresses);
    dispatch.kernel_object = dispatch.kernel_object - program.image.address + copy;
    let mut queue = rig.queue(64);
    queue.put(&Packet::kernel(&dispatch, true, 0));
    let fault = fault_of(&mut rig, &queue);
    assert_eq!(fault.kind, FaultClass::Memory);
    assert_eq!(fault.address, fault.pc);
    assert!(fault.text.contains("Execute") && fault.text.contains("Rights"), "{}", fault.text);
}

#[test]
fn a_runaway_is_stopped_and_its_queue_destroyed() {
    for target in Target::ALL {
        for threads in [1, 2] {
            let mut rig = Rig::new(&format!("arch={target},cus=2,threads={threads}"));
            let case = kernels::find("runaway").expect("an embedded kernel").small_case(1);
            let mut queue = rig.queue(64);
            let addresses = rig.submit(&mut queue, &case, 0);
            let report = rig.run_until(1000);
            assert_eq!(report.end, RunEnd::Stopped);
            assert!(report.instructions > 1000);
            assert!(rig.device.runnable());
            assert!(rig.device.destroy_queue(queue.handle));
            assert!(!rig.device.runnable());
            rig.check(&case, &addresses);
            rig.verify(&empty());
        }
    }
}

/// A lease so short that no pass over a compute unit's waves ever gets through must not favour the first of them.
#[test]
fn every_wave_has_its_turn_however_short_the_lease() {
    for threads in [1, 2] {
        let mut rig = Rig::new(&format!("cus=4,threads={threads}"));
        let case = kernels::find("runaway").expect("an embedded kernel").case(16 * 64, 1).expect("a size");
        let mut queue = rig.queue(64);
        let addresses = rig.submit(&mut queue, &case, 0);
        for _ in 0..200 {
            assert_eq!(rig.run_until(1).end, RunEnd::Stopped);
        }
        // Each work-item says that it has started before it begins to loop.
        let started = rig.download(addresses[0], 4 * 16 * 64);
        let mark = &started[..4];
        let waves: Vec<bool> = started.chunks(256).map(|wave| wave.chunks(4).all(|word| word == mark)).collect();
        assert_eq!(waves, [true; 16], "threads={threads}");
        rig.check(&case, &addresses);
        assert!(rig.device.destroy_queue(queue.handle));
    }
}

/// One row: what is wrong with the packet, and what the fault must say.
fn hostile_dispatches(rig: &mut Rig) -> Vec<(&'static str, KernelDispatch, FaultClass, &'static str)> {
    let program = rig.load("empty");
    let good = rig.dispatch(&program, &empty(), &[]);
    let garbage = rig.upload(&[0xff; 64]);
    let page = rig.allocate(4096, Rights::ReadWrite).address;
    let packet = FaultClass::Packet;
    vec![
        ("no dimensions", KernelDispatch { setup: 0, ..good }, packet, "0 dimensions"),
        ("a work-group of 2000", KernelDispatch { workgroup: [2000, 1, 1], ..good }, packet, "2000 work-items"),
        (
            "a work-group that overflows",
            KernelDispatch { setup: 3, workgroup: [u16::MAX; 3], ..good },
            packet,
            "281462092005375 work-items",
        ),
        ("an empty grid", KernelDispatch { grid: [0, 1, 1], ..good }, packet, "zero"),
        ("an empty work-group", KernelDispatch { workgroup: [0, 1, 1], ..good }, packet, "zero"),
        ("an empty third dimension", KernelDispatch { setup: 3, grid: [64, 1, 0], ..good }, packet, "zero"),
        ("too much LDS", KernelDispatch { group_segment_size: 65_537, ..good }, packet, "65537 bytes of LDS"),
        ("all the LDS there is not", KernelDispatch { group_segment_size: u32::MAX, ..good }, packet, "bytes of LDS"),
        (
            "too much private memory",
            KernelDispatch { private_segment_size: u32::MAX, ..good },
            packet,
            "4294967295 bytes of private memory",
        ),
        ("an unmapped kernel", KernelDispatch { kernel_object: 0x1000, ..good }, packet, "cannot be read"),
        ("no kernel", KernelDispatch { kernel_object: 0, ..good }, packet, "cannot be read"),
        ("a kernel past the end", KernelDispatch { kernel_object: u64::MAX - 3, ..good }, packet, "cannot be read"),
        ("half a kernel", KernelDispatch { kernel_object: page + 4096 - 32, ..good }, packet, "cannot be read"),
        ("garbage for a kernel", KernelDispatch { kernel_object: garbage, ..good }, packet, "no kernel descriptor"),
    ]
}

#[test]
fn every_hostile_dispatch_has_its_name() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        for (what, dispatch, kind, says) in hostile_dispatches(&mut rig) {
            let mut queue = rig.queue(64);
            let done = rig.signal(1);
            queue.put(&Packet::barrier([0; 5], false, 0));
            queue.put(&Packet::kernel(&dispatch, true, done.address()));
            let fault = fault_of(&mut rig, &queue);
            assert_eq!((fault.kind, fault.packet), (kind, 1), "{what}: {fault:?}");
            assert!(fault.text.contains(says), "{what}: {}", fault.text);
            assert_eq!(done.value(), 1, "{what}");
        }
    }
}

/// A misaligned kernel object or one that begins elsewhere reads as some descriptor or none; it must not take others with it.
#[test]
fn kernel_objects_anywhere_end_in_a_fault_or_in_order() {
    let mut rig = Rig::new("cus=1");
    let program = rig.load("nbody");
    let case = empty();
    let good = rig.dispatch(&rig.load("empty"), &case, &[]);
    let mut random = Random(9);
    for _ in 0..64 {
        let kernel_object = program.image.address + random.below(program.image.bytes);
        let mut queue = rig.queue(64);
        queue.put(&Packet::kernel(&KernelDispatch { kernel_object, ..good }, true, 0));
        rig.run_until(2000);
        rig.faults();
        assert!(rig.device.destroy_queue(queue.handle));
        assert_eq!(rig.device.context().waves, 0);
    }
    rig.verify(&case);
}

#[test]
fn every_hostile_packet_has_its_name() {
    let mut vendor = [0; 64];
    vendor[2] = 1;
    let mut condition = [0; 64];
    (condition[2], condition[32]) = (2, 4);
    for (what, packet, says) in [
        ("agent dispatch", [4; 64], "packet type 4"),
        ("type 6", [6; 64], "packet type 6"),
        ("type 255", [0xff; 64], "packet type 255"),
        ("an unknown vendor packet", vendor, "vendor packet format 1"),
        ("an unknown comparison", condition, "condition 4"),
    ] {
        let mut rig = Rig::new("cus=1");
        let mut queue = rig.queue(64);
        queue.put(&packet);
        let fault = fault_of(&mut rig, &queue);
        assert_eq!((fault.kind, fault.packet), (FaultClass::Packet, 0), "{what}");
        assert!(fault.text.contains(says), "{what}: {}", fault.text);
    }
}

#[test]
fn signals_that_cannot_be_accessed_fail_their_queue() {
    type Make = fn(u64) -> [u8; 64];
    let rows: [(&str, Make); 4] = [
        ("a completion signal", |at| Packet::barrier([0; 5], false, at)),
        ("a dependency of and", |at| Packet::barrier([0, at, 0, 0, 0], false, 0)),
        ("a dependency of or", |at| Packet::barrier([at, 0, 0, 0, 0], true, 0)),
        ("a barrier value", |at| {
            let mut bytes = [0; 64];
            bytes[2] = 2;
            bytes[8..16].copy_from_slice(&at.to_le_bytes());
            bytes
        }),
    ];
    for (what, make) in rows {
        // Unmapped, not a multiple of 8, and an address whose value wraps around the end of the address space.
        for (at, offset) in [(0x1000, 0), (0, 4), (u64::MAX - 7, 0)] {
            let mut rig = Rig::new("cus=1");
            let at = if at == 0 { rig.signal(0).address() + offset } else { at };
            let mut queue = rig.queue(64);
            queue.put(&make(at));
            let fault = fault_of(&mut rig, &queue);
            assert_eq!(fault.kind, FaultClass::Memory, "{what} at {at:#x}");
            assert!(fault.address.is_some(), "{what}: {}", fault.text);
        }
    }
}

/// The tenant unmaps what the device is about to use: its ring, its arguments, its code.
#[test]
fn memory_freed_under_a_queue_is_its_own_fault() {
    let mut rig = Rig::new("cus=1");
    let mut queue = rig.queue(64);
    queue.put(&Packet::barrier([0; 5], false, 0));
    rig.memory.free(queue.memory.address).expect("allocated");
    assert_eq!(fault_of(&mut rig, &queue).kind, FaultClass::Memory);

    let mut queue = rig.queue(64);
    let case = kernels::spin::case(1, 1_000_000, 1);
    let addresses = rig.submit(&mut queue, &case, 0);
    assert_eq!(rig.run_until(10).end, RunEnd::Stopped);
    rig.memory.free(addresses[0]).expect("allocated");
    let fault = fault_of(&mut rig, &queue);
    assert_eq!((fault.kind, fault.address), (FaultClass::Memory, Some(addresses[0])));
}

/// A thread scribbles over the whole ring, its headers and its indices while the device consumes it: whatever happens, it happens
/// to this queue only.
#[test]
fn a_ring_rewritten_while_it_is_consumed_hurts_nobody_else() {
    let mut rig = Rig::new("cus=2");
    let program = rig.load("spin");
    let case = kernels::spin::case(1, 3, 1);
    let addresses = rig.place(&case);
    let good = Packet::kernel(&rig.dispatch(&program, &case, &addresses), false, 0);
    for seed in 0..20 {
        let queue = rig.queue(64);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut random = Random(seed);
                while !over.load(Ordering::Relaxed) {
                    let slot = random.below(64);
                    match random.below(8) {
                        0 => queue.write_index().store(random.next(), Ordering::Relaxed),
                        1 => queue.read_index().store(random.next(), Ordering::Relaxed),
                        // A byte anywhere: a header that flips after it was checked, an address that changes under way.
                        2 => {
                            let at = queue.slot(slot) as usize + random.below(64) as usize;
                            queue.memory.bytes.store_u8(at, random.next() as u8).expect("in the ring");
                        }
                        _ => queue.put_at(slot, &good),
                    }
                }
            });
            for _ in 0..50 {
                rig.run_until(20);
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(rig.faults().len() <= 1);
        assert!(rig.device.destroy_queue(queue.handle));
        assert_eq!(rig.device.context().waves, 0);
        rig.verify(&case);
    }
}
