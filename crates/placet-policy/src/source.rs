//! Policy source text and places in it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::{Arc, OnceLock};

/// One policy file, already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user gave it; used in every message.
    pub path: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
    lines: LineStarts,
}

impl SourceFile {
    /// Pairs a path with its text.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into(), lines: LineStarts::default() }
    }

    /// The text of a line, counted from 1, without its line end.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&str> {
        let index = number.checked_sub(1)?;
        let start = *self.lines.of(&self.text).get(index as usize)?;
        self.text.get(start..)?.lines().next()
    }
}

/// Where the lines of a text begin: found once, so that thousands of findings in one file take one search. It
/// follows from the text, so it counts neither in comparisons nor in what is printed.
#[derive(Clone, Default)]
struct LineStarts(Arc<OnceLock<Box<[usize]>>>);

impl LineStarts {
    fn of(&self, text: &str) -> &[usize] {
        let after = |(index, _)| index + 1;
        self.0.get_or_init(|| std::iter::once(0).chain(text.match_indices('\n').map(after)).collect())
    }
}

impl PartialEq for LineStarts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for LineStarts {}

impl fmt::Debug for LineStarts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("_")
    }
}

/// A place in a source file; line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 when unknown.
    pub column: u32,
    /// Length in characters of the offending text on that line; 0 when unknown.
    pub length: u32,
}

impl Position {
    /// A place of unknown length.
    #[must_use]
    pub fn new(line: u32, column: u32) -> Self {
        Self { line, column, length: 0 }
    }

    /// The same place with a length in characters.
    #[must_use]
    pub fn with_length(self, length: usize) -> Self {
        Self { length: u32::try_from(length).unwrap_or(u32::MAX), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_one_that_an_iteration_finds() {
        for text in ["", "\n", "one", "one\n", "one\r\ntwo\r", "\n\nthree\n\n", "ä\nö\n", "a\rb\nc"] {
            let file = SourceFile::new("p.yaml", text);
            assert_eq!(file.line(0), None, "{text:?}");
            for number in 1..8 {
                assert_eq!(file.line(number), text.lines().nth(number as usize - 1), "{text:?} {number}");
            }
        }
    }
}
