//! Where runs end, and what becomes of their code. That they compute what their instructions compute is asked of whole devices (`tests/runs.rs`).

use crate::arch::Arch;
use crate::exec::Tier;
use crate::exec::inst::Inst;
use crate::exec::run::{self, Budget, Run, Translation};
use std::sync::Arc;

/// Returns the run that begins a program, which is decoded as a page holds it: an instruction for each of its words.
fn first_run(program: &[u32], budget: &Arc<Budget>) -> Option<Run> {
    let decode = |at: usize| Inst::decode(Arch::Gfx90a, Tier::detect(), &program[at..]);
    Run::new(&(0..program.len()).map(decode).collect::<Vec<_>>(), true, budget)
}

fn is_on() -> bool {
    Translation::possible(Tier::detect()) == Translation::On
}

/// v_mov_b32 v1, v2; v_mov_b32 v3, v4; v_mov_b32 v5, v6
const MOVES: [u32; 3] = [0x7e02_0302, 0x7e06_0304, 0x7e0a_0306];

/// What must not be in one run: each case is a program and how many of its instructions may be.
#[test]
fn a_run_ends_before_what_would_see_it() {
    if !is_on() {
        return;
    }
    let cases: [(&str, &[u32], u32); 9] = [
        ("v_cmp into VCC, then VCC as a number", &[0x7c82_0501, 0x7e02_026a], 4),
        ("VCC as a number, then v_cmp into VCC", &[0x7e02_026a, 0x7c82_0501], 4),
        ("s_add to s8, then s8", &[0x8008_0909, 0x7e02_0208], 4),
        ("s_add to VCC, then v_cmp into it", &[0x806a_0909, 0x7c82_0501], 4),
        ("s_mov to EXEC", &[0xbefe_01c1], 3),
        ("v_cmpx", &[0x7ca2_0501], 3),
        ("v_readfirstlane", &[0x7e10_0501], 3),
        ("what is no instruction", &[0xd2cc_0000], 3),
        ("s_endpgm", &[0xbf81_0000], 3),
    ];
    for (what, tail, count) in cases {
        let program: Vec<u32> = MOVES.iter().chain(tail).copied().collect();
        let run = first_run(&program, &Arc::default()).expect(what);
        assert_eq!(run.count, count, "{what}");
    }
    assert!(first_run(&MOVES[..2], &Arc::default()).is_none(), "two are too few");
}

#[test]
fn code_is_bounded_and_its_room_comes_back() {
    if !is_on() {
        return;
    }
    let budget = Arc::new(Budget::default());
    let mut runs: Vec<Run> = std::iter::from_fn(|| first_run(&MOVES, &budget)).collect();
    assert_eq!(runs.len(), run::BYTES_MAX / 4096);
    runs.pop();
    assert!(first_run(&MOVES, &budget).is_some());
}
