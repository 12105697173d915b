//! The program that clears registers and LDS of every compute unit, for every processor that LLVM 19 builds HSA programs for.
//!
//! Promise: whoever runs the passes of [`Scrub`] in their order, and finds each complete, has had every vector register, accumulation register
//! and LDS word of the device overwritten, and the scalar registers as far as [`Pass`] says. A pass is complete when `told` holds
//! the number of waves that it was given: then all of them were on the device at the same moment, and together they held all there is. The comment at
//! the top of `src-scrub/scrub.cl` has the argument.
//!
//! gfx90a and gfx942 are judged on the software GPU by `canary`. The other processors are built and nothing more: how many registers and wave
//! slots they have is what LLVM's tables say.

/// The program for one processor.
#[derive(Clone, Copy, Debug)]
pub struct Scrub {
    /// LLVM's name of the processor.
    pub target: &'static str,
    /// The code object.
    pub object: &'static [u8],
    /// Lanes of a wave of this program.
    pub lanes: u32,
    /// What to run, in order.
    pub passes: &'static [Pass],
}

/// One dispatch.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The kernel.
    pub kernel: &'static str,
    /// Work-items of a work-group.
    pub items: u32,
    /// Work-groups for each compute unit: as many as there can be at once. Where sources disagree on that, several, the most first: a
    /// pass that is not complete is repeated with the next.
    pub groups_per_cu: &'static [u32],
}

impl Scrub {
    /// Whether the program was seen to work, on the software GPU at least.
    pub fn was_run(&self) -> bool {
        crate::Target::ALL.iter().any(|target| target.name() == self.target)
    }
}

impl Pass {
    /// Returns the waves of a pass over `cus` compute units with `groups` work-groups each: what `waves` must say, and `told` afterwards.
    pub fn waves(&self, lanes: u32, cus: u32, groups: u32) -> u32 {
        self.items / lanes * groups * cus
    }
}

/// A work-group of all vector registers and all LDS.
const VECTOR: Pass = Pass { kernel: "scrub_vector", items: 256, groups_per_cu: &[1] };
/// The same where a SIMD has 1536 registers.
const WIDE_VECTOR: Pass = Pass { items: 512, ..VECTOR };

/// Four waves of 64 lanes with as many scalar registers as a wave can have.
const fn scalar(groups_per_cu: &'static [u32]) -> Pass {
    Pass { kernel: "scrub_scalar", items: 256, groups_per_cu }
}

/// Four waves of 64 lanes with few enough scalar registers that every wave slot is taken.
const fn slots(groups_per_cu: &'static [u32]) -> Pass {
    Pass { kernel: "scrub_slots", items: 256, groups_per_cu }
}

/// Four waves of 32 lanes, each with its 128 scalar registers.
const fn narrow(groups_per_cu: &'static [u32]) -> Pass {
    Pass { kernel: "scrub_scalar", items: 128, groups_per_cu }
}

/// 512 scalar registers a SIMD: four waves of 104, or eight of 64.
const GFX7: &[Pass] = &[scalar(&[4]), slots(&[8]), VECTOR];
/// Each wave has 96 of 800, whatever it asks for.
const GFX8_FIXED: &[Pass] = &[scalar(&[8]), VECTOR];
/// 800 scalar registers a SIMD: seven waves of 112, or ten of 80.
const GFX8: &[Pass] = &[scalar(&[7]), slots(&[10]), VECTOR];
/// Eight waves a SIMD. LLVM counts 800 scalar registers, the Linux driver saves 1024: with those there are eight waves of 112.
const CDNA2: &[Pass] = &[scalar(&[8, 7]), slots(&[8]), VECTOR];
/// Twenty wave slots a SIMD, two SIMDs a compute unit.
const RDNA1: &[Pass] = &[narrow(&[10]), VECTOR];
/// Sixteen.
const RDNA2: &[Pass] = &[narrow(&[8]), VECTOR];
/// Sixteen, and more vector registers.
const RDNA3_WIDE: &[Pass] = &[narrow(&[8]), WIDE_VECTOR];

macro_rules! targets {
    ($( $lanes:literal $passes:ident: $($target:literal)*; )*) => {
        &[$($( Scrub {
            target: $target,
            object: include_bytes!(concat!("../objects/scrub/", $target, ".co")),
            lanes: $lanes,
            passes: $passes,
        }, )*)*]
    };
}

const ALL: &[Scrub] = targets! {
    64 GFX7: "gfx700" "gfx701" "gfx702" "gfx703" "gfx704" "gfx705";
    64 GFX8_FIXED: "gfx802" "gfx805";
    64 GFX8: "gfx801" "gfx803" "gfx810" "gfx900" "gfx902" "gfx904" "gfx906" "gfx908" "gfx909" "gfx90c";
    64 CDNA2: "gfx90a" "gfx940" "gfx941" "gfx942";
    32 RDNA1: "gfx1010" "gfx1011" "gfx1012" "gfx1013";
    32 RDNA2: "gfx1030" "gfx1031" "gfx1032" "gfx1033" "gfx1034" "gfx1035" "gfx1036" "gfx1102" "gfx1103" "gfx1150" "gfx1152";
    32 RDNA3_WIDE: "gfx1100" "gfx1101" "gfx1151" "gfx1200" "gfx1201";
};

/// Returns the program for every processor.
pub fn all() -> &'static [Scrub] {
    ALL
}

/// Returns the program for a processor by LLVM's name, without features.
pub fn find(target: &str) -> Option<&'static Scrub> {
    ALL.iter().find(|scrub| scrub.target == target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object as _, ObjectSymbol as _};
    use std::collections::BTreeSet;

    #[test]
    fn every_object_is_listed_and_has_its_kernels() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/objects/scrub");
        let built = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let listed: BTreeSet<String> = ALL.iter().map(|scrub| format!("{}.co", scrub.target)).collect();
        assert_eq!(built.collect::<BTreeSet<_>>(), listed);
        assert_eq!(listed.len(), ALL.len(), "one is listed twice");
        for scrub in ALL {
            let file = object::File::parse(scrub.object).unwrap();
            let has: BTreeSet<String> = file
                .dynamic_symbols()
                .filter_map(|symbol| Some(symbol.name().ok()?.strip_suffix(".kd")?.to_owned()))
                .collect();
            let wants: BTreeSet<String> = scrub.passes.iter().map(|pass| pass.kernel.to_owned()).collect();
            assert_eq!(has, wants, "{}", scrub.target);
            assert!(scrub.passes.iter().all(|pass| pass.items % scrub.lanes == 0 && !pass.groups_per_cu.is_empty()));
            assert_eq!(scrub.passes.last().map(|pass| pass.kernel), Some("scrub_vector"), "{}", scrub.target);
        }
    }

    #[test]
    fn waves_are_counted_over_the_whole_device() {
        let cdna = find("gfx90a").unwrap();
        assert_eq!(cdna.passes[0].waves(cdna.lanes, 104, 8), 104 * 32, "all wave slots of 104 compute units");
        assert_eq!(VECTOR.waves(64, 104, 1), 4 * 104);
        assert!(cdna.was_run() && !find("gfx1100").unwrap().was_run() && find("gfx600").is_none());
    }
}
