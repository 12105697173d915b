//! Connections of administrators: lines in, lines out.
//!
//! Promises: at most [`CLIENTS_MAX`] at a time, requests of at most [`LINE_BYTES_MAX`]; the next request of a client is read only when it
//! has taken the answer to the last, so what is kept for one is bounded by one request and one answer; for a [tap] by
//! [`TAP_BYTES_MAX`], beyond which lines are dropped and counted. Nobody but root, the
//! daemon's own user and, where the configuration names one, the administrators' group is listened to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::admin::{Answer, Failure, FailureCode, LINE_BYTES_MAX};
use crate::tap;

/// Most administrators connected at a time.
pub(super) const CLIENTS_MAX: usize = 32;

/// Most bytes that wait for a tap to take them.
pub(super) const TAP_BYTES_MAX: usize = 4 << 20;
/// Longest line that says how many were dropped.
const LOST_BYTES_MAX: usize = 128;

/// Who may be an administrator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    /// Our own user.
    pub(super) uid: u32,
    /// A group may connect too: then the kernel has checked the right to, by the mode of the socket.
    pub(super) group: bool,
}

impl Admitted {
    fn admits(self, stream: &UnixStream) -> bool {
        let peer = rustix::net::sockopt::socket_peercred(stream);
        self.group || peer.is_ok_and(|peer| peer.uid.is_root() || peer.uid.as_raw() == self.uid)
    }
}

/// One administrator.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// It sends nothing more.
    finished: bool,
    /// It is told what happens.
    tap: Option<Dropped>,
}

/// Lines that a tap had no room for since the last that it got.
#[derive(Debug, Default)]
struct Dropped {
    lines: u64,
    first_at: u64,
}

/// What a client's connection has for us.
#[derive(Debug)]
pub(super) enum Line {
    /// A request, as it was written.
    Request(Vec<u8>),
    /// Nothing complete, or an answer is still on its way.
    Wait {
        /// Whether there is something left to send.
        to_send: bool,
    },
    /// A tap is to close.
    Close,
    /// It is gone, or talks nonsense without end.
    Over,
}

/// All administrators.
#[derive(Debug)]
pub(super) struct Desk {
    admitted: Admitted,
    clients: BTreeMap<u64, Client>,
    last: u64,
}

impl Desk {
    pub(super) fn new(admitted: Admitted) -> Self {
        Self { admitted, clients: BTreeMap::new(), last: 0 }
    }

    /// Takes a connection in; `None` if it is refused, which it has been told then.
    pub(super) fn enter(&mut self, stream: UnixStream) -> Option<u64> {
        stream.set_nonblocking(true).ok()?;
        let refusal = if !self.admitted.admits(&stream) {
            let text = "only root and the user who runs the broker may administer it; use sudo";
            Some((FailureCode::NotPermitted, text.to_owned()))
        } else if self.clients.len() >= CLIENTS_MAX {
            let text = format!("{CLIENTS_MAX} administrators are connected already; close some connections");
            Some((FailureCode::Busy, text))
        } else {
            None
        };
        let mut client = Client { stream, input: Vec::new(), output: VecDeque::new(), finished: false, tap: None };
        if let Some((code, text)) = refusal {
            client.put(&Answer::Error(Failure { code, text }));
            client.send();
            return None;
        }
        self.last += 1;
        self.clients.insert(self.last, client);
        Some(self.last)
    }

