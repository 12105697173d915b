//! Compares our decoder and disassembler with LLVM's.
//!
//! Two comparisons: every instruction of the committed code objects as `llvm-objdump` prints it, and for every row of the
//! instruction table a number of encodings with operands and modifiers chosen by a fixed generator, as `llvm-mc` prints them. LLVM
//! is the reference: a difference in text, or a row that LLVM never accepts, fails the check.

use crate::coverage::ABSENT;
use anyhow::{Context as _, Result, bail, ensure};
use gcn::arch::Arch;
use gcn::isa::disasm::disassemble;
use gcn::isa::{self, Encoding, ROWS, Row, Traits};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MC: &str = "llvm-mc-19";
const OBJDUMP: &str = "llvm-objdump-19";
/// Encodings tried for every row and architecture.
const VARIANTS: usize = 24;
/// Differences shown before the check gives up.
const SHOWN: usize = 20;
/// Put behind every encoding to find LLVM's place again: it may take the first for the second word of what it rejected.
const MARKERS: [u32; 2] = [0xbf80_5a5a, 0xbf80_5b5b];
const MARKER_TEXTS: [&str; 2] = ["s_nop 0x5a5a", "s_nop 0x5b5b"];

/// Runs both comparisons and prints what they covered.
pub(crate) fn check() -> Result<()> {
    let mut differences = Vec::new();
    for arch in Arch::ALL {
        objects(arch, &mut differences)?;
        rows(arch, &mut differences)?;
        absent(arch, &mut differences)?;
    }
    if differences.is_empty() {
        return Ok(());
    }
    for line in differences.iter().take(SHOWN) {
        eprintln!("{line}");
    }
    bail!("{} differences from LLVM 19, the first {} are above", differences.len(), differences.len().min(SHOWN));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs an LLVM tool and returns what it printed and what it complained about; or says which package has it.
fn run(tool: &str, args: &[&str], input: &[u8]) -> Result<(String, String)> {
    let spawned = Command::new(tool)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("{tool} does not start; it is the reference of this check, in Debian's package llvm-19")
        });
    let mut child = spawned?;
    let mut stdin = child.stdin.take().context("the tool's standard input is a pipe")?;
    let input = input.to_vec();
    // Written from another thread, because the tool answers before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().with_context(|| format!("waiting for {tool}"))?;
    writer.join().ok().context("the writing thread ended")?.with_context(|| format!("writing to {tool}"))?;
    let text = |bytes| String::from_utf8(bytes).with_context(|| format!("{tool} prints UTF-8"));
    Ok((text(output.stdout)?, text(output.stderr)?))
}

/// Compares every instruction of the committed code objects.
fn objects(arch: Arch, differences: &mut Vec<String>) -> Result<()> {
    let folder = root().join("kernels/objects").join(arch.name());
    let (mut files, mut compared) = (0, 0);
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.to_str().context("file names are UTF-8")?;
        let (listing, _) = run(OBJDUMP, &["-d", name], &[])?;
        files += 1;
        for line in listing.lines() {
            let Some((text, code)) = line.split_once("//") else { continue };
            let Some((_, words)) = code.split_once(": ") else { continue };
            let words: Vec<u32> = words.split_whitespace().map_while(|w| u32::from_str_radix(w, 16).ok()).collect();
            compare(arch, &words, text, differences);
            compared += 1;
        }
    }
    ensure!(compared > 0, "no instruction found in {}", folder.display());
    println!("{arch}: {compared} instructions of {files} code objects");
    Ok(())
}

fn compare(arch: Arch, words: &[u32], reference: &str, differences: &mut Vec<String>) {
    let ours = match isa::decode(arch, words) {
        Ok(f) if usize::from(f.words) == words.len() => disassemble(arch, &f),
        Ok(f) => format!("({} words)", f.words),
        Err(error) => format!("({error})"),
    };
    // LLVM pads some operands with spaces.
    let reference = reference.split_whitespace().collect::<Vec<_>>().join(" ");
    if ours != reference {
        let words: String = words.iter().fold(String::new(), |mut text, w| {
            let _ = write!(text, "{w:08x} ");
            text
        });
        differences.push(format!("{arch} {words}\n    LLVM {reference}\n    ours {ours}"));
    }
}

