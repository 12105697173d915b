//! What the numeric instructions compute, lane by lane, as plain functions.
//!
//! Floating point as compute kernels begin: round to nearest even, denormals kept, IEEE rules. [`mode`](super::mode) serves the others.

use super::half::Half;

/// A float that can be a signalling NaN.
pub(crate) trait Signal: Copy {
    /// Whether it is one.
    fn is_signalling(self) -> bool;
    /// With its quiet bit set.
    fn quiet(self) -> Self;
}

impl Signal for f32 {
    #[inline(always)]
    fn is_signalling(self) -> bool {
        // A signalling NaN lies between infinity and the quiet ones.
        (self.to_bits() & 0x7fff_ffff).wrapping_sub(0x7f80_0001) < 0x003f_ffff
    }
    #[inline(always)]
    fn quiet(self) -> f32 {
        f32::from_bits(self.to_bits() | 0x0040_0000)
    }
}

impl Signal for f64 {
    #[inline(always)]
    fn is_signalling(self) -> bool {
        (self.to_bits() & !(1 << 63)).wrapping_sub(0x7ff0_0000_0000_0001) < 0x0007_ffff_ffff_ffff
    }
    #[inline(always)]
    fn quiet(self) -> f64 {
        f64::from_bits(self.to_bits() | 0x0008_0000_0000_0000)
    }
}

/// `number`, or the first signalling operand made quiet.
#[inline(always)]
fn signalled<F: Signal>(a: F, b: F, number: F) -> F {
    let number = if b.is_signalling() { b.quiet() } else { number };
    if a.is_signalling() { a.quiet() } else { number }
}

macro_rules! min_max {
    ($($min:ident $max:ident $t:ty;)*) => {$(
        /// IEEE 754-2008 minNum with -0 below +0: a quiet NaN loses to a number, a signalling one comes out quiet.
        #[inline(always)]
        pub(crate) fn $min(a: $t, b: $t) -> $t {
            // Selects only, so that lanes stay together. Where the operands are equal their bits differ at most in the sign of zero.
            let smaller = if a < b { a } else { b };
            let smaller = if a == b { <$t>::from_bits(a.to_bits() | b.to_bits()) } else { smaller };
            let number = if b.is_nan() { a } else { smaller };
            signalled(a, b, number)
        }
        /// As the minimum, with +0 above -0.
        #[inline(always)]
        pub(crate) fn $max(a: $t, b: $t) -> $t {
            let larger = if a > b { a } else { b };
            let larger = if a == b { <$t>::from_bits(a.to_bits() & b.to_bits()) } else { larger };
            let number = if b.is_nan() { a } else { larger };
            signalled(a, b, number)
        }
    )*};
}

min_max! {
    min_f32 max_f32 f32;
    min_f64 max_f64 f64;
}

/// The largest `f32` below one.
const BELOW_ONE_F32: f32 = f32::from_bits(0x3f7f_ffff);

/// `x - floor(x)`, never one.
#[inline(always)]
pub(crate) fn fract_f32(x: f32) -> f32 {
    let r = x - x.floor();
    if r >= 1.0 { BELOW_ONE_F32 } else { r }
}

/// Median of three: the larger of the smaller two.
#[inline(always)]
pub(crate) fn med3_f32(a: f32, b: f32, c: f32) -> f32 {
    if a.is_nan() || b.is_nan() || c.is_nan() {
        return min_f32(min_f32(a, b), c);
    }
    max_f32(min_f32(a, b), min_f32(max_f32(a, b), c))
}

/// A sum and what it carries: the top bit of two, or of one that the sum has lost. Words throughout, which vectorise.
#[inline(always)]
pub(crate) fn add_carry(a: u32, b: u32, carry: bool) -> (u32, bool) {
    let sum = a.wrapping_add(b).wrapping_add(u32::from(carry));
    (sum, (a & b | (a | b) & !sum) >> 31 == 1)
}

