//! What vector instructions compute, one lane at a time, from the pseudo-code of AMD's "Instinct MI200" and "MI300" ISA documents.

use std::cmp::Ordering;

use gcn::isa::{Encoding, Row, Traits};

use crate::exact::{F16, F32, F64, Format, Number, Towards};
use crate::special::{cube, div_fixup, eight, trig_preop};

/// What one lane of an instruction sees.
pub(crate) struct Lane {
    pub(crate) s: [u64; 3],
    /// The destination before.
    pub(crate) old: u64,
    /// Its bit of the mask it reads: carry, condition or VCC.
    pub(crate) bit: bool,
    pub(crate) literal: u32,
    pub(crate) lane: u32,
}

/// What its destination holds then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Want {
    /// These bits.
    Bits(u64),
    /// These, and where a part of this format is a NaN, any other (the host decides which).
    Float(Format, u64),
    /// A float of this format at most so many units in the last place away.
    Near(Format, f64, f64),
    /// A float of this format no further than `.2` from `.1`.
    Within(Format, f64, f64),
}

/// A lane's destination and its bit of the mask that the instruction writes.
pub(crate) type Out = (Want, bool);

pub(crate) type Model = Box<dyn Fn(&Lane) -> Out>;

impl Want {
    /// Whether `got`, of `width` bits, is what is wanted.
    pub(crate) fn allows(&self, got: u64, width: u32) -> bool {
        match *self {
            Want::Bits(want) => want == got,
            Want::Float(format, want) => (0..width / format.width()).all(|part| {
                let mask = u64::MAX >> (64 - format.width());
                let [got, want] = [got, want].map(|bits| bits >> (part * format.width()) & mask);
                got == want || format.is_nan(got) && format.is_nan(want)
            }),
            Want::Near(format, want, ulps) => {
                let value = Number::of(format, got).near();
                let want_bits = Number::of(F64, want.to_bits()).round(format);
                if want.is_nan() {
                    return format.is_nan(got);
                }
                let rounded = Number::of(format, want_bits).near();
                if !rounded.is_finite() || rounded == 0.0 {
                    // An infinity is one; where zero is near, the smallest number is, too.
                    return got == want_bits
                        || rounded == 0.0 && value.abs() <= Number::of(format, 1).near() && want != 0.0;
                }
                let exponent = (rounded.abs().log2().floor() as i64).max(1 - format.bias());
                let unit = Number::int(1).scale(exponent - i64::from(format.mantissa)).near();
                (value - want).abs() <= ulps * unit
            }
            Want::Within(format, want, error) => {
                let value = Number::of(format, got).near();
                if want.is_nan() { value.is_nan() } else { value == want || (value - want).abs() <= error }
            }
        }
    }
}

fn bits(f: impl Fn(&Lane) -> u64 + 'static) -> Option<Model> {
    Some(Box::new(move |lane| (Want::Bits(f(lane)), false)))
}

fn two(f: impl Fn(&Lane) -> (u64, bool) + 'static) -> Option<Model> {
    Some(Box::new(move |lane| {
        let (value, bit) = f(lane);
        (Want::Bits(value), bit)
    }))
}

fn float(format: Format, f: impl Fn([Number; 3]) -> Number + 'static) -> Option<Model> {
    Some(Box::new(move |lane| (Want::Float(format, f(lane.s.map(|s| Number::of(format, s))).round(format)), false)))
}

fn near(format: Format, ulps: f64, f: impl Fn(f64) -> f64 + 'static) -> Option<Model> {
    Some(Box::new(move |lane| (Want::Near(format, f(Number::of(format, lane.s[0]).near()), ulps), false)))
}

fn word(x: u64) -> u64 {
    x & 0xffff_ffff
}

/// The low `bits` of `x` as a signed number.
fn signed(x: u64, bits: u32) -> i128 {
    i128::from((x << (64 - bits)) as i64 >> (64 - bits))
}

fn unsigned(x: u64, bits: u32) -> i128 {
    i128::from(x & (u64::MAX >> (64 - bits)))
}

/// The format that a name ends in.
fn format_of(name: &str) -> Option<Format> {
    match name.rsplit('_').next()? {
        "f16" => Some(F16),
        "f32" => Some(F32),
        "f64" => Some(F64),
        _ => None,
    }
}

/// -0 is less than +0 to minimum and maximum.
fn below(format: Format, a: u64, b: u64) -> bool {
    match Number::of(format, a).compare(&Number::of(format, b)) {
        Some(Ordering::Less) => true,
        Some(Ordering::Equal) => a & format.sign() > b & format.sign(),
        _ => false,
    }
}

