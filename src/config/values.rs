//! Amounts as people write them: `2GiB`, `5ms`, `12.5%`, `latency:1ms`.
//!
//! Promise: one spelling everywhere. The configuration file, the kept live changes, `wavegate tenant set` and the admin socket read a
//! value with the same `FromStr`, print it with the same `Display`, and reading what was printed gives the same value. A
//! value is refused with a sentence that says what is accepted.

use std::fmt;
use std::str::FromStr;

use broker::{Adaptive, ShareRule};
use proto::{Bytes, Nanos, TenantName};
use sched::{Class, Policy, Share, Weight};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::device::soft::parse_bytes;

/// Why a text is not such a value: what was written, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct BadValue {
    text: String,
    what: &'static str,
}

impl BadValue {
    fn new(text: &str, what: &'static str) -> Self {
        Self { text: text.to_owned(), what }
    }
}

/// Wraps a type of another room so that it can be read and printed as people write it.
///
/// Written down it is text; where a plain number can be meant, a number is read too.
macro_rules! value {
    ($(#[$doc:meta])* $Name:ident($Inner:ty)) => {
        value! { read $(#[$doc])* $Name($Inner) }

        impl Serialize for $Name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    };
    (read $(#[$doc:meta])* $Name:ident($Inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $Name(pub $Inner);

        impl<'de> Deserialize<'de> for $Name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(Written).and_then(|text| text.parse().map_err(de::Error::custom))
            }
        }
    };
}

/// Takes text, or a whole number as if it had been written as text.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

value! {
    /// A tenant's name.
    Name(TenantName)
}
value! {
    /// An amount of memory: digits and `KiB`, `MiB`, `GiB`, `TiB` or nothing.
    Size(Bytes)
}
value! {
    /// A length of time: digits and `ns`, `us`, `ms` or `s`.
    Span(Nanos)
}
value! {
    /// How long something may take, or `none`.
    Limit(Nanos)
}
value! {
    read
    /// A claim relative to the other tenants.
    Claim(Weight)
}

impl Serialize for Claim {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.0.get())
    }
}

value! {
    /// A part of the device's time, such as `25%` or `12.5%`, or `none`.
    Percent(Option<Share>)
}
value! {
    /// What a tenant wants: `throughput`, or `latency` with the slice it is content with.
    Wish(Class)
}

value! {
    /// A name, or `none`.
    Belongs(Option<TenantName>)
}
value! {
    /// A tenant that memory may be granted to, and what it may do with it: `blue:read` or `blue:write`.
    Sharing(ShareRule)
}
value! {
    /// How a device's time is divided.
    Division(Policy)
}
value! {
    /// How long a lease lasts: a time, or `auto` with the efficiency, and the wait, it is to be chosen for.
    Pace(SliceRule)
}

/// A slice, or how to choose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRule {
    /// The slice, or what a chosen one begins with.
    pub slice: Nanos,
    /// How it is chosen, if it is.
    pub adaptive: Option<Adaptive>,
}

impl SliceRule {
    /// The longest slice that is chosen.
    const CHOSEN_MAX: Nanos = Nanos::from_millis(100);
    /// What `auto` means without an efficiency, in percent.
    const EFFICIENCY: u32 = 95;

    /// Returns a slice that stays.
    pub fn fixed(slice: Nanos) -> Self {
        Self { slice, adaptive: None }
    }
}

impl FromStr for Belongs {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text {
            "none" => Ok(Self(None)),
            _ => text.parse().map(|Name(name)| Self(Some(name))),
        }
    }
}

impl fmt::Display for Belongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => name.fmt(f),
            None => f.pad("none"),
        }
    }
}

impl FromStr for Sharing {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let bad = || BadValue::new(text, "whom to share with: use NAME:read or NAME:write");
        let (name, right) = text.split_once(':').ok_or_else(bad)?;
        let Name(with) = name.parse().map_err(|_| bad())?;
        match right {
            "read" => Ok(Self(ShareRule { with, write: false })),
            "write" => Ok(Self(ShareRule { with, write: true })),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.with, if self.0.write { "write" } else { "read" })
    }
}

impl FromStr for Division {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a policy: use weighted, equal-share, fixed-share or best-effort";
        Policy::from_name(text).map(Self).ok_or_else(|| BadValue::new(text, what))
    }
}