/// Compares generated encodings of every row.
fn rows(arch: Arch, differences: &mut Vec<String>) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut cases: Vec<(&Row, Vec<u32>)> = Vec::new();
    for row in ROWS.iter().filter(|row| row.archs.contains(arch)) {
        for variant in 0..VARIANTS {
            let words = encode(row, variant, &mut random);
            // What we refuse is not compared: tests of the decoder say what must be refused.
            if let Ok(f) = isa::decode(arch, &words) {
                cases.push((row, words[..usize::from(f.words)].to_vec()));
            }
        }
    }
    let mut input = String::new();
    for (_, words) in &cases {
        for line in [words.as_slice(), &MARKERS] {
            for byte in line.iter().flat_map(|word| word.to_le_bytes()) {
                let _ = write!(input, "{byte:#04x} ");
            }
            input.push('\n');
        }
    }
    let cpu = format!("-mcpu={}", arch.name());
    let (output, complaints) = run(MC, &["--disassemble", "--triple=amdgcn", &cpu], input.as_bytes())?;
    // "<stdin>:LINE:COLUMN: warning: invalid instruction encoding", two lines of input a case.
    let lines = complaints.lines().filter_map(|l| l.strip_prefix("<stdin>:")?.split(':').next()?.parse::<usize>().ok());
    let rejected: BTreeSet<usize> = lines.map(|line| (line - 1) / 2).collect();
    let mut groups = vec![Vec::new()];
    for line in output.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('.')) {
        if line == MARKER_TEXTS[1] {
            groups.push(Vec::new());
        } else if line == MARKER_TEXTS[0] {
            continue;
        } else if let Some(group) = groups.last_mut() {
            group.push(line);
        }
    }
    ensure!(
        groups.len() == cases.len() + 1,
        "{MC} lost its place: {} answers for {} encodings",
        groups.len() - 1,
        cases.len()
    );
    let mut accepted: BTreeMap<&str, usize> =
        ROWS.iter().filter(|r| r.archs.contains(arch)).map(|r| (r.name, 0)).collect();
    let mut compared = 0;
    for (k, ((row, words), group)) in cases.iter().zip(&groups).enumerate() {
        // LLVM refuses more than hardware does (operands of the wrong kind); those are not compared.
        let [text] = group[..] else { continue };
        if rejected.contains(&k) || text.contains("/*") {
            continue;
        }
        compare(arch, words, text, differences);
        compared += 1;
        *accepted.entry(row.name).or_default() += 1;
    }
    let unseen: Vec<_> = accepted.iter().filter(|(_, n)| **n == 0).map(|(name, _)| *name).collect();
    println!("{arch}: {compared} of {} generated encodings of {} rows compared", cases.len(), accepted.len());
    if !unseen.is_empty() {
        differences.push(format!("{arch}: LLVM accepted no encoding of {}", unseen.join(", ")));
    }
    Ok(())
}

