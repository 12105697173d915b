//! Queues, signals, ordering, and packets that are wrong.

use anyhow::{Context as _, Result, ensure};
use gcn::aql::{KernelDispatch, Packet};
use kernels::Case;

use super::rig::Rig;
use super::{Seen, right};
use crate::device::{DeviceError, FaultClass, Preemption, Priority, QueueSpec};

fn vector_add(size: u32) -> Result<Case> {
    Ok(kernels::find("vector_add").context("an embedded kernel")?.case(size, 1)?)
}

pub(super) fn a_ring_wraps_many_times(rig: &mut Rig) -> Result<Seen> {
    let case = vector_add(64)?;
    let addresses = rig.place(&case)?;
    let dispatch = rig.dispatch(&case, &addresses)?;
    let mut queue = rig.queue(4)?;
    let done = rig.signal(400)?;
    for _ in 0..100 {
        for _ in 0..4 {
            rig.put(&mut queue, &Packet::kernel(&dispatch, false, done.address()))?;
        }
        rig.run()?;
    }
    ensure!(rig.value(done)? == 0 && rig.consumed(&queue)? == 400, "{} left", rig.value(done)?);
    for slot in 0..4 {
        ensure!(rig.header(&queue, slot)? == 1, "slot {slot} was not given back");
    }
    rig.check(&case, &addresses)?;
    right()
}

pub(super) fn many_queues_run_side_by_side(rig: &mut Rig) -> Result<Seen> {
    let cases = ["vector_add", "matmul", "reduction", "atomics"];
    let mut placed = Vec::new();
    let done = rig.signal(cases.len() as i64)?;
    for name in cases {
        let case = kernels::find(name).context("an embedded kernel")?.small_case(5);
        let mut queue = rig.queue(64)?;
        let addresses = rig.submit(&mut queue, &case, done.address())?;
        placed.push((case, addresses));
    }
    rig.run()?;
    ensure!(rig.value(done)? == 0, "{} of {} are not complete", rig.value(done)?, cases.len());
    placed.iter().try_for_each(|(case, addresses)| rig.check(case, addresses))?;
    Ok(Seen::Right(format!("{} queues", cases.len())))
}

pub(super) fn an_urgent_queue_goes_first(rig: &mut Rig) -> Result<Seen> {
    let [mut early, mut urgent] = [rig.queue(64)?, rig.queue(64)?];
    if !rig.device.facts().queue_priorities {
        ensure!(rig.device.set_priority(urgent.handle, Priority::High).is_err(), "it takes what it does not know");
        return Ok(Seen::Right("it says that it serves all queues alike".to_owned()));
    }
    rig.device.set_priority(urgent.handle, Priority::High)?;
    // Of some milliseconds: both are there before the first has ended.
    let case = kernels::find("mandelbrot").context("an embedded kernel")?.default_case(1);
    let done = [rig.signal(1)?, rig.signal(1)?];
    let placed =
        [rig.submit(&mut early, &case, done[0].address())?, rig.submit(&mut urgent, &case, done[1].address())?];
    rig.run()?;
    placed.iter().try_for_each(|addresses| rig.check(&case, addresses))?;
    let [(begun, early_end), (_, urgent_end)] = [rig.times(done[0])?, rig.times(done[1])?];
    if urgent_end < early_end {
        return right();
    }
    Ok(Seen::NotOffered(format!("the queue that was first ended first, {} ticks after it began", early_end - begun)))
}

pub(super) fn completions_carry_the_devices_times(rig: &mut Rig) -> Result<Seen> {
    let case = vector_add(1000)?;
    let mut queue = rig.queue(64)?;
    let signals = (0..5).map(|_| rig.signal(3)).collect::<Result<Vec<_>>>()?;
    for signal in &signals {
        rig.submit(&mut queue, &case, signal.address())?;
    }
    rig.run()?;
    let mut last = 0;
    for &signal in &signals {
        ensure!(rig.value(signal)? == 2, "a signal went from 3 to {}", rig.value(signal)?);
        let (start, end) = rig.times(signal)?;
        ensure!(start > 0 && start <= end, "it ran from {start} to {end}");
        ensure!(end >= last, "one completed at {end}, one before it at {last}");
        last = end;
    }
    right()
}

pub(super) fn barriers_wait_for_their_signals(rig: &mut Rig) -> Result<Seen> {
    let (gate, done) = (rig.signal(1)?, rig.signal(2)?);
    let mut queue = rig.queue(64)?;
    rig.put(&mut queue, &Packet::barrier([gate.address(), 0, 0, 0, 0], false, done.address()))?;
    rig.put(&mut queue, &Packet::barrier([0; 5], false, done.address()))?;
    ensure!(!rig.device.runnable(), "a barrier does not wait for its signal");
    rig.run()?;
    ensure!(rig.value(done)? == 2, "a barrier did not wait for its signal");
    rig.set(gate, 0)?;
    ensure!(rig.device.runnable(), "a barrier waits for a signal that is 0");
    rig.run()?;
    ensure!(rig.value(done)? == 0, "a barrier whose signals are 0 did not complete");
    let (left, right_, either) = (rig.signal(1)?, rig.signal(0)?, rig.signal(1)?);
    rig.put(&mut queue, &Packet::barrier([left.address(), right_.address(), 0, 0, 0], true, either.address()))?;
    rig.run()?;
    ensure!(rig.value(either)? == 0, "one signal of 0 is not enough for a barrier that wants any");
    right()
}

