//! Deciding recorded events again, with sessions and budgets as they would have stood.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::audit::seal::LogKey;
use placet::hidden::AtomId;
use placet::pipeline::{SESSION_FACTS, spent};
use placet::record::{DecisionFact, Fact, Record};
use placet::trust::budgets::BudgetRule;
use placet::trust::sessions::{SessionFacts, SessionKey};
use placet::trust::{Refusal, State};
use placet::{Decision, Event, Field, Gate, Value, Verdict};
use placet_store::query::Stored;
use serde_json::Value as Json;

use super::ReplayArgs;
use super::event::{Rebuilt, rebuild, tenant_key};
use super::report::{Change, Report, Unclear, Undecided};
use super::simulation::Simulation;

/// Decides a log again, record by record.
pub(super) struct Replay<'a> {
    gate: &'a Gate,
    key: Option<LogKey>,
    args: &'a ReplayArgs,
    /// As the log has it.
    recorded: State,
    /// As it would have become.
    simulated: Simulation<'a>,
    report: Report,
}

/// What became of one decision.
enum Answer {
    Same,
    /// The pipeline itself refused it: no policy is asked.
    Stands,
    Other(Box<Decision>),
    Undecidable(Unclear),
}

/// What the policies of today say to one decision.
enum Told {
    /// Nothing: they are not asked.
    Nothing,
    /// Nobody can tell; the event, as far as it is known.
    Unclear(Unclear, Option<Box<Event>>),
    /// What was recorded.
    Recorded(Box<Event>, Box<Decision>),
    Answer(Box<Event>, Box<Decision>),
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        gate: &'a Gate,
        budgets: Vec<BudgetRule>,
        key: Option<LogKey>,
        args: &'a ReplayArgs,
    ) -> Self {
        let report = Report::new(gate.policy_version(), budgets.len());
        let simulated = Simulation::new(gate, budgets);
        Self { gate, key, args, recorded: State::default(), simulated, report }
    }

    pub(super) fn take(&mut self, stored: &Stored) {
        match &stored.record.fact {
            Fact::Decision(decision) => {
                let told = self.ask(stored, decision);
                let answer = self.answer(&stored.record, decision, told);
                let verdict = match &answer {
                    Answer::Other(now) => now.verdict.word(),
                    _ => &decision.verdict,
                };
                self.simulated.decided(&stored.record, decision, verdict);
                if self.is_asked_for(&stored.record) {
                    self.count(stored, decision, answer);
                }
            }
            Fact::Outcome(outcome) => self.simulated.ended(&stored.record, outcome),
            _ => {
                self.simulated.issued(stored);
                self.simulated.other(&stored.record);
            }
        }
        self.recorded.replay(&stored.record);
    }

    fn is_asked_for(&self, record: &Record) -> bool {
        let session = self.args.session.as_deref();
        session.is_none_or(|session| record.session.as_deref() == Some(session))
            && self.args.since.is_none_or(|since| record.time_us >= since.first())
            && self.args.until.is_none_or(|until| record.time_us <= until.last())
    }

    /// Asks the policies of today.
    fn ask(&self, stored: &Stored, decision: &DecisionFact) -> Told {
        if by(decision) == By::Pipeline {
            return Told::Nothing;
        }
        let unclear = |cause| Told::Unclear(Unclear { cause, could_be: Vec::new() }, None);
        let Some(view) = stored.view() else { return unclear("its readable view is gone") };
        let Some(mut rebuilt) = rebuild(&stored.record, decision, &view, self.key.as_ref()) else {
            return unclear("its view does not hold the event");
        };
        let same = self.add_facts(&mut rebuilt.event, &stored.record, decision, view.get("inputs"));
        if !rebuilt.is_redacted {
            let (now, request) = self.gate.judge(rebuilt.event);
            return Told::Answer(Box::new(request.event().clone()), Box::new(now));
        }
        self.ask_of_redacted(&stored.record, decision, rebuilt, same)
    }

    /// Asks the policies of today about an event of which not all is known.
    fn ask_of_redacted(
        &self,
        record: &Record,
        decision: &DecisionFact,
        rebuilt: Rebuilt,
        same: bool,
    ) -> Told {
        let Rebuilt { event, truths, .. } = rebuilt;
        let key = self.key.as_ref().map(|key| tenant_key(key, record));
        let truth = |atom: &AtomId| truths.of(key.as_ref()?, atom);
        // Truths about what is simulated hold only while it is what it was.
        let moved = if same { &[][..] } else { &SESSION_FACTS };
        let (knowing, request) = self.gate.judge_knowing(event, &truth, moved);
        let (now, event) = (Box::new(knowing.decision), Box::new(request.event().clone()));
        if same && decision.policy_version == now.policy_version {
            // The same policies on the same event: what was recorded is the answer.
            return Told::Recorded(event, now);
        }
        match knowing.outcomes.as_slice() {
            [_] => Told::Answer(event, now),
            outcomes => {
                let cause = "it rests on a value that was redacted";
                Told::Unclear(Unclear { cause, could_be: outcomes.to_vec() }, Some(event))
            }
        }
    }

    /// What would have become of a decision: what policies say, what a person said, what budgets leave.
    fn answer(&mut self, record: &Record, before: &DecisionFact, told: Told) -> Answer {
        let ran = &*before.verdict == "allow" || by(before) == By::Budget;
        let may_run = match &told {
            Told::Nothing => false,
            Told::Unclear(unclear, _) => ran && !unclear.is_denied(),
            Told::Recorded(..) => ran,
            Told::Answer(_, now) => match &now.verdict {
                Verdict::Allow => true,
                Verdict::Escalate { .. } => ran && self.was_approved(before, now),
                Verdict::Deny { .. } => false,
            },
        };
        let event = match &told {
            Told::Nothing => None,
            Told::Unclear(_, event) => event.as_deref(),
            Told::Recorded(event, _) | Told::Answer(event, _) => Some(&**event),
        };
        let refusal = match may_run {
            true => self.simulated.run(record, before, event, &self.recorded).err(),
            false => None,
        };
        match (told, refusal) {
            (Told::Nothing, _) => Answer::Stands,
            (Told::Unclear(unclear, _), _) => Answer::Undecidable(unclear),
            (Told::Recorded(_, now) | Told::Answer(_, now), Some(refusal)) => {
                compare(before, refused(*now, &refusal))
            }
            (Told::Recorded(..), None) if by(before) != By::Budget => Answer::Same,
            (Told::Recorded(_, now) | Told::Answer(_, now), None) if may_run => {
                compare(before, Decision { verdict: Verdict::Allow, ..*now })
            }
            (Told::Recorded(_, now) | Told::Answer(_, now), None) => compare(before, *now),
        }
    }

    /// Whether a person had approved of the call, and the same rules would ask again.
    fn was_approved(&self, before: &DecisionFact, now: &Decision) -> bool {
        let approval = before.approval.as_ref().and_then(|id| self.recorded.approvals.get(id));
        approval
            .is_some_and(|approval| now.rules.iter().all(|rule| approval.entry.rules.contains(&rule.name)))
    }

    /// What the ledger would have known of the session. Says whether that is what it knew; rules then see what they saw.
    fn add_facts(
        &self,
        event: &mut Event,
        record: &Record,
        decision: &DecisionFact,
        inputs: Option<&Json>,
    ) -> bool {
        let Some(key) = session_key(&self.recorded, record, decision) else { return true };
        let (was, is) = (self.recorded.facts(&key), self.simulated.facts(&key));
        let is_same = SessionFacts { decisions: is.decisions, ..was.clone() } == is;
        match seen_history(inputs) {
            Some(seen) if is_same => event.set(Field::ToolHistory, seen),
            _ => event.set(Field::ToolHistory, history(&is)),
        }
        for ((fields, was), (_, is)) in spent(&was).zip(spent(&is)) {
            let stated = event.get(fields[0]).clone();
            let known = Value::from_i128(i128::from(was));
            let value = if was == is || stated.as_number() > known.as_number() {
                stated
            } else {
                Value::from_i128(i128::from(is))
            };
            fields.into_iter().for_each(|field| event.set(field, value.clone()));
        }
        is_same
    }

    fn count(&mut self, stored: &Stored, before: &DecisionFact, answer: Answer) {
        let report = &mut self.report;
        report.decisions += 1;
        match answer {
            Answer::Same => report.unchanged += 1,
            Answer::Stands => report.not_decided_by_policy += 1,
            Answer::Undecidable(unclear) => {
                report.unclear(Undecided::new(stored, before, &unclear), &unclear)
            }
            Answer::Other(now) => report.change(Change::new(stored, before, &now)),
        }
    }

    pub(super) fn finish(mut self, unreadable: Vec<u64>) -> Report {
        self.report.finish(unreadable, self.simulated.estimated);
        self.report
    }
}

/// The decision where a budget is used up.
fn refused(now: Decision, refusal: &Refusal) -> Decision {
    Decision {
        verdict: Verdict::Deny { hard: false, cause: refusal.cause },
        reason: refusal.reason.clone(),
        rules: Vec::new(),
        ..now
    }
}

/// Who had the last word on a recorded decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Policy,
    Person,
    Budget,
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
        "budget_exhausted" | "rate_limited" => By::Budget,
        _ => By::Pipeline,
    }
}

fn compare(before: &DecisionFact, now: Decision) -> Answer {
    let same = match (by(before), &now.verdict) {
        // A person was asked, and said no, or nothing: the same rules would ask again.
        (By::Person, Verdict::Escalate { .. }) => &*before.verdict != "allow",
        (By::Person, verdict) => verdict.word() == &*before.verdict,
        (_, verdict) => verdict.word() == &*before.verdict && verdict.is_hard() == before.hard,
    };
    if same { Answer::Same } else { Answer::Other(Box::new(now)) }
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
