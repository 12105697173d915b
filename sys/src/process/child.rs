//! From fork to exec.
//!
//! Between the two the child of a process with threads may do almost nothing: another thread may have held any lock at the moment of the
//! fork. So everything that allocates happens before, and [`become_program`] makes system calls only.

use std::ffi::{CString, c_char};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Pid, Signal, Uid};

use super::{COUNT_VARIABLE, Child, FIRST_PASSED_FD, PASSED_FDS_MAX, Spawn, SpawnError};
use crate::error::{CallFailed, During, cvt};
use crate::fence::{Bound, give_up_new_privileges};
use crate::peer::PidFd;

/// Everything the child needs, made before the fork.
struct Plan<'a> {
    program: &'a CString,
    /// Arguments and environment as execve takes them, each ending with a null pointer.
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    /// Which descriptor of ours becomes number 0, 1, 2, ...; replaced by copies out of the way.
    places: Vec<RawFd>,
    bounds: &'a [Bound],
    run_as: Option<super::RunAs>,
    end_with: Option<Pid>,
}

/// What the child tries, in this order. The number travels to the parent if it fails.
#[derive(Clone, Copy)]
enum Step {
    Descriptors = 0,
    Signals,
    Bounds,
    User,
    ParentDeath,
    ParentGone,
    Privileges,
    Program,
}

/// The purposes and calls of the steps, in their order.
const STEPS: [(&str, &str); 8] = [
    ("put descriptors in their places in the child", "dup3"),
    ("reset signals in the child", "sigprocmask"),
    ("bound a resource of the child", "setrlimit"),
    ("change the user of the child", "setresuid"),
    ("end the child with its parent", "prctl(PR_SET_PDEATHSIG)"),
    ("end the child with its parent", "getppid"),
    ("give up gaining privileges in the child", "prctl(PR_SET_NO_NEW_PRIVS)"),
    ("run the child's program", "execve"),
];

/// Starts the child and waits until its program runs.
pub(super) fn spawn(spawn: Spawn<'_>) -> Result<Child, SpawnError> {
    if spawn.passed.len() > PASSED_FDS_MAX {
        return Err(SpawnError::TooManyFds { fds: spawn.passed.len() });
    }
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC, 0.into())
        .during("open", "open /dev/null for a child")?;
    let [stdin, stdout, stderr] = spawn.standard;
    let mut places = vec![stdin.unwrap_or(null.as_fd()).as_raw_fd()];
    // A parent without an output of its own gives its child /dev/null rather than nothing.
    places.extend([(stdout, 1), (stderr, 2)].map(|(fd, ours)| fd.map_or(ours, |fd| fd.as_raw_fd())));
    for ours in places.iter_mut().filter(|fd| (1..=2).contains(*fd)) {
        // SAFETY: no pointers involved, and whether the number is open is the question.
        if unsafe { libc::fcntl(*ours, libc::F_GETFD) } < 0 {
            *ours = null.as_raw_fd();
        }
    }
    places.extend(spawn.passed.iter().map(BorrowedFd::as_raw_fd));

    let zero_byte = |_| SpawnError::ZeroByte;
    let count = format!("{COUNT_VARIABLE}={}", spawn.passed.len()).into_bytes();
    let arguments = spawn.arguments.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().map_err(zero_byte)?;
    let environment = spawn.environment.into_iter().chain([count]).map(CString::new);
    let environment = environment.collect::<Result<Vec<_>, _>>().map_err(zero_byte)?;
    let mut plan = Plan {
        program: &spawn.program,
        argv: pointers(&arguments),
        envp: pointers(&environment),
        places,
        bounds: &spawn.bounds,
        run_as: spawn.run_as,
        end_with: spawn.end_with_parent.then(rustix::process::getpid),
    };

    // The child's end closes when its program begins, or brings the step that failed.
    let (report, reporter) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).during("pipe2", "hear from a starting child")?;
    // SAFETY: the child calls `become_program` only, which keeps to system calls.
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        become_program(&mut plan, reporter.as_raw_fd());
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(127) };
    }
    let pid = u32::try_from(cvt(forked.into()).during("fork", "start a child")?).unwrap_or(0);
    drop(reporter);
    // Not reaped yet, so the number is still the child's, dead or alive.
    let handle = match PidFd::open(pid) {
        Ok(Some(handle)) => handle,
        Ok(None) => return Err(no_handle(pid, Errno::SRCH)),
        Err(error) => return Err(no_handle(pid, error.errno)),
    };
    // From here on dropping `child` kills and reaps.
    let child = Child { pid, handle, exit: None };
    match read_report(&report)? {
        None => Ok(child),
        Some((step, _)) if step == Step::ParentGone as usize => Err(SpawnError::ParentGone),
        Some((step, errno)) => {
            let (purpose, call) = STEPS.get(step).copied().unwrap_or(("start a child", "fork"));
            Err(CallFailed { purpose, call, errno }.into())
        }
    }
}