impl fmt::Display for Division {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

impl FromStr for Pace {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a slice: use a time such as 5ms, or auto, auto:98%, auto:95%:20ms with efficiency and longest wait";
        let bad = || BadValue::new(text, what);
        let mut parts = text.split(':');
        if parts.next() != Some("auto") {
            return text.parse().map(|Span(slice)| Self(SliceRule::fixed(slice))).map_err(|_| bad());
        }
        let whole = Share::WHOLE;
        let efficiency = match parts.next() {
            None => Share::from_percent(SliceRule::EFFICIENCY),
            Some(percent) => percent.parse::<Percent>().ok().and_then(|percent| percent.0),
        };
        let efficiency = efficiency.filter(|share| *share < whole).ok_or_else(bad)?;
        let wait = parts.next().map(str::parse).transpose().map_err(|_| bad())?.map(|Span(wait)| wait);
        if parts.next().is_some() || wait.is_some_and(|wait| wait.0 == 0) {
            return Err(bad());
        }
        let adaptive = Adaptive { efficiency, wait, slice_max: SliceRule::CHOSEN_MAX };
        Ok(Self(SliceRule { slice: Nanos::from_millis(5), adaptive: Some(adaptive) }))
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.adaptive {
            None => Span(self.0.slice).fmt(f),
            Some(Adaptive { efficiency, wait: None, .. }) => f.pad(&format!("auto:{}", Percent(Some(efficiency)))),
            Some(Adaptive { efficiency, wait: Some(wait), .. }) => {
                f.pad(&format!("auto:{}:{}", Percent(Some(efficiency)), Span(wait)))
            }
        }
    }
}

