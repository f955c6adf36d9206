//! The registry, against the rows of the acceptance list.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::ledger::{CredentialEntry, Revocation, RevocationTarget};
use placet_types::record::{ChangeFact, Fact};
use placet_types::{CredentialId, DenyCause, Digest, LedgerOp, Micros, Record};
use proptest::prelude::*;

use super::Why;
use crate::{State, StateKey};

const SECOND: i64 = 1_000_000;
const START: Micros = Micros(1_000 * SECOND);

/// An id that no other record has.
pub(crate) fn fresh_id() -> placet_types::RecordId {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    format!("record-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).into()
}

fn at(seconds: i64) -> Micros {
    Micros(START.0 + seconds * SECOND)
}

fn entry(id: &str, session: &str, scopes: &[&str]) -> CredentialEntry {
    CredentialEntry {
        id: id.into(),
        parent: None,
        session: session.into(),
        tenant: None,
        agent: None,
        role: None,
        scopes: scopes.iter().map(|scope| Arc::from(*scope)).collect(),
        depth: 0,
        max_depth: 3,
        issued_us: START,
        not_before_us: None,
        expires_us: at(300),
        authority: Digest([0; 32]),
    }
}

fn child(id: &str, parent: &CredentialEntry) -> CredentialEntry {
    CredentialEntry {
        id: id.into(),
        parent: Some(parent.id.clone()),
        depth: parent.depth + 1,
        ..parent.clone()
    }
}

fn revocation(target: RevocationTarget) -> LedgerOp {
    LedgerOp::Revoke(Revocation { target, by: "system".into() })
}

fn commit(state: &mut State, op: LedgerOp, time: Micros) -> Result<(), crate::Refusal> {
    let mut record = Record::new(fresh_id(), Fact::Change(ChangeFact { by: "system".into() }));
    record.time_us = time;
    record.ops = vec![op];
    state.admit(&record)
}

fn issued(entries: &[&CredentialEntry]) -> State {
    let mut state = State::default();
    for entry in entries {
        commit(&mut state, LedgerOp::Issue((*entry).clone()), at(0)).unwrap();
    }
    state
}

fn live(state: &State, id: &str, time: Micros) -> Result<(), Why> {
    state.credentials.live(&id.into(), time).map(|_| ())
}

#[test]
fn f19_a_credential_is_live_until_its_end_and_not_at_it() {
    let state = issued(&[&entry("a", "s", &["read"])]);
    assert_eq!(live(&state, "a", Micros(at(300).0 - 1)), Ok(()));
    let expired = Why::Expired { id: "a".into(), expires: at(300), at: at(300) };
    assert_eq!(live(&state, "a", at(300)), Err(expired));
    assert_eq!(live(&state, "b", at(0)), Err(Why::Unknown("b".into())));
    let later = CredentialEntry { not_before_us: Some(at(10)), ..entry("c", "s", &["read"]) };
    let state = issued(&[&later]);
    assert!(matches!(live(&state, "c", at(9)), Err(Why::NotYetValid { .. })));
    assert_eq!(live(&state, "c", at(10)), Ok(()));
}

#[test]
fn f19_what_does_not_hold_denies_with_credential_validation() {
    let mut state = issued(&[&entry("a", "s", &["read"])]);
    commit(&mut state, revocation(RevocationTarget::Credential("a".into())), at(1)).unwrap();
    for (chain, time, word) in [
        (vec!["a".into()], at(2), "revoked"),
        (vec!["x".into()], at(2), "unknown"),
        (Vec::<CredentialId>::new(), at(2), "no credential"),
    ] {
        let refusal = commit(&mut state, LedgerOp::Present(chain), time).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::CredentialValidation);
        assert!(refusal.reason.contains(word), "{refusal}");
    }
}

