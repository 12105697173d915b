//! The device contract's memory half: what is allocated, refused, freed and loaded.

use crate::rig::Rig;
use gcn::code_object::CodeObject;
use kernels::Target;
use sys::memfd::MemFd;
use wavegate::device::{Allocate, Allocation, Device, DeviceError, Pool, QueueSpec, Rights};

const PAGE: u64 = 4096;
/// Where nothing else is: tests that choose addresses choose them here.
const HERE: u64 = 0x2000_0000_0000;

fn want(address: Option<u64>, bytes: u64) -> Allocate {
    Allocate { pool: Pool::Vram, bytes, rights: Rights::ReadWrite, address, backing: None }
}

#[test]
fn memory_is_where_it_was_asked_for_and_clean() {
    let rig = Rig::new("cus=1");
    let got = rig.memory.allocate(want(Some(HERE), 5000)).expect("free addresses");
    assert_eq!(got, Allocation { address: HERE, bytes: 2 * PAGE });
    assert_eq!(rig.download(HERE, 8192), [0; 8192]);
    rig.memory.write(HERE + 8000, &[1; 192]).expect("the end");
    assert!(rig.memory.write(HERE + 8000, &[1; 193]).is_err(), "past the end");
    rig.memory.free(HERE).expect("allocated");
    assert!(matches!(rig.memory.read(HERE, &mut [0]), Err(DeviceError::NoSuchMemory { address: HERE })));
    rig.memory.allocate(want(Some(HERE), PAGE)).expect("free again");
    assert_eq!(rig.download(HERE, 4096), [0; 4096], "fresh memory, not the old");
}

#[test]
fn bad_ranges_are_refused_with_a_reason() {
    let rig = Rig::new("cus=1");
    rig.memory.allocate(want(Some(HERE), 4 * PAGE)).expect("free addresses");
    for (address, bytes, says) in [
        (HERE, PAGE, "overlaps"),
        (HERE + PAGE, PAGE, "overlaps"),
        (HERE - PAGE, 2 * PAGE, "overlaps"),
        (HERE + 3 * PAGE, 2 * PAGE, "overlaps"),
        (HERE - PAGE, 9 * PAGE, "overlaps"),
        (HERE + 1, PAGE, "page-aligned"),
        (HERE + PAGE / 2, 1, "page-aligned"),
        (0, PAGE, "outside"),
        (1 << 47, PAGE, "outside"),
        ((1 << 47) - PAGE, 2 * PAGE, "outside"),
        (u64::MAX - PAGE + 1, PAGE, "outside"),
    ] {
        let refused = rig.memory.allocate(want(Some(address), bytes)).expect_err("a bad range");
        assert!(matches!(refused, DeviceError::Range { .. }), "{address:#x}: {refused}");
        assert!(refused.to_string().contains(says), "{address:#x}: {refused}");
    }
    let used = rig.memory.vram_used();
    rig.memory.allocate(want(Some(HERE + 4 * PAGE), PAGE)).expect("right behind");
    rig.memory.allocate(want(Some(HERE - PAGE), PAGE)).expect("right before");
    assert_eq!(rig.memory.vram_used(), used + 2 * PAGE);
}

#[test]
fn device_memory_runs_out_at_its_size_and_comes_back() {
    let rig = Rig::new("cus=1");
    let all = rig.device.facts().vram_bytes;
    let half = rig.memory.allocate(want(None, all / 2)).expect("half of it");
    let refused = rig.memory.allocate(want(None, all / 2 + 1)).expect_err("more than the rest");
    assert!(matches!(refused, DeviceError::OutOfMemory { free, .. } if free == all / 2), "{refused}");
    for bytes in [u64::MAX, u64::MAX - PAGE, 1 << 60] {
        assert!(matches!(rig.memory.allocate(want(None, bytes)), Err(DeviceError::OutOfMemory { .. })), "{bytes}");
    }
    rig.memory.allocate(Allocate { pool: Pool::Host, ..want(None, PAGE) }).expect("host memory does not count");
    rig.memory.allocate(want(None, all / 2)).expect("the rest");
    assert!(rig.memory.allocate(want(None, 1)).is_err());
    rig.memory.free(half.address).expect("allocated");
    assert_eq!(rig.memory.vram_used(), all / 2);
    rig.memory.allocate(want(None, all / 2)).expect("free again");
}