/// Asks LLVM about opcodes that the table does not have, and compares what it knows with [`ABSENT`].
fn absent(arch: Arch, differences: &mut Vec<String>) -> Result<()> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut words: Vec<[u32; 2]> = Vec::new();
    // Encoding prefix, first bit of the opcode, its bits; the rest is operands that any instruction could have.
    for (prefix, low, bits) in [
        (0x8000_0000, 23, 7),
        (0xb000_0000, 23, 5),
        (0xbe80_0000, 8, 8),
        (0xbf00_0000, 16, 7),
        (0xbf80_0000, 16, 7),
        (0xc000_0000, 18, 8),
        (0x7e00_0100, 9, 8),
        (0x0000_0100, 25, 6),
        (0x7c00_0100, 17, 8),
        (0xd000_0000, 16, 10),
        (0xd380_0000, 16, 7),
        (0xd800_0000, 17, 8),
        (0xd801_0000, 17, 8),
        (0xdc00_0000, 18, 7),
        (0xdc00_4000, 18, 7),
        (0xdc00_8000, 18, 7),
        (0xe000_0000, 18, 7),
        (0xe800_0000, 15, 4),
        (0xf000_0f00, 18, 7),
    ] {
        for op in 0..1u32 << bits {
            for variant in 0..4 {
                let v = |r: &mut Random| 256 + r.vgpr();
                let second = match prefix >> 26 {
                    0x34 => {
                        v(&mut random) | v(&mut random) << 9 | if variant % 2 == 1 { v(&mut random) << 18 } else { 0 }
                    }
                    0x30 => random.below(0x10_0000),
                    0x37 => random.vgpr() | random.vgpr() << 8 | 0x7f << 16 | random.vgpr() << 24,
                    _ => random.vgpr() | random.vgpr() << 8 | (random.sgpr() >> 2) << 16 | 128 << 24,
                };
                let imm = if prefix >> 26 == 0x30 { 1 << 17 | random.sgpr() << 6 } else { 0 };
                words.push([prefix | op << low | imm, second]);
            }
        }
    }
    words.retain(|words| isa::decode(arch, words).is_err());
    let input = words.iter().fold(String::new(), |mut text, words| {
        for line in [words, &MARKERS] {
            for byte in line.iter().flat_map(|word| word.to_le_bytes()) {
                let _ = write!(text, "{byte:#04x} ");
            }
            text.push('\n');
        }
        text
    });
    let cpu = format!("-mcpu={}", arch.name());
    let (output, _) = run(MC, &["--disassemble", "--triple=amdgcn", &cpu], input.as_bytes())?;
    let known: BTreeSet<&str> = ROWS.iter().filter(|r| r.archs.contains(arch)).map(|r| r.name).collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in output.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('.')) {
        let name = line.split_whitespace().next().unwrap_or_default();
        let base = ["_e32", "_e64", "_sdwa", "_dpp"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
        if known.contains(base) {
            continue;
        }
        let prefix = ABSENT.iter().find(|(prefix, a, ..)| *a == arch && base.starts_with(prefix));
        found.entry(prefix.map_or(base, |(prefix, ..)| prefix)).or_default().insert(base);
    }
    for (prefix, names) in &found {
        let listed = ABSENT.iter().find(|(p, a, ..)| p == prefix && *a == arch).map_or(0, |(_, _, n, _)| *n);
        // A few opcodes need operands that this generator does not find.
        if names.len() > listed {
            differences.push(format!(
                "{arch}: LLVM knows {} of {prefix}, coverage.rs says {listed} at most: {names:?}",
                names.len()
            ));
        }
    }
    let missing: usize = found.values().map(BTreeSet::len).sum();
    println!("{arch}: {} words that the table does not have, {missing} mnemonics that LLVM has", words.len());
    Ok(())
}

/// A small generator (xorshift64*, Vigna 2016): the same encodings on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as u32 % bound
    }

    /// A scalar register that may begin any range.
    fn sgpr(&mut self) -> u32 {
        self.below(20) * 4
    }

    fn vgpr(&mut self) -> u32 {
        self.below(110) * 2
    }

    /// A source of a scalar instruction.
    fn scalar_source(&mut self) -> u32 {
        match self.below(6) {
            0 => 106,
            1 => 128 + self.below(81),
            2 => 240 + self.below(9),
            3 => 255,
            _ => self.sgpr(),
        }
    }

    /// A source of a vector instruction that carries no literal.
    fn vector_source(&mut self) -> u32 {
        match self.below(8) {
            0 => 106,
            1 => 128 + self.below(81),
            2 => 240 + self.below(9),
            3 => self.sgpr(),
            _ => 256 + self.vgpr(),
        }
    }
}

