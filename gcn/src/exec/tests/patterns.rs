//! Accesses whose lanes have something in common are made at once. They must leave what lanes one by one leave: compared with a model that
//! moves bytes, at patterns that are just so and at those that miss by one lane, and where one is cut off by the end of memory.

use super::{MEMORY, MEMORY_BYTES, Machine};
use crate::arch::{Arch, LANES, SHARED_APERTURE_HI};
use crate::exec::cx::Flow;
use crate::fault::FaultKind;
use crate::memory::Memory as _;

/// LDS of the machine's work-group: where it begins and how long it is.
const LDS: usize = 0x400;
const LDS_BYTES: u32 = 0x1000;

/// What it is, and each lane's address in LDS.
type Pattern = (&'static str, fn(u32) -> u32);

const PATTERNS: [Pattern; 13] = [
    ("one place", |_| 0x40),
    ("dwords in a row", |lane| 0x100 + 4 * lane),
    ("rows of a tile", |lane| 0x80 + lane % 16 * 4),
    ("an element for each row", |lane| lane / 16 * 64),
    ("rows and elements", |lane| if lane < 32 { 4 * lane } else { 0x300 }),
    ("all but one in a row", |lane| if lane == 37 { 0 } else { 4 * lane }),
    ("not on a dword", |lane| 1 + 4 * lane),
    ("one place, not on a dword", |_| 0x33),
    ("backwards", |lane| 0x200 - 4 * lane),
    ("the last row", |lane| LDS_BYTES - 256 + 4 * lane),
    ("beyond the end within a row", |lane| LDS_BYTES - 248 + 4 * lane),
    ("the last place", |_| LDS_BYTES - 4),
    ("around the end of numbers", |lane| 0xffff_ffe0u32.wrapping_add(4 * lane)),
];

fn filled() -> Machine {
    let mut m = Machine::new(Arch::Gfx90a);
    for (at, byte) in m.hw[0].lds.iter_mut().enumerate() {
        *byte = (at * 7 + at / 256) as u8;
    }
    m
}

/// What a lane reads at `at`: whole within the window, or zero.
fn word(lds: &[u8], at: u32, bytes: u32) -> u32 {
    let end = at.checked_add(bytes).filter(|&end| end <= LDS_BYTES);
    if end.is_none() {
        return 0;
    }
    let from = LDS + at as usize;
    u32::from_le_bytes([lds[from], lds[from + 1], lds[from + 2], lds[from + 3]])
}

#[test]
fn lds_loads_of_any_pattern_are_those_of_their_lanes() {
    for (what, address) in PATTERNS {
        for (text, words, offsets, element) in [
            ("ds_read_b32 v0, v0", [0xd86c_0000, 0x0000_0000], vec![(0, 0)], 4),
            ("ds_read_b64 v[6:7], v0 offset:8", [0xd8ec_0008, 0x0600_0000], vec![(6, 8), (7, 12)], 8),
            ("ds_read2_b32 v[6:7], v0 offset0:1 offset1:17", [0xd86e_1101, 0x0600_0000], vec![(6, 4), (7, 68)], 4),
        ] {
            let mut m = filled();
            for lane in 0..LANES {
                m.vgpr(0)[lane] = address(lane as u32);
            }
            let lds = m.hw[0].lds;
            assert_eq!(m.run(text, &words), Flow::Next);
            for (register, offset) in offsets {
                for lane in 0..LANES {
                    // An element is there as a whole or not at all: the second dword of a pair with the first.
                    let part = if element == 8 { offset - 8 } else { 0 };
                    let first = address(lane as u32).wrapping_add(offset - part);
                    let whole = first.checked_add(element).is_some_and(|end| end <= LDS_BYTES);
                    let expected = if whole { word(&lds, first + part, 4) } else { 0 };
                    assert_eq!(m.vgpr(register)[lane], expected, "{text}, {what}, lane {lane}");
                }
            }
        }
    }
}

#[test]
fn lds_stores_and_sums_of_any_pattern_are_those_of_their_lanes() {
    for (what, address) in PATTERNS {
        for (text, words, sum) in [
            ("ds_write_b32 v0, v2", [0xd81a_0000, 0x0000_0200], false),
            ("ds_add_u32 v0, v2", [0xd800_0000, 0x0000_0200], true),
        ] {
            let mut m = filled();
            for lane in 0..LANES {
                m.vgpr(0)[lane] = address(lane as u32);
                m.vgpr(2)[lane] = 0x0101_0101 * (1 + lane as u32);
            }
            let mut expected = m.hw[0].lds;
            for lane in 0..LANES as u32 {
                let at = address(lane);
                if at.checked_add(4).is_some_and(|end| end <= LDS_BYTES) {
                    let old = if sum { word(&expected, at, 4) } else { 0 };
                    let new = old.wrapping_add(0x0101_0101 * (1 + lane));
                    expected[LDS + at as usize..][..4].copy_from_slice(&new.to_le_bytes());
                }
            }
            assert_eq!(m.run(text, &words), Flow::Next);
            assert!(m.hw[0].lds == expected, "{text}, {what}");
        }
    }
}

/// Memory with a byte of its own everywhere.
fn with_memory() -> Machine {
    let m = Machine::new(Arch::Gfx90a);
    let bytes: Vec<u8> = (0..MEMORY_BYTES).map(|at| (at * 5 + at / 256) as u8).collect();
    m.memory.write(MEMORY, &bytes).unwrap();
    m
}

fn at(m: &Machine, address: u64) -> u32 {
    m.memory.load_acquire_u32(address).unwrap()
}

#[test]
fn loads_of_lanes_in_a_row_may_replace_their_own_addresses() {
    let mut m = with_memory();
    m.set_pair(0, |lane| MEMORY + 64 + 4 * lane as u64);
    m.run("global_load_dword v0, v[0:1], off", &[0xdc50_8000, 0x007f_0000]);
    for lane in 0..LANES {
        let expected = at(&m, MEMORY + 64 + 4 * lane as u64);
        assert_eq!(m.vgpr(0)[lane], expected, "lane {lane}");
    }
    m.set_pair(0, |lane| MEMORY + 8 * lane as u64);
    m.run("global_load_dwordx2 v[0:1], v[0:1], off", &[0xdc54_8000, 0x007f_0000]);
    m.set_pair(4, |lane| MEMORY + 16 * lane as u64);
    let pairs = [0, 1].map(|r| *m.vgpr(r));
    m.run("global_load_dwordx4 v[4:7], v[4:5], off", &[0xdc5c_8000, 0x047f_0004]);
    for lane in 0..LANES as u64 {
        assert_eq!(pairs.map(|row| row[lane as usize]), [0, 4].map(|d| at(&m, MEMORY + 8 * lane + d)));
        let four = [4, 5, 6, 7].map(|r| m.vgpr(r)[lane as usize]);
        assert_eq!(four, [0, 4, 8, 12].map(|d| at(&m, MEMORY + 16 * lane + d)));
    }
}

#[test]
fn bytes_and_halves_in_a_row_are_widened_and_narrowed() {
    let mut m = with_memory();
    m.set_pair(0, |lane| MEMORY + 3 + lane as u64);
    m.run("global_load_ubyte v0, v[0:1], off", &[0xdc40_8000, 0x007f_0000]);
    for lane in 0..LANES {
        let place = 3 + lane as u64;
        let byte = at(&m, MEMORY + (place & !3)) >> (8 * (place & 3)) & 0xff;
        assert_eq!(m.vgpr(0)[lane], byte, "lane {lane}");
    }
    m.set_pair(0, |lane| MEMORY + 0x100 + 2 * lane as u64);
    m.set_pair(4, |lane| 0xffff_0000 | (0x4000 + lane as u64));
    m.run("global_store_short v[0:1], v4, off", &[0xdc68_8000, 0x007f_0400]);
    assert_eq!((at(&m, MEMORY + 0x100), at(&m, MEMORY + 0x17c)), (0x4001_4000, 0x403f_403e));
}

/// Where a row runs off the end of memory, the first lane beyond it is named, even when what was loaded replaced the addresses.
#[test]
fn a_row_that_leaves_memory_faults_at_its_first_lane_outside() {
    let end = MEMORY + MEMORY_BYTES as u64;
    for (text, words) in [
        ("global_load_dword v0, v[0:1], off", [0xdc50_8000, 0x007f_0000]),
        ("flat_load_dword v0, v[0:1]", [0xdc50_0000, 0x0000_0000]),
        ("global_store_dword v[0:1], v4, off", [0xdc70_8000, 0x007f_0400]),
    ] {
        let mut m = with_memory();
        m.set_pair(0, |lane| end - 4 * 40 + 4 * lane as u64);
        m.set_pair(4, |_| 7);
        assert_eq!(m.run(text, &words), Flow::Fault, "{text}");
        let Some((FaultKind::Memory(fault), lane)) = &m.wave.fault else { panic!("{text}: {:?}", m.wave.fault) };
        assert_eq!((fault.address, *lane), (end, Some(40)), "{text}");
    }
}

/// A row of flat addresses in the aperture of LDS is no row of memory.
#[test]
fn a_row_in_an_aperture_goes_to_lds() {
    let mut m = filled();
    let shared = u64::from(SHARED_APERTURE_HI) << 32;
    m.set_pair(0, |lane| shared + 8 * lane as u64);
    m.set_pair(4, |lane| 0x1_0000_0000 * (100 + lane as u64) + lane as u64);
    m.run("flat_store_dwordx2 v[0:1], v[4:5]", &[0xdc74_0000, 0x0000_0400]);
    assert_eq!(word(&m.hw[0].lds, 8 * 9, 4), 9);
    assert_eq!(word(&m.hw[0].lds, 8 * 9 + 4, 4), 109);
}