#[test]
fn f20_a_child_must_stay_within_its_parent() {
    let parent = CredentialEntry {
        role: Some("clerk".into()),
        tenant: Some("t".into()),
        ..entry("p", "s", &["read", "write"])
    };
    let good = CredentialEntry { scopes: vec!["read".into()], session: "w".into(), ..child("c", &parent) };
    assert!(commit(&mut issued(&[&parent]), LedgerOp::Issue(good.clone()), at(1)).is_ok());
    let bad: [(&str, CredentialEntry); 9] = [
        ("scopes", CredentialEntry { scopes: vec!["admin".into(), "read".into()], ..good.clone() }),
        ("outlive", CredentialEntry { expires_us: at(301), ..good.clone() }),
        ("depth is 0", CredentialEntry { depth: 0, ..good.clone() }),
        ("depth is 2", CredentialEntry { depth: 2, ..good.clone() }),
        ("depth limit", CredentialEntry { max_depth: 4, ..good.clone() }),
        ("tenant", CredentialEntry { tenant: Some("other".into()), ..good.clone() }),
        ("tenant", CredentialEntry { tenant: None, ..good.clone() }),
        ("role", CredentialEntry { role: Some("admin".into()), ..good.clone() }),
        ("no scopes", CredentialEntry { scopes: vec![], ..good.clone() }),
    ];
    for (word, entry) in bad {
        let refusal = commit(&mut issued(&[&parent]), LedgerOp::Issue(entry), at(1)).unwrap_err();
        assert_eq!(refusal.cause, DenyCause::CredentialValidation);
        assert!(refusal.reason.contains(word), "{word}: {refusal}");
    }
}

#[test]
fn f20_depth_is_capped_by_the_root_and_by_the_hard_limit() {
    let root = CredentialEntry { max_depth: 1, ..entry("0", "s", &["read"]) };
    let one = child("1", &root);
    let mut state = issued(&[&root, &one]);
    let two = child("2", &one);
    assert!(
        commit(&mut state, LedgerOp::Issue(two), at(1)).unwrap_err().reason.contains("2 delegations deep")
    );
    let deep = CredentialEntry { max_depth: 9, ..entry("9", "s", &["read"]) };
    assert!(commit(&mut state, LedgerOp::Issue(deep), at(1)).unwrap_err().reason.contains("at most 8"));
}

#[test]
fn kite_20_6_entries_that_no_broker_may_register_are_refused() {
    let good = entry("a", "s", &["read"]);
    for (word, entry) in [
        ("empty session", CredentialEntry { session: " ".into(), ..good.clone() }),
        ("no scopes", CredentialEntry { scopes: vec![], ..good.clone() }),
        ("empty scope", CredentialEntry { scopes: vec!["".into()], ..good.clone() }),
        ("not sorted", CredentialEntry { scopes: vec!["b".into(), "a".into()], ..good.clone() }),
        ("90 days", CredentialEntry { expires_us: at(91 * 86_400), ..good.clone() }),
        ("expired", CredentialEntry { expires_us: at(-1), ..good.clone() }),
        ("no parent", CredentialEntry { depth: 1, ..good.clone() }),
        ("empty id", CredentialEntry { id: "".into(), ..good.clone() }),
        ("unknown", CredentialEntry { parent: Some("nobody".into()), depth: 1, ..good.clone() }),
    ] {
        let refusal = commit(&mut State::default(), LedgerOp::Issue(entry), at(0)).unwrap_err();
        assert!(refusal.reason.contains(word), "{word}: {refusal}");
    }
    let mut state = issued(&[&good]);
    assert!(commit(&mut state, LedgerOp::Issue(good), at(0)).unwrap_err().reason.contains("already"));
}

#[test]
fn f21_revoking_ends_the_subtree_and_nothing_else() {
    let root = entry("root", "s", &["read"]);
    let (left, right) = (child("left", &root), child("right", &root));
    let leaf = child("leaf", &left);
    let mut state = issued(&[&root, &left, &right, &leaf, &entry("other", "s", &["read"])]);
    commit(&mut state, revocation(RevocationTarget::Credential("left".into())), at(1)).unwrap();
    assert_eq!(state.credentials.generation(), 1);
    for (id, holds) in [("root", true), ("left", false), ("right", true), ("leaf", false), ("other", true)] {
        assert_eq!(live(&state, id, at(2)).is_ok(), holds, "{id}");
    }
    let grandchild = child("grandchild", &leaf);
    assert!(commit(&mut state, LedgerOp::Issue(grandchild), at(2)).is_err());
    let chain = vec!["root".into(), "left".into(), "leaf".into()];
    assert!(commit(&mut state, LedgerOp::Present(chain), at(2)).is_err());
}

