//! The children of these tests are this test binary again, run with the name of one ignored test and a role.

use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::*;
use crate::event::is_readable_now;
use crate::fence::{become_undumpable, give_up_new_privileges};
use crate::socket::Channel;

const ROLE: &str = "SYS_TEST_ROLE";

/// Starts this test binary as the child `role`, with the report channel and one more descriptor.
fn child<'a>(role: &str, report: BorrowedFd<'a>) -> Spawn<'a> {
    Spawn::this_program("wavegate:test")
        .argument("--exact")
        .argument("process::tests::child_main")
        .argument("--ignored")
        .argument("--nocapture")
        .variable(ROLE, role)
        .pass(report)
}

/// What every child of these tests runs.
#[test]
#[ignore = "the main function of the other tests' children"]
fn child_main() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // What is open, before anything is opened: the directory's own descriptor is the only one extra.
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .filter(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|l| !l.ends_with("fd")))
        .collect();
    let count = std::env::var(COUNT_VARIABLE).unwrap().parse().unwrap();
    let mut fds = take_passed_fds(count).unwrap().into_iter();
    assert_eq!(take_passed_fds(count).unwrap_err(), TakeError::TakenTwice);
    let report = Channel::from_fd(fds.next().unwrap());
    let say = |text: &str| report.send(text.as_bytes(), &[]).unwrap();
    match role.as_str() {
        "describe" => {
            say(&format!("{open:?}"));
            let name = std::fs::read("/proc/self/cmdline").unwrap();
            say(&String::from_utf8_lossy(name.split(|&b| b == 0).next().unwrap()));
            let mut variables: Vec<String> = std::env::vars_os().map(|(k, _)| k.into_string().unwrap()).collect();
            variables.sort();
            say(&variables.join(","));
            say(&std::fs::read_link("/proc/self/fd/0").unwrap().to_string_lossy());
            say(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            say(&format!("{:?}", (limit.current, limit.maximum)));
        }
        "read second" => {
            let mut text = String::new();
            std::fs::File::from(fds.next().unwrap()).read_to_string(&mut text).unwrap();
            say(&text);
        }
        "sleep" => {
            say("ready");
            std::thread::sleep(Duration::from_secs(600));
        }
        // Starts a sleeper that is to end with it, hands over its report channel, and waits to be killed.
        "parent" => {
            let sleeper = child("sleep", report.as_fd()).end_with_parent().spawn().unwrap();
            say(&sleeper.pid().to_string());
            std::thread::sleep(Duration::from_secs(600));
        }
        "undumpable" => {
            become_undumpable().unwrap();
            give_up_new_privileges().unwrap();
            say("ready");
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no role {other}"),
    }
}

fn hear(channel: &Channel) -> String {
    let mut bytes = vec![0; 16 << 10];
    let message = channel.receive(&mut bytes, 0).unwrap();
    String::from_utf8(bytes[..message.len].to_vec()).unwrap()
}

/// Waits until `handle` has ended, and says whether it did within ten seconds.
fn ends(handle: &PidFd) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        if handle.has_ended().unwrap() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_child_has_what_it_was_given_and_nothing_else() {
    // Descriptors that somebody forgot to mark close-on-exec, low and high.
    // SAFETY: duplicates of a descriptor we own, given back below.
    let leaks = unsafe {
        [
            OwnedFd::from_raw_fd(libc::fcntl(2, libc::F_DUPFD, 0)),
            OwnedFd::from_raw_fd(libc::fcntl(2, libc::F_DUPFD, 900)),
        ]
    };
    let (ours, theirs) = Channel::pair().unwrap();
    let extra = Channel::pair().unwrap();
    let spawn = child("describe", theirs.as_fd()).pass(extra.0.as_fd()).pass(theirs.as_fd());
    let mut running = spawn.variable("ONLY", "this").bound(Bound::Descriptors(64)).spawn().unwrap();
    drop((theirs, leaks));
    assert_eq!(hear(&ours), "[0, 1, 2, 3, 4, 5]");
    assert_eq!(hear(&ours), "wavegate:test");
    assert_eq!(hear(&ours), format!("ONLY,{COUNT_VARIABLE},{ROLE}"));
    assert_eq!(hear(&ours), "/dev/null");
    let status = hear(&ours);
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    assert_eq!(hear(&ours), "(Some(64), Some(64))");
    assert_eq!(running.wait().unwrap(), Exit::Code(0));
    assert_eq!(running.wait().unwrap(), Exit::Code(0), "asking again is fine");
}

#[test]
fn descriptors_may_sit_on_each_others_places() {
    // Passed in an order that makes every simple sequence of dup2 overwrite one before it is copied: the numbers of the
    // parent's descriptors lie among the places of the child.
    let (ours, theirs) = Channel::pair().unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    std::fs::File::from(write).write_all(b"through the pipe").unwrap();
    // SAFETY: numbers 3 to 8 as they are; only looked at and passed on while something owns them.
    let open = (3..9).filter(|&fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0);
    let copies: Vec<OwnedFd> = open.map(|_| rustix::io::fcntl_dupfd_cloexec(&read, 3).unwrap()).collect();
    let mut spawn = child("read second", theirs.as_fd()).pass(read.as_fd());
    for copy in copies.iter().rev() {
        spawn = spawn.pass(copy.as_fd());
    }
    let mut running = spawn.spawn().unwrap();
    assert_eq!(hear(&ours), "through the pipe");
    assert!(running.wait().unwrap().is_success());
}

#[test]
fn a_dropped_child_is_gone() {
    let (ours, theirs) = Channel::pair().unwrap();
    let running = child("sleep", theirs.as_fd()).spawn().unwrap();
    assert_eq!(hear(&ours), "ready");
    let pid = running.pid();
    let watcher = PidFd::open(pid).unwrap().unwrap();
    assert!(!is_readable_now(&running).unwrap());
    drop(running);
    assert!(watcher.has_ended().unwrap());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "not even a zombie");
}