/// Returns two words of an encoding of `row`; the later the variant, the more decoration.
fn encode(row: &Row, variant: usize, random: &mut Random) -> [u32; 3] {
    let op = u32::from(row.op);
    let r = random;
    let literal = [0x1234_5678, 0x3f80_0000, 5, 0xffff_fff0, 0x4000_0000, 0x3c00][r.below(6) as usize];
    let imm16 = match variant {
        0 => 0,
        1 => 0xffff,
        2 => 0xf801,
        _ => r.below(0x1_0000),
    };
    match row.encoding {
        Encoding::Sop2 => [0x8000_0000 | op << 23 | r.sgpr() << 16 | r.sgpr() << 8 | r.scalar_source(), literal, 0],
        Encoding::Sop1 => {
            // Program-counter instructions insist on zero in the fields they do not have.
            let (dst, src) = match row.name {
                "s_getpc_b64" => (r.sgpr(), 0),
                _ if row.dst == isa::Ty::None => (0, r.scalar_source()),
                _ => (r.sgpr(), r.scalar_source()),
            };
            [0xbe80_0000 | dst << 16 | op << 8 | src, literal, 0]
        }
        Encoding::Sopc => [0xbf00_0000 | op << 16 | r.sgpr() << 8 | r.scalar_source(), literal, 0],
        Encoding::Sopk => [0xb000_0000 | op << 23 | r.sgpr() << 16 | imm16, literal, 0],
        Encoding::Sopp => [0xbf80_0000 | op << 16 | if row.src[0] == isa::Ty::None { 0 } else { imm16 }, 0, 0],
        Encoding::Smem if row.src[0] == isa::Ty::None => {
            [0xc000_0000 | op << 18 | if row.dst == isa::Ty::None { 0 } else { r.sgpr() << 6 }, 0, 0]
        }
        Encoding::Smem => {
            let (imm, soffset) = [(1, 0), (1, 1), (0, 1), (0, 0)][variant % 4];
            let offset = if imm == 1 { r.below(0x20_0000) } else { r.sgpr() };
            let glc = r.below(2) << 16;
            let data = if row.dst == isa::Ty::None { 0 } else { r.sgpr() };
            let first = 0xc000_0000 | op << 18 | imm << 17 | soffset << 14 | glc | data << 6 | r.sgpr() >> 1;
            [first, offset | if soffset == 1 { r.sgpr() << 25 } else { 0 }, 0]
        }
        Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc if variant < 12 => short(row, variant, literal, r),
        Encoding::Vop1 => vop3(row, 0x140 + op, variant, r),
        Encoding::Vop2 => vop3(row, 0x100 + op, variant, r),
        Encoding::Vopc | Encoding::Vop3 | Encoding::Vop3b => vop3(row, op, variant, r),
        Encoding::Vop3p => {
            let n = row.src.iter().filter(|&&ty| ty != isa::Ty::None).count() as u32;
            let all = (1 << n) - 1;
            let plain = variant < 4;
            let mix = row.traits.has(Traits::MIX);
            let (op_sel, high) =
                if plain { (0, if mix { 0 } else { all }) } else { (r.below(8) & all, r.below(8) & all) };
            // Integer pairs have no negation.
            let sign = if plain || !row.src[0].is_float() { 0 } else { all };
            let (neg, neg_hi) = (r.below(8) & sign, r.below(8) & sign);
            let clamp = if plain { 0 } else { r.below(2) };
            // The unused third high select is one, as assemblers write it.
            let high = high | if n == 2 { 4 } else { 0 };
            let third = if n == 3 { 256 + r.vgpr() } else { 0 };
            let first =
                0xd380_0000 | op << 16 | clamp << 15 | (high >> 2) << 14 | op_sel << 11 | neg_hi << 8 | r.vgpr();
            [first, (256 + r.vgpr()) | (256 + r.vgpr()) << 9 | third << 18 | (high & 3) << 27 | neg << 29, 0]
        }
        Encoding::Mai if row.src[1] == isa::Ty::None => {
            [0xd380_4000 | op << 16 | r.vgpr(), 0x1800_0000 | (256 + r.vgpr()), 0]
        }
        Encoding::Mai => {
            let acc = r.below(2);
            let blgp = if variant < 8 { 0 } else { r.below(8) };
            let first = 0xd380_0000 | op << 16 | acc << 15 | (r.below(100) * 2);
            [
                first,
                (256 + r.vgpr())
                    | (256 + r.vgpr()) << 9
                    | (256 + r.below(100) * 2) << 18
                    | r.below(4) << 27
                    | blgp << 29,
                0,
            ]
        }
        Encoding::Ds => {
            let gws = row.name.starts_with("ds_gws");
            let reg = |ty: isa::Ty, r: &mut Random| if ty == isa::Ty::None { 0 } else { r.vgpr() };
            let acc = if variant > 6 && !gws { r.below(2) << 25 } else { 0 };
            let second =
                reg(row.src[0], r) | reg(row.src[1], r) << 8 | reg(row.src[2], r) << 16 | reg(row.dst, r) << 24;
            let offset = if row.name == "ds_nop" { 0 } else { imm16 };
            [0xd800_0000 | op << 17 | u32::from(gws) << 16 | acc | offset, second, 0]
        }
        Encoding::Flat | Encoding::Global | Encoding::Scratch => {
            let (segment, offset) = match row.encoding {
                Encoding::Flat => (0, r.below(0x1000)),
                Encoding::Scratch => (1, r.below(0x2000)),
                _ => (2, r.below(0x2000)),
            };
            let saddr = if row.encoding == Encoding::Flat {
                0
            } else if variant.is_multiple_of(2) {
                0x7f
            } else {
                r.sgpr()
            };
            let sve = if row.encoding == Encoding::Scratch && variant % 4 < 2 { 1 << 13 } else { 0 };
            let cache = if variant < 4 { 0 } else { r.below(2) << 16 | r.below(2) << 17 | r.below(2) << 25 };
            let acc = if variant > 12 { r.below(2) << 23 } else { 0 };
            let data = if row.src[1] == isa::Ty::None { 0 } else { r.vgpr() };
            let returns = row.traits.has(Traits::LOAD) || cache & 1 << 16 != 0 && row.traits.has(Traits::ATOMIC);
            let dst = if returns && row.dst != isa::Ty::None { r.vgpr() } else { 0 };
            [
                0xdc00_0000 | op << 18 | segment << 14 | sve | cache | offset,
                r.vgpr() | data << 8 | saddr << 16 | acc | dst << 24,
                0,
            ]
        }
        Encoding::Mubuf => {
            let bits =
                if variant < 2 { 0 } else { r.below(4) << 12 | r.below(2) << 14 | r.below(2) << 15 | r.below(2) << 17 };
            if row.dst == isa::Ty::None {
                return [0xe000_0000 | op << 18 | bits & !0x3000, 0, 0];
            }
            let acc = if variant > 12 { r.below(2) << 23 } else { 0 };
            let offset = if variant < 4 { 0 } else { r.below(0x1000) };
            let second = r.vgpr() | r.vgpr() << 8 | (r.sgpr() >> 2) << 16 | acc | [128, r.sgpr()][variant % 2] << 24;
            [0xe000_0000 | op << 18 | bits | offset, second, 0]
        }
    }
}

