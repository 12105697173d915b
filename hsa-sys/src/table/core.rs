//! Functions of `hsa.h`.

use std::ffi::{c_char, c_void};

use super::functions;
use crate::raw::*;

functions! {
    /// Functions of `hsa.h`, under their names.
    Core
    /// Query additional information about a status code.
    fn hsa_status_string(status: hsa_status_t, status_string: *mut *const c_char) -> hsa_status_t;
    /// Initialize the HSA runtime.
    fn hsa_init() -> hsa_status_t;
    /// Shut down the HSA runtime.
    fn hsa_shut_down() -> hsa_status_t;
    /// Get the current value of a system attribute.
    fn hsa_system_get_info(attribute: hsa_system_info_t, value: *mut c_void) -> hsa_status_t;
    /// Query the name of a given extension.
    fn hsa_extension_get_name(extension: u16, name: *mut *const c_char) -> hsa_status_t;
    /// Query if a given version of an extension is supported by the HSA implementation.
    fn hsa_system_extension_supported(extension: u16, version_major: u16, version_minor: u16, result: *mut bool) -> hsa_status_t;
    /// Query if a given version of an extension is supported by the HSA implementation.
    fn hsa_system_major_extension_supported(extension: u16, version_major: u16, version_minor: *mut u16, result: *mut bool) -> hsa_status_t;
    /// Retrieve the function pointers corresponding to a given version of an extension.
    fn hsa_system_get_extension_table(extension: u16, version_major: u16, version_minor: u16, table: *mut c_void) -> hsa_status_t;
    /// Retrieve the function pointers corresponding to a given major version of an extension.
    fn hsa_system_get_major_extension_table(extension: u16, version_major: u16, table_length: usize, table: *mut c_void) -> hsa_status_t;
    /// Get the current value of an attribute for a given agent.
    fn hsa_agent_get_info(agent: hsa_agent_t, attribute: hsa_agent_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the available agents, and invoke an application-defined callback on every iteration.
    fn hsa_iterate_agents(callback: Option<unsafe extern "C" fn(hsa_agent_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Retrieve the exception policy support for a given combination of agent and profile.
    fn hsa_agent_get_exception_policies(agent: hsa_agent_t, profile: hsa_profile_t, mask: *mut u16) -> hsa_status_t;
    /// Get the current value of an attribute for a given cache object.
    fn hsa_cache_get_info(cache: hsa_cache_t, attribute: hsa_cache_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the memory caches of a given agent, and invoke an application-defined callback on every
    /// iteration.
    fn hsa_agent_iterate_caches(agent: hsa_agent_t, callback: Option<unsafe extern "C" fn(hsa_cache_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Query if a given version of an extension is supported by an agent.
    fn hsa_agent_extension_supported(extension: u16, agent: hsa_agent_t, version_major: u16, version_minor: u16, result: *mut bool) -> hsa_status_t;
    /// Query if a given version of an extension is supported by an agent.
    fn hsa_agent_major_extension_supported(extension: u16, agent: hsa_agent_t, version_major: u16, version_minor: *mut u16, result: *mut bool) -> hsa_status_t;
    /// Create a signal.
    fn hsa_signal_create(initial_value: hsa_signal_value_t, num_consumers: u32, consumers: *const hsa_agent_t, signal: *mut hsa_signal_t) -> hsa_status_t;
    /// Destroy a signal previous created by `hsa_signal_create`.
    fn hsa_signal_destroy(signal: hsa_signal_t) -> hsa_status_t;
    /// Atomically read the current value of a signal.
    fn hsa_signal_load_scacquire(signal: hsa_signal_t) -> hsa_signal_value_t;
    /// As `hsa_signal_load_scacquire`.
    fn hsa_signal_load_relaxed(signal: hsa_signal_t) -> hsa_signal_value_t;
    /// As `hsa_signal_load_scacquire`.
    fn hsa_signal_load_acquire(signal: hsa_signal_t) -> hsa_signal_value_t;
    /// Atomically set the value of a signal.
    fn hsa_signal_store_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_store_relaxed`.
    fn hsa_signal_store_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_store_screlease`.
    fn hsa_signal_store_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically set the value of a signal without necessarily notifying the the agents waiting on it.
    fn hsa_signal_silent_store_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_silent_store_relaxed`.
    fn hsa_signal_silent_store_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically set the value of a signal and return its previous value.
    fn hsa_signal_exchange_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_scacq_screl`.
    fn hsa_signal_exchange_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_scacq_screl`.
    fn hsa_signal_exchange_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_scacquire`.
    fn hsa_signal_exchange_acquire(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_scacq_screl`.
    fn hsa_signal_exchange_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_scacq_screl`.
    fn hsa_signal_exchange_screlease(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_exchange_screlease`.
    fn hsa_signal_exchange_release(signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// Atomically set the value of a signal if the observed value is equal to the expected value.
    fn hsa_signal_cas_scacq_screl(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_scacq_screl`.
    fn hsa_signal_cas_acq_rel(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_scacq_screl`.
    fn hsa_signal_cas_scacquire(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_scacquire`.
    fn hsa_signal_cas_acquire(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_scacq_screl`.
    fn hsa_signal_cas_relaxed(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_scacq_screl`.
    fn hsa_signal_cas_screlease(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// As `hsa_signal_cas_screlease`.
    fn hsa_signal_cas_release(signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t;
    /// Atomically increment the value of a signal by a given amount.
    fn hsa_signal_add_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_scacq_screl`.
    fn hsa_signal_add_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_scacq_screl`.
    fn hsa_signal_add_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_scacquire`.
    fn hsa_signal_add_acquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_scacq_screl`.
    fn hsa_signal_add_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_scacq_screl`.
    fn hsa_signal_add_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_add_screlease`.
    fn hsa_signal_add_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically decrement the value of a signal by a given amount.
    fn hsa_signal_subtract_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_scacq_screl`.
    fn hsa_signal_subtract_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_scacq_screl`.
    fn hsa_signal_subtract_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_scacquire`.
    fn hsa_signal_subtract_acquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_scacq_screl`.
    fn hsa_signal_subtract_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_scacq_screl`.
    fn hsa_signal_subtract_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_subtract_screlease`.
    fn hsa_signal_subtract_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically perform a bitwise AND operation between the value of a signal and a given value.
    fn hsa_signal_and_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_scacq_screl`.
    fn hsa_signal_and_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_scacq_screl`.
    fn hsa_signal_and_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_scacquire`.
    fn hsa_signal_and_acquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_scacq_screl`.
    fn hsa_signal_and_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_scacq_screl`.
    fn hsa_signal_and_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_and_screlease`.
    fn hsa_signal_and_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically perform a bitwise OR operation between the value of a signal and a given value.
    fn hsa_signal_or_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_scacq_screl`.
    fn hsa_signal_or_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_scacq_screl`.
    fn hsa_signal_or_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_scacquire`.
    fn hsa_signal_or_acquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_scacq_screl`.
    fn hsa_signal_or_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_scacq_screl`.
    fn hsa_signal_or_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_or_screlease`.
    fn hsa_signal_or_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Atomically perform a bitwise XOR operation between the value of a signal and a given value.
    fn hsa_signal_xor_scacq_screl(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_scacq_screl`.
    fn hsa_signal_xor_acq_rel(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_scacq_screl`.
    fn hsa_signal_xor_scacquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_scacquire`.
    fn hsa_signal_xor_acquire(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_scacq_screl`.
    fn hsa_signal_xor_relaxed(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_scacq_screl`.
    fn hsa_signal_xor_screlease(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// As `hsa_signal_xor_screlease`.
    fn hsa_signal_xor_release(signal: hsa_signal_t, value: hsa_signal_value_t);
    /// Wait until a signal value satisfies a specified condition, or a certain amount of time has elapsed.
    fn hsa_signal_wait_scacquire(signal: hsa_signal_t, condition: hsa_signal_condition_t, compare_value: hsa_signal_value_t, timeout_hint: u64, wait_state_hint: hsa_wait_state_t) -> hsa_signal_value_t;
    /// As `hsa_signal_wait_scacquire`.
    fn hsa_signal_wait_relaxed(signal: hsa_signal_t, condition: hsa_signal_condition_t, compare_value: hsa_signal_value_t, timeout_hint: u64, wait_state_hint: hsa_wait_state_t) -> hsa_signal_value_t;
    /// As `hsa_signal_wait_scacquire`.
    fn hsa_signal_wait_acquire(signal: hsa_signal_t, condition: hsa_signal_condition_t, compare_value: hsa_signal_value_t, timeout_hint: u64, wait_state_hint: hsa_wait_state_t) -> hsa_signal_value_t;
    /// Create a signal group.
    fn hsa_signal_group_create(num_signals: u32, signals: *const hsa_signal_t, num_consumers: u32, consumers: *const hsa_agent_t, signal_group: *mut hsa_signal_group_t) -> hsa_status_t;
    /// Destroy a signal group previous created by `hsa_signal_group_create`.
    fn hsa_signal_group_destroy(signal_group: hsa_signal_group_t) -> hsa_status_t;
    /// Wait until the value of at least one of the signals in a signal group satisfies its associated condition.
    fn hsa_signal_group_wait_any_scacquire(signal_group: hsa_signal_group_t, conditions: *const hsa_signal_condition_t, compare_values: *const hsa_signal_value_t, wait_state_hint: hsa_wait_state_t, signal: *mut hsa_signal_t, value: *mut hsa_signal_value_t) -> hsa_status_t;
    /// As `hsa_signal_group_wait_any_scacquire`.
    fn hsa_signal_group_wait_any_relaxed(signal_group: hsa_signal_group_t, conditions: *const hsa_signal_condition_t, compare_values: *const hsa_signal_value_t, wait_state_hint: hsa_wait_state_t, signal: *mut hsa_signal_t, value: *mut hsa_signal_value_t) -> hsa_status_t;
    /// Create a user mode queue.
    fn hsa_queue_create(agent: hsa_agent_t, size: u32, r#type: hsa_queue_type32_t, callback: Option<unsafe extern "C" fn(hsa_status_t, *mut hsa_queue_t, *mut c_void)>, data: *mut c_void, private_segment_size: u32, group_segment_size: u32, queue: *mut *mut hsa_queue_t) -> hsa_status_t;
    /// Create a queue for which the application or a kernel is responsible for processing the AQL packets.
    fn hsa_soft_queue_create(region: hsa_region_t, size: u32, r#type: hsa_queue_type32_t, features: u32, doorbell_signal: hsa_signal_t, queue: *mut *mut hsa_queue_t) -> hsa_status_t;
    /// Destroy a user mode queue.
    fn hsa_queue_destroy(queue: *mut hsa_queue_t) -> hsa_status_t;
    /// Inactivate a queue.
    fn hsa_queue_inactivate(queue: *mut hsa_queue_t) -> hsa_status_t;
    /// As `hsa_queue_load_read_index_scacquire`.
    fn hsa_queue_load_read_index_acquire(queue: *const hsa_queue_t) -> u64;
    /// Atomically load the read index of a queue.
    fn hsa_queue_load_read_index_scacquire(queue: *const hsa_queue_t) -> u64;
    /// As `hsa_queue_load_read_index_scacquire`.
    fn hsa_queue_load_read_index_relaxed(queue: *const hsa_queue_t) -> u64;
    /// As `hsa_queue_load_write_index_scacquire`.
    fn hsa_queue_load_write_index_acquire(queue: *const hsa_queue_t) -> u64;
    /// Atomically load the write index of a queue.
    fn hsa_queue_load_write_index_scacquire(queue: *const hsa_queue_t) -> u64;
    /// As `hsa_queue_load_write_index_scacquire`.
    fn hsa_queue_load_write_index_relaxed(queue: *const hsa_queue_t) -> u64;
    /// Atomically set the write index of a queue.
    fn hsa_queue_store_write_index_relaxed(queue: *const hsa_queue_t, value: u64);
    /// As `hsa_queue_store_write_index_screlease`.
    fn hsa_queue_store_write_index_release(queue: *const hsa_queue_t, value: u64);
    /// As `hsa_queue_store_write_index_relaxed`.
    fn hsa_queue_store_write_index_screlease(queue: *const hsa_queue_t, value: u64);
    /// As `hsa_queue_cas_write_index_scacq_screl`.
    fn hsa_queue_cas_write_index_acq_rel(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// Atomically set the write index of a queue if the observed value is equal to the expected value.
    fn hsa_queue_cas_write_index_scacq_screl(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_cas_write_index_scacquire`.
    fn hsa_queue_cas_write_index_acquire(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_cas_write_index_scacq_screl`.
    fn hsa_queue_cas_write_index_scacquire(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_cas_write_index_scacq_screl`.
    fn hsa_queue_cas_write_index_relaxed(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_cas_write_index_screlease`.
    fn hsa_queue_cas_write_index_release(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_cas_write_index_scacq_screl`.
    fn hsa_queue_cas_write_index_screlease(queue: *const hsa_queue_t, expected: u64, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_scacq_screl`.
    fn hsa_queue_add_write_index_acq_rel(queue: *const hsa_queue_t, value: u64) -> u64;
    /// Atomically increment the write index of a queue by an offset.
    fn hsa_queue_add_write_index_scacq_screl(queue: *const hsa_queue_t, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_scacquire`.
    fn hsa_queue_add_write_index_acquire(queue: *const hsa_queue_t, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_scacq_screl`.
    fn hsa_queue_add_write_index_scacquire(queue: *const hsa_queue_t, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_scacq_screl`.
    fn hsa_queue_add_write_index_relaxed(queue: *const hsa_queue_t, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_screlease`.
    fn hsa_queue_add_write_index_release(queue: *const hsa_queue_t, value: u64) -> u64;
    /// As `hsa_queue_add_write_index_scacq_screl`.
    fn hsa_queue_add_write_index_screlease(queue: *const hsa_queue_t, value: u64) -> u64;
    /// Atomically set the read index of a queue.
    fn hsa_queue_store_read_index_relaxed(queue: *const hsa_queue_t, value: u64);
    /// As `hsa_queue_store_read_index_screlease`.
    fn hsa_queue_store_read_index_release(queue: *const hsa_queue_t, value: u64);
    /// As `hsa_queue_store_read_index_relaxed`.
    fn hsa_queue_store_read_index_screlease(queue: *const hsa_queue_t, value: u64);
    /// Get the current value of an attribute of a region.
    fn hsa_region_get_info(region: hsa_region_t, attribute: hsa_region_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the memory regions associated with a given agent, and invoke an application-defined callback
    /// on every iteration.
    fn hsa_agent_iterate_regions(agent: hsa_agent_t, callback: Option<unsafe extern "C" fn(hsa_region_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Allocate a block of memory in a given region.
    fn hsa_memory_allocate(region: hsa_region_t, size: usize, ptr: *mut *mut c_void) -> hsa_status_t;
    /// Deallocate a block of memory previously allocated using `hsa_memory_allocate`.
    fn hsa_memory_free(ptr: *mut c_void) -> hsa_status_t;
    /// Copy a block of memory from the location pointed to by src to the memory block pointed to by dst.
    fn hsa_memory_copy(dst: *mut c_void, src: *const c_void, size: usize) -> hsa_status_t;
    /// Change the ownership of a global, coarse-grained buffer.
    fn hsa_memory_assign_agent(ptr: *mut c_void, agent: hsa_agent_t, access: hsa_access_permission_t) -> hsa_status_t;
    /// Register a global, fine-grained buffer.
    fn hsa_memory_register(ptr: *mut c_void, size: usize) -> hsa_status_t;
    /// Deregister memory previously registered using `hsa_memory_register`.
    fn hsa_memory_deregister(ptr: *mut c_void, size: usize) -> hsa_status_t;
    /// Retrieve a reference to an instruction set architecture handle out of a symbolic name.
    fn hsa_isa_from_name(name: *const c_char, isa: *mut hsa_isa_t) -> hsa_status_t;
    /// Iterate over the instruction sets supported by the given agent, and invoke an application-defined callback
    /// on every iteration.
    fn hsa_agent_iterate_isas(agent: hsa_agent_t, callback: Option<unsafe extern "C" fn(hsa_isa_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Get the current value of an attribute for a given instruction set architecture (ISA).
    fn hsa_isa_get_info(isa: hsa_isa_t, attribute: hsa_isa_info_t, index: u32, value: *mut c_void) -> hsa_status_t;
    /// Get the current value of an attribute for a given instruction set architecture (ISA).
    fn hsa_isa_get_info_alt(isa: hsa_isa_t, attribute: hsa_isa_info_t, value: *mut c_void) -> hsa_status_t;
    /// Retrieve the exception policy support for a given combination of instruction set architecture and profile.
    fn hsa_isa_get_exception_policies(isa: hsa_isa_t, profile: hsa_profile_t, mask: *mut u16) -> hsa_status_t;
    /// Retrieve the round method (single or double) used to implement the floating-point multiply add instruction
    /// (mad) for a given combination of instruction set architecture, floating-point type, and flush to zero
    /// modifier.
    fn hsa_isa_get_round_method(isa: hsa_isa_t, fp_type: hsa_fp_type_t, flush_mode: hsa_flush_mode_t, round_method: *mut hsa_round_method_t) -> hsa_status_t;
    /// Get the current value of a wavefront attribute.
    fn hsa_wavefront_get_info(wavefront: hsa_wavefront_t, attribute: hsa_wavefront_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the different wavefronts supported by an instruction set architecture, and invoke an
    /// application-defined callback on every iteration.
    fn hsa_isa_iterate_wavefronts(isa: hsa_isa_t, callback: Option<unsafe extern "C" fn(hsa_wavefront_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Check if the instruction set architecture of a code object can be executed on an agent associated with
    /// another architecture.
    fn hsa_isa_compatible(code_object_isa: hsa_isa_t, agent_isa: hsa_isa_t, result: *mut bool) -> hsa_status_t;
    /// Create a code object reader to operate on a file.
    fn hsa_code_object_reader_create_from_file(file: hsa_file_t, code_object_reader: *mut hsa_code_object_reader_t) -> hsa_status_t;
    /// Create a code object reader to operate on memory.
    fn hsa_code_object_reader_create_from_memory(code_object: *const c_void, size: usize, code_object_reader: *mut hsa_code_object_reader_t) -> hsa_status_t;
    /// Destroy a code object reader.
    fn hsa_code_object_reader_destroy(code_object_reader: hsa_code_object_reader_t) -> hsa_status_t;
    /// Create an empty executable.
    fn hsa_executable_create(profile: hsa_profile_t, executable_state: hsa_executable_state_t, options: *const c_char, executable: *mut hsa_executable_t) -> hsa_status_t;
    /// Create an empty executable.
    fn hsa_executable_create_alt(profile: hsa_profile_t, default_float_rounding_mode: hsa_default_float_rounding_mode_t, options: *const c_char, executable: *mut hsa_executable_t) -> hsa_status_t;
    /// Destroy an executable.
    fn hsa_executable_destroy(executable: hsa_executable_t) -> hsa_status_t;
    /// Load a program code object into an executable.
    fn hsa_executable_load_program_code_object(executable: hsa_executable_t, code_object_reader: hsa_code_object_reader_t, options: *const c_char, loaded_code_object: *mut hsa_loaded_code_object_t) -> hsa_status_t;
    /// Load an agent code object into an executable.
    fn hsa_executable_load_agent_code_object(executable: hsa_executable_t, agent: hsa_agent_t, code_object_reader: hsa_code_object_reader_t, options: *const c_char, loaded_code_object: *mut hsa_loaded_code_object_t) -> hsa_status_t;
    /// Freeze the executable.
    fn hsa_executable_freeze(executable: hsa_executable_t, options: *const c_char) -> hsa_status_t;
    /// Get the current value of an attribute for a given executable.
    fn hsa_executable_get_info(executable: hsa_executable_t, attribute: hsa_executable_info_t, value: *mut c_void) -> hsa_status_t;
    /// Define an external global variable with program allocation.
    fn hsa_executable_global_variable_define(executable: hsa_executable_t, variable_name: *const c_char, address: *mut c_void) -> hsa_status_t;
    /// Define an external global variable with agent allocation.
    fn hsa_executable_agent_global_variable_define(executable: hsa_executable_t, agent: hsa_agent_t, variable_name: *const c_char, address: *mut c_void) -> hsa_status_t;
    /// Define an external readonly variable.
    fn hsa_executable_readonly_variable_define(executable: hsa_executable_t, agent: hsa_agent_t, variable_name: *const c_char, address: *mut c_void) -> hsa_status_t;
    /// Validate an executable.
    fn hsa_executable_validate(executable: hsa_executable_t, result: *mut u32) -> hsa_status_t;
    /// Validate an executable.
    fn hsa_executable_validate_alt(executable: hsa_executable_t, options: *const c_char, result: *mut u32) -> hsa_status_t;
    /// Get the symbol handle for a given a symbol name.
    fn hsa_executable_get_symbol(executable: hsa_executable_t, module_name: *const c_char, symbol_name: *const c_char, agent: hsa_agent_t, call_convention: i32, symbol: *mut hsa_executable_symbol_t) -> hsa_status_t;
    /// Retrieve the symbol handle corresponding to a given a symbol name.
    fn hsa_executable_get_symbol_by_name(executable: hsa_executable_t, symbol_name: *const c_char, agent: *const hsa_agent_t, symbol: *mut hsa_executable_symbol_t) -> hsa_status_t;
    /// Get the current value of an attribute for a given executable symbol.
    fn hsa_executable_symbol_get_info(executable_symbol: hsa_executable_symbol_t, attribute: hsa_executable_symbol_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the symbols in a executable, and invoke an application-defined callback on every iteration.
    fn hsa_executable_iterate_symbols(executable: hsa_executable_t, callback: Option<unsafe extern "C" fn(hsa_executable_t, hsa_executable_symbol_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Iterate over the kernels, indirect functions, and agent allocation variables in an executable for a given
    /// agent, and invoke an application- defined callback on every iteration.
    fn hsa_executable_iterate_agent_symbols(executable: hsa_executable_t, agent: hsa_agent_t, callback: Option<unsafe extern "C" fn(hsa_executable_t, hsa_agent_t, hsa_executable_symbol_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Iterate over the program allocation variables in an executable, and invoke an application-defined callback
    /// on every iteration.
    fn hsa_executable_iterate_program_symbols(executable: hsa_executable_t, callback: Option<unsafe extern "C" fn(hsa_executable_t, hsa_executable_symbol_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
    /// Serialize a code object.
    fn hsa_code_object_serialize(code_object: hsa_code_object_t, alloc_callback: Option<unsafe extern "C" fn(usize, hsa_callback_data_t, *mut *mut c_void) -> hsa_status_t>, callback_data: hsa_callback_data_t, options: *const c_char, serialized_code_object: *mut *mut c_void, serialized_code_object_size: *mut usize) -> hsa_status_t;
    /// Deserialize a code object.
    fn hsa_code_object_deserialize(serialized_code_object: *mut c_void, serialized_code_object_size: usize, options: *const c_char, code_object: *mut hsa_code_object_t) -> hsa_status_t;
    /// Destroy a code object.
    fn hsa_code_object_destroy(code_object: hsa_code_object_t) -> hsa_status_t;
    /// Get the current value of an attribute for a given code object.
    fn hsa_code_object_get_info(code_object: hsa_code_object_t, attribute: hsa_code_object_info_t, value: *mut c_void) -> hsa_status_t;
    /// Load code object into the executable.
    fn hsa_executable_load_code_object(executable: hsa_executable_t, agent: hsa_agent_t, code_object: hsa_code_object_t, options: *const c_char) -> hsa_status_t;
    /// Get the symbol handle within a code object for a given a symbol name.
    fn hsa_code_object_get_symbol(code_object: hsa_code_object_t, symbol_name: *const c_char, symbol: *mut hsa_code_symbol_t) -> hsa_status_t;
    /// Get the symbol handle within a code object for a given a symbol name.
    fn hsa_code_object_get_symbol_from_name(code_object: hsa_code_object_t, module_name: *const c_char, symbol_name: *const c_char, symbol: *mut hsa_code_symbol_t) -> hsa_status_t;
    /// Get the current value of an attribute for a given code symbol.
    fn hsa_code_symbol_get_info(code_symbol: hsa_code_symbol_t, attribute: hsa_code_symbol_info_t, value: *mut c_void) -> hsa_status_t;
    /// Iterate over the symbols in a code object, and invoke an application-defined callback on every iteration.
    fn hsa_code_object_iterate_symbols(code_object: hsa_code_object_t, callback: Option<unsafe extern "C" fn(hsa_code_object_t, hsa_code_symbol_t, *mut c_void) -> hsa_status_t>, data: *mut c_void) -> hsa_status_t;
}
