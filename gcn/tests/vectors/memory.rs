//! Loads, stores and atomics of every width, in every memory an instruction can name, from the pseudo-code of the ISA documents.
//!
//! A name says what an access does; the prefix, where. Each lane has 32 bytes of its own, so that what one does is not what another sees.

use std::cmp::Ordering;

use gcn::arch::Arch;
use gcn::isa::{Encoding, Row, Ty};

use crate::edges::{self, Random};
use crate::exact::{BF16, F16, F32, F64, Format, Number};
use crate::machine::{DATA, DATA_BYTES, LDS, Machine};
use crate::vector::{Want, extreme};

/// What an access does.
enum Access {
    /// Loads `bytes`, widened; `half`: into this half of a register, the other one stays.
    Narrow { bytes: usize, signed: bool, half: Option<bool> },
    /// Loads registers.
    Load { dwords: usize },
    /// Stores `bytes` of a register from bit `from` on.
    Store { bytes: usize, from: usize },
    /// Changes memory by one or two operands; the flag says whether the old value comes back by the name alone.
    Atomic { bits: u32, change: Change, returns: bool },
}

/// Old value, first and second operand.
type Change = Box<dyn Fn(u64, u64, u64) -> Want>;

/// Bytes a lane has, and where in them accesses go.
const STRIDE: usize = 32;
const AT: usize = 8;

const ADDRESS: usize = 2;
const DATA_REGISTER: usize = 10;
const SECOND_REGISTER: usize = 14;
const TO: usize = 26;

fn loads_and_stores(name: &str) -> Option<Access> {
    let half = if name.ends_with("_d16_hi") {
        Some(true)
    } else if name.ends_with("_d16") {
        Some(false)
    } else {
        None
    };
    let plain = name.trim_end_matches("_d16_hi").trim_end_matches("_d16");
    let dwords = |rest: &str| match rest {
        "dword" | "b32" => Some(1),
        "dwordx2" | "b64" => Some(2),
        "dwordx3" | "b96" => Some(3),
        "dwordx4" | "b128" => Some(4),
        // By scalar instructions alone.
        "dwordx8" => Some(8),
        "dwordx16" => Some(16),
        _ => None,
    };
    if let Some(rest) = plain.strip_prefix("load_").or(plain.strip_prefix("read_")) {
        let narrow = |bytes, signed| Some(Access::Narrow { bytes, signed, half });
        return match rest {
            "ubyte" | "u8" => narrow(1, false),
            "sbyte" | "i8" => narrow(1, true),
            "ushort" | "u16" | "short" => narrow(2, false),
            "sshort" | "i16" => narrow(2, true),
            _ => Some(Access::Load { dwords: dwords(rest)? }),
        };
    }
    let rest = plain.strip_prefix("store_").or(plain.strip_prefix("write_"))?;
    let from = if half.is_some() { 16 } else { 0 };
    match rest {
        "byte" | "b8" => Some(Access::Store { bytes: 1, from }),
        "short" | "b16" => Some(Access::Store { bytes: 2, from }),
        _ => Some(Access::Store { bytes: 4 * dwords(rest)?, from: 0 }),
    }
}

