//! One concrete run of a program: its grid, its memory, its arguments and how it must end.
//!
//! Promise: a case holds everything a device needs to run the program and everything needed to judge the result, and the
//! same kernel, size and seed give the same case on every machine. Whoever runs it gives each buffer an address,
//! copies `Buffer::bytes` there, runs, copies the bytes back and asks [`Case::check`](crate::Case::check).

use std::fmt;
use std::sync::Arc;

use crate::check::{self, Expected, Mismatch};

/// Words behind the part of a buffer that a program may write; they must come back as they were.
pub(crate) const GUARD_WORDS: usize = 16;

/// What output memory holds before the run, so that a word nobody wrote is seen.
pub(crate) const POISON: u32 = 0xa5a5_a5a5;

/// One concrete run of a program.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program's name.
    pub kernel: &'static str,
    /// Work-items in x, y and z, as in the dispatch packet; need not be whole work-groups.
    pub grid: [u32; 3],
    /// Work-items of a work-group in x, y and z.
    pub workgroup: [u16; 3],
    /// Bytes of LDS beyond what the code object asks for.
    pub dynamic_lds: u32,
    /// The memory the program works on.
    pub buffers: Vec<Buffer>,
    /// The explicit kernel arguments in order.
    pub args: Vec<Arg>,
    /// How the run ends when everything is right.
    pub ending: Ending,
    /// How much the run gets done, when there is a figure for it.
    pub work: Option<Work>,
    pub(crate) oracle: Arc<dyn Oracle>,
}

/// Computes on the CPU what a program must leave behind.
pub(crate) trait Oracle: fmt::Debug + Send + Sync {
    /// Returns the expectation for each buffer the program writes, by index; all others must stay as they were.
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)>;
}

/// An oracle that is a function of the buffers before the run.
#[derive(Debug)]
pub(crate) struct ByFunction(fn(&[Buffer]) -> Vec<(usize, Expected)>);

impl Oracle for ByFunction {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        self.0(before)
    }
}

/// Makes a case of `n` work-items in work-groups of `group` in one dimension. Its arguments are the buffers in their order, then `scalars`.
pub(crate) fn items(
    kernel: &'static str,
    n: u32,
    group: u16,
    buffers: Vec<Buffer>,
    scalars: &[u32],
    oracle: fn(&[Buffer]) -> Vec<(usize, Expected)>,
) -> Case {
    let args = (0..buffers.len()).map(Arg::buffer).chain(scalars.iter().map(|&x| Arg::U32(x))).collect();
    Case {
        kernel,
        grid: [n, 1, 1],
        workgroup: [group, 1, 1],
        dynamic_lds: 0,
        buffers,
        args,
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(ByFunction(oracle)),
    }
}

impl Case {
    /// Says whether `after`, the bytes of every buffer after the run, is what the program must leave behind.
    ///
    /// Buffers the program only reads, and guard words behind those it writes, must not have changed.
    /// For a case whose [`ending`](Case::ending) is not [`Ending::Completes`], any prefix of the work is right.
    pub fn check(&self, after: &[Vec<u8>]) -> Result<(), Mismatch> {
        check::compare(self.kernel, &self.buffers, after, self.oracle.expected(&self.buffers))
    }

    /// Returns the bytes of the explicit arguments; `addresses` holds the device address of each buffer.
    ///
    /// # Panics
    /// If `addresses` does not have one entry per buffer.
    pub fn explicit_arguments(&self, addresses: &[u64]) -> Vec<u8> {
        assert_eq!(addresses.len(), self.buffers.len(), "one address per buffer of `{}`", self.kernel);
        explicit_arguments(&self.args, |index| addresses[index])
    }

    /// Returns how many work-groups the grid has, partial ones included.
    pub fn workgroups(&self) -> u64 {
        std::iter::zip(self.grid, self.workgroup).map(|(grid, group)| u64::from(grid.div_ceil(group.into()))).product()
    }
}

/// A piece of device memory and what it holds before the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The argument's name in the program's source.
    pub name: &'static str,
    /// What the program does with it.
    pub role: Role,
    /// What its words are, for messages.
    pub element: Element,
    /// The bytes before the run; the length is the buffer's size and a multiple of 4.
    pub bytes: Vec<u8>,
}

impl Buffer {
    pub(crate) fn input_f32(name: &'static str, values: &[f32]) -> Self {
        Buffer { name, role: Role::In, element: Element::F32, bytes: bytes_of_f32(values) }
    }

    pub(crate) fn input_u32(name: &'static str, values: &[u32]) -> Self {
        Buffer { name, role: Role::In, element: Element::U32, bytes: bytes_of_u32(values) }
    }

    /// Makes a buffer for `words` results, poisoned, with a guard behind.
    pub(crate) fn output(name: &'static str, element: Element, words: usize) -> Self {
        let bytes = bytes_of_u32(&vec![POISON; words + GUARD_WORDS]);
        Buffer { name, role: Role::Out, element, bytes }
    }

    /// Makes a buffer that the program reads and writes, with a guard behind.
    pub(crate) fn in_out(name: &'static str, element: Element, mut bytes: Vec<u8>) -> Self {
        bytes.extend(bytes_of_u32(&[POISON; GUARD_WORDS]));
        Buffer { name, role: Role::InOut, element, bytes }
    }

    pub(crate) fn u32s(&self) -> Vec<u32> {
        words(&self.bytes).collect()
    }

    pub(crate) fn f32s(&self) -> Vec<f32> {
        words(&self.bytes).map(f32::from_bits).collect()
    }

