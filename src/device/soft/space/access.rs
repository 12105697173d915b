//! Accesses of kernels to the address space: checked against its regions and their rights, then made on the mapping behind them.
//!
//! Promise: an access finds what is mapped when it is made, through the space and through a [`View`] that a thread was lent alike.

use super::{AddressSpace, Region, at_or_before};
use arc_swap::{ArcSwap, Cache};
use gcn::arch::LANES;
use gcn::memory::{Access, LaneFault, Lanes, Memory, MemoryFault, Refusal};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use sys::mapping::{Mapping, OutOfBounds};

/// Places that a [`View`] remembers.
const RECENT: usize = 16;
/// Bits of an address below which neighbours share a place: 64 KiB, so that walking through a buffer rarely searches.
const RECENT_SHIFT: u32 = 16;

/// A dword for each lane.
const WAVE_BYTES: usize = 4 * LANES;
/// How many waves ahead memory is asked for.
const AHEAD: usize = 2;

/// A list of regions that is held on to until another one has taken its place.
type CachedRegions<'a> = Cache<&'a ArcSwap<Vec<Region>>, Arc<Vec<Region>>>;

/// The address space as one host thread uses it during a run: the list of regions is held instead of taken for each access, and the region of
/// an address is looked for where its neighbours were.
///
/// A list that has been replaced is noticed at the next access, so what is mapped and unmapped counts at once. Memory that was freed stays
/// until then, or until the run looks at its queues again.
struct View<'a> {
    space: &'a AddressSpace,
    regions: RefCell<CachedRegions<'a>>,
    /// Indices of regions, by address. What they say is checked, so they may be of another list.
    recent: [Cell<u32>; RECENT],
}

impl<'a> View<'a> {
    fn new(space: &'a AddressSpace) -> View<'a> {
        let regions = RefCell::new(Cache::new(&space.regions));
        View { space, regions, recent: Default::default() }
    }

    fn space(&self) -> &'a AddressSpace {
        self.space
    }

    /// Returns the region that `bytes` from `address` lie in, and where in its memory.
    #[inline(always)]
    fn place<'r>(&self, regions: &'r [Region], address: u64, bytes: u64) -> Option<(&'r Region, usize)> {
        // Buffers mostly lie side by side: the multiplier spreads their places.
        let key = (address >> RECENT_SHIFT).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - RECENT.ilog2());
        let recent = &self.recent[key as usize % RECENT];
        if let Some(region) = regions.get(recent.get() as usize)
            && let Some(offset) = region.place(address, bytes)
        {
            return Some((region, offset));
        }
        let at = at_or_before(regions, address);
        let region = regions.get(at)?;
        let offset = region.place(address, bytes)?;
        recent.set(at as u32);
        Some((region, offset))
    }

    /// As [`AddressSpace::with`].
    #[inline(always)]
    fn with<R>(
        &self,
        address: u64,
        bytes: u64,
        access: Access,
        then: impl FnOnce(&Mapping, usize) -> Option<R>,
    ) -> Result<R, MemoryFault> {
        // Nobody asks again from within `then`; who did would be served by the space.
        if let Ok(mut regions) = self.regions.try_borrow_mut()
            && let Some((region, offset)) = self.place(regions.load(), address, bytes)
            && region.allows(access)
        {
            return then(&region.memory, offset).ok_or(MemoryFault { address, access, refusal: Refusal::Misaligned });
        }
        self.space.with(address, bytes, access, then)
    }

    /// As [`AddressSpace::each_lane`].
    #[inline(always)]
    fn each_lane(
        &self,
        lanes: Lanes<'_>,
        bytes: u64,
        access: Access,
        then: impl FnMut(&Mapping, usize, usize) -> Result<(), OutOfBounds>,
    ) -> Result<(), LaneFault> {
        self.space.each_lane(lanes, bytes, access, then)
    }
}

