//! Event JSON: no bytes make reading panic, and what is read survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet::{Event, Request};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::from_json(bytes) else { return };
    let written = serde_json::to_vec(&event).expect("an event has a JSON form");
    let unknown = written.windows(10).any(|window| window == b"\"$unknown\"");
    let again = Event::from_json(&written).expect("what was written is read");
    if !unknown {
        assert_eq!(event, again);
    }
    drop(Request::new(event));
});
