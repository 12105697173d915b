//! Rust source as words and punctuation, without comments and literals.
//!
//! Promise: any text gives tokens; what is not Rust gives other tokens, never a panic. This is as much of Rust's grammar as the
//! laws need: enough to tell `unsafe` the keyword from "unsafe" in a string, a comment or `unsafe_code`.

/// A word or a punctuation character, and the line it stands on, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// Returns the tokens of a source file. Numbers are words.
pub(super) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut reader = Reader { source, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(character) = reader.peek() {
        let rest = &source[reader.at..];
        if rest.starts_with("//") {
            reader.skip_to("\n");
        } else if rest.starts_with("/*") {
            reader.skip_comment();
        } else if character == '"' {
            reader.skip(1);
            reader.skip_string();
        } else if character == '\'' {
            reader.skip_quote();
        } else if let Some(hashes) = raw_string(rest) {
            reader.skip_to("\"");
            reader.skip_to(&format!("\"{}", "#".repeat(hashes)));
        } else if is_word(character) {
            let text = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
            // A prefix of a literal (b"", c"", b'') is not a word of its own.
            if !(matches!(text, "b" | "c") && rest[1..].starts_with(['"', '\''])) {
                tokens.push(Token { text, line: reader.line });
            }
            reader.skip(text.len());
        } else {
            if !character.is_whitespace() {
                tokens.push(Token { text: &rest[..character.len_utf8()], line: reader.line });
            }
            reader.skip(character.len_utf8());
        }
    }
    tokens
}

/// Finds `wanted`, a sequence of tokens; returns the tokens from its end on.
pub(super) fn after<'t, 'a>(tokens: &'t [Token<'a>], wanted: &[&str]) -> Option<&'t [Token<'a>]> {
    let at =
        tokens.windows(wanted.len()).position(|window| window.iter().map(|t| t.text).eq(wanted.iter().copied()))?;
    Some(&tokens[at + wanted.len()..])
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Returns the number of hashes if a raw string begins here: `r"`, `br##"`, `cr#"`.
fn raw_string(rest: &str) -> Option<usize> {
    let rest = ["br", "cr", "r"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
    let quoted = rest.trim_start_matches('#');
    quoted.starts_with('"').then_some(rest.len() - quoted.len())
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.source[self.at..].chars().next()
    }

    /// Skips bytes; the caller sees to it that whole characters are skipped.
    fn skip(&mut self, bytes: usize) {
        self.line += self.source[self.at..self.at + bytes].matches('\n').count();
        self.at += bytes;
    }

    /// Skips to the end of the next `end`, or of the file.
    fn skip_to(&mut self, end: &str) {
        let rest = &self.source[self.at..];
        self.skip(rest.find(end).map_or(rest.len(), |at| at + end.len()));
    }

    /// Skips a block comment; they nest.
    fn skip_comment(&mut self) {
        let mut depth = 0;
        while let Some(character) = self.peek() {
            let rest = &self.source[self.at..];
            if rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(character.len_utf8());
            }
        }
    }

    /// Skips the rest of a string whose opening quote is behind us.
    fn skip_string(&mut self) {
        while let Some(character) = self.peek() {
            self.skip(character.len_utf8());
            match character {
                '"' => return,
                '\\' => self.skip(self.peek().map_or(0, char::len_utf8)),
                _ => {}
            }
        }
    }

    /// Skips a character literal, or the quote of a lifetime, whose name then is a word.
    fn skip_quote(&mut self) {
        self.skip(1);
        let mut ahead = self.source[self.at..].chars();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), Some(escaped)) => {
                self.skip(1 + escaped.len_utf8());
                self.skip_to("'");
            }
            (Some(character), Some('\'')) => self.skip(character.len_utf8() + 1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        tokens(source).iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        for (source, expected) in [
            ("a // unsafe\nb", "a b"),
            ("a /* x /* unsafe */ y */ b", "a b"),
            (r#"a "un\"safe" b"#, "a b"),
            (r##"a r#"un"safe"# br"x" b"##, "a b"),
            (r#"b"x" c"y" b'z' 'w' b"#, "b"),
            (r"'\'' '\u{1f600}' '\\' 'é' b", "b"),
            ("fn f<'a>(x: &'static str)", "fn f < a > ( x : & static str )"),
            ("r#type r", "r # type r"),
            ("#![forbid(unsafe_code)]", "# ! [ forbid ( unsafe_code ) ]"),
            ("crate::a", "crate : : a"),
            ("\"never closed", ""),
            ("/* never closed", ""),
            ("'", ""),
            ("'\\", "\\"),
        ] {
            assert_eq!(words(source), expected, "{source}");
        }
    }

    #[test]
    fn lines_are_counted_through_everything_skipped() {
        let source = "/*\n*/ \"\n\\\n\" r\"\n\" // x\n'\n' here";
        assert_eq!(tokens(source), [Token { text: "here", line: 7 }]);
    }

    #[test]
    fn a_sequence_is_found_whole() {
        let tokens = tokens("a b a b c d");
        assert_eq!(after(&tokens, &["a", "b", "c"]).map(<[_]>::len), Some(1));
        assert_eq!(after(&tokens, &["b", "d"]), None);
    }
}
