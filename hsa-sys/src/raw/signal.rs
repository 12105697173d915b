//! Signals: 64-bit values that host and devices change and wait for, and what AMD puts behind the handle.

use std::ffi::c_void;

use super::memory::hsa_amd_ipc_memory_t;
use super::queue::amd_queue_t;
use crate::declare::{constants, handles, records};

pub type hsa_signal_value_t = i64;
/// A fixed-size type used to represent `hsa_signal_condition_t` constants.
pub type hsa_signal_condition32_t = u32;
/// Asynchronous signal handler function type.
pub type hsa_amd_signal_handler = Option<unsafe extern "C" fn(hsa_signal_value_t, *mut c_void) -> bool>;
/// 256-bit process independent identifier for a ROCr IPC signal.
pub type hsa_amd_ipc_signal_t = hsa_amd_ipc_memory_t;
/// AMD Signal Kind Enumeration Values.
pub type amd_signal_kind64_t = i64;

handles! {
    /// Signal handle.
    hsa_signal_t;
    /// Group of signals.
    hsa_signal_group_t;
}

records! {
    /// What a signal's handle is the address of. Devices write it too: reach it through atomics only.
    #[align(64)]
    amd_signal_t {
        kind: amd_signal_kind64_t;
        /// The value; of a doorbell signal the address of the hardware's doorbell.
        value: hsa_signal_value_t;
        event_mailbox_ptr: u64;
        event_id: u32;
        reserved1: u32;
        start_ts: u64;
        end_ts: u64;
        /// Of a doorbell signal the queue it belongs to.
        queue_ptr: *mut amd_queue_t;
        reserved3: [u32; 2];
    }
}

constants! {
    /// Wait condition operator.
    hsa_signal_condition_t: u32 {
        /// The two operands are equal.
        HSA_SIGNAL_CONDITION_EQ = 0;
        /// The two operands are not equal.
        HSA_SIGNAL_CONDITION_NE = 1;
        /// The first operand is less than the second operand.
        HSA_SIGNAL_CONDITION_LT = 2;
        /// The first operand is greater than or equal to the second operand.
        HSA_SIGNAL_CONDITION_GTE = 3;
    }
    /// State of the application thread during a signal wait.
    hsa_wait_state_t: u32 {
        /// The application thread may be rescheduled while waiting on the signal.
        HSA_WAIT_STATE_BLOCKED = 0;
        /// The application thread stays active while waiting on a signal.
        HSA_WAIT_STATE_ACTIVE = 1;
    }
    /// Signal attribute flags.
    hsa_amd_signal_attribute_t: u32 {
        /// Signal will only be consumed by AMD GPUs.
        HSA_AMD_SIGNAL_AMD_GPU_ONLY = 1;
        /// Signal may be used for interprocess communication.
        HSA_AMD_SIGNAL_IPC = 2;
    }
    amd_signal_kind_t: i64 {
        AMD_SIGNAL_KIND_INVALID = 0;
        AMD_SIGNAL_KIND_USER = 1;
        AMD_SIGNAL_KIND_DOORBELL = -1;
        AMD_SIGNAL_KIND_LEGACY_DOORBELL = -2;
    }
}
