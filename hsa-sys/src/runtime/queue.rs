//! Queues: one producer, packets as bytes.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Agent, HsaError, Runtime};
use crate::raw::*;

/// Bytes of a packet.
const PACKET: usize = 64;

/// A queue that its device stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFault {
    /// Why.
    pub status: hsa_status_t,
    /// What the runtime says about that.
    pub text: String,
}

/// How urgent a queue is among those of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// After the others.
    Low,
    /// As queues are made.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    fn raw(self) -> hsa_amd_queue_priority_t {
        match self {
            Priority::Low => HSA_AMD_QUEUE_PRIORITY_LOW,
            Priority::Normal => HSA_AMD_QUEUE_PRIORITY_NORMAL,
            Priority::High => HSA_AMD_QUEUE_PRIORITY_HIGH,
        }
    }
}

/// What the runtime's thread tells a queue's owner.
#[derive(Default)]
struct Told {
    /// The status of the first error, 0 while there is none.
    status: AtomicU32,
}

/// A hardware queue with a ring of its own.
pub struct Queue {
    runtime: Runtime,
    handle: NonNull<hsa_queue_t>,
    slots: u64,
    ring: NonNull<u8>,
    next: u64,
    told: Arc<Told>,
}

// SAFETY: a queue belongs to the process; `&mut self` makes one producer of whoever holds it.
unsafe impl Send for Queue {}

impl Queue {
    /// Makes a queue of `slots` (a power of two) on an agent. Its dispatches are timed.
    pub fn new(agent: &Agent, slots: u32) -> Result<Queue, HsaError> {
        let runtime = agent.runtime.clone();
        let told = Arc::new(Told::default());
        let mut handle = std::ptr::null_mut();
        // The callback's share of `told` is given back when the queue is destroyed.
        let data = Arc::into_raw(Arc::clone(&told)).cast_mut().cast::<c_void>();
        // SAFETY: the callback gets `data`, which lives until after the queue; sizes that are not known are all ones.
        let status = unsafe {
            (runtime.library().core.hsa_queue_create)(
                agent.handle,
                slots,
                HSA_QUEUE_TYPE_SINGLE,
                Some(on_error),
                data,
                u32::MAX,
                u32::MAX,
                &raw mut handle,
            )
        };
        let made = runtime.check("hsa_queue_create", status).map(|()| NonNull::new(handle));
        let (handle, ring) = match made {
            Ok(Some(handle)) => {
                // SAFETY: the runtime's structure, which lives as long as the queue; these fields never change.
                let ring = unsafe { (*handle.as_ptr()).base_address };
                match NonNull::new(ring.cast::<u8>()) {
                    Some(ring) => (handle, ring),
                    None => return Err(failed("a queue without a ring")),
                }
            }
            Ok(None) => return Err(failed("success without a queue")),
            Err(error) => {
                // SAFETY: nobody was given the pointer: take back what `into_raw` gave.
                drop(unsafe { Arc::from_raw(data.cast::<Told>()) });
                return Err(error);
            }
        };
        let queue = Queue { runtime, handle, slots: u64::from(slots), ring, next: 0, told };
        // SAFETY: the queue lives.
        let status =
            unsafe { (queue.runtime.library().amd.hsa_amd_profiling_set_profiler_enabled)(handle.as_ptr(), 1) };
        queue.runtime.check("hsa_amd_profiling_set_profiler_enabled", status)?;
        Ok(queue)
    }

    /// Returns the address of the runtime's `hsa_queue_t`.
    pub fn structure(&self) -> u64 {
        self.handle.as_ptr().expose_provenance() as u64
    }

    /// Returns address and bytes of the ring, as the driver knows the queue.
    pub fn ring(&self) -> (u64, u64) {
        (self.ring.as_ptr().expose_provenance() as u64, self.slots * PACKET as u64)
    }

    /// Returns why the device stopped this queue, if it did.
    pub fn fault(&self) -> Option<QueueFault> {
        let status = self.told.status.load(Ordering::Acquire);
        (status != 0).then(|| QueueFault { status, text: self.runtime.status_text(status) })
    }

    /// Packets submitted so far.
    pub fn submitted(&self) -> u64 {
        self.next
    }

    /// Submits a packet and rings the doorbell; returns its number, or `None` if the ring is full.
    ///
    /// The packet's first 32 bits are stored last, as the device may look at any time.
    pub fn submit(&mut self, packet: &[u8; PACKET]) -> Option<u64> {
        let core = &self.runtime.library().core;
        let queue = self.handle.as_ptr();
        // SAFETY: the queue lives; one producer, so the index is ours to move.
        let read = unsafe { (core.hsa_queue_load_read_index_scacquire)(queue) };
        if self.next.wrapping_sub(read) >= self.slots {
            return None;
        }
        let number = self.next;
        let (head, body) = (u32::from_ne_bytes([packet[0], packet[1], packet[2], packet[3]]), &packet[4..]);
        // SAFETY: the slot lies inside the ring, which the runtime made for `slots` packets, and is free: the device has read past
        // it. The header is a word at a multiple of 64 that others see as an atomic.
        unsafe {
            let slot = self.ring.as_ptr().add((number & (self.slots - 1)) as usize * PACKET);
            std::ptr::copy_nonoverlapping(body.as_ptr(), slot.add(4), body.len());
            AtomicU32::from_ptr(slot.cast()).store(head, Ordering::Release);
            (core.hsa_queue_store_write_index_screlease)(queue, number + 1);
            (core.hsa_signal_store_screlease)((*queue).doorbell_signal, number.cast_signed());
        }
        self.next = number + 1;
        Some(number)
    }

    /// Changes how urgent the queue is. The driver puts a queue that was taken off the device back onto it, too.
    pub fn set_priority(&mut self, priority: Priority) -> Result<(), HsaError> {
        // SAFETY: the queue lives.
        let status =
            unsafe { (self.runtime.library().amd.hsa_amd_queue_set_priority)(self.handle.as_ptr(), priority.raw()) };
        self.runtime.check("hsa_amd_queue_set_priority", status)
    }

    /// Restricts the queue to the compute units whose bit is set.
    pub fn set_cu_mask(&mut self, words: &[u32]) -> Result<(), HsaError> {
        let bits = u32::try_from(words.len() * 32).map_err(|_| failed("a mask longer than any device"))?;
        // SAFETY: `bits` bits from `words`.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_queue_cu_set_mask)(self.handle.as_ptr(), bits, words.as_ptr())
        };
        if status == HSA_STATUS_CU_MASK_REDUCED {
            return Ok(());
        }
        self.runtime.check("hsa_amd_queue_cu_set_mask", status)
    }
}

fn failed(text: &str) -> HsaError {
    HsaError { call: "hsa_queue_create", status: HSA_STATUS_ERROR, text: text.to_owned() }
}

/// Called by a thread of the runtime.
unsafe extern "C" fn on_error(status: hsa_status_t, _queue: *mut hsa_queue_t, data: *mut c_void) {
    // SAFETY: what `Queue::new` passed, alive until the queue is destroyed.
    let told = unsafe { &*data.cast::<Told>() };
    let _ = told.status.compare_exchange(0, status, Ordering::AcqRel, Ordering::Acquire);
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once; after that the runtime calls nobody, so the callback's share can go.
        unsafe {
            let status = (self.runtime.library().core.hsa_queue_destroy)(self.handle.as_ptr());
            if status == HSA_STATUS_SUCCESS {
                Arc::decrement_strong_count(Arc::as_ptr(&self.told));
            }
        }
    }
}