fn atomic(name: &str) -> Option<Access> {
    let (op, bits, ty) = if let Some(rest) = name.strip_prefix("atomic_") {
        // Both the type and a doubled width may be in the name.
        let (rest, bits) = rest.strip_suffix("_x2").map_or((rest, 32), |rest| (rest, 64));
        match rest.rsplit_once('_') {
            Some((op, ty @ ("f32" | "f64" | "f16" | "bf16"))) => (op, if ty == "f64" { 64 } else { bits }, ty),
            _ => (rest, bits, if rest.starts_with('s') && rest != "swap" && rest != "sub" { "i" } else { "u" }),
        }
    } else {
        let (op, ty) = name.rsplit_once('_')?;
        let wide = ty.ends_with("64");
        (op, if wide { 64 } else { 32 }, ty)
    };
    let (op, returns) = op.strip_suffix("_rtn").map_or((op, false), |op| (op, true));
    let mask = u64::MAX >> (64 - bits);
    let is_signed = ty.starts_with('i');
    let wide =
        move |x: u64| if is_signed { i128::from((x << (64 - bits)) as i64 >> (64 - bits)) } else { i128::from(x) };
    let exact = |f: fn(u64, u64, u64) -> u64| -> Change { Box::new(move |old, a, b| Want::Bits(f(old, a, b) & mask)) };
    let format = match ty {
        "f16" => Some(F16),
        "bf16" => Some(BF16),
        "f32" => Some(F32),
        "f64" => Some(F64),
        _ => None,
    };
    let change: Change = match (op, format) {
        ("add" | "pk_add", Some(format)) => Box::new(move |old, a, _| {
            let part = |at: u32| {
                let part = |x: u64| Number::of(format, x >> at & (u64::MAX >> (64 - format.width())));
                part(old).add(&part(a)).round(format) << at
            };
            Want::Float(format, (0..bits / format.width()).fold(0, |all, k| all | part(k * format.width())))
        }),
        ("min" | "max", Some(format)) => {
            let max = op == "max";
            Box::new(move |old, a, _| Want::Float(format, extreme(format, max, old, a)))
        }
        ("cmpst", Some(format)) => Box::new(move |old, a, b| {
            let equal = Number::of(format, old).compare(&Number::of(format, a)).is_some_and(Ordering::is_eq);
            Want::Bits(if equal { b } else { old })
        }),
        ("swap" | "wrxchg", _) => exact(|_, a, _| a),
        ("add", _) => exact(|old, a, _| old.wrapping_add(a)),
        ("sub", _) => exact(|old, a, _| old.wrapping_sub(a)),
        ("rsub", _) => exact(|old, a, _| a.wrapping_sub(old)),
        ("and", _) => exact(|old, a, _| old & a),
        ("or", _) => exact(|old, a, _| old | a),
        ("xor", _) => exact(|old, a, _| old ^ a),
        ("inc", _) => exact(|old, a, _| if old >= a { 0 } else { old + 1 }),
        ("dec", _) => exact(|old, a, _| if old == 0 || old > a { a } else { old - 1 }),
        ("min" | "smin" | "umin", _) => {
            Box::new(move |old, a, _| Want::Bits(if wide(a) < wide(old) { a } else { old }))
        }
        ("max" | "smax" | "umax", _) => {
            Box::new(move |old, a, _| Want::Bits(if wide(a) > wide(old) { a } else { old }))
        }
        ("mskor", _) => exact(|old, a, b| old & !a | b),
        // The new value comes first here, and second there.
        ("cmpswap", _) => exact(|old, a, b| if old == b { a } else { old }),
        ("cmpst", _) => exact(|old, a, b| if old == a { b } else { old }),
        ("wrap", _) => exact(|old, a, b| if old >= a { old - a } else { old.wrapping_add(b) }),
        ("condxchg32", _) => exact(|old, a, _| {
            let word = |at: u32| {
                let (old, new) = (old >> at & 0xffff_ffff, a >> at & 0xffff_ffff);
                (if new >> 31 == 1 { new & 0x7fff_ffff } else { old }) << at
            };
            word(0) | word(32)
        }),
        _ => return None,
    };
    Some(Access::Atomic { bits, change, returns })
}

fn access(row: &Row) -> Option<Access> {
    let name = match row.encoding {
        Encoding::Ds => row.name.strip_prefix("ds_")?,
        Encoding::Flat => row.name.strip_prefix("flat_")?,
        Encoding::Global => row.name.strip_prefix("global_")?,
        Encoding::Scratch => row.name.strip_prefix("scratch_")?,
        Encoding::Mubuf => row.name.strip_prefix("buffer_")?,
        Encoding::Smem => row.name.strip_prefix("s_buffer_").or(row.name.strip_prefix("s_"))?,
        _ => return None,
    };
    loads_and_stores(name).or_else(|| atomic(name))
}

/// An LDS instruction with two places: bytes of each, how far apart one step of an offset is, and what it does.
struct Pair {
    bytes: usize,
    step: usize,
    reads: bool,
    writes: bool,
}

