//! From dispatch to work-groups: what fits, what waits, and the private memory they get.

use crate::rig::Rig;
use gcn::aql::{KernelDispatch, Packet};
use kernels::Target;
use wavegate::device::{Device, FaultClass, RunEnd};

fn scratch(size: u32) -> kernels::Case {
    kernels::find("scratch").expect("an embedded kernel").case(size, 3).expect("a size")
}

/// Work-groups wait for their predecessors; far more of them than two compute units hold.
#[test]
fn work_groups_that_wait_for_each_other_finish() {
    for target in Target::ALL {
        for threads in [1, 2] {
            let mut rig = Rig::new(&format!("arch={target},cus=2,threads={threads}"));
            let case = kernels::find("flags").expect("an embedded kernel").case(500, 1).expect("a size");
            rig.verify(&case);
            assert_eq!(rig.device.context_peak().waves, 64, "both compute units were full");
        }
    }
}

/// The packet's group segment size counts, not only the descriptor's: it decides how many work-groups are resident.
#[test]
fn dynamic_lds_is_set_aside_and_limits_residency() {
    for (lds, groups) in [(0, 32), (16 * 1024, 4), (40 * 1024, 1), (64 * 1024, 1)] {
        let mut rig = Rig::new("cus=1");
        let case = kernels::spin::case(40, 1000, 1);
        let program = rig.load(case.kernel);
        let addresses = rig.place(&case);
        let dispatch = KernelDispatch { group_segment_size: lds, ..rig.dispatch(&program, &case, &addresses) };
        let mut queue = rig.queue(64);
        queue.put(&Packet::kernel(&dispatch, true, 0));
        assert_eq!(rig.run_until(1).end, RunEnd::Stopped);
        let resident = rig.device.context();
        assert_eq!((resident.waves, resident.lds), (groups, groups * u64::from(lds)), "{lds} bytes");
        rig.run();
        rig.check(&case, &addresses);
    }
}

/// Private memory is sized for what runs; a kernel that needs more waits until it can be moved.
#[test]
fn scratch_grows_while_another_kernel_uses_it() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=2"));
        let case = scratch(300);
        let program = rig.load(case.kernel);
        let mut queues = [rig.queue(64), rig.queue(64)];
        let mut placed = Vec::new();
        let small = program.loaded.private_segment_bytes;
        for (queue, private_segment_size) in queues.iter_mut().zip([small, 16 * small]) {
            let addresses = rig.place(&case);
            let done = rig.signal(1);
            let dispatch = KernelDispatch { private_segment_size, ..rig.dispatch(&program, &case, &addresses) };
            queue.put(&Packet::kernel(&dispatch, false, done.address()));
            placed.push((addresses, done));
        }
        // The first runs, the second must wait: moving private memory now would pull it from under the first.
        assert_eq!(rig.run_until(50).end, RunEnd::Stopped);
        let lane_bytes = u64::from(small.next_multiple_of(4));
        assert_eq!(rig.device.context().scratch, 5 * (lane_bytes * 64).next_multiple_of(1024), "{target}");
        rig.run();
        for (addresses, done) in &placed {
            assert_eq!(done.value(), 0, "{target}");
            rig.check(&case, addresses);
        }
    }
}

/// More private memory than the session may have ends that kernel; smaller ones have what they need before and after.
#[test]
fn out_of_scratch_is_named_and_does_not_last() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=2"));
        rig.lease.hidden_bytes = std::sync::atomic::AtomicU64::new(64 << 20);
        let case = scratch(100);
        let addresses = rig.place(&case);
        rig.verify(&case);

        let program = rig.load(case.kernel);
        let big = KernelDispatch { private_segment_size: 64 * 1024, ..rig.dispatch(&program, &case, &addresses) };
        let mut queue = rig.queue(64);
        queue.put(&Packet::kernel(&big, true, 0));
        rig.run();
        let [(_, fault)] = &rig.faults()[..] else { panic!("one fault") };
        assert_eq!(fault.kind, FaultClass::Packet);
        // 64 KiB for each of 64 lanes of each of 2 x 32 wave slots.
        assert!(fault.text.contains("268435456 bytes of scratch"), "{}", fault.text);

        rig.verify(&case);
        assert_eq!(rig.faults(), []);
    }
}

/// Private memory belongs to the wave: what a kernel keeps there while it is suspended, others must not get.
#[test]
fn scratch_survives_a_suspend() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        let (mut queue, case) = (rig.queue(64), scratch(200));
        let addresses = rig.submit(&mut queue, &case, 0);
        while rig.run_until(40).end == RunEnd::Stopped {
            rig.device.suspend();
            rig.device.scrub().expect("the software GPU can");
            rig.device.resume();
        }
        rig.check(&case, &addresses);
    }
}