#[test]
fn a_killed_child_says_by_which_signal() {
    let (ours, theirs) = Channel::pair().unwrap();
    let mut running = child("sleep", theirs.as_fd()).spawn().unwrap();
    assert_eq!(hear(&ours), "ready");
    assert_eq!(running.try_wait().unwrap(), None);
    running.kill().unwrap();
    assert_eq!(running.wait().unwrap(), Exit::Signal(libc::SIGKILL));
    assert_eq!(running.try_wait().unwrap(), Some(Exit::Signal(libc::SIGKILL)));
    running.kill().unwrap();
}

#[test]
fn the_death_of_the_parent_ends_the_child() {
    let (ours, theirs) = Channel::pair().unwrap();
    let parent = child("parent", theirs.as_fd()).spawn().unwrap();
    let said = [hear(&ours), hear(&ours)];
    let grandchild = said.iter().find_map(|text| text.parse::<u32>().ok()).unwrap();
    let grandchild = PidFd::open(grandchild).unwrap().unwrap();
    assert!(!grandchild.has_ended().unwrap());
    parent.kill().unwrap();
    assert!(ends(&grandchild), "the grandchild lives on");
}

#[test]
fn the_death_of_the_spawning_thread_ends_the_child_too() {
    // The trap the module's head warns of, kept here so that a kernel that changes it is noticed.
    let (ours, theirs) = Channel::pair().unwrap();
    let (done, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let running = child("sleep", theirs.as_fd()).end_with_parent().spawn().unwrap();
        let _ = wait.recv();
        running
    });
    assert_eq!(hear(&ours), "ready");
    done.send(()).unwrap();
    let mut running = thread.join().unwrap();
    assert!(ends(running.handle()));
    assert_eq!(running.wait().unwrap(), Exit::Signal(libc::SIGKILL));
}

