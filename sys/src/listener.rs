//! A socket with a path: at most one owner, a leftover of a dead owner is replaced, and only chosen users may connect.
//!
//! Promises:
//! - while one process listens at a path, another attempt is refused with [`ListenError::InUse`] and changes nothing, also when two
//!   start at the same moment: a lock on `PATH.lock` decides, and the kernel gives it up when its owner dies;
//! - a socket file whose owner died is replaced; a file that is no socket is never touched;
//! - nobody can connect before the file has its final group and mode;
//! - dropping the listener removes both files.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

use crate::error::{CallFailed, During};
use crate::socket::{Channel, seqpacket};

/// At most this many connections wait to be accepted; the kernel may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 128;

/// The longest path a Unix socket can have, in bytes (unix(7): 108 with the final zero).
pub const PATH_MAX: usize = 107;

/// Why we cannot listen at a path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListenError {
    /// Somebody listens there already.
    #[error("{} is served by another process; stop it, or choose another path", .path.display())]
    InUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// A file, directory or the like is in the way.
    #[error("{} exists and is no socket; remove it, or choose another path", .path.display())]
    NotASocket {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The path does not fit a socket address.
    #[error("{} is longer than the {PATH_MAX} bytes a socket's path may have; choose a shorter one", .path.display())]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{}: {cause}", .path.display())]
    Call {
        /// The path concerned.
        path: PathBuf,
        /// What failed and why.
        cause: CallFailed,
    },
}

/// Who may connect, by the owner, group and mode of the socket file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// File mode bits, for example 0o660. Connecting needs the right to write.
    pub mode: u32,
    /// The group the file gets, or `None` to leave our own.
    pub gid: Option<u32>,
}

/// A socket that others connect to by its path.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the socket file we made, so that we never remove somebody else's.
    identity: (u64, u64),
    lock: PathLock,
}

impl Listener {
    /// Listens at `path`. The listener does not block.
    pub fn bind(path: &Path, permissions: Permissions) -> Result<Self, ListenError> {
        Self::bind_socket(path, permissions, seqpacket)
    }

    fn bind_socket(
        path: &Path,
        permissions: Permissions,
        create: fn() -> Result<OwnedFd, CallFailed>,
    ) -> Result<Self, ListenError> {
        let failed = |cause| ListenError::Call { path: path.to_owned(), cause };
        if path.as_os_str().len() > PATH_MAX {
            return Err(ListenError::PathTooLong { path: path.to_owned() });
        }
        let lock = PathLock::take(path)?;
        match std::fs::symlink_metadata(path) {
            // We hold the lock, so whoever made this socket is gone.
            Ok(old) if old.file_type().is_socket() => {
                rustix::fs::unlink(path).during("unlink", "remove a socket left over").map_err(failed)?;
            }
            Ok(_) => return Err(ListenError::NotASocket { path: path.to_owned() }),
            Err(_) => {} // Nothing there, or nothing we may see: bind says which.
        }
        let socket = create().map_err(failed)?;
        let address = SocketAddrUnix::new(path).during("bind", "use a path as the name of a socket").map_err(failed)?;
        rustix::net::bind(&socket, &address).during("bind", "create a socket file").map_err(failed)?;
        let made = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
            .during("fstatat", "look at our socket file")
            .map_err(failed)?;
        let listener = Self { socket, path: path.to_owned(), identity: (made.st_dev, made.st_ino), lock };
        // Until listen() below, every attempt to connect is refused, whatever the mode of the file.
        if let Some(gid) = permissions.gid {
            rustix::fs::chownat(CWD, path, None, Some(Gid::from_raw(gid)), AtFlags::SYMLINK_NOFOLLOW)
                .during("fchownat", "give the socket file its group")
                .map_err(failed)?;
        }
        rustix::fs::chmod(path, Mode::from_raw_mode(permissions.mode))
            .during("chmod", "give the socket file its mode")
            .map_err(failed)?;
        rustix::net::listen(&listener.socket, BACKLOG).during("listen", "listen").map_err(failed)?;
        rustix::io::ioctl_fionbio(&listener.socket, true)
            .during("ioctl(FIONBIO)", "make the listener not wait")
            .map_err(failed)?;
        Ok(listener)
    }

    /// Takes the next connection, or `None` if there is none at the moment. The channel blocks until told otherwise.
    pub fn accept(&self) -> Result<Option<Channel>, CallFailed> {
        Ok(self.accept_socket()?.map(Channel::from_fd))
    }

    fn accept_socket(&self) -> Result<Option<OwnedFd>, CallFailed> {
        match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(socket) => Ok(Some(socket)),
            // A connection may be gone before we take it.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(errno) => Err(CallFailed { purpose: "accept a connection", call: "accept4", errno }),
        }
    }

    /// Returns the path others connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours {
            // Best effort: if it stays, the next owner replaces it.
            let _ = rustix::fs::unlink(&self.path);
        }
        self.lock.remove();
    }
}

/// A [`Listener`] for streams of bytes (SOCK_STREAM), as people and scripts like them. Keeps the same promises.
#[derive(Debug)]
pub struct StreamListener(Listener);

impl StreamListener {
    /// Listens at `path`. The listener does not block.
    pub fn bind(path: &Path, permissions: Permissions) -> Result<Self, ListenError> {
        let create = || {
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .during("socket", "create a socket")
        };
        Listener::bind_socket(path, permissions, create).map(Self)
    }

