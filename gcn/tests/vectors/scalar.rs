//! Scalar instructions, from the pseudo-code of the ISA documents.

use gcn::isa::{Encoding, Row, Ty};

use crate::edges::{Operands, Random};
use crate::machine::Machine;

/// What a scalar instruction sees.
pub(crate) struct Scalars {
    pub(crate) s: [u64; 2],
    /// The destination before.
    pub(crate) old: u64,
    pub(crate) scc: bool,
    pub(crate) exec: u64,
    /// The 16-bit immediate.
    pub(crate) imm: u16,
}

/// What it leaves: the destination, SCC and EXEC.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct After {
    value: u64,
    scc: bool,
    exec: u64,
}

type Model = Box<dyn Fn(&Scalars) -> After>;

const A: usize = 8;
const B: usize = 16;
const TO: usize = 24;
const EXEC: usize = 126;

fn low(x: i128, bits: u32) -> u64 {
    x as u64 & (u64::MAX >> (64 - bits))
}

fn signed(x: u64, bits: u32) -> i128 {
    i128::from((x << (64 - bits)) as i64 >> (64 - bits))
}

/// The value alone changes.
fn value(f: impl Fn(&Scalars) -> u64 + 'static) -> Option<Model> {
    Some(Box::new(move |x| After { value: f(x), scc: x.scc, exec: x.exec }))
}

/// SCC says whether the value is not zero.
fn nonzero(f: impl Fn(&Scalars) -> u64 + 'static) -> Option<Model> {
    Some(Box::new(move |x| After { value: f(x), scc: f(x) != 0, exec: x.exec }))
}

/// The value and SCC.
fn both(f: impl Fn(&Scalars) -> (u64, bool) + 'static) -> Option<Model> {
    Some(Box::new(move |x| {
        let (value, scc) = f(x);
        After { value, scc, exec: x.exec }
    }))
}

/// SCC alone.
fn flag(f: impl Fn(&Scalars) -> bool + 'static) -> Option<Model> {
    Some(Box::new(move |x| After { value: x.old, scc: f(x), exec: x.exec }))
}

fn logic(op: &str) -> Option<fn(u64, u64) -> u64> {
    Some(match op {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        "xor" => |a, b| a ^ b,
        "andn1" => |a, b| !a & b,
        "andn2" => |a, b| a & !b,
        "orn1" => |a, b| !a | b,
        "orn2" => |a, b| a | !b,
        "nand" => |a, b| !(a & b),
        "nor" => |a, b| !(a | b),
        "xnor" => |a, b| !(a ^ b),
        _ => return None,
    })
}

fn comparison(op: &str) -> Option<fn(i128, i128) -> bool> {
    Some(match op {
        "eq" => |a, b| a == b,
        "lg" => |a, b| a != b,
        "gt" => |a, b| a > b,
        "ge" => |a, b| a >= b,
        "lt" => |a, b| a < b,
        "le" => |a, b| a <= b,
        _ => return None,
    })
}

/// Where the first bit that is `what` is, looking from one end.
fn find(x: u64, bits: u32, what: u64, from_top: bool) -> u64 {
    let at = |k: &u32| x >> if from_top { bits - 1 - k } else { *k } & 1 == what;
    (0..bits).find(at).map_or(0xffff_ffff, u64::from)
}

