//! Many producers on one ring that is always full: every packet is executed exactly once.
//!
//! Producers claim a slot with an atomic add to the write index and may so run far past the end of the ring; each waits for its
//! slot to come free, fills it, and releases the header. The device runs meanwhile on a thread of its own.

use crate::rig::{PATIENCE, Queue, Rig};
use gcn::aql::{KernelDispatch, Packet};
use kernels::{Arg, Case};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use wavegate::device::Device;

const PRODUCERS: usize = 8;
const EACH: usize = 200;
const BINS: usize = 256;

/// A histogram of one word of four equal bytes: adds 4 to the bin of that byte, and only ever adds.
fn one_word() -> Case {
    kernels::find("histogram").expect("an embedded kernel").case(1, 0).expect("a size")
}

/// Makes a dispatch that adds 4 to bin `byte` of the bins at `bins`.
fn count(rig: &Rig, program: &crate::rig::Program, byte: u8, bins: u64) -> KernelDispatch {
    let mut case = one_word();
    let word = rig.upload(&[byte; 4]);
    // The case's own arguments, at memory of ours.
    case.args[0] = Arg::U64(word);
    case.args[1] = Arg::U64(bins);
    rig.dispatch(program, &case, &[])
}

/// As a conforming producer: claim, wait for the slot, body, header.
fn produce(queue: &Queue, packet: &[u8; 64]) {
    let index = queue.write_index().fetch_add(1, Ordering::AcqRel);
    let deadline = Instant::now() + PATIENCE;
    while index >= queue.read_index().load(Ordering::Acquire) + queue.slots {
        assert!(Instant::now() < deadline, "the slot of packet {index} never came free");
        std::thread::yield_now();
    }
    queue.put_at(index, packet);
}

fn exactly_once(slots: u64, threads: u32, barrier: bool) {
    let mut rig = Rig::new(&format!("cus=2,threads={threads}"));
    let program = rig.load("histogram");
    let queue = rig.queue(slots);
    let done = rig.signal((PRODUCERS * EACH) as i64);
    let bins: Vec<u64> = (0..PRODUCERS).map(|_| rig.upload(&[0; 4 * BINS])).collect();
    let packets: Vec<Vec<[u8; 64]>> = bins
        .iter()
        .map(|&at| {
            let one = |n: usize| Packet::kernel(&count(&rig, &program, n as u8, at), barrier, done.address());
            (0..EACH).map(one).collect()
        })
        .collect();
    let furthest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for packets in &packets {
            let (queue, furthest) = (&queue, &furthest);
            scope.spawn(move || {
                for packet in packets {
                    let claimed = queue.write_index().load(Ordering::Acquire);
                    let ahead = claimed.saturating_sub(queue.read_index().load(Ordering::Acquire));
                    furthest.fetch_max(ahead, Ordering::Relaxed);
                    produce(queue, packet);
                }
            });
        }
        let deadline = Instant::now() + PATIENCE;
        while done.value() > 0 {
            rig.lease.stop_after(u64::MAX);
            if rig.device.runnable() {
                rig.device.run(&rig.lease);
            } else {
                std::thread::yield_now();
            }
            assert!(Instant::now() < deadline, "{} packets were never executed", done.value());
        }
    });
    assert_eq!(rig.faults(), []);
    assert_eq!(done.value(), 0, "no signal was decremented twice");
    assert!(!rig.device.runnable());
    assert_eq!(queue.read_index().load(Ordering::Acquire), (PRODUCERS * EACH) as u64);
    assert!(furthest.load(Ordering::Relaxed) >= slots, "the ring was never overrun: the test has not tested");
    let expected: Vec<u8> = (0..BINS).flat_map(|n| if n < EACH { 4u32 } else { 0 }.to_le_bytes()).collect();
    for (producer, &at) in bins.iter().enumerate() {
        assert_eq!(rig.download(at, 4 * BINS), expected, "producer {producer}");
    }
}

#[test]
fn eight_producers_overrun_a_ring_of_four() {
    exactly_once(4, 1, false);
}

#[test]
fn eight_producers_overrun_a_ring_of_four_in_order() {
    exactly_once(4, 1, true);
}

#[test]
fn eight_producers_and_two_device_threads() {
    exactly_once(4, 2, false);
}
