//! The thunk's functions, as C calls them: each checks its pointers, asks the GPU and answers with a status.
//!
//! All are exported as `NAME@@HSAKMT_1`, the version that ROCr was linked against: what 5.2.3 imports, and what 6.1.2 does. A null pointer is an
//! invalid parameter, an unknown node an invalid node. What the fixture does not model is refused with the status a driver without it gives, never faked.

use std::ffi::c_void;
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::sync::{Arc, OnceLock};

use crate::abi::*;
use crate::config::Config;
use crate::gpu::{Errors, Gpu, Wanted};
use crate::memory::share::Handle;
use crate::memory::{Held, Kind};
use crate::{clock, doorbell, drm, sdma, topology};

static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();

/// Returns the process's GPU, powered on at the first call. Why there is none was told then.
pub(crate) fn gpu() -> Result<&'static Gpu, Status> {
    let started = GPU.get_or_init(|| {
        let gpu = Config::read().and_then(|config| Gpu::start(config).map_err(|error| error.to_string()));
        gpu.inspect_err(|why| eprintln!("softkmt: {why}")).ok()
    });
    started.as_deref().ok_or(Status::Error)
}

/// Exports a function under its name and version. The arguments are told on standard error if the fixture traces.
macro_rules! exports {
    ($(
        $(#[$doc:meta])*
        fn $name:ident = $inner:literal ($($argument:ident: $type:ty),* $(,)?) $body:block
    )*) => {
        $(
            std::arch::global_asm!(concat!(".symver ", $inner, ", ", stringify!($name), "@@HSAKMT_1"));

            $(#[$doc])*
            #[unsafe(export_name = $inner)]
            #[allow(non_snake_case, reason = "names are those of the C header")]
            unsafe extern "C" fn $name($($argument: $type),*) -> Status {
                let run = || -> Result<(), Status> { $body };
                let status = run().err().unwrap_or(Status::Success);
                if GPU.get().is_some_and(|gpu| gpu.as_ref().is_some_and(|gpu| gpu.config().trace)) {
                    let arguments: &[(&str, u64)] = &[$((stringify!($argument), Word::word($argument)),)*];
                    trace(stringify!($name), arguments, status);
                }
                status
            }
        )*
    };
}

/// An argument as a number, for the trace.
trait Word {
    fn word(self) -> u64;
}

macro_rules! words {
    ($($type:ty: $value:ident => $word:expr;)*) => { $( impl Word for $type { fn word(self) -> u64 { let $value = self; $word } } )* };
}

words! {
    bool: value => u64::from(value);
    u32: value => u64::from(value);
    u64: value => value;
    i32: value => i64::from(value).cast_unsigned();
}

impl<T> Word for *mut T {
    fn word(self) -> u64 {
        self.addr() as u64
    }
}

impl<T> Word for *const T {
    fn word(self) -> u64 {
        self.addr() as u64
    }
}

fn trace(name: &str, arguments: &[(&str, u64)], status: Status) {
    let arguments: Vec<String> = arguments.iter().map(|(name, value)| format!("{name}={value:#x}")).collect();
    eprintln!("softkmt: {name}({}) = {status:?}", arguments.join(", "));
}

/// Stores an answer.
///
/// # Safety
/// `to` is null or points to memory for a `T` that nobody else uses during the call, as C callers promise.
pub(crate) unsafe fn answer<T>(to: *mut T, value: T) -> Result<(), Status> {
    if to.is_null() {
        return Err(Status::InvalidParameter);
    }
    // SAFETY: not null; the rest is the caller's promise. Packed types need no alignment.
    unsafe { to.write_unaligned(value) };
    Ok(())
}

/// Stores as many answers as the caller has room for.
///
/// # Safety
/// As [`answer`], for `room` elements.
unsafe fn answers<T>(to: *mut T, room: u32, values: impl IntoIterator<Item = T>) -> Result<(), Status> {
    if to.is_null() {
        return Err(Status::InvalidParameter);
    }
    for (at, value) in values.into_iter().take(room as usize).enumerate() {
        // SAFETY: `at` is below `room`.
        unsafe { to.add(at).write_unaligned(value) };
    }
    Ok(())
}

/// Reads an argument that C passes by address.
///
/// # Safety
/// `from` is null or points to a `T`.
unsafe fn argument<T: Copy>(from: *const T) -> Result<T, Status> {
    if from.is_null() {
        return Err(Status::InvalidParameter);
    }
    // SAFETY: not null; the rest is the caller's promise.
    Ok(unsafe { from.read_unaligned() })
}

fn known(node: u32) -> Result<u32, Status> {
    if node <= GPU_NODE { Ok(node) } else { Err(Status::InvalidNodeUnit) }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

fn pointer<T>(address: u64) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

// SAFETY comments below say "C's promise" where a function relies on what the header asks of its caller.
exports! {
    fn hsaKmtOpenKFD = "softkmt_OpenKFD" () {
        gpu().map(drop)
    }

    fn hsaKmtCloseKFD = "softkmt_CloseKFD" () { Ok(()) }

    fn hsaKmtGetVersion = "softkmt_GetVersion" (info: *mut HsaVersionInfo) {
        // The first whose events have an age. From 1.15 on ROCr 6 expects addresses apart from memory, which are not modelled.
        // SAFETY: C's promise.
        unsafe { answer(info, HsaVersionInfo { major: 1, minor: 14 }) }
    }

    fn hsaKmtAcquireSystemProperties = "softkmt_AcquireSystemProperties" (properties: *mut HsaSystemProperties) {
        // SAFETY: C's promise.
        unsafe { answer(properties, HsaSystemProperties { num_nodes: 2, ..HsaSystemProperties::default() }) }
    }

    fn hsaKmtReleaseSystemProperties = "softkmt_ReleaseSystemProperties" () { Ok(()) }

    fn hsaKmtGetNodeProperties = "softkmt_GetNodeProperties" (node: u32, properties: *mut HsaNodeProperties) {
        let found = topology::node(gpu()?.config(), node).ok_or(Status::InvalidNodeUnit)?;
        // SAFETY: C's promise.
        unsafe { answer(properties, found) }
    }

    fn hsaKmtGetNodeMemoryProperties = "softkmt_GetNodeMemoryProperties" (
        node: u32, banks: u32, properties: *mut HsaMemoryProperties,
    ) {
        let found = topology::memory(gpu()?.config(), known(node)?);
        // SAFETY: C's promise.
        unsafe { answers(properties, banks, found) }
    }

    fn hsaKmtGetNodeCacheProperties = "softkmt_GetNodeCacheProperties" (
        node: u32, _processor: u32, caches: u32, properties: *mut HsaCacheProperties,
    ) {
        // SAFETY: C's promise.
        unsafe { answers(properties, caches, topology::caches(known(node)?)) }
    }

    fn hsaKmtGetNodeIoLinkProperties = "softkmt_GetNodeIoLinkProperties" (
        node: u32, links: u32, properties: *mut HsaIoLinkProperties,
    ) {
        // SAFETY: C's promise.
        unsafe { answers(properties, links, topology::links(known(node)?)) }
    }

    fn hsaKmtGetXNACKMode = "softkmt_GetXNACKMode" (enable: *mut i32) {
        // SAFETY: C's promise.
        unsafe { answer(enable, 0) }
    }

    fn hsaKmtSetXNACKMode = "softkmt_SetXNACKMode" (enable: i32) {
        // No page is ever restarted here.
        if enable == 0 { Ok(()) } else { Err(Status::NotSupported) }
    }

    fn hsaKmtGetClockCounters = "softkmt_GetClockCounters" (node: u32, counters: *mut HsaClockCounters) {
        known(node)?;
        let now = clock::now_ns();
        // SAFETY: C's promise.
        unsafe { answer(counters, HsaClockCounters { gpu: now, cpu: now, system: now, system_hz: 1_000_000_000 }) }
    }

    fn hsaKmtGetTileConfig = "softkmt_GetTileConfig" (node: u32, config: *mut HsaGpuTileConfig) {
        known(node)?;
        // SAFETY: C's promise; only this one field is an answer, the tables stay as they are.
        unsafe {
            let mut told = argument(config)?;
            (told.num_tile_configs, told.num_macro_tile_configs) = (0, 0);
            told.gb_addr_config = 0x2201_0042;
            answer(config, told)
        }
    }

    fn hsaKmtRuntimeEnable = "softkmt_RuntimeEnable" (_debug: *mut c_void, _setup: bool) {
        // Refused, ROCr has errors of queues told through queue_inactive_signal.
        if gpu()?.config().exceptions { Ok(()) } else { Err(Status::NotSupported) }
    }

    fn hsaKmtRuntimeDisable = "softkmt_RuntimeDisable" () {
        if gpu()?.config().exceptions { Ok(()) } else { Err(Status::NotSupported) }
    }

    fn hsaKmtGetRuntimeCapabilities = "softkmt_GetRuntimeCapabilities" (mask: *mut u32) {
        // The only one there is would be core dumps of the GPU's state.
        // SAFETY: C's promise.
        unsafe { answer(mask, 0) }
    }

    fn hsaKmtDbgEnable = "softkmt_DbgEnable" (_information: *mut *mut c_void, _bytes: *mut u32) {
        Err(Status::NotSupported)
    }

    fn hsaKmtDbgDisable = "softkmt_DbgDisable" () { Err(Status::NotSupported) }

    fn hsaKmtDbgGetDeviceData = "softkmt_DbgGetDeviceData" (
        _data: *mut *mut c_void, _entries: *mut u32, _entry_bytes: *mut u32,
    ) {
        Err(Status::NotSupported)
    }

    fn hsaKmtDbgGetQueueData = "softkmt_DbgGetQueueData" (
        _data: *mut *mut c_void, _entries: *mut u32, _entry_bytes: *mut u32, _suspend: bool,
    ) {
        Err(Status::NotSupported)
    }

    fn hsaKmtOpenSMI = "softkmt_OpenSMI" (node: u32, _descriptor: *mut i32) {
        known(node)?;
        Err(Status::NotSupported)
    }

    fn hsaKmtSPMAcquire = "softkmt_SPMAcquire" (node: u32) {
        known(node)?;
        Err(Status::NotSupported)
    }

    fn hsaKmtSPMRelease = "softkmt_SPMRelease" (node: u32) {
        known(node)?;
        Err(Status::NotSupported)
    }

    fn hsaKmtSPMSetDestBuffer = "softkmt_SPMSetDestBuffer" (
        node: u32, _bytes: u32, _timeout: *mut u32, _copied: *mut u32, _to: *mut c_void, _lost: *mut bool,
    ) {
        known(node)?;
        Err(Status::NotSupported)
    }

    fn hsaKmtGetAMDGPUDeviceHandle = "softkmt_GetAMDGPUDeviceHandle" (node: u32, device: *mut *mut c_void) {
        if known(node)? != GPU_NODE {
            return Err(Status::InvalidNodeUnit);
        }
        // SAFETY: C's promise.
        unsafe { answer(device, drm::device()) }
    }

    fn hsaKmtSetTrapHandler = "softkmt_SetTrapHandler" (
        node: u32, _code: *mut c_void, _code_bytes: u64, _buffer: *mut c_void, _buffer_bytes: u64,
    ) {
        // Traps end their queue, as the handler would have it.
        known(node).map(drop)
    }

    fn hsaKmtSetMemoryPolicy = "softkmt_SetMemoryPolicy" (
        _node: u32, _default: u32, _alternate: u32, _address: *mut c_void, _bytes: u64,
    ) {
        Err(Status::NotSupported)
    }

    fn hsaKmtAllocMemory = "softkmt_AllocMemory" (node: u32, bytes: u64, flags: u32, memory: *mut u64) {
        // SAFETY: C's promise.
        let wanted = unsafe { argument(memory.cast_const()) }?;
        let got = gpu()?.space.allocate(known(node)?, bytes, flags, wanted)?;
        // SAFETY: as above.
        unsafe { answer(memory, got) }
    }

    fn hsaKmtAvailableMemory = "softkmt_AvailableMemory" (node: u32, bytes: *mut u64) {
        if known(node)? != GPU_NODE {
            return Err(Status::InvalidNodeUnit);
        }
        // SAFETY: C's promise.
        unsafe { answer(bytes, gpu()?.space.available()) }
    }

    fn hsaKmtReplaceAsanHeaderPage = "softkmt_ReplaceAsanHeaderPage" (_page: *mut c_void) {
        // As any thunk that was not built with the sanitizer.
        Err(Status::NotSupported)
    }

    fn hsaKmtReturnAsanHeaderPage = "softkmt_ReturnAsanHeaderPage" (_page: *mut c_void) {
        Err(Status::NotSupported)
    }

    fn hsaKmtFreeMemory = "softkmt_FreeMemory" (memory: *mut c_void, bytes: u64) {
        gpu()?.space.free(address(memory), bytes)
    }

    fn hsaKmtMapMemoryToGPU = "softkmt_MapMemoryToGPU" (memory: *mut c_void, bytes: u64, alternate: *mut u64) {
        let at = gpu()?.space.map(address(memory), bytes)?;
        // SAFETY: C's promise; the answer may be left out.
        if alternate.is_null() { Ok(()) } else { unsafe { answer(alternate, at) } }
    }

    fn hsaKmtMapMemoryToGPUNodes = "softkmt_MapMemoryToGPUNodes" (
        memory: *mut c_void, bytes: u64, alternate: *mut u64, _flags: u32, _count: u64, _nodes: *mut u32,
    ) {
        let at = gpu()?.space.map(address(memory), bytes)?;
        // SAFETY: C's promise; the answer may be left out.
        if alternate.is_null() { Ok(()) } else { unsafe { answer(alternate, at) } }
    }

    fn hsaKmtUnmapMemoryToGPU = "softkmt_UnmapMemoryToGPU" (memory: *mut c_void) {
        gpu()?.space.unmap(address(memory))
    }

    fn hsaKmtRegisterMemoryWithFlags = "softkmt_RegisterMemoryWithFlags" (memory: *mut c_void, bytes: u64, flags: u32) {
        gpu()?.space.register(address(memory), bytes, flags)
    }

    fn hsaKmtDeregisterMemory = "softkmt_DeregisterMemory" (memory: *mut c_void) {
        gpu()?.space.deregister(address(memory))
    }

    fn hsaKmtQueryPointerInfo = "softkmt_QueryPointerInfo" (at: *const c_void, info: *mut HsaPointerInfo) {
        let found = gpu()?.space.query(address(at)).filter(|held| held.kind != Kind::Scratch);
        // SAFETY: every field is an integer or a pointer, for which zero is a value.
        let unknown: HsaPointerInfo = unsafe { std::mem::zeroed() };
        // SAFETY: C's promise.
        unsafe { answer(info, found.as_ref().map_or(unknown, told)) }?;
        found.map(drop).ok_or(Status::Error)
    }

    fn hsaKmtSetMemoryUserData = "softkmt_SetMemoryUserData" (at: *const c_void, data: *mut c_void) {
        gpu()?.space.set_user_data(address(at), address(data))
    }

    fn hsaKmtShareMemory = "softkmt_ShareMemory" (memory: *mut c_void, bytes: u64, handle: *mut Handle) {
        let shared = gpu()?.still(|space| space.share(address(memory), bytes))?;
        // SAFETY: C's promise.
        unsafe { answer(handle, shared) }
    }

    fn hsaKmtRegisterSharedHandle = "softkmt_RegisterSharedHandle" (
        handle: *const Handle, memory: *mut u64, bytes: *mut u64,
    ) {
        // SAFETY: C's promise.
        unsafe { attach(handle, memory, bytes) }
    }

    fn hsaKmtRegisterSharedHandleToNodes = "softkmt_RegisterSharedHandleToNodes" (
        handle: *const Handle, memory: *mut u64, bytes: *mut u64, _count: u64, _nodes: *mut u32,
    ) {
        // SAFETY: C's promise.
        unsafe { attach(handle, memory, bytes) }
    }

    fn hsaKmtExportDMABufHandle = "softkmt_ExportDMABufHandle" (
        memory: *mut c_void, bytes: u64, descriptor: *mut i32, offset: *mut u64,
    ) {
        if descriptor.is_null() {
            return Err(Status::InvalidParameter);
        }
        let (made, into) = gpu()?.still(|space| space.descriptor(address(memory), bytes))?;
        // SAFETY: C's promise; the descriptor is the caller's from here on.
        unsafe { answer(offset, into).and_then(|()| answer(descriptor, made.into_raw_fd())) }
    }

    fn hsaKmtRegisterGraphicsHandleToNodes = "softkmt_RegisterGraphicsHandleToNodes" (
        resource: u64, information: *mut HsaGraphicsResourceInfo, _count: u64, _nodes: *mut u32,
    ) {
        let number = i32::try_from(resource).ok().filter(|&number| number >= 0).ok_or(Status::InvalidHandle)?;
        if information.is_null() {
            return Err(Status::InvalidParameter);
        }
        // SAFETY: C's promise: a descriptor, open during the call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let (memory_address, size_in_bytes) = gpu()?.space.attach_descriptor(descriptor)?;
        let (metadata, metadata_size_in_bytes, node_id) = (0, 0, GPU_NODE);
        let told = HsaGraphicsResourceInfo { memory_address, size_in_bytes, metadata, metadata_size_in_bytes, node_id };
        // SAFETY: C's promise.
        unsafe { answer(information, told) }
    }

    fn hsaKmtCreateEvent = "softkmt_CreateEvent" (
        wanted: *const HsaEventDescriptor, manual_reset: bool, signaled: bool, event: *mut *mut HsaEvent,
    ) {
        // SAFETY: C's promise.
        let wanted = unsafe { argument(wanted) }?;
        let (id, mailbox) = gpu()?.events.create(wanted.event_type, manual_reset, signaled)?;
        let made = Box::new(HsaEvent {
            event_id: id,
            event_type: wanted.event_type,
            fault_node: 0,
            fault_address: 0,
            fault_failure: 0,
            fault_flags: 0,
            hw_data1: u64::from(id),
            hw_data2: mailbox,
            hw_data3: id,
        });
        // SAFETY: C's promise. The box is the caller's until it destroys the event.
        unsafe { answer(event, Box::into_raw(made)) }
    }

    fn hsaKmtDestroyEvent = "softkmt_DestroyEvent" (event: *mut HsaEvent) {
        // SAFETY: C's promise: an event of `hsaKmtCreateEvent` that was not destroyed yet.
        let id = unsafe { argument(event.cast_const()) }?.event_id;
        gpu()?.events.destroy(id)?;
        // SAFETY: the number was still known, so this is the box that was given out with it.
        drop(unsafe { Box::from_raw(event) });
        Ok(())
    }

    fn hsaKmtSetEvent = "softkmt_SetEvent" (event: *mut HsaEvent) {
        // SAFETY: C's promise.
        gpu()?.events.set(unsafe { argument(event.cast_const()) }?.event_id)
    }

    fn hsaKmtWaitOnEvent = "softkmt_WaitOnEvent" (event: *mut HsaEvent, milliseconds: u32) {
        let mut events = [event];
        // SAFETY: C's promise, for a list of one.
        unsafe { wait(events.as_mut_ptr(), std::ptr::null_mut(), 1, false, milliseconds) }
    }

    fn hsaKmtWaitOnEvent_Ext = "softkmt_WaitOnEvent_Ext" (event: *mut HsaEvent, milliseconds: u32, age: *mut u64) {
        let mut events = [event];
        // SAFETY: as above.
        unsafe { wait(events.as_mut_ptr(), age, 1, false, milliseconds) }
    }

    fn hsaKmtWaitOnMultipleEvents = "softkmt_WaitOnMultipleEvents" (
        events: *mut *mut HsaEvent, count: u32, all: bool, milliseconds: u32,
    ) {
        // SAFETY: C's promise.
        unsafe { wait(events, std::ptr::null_mut(), count, all, milliseconds) }
    }

    fn hsaKmtWaitOnMultipleEvents_Ext = "softkmt_WaitOnMultipleEvents_Ext" (
        events: *mut *mut HsaEvent, count: u32, all: bool, milliseconds: u32, ages: *mut u64,
    ) {
        // SAFETY: C's promise.
        unsafe { wait(events, ages, count, all, milliseconds) }
    }

    fn hsaKmtCreateQueue = "softkmt_CreateQueue" (
        node: u32, kind: u32, percentage: u32, priority: i32, ring: *mut c_void, ring_bytes: u64,
        event: *mut HsaEvent, resource: *mut HsaQueueResource,
    ) {
        if known(node)? != GPU_NODE {
            return Err(Status::InvalidNodeUnit);
        }
        // SAFETY: C's promise.
        let mut told = unsafe { argument(resource.cast_const()) }?;
        if kind == QUEUE_SDMA && gpu()?.config().sdma {
            let (id, write, read) = gpu()?.engines.create(address(ring), ring_bytes)?;
            (told.queue_id, told.doorbell) = (u64::from(id), doorbell::of(id));
            (told.write_ptr, told.read_ptr) = (write, read);
            // SAFETY: as above.
            return unsafe { answer(resource, told) };
        }
        if kind != QUEUE_COMPUTE_AQL {
            // Without SDMA queues ROCr copies with its own kernels.
            return Err(Status::NotSupported);
        }
        let errors = if gpu()?.config().exceptions && !event.is_null() && told.error_reason != 0 {
            // SAFETY: C's promise: an event of `hsaKmtCreateEvent`.
            Some(Errors { reasons: told.error_reason, event: unsafe { argument(event.cast_const()) }?.event_id })
        } else {
            None
        };
        let read_pointer = told.read_ptr;
        let wanted = Wanted { ring: address(ring), ring_bytes, read_pointer, percentage, priority, errors };
        let id = gpu()?.create_queue(wanted)?;
        told.queue_id = u64::from(id);
        told.doorbell = doorbell::of(id);
        // SAFETY: as above.
        unsafe { answer(resource, told) }
    }

    fn hsaKmtUpdateQueue = "softkmt_UpdateQueue" (
        queue: u64, percentage: u32, priority: i32, _ring: *mut c_void, _ring_bytes: u64, _event: *mut HsaEvent,
    ) {
        let number = number(queue)?;
        // Copy engines are never taken off.
        if number >= sdma::FIRST_ID { Ok(()) } else { gpu()?.update_queue(number, percentage, priority) }
    }

    fn hsaKmtDestroyQueue = "softkmt_DestroyQueue" (queue: u64) {
        let number = number(queue)?;
        if gpu()?.engines.destroy(number) { Ok(()) } else { gpu()?.destroy_queue(number) }
    }

    fn hsaKmtSetQueueCUMask = "softkmt_SetQueueCUMask" (queue: u64, bits: u32, mask: *mut u32) {
        let words = bits.div_ceil(32) as usize;
        let mask: Result<Vec<u32>, Status> =
            // SAFETY: C's promise: `bits` bits from `mask`.
            (0..words).map(|at| unsafe { argument(mask.wrapping_add(at).cast_const()) }).collect();
        gpu()?.set_cu_mask(number(queue)?, &mask?)
    }

    fn hsaKmtAllocQueueGWS = "softkmt_AllocQueueGWS" (queue: u64, count: u32, first: *mut u32) {
        if count > 64 || !gpu()?.has_queue(number(queue)?) {
            return Err(Status::InvalidParameter);
        }
        // SAFETY: C's promise.
        unsafe { answer(first, 0) }
    }

    fn hsaKmtSVMSetAttr = "softkmt_SVMSetAttr" (_at: *mut c_void, _bytes: u64, _count: u32, _list: *mut c_void) {
        Err(Status::NotSupported)
    }

    fn hsaKmtSVMGetAttr = "softkmt_SVMGetAttr" (_at: *mut c_void, _bytes: u64, _count: u32, _list: *mut c_void) {
        Err(Status::NotSupported)
    }
}

/// Returns the thunk's number of the queue whose `hsa_queue_t` is at `structure`, or 0: HSA's own numbers are others. For tests of suspension;
/// real thunks have no such function.
#[unsafe(export_name = "softkmtQueueOf")]
extern "C" fn queue_of(structure: u64) -> u64 {
    gpu().ok().and_then(|gpu| gpu.queue_of(structure)).map_or(0, u64::from)
}

fn number(queue: u64) -> Result<u32, Status> {
    u32::try_from(queue).map_err(|_| Status::InvalidHandle)
}

/// Waits for events by their handles, and puts what a memory event brings into its handle.
///
/// # Safety
/// `list` is null or holds `count` handles of events; so many ages are at `ages`, or it is null.
unsafe fn wait(
    list: *mut *mut HsaEvent,
    ages: *mut u64,
    count: u32,
    all: bool,
    milliseconds: u32,
) -> Result<(), Status> {
    let mut events = Vec::with_capacity(count as usize);
    let mut seen = Vec::new();
    for at in 0..count as usize {
        // SAFETY: `at` is below `count`.
        let handle = unsafe { argument(list.wrapping_add(at).cast_const()) }?;
        // SAFETY: a handle of an event.
        events.push((handle, unsafe { argument(handle.cast_const()) }?));
        if !ages.is_null() {
            // SAFETY: as for the handles.
            seen.push(unsafe { argument(ages.wrapping_add(at).cast_const()) }?);
        }
    }
    let mut wanted: Vec<HsaEvent> = events.iter().map(|&(_, event)| event).collect();
    let status = gpu()?.events.wait(&mut wanted, &mut seen, all, milliseconds);
    for (at, age) in seen.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { answer(ages.wrapping_add(at), age) }?;
    }
    for ((handle, _), event) in events.into_iter().zip(wanted) {
        if event.event_type == EVENT_MEMORY && event.fault_flags != 0 {
            // SAFETY: as above.
            unsafe { answer(handle, event) }?;
        }
    }
    if status == Status::Success { Ok(()) } else { Err(status) }
}

/// Takes shared memory in, and tells where it is.
///
/// # Safety
/// As [`argument`] and [`answer`].
unsafe fn attach(handle: *const Handle, memory: *mut u64, bytes: *mut u64) -> Result<(), Status> {
    if memory.is_null() || bytes.is_null() {
        return Err(Status::InvalidParameter);
    }
    // SAFETY: the caller's promise.
    let (at, size) = gpu()?.space.attach(&unsafe { argument(handle) }?)?;
    // SAFETY: the caller's promise.
    unsafe { answer(memory, at).and_then(|()| answer(bytes, size)) }
}

/// The one node that memory is ever mapped to.
static GPU_NODES: [u32; 1] = [GPU_NODE];

fn told(held: &Held) -> HsaPointerInfo {
    let mapped = u32::from(held.mapped);
    HsaPointerInfo {
        kind: match held.kind {
            Kind::Allocated => 1,
            Kind::Registered => 2,
            Kind::Scratch => 0,
            Kind::Imported => 4,
        },
        node: held.node,
        mem_flags: held.flags,
        cpu_address: held.host,
        gpu_address: held.gpu,
        size_in_bytes: held.bytes,
        n_registered_nodes: 0,
        n_mapped_nodes: mapped,
        registered_nodes: std::ptr::null(),
        mapped_nodes: if held.mapped { GPU_NODES.as_ptr() } else { std::ptr::null() },
        user_data: pointer(held.user_data),
    }
}