    /// Takes the next connection, or `None` if there is none at the moment. The stream blocks until told otherwise.
    pub fn accept(&self) -> Result<Option<UnixStream>, CallFailed> {
        Ok(self.0.accept_socket()?.map(UnixStream::from))
    }

    /// Returns the path others connect to.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl AsFd for StreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The right to a path: an exclusive lock on the file beside it.
#[derive(Debug)]
struct PathLock {
    path: PathBuf,
    /// Holds the lock until closed.
    _file: OwnedFd,
}

impl PathLock {
    fn take(socket: &Path) -> Result<Self, ListenError> {
        let mut name = OsString::from(socket);
        name.push(".lock");
        let path = PathBuf::from(name);
        let failed = |cause| ListenError::Call { path: path.clone(), cause };
        loop {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
                .during("open", "create the lock beside the socket")
                .map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Err(ListenError::InUse { path: socket.to_owned() }),
                Err(errno) => return Err(failed(CallFailed { purpose: "lock a path", call: "flock", errno })),
            }
            // Its owner may have removed the file between our open and our lock; then this lock guards nothing.
            let locked = rustix::fs::fstat(&file).during("fstat", "look at the lock").map_err(failed)?;
            if std::fs::symlink_metadata(&path).is_ok_and(|m| (m.dev(), m.ino()) == (locked.st_dev, locked.st_ino)) {
                return Ok(Self { path, _file: file });
            }
        }
    }

    /// Removes the file while still holding the lock.
    fn remove(&self) {
        let _ = rustix::fs::unlink(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::socket::ReceiveError;

    const OWNER_ONLY: Permissions = Permissions { mode: 0o600, gid: None };

    /// A directory of its own for each test, removed at the end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("wg-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("socket")
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn others_connect_by_path_and_nothing_is_left_behind() {
        let directory = Directory::new("connect");
        let path = directory.socket();
        let listener = Listener::bind(&path, Permissions { mode: 0o660, gid: None }).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(listener.accept().unwrap().is_none());
        let client = Channel::connect(&path).unwrap();
        let server = listener.accept().unwrap().unwrap();
        client.send(b"hello", &[]).unwrap();
        assert_eq!(server.receive(&mut [0; 8], 0).unwrap().len, 5);
        drop(server);
        assert_eq!(client.receive(&mut [0; 8], 0).unwrap_err(), ReceiveError::Closed);
        drop(listener);
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
        assert_eq!(Channel::connect(&path).unwrap_err().errno, Errno::NOENT);
    }

    #[test]
    fn streams_connect_by_path_too() {
        use std::io::{Read, Write};

        let directory = Directory::new("stream");
        let path = directory.socket();
        let listener = StreamListener::bind(&path, OWNER_ONLY).unwrap();
        assert!(listener.accept().unwrap().is_none());
        assert!(matches!(StreamListener::bind(&path, OWNER_ONLY), Err(ListenError::InUse { .. })));
        let mut client = UnixStream::connect(&path).unwrap();
        let mut server = listener.accept().unwrap().unwrap();
        client.write_all(b"hel").unwrap();
        client.write_all(b"lo").unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!((&bytes, listener.path()), (b"hello", path.as_path()));
        drop(listener);
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn one_owner_at_a_time() {
        let directory = Directory::new("owner");
        let path = directory.socket();
        let first = Listener::bind(&path, OWNER_ONLY).unwrap();
        assert_eq!(Listener::bind(&path, OWNER_ONLY).unwrap_err(), ListenError::InUse { path: path.clone() });
        Channel::connect(&path).unwrap();
        drop(first);
        Listener::bind(&path, OWNER_ONLY).unwrap();
    }

    #[test]
    fn of_many_who_start_together_one_wins_each_time() {
        let directory = Directory::new("race");
        let path = directory.socket();
        let served = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        match Listener::bind(&path, OWNER_ONLY) {
                            Ok(_listener) => {
                                let now = served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                                assert_eq!(now, 0, "two owners at once");
                                served.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                            }
                            Err(error) => assert!(matches!(error, ListenError::InUse { .. }), "{error}"),
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn what_a_dead_owner_left_is_replaced_and_other_files_are_not() {
        let directory = Directory::new("stale");
        let path = directory.socket();
        // A socket file without a listener is what kill -9 leaves.
        let dead = seqpacket().unwrap();
        rustix::net::bind(&dead, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        drop(dead);
        assert_eq!(Channel::connect(&path).unwrap_err().errno, Errno::CONNREFUSED);
        drop(Listener::bind(&path, OWNER_ONLY).unwrap());

        std::fs::write(&path, b"precious").unwrap();
        assert_eq!(Listener::bind(&path, OWNER_ONLY).unwrap_err(), ListenError::NotASocket { path: path.clone() });
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn impossible_paths_are_named() {
        let long = PathBuf::from(format!("/tmp/{}", "x".repeat(PATH_MAX)));
        assert_eq!(Listener::bind(&long, OWNER_ONLY).unwrap_err(), ListenError::PathTooLong { path: long });
        let missing = Path::new("/nonexistent-directory/socket");
        let text = Listener::bind(missing, OWNER_ONLY).unwrap_err().to_string();
        assert!(text.starts_with("/nonexistent-directory/socket.lock: cannot create the lock"), "{text}");
    }
}