fn two(name: &str) -> Option<Model> {
    let (op, ty) = name.strip_prefix("s_")?.rsplit_once('_')?;
    let width: u32 = ty.get(1..)?.parse().ok()?;
    let is_signed = ty.starts_with('i');
    let wide = move |x: u64| if is_signed { signed(x, width) } else { i128::from(x) };
    let by = move |x: u64| (x & u64::from(width - 1)) as u32;
    let fits = move |x: i128| x == if is_signed { signed(low(x, width), width) } else { i128::from(low(x, width)) };
    if let Some(f) = logic(op) {
        return nonzero(move |x| low(i128::from(f(x.s[0], x.s[1])), width));
    }
    match op {
        "add" => both(move |x| {
            let sum = wide(x.s[0]) + wide(x.s[1]);
            (low(sum, width), !fits(sum))
        }),
        "sub" => both(move |x| {
            let difference = wide(x.s[0]) - wide(x.s[1]);
            (low(difference, width), !fits(difference))
        }),
        "addc" => both(|x| {
            let sum = x.s[0] + x.s[1] + u64::from(x.scc);
            (sum & 0xffff_ffff, sum >> 32 != 0)
        }),
        "subb" => both(|x| {
            let difference = i128::from(x.s[0]) - i128::from(x.s[1]) - i128::from(x.scc);
            (low(difference, 32), difference < 0)
        }),
        "min" => both(move |x| (low(wide(x.s[0]).min(wide(x.s[1])), width), wide(x.s[0]) < wide(x.s[1]))),
        "max" => both(move |x| (low(wide(x.s[0]).max(wide(x.s[1])), width), wide(x.s[0]) >= wide(x.s[1]))),
        "cselect" => value(|x| if x.scc { x.s[0] } else { x.s[1] }),
        "lshl" => nonzero(move |x| low(i128::from(x.s[0]) << by(x.s[1]), width)),
        "lshr" => nonzero(move |x| x.s[0] >> by(x.s[1])),
        "ashr" => nonzero(move |x| low(signed(x.s[0], width) >> by(x.s[1]), width)),
        "bfm" => value(move |x| low(((1i128 << by(x.s[0])) - 1) << by(x.s[1]), width)),
        "mul" => value(|x| low(signed(x.s[0], 32) * signed(x.s[1], 32), 32)),
        "mul_hi" => value(move |x| low((wide(x.s[0]) * wide(x.s[1])) >> 32, 32)),
        "bfe" => nonzero(move |x| {
            let count = (x.s[1] >> 16 & 127).min(u64::from(width)) as u32;
            let field = wide(x.s[0]) >> by(x.s[1]) & ((1 << count) - 1);
            let negative = is_signed && count > 0 && field >> (count - 1) & 1 == 1;
            low(if negative { field - (1 << count) } else { field }, width)
        }),
        "absdiff" => nonzero(|x| low(signed(low(signed(x.s[0], 32) - signed(x.s[1], 32), 32), 32).abs(), 32)),
        "lshl1_add" | "lshl2_add" | "lshl3_add" | "lshl4_add" => {
            let shift: u32 = op[4..5].parse().ok()?;
            both(move |x| {
                let sum = (x.s[0] << shift) + x.s[1];
                (sum & 0xffff_ffff, sum >> 32 != 0)
            })
        }
        _ => match name {
            "s_pack_ll_b32_b16" => value(|x| x.s[0] & 0xffff | (x.s[1] & 0xffff) << 16),
            "s_pack_lh_b32_b16" => value(|x| x.s[0] & 0xffff | (x.s[1] >> 16) << 16),
            "s_pack_hh_b32_b16" => value(|x| x.s[0] >> 16 | (x.s[1] >> 16) << 16),
            _ => None,
        },
    }
}