/// A kernel with the barrier bit begins when those before it have ended: it reads what they wrote.
pub(super) fn a_barrier_bit_waits_for_what_is_before(rig: &mut Rig) -> Result<Seen> {
    let case = kernels::find("nbody").context("an embedded kernel")?.case(256, 3)?;
    let after = vector_add(64)?;
    let mut queue = rig.queue(64)?;
    let (first, second) = (rig.signal(1)?, rig.signal(1)?);
    let long = rig.submit(&mut queue, &case, first.address())?;
    let addresses = rig.place(&after)?;
    let dispatch = rig.dispatch(&after, &addresses)?;
    rig.put(&mut queue, &Packet::kernel(&dispatch, true, second.address()))?;
    rig.run()?;
    ensure!(rig.value(first)? == 0 && rig.value(second)? == 0, "they did not complete");
    let ((_, end), (start, _)) = (rig.times(first)?, rig.times(second)?);
    ensure!(start >= end, "it began at {start}, before the one before it ended at {end}");
    rig.check(&case, &long)?;
    rig.check(&after, &addresses)?;
    right()
}

pub(super) fn bad_rings_are_refused(rig: &mut Rig) -> Result<Seen> {
    let at = rig.host(1 << 16)?;
    let good = QueueSpec { ring: at, slots: 64, read_index: at + 8192, structure: at + 8192 };
    let bad = [
        QueueSpec { slots: 48, ..good },
        QueueSpec { ring: at + 32, ..good },
        QueueSpec { ring: 0xdead_0000, ..good },
        QueueSpec { slots: 1 << 30, ..good },
    ];
    for spec in bad {
        let refused = rig.device.create_queue(spec);
        ensure!(matches!(refused, Err(DeviceError::Ring { .. })), "{spec:?}: {refused:?}");
    }
    right()
}

pub(super) fn a_bad_packet_ends_its_queue_and_no_other(rig: &mut Rig) -> Result<Seen> {
    let case = vector_add(64)?;
    let addresses = rig.place(&case)?;
    let good = rig.dispatch(&case, &addresses)?;
    let bad = [
        KernelDispatch { kernel_object: 0xdead_0040, ..good },
        KernelDispatch { setup: 0, ..good },
        KernelDispatch { workgroup: [2000, 1, 1], ..good },
        KernelDispatch { group_segment_size: 1 << 20, ..good },
    ];
    for dispatch in bad {
        let mut queue = rig.queue(64)?;
        rig.put(&mut queue, &Packet::kernel(&dispatch, false, 0))?;
        rig.run()?;
        let faults = rig.faults();
        let told =
            matches!(&faults[..], [(handle, fault)] if *handle == queue.handle && fault.kind == FaultClass::Packet);
        ensure!(told, "{dispatch:?}: {faults:?}");
        ensure!(rig.device.destroy_queue(queue.handle), "the queue was gone by itself");
    }
    rig.verify(&case)?;
    right()
}

/// Hardware has few places for queues: who has no lease takes none, nor does who has no work.
pub(super) fn queues_leave_the_hardware_with_the_lease(rig: &mut Rig) -> Result<Seen> {
    let mut queues = [rig.queue(64)?, rig.queue(64)?, rig.queue(64)?, rig.queue(64)?];
    let listed = |rig: &Rig| rig.device.listed_queues();
    let Some(new) = listed(rig) else {
        return Ok(match rig.device.facts().preemption {
            Preemption::Suspend => Seen::Right("it has no such places".to_owned()),
            _ => Seen::NotOffered("queues cannot be taken off it".to_owned()),
        });
    };
    ensure!(new == 0, "{new} places are taken before anything ran");
    let case = vector_add(64)?;
    let mut seen = Vec::new();
    // Two queues of four have work, in the second lease one, and in the third one its kernel is cut short.
    for used in [2, 1] {
        let done = rig.signal(used as i64)?;
        let placed: Vec<_> =
            queues[..used].iter_mut().map(|queue| rig.submit(queue, &case, done.address())).collect::<Result<_>>()?;
        rig.run()?;
        placed.iter().try_for_each(|addresses| rig.check(&case, addresses))?;
        seen.push(listed(rig));
        rig.device.leave();
        ensure!(listed(rig) == Some(0), "{:?} places are still taken without the lease", listed(rig));
    }
    ensure!(seen == [Some(2), Some(1)], "two queues with work, then one, took {seen:?} places");
    let long = kernels::find("spin").context("an embedded kernel")?.default_case(1);
    let addresses = rig.submit(&mut queues[3], &long, 0)?;
    rig.run_until(3)?;
    rig.device.suspend();
    ensure!(listed(rig) == Some(0), "a suspend leaves {:?} places", listed(rig));
    rig.device.resume();
    rig.run()?;
    rig.check(&long, &addresses)?;
    right()
}

/// As a tenant that leaves does: its kernel runs, and its queue goes.
pub(super) fn a_queue_with_work_can_be_destroyed(rig: &mut Rig) -> Result<Seen> {
    let endless = kernels::find("runaway").context("an embedded kernel")?.small_case(1);
    let mut queue = rig.queue(64)?;
    rig.submit(&mut queue, &endless, 0)?;
    if rig.device.facts().preemption < Preemption::Suspend {
        // It cannot be taken back, so it is not begun.
        ensure!(rig.device.destroy_queue(queue.handle), "there is no such queue");
        return Ok(Seen::Right("before it began".to_owned()));
    }
    rig.run_until(300)?;
    rig.device.suspend();
    ensure!(rig.device.destroy_queue(queue.handle), "there is no such queue");
    rig.device.resume();
    ensure!(!rig.device.runnable(), "something of it is left");
    rig.verify(&vector_add(64)?)?;
    right()
}
