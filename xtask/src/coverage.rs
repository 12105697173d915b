//! Writes `docs/isa-coverage.md` from the instruction table, or says that the one there is out of date.
//!
//! What the page says is true by construction where it comes from the table; what is absent from the table is a list here, which
//! [`isa`](crate::isa) compares with what LLVM decodes.

use anyhow::{Context as _, Result, ensure};
use gcn::arch::Arch;
use gcn::isa::{Encoding, ROWS, Row, Traits};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What LLVM decodes for an architecture and the table does not have: mnemonics by a common prefix, how many, and why.
pub(crate) const ABSENT: [(&str, Arch, usize, &str); 3] = [
    ("tbuffer_", Arch::Gfx90a, 16, TYPED),
    ("tbuffer_", Arch::Gfx942, 16, TYPED),
    ("image_", Arch::Gfx90a, 25, "image instructions (MIMG): no compute compiler emits them for Instinct"),
];

const TYPED: &str = "typed buffers (MTBUF): a format in the instruction, for graphics";

/// Why a row is decoded and printed, but faults when it runs.
fn reason(name: &str) -> &'static str {
    match name {
        _ if name.contains("_format_") => "converts by the format in the buffer's descriptor, for graphics",
        "s_rfe_b64" | "s_rfe_restore_b64" => "returns from a trap handler; programs have none here",
        "s_sendmsghalt" => "tells fixed-function graphics and halts",
        "v_screen_partition_4se_b32" => "a table of the rasteriser",
        _ => "not done yet",
    }
}

/// The encodings in the order of the documents.
const ENCODINGS: [(Encoding, &str); 18] = [
    (Encoding::Sop2, "SOP2"),
    (Encoding::Sopk, "SOPK"),
    (Encoding::Sop1, "SOP1"),
    (Encoding::Sopc, "SOPC"),
    (Encoding::Sopp, "SOPP"),
    (Encoding::Smem, "SMEM"),
    (Encoding::Vop1, "VOP1"),
    (Encoding::Vop2, "VOP2"),
    (Encoding::Vopc, "VOPC"),
    (Encoding::Vop3, "VOP3"),
    (Encoding::Vop3b, "VOP3B"),
    (Encoding::Vop3p, "VOP3P"),
    (Encoding::Mai, "VOP3P-MAI"),
    (Encoding::Ds, "DS"),
    (Encoding::Flat, "FLAT"),
    (Encoding::Global, "GLOBAL"),
    (Encoding::Scratch, "SCRATCH"),
    (Encoding::Mubuf, "MUBUF"),
];

fn executed(row: &Row) -> bool {
    !row.traits.has(Traits::DECODE_ONLY)
}

fn count(arch: Arch, which: impl Fn(&Row) -> bool) -> usize {
    ROWS.iter().filter(|row| row.archs.contains(arch) && which(row)).count()
}

fn absent(arch: Arch) -> usize {
    ABSENT.iter().filter(|(_, a, ..)| *a == arch).map(|(_, _, n, _)| n).sum()
}

/// Writes the page, or with `check` fails if it is not what the table says.
pub(crate) fn write(check: bool) -> Result<()> {
    let (path, text) = (path(), page()?);
    if check {
        let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            old == text,
            "docs/isa-coverage.md is not what the instruction table says; run `cargo xtask coverage` and commit it"
        );
    } else {
        std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for arch in Arch::ALL {
        println!("{arch}: {} executed, {} decoded only", count(arch, executed), count(arch, |row| !executed(row)));
    }
    Ok(())
}

fn path() -> PathBuf {
    crate::root().join("docs/isa-coverage.md")
}

fn page() -> Result<String> {
    let mut t = String::from(
        "# Instruction coverage\n\n\
         Written by `cargo xtask coverage` from the instruction table (`gcn/src/isa/table`); a test of `xtask` fails when it is out of date.\n\
         Executed: on the software GPU (`soft`). Decoded only: disassembled as LLVM does, and an `UnsupportedInstruction` fault when run. Absent: LLVM 19\n\
         decodes it for this processor, we do not; an `IllegalInstruction` fault. An instruction counts once, whatever number of encodings (SDWA, DPP, VOP3)\n\
         it has.\n\n",
    );
    let both = |f: &dyn Fn(Arch) -> usize| format!("{} | {}", f(Arch::Gfx90a), f(Arch::Gfx942));
    writeln!(t, "| | gfx90a | gfx942 |\n|---|---|---|")?;
    writeln!(t, "| executed | {} |", both(&|arch| count(arch, executed)))?;
    writeln!(t, "| decoded only | {} |", both(&|arch| count(arch, |row| !executed(row))))?;
    writeln!(t, "| absent | {} |", both(&absent))?;

    writeln!(t, "\n## By encoding\n\nExecuted, and with a plus sign those that are decoded only.\n")?;
    writeln!(t, "| encoding | gfx90a | gfx942 |\n|---|---|---|")?;
    for (encoding, name) in ENCODINGS {
        let cell = |arch: Arch| {
            let all = count(arch, |row| row.encoding == encoding && executed(row));
            match count(arch, |row| row.encoding == encoding && !executed(row)) {
                0 => all.to_string(),
                more => format!("{all} + {more}"),
            }
        };
        writeln!(t, "| {name} | {} | {} |", cell(Arch::Gfx90a), cell(Arch::Gfx942))?;
    }

    writeln!(t, "\n## Decoded only\n")?;
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in ROWS.iter().filter(|row| !executed(row)) {
        reasons.entry(reason(row.name)).or_default().push(named(row));
    }
    for (reason, mut names) in reasons {
        names.sort();
        writeln!(t, "- {reason}: {}", names.join(" "))?;
    }

    writeln!(t, "\n## Absent\n")?;
    for (prefix, arch, n, why) in ABSENT {
        writeln!(t, "- {arch}: {n} beginning with `{prefix}`: {why}")?;
    }
    writeln!(
        t,
        "\n## Forms that are not executed\n\n\
         An `UnsupportedForm` fault names them: LDS instructions with the `gds` bit (neither processor has global data share for them), half selection\n\
         of bytes and negation of integers in a dot product, and a lane pattern for B of a product of doubles on gfx90a."
    )?;

    writeln!(t, "\n## Executed\n\nOf one processor alone where it says so.\n")?;
    for (encoding, name) in ENCODINGS {
        let mut names: Vec<_> = ROWS.iter().filter(|r| r.encoding == encoding && executed(r)).map(named).collect();
        names.sort();
        names.dedup();
        writeln!(t, "**{name}** {}\n", names.join(" "))?;
    }
    t.truncate(t.trim_end().len());
    t.push('\n');
    Ok(t)
}

fn named(row: &Row) -> String {
    match (row.archs.contains(Arch::Gfx90a), row.archs.contains(Arch::Gfx942)) {
        (true, false) => format!("{} (gfx90a)", row.name),
        (false, true) => format!("{} (gfx942)", row.name),
        _ => row.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_table_says() {
        let committed = std::fs::read_to_string(path()).unwrap();
        assert!(committed == page().unwrap(), "docs/isa-coverage.md is stale: run `cargo xtask coverage`");
    }

    #[test]
    fn every_encoding_is_on_the_page_and_every_gap_has_a_reason() {
        for row in ROWS {
            assert!(ENCODINGS.iter().any(|(e, _)| *e == row.encoding), "{}", row.name);
            assert!(executed(row) || reason(row.name) != "not done yet", "{}", row.name);
        }
    }
}
