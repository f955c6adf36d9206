//! Rego: no text makes loading or evaluation panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet::{DecisionId, Event, LoadOptions, PolicySet, Request, SourceFile, Tier};

fuzz_target!(|text: &str| {
    let file = SourceFile::new("fuzz.rego", text);
    if let Ok((set, _)) = PolicySet::load(&[(Tier::Project, file)], &LoadOptions::default()) {
        drop(set.decide(&Request::new(Event::default()), DecisionId("0".into())));
    }
});
