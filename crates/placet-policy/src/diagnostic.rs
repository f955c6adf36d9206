//! What is wrong with a policy file, where, and what to do about it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::Arc;

use crate::source::{Position, SourceFile};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; changes nothing.
    Note,
    /// Likely a mistake; an error under `--deny-warnings`.
    Warning,
    /// The set does not load.
    Error,
}

impl Severity {
    /// The word printed before a message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding in one policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code such as `yaml/unknown-key`; every code has a page in `docs/errors/`.
    pub code: &'static str,
    /// What is wrong, in one line, lower case, user input in backticks.
    pub message: String,
    /// The file.
    pub file: Arc<str>,
    /// Where in the file.
    pub position: Position,
    /// What to do next, often a suggestion.
    pub help: Option<String>,
    /// The offending line of the source, for the excerpt.
    pub line_text: Option<String>,
}

impl Diagnostic {
    /// A finding at a place in a file; the excerpt is taken from the file.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: &'static str,
        file: &SourceFile,
        position: Position,
        message: impl Into<String>,
    ) -> Self {
        let line_text = file.line(position.line).map(|line| line.chars().take(MAX_EXCERPT_CHARS).collect());
        Self {
            severity,
            code,
            message: message.into(),
            file: file.path.clone(),
            position,
            help: None,
            line_text,
        }
    }

    /// An error at a place in a file.
    #[must_use]
    pub fn error(
        code: &'static str,
        file: &SourceFile,
        position: Position,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Error, code, file, position, message)
    }

    /// A warning at a place in a file.
    #[must_use]
    pub fn warning(
        code: &'static str,
        file: &SourceFile,
        position: Position,
        message: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, code, file, position, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Longest excerpt of a source line kept in a finding, in characters.
const MAX_EXCERPT_CHARS: usize = 400;

/// `file:line:column: severity[code]: message`, then the excerpt with a caret, then the help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, length } = self.position;
        write!(out, "{}", self.file)?;
        if line > 0 {
            write!(out, ":{line}:{}", column.max(1))?;
        }
        write!(out, ": {}[{}]: {}", self.severity.word(), self.code, self.message)?;
        if let (Some(text), true) = (&self.line_text, line > 0 && column > 0) {
            let number = line.to_string();
            let gutter = " ".repeat(number.len());
            let before: String =
                text.chars().take(column as usize - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let carets = "^".repeat((length.max(1) as usize).min(MAX_EXCERPT_CHARS));
            write!(out, "\n {gutter} |\n {number} | {text}\n {gutter} | {before}{carets}")?;
        }
        if let Some(help) = &self.help {
            write!(out, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// Everything found in one load, in file order. As an error it prints every finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|found| found.severity == Severity::Error)
    }

    /// The findings of one severity.
    pub fn of(&self, severity: Severity) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter().filter(move |found| found.severity == severity)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