#[test]
fn f21_revoking_by_session_agent_and_tenant_covers_what_exists_then() {
    let made = |id: &str| CredentialEntry {
        agent: Some("a".into()),
        tenant: Some("t".into()),
        ..entry(id, "s", &["read"])
    };
    for target in [
        RevocationTarget::Session("s".into()),
        RevocationTarget::Agent("a".into()),
        RevocationTarget::Tenant("t".into()),
    ] {
        let before = made("before");
        let worker = CredentialEntry { session: "w".into(), agent: None, ..child("worker", &before) };
        let stranger =
            CredentialEntry { session: "ss".into(), agent: None, tenant: None, ..made("stranger") };
        let mut state = issued(&[&before, &worker, &stranger]);
        commit(&mut state, revocation(target.clone()), at(1)).unwrap();
        let old = commit(&mut state, LedgerOp::Issue(made("after")), at(2)).unwrap_err();
        assert!(old.reason.contains("was revoked"), "signed before, shown after: {old}");
        let after = CredentialEntry { issued_us: at(2), ..made("after") };
        commit(&mut state, LedgerOp::Issue(after), at(2)).unwrap();
        for (id, holds) in [("before", false), ("worker", false), ("stranger", true), ("after", true)] {
            assert_eq!(live(&state, id, at(3)).is_ok(), holds, "{target:?} {id}");
        }
    }
}

