//! Globs: `*` any run (also of `/` and newlines), `?` one character, `[seq]` and `[!seq]`; whole text.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regex::Regex;

use crate::reading;

/// A compiled glob with its two readings.
#[derive(Debug, Clone)]
pub struct Glob {
    /// As written.
    pub pattern: String,
    /// The pattern for normal forms.
    pub normal: String,
    raw_matcher: Matcher,
    /// `None` when the normal pattern is the raw one.
    normal_matcher: Option<Matcher>,
}

/// Most characters of a glob.
pub(crate) const MAX_CHARS: usize = 1_000;

/// Why a glob was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// It is longer than the limit.
    #[error("the glob is {actual} characters long; the limit is {MAX_CHARS}; split it into several")]
    TooLong {
        /// Its length in characters.
        actual: usize,
    },
    /// A bracket expression never ends.
    #[error("the `[` in the glob `{0}` has no `]`; close it, or write `[[]` for the character itself")]
    OpenBracket(String),
    /// A bracket expression the matcher cannot use.
    #[error("the glob `{0}` has a bracket range that runs backwards; swap its ends")]
    BadRange(String),
}

impl Glob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// [`GlobError`] for brackets that never end, ranges that run backwards, and length.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        let actual = pattern.chars().count();
        if actual > MAX_CHARS {
            return Err(GlobError::TooLong { actual });
        }
        let normal = reading::normal_pattern(pattern);
        let raw_matcher = Matcher::new(pattern)?;
        let normal_matcher = if normal == pattern { None } else { Some(Matcher::new(&normal)?) };
        Ok(Self { pattern: pattern.to_owned(), normal, raw_matcher, normal_matcher })
    }

    /// Whether the pattern matches the raw text.
    #[must_use]
    pub fn matches_raw(&self, text: &str) -> bool {
        self.raw_matcher.matches(text)
    }

    /// Whether the normal pattern matches a normal form.
    #[must_use]
    pub fn matches_normal(&self, text: &str) -> bool {
        self.normal_matcher.as_ref().unwrap_or(&self.raw_matcher).matches(text)
    }

    /// The longest literal that every matching text contains, raw and normal; empty when there is none.
    #[must_use]
    pub fn required(&self) -> (String, String) {
        (longest_literal(&self.pattern), longest_literal(&self.normal))
    }

    /// Whether the glob matches every text.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        !self.pattern.is_empty() && self.pattern.bytes().all(|byte| byte == b'*')
    }
}

/// A matcher that is linear in the text.
#[derive(Debug, Clone)]
enum Matcher {
    /// Literal parts between `*`s; `anchored` ends are those without a `*`.
    Parts { parts: Vec<String>, starts: bool, ends: bool },
    /// Anything with `?` or brackets.
    Regex(Regex),
}

impl Matcher {
    fn new(pattern: &str) -> Result<Self, GlobError> {
        if !pattern.contains(['?', '[']) {
            let parts = pattern.split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect();
            return Ok(Self::Parts {
                parts,
                starts: !pattern.starts_with('*'),
                ends: !pattern.ends_with('*'),
            });
        }
        let regex = Regex::new(&to_regex(pattern)?).map_err(|_| GlobError::BadRange(pattern.to_owned()))?;
        Ok(Self::Regex(regex))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text),
            Self::Parts { parts, starts, ends } => matches_parts(parts, *starts, *ends, text),
        }
    }
}

fn matches_parts(parts: &[String], starts: bool, ends: bool, text: &str) -> bool {
    let Some((first, others)) = parts.split_first() else {
        // `` matches only the empty text, `*` every text.
        return !starts || text.is_empty();
    };
    if starts && ends && others.is_empty() {
        return text == first;
    }
    let mut rest = text;
    let mut middle = parts;
    if starts {
        let Some(after) = rest.strip_prefix(first.as_str()) else { return false };
        rest = after;
        middle = others;
    }
    if ends {
        let Some((last, before)) = middle.split_last() else { return rest.is_empty() };
        let Some(until) = rest.strip_suffix(last.as_str()) else { return false };
        rest = until;
        middle = before;
    }
    // Leftmost matches leave the most text to the parts that follow, so no backtracking is needed.
    middle.iter().all(|part| match rest.find(part.as_str()) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

/// The glob as a regular expression over whole texts; the same text is used in exported Rego.
///
/// # Errors
/// [`GlobError::OpenBracket`] when a bracket never ends.
pub fn to_regex(pattern: &str) -> Result<String, GlobError> {
    let mut out = String::from("(?s)^");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => bracket(pattern, &mut chars, &mut out)?,
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    out.push_str("\\z");
    Ok(out)
}

fn bracket(
    pattern: &str,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Result<(), GlobError> {
    let negated = chars.next_if_eq(&'!').is_some();
    let mut members: Vec<char> = Vec::new();
    loop {
        match chars.next() {
            None => return Err(GlobError::OpenBracket(pattern.to_owned())),
            Some(']') if !members.is_empty() => break,
            Some(c) => members.push(c),
        }
    }
    out.push_str(if negated { "[^" } else { "[" });
    let last = members.len() - 1;
    for (index, c) in members.into_iter().enumerate() {
        if c == '-' && index > 0 && index < last {
            out.push('-');
        } else {
            // Every ASCII symbol is escaped, so nothing gains a meaning that brackets of globs lack.
            if c.is_ascii_punctuation() {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out.push(']');
    Ok(())
}

/// Brackets are skipped as [`bracket`] reads them: a `]` right after the opening is a member.
fn longest_literal(pattern: &str) -> String {
    let mut best = String::new();
    let mut current = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if !matches!(c, '*' | '?' | '[') {
            current.push(c);
            continue;
        }
        if c == '[' {
            chars.next_if_eq(&'!');
            chars.next();
            chars.by_ref().take_while(|c| *c != ']').for_each(drop);
        }
        if current.len() > best.len() {
            best = std::mem::take(&mut current);
        }
        current.clear();
    }
    if current.len() > best.len() { current } else { best }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, wanted) in [
            ("search*", "search", true),
            ("search*", "search_web", true),
            ("search*", "research", false),
            ("se?rch", "search", true),
            ("se?rch", "serch", false),
            ("*_delete", "tool_delete", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("aa*aa", "aaa", false),
            ("[ab]x", "bx", true),
            ("[!ab]x", "bx", false),
            ("[a-c]", "b", true),
            ("[]]", "]", true),
            ("[*]", "*", true),
            ("[*]", "a", false),
            ("", "", true),
            ("", "a", false),
            ("*", "line\nbreak", true),
            ("a.c", "abc", false),
            ("delete", "delete\n", false),
        ] {
            assert_eq!(Glob::new(pattern).expect(pattern).matches_raw(text), wanted, "{pattern} on {text}");
        }
        assert!(Glob::new("[ab").is_err());
        assert!(Glob::new("[b-a]").is_err());
    }

    proptest! {
        #[test]
        fn the_part_matcher_agrees_with_the_regex(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let regex = Regex::new(&to_regex(&pattern).unwrap()).unwrap();
            prop_assert_eq!(Glob::new(&pattern).unwrap().matches_raw(&text), regex.is_match(&text));
        }

        #[test]
        fn a_matching_text_contains_the_required_literal(pattern in "[ab*?]{0,8}|[ab*]{0,3}\\[[!]?[\\]]?[ab]{1,2}\\][ab]{0,3}", text in "[ab\\]]{0,10}") {
            let glob = Glob::new(&pattern).unwrap();
            if glob.matches_raw(&text) {
                prop_assert!(text.contains(&glob.required().0));
            }
        }
    }
}
