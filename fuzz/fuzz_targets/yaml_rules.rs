//! The Rules dialect: no text makes the loader panic, and what loads decides an empty event without allowing it
//! unless a rule says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet::{DecisionId, Event, LoadOptions, PolicySet, Request, SourceFile, Tier, Verdict};

fuzz_target!(|text: &str| {
    let file = SourceFile::new("fuzz.yaml", text);
    let Ok((set, _)) = PolicySet::load(&[(Tier::Project, file)], &LoadOptions::default()) else { return };
    let decision = set.decide(&Request::new(Event::default()), DecisionId("0".into()));
    if matches!(decision.verdict, Verdict::Allow) {
        assert!(!decision.rules.is_empty(), "an allow without a rule");
    }
});