/// A difference and what it borrows.
#[inline(always)]
pub(crate) fn sub_borrow(a: u32, b: u32, borrow: bool) -> (u32, bool) {
    let difference = a.wrapping_sub(b).wrapping_sub(u32::from(borrow));
    (difference, (!a & b | (!a | b) & difference) >> 31 == 1)
}

/// Reciprocal square root. Hardware is within 1 ULP; this is two correctly rounded steps.
#[inline(always)]
pub(crate) fn rsq_f32(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// As [`rsq_f32`] for doubles.
#[inline(always)]
pub(crate) fn rsq_f64(x: f64) -> f64 {
    1.0 / x.sqrt()
}

/// Base-2 exponential.
#[inline(always)]
pub(crate) fn exp_f32(x: f32) -> f32 {
    x.exp2()
}

/// Base-2 logarithm.
#[inline(always)]
pub(crate) fn log_f32(x: f32) -> f32 {
    x.log2()
}

/// Sine of `x` turns. Valid for |x| <= 256, zero beyond, as the ISA document says.
#[inline(always)]
pub(crate) fn sin_f32(x: f32) -> f32 {
    if x.abs() <= 256.0 { (f64::from(x) * core::f64::consts::TAU).sin() as f32 } else { x * 0.0 }
}

/// Cosine of `x` turns. Valid for |x| <= 256, one beyond.
#[inline(always)]
pub(crate) fn cos_f32(x: f32) -> f32 {
    if x.abs() <= 256.0 { (f64::from(x) * core::f64::consts::TAU).cos() as f32 } else { 1.0 + x * 0.0 }
}

/// `x * 2^exponent`, rounded once.
#[inline(always)]
pub(crate) fn ldexp_f32(x: f32, exponent: i32) -> f32 {
    // Through f64 the scaling is exact (11 exponent bits hold any f32 denormal), so only the final conversion rounds.
    let e = exponent.clamp(-400, 400);
    (f64::from(x) * f64::from_bits(((1023 + e) as u64) << 52)) as f32
}

/// `x * 2^exponent`, rounded once.
#[inline(always)]
pub(crate) fn ldexp_f64(x: f64, exponent: i32) -> f64 {
    let e = exponent.clamp(-2200, 2200);
    let power = |e: i32| f64::from_bits(((1023 + e) as u64) << 52);
    if (-1022..=1023).contains(&e) {
        x * power(e)
    } else if e > 1023 {
        x * power(1023) * power((e - 1023).min(1023)) * power((e - 2046).clamp(0, 1023))
    } else if x == 0.0 || !x.is_finite() {
        x
    } else {
        // Scale the mantissa to [1, 2) first: then at most one step enters the denormals and only that one rounds.
        let own = frexp_exp_f64(x) - 1;
        let mantissa = frexp_mant_f64(x) * 2.0;
        let total = own + e;
        if total >= -1022 {
            mantissa * power(total)
        } else {
            mantissa * power(-1022) * power((total + 1022).max(-1022))
        }
    }
}

/// Exponent such that `x = m * 2^e`, m in [0.5, 1); zero for zero, infinities and NaN.
#[inline(always)]
pub(crate) fn frexp_exp_f32(x: f32) -> i32 {
    if x == 0.0 || !x.is_finite() {
        return 0;
    }
    let wide = f64::from(x).to_bits();
    (wide >> 52 & 0x7ff) as i32 - 1022
}

/// Mantissa in [0.5, 1) with the sign of `x`; zero, infinities and NaN are passed on.
#[inline(always)]
pub(crate) fn frexp_mant_f32(x: f32) -> f32 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let wide = f64::from(x).to_bits();
    f64::from_bits(wide & !(0x7ff << 52) | 1022 << 52) as f32
}

/// As [`frexp_exp_f32`] for doubles.
#[inline(always)]
pub(crate) fn frexp_exp_f64(x: f64) -> i32 {
    if x == 0.0 || !x.is_finite() {
        return 0;
    }
    let (x, shift) = if x.abs() < f64::MIN_POSITIVE { (x * f64::from_bits((1023 + 64) << 52), 64) } else { (x, 0) };
    (x.to_bits() >> 52 & 0x7ff) as i32 - 1022 - shift
}

