//! A hardware queue's entry on the driver's run list.
//!
//! A card has some two dozen places for queues that are on the list, whoever made them, and takes turns among them if there are more, empty ones too.
//! So a queue comes onto the list when it is given its first packet under a lease, and leaves it with the lease. Where queues cannot be taken
//! off ([`Pause`] finds no way, or does not know this one) they are on it for as long as they live.

use hsa_sys::runtime::{Agent, DriverQueue, Pause, PauseError, Queue};

use crate::device::{DeviceError, Priority};

/// See the module.
pub(super) struct Listing {
    driver: Option<DriverQueue>,
    listed: bool,
}

/// Makes a hardware queue, which the runtime puts on the list, and takes it off.
pub(super) fn queue(agent: &Agent, slots: u32, pause: Option<&Pause>) -> Result<(Queue, Listing), DeviceError> {
    if let Some(pause) = pause {
        pause.note();
    }
    let queue = Queue::new(agent, slots)?;
    let mut listing = Listing { driver: pause.and_then(|pause| pause.adopt(&queue).ok()), listed: true };
    let failed = |error| DeviceError::Runtime(format!("a new queue could not be taken off the device: {error}"));
    listing.leave(pause).map_err(failed)?;
    Ok((queue, listing))
}

impl Listing {
    /// Whether it can be taken off the list.
    pub(super) fn can_leave(&self) -> bool {
        self.driver.is_some()
    }

    /// Whether the hardware has it.
    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Puts it on the list, if it is not there. If that fails it counts as listed all the same: nobody knows, and a [`ping`](Self::ping) asks again.
    pub(super) fn enter(&mut self, pause: Option<&Pause>) -> Result<(), PauseError> {
        if let (false, Some(pause), Some(driver)) = (self.listed, pause, &self.driver) {
            self.listed = true;
            pause.resume(driver)?;
        }
        Ok(())
    }

    /// Takes it off. When this returns, none of its waves runs; their state is kept.
    pub(super) fn leave(&mut self, pause: Option<&Pause>) -> Result<(), PauseError> {
        if let (true, Some(pause), Some(driver)) = (self.listed, pause, &self.driver) {
            pause.suspend(driver)?;
            self.listed = false;
        }
        Ok(())
    }

    /// Asks the driver about it while it is listed: an error says that the device is gone.
    pub(super) fn ping(&self, pause: &Pause) -> Result<(), PauseError> {
        self.driver.filter(|_| self.listed).map_or(Ok(()), |driver| pause.ping(&driver))
    }

    /// Notes how urgent it is from the next [`enter`](Self::enter) on.
    pub(super) fn set_priority(&mut self, priority: Priority) {
        if let Some(driver) = &mut self.driver {
            driver.set_priority(priority);
        }
    }
}
