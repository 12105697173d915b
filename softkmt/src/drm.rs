//! What ROCr 6.1.2 asks libdrm's library for AMD cards: the rate of the device's clock, and buffers apart from addresses, which are refused.
//!
//! ROCr names the thunk before libdrm, so that of two functions of a name it gets the thunk's; the system's library, loaded all the same, would take the
//! handle for a device of its own. Answers are libdrm's: 0, or an error number less than 0. `amdgpu.h` of libdrm 2.4.124 has the types.

use std::ffi::{c_int, c_uint, c_void};

use crate::abi::{GPU_NODE, Status};
use crate::config::Config;
use crate::exports::{self, answer};
use crate::topology;

/// The rate of `s_memrealtime`.
const COUNTER_KHZ: u32 = 100_000;
/// What an answer says whose argument was none.
const INVALID: c_int = -libc::EINVAL;
/// What buffers are refused with.
const REFUSED: c_int = -libc::EOPNOTSUPP;

/// What stands for the card: its address is the handle, and nobody looks behind it.
static DEVICE: u8 = 0;

/// Returns the handle of the card.
pub(crate) fn device() -> *mut c_void {
    (&raw const DEVICE).cast_mut().cast()
}

/// `struct amdgpu_gpu_info`; what is not told here, and is 0, as plain words.
#[derive(Clone, Copy)]
#[repr(C)]
struct GpuInfo {
    asic_id: u32,
    revision: [u32; 2],
    family_id: u32,
    flags: u64,
    engine_khz_max: u64,
    memory_khz_max: u64,
    shader_engines: u32,
    arrays_per_engine: u32,
    pipes: [u32; 6],
    counter_khz: u32,
    registers: [u32; 62],
    compute_units: u32,
    rest: [u32; 22],
}

/// Tells of the card what its node in the topology says.
fn told(config: &Config) -> Option<GpuInfo> {
    let node = topology::node(config, GPU_NODE)?;
    // SAFETY: every field is an integer, for which zero is a value.
    let nothing: GpuInfo = unsafe { std::mem::zeroed() };
    Some(GpuInfo {
        asic_id: node.device_id.into(),
        family_id: node.family_id,
        engine_khz_max: 1000 * u64::from(node.max_engine_clock_mhz_f),
        shader_engines: node.num_shader_banks,
        arrays_per_engine: node.num_arrays,
        counter_khz: COUNTER_KHZ,
        compute_units: config.cus,
        ..nothing
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn amdgpu_query_gpu_info(device: *mut c_void, info: *mut GpuInfo) -> c_int {
    if device != self::device() {
        return INVALID;
    }
    let answered = || {
        let info_of_card = told(exports::gpu()?.config()).ok_or(Status::Error)?;
        // SAFETY: C's promise: null, or room for one.
        unsafe { answer(info, info_of_card) }
    };
    if answered().is_ok() { 0 } else { INVALID }
}

/// The card has no file: ROCr takes a negative number as that.
#[unsafe(no_mangle)]
extern "C" fn amdgpu_device_get_fd(_device: *mut c_void) -> c_int {
    REFUSED
}

#[unsafe(no_mangle)]
extern "C" fn amdgpu_bo_import(_device: *mut c_void, _kind: c_uint, _handle: u32, _made: *mut c_void) -> c_int {
    REFUSED
}

#[unsafe(no_mangle)]
extern "C" fn amdgpu_bo_export(_memory: *mut c_void, _kind: c_uint, _handle: *mut u32) -> c_int {
    REFUSED
}

#[unsafe(no_mangle)]
extern "C" fn amdgpu_bo_cpu_map(_memory: *mut c_void, _at: *mut *mut c_void) -> c_int {
    REFUSED
}

#[unsafe(no_mangle)]
extern "C" fn amdgpu_bo_va_op(
    _memory: *mut c_void,
    _from: u64,
    _bytes: u64,
    _at: u64,
    _flags: u64,
    _what: u32,
) -> c_int {
    REFUSED
}

/// There is nothing that could be freed.
#[unsafe(no_mangle)]
extern "C" fn amdgpu_bo_free(_memory: *mut c_void) -> c_int {
    INVALID
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_tells_its_clock_to_who_has_its_handle() {
        assert_eq!(size_of::<GpuInfo>(), 416);
        assert_eq!(std::mem::offset_of!(GpuInfo, counter_khz), 72);
        assert_eq!(std::mem::offset_of!(GpuInfo, compute_units), 324);
        // SAFETY: every field is an integer.
        let mut info: GpuInfo = unsafe { std::mem::zeroed() };
        // SAFETY: room for one, or null.
        let ask = |device, info| unsafe { amdgpu_query_gpu_info(device, info) };
        assert_eq!(ask(std::ptr::null_mut(), &raw mut info), INVALID);
        assert_eq!(ask(device(), std::ptr::null_mut()), INVALID);
        assert_eq!(ask(device(), &raw mut info), 0);
        assert_eq!((info.counter_khz, info.family_id), (COUNTER_KHZ, topology::FAMILY_AI));
    }

    #[test]
    fn buffers_are_refused() {
        let nothing = std::ptr::null_mut();
        assert!(amdgpu_device_get_fd(device()) < 0);
        assert_eq!(amdgpu_bo_import(device(), 2, 0, nothing), REFUSED);
        assert_eq!(amdgpu_bo_free(nothing), INVALID);
    }
}
