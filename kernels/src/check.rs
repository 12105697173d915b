//! Compares the memory a run left behind with what an oracle expects, word by word.
//!
//! Promise: every word of every buffer is judged. Words a program has no business with must be as they were before.

use std::fmt;

use crate::case::{Buffer, Element, words};

/// What a buffer must hold after the run, one entry a 32-bit word.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// Exactly these bits.
    Exact(Vec<u32>),
    /// These numbers, or others not further away than `within` of the same index.
    Near { value: Vec<f32>, within: Vec<f32> },
    /// Each word is this one or still the old one: the run was stopped on its way.
    Partial(Vec<u32>),
}

/// The first difference between what a run left behind and what it had to.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// The caller brought back another number of buffers than the case has.
    BufferCount {
        /// The program.
        kernel: &'static str,
        /// Buffers of the case.
        expected: usize,
        /// Buffers brought back.
        got: usize,
    },
    /// The caller brought back a buffer of another size.
    BufferLength {
        /// The program.
        kernel: &'static str,
        /// The buffer's name.
        buffer: &'static str,
        /// Its bytes in the case.
        expected: usize,
        /// The bytes brought back.
        got: usize,
    },
    /// A word is wrong.
    Word {
        /// The program.
        kernel: &'static str,
        /// The index of the buffer in the case.
        index: usize,
        /// The buffer's name.
        buffer: &'static str,
        /// The index of the first wrong word.
        element: usize,
        /// What it holds.
        got: Value,
        /// What it must hold.
        expected: Value,
        /// How far it may be off, when it need not be exact.
        within: Option<f32>,
        /// How many words of this buffer are wrong.
        wrong: usize,
        /// How many words this buffer has.
        words: usize,
    },
}

/// A 32-bit word with the type it is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its bits.
    pub bits: u32,
    /// How to read them.
    pub element: Element,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            Element::U32 => write!(f, "{} ({:#010x})", self.bits, self.bits),
            Element::F32 => write!(f, "{:e} ({:#010x})", f32::from_bits(self.bits), self.bits),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::BufferCount { kernel, expected, got } => write!(
                f,
                "{kernel}: cannot check {got} buffers, the case has {expected}; bring back every buffer, inputs too"
            ),
            Mismatch::BufferLength { kernel, buffer, expected, got } => write!(
                f,
                "{kernel}: cannot check `{buffer}` of {got} bytes, the case has {expected}; bring back the whole buffer"
            ),
            Mismatch::Word { kernel, buffer, element, got, expected, within, wrong, words, .. } => {
                write!(f, "{kernel}: `{buffer}`[{element}] is {got}, must be {expected}")?;
                if let Some(within) = within {
                    write!(f, " within {within:e}")?;
                }
                write!(f, "; {wrong} of {words} words are wrong")
            }
        }
    }
}

impl std::error::Error for Mismatch {}

/// Compares all buffers; those without an expectation must be as before.
pub(crate) fn compare(
    kernel: &'static str,
    before: &[Buffer],
    after: &[Vec<u8>],
    mut expected: Vec<(usize, Expected)>,
) -> Result<(), Mismatch> {
    if after.len() != before.len() {
        return Err(Mismatch::BufferCount { kernel, expected: before.len(), got: after.len() });
    }
    for (index, (buffer, after)) in before.iter().zip(after).enumerate() {
        if after.len() != buffer.bytes.len() {
            let (expected, got) = (buffer.bytes.len(), after.len());
            return Err(Mismatch::BufferLength { kernel, buffer: buffer.name, expected, got });
        }
        let expected = match expected.iter().position(|(of, _)| *of == index) {
            Some(at) => expected.swap_remove(at).1,
            None => Expected::Exact(buffer.u32s()),
        };
        let mut wrong = words(after).zip(words(&buffer.bytes)).enumerate().filter_map(|(element, (got, old))| {
            let (right, bits, within) = judge(&expected, element, got, old);
            (!right).then_some((element, got, bits, within))
        });
        if let Some((element, got, bits, within)) = wrong.next() {
            let value = |bits| Value { bits, element: buffer.element };
            return Err(Mismatch::Word {
                kernel,
                index,
                buffer: buffer.name,
                element,
                got: value(got),
                expected: value(bits),
                within,
                wrong: 1 + wrong.count(),
                words: buffer.bytes.len() / 4,
            });
        }
    }
    // An oracle that speaks of a buffer the case does not have, or twice of one, is our own bug.
    assert!(expected.is_empty(), "{kernel}: expectation without a buffer");
    Ok(())
}

