//! The declarations against the C headers of installed releases.
//!
//! Ignored by default, because it needs a C compiler and Debian's `libhsa-runtime-dev`; `cargo xtask hsa` installs both and runs
//! it. `HSA_INCLUDE` names the folders to look for `hsa/hsa.h` in, separated by colons (default `/usr/include`). A folder without
//! headers is a failure, never a pass.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use hsa_sys::layout;

const HEADERS: [&str; 7] = [
    "hsa.h",
    "hsa_ext_amd.h",
    "hsa_ext_image.h",
    "hsa_ven_amd_loader.h",
    "amd_hsa_queue.h",
    "amd_hsa_signal.h",
    "amd_hsa_kernel_code.h",
];

/// Reserved fields change their size as their room is used up.
fn is_reserved(field: &str) -> bool {
    field.starts_with("reserved") && field != "reserved_vgpr_first" && field != "reserved_sgpr_first"
}

/// Returns a program that prints `key value` for what `include` declares and we too.
fn program() -> String {
    let mut c = String::from("#include <stddef.h>\n#include <stdint.h>\n#include <stdbool.h>\n#include <stdio.h>\n");
    for header in HEADERS {
        writeln!(c, "#include <hsa/{header}>").unwrap();
    }
    c.push_str(
        "#define AT_LEAST(minor) (HSA_AMD_INTERFACE_VERSION_MAJOR > 1 || HSA_AMD_INTERFACE_VERSION_MINOR >= minor)\n",
    );
    c.push_str("int main(void) {\n");
    c.push_str("  printf(\"version %d\\n\", HSA_AMD_INTERFACE_VERSION_MINOR);\n");
    let mut line = |since: u32, key: &str, value: &str| {
        writeln!(c, "#if AT_LEAST({since})\n  printf(\"{key} %lld\\n\", (long long)({value}));\n#endif").unwrap();
    };
    for constant in layout::constants() {
        line(constant.since, constant.name, constant.name);
    }
    for record in layout::records() {
        let name = record.name;
        line(record.since, &format!("sizeof({name})"), &format!("sizeof({name})"));
        line(record.since, &format!("alignof({name})"), &format!("_Alignof({name})"));
        for &(field, _, _, since) in record.fields.iter().filter(|(field, ..)| !is_reserved(field)) {
            let field = field.trim_start_matches("r#");
            let since = since.max(record.since);
            line(since, &format!("{name}.{field}"), &format!("offsetof({name}, {field})"));
            line(since, &format!("sizeof({name}.{field})"), &format!("sizeof((({name} *)0)->{field})"));
        }
    }
    c.push_str("  return 0;\n}\n");
    c
}

/// Returns what the program would print if the headers said what we say.
fn ours(version: u32) -> BTreeMap<String, i64> {
    let mut all = BTreeMap::new();
    for constant in layout::constants().filter(|c| c.since <= version) {
        all.insert(constant.name.to_owned(), narrowed(constant.value, constant.bytes));
    }
    for record in layout::records().filter(|r| r.since <= version) {
        let name = record.name;
        // A struct that has grown at its end was as long as its first later field's offset.
        let grown = record
            .fields
            .iter()
            .filter(|&&(.., since)| since > version && record.fields.last().is_some_and(|last| last.3 == since));
        let bytes = grown.map(|&(_, offset, ..)| offset).min().unwrap_or(record.bytes);
        all.insert(format!("sizeof({name})"), bytes as i64);
        all.insert(format!("alignof({name})"), record.align as i64);
        for &(field, offset, bytes, since) in record.fields.iter().filter(|(field, ..)| !is_reserved(field)) {
            if since > version {
                continue;
            }
            let field = field.trim_start_matches("r#");
            all.insert(format!("{name}.{field}"), offset as i64);
            all.insert(format!("sizeof({name}.{field})"), bytes as i64);
        }
    }
    all
}

/// Returns the low `bytes` of a value, without sign: C may give an enumerator a wider or a signed type.
fn narrowed(value: i64, bytes: usize) -> i64 {
    match bytes {
        4 => i64::from(value as u32),
        _ => value,
    }
}

/// Compiles and runs the program against the headers below `include`; returns what it printed.
fn theirs(include: &Path, scratch: &Path) -> BTreeMap<String, i64> {
    let (source, binary) = (scratch.join("headers.c"), scratch.join("headers"));
    fs::write(&source, program()).unwrap();
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(&compiler)
        .args(["-std=gnu11", "-w", "-I"])
        .arg(include)
        .arg(&source)
        .arg("-o")
        .arg(&binary)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}; what next: apt-get install gcc", compiler.display()));
    assert!(
        compiled.status.success(),
        "a declaration is not in the headers of {}:\n{}",
        include.display(),
        String::from_utf8_lossy(&compiled.stderr)
    );
    let printed = Command::new(&binary).output().unwrap();
    assert!(printed.status.success());
    let text = String::from_utf8(printed.stdout).unwrap();
    text.lines()
        .map(|line| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.parse().unwrap())).unwrap())
        .collect()
}

fn include_folders() -> Vec<PathBuf> {
    let folders = env::var_os("HSA_INCLUDE").unwrap_or_else(|| "/usr/include".into());
    env::split_paths(&folders).collect()
}

#[test]
#[ignore = "needs libhsa-runtime-dev and a C compiler; `cargo xtask hsa` gets both and runs this"]
fn declarations_are_those_of_the_headers() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for include in include_folders() {
        assert!(
            include.join("hsa/hsa.h").is_file(),
            "there is no hsa/hsa.h in {}; what next: apt-get install libhsa-runtime-dev, or set HSA_INCLUDE",
            include.display()
        );
        let mut theirs = theirs(&include, scratch);
        let version = u32::try_from(theirs.remove("version").unwrap()).unwrap();
        let ours = ours(version);
        let mut wrong = Vec::new();
        for (key, &value) in &ours {
            match theirs.get(key) {
                Some(&there) => {
                    let constant = layout::constants().find(|c| c.name == key);
                    if narrowed(there, constant.map_or(8, |c| c.bytes)) != value {
                        wrong.push(format!("{key}: {value} here, {there} in C"));
                    }
                }
                None => wrong.push(format!("{key}: not printed")),
            }
        }
        assert!(wrong.is_empty(), "{}, interface 1.{version}:\n{}", include.display(), wrong.join("\n"));
        assert_eq!(ours.len(), theirs.len(), "{}", include.display());
        println!("{}: interface 1.{version}, {} facts agree", include.display(), ours.len());
    }
}

#[test]
fn nothing_is_declared_twice() {
    let mut seen = BTreeMap::new();
    for name in layout::constants().map(|c| c.name).chain(layout::records().map(|r| r.name)) {
        assert_eq!(seen.insert(name, ()), None, "{name}");
    }
    // Fewer would mean that a module's table is not part of the whole.
    assert!(layout::constants().count() > 400 && layout::records().count() > 40);
}
