//! Answers what rocminfo looks for before it asks the library, for programs that the kernel gives no view of their own.
//!
//! `wavegate run` shows a program a driver by mounting over two places in a namespace. Where it may not, as in most containers, it preloads this: three
//! questions have another answer, and every other call goes where it would have gone.
//!
//! | question | asked by | answer |
//! |---|---|---|
//! | `open("/dev/kfd")` | all of them | `/dev/null` |
//! | `fopen("/sys/module/amdgpu/initstate")` | rocminfo 6 and later | `live` |
//! | `popen("lsmod | ...")` | rocminfo 5 | a module `amdgpu`, to whatever follows |
//!
//! Promise: a driver that is there is used, and not hidden. No function here allocates, locks or panics before it has seen that it is meant, so that it can
//! be called wherever the one in its place can.

use std::ffi::{CStr, c_char, c_int, c_void};

use libc::{FILE, mode_t};

const DRIVER: &CStr = c"/dev/kfd";
const STATE: &CStr = c"/sys/module/amdgpu/initstate";
/// In front of a shell's command: what `lsmod` says in it.
const LISTER: &[u8] = b"lsmod() { echo 'amdgpu 1 0'; }; ";

/// Returns the path to open instead, if it is another.
fn instead(path: &CStr, there: impl FnOnce(&CStr) -> bool) -> Option<&'static CStr> {
    (path == DRIVER && !there(path)).then_some(c"/dev/null")
}

/// Returns the command to run instead, if it is another.
fn command_instead(command: &CStr) -> Option<Vec<u8>> {
    let text = command.to_bytes();
    let asks = text.windows(5).any(|word| word == b"lsmod");
    asks.then(|| [LISTER, text, b"\0"].concat())
}

fn is_there(path: &CStr) -> bool {
    // SAFETY: a text that ends.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Returns C's text, or `None` for a null pointer.
///
/// # Safety
///
/// The pointer is null or a text that ends and stays for the call.
unsafe fn text<'a>(path: *const c_char) -> Option<&'a CStr> {
    // SAFETY: not null, and the caller promises the rest.
    (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) })
}

/// Returns the function that would have been called without us.
fn next(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a name that ends.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// Opens a file as the C library does: its third argument counts only where a file is made, and comes in the same register.
fn open_as(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: C promises a text that ends.
    let other = unsafe { text(path) }.and_then(|path| instead(path, is_there));
    let path = other.map_or(path, CStr::as_ptr);
    // SAFETY: as the program has called it, but for the path; the kernel checks what it gets.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, libc::c_uint::from(mode)) as c_int }
}

/// `open(2)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_as(path, flags, mode)
}

/// `open(2)`, by its name for large files.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    open_as(path, flags, mode)
}

/// Opens what the state of a driver would be read from.
fn state() -> *mut FILE {
    const LIVE: &[u8] = b"live\n";
    // SAFETY: names and bytes of ours; the descriptor goes to the stream, or is closed.
    unsafe {
        let memory = libc::memfd_create(c"initstate".as_ptr(), libc::MFD_CLOEXEC);
        let written = libc::pwrite(memory, LIVE.as_ptr().cast(), LIVE.len(), 0) == LIVE.len() as isize;
        let file = if written { libc::fdopen(memory, c"r".as_ptr()) } else { std::ptr::null_mut() };
        if file.is_null() && memory >= 0 {
            libc::close(memory);
        }
        file
    }
}

fn fopen_as(name: &CStr, path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: C promises a text that ends.
    let asked = unsafe { text(path) }.is_some_and(|path| path == STATE && !is_there(path));
    if asked {
        return state();
    }
    let Some(real) = next(name) else { return std::ptr::null_mut() };
    // SAFETY: the C library's function of this name has this type.
    let real: extern "C" fn(*const c_char, *const c_char) -> *mut FILE = unsafe { std::mem::transmute(real) };
    real(path, mode)
}

/// `fopen(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE {
    fopen_as(c"fopen", path, mode)
}

/// `fopen(3)`, by its name for large files.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
    fopen_as(c"fopen64", path, mode)
}

/// `popen(3)`.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) extern "C" fn popen(command: *const c_char, mode: *const c_char) -> *mut FILE {
    let Some(real) = next(c"popen") else { return std::ptr::null_mut() };
    // SAFETY: the C library's function of this name has this type.
    let real: extern "C" fn(*const c_char, *const c_char) -> *mut FILE = unsafe { std::mem::transmute(real) };
    // SAFETY: C promises a text that ends.
    match unsafe { text(command) }.and_then(command_instead) {
        Some(other) => real(other.as_ptr().cast(), mode),
        None => real(command, mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_driver_is_another_and_only_where_there_is_none() {
        assert_eq!(instead(c"/dev/kfd", |_| false), Some(c"/dev/null"));
        assert_eq!(instead(c"/dev/kfd", |_| true), None, "a real one is used");
        for other in [c"/dev/kfd2", c"dev/kfd", c"", c"/dev/null"] {
            assert_eq!(instead(other, |_| false), None, "{other:?}");
        }
    }

    #[test]
    fn a_shell_that_lists_modules_has_one_and_others_are_left_alone() {
        let other = command_instead(c"lsmod | grep amdgpu").unwrap();
        assert_eq!(CStr::from_bytes_with_nul(&other), Ok(c"lsmod() { echo 'amdgpu 1 0'; }; lsmod | grep amdgpu"));
        assert_eq!(command_instead(c"uname -r"), None);
        let shell = popen(c"lsmod | grep amdgpu".as_ptr(), c"r".as_ptr());
        assert!(!shell.is_null());
        let mut line = [0 as c_char; 16];
        // SAFETY: room for 16 bytes, and a stream that was opened above and is closed once.
        let said = unsafe {
            libc::fgets(line.as_mut_ptr(), 16, shell);
            libc::pclose(shell);
            CStr::from_ptr(line.as_ptr())
        };
        assert_eq!(said, c"amdgpu 1 0\n");
    }

    #[test]
    fn files_are_opened_as_the_c_library_opens_them() {
        let nothing = open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0);
        assert!(nothing >= 0 && open64(c"/there/is/no/such/file".as_ptr(), libc::O_RDONLY, 0) == -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOENT));
        let file = fopen(c"/proc/self/status".as_ptr(), c"r".as_ptr());
        assert!(!file.is_null());
        // SAFETY: opened above, and closed once.
        unsafe { (libc::close(nothing), libc::fclose(file)) };
        if !is_there(STATE) {
            let state = fopen64(STATE.as_ptr(), c"r".as_ptr());
            let mut line = [0 as c_char; 16];
            // SAFETY: room for 16 bytes, and a file that is open.
            let read = unsafe { CStr::from_ptr(libc::fgets(line.as_mut_ptr(), 16, state)).to_owned() };
            // SAFETY: as above.
            unsafe { libc::fclose(state) };
            assert_eq!(read.as_c_str(), c"live\n");
        }
    }
}