/// Accesses of kernels, through whatever finds regions: the space itself, or a thread's view of it.
macro_rules! memory {
    ($finder:ty $(, $own:item)?) => {
        impl Memory for $finder {
            $($own)?

            #[inline]
            fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
                self.with(address, out.len() as u64, Access::Read, |m, at| {
                    expect_next(m, at, out.len());
                    m.read(at, out).ok()
                })
            }

            #[inline]
            fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
                self.with(address, data.len() as u64, Access::Write, |m, at| {
                    expect_next(m, at, data.len());
                    m.write(at, data).ok()
                })
            }

            fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
                self.with(address, out.len() as u64, Access::Execute, |m, at| m.read(at, out).ok())
            }

            fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault> {
                self.with(address, 4, Access::Atomic, |m, at| Some(update_u32(m.atomic_u32(at)?, update)))
            }

            fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault> {
                self.with(address, 8, Access::Atomic, |m, at| Some(update_u64(m.atomic_u64(at)?, update)))
            }

            fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault> {
                self.with(address, 4, Access::Read, |m, at| Some(m.atomic_u32(at)?.load(Ordering::Acquire)))
            }

            fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault> {
                self.with(address, 8, Access::Read, |m, at| Some(m.atomic_u64(at)?.load(Ordering::Acquire)))
            }

            fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault> {
                self.with(address, 4, Access::Write, |m, at| {
                    m.atomic_u32(at).map(|word| word.store(value, Ordering::Release))
                })
            }

            fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault> {
                self.with(address, 8, Access::Write, |m, at| {
                    m.atomic_u64(at).map(|word| word.store(value, Ordering::Release))
                })
            }

            fn gather(&self, lanes: Lanes<'_>, out: &mut [[u32; LANES]]) -> Result<(), LaneFault> {
                match out {
                    [row] => self.each_lane(lanes, 4, Access::Read, |memory, at, lane| {
                        row[lane] = memory.load_u32(at)?;
                        Ok(())
                    }),
                    [low, high] => self.each_lane(lanes, 8, Access::Read, |memory, at, lane| {
                        let pair = memory.load_u64(at)?;
                        (low[lane], high[lane]) = (pair as u32, (pair >> 32) as u32);
                        Ok(())
                    }),
                    rows => self.each_lane(lanes, 4 * rows.len() as u64, Access::Read, |memory, at, lane| {
                        for (row, k) in rows.iter_mut().zip(0..) {
                            row[lane] = memory.load_u32(at + 4 * k)?;
                        }
                        Ok(())
                    }),
                }
            }

            fn scatter(&self, lanes: Lanes<'_>, data: &[[u32; LANES]]) -> Result<(), LaneFault> {
                match data {
                    [row] => {
                        self.each_lane(lanes, 4, Access::Write, |memory, at, lane| memory.store_u32(at, row[lane]))
                    }
                    [low, high] => self.each_lane(lanes, 8, Access::Write, |memory, at, lane| {
                        memory.store_u64(at, u64::from(low[lane]) | u64::from(high[lane]) << 32)
                    }),
                    rows => self.each_lane(lanes, 4 * rows.len() as u64, Access::Write, |memory, at, lane| {
                        for (row, k) in rows.iter().zip(0..) {
                            memory.store_u32(at + 4 * k, row[lane])?;
                        }
                        Ok(())
                    }),
                }
            }

            fn code_version(&self) -> u64 {
                self.space().code_version.load(Ordering::Acquire)
            }

            fn lend(&self, then: &mut dyn FnMut(&dyn Memory)) {
                then(&View::new(self.space()));
            }
        }
    };
}

memory!(AddressSpace);
memory!(
    View<'_>,
    fn read_each(&self, addresses: &[u64], out: &mut [u8]) -> Result<(), MemoryFault> {
        let bytes = (out.len() / addresses.len().max(1)).max(1);
        let mut regions = self.regions.try_borrow_mut();
        let regions = regions.as_mut().ok().map(|regions| regions.load().as_slice());
        let mut last: Option<&Region> = None;
        for (&address, out) in addresses.iter().zip(out.chunks_exact_mut(bytes)) {
            // Mostly all of them are in one region.
            let again = last.and_then(|region| Some((region, region.place(address, bytes as u64)?)));
            let found = again.or_else(|| self.place(regions?, address, bytes as u64));
            let found = found.filter(|(region, _)| region.allows(Access::Read));
            last = found.map(|(region, _)| region);
            if found.is_none_or(|(region, at)| region.memory.read(at, out).is_err()) {
                self.space.read(address, out)?;
            }
        }
        Ok(())
    }
);

/// Asks for what the next wave will access, if this was a whole wave's access of one dword or more a lane: its neighbour comes next, and hundreds of
/// instructions lie in between, which is more than the host looks ahead.
#[inline(always)]
fn expect_next(memory: &Mapping, at: usize, bytes: usize) {
    if (WAVE_BYTES..=4 * WAVE_BYTES).contains(&bytes) {
        memory.expect(at.saturating_add(AHEAD * bytes), bytes);
    }
}

fn update_u32(word: &AtomicU32, update: &mut dyn FnMut(u32) -> Option<u32>) -> u32 {
    word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old)
}

fn update_u64(word: &AtomicU64, update: &mut dyn FnMut(u64) -> Option<u64>) -> u64 {
    word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Allocate, DeviceMemory, Pool, Rights};
    use gcn::arch::Arch;

    #[test]
    fn parts_come_from_wherever_they_lie_and_end_at_a_fault() {
        let space = AddressSpace::new(Arch::Gfx90a, 1 << 20);
        let allocate = |rights| {
            let want = Allocate { pool: Pool::Vram, bytes: 4096, rights, address: None, backing: None };
            space.allocate(want).unwrap().address
        };
        let (a, b) = (allocate(Rights::ReadWrite), allocate(Rights::Read));
        let bytes: Vec<u8> = (0..4096u32).map(|at| (at * 7 + 3) as u8).collect();
        DeviceMemory::write(&space, a, &bytes).unwrap();
        DeviceMemory::write(&space, b, &bytes).unwrap();
        let nowhere = 0x1000;
        let places = [(a, 0), (b, 960), (a, 4096 - 64), (b, 1)].map(|(base, at)| (base + at, at as usize));
        space.lend(&mut |view| {
            let mut out = [0; 4 * 64];
            view.read_each(&places.map(|(address, _)| address), &mut out).unwrap();
            for (part, (_, at)) in out.chunks_exact(64).zip(places) {
                assert_eq!(part, &bytes[at..at + 64]);
            }
            let mut out = [0; 3 * 64];
            let fault = view.read_each(&[b, nowhere, a], &mut out).unwrap_err();
            assert_eq!(fault, MemoryFault { address: nowhere, access: Access::Read, refusal: Refusal::Unmapped });
            assert_eq!((&out[..64], &out[64..]), (&bytes[..64], &[0; 128][..]));
            // It would end behind the region.
            assert!(view.read_each(&[a, a + 4096 - 63], &mut [0; 128]).is_err());
        });
    }
}
