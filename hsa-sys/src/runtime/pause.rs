//! Taking a queue off the device while its waves run, and putting it back.
//!
//! HSA has no such function. The kernel driver has: a queue whose percentage is 0 is taken off the run list, its waves' state is saved, and
//! 100 brings it back. Two ways lead there, and which one a process has is found out, not assumed:
//!
//! | way | how | seen to work |
//! |---|---|---|
//! | thunk | `hsaKmtUpdateQueue`, where the loaded thunk says which queue is whose (the test fixture does) | `rocr-soft` |
//! | driver | `AMDKFD_IOC_UPDATE_QUEUE` on `/dev/kfd`; queue ids from `/sys/class/kfd/kfd/proc/<pid>/queues` | `unverified` |

use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::Mutex;

use super::{Priority, Queue};

const UPDATE: &CStr = c"hsaKmtUpdateQueue";
const WHOSE: &CStr = c"softkmtQueueOf";
/// `AMDKFD_IOC_UPDATE_QUEUE`: `_IOW('K', 0x07, struct kfd_ioctl_update_queue_args)`.
const IOC_UPDATE_QUEUE: libc::c_ulong = 0x4018_4b07;

type UpdateQueue = unsafe extern "C" fn(u64, u32, i32, *mut c_void, u64, *mut c_void) -> u32;
type WhoseQueue = unsafe extern "C" fn(u64) -> u64;

/// Why a queue was not taken off the device.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// Neither way is open.
    #[error("queues cannot be suspended here: {0}")]
    Unavailable(String),
    /// The driver does not know the queue, or several could be meant.
    #[error("the driver's number of this queue is not known")]
    Unknown,
    /// The thunk refused.
    #[error("hsaKmtUpdateQueue returned {0}")]
    Thunk(u32),
    /// The driver refused.
    #[error("AMDKFD_IOC_UPDATE_QUEUE: {0}")]
    Driver(std::io::Error),
}

/// `struct kfd_ioctl_update_queue_args` of `linux/kfd_ioctl.h`.
#[repr(C)]
struct UpdateQueueArgs {
    ring_base_address: u64,
    queue_id: u32,
    ring_size: u32,
    queue_percentage: u32,
    queue_priority: u32,
}

enum Way {
    Thunk { update: UpdateQueue, whose: WhoseQueue },
    Driver { kfd: File, known: Mutex<BTreeSet<u32>> },
}

/// The means to suspend queues.
pub struct Pause {
    way: Way,
}

/// A queue as the driver knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverQueue {
    id: u64,
    ring: (u64, u64),
    priority: Priority,
}

impl DriverQueue {
    /// Takes note of the queue's priority: an update says it again.
    pub fn set_priority(&mut self, priority: Priority) {
        self.priority = priority;
    }
}

impl Priority {
    /// Returns the thunk's number, from -3 to 3.
    fn thunk(self) -> i32 {
        match self {
            Priority::Low => -3,
            Priority::Normal => 0,
            Priority::High => 3,
        }
    }

    /// Returns the driver's number, from 0 to `KFD_MAX_QUEUE_PRIORITY`, as the thunk makes it of its own.
    fn driver(self) -> u32 {
        match self {
            Priority::Low => 0,
            Priority::Normal => 7,
            Priority::High => 15,
        }
    }
}

