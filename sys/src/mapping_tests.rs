use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::arena::Arena;

fn shared(bytes: usize) -> (MemFd, Mapping) {
    let memory = MemFd::create("test", bytes).unwrap();
    let mapping = Mapping::new(&memory, Access::ReadWrite).unwrap();
    (memory, mapping)
}

/// Offsets and lengths around every boundary a comparison could get wrong.
fn edges(len: usize) -> impl Iterator<Item = usize> {
    [0, 1, 3, 4, 7, 8, 4095, 4096, 4097].into_iter().chain([len - 8, len - 4, len - 1, len, len + 1]).chain([
        usize::MAX,
        usize::MAX - 3,
        usize::MAX / 2,
        isize::MAX as usize + 1,
    ])
}

#[test]
fn no_pair_of_numbers_reaches_outside() {
    let (_memory, mapping) = shared(8192);
    let len = mapping.len();
    for offset in edges(len) {
        for count in edges(len).filter(|&c| c <= len + 1) {
            let inside = offset.checked_add(count).is_some_and(|end| end <= len);
            assert_eq!(mapping.read(offset, &mut vec![0; count]).is_ok(), inside, "read {offset} {count}");
            assert_eq!(mapping.write(offset, &vec![0; count]).is_ok(), inside, "write {offset} {count}");
        }
        for count in edges(len) {
            // A hint: whatever is asked for, nothing happens.
            mapping.expect(offset, count);
            let inside = offset.checked_add(count).is_some_and(|end| end <= len);
            assert_eq!(mapping.fill(offset, count, 1).is_ok(), inside, "fill {offset} {count}");
            assert_eq!(mapping.discard(offset, count).is_ok(), inside, "discard {offset} {count}");
            assert_eq!(mapping.populate(offset, count).is_ok(), inside, "populate {offset} {count}");
            assert_eq!(mapping.copy_within(offset, 0, count).is_ok(), inside, "copy_within {offset} {count}");
            assert_eq!(mapping.copy_within(0, offset, count).is_ok(), inside, "copy_within to {offset} {count}");
        }
        let fits = |size: usize| offset.checked_add(size).is_some_and(|end| end <= len);
        assert_eq!(mapping.load_u8(offset).is_ok(), fits(1));
        assert_eq!(mapping.load_u16(offset).is_ok(), fits(2));
        assert_eq!(mapping.load_u32(offset).is_ok(), fits(4));
        assert_eq!(mapping.load_u64(offset).is_ok(), fits(8));
        assert_eq!(mapping.store_u64(offset, 0).is_ok(), fits(8));
        assert_eq!(mapping.atomic_u32(offset).is_some(), fits(4) && offset.is_multiple_of(4), "{offset}");
        assert_eq!(mapping.atomic_u64(offset).is_some(), fits(8) && offset.is_multiple_of(8), "{offset}");
    }
}

#[test]
fn a_read_only_mapping_refuses_every_write() {
    let (memory, writer) = shared(4096);
    let reader = Mapping::new(&memory, Access::ReadOnly).unwrap();
    writer.store_u32(100, 7).unwrap();
    assert_eq!(reader.load_u32(100), Ok(7));
    assert!(!reader.is_writable());
    assert_eq!(reader.store_u8(0, 1), Err(OutOfBounds));
    assert_eq!(reader.write(0, &[1]), Err(OutOfBounds));
    assert_eq!(reader.fill(0, 1, 1), Err(OutOfBounds));
    assert_eq!(writer.copy_to(0, &reader, 0, 1), Err(OutOfBounds));
    assert_eq!(reader.copy_within(0, 8, 4), Err(OutOfBounds));
    assert!(reader.discard(0, 4096).is_err());
    assert!(reader.atomic_u32(0).is_none() && reader.atomic_u64(0).is_none());
    assert_eq!(reader.copy_to(100, &writer, 0, 4), Ok(()));
    assert_eq!(writer.load_u32(0), Ok(7));
}

#[test]
fn two_mappings_show_the_same_bytes() {
    let (memory, first) = shared(4096);
    let second = Mapping::new(&memory, Access::ReadWrite).unwrap();
    first.write(13, b"wavegate").unwrap();
    let mut bytes = [0; 8];
    second.read(13, &mut bytes).unwrap();
    assert_eq!(&bytes, b"wavegate");
    first.atomic_u64(64).unwrap().fetch_add(5, Ordering::Relaxed);
    assert_eq!(second.load_u64(64), Ok(5));
}

#[test]
fn the_mapping_outlives_its_descriptor() {
    let (memory, mapping) = shared(4096);
    drop(memory);
    mapping.store_u64(8, 9).unwrap();
    assert_eq!(mapping.load_u64(8), Ok(9));
}

#[test]
fn discarded_bytes_are_zero_and_their_neighbours_are_not() {
    let page = crate::page_size();
    let (memory, shared) = shared(8 * page);
    let anonymous = Mapping::anonymous(8 * page).unwrap();
    for mapping in [&shared, &anonymous] {
        for (offset, len) in [(0, 8 * page), (10, 20), (page - 1, 2), (page, page), (page - 5, 3 * page + 9), (7, 0)] {
            mapping.fill(0, 8 * page, 0xFF).unwrap();
            mapping.discard(offset, len).unwrap();
            let mut bytes = vec![1; 8 * page];
            mapping.read(0, &mut bytes).unwrap();
            for (i, byte) in bytes.into_iter().enumerate() {
                let expected = if (offset..offset + len).contains(&i) { 0 } else { 0xFF };
                assert_eq!(byte, expected, "byte {i} after discarding {len} at {offset}");
            }
        }
    }
    shared.discard(0, 8 * page).unwrap();
    assert_eq!(memory.resident_bytes().unwrap(), 0, "the pages went back");
    shared.populate(page + 1, page).unwrap();
    assert_eq!(memory.resident_bytes().unwrap(), 2 * page as u64);
}