/// IEEE minNum or maxNum as the document spells it: a signalling NaN comes out quiet, a quiet one loses to a number.
pub(crate) fn extreme(format: Format, max: bool, a: u64, b: u64) -> u64 {
    if format.is_signalling(a) {
        a | format.quiet()
    } else if format.is_signalling(b) {
        b | format.quiet()
    } else if !format.is_nan(a) && (format.is_nan(b) || below(format, a, b) != max) {
        a
    } else {
        b
    }
}

fn median(format: Format, [a, b, c]: [u64; 3]) -> u64 {
    let min3 = extreme(format, false, extreme(format, false, a, b), c);
    if [a, b, c].iter().any(|&x| format.is_nan(x)) {
        return min3;
    }
    let max = extreme(format, true, extreme(format, true, a, b), c);
    if max == a {
        extreme(format, true, b, c)
    } else if max == b {
        extreme(format, true, a, c)
    } else {
        extreme(format, true, a, b)
    }
}

/// Denormals become zero.
fn flush(x: &Number, format: Format) -> Number {
    let bits = x.round(format);
    if bits & format.infinity() == 0 { Number::of(format, bits & format.sign()) } else { Number::of(format, bits) }
}

/// `a * b + c` in two roundings, without denormals.
fn unfused([a, b, c]: [Number; 3], legacy: bool) -> Number {
    let [a, b, c] = [a, b, c].map(|x| flush(&x, F32));
    let product = if legacy && (a.is_zero() || b.is_zero()) { Number::int(0) } else { a.mul(&b) };
    flush(&Number::of(F32, flush(&product, F32).round(F32)).add(&c), F32)
}

/// Splits a finite, non-zero number into a mantissa in [1/2, 1) and an exponent.
pub(crate) fn frexp(x: &Number) -> Option<(Number, i64)> {
    match x {
        Number::Finite { integer, power, .. } if !integer.is_zero() => {
            let exponent = integer.bits() + power;
            Some((x.scale(-exponent), exponent))
        }
        _ => None,
    }
}

fn fraction(format: Format, x: &Number) -> Number {
    if matches!(x, Number::Infinite(_)) {
        return Number::Nan;
    }
    let rest = x.add(&x.integral(Towards::Down).neg());
    let below_one = Number::of(format, Number::int(1).round(format) - 1);
    // What rounds up to one is the largest number below it.
    match Number::of(format, rest.round(format)).compare(&Number::int(1)) {
        Some(Ordering::Less) | None => rest,
        _ => below_one,
    }
}

/// Class bit of a number: signalling and quiet NaN, then from -infinity to infinity.
fn class(format: Format, x: u64) -> u32 {
    let negative = x & format.sign() != 0;
    let magnitude = x & (format.sign() - 1);
    if format.is_nan(x) {
        return u32::from(!format.is_signalling(x));
    }
    let kind = if magnitude == format.infinity() {
        0
    } else if magnitude >= 1 << format.mantissa {
        1
    } else if magnitude != 0 {
        2
    } else {
        3
    };
    if negative { 2 + kind } else { 9 - kind }
}

fn compare(name: &str) -> Option<Model> {
    let (op, ty) = name.strip_prefix("v_cmpx_").or(name.strip_prefix("v_cmp_"))?.split_once('_')?;
    let width: u32 = ty[1..].parse().ok()?;
    let op = op.to_owned();
    if op == "class" {
        let format = format_of(name)?;
        return two(move |l| (0, l.s[1] >> class(format, l.s[0]) & 1 == 1));
    }
    let float = format_of(name);
    let is_signed = ty.starts_with('i');
    let order = move |l: &Lane| match float {
        Some(format) => Number::of(format, l.s[0]).compare(&Number::of(format, l.s[1])),
        None if is_signed => Some(signed(l.s[0], width).cmp(&signed(l.s[1], width))),
        None => Some(unsigned(l.s[0], width).cmp(&unsigned(l.s[1], width))),
    };
    two(move |l| {
        let order = order(l);
        let (less, equal, greater) =
            (order == Some(Ordering::Less), order == Some(Ordering::Equal), order == Some(Ordering::Greater));
        let holds = match op.as_str() {
            "f" => false,
            "lt" => less,
            "eq" => equal,
            "le" => less || equal,
            "gt" => greater,
            "lg" => less || greater,
            "ge" => greater || equal,
            "o" => order.is_some(),
            "u" => order.is_none(),
            "nge" => !(greater || equal),
            "nlg" => !(less || greater),
            "ngt" => !greater,
            "nle" => !(less || equal),
            "neq" | "ne" => !equal,
            "nlt" => !less,
            "tru" | "t" => true,
            other => panic!("comparison {other}"),
        };
        (0, holds)
    })
}

