//! `soft[:arch=gfx90a,cus=8,threads=1,vram=4GiB,pin=2-3,translate=on]`.

use gcn::arch::Arch;
use std::fmt;
use std::str::FromStr;
use sys::processor::Processors;

/// Most compute units: the largest gfx942 part has 304.
const CUS_MAX: u32 = 304;
/// Most device memory: 1 TiB of address space.
const VRAM_MAX: u64 = 1 << 40;

/// Shape of a software GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftConfig {
    /// Architecture whose code objects it runs.
    pub arch: Arch,
    /// Compute units.
    pub cus: u32,
    /// Host threads that run them.
    pub threads: u32,
    /// Bytes of device memory.
    pub vram_bytes: u64,
    /// Host processors that its threads stay on: first and last. Sessions then compute at the same speed, wherever the host has put the rest of them, as they
    /// would on one GPU.
    pub pin: Option<(u16, u16)>,
    /// Whether hot vector code is translated for the host, where the host can run it. Results are the same.
    pub translate: bool,
}

impl SoftConfig {
    /// Returns the host processors that the device's threads stay on, if it has its own.
    pub fn processors(&self) -> Option<Processors> {
        self.pin.map(|(first, last)| Processors::range(first, last))
    }
}

impl Default for SoftConfig {
    fn default() -> SoftConfig {
        SoftConfig { arch: Arch::Gfx90a, cus: 8, threads: 1, vram_bytes: 4 << 30, pin: None, translate: true }
    }
}

/// Why a device description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoftConfigError {
    /// It does not begin with `soft`.
    #[error("unknown device {0:?}: use soft or soft:arch=gfx90a,cus=8,threads=1,vram=4GiB")]
    Device(String),
    /// An option that there is not.
    #[error("soft has no option {0:?}: use arch, cus, threads, vram, pin, translate")]
    Option(String),
    /// A value that an option does not take.
    #[error("{option}={value}: {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
}

impl FromStr for SoftConfig {
    type Err = SoftConfigError;

    fn from_str(text: &str) -> Result<SoftConfig, SoftConfigError> {
        let mut config = SoftConfig::default();
        let (kind, options) = text.split_once(':').unwrap_or((text, ""));
        if kind != "soft" {
            return Err(SoftConfigError::Device(text.to_owned()));
        }
        for option in options.split(',').filter(|o| !o.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let bad = |option, expected| SoftConfigError::Value { option, value: value.to_owned(), expected };
            match key {
                "arch" => config.arch = Arch::from_name(value).ok_or(bad("arch", "use gfx90a or gfx942"))?,
                "cus" => {
                    let cus = value.parse().ok().filter(|n| (1..=CUS_MAX).contains(n));
                    config.cus = cus.ok_or(bad("cus", "use 1 to 304 compute units"))?;
                }
                "threads" => {
                    let threads = value.parse().ok().filter(|n| (1..=CUS_MAX).contains(n));
                    config.threads = threads.ok_or(bad("threads", "use 1 to as many host threads as compute units"))?;
                }
                "vram" => {
                    let bytes = parse_bytes(value).filter(|n| (1 << 20..=VRAM_MAX).contains(n));
                    config.vram_bytes = bytes.ok_or(bad("vram", "use 1MiB to 1TiB, such as 512MiB or 4GiB"))?;
                }
                "pin" => {
                    let (first, last) = value.split_once('-').unwrap_or((value, value));
                    let range = first.parse().ok().zip(last.parse().ok()).filter(|(first, last)| first <= last);
                    config.pin =
                        Some(range.ok_or(bad("pin", "use a host processor such as 1, or a range such as 2-3"))?);
                }
                "translate" => {
                    config.translate = match value {
                        "on" => true,
                        "off" => false,
                        _ => return Err(bad("translate", "use on or off")),
                    }
                }
                _ => return Err(SoftConfigError::Option(key.to_owned())),
            }
        }
        Ok(config)
    }
}

impl fmt::Display for SoftConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SoftConfig { arch, cus, threads, vram_bytes, pin, translate } = self;
        let mib = vram_bytes >> 20;
        write!(f, "soft:arch={arch},cus={cus},threads={threads},vram={mib}MiB")?;
        match pin {
            None => Ok(()),
            Some((first, last)) if first == last => write!(f, ",pin={first}"),
            Some((first, last)) => write!(f, ",pin={first}-{last}"),
        }?;
        if *translate { Ok(()) } else { f.write_str(",translate=off") }
    }
}

/// Reads a size: digits and one of KiB, MiB, GiB, TiB or nothing.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_parse_print_and_explain_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let got = text.parse::<SoftConfig>().map_or_else(|e| e.to_string(), |c| c.to_string());
            assert_eq!(got, expected, "{text}");
        };
        check("soft", "soft:arch=gfx90a,cus=8,threads=1,vram=4096MiB");
        check("soft:arch=gfx942,cus=2,vram=512MiB", "soft:arch=gfx942,cus=2,threads=1,vram=512MiB");
        check("rocr:0", "unknown device \"rocr:0\": use soft or soft:arch=gfx90a,cus=8,threads=1,vram=4GiB");
        check("soft:pin=1", "soft:arch=gfx90a,cus=8,threads=1,vram=4096MiB,pin=1");
        check("soft:pin=2-3", "soft:arch=gfx90a,cus=8,threads=1,vram=4096MiB,pin=2-3");
        check("soft:translate=on", "soft:arch=gfx90a,cus=8,threads=1,vram=4096MiB");
        check("soft:pin=1,translate=off", "soft:arch=gfx90a,cus=8,threads=1,vram=4096MiB,pin=1,translate=off");
        check("soft:translate=no", "translate=no: use on or off");
        check("soft:pin=3-2", "pin=3-2: use a host processor such as 1, or a range such as 2-3");
        check("soft:cus=0", "cus=0: use 1 to 304 compute units");
        check("soft:threads=x", "threads=x: use 1 to as many host threads as compute units");
        check("soft:vram=4GB", "vram=4GB: use 1MiB to 1TiB, such as 512MiB or 4GiB");
        check("soft:vram=99999999999TiB", "vram=99999999999TiB: use 1MiB to 1TiB, such as 512MiB or 4GiB");
        check("soft:arch=gfx1100", "arch=gfx1100: use gfx90a or gfx942");
        check("soft:lanes=32", "soft has no option \"lanes\": use arch, cus, threads, vram, pin, translate");
    }
}
