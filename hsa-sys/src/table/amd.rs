//! Functions of `hsa_ext_amd.h`.

use std::ffi::{c_int, c_void};

use super::functions;
use crate::raw::*;

functions! {
    /// Functions of `hsa_ext_amd.h`, under their names.
    Amd
    /// Get the coherency type of the fine grain region of an agent.
    fn hsa_amd_coherency_get_type(agent: hsa_agent_t, r#type: *mut hsa_amd_coherency_type_t) -> hsa_status_t;
    /// Set the coherency type of the fine grain region of an agent.
    fn hsa_amd_coherency_set_type(agent: hsa_agent_t, r#type: hsa_amd_coherency_type_t) -> hsa_status_t;
    /// Enable or disable profiling capability of a queue.
    fn hsa_amd_profiling_set_profiler_enabled(queue: *mut hsa_queue_t, enable: c_int) -> hsa_status_t;
    /// Enable or disable asynchronous memory copy profiling.
    fn hsa_amd_profiling_async_copy_enable(enable: bool) -> hsa_status_t;
    /// Retrieve packet processing time stamps.
    fn hsa_amd_profiling_get_dispatch_time(agent: hsa_agent_t, signal: hsa_signal_t, time: *mut hsa_amd_profiling_dispatch_time_t) -> hsa_status_t;
    /// Retrieve asynchronous copy timestamps.
    fn hsa_amd_profiling_get_async_copy_time(signal: hsa_signal_t, time: *mut hsa_amd_profiling_async_copy_time_t) -> hsa_status_t;
    /// Computes the frequency ratio and offset between the agent clock and HSA system clock and converts the
    /// agent's tick to HSA system domain tick.
    fn hsa_amd_profiling_convert_tick_to_system_domain(agent: hsa_agent_t, agent_tick: u64, system_tick: *mut u64) -> hsa_status_t;
    /// Create a signal with specific attributes.
    fn hsa_amd_signal_create(initial_value: hsa_signal_value_t, num_consumers: u32, consumers: *const hsa_agent_t, attributes: u64, signal: *mut hsa_signal_t) -> hsa_status_t;
    /// Returns a pointer to the value of a signal.
    fn hsa_amd_signal_value_pointer(signal: hsa_signal_t, value_ptr: *mut *mut hsa_signal_value_t) -> hsa_status_t;
    /// Register asynchronous signal handler function.
    fn hsa_amd_signal_async_handler(signal: hsa_signal_t, cond: hsa_signal_condition_t, value: hsa_signal_value_t, handler: hsa_amd_signal_handler, arg: *mut c_void) -> hsa_status_t;
    /// Wait for all signal-condition pairs to be satisfied.
    fn hsa_amd_signal_wait_all(signal_count: u32, signals: *mut hsa_signal_t, conds: *mut hsa_signal_condition_t, values: *mut hsa_signal_value_t, timeout_hint: u64, wait_hint: hsa_wait_state_t, satisfying_values: *mut hsa_signal_value_t) -> u32, since 7;
    /// Wait for any signal-condition pair to be satisfied.
    fn hsa_amd_signal_wait_any(signal_count: u32, signals: *mut hsa_signal_t, conds: *mut hsa_signal_condition_t, values: *mut hsa_signal_value_t, timeout_hint: u64, wait_hint: hsa_wait_state_t, satisfying_value: *mut hsa_signal_value_t) -> u32;
    /// Call a function asynchronously.
    fn hsa_amd_async_function(callback: Option<unsafe extern "C" fn(*mut c_void)>, arg: *mut c_void) -> hsa_status_t;
    /// Set a queue's CU affinity mask.
    fn hsa_amd_queue_cu_set_mask(queue: *const hsa_queue_t, num_cu_mask_count: u32, cu_mask: *const u32) -> hsa_status_t;
    /// Retrieve a queue's CU affinity mask.
    fn hsa_amd_queue_cu_get_mask(queue: *const hsa_queue_t, num_cu_mask_count: u32, cu_mask: *mut u32) -> hsa_status_t;
    /// Get the current value of an attribute of a memory pool.
    fn hsa_amd_memory_pool_get_info(memory_pool: hsa_amd_memory_pool_t, attribute: hsa_amd_memory_pool_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the memory pools associated with a given agent, and invoke an application-defined callback on
    /// every iteration.
    fn hsa_amd_agent_iterate_memory_pools(agent: hsa_agent_t, callback: Option<unsafe extern "C" fn(hsa_amd_memory_pool_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Allocate a block of memory (or buffer) in the specified pool.
    fn hsa_amd_memory_pool_allocate(memory_pool: hsa_amd_memory_pool_t, size: usize, flags: u32, ptr: *mut *mut c_void) -> hsa_status_t;
    /// Deallocate a block of memory previously allocated using `hsa_amd_memory_pool_allocate`.
    fn hsa_amd_memory_pool_free(ptr: *mut c_void) -> hsa_status_t;
    /// Asynchronously copy a block of memory from the location pointed to by src on the src_agent to the memory
    /// block pointed to by dst on the dst_agent.
    fn hsa_amd_memory_async_copy(dst: *mut c_void, dst_agent: hsa_agent_t, src: *const c_void, src_agent: hsa_agent_t, size: usize, num_dep_signals: u32, dep_signals: *const hsa_signal_t, completion_signal: hsa_signal_t) -> hsa_status_t;
    /// Asynchronously copy a block of memory from the location pointed to by src on the src_agent to the memory
    /// block pointed to by dst on the dst_agent on engine_id.
    fn hsa_amd_memory_async_copy_on_engine(dst: *mut c_void, dst_agent: hsa_agent_t, src: *const c_void, src_agent: hsa_agent_t, size: usize, num_dep_signals: u32, dep_signals: *const hsa_signal_t, completion_signal: hsa_signal_t, engine_id: hsa_amd_sdma_engine_id_t, force_copy_on_sdma: bool) -> hsa_status_t, since 4;
    /// Reports the availability of SDMA copy engines.
    fn hsa_amd_memory_copy_engine_status(dst_agent: hsa_agent_t, src_agent: hsa_agent_t, engine_ids_mask: *mut u32) -> hsa_status_t, since 4;
    /// (Provisional API) SDMA 3D memory copy API.
    fn hsa_amd_memory_async_copy_rect(dst: *const hsa_pitched_ptr_t, dst_offset: *const hsa_dim3_t, src: *const hsa_pitched_ptr_t, src_offset: *const hsa_dim3_t, range: *const hsa_dim3_t, copy_agent: hsa_agent_t, dir: hsa_amd_copy_direction_t, num_dep_signals: u32, dep_signals: *const hsa_signal_t, completion_signal: hsa_signal_t) -> hsa_status_t;
    /// Get the current value of an attribute of the relationship between an agent and a memory pool.
    fn hsa_amd_agent_memory_pool_get_info(agent: hsa_agent_t, memory_pool: hsa_amd_memory_pool_t, attribute: hsa_amd_agent_memory_pool_info_t, value: *mut c_void) -> hsa_status_t;
    /// Enable direct access to a buffer from a given set of agents.
    fn hsa_amd_agents_allow_access(num_agents: u32, agents: *const hsa_agent_t, flags: *const u32, ptr: *const c_void) -> hsa_status_t;
    /// Query if buffers currently located in some memory pool can be relocated to a destination memory pool.
    fn hsa_amd_memory_pool_can_migrate(src_memory_pool: hsa_amd_memory_pool_t, dst_memory_pool: hsa_amd_memory_pool_t, result: *mut bool) -> hsa_status_t;
    /// Relocate a buffer to a new memory pool.
    fn hsa_amd_memory_migrate(ptr: *const c_void, memory_pool: hsa_amd_memory_pool_t, flags: u32) -> hsa_status_t;
    /// Pin a host pointer allocated by C/C++ or OS allocator (i.e. ordinary system DRAM) and return a new pointer
    /// accessible by the agents.
    fn hsa_amd_memory_lock(host_ptr: *mut c_void, size: usize, agents: *mut hsa_agent_t, num_agent: c_int, agent_ptr: *mut *mut c_void) -> hsa_status_t;
    /// Pin a host pointer allocated by C/C++ or OS allocator (i.e. ordinary system DRAM) and return a new pointer
    /// accessible by the agents.
    fn hsa_amd_memory_lock_to_pool(host_ptr: *mut c_void, size: usize, agents: *mut hsa_agent_t, num_agent: c_int, pool: hsa_amd_memory_pool_t, flags: u32, agent_ptr: *mut *mut c_void) -> hsa_status_t;
    /// Unpin the host pointer previously pinned via `hsa_amd_memory_lock` or `hsa_amd_memory_lock_to_pool`.
    fn hsa_amd_memory_unlock(host_ptr: *mut c_void) -> hsa_status_t;
    /// Sets the first count of uint32_t of the block of memory pointed by ptr to the specified value.
    fn hsa_amd_memory_fill(ptr: *mut c_void, value: u32, count: usize) -> hsa_status_t;
    /// Maps an interop object into the HSA flat address space and establishes memory residency.
    fn hsa_amd_interop_map_buffer(num_agents: u32, agents: *mut hsa_agent_t, interop_handle: c_int, flags: u32, size: *mut usize, ptr: *mut *mut c_void, metadata_size: *mut usize, metadata: *mut *const c_void) -> hsa_status_t;
    /// Removes a previously mapped interop object from HSA's flat address space.
    fn hsa_amd_interop_unmap_buffer(ptr: *mut c_void) -> hsa_status_t;
    /// Retrieves information about the allocation referenced by the given pointer.
    fn hsa_amd_pointer_info(ptr: *const c_void, info: *mut hsa_amd_pointer_info_t, alloc: Option<unsafe extern "C" fn(usize) -> *mut c_void>, num_agents_accessible: *mut u32, accessible: *mut *mut hsa_agent_t) -> hsa_status_t;
    /// Associates an arbitrary pointer with an allocation known to ROCr.
    fn hsa_amd_pointer_info_set_userdata(ptr: *const c_void, userdata: *mut c_void) -> hsa_status_t;
    /// Prepares an allocation for interprocess sharing and creates a handle of type `hsa_amd_ipc_memory_t`
    /// uniquely identifying the allocation.
    fn hsa_amd_ipc_memory_create(ptr: *mut c_void, len: usize, handle: *mut hsa_amd_ipc_memory_t) -> hsa_status_t;
    /// Imports shared memory into the local process and makes it accessible by the given agents.
    fn hsa_amd_ipc_memory_attach(handle: *const hsa_amd_ipc_memory_t, len: usize, num_agents: u32, mapping_agents: *const hsa_agent_t, mapped_ptr: *mut *mut c_void) -> hsa_status_t;
    /// Decrements the reference count for the shared memory mapping and releases access to shared memory imported
    /// with `hsa_amd_ipc_memory_attach`.
    fn hsa_amd_ipc_memory_detach(mapped_ptr: *mut c_void) -> hsa_status_t;
    /// Obtains an interprocess sharing handle for a signal.
    fn hsa_amd_ipc_signal_create(signal: hsa_signal_t, handle: *mut hsa_amd_ipc_signal_t) -> hsa_status_t;
    /// Imports an IPC capable signal into the local process.
    fn hsa_amd_ipc_signal_attach(handle: *const hsa_amd_ipc_signal_t, signal: *mut hsa_signal_t) -> hsa_status_t;
    /// Register AMD GPU event handler.
    fn hsa_amd_register_system_event_handler(callback: hsa_amd_system_event_callback_t, data: *mut c_void) -> hsa_status_t;
    /// Modifies the dispatch and wavefront scheduling priority for a given compute queue.
    fn hsa_amd_queue_set_priority(queue: *mut hsa_queue_t, priority: hsa_amd_queue_priority_t) -> hsa_status_t;
    /// Registers a deallocation notifier monitoring for release of agent accessible address ptr.
    fn hsa_amd_register_deallocation_callback(ptr: *mut c_void, callback: hsa_amd_deallocation_callback_t, user_data: *mut c_void) -> hsa_status_t;
    /// Removes a deallocation notifier previously registered with `hsa_amd_register_deallocation_callback`.
    fn hsa_amd_deregister_deallocation_callback(ptr: *mut c_void, callback: hsa_amd_deallocation_callback_t) -> hsa_status_t;
    /// Sets SVM memory attributes.
    fn hsa_amd_svm_attributes_set(ptr: *mut c_void, size: usize, attribute_list: *mut hsa_amd_svm_attribute_pair_t, attribute_count: usize) -> hsa_status_t;
    /// Gets SVM memory attributes.
    fn hsa_amd_svm_attributes_get(ptr: *mut c_void, size: usize, attribute_list: *mut hsa_amd_svm_attribute_pair_t, attribute_count: usize) -> hsa_status_t;
    /// Asynchronously migrates memory to an agent.
    fn hsa_amd_svm_prefetch_async(ptr: *mut c_void, size: usize, agent: hsa_agent_t, num_dep_signals: u32, dep_signals: *const hsa_signal_t, completion_signal: hsa_signal_t) -> hsa_status_t;
    /// Acquire Stream Performance Monitor on an agent.
    fn hsa_amd_spm_acquire(preferred_agent: hsa_agent_t) -> hsa_status_t, since 4;
    /// Release Stream Performance Monitor on an agent.
    fn hsa_amd_spm_release(preferred_agent: hsa_agent_t) -> hsa_status_t, since 4;
    /// Set up the current destination user mode buffer for stream performance counter data.
    fn hsa_amd_spm_set_dest_buffer(preferred_agent: hsa_agent_t, size_in_bytes: usize, timeout: *mut u32, size_copied: *mut u32, dest: *mut c_void, is_data_loss: *mut bool) -> hsa_status_t, since 4;
    /// Obtains an OS specific, vendor neutral, handle to a memory allocation.
    fn hsa_amd_portable_export_dmabuf(ptr: *const c_void, size: usize, dmabuf: *mut c_int, offset: *mut u64) -> hsa_status_t, since 4;
    /// Closes an OS specific, vendor neutral, handle to a memory allocation.
    fn hsa_amd_portable_close_dmabuf(dmabuf: c_int) -> hsa_status_t, since 4;
    /// Allocate a reserved address range.
    fn hsa_amd_vmem_address_reserve(va: *mut *mut c_void, size: usize, address: u64, flags: u64) -> hsa_status_t, since 4;
    /// Allocate a reserved address range.
    fn hsa_amd_vmem_address_reserve_align(va: *mut *mut c_void, size: usize, address: u64, alignment: u64, flags: u64) -> hsa_status_t, since 7;
    /// Free a reserved address range.
    fn hsa_amd_vmem_address_free(va: *mut c_void, size: usize) -> hsa_status_t, since 4;
    /// Create a virtual memory handle.
    fn hsa_amd_vmem_handle_create(pool: hsa_amd_memory_pool_t, size: usize, r#type: hsa_amd_memory_type_t, flags: u64, memory_handle: *mut hsa_amd_vmem_alloc_handle_t) -> hsa_status_t, since 4;
    /// Release a virtual memory handle.
    fn hsa_amd_vmem_handle_release(memory_handle: hsa_amd_vmem_alloc_handle_t) -> hsa_status_t, since 4;
    /// Map a virtual memory handle.
    fn hsa_amd_vmem_map(va: *mut c_void, size: usize, in_offset: usize, memory_handle: hsa_amd_vmem_alloc_handle_t, flags: u64) -> hsa_status_t, since 4;
    /// Unmap a virtual memory handle.
    fn hsa_amd_vmem_unmap(va: *mut c_void, size: usize) -> hsa_status_t, since 4;
    /// Make a memory mapping accessible.
    fn hsa_amd_vmem_set_access(va: *mut c_void, size: usize, desc: *const hsa_amd_memory_access_desc_t, desc_cnt: usize) -> hsa_status_t, since 4;
    /// Get current access permissions for memory mapping.
    fn hsa_amd_vmem_get_access(va: *mut c_void, perms: *mut hsa_access_permission_t, agent_handle: hsa_agent_t) -> hsa_status_t, since 4;
    /// Get an exportable shareable handle.
    fn hsa_amd_vmem_export_shareable_handle(dmabuf_fd: *mut c_int, handle: hsa_amd_vmem_alloc_handle_t, flags: u64) -> hsa_status_t, since 4;
    /// Import a shareable handle.
    fn hsa_amd_vmem_import_shareable_handle(dmabuf_fd: c_int, handle: *mut hsa_amd_vmem_alloc_handle_t) -> hsa_status_t, since 4;
    /// Returns memory handle for mapped memory.
    fn hsa_amd_vmem_retain_alloc_handle(memory_handle: *mut hsa_amd_vmem_alloc_handle_t, addr: *mut c_void) -> hsa_status_t, since 4;
    /// Returns the current allocation properties of a handle.
    fn hsa_amd_vmem_get_alloc_properties_from_handle(memory_handle: hsa_amd_vmem_alloc_handle_t, pool: *mut hsa_amd_memory_pool_t, r#type: *mut hsa_amd_memory_type_t) -> hsa_status_t, since 4;
    /// Set the asynchronous scratch limit threshold on all the queues for this agent.
    fn hsa_amd_agent_set_async_scratch_limit(agent: hsa_agent_t, threshold: usize) -> hsa_status_t, since 4;
    fn hsa_amd_queue_get_info(queue: *mut hsa_queue_t, attribute: hsa_queue_info_attribute_t, value: *mut c_void) -> hsa_status_t, since 7;
    /// Enable logging via external file If this function is called multiple times, the last call to this function
    /// will overwrite the previous flags and file.
    fn hsa_amd_enable_logging(flags: *mut u8, file: *mut c_void) -> hsa_status_t, since 7;
}