#[test]
fn huge_pages_are_a_hint_that_any_mapping_takes() {
    let (_memory, mapping) = shared(4 << 20);
    match mapping.advise_huge_pages() {
        Ok(()) => {}
        // A kernel without huge pages says so; nothing else may happen.
        Err(MemoryError::Call(call)) => assert_eq!(call.errno, Errno::INVAL),
        Err(other) => panic!("{other}"),
    }
    mapping.store_u8(0, 1).unwrap();
}

#[test]
fn an_address_that_is_taken_is_never_replaced() {
    let (memory, first) = shared(4096);
    first.store_u32(0, 42).unwrap();
    let other = MemFd::create("other", 4096).unwrap();
    let address = first.address();
    let taken = Mapping::at_address(&other, Access::ReadWrite, address).unwrap_err();
    assert_eq!(taken, MemoryError::AddressTaken { address });
    assert_eq!(first.load_u32(0), Ok(42), "the old mapping is untouched");

    // A hole that belongs to nobody: inside a reservation that has just been given up.
    let hole = Arena::reserve(1 << 30).unwrap().address() + (1 << 29);
    let placed = Mapping::at_address(&memory, Access::ReadOnly, hole).unwrap();
    assert_eq!((placed.address(), placed.load_u32(0)), (hole, Ok(42)));
    assert!(Mapping::at_address(&memory, Access::ReadOnly, hole + 1).is_err(), "not a page boundary");
}

#[test]
fn aligned_words_do_not_tear_inside_copies() {
    // One thread flips every word of a block between two values; copies must never see a mixture inside one word.
    const WORDS: usize = 64;
    let (_memory, mapping) = shared(4096);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut value = 0u32;
            while !stop.load(Ordering::Relaxed) {
                value = !value;
                for word in 0..WORDS {
                    mapping.store_u32(64 + 4 * word, value).unwrap();
                }
            }
        });
        for round in 0..200_000 {
            let mut bytes = [0; 4 * WORDS];
            let skip = 4 * (round % 7);
            mapping.read(64 + skip, &mut bytes[skip..]).unwrap();
            for word in bytes[skip..].chunks_exact(4) {
                assert!(word == [0; 4] || word == [0xFF; 4], "torn word {word:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

proptest! {
    /// Every operation does to the mapping what it does to a vector.
    #[test]
    fn behaves_like_a_vector(operations in prop::collection::vec(operation(), 1..60)) {
        const SIZE: usize = 3 * 4096;
        let (_memory, mapping) = shared(SIZE);
        let mut model = vec![0u8; SIZE];
        for operation in operations {
            match operation {
                Operation::Write { offset, bytes } => {
                    let fits = offset + bytes.len() <= SIZE;
                    prop_assert_eq!(mapping.write(offset, &bytes).is_ok(), fits);
                    if fits { model[offset..offset + bytes.len()].copy_from_slice(&bytes); }
                }
                Operation::Store { offset, value } => {
                    let fits = offset + 8 <= SIZE;
                    prop_assert_eq!(mapping.store_u64(offset, value).is_ok(), fits);
                    if fits { model[offset..offset + 8].copy_from_slice(&value.to_ne_bytes()); }
                }
                Operation::Fill { offset, len, byte } => {
                    let fits = offset + len <= SIZE;
                    prop_assert_eq!(mapping.fill(offset, len, byte).is_ok(), fits);
                    if fits { model[offset..offset + len].fill(byte); }
                }
                Operation::CopyWithin { from, to, len } => {
                    let fits = from + len <= SIZE && to + len <= SIZE;
                    prop_assert_eq!(mapping.copy_within(from, to, len).is_ok(), fits);
                    if fits { model.copy_within(from..from + len, to); }
                }
                Operation::Discard { offset, len } => {
                    let fits = offset + len <= SIZE;
                    prop_assert_eq!(mapping.discard(offset, len).is_ok(), fits);
                    if fits { model[offset..offset + len].fill(0); }
                }
            }
            let mut bytes = vec![1; SIZE];
            mapping.read(0, &mut bytes).unwrap();
            prop_assert!(bytes == model);
        }
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Write { offset: usize, bytes: Vec<u8> },
    Store { offset: usize, value: u64 },
    Fill { offset: usize, len: usize, byte: u8 },
    CopyWithin { from: usize, to: usize, len: usize },
    Discard { offset: usize, len: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let offset = 0..13_000usize;
    let len = prop_oneof![0..300usize, 0..13_000usize];
    prop_oneof![
        (offset.clone(), prop::collection::vec(any::<u8>(), 0..2000))
            .prop_map(|(offset, bytes)| Operation::Write { offset, bytes }),
        (offset.clone(), any::<u64>()).prop_map(|(offset, value)| Operation::Store { offset, value }),
        (offset.clone(), len.clone(), any::<u8>()).prop_map(|(offset, len, byte)| Operation::Fill {
            offset,
            len,
            byte
        }),
        (offset.clone(), offset.clone(), len.clone()).prop_map(|(from, to, len)| Operation::CopyWithin {
            from,
            to,
            len
        }),
        (offset, len).prop_map(|(offset, len)| Operation::Discard { offset, len }),
    ]
}
