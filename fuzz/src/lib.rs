//! Feeds whatever reads bytes that somebody else wrote with bytes that nobody would write.
//!
//! A [`Target`] is a function of bytes that asserts what must hold of any of them, and bytes to begin with: real instructions, real code objects,
//! real packets. [`mutate`] makes new bytes of old ones; the same seed makes the same. The command `fuzz` (`cargo xtask fuzz`) runs all targets on
//! the stable compiler for a number of inputs or for a time, first those of `corpus/` that once went wrong; `libfuzzer/` puts the same
//! functions under coverage-guided fuzzing, which needs a nightly one.
//!
//! Promises that are looked for, of everything here: no panic (arithmetic overflow included), and an end: whatever runs has fuel, whatever parses
//! takes time that its input pays for. Each target says what else.

#![forbid(unsafe_code)]

mod code_object;
mod decode;
mod gate;
mod kernel;
mod messages;
pub mod mutate;
mod packets;
mod program;
mod rig;
mod runs;

/// Something to feed.
pub struct Target {
    /// Its name, on command lines and as its folder in `corpus/`.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Takes any bytes. Panics if something does not hold.
    pub feed: fn(&[u8]),
    /// Bytes to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "decode", about: "instruction words", feed: decode::feed, seeds: decode::seeds },
    Target {
        name: "code_object",
        about: "code objects and their metadata",
        feed: code_object::feed,
        seeds: code_object::seeds,
    },
    Target { name: "program", about: "code objects, loaded and run", feed: program::feed, seeds: code_object::seeds },
    Target {
        name: "kernel",
        about: "changes to instructions of real kernels, run beside another tenant",
        feed: kernel::feed,
        seeds: kernel::seeds,
    },
    Target {
        name: "runs",
        about: "changes to instructions of real kernels, with and without translation",
        feed: runs::feed,
        seeds: kernel::seeds,
    },
    Target { name: "packets", about: "rings full of AQL packets", feed: packets::feed, seeds: packets::seeds },
    Target {
        name: "messages",
        about: "packets of the protocol, in every direction",
        feed: messages::feed,
        seeds: messages::seeds,
    },
    Target { name: "gate", about: "gate words and the steps taken from them", feed: gate::feed, seeds: gate::seeds },
];

/// Returns the target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every target takes all it begins with, nothing at all, and some children of each, which is also what CI runs more of.
    #[test]
    fn every_target_takes_its_seeds_and_their_children() {
        for target in TARGETS {
            (target.feed)(&[]);
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}", target.name);
            let mut mutator = mutate::Mutator::new(1, &seeds);
            for seed in seeds.iter().take(20) {
                (target.feed)(seed);
                (target.feed)(&mutator.child());
            }
        }
    }
}