    /// Returns a client's descriptor.
    pub(super) fn fd(&self, id: u64) -> Option<BorrowedFd<'_>> {
        self.clients.get(&id).map(|c| c.stream.as_fd())
    }

    /// Sends what is left to send, reads what there is to read, and returns the next complete request.
    pub(super) fn next(&mut self, id: u64) -> Line {
        let Some(client) = self.clients.get_mut(&id) else { return Line::Over };
        if client.tap.is_some() {
            return client.listen();
        }
        if !client.send() {
            return Line::Over;
        }
        if !client.output.is_empty() {
            return Line::Wait { to_send: true };
        }
        loop {
            if let Some(end) = client.input.iter().position(|b| *b == b'\n') {
                let rest = client.input.split_off(end + 1);
                let mut line = std::mem::replace(&mut client.input, rest);
                line.pop();
                return Line::Request(line);
            }
            if client.input.len() >= LINE_BYTES_MAX {
                let text = format!("a request is longer than {LINE_BYTES_MAX} bytes; write shorter lines");
                client.put(&Answer::Error(Failure { code: FailureCode::BadRequest, text }));
                client.send();
                return Line::Over;
            }
            if client.finished {
                return Line::Over;
            }
            match client.receive() {
                Ok(true) => {}
                Ok(false) => return Line::Wait { to_send: false },
                Err(()) => client.finished = true,
            }
        }
    }

    /// Answers a client.
    pub(super) fn answer(&mut self, id: u64, answer: &Answer) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.put(answer);
        }
    }

    /// Makes a client a tap: from now on it is told what happens.
    pub(super) fn open_tap(&mut self, id: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.tap = Some(Dropped::default());
        }
    }

    /// Makes a tap a client again that is answered the rest and has nothing more to ask.
    pub(super) fn close_tap(&mut self, id: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.tap = None;
            client.finished = true;
            client.input.clear();
        }
    }

    /// Returns whether anybody is told what happens.
    pub(super) fn has_taps(&self) -> bool {
        self.clients.values().any(|client| client.tap.is_some())
    }

    /// Tells one tap.
    pub(super) fn tell_one(&mut self, id: u64, line: &tap::Line) {
        let text = written(line);
        if let Some(client) = self.clients.get_mut(&id) {
            client.pour(&text);
        }
    }

    /// Tells all taps. Sent by [`flush_taps`](Self::flush_taps).
    pub(super) fn tell(&mut self, line: &tap::Line) {
        let text = written(line);
        for client in self.clients.values_mut() {
            client.pour(&text);
        }
    }

    /// Sends taps as much as they take.
    pub(super) fn flush_taps(&mut self) {
        for client in self.clients.values_mut().filter(|client| client.tap.is_some()) {
            // One that is gone becomes readable too, and is seen to then.
            client.send();
        }
    }

    /// Forgets a client; the caller has stopped watching it.
    pub(super) fn leave(&mut self, id: u64) -> Option<UnixStream> {
        self.clients.remove(&id).map(|c| c.stream)
    }
}

/// Returns a line as it is sent.
fn written(line: &tap::Line) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_else(|error| {
        tracing::error!(%error, "an event cannot be written down");
        br#"{"event":"lost","at_ns":0,"lines":1}"#.to_vec()
    });
    text.push(b'\n');
    text
}

impl Client {
    /// Puts a line where a tap will find it, or counts it.
    fn pour(&mut self, line: &[u8]) {
        let Some(dropped) = &mut self.tap else { return };
        if self.output.len() + line.len() + LOST_BYTES_MAX > TAP_BYTES_MAX {
            if dropped.lines == 0 {
                dropped.first_at = crate::clock::now_ns();
            }
            dropped.lines += 1;
            return;
        }
        if dropped.lines > 0 {
            let Dropped { lines, first_at } = std::mem::take(dropped);
            self.output.extend(&written(&tap::Line::Lost { at_ns: first_at, lines }));
        }
        self.output.extend(line);
    }

    /// Looks whether a tap has anything to say, which closes it.
    fn listen(&mut self) -> Line {
        match self.receive() {
            Ok(false) if !self.input.is_empty() => Line::Close,
            Ok(false) => Line::Wait { to_send: false },
            Ok(true) | Err(()) => Line::Close,
        }
    }

