//! The laws a room states at its door, and whether its files keep them: `no_std`, unsafe code, the workspace's lints.

use super::Finding;
use super::rooms::{Room, Unsafety};
use super::tokens::{Token, after, tokens};

/// Checks what a room's crate root (`src/lib.rs` or `src/main.rs`) must say to the compiler.
pub(super) fn check_door(room: &Room, path: &str, source: &str) -> Vec<Finding> {
    let tokens = tokens(source);
    let mut findings = Vec::new();
    let mut demand = |said: bool, attribute: &str| {
        if !said {
            findings.push(Finding::at(path, 1, format!("this room's law is `#![{attribute}]`; say so at its top")));
        }
    };
    if room.no_std {
        demand(after(&tokens, &["#", "!", "[", "no_std", "]"]).is_some(), "no_std");
    }
    match room.unsafety {
        Unsafety::Forbidden => demand(says(&tokens, "forbid"), "forbid(unsafe_code)"),
        Unsafety::Audited(_) => demand(says(&tokens, "deny"), "deny(unsafe_code)"),
        Unsafety::Absent | Unsafety::Home => {}
    }
    findings
}

/// Returns whether the crate's attribute `level` covers unsafe code.
fn says(tokens: &[Token<'_>], level: &str) -> bool {
    let Some(inside) = after(tokens, &["#", "!", "[", level, "("]) else { return false };
    inside.iter().take_while(|token| token.text != "]").any(|token| token.text == "unsafe_code")
}

/// Finds the word `unsafe`, and lints switched off, in one source file of a room that is no home of unsafe code.
pub(super) fn check_unsafe(room: &Room, path: &str, source: &str) -> Vec<Finding> {
    // A room with audited files is counted as a whole.
    if matches!(room.unsafety, Unsafety::Home | Unsafety::Audited(_)) {
        return Vec::new();
    }
    let what = "unsafe code outside of sys, hsa-sys, capi and softkmt; wrap it there in a safe function with a test";
    let tokens = tokens(source);
    let found = tokens.iter().filter(|token| token.text == "unsafe");
    found.map(|token| Finding::at(path, token.line, what)).collect()
}

/// Checks that a room with audited files has unsafe code in those and as much of it as was looked at, given all of its source files.
pub(super) fn check_audited(room: &Room, sources: &[(String, String)]) -> Vec<Finding> {
    let Unsafety::Audited(files) = room.unsafety else { return Vec::new() };
    let mut findings = Vec::new();
    for (path, source) in sources {
        let audited = files.iter().find(|(file, _)| file == path).map_or(0, |&(_, uses)| uses);
        let (mut uses, mut expectations) = (0, 0);
        let tokens = tokens(source);
        for (at, token) in tokens.iter().enumerate() {
            let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text);
            let beyond = match (token.text, before(2), before(1)) {
                ("unsafe", ..) => {
                    uses += 1;
                    uses > audited
                }
                ("unsafe_code", "expect", "(") => {
                    expectations += 1;
                    expectations > usize::from(audited > 0)
                }
                ("unsafe_code", "allow" | "warn", "(") => {
                    let what = "audited code is named with `#[expect(unsafe_code, reason = ...)]`";
                    findings.push(Finding::at(path, token.line, what));
                    continue;
                }
                _ => continue,
            };
            if beyond {
                let what = format!("`{}` beyond what was audited: {audited} uses in this file", token.text);
                findings.push(Finding::at(path, token.line, what));
            }
        }
        if uses < audited {
            let what = format!("{uses} uses of `unsafe` are left of {audited}; let xtask/src/tidy/rooms.rs say so");
            findings.push(Finding::of(path, what));
        }
    }
    for (file, _) in files.iter().filter(|(file, _)| sources.iter().all(|(path, _)| path != file)) {
        findings
            .push(Finding::of(file, "an audited file is gone; xtask/src/tidy/rooms.rs still permits it unsafe code"));
    }
    findings
}

