//! Lines of a mirror: no text makes reading panic, and a line without fault is the one that is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet_audit::mirror::{self, Line};

fuzz_target!(|text: &str| {
    let Ok(Line::Entry(entry)) = mirror::decode(text) else { return };
    let (view, personal) = (entry.view.as_deref(), entry.personal.as_deref());
    if let Ok(line) = mirror::entry_line(entry.seq, &entry.leaf, view, personal) {
        assert_eq!(
            line == text,
            entry.fault.is_none() && entry.hash == Some(placet_audit::tree::leaf_hash(&entry.leaf))
        );
    }
});
