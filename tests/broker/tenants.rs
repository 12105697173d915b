//! Programs that are tenants: started by `wavegate run`, killed, forking, never ending.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use client::Client;
use proto::TenantName;
use proto::message::{EndReason, FaultKind};
use rustix::io::{FdFlags, fcntl_setfd};
use sys::socket::Channel;

use crate::rig::{Broker, eventually, is_alive, soon, wavegate};
use crate::sessions::{Busy, kill};

const TWO: &str = r#"
    slice = "2ms"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    max_dispatch_time = "300ms"
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
"#;

/// Returns `wavegate run --tenant TENANT --`, to be given a program.
fn run_as(broker: &Broker, tenant: &str) -> Command {
    let mut command = wavegate();
    command.args(["run", "--tenant", tenant, "--socket"]).arg(broker.socket()).arg("--");
    command
}

/// A program that plays a tenant: the one that the demo and the benches use.
pub(crate) struct Played {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Played {
    pub(crate) fn start(broker: &Broker, tenant: &str, part: &str) -> Played {
        let mut child = run_as(broker, tenant)
            .args([env!("CARGO_BIN_EXE_wavegate"), "played-tenant", "--part", part])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut played = Played { child, lines };
        assert!(played.line().contains("\"ready\""), "{}", broker.log());
        played
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Lets it play until it is killed.
    fn go(&mut self) {
        self.go_until(u64::MAX);
    }

    /// Lets it play until a time of CLOCK_MONOTONIC.
    pub(crate) fn go_until(&mut self, until_ns: u64) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{{\"until_ns\": {until_ns}}}").unwrap();
    }

    /// Waits until it has played, and lets it leave in order.
    pub(crate) fn leave(mut self) {
        while !self.line().contains("\"done\"") {}
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tenant_that_is_killed_leaves_nothing_and_hurts_nobody() {
    let broker = Broker::start(TWO);
    let descriptors = broker.descriptors();
    let blue = Busy::new(&broker, "blue");
    let mut red = Played::start(&broker, "red", "saturate:14000:2");
    let session = broker.status()["sessions"][1].clone();
    assert_eq!((session["tenant"].as_str(), session["pid"].as_u64()), (Some("red"), Some(red.child.id().into())));
    assert_eq!(session["command"], "wavegate");
    let worker = u32::try_from(session["worker_pid"].as_u64().unwrap()).unwrap();
    red.go();
    eventually("red works", || (broker.tenant("red")["counters"]["dispatches"].as_u64().unwrap() > 20).then_some(()));
    kill(red.child.id());
    eventually("its worker ends", || (!is_alive(worker)).then_some(()));
    let ended = eventually("the broker says so", || broker.status()["ended"].as_array().unwrap().first().cloned());
    assert_eq!(ended["reason"], "tenant-died", "{ended:#}");
    assert!(ended["reclaimed_bytes"].as_u64().unwrap() > 0);
    let tenant = broker.tenant("red");
    assert_eq!((tenant["vram_used_bytes"].as_u64(), tenant["queues_used"].as_u64()), (Some(0), Some(0)));
    blue.work();
    assert_eq!(blue.client.ended(), None);
    drop(blue);
    broker.check_nothing_left(descriptors);
}

/// Set for the process that the next test starts: this test program again, which then forks and waits to be killed.
const FORKS: &str = "WAVEGATE_TEST_FORKS";

#[test]
fn a_child_that_keeps_the_socket_does_not_keep_the_session() {
    if let Some(socket) = std::env::var_os(FORKS) {
        return fork_and_wait(socket.as_ref());
    }
    let broker = Broker::start(TWO);
    let descriptors = broker.descriptors();
    let mut tenant = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tenants::a_child_that_keeps_the_socket_does_not_keep_the_session", "--nocapture"])
        .env(FORKS, broker.socket())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tenant.stdout.take().unwrap()).lines().map_while(Result::ok);
    let child = lines.find_map(|line| line.split("child ").nth(1)?.trim().parse::<u32>().ok()).expect("a child");
    assert_eq!(broker.status()["sessions"].as_array().unwrap().len(), 1);
    kill(tenant.id());
    tenant.wait().unwrap();
    eventually("the session ends", || broker.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    assert!(is_alive(child), "the child has the socket, and lives");
    assert_eq!(broker.status()["ended"][0]["reason"], "tenant-died");
    kill(child);
    broker.check_nothing_left(descriptors);
}

/// Becomes a tenant, starts a process that inherits the socket, and waits to be killed.
fn fork_and_wait(socket: &Path) {
    let channel = Channel::connect(socket).unwrap();
    fcntl_setfd(&channel, FdFlags::empty()).unwrap();
    let client = Client::over(channel, Some(TenantName::new("red").unwrap())).unwrap();
    #[expect(
        clippy::zombie_processes,
        reason = "it outlives us: that is what the test is about, and the test kills it"
    )]
    let child = Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    println!("child {}", child.id());
    client.wait_ended(soon());
}

#[test]
fn a_kernel_that_never_ends_ends_its_session_and_nobody_elses() {
    let broker = Broker::start(TWO);
    // Some minutes on this device: to a limit of 300 ms the same as for ever.
    let red = Busy::with(&broker, "red", kernels::spin::case(8, 100_000_000, 1));
    let blue = Busy::new(&broker, "blue");
    blue.work();
    let done = red.client.signal(1).unwrap();
    red.queue.dispatch(&red.placed.dispatch(&done)).unwrap();
    // Until red's time is up, blue has its share; and after.
    let end = eventually("red ends", || {
        blue.work();
        red.client.ended()
    });
    assert_eq!(end.reason, EndReason::Runaway, "{end:?}");
    let fault = red.queue.fault().expect("a fault");
    assert_eq!((fault.kind, fault.kernel.as_str()), (FaultKind::Runaway, "spin"));
    assert_eq!(done.load(), 1, "what did not end did not complete");
    let tenant = eventually("the broker says so", || {
        Some(broker.tenant("red")).filter(|tenant| tenant["ended"]["runaway"] == 1)
    });
    assert_eq!(tenant["last_fault"]["kind"], "runaway", "{tenant:#}");
    assert_eq!(tenant["last_fault"]["kernel"], "spin", "{tenant:#}");
    blue.work();
}

/// A fault is told alike to the queue it stopped, in the log and in the status: kernel, address, program counter, wave, lane, and how far into the kernel.
#[test]
fn a_fault_has_its_place_in_the_queue_the_log_and_the_status() {
    let broker = Broker::start(TWO);
    let red = Busy::with(&broker, "red", kernels::find("fault").unwrap().small_case(1));
    let error = crate::program::run(&red.client, &red.queue, &red.placed).unwrap_err();
    let fault = red.queue.fault().expect("a fault");
    assert_eq!((fault.kind, fault.kernel.as_str()), (FaultKind::Memory, "fault"));
    assert!(fault.address.0 == kernels::fault::NOWHERE && fault.pc.0 != 0, "{fault:?}");
    for part in ["wave 0, lane 0", "work-group [0, 0, 0]", "bytes after its first instruction"] {
        assert!(fault.detail.as_str().contains(part), "{part}: {}", fault.detail);
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    let told = eventually("the broker says so", || {
        Some(broker.tenant("red")["last_fault"].clone()).filter(|fault| !fault.is_null())
    });
    assert_eq!((&told["kernel"], &told["detail"]), (&"fault".into(), &fault.detail.as_str().into()));
    let log = broker.log();
    let line = log.lines().find(|line| line.contains("a program faulted")).unwrap_or_else(|| panic!("{log}"));
    for part in ["kernel=fault", "address=0x1000", fault.detail.as_str()] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

/// A cooperative grid that would wait for ever for work-groups that cannot be resident is refused with the numbers, and the session goes on.
#[test]
fn a_cooperative_launch_larger_than_residency_is_refused() {
    let broker = Broker::start(TWO);
    let red = Busy::with(&broker, "red", kernels::spin::case(1, 10, 1));
    let cooperative = red.client.queue_of(64, client::QueueType::Cooperative).unwrap();
    let done = red.client.signal(1).unwrap();
    let groups = 10_000;
    let small = red.placed.dispatch(&done);
    cooperative.dispatch(&client::Dispatch { grid: [64 * groups, 1, 1], ..small }).unwrap();
    let error = cooperative.wait(&done, soon()).unwrap_err();
    let fault = cooperative.fault().expect("a fault");
    assert_eq!(fault.kind, FaultKind::Resources, "{error}");
    let said = format!("a cooperative grid of {groups} work-groups: at most 64 fit the 2 compute units at once");
    assert!(error.to_string().contains(&said), "{error}");
    assert_eq!(done.load(), 1, "what was refused did not complete");
    eventually("the log says so", || broker.log().contains(&said).then_some(()));
    // Only that queue is over.
    red.work();
    let again = red.client.queue_of(64, client::QueueType::Cooperative).unwrap();
    again.dispatch(&small).unwrap();
    again.wait(&done, soon()).unwrap();
}

/// What a switch costs depends on what is resident, so administrators see what was, by dispatch.
#[test]
fn what_a_suspend_saved_is_shown_by_dispatch() {
    let broker = Broker::start(TWO);
    let blue = Busy::with(&broker, "blue", kernels::spin::case(8, 100_000_000, 1));
    let done = blue.client.signal(1).unwrap();
    blue.queue.dispatch(&blue.placed.dispatch(&done)).unwrap();
    // It never ends, so that every turn of another takes it off the device.
    let red = Busy::new(&broker, "red");
    let saved = eventually("blue is suspended", || {
        red.work();
        let status = broker.status();
        let sessions = status["sessions"].as_array().unwrap();
        let session = sessions.iter().find(|s| s["session"] == blue.client.session().0).expect("the session");
        session["saved"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&saved["kernel"], &saved["packet"], &saved["waves"]), (&"spin".into(), &0.into(), &8.into()));
    let bytes = |part: &str| saved[part].as_u64().unwrap();
    assert_eq!(bytes("sgpr_bytes"), 8 * 128 * 4);
    assert!(bytes("vgpr_bytes") >= 8 * 8 * 256, "{saved:#}");
    assert_eq!(bytes("copied_bytes"), bytes("vgpr_bytes") + bytes("sgpr_bytes") + bytes("lds_bytes"));
    assert!(broker.ask(&["status"]).contains("Saved at the last suspend, by dispatch"));
}

#[test]
fn run_passes_on_what_the_program_says() {
    let broker = Broker::start(TWO);
    let mut program = run_as(&broker, "red")
        .args(["sh", "-c", "read x; echo $WAVEGATE_TENANT $x; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = program.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "red hello\n");
    assert_eq!(output.status.code(), Some(7));
    let missing = run_as(&broker, "red").arg("/no/such/program").output().unwrap();
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/program"));
    let nobody = wavegate().args(["run", "--socket", "/no/such/socket", "--", "true"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("wavegate serve"), "says what to do next");
    // A tenant that the rules do not allow is refused by the broker, in its words.
    let played = [env!("CARGO_BIN_EXE_wavegate"), "played-tenant", "--part", "idle"];
    let refused = run_as(&broker, "green").args(played).output().unwrap();
    assert!(!refused.status.success());
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("not-that-tenant") && why.contains("leave the name out"), "{why}");
}
