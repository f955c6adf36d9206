//! Colour, and text made safe for a terminal.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::fmt::Write;

use clap::builder::styling::{AnsiColor, Style};
use placet::Verdict;

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// Writes styles, or leaves them out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// The text in a style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// The word of a verdict in its colour.
    pub(crate) fn verdict(self, verdict: &Verdict) -> String {
        self.paint(verdict_style(verdict.word()), &verdict.word().to_uppercase())
    }
}

/// The colour of a verdict word.
pub(crate) fn verdict_style(word: &str) -> Style {
    match word {
        "allow" => GREEN,
        "escalate" => YELLOW,
        _ => RED,
    }
}

/// A text whose control and direction characters are shown, not obeyed: events and policies are foreign text,
/// and a terminal acts on what is printed to it. Line ends and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`visible`], on one line.
pub(crate) fn visible_line(text: &str) -> String {
    visible(text).replace('\n', "\\n").replace('\t', "\\t")
}

fn acts(c: char) -> bool {
    // Directions, and the line ends of Unicode.
    let direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n' && c != '\t') || direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_foreign_text() {
        assert_eq!(visible("plain ü\n"), "plain ü\n");
        assert_eq!(visible("a\u{1b}[31mb\u{202e}\u{2028}"), "a\\u{1b}[31mb\\u{202e}\\u{2028}");
        assert_eq!(visible_line("a\nb"), "a\\nb");
    }

    #[test]
    fn no_style_is_written_where_colour_is_off() {
        assert_eq!(Paint::new(false).paint(RED, "x"), "x");
        assert!(Paint::new(true).paint(RED, "x").starts_with('\u{1b}'));
    }
}