/// Ends a child that cannot be watched.
fn no_handle(pid: u32, errno: Errno) -> SpawnError {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    }
    CallFailed { purpose: "get a handle to a new child", call: "pidfd_open", errno }.into()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Waits for the child's end of the pipe to close; returns the step that failed, if one did.
fn read_report(report: &OwnedFd) -> Result<Option<(usize, Errno)>, CallFailed> {
    let mut bytes = [0; 8];
    loop {
        return match rustix::io::read(report, &mut bytes) {
            // Eight bytes into an empty pipe arrive together (pipe(7), PIPE_BUF).
            Ok(8) => {
                let [a, b, c, d, e, f, g, h] = bytes;
                let errno = Errno::from_raw_os_error(i32::from_ne_bytes([e, f, g, h]));
                Ok(Some((u32::from_ne_bytes([a, b, c, d]) as usize, errno)))
            }
            Ok(_) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(CallFailed { purpose: "hear from a starting child", call: "read", errno }),
        };
    }
}

/// Turns the forked child into its program; returns only on failure, after reporting it.
fn become_program(plan: &mut Plan<'_>, reporter: RawFd) {
    // Behind the last place, where no step below writes.
    let report_at = FIRST_PASSED_FD.max(RawFd::try_from(plan.places.len()).unwrap_or(RawFd::MAX));
    let mut report_to = reporter;
    let failed = place_descriptors(plan, &mut report_to, report_at)
        .map_err(|errno| (Step::Descriptors, errno))
        .and_then(|()| prepare(plan))
        .err()
        .unwrap_or_else(|| (Step::Program, execute(plan)));
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(failed.0 as u32).to_ne_bytes());
    bytes[4..].copy_from_slice(&failed.1.raw_os_error().to_ne_bytes());
    // SAFETY: eight valid bytes; if this fails the parent takes the closed pipe for success and sees the child end.
    unsafe { libc::write(report_to, bytes.as_ptr().cast(), bytes.len()) };
}

/// Makes descriptor `i` a copy of `places[i]`, the reporter `report_at`, and closes everything else.
fn place_descriptors(plan: &mut Plan<'_>, report_to: &mut RawFd, report_at: RawFd) -> rustix::io::Result<()> {
    // First copy all of them out of the way, so that no place is overwritten before it has been copied.
    let aside = |fd: RawFd| {
        // SAFETY: numbers only, no pointers; this process has a single thread.
        cvt(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, report_at + 1) }.into())
    };
    *report_to = RawFd::try_from(aside(*report_to)?).map_err(|_| Errno::BADF)?;
    for place in &mut plan.places {
        *place = RawFd::try_from(aside(*place)?).map_err(|_| Errno::BADF)?;
    }
    for (number, &copy) in (0..).zip(&plan.places) {
        // SAFETY: numbers only. The new descriptor is not close-on-exec: it is what the program gets.
        cvt(unsafe { libc::dup3(copy, number, 0) }.into())?;
    }
    // SAFETY: numbers only.
    cvt(unsafe { libc::dup3(*report_to, report_at, libc::O_CLOEXEC) }.into())?;
    *report_to = report_at;
    // SAFETY: numbers only. A bare call, because the C library has no wrapper everywhere; closes the copies too.
    cvt(unsafe { libc::syscall(libc::SYS_close_range, report_at + 1, libc::c_uint::MAX, 0) }).map(drop)
}

/// Takes away what the program shall not have.
fn prepare(plan: &Plan<'_>) -> Result<(), (Step, Errno)> {
    let at = |step| move |error: CallFailed| (step, error.errno);
    reset_signals().map_err(|errno| (Step::Signals, errno))?;
    for bound in plan.bounds {
        bound.apply().map_err(at(Step::Bounds))?;
    }
    if let Some(user) = plan.run_as {
        change_user(user).map_err(|errno| (Step::User, errno))?;
    }
    // After the change of user, which would clear it again.
    if let Some(parent) = plan.end_with {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|errno| (Step::ParentDeath, errno))?;
        // A parent that ended before the line above will not be reported.
        if rustix::process::getppid() != Some(parent) {
            return Err((Step::ParentGone, Errno::SRCH));
        }
    }
    give_up_new_privileges().map_err(at(Step::Privileges))
}

fn reset_signals() -> rustix::io::Result<()> {
    // SAFETY: all zero is the empty set on Linux; the call reads it. SIGPIPE, which Rust's runtime ignores, would stay
    // ignored through exec.
    unsafe {
        let none: libc::sigset_t = std::mem::zeroed();
        cvt(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()).into())?;
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
    Ok(())
}

fn change_user(user: super::RunAs) -> rustix::io::Result<()> {
    // The kernel's own calls change the calling thread, and this process has only that one. Groups first: afterwards we may not.
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

fn execute(plan: &Plan<'_>) -> Errno {
    // SAFETY: a path and two lists of C strings, each list ending with a null pointer, all made before the fork and alive.
    let answer = unsafe { libc::execve(plan.program.as_ptr(), plan.argv.as_ptr(), plan.envp.as_ptr()) };
    cvt(answer.into()).err().unwrap_or(Errno::INVAL)
}