    pub(crate) fn u64s(&self) -> Vec<u64> {
        self.u32s().chunks_exact(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect()
    }

    pub(crate) fn f64s(&self) -> Vec<f64> {
        self.u64s().into_iter().map(f64::from_bits).collect()
    }

    /// Expects exactly the bits of `values` at the start, two words each.
    pub(crate) fn expect_u64(&self, values: &[u64]) -> Expected {
        self.expect_u32(&values.iter().flat_map(|v| [*v as u32, (*v >> 32) as u32]).collect::<Vec<_>>())
    }

    /// As [`expect_u64`](Self::expect_u64) for doubles.
    pub(crate) fn expect_f64(&self, values: &[f64]) -> Expected {
        self.expect_u64(&values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    }

    /// Expects `values` in the first bytes and everything behind them unchanged.
    pub(crate) fn expect_bytes(&self, values: &[u8]) -> Expected {
        let mut bytes = self.bytes.clone();
        bytes[..values.len()].copy_from_slice(values);
        Expected::Exact(words(&bytes).collect())
    }

    /// Makes an input of bytes, padded with zeros to whole words.
    pub(crate) fn input_bytes(name: &'static str, mut bytes: Vec<u8>) -> Self {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Buffer { name, role: Role::In, element: Element::U32, bytes }
    }

    /// Expects `values` at the start and everything behind them unchanged.
    pub(crate) fn expect_u32(&self, values: &[u32]) -> Expected {
        let mut words = self.u32s();
        words[..values.len()].copy_from_slice(values);
        Expected::Exact(words)
    }

    /// Expects exactly the bits of `values` at the start and everything behind them unchanged.
    pub(crate) fn expect_f32(&self, values: &[f32]) -> Expected {
        self.expect_u32(&values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
    }
}

/// What a program does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads it; it must not change.
    In,
    /// Writes it; what it held before is poison.
    Out,
    /// Reads and writes it.
    InOut,
}

impl Role {
    /// Returns whether the program may change it.
    pub const fn is_written(self) -> bool {
        matches!(self, Role::Out | Role::InOut)
    }
}

/// What the 32-bit words of a buffer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Unsigned integers.
    U32,
    /// IEEE 754 binary32.
    F32,
}

/// One explicit kernel argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg {
    /// The device address of a buffer of the case, plus an offset.
    Buffer {
        /// Which of [`Case::buffers`].
        index: usize,
        /// Bytes from its start.
        offset: u64,
    },
    /// A 32-bit integer.
    U32(u32),
    /// A 64-bit integer, also an address that is no buffer's.
    U64(u64),
    /// A binary32 number.
    F32(f32),
}

impl Arg {
    /// The start of buffer `index`.
    pub const fn buffer(index: usize) -> Self {
        Arg::Buffer { index, offset: 0 }
    }
}

/// Lays explicit arguments out as the compiler does: in order, each at its natural alignment, nothing behind the last one.
///
/// Hidden arguments follow at offsets that the code object's metadata gives; the device adds them.
pub fn explicit_arguments(args: &[Arg], mut address_of: impl FnMut(usize) -> u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut push = |value: &[u8]| {
        // Sizes here are 4 and 8, and a type's natural alignment is its size.
        bytes.resize(bytes.len().next_multiple_of(value.len()), 0);
        bytes.extend_from_slice(value);
    };
    for arg in args {
        match *arg {
            Arg::Buffer { index, offset } => push(&address_of(index).wrapping_add(offset).to_le_bytes()),
            Arg::U32(value) => push(&value.to_le_bytes()),
            Arg::U64(value) => push(&value.to_le_bytes()),
            Arg::F32(value) => push(&value.to_le_bytes()),
        }
    }
    bytes
}

/// How a run ends when everything is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All work-items reach their end.
    Completes,
    /// The device reports a memory fault in the page of this address.
    Faults {
        /// The lowest address the program stores to.
        address: u64,
    },
    /// Never; somebody has to stop it.
    NeverEnds,
}

/// How much a run gets done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// How many of `unit`.
    pub amount: u64,
    /// What is counted.
    pub unit: WorkUnit,
}

/// What [`Work`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkUnit {
    /// Bytes of global memory that have to be read or written once.
    Bytes,
    /// Floating-point additions and multiplications; a fused multiply-add counts as two.
    Flops,
    /// Pairs of bodies.
    Interactions,
    /// Steps of an iterated function, over all points.
    Steps,
    /// Instructions, counted once per wave.
    WaveInstructions,
}

impl fmt::Display for WorkUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WorkUnit::Bytes => "bytes",
            WorkUnit::Flops => "flops",
            WorkUnit::Interactions => "interactions",
            WorkUnit::Steps => "steps",
            WorkUnit::WaveInstructions => "wave-instructions",
        })
    }
}

pub(crate) fn bytes_of_u32(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn bytes_of_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    // PANIC: `chunks_exact` yields slices of 4.
    bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_sit_at_their_natural_alignment_without_a_tail() {
        let args = [Arg::F32(1.0), Arg::Buffer { index: 1, offset: 8 }, Arg::U32(7), Arg::U64(9), Arg::U32(3)];
        let bytes = explicit_arguments(&args, |index| 0x1000 * index as u64);
        let expected: Vec<u8> = [
            &1.0f32.to_le_bytes()[..],
            &[0; 4],
            &0x1008u64.to_le_bytes(),
            &7u32.to_le_bytes(),
            &[0; 4],
            &9u64.to_le_bytes(),
            &3u32.to_le_bytes(),
        ]
        .concat();
        assert_eq!(bytes, expected);
        assert_eq!(explicit_arguments(&[], |_| unreachable!()), []);
    }
}
