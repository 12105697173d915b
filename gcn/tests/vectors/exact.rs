//! Floating point with nothing lost on the way: a number is a sign, an integer of any length and a power of two, and is rounded once, at the end.
//!
//! Slow and plain on purpose. It shares no code with the interpreter, which computes with the host's floats.

use std::cmp::Ordering;

/// An integer of any length, lowest word first, without leading zero words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Big(Vec<u32>);

impl Big {
    pub(crate) fn from(value: u128) -> Big {
        Big((0..4).map(|k| (value >> (32 * k)) as u32).collect()).trimmed()
    }

    fn trimmed(mut self) -> Big {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Bits from the lowest to the highest that is set.
    pub(crate) fn bits(&self) -> i64 {
        self.0.last().map_or(0, |top| 32 * self.0.len() as i64 - i64::from(top.leading_zeros()))
    }

    fn word(&self, at: usize) -> u64 {
        u64::from(self.0.get(at).copied().unwrap_or(0))
    }

    fn bit(&self, at: i64) -> bool {
        at >= 0 && self.word(at as usize / 32) >> (at % 32) & 1 == 1
    }

    pub(crate) fn shl(&self, by: i64) -> Big {
        let (words, bits) = (by as usize / 32, by % 32);
        let mut out = vec![0; words];
        out.extend((0..=self.0.len()).map(|k| {
            let below = if k == 0 { 0 } else { self.word(k - 1) };
            ((self.word(k) << 32 | below) >> (32 - bits)) as u32
        }));
        Big(out).trimmed()
    }

    pub(crate) fn shr(&self, by: i64) -> Big {
        let (words, bits) = (by as usize / 32, by % 32);
        let word = |k: usize| ((self.word(k + 1) << 32 | self.word(k)) >> bits) as u32;
        Big((words..self.0.len()).map(word).collect()).trimmed()
    }

    pub(crate) fn add(&self, other: &Big) -> Big {
        let mut carry = 0;
        let mut out: Vec<u32> = (0..self.0.len().max(other.0.len()))
            .map(|k| {
                let sum = self.word(k) + other.word(k) + carry;
                carry = sum >> 32;
                sum as u32
            })
            .collect();
        out.push(carry as u32);
        Big(out).trimmed()
    }

    /// `self - other`, which is not below zero.
    pub(crate) fn sub(&self, other: &Big) -> Big {
        let mut borrow = 0i64;
        let word = |k: usize| {
            let difference = self.word(k) as i64 - other.word(k) as i64 - borrow;
            borrow = i64::from(difference < 0);
            difference as u32
        };
        Big((0..self.0.len()).map(word).collect()).trimmed()
    }

    pub(crate) fn mul(&self, other: &Big) -> Big {
        let mut sum = Big::default();
        for (k, &word) in other.0.iter().enumerate() {
            let mut carry = 0;
            let mut row = vec![0; k];
            for &mine in &self.0 {
                let product = u64::from(mine) * u64::from(word) + carry;
                row.push(product as u32);
                carry = product >> 32;
            }
            row.push(carry as u32);
            sum = sum.add(&Big(row).trimmed());
        }
        sum
    }

    /// The quotient by a small number, rounded down.
    pub(crate) fn div(&self, by: u32) -> Big {
        let mut rest = 0u64;
        let mut out: Vec<u32> = self
            .0
            .iter()
            .rev()
            .map(|&word| {
                let all = rest << 32 | u64::from(word);
                rest = all % u64::from(by);
                (all / u64::from(by)) as u32
            })
            .collect();
        out.reverse();
        Big(out).trimmed()
    }

    pub(crate) fn cmp(&self, other: &Big) -> Ordering {
        let words = |big: &Big| big.0.iter().rev().copied().collect::<Vec<_>>();
        self.0.len().cmp(&other.0.len()).then_with(|| words(self).cmp(&words(other)))
    }

    /// The lowest 128 bits.
    pub(crate) fn low(&self) -> u128 {
        (0..4).fold(0, |low, k| low | u128::from(self.word(k)) << (32 * k))
    }
}

/// Bits of exponent and mantissa of an IEEE format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) exponent: u32,
    pub(crate) mantissa: u32,
}

pub(crate) const F16: Format = Format { exponent: 5, mantissa: 10 };
pub(crate) const BF16: Format = Format { exponent: 8, mantissa: 7 };
pub(crate) const F32: Format = Format { exponent: 8, mantissa: 23 };
pub(crate) const F64: Format = Format { exponent: 11, mantissa: 52 };

