//! Every embedded kernel leaves in memory what its oracle says, on every architecture, by one host thread and by two.

use crate::rig::{Random, Rig};
use gcn::aql::Packet;
use kernels::{Ending, Kernel, Target};
use wavegate::device::Device;

/// Questions after which an endless kernel is stopped.
const ENOUGH: u64 = 2000;

/// Runs one case and judges it by how it should end.
fn run(rig: &mut Rig, kernel: &Kernel, size: u32, seed: u64) {
    let what = format!("{} size={size} seed={seed} on {}", kernel.name, rig.device.facts().name);
    let case = kernel.case(size, seed).expect("a size that makes sense");
    let mut queue = rig.queue(64);
    let done = rig.signal(1);
    if kernel.wants_clean_units() {
        // It judges what others left behind; that nobody did is for the test to see to.
        rig.device.scrub().expect("the software GPU can");
    }
    let program = rig.load(kernel.name);
    let addresses = rig.place(&case);
    queue.put(&Packet::kernel(&rig.dispatch(&program, &case, &addresses), true, done.address()));
    match case.ending {
        Ending::Completes => {
            let report = rig.run();
            assert_eq!(rig.faults(), [], "{what}");
            assert_eq!(done.value(), 0, "{what}");
            assert!(report.instructions > 0, "{what}");
        }
        Ending::Faults { address } => {
            rig.run();
            let [(failed, fault)] = &rig.faults()[..] else { panic!("{what}: no fault") };
            assert_eq!((*failed, fault.address), (queue.handle, Some(address)), "{what}");
            assert_eq!(done.value(), 1, "{what}: a kernel that faulted did not complete");
        }
        Ending::NeverEnds => {
            rig.run_until(ENOUGH);
            assert_eq!(done.value(), 1, "{what}");
            assert!(rig.device.runnable(), "{what}");
        }
    }
    rig.check(&case, &addresses);
    assert!(rig.device.destroy_queue(queue.handle), "{what}");
    assert_eq!(rig.device.context().waves, 0, "{what}: nothing stays on the compute units");
    for at in addresses.into_iter().chain([program.image.address]) {
        rig.memory.free(at).expect("allocated above");
    }
}

/// Returns sizes around what is awkward: one, a wave and a work-group, one more and one less, and something at random.
fn sizes(kernel: &Kernel, random: &mut Random) -> Vec<u32> {
    let small = kernel.sizes.small;
    let awkward = [1, 63, 64, 65, 257].map(|n| n.min(small));
    let mut sizes: Vec<u32> = awkward.into_iter().chain([small, 1 + random.below(u64::from(small)) as u32]).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn all_kernels(target: Target, threads: u32) {
    let mut rig = Rig::new(&format!("arch={target},cus=4,threads={threads}"));
    let mut random = Random(u64::from(threads));
    for kernel in kernels::all() {
        for size in sizes(kernel, &mut random) {
            run(&mut rig, kernel, size, random.next());
        }
    }
}

#[test]
fn gfx90a_on_one_thread() {
    all_kernels(Target::Gfx90a, 1);
}

#[test]
fn gfx90a_on_two_threads() {
    all_kernels(Target::Gfx90a, 2);
}

#[test]
fn gfx942_on_one_thread() {
    all_kernels(Target::Gfx942, 1);
}

#[test]
fn gfx942_on_two_threads() {
    all_kernels(Target::Gfx942, 2);
}
