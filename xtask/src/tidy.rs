//! The laws of the house that the compiler cannot check.
//!
//! Promise: what passes here keeps every rule below, and what does not is named with its file, line and a way out. Files are
//! those on disk, committed or not, without build products; nothing is changed.
//!
//! | module | rule |
//! |---|---|
//! | [`edges`] | rooms use only the rooms that the table allows |
//! | [`laws`] | `no_std` and the laws about unsafe code stand at the doors and are kept; crates take the workspace's lints |
//! | [`shells`] | `cli`, `daemon` and `worker` do not import each other |
//! | [`text`] | no leftovers, no trailing blanks, no file without one subject |
//! | [`rooms`] | the table |
//!
//! Each rule has a test that shows it failing.

mod edges;
mod laws;
mod rooms;
mod shells;
mod text;
mod tokens;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use rooms::{ROOMS, Room, room_of};

/// Folders that hold no source: build products, history, what fuzzing found.
const SKIPPED: [&str; 5] = [".git", "target", "corpus", "artifacts", "coverage"];
/// Written by tools, in their own style.
const GENERATED: [&str; 2] = ["Cargo.lock", "fuzz/libfuzzer/Cargo.lock"];

/// One rule broken in one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1, or 0 for the whole file.
    line: usize,
    what: String,
}

impl Finding {
    fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Finding { path: path.to_owned(), line, what: what.into() }
    }

    fn of(path: &str, what: impl Into<String>) -> Self {
        Finding::at(path, 0, what)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks the whole repository and prints what it finds.
pub(crate) fn check() -> Result<()> {
    let root = crate::root();
    let files = text_files(&root)?;
    let mut findings = edges::check(&edges::metadata(&root)?);
    findings.extend(check_files(&files));
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    ensure!(findings.is_empty(), "{} findings in {} files, above", findings.len(), files.len());
    println!("tidy: {} rooms and {} files keep the laws of the house", ROOMS.len(), files.len());
    Ok(())
}

/// Checks files, given as (path, text).
fn check_files(files: &[(String, String)]) -> Vec<Finding> {
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let mut findings = text::check_list(&paths, text::LONG_FILES);
    for (path, text) in files {
        findings.extend(text::check(path, text, text::LONG_FILES));
        // They are a workspace of their own; the macro that makes one is from outside.
        if text::is_rust(path) && !path.starts_with("fuzz/libfuzzer/") {
            findings.extend(laws::check_unsafe(room_of(path), path, text));
            findings.extend(shells::check(path, text));
        }
    }
    for room in ROOMS {
        findings.extend(check_room(room, files));
    }
    findings
}

/// Checks what a room's files must be as a whole.
fn check_room(room: &Room, files: &[(String, String)]) -> Vec<Finding> {
    let inside = |name: &str| if room.folder == "." { name.to_owned() } else { format!("{}/{name}", room.folder) };
    let file = |name: &str| files.iter().find(|(path, _)| *path == inside(name));
    let mut findings = Vec::new();
    match file("src/lib.rs").or(file("src/main.rs")) {
        Some((path, source)) => findings.extend(laws::check_door(room, path, source)),
        None => findings.push(Finding::of(room.folder, "this room has neither src/lib.rs nor src/main.rs")),
    }
    match file("Cargo.toml") {
        Some((path, manifest)) => findings.extend(laws::check_manifest(path, manifest)),
        None => findings.push(Finding::of(room.folder, "this room has no Cargo.toml")),
    }
    let own = |path: &str| text::is_rust(path) && room_of(path).folder == room.folder;
    let sources: Vec<_> = files.iter().filter(|(path, _)| own(path)).cloned().collect();
    findings.extend(laws::check_audited(room, &sources));
    findings
}

/// Reads the text files of the repository: (path below the root, text), sorted.
fn text_files(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let reading = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let (path, kind) = (entry.path(), entry.file_type().with_context(reading)?);
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                // What is not UTF-8 or has a zero byte is no text: code objects, pictures.
                let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
                files.extend(text.filter(|_| !GENERATED.contains(&name.as_str())).map(|text| (name, text)));
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::rooms::Unsafety;
    use super::*;

    /// A repository that keeps every law that is about files.
    fn house() -> Vec<(String, String)> {
        let mut files = Vec::new();
        for room in ROOMS {
            let inside = |name: &str| format!("{}/{name}", room.folder).trim_start_matches("./").to_owned();
            let law = match room.folder {
                "gcn" => "#![deny(unsafe_code)]\n",
                _ => "#![no_std]\n#![forbid(unsafe_code)]\n",
            };
            files.push((inside("src/lib.rs"), law.to_owned()));
            if let Unsafety::Audited(audited) = room.unsafety {
                files.extend(audited.iter().map(|&(path, uses)| {
                    let law = format!("#[expect(unsafe_code)]\n{}", "const X: () = unsafe { f() };\n".repeat(uses));
                    (path.to_owned(), law)
                }));
            }
            files.push((inside("Cargo.toml"), "[lints]\nworkspace = true\n".to_owned()));
        }
        files
    }

    /// What is found after `text` has taken the place of the file `path`.
    fn found(path: &str, text: Option<&str>) -> Vec<String> {
        let mut files = house();
        files.retain(|(name, _)| name != path);
        files.extend(text.map(|text| (path.to_owned(), text.to_owned())));
        check_files(&files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_is_applied_to_the_files_it_is_about() {
        assert_eq!(check_files(&house()), []);
        for (path, text, expected) in [
            (
                "sched/src/lib.rs",
                Some("#![forbid(unsafe_code)]\n"),
                "sched/src/lib.rs:1: this room's law is `#![no_std]`",
            ),
            ("sim/Cargo.toml", Some("[package]\n"), "sim/Cargo.toml: every crate takes the workspace's lints"),
            ("sim/Cargo.toml", None, "sim: this room has no Cargo.toml"),
            ("capi/src/lib.rs", None, "capi: this room has neither"),
            ("src/device/x.rs", Some("fn f() { unsafe {} }\n"), "src/device/x.rs:1: unsafe code outside"),
            ("client/tests/x.rs", Some("unsafe fn f() {}\n"), "client/tests/x.rs:1: unsafe code outside"),
            ("gcn/src/x.rs", Some("unsafe fn f() {}\n"), "gcn/src/x.rs:1: `unsafe` beyond what was audited"),
            ("src/cli/x.rs", Some("use crate::worker;\n"), "src/cli/x.rs:1: `cli` imports worker"),
            ("docs/x.md", Some("line \n"), "docs/x.md:1: trailing blanks"),
        ] {
            let findings = found(path, text);
            assert!(findings.len() == 1 && findings[0].starts_with(expected), "{path}: {findings:?}");
        }
        assert_eq!(found("sys/src/x.rs", Some("unsafe fn f() {}\n")), [] as [&str; 0]);
        assert_eq!(found("fuzz/libfuzzer/x.rs", Some("unsafe fn f() {}\n")), [] as [&str; 0]);
    }

    #[test]
    fn this_repository_is_read() {
        let files = text_files(&crate::root()).unwrap();
        let has = |path: &str| files.iter().any(|(name, _)| name == path);
        assert!(has("Cargo.toml") && has("xtask/src/tidy.rs") && has("kernels/src-gpu/device.h"));
        assert!(files.iter().all(|(name, _)| !name.contains("target/") && !name.ends_with(".co")));
    }
}