/// VOP1, VOP2 and VOPC in their own words: plain, with literal, SDWA, DPP.
fn short(row: &Row, variant: usize, literal: u32, r: &mut Random) -> [u32; 3] {
    let decorated = |r: &mut Random| r.vgpr();
    let float = row.src[0].is_float();
    let signs = |r: &mut Random| if float { r.below(2) << 20 | r.below(2) << 21 } else { r.below(2) << 19 };
    let (code, second) = match variant {
        0..4 => (r.vector_source(), literal),
        4 | 5 => (255, literal),
        6..9 => {
            let scalar = variant == 8;
            let select = r.below(7) << 16 | if row.src[1] == isa::Ty::None { 0 } else { r.below(7) << 24 };
            let result = match row.encoding {
                Encoding::Vopc => [0, 0x8000 | r.sgpr() << 8][variant % 2],
                _ => r.below(7) << 8 | r.below(3) << 11,
            };
            let sign = signs(r) | if row.src[1] == isa::Ty::None { 0 } else { signs(r) << 8 };
            (249, decorated(r) | select | result | sign | if scalar { 1 << 23 } else { 0 })
        }
        _ => {
            let control = [0xe4, 0x1b, 0x101, 0x113, 0x12f, 0x130, 0x138, 0x140, 0x141, 0x142, 0x143, 0x155]
                [r.below(12) as usize];
            let masks = [0xff, 0xa5, 0x31][r.below(3) as usize] << 24;
            (250, decorated(r) | control << 8 | masks | r.below(2) << 19)
        }
    };
    let op = u32::from(row.op);
    let (dst, src1) = (r.vgpr(), r.vgpr());
    let empty = row.dst == isa::Ty::None;
    let code = if empty { 0 } else { code };
    let first = match row.encoding {
        Encoding::Vop1 if row.traits.has(Traits::SCALAR_DST) => {
            0x7e00_0000 | r.sgpr() << 17 | op << 9 | (256 + r.vgpr())
        }
        Encoding::Vop1 => 0x7e00_0000 | if empty { 0 } else { dst << 17 } | op << 9 | code,
        Encoding::Vop2 => op << 25 | dst << 17 | src1 << 9 | code,
        _ => 0x7c00_0000 | op << 17 | src1 << 9 | code,
    };
    [first, second, 0]
}

