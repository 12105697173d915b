//! Functions with pseudo-code of their own: the end of a division, cube maps, argument reduction, 8-bit floats.

use std::cmp::Ordering;

use crate::exact::{Big, F16, F32, F64, Format, Number};
use crate::vector::frexp;

/// An 8-bit float without infinities or a negative zero: what would be that is the NaN.
pub(crate) fn eight(exponent: u32, mantissa: u32, bits: u64) -> Number {
    if bits == 0x80 {
        return Number::Nan;
    }
    let bias = 1i64 << (exponent - 1);
    let field = (bits >> mantissa & ((1 << exponent) - 1)) as i64;
    let low = bits & ((1 << mantissa) - 1);
    let integer = if field == 0 { low } else { low | 1 << mantissa };
    let power = field.max(1) - bias - i64::from(mantissa);
    Number::Finite { negative: bits >> 7 == 1, integer: Big::from(integer.into()), power }
}

/// What a division's last step makes of operands that are no ordinary numbers.
pub(crate) fn div_fixup(f: Format, [quotient, denominator, numerator]: [u64; 3]) -> u64 {
    let sign = (numerator ^ denominator) & f.sign();
    let magnitude = |x: u64| x & (f.sign() - 1);
    let (infinite, zero) = (|x: u64| magnitude(x) == f.infinity(), |x: u64| magnitude(x) == 0);
    // The quotient lies between 2^(order - 1) and 2^(order + 1).
    let exponent = |x: u64| frexp(&Number::of(f, x)).map_or(0, |(_, exponent)| exponent);
    let order = exponent(numerator) - exponent(denominator);
    if f.is_nan(numerator) {
        numerator | f.quiet()
    } else if f.is_nan(denominator) {
        denominator | f.quiet()
    } else if zero(numerator) && zero(denominator) || infinite(numerator) && infinite(denominator) {
        f.infinity() | f.quiet()
    } else if zero(denominator) || infinite(numerator) {
        f.infinity() | sign
    } else if infinite(denominator) || zero(numerator) {
        sign
    } else if f == F16 {
        // Divided as a float of 32 bits, so that the quotient is right even where it does not fit.
        magnitude(quotient) | sign
    } else if order <= 1 - f.bias() - i64::from(f.mantissa) - 2 {
        sign
    } else if order >= f.bias() + 2 {
        f.infinity() | sign
    } else {
        magnitude(quotient) | sign
    }
}

pub(crate) fn cube(which: u8, s: [u64; 3]) -> u64 {
    let [x, y, z] = s.map(|x| Number::of(F32, x));
    let negative = |k: usize| Number::of(F32, s[k]).compare(&Number::int(0)) == Some(Ordering::Less);
    let at_least = |a: usize, b: usize| {
        let [a, b] = [a, b].map(|k| Number::of(F32, s[k] & 0x7fff_ffff));
        matches!(a.compare(&b), Some(Ordering::Greater | Ordering::Equal))
    };
    let (face, s, t, major) = if at_least(2, 0) && at_least(2, 1) {
        if negative(2) { (5, x.neg(), y.neg(), z) } else { (4, x, y.neg(), z) }
    } else if at_least(1, 0) {
        if negative(1) { (3, x, z.neg(), y) } else { (2, x, z, y) }
    } else if negative(0) {
        (1, z, y.neg(), x)
    } else {
        (0, z.neg(), y.neg(), x)
    };
    match which {
        b'i' => Number::int(face),
        b's' => s,
        b't' => t,
        _ => major.scale(1),
    }
    .round(F32)
}

/// 53 bits of 2/pi, from where an argument of this size begins to matter.
pub(crate) fn trig_preop(x: u64, segment: u64) -> u64 {
    let exponent = (x >> 52 & 0x7ff) as i64;
    let shift = 53 * segment as i64 + (exponent - 1077).max(0);
    // 1201 bits of 2/pi before the point's place are what the hardware has; beyond is zero.
    let all = two_over_pi(1201);
    let kept = all.shl(shift);
    let window = kept.sub(&kept.shr(1201).shl(1201)).shr(1201 - 53);
    let scale = -53 - shift + if exponent >= 1968 { 128 } else { 0 };
    Number::Finite { negative: false, integer: window, power: scale }.round(F64)
}

/// The first `bits` of 2/pi = 2 / (16 atan(1/5) - 4 atan(1/239)), by long division.
fn two_over_pi(bits: i64) -> Big {
    let precision = bits + 80;
    let arctangent = |by: u32| {
        let mut power = Big::from(1).shl(precision).div(by);
        let (mut plus, mut minus) = (power.clone(), Big::default());
        let mut k = 1;
        while !power.is_zero() {
            power = power.div(by * by);
            k += 2;
            let term = power.div(k);
            if k % 4 == 3 { minus = minus.add(&term) } else { plus = plus.add(&term) }
        }
        plus.sub(&minus)
    };
    let pi = arctangent(5).shl(4).sub(&arctangent(239).shl(2));
    // Bit by bit: how often pi goes into 2, in units of 2^-bits.
    let mut rest = Big::from(2).shl(precision);
    let mut quotient = Big::default();
    for _ in 0..=bits {
        quotient = quotient.shl(1);
        if rest.cmp(&pi) != Ordering::Less {
            rest = rest.sub(&pi);
            quotient = quotient.add(&Big::from(1));
        }
        rest = rest.shl(1);
    }
    quotient
}
