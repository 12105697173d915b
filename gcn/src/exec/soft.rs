//! Floating-point arithmetic on bit patterns, with every rounding mode: exact sums and products, rounded once, in integers.
//!
//! The interpreter computes with the host's instructions, which round to nearest. A wave whose MODE register says otherwise is
//! served from here, and tests hold the fast way against this one. IEEE 754-2008 throughout: a NaN operand comes out quiet with its payload (the
//! first one in the order of operands), an invalid operation gives the default NaN.

use crate::descriptor::RoundMode;

/// A binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the mantissa that are stored.
    mantissa: u32,
    /// Bits of the exponent.
    exponent: u32,
}

/// IEEE half precision.
pub(crate) const F16: Format = Format { mantissa: 10, exponent: 5 };
/// IEEE single precision.
pub(crate) const F32: Format = Format { mantissa: 23, exponent: 8 };
/// IEEE double precision.
pub(crate) const F64: Format = Format { mantissa: 52, exponent: 11 };

/// Where the leading bit of an intermediate result stands: room for a product of two doubles and what a shift loses.
const TOP: u32 = 125;

/// A number taken apart: `(-1)^negative * mantissa * 2^exponent`, or none.
#[derive(Clone, Copy, Debug)]
enum Number {
    Zero,
    Finite { mantissa: u128, exponent: i32 },
    Infinite,
    Nan(u64),
}

impl Format {
    const fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    const fn sign_bit(self) -> u64 {
        1 << (self.mantissa + self.exponent)
    }