/// As [`frexp_mant_f32`] for doubles.
#[inline(always)]
pub(crate) fn frexp_mant_f64(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let x = if x.abs() < f64::MIN_POSITIVE { x * f64::from_bits((1023 + 64) << 52) } else { x };
    f64::from_bits(x.to_bits() & !(0x7ff << 52) | 1022 << 52)
}

/// Tests `x` against the class bits of `v_cmp_class`: signalling and quiet NaN, -inf, -normal, -denormal, -0, +0, ... +inf.
#[inline(always)]
pub(crate) fn class_f32(x: f32, classes: u32) -> bool {
    let quiet = x.to_bits() & 0x0040_0000 != 0;
    classes >> class_bit(x.is_nan(), quiet, x.is_sign_negative(), x.is_infinite(), x == 0.0, x.is_subnormal()) & 1 == 1
}

/// As [`class_f32`] for doubles.
#[inline(always)]
pub(crate) fn class_f64(x: f64, classes: u32) -> bool {
    let quiet = x.to_bits() & 0x0008_0000_0000_0000 != 0;
    classes >> class_bit(x.is_nan(), quiet, x.is_sign_negative(), x.is_infinite(), x == 0.0, x.is_subnormal()) & 1 == 1
}

/// As [`class_f32`] for halves, whose denormals are normal in `f32`.
#[inline(always)]
pub(crate) fn class_f16(x: Half, classes: u32) -> bool {
    let quiet = x.0.to_bits() & 0x0040_0000 != 0;
    let denormal = x.0 != 0.0 && x.0.abs() < 1.0 / 16384.0;
    classes >> class_bit(x.0.is_nan(), quiet, x.0.is_sign_negative(), x.0.is_infinite(), x.0 == 0.0, denormal) & 1 == 1
}

#[inline(always)]
fn class_bit(nan: bool, quiet: bool, negative: bool, infinite: bool, zero: bool, denormal: bool) -> u32 {
    if nan {
        return u32::from(quiet);
    }
    let magnitude = if infinite {
        0
    } else if zero {
        3
    } else if denormal {
        2
    } else {
        1
    };
    if negative { 2 + magnitude } else { 9 - magnitude }
}

/// Position of the first bit from the top that is one, or -1.
#[inline(always)]
pub(crate) fn ffbh_u32(x: u32) -> u32 {
    if x == 0 { u32::MAX } else { x.leading_zeros() }
}

/// Position of the first bit from the top that differs from the sign, or -1.
#[inline(always)]
pub(crate) fn ffbh_i32(x: i32) -> u32 {
    let different = (x ^ (x >> 31)) as u32;
    if different == 0 { u32::MAX } else { different.leading_zeros() }
}

/// Position of the first bit from the bottom that is one, or -1.
#[inline(always)]
pub(crate) fn ffbl_b32(x: u32) -> u32 {
    if x == 0 { u32::MAX } else { x.trailing_zeros() }
}

/// `width` bits of `x` from `offset`, zero-extended.
#[inline(always)]
pub(crate) fn bfe_u32(x: u32, offset: u32, width: u32) -> u32 {
    let (offset, width) = (offset & 31, width & 31);
    (x >> offset) & ((1u32 << width) - 1)
}

/// `width` bits of `x` from `offset`, sign-extended.
#[inline(always)]
pub(crate) fn bfe_i32(x: i32, offset: u32, width: u32) -> i32 {
    let (offset, width) = (offset & 31, width & 31);
    if width == 0 {
        return 0;
    }
    let field = (x >> offset) as u32 & ((1u32 << width) - 1);
    let sign = 1u32 << (width - 1);
    (field ^ sign).wrapping_sub(sign) as i32
}