#[test]
fn only_what_was_allocated_can_be_freed_and_only_once() {
    let rig = Rig::new("cus=1");
    let got = rig.memory.allocate(want(None, 4 * PAGE)).expect("memory");
    for address in [0, 1, got.address + PAGE, got.address - PAGE, got.address + 4 * PAGE, u64::MAX] {
        assert!(matches!(rig.memory.free(address), Err(DeviceError::NoSuchMemory { .. })), "{address:#x}");
    }
    rig.memory.free(got.address).expect("allocated");
    assert!(rig.memory.free(got.address).is_err());
}

#[test]
fn the_host_cannot_reach_what_is_not_there() {
    let rig = Rig::new("cus=1");
    let got = rig.memory.allocate(want(None, PAGE)).expect("memory");
    for address in [0, 8, got.address - 1, got.address + PAGE, got.address + 10 * PAGE, 1 << 47, u64::MAX] {
        let refused = rig.memory.read(address, &mut [0; 16]).expect_err("nothing there");
        assert!(matches!(refused, DeviceError::NoSuchMemory { .. }), "{address:#x}: {refused}");
        assert!(rig.memory.write(address, &[0; 16]).is_err(), "{address:#x}");
    }
}

/// A device that chooses addresses goes around those that were chosen for it.
#[test]
fn chosen_addresses_do_not_collide_with_given_ones() {
    let rig = Rig::new("cus=1");
    let first = rig.memory.allocate(want(None, PAGE)).expect("memory");
    // Where the next ones would go.
    for n in 1..8 {
        rig.memory.allocate(want(Some(first.address + n * 4 * PAGE), 2 * PAGE)).expect("free addresses");
    }
    let mut seen = vec![first.address];
    for _ in 0..8 {
        let got = rig.memory.allocate(want(None, 3 * PAGE)).expect("there is room behind");
        assert!(!seen.contains(&got.address));
        seen.push(got.address);
    }
}

#[test]
fn a_backing_of_another_size_is_refused() {
    let rig = Rig::new("cus=1");
    let backing = Some(MemFd::create("test", 2 * PAGE as usize).expect("a memory object"));
    let refused = rig.memory.allocate(Allocate { backing, ..want(None, PAGE) }).expect_err("another size");
    assert!(refused.to_string().contains("size"), "{refused}");
}

#[test]
fn rings_are_checked_before_a_queue_is_made() {
    let mut rig = Rig::new("cus=1");
    let memory = rig.allocate(4 * PAGE, Rights::ReadWrite).address;
    let read_only = rig.allocate(PAGE, Rights::Read).address;
    let good = QueueSpec { ring: memory + PAGE, slots: 64, read_index: memory, structure: memory };
    for (what, spec) in [
        ("no slots", QueueSpec { slots: 0, ..good }),
        ("no power of two", QueueSpec { slots: 48, ..good }),
        ("a ring past its memory", QueueSpec { slots: 256, ..good }),
        ("a huge ring", QueueSpec { slots: 1 << 31, ..good }),
        ("a misaligned ring", QueueSpec { ring: memory + 32, ..good }),
        ("an unmapped ring", QueueSpec { ring: 0x1000, ..good }),
        ("a ring at the end of all addresses", QueueSpec { ring: u64::MAX - 63, ..good }),
        ("a read-only ring", QueueSpec { ring: read_only, ..good }),
        ("an unmapped index", QueueSpec { read_index: 0x1000, ..good }),
        ("a misaligned index", QueueSpec { read_index: memory + 4, ..good }),
        ("a read-only index", QueueSpec { read_index: read_only, ..good }),
    ] {
        assert!(matches!(rig.device.create_queue(spec), Err(DeviceError::Ring { .. })), "{what}");
    }
    let made = rig.device.create_queue(good).expect("a good ring");
    assert!(rig.device.destroy_queue(made));
    assert!(rig.try_queue(16).is_ok());
}

