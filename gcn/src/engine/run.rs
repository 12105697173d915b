//! The innermost loop: one wave, instruction by instruction, until it ends, waits, or its fuel is used up.

use super::Host;
use super::code::CodeCache;
use super::wave::Wave;
use crate::arch::Arch;
use crate::exec::cx::{Cx, Flow};
use crate::exec::gws::Gws;
use crate::exec::mode;
use crate::fault::FaultKind;
use crate::hardware::{CuHardware, SIMDS, WAVE_SLOTS};
use crate::memory::Memory;

/// Instructions between two looks at [`Host::should_stop`], unless [`Context::set_look_every`](super::Context::set_look_every) says otherwise.
pub(super) const LOOK_EVERY: u32 = 256;
/// Looks before another wave's turn.
const LOOKS_PER_TURN: u32 = 16;

/// What the run loop works with, the same for every wave of a context.
pub(super) struct Env<'a> {
    pub(super) arch: Arch,
    pub(super) code: &'a CodeCache,
    pub(super) mem: &'a dyn Memory,
    pub(super) host: &'a dyn Host,
    pub(super) gws: &'a Gws,
    /// Instructions of a wave between two looks at [`Host::should_stop`].
    pub(super) look_every: u32,
}

impl Env<'_> {
    /// Instructions of a turn that nothing ends before.
    pub(super) fn turn_instructions(&self) -> u64 {
        u64::from(self.look_every) * u64::from(LOOKS_PER_TURN)
    }
}

/// Why a wave's turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnEnd {
    /// Fuel used up, or it yielded: others first.
    Turn,
    /// The host asked to stop.
    Stop,
    Barrier,
    Ended,
    /// The fault is in the wave's state.
    Fault,
}

/// Runs `wave` for one turn. Returns why it ended and how many instructions were executed.
pub(super) fn turn(env: &Env<'_>, wave: &mut Wave, hw: &mut CuHardware) -> (TurnEnd, u64) {
    let clock = || env.host.now();
    let mut cx = Cx {
        arch: env.arch,
        v: &mut hw.vgpr[wave.simd % SIMDS],
        bases: wave.state.bases(),
        s: &mut hw.sgpr[wave.slot % WAVE_SLOTS],
        lds: &mut hw.lds,
        mem: env.mem,
        w: &mut wave.state,
        gws: env.gws,
        clock: &clock,
    };
    // A run that was translated may go beyond a look, by half of what lies between two at most, and the next one is the sooner for it. It
    // never goes beyond the turn: whose turn is when does not depend on what is translated.
    let (mut executed, mut beyond) = (0u64, 0);
    for look in 1..=LOOKS_PER_TURN {
        let fuel = env.look_every - beyond;
        let spare = if look < LOOKS_PER_TURN { env.look_every / 2 } else { 0 };
        let (end, used) = steps(env, &mut cx, &mut wave.page, fuel, spare);
        executed += u64::from(used);
        beyond = used.saturating_sub(fuel);
        if let Some(end) = end {
            return (end, executed);
        }
        if env.host.should_stop() {
            return (TurnEnd::Stop, executed);
        }
    }
    (TurnEnd::Turn, executed)
}

/// Executes up to `fuel` instructions, and up to `spare` more if they end a translated run; returns how many it executed.
///
/// The place in the page and the program counter are kept side by side in registers. A handler finds the counter in the wave's state, but only
/// one that says [`Flow::Jump`] has changed it: a counter that was read back from memory for every instruction cost as much as the
/// instruction.
fn steps(
    env: &Env<'_>,
    cx: &mut Cx<'_>,
    page: &mut Option<std::sync::Arc<super::code::CodePage>>,
    fuel: u32,
    spare: u32,
) -> (Option<TurnEnd>, u32) {
    let (mut used, mut may_translate) = (0, true);
    let (vgprs, agprs) = (cx.w.vgprs, cx.w.agprs);
    while used < fuel {
        if page.as_ref().and_then(|p| p.index(cx.w.pc)).is_none() {
            match env.code.page(env.mem, cx.w.pc) {
                Ok(found) => *page = Some(found),
                Err(fault) => {
                    cx.fault(FaultKind::Memory(fault), None);
                    return (Some(TurnEnd::Fault), used);
                }
            }
        }
        let Some(code) = page.as_ref() else { continue };
        let Some(mut at) = code.index(cx.w.pc) else { continue };
        let (insts, mut pc) = (code.insts(), cx.w.pc);
        while let Some(inst) = insts.get(at) {
            if used >= fuel {
                return (None, used);
            }
            if inst.leads
                && let Some(run) = code.runs.enter(insts, at, cx, fuel - used + spare, &mut may_translate)
            {
                used += run.count;
                pc = pc.wrapping_add(u64::from(run.bytes));
                at += run.bytes as usize / 4;
                cx.w.pc = pc;
                continue;
            }
            if inst.vgprs > vgprs || inst.agprs > agprs {
                let kind = FaultKind::RegisterOutOfRange { mnemonic: inst.row().name, allocated: vgprs + agprs };
                cx.fault(kind, None);
                return (Some(TurnEnd::Fault), used);
            }
            used += 1;
            pc = pc.wrapping_add(u64::from(inst.bytes));
            at += usize::from(inst.bytes / 4);
            cx.w.pc = pc;
            let flow = if cx.w.unusual { mode::run(cx, inst) } else { (inst.run)(cx, inst) };
            if flow == Flow::Next {
                continue;
            }
            if flow == Flow::Jump {
                pc = cx.w.pc;
                match code.index(pc) {
                    Some(index) => at = index,
                    None => break,
                }
                continue;
            }
            if let Some(end) = end_of(flow) {
                if end == TurnEnd::Fault {
                    // The program counter of the culprit, not of its successor.
                    cx.w.pc = pc.wrapping_sub(u64::from(inst.bytes));
                }
                return (Some(end), used);
            }
            env.host.interrupt();
        }
    }
    (None, used)
}

/// Returns how a turn ends with `flow`; `None`: it goes on, and the host is told.
///
/// A call of its own, or the compiler would make one jump table of all cases, the ordinary ones included.
#[cold]
#[inline(never)]
fn end_of(flow: Flow) -> Option<TurnEnd> {
    match flow {
        Flow::Next | Flow::Jump | Flow::Message => None,
        Flow::Yield => Some(TurnEnd::Turn),
        Flow::Barrier => Some(TurnEnd::Barrier),
        Flow::End => Some(TurnEnd::Ended),
        Flow::Fault => Some(TurnEnd::Fault),
    }
}