    fn put(&mut self, answer: &Answer) {
        match serde_json::to_vec(answer) {
            Ok(line) => self.output.extend(&line),
            // A number that JSON cannot write down would be our bug; the client still gets its line.
            Err(error) => {
                tracing::error!(%error, "an answer to an administrator cannot be written down");
                self.output.extend(br#"{"error":{"code":"bad-request","text":"the answer cannot be written down"}}"#);
            }
        }
        self.output.push_back(b'\n');
    }

    /// Sends as much as there is room for; returns whether the connection lives.
    fn send(&mut self) -> bool {
        while !self.output.is_empty() {
            match (&self.stream).write(self.output.as_slices().0) {
                Ok(0) => return false,
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads some bytes; returns whether there were any, or an error when there will be none.
    fn receive(&mut self) -> Result<bool, ()> {
        let mut bytes = [0; 4096];
        match (&self.stream).read(&mut bytes) {
            Ok(0) => Err(()),
            Ok(n) => {
                self.input.extend_from_slice(&bytes[..n]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock) => Ok(false),
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(true),
            Err(_) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;
    use crate::admin::Reply;

    fn desk() -> Desk {
        Desk::new(Admitted { uid: rustix::process::geteuid().as_raw(), group: false })
    }

    fn client(desk: &mut Desk) -> (u64, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (desk.enter(near).unwrap(), far)
    }

    #[test]
    fn lines_are_requests_however_they_arrive() {
        let mut desk = desk();
        let (id, mut far) = client(&mut desk);
        assert!(matches!(desk.next(id), Line::Wait { to_send: false }));
        far.write_all(b"{\"comm").unwrap();
        assert!(matches!(desk.next(id), Line::Wait { .. }));
        far.write_all(b"and\"}\nsecond\n\nlast").unwrap();
        drop(far);
        for expected in [&b"{\"command\"}"[..], b"second", b""] {
            let Line::Request(line) = desk.next(id) else { panic!("{expected:?}") };
            assert_eq!(line, expected);
        }
        assert!(matches!(desk.next(id), Line::Over), "the last line was not finished");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut desk = desk();
        let (id, far) = client(&mut desk);
        far.set_nonblocking(true).unwrap();
        let mut waits = 0;
        while matches!(desk.next(id), Line::Wait { .. }) {
            while (&far).write(&[b'x'; 4096]).is_ok() {}
            waits += 1;
            assert!(waits < 1000);
        }
        far.set_nonblocking(false).unwrap();
        let mut answer = String::new();
        std::io::BufReader::new(far).read_line(&mut answer).unwrap();
        assert!(answer.contains("longer than"), "{answer}");
    }

    #[test]
    fn who_does_not_read_is_not_heard() {
        let mut desk = desk();
        let (id, mut far) = client(&mut desk);
        far.write_all(b"one\ntwo\n").unwrap();
        assert!(matches!(desk.next(id), Line::Request(_)));
        let long = Failure { code: FailureCode::BadConfig, text: "x".repeat(8 << 20) };
        desk.answer(id, &Answer::Error(long));
        assert!(matches!(desk.next(id), Line::Wait { to_send: true }), "the second request waits");
        let reader = std::thread::spawn(move || {
            let mut answer = String::new();
            std::io::BufReader::new(&far).read_line(&mut answer).unwrap();
            (answer.len(), far)
        });
        let two = loop {
            match desk.next(id) {
                Line::Request(line) => break line,
                Line::Wait { .. } => std::thread::yield_now(),
                Line::Close | Line::Over => panic!("it is still there"),
            }
        };
        assert_eq!(two, b"two");
        assert!(reader.join().unwrap().0 > 8 << 20);
    }

    #[test]
    fn only_so_many_administrators_at_a_time() {
        let mut desk = desk();
        let kept: Vec<_> = (0..CLIENTS_MAX).map(|_| client(&mut desk)).collect();
        let (near, far) = UnixStream::pair().unwrap();
        assert!(desk.enter(near).is_none());
        let mut answer = String::new();
        std::io::BufReader::new(far).read_line(&mut answer).unwrap();
        assert!(answer.contains("busy"), "{answer}");
        desk.leave(kept[0].0).unwrap();
        client(&mut desk);
    }

    #[test]
    fn strangers_are_not_administrators() {
        if rustix::process::geteuid().is_root() {
            return; // Root always is.
        }
        let mut desk = Desk::new(Admitted { uid: u32::MAX, group: false });
        let (near, _far) = UnixStream::pair().unwrap();
        assert!(desk.enter(near).is_none());
    }

    #[test]
    fn answers_arrive_as_lines() {
        let mut desk = desk();
        let (id, far) = client(&mut desk);
        desk.answer(id, &Answer::Ok(Reply::Done));
        desk.next(id);
        let mut answer = String::new();
        std::io::BufReader::new(far).read_line(&mut answer).unwrap();
        assert_eq!(answer, "{\"ok\":\"done\"}\n");
    }

    #[test]
    fn a_slow_tap_loses_lines_and_is_told_how_many() {
        let mut desk = desk();
        let (id, far) = client(&mut desk);
        assert!(!desk.has_taps());
        desk.open_tap(id);
        assert!(desk.has_taps() && matches!(desk.next(id), Line::Wait { to_send: false }));
        let line = |at_ns| tap::Line::Refused { at_ns, uid: 0, pid: 0, code: "x".repeat(60_000) };
        let told = 200;
        for at_ns in 0..told {
            desk.tell(&line(at_ns));
            desk.flush_taps();
            assert!(desk.clients[&id].output.len() <= TAP_BYTES_MAX);
        }
        let reader = std::thread::spawn(move || {
            let lines = std::io::BufReader::new(&far).lines();
            let mut seen: Vec<tap::Line> = Vec::new();
            for text in lines {
                seen.push(serde_json::from_str(&text.unwrap()).unwrap());
                if matches!(seen.last(), Some(tap::Line::End { .. })) {
                    break;
                }
            }
            (seen, far)
        });
        // Once there is room again, the next line is the count.
        while !desk.clients[&id].output.is_empty() {
            desk.flush_taps();
        }
        desk.tell(&tap::Line::End { at_ns: told });
        desk.flush_taps();
        let (seen, far) = reader.join().unwrap();
        let lost =
            seen.iter().find_map(|line| if let tap::Line::Lost { lines, .. } = line { Some(*lines) } else { None });
        let got = seen.iter().filter(|line| matches!(line, tap::Line::Refused { .. })).count() as u64;
        assert_eq!(lost.map(|lost| lost + got), Some(told));
        far.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(desk.next(id), Line::Close));
        desk.close_tap(id);
        assert!(matches!(desk.next(id), Line::Over));
    }
}