/// Four bytes chosen from eight (`v_perm_b32`): selector 0..=7 a byte of `low` then `high`, 8..=11 sign bytes, 12 zero, 13.. ones.
#[inline(always)]
pub(crate) fn perm_b32(high: u32, low: u32, selector: u32) -> u32 {
    let data = u64::from(high) << 32 | u64::from(low);
    let mut out = 0;
    for k in 0..4 {
        let s = selector >> (8 * k) & 0xff;
        let byte = match s {
            0..=7 => (data >> (8 * s)) as u32 & 0xff,
            8..=11 => 0xff * ((data >> (16 * (s - 8) + 15)) as u32 & 1),
            12 => 0,
            _ => 0xff,
        };
        out |= byte << (8 * k);
    }
    out
}

/// Sum of absolute differences of four bytes, plus `c`.
#[inline(always)]
pub(crate) fn sad_u8(a: u32, b: u32, c: u32) -> u32 {
    let mut sum = c;
    for k in [0, 8, 16, 24] {
        sum = sum.wrapping_add((a >> k & 0xff).abs_diff(b >> k & 0xff));
    }
    sum
}

/// Averages four bytes, rounding up where `c` has the byte's low bit.
#[inline(always)]
pub(crate) fn lerp_u8(a: u32, b: u32, c: u32) -> u32 {
    let mut out = 0;
    for k in [0, 8, 16, 24] {
        out |= (((a >> k & 0xff) + (b >> k & 0xff) + (c >> k & 1)) >> 1) << k;
    }
    out
}

/// The low 24 bits.
#[inline(always)]
pub(crate) fn u24(x: u32) -> u32 {
    x & 0xff_ffff
}

/// The low 24 bits, sign-extended.
#[inline(always)]
pub(crate) fn i24(x: i32) -> i32 {
    x << 8 >> 8
}

/// A value and whether it is not zero: what most scalar instructions put into SCC.
#[inline(always)]
pub(crate) fn nonzero<T: Default + PartialEq + Copy>(x: T) -> (T, bool) {
    (x, x != T::default())
}

/// Every four bits become four copies of "any of them".
pub(crate) fn wqm(x: u64) -> u64 {
    let any = (x | x >> 1 | x >> 2 | x >> 3) & 0x1111_1111_1111_1111;
    any * 15
}

/// One bit for every four: "any of them".
pub(crate) fn quadmask(x: u64) -> u64 {
    (0..16).fold(0, |mask, k| mask | u64::from(x >> (4 * k) & 15 != 0) << k)
}

/// Every bit twice.
pub(crate) fn bitreplicate(x: u32) -> u64 {
    (0..32).fold(0, |bits, k| bits | (u64::from(x >> k & 1) * 3) << (2 * k))
}

/// As [`ffbl_b32`] for 64 bits.
pub(crate) fn ffbl_b64(x: u64) -> u32 {
    if x == 0 { u32::MAX } else { x.trailing_zeros() }
}

/// As [`ffbh_u32`] for 64 bits.
pub(crate) fn ffbh_u64(x: u64) -> u32 {
    if x == 0 { u32::MAX } else { x.leading_zeros() }
}

/// `width` bits (0..=127) of `x` from `offset` (0..=63), zero-extended.
pub(crate) fn field_u64(x: u64, offset: u32, width: u32) -> u64 {
    let x = x >> offset;
    if width >= 64 { x } else { x & ((1 << width) - 1) }
}

/// As [`field_u64`], sign-extended from the field's top bit.
pub(crate) fn field_i64(x: i64, offset: u32, width: u32) -> u64 {
    let x = x >> offset;
    match width {
        0 => 0,
        1..=63 => (x << (64 - width) >> (64 - width)) as u64,
        _ => x as u64,
    }
}

/// `(a << shift) + b` and whether that does not fit 32 bits.
pub(crate) fn shift_add(a: u32, shift: u32, b: u32) -> (u32, bool) {
    let sum = (u64::from(a) << shift) + u64::from(b);
    (sum as u32, sum > u64::from(u32::MAX))
}

/// High half of the 64-bit product.
#[inline(always)]
pub(crate) fn mul_hi_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