impl Pause {
    /// Finds a way, after the runtime was started.
    pub fn find() -> Result<Pause, PauseError> {
        let symbol = |name: &CStr| {
            // SAFETY: only looks a name up among what is loaded.
            let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!at.is_null()).then_some(at)
        };
        if let (Some(update), Some(whose)) = (symbol(UPDATE), symbol(WHOSE)) {
            // SAFETY: both names belong to one library, whose header gives them these types.
            let (update, whose) = unsafe {
                (
                    std::mem::transmute::<*mut c_void, UpdateQueue>(update),
                    std::mem::transmute::<*mut c_void, WhoseQueue>(whose),
                )
            };
            return Ok(Pause { way: Way::Thunk { update, whose } });
        }
        let kfd = OpenOptions::new().read(true).write(true).open("/dev/kfd");
        let kfd = kfd.map_err(|error| PauseError::Unavailable(format!("/dev/kfd: {error}")))?;
        let known = Mutex::new(driver_queues()?);
        Ok(Pause { way: Way::Driver { kfd, known } })
    }

    /// Returns what this rests on, for reports.
    pub fn describe(&self) -> &'static str {
        match self.way {
            Way::Thunk { .. } => "hsaKmtUpdateQueue",
            Way::Driver { .. } => "AMDKFD_IOC_UPDATE_QUEUE (unverified)",
        }
    }

    /// Takes note of the queues that there are by now, right before one is made that [`adopt`](Self::adopt) shall find: the runtime makes
    /// queues of its own whenever it needs one.
    pub fn note(&self) {
        if let Way::Driver { known, .. } = &self.way
            && let Ok(now) = driver_queues()
        {
            *known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = now;
        }
    }

    /// Finds out the driver's number of a queue: called right after the queue was made, before another is.
    pub fn adopt(&self, queue: &Queue) -> Result<DriverQueue, PauseError> {
        let ring = queue.ring();
        match &self.way {
            Way::Thunk { whose, .. } => {
                // SAFETY: takes a number and returns one.
                let id = unsafe { whose(queue.structure()) };
                if id == 0 {
                    Err(PauseError::Unknown)
                } else {
                    Ok(DriverQueue { id, ring, priority: Priority::Normal })
                }
            }
            Way::Driver { known, .. } => {
                let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let now = driver_queues()?;
                let fresh: Vec<u32> = now.difference(&known).copied().collect();
                *known = now;
                match fresh[..] {
                    [id] => Ok(DriverQueue { id: u64::from(id), ring, priority: Priority::Normal }),
                    _ => Err(PauseError::Unknown),
                }
            }
        }
    }

    /// Takes a queue off the device; when this returns, none of its waves runs.
    pub fn suspend(&self, queue: &DriverQueue) -> Result<(), PauseError> {
        self.update(queue, 0)
    }

    /// Puts it back.
    pub fn resume(&self, queue: &DriverQueue) -> Result<(), PauseError> {
        self.update(queue, 100)
    }

    /// Asks the driver for what is so already, of a queue that is not suspended: an error says that the device is gone.
    pub fn ping(&self, queue: &DriverQueue) -> Result<(), PauseError> {
        self.update(queue, 100)
    }

    fn update(&self, queue: &DriverQueue, percentage: u32) -> Result<(), PauseError> {
        let (ring, bytes) = queue.ring;
        match &self.way {
            Way::Thunk { update, .. } => {
                let ring = std::ptr::with_exposed_provenance_mut(ring as usize);
                // SAFETY: the queue and its ring are what the runtime made; no event.
                let status =
                    unsafe { update(queue.id, percentage, queue.priority.thunk(), ring, bytes, std::ptr::null_mut()) };
                if status == 0 { Ok(()) } else { Err(PauseError::Thunk(status)) }
            }
            Way::Driver { kfd, .. } => {
                let mut args = UpdateQueueArgs {
                    ring_base_address: ring,
                    queue_id: queue.id as u32,
                    ring_size: bytes as u32,
                    queue_percentage: percentage,
                    queue_priority: queue.priority.driver(),
                };
                // SAFETY: the structure is the ioctl's, and outlives the call.
                let done = unsafe { libc::ioctl(kfd.as_raw_fd(), IOC_UPDATE_QUEUE, &raw mut args) };
                if done == 0 { Ok(()) } else { Err(PauseError::Driver(std::io::Error::last_os_error())) }
            }
        }
    }
}

/// Returns the numbers of this process's queues, as the driver lists them.
fn driver_queues() -> Result<BTreeSet<u32>, PauseError> {
    let folder = format!("/sys/class/kfd/kfd/proc/{}/queues", std::process::id());
    let entries = fs::read_dir(&folder).map_err(|error| PauseError::Unavailable(format!("{folder}: {error}")))?;
    Ok(entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_drivers() {
        // _IOW: direction 1 in bits 30 and 31, size in 16 to 29, 'K' in 8 to 15, number in 0 to 7.
        let size = size_of::<UpdateQueueArgs>() as libc::c_ulong;
        assert_eq!(IOC_UPDATE_QUEUE, 1 << 30 | size << 16 | 0x4b << 8 | 0x07);
    }

    #[test]
    fn without_driver_and_fixture_it_says_so() {
        if !std::path::Path::new("/dev/kfd").exists() {
            let error = Pause::find().err().expect("there is no way").to_string();
            assert!(error.contains("/dev/kfd"), "{error}");
        }
    }
}
