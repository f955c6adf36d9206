//! The sanitiser: a pack and a mode, applied to texts and bytes.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::finding::{Cleaned, Collector, Finding, Report, combined_score, redact};
use crate::pack::Pack;
use crate::scan::{Frame, scan};
use crate::stream::Stream;

/// Texts up to this size are scanned in one piece, larger ones as a stream; 32 MiB.
const ONE_PIECE_BYTES: usize = 32 << 20;
/// What a stream over a large text holds back; 1 MiB.
const LARGE_WINDOW_BYTES: usize = 1 << 20;

/// What happens to a text in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The matched spans are replaced by [`crate::REDACTED`].
    #[default]
    Redact,
    /// The text is left as it is; only the findings are reported.
    Flag,
    /// As `Redact`, and the result says that it must not be used.
    Block,
}

/// Looks for prompt injection and takes it out. Cheap to clone; usable from many threads.
#[derive(Debug, Clone)]
pub struct Sanitizer {
    pack: Pack,
    mode: Mode,
}

/// Bytes after cleaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CleanedBytes<'t> {
    /// The bytes to use; borrowed when nothing was replaced.
    pub bytes: Cow<'t, [u8]>,
    /// The findings, in order; spans are those of the original.
    pub findings: Vec<Finding>,
    /// True when something was replaced.
    pub was_modified: bool,
    /// True when the mode is [`Mode::Block`] and something was found.
    pub blocked: bool,
}

impl Sanitizer {
    /// A sanitiser with this pack and mode.
    #[must_use]
    pub fn new(pack: Pack, mode: Mode) -> Self {
        Self { pack, mode }
    }

    /// The built-in pack, redacting.
    #[must_use]
    pub fn builtin() -> Self {
        Self::new(Pack::builtin(), Mode::Redact)
    }

    /// The pack in use.
    #[must_use]
    pub fn pack(&self) -> &Pack {
        &self.pack
    }

    /// The mode in use.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Reports what a text holds, in any mode.
    #[must_use]
    pub fn scan_text(&self, text: &str) -> Report {
        let findings = self.findings(text);
        Report { score: combined_score(&findings), findings }
    }

    /// Cleans a text. Without a finding the result is the text itself, byte for byte.
    #[must_use]
    pub fn clean_text<'t>(&self, text: &'t str) -> Cleaned<'t> {
        let findings = self.findings(text);
        let was_modified = self.redacts() && !findings.is_empty();
        let text = if was_modified {
            // Spans end where characters end, so nothing is lost here.
            Cow::Owned(String::from_utf8_lossy(&redact(text.as_bytes(), &findings)).into_owned())
        } else {
            Cow::Borrowed(text)
        };
        Cleaned { text, was_modified, blocked: self.blocks(&findings), findings }
    }

    /// Cleans bytes that hold text, mostly. Bytes that are not UTF-8 are kept as they are; for matching they
    /// count as something not drawn.
    #[must_use]
    pub fn clean_bytes<'t>(&self, bytes: &'t [u8]) -> CleanedBytes<'t> {
        let findings = match std::str::from_utf8(bytes) {
            Ok(text) => self.findings(text),
            Err(_) => self.lossy_findings(bytes),
        };
        let was_modified = self.redacts() && !findings.is_empty();
        let cleaned = if was_modified { Cow::Owned(redact(bytes, &findings)) } else { Cow::Borrowed(bytes) };
        CleanedBytes { bytes: cleaned, was_modified, blocked: self.blocks(&findings), findings }
    }

    /// A cleaner for text that arrives in chunks.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self.clone())
    }

    pub(crate) fn redacts(&self) -> bool {
        self.mode != Mode::Flag
    }

    pub(crate) fn blocks(&self, findings: &[Finding]) -> bool {
        self.mode == Mode::Block && !findings.is_empty()
    }

    pub(crate) fn findings(&self, text: &str) -> Vec<Finding> {
        if text.len() > ONE_PIECE_BYTES {
            let mut stream = Stream::with_window(self.clone(), LARGE_WINDOW_BYTES);
            stream.push_discarding(text);
            return stream.into_findings();
        }
        let program = self.pack.program();
        let mut collector = Collector::default();
        for hit in &scan(program, text, Frame::default()).hits {
            collector.add(program, hit, 0);
        }
        collector.findings
    }

    fn lossy_findings(&self, bytes: &[u8]) -> Vec<Finding> {
        let mut text = String::with_capacity(bytes.len());
        // For each piece: where it begins in `text` and in `bytes`.
        let mut pieces: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            pieces.push((text.len(), at));
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            if !chunk.invalid().is_empty() {
                pieces.push((text.len(), at));
                text.push(char::REPLACEMENT_CHARACTER);
                at += chunk.invalid().len();
            }
        }
        let mut findings = self.findings(&text);
        for finding in &mut findings {
            finding.span = back_to_bytes(&pieces, &finding.span);
        }
        findings
    }
}

/// A match begins and ends on something drawn, hence inside pieces that stand for themselves.
fn back_to_bytes(pieces: &[(usize, usize)], span: &Range<usize>) -> Range<usize> {
    let place = |at: usize| {
        let index = pieces.partition_point(|piece| piece.0 <= at).saturating_sub(1);
        pieces.get(index).map_or(at, |(in_text, in_bytes)| in_bytes + (at - in_text))
    };
    place(span.start)..place(span.end.saturating_sub(1)) + 1
}