fn one(name: &str) -> Option<Model> {
    let rest = name.strip_prefix("s_")?;
    if let Some((op, kind)) = rest.strip_suffix("exec_b64").and_then(|rest| rest.split_once('_')) {
        let (f, saves) = (logic(op)?, kind == "save");
        return Some(Box::new(move |x| {
            let exec = f(x.s[0], x.exec);
            After { value: if saves { x.exec } else { exec }, scc: exec != 0, exec }
        }));
    }
    let width = if name.ends_with("64") { 64 } else { 32 };
    let every = move |x: u64, f: fn(bool) -> u64, group: u32| {
        (0..width / group).fold(0, |out, k| out | f(x >> (k * group) & ((1 << group) - 1) != 0) << (k * group))
    };
    match name {
        "s_mov_b32" | "s_mov_b64" => value(|x| x.s[0]),
        "s_cmov_b32" | "s_cmov_b64" => value(|x| if x.scc { x.s[0] } else { x.old }),
        "s_not_b32" | "s_not_b64" => nonzero(move |x| low(!i128::from(x.s[0]), width)),
        "s_wqm_b32" | "s_wqm_b64" => nonzero(move |x| every(x.s[0], |any| if any { 15 } else { 0 }, 4)),
        "s_quadmask_b32" | "s_quadmask_b64" => {
            nonzero(move |x| (0..width / 4).fold(0, |out, k| out | u64::from(x.s[0] >> (4 * k) & 15 != 0) << k))
        }
        "s_brev_b32" | "s_brev_b64" => {
            value(move |x| (0..width).fold(0, |out, k| out | (x.s[0] >> k & 1) << (width - 1 - k)))
        }
        "s_bcnt0_i32_b32" | "s_bcnt0_i32_b64" => nonzero(move |x| (0..width).map(|k| !x.s[0] >> k & 1).sum()),
        "s_bcnt1_i32_b32" | "s_bcnt1_i32_b64" => nonzero(move |x| (0..width).map(|k| x.s[0] >> k & 1).sum()),
        "s_ff0_i32_b32" | "s_ff0_i32_b64" => value(move |x| find(x.s[0], width, 0, false)),
        "s_ff1_i32_b32" | "s_ff1_i32_b64" => value(move |x| find(x.s[0], width, 1, false)),
        "s_flbit_i32_b32" | "s_flbit_i32_b64" => value(move |x| find(x.s[0], width, 1, true)),
        "s_flbit_i32" => value(|x| find(x.s[0], 32, 1 - (x.s[0] >> 31), true)),
        "s_flbit_i32_i64" => value(|x| find(x.s[0], 64, 1 - (x.s[0] >> 63), true)),
        "s_sext_i32_i8" => value(|x| low(signed(x.s[0], 8), 32)),
        "s_sext_i32_i16" => value(|x| low(signed(x.s[0], 16), 32)),
        "s_bitset0_b32" | "s_bitset0_b64" => value(move |x| x.old & !(1 << (x.s[0] & u64::from(width - 1)))),
        "s_bitset1_b32" | "s_bitset1_b64" => value(move |x| x.old | 1 << (x.s[0] & u64::from(width - 1))),
        "s_abs_i32" => nonzero(|x| low(signed(x.s[0], 32).abs(), 32)),
        "s_bitreplicate_b64_b32" => value(|x| (0..64).fold(0, |out, k| out | (x.s[0] >> (k / 2) & 1) << k)),
        _ => None,
    }
}

fn compare(name: &str) -> Option<Model> {
    let rest = name.strip_prefix("s_")?;
    if let Some((op, ty)) = rest.strip_prefix("cmp_").and_then(|rest| rest.split_once('_')) {
        let (holds, is_signed) = (comparison(op)?, ty.starts_with('i'));
        return flag(move |x| {
            let [a, b] = x.s.map(|s| if is_signed { signed(s, 32) } else { i128::from(s) });
            holds(a, b)
        });
    }
    let bit = |what: u64, width: u64| flag(move |x| x.s[0] >> (x.s[1] & (width - 1)) & 1 == what);
    match rest {
        "bitcmp0_b32" => bit(0, 32),
        "bitcmp1_b32" => bit(1, 32),
        "bitcmp0_b64" => bit(0, 64),
        "bitcmp1_b64" => bit(1, 64),
        _ => None,
    }
}

