//! Deciding recorded events again, with sessions and budgets as they would have stood.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashSet;

use placet::audit::seal::LogKey;
use placet::record::ids::RecordId;
use placet::record::ledger::LedgerOp;
use placet::record::{DecisionFact, Fact, Record};
use placet::trust::State;
use placet::trust::sessions::{SessionFacts, SessionKey};
use placet::{Decision, Event, Field, Gate, Value, Verdict};
use placet_store::query::Stored;
use serde_json::Value as Json;

use super::ReplayArgs;
use super::event::{Rebuilt, rebuild};
use super::report::{Change, Report, Undecided};

/// Decides a log again, record by record.
pub(super) struct Replay<'a> {
    gate: &'a Gate,
    key: Option<LogKey>,
    /// Whether rules may be Rego, which does not say what it looked at.
    rego: bool,
    args: &'a ReplayArgs,
    /// As the log has it.
    recorded: State,
    /// As it would have become.
    simulated: State,
    /// Recorded calls that would not have run.
    stopped: HashSet<RecordId>,
    report: Report,
}

/// What became of one decision.
enum Answer {
    Same,
    /// The pipeline itself refused it, or a person did: no policy is asked.
    Stands,
    Other(Box<Decision>),
    Undecidable(&'static str),
}

impl<'a> Replay<'a> {
    pub(super) fn new(gate: &'a Gate, key: Option<LogKey>, rego: bool, args: &'a ReplayArgs) -> Self {
        let report = Report::new(gate.policy_version());
        let (recorded, simulated) = (State::default(), State::default());
        Self { gate, key, rego, args, recorded, simulated, stopped: HashSet::new(), report }
    }

    pub(super) fn take(&mut self, stored: &Stored) {
        let mut would_be = stored.record.clone();
        match &stored.record.fact {
            Fact::Decision(decision) => {
                let answer = self.decide(stored, decision);
                if let Answer::Other(now) = &answer {
                    self.retell(&mut would_be, decision, now);
                }
                if self.is_asked_for(&stored.record) {
                    self.count(stored, decision, answer);
                }
            }
            Fact::Outcome(outcome) if self.stopped.contains(&outcome.decision) => would_be.ops.clear(),
            _ => {}
        }
        self.recorded.replay(&stored.record);
        self.simulated.replay(&would_be);
    }

    /// The record as it would have been under the other answer.
    fn retell(&mut self, record: &mut Record, before: &DecisionFact, now: &Decision) {
        if let Fact::Decision(decision) = &mut record.fact {
            decision.verdict = now.verdict.word().into();
        }
        if &*before.verdict == "allow" && now.verdict != Verdict::Allow {
            self.stopped.insert(record.id.clone());
            record.ops.retain(|op| matches!(op, LedgerOp::Present(_)));
        }
    }

    fn is_asked_for(&self, record: &Record) -> bool {
        let session = self.args.session.as_deref();
        session.is_none_or(|session| record.session.as_deref() == Some(session))
            && self.args.since.is_none_or(|since| record.time_us >= since.first())
            && self.args.until.is_none_or(|until| record.time_us <= until.last())
    }

    fn decide(&self, stored: &Stored, decision: &DecisionFact) -> Answer {
        let answers = by(decision);
        if answers == By::Pipeline {
            return Answer::Stands;
        }
        let Some(view) = stored.view() else { return Answer::Undecidable("its readable view is gone") };
        let Some(mut rebuilt) = rebuild(&stored.record, decision, &view, self.key.as_ref()) else {
            return Answer::Undecidable("its view does not hold the event");
        };
        self.add_facts(&mut rebuilt.event, &stored.record, decision, view.get("inputs"));
        let now = self.gate.decide(rebuilt.event.clone());
        if let Some(cause) = self.undecidable(&rebuilt, &now, decision) {
            return cause;
        }
        compare(decision, answers, now)
    }

    /// Whether the answer rests on what was redacted.
    fn undecidable(&self, rebuilt: &Rebuilt, now: &Decision, before: &DecisionFact) -> Option<Answer> {
        if rebuilt.redacted.is_empty() {
            return None;
        }
        if before.policy_version == now.policy_version {
            // The same policies on the same event: what was recorded is the answer.
            return Some(Answer::Same);
        }
        if self.rego {
            return Some(Answer::Undecidable("values were redacted, and Rego does not say what it looks at"));
        }
        // Unknown never permits, so what is allowed in spite of it is allowed whatever the value was.
        let looked =
            now.inputs.iter().any(|seen| rebuilt.redacted.iter().any(|path| touches(&seen.field, path)));
        (looked && now.verdict != Verdict::Allow)
            .then_some(Answer::Undecidable("it rests on a value that was redacted"))
    }

