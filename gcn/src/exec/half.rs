//! Half precision: 16-bit floats, computed in wider formats and rounded once.
//!
//! [`Half`] holds the value as an `f32`, which every `f16` fits. Sums, products, quotients and square roots of halves computed in `f32`
//! and then rounded to 11 bits are the correctly rounded ones (24 >= 2 * 11 + 2, Figueroa 1995); a fused multiply-add is not, so it goes
//! through [`fma_f16`]. The conversions are plain integer arithmetic, so that the compiler can do eight lanes at once.

use super::division::div_fixup_f32;
use super::numeric::fract_f32;

/// A 16-bit float on its way: rounded to half precision when it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Half(pub(crate) f32);

impl Half {
    #[inline(always)]
    pub(crate) fn from_bits(bits: u16) -> Half {
        Half(f16_to_f32(bits))
    }

    /// Rounds to nearest even.
    #[inline(always)]
    pub(crate) fn bits(self) -> u16 {
        f32_to_f16(self.0)
    }
}

/// Widens; exact. A NaN keeps its payload.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // The exponent's bias differs by 112; a multiplication by 2^112 mends that for normals and denormals alike.
    let finite = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let special = magnitude | 0x7f80_0000;
    let value = if magnitude >= 0x7c00 << 13 { special } else { finite.to_bits() };
    f32::from_bits(value | u32::from(bits & 0x8000) << 16)
}

/// Rounds to nearest even. A NaN becomes quiet and keeps the top of its payload.
#[inline(always)]
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Adding one half makes the adder round at 2^-24, which is the spacing of half-precision denormals.
    let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let odd = magnitude >> 13 & 1;
    let normal = magnitude.wrapping_add(odd).wrapping_sub((112 << 23) - 0xfff) >> 13;
    let nan = 0x7e00 | magnitude >> 13 & 0x3ff;
    let value = if magnitude < 113 << 23 { denormal } else { normal };
    let value = if magnitude >= 0x477f_f000 { 0x7c00 } else { value };
    let value = if magnitude > 0x7f80_0000 { nan } else { value };
    (value | bits >> 16 & 0x8000) as u16
}

/// Rounds towards zero.
#[inline(always)]
pub(crate) fn f32_to_f16_rtz(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let value = if magnitude > 0x7f80_0000 {
        0x7e00 | magnitude >> 13 & 0x3ff
    } else if magnitude == 0x7f80_0000 {
        0x7c00
    } else if magnitude >= 143 << 23 {
        // Beyond the largest finite half, towards zero.
        0x7bff
    } else if magnitude >= 113 << 23 {
        (magnitude - (112 << 23)) >> 13
    } else {
        (f32::from_bits(magnitude) * 16_777_216.0) as u32
    };
    (value | bits >> 16 & 0x8000) as u16
}

/// `a * b + c`, rounded once (when the result is stored).
///
/// The product is exact in `f64` and the sum is exact wherever that can decide the rounding; the step to `f32` rounds to odd, so that
/// the last step sees on which side of a midpoint the sum lies.
#[inline(always)]
pub(crate) fn fma_f16(a: Half, b: Half, c: Half) -> Half {
    let exact = f64::from(a.0) * f64::from(b.0) + f64::from(c.0);
    let near = exact as f32;
    let inexact = f64::from(near) != exact && !near.is_nan();
    let away = f64::from(near).abs() > exact.abs();
    let bits = near.to_bits();
    // Towards zero if rounding went away from it, then the last bit says "inexact".
    let odd = if inexact { (bits - u32::from(away)) | 1 } else { bits };
    Half(f32::from_bits(odd))
}

/// `a * b + c`, rounded twice.
#[inline(always)]
pub(crate) fn mad_f16(a: Half, b: Half, c: Half) -> Half {
    let product = Half::from_bits(Half(a.0 * b.0).bits());
    Half(product.0 + c.0)
}

/// As `fract_f32`.
#[inline(always)]
pub(crate) fn fract_f16(x: Half) -> Half {
    // The largest half below one: f32's could round up to one.
    let r = fract_f32(x.0);
    Half(if r > 0.999_511_7 { 0.999_511_7 } else { r })
}

/// As `div_fixup_f32`.
#[inline(always)]
pub(crate) fn div_fixup_f16(quotient: Half, denominator: Half, numerator: Half) -> Half {
    Half(div_fixup_f32(quotient.0, denominator.0, numerator.0))
}

/// Two 16-bit values in a register.
#[inline(always)]
pub(crate) fn pack(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// The two halves of a register.
#[inline(always)]
fn halves(x: u32) -> [Half; 2] {
    [Half::from_bits(x as u16), Half::from_bits((x >> 16) as u16)]
}

/// Both halves of `a * b + c`.
#[inline(always)]
pub(crate) fn pk_fma_f16(a: u32, b: u32, c: u32) -> u32 {
    let ([a0, a1], [b0, b1], [c0, c1]) = (halves(a), halves(b), halves(c));
    pack(fma_f16(a0, b0, c0).bits(), fma_f16(a1, b1, c1).bits())
}

/// Both halves of `a + b`.
pub(crate) fn pk_add_f16(a: u32, b: u32) -> u32 {
    let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
    pack(Half(a0.0 + b0.0).bits(), Half(a1.0 + b1.0).bits())
}

/// Both halves of `a + b`, each the upper half of an `f32`.
pub(crate) fn pk_add_bf16(a: u32, b: u32) -> u32 {
    let add = |a: u32, b: u32| {
        let sum = f32::from_bits(a << 16) + f32::from_bits(b << 16);
        let bits = sum.to_bits();
        if sum.is_nan() {
            (bits >> 16 | 0x40) as u16
        } else {
            (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
        }
    };
    pack(add(a, b), add(a >> 16, b >> 16))
}

/// `c` plus the products of the halves of `a` and `b`, low half first, each step rounded in `f32`.
#[inline(always)]
pub(crate) fn dot2_f32_f16(a: u32, b: u32, c: f32) -> f32 {
    let ([a0, a1], [b0, b1]) = (halves(a), halves(b));
    a1.0.mul_add(b1.0, a0.0.mul_add(b0.0, c))
}
