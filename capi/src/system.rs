//! Beginning and end, what the whole system is like, extensions, and the words for status codes.

use std::ffi::{CStr, c_char, c_void};

use hsa_sys::raw::*;

use crate::code::{query_executable, query_host_address, query_segment_descriptors};
use crate::edge::{Answer, Opaque, Out, Room, status};
use crate::export::export;
use crate::runtime::{self, status_with};
use crate::words::words;

/// What programs compare to know which runtime this is.
const BUILD: &CStr = c"1.14.0-wavegate";
/// The highest version of AMD's extensions that this library has something for.
const AMD_VERSION: (u16, u16) = (1, 7);

export! {
    /// Begins a session with the broker, or counts one more user of the one there is.
    fn hsa_init() -> hsa_status_t {
        status(runtime::init())
    }

    /// Counts one user less; the last one ends the session.
    fn hsa_shut_down() -> hsa_status_t {
        status(runtime::shut_down())
    }

    /// Answers a question about the system.
    fn hsa_system_get_info(attribute: hsa_system_info_t, value: Room) -> hsa_status_t {
        status_with(|runtime| match attribute {
            HSA_SYSTEM_INFO_VERSION_MAJOR | HSA_SYSTEM_INFO_VERSION_MINOR => value.put(1u16),
            HSA_SYSTEM_INFO_TIMESTAMP => value.put(now_ns()),
            HSA_SYSTEM_INFO_TIMESTAMP_FREQUENCY => value.put(1_000_000_000u64),
            HSA_SYSTEM_INFO_SIGNAL_MAX_WAIT => value.put(u64::MAX),
            HSA_SYSTEM_INFO_ENDIANNESS => value.put(HSA_ENDIANNESS_LITTLE),
            HSA_SYSTEM_INFO_MACHINE_MODEL => value.put(HSA_MACHINE_MODEL_LARGE),
            HSA_SYSTEM_INFO_EXTENSIONS => value.put(extensions(&[HSA_EXTENSION_IMAGES, HSA_EXTENSION_AMD_LOADER])),
            HSA_AMD_SYSTEM_INFO_BUILD_VERSION => value.put(BUILD.as_ptr()),
            HSA_AMD_SYSTEM_INFO_EXT_VERSION_MAJOR => value.put(AMD_VERSION.0),
            HSA_AMD_SYSTEM_INFO_EXT_VERSION_MINOR => value.put(AMD_VERSION.1),
            HSA_AMD_SYSTEM_INFO_VIRTUAL_MEM_API_SUPPORTED => value.put(runtime.client.chooses_addresses()),
            // Memory that the program did not get from us is reached by locking it; page faults of kernels are errors.
            HSA_AMD_SYSTEM_INFO_SVM_SUPPORTED
            | HSA_AMD_SYSTEM_INFO_SVM_ACCESSIBLE_BY_DEFAULT
            | HSA_AMD_SYSTEM_INFO_MWAITX_ENABLED
            | HSA_AMD_SYSTEM_INFO_DMABUF_SUPPORTED
            | HSA_AMD_SYSTEM_INFO_XNACK_ENABLED => value.put(false),
            _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
        })
    }

    /// Returns the name of an extension.
    fn hsa_extension_get_name(extension: u16, name: Out<*const c_char>) -> hsa_status_t {
        status(match hsa_extension_t::from(extension) {
            HSA_EXTENSION_FINALIZER => name.put(c"HSA_EXTENSION_FINALIZER".as_ptr()),
            HSA_EXTENSION_IMAGES => name.put(c"HSA_EXTENSION_IMAGES".as_ptr()),
            HSA_EXTENSION_PERFORMANCE_COUNTERS => name.put(c"HSA_EXTENSION_PERFORMANCE_COUNTERS".as_ptr()),
            HSA_EXTENSION_PROFILING_EVENTS => name.put(c"HSA_EXTENSION_PROFILING_EVENTS".as_ptr()),
            HSA_EXTENSION_AMD_PROFILER => name.put(c"HSA_EXTENSION_AMD_PROFILER".as_ptr()),
            HSA_EXTENSION_AMD_LOADER => name.put(c"HSA_EXTENSION_AMD_LOADER".as_ptr()),
            HSA_EXTENSION_AMD_AQLPROFILE => name.put(c"HSA_EXTENSION_AMD_AQLPROFILE".as_ptr()),
            _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
        })
    }

    /// Whether the system has an extension in a version.
    fn hsa_system_extension_supported(extension: u16, major: u16, minor: u16, result: Out<bool>) -> hsa_status_t {
        status_with(|_| result.put(table(extension, major).is_some_and(|(has, ..)| minor <= has)))
    }

    /// Whether the system has an extension in a major version, and which minor one.
    fn hsa_system_major_extension_supported(
        extension: u16,
        major: u16,
        minor: Out<u16>,
        result: Out<bool>,
    ) -> hsa_status_t {
        status_with(|_| {
            let found = table(extension, major);
            if let Some((has, ..)) = found {
                minor.put(has)?;
            }
            result.put(found.is_some())
        })
    }

    /// Copies the functions of an extension.
    fn hsa_system_get_major_extension_table(
        extension: u16,
        major: u16,
        length: usize,
        functions: Out<*const c_void>,
    ) -> hsa_status_t {
        status_with(|_| copy_table(extension, major, length, functions))
    }

    /// As [`hsa_system_get_major_extension_table`], in the spelling of HSA 1.0.
    fn hsa_system_get_extension_table(
        extension: u16,
        major: u16,
        _minor: u16,
        functions: Out<*const c_void>,
    ) -> hsa_status_t {
        status_with(|_| copy_table(extension, major, usize::MAX, functions))
    }

    /// Returns what a status says, in words.
    fn hsa_status_string(code: hsa_status_t, text: Out<*const c_char>) -> hsa_status_t {
        status(words(code).ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT).and_then(|words| text.put(words.as_ptr())))
    }

    /// Takes note of where AMD's library should log. This one logs nothing.
    fn hsa_amd_enable_logging(_flags: Room, _file: Opaque) -> hsa_status_t {
        status_with(|_| Ok(()))
    }
}

