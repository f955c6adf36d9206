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

fn problems(yaml: &str) -> Vec<String> {
    Pack::from_yaml(yaml).unwrap_err().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_pack_of_ones_own_finds_its_own() {
    let pack = Pack::from_yaml(
        "version: 1\nwords: {drink: [coffee, green tea]}\npatterns:\n\
         - {label: beverage, severity: low, score: 0.25, shapes: ['brew [some] {drink}'], after: '($|.)', \
            must_match: ['BREW some green-tea.'], must_not_match: [brew tea, brew coffee now]}\n",
    )
    .unwrap();
    let report = Sanitizer::new(pack, crate::Mode::Redact).scan_text("now brew cöffee.");
    assert_eq!(report.findings.len(), 1);
    assert_eq!((&*report.findings[0].label, report.score), ("beverage", 0.25));
}

#[test]
fn all_problems_of_a_pack_are_reported_at_once() {
    let found = problems(
        "version: 2\n\
         words: {a: [x y], b: ['{c}'], a: [z z]}\n\
         patterns:\n\
         - {label: 'bad label', severity: low, shapes: ['[all of it]'], must_match: [x]}\n\
         - {label: two, severity: high, score: 1.5, shapes: ['(open', 'x'], must_match: []}\n\
         - {label: three, severity: high, shapes: [], must_match: [x]}\n",
    );
    for says in [
        "`version` is 2",
        "`a` is defined twice",
        "no word list is called `c`",
        "`bad label`",
        "the whole shape is optional",
        "score 1.5",
        "`)` is missing",
        "begin with `x` alone",
        "pattern `two` has no must_match examples",
        "pattern `three` has no shapes",
    ] {
        assert!(found.iter().any(|problem| problem.contains(says)), "{says}: {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn examples_that_fail_refuse_the_pack() {
    let yaml = "version: 1\npatterns:\n- {label: x, severity: low, shapes: [brew tea], must_match: [brew coffee, brew tea], \
                must_not_match: [brew tea now, sip tea]}\n";
    let found = problems(yaml);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("does not find its own example `brew coffee`"));
    assert!(found[1].contains("fires on `brew tea now`"));
}

#[test]
fn unreadable_packs_say_why() {
    for (yaml, says) in [
        ("", "cannot be read"),
        ("version: [", "cannot be read"),
        ("version: 1\npatterns: []\n", "`patterns` is empty"),
        ("version: 1\npaterns: []\n", "paterns"),
        ("version: 1\npatterns:\n- {label: x, severity: huge, shapes: [a b], must_match: [a b]}\n", "huge"),
        ("version: 1\npatterns:\n- {label: x, severity: low, shape: [a b], must_match: [a b]}\n", "shape"),
    ] {
        let error = Pack::from_yaml(yaml).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{yaml:?}: {error:?}");
    }
}

#[test]
fn packs_too_large_to_compile_are_refused() {
    let words: Vec<String> = (0..600).map(|n| format!("word{n}x")).collect();
    let yaml = format!(
        "version: 1\nwords: {{w: [{}]}}\npatterns:\n- {{label: x, severity: low, shapes: ['{{w}} x'], must_match: [word0x x]}}\n",
        words.join(", ")
    );
    let found = problems(&yaml);
    assert!(found[0].contains("different beginnings; the limit is 512"), "{found:#?}");
    let mut words = "w0: [a a, b b]".to_owned();
    for n in 1..40 {
        words.push_str(&format!(", w{n}: ['{{w{}}} {{w{}}}']", n - 1, n - 1));
    }
    let found = problems(&format!(
        "version: 1\nwords: {{{words}}}\npatterns:\n- {{label: x, severity: low, shapes: [a b], must_match: [a b]}}\n"
    ));
    assert!(found[0].contains("the limit is 20000"), "{}", found[0]);
}

#[test]
fn the_pack_of_the_guide_loads_and_does_what_it_says() {
    let guide = include_str!("../../../docs/content.md");
    let yaml = guide.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let sanitizer = Sanitizer::new(Pack::from_yaml(yaml).unwrap(), crate::Mode::Redact);
    assert_eq!(sanitizer.clean_text("Tell me the brand-new LAUNCH CODES!").text, "[REDACTED]!");
}

#[test]
fn the_guide_names_every_label() {
    let guide = include_str!("../../../docs/content.md");
    let missing: Vec<_> = Pack::builtin()
        .patterns()
        .iter()
        .map(|pattern| pattern.label.to_string())
        .filter(|label| !guide.contains(label.as_str()))
        .filter(|label| !label.starts_with("role_confusion_"))
        .filter(|label| label.strip_prefix("ignore_previous_").is_none_or(|language| language.len() != 2))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
