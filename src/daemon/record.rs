//! What tenants wanted of the devices, as a scenario that `wavegate sim` plays.
//!
//! `wavegate serve --record FILE` writes it when the broker stops, and prints what happened in the words of the simulator, so that the
//! two can be laid side by side. Recorded is what tenants *wanted*, not what was decided: for every session its turns, each a pause
//! without work and a time it had the device until the work was done. So the file answers what another slice, weight or policy
//! would have made of the same work: change a line and play it.
//!
//! Promise: bounded by [`TURNS_MAX`]; what came later is not in the file, and the file says so. What it does not hold: groups and
//! partitions; and while a tenant has a device to itself the broker does not hear of its pauses, so they are one turn.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use broker::{Config, Event, Input, Status};
use proto::gate::{LeaseState, StopReason};
use proto::{Instant, Nanos, SessionId, TenantName};
use sim::report::{Histogram, LIVE, Report, TenantReport};

use crate::config::values::{Claim, Division, Limit, Name, Pace, Percent, SliceRule, Span, Wish};

/// How many turns are kept, of all sessions together.
const TURNS_MAX: usize = 1 << 20;

/// One session.
#[derive(Debug)]
struct Player {
    tenant: TenantName,
    from: Instant,
    to: Option<Instant>,
    /// Pause and work, in ns.
    turns: Vec<[u64; 2]>,
    /// Since when it has no work, or when the turn began that is not over.
    since: Instant,
    turn: Option<Turn>,
    idle: bool,
    /// Since when it waits for a lease, and how long it did until it was granted the one it has.
    wants_since: Option<Instant>,
    waited: Option<Nanos>,
}

/// A turn that is not over.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    pause: Nanos,
    work: Nanos,
}

/// What one tenant had.
#[derive(Debug, Default)]
struct Had {
    /// As the simulator counts it: the switch belongs to the one who comes, parked time to nobody.
    time: Nanos,
    turns: u64,
    leases: u64,
    waits: Histogram,
    granted: u64,
    denied: u64,
}

/// Listens to what the broker hears and says.
#[derive(Debug)]
pub(super) struct Recorder {
    path: PathBuf,
    began: Instant,
    players: BTreeMap<SessionId, Player>,
    had: BTreeMap<TenantName, Had>,
    switches: Histogram,
    turns: usize,
    lost: u64,
}

impl Recorder {
    /// Returns one that will write to `path`.
    pub(super) fn new(path: &Path, began: Instant) -> Recorder {
        Recorder {
            path: path.to_owned(),
            began,
            players: BTreeMap::new(),
            had: BTreeMap::new(),
            switches: Histogram::default(),
            turns: 0,
            lost: 0,
        }
    }

    /// Takes note of what the broker is told.
    pub(super) fn hear(&mut self, now: Instant, input: &Input) {
        match *input {
            Input::Gate { session, ref view } => self.look(now, session, view.word.state()),
            Input::GrantOutcome { session, granted_at: Some(at), .. } => {
                let Some(player) = self.players.get_mut(&session) else { return };
                player.waited = player.wants_since.take().map(|since| at.since(since));
            }
            _ => {}
        }
    }

    fn look(&mut self, now: Instant, session: SessionId, state: Option<LeaseState>) {
        let Some(player) = self.players.get_mut(&session) else { return };
        player.idle = state == Some(LeaseState::Idle);
        if state == Some(LeaseState::Runnable) && player.wants_since.is_none() {
            player.wants_since = Some(now);
            let pause = now.since(player.since);
            player.turn.get_or_insert(Turn { pause, ..Turn::default() });
        }
    }

