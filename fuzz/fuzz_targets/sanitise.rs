//! The sanitiser: only matched spans change, and a second pass finds nothing in what the first one wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet::content::{Mode, Pack, Sanitizer};
use std::sync::LazyLock;

static SANITIZER: LazyLock<Sanitizer> = LazyLock::new(|| Sanitizer::new(Pack::builtin(), Mode::Redact));

fuzz_target!(|text: &str| {
    let report = SANITIZER.scan_text(text);
    let cleaned = SANITIZER.clean_text(text);
    if report.findings.is_empty() {
        assert_eq!(cleaned.text, text);
    }
    let mut last = 0;
    for finding in &report.findings {
        assert!(finding.span.start >= last && finding.span.end <= text.len());
        assert!(text.is_char_boundary(finding.span.start) && text.is_char_boundary(finding.span.end));
        last = finding.span.start;
    }
});