/// Names with a type in the end that the operation is generic over.
fn arithmetic(name: &str) -> Option<Model> {
    let (op, ty) = name.strip_prefix("v_")?.rsplit_once('_')?;
    if let Some(format) = format_of(name) {
        let f = format;
        return match op {
            "add" => float(f, |[a, b, _]| a.add(&b)),
            "sub" => float(f, |[a, b, _]| a.add(&b.neg())),
            "subrev" => float(f, |[a, b, _]| b.add(&a.neg())),
            "mul" => float(f, |[a, b, _]| a.mul(&b)),
            "fma" => float(f, |[a, b, c]| a.mul(&b).add(&c)),
            "fma_legacy" if f == F16 => float(f, |[a, b, c]| a.mul(&b).add(&c)),
            "mul_legacy" => float(f, |[a, b, _]| if a.is_zero() || b.is_zero() { Number::int(0) } else { a.mul(&b) }),
            "mad" if f == F32 => float(f, |s| unfused(s, false)),
            "mad_legacy" if f == F32 => float(f, |s| unfused(s, true)),
            "mad" | "mad_legacy" => float(f, move |[a, b, c]| Number::of(f, a.mul(&b).round(f)).add(&c)),
            "min" | "max" | "min3" | "max3" => {
                let (max, three) = (op.starts_with("max"), op.ends_with('3'));
                Some(Box::new(move |l| {
                    let pair = extreme(f, max, l.s[0], l.s[1]);
                    (Want::Float(f, if three { extreme(f, max, pair, l.s[2]) } else { pair }), false)
                }))
            }
            "med3" => Some(Box::new(move |l| (Want::Float(f, median(f, l.s)), false))),
            "trunc" => float(f, |[a, ..]| a.integral(Towards::Zero)),
            "ceil" => float(f, |[a, ..]| a.integral(Towards::Up)),
            "floor" => float(f, |[a, ..]| a.integral(Towards::Down)),
            "rndne" => float(f, |[a, ..]| a.integral(Towards::Even)),
            "fract" => float(f, move |[a, ..]| fraction(f, &a)),
            "rcp" | "rcp_iflag" => near(f, 1.0, |x| 1.0 / x),
            "sqrt" => near(f, 1.0, f64::sqrt),
            "rsq" => near(f, 1.5, |x| 1.0 / x.sqrt()),
            "exp" => near(f, 1.0, f64::exp2),
            "log" => near(f, 1.0, f64::log2),
            "exp_legacy" | "log_legacy" => {
                let exp = op == "exp_legacy";
                near(f, 1.0, move |x| if exp { x.exp2() } else { x.log2() })
            }
            // In turns, and zero or one beyond 256 of them.
            "sin" | "cos" => {
                let cos = op == "cos";
                Some(Box::new(move |l| {
                    let x = Number::of(f, l.s[0]).near();
                    let turn = (x - x.round()) * std::f64::consts::TAU;
                    let inside = if cos { turn.cos() } else { turn.sin() };
                    let outside = if cos { 1.0 + x * 0.0 } else { x * 0.0 };
                    let unit = 2f64.powi(-(f.mantissa as i32));
                    (Want::Within(f, if x.abs() <= 256.0 { inside } else { outside }, unit), false)
                }))
            }
            "frexp_mant" => float(f, |[a, ..]| frexp(&a).map_or(a, |(mantissa, _)| mantissa)),
            "ldexp" => {
                let width = if f == F16 { 16 } else { 32 };
                Some(Box::new(move |l| {
                    let by = signed(l.s[1], width).clamp(-5000, 5000) as i64;
                    (Want::Float(f, Number::of(f, l.s[0]).scale(by).round(f)), false)
                }))
            }
            _ => None,
        };
    }
    let width: u32 = ty.get(1..)?.parse().ok()?;
    if !matches!(width, 16 | 32 | 64) {
        return None;
    }
    let is_signed = ty.starts_with('i');
    let value = move |x: u64| if is_signed { signed(x, width) } else { unsigned(x, width) };
    let keep = move |x: i128| x as u64 & (u64::MAX >> (64 - width));
    let by = move |x: u64| (x & u64::from(width - 1)) as u32;
    let number = move |f: fn([i128; 3]) -> i128| bits(move |l| keep(f(l.s.map(value))));
    match op {
        "add" => number(|[a, b, _]| a + b),
        "sub" => number(|[a, b, _]| a - b),
        "subrev" => number(|[a, b, _]| b - a),
        "mul_lo" => number(|[a, b, _]| a * b),
        "mul_hi" => bits(move |l| keep((value(l.s[0]) * value(l.s[1])) >> width)),
        "min" => number(|[a, b, _]| a.min(b)),
        "max" => number(|[a, b, _]| a.max(b)),
        "min3" => number(|[a, b, c]| a.min(b).min(c)),
        "max3" => number(|[a, b, c]| a.max(b).max(c)),
        "med3" => number(|mut s| {
            s.sort_unstable();
            s[1]
        }),
        "mad" | "mad_legacy" if width == 16 => number(|[a, b, c]| a * b + c),
        "and" => bits(|l| l.s[0] & l.s[1]),
        "or" => bits(|l| l.s[0] | l.s[1]),
        "xor" => bits(|l| l.s[0] ^ l.s[1]),
        "xnor" => bits(move |l| keep(!i128::from(l.s[0] ^ l.s[1]))),
        "not" => bits(move |l| keep(!i128::from(l.s[0]))),
        "mov" | "accvgpr_mov" | "accvgpr_read" | "accvgpr_write" => bits(|l| l.s[0]),
        "lshlrev" => bits(move |l| keep(unsigned(l.s[1], width) << by(l.s[0]))),
        "lshrrev" => bits(move |l| keep(unsigned(l.s[1], width) >> by(l.s[0]))),
        "ashrrev" => bits(move |l| keep(signed(l.s[1], width) >> by(l.s[0]))),
        "add3" => number(|[a, b, c]| a + b + c),
        "xad" => bits(|l| word((l.s[0] ^ l.s[1]).wrapping_add(l.s[2]))),
        "lshl_add" => bits(move |l| {
            // The 64-bit form shifts by three bits' worth.
            let shift = if width == 64 { l.s[1] & 7 } else { l.s[1] & 31 };
            keep((unsigned(l.s[0], width) << shift) + unsigned(l.s[2], width))
        }),
        "add_lshl" => bits(|l| word(word(l.s[0].wrapping_add(l.s[1])) << (l.s[2] & 31))),
        "lshl_or" => bits(|l| word(l.s[0] << (l.s[1] & 31)) | l.s[2]),
        "and_or" => bits(|l| l.s[0] & l.s[1] | l.s[2]),
        "or3" => bits(|l| l.s[0] | l.s[1] | l.s[2]),
        "bfi" => bits(|l| l.s[0] & l.s[1] | !l.s[0] & l.s[2] & 0xffff_ffff),
        "bfm" => bits(|l| word(((1 << (l.s[0] & 31)) - 1) << (l.s[1] & 31))),
        "bfe" => bits(move |l| {
            let (from, count) = ((l.s[1] & 31) as u32, (l.s[2] & 31) as u32);
            let field = value(l.s[0]) >> from & ((1 << count) - 1);
            let negative = is_signed && count > 0 && field >> (count - 1) & 1 == 1;
            keep(if negative { field - (1 << count) } else { field })
        }),
        "bfrev" => bits(|l| (0..32).fold(0, |out, k| out | (l.s[0] >> k & 1) << (31 - k))),
        _ => None,
    }
}

