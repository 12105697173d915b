//! A view of the file system that only this process and its children have.
//!
//! Promises:
//! - nothing outside changes: what is covered here is covered for this process and what it starts, and gone with them;
//! - an ordinary user gets there through a user namespace in which it is itself and nobody else;
//! - what a directory held stays reachable under the same names after [`Directory::cover`].
//!
//! For a process with one thread, before it runs a program: the kernel refuses a user namespace to a process with more.

use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{CallFailed, cvt};

/// Why there is no private view, or not the one wanted.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The kernel refused.
    #[error("{} may not be changed for this program: {source}", .path.display())]
    Call {
        /// Which place.
        path: PathBuf,
        /// What the kernel said.
        source: CallFailed,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A path with a zero byte.
    #[error("a path contains a zero byte; remove it")]
    ZeroByte,
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> ViewError + '_ {
    |source| ViewError::File { path: path.to_owned(), source }
}

fn c_path(path: &Path) -> Result<CString, ViewError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| ViewError::ZeroByte)
}

/// Moves this process to a view of its own, which begins as a copy of everybody's.
pub fn enter() -> Result<(), ViewError> {
    let everywhere = Path::new("/");
    let refused = |purpose, call| {
        move |errno| ViewError::Call { path: everywhere.to_owned(), source: CallFailed { purpose, call, errno } }
    };
    // SAFETY: asks for numbers.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let own_users = if user == 0 { 0 } else { libc::CLONE_NEWUSER };
    // SAFETY: concerns this process only; descriptors and memory stay as they are.
    cvt(unsafe { libc::unshare(libc::CLONE_NEWNS | own_users) }.into())
        .map_err(refused("give a program a view of its own", "unshare"))?;
    if own_users != 0 {
        for (file, text) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{user} {user} 1")),
            ("/proc/self/gid_map", format!("{group} {group} 1")),
        ] {
            fs::write(file, text).map_err(file_error(Path::new(file)))?;
        }
    }
    mount(None, everywhere, None, libc::MS_REC | libc::MS_SLAVE)
}

/// Shows the file `source` at `place`, which is a file too.
pub fn bind(source: &Path, place: &Path) -> Result<(), ViewError> {
    mount(Some(source), place, None, libc::MS_BIND)
}

/// A directory that is about to be covered.
pub struct Directory {
    path: PathBuf,
    /// What was there before, reachable even when it is covered.
    old: OwnedFd,
}

impl Directory {
    /// Covers a directory with an empty one in memory that shows what was there, so that names can be added.
    pub fn cover(path: &Path) -> Result<Directory, ViewError> {
        let old = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path);
        let covered = Directory { path: path.to_owned(), old: old.map_err(file_error(path))?.into() };
        let names = fs::read_dir(path).map_err(file_error(path))?;
        let names: Vec<_> = names.filter_map(Result::ok).collect();
        mount(Some(Path::new("tmpfs")), path, Some(c"tmpfs"), libc::MS_NOSUID)?;
        for name in names {
            // What cannot be shown (gone by now, or a mount we may not copy) is not there; the program would rather have the rest.
            let _ = covered.show(&name.file_name());
        }
        Ok(covered)
    }

    /// Shows what was there under a name.
    fn show(&self, name: &OsStr) -> Result<(), ViewError> {
        let old = Path::new("/proc/self/fd").join(self.old.as_raw_fd().to_string()).join(name);
        let new = self.path.join(name);
        let kind = fs::symlink_metadata(&old).map_err(file_error(&old))?.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&old).map_err(file_error(&old))?;
            return std::os::unix::fs::symlink(target, &new).map_err(file_error(&new));
        }
        if kind.is_dir() {
            fs::create_dir(&new).map_err(file_error(&new))?;
            return mount(Some(&old), &new, None, libc::MS_BIND | libc::MS_REC);
        }
        fs::write(&new, "").map_err(file_error(&new))?;
        bind(&old, &new)
    }

    /// Adds a file, with the directories it lies in.
    pub fn add(&self, name: &str, contents: &str, mode: u32) -> Result<PathBuf, ViewError> {
        use std::io::Write as _;
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(file_error(parent))?;
        }
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        opened.and_then(|mut file| file.write_all(contents.as_bytes())).map_err(file_error(&path))?;
        Ok(path)
    }
}

fn mount(source: Option<&Path>, place: &Path, kind: Option<&CStr>, flags: libc::c_ulong) -> Result<(), ViewError> {
    let (source, target) = (source.map(c_path).transpose()?, c_path(place)?);
    let text = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    let (from, kind) = (text(source.as_deref()), text(kind));
    // SAFETY: texts that end, alive for the call; what it changes is this process's own view, which `enter` made.
    cvt(unsafe { libc::mount(from, target.as_ptr(), kind, flags, std::ptr::null()) }.into()).map_err(|errno| {
        let source = CallFailed { purpose: "change what a program sees", call: "mount", errno };
        ViewError::Call { path: place.to_owned(), source }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount namespace belongs to a thread, so one that ends is the program here. An ordinary user would need a process of its own.
    #[test]
    fn what_is_covered_is_covered_for_us_alone_and_keeps_its_names() {
        let folder = std::env::temp_dir().join(format!("sys-namespace-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::write(folder.join("file"), "old").unwrap();
        fs::write(folder.join("inner/deep"), "deep").unwrap();
        std::os::unix::fs::symlink("file", folder.join("link")).unwrap();
        let inside = folder.clone();
        let seen = std::thread::spawn(move || -> Result<_, ViewError> {
            enter()?;
            let covered = Directory::cover(&inside)?;
            let added = covered.add("new/file", "new", 0o644)?;
            bind(&added, &inside.join("file"))?;
            let read = |name: &str| fs::read_to_string(inside.join(name)).unwrap_or_default();
            Ok([read("file"), read("link"), read("inner/deep"), read("new/file")])
        });
        match seen.join().unwrap() {
            Ok(texts) => assert_eq!(texts, ["new", "new", "deep", "new"]),
            // Not root, or in a container that forbids it: then it is an error that says so.
            Err(error) => assert!(error.to_string().contains("may not be changed"), "{error}"),
        }
        assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "old");
        assert!(!folder.join("new").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