fn pair(row: &Row) -> Option<Pair> {
    let (op, ty) = row.name.strip_prefix("ds_")?.rsplit_once('_')?;
    let bytes = if ty == "b64" { 8 } else { 4 };
    let op = op.trim_end_matches("_rtn");
    let (op, step) = op.strip_suffix("st64").map_or((op, bytes), |op| (op, 64 * bytes));
    let (reads, writes) = match op {
        "read2" => (true, false),
        "write2" => (false, true),
        "wrxchg2" => (true, true),
        _ => return None,
    };
    Some(Pair { bytes, step, reads, writes })
}

/// Whether a row's vectors are here.
pub(crate) fn has_model(row: &Row) -> bool {
    access(row).is_some() || pair(row).is_some()
}

/// The words of an access to each lane's address, and the register that its data come from and its result goes to.
fn words(arch: Arch, row: &Row, glc: bool) -> (Vec<u32>, usize) {
    let op = u32::from(row.op);
    let (address, data, second, to) = (ADDRESS as u32, DATA_REGISTER as u32, SECOND_REGISTER as u32, TO as u32);
    let glc = u32::from(glc);
    let flat = |segment: u32| {
        vec![0xdc00_0000 | op << 18 | glc << 16 | segment << 14, address | data << 8 | 0x7f << 16 | to << 24]
    };
    match row.encoding {
        Encoding::Ds => (vec![0xd800_0000 | op << 17, address | data << 8 | second << 16 | to << 24], TO),
        // Without a scalar address there is nothing in its place.
        Encoding::Flat => (vec![0xdc00_0000 | op << 18 | glc << 16, address | data << 8 | to << 24], TO),
        // gfx942 says apart that there is a vector address.
        Encoding::Scratch if arch == Arch::Gfx942 => {
            let words = flat(1);
            (vec![words[0] | 1 << 13, words[1]], TO)
        }
        Encoding::Scratch => (flat(1), TO),
        Encoding::Global => (flat(2), TO),
        // Offset from a register, descriptor in s[8:11]; a load's result is where the data of others are.
        _ => (
            vec![0xe000_0000 | op << 18 | glc << 14 | 1 << 12, address | data << 8 | 2 << 16 | 0x80 << 24],
            DATA_REGISTER,
        ),
    }
}

/// Where lane `lane`'s bytes are, as the instruction says it.
fn address(row: &Row, lane: usize) -> u64 {
    let own = (lane * STRIDE + AT) as u64;
    match row.encoding {
        Encoding::Flat | Encoding::Global => DATA + own,
        // Private memory is each lane's own already.
        Encoding::Scratch => AT as u64,
        _ => own,
    }
}

impl Machine {
    /// Writes or reads what lane `lane` sees at its address.
    fn put(&mut self, row: &Row, lane: usize, bytes: &[u8; STRIDE - AT]) {
        let own = lane * STRIDE + AT;
        match row.encoding {
            Encoding::Ds => self.hw[0].lds[own..own + bytes.len()].copy_from_slice(bytes),
            Encoding::Scratch => {
                for (k, word) in bytes.chunks(4).enumerate() {
                    self.write(Machine::private(lane, AT / 4 + k), word);
                }
            }
            _ => self.write(DATA + own as u64, bytes),
        }
    }

    fn get(&self, row: &Row, lane: usize) -> Vec<u8> {
        let own = lane * STRIDE + AT;
        match row.encoding {
            Encoding::Ds => self.hw[0].lds[own..own + STRIDE - AT].to_vec(),
            Encoding::Scratch => {
                (0..(STRIDE - AT) / 4).flat_map(|k| self.read(Machine::private(lane, AT / 4 + k), 4)).collect()
            }
            _ => self.read(DATA + own as u64, STRIDE - AT),
        }
    }
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |x, &byte| x << 8 | u128::from(byte))
}

/// The values that an atomic meets.
fn values(ty: Ty, bits: u32, format: Option<Format>) -> Vec<u64> {
    let ty = match (format, bits) {
        (Some(F16), _) => Ty::PF16,
        (Some(F32), _) => Ty::F32,
        (Some(F64), _) => Ty::F64,
        (_, 64) => Ty::U64,
        _ if matches!(ty, Ty::PF16) => Ty::PF16,
        _ => Ty::U32,
    };
    edges::of(ty)
}

