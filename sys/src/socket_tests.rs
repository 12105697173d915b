use super::*;
use crate::memfd::MemFd;

fn pair() -> (Channel, Channel) {
    Channel::pair().unwrap()
}

/// A pipe whose read end shows, by end of file, when every copy of the write end is closed.
struct Witness {
    read: OwnedFd,
    write: Option<OwnedFd>,
}

impl Witness {
    fn new() -> Self {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors, which nobody else owns afterwards.
        let (read, write) = unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK), 0);
            use std::os::fd::FromRawFd;
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        Self { read, write: Some(write) }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.write.as_ref().unwrap().as_fd()
    }

    fn assert_all_copies_closed(mut self) {
        self.write = None;
        // Children that other tests are just starting hold copies of everything until their program runs, so give it time.
        let end = crate::clock::now_ns() + 5_000_000_000;
        while rustix::io::read(&self.read, &mut [0]) != Ok(0) {
            assert!(crate::clock::now_ns() < end, "a received descriptor is still open");
            std::thread::yield_now();
        }
    }
}

#[test]
fn messages_keep_their_borders_and_descriptors() {
    let (one, other) = pair();
    let memory = MemFd::create("test", 4096).unwrap();
    one.send(b"first", &[]).unwrap();
    one.send(b"second", &[memory.as_fd(), one.as_fd()]).unwrap();
    let mut bytes = [0; 64];
    let first = other.receive(&mut bytes, 0).unwrap();
    assert_eq!((&bytes[..first.len], first.fds.len()), (&b"first"[..], 0));
    let second = other.receive(&mut bytes, 2).unwrap();
    assert_eq!((&bytes[..second.len], second.fds.len()), (&b"second"[..], 2));
    for fd in &second.fds {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    let received = second.fds.into_iter().next().unwrap();
    assert_eq!(MemFd::adopt(received, 4096).unwrap().bytes(), 4096);
}

#[test]
fn too_many_descriptors_are_closed_and_refused() {
    let (one, other) = pair();
    for (sent, taken) in [(1, 0), (2, 1), (FDS_MAX, FDS_MAX - 1), (3, 0)] {
        let witness = Witness::new();
        one.send(b"x", &vec![witness.fd(); sent]).unwrap();
        assert_eq!(other.receive(&mut [0; 8], taken).unwrap_err(), ReceiveError::TooManyFds { limit: taken });
        witness.assert_all_copies_closed();
    }
    let all = vec![one.as_fd(); FDS_MAX + 1];
    assert_eq!(one.send(b"x", &all), Err(SendError::TooManyFds { fds: FDS_MAX + 1 }));
}

/// Sends descriptors in as many control messages as asked, as a peer that does not use this crate may.
fn send_raw(channel: &Channel, fd: BorrowedFd<'_>, arrays: &[usize]) {
    let mut space = vec![MaybeUninit::uninit(); 8192];
    let lists: Vec<Vec<BorrowedFd<'_>>> = arrays.iter().map(|&n| vec![fd; n]).collect();
    let mut control = SendAncillaryBuffer::new(&mut space);
    for list in &lists {
        assert!(control.push(SendAncillaryMessage::ScmRights(list)));
    }
    rustix::net::sendmsg(channel, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL).unwrap();
}

#[test]
fn a_list_cut_short_is_an_error_and_nothing_stays_open() {
    let (one, other) = pair();
    for arrays in [&[FDS_MAX + 4][..], &[100], &[253], &[20, 20]] {
        let witness = Witness::new();
        send_raw(&one, witness.fd(), arrays);
        assert_eq!(other.receive(&mut [0; 8], FDS_MAX).unwrap_err(), ReceiveError::LostFds, "{arrays:?}");
        witness.assert_all_copies_closed();
    }
}

#[test]
fn several_arrays_count_together() {
    let (one, other) = pair();
    let witness = Witness::new();
    send_raw(&one, witness.fd(), &[2, 2]);
    assert_eq!(other.receive(&mut [0; 8], 3).unwrap_err(), ReceiveError::TooManyFds { limit: 3 });
    witness.assert_all_copies_closed();
}

#[test]
fn a_message_longer_than_the_buffer_is_refused_whole() {
    let (one, other) = pair();
    let witness = Witness::new();
    one.send(&[7; 65], &[witness.fd()]).unwrap();
    one.send(&[8; 64], &[]).unwrap();
    let mut bytes = [0; 64];
    assert_eq!(other.receive(&mut bytes, 1).unwrap_err(), ReceiveError::TooLong { limit: 64 });
    witness.assert_all_copies_closed();
    assert_eq!(other.receive(&mut bytes, 1).unwrap().len, 64, "the next message is intact");
}

#[test]
fn the_end_of_the_peer_is_told_apart_from_silence() {
    let (one, other) = pair();
    other.set_nonblocking(true).unwrap();
    assert_eq!(other.receive(&mut [0; 8], 0).unwrap_err(), ReceiveError::WouldBlock);
    drop(one);
    assert_eq!(other.receive(&mut [0; 8], 0).unwrap_err(), ReceiveError::Closed);
    assert_eq!(other.send(b"x", &[]), Err(SendError::Closed));

    let (one, other) = pair();
    other.send(b"never read", &[]).unwrap();
    drop(one);
    assert_eq!(other.receive(&mut [0; 8], 0).unwrap_err(), ReceiveError::Closed, "reset");
}

#[test]
fn shutdown_ends_both_directions_for_who_waits() {
    let (one, other) = pair();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| one.receive(&mut [0; 8], 0).unwrap_err());
        one.shutdown().unwrap();
        assert_eq!(waits.join().unwrap(), ReceiveError::Closed);
    });
    assert_eq!(other.receive(&mut [0; 8], 0).unwrap_err(), ReceiveError::Closed);
    assert_eq!(other.send(b"x", &[]), Err(SendError::Closed));
    drop(other);
    one.shutdown().unwrap();
}

#[test]
fn a_peer_that_does_not_read_cannot_make_us_wait() {
    let (one, _other) = pair();
    one.set_nonblocking(true).unwrap();
    let sent = (0..1_000_000).map_while(|_| one.send(&[0; 512], &[]).ok()).count();
    assert!(sent > 0);
    assert_eq!(one.send(&[0; 512], &[]), Err(SendError::WouldBlock));
    assert_eq!(one.send(b"", &[]), Err(SendError::Empty));
    assert!(matches!(one.send(&vec![0; 64 << 20], &[]), Err(SendError::Call(_))), "longer than any buffer");
}
