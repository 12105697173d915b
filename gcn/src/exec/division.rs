//! The four instructions that compilers make a correctly rounded division of: scale, multiply-add with scale back, fix up.
//!
//! The sequence (LLVM `LowerFDIV32`, OpenCL's conformance rests on it) is: `v_div_scale` numerator and denominator out of the reach of
//! overflow and underflow and note in VCC whether the quotient must be scaled back, refine an approximate reciprocal with fused
//! multiply-adds, finish with `v_div_fmas`, and let `v_div_fixup` deal with zeros, infinities and NaN. The ISA document's pseudo-code
//! for the scale directions cannot be meant as printed (a denominator near the top of the range would overflow), so the
//! directions here are those that make the sequence exact, and a test runs the whole sequence against IEEE division.

use super::numeric::{frexp_exp_f32, frexp_exp_f64, ldexp_f32, ldexp_f64};

macro_rules! division {
    ($scale:ident $fmas:ident $fixup:ident $float:ty, $ldexp:ident $frexp:ident, $mantissa:literal, $exponent_max:literal,
     by $by:literal, far $far:literal, tiny $tiny:literal, over $over:literal, under $under:literal) => {
        /// Scales `subject`, which is a copy of either the numerator or the denominator, and says whether the quotient needs scaling back.
        #[inline(always)]
        pub(crate) fn $scale(subject: $float, denominator: $float, numerator: $float) -> ($float, bool) {
            let is_denominator = subject.to_bits() == denominator.to_bits();
            let exponent = |x: $float| (x.to_bits() >> $mantissa) as i32 & $exponent_max;
            if numerator == 0.0 || denominator == 0.0 {
                (<$float>::NAN, false)
            } else if exponent(numerator) - exponent(denominator) >= $far {
                // The quotient could overflow on the way: make the denominator larger.
                (if is_denominator { $ldexp(subject, $by) } else { subject }, true)
            } else if denominator.is_subnormal() {
                ($ldexp(subject, $by), false)
            } else {
                let small_quotient = (numerator / denominator).is_subnormal();
                match ((1.0 / denominator).is_subnormal(), small_quotient) {
                    (true, true) => (if is_denominator { $ldexp(subject, -$by) } else { subject }, true),
                    (true, false) => ($ldexp(subject, -$by), false),
                    (false, true) => {
                        let is_numerator = subject.to_bits() == numerator.to_bits();
                        (if is_numerator { $ldexp(subject, $by) } else { subject }, true)
                    }
                    (false, false) if exponent(numerator) <= $tiny => ($ldexp(subject, $by), false),
                    (false, false) => (subject, false),
                }
            }
        }

        /// `a * b + c`; where `scale` is set, scaled back towards where [`div_scale`](self) brought the quotient from, and rounded once.
        #[inline(always)]
        pub(crate) fn $fmas(a: $float, b: $float, c: $float, scale: bool) -> $float {
            let fused = a.mul_add(b, c);
            let exponent = (c.to_bits() >> $mantissa) as i32 & $exponent_max;
            if !scale {
                fused
            } else if exponent > $exponent_max / 2 {
                $ldexp(fused, $by)
            } else {
                // A subnormal quotient has fewer bits than `fused`. Rounding twice goes wrong in one case: the first rounding ended
                // half-way between two quotients, and the second does not know from which side. What the first left over does.
                let rounded = $ldexp(fused, -$by);
                let lost = fused - $ldexp(rounded, $by);
                let left = a.mul_add(b, c - fused);
                let half_way = lost.abs() == $ldexp(<$float>::from_bits(1), $by - 1);
                if half_way && left != 0.0 { $ldexp(fused + lost.abs().copysign(left), -$by) } else { rounded }
            }
        }

        /// The quotient of special operands, else `quotient` with the sign it must have.
        #[inline(always)]
        pub(crate) fn $fixup(quotient: $float, denominator: $float, numerator: $float) -> $float {
            let quiet = |x: $float| <$float>::from_bits(x.to_bits() | 1 << ($mantissa - 1));
            let negative = numerator.is_sign_negative() != denominator.is_sign_negative();
            // The quotient lies between 2^(order - 1) and 2^(order + 1).
            let order = $frexp(numerator) - $frexp(denominator);
            let magnitude = if numerator.is_nan() {
                return quiet(numerator);
            } else if denominator.is_nan() {
                return quiet(denominator);
            } else if (denominator == 0.0 && numerator == 0.0) || (denominator.is_infinite() && numerator.is_infinite())
            {
                return -<$float>::NAN.abs();
            } else if denominator == 0.0
                || numerator.is_infinite()
                || (numerator != 0.0 && denominator.is_finite() && order >= $over)
            {
                <$float>::INFINITY
            } else if denominator.is_infinite() || numerator == 0.0 || order <= $under {
                0.0
            } else {
                quotient.abs()
            };
            if negative { -magnitude } else { magnitude }
        }
    };
}

division!(div_scale_f32 div_fmas_f32 div_fixup_f32 f32, ldexp_f32 frexp_exp_f32, 23, 255, by 64, far 96, tiny 23, over 129, under -151);
division!(div_scale_f64 div_fmas_f64 div_fixup_f64 f64, ldexp_f64 frexp_exp_f64, 52, 2047, by 128, far 768, tiny 53, over 1025, under -1076);
