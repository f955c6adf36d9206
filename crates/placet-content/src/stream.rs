//! Cleaning text that arrives in chunks.
// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::encoded;
use crate::finding::{Collector, Finding, Redactor};
use crate::sanitizer::Sanitizer;
use crate::scan::{Frame, scan};

/// What a stream holds back unless told otherwise; 8 KiB.
pub const DEFAULT_WINDOW_BYTES: usize = 8 << 10;
/// The least a stream holds back; 2 KiB.
pub const MIN_WINDOW_BYTES: usize = 2 << 10;
/// How much of one chunk is taken in at a time.
const SLICE_BYTES: usize = 64 << 10;

/// Cleans a text chunk by chunk, holding one window back.
///
/// What comes out is what [`Sanitizer::clean_text`] makes of the whole text, however it is cut into chunks, as
/// long as each match with what stands around it (256 characters on both sides) fits into half the window.
/// Memory is bounded by a few windows, findings aside.
#[derive(Debug)]
pub struct Stream {
    sanitizer: Sanitizer,
    window: usize,
    /// What is not yet given out, and half a window of what was, for context.
    buffer: String,
    /// Where the buffer begins in the stream.
    base: usize,
    /// Matches that begin before this place in the buffer are dealt with.
    settled: usize,
    /// Text before this place in the buffer is given out or replaced.
    done: usize,
    collector: Collector,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.findings).finish()
    }
}

impl Stream {
    /// A stream that holds back [`DEFAULT_WINDOW_BYTES`].
    #[must_use]
    pub fn new(sanitizer: Sanitizer) -> Self {
        Self::with_window(sanitizer, DEFAULT_WINDOW_BYTES)
    }

    /// A stream that holds back this many bytes, at least [`MIN_WINDOW_BYTES`].
    #[must_use]
    pub fn with_window(sanitizer: Sanitizer, window_bytes: usize) -> Self {
        Self {
            sanitizer,
            window: window_bytes.max(MIN_WINDOW_BYTES),
            buffer: String::new(),
            base: 0,
            settled: 0,
            done: 0,
            collector: Collector::default(),
        }
    }

    /// Takes in a chunk and gives out what can be decided by now, possibly nothing.
    #[must_use = "what is given out is not given out again"]
    pub fn push(&mut self, chunk: &str) -> String {
        let mut out = Vec::new();
        self.take_in(chunk, &mut out);
        into_text(out)
    }

    /// Gives out the rest. After it the stream is at its end; pushing on would begin a new text.
    #[must_use = "the rest of the text"]
    pub fn finish(&mut self) -> String {
        let out = self.settle(self.buffer.len());
        self.base += self.buffer.len();
        self.buffer = String::new();
        (self.settled, self.done) = (0, 0);
        into_text(out)
    }

    /// What was found so far; spans are places in the whole stream, in bytes.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.collector.findings
    }

    /// True when the mode is [`crate::Mode::Block`] and something was found.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.sanitizer.blocks(&self.collector.findings)
    }

    /// The bytes held at this moment.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn push_discarding(&mut self, text: &str) {
        let mut out = Vec::new();
        for slice in slices(text) {
            self.take_in(slice, &mut out);
            out.clear();
        }
        out = self.settle(self.buffer.len());
        drop(out);
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.collector.findings
    }

    fn take_in(&mut self, chunk: &str, out: &mut Vec<u8>) {
        for slice in slices(chunk) {
            self.buffer.push_str(slice);
            // Twice the window, so that each scan settles at least as much as it holds back.
            if self.buffer.len() - self.settled >= 2 * self.window {
                let until = self.cut();
                out.extend(self.settle(until));
                self.forget();
            }
        }
    }

    /// The place up to which matches are certain: none that begins before it can change.
    fn cut(&self) -> usize {
        let target = self.buffer.floor_char_boundary(self.buffer.len().saturating_sub(self.window));
        let run = encoded::runs(&self.buffer, self.settled)
            .take_while(|run| run.span.start < target)
            .find(|run| run.span.end > target);
        match run {
            Some(run) if run.span.len() <= self.window / 2 => run.span.start,
            Some(run) => encoded::cut_at_group(&self.buffer, &run, target),
            None => target,
        }
    }

    /// Deals with the matches that begin before `until`, gives out the text up to there.
    fn settle(&mut self, until: usize) -> Vec<u8> {
        let program = self.sanitizer.pack().program();
        let frame = Frame { continued: self.base > 0, runs_from: self.settled };
        let mut redactor = Redactor::new(self.done);
        let original = self.buffer.as_bytes();
        for hit in scan(program, &self.buffer, frame).hits {
            if (self.settled..until).contains(&hit.span.start) {
                self.collector.add(program, &hit, self.base);
                if self.sanitizer.redacts() {
                    redactor.replace(original, &hit.span);
                }
            }
        }
        redactor.keep(original, until);
        self.done = redactor.done;
        self.settled = self.settled.max(until);
        redactor.out
    }

    /// Drops what is given out, but for half a window of context.
    fn forget(&mut self) {
        let keep_from = self.settled.min(self.done).saturating_sub(self.window / 2);
        let keep_from = self.buffer.floor_char_boundary(keep_from);
        self.buffer.drain(..keep_from);
        self.base += keep_from;
        self.settled -= keep_from;
        self.done -= keep_from;
    }
}

/// The text in slices of bounded size, cut between characters.
fn slices(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (head, tail) = rest.split_at_checked(rest.floor_char_boundary(SLICE_BYTES))?;
        rest = tail;
        Some(head)
    })
}

/// What is given out begins and ends between characters.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
