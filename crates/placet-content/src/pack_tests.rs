// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::Sanitizer;

#[test]
fn every_example_of_the_builtin_pack_does_what_it_promises() {
    let failing: Vec<String> = Pack::builtin().failing_examples().iter().map(ToString::to_string).collect();
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

/// A `must_not_match` example is ordinary text: no other pattern may fire on it either, unless it is itself a
/// `must_match` of another pattern.
#[test]
fn ordinary_examples_set_off_no_pattern_at_all() {
    let pack = Pack::builtin();
    let sanitizer = Sanitizer::new(pack.clone(), crate::Mode::Redact);
    let wanted: Vec<&String> = pack.patterns().iter().flat_map(|pattern| &pattern.must_match).collect();
    let mut fired = Vec::new();
    for example in pack.patterns().iter().flat_map(|pattern| &pattern.must_not_match) {
        let findings = sanitizer.scan_text(example).findings;
        if !findings.is_empty() && !wanted.contains(&example) {
            fired.push(format!("{example:?}: {:?}", findings.iter().map(|f| &*f.label).collect::<Vec<_>>()));
        }
    }
    assert!(fired.is_empty(), "{}", fired.join("\n"));
}
