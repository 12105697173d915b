//! Several partitions, several devices, groups, and what administrators change of them live.

mod world;

use broker::{
    Adaptive, AdminCommand, AdminError, Config, ConfigError, DeviceChange, DeviceConfig, GroupConfig, PartitionConfig,
    Placement, TenantChange, TenantConfig,
};
use proto::limits::ANY_DEVICE;
use proto::message::worker::{ChargeKind, Moved};
use proto::message::{EndReason, RefuseCode};
use proto::{Bytes, Nanos, PartitionId};
use sched::pace::Verdict;
use sched::{Policy, Share, Weight};
use world::{World, config, held, name, weighted};

const MS: u64 = 1_000_000;
const FOREVER: u64 = u64::MAX / 4;

fn divided(tenants: &[TenantConfig]) -> Config {
    let mut config = config(tenants);
    config.devices[0].partitions =
        ["left", "right"].map(|n| PartitionConfig { name: name(n), cus: 4 }).into_iter().collect();
    config
}

fn in_partition(tenant: TenantConfig, partition: &str) -> TenantConfig {
    TenantConfig { partition: Some(name(partition)), ..tenant }
}

fn partition(partition: &str) -> TenantChange {
    TenantChange { partition: Some(Some(name(partition))), ..TenantChange::default() }
}

#[test]
fn partitions_run_side_by_side() {
    let tenants = [
        in_partition(weighted("red", 100), "left"),
        in_partition(weighted("blue", 300), "right"),
        in_partition(weighted("green", 100), "right"),
    ];
    let mut w = World::new(divided(&tenants));
    let sessions = [1000, 1001, 1002].map(|uid| w.session(uid));
    sessions.iter().for_each(|&session| w.submit(session, FOREVER));
    w.run(1_000 * MS);
    let done = sessions.map(|session| w.done(session) / MS);
    assert!(done[0] >= 999, "alone in its partition: {done:?}");
    assert!((735..=765).contains(&done[1]) && (235..=265).contains(&done[2]), "by weight in theirs: {done:?}");
    w.shut_down();
}

#[test]
fn tenants_move_between_partitions_live() {
    let tenants = [
        in_partition(weighted("red", 100), "left"),
        in_partition(weighted("blue", 100), "left"),
        in_partition(weighted("idle", 100), "left"),
    ];
    let mut w = World::new(divided(&tenants));
    let [red, blue, idle] = [1000, 1001, 1002].map(|uid| w.session(uid));
    w.submit(red, FOREVER);
    w.submit(blue, FOREVER);
    w.run(503 * MS);
    // One of the two has the device at this moment: both ways of moving are taken.
    let before = [red, blue].map(|session| w.done(session));
    w.admin(AdminCommand::TenantSet(name("red"), partition("right"))).unwrap();
    w.admin(AdminCommand::TenantSet(name("idle"), partition("right"))).unwrap();
    w.step_all();
    w.run(500 * MS);
    let got = [red, blue].map(|session| w.done(session));
    assert!((0..2).all(|i| got[i] - before[i] >= 495 * MS), "each has a partition of its own: {before:?} {got:?}");
    assert_eq!((w.workers[&red].place, w.workers[&idle].place), ((0, 1), (0, 1)));
    assert_eq!(w.workers[&red].moves, 1);
    // And back: they share again, and what was charged anywhere is counted.
    w.admin(AdminCommand::TenantSet(name("red"), partition("left"))).unwrap();
    w.step_all();
    let (then, before) = (w.now, [red, blue].map(|session| w.done(session)));
    w.run(500 * MS);
    let got = [red, blue].map(|session| w.done(session));
    let gained: Vec<u64> = (0..2).map(|i| (got[i] - before[i]) / MS).collect();
    assert!(gained.iter().all(|ms| (235..=265).contains(ms)), "{gained:?}");
    let status = w.status();
    let charged = status.tenants.iter().find(|t| t.config.name == name("red")).unwrap().charged;
    assert!(charged.0.abs_diff(got[0]) <= 6 * MS, "{charged} charged, {} had", got[0]);
    assert!(w.now.since(then).0 >= 500 * MS);
    w.shut_down();
}