#[test]
fn a_detached_child_lives_on() {
    let (ours, theirs) = Channel::pair().unwrap();
    let running = child("sleep", theirs.as_fd()).spawn().unwrap();
    assert_eq!(hear(&ours), "ready");
    let pid = running.pid();
    let handle = running.detach();
    assert!(!handle.has_ended().unwrap());
    handle.signal(Signal::KILL).unwrap();
    rustix::process::waitpid(rustix::process::Pid::from_raw(pid.cast_signed()), rustix::process::WaitOptions::empty())
        .unwrap();
}

#[test]
fn failures_name_their_step() {
    let missing = Spawn::program(OsStr::from_bytes(b"/nonexistent"), "x").unwrap().spawn().unwrap_err();
    assert_eq!(missing.to_string(), "cannot run the child's program: execve: No such file or directory (os error 2)");
    assert_eq!(Spawn::this_program("a\0b").spawn().unwrap_err(), SpawnError::ZeroByte);
    assert_eq!(Spawn::program(OsStr::from_bytes(b"a\0b"), "x").unwrap_err(), SpawnError::ZeroByte);
    let (ours, _theirs) = Channel::pair().unwrap();
    let mut spawn = Spawn::this_program("x");
    for _ in 0..=PASSED_FDS_MAX {
        spawn = spawn.pass(ours.as_fd());
    }
    assert_eq!(spawn.spawn().unwrap_err(), SpawnError::TooManyFds { fds: PASSED_FDS_MAX + 1 });
    assert_eq!(take_passed_fds(1).unwrap_err(), TakeError::NotGiven { expected: 1 });
}

#[test]
fn another_user_only_by_root() {
    let (ours, theirs) = Channel::pair().unwrap();
    let nobody = RunAs { uid: 65534, gid: 65534 };
    let spawned = child("describe", theirs.as_fd()).run_as(nobody).end_with_parent().spawn();
    if !rustix::process::geteuid().is_root() {
        let error = spawned.unwrap_err().to_string();
        assert!(error.starts_with("cannot change the user of the child"), "{error}");
        println!("skipped: running a child as another user needs root");
        return;
    }
    let _running = match spawned {
        Ok(running) => running,
        // The test binary may lie where that user cannot reach it; then the change of user is proven by the refusal.
        Err(SpawnError::Call(call)) if call.call == "execve" && call.errno == Errno::ACCESS => {
            println!("skipped: user {} may not run this test binary", nobody.uid);
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let status = (0..5).map(|_| hear(&ours)).fold(String::new(), |_, text| text);
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534"), "{status}");
    assert!(status.contains("Gid:\t65534\t65534\t65534\t65534"), "{status}");
    assert!(status.lines().any(|line| line.trim_end() == "Groups:"), "{status}");
}

#[test]
fn an_undumpable_child_keeps_its_descriptors_to_itself() {
    let (ours, theirs) = Channel::pair().unwrap();
    let running = child("undumpable", theirs.as_fd()).spawn().unwrap();
    assert_eq!(hear(&ours), "ready");
    // /proc entries of an undumpable process belong to root (proc(5)).
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(format!("/proc/{}/fd", running.pid())).unwrap().uid();
    assert_eq!(owner, 0);
    if !rustix::process::geteuid().is_root() {
        assert!(std::fs::read_dir(format!("/proc/{}/fd", running.pid())).is_err());
    }
}

#[test]
fn starting_and_ending_many_children_leaks_no_descriptor() {
    // Other tests of this binary hold a few handles at the same time, but never as many as are started here.
    let (ours, theirs) = Channel::pair().unwrap();
    let mut pids = Vec::new();
    for _ in 0..20 {
        let running = child("sleep", theirs.as_fd()).spawn().unwrap();
        assert_eq!(hear(&ours), "ready");
        pids.push(running.pid());
    }
    let left: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|link| link.to_string_lossy().contains("pidfd"))
        .collect();
    assert!(left.len() < 20, "{} handles are still open", left.len());
    assert!(pids.iter().all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()));
}
