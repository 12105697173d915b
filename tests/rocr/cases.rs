//! The cases.

use crate::rig::{PATIENCE, Rig};
use gcn::aql::Packet;
use kernels::canary::{SCALAR_GROUPS, read_case, scalar_survivors, scalars_case, survivors, write_case};
use kernels::{Case, Ending};
use std::process::Command;
use std::time::Instant;
use wavegate::device::rocr::RocrDevice;
use wavegate::device::{Allocate, CuMask, Device, DeviceError, FaultClass, Pool, Preemption, Rights, RunEnd};

const PAGE: u64 = 4096;
/// What marks words that a canary left.
const TAG: u32 = 0x4242_0000;

/// Runs the test `name` again in a process of its own, unless this is that process. Returns whether it is.
fn alone(name: &str) -> bool {
    const CHILD: &str = "WAVEGATE_ROCR_CASE";
    if std::env::var(CHILD).is_ok_and(|case| case == name) {
        return true;
    }
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("cases::{name}"), "--include-ignored", "--nocapture"])
        .env(CHILD, name)
        .output()
        .expect("a process");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{name}: {said}");
    false
}

fn device() -> RocrDevice {
    let named = std::env::var("WAVEGATE_ROCR_DEVICE");
    let named = named.expect("WAVEGATE_ROCR_DEVICE names the device; cargo xtask rocr sets it");
    RocrDevice::open(&named.parse().expect("a device description")).unwrap_or_else(|error| panic!("{named}: {error}"))
}

fn rig() -> Rig<RocrDevice> {
    Rig::with(device())
}

fn case(name: &str, size: u32, seed: u64) -> Case {
    kernels::find(name).expect("a kernel").case(size, seed).expect("a size that makes sense")
}

fn vram(bytes: u64) -> Allocate {
    Allocate { pool: Pool::Vram, bytes, rights: Rights::ReadWrite, address: None, backing: None }
}

