//! Runs: straight pieces of vector code, translated for the host.
//!
//! An instruction of the interpreter is some sixty host instructions, of which a dozen compute. Lanes do not see each other in most of them, so
//! a piece of code without jumps can be done for sixteen lanes from its first instruction to its last, with values in the host's vector registers, and
//! then for the next sixteen. That is what a run is.
//!
//! Promises:
//!
//! * A run leaves what its instructions one by one would leave, to the bit. It is entered only where they all would be carried out: MODE is the
//!   ordinary one, the registers are the wave's, and the fuel covers it. Else, or where an access to LDS may be out of bounds, it does nothing and
//!   instructions go one by one.
//! * What is not translated costs a test of a byte an instruction. A place is translated when it was come by often ([`HOT`]).
//! * Code is bounded by [`BYTES_MAX`] a context, lives as long as the page it was made from, and is never writable and executable at once ([`code`]).
//!
//! ```text
//!   Inst ── plan, rows ──► Plan ── emit, strip ──► bytes ── code ──► called by engine::run
//!           what it means   steps                            mapped, read and execute
//! ```
//!
//! Only on x86-64 with AVX-512; elsewhere the interpreter does all, as it does with [`Translation::Off`].

mod code;
mod emit;
mod nan;
mod plan;
mod rows;
mod strip;

use super::Tier;
use super::cx::Cx;
use super::inst::Inst;
use code::{Bounds, Code};
use plan::Plan;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How often a place is come by before a run is made of what begins there, unless a context says otherwise: what runs a few times costs nothing.
pub(crate) const HOT: u32 = 256;
/// Bytes of generated code of a context at most, in pages of the host.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// How often in a row a run that reads LDS may refuse before it is made anew without.
const REFUSALS: u32 = 64;
const HOST_PAGE: usize = 4096;

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
    /// Returns what is possible on a tier.
    pub(crate) fn possible(tier: &Tier) -> Translation {
        static HOST: OnceLock<bool> = OnceLock::new();
        if tier.name() != "avx512" {
            return Translation::Off;
        }
        let bounds = Bounds { vgprs: 0, agprs: 0 };
        if *HOST.get_or_init(|| Code::new(&[0xc3], 0, bounds).is_ok()) { Translation::On } else { Translation::Refused }
    }
}

/// Marks where runs may begin among instructions that stand for one word of code each: where two that can be translated follow each other.
pub(crate) fn mark(insts: &mut [Inst]) {
    let can: Vec<bool> = insts.iter().map(plan::can_translate).collect();
    for (at, inst) in insts.iter_mut().enumerate() {
        inst.leads = can[at] && can.get(at + usize::from(inst.bytes / 4)) == Some(&true);
    }
}

/// What all generated code of a context may take, and takes.
#[derive(Default)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    /// Returns the bytes taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|&all| all <= BYTES_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// A translated run.
pub(crate) struct Run {
    code: Code,
    /// Scalar instructions that were put off.
    scalars: Box<[Inst]>,
    /// Instructions, and their bytes of code.
    pub(crate) count: u32,
    pub(crate) bytes: u32,
    vgprs: u16,
    agprs: u16,
    budget: Arc<Budget>,
}

impl Run {
    /// Translates the run that begins `insts`, if one does and there is room.
    pub(super) fn new(insts: &[Inst], lds: bool, budget: &Arc<Budget>) -> Option<Run> {
        if HOST_PAGE > BYTES_MAX.saturating_sub(budget.taken()) {
            return None;
        }
        let plan = Plan::of(insts, lds)?;
        let (bytes, entry) = emit::emit(&plan).ok()?;
        if !budget.take(bytes.len().next_multiple_of(HOST_PAGE)) {
            return None;
        }
        let bounds = Bounds { vgprs: plan.vgprs, agprs: plan.agprs };
        // A host that refuses now has refused some resource; what is translated stays.
        let Ok(code) = Code::new(&bytes, entry, bounds) else {
            budget.0.fetch_sub(bytes.len().next_multiple_of(HOST_PAGE), Ordering::Relaxed);
            return None;
        };
        let (count, bytes, vgprs, agprs) = (plan.count, plan.bytes, plan.vgprs, plan.agprs);
        let budget = Arc::clone(budget);
        Some(Run { code, scalars: plan.scalars.into(), count, bytes, vgprs, agprs, budget })
    }

    /// Carries it out, if it can be. The caller moves the program counter.
    #[inline]
    pub(super) fn run(&self, cx: &mut Cx<'_>) -> bool {
        if !self.code.run(cx) {
            return false;
        }
        for inst in &self.scalars {
            // Arithmetic only, which always goes on.
            (inst.run)(cx, inst);
        }
        true
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.code.len().next_multiple_of(HOST_PAGE), Ordering::Relaxed);
    }
}

/// What is known of a place at which runs may begin.
#[derive(Default)]
struct Cell {
    heat: AtomicU32,
    refusals: AtomicU32,
    /// With reads of LDS, and without.
    runs: [OnceLock<Option<Box<Run>>>; 2],
}

/// The runs of a page of code, by the word they begin at.
pub(crate) struct Runs {
    cells: OnceLock<Box<[Cell]>>,
    hot: u32,
    budget: Arc<Budget>,
}

impl Runs {
    /// Returns those of a page that nobody ran yet; places are translated when they were come by `hot` times.
    pub(crate) fn new(budget: &Arc<Budget>, hot: u32) -> Runs {
        Runs { cells: OnceLock::new(), hot, budget: Arc::clone(budget) }
    }

    /// Carries out the run at `insts[at]` if there is one, it takes at most `fuel` instructions and nothing speaks against it. Returns it then;
    /// the caller counts its instructions and moves the program counter, which nothing in a run reads. `may_translate` is spent by making one: that
    /// takes as long as many instructions, and somebody may wait for this wave to stop.
    #[inline(never)]
    pub(crate) fn enter(
        &self,
        insts: &[Inst],
        at: usize,
        cx: &mut Cx<'_>,
        fuel: u32,
        may_translate: &mut bool,
    ) -> Option<&Run> {
        if cx.w.unusual {
            return None;
        }
        let cells = self.cells.get_or_init(|| insts.iter().map(|_| Cell::default()).collect());
        let cell = cells.get(at)?;
        if cell.heat.load(Ordering::Relaxed) < self.hot {
            cell.heat.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let refusals = cell.refusals.load(Ordering::Relaxed);
        let lds = refusals < REFUSALS;
        let made = &cell.runs[usize::from(!lds)];
        if made.get().is_none() && !std::mem::take(may_translate) {
            return None;
        }
        let run = made.get_or_init(|| Run::new(&insts[at..], lds, &self.budget).map(Box::new)).as_deref()?;
        if run.count > fuel || run.vgprs > cx.w.vgprs || run.agprs > cx.w.agprs {
            return None;
        }
        if run.run(cx) {
            if lds && refusals != 0 {
                cell.refusals.store(0, Ordering::Relaxed);
            }
            return Some(run);
        }
        cell.refusals.fetch_add(1, Ordering::Relaxed);
        None
    }
}
