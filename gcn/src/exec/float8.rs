//! Floats of eight bits as gfx942 has them: `fp8` with four and `bf8` with five exponent bits.
//!
//! Both are the variants without infinities and without a negative zero, whose code is the only NaN; their biases are one more than IEEE's
//! pattern would have (8 and 16). Source: AMD "Instinct MI300" ISA document, "FP8 and BF8"; Micikevicius et al., "FP8 formats for
//! deep learning" (2022) for the formats they derive from.

/// Code of the NaN.
const NAN: u8 = 0x80;

#[inline(always)]
fn widen(bits: u8, mantissa_bits: u32, bias: i32) -> f32 {
    let magnitude = u32::from(bits & 0x7f);
    // As a float whose exponent is too small by 127 - bias: one exact multiplication mends it, for denormals too.
    let scaled = f32::from_bits(magnitude << (23 - mantissa_bits));
    let value = scaled * f32::from_bits(((127 + 127 - bias) as u32) << 23);
    let value = if bits & 0x80 != 0 { -value } else { value };
    if bits == NAN { f32::NAN } else { value }
}

/// Widens; exact.
#[inline(always)]
pub(crate) fn fp8_to_f32(bits: u8) -> f32 {
    widen(bits, 3, 8)
}

/// Widens; exact.
#[inline(always)]
pub(crate) fn bf8_to_f32(bits: u8) -> f32 {
    widen(bits, 2, 16)
}

/// Rounds `x` to the format: to nearest even, or up with the probability of what is lost where `random` is given (its high bits count).
/// Too large, infinite or NaN becomes NaN.
#[inline(always)]
fn narrow(x: f32, mantissa_bits: u32, bias: i32, random: Option<u32>) -> u8 {
    if !x.is_finite() {
        return NAN;
    }
    let bits = x.to_bits();
    let sign = (bits >> 24 & 0x80) as u8;
    let exponent = (bits >> 23 & 0xff) as i32 - 127 + bias;
    let mantissa = bits & 0x7f_ffff | if bits & 0x7f80_0000 == 0 { 0 } else { 0x80_0000 };
    // Bits to drop: more of them where the result is a denormal.
    let drop = 23 - mantissa_bits + if exponent < 1 { (1 - exponent) as u32 } else { 0 };
    if drop > 30 {
        return 0;
    }
    let round = match random {
        None => (1u32 << (drop - 1)) - 1 + (mantissa >> drop & 1),
        Some(random) => (u64::from(random) << drop >> 32) as u32,
    };
    let kept = (mantissa + round) >> drop;
    // A carry out of the mantissa increments the exponent field, which is what it should do.
    let base = if exponent < 1 { 0 } else { (exponent as u32 - 1) << mantissa_bits };
    match base + kept {
        0 => 0,
        magnitude @ 1..=0x7f => sign | magnitude as u8,
        _ => NAN,
    }
}

/// Narrows to `fp8`; see [`narrow`].
#[inline(always)]
pub(crate) fn f32_to_fp8(x: f32, random: Option<u32>) -> u8 {
    narrow(x, 3, 8, random)
}

/// Narrows to `bf8`; see [`narrow`].
#[inline(always)]
pub(crate) fn f32_to_bf8(x: f32, random: Option<u32>) -> u8 {
    narrow(x, 2, 16, random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_way_there_and_back() {
        for code in 0..=255u8 {
            for (wide, back) in [
                (fp8_to_f32(code), f32_to_fp8(fp8_to_f32(code), None)),
                (bf8_to_f32(code), f32_to_bf8(bf8_to_f32(code), None)),
                (fp8_to_f32(code), f32_to_fp8(fp8_to_f32(code), Some(!0))),
            ] {
                assert_eq!(back, code, "{code:#x} is {wide}");
            }
        }
        assert_eq!([fp8_to_f32(0x7f), fp8_to_f32(1), fp8_to_f32(0x40)], [240.0, 1.0 / 1024.0, 1.0]);
        assert_eq!([bf8_to_f32(0x7f), bf8_to_f32(1), bf8_to_f32(0x40)], [57344.0, 1.0 / 131_072.0, 1.0]);
    }

    #[test]
    fn what_lies_between_goes_to_the_nearest() {
        for code in 0..0x7fu8 {
            let (low, high) = (fp8_to_f32(code), fp8_to_f32(code + 1));
            let middle = (low + high) / 2.0;
            assert_eq!(f32_to_fp8(middle, None), code + (code & 1), "the tie above {code:#x}");
            assert_eq!(f32_to_fp8(f32::from_bits(middle.to_bits() - 1), None), code);
            assert_eq!(f32_to_fp8(f32::from_bits(middle.to_bits() + 1), None), code + 1);
            assert_eq!(f32_to_fp8(-low, None), if code == 0 { 0 } else { code | 0x80 });
        }
        assert_eq!([f32_to_fp8(1e9, None), f32_to_fp8(f32::INFINITY, None), f32_to_fp8(-1e-9, None)], [0x80, 0x80, 0]);
    }

    #[test]
    fn stochastic_rounding_takes_the_random_bits() {
        let (low, high) = (1.0, fp8_to_f32(0x41));
        let quarter = low + (high - low) / 4.0;
        assert_eq!(f32_to_fp8(quarter, Some(0)), 0x40);
        assert_eq!(f32_to_fp8(quarter, Some(0xbfff_ffff)), 0x40);
        assert_eq!(f32_to_fp8(quarter, Some(0xc000_0000)), 0x41);
    }
}