#[test]
fn f21_a_token_revoked_before_it_was_shown_stays_dead_until_its_end() {
    let root = entry("root", "s", &["read"]);
    let mut state = issued(&[&root]);
    commit(&mut state, revocation(RevocationTarget::Credential("leaf".into())), at(1)).unwrap();
    let wide = StateKey::Revocation(RevocationTarget::Credential("leaf".into()));
    assert!(
        state.row(&wide).body.unwrap().contains(r#""until_us":1300000000"#),
        "as long as its root may live"
    );
    let leaf = CredentialEntry { issued_us: at(2), ..child("leaf", &root) };
    let mut record = Record::new(fresh_id(), Fact::Change(ChangeFact { by: "system".into() }));
    record.ops = vec![LedgerOp::Issue(leaf.clone())];
    assert!(state.keys(&record).contains(&wide), "its row is looked at");
    for time in [2, 299] {
        assert!(commit(&mut state, LedgerOp::Issue(leaf.clone()), at(time)).is_err());
    }
    let other =
        |id: &str, seconds: i64| CredentialEntry { expires_us: at(seconds), ..entry(id, "o", &["read"]) };
    commit(&mut state, LedgerOp::Issue(other("x", 900)), at(400)).unwrap();
    record.ops = vec![LedgerOp::Issue(other("y", 900))];
    assert!(state.keys(&record).contains(&wide), "it is forgotten, and its row deleted");
    commit(&mut state, LedgerOp::Issue(other("y", 900)), at(400)).unwrap();
    assert_eq!(state.row(&wide).body, None);
}

#[test]
fn f22_a_chain_must_follow_from_its_root() {
    let root = entry("root", "s", &["read"]);
    let (left, right) = (child("left", &root), child("right", &root));
    let state = issued(&[&root, &left, &right]);
    let check = |ids: &[&str]| {
        let chain: Vec<_> = ids.iter().map(|id| CredentialId::from(*id)).collect();
        state.credentials.check_chain(&chain, at(1))
    };
    assert_eq!(check(&["root", "left"]), Ok(()));
    assert!(matches!(check(&["right", "left"]), Err(Why::Unlinked { .. })));
    assert!(matches!(check(&["root", "root"]), Err(Why::Unlinked { .. })));
    assert_eq!(state.credentials.lineage(&"left".into()), ["root".into(), "left".into()]);
}

#[test]
fn f23_the_rows_hold_everything_that_an_operator_could_edit() {
    let root = entry("root", "s", &["read"]);
    let leaf = child("leaf", &root);
    let mut state = issued(&[&root, &leaf]);
    let row = |state: &State, id: &str| state.row(&StateKey::Credential(id.into())).body;
    assert_eq!(
        row(&state, "leaf").unwrap(),
        format!(
            r#"{{"authority":"{}","depth":1,"expires_us":1300000000,"id":"leaf","issued_us":1000000000,"max_depth":3,"parent":"root","scopes":["read"],"session":"s"}}"#,
            "0".repeat(64)
        )
    );
    assert_eq!(row(&state, "nobody"), None);
    let op = revocation(RevocationTarget::Session("s".into()));
    let mut record = Record::new(fresh_id(), Fact::Change(ChangeFact { by: "system".into() }));
    record.ops = vec![op.clone()];
    let wide = StateKey::Revocation(RevocationTarget::Session("s".into()));
    let mut keys =
        vec![StateKey::Credential("leaf".into()), StateKey::Credential("root".into()), wide.clone()];
    keys.sort();
    assert_eq!(state.keys(&record), keys, "the rows that the revocation changes");
    commit(&mut state, op, at(1)).unwrap();
    for id in ["root", "leaf"] {
        let body = row(&state, id).unwrap();
        assert!(body.contains(r#""revoked":{"at_us":1001000000,"by":"system","generation":1"#), "{body}");
    }
    record.ops = vec![LedgerOp::Present(vec!["leaf".into()])];
    assert!(state.keys(&record).contains(&wide), "a deleted revocation is noticed when its session is seen");
    assert_eq!((state.row(&wide).kind, state.row(&wide).id.as_str()), ("revocation", "session:s"));
}

#[test]
fn f23_a_replayed_log_gives_the_same_rows() {
    let root = entry("root", "s", &["read"]);
    let ops = [
        (LedgerOp::Issue(root.clone()), at(0)),
        (LedgerOp::Issue(child("leaf", &root)), at(1)),
        (revocation(RevocationTarget::Credential("leaf".into())), at(2)),
    ];
    let (mut first, mut second) = (State::default(), State::default());
    for (op, time) in ops {
        commit(&mut first, op.clone(), time).unwrap();
        let mut record = Record::new(fresh_id(), Fact::Change(ChangeFact { by: "system".into() }));
        (record.time_us, record.ops) = (time, vec![op]);
        second.replay(&record);
    }
    for id in ["root", "leaf"] {
        let key = StateKey::Credential(id.into());
        assert_eq!(first.row(&key), second.row(&key));
        assert!(first.row(&key).body.is_some());
    }
}

#[test]
fn long_expired_credentials_are_forgotten_and_their_rows_with_them() {
    let root = entry("root", "s", &["read"]);
    let mut state = issued(&[&root, &child("leaf", &root)]);
    let later = |id: &str, seconds: i64| CredentialEntry {
        expires_us: at(seconds + 300),
        ..entry(id, "later", &["read"])
    };
    commit(&mut state, LedgerOp::Issue(later("x", 90_000)), at(90_000)).unwrap();
    assert!(matches!(live(&state, "leaf", at(90_000)), Err(Why::Expired { .. })));
    let mut record = Record::new(fresh_id(), Fact::Change(ChangeFact { by: "system".into() }));
    record.ops = vec![LedgerOp::Issue(later("y", 90_001))];
    record.time_us = at(90_001);
    let keys = state.keys(&record);
    for id in ["root", "leaf", "y"] {
        assert!(keys.contains(&StateKey::Credential(id.into())), "{id}");
    }
    state.admit(&record).unwrap();
    assert_eq!(state.credentials.all().count(), 2);
    assert_eq!(state.row(&StateKey::Credential("leaf".into())).body, None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Marking subtrees agrees with the plain model: dead when it or an ancestor was revoked.
    #[test]
    fn f21_revocation_agrees_with_a_walk_over_the_ancestors(
        parents in proptest::collection::vec(any::<prop::sample::Index>(), 1..24),
        revoked in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut entries = vec![CredentialEntry { max_depth: 8, ..entry("0", "s", &["read"]) }];
        for (number, parent) in parents.iter().enumerate() {
            let parent = entries[parent.index(entries.len())].clone();
            if parent.depth < 8 {
                entries.push(child(&(number + 1).to_string(), &parent));
            }
        }
        let mut state = issued(&entries.iter().collect::<Vec<_>>());
        let mut dead: Vec<CredentialId> = Vec::new();
        for index in revoked {
            let id = entries[index.index(entries.len())].id.clone();
            commit(&mut state, revocation(RevocationTarget::Credential(id.clone())), at(1)).unwrap();
            dead.push(id);
        }
        for entry in &entries {
            let line = state.credentials.lineage(&entry.id);
            prop_assert_eq!(line.len(), entry.depth as usize + 1);
            let holds = !line.iter().any(|ancestor| dead.contains(ancestor));
            prop_assert_eq!(state.credentials.live(&entry.id, at(2)).is_ok(), holds);
        }
    }
}