#[test]
fn nobody_has_a_lease_between_two_partitions() {
    let mut w = World::new(divided(&[in_partition(weighted("red", 100), "left"), weighted("blue", 100)]));
    let [red, blue] = [1000, 1001].map(|uid| w.session(uid));
    w.submit(red, FOREVER);
    w.run(100 * MS);
    let before = w.done(red);
    // It has let go of the device, and does not say that it has arrived.
    w.admin(AdminCommand::TenantSet(name("red"), partition("right"))).unwrap();
    w.step(red);
    w.worker(red).stuck = true;
    assert_eq!(w.worker(red).sent_to, Some(1));
    w.run(1_000 * MS);
    assert_eq!((w.done(red), held(w.workers[&red].word)), (before, false));
    // An administrator who thinks better of it is heard when it has arrived; it is not sent on before.
    w.admin(AdminCommand::TenantSet(name("red"), partition("left"))).unwrap();
    w.worker(red).stuck = false;
    w.step_all();
    w.run(100 * MS);
    assert_eq!((w.workers[&red].place, w.workers[&red].moves), ((0, 0), 2));
    assert!(w.done(red) >= before + 99 * MS);
    // One that never arrives is ended in the end, and one that says so unasked at once.
    w.admin(AdminCommand::TenantSet(name("red"), partition("right"))).unwrap();
    w.step(red);
    w.worker(red).stuck = true;
    w.run(11_000 * MS);
    assert_eq!(w.ended.get(&red), Some(&EndReason::PreemptTimeout));
    w.say(blue, Moved { partition: PartitionId(0) }.into());
    w.step_all();
    assert_eq!(w.ended.get(&blue), Some(&EndReason::WorkerViolation));
    w.shut_down();
}

#[test]
fn sessions_spread_over_devices_or_pack_them() {
    let device = || DeviceConfig::whole(Bytes(1 << 30));
    let mut config = config(&[TenantConfig { sessions: 100, vram_limit: Bytes(400 << 20), ..weighted("red", 100) }]);
    config.devices = vec![device(), device(), device()];
    let mut w = World::new(config.clone());
    w.device = ANY_DEVICE;
    let sessions: Vec<_> = (0..6).map(|_| w.session(1000)).collect();
    let places: Vec<_> = sessions.iter().map(|session| w.workers[session].place.0).collect();
    assert_eq!(places, [0, 1, 2, 0, 1, 2]);
    // A device that was asked for, and one that is not there.
    w.device = 2;
    let session = w.session(1000);
    assert_eq!(w.workers[&session].place.0, 2);
    w.device = 3;
    assert_eq!(w.connect(1000, None), None);
    assert_eq!(w.refused, [RefuseCode::NoDevice]);
    w.shut_down();

    config.placement = Placement::Pack;
    let mut w = World::new(config);
    w.device = ANY_DEVICE;
    let mut places = Vec::new();
    for _ in 0..4 {
        let session = w.session(1000);
        w.charge(session, ChargeKind::Vram, 400 << 20, false);
        places.push(w.workers[&session].place.0);
    }
    // Red may have 400 MiB on each device: full for the next one as soon as less than that is left.
    assert_eq!(places[..2], [0, 0], "{places:?}");
    w.shut_down();
}

#[test]
fn devices_run_side_by_side_and_have_memory_of_their_own() {
    let mut config = config(&[weighted("red", 100), weighted("blue", 100)]);
    config.devices.push(DeviceConfig::whole(Bytes(1 << 30)));
    let mut w = World::new(config);
    let sessions: Vec<_> = [(1000, 0), (1001, 1)]
        .into_iter()
        .map(|(uid, device)| {
            w.device = device;
            w.session(uid)
        })
        .collect();
    for &session in &sessions {
        w.submit(session, FOREVER);
        w.charge(session, ChargeKind::Vram, 900 << 20, false);
    }
    w.run(500 * MS);
    assert!(sessions.iter().all(|&session| w.done(session) >= 499 * MS));
    let status = w.status();
    assert!(status.devices.iter().all(|device| device.vram_used == Bytes(900 << 20)), "{:?}", status.devices);
    w.shut_down();
}

