//! Memory objects: bytes with a size that nobody can change any more.
//!
//! A [`MemFd`] is an anonymous file whose size is sealed (`F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL`, fcntl(2)). One
//! process creates it and hands the descriptor on; the receiver calls [`MemFd::adopt`], which trusts nothing.
//!
//! Promises:
//! - an object of type `MemFd` has exactly [`MemFd::bytes`] bytes for as long as it lives, in every process. So a mapping of
//!   it can never be cut short under its reader (SIGBUS), and what was charged is what there is;
//! - it lives in ordinary memory (tmpfs): no file system of a stranger is asked for its pages;
//! - it starts as zeroes, and [`MemFd::discard`] makes it zeroes again and gives the pages back, without mapping it.
//!
//! Left to the caller: whoever holds the descriptor may write. A descriptor opened read-only is no protection, because
//! its holder can open `/proc/self/fd/N` again for writing.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use thiserror::Error;

use crate::error::{CallFailed, During};

/// The seals that make the size final.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Why a memory object could not be made, adopted or mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MemoryError {
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// No memory object has zero bytes or more than an address space.
    #[error("a memory object of {bytes} bytes cannot exist; ask for at least 1 byte and at most what fits in memory")]
    ImpossibleSize {
        /// The size asked for.
        bytes: u64,
    },
    /// The descriptor is not a sealable memory object at all.
    #[error("the received descriptor is not a memory object; drop the peer that sent it")]
    NotMemory,
    /// The peer could still change the size.
    #[error("the received memory object can still change its size (seals {seals:#x}); drop the peer that sent it")]
    NotSealed {
        /// The seals that are set (`F_SEAL_*`).
        seals: u32,
    },
    /// The object has not the size that was announced.
    #[error("the received memory object has {found} bytes where {expected} were announced; drop the peer that sent it")]
    WrongSize {
        /// The announced size in bytes.
        expected: u64,
        /// The real size in bytes.
        found: u64,
    },
    /// The place inside the arena is not as large as the object.
    #[error("a memory object of {object} bytes does not fill a place of {place} bytes; allocate a place of its size")]
    WrongPlace {
        /// The size of the object in bytes.
        object: usize,
        /// The size of the place in bytes.
        place: usize,
    },
    /// Something of ours is mapped at the address the object should have.
    #[error("address {address:#x} is taken in this process; ask for another allocation and try again")]
    AddressTaken {
        /// The address asked for.
        address: usize,
    },
}

/// A memory object whose size is final.
#[derive(Debug)]
pub struct MemFd {
    fd: OwnedFd,
    bytes: usize,
}

impl MemFd {
    /// Creates an object of at least `bytes` bytes, rounded up to pages, and seals its size.
    ///
    /// `name` is what `/proc/PID/maps` shows behind `memfd:`; names need not be unique.
    pub fn create(name: &str, bytes: usize) -> Result<Self, MemoryError> {
        let impossible = MemoryError::ImpossibleSize { bytes: bytes as u64 };
        let bytes = crate::round_up_to_page(bytes).filter(|&b| b > 0 && b <= isize::MAX as usize).ok_or(impossible)?;
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Never executable, where the kernel (6.3) can promise it; older ones answer EINVAL.
        let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
            .or_else(|errno| match errno {
                Errno::INVAL => rustix::fs::memfd_create(name, flags),
                other => Err(other),
            })
            .during("memfd_create", "create a memory object")?;
        rustix::fs::ftruncate(&fd, bytes as u64).during("ftruncate", "give a memory object its size")?;
        // Who is given a descriptor that only reads shall not get another one through /proc. Users other than ours cannot, then.
        rustix::fs::fchmod(&fd, Mode::RUSR).during("fchmod", "keep a memory object to who is given it")?;
        rustix::fs::fcntl_add_seals(&fd, SIZE_SEALS).during("fcntl(F_ADD_SEALS)", "seal a memory object")?;
        Ok(Self { fd, bytes })
    }