#[test]
fn code_for_the_other_architecture_is_refused() {
    for (device, other) in [(Target::Gfx90a, Target::Gfx942), (Target::Gfx942, Target::Gfx90a)] {
        let rig = Rig::new(&format!("arch={device},cus=1"));
        let bytes = kernels::find("spin").expect("an embedded kernel").code_object(other);
        let object = CodeObject::parse(bytes).expect("a code object");
        let image = rig.allocate(object.image_bytes(), Rights::ReadExecute);
        let refused = rig.memory.load_code(&object, &[], image.address).expect_err("another architecture");
        assert!(matches!(refused, DeviceError::WrongTarget { .. }));
        let says = refused.to_string();
        assert!(says.contains(other.name()) && says.contains(&format!("--offload-arch={device}")), "{says}");
    }
}

#[test]
fn code_needs_memory_of_its_size() {
    let rig = Rig::new("cus=1");
    let object =
        CodeObject::parse(kernels::find("nbody").expect("an embedded kernel").code_object(rig.target)).expect("code");
    assert!(rig.memory.load_code(&object, &[], HERE).is_err(), "nothing was allocated");
    let small = rig.allocate(PAGE, Rights::ReadExecute);
    assert!(object.image_bytes() > small.bytes);
    assert!(rig.memory.load_code(&object, &[], small.address).is_err(), "too small");
    // A load that was refused leaves the memory alone.
    assert_eq!(rig.download(small.address, 4096), [0; 4096]);
}

/// Decoded instructions are kept; they must not outlive the code they were decoded from.
#[test]
fn other_code_at_the_same_address_is_run() {
    for target in Target::ALL {
        let mut rig = Rig::new(&format!("arch={target},cus=1"));
        let small = |name: &str| kernels::find(name).expect("an embedded kernel").small_case(1);
        let code = || Allocate { rights: Rights::ReadExecute, ..want(Some(HERE), 16 * PAGE) };
        let run = |rig: &mut Rig, name: &str, at: Allocation| {
            let case = small(name);
            let program = rig.load_at(name, at);
            let addresses = rig.place(&case);
            let (mut queue, done) = (rig.queue(64), rig.signal(1));
            queue.put(&gcn::aql::Packet::kernel(&rig.dispatch(&program, &case, &addresses), true, done.address()));
            rig.run();
            assert_eq!((rig.faults(), done.value()), (vec![], 0), "{name} on {target}");
            rig.check(&case, &addresses);
        };
        for name in ["vector_add", "saxpy", "nbody", "vector_add", "transpose"] {
            let at = rig.memory.allocate(code()).expect("free addresses");
            run(&mut rig, name, at);
            rig.memory.free(HERE).expect("allocated");
        }
        // Without freeing in between: the new code replaces the old, however their segments lie.
        let at = rig.memory.allocate(code()).expect("free addresses");
        for name in ["nbody", "empty", "scratch", "vector_add", "canary_write", "call"] {
            run(&mut rig, name, at);
        }
    }
}

/// The host may patch code, as debuggers and runtimes do.
#[test]
fn code_that_the_host_rewrites_is_decoded_again() {
    let mut rig = Rig::new("cus=1");
    let program = rig.load("runaway");
    let case = kernels::find("runaway").expect("an embedded kernel").small_case(1);
    let run = |rig: &mut Rig| {
        let addresses = rig.place(&case);
        let (mut queue, done) = (rig.queue(64), rig.signal(1));
        queue.put(&gcn::aql::Packet::kernel(&rig.dispatch(&program, &case, &addresses), true, done.address()));
        rig.run_until(1000);
        rig.device.destroy_queue(queue.handle);
        done.value()
    };
    assert_eq!(run(&mut rig), 1, "it never ends");
    // Every s_nop 0 becomes s_endpgm.
    let image = rig.download(program.image.address, program.image.bytes as usize);
    for (at, word) in (0..).step_by(4).zip(image.chunks_exact(4)) {
        if word == 0xbf80_0000_u32.to_le_bytes() {
            rig.memory.write(program.image.address + at, &0xbf81_0000_u32.to_le_bytes()).expect("code");
        }
    }
    assert_eq!(run(&mut rig), 0, "now it does");
}