/// Runs a row with edge values and random ones in memory and registers, with the old value asked for and not.
pub(crate) fn check(machine: &mut Machine, arch: Arch, row: &Row, every: usize) -> bool {
    if let Some(pair) = pair(row) {
        check_pair(machine, arch, row, &pair);
        return true;
    }
    let Some(access) = access(row) else { return false };
    if row.encoding == Encoding::Smem {
        check_scalar(machine, arch, row, &access, every);
        return true;
    }
    let mut random = Random(u64::from(row.op) ^ row.name.len() as u64);
    let format = match row.name.rsplit('_').next() {
        Some("f16") => Some(F16),
        Some("bf16") => Some(BF16),
        Some("f32") => Some(F32),
        Some("f64") => Some(F64),
        _ => None,
    };
    let list = match &access {
        Access::Atomic { bits, .. } => values(row.dst, *bits, format),
        _ => edges::of(Ty::U64),
    };
    let is_atomic = matches!(access, Access::Atomic { .. });
    for glc in [false, true] {
        if glc && !is_atomic {
            break;
        }
        let (words, to) = words(arch, row, glc);
        assert!(gcn::isa::decode(arch, &words).is_ok_and(|fields| std::ptr::eq(fields.row(), row)), "{}", row.name);
        machine.load(&words);
        // A raw buffer over all of the data.
        machine.set_pair(8, DATA);
        machine.set_pair(10, DATA_BYTES as u64 | 0x0002_7000 << 32);
        let passes = list.len().pow(2).div_ceil(64) + 4;
        for pass in (0..passes).rev().step_by(every).chain(passes - 3..passes) {
            let exec = match passes - pass {
                1 => 0,
                2 | 3 => random.next(),
                _ => !0,
            };
            let mut before = Vec::with_capacity(64);
            for lane in 0..64 {
                let at = pass * 64 + lane;
                let mut pick = |k: usize| {
                    if at < list.len().pow(2) { list[[at % list.len(), at / list.len()][k]] } else { random.next() }
                };
                let (old, data) = (pick(0), pick(1));
                // Compares find what they look for half of the time.
                let second = if random.next() & 1 == 0 { old } else { list[random.next() as usize % list.len()] };
                let mut bytes = [0; STRIDE - AT];
                bytes[..8].copy_from_slice(&old.to_le_bytes());
                bytes[8..16].copy_from_slice(&random.next().to_le_bytes());
                bytes[16..].copy_from_slice(&random.next().to_le_bytes());
                machine.put(row, lane, &bytes);
                // Operands follow each other in one register, or are in two.
                let bits = if let Access::Atomic { bits, .. } = access { bits } else { 64 };
                let mask = u64::MAX >> (64 - bits);
                let (old, first, second) = (old & mask, data & mask, second & mask);
                let (a, b) = if row.name.contains("cmpst") { (second, first) } else { (first, second) };
                let registers = u128::from(a) | u128::from(b) << bits;
                let stored = if is_atomic { registers } else { u128::from(random.next()) << 64 | u128::from(data) };
                machine.set_lane(TO, 4, lane, 0x1111_2222_3333_4444_5555_6666_7777_8888);
                machine.set_lane(DATA_REGISTER, 4, lane, stored);
                if row.encoding == Encoding::Ds && is_atomic {
                    machine.set_lane(SECOND_REGISTER, 2, lane, u128::from(b));
                }
                machine.set_lane(ADDRESS, 2, lane, u128::from(address(row, lane)));
                before.push((bytes, old, a, b, stored));
            }
            machine.set_exec(exec);
            if let Err(error) = machine.run() {
                panic!("{}: {error}", row.name);
            }
            for (lane, (bytes, old, a, b, stored)) in before.iter().enumerate() {
                let on = exec >> lane & 1 == 1;
                let was = if to == TO { 0x1111_2222_3333_4444_5555_6666_7777_8888 } else { *stored };
                let got = machine.lane(to, 4, lane);
                let memory = machine.get(row, lane);
                let what = || format!("{} lane {lane}, glc {glc}: {old:x} in memory, {a:x} and {b:x}", row.name);
                let unchanged = |memory: &[u8]| assert_eq!(memory, &bytes[..memory.len()], "{}: memory", what());
                if !on {
                    unchanged(&memory);
                    assert_eq!(got, was, "{}: a lane that is off", what());
                    continue;
                }
                match &access {
                    Access::Narrow { bytes: count, signed, half } => {
                        unchanged(&memory);
                        let value = number(&bytes[..*count]) as u32;
                        let shift = 32 - 8 * *count as u32;
                        let wide = if *signed { ((value << shift) as i32 >> shift) as u32 } else { value };
                        let low = was as u32;
                        let want = match half {
                            None => wide,
                            Some(false) => low & 0xffff_0000 | wide & 0xffff,
                            Some(true) => low & 0xffff | wide << 16,
                        };
                        assert_eq!(got, was >> 32 << 32 | u128::from(want), "{}", what());
                    }
                    Access::Load { dwords } => {
                        unchanged(&memory);
                        let bits = 32 * *dwords as u32;
                        let kept = if bits == 128 { 0 } else { was >> bits << bits };
                        assert_eq!(got, kept | number(&bytes[..4 * dwords]), "{}", what());
                    }
                    Access::Store { bytes: count, from } => {
                        let mut want = *bytes;
                        want[..*count].copy_from_slice(&(stored >> from).to_le_bytes()[..*count]);
                        assert_eq!(memory, want, "{}: memory", what());
                        assert_eq!(got, was, "{}: registers", what());
                    }
                    Access::Atomic { bits, change, returns } => {
                        let size = *bits as usize / 8;
                        let new = number(&memory[..size]) as u64;
                        let want = change(*old, *a, *b);
                        assert!(want.allows(new, *bits), "{}: {new:x} instead of {want:x?}", what());
                        assert_eq!(memory[size..], bytes[size..], "{}: memory beside it", what());
                        let back = *returns || glc && row.encoding != Encoding::Ds;
                        let want = if back { was >> bits << bits | u128::from(*old) } else { was };
                        assert_eq!(got, want, "{}: what comes back", what());
                    }
                }
            }
        }
    }
    true
}