/// Returns whether one word is right, what it should have been, and how far off it may be.
fn judge(expected: &Expected, element: usize, got: u32, old: u32) -> (bool, u32, Option<f32>) {
    match expected {
        Expected::Exact(values) => (got == values[element], values[element], None),
        Expected::Partial(values) => (got == values[element] || got == old, values[element], None),
        Expected::Near { value, within } => {
            let (value, within) = (value[element], within[element]);
            // The same bits are right even where the numbers do not compare, as in a guard. The distance is taken
            // in f64, where it is exact enough not to matter.
            let distance = (f64::from(f32::from_bits(got)) - f64::from(value)).abs();
            (got == value.to_bits() || distance <= f64::from(within), value.to_bits(), Some(within))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{POISON, bytes_of_f32, bytes_of_u32};

    fn near(value: &[f32], within: f32) -> Vec<(usize, Expected)> {
        vec![(0, Expected::Near { value: value.to_vec(), within: vec![within; value.len()] })]
    }

    #[test]
    fn tolerance_ends_where_it_says_and_nan_is_never_near() {
        let before = [Buffer::input_f32("x", &[0.0, 0.0])];
        let run = |after: &[f32]| compare("t", &before, &[bytes_of_f32(after)], near(&[1.0, 2.0], 0.5));
        assert_eq!(run(&[1.5, 1.5]), Ok(()));
        let Err(Mismatch::Word { element, wrong, within, .. }) = run(&[1.0, 2.75]) else { panic!("accepted") };
        assert_eq!((element, wrong, within), (1, 1, Some(0.5)));
        assert!(run(&[f32::NAN, 2.0]).is_err());
    }

    #[test]
    fn unmentioned_buffers_must_not_change() {
        let before = [Buffer::input_u32("x", &[1, 2, 3])];
        assert_eq!(compare("t", &before, &[bytes_of_u32(&[1, 2, 3])], vec![]), Ok(()));
        let error = compare("t", &before, &[bytes_of_u32(&[1, 9, 8])], vec![]).unwrap_err();
        assert_eq!(error.to_string(), "t: `x`[1] is 9 (0x00000009), must be 2 (0x00000002); 2 of 3 words are wrong");
    }

    #[test]
    fn partial_takes_the_old_word_or_the_new_one() {
        let before = [Buffer::output("x", Element::U32, 2)];
        let run = |first: u32, second: u32| {
            let mut after = before[0].u32s();
            (after[0], after[1]) = (first, second);
            let mut expected = before[0].u32s();
            (expected[0], expected[1]) = (7, 7);
            compare("t", &before, &[bytes_of_u32(&after)], vec![(0, Expected::Partial(expected))])
        };
        assert_eq!(run(POISON, 7), Ok(()));
        assert!(run(7, 8).is_err());
    }

    #[test]
    fn missing_and_short_buffers_are_told_apart_from_wrong_words() {
        let before = [Buffer::input_u32("x", &[1, 2])];
        assert!(matches!(compare("t", &before, &[], vec![]), Err(Mismatch::BufferCount { expected: 1, got: 0, .. })));
        let short = compare("t", &before, &[vec![0; 4]], vec![]);
        assert!(matches!(short, Err(Mismatch::BufferLength { expected: 8, got: 4, .. })));
    }
}
