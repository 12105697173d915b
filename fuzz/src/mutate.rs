//! Makes new bytes of old ones.

/// SplitMix64: the same seed, the same bytes.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Numbers that lengths, offsets and counts go wrong at.
const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    63,
    64,
    65,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// Longest bytes it makes.
const BYTES_MAX: usize = 64 * 1024;

/// Makes children of seeds, each with a few changes.
pub struct Mutator<'a> {
    random: Random,
    seeds: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// Returns a mutator; the same number makes the same children of the same seeds.
    pub fn new(seed: u64, seeds: &'a [Vec<u8>]) -> Mutator<'a> {
        Mutator { random: Random(seed), seeds }
    }

    /// Returns the next child.
    pub fn child(&mut self) -> Vec<u8> {
        let Some(parent) = self.seeds.get(self.random.below(self.seeds.len())) else { return Vec::new() };
        let mut bytes = parent.clone();
        // Mostly few changes, so that most of a parent still means what it did.
        for _ in 0..1 << self.random.below(5) {
            self.change(&mut bytes);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let random = &mut self.random;
        if bytes.is_empty() {
            bytes.extend((0..1 + random.below(64)).map(|k| (k * 37) as u8));
        }
        let at = random.below(bytes.len());
        match random.below(12) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes[at] = bytes[at].wrapping_sub(1),
            // A number of one to eight bytes, where such numbers lie.
            4..=6 => {
                let width = 1 << random.below(4);
                let value = match random.below(3) {
                    0 => random.next(),
                    1 => NUMBERS[random.below(NUMBERS.len())].wrapping_neg(),
                    _ => NUMBERS[random.below(NUMBERS.len())],
                };
                let at = at / width * width;
                for (byte, new) in bytes[at..].iter_mut().zip(value.to_le_bytes()).take(width) {
                    *byte = new;
                }
            }
            // A word of its own or of another parent over one of its words: fields and instructions change places.
            7 | 8 => {
                let other = &self.seeds[random.below(self.seeds.len())];
                let from = if random.below(2) == 0 { bytes.clone() } else { other.clone() };
                let (at, width) = (at / 4 * 4, 4 << random.below(4));
                let start = random.below(from.len() / 4 + 1) * 4;
                for (byte, new) in bytes[at..].iter_mut().zip(from.iter().skip(start)).take(width) {
                    *byte = *new;
                }
            }
            9 => bytes.truncate(at),
            10 => {
                let end = (at + 1 + random.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let more: Vec<u8> = (0..4 << random.below(4)).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_children_and_another_makes_others() {
        let seeds = vec![b"what somebody wrote".to_vec(), (0..200).collect()];
        let children = |seed| {
            let mut mutator = Mutator::new(seed, &seeds);
            (0..500).map(|_| mutator.child()).collect::<Vec<_>>()
        };
        assert_eq!(children(7), children(7));
        let (some, others) = (children(7), children(8));
        assert_ne!(some, others);
        let changed = some.iter().filter(|child| !seeds.contains(child)).count();
        assert!(changed > 450, "only {changed} of 500 differ from their parents");
        assert!(some.iter().any(Vec::is_empty) || some.iter().any(|child| child.len() < 10));
    }
}