/// Conversions, by the names of both types.
fn conversion(name: &str) -> Option<Model> {
    let rest = name.strip_prefix("v_cvt_")?;
    let (to, from) = rest.split_once('_')?;
    let format = |ty: &str| format_of(&format!("_{ty}"));
    let integer = |ty: &str| {
        let width: u32 = ty.get(1..)?.parse().ok()?;
        let kind = ty.get(..1)?;
        (kind == "i" || kind == "u").then_some((kind == "i", width))
    };
    if let Some(byte) = from.strip_prefix("ubyte") {
        let at = 8 * byte.parse::<u32>().ok()?;
        return bits(move |l| Number::int(i128::from(l.s[0] >> at & 0xff)).round(F32));
    }
    match rest {
        "rpi_i32_f32" => {
            return bits(|l| {
                let half = Number::of(F32, Number::of(F32, l.s[0]).add(&Number::int(1).scale(-1)).round(F32));
                half.saturated(true, 32, Towards::Down)
            });
        }
        "flr_i32_f32" => return bits(|l| Number::of(F32, l.s[0]).saturated(true, 32, Towards::Down)),
        "off_f32_i4" => return bits(|l| Number::int(signed(l.s[0], 4)).scale(-4).round(F32)),
        _ => {}
    }
    if let (Some(to), Some(from)) = (format(to), format(from)) {
        return Some(Box::new(move |l| (Want::Float(to, Number::of(from, l.s[0]).round(to)), false)));
    }
    if let (Some(to), Some((is_signed, width))) = (format(to), integer(from)) {
        return bits(move |l| {
            let value = if is_signed { signed(l.s[0], width) } else { unsigned(l.s[0], width) };
            Number::int(value).round(to)
        });
    }
    if let (Some((is_signed, width)), Some(from)) = (integer(to), format(from)) {
        return bits(move |l| Number::of(from, l.s[0]).saturated(is_signed, width, Towards::Zero));
    }
    None
}

