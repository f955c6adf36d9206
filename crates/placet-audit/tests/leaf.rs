//! Leaves: one record, one text.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use placet_audit::leaf::{self, LeafError, MAX_LEAF_BYTES};
use placet_types::record::{OutcomeFact, OutcomeStatus, RecoveryFact};
use placet_types::{Digest, Fact, Micros, Record};
use proptest::prelude::*;

fn outcome() -> Record {
    let fact = OutcomeFact {
        decision: "0190-d".into(),
        status: OutcomeStatus::Succeeded,
        error: None,
        elapsed_us: 12,
        injections: 0,
    };
    let mut record = Record::new("0190-o".into(), Fact::Outcome(fact));
    record.time_us = Micros(1_700_000_000_000_000);
    record.commitments.insert("args.\u{1f600}".into(), Digest([0xab; 32]));
    record.commitments.insert("args.\u{fb33}".into(), Digest([0xcd; 32]));
    record
}

#[test]
fn a_leaf_is_canonical_json() {
    let leaf = leaf::encode(&outcome()).unwrap().into_bytes();
    assert_eq!(leaf, serde_jcs::to_vec(&outcome()).unwrap());
    assert_eq!(leaf::decode(&leaf).unwrap(), outcome());
}

#[test]
fn what_is_not_canonical_is_refused() {
    let text = leaf::encode(&outcome()).unwrap();
    for edited in [
        text.replace(":12,", ": 12,"),
        text.replace(":12,", ":12.0,"),
        text.replace(":12,", ":1.2e1,"),
        text.replace("abab", "ABAB"),
        text.replace("0190-o", "\\u0030190-o"),
        text.replace("\"v\":1", "\"v\":1,\"v\":1"),
        text.replace("\"v\":1", "\"tenant\":null,\"v\":1"),
        text.replace("\"v\":1", "\"v\":1,\"w\":1"),
        text.replace("\"v\":1", "\"v\":2"),
        format!("{text}\n"),
        format!(" {text}"),
    ] {
        assert_ne!(edited, text);
        assert!(leaf::decode(edited.as_bytes()).is_err(), "{edited}");
    }
    let later = text.replace("\"v\":1", "\"v\":2,\"w\":1");
    assert_eq!(leaf::decode(later.as_bytes()), Err(LeafError::Format { found: "2".into() }));
}

#[test]
fn limits_are_refused_and_named() {
    let mut record = Record::new(
        "r".into(),
        Fact::Recovery(RecoveryFact { code: "c".into(), count: 1 << 53, rollback: None }),
    );
    let error = leaf::encode(&record).unwrap_err();
    assert_eq!(error, LeafError::Number { number: "9007199254740992".into() });
    record.fact = Fact::Recovery(RecoveryFact {
        code: "x".repeat(MAX_LEAF_BYTES).into(),
        count: (1 << 53) - 1,
        rollback: None,
    });
    let Err(LeafError::TooLarge { actual_bytes }) = leaf::encode(&record) else { panic!("too large") };
    assert!(actual_bytes > MAX_LEAF_BYTES);
}

proptest! {
    #[test]
    fn no_byte_of_a_leaf_can_change_unseen(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = leaf::encode(&outcome()).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(record) = leaf::decode(&bytes) {
            prop_assert_eq!(leaf::encode(&record).unwrap().into_bytes(), bytes);
        }
    }
}
