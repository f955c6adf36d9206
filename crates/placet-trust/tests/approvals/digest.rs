//! What an approval is bound to.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::sync::Arc;

use placet_trust::approvals::{ApprovalSubject, Reviewers};
use placet_types::ledger::{BudgetUnit, VoteStrength};
use placet_types::{DenyCause, Digest, Micros};
use proptest::prelude::*;

use super::common::*;

type Change = fn(&mut ApprovalSubject, &str);

fn digest(text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(text.bytes().cycle()).for_each(|(slot, byte)| *slot = byte);
    Digest(bytes)
}

/// A change of each field; the completeness of the list is checked below.
const CHANGES: [(&str, Change); 22] = [
    ("tenant", |subject, text| subject.tenant = Some(text.into())),
    ("session", |subject, text| subject.session = Some(text.into())),
    ("agent", |subject, text| subject.agent = Some(text.into())),
    ("lineage", |subject, text| subject.lineage.push(text.into())),
    ("authority", |subject, text| subject.authority = Some(digest(text))),
    ("kind", |subject, text| subject.kind = text.into()),
    ("action", |subject, text| subject.action = text.into()),
    ("tool", |subject, text| subject.tool = Some(text.into())),
    ("tool_definition", |subject, text| subject.tool_definition = Some(digest(text))),
    ("server_identity", |subject, text| subject.server_identity = Some(digest(text))),
    ("target", |subject, text| subject.target = Some(text.into())),
    ("args", |subject, text| subject.args = digest(text)),
    ("resources", |subject, text| subject.resources.extend([text.into()])),
    ("attributes", |subject, text| subject.attributes.extend([(text.into(), digest(text))])),
    ("policy_version", |subject, text| subject.policy_version = text.into()),
    ("rules", |subject, text| subject.rules.extend([text.into()])),
    ("quorums", |subject, text| subject.quorums.push(quorum(&[text], 1))),
    ("strength", |subject, _| subject.strength = VoteStrength::Signed),
    ("escalates_to", |subject, text| subject.escalates_to = Some(group(text))),
    ("requesters", |subject, text| subject.requesters.extend([text.into()])),
    ("max_cost", |subject, text| subject.max_cost.extend([(BudgetUnit::Tokens, text.len() as u64)])),
    ("displayed", |subject, text| subject.displayed = digest(text)),
];

#[test]
fn the_list_of_changes_names_every_field() {
    let json = serde_json::to_value(subject()).unwrap();
    let fields: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, CHANGES.iter().map(|(name, _)| *name).collect());
}

proptest! {
    #[test]
    fn f68_a_change_of_any_field_changes_digest_and_request_key(text in "[a-z]{1,8}-[0-9]{1,4}") {
        let expires = START.plus_seconds(60);
        let (base, base_key) = (subject().digest(expires), subject().request_key(&KEY));
        let mut seen = BTreeSet::from([base]);
        for (name, change) in CHANGES {
            let mut changed = subject();
            change(&mut changed, &text);
            prop_assert!(seen.insert(changed.digest(expires)), "{}", name);
            prop_assert_ne!(changed.request_key(&KEY), base_key, "{}", name);
        }
    }

    /// Moving text between neighbouring fields is a change too.
    #[test]
    fn f68_the_same_text_in_another_field_is_another_call(left in "[a-z]{0,4}", right in "[a-z]{0,4}") {
        let with = |action: &str, kind: &str| {
            let mut subject = subject();
            (subject.action, subject.kind) = (action.into(), kind.into());
            subject.digest(START)
        };
        prop_assume!(left != right);
        prop_assert_ne!(with(&left, &right), with(&right, &left));
        prop_assert_ne!(with(&format!("{left}{right}x"), ""), with(&left, &format!("{right}x")));
    }
}

#[test]
fn an_absent_text_differs_from_an_empty_one() {
    type Field = fn(&mut ApprovalSubject) -> &mut Option<Arc<str>>;
    let fields: [Field; 5] = [
        |subject| &mut subject.tenant,
        |subject| &mut subject.session,
        |subject| &mut subject.agent,
        |subject| &mut subject.tool,
        |subject| &mut subject.target,
    ];
    for field in fields {
        let (mut absent, mut empty) = (subject(), subject());
        *field(&mut absent) = None;
        *field(&mut empty) = Some("".into());
        assert_ne!(absent.digest(START), empty.digest(START));
    }
}

