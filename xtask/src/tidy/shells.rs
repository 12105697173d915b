//! Whether a shell of the root crate imports another: `cli`, `daemon` and `worker` meet in `src/bin/` and nowhere else.
//!
//! Paths are resolved as the compiler would: from `crate`, `self` and `super`, through inline modules and nested `use`
//! groups. A path that begins with a name (`daemon::run()`) needs an import first, which is found.

use super::Finding;
use super::rooms::SHELLS;
use super::tokens::{Token, tokens};

/// Finds imports of a shell by another in one source file of the root crate.
///
/// `path` is the file's, relative to the root of the workspace.
pub(super) fn check(path: &str, source: &str) -> Vec<Finding> {
    let module = module_of(path);
    let Some(shell) = module.first().copied().filter(|first| SHELLS.contains(first)) else { return Vec::new() };
    let tokens = tokens(source);
    let mut walk = Walk { tokens: &tokens, module: &module, inline: Vec::new(), depth: 0, found: Vec::new() };
    walk.file();
    let others = walk.found.into_iter().filter_map(|(line, first)| match first {
        "*" => Some((line, "everything in the crate")),
        other => SHELLS.contains(&other).then_some((line, other)).filter(|_| other != shell),
    });
    others
        .map(|(line, other)| {
            let what =
                format!("`{shell}` imports {other}; shells do not know each other: put what they share below them");
            Finding::at(path, line, what)
        })
        .collect()
}

/// Returns the module that a file is: `src/cli/device.rs` is `cli::device`.
fn module_of(path: &str) -> Vec<&str> {
    let Some(inside) = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")) else { return Vec::new() };
    let mut module: Vec<_> = inside.split('/').collect();
    match *module {
        [.., "mod"] | ["lib" | "main"] => drop(module.pop()),
        ["bin", ..] => module.clear(),
        _ => {}
    }
    module
}

/// One pass over a file.
struct Walk<'t> {
    tokens: &'t [Token<'t>],
    module: &'t [&'t str],
    /// Inline modules around the current token, with the depth of braces outside of each.
    inline: Vec<(&'t str, usize)>,
    depth: usize,
    /// The first name below the crate of every path found, with its line.
    found: Vec<(usize, &'t str)>,
}

impl<'t> Walk<'t> {
    fn text(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn file(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "mod" if self.text(at + 2) == "{" => {
                    self.inline.push((self.text(at + 1), self.depth));
                    at += 2;
                    continue;
                }
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inline.pop_if(|(_, depth)| *depth == self.depth);
                }
                "crate" | "self" | "super" if self.is_separator(at + 1) => {
                    let here = self.module.iter().copied().chain(self.inline.iter().map(|(name, _)| *name)).collect();
                    at = self.path(at, here);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn is_separator(&self, at: usize) -> bool {
        self.text(at) == ":" && self.text(at + 1) == ":"
    }

    /// Follows a path that begins at `at` in module `here`; returns where to read on.
    fn path(&mut self, mut at: usize, mut here: Vec<&'t str>) -> usize {
        loop {
            match self.text(at) {
                "crate" => here.clear(),
                "self" => {}
                "super" => drop(here.pop()),
                "{" => return self.group(at, &here),
                name => {
                    // The first name below the crate decides, and every path gets there: `here` is a prefix of it.
                    let first = here.first().copied().unwrap_or(name);
                    // A file may end in the middle of a path.
                    let line = self.tokens.get(at).or(self.tokens.last()).map_or(1, |token| token.line);
                    self.found.push((line, first));
                    return at + 1;
                }
            }
            if !self.is_separator(at + 1) {
                return at + 1;
            }
            at += 3;
        }
    }

    /// Follows each path of the group in braces that begins at `at`.
    fn group(&mut self, mut at: usize, here: &[&'t str]) -> usize {
        at += 1;
        loop {
            match self.text(at) {
                "" => return at,
                "}" => return at + 1,
                "," => at += 1,
                "{" => at = self.group(at, here),
                _ => {
                    at = self.path(at, here.to_vec());
                    // What is left of this path names nothing new; a group below a name is skipped whole.
                    while !matches!(self.text(at), "" | "," | "}") {
                        at = if self.text(at) == "{" { self.group(at, &["below"]) } else { at + 1 };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, source: &str) -> Vec<usize> {
        check(path, source).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn each_way_to_reach_another_shell_is_found() {
        for source in [
            "use crate::daemon;",
            "use crate::daemon::Loop as L;",
            "use crate::{clock, daemon};",
            "use crate::{clock::{self, now}, device::{Device, soft}, worker::run};",
            "use {crate::worker::run, std::fmt};",
            "fn f() { crate::worker::run() }",
            "use super::super::daemon;",
            "use super::{super::worker, table};",
            "mod tests { use super::super::super::daemon; }",
            "mod a { mod b {} fn f() {} use super::super::super::worker; }",
            "pub(in crate::daemon) fn f() {}",
            "use crate::*;",
            "use crate::{device, *};",
        ] {
            assert_eq!(lines("src/cli/device.rs", source), [1], "{source}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_let_pass() {
        for source in [
            "use crate::cli::table;",
            "use crate::device::worker::daemon;",
            "use crate::{device::{worker, daemon}, local};",
            "use super::worker; // the command of that name, crate::cli::worker",
            "// use crate::daemon;\nconst HELP: &str = \"crate::daemon\";",
            "mod tests { use super::*; use super::super::worker; }",
            "mod tests { mod a { } } use super::worker;",
            "use daemonize::x; use crate::daemon_config;",
            "fn f(&self) { self.worker.run() }",
            "pub(crate) fn f() {} pub(super) fn g() {}",
        ] {
            assert_eq!(lines("src/cli/device.rs", source), [] as [usize; 0], "{source}");
        }
    }

    #[test]
    fn only_shells_are_looked_at_and_lines_are_told() {
        let source = "//! Text.\n\nuse crate::worker;\n";
        assert_eq!(lines("src/daemon.rs", source), [3]);
        assert_eq!(lines("src/daemon/mod.rs", source), [3]);
        for path in ["src/lib.rs", "src/bin/wavegate.rs", "src/device/mod.rs", "src/worker/mod.rs", "sys/src/cli/x.rs"]
        {
            assert_eq!(lines(path, source), [] as [usize; 0], "{path}");
        }
    }

    #[test]
    fn broken_source_ends() {
        for source in
            ["use crate::", "use crate::{", "use crate::{a::{", "}}}}", "mod", "super::", "use super::super::"]
        {
            let _ = lines("src/cli/device.rs", source);
        }
    }
}
