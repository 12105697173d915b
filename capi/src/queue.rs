//! Queues: made by the worker, filled by the program through memory.
//!
//! A queue's handle is the address of its `amd_queue_t`, which lies in the memory that the session shares with its worker. Programs read size,
//! ring and doorbell from it and write packets themselves; the functions here are for the two indices.
//!
//! **When a kernel goes wrong** its queue stops, the fault is told on standard error, and then what AMD's library does: the program's function for
//! memory faults is called if it has one, and the queue's callback, at which HIP ends the program. With `WAVEGATE_ON_FAULT=error` in the environment
//! callbacks are called for traps only (an `assert` has meant to end the program). For everything else new device memory and queues are
//! refused from then on, so that the program's next such call fails. HIP 5.2 does not pass on that a copy failed: its programs must check what
//! they allocate, or had better be ended.
//!
//! What a stopped queue was given, and what it is given later, is completed without having run, so that nobody waits for ever.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use client::{CuMask, Fault, FaultKind, QueuePriority, QueueType};
use hsa_sys::raw::*;

use crate::agent::{Agent, gpu_of};
use crate::edge::{Answer, In, Opaque, Out, Room};
use crate::export::{export, ordered};
use crate::locked::share_waiting;
use crate::runtime::{HSA_STATUS_ERROR_NOT_SUPPORTED, Runtime, failed, status_with};

/// How faults are told: `error`, or as AMD's library does.
const ON_FAULT: &str = "WAVEGATE_ON_FAULT";
/// Offset of the completion signal in every packet.
const COMPLETION: usize = std::mem::offset_of!(hsa_kernel_dispatch_packet_t, completion_signal);
/// Fewest slots of a ring.
pub(crate) const SLOTS_MIN: u32 = 64;

/// A program's function for what goes wrong on a queue.
type Callback = Option<unsafe extern "C" fn(hsa_status_t, *mut hsa_queue_t, *mut c_void)>;
/// A program's function for memory faults of any queue.
type SystemCallback = hsa_amd_system_event_callback_t;

struct Entry {
    queue: client::Queue,
    /// The number of its device.
    device: usize,
    callback: Callback,
    data: Opaque,
    /// The mask that was set last, for who asks; empty means all.
    units: Vec<u32>,
    /// Its fault has been told.
    told: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Queues {
    list: RwLock<HashMap<u64, Entry>>,
    system: RwLock<Option<(SystemCallback, Opaque)>>,
    /// The first fault of the session, as a status.
    broken: AtomicU64,
}

impl Queues {
    /// Refuses once a kernel has gone wrong.
    pub(crate) fn check(&self) -> Answer {
        match self.broken.load(Ordering::Acquire) {
            0 => Ok(()),
            status => Err(status as hsa_status_t),
        }
    }