impl Format {
    pub(crate) fn width(self) -> u32 {
        1 + self.exponent + self.mantissa
    }
    pub(crate) fn sign(self) -> u64 {
        1 << (self.exponent + self.mantissa)
    }
    pub(crate) fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.mantissa
    }
    pub(crate) fn quiet(self) -> u64 {
        1 << (self.mantissa - 1)
    }
    pub(crate) fn bias(self) -> i64 {
        (1 << (self.exponent - 1)) - 1
    }
    pub(crate) fn is_nan(self, bits: u64) -> bool {
        bits & (self.sign() - 1) > self.infinity()
    }
    pub(crate) fn is_signalling(self, bits: u64) -> bool {
        self.is_nan(bits) && bits & self.quiet() == 0
    }
}

/// A number as a format can hold it, or the exact result of arithmetic on such.
#[derive(Clone, Debug)]
pub(crate) enum Number {
    Nan,
    /// Negative or not.
    Infinite(bool),
    /// `(-1)^negative * integer * 2^power`.
    Finite {
        negative: bool,
        integer: Big,
        power: i64,
    },
}

use Number::{Finite, Infinite, Nan};

/// Which integer a number becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Towards {
    Zero,
    Down,
    Up,
    Even,
}

impl Number {
    pub(crate) fn of(format: Format, bits: u64) -> Number {
        let negative = bits & format.sign() != 0;
        let magnitude = bits & (format.sign() - 1);
        if format.is_nan(bits) {
            return Nan;
        }
        if magnitude == format.infinity() {
            return Infinite(negative);
        }
        let field = (magnitude >> format.mantissa) as i64;
        let low = magnitude & ((1 << format.mantissa) - 1);
        let integer = if field == 0 { low } else { low | 1 << format.mantissa };
        let power = field.max(1) - format.bias() - i64::from(format.mantissa);
        Finite { negative, integer: Big::from(integer.into()), power }
    }

    pub(crate) fn int(value: i128) -> Number {
        Finite { negative: value < 0, integer: Big::from(value.unsigned_abs()), power: 0 }
    }