/// As [`mul_hi_u32`], signed.
#[inline(always)]
pub(crate) fn mul_hi_i32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

/// `(a << (b & 7)) + c`: the shift is limited to four by the ISA, other counts shift as their low three bits say.
#[inline(always)]
pub(crate) fn lshl_add_u64(a: u64, b: u32, c: u64) -> u64 {
    (a << (b & 7)).wrapping_add(c)
}

/// The low word of `high:low >> shift` (0..=31).
#[inline(always)]
pub(crate) fn align(high: u32, low: u32, shift: u32) -> u32 {
    ((u64::from(high) << 32 | u64::from(low)) >> shift) as u32
}

/// The low byte, sign-extended.
#[inline(always)]
pub(crate) fn sext8(x: u32) -> u32 {
    i32::from(x as i8) as u32
}

/// The low half, sign-extended.
#[inline(always)]
pub(crate) fn sext16(x: u32) -> u32 {
    i32::from(x as i16) as u32
}

/// `old` with its low half replaced.
#[inline(always)]
pub(crate) fn low16(x: u32, old: u32) -> u32 {
    x & 0xffff | old & 0xffff_0000
}

/// `old` with its high half replaced by the low half of `x`.
#[inline(always)]
pub(crate) fn high16(x: u32, old: u32) -> u32 {
    x << 16 | old & 0xffff
}

/// Whether one of two floats is NaN.
#[inline(always)]
pub(crate) fn unordered<T: PartialOrd + Copy>(a: T, b: T) -> bool {
    a.partial_cmp(&b).is_none()
}

#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x }
}

/// `a * b + c` with two roundings, denormals flushed to zero: the unfused multiply-add has no denormals on this hardware.
#[inline(always)]
pub(crate) fn mad_f32(a: f32, b: f32, c: f32) -> f32 {
    flush(flush(flush(a) * flush(b)) + flush(c))
}

/// As [`mad_f32`], and zero times anything is zero.
#[inline(always)]
pub(crate) fn mad_legacy_f32(a: f32, b: f32, c: f32) -> f32 {
    let (a, b) = (flush(a), flush(b));
    flush(if a == 0.0 || b == 0.0 { 0.0 } else { flush(a * b) } + flush(c))
}

/// `a * b`, and zero times anything is zero.
#[inline(always)]
pub(crate) fn mul_legacy_f32(a: f32, b: f32) -> f32 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// As [`fract_f32`] for doubles.
#[inline(always)]
pub(crate) fn fract_f64(x: f64) -> f64 {
    let r = x - x.floor();
    if r >= 1.0 { 1.0 - f64::EPSILON / 2.0 } else { r }
}

/// Cube map: face, S and T coordinates, twice the major axis.
#[inline(always)]
pub(crate) fn cube(x: f32, y: f32, z: f32) -> [f32; 4] {
    if z.abs() >= x.abs() && z.abs() >= y.abs() {
        if z < 0.0 { [5.0, -x, -y, z * 2.0] } else { [4.0, x, -y, z * 2.0] }
    } else if y.abs() >= x.abs() {
        if y < 0.0 { [3.0, x, -z, y * 2.0] } else { [2.0, x, z, y * 2.0] }
    } else if x < 0.0 {
        [1.0, z, -y, x * 2.0]
    } else {
        [0.0, -z, -y, x * 2.0]
    }
}

/// A float in [-1, 1] as a signed 16-bit fraction.
#[inline(always)]
pub(crate) fn snorm(x: f32) -> i16 {
    (x.clamp(-1.0, 1.0) * 32767.0).round_ties_even() as i16
}

/// A float in [0, 1] as an unsigned 16-bit fraction.
#[inline(always)]
pub(crate) fn unorm(x: f32) -> u16 {
    (x.clamp(0.0, 1.0) * 65535.0).round_ties_even() as u16
}

/// Both signed halves saturated to unsigned bytes.
#[inline(always)]
pub(crate) fn sat_pk_u8_i16(x: u32) -> u32 {
    let byte = |x: u32| (x as i16).clamp(0, 255) as u32;
    byte(x) | byte(x >> 16) << 8
}