/// Declares tests that run alone.
macro_rules! cases {
    ($( $(#[$doc:meta])* fn $name:ident() $body:block )*) => {
        $(
            $(#[$doc])*
            #[test]
            #[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
            fn $name() {
                if alone(stringify!($name)) $body
            }
        )*
    };
}

cases! {
    fn facts_are_the_devices() {
        let device = device();
        let facts = device.facts();
        assert!(facts.target.starts_with("gfx"), "{facts:?}");
        assert!(facts.compute_units > 0 && facts.vram_bytes >= 1 << 26 && facts.wave_lanes.is_multiple_of(32), "{facts:?}");
        assert_eq!(facts.preemption == Preemption::Suspend, device.pause_way().is_some());
        let second = RocrDevice::open(&facts.name.parse().expect("its own name"));
        assert!(second.err().is_some_and(|error| error.to_string().contains("already")), "one runtime a process");
    }

    fn memory_keeps_what_is_written_and_comes_clean() {
        let rig = rig();
        let bytes: Vec<u8> = (0..3 * 1024 * 1024 + 77u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let first = rig.memory.allocate(vram(bytes.len() as u64)).expect("memory");
        assert!(rig.download(first.address, bytes.len()).iter().all(|&b| b == 0), "dirty memory was handed out");
        rig.memory.write(first.address, &bytes).expect("inside");
        assert_eq!(rig.download(first.address, bytes.len()), bytes);
        assert_eq!(rig.download(first.address + 1_048_570, 20), bytes[1_048_570..1_048_590]);
        rig.memory.free(first.address).expect("allocated");
        // The runtime gives the same memory again.
        let again = rig.memory.allocate(vram(bytes.len() as u64)).expect("memory");
        assert!(rig.download(again.address, bytes.len()).iter().all(|&b| b == 0), "what was freed came back");
        assert!(matches!(rig.memory.free(again.address + PAGE), Err(DeviceError::NoSuchMemory { .. })));
        assert!(rig.memory.read(again.address + again.bytes - 8, &mut [0; 16]).is_err(), "past the end");
    }

    fn device_memory_runs_out_and_comes_back() {
        let rig = rig();
        let all = rig.device.facts().vram_bytes;
        let used = rig.memory.vram_used();
        let refused = rig.memory.allocate(vram(all + PAGE)).expect_err("more than there is");
        assert!(matches!(refused, DeviceError::OutOfMemory { .. }), "{refused}");
        for bytes in [u64::MAX, 1 << 60] {
            assert!(matches!(rig.memory.allocate(vram(bytes)), Err(DeviceError::OutOfMemory { .. })), "{bytes}");
        }
        let some = rig.memory.allocate(vram(all / 4)).expect("a quarter");
        assert_eq!(rig.memory.vram_used(), used + all / 4);
        rig.memory.free(some.address).expect("allocated");
        assert_eq!(rig.memory.vram_used(), used);
    }

    fn every_kernel_passes_its_oracle() {
        let mut rig = rig();
        // One judges what others left on the compute units, which a device that cannot be scrubbed at will cannot answer for.
        let all = kernels::all().iter().filter(|kernel| !kernel.wants_clean_units());
        for case in all.map(|kernel| kernel.small_case(7)).filter(|case| case.ending == Ending::Completes) {
            rig.verify(&case);
            assert_eq!(rig.faults(), [], "{}", case.kernel);
        }
    }

    /// What one program leaves in registers and LDS the next one finds, on the fixture all of it, until the device is scrubbed.
    fn a_scrub_leaves_nothing_on_any_compute_unit() {
        let mut rig = rig();
        rig.device.can_scrub().expect("a processor that is known");
        let cus = rig.device.facts().compute_units;
        // Whatever was there before this process.
        rig.device.scrub().expect("nothing else runs");
        let fixture = std::env::var("WAVEGATE_ROCR_DEVICE").is_ok_and(|device| device.contains("thunk="));
        for scrub in [false, true, true] {
            rig.verify(&write_case(cus, TAG));
            if scrub {
                rig.device.scrub().expect("nothing else runs");
            }
            let (case, dump) = rig.dump(read_case(cus));
            let found = survivors(&dump, TAG);
            match (scrub, fixture) {
                (true, _) => case.check(&[dump]).unwrap_or_else(|wrong| panic!("{wrong}; {found:?}")),
                // Each work-group has a compute unit to itself, and leaves 143,600 words.
                (false, true) => assert_eq!(found.total(), 143_600 * u64::from(cus)),
                (false, false) => println!("without a scrub {found:?} survive"),
            }
        }
        let groups = SCALAR_GROUPS * cus;
        for scrub in [false, true, true] {
            rig.dump(scalars_case(groups, TAG));
            if scrub {
                rig.device.scrub().expect("nothing else runs");
            }
            let (case, dump) = rig.dump(scalars_case(groups, TAG));
            let found = scalar_survivors(&dump, TAG);
            match (scrub, fixture) {
                (true, _) => case.check(&[dump]).unwrap_or_else(|wrong| panic!("{wrong}; {found} scalars survive")),
                (false, true) => assert_eq!(found, 60 * 4 * u64::from(groups)),
                (false, false) => println!("without a scrub {found} scalars survive"),
            }
        }
        rig.verify(&case("matmul", 20, 1));
    }

    /// A scrub between two turns of a program that was suspended takes nothing from it.
    fn a_scrub_leaves_suspended_waves_whole() {
        let mut rig = rig();
        if rig.device.facts().preemption < Preemption::Suspend {
            println!("this device only drains");
            return;
        }
        let case = case("nbody", 1024, 3);
        let mut queue = rig.queue(64);
        let done = rig.signal(1);
        let addresses = rig.submit(&mut queue, &case, done.address());
        let mut scrubs = 0;
        // After the first looks, which only spin, each waits a little: so the program gets on between two scrubs.
        while rig.run_until(204).end == RunEnd::Stopped {
            rig.device.suspend();
            rig.device.scrub().expect("nothing else runs");
            rig.device.resume();
            scrubs += 1;
        }
        assert!(done.value() == 0 && scrubs > 0, "{scrubs} scrubs");
        rig.check(&case, &addresses);
    }

    fn completion_carries_the_devices_times() {
        let mut rig = rig();
        let case = case("vector_add", 1000, 1);
        let mut queue = rig.queue(64);
        let signals: Vec<_> = (0..5).map(|_| rig.signal(3)).collect();
        for signal in &signals {
            rig.submit(&mut queue, &case, signal.address());
        }
        rig.run();
        let mut last = 0;
        for signal in &signals {
            assert_eq!(signal.value(), 2);
            let (start, end) = signal.times();
            assert!(start > 0 && start <= end, "{start} to {end}");
            assert!(end >= last, "in order of completion");
            last = end;
        }
        assert_eq!(queue.read_index().load(std::sync::atomic::Ordering::Acquire), 5);
        assert!((0..5).all(|n| queue.header(n) as u8 == 1), "slots are given back");
    }

    fn a_ring_wraps_many_times() {
        let mut rig = rig();
        let case = case("vector_add", 64, 1);
        let program = rig.load(case.kernel);
        let addresses = rig.place(&case);
        let dispatch = rig.dispatch(&program, &case, &addresses);
        let mut queue = rig.queue(4);
        let done = rig.signal(100);
        for _ in 0..25 {
            for _ in 0..4 {
                queue.put(&Packet::kernel(&dispatch, false, done.address()));
            }
            rig.run();
        }
        assert_eq!(done.value(), 0);
        rig.check(&case, &addresses);
    }

    fn barriers_wait_for_their_signals() {
        let mut rig = rig();
        let (gate, done) = (rig.signal(1), rig.signal(2));
        let mut queue = rig.queue(64);
        queue.put(&Packet::barrier([gate.address(), 0, 0, 0, 0], false, done.address()));
        queue.put(&Packet::barrier([0; 5], false, done.address()));
        assert!(!rig.device.runnable());
        rig.run();
        assert_eq!(done.value(), 2);
        gate.set(0);
        assert!(rig.device.runnable());
        rig.run();
        assert_eq!(done.value(), 0);
        let (left, right, either) = (rig.signal(1), rig.signal(0), rig.signal(1));
        queue.put(&Packet::barrier([left.address(), right.address(), 0, 0, 0], true, either.address()));
        rig.run();
        assert_eq!(either.value(), 0);
    }

    fn a_bad_packet_ends_its_queue_and_no_other() {
        let mut rig = rig();
        let case = case("vector_add", 64, 1);
        let program = rig.load(case.kernel);
        let addresses = rig.place(&case);
        let good = rig.dispatch(&program, &case, &addresses);
        let bad = [
            gcn::aql::KernelDispatch { kernel_object: good.kernel_object + 64, ..good },
            gcn::aql::KernelDispatch { setup: 0, ..good },
            gcn::aql::KernelDispatch { workgroup: [2000, 1, 1], ..good },
            gcn::aql::KernelDispatch { group_segment_size: 1 << 20, ..good },
            gcn::aql::KernelDispatch { kernarg_address: 0x1234_5678, ..good },
        ];
        for dispatch in bad {
            let mut queue = rig.queue(64);
            queue.put(&Packet::kernel(&dispatch, false, 0));
            rig.run();
            let faults = rig.faults();
            assert!(
                matches!(&faults[..], [(handle, fault)] if *handle == queue.handle && fault.kind == FaultClass::Packet),
                "{dispatch:?}: {faults:?}"
            );
            assert!(rig.device.destroy_queue(queue.handle));
        }
        rig.verify(&case);
    }

    fn a_stop_suspends_waves_and_a_resume_finishes_them() {
        let mut rig = rig();
        if rig.device.facts().preemption < Preemption::Suspend {
            println!("this device only drains");
            return;
        }
        let case = case("nbody", 512, 3);
        let mut queue = rig.queue(64);
        let done = rig.signal(1);
        let addresses = rig.submit(&mut queue, &case, done.address());
        let deadline = Instant::now() + PATIENCE;
        let mut suspends = 0;
        loop {
            let report = rig.run_until(50);
            if report.end == RunEnd::Drained {
                break;
            }
            rig.device.suspend();
            let before = done.value();
            assert!(rig.device.runnable(), "what is suspended is still there");
            // Nothing happens to a suspended queue, however long nobody looks.
            for _ in 0..10_000 {
                std::hint::spin_loop();
            }
            assert_eq!(done.value(), before);
            suspends += 1;
            rig.device.resume();
            assert!(Instant::now() < deadline, "it never ends");
        }
        assert_eq!(done.value(), 0);
        assert!(suspends > 0, "nothing was ever suspended");
        rig.check(&case, &addresses);
    }

    fn a_wild_store_loses_the_device_and_tells_every_queue() {
        let mut rig = rig();
        let case = case("vector_add", 64, 1);
        let program = rig.load(case.kernel);
        let nowhere = vec![0xdead_0000; case.buffers.len()];
        let dispatch = rig.dispatch(&program, &case, &nowhere);
        let (mut queue, other) = (rig.queue(64), rig.queue(64));
        queue.put(&Packet::kernel(&dispatch, false, 0));
        rig.run();
        let faults = rig.faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        for (_, fault) in &faults {
            assert_eq!((fault.kind, fault.address), (FaultClass::Memory, Some(0xdead_0000)), "{fault:?}");
        }
        assert!(!rig.device.runnable());
        let refused = rig.try_queue(64).err().expect("a lost device makes no queues").to_string();
        assert!(refused.contains("lost") && refused.contains("connect again"), "{refused}");
        assert!(rig.device.destroy_queue(other.handle));
    }

    fn masks_without_units_are_refused() {
        let mut rig = rig();
        let queue = rig.queue(64);
        assert!(rig.device.set_cu_mask(&CuMask::from_words(vec![0; 4])).is_err());
        rig.device.set_cu_mask(&CuMask::from_words(vec![1])).expect("one unit");
        let case = case("vector_add", 1000, 1);
        rig.verify(&case);
        assert!(rig.device.destroy_queue(queue.handle));
    }
}
