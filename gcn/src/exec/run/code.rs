//! Executable memory, and the call into it: the second of the two audited places of this crate.
//!
//! Promises: memory is written before it is executable and never after; what runs is what [`emit`](super::emit) made, whose accesses lie
//! within what [`Code::run`] checks; memory goes back to the host with its [`Code`].
#![expect(unsafe_code, reason = "generated code: mapped, called and unmapped here and nowhere else")]

use crate::arch::LANES;
use crate::exec::cx::Cx;
use crate::hardware::LDS_BYTES;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::ptr::NonNull;

/// What generated code takes: architectural rows, accumulation rows, scalar registers, the work-group's LDS, its bytes, and bytes from its
/// beginning to the end of all LDS. Returns 1, or 0 if it did nothing because it cannot do this.
type Entry = unsafe extern "sysv64" fn(*mut u32, *mut u32, *mut u32, *const u8, u32, u32) -> u32;

/// What a piece of generated code reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Rows from the first architectural and the first accumulation VGPR.
    pub(super) vgprs: u16,
    pub(super) agprs: u16,
}

/// A piece of generated code.
pub(super) struct Code {
    at: NonNull<c_void>,
    len: usize,
    entry: usize,
    bounds: Bounds,
}

// SAFETY: the memory is only read and executed once the value exists, by whomever; the value alone unmaps it.
unsafe impl Send for Code {}
// SAFETY: as above; `run` takes everything it changes as an exclusive reference.
unsafe impl Sync for Code {}

impl Code {
    /// Maps `bytes` for execution, to be entered at offset `entry`.
    ///
    /// Only [`emit`](super::emit) makes such bytes, and it keeps to `bounds`: it names no register beyond them, no scalar register beyond the file, and
    /// no LDS that it has not compared with the sizes it is given.
    pub(super) fn new(bytes: &[u8], entry: usize, bounds: Bounds) -> Result<Code, Errno> {
        let len = bytes.len().max(1);
        // SAFETY: a new private mapping at an address that the kernel chooses touches nothing that is there.
        let at = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?;
        let at = NonNull::new(at).ok_or(Errno::NOMEM)?;
        // From here on dropping it unmaps.
        let code = Code { at, len, entry, bounds };
        // SAFETY: the mapping is writable, of at least `bytes.len()` bytes, new, and nobody else knows it. Afterwards it is executable and no
        // longer writable, and stays so.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at.as_ptr().cast::<u8>(), bytes.len());
            mprotect(at.as_ptr(), len, MprotectFlags::READ | MprotectFlags::EXEC)?;
        }
        Ok(code)
    }

    /// Runs it on a wave's registers. False: it has done nothing.
    pub(super) fn run(&self, cx: &mut Cx<'_>) -> bool {
        let [first, acc, ..] = cx.bases;
        let (lds_from, lds_bytes) = (cx.w.lds_base as usize, cx.w.lds_bytes as usize);
        let Bounds { vgprs, agprs } = self.bounds;
        let acc_end = if agprs == 0 { 0 } else { acc + usize::from(agprs) };
        let rows_end = (first + usize::from(vgprs)).max(acc_end);
        if rows_end > cx.v.len() || lds_from + lds_bytes > LDS_BYTES || self.entry >= self.len {
            return false;
        }
        let rows = cx.v.as_mut_ptr().cast::<u32>();
        // SAFETY: the bytes are a function of this type (see `new`), made for processors with what the widest tier needs, which was
        // detected before anything was translated. Its row accesses lie below `rows_end`, which is within the file; its scalar accesses are at
        // codes below 128 and end within the scalar file; it reads LDS within the `LDS_BYTES - lds_from` bytes that it is told of.
        // All three are exclusive borrows of `cx`, which live until it returns; it keeps nothing. It leaves the registers that
        // the calling convention protects as they were, and does not unwind. MXCSR is not touched.
        let ran = unsafe {
            let entry = std::mem::transmute::<*mut u8, Entry>(self.at.as_ptr().cast::<u8>().add(self.entry));
            entry(
                rows.add(first * LANES),
                rows.add(acc.min(cx.v.len()) * LANES),
                cx.s.as_mut_ptr(),
                cx.lds.as_ptr().add(lds_from),
                lds_bytes as u32,
                (LDS_BYTES - lds_from) as u32,
            )
        };
        ran == 1
    }

    /// Returns the bytes that it occupies.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: `at` and `len` are those of the mapping, which nobody runs: `run` borrows.
        let unmapped = unsafe { munmap(self.at.as_ptr(), self.len) };
        // It can only fail for arguments that are none of a mapping's.
        debug_assert_eq!(unmapped, Ok(()));
    }
}