    /// Tells of the queues that have stopped since the last time, and completes what stopped queues hold. Called on the event thread.
    pub(crate) fn tell_faults(&self, runtime: &Runtime) {
        let stopped: Vec<(u64, usize, Fault, Callback, Opaque)> = {
            let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
            let new = list.iter_mut().filter(|(_, entry)| !entry.told);
            new.filter_map(|(address, entry)| {
                let fault = entry.queue.fault()?;
                entry.told = true;
                Some((*address, entry.device, fault, entry.callback, entry.data))
            })
            .collect()
        };
        let as_errors = std::env::var_os(ON_FAULT).is_some_and(|how| how == "error");
        for (address, device, fault, callback, data) in stopped {
            let status = status_of(fault.kind);
            eprintln!("wavegate: {}", client::ClientError::Fault(Box::new(fault.clone())));
            let _ = self.broken.compare_exchange(0, u64::from(status), Ordering::AcqRel, Ordering::Acquire);
            if fault.kind == FaultKind::Memory {
                self.tell_system(device, &fault);
            }
            if let Some(callback) = callback
                && (!as_errors || fault.kind == FaultKind::Trap)
            {
                let queue = std::ptr::with_exposed_provenance_mut(address as usize);
                // SAFETY: C gave the function together with the data for it, for as long as the queue lives.
                unsafe { callback(status, queue, data.0) };
            }
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.values().filter(|entry| entry.told).for_each(|entry| complete_unrun(runtime, &entry.queue));
    }

    fn tell_system(&self, device: usize, fault: &Fault) {
        let system = *self.system.read().unwrap_or_else(PoisonError::into_inner);
        let Some((Some(call), data)) = system else { return };
        let event = hsa_amd_event_t {
            event_type: HSA_AMD_GPU_MEMORY_FAULT_EVENT,
            data: hsa_amd_event_data_t {
                memory_fault: hsa_amd_gpu_memory_fault_info_t {
                    agent: Agent::Device(device).handle(),
                    virtual_address: fault.address.0,
                    fault_reason_mask: HSA_AMD_MEMORY_FAULT_PAGE_NOT_PRESENT,
                },
            },
        };
        // SAFETY: C gave the function together with the data for it.
        unsafe { call(&event, data.0) };
    }
}

/// Completes the packets of a stopped queue without running them, as its worker would give slots back.
fn complete_unrun(runtime: &Runtime, queue: &client::Queue) {
    const INVALID: u32 = HSA_PACKET_TYPE_INVALID;
    let (memory, layout) = (queue.memory(), queue.layout());
    let Some(read) = memory.atomic_u64(client::READ_INDEX) else { return };
    for _ in 0..layout.slots().get() {
        let index = read.load(Ordering::Acquire);
        let slot = layout.slot(index);
        let Some(header) = memory.atomic_u32(slot) else { return };
        if header.load(Ordering::Acquire) & 0xff == INVALID {
            return;
        }
        let done = memory.load_u64(slot + COMPLETION).unwrap_or(0);
        header.store(INVALID, Ordering::Release);
        read.store(index + 1, Ordering::Release);
        if let Some(signal) = runtime.client.signal_at(done) {
            // Who is not woken looks again soon.
            let _ = signal.subtract(1);
        }
    }
}

fn status_of(kind: FaultKind) -> hsa_status_t {
    match kind {
        FaultKind::Memory => HSA_STATUS_ERROR_MEMORY_FAULT,
        FaultKind::Instruction => HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION,
        FaultKind::Trap | FaultKind::Runaway => HSA_STATUS_ERROR_EXCEPTION,
        FaultKind::Packet => HSA_STATUS_ERROR_INVALID_PACKET_FORMAT,
        FaultKind::KernelObject => HSA_STATUS_ERROR_INVALID_CODE_OBJECT,
        FaultKind::Signal => HSA_STATUS_ERROR_INVALID_SIGNAL,
        FaultKind::Resources => HSA_STATUS_ERROR_OUT_OF_RESOURCES,
    }
}

/// A queue by its handle.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct QueuePtr(*mut hsa_queue_t);

impl QueuePtr {
    fn address(self) -> u64 {
        self.0.addr() as u64
    }

    fn index(self, offset: usize) -> &'static AtomicU64 {
        let at = self.0.cast::<u8>().wrapping_add(offset).cast::<u64>();
        // SAFETY: C promises a queue that we made and that it has not destroyed; the index is 8 bytes inside its first page, aligned,
        // changed by others at any time and only ever seen as an atomic.
        unsafe { AtomicU64::from_ptr(at) }
    }

    fn read_index(self) -> &'static AtomicU64 {
        self.index(client::READ_INDEX)
    }

    fn write_index(self) -> &'static AtomicU64 {
        self.index(client::WRITE_INDEX)
    }

    fn with<T>(self, runtime: &Runtime, body: impl FnOnce(&mut Entry) -> Answer<T>) -> Answer<T> {
        let mut list = runtime.queues.list.write().unwrap_or_else(PoisonError::into_inner);
        body(list.get_mut(&self.address()).ok_or(HSA_STATUS_ERROR_INVALID_QUEUE)?)
    }
}

