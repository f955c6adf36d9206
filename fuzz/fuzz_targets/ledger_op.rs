//! Records with operations, one a line: no text makes reading, admitting or replaying panic; what is read is written
//! the same way; and a replay of what was admitted gives the same rows.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use placet_audit::leaf;
use placet_trust::State;
use placet_types::Record;
use placet_types::record::RECORD_FORMAT;

fuzz_target!(|bytes: &[u8]| {
    let (mut state, mut admitted, mut keys) = (State::default(), Vec::new(), BTreeSet::new());
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Ok(mut record) = serde_json::from_slice::<Record>(line) else { continue };
        record.v = RECORD_FORMAT;
        // The ledger's time never runs backwards.
        let last = admitted.last().map_or(record.time_us, |last: &Record| last.time_us);
        record.time_us = record.time_us.max(last);
        if let Ok(leaf) = leaf::encode(&record) {
            assert_eq!(leaf::decode(leaf.as_bytes()).expect("a leaf of ours"), record);
        }
        keys.extend(state.keys(&record));
        let before: Vec<_> = keys.iter().map(|key| state.row(key)).collect();
        match state.admit(&record) {
            Ok(()) => admitted.push(record),
            Err(_) => {
                assert!(keys.iter().map(|key| state.row(key)).eq(before), "a refused record changed something");
            }
        }
    }
    let mut replayed = State::default();
    admitted.iter().for_each(|record| replayed.replay(record));
    for key in &keys {
        assert_eq!(replayed.row(key), state.row(key));
    }
    assert!(replayed.budgets == state.budgets && replayed.sessions == state.sessions);
    assert!(replayed.memory == state.memory);
});