    /// What the ledger would have known of the session. Where nothing has changed in it, rules see what they saw.
    fn add_facts(&self, event: &mut Event, record: &Record, decision: &DecisionFact, inputs: Option<&Json>) {
        let Some(key) = session_key(&self.recorded, record, decision) else { return };
        let (was, is) = (self.recorded.facts(&key), self.simulated.facts(&key));
        if was == is
            && let Some(history) = seen_history(inputs)
        {
            event.set(Field::ToolHistory, history);
        } else {
            event.set(Field::ToolHistory, history(&is));
        }
        for (fields, was, is) in [
            ([Field::BudgetUsedTokens, Field::TokensSpent], was.tokens_spent, is.tokens_spent),
            ([Field::BudgetUsedApiCalls, Field::ApiCalls], was.api_calls, is.api_calls),
            ([Field::BudgetUsedCostCents, Field::Cost], was.cost_cents(), is.cost_cents()),
            (
                [Field::BudgetUsedComputeSeconds, Field::ComputeSeconds],
                was.compute_seconds(),
                is.compute_seconds(),
            ),
        ] {
            let stated = event.get(fields[0]).clone();
            let known = Value::from_i128(i128::from(was));
            let value = if was == is || stated.as_number() > known.as_number() {
                stated
            } else {
                Value::from_i128(i128::from(is))
            };
            fields.into_iter().for_each(|field| event.set(field, value.clone()));
        }
    }

    fn count(&mut self, stored: &Stored, before: &DecisionFact, answer: Answer) {
        let report = &mut self.report;
        report.decisions += 1;
        match answer {
            Answer::Same => report.unchanged += 1,
            Answer::Stands => report.not_decided_by_policy += 1,
            Answer::Undecidable(cause) => report.undecidable.push(Undecided::new(stored, before, cause)),
            Answer::Other(now) => {
                if &*before.verdict == "allow" && matches!(now.verdict, Verdict::Deny { .. }) {
                    report.newly_denied += 1;
                }
                report.changes.push(Change::new(stored, before, &now));
            }
        }
    }

    pub(super) fn finish(mut self, unreadable: Vec<u64>) -> Report {
        self.report.changed = self.report.changes.len() as u64;
        self.report.unreadable = unreadable;
        self.report
    }
}

/// Who had the last word on a recorded decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Policy,
    Person,
    Pipeline,
}

fn by(decision: &DecisionFact) -> By {
    match &*decision.code {
        "allowed" | "approval_required" if decision.approval.is_some() && &*decision.verdict == "allow" => {
            By::Person
        }
        "allowed" | "approval_required" | "denied_by_rule" | "denied_by_default" | "no_rule_matched"
        | "policy_error" => By::Policy,
        code if code.starts_with("approval_") => By::Person,
        _ => By::Pipeline,
    }
}

fn compare(before: &DecisionFact, by: By, now: Decision) -> Answer {
    let same = match (by, &now.verdict) {
        // A person was asked, and the same rules would ask again.
        (By::Person, Verdict::Escalate { .. }) => {
            &*before.verdict != "allow" || now.rules.iter().all(|rule| before.rules.contains(&rule.name))
        }
        (By::Person, Verdict::Deny { .. }) => &*before.verdict == "deny",
        (By::Person, Verdict::Allow) => &*before.verdict == "allow",
        (_, verdict) => verdict.word() == &*before.verdict && verdict.is_hard() == before.hard,
    };
    if same { Answer::Same } else { Answer::Other(Box::new(now)) }
}

/// Whether a rule that looked at a field looked at what stands at a path.
fn touches(field: &str, path: &str) -> bool {
    let field = field.strip_prefix("norm.").unwrap_or(field);
    let within = |whole: &str, part: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    within(field, path) || within(path, field)
}

fn session_key(state: &State, record: &Record, decision: &DecisionFact) -> Option<SessionKey> {
    if let Some(credential) = &decision.credential {
        let root = state.credentials.lineage(credential).into_iter().next();
        return Some(SessionKey::lineage(&root.unwrap_or_else(|| credential.clone())));
    }
    Some(SessionKey::stated(record.tenant.as_deref(), record.session.as_deref()?))
}

fn history(facts: &SessionFacts) -> Value {
    Value::Array(facts.tool_history.iter().map(|name| Value::from(&**name)).collect())
}

fn seen_history(inputs: Option<&Json>) -> Option<Value> {
    let history = inputs?
        .as_array()?
        .iter()
        .find(|seen| seen.get("field").and_then(Json::as_str) == Some("session.tool_history"))?;
    let names = history.get("value")?.as_array()?.iter().map(|name| name.as_str().map(Value::from));
    names.collect::<Option<Vec<_>>>().map(Value::Array)
}
