//! The programs of `tests/hip`, and how each must end.

use anyhow::{Result, ensure};

use super::broker::Outcome;

/// How a program must end.
pub(super) enum Expected {
    /// It says that its results are right.
    Right,
    /// It is ended by this signal, having said this.
    Signal(i32, &'static str),
    /// What it needs is not there yet, and it says this; or it is right, where the device can do it by now.
    NotYet { says: &'static str, why: &'static str },
}

impl Expected {
    /// Judges how a program ended; returns what to say of it.
    pub(super) fn judge(&self, name: &str, outcome: &Outcome) -> Result<String> {
        let right = outcome.code == Some(0) && outcome.text.lines().any(|line| line == format!("ok: {name}"));
        match *self {
            Expected::Right => {
                ensure!(right, "it ended with {} and does not say that it is right", outcome.end());
                Ok("right".to_owned())
            }
            Expected::Signal(signal, says) => {
                ensure!(outcome.signal == Some(signal), "it ended with {}, not with signal {signal}", outcome.end());
                ensure!(outcome.text.contains(says), "it does not say {says:?}");
                Ok(format!("ended as it should: {says}"))
            }
            Expected::NotYet { .. } if right => Ok("right".to_owned()),
            Expected::NotYet { says, why } => {
                let ended = outcome.code == Some(1) || outcome.signal == Some(ABORT);
                ensure!(ended, "it ended with {}, neither with an error of its own nor aborted", outcome.end());
                ensure!(outcome.text.contains(says), "it does not say {says:?}");
                Ok(format!("NOT YET: {why}"))
            }
        }
    }
}

/// A program, with what its environment has besides.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) environment: &'static [(&'static str, &'static str)],
    pub(super) expected: Expected,
}

const fn right(name: &'static str) -> Program {
    Program { name, environment: &[], expected: Expected::Right }
}

const ABORT: i32 = 6;

/// Every program. What the tenant `default` may have is in [`super::CONFIG`].
pub(super) const PROGRAMS: &[Program] = &[
    Program {
        name: "props",
        environment: &[("EXPECT_VRAM_MIB", "1024"), ("EXPECT_CUS", "4")],
        expected: Expected::Right,
    },
    right("vector_add"),
    right("matmul"),
    right("reduction"),
    right("scan"),
    right("sort"),
    right("atomics"),
    right("streams"),
    right("events"),
    right("graphs"),
    right("copies"),
    right("copies_2d"),
    right("memset"),
    right("pinned"),
    right("registered"),
    right("managed"),
    right("symbols"),
    right("dynamic_lds"),
    right("device_printf"),
    right("device_malloc"),
    Program { name: "device_assert", environment: &[], expected: Expected::Signal(ABORT, "thirteen") },
    right("groups"),
    right("cooperative"),
    right("occupancy"),
    right("texture"),
    Program {
        name: "ipc",
        environment: &[],
        expected: Expected::NotYet { says: "hipIpcGetMemHandle", why: "memory is not shared between processes" },
    },
    right("threads"),
    right("out_of_memory"),
    right("invalid_kernel"),
    Program { name: "fault", environment: &[], expected: Expected::Signal(ABORT, "HSA_STATUS_ERROR_MEMORY_FAULT") },
    Program { name: "fault", environment: &[("WAVEGATE_ON_FAULT", "error")], expected: Expected::Right },
    right("launches"),
    right("share"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(code: Option<i32>, signal: Option<i32>, text: &str) -> Outcome {
        Outcome { code, signal, text: text.to_owned(), took: Duration::ZERO }
    }

    #[test]
    fn every_source_is_a_program_and_the_other_way_round() {
        let folder = crate::root().join("tests/hip");
        let mut sources: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".cpp")?.to_owned()))
            .collect();
        sources.sort();
        let mut names: Vec<_> = PROGRAMS.iter().map(|program| program.name.to_owned()).collect();
        names.sort();
        names.dedup();
        assert_eq!(sources, names);
    }

    #[test]
    fn a_program_is_right_if_it_says_so_and_ends_well() {
        let judge = |outcome: &Outcome| Expected::Right.judge("scan", outcome).is_ok();
        assert!(judge(&outcome(Some(0), None, "noise\nok: scan\n")));
        assert!(!judge(&outcome(Some(0), None, "ok: scan twice\n")));
        assert!(!judge(&outcome(Some(1), None, "ok: scan\n")));
        assert!(!judge(&outcome(None, Some(6), "ok: scan\n")));
    }

    #[test]
    fn what_is_missing_must_be_what_is_known_to_be() {
        let ipc = Expected::NotYet { says: "hipIpcGetMemHandle", why: "why" };
        assert!(ipc.judge("ipc", &outcome(Some(1), None, "hipIpcGetMemHandle: no\n")).is_ok());
        assert!(ipc.judge("ipc", &outcome(Some(0), None, "ok: ipc\n")).is_ok());
        assert!(ipc.judge("ipc", &outcome(Some(1), None, "something else\n")).is_err());
        assert!(ipc.judge("ipc", &outcome(None, Some(11), "hipIpcGetMemHandle\n")).is_err());
    }
}