impl FromStr for Name {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a tenant's name: use 1 to 32 of a-z 0-9 _ . - beginning with a letter or digit";
        TenantName::new(text).map(Self).map_err(|_| BadValue::new(text, what))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a size: use bytes or KiB, MiB, GiB, TiB, such as 512MiB";
        parse_bytes(text).map(|b| Self(Bytes(b))).ok_or_else(|| BadValue::new(text, what))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_exactly(f, self.0.0, &[(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")].map(|(s, u)| (1 << s, u)), "")
    }
}

/// Prints a number in the largest unit that it is a multiple of, so that nothing is rounded.
fn print_exactly(f: &mut fmt::Formatter<'_>, n: u64, units: &[(u64, &str)], smallest: &str) -> fmt::Result {
    let fits = units.iter().find(|(size, _)| n > 0 && n.is_multiple_of(*size));
    let (size, unit) = fits.copied().unwrap_or((1, smallest));
    f.pad(&format!("{}{unit}", n / size))
}

impl FromStr for Span {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ns" => Some(1),
            "us" => Some(1_000),
            "ms" => Some(1_000_000),
            "s" => Some(1_000_000_000),
            _ => None,
        };
        let ns = number.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
        ns.map(|ns| Self(Nanos(ns))).ok_or_else(|| BadValue::new(text, "a time: use ns, us, ms or s, such as 5ms"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_exactly(f, self.0.0, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")], "ns")
    }
}

impl FromStr for Limit {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a time above 0 or none: use ns, us, ms or s, such as 10s";
        match text {
            "none" => Ok(Self(Nanos(0))),
            _ => match text.parse() {
                Ok(Span(span)) if span.0 > 0 => Ok(Self(span)),
                _ => Err(BadValue::new(text, what)),
            },
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0 == 0 { f.pad("none") } else { Span(self.0).fmt(f) }
    }
}

impl FromStr for Claim {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let weight = text.parse().ok().and_then(Weight::new);
        weight.map(Self).ok_or_else(|| BadValue::new(text, "a weight: use a whole number from 1 to 1000000"))
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get().fmt(f)
    }
}

impl FromStr for Percent {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "none" {
            return Ok(Self(None));
        }
        let share = text.strip_suffix('%').and_then(|number| {
            let (whole, part) = number.split_once('.').unwrap_or((number, ""));
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            // Four places are millionths; a share has no finer ones.
            let plain = !whole.is_empty() && whole.len() <= 3 && part.len() <= 4 && digits(whole) && digits(part);
            let millionths = format!("{whole}{part:0<4}").parse().ok().filter(|_| plain)?;
            Share::from_millionths(millionths)
        });
        let what = "a share of the device's time: use 0.0001% to 100%, such as 25%, or none";
        share.map(|share| Self(Some(share))).ok_or_else(|| BadValue::new(text, what))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(share) = self.0 else { return f.pad("none") };
        let (whole, part) = (share.millionths() / 10_000, share.millionths() % 10_000);
        let text = format!("{whole}.{part:04}");
        f.pad(&format!("{}%", text.trim_end_matches('0').trim_end_matches('.')))
    }
}

/// The slice of a latency tenant that names none.
const LATENCY_SLICE: sched::Nanos = sched::Nanos::from_millis(1);

impl FromStr for Wish {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let what = "a class: use throughput, latency, or latency:1ms with the slice it is content with";
        let class = match text.split_once(':') {
            None if text == "throughput" => Some(Class::Throughput),
            None if text == "latency" => Some(Class::Latency { request: LATENCY_SLICE }),
            Some(("latency", slice)) => {
                let slice = slice.parse().ok().filter(|Span(slice)| slice.0 > 0);
                slice.map(|Span(slice)| Class::Latency { request: sched::Nanos(slice.0) })
            }
            _ => None,
        };
        class.map(Self).ok_or_else(|| BadValue::new(text, what))
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Class::Throughput => f.pad("throughput"),
            Class::Latency { request } => f.pad(&format!("latency:{}", Span(Nanos(request.0)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<T: FromStr<Err = BadValue> + fmt::Display>(text: &str) -> String {
        text.parse::<T>().map_or_else(|e| e.to_string(), |v| v.to_string())
    }

    #[test]
    fn values_read_print_and_explain() {
        type Print = fn(&str) -> String;
        let cases: &[(Print, &str, &str)] = &[
            (printed::<Size>, "2GiB", "2GiB"),
            (printed::<Size>, "2048MiB", "2GiB"),
            (printed::<Size>, "1500KiB", "1500KiB"),
            (printed::<Size>, "0", "0"),
            (printed::<Size>, "2GB", "\"2GB\" is not a size: use bytes or KiB, MiB, GiB, TiB, such as 512MiB"),
            (printed::<Span>, "5000us", "5ms"),
            (printed::<Span>, "1500ms", "1500ms"),
            (printed::<Span>, "5", "\"5\" is not a time: use ns, us, ms or s, such as 5ms"),
            (
                printed::<Span>,
                "99999999999999999999s",
                "\"99999999999999999999s\" is not a time: use ns, us, ms or s, such as 5ms",
            ),
            (printed::<Limit>, "none", "none"),
            (printed::<Limit>, "10s", "10s"),
            (printed::<Limit>, "0s", "\"0s\" is not a time above 0 or none: use ns, us, ms or s, such as 10s"),
            (printed::<Claim>, "100", "100"),
            (printed::<Claim>, "0", "\"0\" is not a weight: use a whole number from 1 to 1000000"),
            (printed::<Percent>, "25%", "25%"),
            (printed::<Percent>, "12.50%", "12.5%"),
            (printed::<Percent>, "0.0001%", "0.0001%"),
            (printed::<Percent>, "100%", "100%"),
            (printed::<Percent>, "none", "none"),
            (
                printed::<Percent>,
                "+5%",
                "\"+5%\" is not a share of the device's time: use 0.0001% to 100%, such as 25%, or none",
            ),
            (
                printed::<Percent>,
                "101%",
                "\"101%\" is not a share of the device's time: use 0.0001% to 100%, such as 25%, or none",
            ),
            (printed::<Wish>, "latency", "latency:1ms"),
            (printed::<Wish>, "latency:500us", "latency:500us"),
            (printed::<Wish>, "throughput", "throughput"),
            (
                printed::<Wish>,
                "fast",
                "\"fast\" is not a class: use throughput, latency, or latency:1ms with the slice it is content with",
            ),
            (printed::<Pace>, "2000us", "2ms"),
            (printed::<Pace>, "auto", "auto:95%"),
            (printed::<Pace>, "auto:98%:20ms", "auto:98%:20ms"),
            (
                printed::<Pace>,
                "auto:100%",
                "\"auto:100%\" is not a slice: use a time such as 5ms, or auto, auto:98%, auto:95%:20ms with efficiency and \
                 longest wait",
            ),
            (printed::<Division>, "fixed-share", "fixed-share"),
            (
                printed::<Division>,
                "fastest",
                "\"fastest\" is not a policy: use weighted, equal-share, fixed-share or best-effort",
            ),
            (printed::<Sharing>, "blue:read", "blue:read"),
            (printed::<Sharing>, "blue:write", "blue:write"),
            (printed::<Sharing>, "blue", "\"blue\" is not whom to share with: use NAME:read or NAME:write"),
            (printed::<Belongs>, "none", "none"),
            (printed::<Belongs>, "left", "left"),
            (printed::<Name>, "red-1", "red-1"),
            (
                printed::<Name>,
                "Red",
                "\"Red\" is not a tenant's name: use 1 to 32 of a-z 0-9 _ . - beginning with a letter or digit",
            ),
        ];
        for (print, text, expected) in cases {
            assert_eq!(print(text), *expected, "{text}");
            // What was printed means the same when read again.
            assert!(expected.contains(" is not ") || print(expected) == *expected, "{expected}");
        }
    }
}