/// Returns now, on the clock of every time stamp: nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Linux, and `now` is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Returns the set of these extensions: bit `n` of byte `n / 8` for extension `n`.
pub(crate) fn extensions(list: &[hsa_extension_t]) -> [u8; 128] {
    let mut set = [0; 128];
    for extension in list {
        set[*extension as usize / 8] |= 1 << (extension % 8);
    }
    set
}

/// Returns minor version and functions of an extension that we have in this major version.
fn table(extension: u16, major: u16) -> Option<(u16, Vec<*const c_void>)> {
    match (hsa_extension_t::from(extension), major) {
        (HSA_EXTENSION_IMAGES, 1) => Some((0, crate::image::table())),
        (HSA_EXTENSION_AMD_LOADER, 1) => {
            let functions = [
                query_host_address as *const c_void,
                query_segment_descriptors as *const c_void,
                query_executable as *const c_void,
            ];
            Some((0, functions.to_vec()))
        }
        _ => None,
    }
}

/// Copies as many functions as fit into `length` bytes.
fn copy_table(extension: u16, major: u16, length: usize, functions: Out<*const c_void>) -> Answer {
    let (_, table) = table(extension, major).ok_or(HSA_STATUS_ERROR)?;
    functions.put_all(table.into_iter().take(length / size_of::<*const c_void>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_a_bit() {
        let set = extensions(&[HSA_EXTENSION_IMAGES, HSA_EXTENSION_AMD_LOADER]);
        assert_eq!((set[0], set[64], set.iter().map(|b| b.count_ones()).sum::<u32>()), (2, 2, 2));
    }
}
