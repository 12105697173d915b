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
    let mut executed = 0u64;
    for _ in 0..LOOKS_PER_TURN {
        let (end, left) = steps(env, &mut cx, &mut wave.page);
        executed += u64::from(env.look_every - left);
        if let Some(end) = end {
            return (end, executed);
        }
        if env.host.should_stop() {
            return (TurnEnd::Stop, executed);
        }
    }
    (TurnEnd::Turn, executed)
}

/// Executes up to [`Env::look_every`] instructions; returns the fuel left.
fn steps(
    env: &Env<'_>,
    cx: &mut Cx<'_>,
    page: &mut Option<std::sync::Arc<super::code::CodePage>>,
) -> (Option<TurnEnd>, u32) {
    let mut fuel = env.look_every;
    while fuel > 0 {
        if page.as_ref().and_then(|p| p.at(cx.w.pc)).is_none() {
            match env.code.page(env.mem, cx.w.pc) {
                Ok(found) => *page = Some(found),
                Err(fault) => {
                    cx.fault(FaultKind::Memory(fault), None);
                    return (Some(TurnEnd::Fault), fuel);
                }
            }
        }
        let Some(code) = page.as_ref() else { continue };
        while let Some(inst) = code.at(cx.w.pc) {
            if fuel == 0 {
                return (None, 0);
            }
            if inst.vgprs > cx.w.vgprs || inst.agprs > cx.w.agprs {
                let kind =
                    FaultKind::RegisterOutOfRange { mnemonic: inst.row().name, allocated: cx.w.vgprs + cx.w.agprs };
                cx.fault(kind, None);
                return (Some(TurnEnd::Fault), fuel);
            }
            fuel -= 1;
            cx.w.pc = cx.w.pc.wrapping_add(u64::from(inst.bytes));
            let flow = if cx.w.unusual { mode::run(cx, inst) } else { (inst.run)(cx, inst) };
            if flow == Flow::Next {
                continue;
            }
            match flow {
                Flow::Next => {}
                Flow::Yield => return (Some(TurnEnd::Turn), fuel),
                Flow::Barrier => return (Some(TurnEnd::Barrier), fuel),
                Flow::End => return (Some(TurnEnd::Ended), fuel),
                Flow::Message => env.host.interrupt(),
                Flow::Fault => {
                    // The program counter of the culprit, not of its successor.
                    cx.w.pc = cx.w.pc.wrapping_sub(u64::from(inst.bytes));
                    return (Some(TurnEnd::Fault), fuel);
                }
            }
        }
    }
    (None, 0)
}
