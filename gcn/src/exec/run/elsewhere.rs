//! Hosts that are not x86-64: nothing is translated. The same names as in `run/mod.rs`, which has the documentation.

use super::Tier;
use super::cx::Cx;
use super::inst::Inst;
use std::sync::Arc;

pub(crate) const HOT: u32 = u32::MAX;

/// Whether runs are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// Yes.
    On,
    /// No: it was not wanted, or the tier is not the one whose bits translated code has.
    Off,
    /// No: the host does not let this process map executable memory.
    Refused,
}

impl Translation {
    pub(crate) fn possible(_: &Tier) -> Translation {
        Translation::Off
    }
}

pub(crate) fn mark(_: &mut [Inst]) {}

#[derive(Default)]
pub(crate) struct Budget;

impl Budget {
    pub(crate) fn taken(&self) -> usize {
        0
    }
}

pub(crate) struct Run {
    pub(crate) count: u32,
    pub(crate) bytes: u32,
}

pub(crate) struct Runs;

impl Runs {
    pub(crate) fn new(_: &Arc<Budget>, _: u32) -> Runs {
        Runs
    }

    pub(crate) fn enter(&self, _: &[Inst], _: usize, _: &mut Cx<'_>, _: u32, _: &mut bool) -> Option<&Run> {
        None
    }
}
