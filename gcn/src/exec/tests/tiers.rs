//! The tiers compute the same bits.
//!
//! One thing is not promised: which payload and sign a NaN has that came of other NaNs, because the host's instructions take
//! it from either operand. Results are compared with every NaN replaced by one.

use super::Machine;
use crate::arch::Arch;
use crate::exec::Tier;
use crate::exec::cx::{EXEC, Flow};
use crate::isa::{self, Encoding, ROWS, Row, Traits, Ty};
use proptest::prelude::*;

/// Words of a row with sources in v[0:5] and the result in v[8:11].
fn words(row: &Row) -> Option<[u32; 2]> {
    let op = u32::from(row.op);
    let second = 0x100 | 0x102 << 9 | if row.src[2] == Ty::Mask { 10 } else { 0x104 } << 18;
    Some(match row.encoding {
        Encoding::Vop1 => [0x7e00_0000 | 8 << 17 | op << 9 | 0x100, 0],
        Encoding::Vop2 => [op << 25 | 8 << 17 | 2 << 9 | 0x100, 0x4049_0fdb],
        Encoding::Vopc => [0x7c00_0000 | op << 17 | 2 << 9 | 0x100, 0],
        Encoding::Vop3 => [0xd000_0000 | op << 16 | 8, second],
        Encoding::Vop3b => [0xd000_0000 | op << 16 | 12 << 8 | 8, second],
        Encoding::Vop3p => [0xd380_4000 | op << 16 | 8, second | 0x1800_0000],
        _ => return None,
    })
}

/// Replaces what is a NaN in the result's type.
fn canonical(ty: Ty, low: u32, high: u32) -> [u32; 2] {
    let wide = u64::from(low) | u64::from(high) << 32;
    let half = |x: u32| if x & 0x7fff > 0x7c00 { 0x7e00 } else { x & 0xffff };
    let single = |x: u32| if f32::from_bits(x).is_nan() { 0x7fc0_0000 } else { x };
    match ty {
        Ty::F32 => [single(low), high],
        Ty::PF32 => [single(low), single(high)],
        Ty::F64 if f64::from_bits(wide).is_nan() => [0, 0x7ff8_0000],
        Ty::F16 | Ty::PF16 | Ty::B32 => [half(low) | half(low >> 16) << 16, high],
        _ => [low, high],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn tiers_agree_bit_for_bit(seed: u64, exec: u64, full: bool) {
        let (portable, wider) = Tier::all().split_last().unwrap();
        let exec = if full { !0 } else { exec };
        // Edge values meet random ones.
        let edges = [0u32, 0x8000_0000, 1, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x3f80_0000, 0x7fff_ffff, !0, 0x0080_0000, 0x3c00_7bff];
        let value = |k: usize, lane: usize| {
            let x = (seed ^ (k as u64) << 56 ^ (lane as u64) << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            if x >> 60 < 6 { edges[(x >> 32) as usize % edges.len()] } else { (x >> 16) as u32 }
        };
        for arch in Arch::ALL {
            let mut run = 0;
            for row in ROWS.iter().filter(|r| r.archs.contains(arch) && !r.traits.has(Traits::DECODE_ONLY)) {
                let Some(words) = words(row) else { continue };
                let fields = isa::decode(arch, &words);
                prop_assert!(fields.is_ok(), "{}", row.name);
                let result = |tier: &Tier| {
                    let mut m = Machine::new(arch);
                    for k in 0..12 {
                        for lane in 0..64 {
                            m.vgpr(k)[lane] = value(k, lane);
                        }
                    }
                    m.set_sgpr64(EXEC, exec);
                    m.set_sgpr64(10, seed);
                    m.set_sgpr64(106, seed.rotate_left(17));
                    let flow = m.run_on(tier, &words);
                    let lanes: Vec<_> = (0..64).map(|l| canonical(row.dst, m.vgpr(8)[l], m.vgpr(9)[l])).collect();
                    (flow, lanes, m.hw[0].sgpr[0], m.wave.scc)
                };
                let narrow = result(portable);
                prop_assert_eq!(narrow.0, Flow::Next, "{}", row.name);
                for tier in wider {
                    prop_assert!(result(tier) == narrow, "{arch} {}: {} differs", row.name, tier.name());
                }
                run += 1;
            }
            prop_assert!(run > 400, "only {run} rows ran");
        }
    }
}
