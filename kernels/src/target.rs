//! The architectures every program is built for.

use std::fmt;
use std::str::FromStr;

/// An architecture a code object is built for, in LLVM's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// CDNA2: MI210, MI250, MI250X.
    Gfx90a,
    /// CDNA3: MI300A, MI300X, MI325X.
    Gfx942,
}

impl Target {
    /// All targets, in the order of their age.
    pub const ALL: [Target; 2] = [Target::Gfx90a, Target::Gfx942];

    /// Returns the name LLVM and ROCm use, for example `gfx90a`.
    pub const fn name(self) -> &'static str {
        match self {
            Target::Gfx90a => "gfx90a",
            Target::Gfx942 => "gfx942",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        Self::ALL
            .into_iter()
            .find(|target| target.name() == name)
            .ok_or_else(|| UnknownTarget { name: name.to_owned() })
    }
}

/// No program is built for the architecture somebody named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTarget {
    /// What was asked for.
    pub name: String,
}

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no kernels are built for `{}`; use gfx90a or gfx942", self.name)
    }
}

impl std::error::Error for UnknownTarget {}

/// How much the compiler optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Nothing: every variable in private memory, every function called.
    O0,
    /// A little.
    O1,
    /// As programs are shipped.
    O2,
    /// All it can.
    O3,
}

impl Level {
    /// All levels, from none up.
    pub const ALL: [Level; 4] = [Level::O0, Level::O1, Level::O2, Level::O3];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_others_are_refused_by_name() {
        for target in Target::ALL {
            assert_eq!(target.name().parse(), Ok(target));
        }
        let refused = "gfx1100".parse::<Target>().unwrap_err();
        assert!(refused.to_string().contains("gfx1100"), "{refused}");
    }
}
