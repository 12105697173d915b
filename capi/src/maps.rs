//! The program's own pages: shared, made private again, and looked up before that is done.
//!
//! Promise: what the program keeps in the pages survives both ways, but for stores in the very moment of the change (see [`crate::locked`]).

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

/// What identifies a mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    inode: u64,
}

impl File {
    /// Returns the identity of an open file.
    pub(crate) fn of(file: BorrowedFd<'_>) -> Option<File> {
        // SAFETY: an open file, and room for what the call stores.
        let (told, stat) = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            (libc::fstat(file.as_raw_fd(), &mut stat), stat)
        };
        (told == 0).then_some(File { inode: stat.st_ino })
    }
}

/// How much of a range a file is mapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// All of it, and writable.
    All,
    /// Some of it.
    Some,
    /// Nothing.
    Nothing,
}

/// Says how much of a range a file is mapped in. Where that cannot be found out, "some" is the careful answer.
pub(crate) fn holds(at: u64, bytes: u64, file: File) -> Holds {
    std::fs::read_to_string("/proc/self/maps").map_or(Holds::Some, |maps| holds_in(&maps, at, bytes, file))
}

fn holds_in(maps: &str, at: u64, bytes: u64, file: File) -> Holds {
    let (end, mut held, mut other) = (at + bytes, 0, false);
    for line in maps.lines() {
        // 7f0000000000-7f0000001000 rw-s 00000000 00:01 1234   /memfd:...
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (fields.next(), fields.next()) else { continue };
        let inode = fields.nth(2).and_then(|inode| inode.parse::<u64>().ok());
        let range = range.split_once('-').map(|(a, b)| (u64::from_str_radix(a, 16), u64::from_str_radix(b, 16)));
        let Some((Ok(from), Ok(to))) = range else { continue };
        let (from, to) = (from.max(at), to.min(end));
        if from < to {
            let ours = inode == Some(file.inode) && rights == "rw-s";
            held += if ours { to - from } else { 0 };
            other |= !ours;
        }
    }
    match held {
        0 => Holds::Nothing,
        held if held == bytes && !other => Holds::All,
        _ => Holds::Some,
    }
}

fn pointer(address: u64) -> *mut libc::c_void {
    std::ptr::with_exposed_provenance_mut(address as usize)
}

/// Copies pages into a file of the same size and maps that over them. Returns whether it did; if not, nothing has changed.
pub(crate) fn replace(at: u64, bytes: u64, file: RawFd) -> bool {
    let mut done = 0;
    while done < bytes {
        let (from, left) = (pointer(at + done), (bytes - done) as usize);
        // SAFETY: the kernel reads the pages, and answers EFAULT for those that are not there.
        match unsafe { libc::pwrite(file, from, left, done as libc::off_t) } {
            written if written > 0 => done += written.unsigned_abs() as u64,
            _ => return false,
        }
    }
    let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
    // SAFETY: replaces pages that the program has locked for this purpose by others with the same contents, at the same address. It promised that
    // they are memory of its own, and they were all readable a moment ago.
    let mapped = unsafe { libc::mmap(pointer(at), bytes as usize, rights, flags, file, 0) };
    mapped != libc::MAP_FAILED
}

/// Puts private pages with the same contents in the place of shared ones. Returns whether it did; if not, nothing has changed.
pub(crate) fn make_private(at: u64, bytes: u64) -> bool {
    let length = bytes as usize;
    let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: fresh pages of ours.
    let fresh = unsafe { libc::mmap(std::ptr::null_mut(), length, rights, flags, -1, 0) };
    if fresh == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the shared pages were found mapped, all of them; the fresh ones are as many, and move over them in one step.
    unsafe {
        std::ptr::copy_nonoverlapping(pointer(at).cast::<u8>(), fresh.cast::<u8>(), length);
        let moved = libc::mremap(fresh, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, pointer(at));
        if moved == libc::MAP_FAILED {
            libc::munmap(fresh, length);
        }
        moved != libc::MAP_FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

    const PAGES: u64 = 3 * 4096;

    /// Pages of the program's, and a file of their size.
    fn pages() -> (u64, OwnedFd) {
        // SAFETY: fresh pages, and a fresh file.
        unsafe {
            let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let at = libc::mmap(std::ptr::null_mut(), PAGES as usize, rights, flags, -1, 0);
            assert_ne!(at, libc::MAP_FAILED);
            let file = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
            assert!(file >= 0 && libc::ftruncate(file, PAGES as libc::off_t) == 0);
            (at.expose_provenance() as u64, OwnedFd::from_raw_fd(file))
        }
    }

    fn byte(at: u64) -> &'static std::sync::atomic::AtomicU8 {
        // SAFETY: pages of these tests, never unmapped.
        unsafe { std::sync::atomic::AtomicU8::from_ptr(pointer(at).cast()) }
    }

    #[test]
    fn contents_survive_being_shared_and_made_private() {
        use std::sync::atomic::Ordering::SeqCst;
        let (at, file) = pages();
        let known = File::of(file.as_fd()).unwrap();
        byte(at + 5).store(7, SeqCst);
        assert_eq!(holds(at, PAGES, known), Holds::Nothing);
        assert!(replace(at, PAGES, file.as_raw_fd()));
        assert_eq!((byte(at + 5).load(SeqCst), holds(at, PAGES, known)), (7, Holds::All));
        byte(at + 4100).store(9, SeqCst);
        let mut seen = [0u8];
        // SAFETY: one byte of a file into one of ours.
        assert_eq!(unsafe { libc::pread(file.as_raw_fd(), seen.as_mut_ptr().cast(), 1, 4100) }, 1);
        assert_eq!(seen, [9], "it is the file's byte");
        assert!(make_private(at, PAGES));
        assert_eq!(holds(at, PAGES, known), Holds::Nothing);
        assert_eq!((byte(at + 5).load(SeqCst), byte(at + 4100).load(SeqCst)), (7, 9));
    }

    #[test]
    fn pages_that_are_not_there_are_left_alone() {
        let (_, file) = pages();
        assert!(!replace(1 << 12, PAGES, file.as_raw_fd()));
    }

    #[test]
    fn a_range_that_the_program_has_reused_is_seen() {
        let maps = "7f0000000000-7f0000001000 rw-s 00000000 00:01 77 /memfd:x\n\
                    7f0000001000-7f0000002000 rw-p 00000000 00:00 0 \n\
                    7f0000002000-7f0000003000 rw-s 00002000 00:01 77 /memfd:x\n";
        let file = File { inode: 77 };
        assert_eq!(holds_in(maps, 0x7f00_0000_0000, 4096, file), Holds::All);
        assert_eq!(holds_in(maps, 0x7f00_0000_1000, 4096, file), Holds::Nothing);
        assert_eq!(holds_in(maps, 0x7f00_0000_0000, PAGES, file), Holds::Some);
        assert_eq!(holds_in(maps, 0x7f00_0000_2000, 8192, file), Holds::Some);
        assert_eq!(holds_in(maps, 0x7f00_0000_0000, PAGES, File { inode: 78 }), Holds::Nothing);
    }
}
