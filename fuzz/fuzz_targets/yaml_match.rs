//! The Match dialect: the fuzzer's text stands inside a file with `defaults`, so that this reader is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet::{DecisionId, Event, LoadOptions, PolicySet, Request, SourceFile, Tier, Verdict};

fuzz_target!(|text: &str| {
    let file = SourceFile::new("fuzz.yaml", format!("version: \"1\"\ndefaults: {{ approval: block }}\nrules:\n{text}\n"));
    let Ok((set, _)) = PolicySet::load(&[(Tier::Project, file)], &LoadOptions::default()) else { return };
    let decision = set.decide(&Request::new(Event::default()), DecisionId("0".into()));
    if matches!(decision.verdict, Verdict::Allow) {
        assert!(!decision.rules.is_empty(), "an allow without a rule");
    }
});