/// `x`, clamped, as a fraction of 16 bits.
fn normalised(format: Format, x: u64, is_signed: bool) -> u64 {
    let x = Number::of(format, x);
    let least = if is_signed { -1 } else { 0 };
    let clamped = match (x.compare(&Number::int(least)), x.compare(&Number::int(1))) {
        (None, _) => return 0,
        (Some(Ordering::Less), _) => Number::int(least),
        (_, Some(Ordering::Greater)) => Number::int(1),
        _ => x,
    };
    let most = if is_signed { 32767 } else { 65535 };
    let scaled = clamped.mul(&Number::int(most));
    // The product is a float before it is an integer.
    Number::of(F32, scaled.round(F32)).saturated(is_signed, 16, Towards::Even)
}

fn bytes(x: u64) -> [i128; 4] {
    core::array::from_fn(|k| i128::from(x >> (8 * k) & 0xff))
}

/// Sum of absolute differences of bytes; `masked` leaves out those whose reference is zero.
fn differences(a: u64, b: u64, masked: bool) -> i128 {
    let pairs = bytes(a).into_iter().zip(bytes(b));
    pairs.filter(|&(_, b)| !(masked && b == 0)).map(|(a, b)| (a - b).abs()).sum()
}

fn first_bit_from_top(x: u64) -> u64 {
    (0..32).find(|k| x >> (31 - k) & 1 == 1).unwrap_or(0xffff_ffff)
}

