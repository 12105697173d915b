//! The copy engines: rings of commands that copy, fill, poll, add and stamp, as ROCr writes them for GFX9.
//!
//! A thread of its own runs them, because engines copy while compute units compute. A ring whose poll is not satisfied waits and the others go on.
//! What a ring has done is forgotten only when its read pointer has passed it, so a command that waits is looked at again whole. Read and write
//! pointers count bytes and never wrap; the thunk owns both words. What is no command stops its ring and is told if the fixture traces.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use gcn::memory::{Memory, MemoryFault};

use crate::abi::Status;
use crate::clock::now_ns;
use crate::memory::Space;

/// Numbers of rings begin here: queues of packets have those below.
pub(crate) const FIRST_ID: u32 = crate::doorbell::SLOTS / 2;
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;
/// Longest command, in words.
const WORDS_MAX: usize = 13;

mod op {
    pub(super) const NOP: u32 = 0;
    pub(super) const COPY: u32 = 1;
    pub(super) const FENCE: u32 = 5;
    pub(super) const TRAP: u32 = 6;
    pub(super) const POLL: u32 = 8;
    pub(super) const ATOMIC: u32 = 10;
    pub(super) const FILL: u32 = 11;
    pub(super) const TIMESTAMP: u32 = 13;
}

/// Sub-operations of a copy: a run of bytes, a window of rows.
const LINEAR: u32 = 0;
const WINDOW: u32 = 4;
/// `SDMA_ATOMIC_ADD64`.
const ADD64: u32 = 47;

struct Ring {
    base: u64,
    bytes: u64,
    /// Write and read pointer.
    pointers: [AtomicU64; 2],
    stopped: bool,
}

/// What a look at a ring came to.
enum Step {
    /// A command of so many words is done.
    Done(usize),
    /// It waits for memory to change.
    Waits,
}

/// Why a ring stopped.
enum Stop {
    Memory(MemoryFault),
    Command(u32),
}

impl From<MemoryFault> for Stop {
    fn from(fault: MemoryFault) -> Stop {
        Stop::Memory(fault)
    }
}

/// What a turn of the engines did.
#[derive(Default)]
pub(crate) struct Turn {
    /// Whether a command was done.
    pub(crate) busy: bool,
    /// Whether one raised an interrupt.
    pub(crate) interrupt: bool,
    /// Accesses that the address space refused.
    pub(crate) faults: Vec<MemoryFault>,
    /// Words that are no commands.
    pub(crate) nonsense: Vec<u32>,
}

/// The rings of the process. Boxed, because programs hold the addresses of the pointers.
#[derive(Default)]
pub(crate) struct Engines {
    rings: Mutex<BTreeMap<u32, Box<Ring>>>,
}

impl Engines {
    /// Adds a ring; returns its number and the addresses of its write and its read pointer.
    pub(crate) fn create(&self, base: u64, bytes: u64) -> Result<(u32, u64, u64), Status> {
        if bytes < 4096 || !bytes.is_power_of_two() {
            return Err(Status::InvalidParameter);
        }
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (FIRST_ID..crate::doorbell::SLOTS).find(|id| !rings.contains_key(id)).ok_or(Status::OutOfResources)?;
        let ring = Box::new(Ring { base, bytes, pointers: [const { AtomicU64::new(0) }; 2], stopped: false });
        let [write, read] = ring.pointers.each_ref().map(|word| word.as_ptr().expose_provenance() as u64);
        rings.insert(id, ring);
        Ok((id, write, read))
    }

    /// Removes a ring; whether there was one.
    pub(crate) fn destroy(&self, id: u32) -> bool {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }

    /// Does something while no ring copies.
    pub(crate) fn still<R>(&self, then: impl FnOnce() -> R) -> R {
        let _rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        then()
    }

    /// Does what can be done now.
    pub(crate) fn turn(&self, space: &Space) -> Turn {
        let mut turn = Turn::default();
        for ring in self.rings.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
            while !ring.stopped {
                let (write, read) =
                    (ring.pointers[0].load(Ordering::Acquire), ring.pointers[1].load(Ordering::Relaxed));
                if read >= write {
                    break;
                }
                match step(ring, read, space, &mut turn.interrupt) {
                    Ok(Step::Done(words)) => {
                        ring.pointers[1].store(read + 4 * words as u64, Ordering::Release);
                        turn.busy = true;
                    }
                    Ok(Step::Waits) => break,
                    Err(stop) => {
                        ring.stopped = true;
                        match stop {
                            Stop::Memory(fault) => turn.faults.push(fault),
                            Stop::Command(word) => turn.nonsense.push(word),
                        }
                    }
                }
            }
        }
        turn
    }
}