#[test]
fn groups_share_before_tenants_do() {
    let group = |n: &str, weight| GroupConfig {
        name: name(n),
        weight: Weight::new(weight).unwrap(),
        cap: None,
        guarantee: None,
    };
    let member = |n: &str, of: &str| TenantConfig { group: Some(name(of)), ..weighted(n, 100) };
    let mut config = config(&[member("a", "many"), member("b", "many"), member("c", "many"), member("d", "one")]);
    config.groups = vec![group("many", 100), group("one", 100)];
    let mut w = World::new(config);
    let sessions = [1000, 1001, 1002, 1003].map(|uid| w.session(uid));
    sessions.iter().for_each(|&session| w.submit(session, FOREVER));
    w.run(1_200 * MS);
    let done = sessions.map(|session| w.done(session) / MS);
    assert!((580..=620).contains(&done[3]), "one of a group has what three of another have: {done:?}");
    assert!(done[..3].iter().all(|ms| (180..=220).contains(ms)), "{done:?}");
    // Into another group while it runs: two and two now.
    let change = TenantChange { group: Some(Some(name("one"))), ..TenantChange::default() };
    w.admin(AdminCommand::TenantSet(name("a"), change)).unwrap();
    w.step_all();
    let before = sessions.map(|session| w.done(session) / MS);
    w.run(1_200 * MS);
    let gained: Vec<u64> = sessions.iter().zip(before).map(|(&session, then)| w.done(session) / MS - then).collect();
    assert!(gained.iter().all(|ms| (275..=325).contains(ms)), "{gained:?}");
    w.shut_down();
}

#[test]
fn policies_change_live() {
    let mut w = World::new(config(&[weighted("red", 300), weighted("blue", 100), weighted("absent", 400)]));
    let sessions = [1000, 1001].map(|uid| w.session(uid));
    sessions.iter().for_each(|&session| w.submit(session, FOREVER));
    // Reserved for the tenants `absent` and `default`, too, where shares are fixed.
    let all = 300 + 100 + 400 + 100;
    for (policy, due) in [
        (Policy::Weighted, [750, 250]),
        (Policy::FixedShare, [1_000 * 300 / all, 1_000 * 100 / all]),
        (Policy::EqualShare, [500, 500]),
        (Policy::BestEffort, [500, 500]),
        (Policy::Weighted, [750, 250]),
    ] {
        let change = DeviceChange { policy: Some(policy), ..DeviceChange::default() };
        w.admin(AdminCommand::DeviceSet(None, change)).unwrap();
        let before = sessions.map(|session| w.done(session));
        w.run(1_000 * MS);
        let gained = [0, 1].map(|i| (w.done(sessions[i]) - before[i]) / MS);
        assert!((0..2).all(|i| gained[i].abs_diff(due[i]) <= 15), "{policy:?}: {gained:?} of {due:?}");
    }
    w.shut_down();
}

#[test]
fn slice_follows_the_price_of_a_switch_and_says_what_cannot_be_met() {
    let adaptive = |wait: Option<u32>| Adaptive {
        efficiency: Share::from_percent(95).unwrap(),
        wait: wait.map(Nanos::from_millis),
        slice_max: Nanos::from_millis(50),
    };
    let mut c = config(&[weighted("red", 100), weighted("blue", 100), weighted("green", 100)]);
    c.devices[0].adaptive = Some(adaptive(None));
    let mut w = World::new(c);
    // Whoever comes starts after 200 us.
    w.start_time = MS / 5;
    [1000, 1001, 1002].map(|uid| w.session(uid)).iter().for_each(|&session| w.submit(session, FOREVER));
    w.run(1_000 * MS);
    let partition = w.status().devices[0].partitions[0].clone();
    let outlook = partition.outlook.unwrap();
    assert_eq!((outlook.verdict, outlook.active), (Verdict::Met, 3));
    assert!((3 * MS..=5 * MS).contains(&partition.slice.0), "19 x 200 us: {outlook:?}");
    let change = DeviceChange { adaptive: Some(Some(adaptive(Some(2)))), ..DeviceChange::default() };
    w.admin(AdminCommand::DeviceSet(Some(0), change)).unwrap();
    w.run(1_000 * MS);
    assert_eq!(w.status().devices[0].partitions[0].outlook.unwrap().verdict, Verdict::WaitMissed);
    let change = DeviceChange { adaptive: Some(None), slice: Some(Nanos::from_millis(7)), ..DeviceChange::default() };
    w.admin(AdminCommand::DeviceSet(Some(0), change)).unwrap();
    assert_eq!(w.status().devices[0].partitions[0].slice, Nanos::from_millis(7));
    assert_eq!(w.admin(AdminCommand::DeviceSet(Some(1), change)), Err(AdminError::NoSuchDevice(1)));
    w.shut_down();
}

