//! Device memory in more than one process: by a handle of eight words, or by a descriptor.
//!
//! Memory is its process's own until it is first given away; then its bytes move into a memory object behind the same addresses. The caller sees to it
//! that no queue and no copy engine runs meanwhile; programs do not reach device memory by themselves (`topology`). Who has the memory keeps it,
//! whoever gives it back first.

use std::collections::btree_map::Entry;
use std::fs::File;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::{Books, Held, Kind, PAGE, Space, pages_of};
use crate::abi::{GPU_NODE, Status};

/// `HsaSharedMemoryHandle`: process, descriptor, and two by two the object's number and its bytes. ROCr keeps a fragment's place in the seventh word.
pub(crate) type Handle = [u32; 8];

impl Space {
    /// Returns what another process can have an allocation by; the whole of it only.
    pub(crate) fn share(&self, address: u64, bytes: u64) -> Result<Handle, Status> {
        let mut books = self.books();
        let held = *books.held.get(&address).ok_or(Status::InvalidParameter)?;
        if held.bytes != bytes {
            return Err(Status::InvalidParameter);
        }
        let object = object(&mut books, &held)?;
        let number = object.metadata().map_err(|_| Status::Error)?.ino();
        let halves = |word: u64| [word as u32, (word >> 32) as u32];
        let ([number_low, number_high], [low, high]) = (halves(number), halves(bytes));
        let descriptor = object.as_raw_fd().cast_unsigned();
        Ok([std::process::id(), descriptor, number_low, number_high, low, high, 0, 0])
    }

    /// Returns a descriptor of an allocation, the caller's to close, and how far into it `address` is.
    pub(crate) fn descriptor(&self, address: u64, bytes: u64) -> Result<(OwnedFd, u64), Status> {
        let mut books = self.books();
        let held = *super::held_at(&mut books, address).ok_or(Status::InvalidParameter)?;
        let offset = address.checked_sub(held.host).ok_or(Status::InvalidParameter)?;
        if bytes > held.bytes - offset {
            return Err(Status::InvalidParameter);
        }
        let object = object(&mut books, &held)?;
        Ok((object.try_clone().map_err(|_| Status::OutOfResources)?.into(), offset))
    }

    /// Takes memory in that another process, or this one, has shared; returns its address here and its bytes.
    pub(crate) fn attach(&self, handle: &Handle) -> Result<(u64, u64), Status> {
        let [process, descriptor, number_low, number_high, low, high, ..] = *handle;
        let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let file = File::options().read(true).write(true).open(format!("/proc/{process}/fd/{descriptor}"));
        let file = file.map_err(|_| Status::InvalidHandle)?;
        // The descriptor may be another file's by now.
        let known = file.metadata().map_err(|_| Status::InvalidHandle)?;
        if known.ino() != word(number_low, number_high) || known.len() != word(low, high) {
            return Err(Status::InvalidHandle);
        }
        self.take_in(&file)
    }

    /// The same by a descriptor of [`Space::descriptor`].
    pub(crate) fn attach_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<(u64, u64), Status> {
        let file = descriptor.try_clone_to_owned().map_err(|_| Status::InvalidHandle)?;
        self.take_in(&File::from(file))
    }

    fn take_in(&self, file: &File) -> Result<(u64, u64), Status> {
        let bytes = file.metadata().map_err(|_| Status::InvalidHandle)?.len();
        if bytes == 0 || !bytes.is_multiple_of(PAGE) {
            return Err(Status::InvalidHandle);
        }
        let host = pages_of(file, bytes, None).ok_or(Status::NoMemory)?;
        let held = Held {
            kind: Kind::Imported,
            node: GPU_NODE,
            flags: 0,
            host,
            gpu: host,
            bytes,
            user_data: 0,
            references: 1,
            mapped: false,
        };
        self.books().held.insert(host, held);
        Ok((host, bytes))
    }
}

