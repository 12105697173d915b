//! The memory a kernel sees, as a trait.
//!
//! The interpreter reaches memory through [`Memory`] only, so that this crate needs no `unsafe` and so that the address
//! space, its rights and its backing belong to the caller.
//!
//! # Memory model
//!
//! * **Data** (`read`, `write`, `fetch`) is moved as by volatile copies: bytes are neither invented nor read twice, any
//!   alignment and any size is allowed, and an access may tear at byte granularity when somebody else writes at the same
//!   time. No ordering between threads.
//! * **Atomic instructions** (`update_u32`, `update_u64`) are single sequentially consistent read-modify-write steps on
//!   naturally aligned addresses. A misaligned atomic is a fault, as on hardware.
//! * **Flags** (`load_acquire_*`, `store_release_*`) are for packet headers, indices and signals.
//! * Mixed sizes: an atomic and a plain access, or two atomics of different size, on overlapping bytes each see some
//!   byte-wise interleaving of the others; nothing more is promised.
//!
//! Several host threads may run compute units of one device, so what a context runs on is `Sync` too, and lends itself to each of
//! them ([`Memory::lend`]).

use crate::arch::LANES;

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A read-modify-write.
    Atomic,
    /// An instruction fetch.
    Execute,
}

/// Why it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No memory is mapped there.
    Unmapped,
    /// Memory is mapped there, but not with the right to do this.
    Rights,
    /// An atomic at an address that is not a multiple of its size.
    Misaligned,
}

/// A memory access that the address space refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{access:?} of address {address:#x} refused: {refusal:?}")]
pub struct MemoryFault {
    /// First byte of the access.
    pub address: u64,
    /// What was attempted.
    pub access: Access,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// The lanes of a vector access: an address for every lane and which of them take part.
#[derive(Clone, Copy)]
pub struct Lanes<'a> {
    /// Byte address per lane; meaningless where `mask` is clear.
    pub address: &'a [u64; LANES],
    /// Bit `i` set: lane `i` takes part.
    pub mask: u64,
}

/// A fault and the lane that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneFault {
    /// Lane number, 0..64.
    pub lane: u8,
    /// The refused access.
    pub fault: MemoryFault,
}

/// One address space. See the module's memory model.
pub trait Memory {
    /// Calls `then` with this memory as one host thread uses it for a while.
    ///
    /// What is lent may keep what it has looked up from one access to the next, which is most of the price of a small one, as long as each access
    /// finds what it would find through `self`: what is mapped or unmapped meanwhile counts from then on.
    fn lend(&self, then: &mut dyn FnMut(&dyn Memory));

    /// Copies `out.len()` bytes from `address`.
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault>;

    /// Copies equal parts of `out` from each of `addresses`, one after the other; a fault leaves what came before it.
    ///
    /// The default is a loop over [`read`](Self::read); an implementation may do better.
    fn read_each(&self, addresses: &[u64], out: &mut [u8]) -> Result<(), MemoryFault> {
        let bytes = out.len() / addresses.len().max(1);
        addresses.iter().zip(out.chunks_exact_mut(bytes.max(1))).try_for_each(|(&address, out)| self.read(address, out))
    }

    /// Copies `data` to `address`.
    fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault>;

    /// Copies bytes of instructions; needs the right to execute.
    fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault>;

    /// Replaces the word at `address` by what `update` makes of it, atomically, and returns the old word.
    ///
    /// `update` may be called several times; `None` leaves the word alone.
    fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault>;

    /// As [`update_u32`](Self::update_u32) for 64 bits.
    fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault>;

    /// Loads an aligned word with acquire ordering.
    fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault>;

    /// Loads an aligned double word with acquire ordering.
    fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault>;

    /// Stores an aligned word with release ordering.
    fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault>;

    /// Stores an aligned double word with release ordering.
    fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault>;

    /// Returns a number that changes whenever executable memory may have got other contents, as when a code object is loaded or unloaded.
    ///
    /// Decoded instructions are kept from one dispatch to the next as long as it stays the same. A space whose code never
    /// changes need not override it.
    fn code_version(&self) -> u64 {
        0
    }

    /// Loads `DWORDS` words for every active lane: word `d` of lane `i` goes to `out[d][i]`. Inactive lanes keep theirs.
    ///
    /// The default is a loop over [`read`](Self::read); an implementation may do better.
    fn gather(&self, lanes: Lanes<'_>, out: &mut [[u32; LANES]]) -> Result<(), LaneFault> {
        let bytes = out.len().min(4) * 4;
        let mut buffer = [0u8; 16];
        for lane in active(lanes.mask) {
            self.read(lanes.address[lane], &mut buffer[..bytes])
                .map_err(|fault| LaneFault { lane: lane as u8, fault })?;
            for (row, word) in out.iter_mut().zip(buffer.as_chunks::<4>().0) {
                row[lane] = u32::from_le_bytes(*word);
            }
        }
        Ok(())
    }

