//! Kernels and their oracles, masks, suspending, scrubbing, faults.

use anyhow::{Context as _, Result, bail, ensure};
use kernels::canary::{SCALAR_GROUPS, read_case, scalars_case, survivors, write_case};
use kernels::{Case, Ending};

use super::rig::Rig;
use super::{Seen, right};
use crate::device::{CuMask, DeviceError, FaultClass, LossCause, Preemption, RunEnd};

/// Marks what a canary left.
const TAG: u32 = 0x4242_0000;
/// Questions that a turn of a suspended program lasts: on hardware the first two hundred only spin, and each after that waits 100 us.
const TURN: u64 = 204;
/// Turns until a program counts as one that never ends.
const TURNS_MAX: u32 = 20_000;
/// Bodies of the program that is to be suspended: one that is done before that, on a fast device or on a host that others use, is followed by the next.
const BODIES: [u32; 4] = [1024, 2048, 4096, 8192];

fn case(name: &str, size: u32) -> Result<Case> {
    Ok(kernels::find(name).context("an embedded kernel")?.case(size, 3)?)
}

fn suspends(rig: &Rig) -> Option<Seen> {
    let drains = rig.device.facts().preemption < Preemption::Suspend;
    drains.then(|| Seen::NotOffered("work in flight finishes; it is not suspended".to_owned()))
}

pub(super) fn every_kernel_agrees_with_its_oracle(rig: &mut Rig) -> Result<Seen> {
    let mut count = 0;
    for kernel in kernels::all().iter().filter(|kernel| !kernel.wants_clean_units()) {
        let case = kernel.small_case(7);
        if case.ending == Ending::Completes {
            rig.verify(&case)?;
            count += 1;
        }
    }
    Ok(Seen::Right(format!("{count} kernels")))
}

/// Work-groups stay on the units of a mask: `canary_write` leaves its pattern on those only, where the device leaves patterns at all.
pub(super) fn a_mask_is_kept_to(rig: &mut Rig) -> Result<Seen> {
    let units = rig.device.facts().compute_units;
    let none = rig.device.set_cu_mask(&CuMask::from_words(vec![0; 8]));
    ensure!(none.is_err(), "a mask of no units was taken");
    let small = case("vector_add", 1000)?;
    rig.device.scrub()?;
    // Queues that there are and queues that come are both narrowed.
    let mut before = rig.queue(64)?;
    rig.device.set_cu_mask(&CuMask::from_words(vec![1]))?;
    let done = rig.signal(1)?;
    let addresses = rig.submit(&mut before, &small, done.address())?;
    rig.run()?;
    ensure!(rig.value(done)? == 0, "it did not complete on one unit");
    rig.check(&small, &addresses)?;
    rig.verify(&write_case(7, TAG))?;
    rig.device.set_cu_mask(&CuMask::from_words(vec![u32::MAX; units.div_ceil(32) as usize]))?;
    let found = survivors(&rig.dump(&read_case(units))?, TAG).total();
    ensure!(found <= 143_600, "{found} words were left, a unit has 143,600 of them: it ran on more than one");
    rig.verify(&small)?;
    Ok(Seen::Right(format!("{found} of 143,600 words were left on one of {units} units")))
}

/// Runs `case` in turns with `between` after each suspend; returns how often it was suspended.
fn in_turns(rig: &mut Rig, case: &Case, between: impl Fn(&mut Rig) -> Result<()>) -> Result<u32> {
    let mut queue = rig.queue(64)?;
    let done = rig.signal(1)?;
    let addresses = rig.submit(&mut queue, case, done.address())?;
    let mut turns = 0;
    while rig.run_until(TURN)?.end == RunEnd::Stopped {
        rig.device.suspend();
        let before = rig.value(done)?;
        ensure!(rig.device.runnable(), "what is suspended is gone");
        between(rig)?;
        ensure!(rig.value(done)? == before, "it went on while it was suspended");
        rig.device.resume();
        if let Some(lost) = rig.device.lost() {
            bail!("{}", lost.text);
        }
        turns += 1;
        ensure!(turns < TURNS_MAX, "it does not end");
    }
    ensure!(rig.value(done)? == 0, "it did not complete");
    rig.check(case, &addresses)?;
    ensure!(rig.device.destroy_queue(queue.handle), "the queue was gone by itself");
    Ok(turns)
}

/// Runs a program long enough in turns; returns how often it was suspended, which is at least once.
fn suspended(rig: &mut Rig, between: impl Fn(&mut Rig) -> Result<()>) -> Result<u32> {
    for bodies in BODIES {
        let turns = in_turns(rig, &case("nbody", bodies)?, &between)?;
        if turns > 0 {
            return Ok(turns);
        }
    }
    bail!("it was too short to be suspended")
}

