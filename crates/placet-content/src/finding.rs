//! What was found, and the text without it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use crate::pack::Severity;
use crate::program::Program;
use crate::scan::Hit;

/// What stands in place of a redacted span.
pub const REDACTED: &str = "[REDACTED]";

/// One match: which label, how bad, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The pattern's label.
    pub label: Arc<str>,
    /// How sure and how bad it is.
    pub severity: Severity,
    /// The same as a number above 0 and up to 1.
    pub score: f64,
    /// Where it stands in the original, in bytes.
    pub span: Range<usize>,
}

/// What a scan found; nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The findings, in the order of the text.
    pub findings: Vec<Finding>,
    /// All of them as one number from 0 to below or at 1; see [`combined_score`].
    pub score: f64,
}

/// A text after cleaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cleaned<'t> {
    /// The text to use; borrowed when nothing was replaced.
    pub text: Cow<'t, str>,
    /// The findings, in the order of the text; spans are those of the original.
    pub findings: Vec<Finding>,
    /// True when something was replaced.
    pub was_modified: bool,
    /// True when the mode is [`crate::Mode::Block`] and something was found: the text must not be used.
    pub blocked: bool,
}

/// Scores of different labels combined as if independent: one minus the product of what each leaves open.
#[must_use]
pub fn combined_score(findings: &[Finding]) -> f64 {
    let mut best: HashMap<&str, f64> = HashMap::new();
    for finding in findings {
        let score = best.entry(&finding.label).or_default();
        *score = score.max(finding.score);
    }
    let mut scores: Vec<f64> = best.into_values().collect();
    // A fixed order keeps the last bits of the product the same from run to run.
    scores.sort_by(f64::total_cmp);
    1.0 - scores.iter().map(|score| 1.0 - score).product::<f64>()
}

/// The labels of some findings, each once, in the order of the text.
#[must_use]
pub fn labels<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Vec<Arc<str>> {
    let mut labels: Vec<Arc<str>> = Vec::new();
    for finding in findings {
        if !labels.contains(&finding.label) {
            labels.push(Arc::clone(&finding.label));
        }
    }
    labels
}

/// Turns hits into findings, joining those of one label that overlap. Hits come ordered by start.
#[derive(Default)]
pub(crate) struct Collector {
    pub(crate) findings: Vec<Finding>,
    latest: HashMap<Arc<str>, usize>,
}

impl Collector {
    /// Adds a hit whose span begins `base` bytes further on.
    pub(crate) fn add(&mut self, program: &Program, hit: &Hit, base: usize) {
        let Some(pattern) = program.patterns.get(hit.pattern) else { return };
        let span = base + hit.span.start..base + hit.span.end;
        let latest = self.latest.get(&pattern.label).and_then(|index| self.findings.get_mut(*index));
        if let Some(latest) = latest.filter(|latest| span.start < latest.span.end) {
            latest.span.end = latest.span.end.max(span.end);
            latest.severity = latest.severity.max(pattern.severity);
            latest.score = latest.score.max(pattern.score);
            return;
        }
        self.latest.insert(Arc::clone(&pattern.label), self.findings.len());
        self.findings.push(Finding {
            label: Arc::clone(&pattern.label),
            severity: pattern.severity,
            score: pattern.score,
            span,
        });
    }
}

/// Copies a text with spans replaced. Spans come ordered by start; overlapping ones share one replacement.
pub(crate) struct Redactor {
    pub(crate) out: Vec<u8>,
    /// How much of the original is dealt with.
    pub(crate) done: usize,
}

impl Redactor {
    pub(crate) fn new(done: usize) -> Self {
        Self { out: Vec::new(), done }
    }

    /// Copies up to `until`.
    pub(crate) fn keep(&mut self, original: &[u8], until: usize) {
        if until > self.done {
            self.out.extend_from_slice(original.get(self.done..until).unwrap_or_default());
            self.done = until;
        }
    }

    /// Copies up to the span and replaces it.
    pub(crate) fn replace(&mut self, original: &[u8], span: &Range<usize>) {
        if span.start >= self.done {
            self.keep(original, span.start);
            self.out.extend_from_slice(REDACTED.as_bytes());
        }
        self.done = self.done.max(span.end);
    }
}

/// A whole text with the findings' spans replaced.
pub(crate) fn redact(original: &[u8], findings: &[Finding]) -> Vec<u8> {
    let mut redactor = Redactor::new(0);
    for finding in findings {
        redactor.replace(original, &finding.span);
    }
    redactor.keep(original, original.len());
    redactor.out
}