/// Instructions that are like no other.
fn single(name: &str) -> Option<Model> {
    Some(match name {
        "v_cndmask_b32" => return bits(|l| if l.bit { l.s[1] } else { l.s[0] }),
        "v_readfirstlane_b32" => return None,
        "v_add_co_u32" | "v_sub_co_u32" | "v_subrev_co_u32" | "v_addc_co_u32" | "v_subb_co_u32"
        | "v_subbrev_co_u32" => {
            let (add, reverse) =
                (name.starts_with("v_add"), name.starts_with("v_subrev") || name.starts_with("v_subbrev"));
            let takes = name.starts_with("v_addc") || name.starts_with("v_subb_") || name.starts_with("v_subbrev");
            return two(move |l| {
                let (a, b) = if reverse { (l.s[1], l.s[0]) } else { (l.s[0], l.s[1]) };
                let carry = i128::from(takes && l.bit);
                let exact = i128::from(a) + if add { i128::from(b) + carry } else { -i128::from(b) - carry };
                (exact as u64 & 0xffff_ffff, !(0..1 << 32).contains(&exact))
            });
        }
        "v_mul_i32_i24" => return bits(|l| word((signed(l.s[0], 24) * signed(l.s[1], 24)) as u64)),
        "v_mul_hi_i32_i24" => return bits(|l| word(((signed(l.s[0], 24) * signed(l.s[1], 24)) >> 32) as u64)),
        "v_mul_u32_u24" => return bits(|l| word((unsigned(l.s[0], 24) * unsigned(l.s[1], 24)) as u64)),
        "v_mul_hi_u32_u24" => return bits(|l| word(((unsigned(l.s[0], 24) * unsigned(l.s[1], 24)) >> 32) as u64)),
        "v_mad_i32_i24" => {
            return bits(|l| word((signed(l.s[0], 24) * signed(l.s[1], 24) + signed(l.s[2], 32)) as u64));
        }
        "v_mad_u32_u24" => {
            return bits(|l| word((unsigned(l.s[0], 24) * unsigned(l.s[1], 24) + unsigned(l.s[2], 32)) as u64));
        }
        "v_mad_u32_u16" => {
            return bits(|l| word((unsigned(l.s[0], 16) * unsigned(l.s[1], 16) + unsigned(l.s[2], 32)) as u64));
        }
        "v_mad_i32_i16" => {
            return bits(|l| word((signed(l.s[0], 16) * signed(l.s[1], 16) + signed(l.s[2], 32)) as u64));
        }
        "v_mad_u64_u32" => {
            return two(|l| {
                let exact = unsigned(l.s[0], 32) * unsigned(l.s[1], 32) + unsigned(l.s[2], 64);
                (exact as u64, exact >> 64 != 0)
            });
        }
        "v_mad_i64_i32" => {
            return two(|l| {
                let exact = signed(l.s[0], 32) * signed(l.s[1], 32) + signed(l.s[2], 64);
                (exact as u64, exact != i128::from(exact as i64))
            });
        }
        "v_mac_f32" => Box::new(|l| {
            let [a, b, d] = [l.s[0], l.s[1], l.old].map(|x| Number::of(F32, x));
            (Want::Float(F32, unfused([a, b, d], false).round(F32)), false)
        }),
        "v_fmac_f32" | "v_fmac_f64" => {
            let f = format_of(name)?;
            Box::new(move |l| {
                let [a, b, d] = [l.s[0], l.s[1], l.old].map(|x| Number::of(f, x));
                (Want::Float(f, a.mul(&b).add(&d).round(f)), false)
            })
        }
        "v_mac_f16" => Box::new(|l| {
            let [a, b, d] = [l.s[0], l.s[1], l.old].map(|x| Number::of(F16, x & 0xffff));
            (Want::Float(F16, Number::of(F16, a.mul(&b).round(F16)).add(&d).round(F16)), false)
        }),
        "v_madmk_f32" | "v_madak_f32" | "v_fmamk_f32" | "v_fmaak_f32" | "v_madmk_f16" | "v_madak_f16" => {
            let f = format_of(name)?;
            let (middle, fused) = (name.contains("mk"), name.contains("fma"));
            Box::new(move |l| {
                let k = Number::of(f, u64::from(l.literal) & (u64::MAX >> (64 - f.width())));
                let [a, b] = [l.s[0], l.s[1]].map(|x| Number::of(f, x));
                let s = if middle { [a, k, b] } else { [a, b, k] };
                let number = match (fused, f == F32) {
                    (true, _) => s[0].mul(&s[1]).add(&s[2]),
                    (false, true) => unfused(s, false),
                    (false, false) => Number::of(f, s[0].mul(&s[1]).round(f)).add(&s[2]),
                };
                (Want::Float(f, number.round(f)), false)
            })
        }
        "v_frexp_exp_i32_f32" | "v_frexp_exp_i32_f64" | "v_frexp_exp_i16_f16" => {
            let f = format_of(name)?;
            let mask = if f == F16 { 0xffff } else { 0xffff_ffff };
            return bits(move |l| frexp(&Number::of(f, l.s[0])).map_or(0, |(_, exponent)| exponent as u64 & mask));
        }
        "v_ffbh_u32" => return bits(|l| first_bit_from_top(l.s[0])),
        "v_ffbh_i32" => return bits(|l| first_bit_from_top(word(if l.s[0] >> 31 == 1 { !l.s[0] } else { l.s[0] }))),
        "v_ffbl_b32" => return bits(|l| (0..32).find(|k| l.s[0] >> k & 1 == 1).unwrap_or(0xffff_ffff)),
        "v_bcnt_u32_b32" => return bits(|l| word((0..32).map(|k| l.s[0] >> k & 1).sum::<u64>() + l.s[1])),
        "v_mbcnt_lo_u32_b32" | "v_mbcnt_hi_u32_b32" => {
            let first = if name.contains("hi") { 32 } else { 0 };
            return bits(move |l| {
                let below = (0..32).filter(|k| first + k < l.lane).map(|k| l.s[0] >> k & 1).sum::<u64>();
                word(below + l.s[1])
            });
        }
        "v_alignbit_b32" => return bits(|l| word((l.s[0] << 32 | l.s[1]) >> (l.s[2] & 31))),
        "v_alignbyte_b32" => return bits(|l| word((l.s[0] << 32 | l.s[1]) >> (8 * (l.s[2] & 3)))),
        "v_lerp_u8" => {
            return bits(|l| {
                let [a, b, c] = l.s.map(bytes);
                (0..4).fold(0, |out, k| out | (((a[k] + b[k] + (c[k] & 1)) >> 1) as u64) << (8 * k))
            });
        }
        "v_perm_b32" => {
            return bits(|l| {
                let data = [bytes(l.s[1]), bytes(l.s[0])].concat();
                bytes(l.s[2]).iter().enumerate().fold(0, |out, (k, &select)| {
                    let byte = match select {
                        0..=7 => data[select as usize],
                        // The sign of an odd byte, for a whole byte.
                        8..=11 => {
                            if data[2 * (select as usize - 8) + 1] >= 0x80 {
                                0xff
                            } else {
                                0
                            }
                        }
                        12 => 0,
                        _ => 0xff,
                    };
                    out | (byte as u64) << (8 * k)
                })
            });
        }
        "v_sad_u8" => return bits(|l| word(differences(l.s[0], l.s[1], false) as u64 + l.s[2])),
        "v_msad_u8" => return bits(|l| word(differences(l.s[0], l.s[1], true) as u64 + l.s[2])),
        "v_sad_hi_u8" => return bits(|l| word(((differences(l.s[0], l.s[1], false) as u64) << 16) + l.s[2])),
        "v_sad_u16" => {
            return bits(|l| {
                let sum: i128 =
                    [0, 16].iter().map(|k| (unsigned(l.s[0] >> k, 16) - unsigned(l.s[1] >> k, 16)).abs()).sum();
                word(sum as u64 + l.s[2])
            });
        }
        "v_sad_u32" => {
            return bits(|l| word((unsigned(l.s[0], 32) - unsigned(l.s[1], 32)).unsigned_abs() as u64 + l.s[2]));
        }
        "v_qsad_pk_u16_u8" | "v_mqsad_pk_u16_u8" => {
            let masked = name.contains("mq");
            return bits(move |l| {
                (0..4).fold(0, |out, k| {
                    let sum = differences(l.s[0] >> (8 * k), l.s[1], masked) as u64 + (l.s[2] >> (16 * k) & 0xffff);
                    out | (sum & 0xffff) << (16 * k)
                })
            });
        }
        // Whether a signalling NaN stays one is not said; LLVM counts on it to come out quiet.
        "v_pack_b32_f16" => Box::new(|l| (Want::Float(F16, l.s[0] & 0xffff | (l.s[1] & 0xffff) << 16), false)),
        "v_sat_pk_u8_i16" => {
            return bits(|l| {
                let byte = |x: u64| signed(x, 16).clamp(0, 255) as u64;
                byte(l.s[0]) | byte(l.s[0] >> 16) << 8
            });
        }
        "v_cvt_norm_i16_f16" | "v_cvt_norm_u16_f16" => {
            let is_signed = name.contains("i16");
            return bits(move |l| normalised(F16, l.s[0], is_signed));
        }
        "v_cvt_pknorm_i16_f32" | "v_cvt_pknorm_u16_f32" | "v_cvt_pknorm_i16_f16" | "v_cvt_pknorm_u16_f16" => {
            let (f, is_signed) = (format_of(name)?, name.contains("i16"));
            return bits(move |l| normalised(f, l.s[0], is_signed) | normalised(f, l.s[1], is_signed) << 16);
        }
        "v_cvt_pk_u16_u32" => return bits(|l| l.s[0].min(0xffff) | l.s[1].min(0xffff) << 16),
        "v_cvt_pk_i16_i32" => {
            return bits(|l| {
                let half = |x: u64| signed(x, 32).clamp(-0x8000, 0x7fff) as u64 & 0xffff;
                half(l.s[0]) | half(l.s[1]) << 16
            });
        }
        "v_cvt_pkrtz_f16_f32" => Box::new(|l| {
            let half = |x: u64| {
                let exact = Number::of(F32, x);
                let near = exact.round(F16);
                // One step back if rounding went away from zero; an infinity out of a number went too far.
                let away = match (&exact, Number::of(F16, near)) {
                    (Number::Nan | Number::Infinite(_), _) => false,
                    (_, Number::Infinite(_)) => true,
                    (_, rounded) => {
                        let grown = rounded.add(&exact.neg());
                        let negative = x >> 31 == 1;
                        grown.compare(&Number::int(0))
                            == Some(if negative { Ordering::Less } else { Ordering::Greater })
                    }
                };
                near - u64::from(away)
            };
            (Want::Float(F16, half(l.s[0]) | half(l.s[1]) << 16), false)
        }),
        "v_cvt_pk_u8_f32" | "v_cvt_pkaccum_u8_f32" => {
            let accumulates = name.contains("accum");
            return bits(move |l| {
                let into = if accumulates { l.old } else { l.s[2] };
                let at = 8 * (l.s[1] & 3);
                let byte = Number::of(F32, l.s[0]).saturated(false, 8, Towards::Even);
                word(into) & !(0xff << at) | byte << at
            });
        }
        "v_div_fixup_f32" | "v_div_fixup_f64" | "v_div_fixup_f16" | "v_div_fixup_legacy_f16" => {
            let f = format_of(name)?;
            Box::new(move |l| (Want::Float(f, div_fixup(f, l.s)), false))
        }
        "v_cubeid_f32" | "v_cubesc_f32" | "v_cubetc_f32" | "v_cubema_f32" => {
            let which = name.as_bytes()[6];
            Box::new(move |l| (Want::Float(F32, cube(which, l.s)), false))
        }
        "v_trig_preop_f64" => return bits(|l| trig_preop(l.s[0], l.s[1] & 31)),
        "v_cvt_f32_fp8" | "v_cvt_f32_bf8" => {
            let (exponent, mantissa) = if name.ends_with("_fp8") { (4, 3) } else { (5, 2) };
            Box::new(move |l| (Want::Float(F32, eight(exponent, mantissa, l.s[0] & 0xff).round(F32)), false))
        }
        "v_cvt_pk_f32_fp8" | "v_cvt_pk_f32_bf8" => {
            let (exponent, mantissa) = if name.ends_with("_fp8") { (4, 3) } else { (5, 2) };
            Box::new(move |l| {
                let part = |at: u32| eight(exponent, mantissa, l.s[0] >> at & 0xff).round(F32);
                (Want::Float(F32, part(0) | part(8) << 32), false)
            })
        }
        _ => return None,
    })
}

