//! What the fixture is: read once from the environment, so that programs which know nothing of it can be run on any shape.

use gcn::arch::Arch;

/// Shape of the software GPU behind the thunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) arch: Arch,
    pub(crate) cus: u32,
    pub(crate) vram_bytes: u64,
    /// What the host node says it has.
    pub(crate) host_bytes: u64,
    /// Whether every call is told on standard error.
    pub(crate) trace: bool,
}

impl Config {
    /// Reads `SOFTKMT_ARCH`, `SOFTKMT_CUS`, `SOFTKMT_VRAM_MIB` and `SOFTKMT_TRACE`.
    ///
    /// A value that is none is an error: a fixture that guesses would make a test pass for the wrong reason.
    pub(crate) fn from_environment() -> Result<Config, String> {
        Config::parse(|name| std::env::var(name).ok())
    }

    fn parse(get: impl Fn(&str) -> Option<String>) -> Result<Config, String> {
        let number = |name: &str, otherwise: u64, max: u64| match get(name) {
            None => Ok(otherwise),
            Some(text) => match text.parse() {
                Ok(n) if (1..=max).contains(&n) => Ok(n),
                _ => Err(format!("{name}={text}: use a number from 1 to {max}")),
            },
        };
        let arch = get("SOFTKMT_ARCH").unwrap_or_else(|| Arch::Gfx90a.name().to_owned());
        Ok(Config {
            arch: Arch::from_name(&arch).ok_or_else(|| format!("SOFTKMT_ARCH={arch}: use gfx90a or gfx942"))?,
            cus: number("SOFTKMT_CUS", 8, 304)? as u32,
            vram_bytes: number("SOFTKMT_VRAM_MIB", 1024, 1 << 20)? << 20,
            host_bytes: 8 << 30,
            trace: get("SOFTKMT_TRACE").is_some_and(|value| value != "0"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_what_to_use() {
        let with =
            |name: &'static str, value: &'static str| Config::parse(move |n| (n == name).then(|| value.to_owned()));
        assert_eq!(with("SOFTKMT_CUS", "12").unwrap().cus, 12);
        assert_eq!(with("SOFTKMT_ARCH", "gfx942").unwrap().arch, Arch::Gfx942);
        assert!(with("SOFTKMT_CUS", "0").unwrap_err().contains("1 to 304"));
        assert!(with("SOFTKMT_ARCH", "gfx1100").unwrap_err().contains("gfx90a or gfx942"));
    }
}
