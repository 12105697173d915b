//! The rooms, whom each may use, and its law: the one table that everything else here is checked against.
//!
//! `ARCHITECTURE.md` says why; where the two differ, this is what holds.

/// A crate of the workspace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Its folder below the root; `.` is the root.
    pub(super) folder: &'static str,
    /// The rooms that it may depend on.
    pub(super) may_use: &'static [&'static str],
    /// Whether it must do without the standard library.
    pub(super) no_std: bool,
    /// What it may do about unsafe code.
    pub(super) unsafety: Unsafety,
}

/// A room's law about unsafe code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsafety {
    /// None, and the compiler is told: `#![forbid(unsafe_code)]`.
    Forbidden,
    /// None.
    Absent,
    /// Denied, but in these files under one `#[expect(unsafe_code)]` each, with so many uses of the word `unsafe`: one more is to be looked at.
    Audited(&'static [(&'static str, usize)]),
    /// Its purpose; clippy asks for a SAFETY comment at each block.
    Home,
}

/// What tests, benches and examples of any room may use besides.
pub(super) const TESTS_MAY_USE: &[&str] = &["kernels"];

/// The shells of the root crate: modules of `src/` that do not import each other.
pub(super) const SHELLS: &[&str] = &["cli", "daemon", "worker"];

use Unsafety::{Absent, Audited, Forbidden, Home};

const fn pure(folder: &'static str, may_use: &'static [&'static str]) -> Room {
    Room { folder, may_use, no_std: true, unsafety: Forbidden }
}

const fn room(folder: &'static str, may_use: &'static [&'static str], unsafety: Unsafety) -> Room {
    Room { folder, may_use, no_std: false, unsafety }
}

/// Every crate of the workspace.
pub(super) const ROOMS: &[Room] = &[
    room(".", &["sched", "proto", "broker", "gcn", "sys", "hsa-sys", "client", "kernels", "sim"], Absent),
    pure("sched", &[]),
    pure("proto", &[]),
    pure("broker", &["sched", "proto"]),
    room("gcn", &[], Audited(&[("gcn/src/exec/tier.rs", 1), ("gcn/src/exec/run/code.rs", 7)])),
    room("sys", &[], Home),
    room("hsa-sys", &[], Home),
    room("client", &["proto", "sys"], Forbidden),
    room("capi", &["client", "hsa-sys"], Home),
    room("view", &[], Home),
    room("softkmt", &["gcn", "sys"], Home),
    room("kernels", &[], Forbidden),
    room("sim", &["broker", "sched", "proto"], Forbidden),
    room("fuzz", &["gcn", "proto", "kernels"], Forbidden),
    room("xtask", &["gcn"], Forbidden),
];

/// Returns the room that a file belongs to: the one whose folder it is in, or the root.
///
/// `path` is relative to the root of the workspace, with `/` between its parts.
pub(super) fn room_of(path: &str) -> &'static Room {
    let folder = path.split_once('/').map_or(".", |(folder, _)| folder);
    // PANIC: the table's first row is the root's.
    ROOMS.iter().find(|room| room.folder == folder).unwrap_or(&ROOMS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_room_that_is_used_is_a_row() {
        for room in ROOMS {
            for used in room.may_use.iter().chain(TESTS_MAY_USE) {
                assert!(ROOMS.iter().any(|other| other.folder == *used), "{} may use {used}", room.folder);
            }
        }
    }

    #[test]
    fn nobody_uses_the_fixture_or_the_drop_in() {
        for room in ROOMS {
            assert!(!room.may_use.contains(&"softkmt") && !room.may_use.contains(&"capi"), "{}", room.folder);
        }
    }

    #[test]
    fn a_file_belongs_to_the_room_it_lies_in() {
        for (path, folder) in [
            ("sys/src/lib.rs", "sys"),
            ("src/lib.rs", "."),
            ("Cargo.toml", "."),
            ("benches/x.rs", "."),
            ("hsa-sys/build.rs", "hsa-sys"),
        ] {
            assert_eq!(room_of(path).folder, folder, "{path}");
        }
    }
}