/// First scalar register of the data, and how many registers are looked at.
const SCALAR_DATA: usize = 24;
const SCALARS: usize = 16;

/// As [`check`] for the scalar unit, which has one address and registers of its own.
fn check_scalar(machine: &mut Machine, arch: Arch, row: &Row, access: &Access, every: usize) {
    let mut random = Random(u64::from(row.op));
    let is_atomic = matches!(access, Access::Atomic { .. });
    let bits = if let Access::Atomic { bits, .. } = access { *bits } else { 64 };
    let mask = u64::MAX >> (64 - bits);
    let list = values(row.dst, bits, None);
    for glc in [false, true] {
        if glc && !is_atomic {
            break;
        }
        let first = 0xc000_0000 | u32::from(row.op) << 18 | 1 << 17 | u32::from(glc) << 16;
        let words = [first | (SCALAR_DATA as u32) << 6 | 8 >> 1, 64];
        assert!(gcn::isa::decode(arch, &words).is_ok_and(|fields| std::ptr::eq(fields.row(), row)), "{}", row.name);
        machine.load(&words);
        machine.set_exec(0);
        machine.set_pair(8, DATA);
        machine.set_pair(10, DATA_BYTES as u64 | 0x0002_7000 << 32);
        for pass in (0..list.len().pow(2)).step_by(every) {
            let (old, a) = (list[pass % list.len()] & mask, list[pass / list.len()] & mask);
            let b = if random.next() & 1 == 0 { old } else { random.next() & mask };
            let mut bytes: Vec<u8> = (0..8).flat_map(|_| random.next().to_le_bytes()).collect();
            bytes[..8].copy_from_slice(&old.to_le_bytes());
            machine.write(DATA + 64, &bytes);
            let mut registers: Vec<u32> = (0..SCALARS).map(|_| random.next() as u32).collect();
            let operands = u128::from(a) | u128::from(b) << bits;
            for (k, register) in registers.iter_mut().take(4).enumerate() {
                *register = (operands >> (32 * k)) as u32;
            }
            machine.hw[0].sgpr[0][SCALAR_DATA..SCALAR_DATA + SCALARS].copy_from_slice(&registers);
            if let Err(error) = machine.run() {
                panic!("{}: {error}", row.name);
            }
            let got = &machine.hw[0].sgpr[0][SCALAR_DATA..SCALAR_DATA + SCALARS];
            let memory = machine.read(DATA + 64, bytes.len());
            let mut want_memory = bytes.clone();
            let mut want = registers.clone();
            match access {
                Access::Load { dwords } => {
                    for (register, word) in want.iter_mut().take(*dwords).zip(bytes.as_chunks().0) {
                        *register = u32::from_le_bytes(*word);
                    }
                }
                Access::Store { bytes, .. } => {
                    let stored: Vec<u8> = registers.iter().flat_map(|word| word.to_le_bytes()).collect();
                    want_memory[..*bytes].copy_from_slice(&stored[..*bytes]);
                }
                Access::Atomic { change, .. } => {
                    let Want::Bits(new) = change(old, a, b) else { panic!("{}: an atomic on floats", row.name) };
                    let size = bits as usize / 8;
                    want_memory[..size].copy_from_slice(&new.to_le_bytes()[..size]);
                    if glc {
                        want[..size / 4].copy_from_slice(&[old as u32, (old >> 32) as u32][..size / 4]);
                    }
                }
                Access::Narrow { .. } => panic!("{}: narrow", row.name),
            }
            assert_eq!(memory, want_memory, "{}: memory, {old:x} {a:x} {b:x}, glc {glc}", row.name);
            assert_eq!(got, want, "{}: registers, {old:x} {a:x} {b:x}, glc {glc}", row.name);
        }
    }
}