/// Does the command at `read`.
fn step(ring: &Ring, read: u64, space: &Space, interrupt: &mut bool) -> Result<Step, Stop> {
    let mut words = [0u32; WORDS_MAX];
    for (at, word) in words.iter_mut().enumerate() {
        // Words beyond the command are of the next one, or stale, and not looked at.
        *word = space.load_acquire_u32(ring.base + (read + 4 * at as u64) % ring.bytes)?;
    }
    let head = words[0];
    let address = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
    Ok(match (head & 0xff, head >> 8 & 0xff) {
        // As many words more as it says.
        (op::NOP, _) => Step::Done(1 + (head >> 16 & 0x3fff) as usize),
        (op::COPY, LINEAR) => {
            copy(space, address(5), address(3), u64::from(words[1] & 0x3fff_ffff) + 1)?;
            Step::Done(7)
        }
        (op::COPY, WINDOW) => {
            window(space, &words)?;
            Step::Done(13)
        }
        (op::FILL, _) => {
            let bytes = u64::from(words[4] & 0x3f_ffff) + 4;
            fill(space, address(1), words[3], bytes / 4)?;
            Step::Done(5)
        }
        (op::FENCE, _) => {
            space.store_release_u32(address(1), words[3])?;
            Step::Done(4)
        }
        (op::TRAP, _) => {
            *interrupt = true;
            Step::Done(2)
        }
        (op::POLL, _) => {
            // Without polling of memory it flushes a cache that is not modelled.
            let polls = head >> 31 == 1;
            let value = if polls { space.load_acquire_u32(address(1))? & words[4] } else { 0 };
            if !polls || holds(head >> 28 & 7, value, words[3]) { Step::Done(6) } else { Step::Waits }
        }
        (op::ATOMIC, _) if head >> 25 == ADD64 => {
            space.update_u64(address(1), &mut |old| Some(old.wrapping_add(address(3))))?;
            Step::Done(8)
        }
        (op::TIMESTAMP, _) => {
            space.store_release_u64(address(1), now_ns())?;
            Step::Done(3)
        }
        _ => return Err(Stop::Command(head)),
    })
}

/// Whether a poll's condition holds.
fn holds(function: u32, value: u32, reference: u32) -> bool {
    match function {
        1 => value < reference,
        2 => value <= reference,
        3 => value == reference,
        4 => value != reference,
        5 => value >= reference,
        6 => value > reference,
        _ => true,
    }
}

fn copy(space: &Space, to: u64, from: u64, bytes: u64) -> Result<(), MemoryFault> {
    let mut buffer = vec![0; PIECE.min(bytes as usize)];
    let mut done = 0;
    while done < bytes {
        let piece = &mut buffer[..(bytes - done).min(PIECE as u64) as usize];
        space.read(from.wrapping_add(done), piece)?;
        space.write(to.wrapping_add(done), piece)?;
        done += piece.len() as u64;
    }
    Ok(())
}

fn fill(space: &Space, to: u64, word: u32, words: u64) -> Result<(), MemoryFault> {
    let piece: Vec<u8> = word.to_le_bytes().repeat((PIECE / 4).min(words as usize));
    let mut done = 0;
    while done < 4 * words {
        let bytes = (4 * words - done).min(piece.len() as u64);
        space.write(to.wrapping_add(done), &piece[..bytes as usize])?;
        done += bytes;
    }
    Ok(())
}