    /// Stores the words of every active lane, lowest lane first; the mirror image of [`gather`](Self::gather).
    fn scatter(&self, lanes: Lanes<'_>, data: &[[u32; LANES]]) -> Result<(), LaneFault> {
        let bytes = data.len().min(4) * 4;
        let mut buffer = [0u8; 16];
        for lane in active(lanes.mask) {
            for (row, word) in data.iter().zip(buffer.as_chunks_mut::<4>().0) {
                *word = row[lane].to_le_bytes();
            }
            self.write(lanes.address[lane], &buffer[..bytes]).map_err(|fault| LaneFault { lane: lane as u8, fault })?;
        }
        Ok(())
    }
}

/// Returns the numbers of the set bits, lowest first.
#[inline]
pub fn active(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lane = mask.trailing_zeros() as usize;
        (mask != 0).then(|| {
            mask &= mask - 1;
            lane
        })
    })
}

/// A flat address space over ordinary memory, behind one lock: for tests, fuzzing and examples.
///
/// Everything from `base` to its end may be read, written and executed.
#[derive(Debug)]
pub struct FlatMemory {
    base: u64,
    bytes: std::sync::Mutex<Vec<u8>>,
}

impl FlatMemory {
    /// Returns `len` zero bytes at `base`.
    pub fn new(base: u64, len: usize) -> FlatMemory {
        FlatMemory { base, bytes: std::sync::Mutex::new(vec![0; len]) }
    }

    fn with<R>(
        &self,
        address: u64,
        len: usize,
        access: Access,
        then: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, MemoryFault> {
        let mut bytes = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let range = address
            .checked_sub(self.base)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| bytes.get_mut(at..at.checked_add(len)?));
        range.map(then).ok_or(MemoryFault { address, access, refusal: Refusal::Unmapped })
    }

    /// Lends `move_lane` the bytes that each active lane names, under one lock for all.
    fn each_lane(
        &self,
        lanes: Lanes<'_>,
        len: usize,
        access: Access,
        mut move_lane: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), LaneFault> {
        let mut bytes = self.bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for lane in active(lanes.mask) {
            let address = lanes.address[lane];
            let range = address
                .checked_sub(self.base)
                .and_then(|at| usize::try_from(at).ok())
                .and_then(|at| bytes.get_mut(at..at.checked_add(len)?));
            let Some(range) = range else {
                let fault = MemoryFault { address, access, refusal: Refusal::Unmapped };
                return Err(LaneFault { lane: lane as u8, fault });
            };
            move_lane(lane, range);
        }
        Ok(())
    }

    fn aligned(address: u64, size: u64) -> Result<(), MemoryFault> {
        if address.is_multiple_of(size) {
            Ok(())
        } else {
            Err(MemoryFault { address, access: Access::Atomic, refusal: Refusal::Misaligned })
        }
    }
}

impl Memory for FlatMemory {
    fn lend(&self, then: &mut dyn FnMut(&dyn Memory)) {
        then(self);
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.with(address, out.len(), Access::Read, |b| out.copy_from_slice(b))
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        self.with(address, data.len(), Access::Write, |b| b.copy_from_slice(data))
    }

    fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.with(address, out.len(), Access::Execute, |b| out.copy_from_slice(b))
    }

    fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault> {
        Self::aligned(address, 4)?;
        self.with(address, 4, Access::Atomic, |b| {
            let old = b.try_into().map_or(0, u32::from_le_bytes);
            if let Some(new) = update(old) {
                b.copy_from_slice(&new.to_le_bytes());
            }
            old
        })
    }

    fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault> {
        Self::aligned(address, 8)?;
        self.with(address, 8, Access::Atomic, |b| {
            let old = b.try_into().map_or(0, u64::from_le_bytes);
            if let Some(new) = update(old) {
                b.copy_from_slice(&new.to_le_bytes());
            }
            old
        })
    }

    fn gather(&self, lanes: Lanes<'_>, out: &mut [[u32; LANES]]) -> Result<(), LaneFault> {
        self.each_lane(lanes, 4 * out.len(), Access::Read, |lane, bytes| {
            for (row, word) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                row[lane] = u32::from_le_bytes(*word);
            }
        })
    }

    fn scatter(&self, lanes: Lanes<'_>, data: &[[u32; LANES]]) -> Result<(), LaneFault> {
        self.each_lane(lanes, 4 * data.len(), Access::Write, |lane, bytes| {
            for (row, word) in data.iter().zip(bytes.as_chunks_mut::<4>().0) {
                *word = row[lane].to_le_bytes();
            }
        })
    }

    fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault> {
        self.update_u32(address, &mut |_| None)
    }

    fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault> {
        self.update_u64(address, &mut |_| None)
    }

    fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault> {
        self.update_u32(address, &mut |_| Some(value)).map(drop)
    }

    fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault> {
        self.update_u64(address, &mut |_| Some(value)).map(drop)
    }
}
