//! The daemon as its peers see it, over real sockets: tenants that come wrong, workers that do not start, administrators.
//!
//! Sessions with real workers are tested as processes, in `tests/broker/`.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use proto::limits::{COMMAND_NAME_MAX, MAX_MESSAGE};
use proto::message::opening::{Hello, ListDevices, Opening};
use proto::message::{EndReason, RefuseCode, TenantAnswer};
use proto::text::Text;
use proto::wire::Message;
use proto::{RequestId, TenantName};
use sys::socket::{Channel, ReceiveError};

use super::{Daemon, ServeError, Watched};
use crate::admin::{Answer, FailureCode, Reply, Request};
use crate::config::ServeOptions;

/// A daemon on a thread of its own, in a directory of its own.
struct Rig {
    directory: PathBuf,
    daemon: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Rig {
    /// Serves with this configuration, and with this program in place of workers.
    fn new(config: &str, worker: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wg-daemon-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut rig = Self { directory, daemon: None };
        rig.configure(config);
        rig.start(worker);
        rig
    }

    fn configure(&self, config: &str) {
        std::fs::write(self.directory.join("wavegate.toml"), config).unwrap();
    }

    fn options(&self) -> ServeOptions {
        ServeOptions {
            config: Some(self.directory.join("wavegate.toml")),
            socket: Some(self.directory.join("tenant.sock")),
            admin_socket: Some(self.directory.join("admin.sock")),
            devices: vec!["soft:cus=1,vram=1GiB".parse().unwrap()],
            state: Some(self.directory.join("live.toml")),
            record: None,
        }
    }

    fn start(&mut self, worker: &str) {
        let mut daemon = Daemon::new(self.options(), Some(worker.into())).unwrap();
        self.daemon = Some(std::thread::spawn(move || daemon.run()));
    }

    fn stop(&mut self) {
        assert_eq!(self.ask(&Request::Shutdown), Ok(Reply::Done));
        self.daemon.take().unwrap().join().unwrap().unwrap();
    }

    fn ask_line(&self, line: &str) -> Answer {
        let mut stream = UnixStream::connect(self.directory.join("admin.sock")).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn ask(&self, request: &Request) -> Result<Reply, FailureCode> {
        match self.ask_line(&serde_json::to_string(request).unwrap()) {
            Answer::Ok(reply) => Ok(reply),
            Answer::Error(failure) => Err(failure.code),
        }
    }

    fn status(&self) -> crate::admin::Status {
        match self.ask(&Request::Status) {
            Ok(Reply::Status(status)) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn connect(&self) -> Channel {
        Channel::connect(&self.directory.join("tenant.sock")).unwrap()
    }

    fn weight(&self, tenant: &str) -> Option<u32> {
        let Ok(Reply::Tenants(tenants)) = self.ask(&Request::TenantList) else { panic!("a list") };
        tenants.iter().find(|t| t.name.to_string() == tenant).map(|t| t.weight)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            if self.daemon.is_some() {
                self.stop();
            }
            let left: Vec<_> = std::fs::read_dir(&self.directory).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.iter().all(|name| name.to_string_lossy().ends_with(".toml")), "left behind: {left:?}");
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn hello(tenant: Option<&str>, device: u32) -> Vec<u8> {
    let tenant = tenant.map(|name| TenantName::new(name).unwrap());
    let command: Text<{ COMMAND_NAME_MAX }> = Text::truncated("a test");
    Opening::from(Hello { tenant, command, device }).encode(RequestId(1)).as_bytes().to_vec()
}

/// Returns what the daemon says, and checks that it says no more.
fn last_word(channel: &Channel) -> TenantAnswer {
    let mut bytes = [0; MAX_MESSAGE];
    let len = channel.receive(&mut bytes, 0).unwrap().len;
    let answer = TenantAnswer::decode(&bytes[..len], 0).unwrap().1;
    assert!(matches!(channel.receive(&mut [0; 16], 0), Err(ReceiveError::Closed)));
    answer
}

fn refusal(answer: &TenantAnswer) -> RefuseCode {
    match answer {
        TenantAnswer::Refused(refused) => {
            assert!(!refused.text.is_empty());
            refused.code
        }
        other => panic!("{other:?}"),
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

const NO_WORKER: &str = "/nonexistent/worker";

#[test]
fn a_first_packet_that_is_no_hello_is_refused() {
    let rig = Rig::new("", NO_WORKER);
    let good = hello(None, 0);
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let long = vec![7; MAX_MESSAGE + 1];
    for (bytes, code) in [
        (b"GET / HTTP/1.1".to_vec(), RefuseCode::Malformed),
        (vec![0], RefuseCode::Malformed),
        (long, RefuseCode::Malformed),
        (good[..good.len() - 1].to_vec(), RefuseCode::Malformed),
        (changed(2, 99), RefuseCode::Version),
        (changed(4, 0x77), RefuseCode::Malformed),
        (changed(16, b'/'), RefuseCode::Malformed),
    ] {
        let channel = rig.connect();
        channel.send(&bytes, &[]).unwrap();
        assert_eq!(refusal(&last_word(&channel)), code, "{bytes:?}");
    }
    // A descriptor does not belong there, one or too many to be taken at all.
    for count in [1, 8] {
        let channel = rig.connect();
        channel.send(&good, &vec![channel.as_fd(); count]).unwrap();
        assert_eq!(refusal(&last_word(&channel)), RefuseCode::Malformed);
    }
    let status = rig.status();
    assert_eq!((status.refused["malformed"], status.refused["version"]), (8, 1));
    assert!(status.sessions.is_empty() && status.ended.is_empty());
}

#[test]
fn credentials_decide_who_is_refused() {
    let stranger = own_uid().wrapping_add(1);
    let config = format!(
        "unknown = \"deny\"\n[[tenant]]\nname = \"red\"\nmatch = [{{ uid = {stranger} }}]\n[[tenant]]\nname = \"blue\"\n"
    );
    let rig = Rig::new(&config, NO_WORKER);
    for wanted in [None, Some("red"), Some("blue"), Some("no-such")] {
        let channel = rig.connect();
        channel.send(&hello(wanted, 0), &[]).unwrap();
        assert_eq!(refusal(&last_word(&channel)), RefuseCode::UnknownUser);
    }
    // The same user, once there is a rule for it.
    let line = format!(
        r#"{{"command":"tenant-set","settings":{{"name":"blue","match":[{{"uid":{}}}],"sessions":0}}}}"#,
        own_uid()
    );
    assert_eq!(rig.ask_line(&line), Answer::Ok(Reply::Done));
    for (wanted, device, code) in [
        (Some("red"), 0, RefuseCode::NotThatTenant),
        (Some("blue"), 1, RefuseCode::NoDevice),
        (Some("blue"), 0, RefuseCode::SessionLimit),
    ] {
        let channel = rig.connect();
        channel.send(&hello(wanted, device), &[]).unwrap();
        assert_eq!(refusal(&last_word(&channel)), code);
    }
    assert_eq!(rig.ask(&Request::TenantPause { tenant: "blue".parse().unwrap() }), Ok(Reply::Done));
    let channel = rig.connect();
    channel.send(&hello(None, 0), &[]).unwrap();
    assert_eq!(refusal(&last_word(&channel)), RefuseCode::Paused);
}

#[test]
fn a_tenant_is_told_its_devices_and_nobody_else_is() {
    let config = "unknown = \"deny\"\n[[tenant]]\nname = \"red\"\nmatch = [{ uid = UID }]\n";
    let rig = Rig::new(&config.replace("UID", &own_uid().to_string()), NO_WORKER);
    let ask = |name: Option<&str>| {
        let channel = rig.connect();
        let tenant = name.map(|name| TenantName::new(name).unwrap());
        channel.send(Opening::from(ListDevices { tenant }).encode(RequestId(1)).as_bytes(), &[]).unwrap();
        last_word(&channel)
    };
    let TenantAnswer::Devices(known) = ask(None) else { panic!("no list") };
    assert_eq!((known.count, known.list[0].index), (1, 0));
    assert_ne!(known.list[0].uuid, 0);
    assert_eq!(ask(Some("red")), TenantAnswer::Devices(known));
    assert_eq!(refusal(&ask(Some("blue"))), RefuseCode::NotThatTenant);
    assert_eq!(rig.ask(&Request::TenantPause { tenant: "red".parse().unwrap() }), Ok(Reply::Done));
    assert!(matches!(ask(None), TenantAnswer::Devices(_)), "it may know what it will have again");
}

#[test]
fn a_worker_that_does_not_start_ends_its_session_only() {
    for (worker, reason) in [(NO_WORKER, EndReason::StartFailed), ("/bin/true", EndReason::WorkerDied)] {
        let rig = Rig::new("", worker);
        for _ in 0..3 {
            let channel = rig.connect();
            channel.send(&hello(None, 0), &[]).unwrap();
            match last_word(&channel) {
                TenantAnswer::Ending(ending) => assert_eq!((ending.reason, ending.text.is_empty()), (reason, false)),
                other => panic!("{other:?}"),
            }
        }
        let status = rig.status();
        assert!(status.sessions.is_empty(), "{:?}", status.sessions);
        assert_eq!(status.tenants[0].ended[reason.word()], 3);
        assert_eq!((status.ended.len(), status.ended[0].command.as_str()), (3, "a test"));
        assert_eq!(status.ended[0].pid, std::process::id());
    }
}

#[test]
fn connections_that_say_nothing_are_nobody_elses_problem() {
    let rig = Rig::new("", NO_WORKER);
    let silent: Vec<_> = (0..super::lobby::WAITING_PER_USER_MAX - 1).map(|_| rig.connect()).collect();
    let hurried = rig.connect();
    drop(hurried);
    // Whether or not that one has been seen to leave by now, there is room again soon.
    let answer = (0..10_000).find_map(|_| {
        let channel = rig.connect();
        // A daemon that is full hangs up before it has read.
        let _ = channel.send(&hello(None, 1), &[]);
        Some(refusal(&last_word(&channel))).filter(|code| *code != RefuseCode::BrokerFull)
    });
    assert_eq!(answer, Some(RefuseCode::NoDevice));
    drop(silent);
}

#[test]
fn changes_apply_at_once_and_survive_a_restart() {
    let mut rig = Rig::new("[[tenant]]\nname = \"red\"\nweight = 1\n[[tenant]]\nname = \"blue\"\n", NO_WORKER);
    assert_eq!((rig.weight("red"), rig.weight("blue"), rig.weight("default")), (Some(1), Some(100), Some(100)));
    let set = |rig: &Rig, name: &str, assignment: &str| {
        let mut settings = crate::config::TenantSettings::nothing(name.parse().unwrap());
        settings.set(assignment).unwrap();
        rig.ask(&Request::TenantSet { settings: Box::new(settings) })
    };
    let name = |name: &str| name.parse().unwrap();
    assert_eq!(set(&rig, "red", "weight=7"), Ok(Reply::Done));
    assert_eq!(set(&rig, "new", "weight=9"), Ok(Reply::Done));
    assert_eq!(set(&rig, "new", "vram_guarantee=1TiB"), Err(FailureCode::BadConfig));
    assert_eq!(rig.ask(&Request::TenantRemove { tenant: name("blue") }), Ok(Reply::Done));
    assert_eq!(rig.ask(&Request::TenantRemove { tenant: name("blue") }), Err(FailureCode::NoSuchTenant));
    assert_eq!(rig.ask(&Request::TenantRemove { tenant: name("default") }), Err(FailureCode::BadConfig));
    assert_eq!(rig.ask(&Request::TenantPause { tenant: name("red") }), Ok(Reply::Done));
    for _ in 0..2 {
        assert_eq!((rig.weight("red"), rig.weight("new"), rig.weight("blue")), (Some(7), Some(9), None));
        let Ok(Reply::Tenants(red)) = rig.ask(&Request::TenantShow { tenant: name("red") }) else { panic!("red") };
        assert_eq!((red[0].paused, red[0].set_live.as_slice()), (true, &["weight".to_owned()][..]));
        rig.stop();
        rig.start(NO_WORKER);
    }
    // A changed file counts where nothing was set live, and a reset gives way to it.
    rig.configure("[[tenant]]\nname = \"red\"\nweight = 2\n[[tenant]]\nname = \"green\"\n");
    assert_eq!(rig.ask(&Request::Reload), Ok(Reply::Done));
    assert_eq!((rig.weight("red"), rig.weight("green")), (Some(7), Some(100)));
    assert_eq!(rig.ask(&Request::TenantReset { tenant: name("red") }), Ok(Reply::Done));
    assert_eq!(rig.weight("red"), Some(2));
    let Ok(Reply::Tenants(red)) = rig.ask(&Request::TenantShow { tenant: name("red") }) else { panic!("red") };
    assert!(!red[0].paused && red[0].set_live.is_empty());
    // A file that is wrong changes nothing.
    rig.configure("[[tenant]]\nname = \"red\"\nwieght = 3\n");
    assert_eq!(rig.ask(&Request::Reload), Err(FailureCode::BadConfig));
    assert_eq!(rig.weight("red"), Some(2));
    rig.configure("");
}

#[test]
fn what_cannot_be_kept_is_done_and_said() {
    let rig = Rig::new("", NO_WORKER);
    // A directory in the place of the file: nothing can be renamed over it.
    std::fs::create_dir(rig.directory.join("live.toml")).unwrap();
    let line = r#"{"command":"tenant-set","settings":{"name":"default","weight":5}}"#;
    let Answer::Error(failure) = rig.ask_line(line) else { panic!("it cannot be kept") };
    assert_eq!((failure.code, rig.weight("default")), (FailureCode::NotKept, Some(5)));
    std::fs::remove_file(rig.directory.join("live.new")).unwrap();
}

#[test]
fn administrators_who_write_nonsense_are_told() {
    let rig = Rig::new("", NO_WORKER);
    for line in ["", "nonsense", "{\"command\":\"fly\"}"] {
        let Answer::Error(failure) = rig.ask_line(line) else { panic!("{line}") };
        assert_eq!(failure.code, FailureCode::BadRequest);
    }
    assert_eq!(rig.ask(&Request::SessionKill { session: 9 }), Err(FailureCode::NoSuchSession));
    // Many requests at once are answered one by one, in order, also more of them than one turn takes.
    let mut stream = UnixStream::connect(rig.directory.join("admin.sock")).unwrap();
    let many = "{\"command\":\"session-list\"}\nx\n".repeat(100);
    stream.write_all(many.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answers: Vec<_> = BufReader::new(stream).lines().map(|line| line.unwrap().contains("bad-request")).collect();
    assert_eq!(answers.len(), 200);
    assert!(answers.iter().enumerate().all(|(i, bad)| *bad == (i % 2 == 1)));
}

#[test]
fn one_daemon_at_a_time() {
    let rig = Rig::new("", NO_WORKER);
    let second = Daemon::new(rig.options(), None);
    assert!(matches!(second.err(), Some(ServeError::Listen(sys::listener::ListenError::InUse { .. }))));
}

#[test]
fn tokens_come_back_as_what_they_were() {
    use broker::ConnectionId;
    use proto::SessionId;

    let id = (1 << 56) - 1;
    for watched in [
        Watched::Tenants,
        Watched::Admins,
        Watched::Signals,
        Watched::Visitor(ConnectionId(id)),
        Watched::Client(3),
        Watched::TenantProcess(SessionId(id)),
        Watched::Worker(SessionId(1)),
        Watched::Channel(SessionId(2)),
        Watched::Bell(SessionId(id)),
    ] {
        assert_eq!(Watched::of(watched.token()), Some(watched));
    }
    assert_eq!(Watched::of(u64::MAX), None);
}

#[test]
fn the_usual_directory_is_made() {
    let directory = std::env::temp_dir().join(format!("wg-place-{}", std::process::id()));
    super::create_directory(&directory.join("a/b")).unwrap();
    super::create_directory(&directory.join("a/b")).unwrap();
    assert!(matches!(super::create_directory(Path::new("/proc/x")), Err(ServeError::Directory { .. })));
    std::fs::remove_dir_all(&directory).unwrap();
}
