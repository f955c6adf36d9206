//! Where expressions really start and end.
//!
//! The parser's spans leave out the quotes of strings, start an object at its last key, and end `set()` one token late.
//! Text can only be moved by spans that are exact.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Span, Token, TokenKind};

/// What the tokens of a text say about its spans.
#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Where the contents of strings start and end.
    string_starts: BTreeSet<u32>,
    string_ends: BTreeSet<u32>,
    /// Line and column of each `{` to its offset.
    braces: BTreeMap<(u32, u32), u32>,
    /// Where each `set(` starts, to where its `)` ends.
    empty_sets: BTreeMap<u32, u32>,
}

impl Spans {
    /// Reads the tokens of a text.
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut spans = Self::default();
        for (index, Token(kind, span)) in tokens.iter().enumerate() {
            match (kind, span.text()) {
                (TokenKind::String | TokenKind::RawString, _) => {
                    spans.string_starts.insert(span.start);
                    spans.string_ends.insert(span.end);
                }
                (_, "{") => {
                    spans.braces.insert((span.line, span.col), span.start);
                }
                (_, "set(") => {
                    if let Some(Token(_, close)) = tokens.get(index + 1) {
                        spans.empty_sets.insert(span.start, close.end);
                    }
                }
                _ => {}
            }
        }
        spans
    }

    /// The offsets of a span in the text, quotes included.
    pub(super) fn range(&self, span: &Span) -> (usize, usize) {
        let start = span.start - u32::from(self.string_starts.contains(&span.start));
        let end = span.end + u32::from(self.string_ends.contains(&span.end));
        (start as usize, end as usize)
    }

    /// The offsets of an expression in the text.
    pub(super) fn of(&self, expression: &Expr) -> (usize, usize) {
        let span = expression.span();
        let (start, end) = self.range(span);
        match expression {
            Expr::Object { .. } => {
                (self.braces.get(&(span.line, span.col)).map_or(start, |brace| *brace as usize), end)
            }
            Expr::Set { items, .. } if items.is_empty() => {
                (start, self.empty_sets.get(&span.start).map_or(end, |close| *close as usize))
            }
            _ => (start, end),
        }
    }
}
