//! What `--device` names: `auto`, `rocr:INDEX` or `soft[:...]`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::rocr::{RocrConfig, RocrConfigError};
use super::soft::{SoftConfig, SoftConfigError};

/// A device somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSpec {
    /// Hardware when it is usable, else the software GPU.
    Auto,
    /// The software GPU.
    Soft(SoftConfig),
    /// An AMD GPU.
    Rocr(RocrConfig),
}

/// Why a description names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceSpecError {
    /// Neither backend has that name.
    #[error("unknown device {0:?}: use auto, rocr:0, soft or soft:arch=gfx90a,cus=8,threads=1,vram=4GiB")]
    Unknown(String),
    /// A software GPU that there is not.
    #[error(transparent)]
    Soft(#[from] SoftConfigError),
    /// An AMD GPU that is described wrongly.
    #[error(transparent)]
    Rocr(#[from] RocrConfigError),
}

impl Default for DeviceSpec {
    fn default() -> DeviceSpec {
        DeviceSpec::Soft(SoftConfig::default())
    }
}

impl From<SoftConfig> for DeviceSpec {
    fn from(config: SoftConfig) -> DeviceSpec {
        DeviceSpec::Soft(config)
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceSpecError;

    fn from_str(text: &str) -> Result<DeviceSpec, DeviceSpecError> {
        match text.split(':').next() {
            _ if text == "auto" => Ok(DeviceSpec::Auto),
            Some("soft") => Ok(DeviceSpec::Soft(text.parse()?)),
            Some("rocr") => Ok(DeviceSpec::Rocr(text.parse()?)),
            _ => Err(DeviceSpecError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Soft(config) => config.fmt(f),
            DeviceSpec::Rocr(config) => config.fmt(f),
        }
    }
}

impl DeviceSpec {
    /// Returns bytes of device memory to share out: what was said, or what the kernel driver shows; 0 if neither is known.
    ///
    /// The runtime is not asked: it never runs in a broker.
    pub fn vram_bytes(&self) -> u64 {
        match self {
            DeviceSpec::Auto => auto(Path::new("/")).0.vram_bytes(),
            DeviceSpec::Soft(config) => config.vram_bytes,
            DeviceSpec::Rocr(config) => config.vram_bytes.unwrap_or_else(|| {
                let machine = super::kfd::Machine::look(Path::new("/"));
                machine.gpus.get(config.index as usize).map_or(0, |gpu| gpu.vram_bytes)
            }),
        }
    }

    /// Returns the software compute units that workers share, 0 for hardware.
    pub fn software_units(&self) -> u32 {
        match self {
            DeviceSpec::Soft(config) => config.cus,
            DeviceSpec::Auto => auto(Path::new("/")).0.software_units(),
            DeviceSpec::Rocr(_) => 0,
        }
    }

    /// Returns the part of a software GPU with `cus` compute units, 0 for all; hardware is not divided.
    pub fn part(&self, cus: u32) -> DeviceSpec {
        match self {
            DeviceSpec::Soft(config) if cus > 0 => DeviceSpec::Soft(SoftConfig { cus, ..*config }),
            whole => whole.clone(),
        }
    }

    /// Decides what `auto` stands for on this machine, and says why; anything else stands for itself.
    pub fn resolved(self) -> (DeviceSpec, Option<String>) {
        match self {
            DeviceSpec::Auto => auto(Path::new("/")),
            other => (other, None),
        }
    }
}

/// Decides by what the kernel driver shows below `root`.
pub(super) fn auto(root: &Path) -> (DeviceSpec, Option<String>) {
    let machine = super::kfd::Machine::look(root);
    match machine.usable() {
        Ok(gpu) => {
            let config = RocrConfig { index: 0, vram_bytes: None, suspend: true, runtime: None, thunk: None };
            (DeviceSpec::Rocr(config), Some(format!("hardware: {}", gpu.describe())))
        }
        Err(why) => (DeviceSpec::default(), Some(format!("the software GPU, because {why}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_recognised_and_printed_as_it_is_read() {
        for text in ["auto", "rocr:1", "soft:arch=gfx942,cus=2,threads=1,vram=512MiB"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        let wrong = "cuda:0".parse::<DeviceSpec>().unwrap_err().to_string();
        assert!(wrong.contains("auto, rocr:0, soft"), "{wrong}");
        assert!("soft:cus=0".parse::<DeviceSpec>().unwrap_err().to_string().contains("1 to 304"));
    }

    #[test]
    fn a_part_keeps_everything_but_its_units() {
        let part = |text: &str, cus| text.parse::<DeviceSpec>().unwrap().part(cus).to_string();
        assert_eq!(
            part("soft:arch=gfx942,cus=8,threads=1,vram=512MiB", 3),
            "soft:arch=gfx942,cus=3,threads=1,vram=512MiB"
        );
        assert_eq!(part("soft:cus=8,threads=1", 0), "soft:cus=8,threads=1".parse::<DeviceSpec>().unwrap().to_string());
        assert_eq!(part("rocr:1", 3), "rocr:1");
    }

    #[test]
    fn auto_without_a_driver_is_the_software_gpu_and_says_why() {
        let empty = std::env::temp_dir().join("wavegate-no-such-root");
        let (spec, why) = auto(&empty);
        assert_eq!(spec, DeviceSpec::default());
        assert!(why.is_some_and(|why| why.contains("amdgpu")));
    }
}