/// Returns the memory object behind an allocation of device memory; makes it if this is the first time.
fn object<'a>(books: &'a mut Books, held: &Held) -> Result<&'a File, Status> {
    if held.kind != Kind::Allocated || held.node != GPU_NODE {
        return Err(Status::NotSupported);
    }
    match books.objects.entry(held.host) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let file = create(held.bytes).ok_or(Status::OutOfResources)?;
            let mut piece = vec![0; 1 << 16];
            let mut done = 0;
            while done < held.bytes {
                let len = (held.bytes - done).min(piece.len() as u64) as usize;
                let from = std::ptr::with_exposed_provenance::<u8>((held.host + done) as usize);
                // SAFETY: `len` bytes of an allocation that the books hold.
                unsafe { super::copy_in(from, &mut piece[..len]) };
                file.write_all_at(&piece[..len], done).map_err(|_| Status::NoMemory)?;
                done += len as u64;
            }
            pages_of(&file, held.bytes, Some(held.host)).ok_or(Status::NoMemory)?;
            Ok(entry.insert(file))
        }
    }
}

/// Returns a new memory object.
fn create(bytes: u64) -> Option<File> {
    // SAFETY: the name is a C string; the call takes nothing else by address.
    let descriptor = unsafe { libc::memfd_create(c"softkmt".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: a descriptor that was just made and that nobody else knows.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    file.set_len(bytes).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use gcn::memory::Memory as _;

    fn world() -> (Space, u64) {
        let space = Space::new(1 << 20);
        let at = space.allocate(GPU_NODE, 2 * PAGE, 0, 0).unwrap();
        space.map(at, 2 * PAGE).unwrap();
        space.write(at + PAGE, b"before").unwrap();
        (space, at)
    }

    fn read(space: &Space, at: u64) -> [u8; 6] {
        let mut out = [0; 6];
        space.read(at, &mut out).unwrap();
        out
    }

    #[test]
    fn shared_memory_is_one_at_both_ends_and_outlives_its_first_owner() {
        let ((space, at), other) = (world(), Space::new(1 << 20));
        let handle = space.share(at, 2 * PAGE).unwrap();
        assert_eq!(read(&space, at + PAGE), *b"before", "sharing changes nothing");
        let (there, bytes) = other.attach(&handle).unwrap();
        other.map(there, bytes).unwrap();
        assert_eq!((bytes, read(&other, there + PAGE)), (2 * PAGE, *b"before"));
        other.write(there + PAGE, b"behind").unwrap();
        assert_eq!(read(&space, at + PAGE), *b"behind");
        assert_eq!(space.share(at, 2 * PAGE).unwrap(), handle);
        space.free(at, 2 * PAGE).unwrap();
        assert_eq!(read(&other, there + PAGE), *b"behind");
        assert_eq!(other.attach(&handle), Err(Status::InvalidHandle), "nobody gives it any more");
        assert_eq!(other.free(there, bytes), Err(Status::InvalidParameter), "it was not allocated here");
        other.deregister(there).unwrap();
        assert!(other.query(there).is_none());
        assert_eq!(other.available(), 1 << 20);
    }

    #[test]
    fn a_descriptor_stands_for_the_whole_and_says_how_far_in() {
        let ((space, at), other) = (world(), Space::new(1 << 20));
        let (descriptor, offset) = space.descriptor(at + PAGE, 6).unwrap();
        assert_eq!(offset, PAGE);
        let (there, bytes) = other.attach_descriptor(descriptor.as_fd()).unwrap();
        other.map(there, bytes).unwrap();
        assert_eq!(read(&other, there + offset), *b"before");
    }

    #[test]
    fn parts_host_memory_and_wrong_handles_are_refused() {
        let (space, at) = world();
        assert_eq!(space.share(at, PAGE), Err(Status::InvalidParameter));
        assert_eq!(space.share(at + PAGE, PAGE), Err(Status::InvalidParameter));
        assert_eq!(space.descriptor(at + PAGE, 2 * PAGE).err(), Some(Status::InvalidParameter));
        let host = space.allocate(crate::abi::CPU_NODE, PAGE, 0, 0).unwrap();
        assert_eq!(space.share(host, PAGE), Err(Status::NotSupported));
        let mut handle = space.share(at, 2 * PAGE).unwrap();
        handle[2] ^= 1;
        assert_eq!(space.attach(&handle), Err(Status::InvalidHandle));
        assert_eq!(space.attach(&[0; 8]), Err(Status::InvalidHandle));
    }
}