    const fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.mantissa
    }

    const fn quiet_bit(self) -> u64 {
        1 << (self.mantissa - 1)
    }

    /// Returns `bits` with a NaN made quiet.
    pub(crate) const fn quiet(self, bits: u64) -> u64 {
        if bits & (self.sign_bit() - 1) > self.infinity() { bits | self.quiet_bit() } else { bits }
    }

    /// Returns `bits` with a denormal made a zero of its sign.
    pub(crate) const fn flush(self, bits: u64) -> u64 {
        if bits & self.infinity() == 0 { bits & self.sign_bit() } else { bits }
    }

    fn split(self, bits: u64) -> (bool, Number) {
        let negative = bits & self.sign_bit() != 0;
        let magnitude = bits & (self.sign_bit() - 1);
        let field = (magnitude >> self.mantissa) as i32;
        let fraction = magnitude & ((1 << self.mantissa) - 1);
        let lowest = 1 - self.bias() - self.mantissa as i32;
        let number = if magnitude > self.infinity() {
            Number::Nan(bits)
        } else if magnitude == self.infinity() {
            Number::Infinite
        } else if magnitude == 0 {
            Number::Zero
        } else if field == 0 {
            Number::Finite { mantissa: u128::from(fraction), exponent: lowest }
        } else {
            Number::Finite { mantissa: u128::from(fraction | 1 << self.mantissa), exponent: lowest + field - 1 }
        };
        (negative, number)
    }

    const fn signed(self, negative: bool, magnitude: u64) -> u64 {
        if negative { magnitude | self.sign_bit() } else { magnitude }
    }

    /// Rounds `mantissa * 2^exponent`. The lowest bit may stand for anything that was shifted out below it.
    fn round(self, negative: bool, mantissa: u128, exponent: i32, mode: RoundMode) -> u64 {
        if mantissa == 0 {
            return self.signed(negative, 0);
        }
        let lowest = 1 - self.bias() - self.mantissa as i32;
        // How far to shift so that the mantissa has its bits, or fewer where the result is a denormal.
        let length = 128 - mantissa.leading_zeros() as i32;
        let shift = (length - self.mantissa as i32 - 1).max(lowest - exponent);
        let (kept, up) = if shift <= 0 {
            ((mantissa << (-shift).min(127)) as u64, false)
        } else {
            let (kept, rest) =
                if shift > 127 { (0, 1u128) } else { ((mantissa >> shift) as u64, mantissa & ((1 << shift) - 1)) };
            let half = if shift > 127 { 2 } else { 1u128 << (shift - 1) };
            let up = match mode {
                RoundMode::NearestEven => rest > half || rest == half && kept & 1 == 1,
                RoundMode::PlusInfinity => rest != 0 && !negative,
                RoundMode::MinusInfinity => rest != 0 && negative,
                RoundMode::Zero => false,
            };
            (kept, up)
        };
        let field = exponent + shift - lowest;
        // A normal mantissa's leading bit adds one to the field; a carry out of it adds the next.
        let base = if kept >> self.mantissa == 0 { 0 } else { field as u64 } << self.mantissa;
        let magnitude = base.saturating_add(kept).saturating_add(u64::from(up));
        if field >= (1 << self.exponent) - 1 || magnitude >= self.infinity() {
            let to_infinity = match mode {
                RoundMode::NearestEven => true,
                RoundMode::PlusInfinity => !negative,
                RoundMode::MinusInfinity => negative,
                RoundMode::Zero => false,
            };
            return self.signed(negative, if to_infinity { self.infinity() } else { self.infinity() - 1 });
        }
        self.signed(negative, magnitude)
    }

    const fn default_nan(self) -> u64 {
        self.infinity() | self.quiet_bit()
    }

    /// `a + b`.
    pub(crate) fn add(self, a: u64, b: u64, mode: RoundMode) -> u64 {
        let ((sign_a, x), (sign_b, y)) = (self.split(a), self.split(b));
        match (x, y) {
            (Number::Nan(nan), _) | (_, Number::Nan(nan)) => self.quiet(nan),
            (Number::Infinite, Number::Infinite) if sign_a != sign_b => self.default_nan(),
            (Number::Infinite, _) => a,
            (_, Number::Infinite) => b,
            _ => self.sum((sign_a, x), (sign_b, y), mode),
        }
    }

    /// `a * b`.
    pub(crate) fn mul(self, a: u64, b: u64, mode: RoundMode) -> u64 {
        match self.product(a, b) {
            Ok((negative, Number::Finite { mantissa, exponent })) => self.round(negative, mantissa, exponent, mode),
            Ok((negative, Number::Infinite)) => self.signed(negative, self.infinity()),
            Ok((negative, _)) => self.signed(negative, 0),
            Err(nan) => nan,
        }
    }

    /// `a * b + c`, rounded once.
    pub(crate) fn fma(self, a: u64, b: u64, c: u64, mode: RoundMode) -> u64 {
        let (sign_c, z) = self.split(c);
        let (negative, product) = match self.product(a, b) {
            Ok(product) => product,
            // A NaN among the factors goes before one in the sum, an invalid product after it.
            Err(nan) if nan != self.default_nan() || !matches!(z, Number::Nan(_)) => return nan,
            Err(_) => return self.quiet(c),
        };
        match (product, z) {
            (_, Number::Nan(nan)) => self.quiet(nan),
            (Number::Infinite, Number::Infinite) if negative != sign_c => self.default_nan(),
            (Number::Infinite, _) => self.signed(negative, self.infinity()),
            (_, Number::Infinite) => c,
            _ => self.sum((negative, product), (sign_c, z), mode),
        }
    }

    /// Converts to another format.
    pub(crate) fn convert(self, bits: u64, to: Format, mode: RoundMode) -> u64 {
        match self.split(bits) {
            (negative, Number::Zero) => to.signed(negative, 0),
            (negative, Number::Infinite) => to.signed(negative, to.infinity()),
            (negative, Number::Finite { mantissa, exponent }) => to.round(negative, mantissa, exponent, mode),
            (negative, Number::Nan(nan)) => {
                let payload = nan & ((1 << self.mantissa) - 1);
                let payload = if to.mantissa < self.mantissa {
                    payload >> (self.mantissa - to.mantissa)
                } else {
                    payload << (to.mantissa - self.mantissa)
                };
                to.signed(negative, to.default_nan() | payload)
            }
        }
    }

    /// Converts an integer.
    pub(crate) fn integer(self, value: i64, mode: RoundMode) -> u64 {
        self.round(value < 0, u128::from(value.unsigned_abs()), 0, mode)
    }

    /// `x * 2^by`.
    pub(crate) fn scale(self, x: u64, by: i32, mode: RoundMode) -> u64 {
        match self.split(x) {
            (negative, Number::Finite { mantissa, exponent }) => {
                self.round(negative, mantissa, exponent + by.clamp(-5000, 5000), mode)
            }
            (_, Number::Nan(nan)) => self.quiet(nan),
            _ => x,
        }
    }

    fn product(self, a: u64, b: u64) -> Result<(bool, Number), u64> {
        let ((sign_a, x), (sign_b, y)) = (self.split(a), self.split(b));
        let negative = sign_a != sign_b;
        match (x, y) {
            (Number::Nan(nan), _) | (_, Number::Nan(nan)) => Err(self.quiet(nan)),
            (Number::Infinite, Number::Zero) | (Number::Zero, Number::Infinite) => Err(self.default_nan()),
            (Number::Infinite, _) | (_, Number::Infinite) => Ok((negative, Number::Infinite)),
            (Number::Zero, _) | (_, Number::Zero) => Ok((negative, Number::Zero)),
            (Number::Finite { mantissa: m, exponent: e }, Number::Finite { mantissa: n, exponent: f }) => {
                Ok((negative, Number::Finite { mantissa: m * n, exponent: e + f }))
            }
        }
    }

    /// The sum of two finite numbers.
    fn sum(self, a: (bool, Number), b: (bool, Number), mode: RoundMode) -> u64 {
        let zero_sign = mode == RoundMode::MinusInfinity;
        let parts = |number: Number| match number {
            Number::Finite { mantissa, exponent } => {
                let shift = (127 - TOP) as i32;
                let up = mantissa.leading_zeros() as i32 - shift;
                Some((mantissa << up, exponent - up))
            }
            _ => None,
        };
        match (parts(a.1), parts(b.1)) {
            // Zeros of both signs make the one that the mode prefers.
            (None, None) => self.signed(if a.0 == b.0 { a.0 } else { zero_sign }, 0),
            (Some((mantissa, exponent)), None) => self.round(a.0, mantissa, exponent, mode),
            (None, Some((mantissa, exponent))) => self.round(b.0, mantissa, exponent, mode),
            (Some((m, e)), Some((n, f))) => {
                let ((sign, m, e), (other, n, f)) =
                    if e >= f { ((a.0, m, e), (b.0, n, f)) } else { ((b.0, n, f), (a.0, m, e)) };
                // The larger one leads at bit TOP with at least 19 empty bits at its end, so a lost bit of the smaller one only says "more".
                let by = (e - f) as u32;
                let shifted = if by > 127 { 1 } else { n >> by | u128::from(n & ((1 << by) - 1) != 0) };
                if sign == other {
                    self.round(sign, m + shifted, e, mode)
                } else if m == shifted {
                    self.signed(zero_sign, 0)
                } else if m > shifted {
                    self.round(sign, m - shifted, e, mode)
                } else {
                    self.round(other, shifted - m, e, mode)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEAREST: RoundMode = RoundMode::NearestEven;

    /// Bits of numbers that meet each other: close exponents, edges, anything.
    fn bits64() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (any::<u64>(), 1000u64..1060).prop_map(|(m, e)| m & 0x800f_ffff_ffff_ffff | e << 52),
            (any::<u64>(), 0u64..3).prop_map(|(m, e)| m & 0x800f_ffff_ffff_ffff | e << 52),
            prop::sample::select(vec![
                0,
                1 << 63,
                0x7ff << 52,
                0xfff << 52,
                1,
                0x3ff << 52,
                0x7fef_ffff_ffff_ffff,
                0x7ff8 << 48
            ])
        ]
    }

    fn bits32() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>(),
            (any::<u32>(), 110u32..145).prop_map(|(m, e)| m & 0x807f_ffff | e << 23),
            (any::<u32>(), 0u32..3).prop_map(|(m, e)| m & 0x807f_ffff | e << 23),
            prop::sample::select(vec![0, 1 << 31, 0xff << 23, 0x1ff << 23, 1, 127 << 23, 0x7f7f_ffff, 0x7fc0_0000])
        ]
    }

    fn same64(ours: u64, host: f64) -> bool {
        ours == host.to_bits() || f64::from_bits(ours).is_nan() && host.is_nan()
    }

    fn same32(ours: u64, host: f32) -> bool {
        ours == u64::from(host.to_bits()) || f32::from_bits(ours as u32).is_nan() && host.is_nan()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// To nearest, the host computes the same.
        #[test]
        fn nearest_is_what_the_host_computes(a in bits64(), b in bits64(), c in bits64(), x in bits32(), y in bits32(), z in bits32()) {
            let f = f64::from_bits;
            prop_assert!(same64(F64.add(a, b, NEAREST), f(a) + f(b)));
            prop_assert!(same64(F64.mul(a, b, NEAREST), f(a) * f(b)));
            prop_assert!(same64(F64.fma(a, b, c, NEAREST), f(a).mul_add(f(b), f(c))));
            prop_assert!(same32(F64.convert(a, F32, NEAREST), f(a) as f32));
            let (x64, y64, z64) = (u64::from(x), u64::from(y), u64::from(z));
            let f = f32::from_bits;
            prop_assert!(same32(F32.add(x64, y64, NEAREST), f(x) + f(y)));
            prop_assert!(same32(F32.mul(x64, y64, NEAREST), f(x) * f(y)));
            prop_assert!(same32(F32.fma(x64, y64, z64, NEAREST), f(x).mul_add(f(y), f(z))));
            prop_assert!(same64(F32.convert(x64, F64, NEAREST), f64::from(f(x))));
            prop_assert!(same32(F32.integer(i64::from(x as i32), NEAREST), x as i32 as f32));
        }

        /// Directed results enclose the exact one and are neighbours or equal.
        #[test]
        fn directions_enclose(a in bits32(), b in bits32(), c in bits32()) {
            let (a, b, c) = (u64::from(a), u64::from(b), u64::from(c));
            let of = |mode| f32::from_bits(F32.fma(a, b, c, mode) as u32);
            let (down, up, zero) = (of(RoundMode::MinusInfinity), of(RoundMode::PlusInfinity), of(RoundMode::Zero));
            if !down.is_nan() {
                prop_assert!(down <= up && (down == up || up <= down.next_up()), "{down:e} {up:e}");
                let inner = if down >= 0.0 { down } else { up };
                prop_assert!(zero == inner || down == up);
                let exact = f64::from_bits(F64.fma(F32.convert(a, F64, NEAREST), F32.convert(b, F64, NEAREST), F32.convert(c, F64, NEAREST), NEAREST));
                prop_assert!(f64::from(down) <= exact && exact <= f64::from(up), "{down:e} {exact:e} {up:e}");
            }
        }
    }

    #[test]
    fn halves_round_at_their_own_places() {
        let half = |x: f32, mode| F32.convert(u64::from(x.to_bits()), F16, mode);
        assert_eq!(half(1.0 + 1.0 / 2048.0, NEAREST), 0x3c00);
        assert_eq!(half(1.0 + 1.0 / 2048.0, RoundMode::PlusInfinity), 0x3c01);
        assert_eq!(half(65520.0, NEAREST), 0x7c00);
        assert_eq!(half(65520.0, RoundMode::Zero), 0x7bff);
        assert_eq!(half(-1e9, RoundMode::PlusInfinity), 0xfbff);
        assert_eq!(half(1e-9, RoundMode::PlusInfinity), 1);
        assert_eq!(half(-1e-9, RoundMode::PlusInfinity), 0x8000);
    }

    #[test]
    fn opposite_zeros_make_the_zero_of_the_mode() {
        assert_eq!(F32.add(0, 1 << 31, NEAREST), 0);
        assert_eq!(F32.add(0, 1 << 31, RoundMode::MinusInfinity), 1 << 31);
        assert_eq!(F32.fma(0x3f80_0000, 0x3f80_0000, 0xbf80_0000, RoundMode::MinusInfinity), 1 << 31);
    }
}