/// Before, a reload could raise slice and timeout beyond what the scheduler had been made for.
#[test]
fn longer_slices_and_timeouts_apply_live() {
    let mut w = World::new(config(&[weighted("red", 100), weighted("blue", 100)]));
    let sessions = [1000, 1001].map(|uid| w.session(uid));
    sessions.iter().for_each(|&session| w.submit(session, FOREVER));
    w.run(100 * MS);
    let mut config = w.broker.config().clone();
    (config.devices[0].slice, config.preempt_timeout) = (Nanos::from_millis(900), Nanos::from_millis(5_000));
    w.admin(AdminCommand::Reload(config)).unwrap();
    let before = sessions.map(|session| w.done(session));
    w.run(9_000 * MS);
    let gained = [0, 1].map(|i| (w.done(sessions[i]) - before[i]) / MS);
    assert!(gained.iter().all(|ms| (3_600..=5_400).contains(ms)), "turns of 0.9 s: {gained:?}");
    let own = TenantChange { slice: Some(Some(Nanos::from_millis(10))), ..TenantChange::default() };
    w.admin(AdminCommand::TenantSet(name("red"), own)).unwrap();
    w.shut_down();
}

#[test]
fn refusals_say_what_is_still_available() {
    let tenant = TenantConfig { guarantee: Share::from_percent(50), ..weighted("red", 300) };
    // `default` weighs 100: 200 are left for others.
    let mut w = World::new(config(&[tenant, weighted("blue", 100)]));
    let heavier = |weight| TenantChange { weight: Weight::new(weight), ..TenantChange::default() };
    let refused = w.admin(AdminCommand::TenantSet(name("blue"), heavier(201))).unwrap_err();
    let guarantee = Share::from_percent(50).unwrap();
    let left = ConfigError::Guarantee { tenant: name("red"), holder: None, guarantee, weight_max: 300 };
    assert_eq!(refused, AdminError::Config(left));
    assert!(refused.to_string().contains("others may weigh 300 in all"), "{refused}");
    assert!(w.admin(AdminCommand::TenantSet(name("blue"), heavier(200))).is_ok());
    let change = DeviceChange { policy: Some(Policy::BestEffort), ..DeviceChange::default() };
    let refused = w.admin(AdminCommand::DeviceSet(None, change)).unwrap_err().to_string();
    assert!(refused.contains("guarantees nothing") && refused.contains("`red`"), "{refused}");
    let mut config = w.broker.config().clone();
    config.devices[0].partitions.clear();
    assert!(matches!(w.admin(AdminCommand::Reload(config)), Err(AdminError::Config(ConfigError::Partitions { .. }))));
    let mut config = w.broker.config().clone();
    config.devices.push(DeviceConfig::whole(Bytes(1)));
    assert_eq!(w.admin(AdminCommand::Reload(config)), Err(AdminError::Config(ConfigError::Layout)));
}

#[test]
fn a_tenant_is_told_the_devices_it_may_use() {
    let mut config = divided(&[weighted("anybody", 100), in_partition(weighted("right", 100), "right")]);
    config.devices.insert(0, DeviceConfig::whole(Bytes(1 << 30)));
    config.devices.push(DeviceConfig::whole(Bytes(1 << 30)));
    let mut w = World::new(config);
    assert_eq!(w.devices(1000, None), Ok(vec![0, 1, 2]));
    assert_eq!(w.devices(1001, None), Ok(vec![1]), "only there is its partition");
    assert_eq!(w.devices(1001, Some("anybody")), Err(RefuseCode::NotThatTenant));
    w.admin(AdminCommand::TenantPause(name("anybody"))).unwrap();
    assert_eq!(w.devices(1000, None), Ok(vec![0, 1, 2]), "it may know what it will have again");
    w.admin(AdminCommand::Shutdown).unwrap();
    assert_eq!(w.devices(1000, None), Err(RefuseCode::ShuttingDown));
}
