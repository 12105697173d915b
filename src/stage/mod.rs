//! What the demo and the benches play on: a private broker, and tenant processes that do what they are told.
//!
//! Every process is real: the broker is `wavegate serve` with a configuration of its own, each tenant connects like any other program.
//! Results are checked against oracles outside of the measured time.

pub mod actor;
pub mod broker;
pub mod config;
pub mod running;
pub mod shares;
pub mod tenant;
pub mod wire;
pub mod work;

pub use actor::Actor;
pub use broker::PrivateBroker;

use crate::admin::Status;
use crate::device::soft::SoftConfig;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::processor::Processors;

/// A broker that tenants play on.
pub trait Host {
    /// Returns this program, which is also every process on the stage.
    fn program(&self) -> &Path;
    /// Returns the path of the tenants' socket.
    fn socket(&self) -> PathBuf;
    /// Returns what `wavegate status --json` says.
    fn status(&self) -> Result<Status>;
}

/// The device to play on unless another is named.
///
/// Nothing is translated: the parts are written in wave-instructions, and what is looked at is how long kernels wait and who gets how much, so a kernel of
/// 10,000 must take about 100 us on every host. Translated it takes 10 to 100, by what the host's processor can do.
pub const DEVICE: &str = "soft:cus=4,threads=1,vram=1GiB,translate=off";

/// Longest time anything may take that should take none.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gives the device a host processor of its own, if it has none and there are several: the calling thread, and what it starts from now on, stay on the
/// others.
///
/// A GPU computes beside the processors of its host and at one speed for everybody. Where the software GPU's threads share processors with the programs that wait for
/// them, a tenant's work depends on where the host has put whom (measured on two processors: up to a third less).
pub fn apart(device: SoftConfig) -> Result<SoftConfig> {
    let ours = Processors::ours()?;
    let device = match (device.pin, ours.last()) {
        (None, Some(last)) if ours.count() > 1 => SoftConfig { pin: Some((last, last)), ..device },
        _ => device,
    };
    let left = device.processors().map_or(ours, |its| ours.without(its));
    if left.count() > 0 {
        left.stay()?;
    }
    Ok(device)
}

/// Does something on the device's own processors, as the device does.
pub fn on_device<T>(device: &SoftConfig, something: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(processors) = device.processors() else { return something() };
    let ours = Processors::ours()?;
    processors.stay()?;
    let done = something();
    ours.stay()?;
    done
}
