//! Residue: what one tenant left in registers and LDS, seen by the next, unless the device is scrubbed in between.
//!
//! The first test is there for the others: a device that hands out clean storage by itself would make them pass for nothing.

use crate::rig::{Rig, soft};
use gcn::aql::Packet;
use kernels::canary::{SCALAR_GROUPS, Survivors, read_case, scalar_survivors, scalars_case, survivors, write_case};
use kernels::{Case, Target};
use wavegate::device::soft::ComputeUnits;
use wavegate::device::{CuMask, Device, RunEnd};

const CUS: u32 = 3;
const TAG: u32 = 0x4242_0000;

/// What `canary_write` leaves on one compute unit, all of it: see the kernel.
const EVERYTHING: Survivors = Survivors { lds: 16384, vector: 256 * 240, accumulation: 256 * 256, scalar: 4 * 60 };

fn tenant(target: Target, threads: u32, units: &ComputeUnits) -> Rig {
    Rig::on(&soft(&format!("arch={target},cus={CUS},threads={threads}")), units.clone())
}

/// Lets a tenant of its own read what it never wrote, a work-group on each compute unit; returns the dump.
fn look(target: Target, threads: u32, units: &ComputeUnits) -> Vec<u8> {
    tenant(target, threads, units).dump(read_case(CUS)).1
}

fn times(n: u64, one: Survivors) -> Survivors {
    let Survivors { lds, vector, accumulation, scalar } = one;
    Survivors { lds: n * lds, vector: n * vector, accumulation: n * accumulation, scalar: n * scalar }
}

#[test]
fn without_a_scrub_the_next_tenant_finds_everything() {
    for target in Target::ALL {
        for threads in [1, 2] {
            let units = ComputeUnits::private(CUS).expect("compute units");
            tenant(target, threads, &units).verify(&write_case(CUS, TAG));
            let found = survivors(&look(target, threads, &units), TAG);
            assert_eq!(found, times(u64::from(CUS), EVERYTHING), "{target} threads={threads}");
        }
    }
}

#[test]
fn after_a_scrub_it_finds_nothing() {
    for target in Target::ALL {
        let units = ComputeUnits::private(CUS).expect("compute units");
        let mut first = tenant(target, 1, &units);
        first.verify(&write_case(CUS, TAG));
        first.device.scrub().expect("the software GPU can");
        let dump = look(target, 1, &units);
        assert_eq!(survivors(&dump, TAG).total(), 0, "{target}");
        // Not only not the pattern: nothing at all.
        let case = read_case(CUS);
        case.check(&[dump]).unwrap_or_else(|wrong| panic!("{target}: {wrong}"));
    }
}

/// `canary` has a wave on each SIMD; this one has every wave slot.
#[test]
fn scalar_registers_of_every_wave_slot_are_scrubbed() {
    for target in Target::ALL {
        let units = ComputeUnits::private(CUS).expect("compute units");
        let look = || tenant(target, 1, &units).dump(scalars_case(CUS * SCALAR_GROUPS, TAG));
        look();
        let found = scalar_survivors(&look().1, TAG);
        assert_eq!(found, u64::from(CUS * SCALAR_GROUPS) * 4 * 60, "{target}");
        tenant(target, 1, &units).device.scrub().expect("the software GPU can");
        let (case, dump) = look();
        case.check(&[dump]).unwrap_or_else(|wrong| panic!("{target}: {wrong}"));
    }
}

/// A tenant that is suspended leaves as much behind as one that has finished, and loses nothing by the scrub.
#[test]
fn a_suspended_tenant_is_scrubbed_away_and_comes_back_whole() {
    for target in Target::ALL {
        let units = ComputeUnits::private(CUS).expect("compute units");
        let mut first = tenant(target, 1, &units);
        let case = write_case(CUS, TAG);
        let done = first.signal(1);
        let mut queue = first.queue(64);
        let addresses = first.submit(&mut queue, &case, done.address());
        // Far enough that LDS and registers hold something of it.
        assert_eq!(first.run_until(30).end, RunEnd::Stopped);
        assert!(first.device.suspend().copied() > 0);

        assert!(survivors(&look(target, 1, &units), TAG).total() > 0, "{target}: residue of the suspended");
        first.device.scrub().expect("the software GPU can");
        assert_eq!(survivors(&look(target, 1, &units), TAG).total(), 0, "{target}");

        first.device.resume();
        first.run();
        assert_eq!(done.value(), 0);
        first.check(&case, &addresses);
    }
}

/// Also what the mask keeps a tenant away from: it leaves nothing where it may not run, and says where it ran.
#[test]
fn a_cu_mask_keeps_work_groups_on_its_units() {
    let units = ComputeUnits::private(CUS).expect("compute units");
    let mut first = tenant(Target::Gfx90a, 1, &units);
    first.device.set_cu_mask(&CuMask::from_words(vec![0b010])).expect("one unit is enough");
    first.verify(&write_case(7, TAG));
    // A work-group a unit, in the order of the units.
    let dump = look(Target::Gfx90a, 1, &units);
    let groups: Vec<Survivors> =
        dump[..dump.len() - 64].chunks((dump.len() - 64) / 3).map(|d| survivors(d, TAG)).collect();
    assert_eq!(groups, [Survivors::default(), EVERYTHING, Survivors::default()]);

    assert!(first.device.set_cu_mask(&CuMask::from_words(vec![0b1000])).is_err(), "a mask of units that are not there");
    first.device.set_cu_mask(&CuMask::from_words(vec![0b111])).expect("all units");
    first.verify(&write_case(7, TAG));
    assert_eq!(survivors(&look(Target::Gfx90a, 1, &units), TAG), times(3, EVERYTHING));
}

/// Work-groups that are resident when the mask changes stay where they are and finish.
#[test]
fn a_cu_mask_is_for_work_groups_that_start_from_now_on() {
    let mut rig = Rig::new(&format!("arch=gfx90a,cus={CUS}"));
    let case: Case = write_case(20, TAG);
    let program = rig.load(case.kernel);
    let addresses = rig.place(&case);
    let done = rig.signal(1);
    let mut queue = rig.queue(64);
    queue.put(&Packet::kernel(&rig.dispatch(&program, &case, &addresses), true, done.address()));
    assert_eq!(rig.run_until(1).end, RunEnd::Stopped);
    assert_eq!(rig.device.context().waves, 4 * u64::from(CUS));
    rig.device.set_cu_mask(&CuMask::from_words(vec![1])).expect("one unit is enough");
    while rig.run_until(100).end == RunEnd::Stopped {}
    assert_eq!(done.value(), 0);
    rig.check(&case, &addresses);
}
