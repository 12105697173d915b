//! The programs of `tests/hip`, and how each must end.

use anyhow::{Result, ensure};

use super::broker::Outcome;

/// How a program must end.
pub(super) enum Expected {
    /// It says that its results are right.
    Right,
    /// It is ended by this signal, having said this.
    Signal(i32, &'static str),
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
                // A sandbox passes a signal on as a code, as shells do.
                let ended = outcome.signal == Some(signal) || outcome.code == Some(128 + signal);
                ensure!(ended, "it ended with {}, not with signal {signal}", outcome.end());
                ensure!(outcome.text.contains(says), "it does not say {says:?}");
                Ok(format!("ended as it should: {says}"))
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
    right("ipc"),
    right("virtual_memory"),
    right("threads"),
    right("out_of_memory"),
    right("invalid_kernel"),
    Program { name: "fault", environment: &[], expected: Expected::Signal(ABORT, "HSA_STATUS_ERROR_MEMORY_FAULT") },
    Program { name: "fault", environment: &[("WAVEGATE_ON_FAULT", "error")], expected: Expected::Right },
    right("launches"),
    right("two_devices"),
    right("share"),
];

/// The programs of `tests/hsa`.
pub(super) const HSA: &[&str] = &["hsa_unload", "hsa_fork", "hsa_many", "hsa_locked", "hsa_ipc", "hsa_devices"];

/// The programs of `tests/opencl`.
pub(super) const OPENCL: &[&str] = &["cl_add", "cl_reduce", "cl_buffers"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn outcome(code: Option<i32>, signal: Option<i32>, text: &str) -> Outcome {
        Outcome { code, signal, text: text.to_owned(), took: Duration::ZERO }
    }

    fn sources(folder: &str, suffix: &str) -> Vec<String> {
        let entries = std::fs::read_dir(crate::root().join("tests").join(folder)).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            Some(entry.unwrap().file_name().to_str()?.strip_suffix(suffix)?.to_owned())
        };
        let mut sources: Vec<String> = entries.filter_map(name).collect();
        sources.sort();
        sources
    }

    #[test]
    fn every_source_is_a_program_and_the_other_way_round() {
        let mut names: Vec<_> =
            PROGRAMS.iter().map(|program| program.name).chain([super::super::cost::PROGRAM]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(sources("hip", ".cpp"), names);
        let mut names = OPENCL.to_vec();
        names.sort_unstable();
        assert_eq!(sources("opencl", ".c"), names);
        let mut names = HSA.to_vec();
        names.sort_unstable();
        assert_eq!(sources("hsa", ".c"), names);
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
    fn a_program_that_is_to_be_ended_must_be_by_that_signal_having_said_why() {
        let fault = Expected::Signal(ABORT, "MEMORY_FAULT");
        assert!(fault.judge("fault", &outcome(None, Some(6), "MEMORY_FAULT\n")).is_ok());
        assert!(fault.judge("fault", &outcome(Some(134), None, "MEMORY_FAULT\n")).is_ok());
        assert!(fault.judge("fault", &outcome(None, Some(11), "MEMORY_FAULT\n")).is_err());
        assert!(fault.judge("fault", &outcome(None, Some(6), "something else\n")).is_err());
        assert!(fault.judge("fault", &outcome(Some(0), None, "ok: fault MEMORY_FAULT\n")).is_err());
    }
}
