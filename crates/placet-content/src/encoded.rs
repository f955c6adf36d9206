//! Runs of base64: finding them and reading the text they hold.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ops::Range;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

/// The shortest run that is opened, in characters (15 bytes of text).
pub(crate) const MIN_RUN: usize = 20;
/// The shortest line of a run that may go on in the next line.
const MIN_LINE: usize = 40;
/// The shortest piece of decoded text that is scanned, in bytes.
const MIN_TEXT_BYTES: usize = 10;

/// A run of base64 in a text, padding included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) span: Range<usize>,
}

/// The runs that begin at `from` or later, in order.
pub(crate) fn runs(text: &str, from: usize) -> impl Iterator<Item = Run> {
    let bytes = text.as_bytes();
    let mut at = from;
    std::iter::from_fn(move || {
        loop {
            // A run of this length covers a multiple of it: look there, not at every byte.
            let probe = at.checked_add(MIN_RUN - 1)?;
            let byte = *bytes.get(probe)?;
            if !is_symbol(byte) {
                at = probe + 1;
                continue;
            }
            let back = bytes.get(at..probe)?.iter().rev().take_while(|byte| is_symbol(**byte)).count();
            let start = probe - back;
            let end = line_end(bytes, start);
            at = end.max(probe + 1);
            if end - start >= MIN_RUN {
                let end = run_end(bytes, start, end);
                at = end;
                return Some(Run { span: start..end });
            }
        }
    })
}

/// The texts a run holds, at each of the four places where its first group may begin.
pub(crate) fn decode<'t>(text: &'t str, run: &Run) -> impl Iterator<Item = String> + 't {
    let symbols: Vec<u8> = text
        .as_bytes()
        .get(run.span.clone())
        .unwrap_or_default()
        .iter()
        .copied()
        .filter(|byte| is_symbol(*byte))
        .collect();
    (0..4).flat_map(move |skip| {
        let group = symbols.get(skip..).unwrap_or_default();
        let whole = if group.len() % 4 == 1 { group.len() - 1 } else { group.len() };
        let decoded = BASE64.decode(group.get(..whole).unwrap_or_default()).unwrap_or_default();
        readable(&decoded)
    })
}

/// Where a run longer than `limit` may be cut without losing the place of its groups.
pub(crate) fn cut_at_group(text: &str, run: &Run, limit: usize) -> usize {
    let bytes = text.as_bytes();
    let (mut symbols, mut cut) = (0usize, run.span.start);
    for at in run.span.start..limit.min(run.span.end) {
        if bytes.get(at).is_some_and(|byte| is_symbol(*byte)) {
            if symbols % 4 == 0 {
                cut = at;
            }
            symbols += 1;
        }
    }
    cut
}

static BASE64: LazyLock<Encoding> = LazyLock::new(encoding);

#[expect(clippy::expect_used, reason = "a constant specification, used by every test of this module")]
fn encoding() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    specification.translate.from.push_str("-_");
    specification.translate.to.push_str("+/");
    specification.check_trailing_bits = false;
    specification.encoding().expect("the base64 alphabet is well formed")
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !is_symbol(*byte)).unwrap_or(rest.len())
}

/// Follows a run over line ends, then over its padding.
fn run_end(bytes: &[u8], start: usize, first_end: usize) -> usize {
    let (mut line_start, mut end) = (start, first_end);
    while end - line_start >= MIN_LINE {
        let rest = bytes.get(end..).unwrap_or_default();
        let break_len = match rest {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            _ => break,
        };
        let next = end + break_len;
        let next_end = line_end(bytes, next);
        let whole_line = matches!(bytes.get(next_end), None | Some(b'\n' | b'\r' | b'=' | b'"' | b'\''));
        if next_end == next || !whole_line {
            break;
        }
        (line_start, end) = (next, next_end);
    }
    let padding =
        bytes.get(end..).unwrap_or_default().iter().take(2).take_while(|byte| **byte == b'=').count();
    end + padding
}

/// The pieces of decoded bytes that are text: UTF-8 without control characters.
fn readable(bytes: &[u8]) -> Vec<String> {
    let mut pieces = Vec::new();
    for chunk in bytes.utf8_chunks() {
        let lines = chunk.valid().split(|c: char| c.is_control() && !c.is_whitespace());
        pieces.extend(lines.filter(|piece| piece.len() >= MIN_TEXT_BYTES).map(str::to_owned));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        runs(text, 0).map(|run| &text[run.span]).collect()
    }

    #[test]
    fn runs_are_found_wherever_they_begin() {
        let run = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo=";
        for lead in 0..60 {
            let text = format!("{}{run} tail words here", ". ".repeat(lead));
            assert_eq!(found(&text), [run]);
        }
        assert!(found("short words only, nothing here is long enough to be opened").is_empty());
    }

    #[test]
    fn a_run_goes_on_over_line_ends() {
        let text = format!("{}\r\n{}\n{}==\nprose", "A".repeat(76), "B".repeat(76), "C".repeat(10));
        assert_eq!(found(&text), [&text[..text.len() - 6]]);
        let text = format!("{}\nprose goes on", "A".repeat(76));
        assert_eq!(found(&text), [&text[..76]]);
    }

    #[test]
    fn text_is_read_at_any_alignment() {
        let inner = data_encoding::BASE64.encode(b"a text worth reading, long enough");
        for lead in ["", "x", "x/", "abc"] {
            let text = format!("{lead}{inner}");
            let run = runs(&text, 0).next().unwrap();
            let texts: Vec<_> = decode(&text, &run).collect();
            assert!(texts.iter().any(|text| text.contains("worth reading")), "{lead}: {texts:?}");
        }
    }
}