/// Puts a float, rounded and saturated to a byte, into byte `at` of `into`.
#[inline(always)]
pub(crate) fn cvt_pk_u8_f32(x: f32, at: u32, into: u32) -> u32 {
    let shift = 8 * (at & 3);
    into & !(0xff << shift) | u32::from(x.round_ties_even() as u8) << shift
}

/// Sum of absolute differences of two halves, plus `c`.
#[inline(always)]
pub(crate) fn sad_u16(a: u32, b: u32, c: u32) -> u32 {
    c.wrapping_add((a & 0xffff).abs_diff(b & 0xffff)).wrapping_add((a >> 16).abs_diff(b >> 16))
}

/// As [`sad_u8`], leaving out the bytes where `b` is zero.
#[inline(always)]
pub(crate) fn msad_u8(a: u32, b: u32, c: u32) -> u32 {
    let mut sum = c;
    for k in [0, 8, 16, 24] {
        let (x, y) = (a >> k & 0xff, b >> k & 0xff);
        sum = sum.wrapping_add(if y == 0 { 0 } else { x.abs_diff(y) });
    }
    sum
}

/// Four sums of absolute differences of four bytes each, of which the first operand's begin one byte apart, into four halves.
#[inline(always)]
pub(crate) fn qsad_pk_u16_u8(a: u64, b: u32, c: u64, sad: impl Fn(u32, u32, u32) -> u32) -> u64 {
    (0..4).fold(0, |out, k| {
        let half = (c >> (16 * k)) as u32 & 0xffff;
        out | u64::from(sad((a >> (8 * k)) as u32, b, half) & 0xffff) << (16 * k)
    })
}

/// Two floats in a register pair.
#[inline(always)]
pub(crate) fn pair(low: f32, high: f32) -> u64 {
    u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32
}

/// `c` plus the products of the signed `bits`-wide elements of `a` and `b`.
#[inline(always)]
pub(crate) fn dot_signed(a: u32, b: u32, c: i32, bits: u32) -> i32 {
    let element = |x: u32, k: u32| (x << (32 - bits - k)) as i32 >> (32 - bits);
    (0..32 / bits).fold(c, |sum, n| sum.wrapping_add(element(a, n * bits).wrapping_mul(element(b, n * bits))))
}

/// As [`dot_signed`], unsigned.
#[inline(always)]
pub(crate) fn dot_unsigned(a: u32, b: u32, c: u32, bits: u32) -> u32 {
    let element = |x: u32, k: u32| x >> k & ((1 << bits) - 1);
    (0..32 / bits).fold(c, |sum, n| sum.wrapping_add(element(a, n * bits).wrapping_mul(element(b, n * bits))))
}

/// The 1201 bits of 2/pi behind the binary point that the processor has, most significant first, and zeroes.
const TWO_OVER_PI: [u64; 19] = [
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_0000,
];

/// 53 bits of 2/pi for argument reduction: segment `segment` (0..=31), moved further for arguments of large exponent, scaled to its place.
pub(crate) fn trig_preop_f64(x: f64, segment: u32) -> f64 {
    let exponent = (x.to_bits() >> 52) as i32 & 0x7ff;
    let shift = (segment & 31) as i32 * 53 + (exponent - 1077).max(0);
    let (word, bit) = (shift as usize / 64, shift as u32 % 64);
    let word_at = |k: usize| TWO_OVER_PI.get(k).copied().unwrap_or(0);
    let window = (u128::from(word_at(word)) << 64 | u128::from(word_at(word + 1))) << bit;
    let bits = (window >> (128 - 53)) as u64;
    let scale = -53 - shift + if exponent >= 1968 { 128 } else { 0 };
    // What a denormal has no room for is cut off, not rounded.
    let cut = (-1074 - scale).clamp(0, 63);
    ldexp_f64((bits >> cut << cut) as f64, scale)
}
