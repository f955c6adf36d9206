//! Policy source text and places in it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

/// One policy file, already read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as the user gave it; used in every message.
    pub path: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl SourceFile {
    /// Pairs a path with its text.
    #[must_use]
    pub fn new(path: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), text: text.into() }
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