export! {
    /// Makes a queue.
    fn hsa_queue_create(
        agent: hsa_agent_t,
        size: u32,
        kind: hsa_queue_type32_t,
        callback: Callback,
        data: Opaque,
        _private: u32,
        _group: u32,
        queue: Out<*mut hsa_queue_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let device = gpu_of(runtime, agent)?;
            let queue = queue.needed()?;
            if !size.is_power_of_two() {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            let kind = match kind {
                HSA_QUEUE_TYPE_MULTI => QueueType::Multi,
                HSA_QUEUE_TYPE_SINGLE => QueueType::Single,
                HSA_QUEUE_TYPE_COOPERATIVE => QueueType::Cooperative,
                _ => return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            };
            runtime.queues.check()?;
            let made = runtime.devices.session(device).queue_of(size.max(SLOTS_MIN), kind).map_err(failed)?;
            let address = made.address();
            let entry = Entry { queue: made, device, callback, data, units: Vec::new(), told: false };
            let first = {
                let mut list = runtime.queues.list.write().unwrap_or_else(PoisonError::into_inner);
                list.insert(address, entry);
                list.len() == 1
            };
            if first {
                runtime.events.watch_queues(runtime)?;
            }
            queue.put(std::ptr::with_exposed_provenance_mut(address as usize))
        })
    }

    /// Makes a queue that the program itself processes. No program of this device does; a queue without a device is not made here.
    fn hsa_soft_queue_create(
        _region: hsa_region_t,
        _size: u32,
        _kind: hsa_queue_type32_t,
        _features: u32,
        _doorbell: hsa_signal_t,
        _queue: Out<*mut hsa_queue_t>,
    ) -> hsa_status_t {
        status_with(|_| Err(HSA_STATUS_ERROR_NOT_SUPPORTED))
    }

    /// Gives a queue back, with whatever is left in it.
    fn hsa_queue_destroy(queue: QueuePtr) -> hsa_status_t {
        status_with(|runtime| {
            let mut list = runtime.queues.list.write().unwrap_or_else(PoisonError::into_inner);
            let entry = list.remove(&queue.address()).ok_or(HSA_STATUS_ERROR_INVALID_QUEUE)?;
            // Others need not wait for the worker's answer.
            drop(list);
            drop(entry);
            Ok(())
        })
    }

    /// Stops a queue: what is left in it never runs.
    fn hsa_queue_inactivate(queue: QueuePtr) -> hsa_status_t {
        status_with(|runtime| queue.with(runtime, |entry| entry.queue.inactivate().map_err(failed)))
    }

    /// Narrows a queue to some compute units.
    fn hsa_amd_queue_cu_set_mask(queue: QueuePtr, bits: u32, mask: In<'_, u32>) -> hsa_status_t {
        status_with(|runtime| {
            if !bits.is_multiple_of(32) {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            let words = if bits == 0 { Vec::new() } else { mask.list(bits as usize / 32)? };
            let device = queue.with(runtime, |entry| Ok(entry.device))?;
            let units = runtime.devices.facts(device).compute_units;
            let reduced = (0..bits).any(|unit| unit >= units && words[unit as usize / 32] >> (unit % 32) & 1 == 1);
            let mut wanted: CuMask = [0; size_of::<CuMask>()];
            for (bytes, word) in wanted.chunks_exact_mut(4).zip(&words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            queue.with(runtime, |entry| {
                entry.queue.set_units(&wanted).map_err(failed)?;
                entry.units = words;
                Ok(())
            })?;
            if reduced { Err(HSA_STATUS_CU_MASK_REDUCED) } else { Ok(()) }
        })
    }

    /// Returns the compute units of a queue.
    fn hsa_amd_queue_cu_get_mask(queue: QueuePtr, bits: u32, mask: Out<u32>) -> hsa_status_t {
        status_with(|runtime| {
            queue.with(runtime, |entry| {
                let units = runtime.devices.facts(entry.device).compute_units;
                let all = |word: u32| (0..32).filter(|bit| word * 32 + bit < units).fold(0, |set, bit| set | 1 << bit);
                mask.put_all((0..bits / 32).map(|word| entry.units.get(word as usize).copied().unwrap_or_else(|| all(word))))
            })
        })
    }

    /// Takes note of how urgent a queue is among the program's own. A device that serves all alike does just that.
    fn hsa_amd_queue_set_priority(queue: QueuePtr, priority: hsa_amd_queue_priority_t) -> hsa_status_t {
        status_with(|runtime| {
            let priority = match priority {
                HSA_AMD_QUEUE_PRIORITY_LOW => QueuePriority::Low,
                HSA_AMD_QUEUE_PRIORITY_NORMAL => QueuePriority::Normal,
                HSA_AMD_QUEUE_PRIORITY_HIGH => QueuePriority::High,
                _ => return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            };
            match queue.with(runtime, |entry| entry.queue.set_priority(priority).map_err(failed)) {
                Err(HSA_STATUS_ERROR_NOT_SUPPORTED) => Ok(()),
                other => other,
            }
        })
    }

    /// Answers a question about a queue.
    fn hsa_amd_queue_get_info(queue: QueuePtr, attribute: hsa_queue_info_attribute_t, value: Room) -> hsa_status_t {
        status_with(|runtime| {
            queue.with(runtime, |entry| match attribute {
                HSA_AMD_QUEUE_INFO_AGENT => value.put(Agent::Device(entry.device).handle()),
                HSA_AMD_QUEUE_INFO_DOORBELL_ID => value.put(u64::from(entry.queue.id().0)),
                _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            })
        })
    }

    /// Every packet is timed, whoever asks for it.
    fn hsa_amd_profiling_set_profiler_enabled(queue: QueuePtr, _enable: i32) -> hsa_status_t {
        status_with(|runtime| queue.with(runtime, |_| Ok(())))
    }

    /// Has memory faults told to the program.
    fn hsa_amd_register_system_event_handler(callback: SystemCallback, data: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let mut system = runtime.queues.system.write().unwrap_or_else(PoisonError::into_inner);
            if system.is_some() {
                return Err(HSA_STATUS_ERROR);
            }
            *system = Some((callback, data));
            Ok(())
        })
    }
}

