//! Short text of bounded length that lives in a message without a heap.
//!
//! Promise: a [`Text`] holds UTF-8 of at most `N` bytes without control characters, so it can be printed to a terminal
//! and a log as it is. On the wire it is `N` bytes, padded with zeroes, and the padding is checked.

use core::fmt;

use crate::violation::Violation;
use crate::wire::Field;

/// Text of at most `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const N: usize> {
    // Bytes past the end are zero (so the derived comparisons are right).
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const EMPTY: Self = Self { bytes: [0; N] };

    /// Keeps as much of `text` as fits, at a character boundary, with control characters replaced by `?`.
    pub fn truncated(text: &str) -> Self {
        let mut bytes = [0; N];
        let mut len = 0;
        for c in text.chars() {
            let c = if c.is_control() { '?' } else { c };
            let Some(room) = bytes.get_mut(len..len + c.len_utf8()) else { break };
            len += c.encode_utf8(room).len();
        }
        Self { bytes }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // Both constructors put valid UTF-8 here; should that ever be wrong, the answer is an empty text, not a panic.
        core::str::from_utf8(&self.bytes[..self.len()]).unwrap_or("")
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.iter().position(|&b| b == 0).unwrap_or(N)
    }

    /// Returns whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `write!` into a text: what does not fit is cut, as in [`Text::truncated`], and that is not an error.
impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut len = self.len();
        for c in more.chars() {
            let c = if c.is_control() { '?' } else { c };
            let Some(room) = self.bytes.get_mut(len..len + c.len_utf8()) else {
                break;
            };
            len += c.encode_utf8(room).len();
        }
        Ok(())
    }
}

impl<const N: usize> Field for Text<N> {
    type Wire = [u8; N];
    fn to_wire(&self) -> [u8; N] {
        self.bytes
    }
    fn from_wire(wire: &[u8; N], field: &'static str) -> Result<Self, Violation> {
        let len = wire.iter().position(|&b| b == 0).unwrap_or(N);
        let (said, padding) = wire.split_at(len);
        if padding.iter().any(|&b| b != 0) {
            return Err(Violation::Reserved { field });
        }
        match core::str::from_utf8(said) {
            Ok(text) if !text.chars().any(char::is_control) => Ok(Self { bytes: *wire }),
            _ => Err(Violation::Text { field }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write as _;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(Text::<4>::truncated("abcdef").as_str(), "abcd");
        assert_eq!(Text::<4>::truncated("abc\u{e9}").as_str(), "abc");
        assert_eq!(Text::<8>::truncated("a\nb\0c").as_str(), "a?b?c");
        let mut t = Text::<6>::EMPTY;
        write!(t, "{}-{}", 12, 3456).unwrap();
        assert_eq!(t.as_str(), "12-345");
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let wire = |b: &[u8; 4]| Text::<4>::from_wire(b, "x");
        assert_eq!(wire(b"ab\0\0").unwrap().as_str(), "ab");
        assert_eq!(wire(b"abcd").unwrap().as_str(), "abcd");
        assert_eq!(wire(b"ab\0c"), Err(Violation::Reserved { field: "x" }));
        assert_eq!(wire(b"a\x1b\0\0"), Err(Violation::Text { field: "x" }));
        assert_eq!(wire(b"a\xff\0\0"), Err(Violation::Text { field: "x" }));
    }
}
