//! A function as a channel.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_runtime::channels::Callback;
use placet_types::{ApproverId, Value, json};

use crate::common::{asking, bench, code, pay};

fn answered(answer: &'static str) -> (&'static str, String) {
    let bench = bench();
    let callback = Callback::new(ApproverId::from("desk"), move |question, _| {
        assert_eq!(question.args["amount"], 500);
        json::parse(answer.as_bytes()).map_err(|error| error.to_string())
    });
    let code = code(bench.pipeline.begin_waiting(&pay(500), &asking(callback)));
    (code, bench.ledger.last_code())
}

#[test]
fn aegis_63_only_true_approves() {
    for (answer, wanted) in [
        ("true", "allowed"),
        ("false", "approval_denied"),
        (r#""true""#, "approval_failed"),
        (r#""no""#, "approval_failed"),
        ("1", "approval_failed"),
        ("[true]", "approval_failed"),
        ("{}", "approval_failed"),
        ("null", "approval_failed"),
    ] {
        assert_eq!(answered(answer), (wanted, wanted.to_owned()), "{answer}");
    }
}

#[test]
fn aegis_63_a_function_that_fails_refuses_and_that_is_recorded() {
    assert_eq!(answered("no json"), ("approval_failed", "approval_failed".to_owned()));
    let bench = bench();
    let callback =
        Callback::new(ApproverId::from("desk"), |_, _| -> Result<Value, String> { panic!("boom") });
    let asking = asking(callback);
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &asking)), "approval_failed");
    assert_eq!(bench.ledger.last_code(), "approval_failed");
    assert_eq!(
        code(bench.pipeline.begin(pay(500))),
        "approval_required",
        "the request is over, another is asked"
    );
}

#[test]
fn aegis_65_the_record_of_an_approval_says_who_when_and_how() {
    let bench = bench();
    let callback = Callback::new(ApproverId::from("desk"), |_, _| Ok(Value::Bool(true)));
    let started = match bench.pipeline.begin_waiting(&pay(500), &asking(callback)) {
        placet_runtime::Begun::Started(started) => started,
        placet_runtime::Begun::Refused(refused) => panic!("{:?}", refused.decision),
    };
    let mut found = None;
    let freshness = placet_trust::Freshness::Now;
    let mut look = |state: &placet_trust::State| found = state.approvals.iter().next().cloned();
    placet_trust::Ledger::read(bench.ledger.as_ref(), freshness, &mut look).unwrap();
    let approval = found.unwrap();
    let decided = approval.decided.unwrap();
    assert_eq!(&*decided.by.0, "desk");
    assert!(decided.at_us >= approval.entry.asked_us && decided.at_us < approval.entry.expires_us);
    let vote = &approval.votes[0].vote;
    assert_eq!((&*vote.channel, vote.digest), ("callback", approval.entry.digest));
    assert_eq!(vote.strength, placet_types::ledger::VoteStrength::Asserted);
    assert!(approval.consumed_us.is_some());
    drop(started.permit);
}