pub(super) fn waves_are_suspended_and_go_on(rig: &mut Rig) -> Result<Seen> {
    if let Some(not) = suspends(rig) {
        return Ok(not);
    }
    let turns = suspended(rig, |_| Ok(()))?;
    Ok(Seen::Right(format!("{turns} times, with the right result")))
}

/// Registers and LDS of those that are suspended are not touched by those that run.
pub(super) fn others_run_while_waves_are_suspended(rig: &mut Rig) -> Result<Seen> {
    if let Some(not) = suspends(rig) {
        return Ok(not);
    }
    // A device runs all queues of its session, so the other one is scrubbing: a program with all registers and all LDS.
    rig.device.can_scrub()?;
    let turns = suspended(rig, |rig| Ok(rig.device.scrub()?))?;
    Ok(Seen::Right(format!("{turns} times, with the right result")))
}

pub(super) fn an_endless_kernel_is_stopped(rig: &mut Rig) -> Result<Seen> {
    if let Some(not) = suspends(rig) {
        return Ok(not);
    }
    let endless = kernels::find("runaway").context("an embedded kernel")?.small_case(1);
    let mut queue = rig.queue(64)?;
    rig.submit(&mut queue, &endless, 0)?;
    for _ in 0..3 {
        ensure!(rig.run_until(300)?.end == RunEnd::Stopped, "an endless kernel ended");
        rig.device.suspend();
        ensure!(rig.device.lost().is_none(), "{:?}", rig.device.lost());
        rig.device.resume();
    }
    rig.device.suspend();
    right()
}

pub(super) fn a_scrub_leaves_nothing(rig: &mut Rig) -> Result<Seen> {
    match rig.device.can_scrub() {
        Ok(()) => {}
        Err(DeviceError::NoScrub { target }) => return Ok(Seen::NotOffered(format!("no program scrubs {target}"))),
        Err(error) => return Err(error.into()),
    }
    let units = rig.device.facts().compute_units;
    rig.device.scrub()?;
    rig.verify(&write_case(units, TAG))?;
    let without = survivors(&rig.dump(&read_case(units))?, TAG).total();
    for _ in 0..2 {
        rig.verify(&write_case(units, TAG))?;
        rig.device.scrub()?;
        let read = read_case(units);
        let dump = rig.dump(&read)?;
        read.check(&[dump]).context("registers and LDS after a scrub")?;
    }
    let groups = SCALAR_GROUPS * units;
    for _ in 0..2 {
        rig.dump(&scalars_case(groups, TAG))?;
        rig.device.scrub()?;
        let read = scalars_case(groups, TAG);
        let dump = rig.dump(&read)?;
        read.check(&[dump]).context("scalar registers after a scrub")?;
    }
    let cells = 143_600 * u64::from(units);
    Ok(Seen::Right(format!("without it {without} of {cells} words survive, with it none")))
}

pub(super) fn a_scrub_leaves_suspended_waves_whole(rig: &mut Rig) -> Result<Seen> {
    if let Some(not) = suspends(rig) {
        return Ok(not);
    }
    // Every register and all LDS of it are in use when it is suspended.
    let units = rig.device.facts().compute_units;
    in_turns(rig, &write_case(units, TAG), |rig| Ok(rig.device.scrub()?))?;
    right()
}

/// Ends the device on hardware, where the driver stops all queues of the process.
pub(super) fn a_wild_store_is_told(rig: &mut Rig) -> Result<Seen> {
    let wild = kernels::fault::at(0xdead_0000, 64, 1);
    let (mut queue, other) = (rig.queue(64)?, rig.queue(64)?);
    rig.submit(&mut queue, &wild, 0)?;
    rig.run()?;
    let faults = rig.faults();
    let own = faults.iter().find(|(handle, _)| *handle == queue.handle);
    let Some((_, fault)) = own else { bail!("nobody was told of a store to nowhere") };
    ensure!(fault.kind == FaultClass::Memory, "it was told as {fault:?}");
    ensure!(fault.address.is_some_and(|at| at & !0xfff == 0xdead_0000), "it was told as {fault:?}");
    match rig.device.lost() {
        None => {
            ensure!(faults.len() == 1, "others were told too: {faults:?}");
            rig.verify(&case("vector_add", 64)?)?;
            Ok(Seen::Right("its queue is over, the session is not".to_owned()))
        }
        Some(lost) => {
            ensure!(lost.cause == LossCause::Fault, "{lost:?}");
            ensure!(faults.iter().any(|(handle, _)| *handle == other.handle), "the other queue was not told");
            let refused = rig.try_queue(64)?;
            ensure!(refused.is_err() && !rig.device.runnable(), "a lost device goes on");
            Ok(Seen::Right("the session is over, and every queue was told".to_owned()))
        }
    }
}