    pub(crate) fn neg(&self) -> Number {
        match self.clone() {
            Nan => Nan,
            Infinite(negative) => Infinite(!negative),
            Finite { negative, integer, power } => Finite { negative: !negative, integer, power },
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        matches!(self, Finite { integer, .. } if integer.is_zero())
    }

    /// `self * 2^by`.
    pub(crate) fn scale(&self, by: i64) -> Number {
        match self.clone() {
            Finite { negative, integer, power } => Finite { negative, integer, power: power + by },
            other => other,
        }
    }

    pub(crate) fn mul(&self, other: &Number) -> Number {
        match (self, other) {
            (Nan, _) | (_, Nan) => Nan,
            (Infinite(a), Infinite(b)) => Infinite(a != b),
            (Infinite(_), finite) | (finite, Infinite(_)) if finite.is_zero() => Nan,
            (Infinite(a), Finite { negative: b, .. }) | (Finite { negative: b, .. }, Infinite(a)) => Infinite(a != b),
            (Finite { negative: a, integer: x, power: p }, Finite { negative: b, integer: y, power: q }) => {
                Finite { negative: a != b, integer: x.mul(y), power: p + q }
            }
        }
    }

    pub(crate) fn add(&self, other: &Number) -> Number {
        match (self, other) {
            (Nan, _) | (_, Nan) => Nan,
            (Infinite(a), Infinite(b)) => {
                if a == b {
                    Infinite(*a)
                } else {
                    Nan
                }
            }
            (Infinite(a), _) | (_, Infinite(a)) => Infinite(*a),
            (Finite { negative: a, integer: x, power: p }, Finite { negative: b, integer: y, power: q }) => {
                let power = *p.min(q);
                let (x, y) = (x.shl(p - power), y.shl(q - power));
                let (negative, integer) = if a == b {
                    (*a, x.add(&y))
                } else {
                    match x.cmp(&y) {
                        Ordering::Greater => (*a, x.sub(&y)),
                        Ordering::Less => (*b, y.sub(&x)),
                        // To nearest, what cancels is positive.
                        Ordering::Equal => (false, Big::default()),
                    }
                };
                Finite { negative, integer, power }
            }
        }
    }

    /// How `self` compares with `other`; `None` if either is no number.
    pub(crate) fn compare(&self, other: &Number) -> Option<Ordering> {
        let sign = |x: &Number| match x {
            Infinite(negative) | Finite { negative, .. } => {
                if *negative {
                    -1
                } else {
                    1
                }
            }
            Nan => 0,
        };
        match (self, other) {
            (Nan, _) | (_, Nan) => None,
            (Infinite(a), Infinite(b)) => Some(b.cmp(a)),
            (Infinite(_), _) => Some(sign(self).cmp(&0)),
            (_, Infinite(_)) => Some(0.cmp(&sign(other))),
            _ => {
                let difference = self.add(&other.neg());
                Some(if difference.is_zero() { Ordering::Equal } else { sign(&difference).cmp(&0) })
            }
        }
    }

    /// The integer that a finite number becomes; others stay as they are.
    pub(crate) fn integral(&self, towards: Towards) -> Number {
        let Finite { negative, integer, power } = self.clone() else { return self.clone() };
        if power >= 0 {
            return self.clone();
        }
        let whole = integer.shr(-power);
        let rest = integer.sub(&whole.shl(-power));
        let half = Big::from(1).shl(-power - 1);
        let up = match towards {
            Towards::Zero => false,
            Towards::Down => negative && !rest.is_zero(),
            Towards::Up => !negative && !rest.is_zero(),
            Towards::Even => match rest.cmp(&half) {
                Ordering::Less => false,
                Ordering::Equal => whole.bit(0),
                Ordering::Greater => true,
            },
        };
        let integer = if up { whole.add(&Big::from(1)) } else { whole };
        Finite { negative, integer, power: 0 }
    }

    /// The integer of `bits` bits that a number becomes: what is too large is the largest, what is none is zero.
    pub(crate) fn saturated(&self, signed: bool, bits: u32, towards: Towards) -> u64 {
        let (low, high) =
            if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
        let value = match self.integral(towards) {
            Nan => 0,
            Infinite(negative) => {
                if negative {
                    low
                } else {
                    high
                }
            }
            Finite { negative, integer, power } => {
                let shifted = integer.shl(power.min(200));
                let magnitude = if shifted.bits() > 100 { i128::MAX / 2 } else { shifted.low() as i128 };
                if negative { -magnitude } else { magnitude }
            }
        };
        value.clamp(low, high) as u64 & (u64::MAX >> (64 - bits))
    }

    /// Rounds to nearest, ties to even, once.
    pub(crate) fn round(&self, format: Format) -> u64 {
        let (negative, magnitude) = match self {
            Nan => return format.infinity() | format.quiet(),
            Infinite(negative) => (*negative, format.infinity()),
            Finite { negative, integer, power } if !integer.is_zero() => {
                let top = integer.bits() - 1 + power;
                let lowest = top.max(1 - format.bias()) - i64::from(format.mantissa);
                let whole = Finite { negative: false, integer: integer.clone(), power: power - lowest };
                let Finite { integer: whole, power: rest, .. } = whole.integral(Towards::Even) else { unreachable!() };
                let whole = whole.shl(rest).low() as u64;
                // A carry out of the mantissa counts the exponent up by itself.
                let field = (lowest + format.bias() + i64::from(format.mantissa) - 1) as u64;
                let field = field.min(1 << format.exponent);
                (*negative, ((field << format.mantissa) + whole).min(format.infinity()))
            }
            Finite { negative, .. } => (*negative, 0),
        };
        magnitude | if negative { format.sign() } else { 0 }
    }

    /// A double near it, for what is only promised to be near.
    pub(crate) fn near(&self) -> f64 {
        f64::from_bits(self.round(F64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the host's floats are exactly this, they must agree.
    #[test]
    fn agrees_with_the_hosts_floats() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            seed ^ seed >> 29
        };
        for round in 0..4000 {
            // Exponents close together half of the time, so that sums cancel.
            let mut bits = || if round % 2 == 0 { next() } else { next() & !(0x7f0 << 52) | 0x3f0 << 52 };
            let [a, b, c] = [bits(), bits(), bits()];
            let [x, y, z] = [a, b, c].map(f64::from_bits);
            let [p, q, r] = [a, b, c].map(|bits| Number::of(F64, bits));
            let same = |got: u64, want: f64| got == want.to_bits() || F64.is_nan(got) && want.is_nan();
            assert!(same(p.add(&q).round(F64), x + y), "{x:e} + {y:e}");
            assert!(same(p.mul(&q).round(F64), x * y), "{x:e} * {y:e}");
            assert!(same(p.mul(&q).add(&r).round(F64), x.mul_add(y, z)), "{x:e} * {y:e} + {z:e}");
            assert_eq!(p.round(F32) as u32, if x.is_nan() { 0x7fc0_0000 } else { (x as f32).to_bits() }, "{x:e}");
            assert_eq!(p.saturated(true, 32, Towards::Zero) as i32, x as i32, "{x:e}");
            assert_eq!(p.compare(&q), x.partial_cmp(&y));
            assert!(same(p.integral(Towards::Even).round(F64), x.round_ties_even()), "{x:e}");
            assert!(same(p.integral(Towards::Down).round(F64), x.floor()), "{x:e}");
        }
    }
}