/// Checks that a crate's manifest takes the workspace's lints.
pub(super) fn check_manifest(path: &str, manifest: &str) -> Vec<Finding> {
    let mut section = "";
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if (section, line) == ("[lints]", "workspace = true") {
            return Vec::new();
        }
    }
    vec![Finding::of(path, "every crate takes the workspace's lints: add `workspace = true` in a section `[lints]`")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rooms::ROOMS;

    fn room(folder: &str) -> &'static Room {
        ROOMS.iter().find(|room| room.folder == folder).unwrap()
    }

    fn door(folder: &str, source: &str) -> usize {
        check_door(room(folder), "src/lib.rs", source).len()
    }

    #[test]
    fn a_room_without_its_law_is_found() {
        let pure = "//! Text.\n#![no_std]\n#![forbid(unsafe_code)]\n";
        for folder in ["sched", "proto", "broker"] {
            assert_eq!(door(folder, pure), 0);
            assert_eq!(door(folder, "//! #![no_std] #![forbid(unsafe_code)]"), 2, "a comment is no law");
            assert_eq!(door(folder, "#![cfg_attr(not(test), no_std)]\n#![forbid(unsafe_code)]"), 1);
        }
        for folder in ["kernels", "sim", "xtask"] {
            assert_eq!(door(folder, "#![forbid(missing_docs, unsafe_code)]"), 0);
            assert_eq!(door(folder, "#![deny(unsafe_code)]"), 1, "deny can be undone further down");
        }
        assert_eq!((door("gcn", "#![deny(unsafe_code)]"), door("gcn", "")), (0, 1));
        assert_eq!((door("sys", ""), door(".", "")), (0, 0));
    }

    #[test]
    fn unsafe_code_outside_of_its_homes_is_found() {
        let lines = |folder, source| -> Vec<usize> {
            check_unsafe(room(folder), "x.rs", source).iter().map(|finding| finding.line).collect()
        };
        let source = "fn f() {\n    unsafe { g() }\n}\nunsafe extern \"C\" {}\n#[unsafe(no_mangle)]";
        for folder in [".", "client", "sched", "kernels", "xtask"] {
            assert_eq!(lines(folder, source), [2, 4, 5], "{folder}");
            assert_eq!(
                lines(folder, "// unsafe\n#![forbid(unsafe_code)]\nconst S: &str = \"unsafe\";"),
                [] as [usize; 0]
            );
        }
        for folder in ["sys", "hsa-sys", "capi", "softkmt"] {
            assert_eq!(lines(folder, source), [] as [usize; 0], "{folder}");
        }
    }

    #[test]
    fn unsafe_code_beyond_what_was_audited_is_found() {
        let audited = "#[expect(unsafe_code, reason = \"\")] let x = unsafe { f() };";
        let files = [("one.rs", 1), ("two.rs", 2)];
        let room = Room { unsafety: Unsafety::Audited(&[("one.rs", 1), ("two.rs", 2)]), ..*room("gcn") };
        let check = |sources: [&str; 3]| {
            let named = files.iter().map(|(file, _)| *file).chain(["other.rs"]).zip(sources);
            let sources: Vec<_> = named.map(|(path, source)| (path.to_owned(), source.to_owned())).collect();
            check_audited(&room, &sources).len()
        };
        let two = format!("{audited} unsafe fn f() {{}}");
        assert_eq!(check([audited, &two, "fn f() {}"]), 0);
        assert_eq!(check([&two, &two, ""]), 1, "one more use");
        assert_eq!(check([audited, &audited.repeat(2), ""]), 1, "a second permission in one file");
        assert_eq!(check([audited, &two, "unsafe fn f() {}"]), 1, "another file");
        assert_eq!(check([audited, &two, audited]), 2, "another file, with a permission");
        assert_eq!(check(["#[allow(unsafe_code)] let x = unsafe { f() };", &two, ""]), 1);
        assert_eq!(check(["fn f() {}", &two, ""]), 1, "a permission nobody uses");
        assert_eq!(check_audited(&room, &[("one.rs".to_owned(), audited.to_owned())]).len(), 1, "a file that is gone");
        assert_eq!(check_audited(self::room("sys"), &[("x.rs".to_owned(), audited.repeat(3))]), []);
    }

    #[test]
    fn a_crate_without_the_workspaces_lints_is_found() {
        let check = |manifest| check_manifest("x/Cargo.toml", manifest).len();
        assert_eq!(check("[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n"), 0);
        assert_eq!(check("[lints]\n\n[dependencies]\nworkspace = true\n"), 1);
        assert_eq!(check("[package]\nworkspace = true\n[lints]\n"), 1);
    }
}