/// Copies a window of rows and slices; pitches and sizes count elements and are stored less one.
fn window(space: &Space, words: &[u32; WORDS_MAX]) -> Result<(), MemoryFault> {
    let element = 1u64 << (words[0] >> 29);
    let side = |at: usize| {
        let base = u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let (x, y) = (u64::from(words[at + 2] & 0x3fff), u64::from(words[at + 2] >> 16 & 0x3fff));
        let (z, pitch) = (u64::from(words[at + 3] & 0x7ff), u64::from(words[at + 3] >> 13) + 1);
        let slice = u64::from(words[at + 4] & 0xfff_ffff) + 1;
        move |row: u64, plane: u64| base.wrapping_add(element * (x + (y + row) * pitch + (z + plane) * slice))
    };
    let (from, to) = (side(1), side(6));
    let (columns, rows) = (u64::from(words[11] & 0x3fff) + 1, u64::from(words[11] >> 16 & 0x3fff) + 1);
    for plane in 0..u64::from(words[12] & 0x7ff) + 1 {
        for row in 0..rows {
            copy(space, to(row, plane), from(row, plane), columns * element)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::GPU_NODE;

    /// A space with one mapped allocation: ring at its beginning, data behind.
    struct World {
        space: Space,
        at: u64,
    }

    const DATA: u64 = 8192;

    fn world() -> World {
        let space = Space::new(1 << 20);
        let at = space.allocate(GPU_NODE, 65536, 0, 0).unwrap();
        space.map(at, 65536).unwrap();
        World { space, at }
    }

    fn submit(world: &World, engines: &Engines, id: u32, from: u64, words: &[u32]) -> u64 {
        for (k, word) in words.iter().enumerate() {
            let at = world.at + (from + 4 * k as u64) % 4096;
            world.space.store_release_u32(at, *word).unwrap();
        }
        let end = from + 4 * words.len() as u64;
        engines.rings.lock().unwrap()[&id].pointers[0].store(end, Ordering::Release);
        end
    }

    fn halves(address: u64) -> [u32; 2] {
        [address as u32, (address >> 32) as u32]
    }

    #[test]
    fn a_ring_copies_counts_and_tells_across_its_end() {
        let (world, engines) = (world(), Engines::default());
        let (id, ..) = engines.create(world.at, 4096).unwrap();
        let data = world.at + DATA;
        world.space.write(data, b"what is copied").unwrap();
        world.space.store_release_u64(data + 512, 7).unwrap();
        // Padding up to shortly before the end, so that the copy wraps.
        let mut end = submit(&world, &engines, id, 0, &[0; 1020]);
        assert!(engines.turn(&world.space).busy);
        let ([sl, sh], [dl, dh], [al, ah]) = (halves(data), halves(data + 256), halves(data + 512));
        let minus_one = (-1i64).cast_unsigned();
        let commands = [
            [1, 13, 0, sl, sh, dl, dh].as_slice(),
            &[10 | 47 << 25, al, ah, minus_one as u32, (minus_one >> 32) as u32, 0, 0, 0],
            &[5, al + 8, ah, 99],
            &[6, 0],
        ]
        .concat();
        end = submit(&world, &engines, id, end, &commands);
        let turn = engines.turn(&world.space);
        assert!(turn.interrupt && turn.faults.is_empty() && turn.nonsense.is_empty());
        let mut out = [0; 15];
        world.space.read(data + 256, &mut out).unwrap();
        assert_eq!(&out, b"what is copied\0");
        assert_eq!(world.space.load_acquire_u64(data + 512).unwrap(), 6);
        assert_eq!(world.space.load_acquire_u32(data + 520).unwrap(), 99);
        assert_eq!(engines.rings.lock().unwrap()[&id].pointers[1].load(Ordering::Relaxed), end);
        assert!(engines.destroy(id) && !engines.destroy(id));
    }

    #[test]
    fn a_poll_waits_and_nonsense_stops_its_ring_only() {
        let (world, engines) = (world(), Engines::default());
        let (id, ..) = engines.create(world.at, 4096).unwrap();
        let (other, ..) = engines.create(world.at + 4096, 4096).unwrap();
        let data = world.at + DATA;
        let [al, ah] = halves(data);
        world.space.store_release_u32(data, 1).unwrap();
        let end = submit(&world, &engines, id, 0, &[8 | 3 << 28 | 1 << 31, al, ah, 0, !0, 0, 5, al + 4, ah, 5]);
        assert!(!engines.turn(&world.space).busy, "it waits for 0");
        world.space.store_release_u32(data, 0).unwrap();
        assert!(engines.turn(&world.space).busy);
        assert_eq!(world.space.load_acquire_u32(data + 4).unwrap(), 5);
        submit(&world, &engines, id, end, &[0xfe]);
        assert_eq!(engines.turn(&world.space).nonsense, [0xfe]);
        assert!(engines.turn(&world.space).nonsense.is_empty(), "told once");
        world.space.store_release_u32(world.at + 4096, 5).unwrap();
        engines.rings.lock().unwrap()[&other].pointers[0].store(16, Ordering::Release);
        assert_eq!(engines.turn(&world.space).faults.len(), 1, "a fence to address 0");
    }

    #[test]
    fn a_window_is_rows_of_elements() {
        let (world, engines) = (world(), Engines::default());
        let (id, ..) = engines.create(world.at, 4096).unwrap();
        let (from, to) = (world.at + DATA, world.at + DATA + 1024);
        let rows: Vec<u8> = (0..64).collect();
        world.space.write(from, &rows).unwrap();
        let ([sl, sh], [dl, dh]) = (halves(from), halves(to));
        // Words of 4 bytes: from column 1 of rows of 4 words, 2 columns, 3 rows, to rows of 2 words.
        let words = [1 | 4 << 8 | 2 << 29, sl, sh, 1, 3 << 13, 15, dl, dh, 0, 1 << 13, 5, 1 | 2 << 16, 0];
        submit(&world, &engines, id, 0, &words);
        assert!(engines.turn(&world.space).busy);
        let mut out = [0; 24];
        world.space.read(to, &mut out).unwrap();
        let wanted: Vec<u8> = (0..3).flat_map(|row| (4..12).map(move |k| row * 16 + k)).collect();
        assert_eq!(out.as_slice(), wanted);
    }
}