    /// Returns whether this object was created by this name, which nobody can change afterwards; not where /proc cannot be read.
    pub fn is_named(&self, name: &str) -> bool {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        link.is_ok_and(|link| link.as_os_str().to_str() == Some(&format!("/memfd:{name} (deleted)")))
    }

    /// Accepts a descriptor from somebody else if it is a sealed memory object of exactly `expected` bytes.
    ///
    /// The descriptor is closed on error. Afterwards the object keeps the promises of this module whatever its sender does.
    pub fn adopt(fd: OwnedFd, expected: usize) -> Result<Self, MemoryError> {
        // Every file system that supports seals answers this; a hung or foreign one is not asked anything else.
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|errno| match errno {
            Errno::INVAL | Errno::BADF => MemoryError::NotMemory,
            errno => {
                CallFailed { purpose: "read the seals of a memory object", call: "fcntl(F_GET_SEALS)", errno }.into()
            }
        })?;
        if !seals.contains(SIZE_SEALS) {
            return Err(MemoryError::NotSealed { seals: seals.bits() });
        }
        // Huge-page objects carry seals too, but running out of huge pages kills the reader.
        let file_system = rustix::fs::fstatfs(&fd).during("fstatfs", "look at a received memory object")?;
        if file_system.f_type.cast_unsigned() != TMPFS_MAGIC {
            return Err(MemoryError::NotMemory);
        }
        let found = rustix::fs::fstat(&fd).during("fstat", "look at a received memory object")?.st_size.cast_unsigned();
        if found != expected as u64 {
            return Err(MemoryError::WrongSize { expected: expected as u64, found });
        }
        if expected == 0 || !expected.is_multiple_of(crate::page_size()) || expected > isize::MAX as usize {
            return Err(MemoryError::ImpossibleSize { bytes: found });
        }
        Ok(Self { fd, bytes: expected })
    }

    /// Returns the size in bytes: a positive multiple of the page size that never changes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns another descriptor of the same object.
    pub fn duplicate(&self) -> Result<Self, MemoryError> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0).during("fcntl", "duplicate a memory object")?;
        Ok(Self { fd, bytes: self.bytes })
    }

    /// Returns another descriptor of the same object, by which it can be read and mapped, and never written to.
    pub fn read_only(&self) -> Result<Self, MemoryError> {
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .during("open", "get a descriptor of a memory object that only reads")?;
        Ok(Self { fd, bytes: self.bytes })
    }

    /// Whether this descriptor may write to the object.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        rustix::fs::fcntl_getfl(&self.fd).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR)
    }

    /// Makes the whole object zeroes and gives its pages back; mappings stay and read zeroes.
    ///
    /// This scrubs without mapping, so a process that must not look at the bytes can do it.
    pub fn discard(&self) -> Result<(), MemoryError> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.fd, flags, 0, self.bytes as u64)
            .during("fallocate", "discard a memory object")?)
    }

    /// Returns how many bytes of the object have pages behind them at the moment.
    pub fn resident_bytes(&self) -> Result<u64, MemoryError> {
        let stat = rustix::fs::fstat(&self.fd).during("fstat", "look at a memory object")?;
        // st_blocks counts 512-byte units whatever the page size (stat(2)).
        Ok(stat.st_blocks.cast_unsigned() * 512)
    }

    /// Gives up the object and returns its descriptor.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for MemFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsealed(bytes: u64) -> OwnedFd {
        let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, bytes).unwrap();
        fd
    }

    #[test]
    fn a_name_stays_with_its_object() {
        let memory = MemFd::create("wavegate-7", 4096).unwrap();
        let same = MemFd::adopt(memory.duplicate().unwrap().into_fd(), 4096).unwrap();
        assert!(memory.is_named("wavegate-7") && same.is_named("wavegate-7"));
        assert!(!memory.is_named("wavegate-77") && !memory.is_named("wavegate-"));
    }

    #[test]
    fn size_is_final() {
        let memory = MemFd::create("test", 5000).unwrap();
        assert_eq!(memory.bytes(), 2 * crate::page_size());
        for bytes in [0, 4096, 1 << 20] {
            assert_eq!(rustix::fs::ftruncate(&memory, bytes), Err(Errno::PERM));
        }
        assert_eq!(rustix::fs::fcntl_add_seals(&memory, SealFlags::WRITE), Err(Errno::PERM));
    }

    #[test]
    fn a_descriptor_that_only_reads_cannot_be_made_to_write() {
        use crate::mapping::{Access, Mapping};
        let memory = MemFd::create("test", 4096).unwrap();
        let reader = memory.read_only().unwrap();
        assert_eq!((memory.is_writable(), reader.is_writable()), (true, false));
        let reader = MemFd::adopt(reader.into_fd(), 4096).unwrap();
        assert!(Mapping::new(&reader, Access::ReadWrite).is_err());
        let (writes, reads) =
            (Mapping::new(&memory, Access::ReadWrite).unwrap(), Mapping::new(&reader, Access::ReadOnly).unwrap());
        writes.store_u32(8, 7).unwrap();
        assert_eq!(reads.load_u32(8), Ok(7));
        assert!(reads.store_u32(8, 1).is_err());
        let mode = rustix::fs::fstat(&reader).unwrap().st_mode & 0o777;
        assert_eq!(mode, 0o400, "nobody but its maker's user may open it anew");
        assert!(reader.duplicate().unwrap().discard().is_err());
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for bytes in [0, usize::MAX, usize::MAX - 4096, isize::MAX as usize + 1] {
            assert!(matches!(MemFd::create("test", bytes), Err(MemoryError::ImpossibleSize { .. })), "{bytes}");
        }
    }

    #[test]
    fn a_received_object_is_checked_before_use() {
        let good = MemFd::create("test", 8192).unwrap();
        assert_eq!(MemFd::adopt(good.duplicate().unwrap().into_fd(), 8192).unwrap().bytes(), 8192);

        let wrong_size = MemFd::adopt(good.duplicate().unwrap().into_fd(), 4096).unwrap_err();
        assert_eq!(wrong_size, MemoryError::WrongSize { expected: 4096, found: 8192 });

        // Sealed and as announced, but no whole number of pages: a mapping would be longer than the object.
        let odd = unsealed(5000);
        rustix::fs::fcntl_add_seals(&odd, SIZE_SEALS).unwrap();
        assert_eq!(MemFd::adopt(odd, 5000).unwrap_err(), MemoryError::ImpossibleSize { bytes: 5000 });

        for missing in [SealFlags::SHRINK, SealFlags::GROW, SealFlags::SEAL] {
            let fd = unsealed(8192);
            rustix::fs::fcntl_add_seals(&fd, SIZE_SEALS.difference(missing)).unwrap();
            assert!(matches!(MemFd::adopt(fd, 8192), Err(MemoryError::NotSealed { .. })), "{missing:?}");
        }
    }

    #[test]
    fn other_kinds_of_descriptors_are_not_memory() {
        let (socket, _other) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let file: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
        let path_only = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        for fd in [socket, file, path_only] {
            assert_eq!(MemFd::adopt(fd, 4096).unwrap_err(), MemoryError::NotMemory);
        }
    }

    #[test]
    fn discard_gives_the_pages_back() {
        let memory = MemFd::create("test", 16 * 4096).unwrap();
        rustix::io::pwrite(&memory, &[7; 8192], 4096).unwrap();
        assert!(memory.resident_bytes().unwrap() >= 8192);
        memory.discard().unwrap();
        assert_eq!(memory.resident_bytes().unwrap(), 0);
        let mut byte = [1];
        rustix::io::pread(&memory, &mut byte, 4096).unwrap();
        assert_eq!(byte, [0]);
    }
}