ordered! {
    /// Returns how many packets were consumed.
    [hsa_queue_load_read_index_scacquire hsa_queue_load_read_index_acquire hsa_queue_load_read_index_relaxed]
    (queue: QueuePtr) -> u64 {
        queue.read_index().load(Ordering::Acquire)
    }

    /// Returns how many slots were claimed.
    [hsa_queue_load_write_index_scacquire hsa_queue_load_write_index_acquire hsa_queue_load_write_index_relaxed]
    (queue: QueuePtr) -> u64 {
        queue.write_index().load(Ordering::Acquire)
    }

    /// Sets how many slots were claimed.
    [hsa_queue_store_write_index_relaxed hsa_queue_store_write_index_screlease hsa_queue_store_write_index_release]
    (queue: QueuePtr, value: u64) {
        share_waiting();
        queue.write_index().store(value, Ordering::Release);
    }

    /// Claims slots if as many were claimed as expected; returns how many were.
    [hsa_queue_cas_write_index_scacq_screl hsa_queue_cas_write_index_acq_rel hsa_queue_cas_write_index_scacquire
     hsa_queue_cas_write_index_acquire hsa_queue_cas_write_index_relaxed hsa_queue_cas_write_index_screlease
     hsa_queue_cas_write_index_release]
    (queue: QueuePtr, expected: u64, value: u64) -> u64 {
        share_waiting();
        queue.write_index().compare_exchange(expected, value, Ordering::SeqCst, Ordering::SeqCst).unwrap_or_else(|old| old)
    }

    /// Claims slots; returns the first.
    [hsa_queue_add_write_index_scacq_screl hsa_queue_add_write_index_acq_rel hsa_queue_add_write_index_scacquire
     hsa_queue_add_write_index_acquire hsa_queue_add_write_index_relaxed hsa_queue_add_write_index_screlease
     hsa_queue_add_write_index_release]
    (queue: QueuePtr, value: u64) -> u64 {
        share_waiting();
        queue.write_index().fetch_add(value, Ordering::AcqRel)
    }

    /// Only who processes packets may do this, and that is the worker, which keeps its own index.
    [hsa_queue_store_read_index_relaxed hsa_queue_store_read_index_screlease hsa_queue_store_read_index_release]
    (_queue: QueuePtr, _value: u64) {
    }
}