fn immediate(name: &str) -> Option<Model> {
    let rest = name.strip_prefix("s_")?;
    let wide = |imm: u16| i128::from(imm as i16);
    if let Some((op, ty)) = rest.strip_prefix("cmpk_").and_then(|rest| rest.split_once('_')) {
        let (holds, is_signed) = (comparison(op)?, ty.starts_with('i'));
        return flag(move |x| {
            if is_signed { holds(signed(x.old, 32), wide(x.imm)) } else { holds(i128::from(x.old), i128::from(x.imm)) }
        });
    }
    match rest {
        "movk_i32" => value(move |x| low(wide(x.imm), 32)),
        "cmovk_i32" => value(move |x| if x.scc { low(wide(x.imm), 32) } else { x.old }),
        "addk_i32" => both(move |x| {
            let sum = signed(x.old, 32) + wide(x.imm);
            (low(sum, 32), sum != i128::from(sum as i32))
        }),
        "mulk_i32" => value(move |x| low(signed(x.old, 32) * wide(x.imm), 32)),
        _ => None,
    }
}

/// Returns what a scalar row computes, if this is the place where it is said.
pub(crate) fn model(row: &Row) -> Option<Model> {
    match row.encoding {
        Encoding::Sop2 => two(row.name),
        Encoding::Sop1 => one(row.name),
        Encoding::Sopc => compare(row.name),
        Encoding::Sopk => immediate(row.name),
        _ => None,
    }
}

/// Runs a row through all its operands, one set a run.
pub(crate) fn check(machine: &mut Machine, row: &Row, model: &Model, every: usize) {
    let op = u32::from(row.op);
    let (a, b, to) = (A as u32, B as u32, TO as u32);
    let mut operands = Operands::new(row.src.map(|ty| if ty == Ty::Imm16 { Ty::B32 } else { ty }), u64::from(op));
    let mut random = Random(u64::from(op));
    let immediates = [0, 1, 0x7fff, 0x8000, 0xffff, random.next() as u16];
    let width = |ty: Ty| if ty.dwords() == 2 { u64::MAX } else { 0xffff_ffff };
    let dwords = row.dst.dwords();
    let mut loaded = None;
    for pass in (0..operands.passes(1)).step_by(every) {
        let imm = immediates[pass % immediates.len()];
        let words = match row.encoding {
            Encoding::Sop2 => 0x8000_0000 | op << 23 | to << 16 | b << 8 | a,
            Encoding::Sop1 => 0xbe80_0000 | to << 16 | op << 8 | a,
            Encoding::Sopc => 0xbf00_0000 | op << 16 | b << 8 | a,
            _ => 0xb000_0000 | op << 23 | to << 16 | u32::from(imm),
        };
        if loaded != Some(words) {
            machine.load(&[words]);
            loaded = Some(words);
        }
        let s = operands.lane(pass, 0, 1);
        // An old value that is an operand sometimes, so that what reads it meets the edges too.
        let old = if pass % 2 == 0 { s[0].rotate_left(7) } else { s[1] };
        let before = Scalars {
            s: [s[0] & width(row.src[0]), s[1] & width(row.src[1])],
            old: old & if dwords == 2 { u64::MAX } else { 0xffff_ffff },
            scc: random.next() & 1 == 1,
            exec: [!0, 0, random.next()][pass % 3],
            imm,
        };
        machine.set_pair(A, s[0]);
        machine.set_pair(B, s[1]);
        machine.set_pair(TO, old);
        machine.set_exec(before.exec);
        machine.set_scc(before.scc);
        if let Err(error) = machine.run() {
            panic!("{}: {error}", row.name);
        }
        let got = machine.pair(TO) & if dwords == 2 { u64::MAX } else { 0xffff_ffff };
        let after = After { value: got, scc: machine.scc(), exec: machine.pair(EXEC) };
        let want = model(&before);
        let Scalars { s, old, scc, exec, imm } = before;
        assert_eq!(after, want, "{}: {s:x?}, {old:x} before, SCC {scc}, EXEC {exec:x}, immediate {imm:#x}", row.name);
    }
}