/// Both halves of packed operands through the instruction on one of them.
fn packed(name: &str) -> Option<Model> {
    let rest = name.strip_prefix("v_pk_")?;
    if rest == "fmac_f16" {
        return Some(Box::new(|l| {
            let half = |at: u32| {
                let [a, b, d] = [l.s[0], l.s[1], l.old].map(|x| Number::of(F16, x >> at & 0xffff));
                a.mul(&b).add(&d).round(F16) << at
            };
            (Want::Float(F16, half(0) | half(16)), false)
        }));
    }
    if rest == "mov_b32" {
        // Without op_sel: the low words of both.
        return bits(|l| word(l.s[0]) | word(l.s[1]) << 32);
    }
    let width = if rest.ends_with("32") { 32 } else { 16 };
    let one = arithmetic(&format!("v_{rest}"))?;
    Some(Box::new(move |l| {
        let part = |at: u32| {
            let lane = Lane { s: l.s.map(|s| s >> at & ((1 << width) - 1)), ..*l };
            one(&lane).0
        };
        match (part(0), part(width)) {
            (Want::Bits(low), Want::Bits(high)) => (Want::Bits(low | high << width), false),
            (Want::Float(format, low), Want::Float(_, high)) => (Want::Float(format, low | high << width), false),
            other => panic!("{other:?}"),
        }
    }))
}

