//! Memory that sessions of one tenant share.

use client::{ClientError, DenyCode, ShareId};
use proto::message::EndReason;

use crate::rig::{Broker, soon};

const SMALL: &str = r#"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    vram = "64MiB"
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    vram = "64MiB"
"#;
const MIB: u64 = 1 << 20;

fn code<T>(answer: Result<T, ClientError>) -> Option<DenyCode> {
    match answer {
        Err(ClientError::Denied(denial)) => Some(denial.code),
        _ => None,
    }
}

#[test]
fn sessions_of_one_tenant_share_memory_and_others_cannot() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let stranger = broker.connect("blue").unwrap();
    let made = maker.vram(40 * MIB).unwrap();
    made.write(5, b"from the maker").unwrap();
    let share = made.export().unwrap();
    assert_eq!(made.export().unwrap(), share, "asked again, the same");

    let got = user.import(share, 40 * MIB).unwrap();
    let mut text = [0; 14];
    got.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the maker");
    got.write(5, b"from the user ").unwrap();
    made.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the user ");
    // Twice 40 are more than 64, but it is there once.
    for client in [&maker, &user] {
        let wanted = |used: u64| (used >> 20 == 40).then_some(());
        crate::rig::eventually("its use is told", || wanted(client.memory_use().unwrap().vram_used.0));
    }

    assert_eq!(code(stranger.import(share, 40 * MIB)), Some(DenyCode::UnknownObject), "another tenant");
    assert_eq!(code(user.import(ShareId(share.0 + 1000), 40 * MIB)), Some(DenyCode::UnknownObject), "a guess");
    assert_eq!(code(user.import(share, MIB)), Some(DenyCode::Size));
    assert_eq!(code(got.export()), Some(DenyCode::Unsupported), "what was imported is not passed on");
    assert_eq!(maker.import(share, 40 * MIB).unwrap().bytes(), 40 * MIB, "its maker may, too");

    // Its maker ends: who has it keeps it, still charged, and nobody else gets it.
    drop(made);
    drop(maker);
    crate::rig::eventually("the maker is gone", || (broker.status()["sessions"].as_array()?.len() == 2).then_some(()));
    got.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the user ");
    assert_eq!(broker.tenant("red")["vram_used_bytes"], 40 * MIB);
    assert_eq!(code(user.import(share, 40 * MIB)), Some(DenyCode::UnknownObject));
    assert_eq!(code(user.vram(30 * MIB)), Some(DenyCode::Vram));
    drop(got);
    assert!(user.vram(60 * MIB).is_ok());

    drop((user, stranger));
    broker.check_nothing_left(descriptors);
}

#[test]
fn a_maker_that_is_killed_takes_nothing_away() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let made = maker.vram(MIB).unwrap();
    let got = user.import(made.export().unwrap(), MIB).unwrap();
    broker.ask(&["session", "kill", &format!("s{}", maker.session().0)]);
    assert_eq!(maker.wait_ended(soon()).map(|end| end.reason), Some(EndReason::Killed));
    got.write(0, b"still there").unwrap();
    assert!(user.memory_use().is_ok());
    drop((made, maker, got, user));
    broker.check_nothing_left(descriptors);
}