    /// Takes note of what the broker says.
    pub(super) fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Admitted { session, tenant, .. } => {
                let player = Player {
                    tenant: *tenant,
                    from: now,
                    to: None,
                    turns: Vec::new(),
                    since: now,
                    turn: None,
                    idle: true,
                    wants_since: None,
                    waited: None,
                };
                self.players.insert(*session, player);
            }
            // A simulated session has its first pause from there on, too.
            Event::Ready { session, .. } => {
                if let Some(player) = self.players.get_mut(session) {
                    player.since = now;
                }
            }
            Event::Switched { to, parts, .. } => {
                self.switches.add(parts.total());
                self.wait_is_over(*to, parts.start);
            }
            Event::LeaseEnded { session, tenant, occupancy, span, reason } => {
                self.wait_is_over(*session, Nanos(0));
                let had = self.had.entry(*tenant).or_default();
                had.time.0 += span.until.since(span.granted_at).0.saturating_sub(span.parked.0);
                had.leases += 1;
                let Some(player) = self.players.get_mut(session) else { return };
                player.turn.get_or_insert_default().work.0 += occupancy.0;
                if player.idle || matches!(reason, None | Some(StopReason::Drained)) {
                    self.end_turn(now, *session);
                }
            }
            Event::Ended { session, .. } => {
                self.end_turn(now, *session);
                if let Some(player) = self.players.get_mut(session) {
                    player.to = Some(now);
                }
            }
            Event::Denied { tenant, .. } => self.had.entry(*tenant).or_default().denied += 1,
            _ => {}
        }
    }

    fn wait_is_over(&mut self, session: SessionId, start: Nanos) {
        let Some(player) = self.players.get_mut(&session) else { return };
        if let Some(waited) = player.waited.take() {
            self.had.entry(player.tenant).or_default().waits.add(Nanos(waited.0 + start.0));
        }
    }

    fn end_turn(&mut self, now: Instant, session: SessionId) {
        let Some(player) = self.players.get_mut(&session) else { return };
        let Some(Turn { pause, work }) = player.turn.take() else { return };
        player.since = now;
        // Who has new work as it gives the device away says so in the same step, which is heard of before the end of the lease.
        player.turn = player.wants_since.map(|_| Turn::default());
        // Work that came in the same moment is another turn; one that was given up before it had the device is none.
        if work.0 == 0 {
            return;
        }
        self.had.entry(player.tenant).or_default().turns += 1;
        if self.turns == TURNS_MAX {
            self.lost += 1;
            return;
        }
        player.turns.push([pause.0, work.0]);
        self.turns += 1;
    }

    /// Writes the file, and returns what happened. `status` is of the broker whose configuration `config` is.
    pub(super) fn finish(mut self, now: Instant, config: &Config, status: &Status) -> std::io::Result<Report> {
        for session in self.players.keys().copied().collect::<Vec<_>>() {
            self.end_turn(now, session);
        }
        std::fs::write(&self.path, self.text(now, config))?;
        Ok(self.report(now, config, status))
    }

    /// Returns where it is written to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn text(&self, now: Instant, config: &Config) -> String {
        let device = &config.devices[0];
        let slice = Pace(SliceRule { slice: device.slice, adaptive: device.adaptive });
        let after = |at: Instant| Span(at.since(self.began));
        let mut text = String::from(
            "# Recorded by `wavegate serve --record`; `wavegate sim` plays it. Turns are [pause, work] in ns.\n",
        );
        if self.lost > 0 {
            let _ = writeln!(text, "# {} more turns were not kept: {TURNS_MAX} are.", self.lost);
        }
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "span = \"{}\"\nslice = \"{slice}\"\npolicy = \"{}\"\ndevices = {}",
            after(now),
            Division(device.policy),
            config.devices.len()
        );
        if self.switches.count() > 0 {
            let _ = writeln!(text, "switch = \"{}\"", Span(self.switches.quantile(500)));
        }
        for tenant in &config.tenants {
            let players =
                || self.players.values().filter(|player| player.tenant == tenant.name && !player.turns.is_empty());
            if players().next().is_none() {
                continue;
            }
            let _ = writeln!(
                text,
                "\n[[tenant]]\nname = \"{}\"\nweight = {}\nclass = \"{}\"\ncap = \"{}\"\nguarantee = \"{}\"",
                Name(tenant.name),
                Claim(tenant.weight),
                Wish(tenant.class),
                Percent(tenant.cap),
                Percent(tenant.guarantee)
            );
            if let Some(slice) = tenant.slice {
                let _ = writeln!(text, "slice = \"{}\"", Limit(slice));
            }
            for player in players() {
                let to = player.to.unwrap_or(now);
                let _ = write!(
                    text,
                    "[[tenant.session]]\nfrom = \"{}\"\nto = \"{}\"\nturns = [",
                    after(player.from),
                    after(to)
                );
                for [pause, work] in &player.turns {
                    let _ = write!(text, "[{pause},{work}],");
                }
                text.push_str("]\n");
            }
        }
        text
    }

    fn report(&self, now: Instant, config: &Config, status: &Status) -> Report {
        let tenants = self.had.iter().map(|(name, had)| TenantReport {
            tenant: *name,
            weight: config.tenant(name).map_or(0, |tenant| tenant.weight.get()),
            entitled: None,
            got: 0,
            had: had.time,
            work: had.time.0,
            submitted: had.turns,
            completed: had.turns,
            leases: had.leases,
            waits: had.waits.clone(),
            latencies: Histogram::default(),
            charges: (had.granted, had.denied),
        });
        Report {
            world: LIVE,
            seed: 0,
            hash: 0,
            lines: 0,
            span: now.since(self.began),
            tenants: tenants.collect(),
            sessions: self.players.len() as u64,
            switches: self.switches.clone(),
            totals: status.totals(),
            stale: status.stale,
            window: Nanos(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::{GateView, LeaseSpan, MatchRule, Peer, SwitchParts, TenantConfig};
    use proto::gate::{GateWord, Level};
    use proto::message::EndReason;
    use proto::{Bytes, LeaseGeneration};

    use super::*;

    const SESSION: SessionId = SessionId(1);

    fn at(us: u64) -> Instant {
        Instant(us * 1_000)
    }

    fn gate(word: GateWord) -> Input {
        Input::Gate { session: SESSION, view: GateView::new(word) }
    }

    fn red() -> TenantName {
        TenantName::new("red").unwrap()
    }

    fn runnable() -> GateWord {
        GateWord::NEW.announce().unwrap()
    }

    fn lease(recorder: &mut Recorder, granted: u64) {
        let granted_at = Some(at(granted));
        let generation = LeaseGeneration::default();
        recorder.hear(at(granted), &Input::GrantOutcome { session: SESSION, generation, granted_at });
    }

    /// A lease from `granted` to `until` ends; what it did not run, it was parked.
    fn ended(granted: u64, until: u64, occupancy: u64, reason: Option<StopReason>) -> Event {
        let occupancy = Nanos(occupancy * 1_000);
        let span = LeaseSpan {
            device: 0,
            partition: 0,
            generation: LeaseGeneration::default(),
            granted_at: at(granted),
            started_at: Some(at(granted)),
            until: at(until),
            occupancy,
            parked: Nanos(at(until).since(at(granted)).0 - occupancy.0),
            level: Level::Keep,
        };
        Event::LeaseEnded { session: SESSION, tenant: red(), occupancy, span, reason }
    }

    /// A session is ready, 200 us after the recorder began.
    fn ready() -> Recorder {
        let mut recorder = Recorder::new(Path::new("unused"), at(1_000));
        let peer = Peer { pid: 1, uid: 7, gid: 7, cgroup: "/".into() };
        recorder.note(at(1_100), &Event::Admitted { session: SESSION, tenant: red(), peer });
        recorder.note(at(1_200), &Event::Ready { session: SESSION, took: Nanos::from_micros(100) });
        recorder
    }

    /// One session: 300 us without work, a turn that takes two leases, a pause, a turn that ends parked.
    fn recorded() -> (Recorder, Config) {
        let name = red();
        let mut config = Config::built_in(Bytes(1 << 30));
        let matches = vec![MatchRule { uid: Some(7), ..MatchRule::default() }];
        config.tenants.push(TenantConfig { matches, ..TenantConfig::modest(name) });
        let mut recorder = ready();
        let runnable = runnable();
        recorder.hear(at(1_500), &gate(runnable));
        lease(&mut recorder, 1_600);
        let parts = SwitchParts { stop: Nanos(10), grant: Nanos(20), start: Nanos::from_micros(30) };
        let switched = Event::Switched {
            from: SessionId(9),
            to: SESSION,
            device: 0,
            partition: 0,
            requested_at: at(1_550),
            same_tenant: false,
            parts,
            saved: Bytes(0),
        };
        recorder.note(at(1_700), &switched);
        // Preempted, with work left.
        recorder.hear(at(6_700), &gate(runnable));
        recorder.note(at(6_700), &ended(1_700, 6_700, 5_000, Some(StopReason::Preempted)));
        lease(&mut recorder, 9_000);
        recorder.hear(at(9_700), &gate(GateWord::NEW));
        recorder.note(at(9_700), &ended(9_000, 9_700, 700, Some(StopReason::Drained)));
        recorder.hear(at(10_000), &gate(runnable));
        lease(&mut recorder, 10_000);
        recorder.note(at(12_000), &ended(10_000, 12_000, 250, None));
        let (reason, bytes_reclaimed) = (EndReason::Goodbye, Bytes(0));
        let end =
            Event::Ended { session: SESSION, tenant: name, reason, signal: 0, charges_reclaimed: 0, bytes_reclaimed };
        recorder.note(at(15_000), &end);
        (recorder, config)
    }

    #[test]
    fn turns_are_what_was_wanted_however_it_was_cut() {
        let (recorder, config) = recorded();
        assert_eq!(recorder.players[&SESSION].turns, [[300_000, 5_700_000], [300_000, 250_000]]);
        let text = recorder.text(at(21_000), &config);
        for line in [
            "span = \"20ms\"",
            "switch = \"30030ns\"",
            "name = \"red\"",
            "from = \"100us\"\nto = \"14ms\"\nturns = [[300000,5700000],[300000,250000],]",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        toml::from_str::<toml::Table>(&text).unwrap();
    }

    /// New work is announced with the same step that gives the device away, and is heard of before the end of the lease is.
    #[test]
    fn nothing_is_lost_of_who_has_new_work_at_once() {
        let mut recorder = ready();
        recorder.hear(at(1_500), &gate(runnable()));
        for (granted, until) in [(2_000, 3_000), (4_000, 6_000), (7_000, 7_500)] {
            lease(&mut recorder, granted);
            recorder.hear(at(until), &gate(runnable()));
            recorder.note(at(until), &ended(granted, until, until - granted, Some(StopReason::Drained)));
        }
        let turns = [[300_000, 1_000_000], [0, 2_000_000], [0, 500_000]];
        assert_eq!(recorder.players[&SESSION].turns, turns);
        let had = &recorder.had[&red()];
        assert_eq!((had.turns, had.time), (3, Nanos(turns.iter().map(|[_, work]| work).sum())));
    }

    #[test]
    fn report_says_what_everybody_had() {
        let (recorder, config) = recorded();
        let status = Status { tenants: vec![], sessions: vec![], devices: vec![], usage: Default::default(), stale: 0 };
        let report = recorder.report(at(21_000), &config, &status);
        let red = report.tenant("red").unwrap();
        assert_eq!((red.had, red.leases, red.completed), (Nanos::from_micros(5_950), 3, 2));
        // Granted after 100 us and 30 us more to the first instruction; after 2.3 ms; at once.
        assert_eq!((red.waits.count(), red.waits.max()), (3, Nanos::from_micros(2_300)));
        assert!(report.to_string().starts_with("live: 20.00 ms with 1 tenants and 1 sessions"), "{report}");
    }

    #[test]
    fn turns_beyond_the_bound_are_counted_and_said() {
        let (mut recorder, config) = recorded();
        recorder.turns = TURNS_MAX;
        let player = recorder.players.get_mut(&SESSION).unwrap();
        player.turn = Some(Turn { pause: Nanos(1), work: Nanos(1) });
        recorder.end_turn(at(16_000), SESSION);
        assert!(recorder.text(at(21_000), &config).contains("1 more turns were not kept"));
    }
}