fn dot(name: &str) -> Option<Model> {
    let accumulates = name.starts_with("v_dot2c") || name.starts_with("v_dot4c") || name.starts_with("v_dot8c");
    let rest = name.strip_prefix("v_dot")?;
    let count: u32 = rest.get(..1)?.parse().ok()?;
    let third = move |l: &Lane| if accumulates { l.old } else { l.s[2] };
    if name.ends_with("f32_f16") {
        return Some(Box::new(move |l| {
            // The document does not say how often it rounds: the exact sum, give or take a rounding of each of its parts.
            let part = |at: u32| Number::of(F16, l.s[0] >> at & 0xffff).mul(&Number::of(F16, l.s[1] >> at & 0xffff));
            let parts = [part(0), part(16), Number::of(F32, third(l) & 0xffff_ffff)];
            let sum = parts[0].add(&parts[1]).add(&parts[2]);
            let size: f64 = parts.iter().map(|part| part.near().abs()).sum();
            let rounded = Number::of(F32, sum.round(F32)).near();
            (Want::Within(F32, rounded, size * 2f64.powi(-22) + 2f64.powi(-148)), false)
        }));
    }
    let is_signed = rest.contains("_i32_");
    let width = 32 / count;
    bits(move |l| {
        let value = |x: u64| if is_signed { signed(x, width) } else { unsigned(x, width) };
        let sum: i128 = (0..count).map(|k| value(l.s[0] >> (k * width)) * value(l.s[1] >> (k * width))).sum();
        word((sum + signed(third(l), 32)) as u64)
    })
}

/// Returns what a row's lanes compute, if this is the place where it is said.
pub(crate) fn model(row: &Row) -> Option<Model> {
    let name = row.name;
    if row.encoding == Encoding::Vopc {
        return compare(name);
    }
    if name.starts_with("v_fma_mix") {
        let (half, high) = (name.contains("16"), name.contains("hi"));
        return Some(Box::new(move |l| {
            let [a, b, c] = l.s.map(|x| Number::of(F32, x));
            // A half is made of the float that the sum was rounded to.
            let sum = a.mul(&b).add(&c).round(F32);
            if !half {
                return (Want::Float(F32, sum), false);
            }
            let rounded = Number::of(F32, sum).round(F16);
            let kept = if high { l.old & 0xffff | rounded << 16 } else { l.old & 0xffff_0000 | rounded };
            (Want::Float(F16, kept), false)
        }));
    }
    let found = single(name)
        .or_else(|| packed(name))
        .or_else(|| dot(name))
        .or_else(|| conversion(name))
        .or_else(|| arithmetic(name))?;
    debug_assert!(!row.traits.has(Traits::DECODE_ONLY));
    Some(found)
}