/// VOP3 words of any row that has them.
fn vop3(row: &Row, op: u32, variant: usize, r: &mut Random) -> [u32; 3] {
    let n = row.src.iter().filter(|&&ty| ty != isa::Ty::None).count();
    let mask = row.src[2] == isa::Ty::Mask;
    let plain = variant.is_multiple_of(4);
    let float_dst = matches!(row.dst, isa::Ty::F16 | isa::Ty::F32 | isa::Ty::F64);
    let mut signs = 0;
    for k in 0..n {
        if row.src[k].is_float() {
            signs |= 1 << k;
        }
    }
    let (neg, abs) = if plain { (0, 0) } else { (r.below(8) & signs, r.below(8) & signs) };
    let lane = matches!(row.name, "v_readlane_b32" | "v_writelane_b32");
    let source = |k: usize, r: &mut Random| match (k, row.name) {
        _ if k >= n => 0,
        (2, _) if mask => r.sgpr(),
        (_, "v_writelane_b32") => r.sgpr(),
        (1, _) if lane => r.sgpr(),
        (0, _) if lane || row.traits.has(Traits::SCALAR_DST) => 256 + r.vgpr(),
        _ => r.vector_source(),
    };
    let second = source(0, r) | source(1, r) << 9 | source(2, r) << 18;
    let carry = row.encoding == Encoding::Vop3b || row.traits.has(Traits::CARRY_OUT);
    let clamp = if !plain && (float_dst || variant % 8 == 1) { r.below(2) << 15 } else { 0 };
    let omod = if !plain && float_dst && variant.is_multiple_of(3) { r.below(4) << 27 } else { 0 };
    let op_sel = if row.traits.has(Traits::OP_SEL) && variant % 4 == 3 {
        (r.below(8) & ((1 << n) - 1)) | r.below(2) << 3
    } else {
        0
    };
    let dst = match row.encoding {
        Encoding::Vopc => r.sgpr(),
        _ if row.traits.has(Traits::SCALAR_DST) => r.sgpr(),
        _ if row.dst == isa::Ty::None => 0,
        _ => r.vgpr(),
    };
    let middle = if carry { r.sgpr() << 8 } else { abs << 8 | op_sel << 11 };
    [0xd000_0000 | op << 16 | clamp | middle | dst, second | omod | neg << 29, 0]
}
