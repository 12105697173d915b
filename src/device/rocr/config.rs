//! `rocr:INDEX[,vram=SIZE][,suspend=off][,runtime=PATH][,thunk=PATH]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::device::soft::parse_bytes;

/// Which GPU of which runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocrConfig {
    /// Number of the GPU in the runtime's order.
    pub index: u32,
    /// Bytes of device memory to share out; what the kernel driver shows if not given.
    pub vram_bytes: Option<u64>,
    /// Whether running waves may be suspended, where the driver can; else work in flight finishes first.
    pub suspend: bool,
    /// AMD's runtime library; looked for where packages put it if not given.
    pub runtime: Option<PathBuf>,
    /// A thunk library to load first, in place of the system's: for the test fixture.
    pub thunk: Option<PathBuf>,
}

/// Why a device description is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RocrConfigError {
    /// It does not begin with `rocr`.
    #[error("unknown device {0:?}: use rocr:0, or rocr:0,runtime=/path/libhsa-runtime64.so.1")]
    Device(String),
    /// No number of a GPU.
    #[error("rocr:{0} is no GPU: use its number, such as rocr:0")]
    Index(String),
    /// An option that there is not.
    #[error("rocr has no option {0:?}: use vram, suspend, runtime, thunk")]
    Option(String),
    /// Neither on nor off.
    #[error("suspend={0}: use on or off")]
    Suspend(String),
    /// No size.
    #[error("vram={0}: use 1MiB to 1TiB, such as 16GiB")]
    Vram(String),
    /// A path that is not absolute: what would be loaded would depend on who loads it.
    #[error("{option}={value}: use an absolute path")]
    Path {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
    },
}

impl FromStr for RocrConfig {
    type Err = RocrConfigError;

    fn from_str(text: &str) -> Result<RocrConfig, RocrConfigError> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        if kind != "rocr" {
            return Err(RocrConfigError::Device(text.to_owned()));
        }
        let mut options = rest.split(',');
        let index = options.next().unwrap_or("");
        let index = index.parse().map_err(|_| RocrConfigError::Index(index.to_owned()))?;
        let mut config = RocrConfig { index, vram_bytes: None, suspend: true, runtime: None, thunk: None };
        for option in options {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let path = |option| {
                let path = PathBuf::from(value);
                let bad = RocrConfigError::Path { option, value: value.to_owned() };
                if path.is_absolute() { Ok(Some(path)) } else { Err(bad) }
            };
            match key {
                "vram" => {
                    let bytes = parse_bytes(value).filter(|n| (1 << 20..=1 << 40).contains(n));
                    config.vram_bytes = Some(bytes.ok_or_else(|| RocrConfigError::Vram(value.to_owned()))?);
                }
                "suspend" => match value {
                    "on" => config.suspend = true,
                    "off" => config.suspend = false,
                    _ => return Err(RocrConfigError::Suspend(value.to_owned())),
                },
                "runtime" => config.runtime = path("runtime")?,
                "thunk" => config.thunk = path("thunk")?,
                _ => return Err(RocrConfigError::Option(key.to_owned())),
            }
        }
        Ok(config)
    }
}

impl fmt::Display for RocrConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rocr:{}", self.index)?;
        if let Some(bytes) = self.vram_bytes {
            write!(f, ",vram={}MiB", bytes >> 20)?;
        }
        if !self.suspend {
            f.write_str(",suspend=off")?;
        }
        for (name, path) in [("runtime", &self.runtime), ("thunk", &self.thunk)] {
            if let Some(path) = path {
                write!(f, ",{name}={}", path.display())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_parse_print_and_explain_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let got = text.parse::<RocrConfig>().map_or_else(|e| e.to_string(), |c| c.to_string());
            assert_eq!(got, expected, "{text}");
        };
        check("rocr:0", "rocr:0");
        check(
            "rocr:3,runtime=/opt/rocm/lib/libhsa-runtime64.so.1",
            "rocr:3,runtime=/opt/rocm/lib/libhsa-runtime64.so.1",
        );
        check("rocr", "rocr: is no GPU: use its number, such as rocr:0");
        check("rocr:x", "rocr:x is no GPU: use its number, such as rocr:0");
        check("rocr:0,thunk=lib.so", "thunk=lib.so: use an absolute path");
        check("rocr:0,vram=2GiB", "rocr:0,vram=2048MiB");
        check("rocr:0,vram=2", "vram=2: use 1MiB to 1TiB, such as 16GiB");
        check("rocr:0,cus=8", "rocr has no option \"cus\": use vram, suspend, runtime, thunk");
        check("rocr:0,suspend=off", "rocr:0,suspend=off");
        check("rocr:0,suspend=no", "suspend=no: use on or off");
    }
}
