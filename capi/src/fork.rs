//! Tells a process from its forked children, for every call that a program makes.
//!
//! Promise: one load, where asking for the process number costs a system call: glibc has kept no copy of it since 2.25, and a launch from HIP is ten calls.
//! A child sees zeroes where its parent has a mark, because the kernel wipes the page (`MADV_WIPEONFORK`, Linux 4.14). Where it does not, the number is
//! asked for.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::memory::PAGE;

/// The process that made it.
pub(crate) struct Mark {
    /// The first word of a page of its own.
    word: Option<NonNull<AtomicU32>>,
    pid: u32,
}

// SAFETY: the word is an atomic in a page that stays until the mark is dropped.
unsafe impl Send for Mark {}
// SAFETY: as above.
unsafe impl Sync for Mark {}

impl Mark {
    /// Marks this process.
    pub(crate) fn new() -> Mark {
        Mark { word: wiped_page(), pid: std::process::id() }
    }

    /// Whether this is the process that made the mark.
    pub(crate) fn holds(&self) -> bool {
        match self.word {
            // SAFETY: mapped until the mark is dropped, and only ever seen as an atomic.
            Some(word) => unsafe { word.as_ref() }.load(Ordering::Relaxed) != 0,
            None => self.pid == std::process::id(),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(word) = self.word {
            // SAFETY: mapped by `wiped_page` with this size, and nobody else's.
            unsafe { libc::munmap(word.as_ptr().cast(), PAGE) };
        }
    }
}

/// Returns a word that is not zero here, and zero in children.
fn wiped_page() -> Option<NonNull<AtomicU32>> {
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new page where the kernel sees fit.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page that was just mapped.
    if unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nothing points there.
        unsafe { libc::munmap(page, PAGE) };
        return None;
    }
    let word = NonNull::new(page.cast::<AtomicU32>())?;
    // SAFETY: the start of the page is aligned, and zero is a value.
    unsafe { word.as_ref() }.store(1, Ordering::Relaxed);
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_another_process() {
        let marks = [Mark::new(), Mark { word: None, pid: std::process::id() }];
        assert!(marks[0].word.is_some() && marks.iter().all(Mark::holds));
        // SAFETY: the child looks at memory and ends, without anything that another thread may hold.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let others = marks.iter().any(Mark::holds);
            // SAFETY: ends the child here.
            unsafe { libc::_exit(i32::from(others)) };
        }
        let mut status = 1;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "neither holds in the child");
        assert!(marks.iter().all(Mark::holds), "and both hold here still");
    }
}