/// Lanes side by side, and the second place of each behind the first places of all.
fn check_pair(machine: &mut Machine, arch: Arch, row: &Row, pair: &Pair) {
    let &Pair { bytes, step, reads, writes } = pair;
    let offsets = if step == bytes { [1, 66] } else { [1, 2] };
    let fields = (SECOND_REGISTER << 16 | DATA_REGISTER << 8 | TO << 24 | ADDRESS) as u32;
    let words = [0xd800_0000 | u32::from(row.op) << 17 | (offsets[1] << 8 | offsets[0]) as u32, fields];
    assert!(gcn::isa::decode(arch, &words).is_ok_and(|fields| std::ptr::eq(fields.row(), row)), "{}", row.name);
    machine.load(&words);
    let mut random = Random(u64::from(row.op));
    for exec in [!0, random.next(), 1 << 63, 0] {
        let lds: Vec<u8> = (0..LDS / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        machine.hw[0].lds[..LDS].copy_from_slice(&lds);
        let mut want_lds = lds.clone();
        let mut want = Vec::new();
        for lane in 0..64 {
            let data = [random.next(), random.next()];
            machine.set_lane(DATA_REGISTER, 2, lane, data[0].into());
            machine.set_lane(SECOND_REGISTER, 2, lane, data[1].into());
            machine.set_lane(ADDRESS, 1, lane, (lane * bytes) as u128);
            let old = u128::from(random.next()) << 64 | u128::from(random.next());
            machine.set_lane(TO, 4, lane, old);
            let places = offsets.map(|offset| lane * bytes + offset * step);
            let mut result = old;
            if exec >> lane & 1 == 1 {
                if reads {
                    let kept = if bytes == 8 { 0 } else { old >> 64 << 64 };
                    let [low, high] = places.map(|at| number(&lds[at..at + bytes]));
                    result = kept | low | high << (8 * bytes);
                }
                if writes {
                    for (at, data) in places.into_iter().zip(data) {
                        want_lds[at..at + bytes].copy_from_slice(&data.to_le_bytes()[..bytes]);
                    }
                }
            }
            want.push(result);
        }
        machine.set_exec(exec);
        if let Err(error) = machine.run() {
            panic!("{}: {error}", row.name);
        }
        for (lane, want) in want.into_iter().enumerate() {
            assert_eq!(machine.lane(TO, 4, lane), want, "{} lane {lane}, EXEC {exec:#x}", row.name);
        }
        assert!(machine.hw[0].lds[..LDS] == want_lds, "{}: LDS, EXEC {exec:#x}", row.name);
    }
}