#[test]
fn the_expiry_changes_the_digest_but_not_the_request_key() {
    let (early, late) = (request("a", &subject()), {
        let mut entry = request("b", &subject());
        entry.digest = subject().digest(Micros(entry.expires_us.0 + 1));
        entry
    });
    assert_ne!(early.digest, late.digest);
    assert_eq!(early.request_key, late.request_key);
    assert_ne!(subject().request_key(&KEY), subject().request_key(&[8; 32]), "each tenant has its own key");
}

#[test]
fn the_digest_is_what_it_was_in_this_format() {
    // Whoever changes the encoding orphans open approvals, and changes the domain's version with it.
    assert_eq!(
        subject().digest(START).to_string(),
        "1945542e1210a50a80aaa7ea66a98b4cf5a63e5a1134d29bf879a436f4bd65a2"
    );
}

#[test]
fn f68_an_approval_of_other_content_does_not_apply() {
    // Whatever changes between asking and running: arguments, session, policy, tool definition, or any other field.
    let ledger = TestLedger::new(Reviewers::new());
    let entry = request("a", &subject());
    ledger.queue().ask(entry.clone(), None, Vec::new()).unwrap();
    ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
    for (name, change) in CHANGES {
        let mut changed = subject();
        change(&mut changed, "other");
        let refused = ledger.consume(&id("a"), changed.digest(entry.expires_us)).unwrap_err();
        assert_eq!(refused.cause, DenyCause::ApprovalInvalid, "{name}");
        assert!(refused.reason.contains("for another call"), "{name}: {}", refused.reason);
    }
    // What was approved runs, once.
    ledger.consume(&id("a"), subject().digest(entry.expires_us)).unwrap();
    let twice = ledger.consume(&id("a"), entry.digest).unwrap_err();
    assert!(twice.reason.contains("is consumed, not approved"), "{}", twice.reason);
}

#[test]
fn a_request_whose_terms_differ_from_its_subject_is_not_of_it() {
    type Edit = fn(&mut placet_types::ledger::ApprovalEntry);
    let edits: [(&str, Edit); 12] = [
        ("digest", |entry| entry.digest = Digest([0; 32])),
        ("displayed", |entry| entry.displayed = Digest([0; 32])),
        ("expiry", |entry| entry.expires_us.0 += 1),
        ("quorum", |entry| entry.quorums[0].count = 2),
        ("group", |entry| entry.quorums[0].any_of.push(group("friends"))),
        ("strength", |entry| entry.strength = VoteStrength::Signed),
        ("requesters", |entry| entry.requesters.clear()),
        ("rules", |entry| entry.rules.push("another".into())),
        ("session", |entry| entry.session = None),
        ("tool", |entry| entry.tool = Some("harmless".into())),
        ("policy", |entry| entry.policy_version = "policy-2".into()),
        ("escalation", |entry| {
            let (at_us, group) = (entry.asked_us, group("friends"));
            entry.escalate = Some(placet_types::ledger::Escalation { at_us, group });
        }),
    ];
    assert!(subject().is_of(&request("a", &subject())));
    for (what, edit) in edits {
        let mut entry = request("a", &subject());
        edit(&mut entry);
        assert!(!subject().is_of(&entry), "{what}");
    }
}

#[test]
fn kite_r15_arguments_that_change_while_a_person_thinks_are_not_approved() {
    // The reviewer saw 150; the listener made it 99 after that; the approval is for 150.
    let ledger = TestLedger::new(Reviewers::new());
    ledger.queue().ask(request("a", &subject()), None, Vec::new()).unwrap();
    let mut changed = subject();
    changed.args = args(99);
    ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
    let expires = request("a", &subject()).expires_us;
    assert!(ledger.consume(&id("a"), changed.digest(expires)).is_err());
    // What runs now is another call, so it is asked for anew, and the old request is superseded.
    let asked = ledger.queue().supersede(&id("a"), request("b", &changed), None, Vec::new()).unwrap();
    assert!(!asked.joined);
    let old = ledger.queue().get(&id("a")).unwrap().unwrap();
    assert_eq!(old.closed.unwrap().code.as_ref(), "superseded");
    assert!(ledger.consume(&id("a"), request("a", &subject()).digest).is_err());
}

#[test]
fn promise_5_of_64_callers_one_uses_an_approval() {
    let ledger = TestLedger::new(Reviewers::new());
    let entry = request("a", &subject());
    ledger.queue().ask(entry.clone(), None, Vec::new()).unwrap();
    ledger.queue().approve(&id("a"), &says(&person("alice")), None).unwrap();
    let barrier = std::sync::Barrier::new(64);
    let used = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    ledger.consume(&id("a"), entry.digest).is_ok()
                })
            })
            .collect();
        callers.into_iter().map(|caller| usize::from(caller.join().unwrap())).sum::<usize>()
    });
    assert_eq!(used, 1);
}
