//! What every device must do, whatever is behind it: one suite for the software GPU, for AMD's runtime on the test fixture, and for a card.
//!
//! Promise: a case says what was seen or what was wrong, and says so if the device does not offer what it asks for; it never passes
//! for want of a question. A case has a device to itself, because some of them lose it: `wavegate doctor --run` gives each a process of its own, as AMD's
//! runtime is one a process, and kills what does not end.

mod bench;
mod memory;
mod queues;
mod rig;
mod running;

use anyhow::{Context as _, Result, bail};

pub use bench::{Measured, measure};

use self::rig::Rig;
use crate::device::Device;
use crate::device::rocr::RocrDevice;
use crate::device::soft::{ComputeUnits, SoftDevice};
use crate::device::spec::DeviceSpec;

/// What came of a case that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The device does what it should; what was seen, if there is more to say.
    Right(String),
    /// It does not offer that, and says so.
    NotOffered(String),
}

/// One thing that a device must do.
pub struct Case {
    /// Its name, a sentence.
    pub name: &'static str,
    run: fn(&mut Rig) -> Result<Seen>,
}

impl Case {
    /// Tries a device that nothing else was tried on.
    pub fn run(&self, device: Box<dyn Device>) -> Result<Seen> {
        match device.facts().target.parse() {
            Ok(target) => (self.run)(&mut Rig::new(device, target)?),
            Err(_) => Ok(Seen::NotOffered(format!("no programs are embedded for {}", device.facts().target))),
        }
    }
}

/// Names functions as cases.
macro_rules! cases {
    ($( $room:ident: $($name:ident)* ; )*) => {
        &[$($( Case { name: stringify!($name), run: $room::$name }, )*)*]
    };
}

const CASES: &[Case] = cases! {
    memory: facts_make_sense memory_keeps_what_is_written memory_is_copied_where_it_is aliases_show_the_same_memory
        memory_comes_clean memory_runs_out_and_comes_back code_is_checked;
    queues: a_ring_wraps_many_times many_queues_run_side_by_side an_urgent_queue_goes_first completions_carry_the_devices_times
        barriers_wait_for_their_signals a_barrier_bit_waits_for_what_is_before bad_rings_are_refused
        a_bad_packet_ends_its_queue_and_no_other queues_leave_the_hardware_with_the_lease a_queue_with_work_can_be_destroyed;
    running: every_kernel_agrees_with_its_oracle a_mask_is_kept_to waves_are_suspended_and_go_on
        others_run_while_waves_are_suspended an_endless_kernel_is_stopped a_scrub_leaves_nothing
        a_scrub_leaves_suspended_waves_whole a_wild_store_is_told;
};

/// Returns every case.
pub fn all() -> &'static [Case] {
    CASES
}

/// Returns the case of this name.
pub fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

/// Opens a device for this process alone.
pub fn open(spec: &DeviceSpec) -> Result<Box<dyn Device>> {
    Ok(match spec {
        DeviceSpec::Soft(config) => Box::new(SoftDevice::new(config, ComputeUnits::private(config.cus)?)?),
        DeviceSpec::Rocr(config) => Box::new(RocrDevice::open(config).with_context(|| format!("device {spec}"))?),
        DeviceSpec::Auto => bail!("auto stands for no device here"),
    })
}

/// A case that has no more to say.
fn right() -> Result<Seen> {
    Ok(Seen::Right(String::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The suite on the software GPU; `cargo xtask rocr` has it on AMD's runtime.
    #[test]
    fn the_software_gpu_does_what_a_device_must() {
        for spec in ["soft:cus=2,vram=256MiB", "soft:cus=3,vram=256MiB,arch=gfx942"] {
            let spec: DeviceSpec = spec.parse().unwrap();
            for case in all() {
                let seen = open(&spec).and_then(|device| case.run(device));
                match seen {
                    Ok(Seen::Right(_)) => {}
                    Ok(Seen::NotOffered(what)) => {
                        panic!("{spec} {}: the software GPU offers everything, but {what}", case.name)
                    }
                    Err(error) => panic!("{spec} {}: {error:#}", case.name),
                }
            }
        }
    }
}
