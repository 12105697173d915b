//! What every text file keeps to: no leftovers, no trailing blanks, a length that one subject has. Kept runs are left as they were written.

use super::Finding;
use super::tokens::tokens;

/// Past this many lines a file is asked what its second subject is.
pub(super) const LINES_MAX: usize = 800;

/// Files that may be longer, and why.
pub(super) const LONG_FILES: &[(&str, &str)] = &[];

/// Words that mean "not finished". Put together here, so that this file keeps its own law.
const LEFTOVERS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
/// Macros that mean the same.
const UNFINISHED: [&str; 2] = ["todo", "unimplemented"];

/// Whether a program wrote it to be kept as it is: a run, in a folder of its own below `docs/bench`.
fn is_kept_run(path: &str) -> bool {
    path.strip_prefix("docs/bench/").is_some_and(|rest| rest.contains('/'))
}

/// Checks one text file; `long` are the files that may be longer.
pub(super) fn check(path: &str, text: &str, long: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if is_kept_run(path) {
        return findings;
    }
    let mut lines = 0;
    for (number, line) in (1..).zip(text.lines()) {
        lines = number;
        if line.ends_with(char::is_whitespace) {
            findings.push(Finding::at(path, number, "trailing blanks; `cargo fmt` or an editor removes them"));
        }
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(word) = words.find(|word| LEFTOVERS.contains(word)) {
            let what = format!("{word}: finish it, or open an issue and say what is missing in words");
            findings.push(Finding::at(path, number, what));
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        findings.push(Finding::at(path, lines, "a text file ends with one line break"));
    }
    if is_rust(path) {
        let tokens = tokens(text);
        for pair in tokens.windows(2) {
            if UNFINISHED.contains(&pair[0].text) && pair[1].text == "!" {
                let what =
                    format!("{}!: finish it; an error with what to do next is better than a panic", pair[0].text);
                findings.push(Finding::at(path, pair[0].line, what));
            }
        }
    }
    match long.iter().find(|(file, _)| *file == path) {
        None if lines > LINES_MAX => {
            let what = format!("{lines} lines, {LINES_MAX} are allowed: what is the second subject? give it a file");
            findings.push(Finding::at(path, lines, what));
        }
        Some(_) if lines <= LINES_MAX => {
            findings.push(Finding::of(path, "no longer a long file; take it off the list in xtask/src/tidy/text.rs"));
        }
        _ => {}
    }
    findings
}

/// Finds entries of the list of long files that name none.
pub(super) fn check_list(paths: &[&str], long: &[(&str, &str)]) -> Vec<Finding> {
    let gone = long.iter().filter(|(file, _)| !paths.contains(file));
    gone.map(|(file, _)| Finding::of(file, "listed as a long file in xtask/src/tidy/text.rs, but it is not there"))
        .collect()
}

pub(super) fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(path, text, &[]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn leftovers_are_found_in_any_text() {
        for word in LEFTOVERS {
            assert_eq!(found("docs/x.md", &format!("a\nb {word}: c\n")), [2]);
            assert_eq!(found("x.rs", &format!("// {word}(me)\n")), [1]);
            assert_eq!(found("x.rs", &format!("const {word}S: u8 = 0;\n")), NONE, "another word");
        }
    }

    #[test]
    fn kept_runs_are_left_as_they_were_written() {
        let word = LEFTOVERS[0];
        assert_eq!(found("docs/bench/2026-11-21-m/report.json", &format!("{word} ")), NONE);
        assert_ne!(found("docs/bench/README.md", &format!("{word} ")), NONE);
    }

    #[test]
    fn unfinished_code_is_found() {
        for name in UNFINISHED {
            assert_eq!(found("x.rs", &format!("fn f() {{\n    {name}!()\n}}\n")), [2]);
            assert_eq!(found("x.rs", &format!("let {name} = 1; // {name}!\n")), NONE, "not a macro");
            assert_eq!(found("x.md", &format!("{name}!\n")), NONE, "not Rust");
        }
    }

    #[test]
    fn blanks_and_missing_line_breaks_at_the_end_are_found() {
        assert_eq!(found("x.md", "a\nb \nc\t\n"), [2, 3]);
        assert_eq!(found("x.md", "a\r\n"), NONE, "lines() takes the carriage return off");
        assert_eq!(found("x.md", "a"), [1]);
        assert_eq!(found("x.md", "a\n\n"), [2]);
        assert_eq!(found("x.md", ""), NONE);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let longest = "line\n".repeat(LINES_MAX);
        let longer = "line\n".repeat(LINES_MAX + 1);
        let listed = [("x.rs", "because")];
        assert_eq!(found("x.rs", &longest), NONE);
        assert_eq!(found("x.rs", &longer), [LINES_MAX + 1]);
        assert_eq!(check("x.rs", &longer, &listed), []);
        assert_eq!(check("x.rs", &longest, &listed).len(), 1, "an entry that is not needed");
        assert_eq!(check_list(&["y.rs"], &listed).len(), 1, "an entry without a file");
        assert_eq!(check_list(&["x.rs"], &listed), []);
    }
}
