//! `placet audit show`: one record whole.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;

use placet::record::ids::{ApprovalId, RecordId};
use placet::record::ledger::{ApprovalEntry, LedgerOp, Vote};
use placet::record::{DecisionFact, Fact, OutcomeFact, RecoveryFact};
use placet_store::query::{Level, Stored, each};
use serde_json::{Map, Value, json};

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log::{self, Log};
use crate::moment;
use crate::paint::{BOLD, CYAN, DIM, GREEN, Paint, RED, verdict_style, visible_line};

/// A record with those that belong to it.
struct Shown {
    record: Stored,
    outcome: Option<Stored>,
    /// The request for approval, where it was asked.
    asked: Option<(u64, ApprovalEntry)>,
    votes: Vec<(u64, Vote, Option<String>)>,
    consumed: Option<u64>,
}

pub(super) fn run(wanted: &str, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let shown = find(wanted, &common.ledger.log()?)?;
    if common.is_json() {
        console.json(&shown.json())?;
    } else {
        let text = shown.text(console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Ok)
}

fn find(wanted: &str, log: &Log) -> Result<Shown, Failure> {
    let seq = wanted.parse::<u64>().ok();
    let is_wanted = |stored: &Stored| match seq {
        Some(seq) => stored.seq == seq,
        None => *stored.record.id.0 == *wanted,
    };
    let mut found = None;
    let unreadable = each(log.open()?.as_mut(), |stored| {
        if is_wanted(&stored) {
            found = Some(stored);
        }
        found.is_none()
    });
    let unreadable = unreadable.map_err(|error| log::unreadable(&error))?;
    let Some(record) = found else {
        let cause = match seq {
            Some(seq) if unreadable.contains(&seq) => "cannot be read; run `placet audit verify`",
            _ => "is not in the ledger; `placet audit` lists what is",
        };
        return Err(Failure::Negative(format!("record `{wanted}` {cause}")));
    };
    let mut shown = Shown { record, outcome: None, asked: None, votes: Vec::new(), consumed: None };
    let (id, approval) = match &shown.record.record.fact {
        Fact::Decision(decision) => (Some(shown.record.record.id.clone()), decision.approval.clone()),
        _ => (None, None),
    };
    let related = each(log.open()?.as_mut(), |stored| {
        shown.relate(stored, id.as_ref(), approval.as_ref());
        true
    });
    related.map_err(|error| log::unreadable(&error))?;
    Ok(shown)
}

impl Shown {
    fn relate(&mut self, stored: Stored, id: Option<&RecordId>, approval: Option<&ApprovalId>) {
        for op in &stored.record.ops {
            match op {
                LedgerOp::Ask(entry) if Some(&entry.id) == approval => {
                    self.asked = Some((stored.seq, (**entry).clone()));
                }
                LedgerOp::Vote(vote) if Some(&vote.approval) == approval => {
                    let reason =
                        stored.view().and_then(|view| Some(view.get("reason")?.as_str()?.to_owned()));
                    self.votes.push((stored.seq, (**vote).clone(), reason));
                }
                LedgerOp::Consume(consumption) if Some(&consumption.approval) == approval => {
                    self.consumed = Some(stored.seq);
                }
                _ => {}
            }
        }
        if let (Fact::Outcome(outcome), Some(id)) = (&stored.record.fact, id)
            && outcome.decision == *id
        {
            self.outcome = Some(stored);
        }
    }

    fn json(&self) -> Value {
        let whole = |stored: &Stored| {
            json!({
                "seq": stored.seq, "timestamp": moment::exact(stored.record.time_us),
                "record": stored.record, "view": stored.view(), "view_edited": stored.view_edited,
            })
        };
        let mut value = whole(&self.record);
        if let Some(map) = value.as_object_mut() {
            map.insert("outcome".to_owned(), self.outcome.as_ref().map_or(Value::Null, whole));
            let votes = self
                .votes
                .iter()
                .map(|(seq, vote, reason)| json!({"seq": seq, "vote": vote, "reason": reason}));
            let approval = self.asked.as_ref().map(|(seq, entry)| {
                json!({"seq": seq, "request": entry, "votes": votes.collect::<Vec<_>>(), "consumed": self.consumed})
            });
            map.insert("approval".to_owned(), json!(approval));
        }
        value
    }

    fn text(&self, paint: Paint) -> String {
        let Stored { record, seq, .. } = &self.record;
        let mut page = Page { out: String::new(), paint };
        let view = self.record.view();
        match &record.fact {
            Fact::Decision(decision) => page.decision(decision, view.as_ref()),
            other => page.headline(other.kind(), BOLD, ""),
        }
        page.field("record", &format!("{seq}, {}", record.id));
        page.field("time", &moment::exact(record.time_us));
        for (label, value) in
            [("tenant", &record.tenant), ("session", &record.session), ("agent", &record.agent)]
        {
            page.maybe(label, value.as_deref());
        }
        match &record.fact {
            Fact::Decision(decision) => page.details(decision, view.as_ref()),
            Fact::Outcome(outcome) => {
                page.field("decision", &outcome.decision.0);
                page.outcome(outcome, view.as_ref());
            }
            Fact::Change(change) => page.field("by", &change.by),
            Fact::Erasure(erasure) => {
                page.field("erased", &joined(&erasure.records));
                page.maybe(
                    "fields",
                    (!erasure.fields.is_empty()).then(|| erasure.fields.join(", ")).as_deref(),
                );
                page.field("by", &erasure.by);
                page.field("basis", &erasure.basis);
            }
            Fact::Keys(change) => {
                page.field("signs", &change.signs);
                page.field("added", &change.added);
                page.field("overlap", &format!("until {}", moment::short(change.overlap_until_us)));
                page.field("by", &change.by);
            }
            Fact::Recovery(recovery) => page.recovery(recovery, view.as_ref()),
        }
        if self.record.view_edited {
            page.line(RED, "the readable view was edited and is not shown; run `placet audit verify`");
        } else if view.is_none() && record.view.is_some() {
            page.line(DIM, "the readable view was erased");
        }
        self.approval(&mut page);
        if let (Some(outcome), Fact::Decision(_)) = (&self.outcome, &record.fact)
            && let Fact::Outcome(fact) = &outcome.record.fact
        {
            page.title("outcome");
            page.field("record", &outcome.seq.to_string());
            page.outcome(fact, outcome.view().as_ref());
        }
        page.operations(&record.ops);
        let changes = view.as_ref().and_then(|view| view.get("changes")).and_then(Value::as_array);
        if let Some(changes) = changes.filter(|_| matches!(record.fact, Fact::Change(_))) {
            page.title("authority, against the parent's");
            changes.iter().filter_map(Value::as_str).for_each(|line| page.line(DIM, line));
        }
        page.out
    }

    fn approval(&self, page: &mut Page) {
        let Some((seq, entry)) = &self.asked else { return };
        page.title("approval");
        page.field("id", &entry.id.0);
        page.field(
            "asked",
            &format!(
                "record {seq}, {}, until {}",
                moment::short(entry.asked_us),
                moment::short(entry.expires_us)
            ),
        );
        page.field("digest", &entry.digest.to_string());
        for (seq, vote, reason) in &self.votes {
            let word = if vote.approve { "approved" } else { "denied" };
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            page.field(
                word,
                &format!("by {} ({}, {}), record {seq}{reason}", vote.approver, vote.strength, vote.channel),
            );
        }
        match self.consumed {
            Some(seq) => page.field("used", &format!("record {seq}")),
            None => page.field("used", "no"),
        }
    }
}

fn joined(records: &[u64]) -> String {
    records.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    fn headline(&mut self, word: &str, style: clap::builder::styling::Style, text: &str) {
        let word = self.paint.paint(style, &word.to_uppercase());
        let text = if text.is_empty() { String::new() } else { format!("  {}", visible_line(text)) };
        let _ = writeln!(self.out, "{word}{text}");
    }

    fn title(&mut self, title: &str) {
        let _ = writeln!(self.out, "\n{}", self.paint.paint(BOLD, title));
    }

    fn field(&mut self, label: &str, value: &str) {
        // Names of arguments are as foreign as their values.
        let label = self.paint.paint(DIM, &format!("{:<9}", visible_line(label)));
        let _ = writeln!(self.out, "  {label} {}", visible_line(value));
    }

    fn maybe(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.field(label, value);
        }
    }

    fn line(&mut self, style: clap::builder::styling::Style, text: &str) {
        let _ = writeln!(self.out, "  {}", self.paint.paint(style, text));
    }

    fn decision(&mut self, decision: &DecisionFact, view: Option<&Map<String, Value>>) {
        let reason = view.and_then(|view| view.get("reason")?.as_str()).unwrap_or(&decision.code);
        let hard = if decision.hard { "(hard) " } else { "" };
        self.headline(&decision.verdict, verdict_style(&decision.verdict), &format!("{hard}{reason}"));
    }

    fn details(&mut self, decision: &DecisionFact, view: Option<&Map<String, Value>>) {
        let value = |member: &str| view.and_then(|view| view.get(member));
        self.field("event", &decision.event_type);
        self.field("action", &decision.action);
        self.maybe("tool", decision.tool.as_deref());
        self.maybe("target", value("target").and_then(Value::as_str));
        self.field(
            "risk",
            &format!(
                "{} ({})",
                decision.risk_tier.name(),
                Level::of(decision.risk_tier).word().to_lowercase()
            ),
        );
        self.field("code", &decision.code);
        let identity = serde_json::to_value(decision.identity).unwrap_or_default();
        self.maybe("identity", identity.as_str());
        self.field("policy", &decision.policy_version);
        if let Some(rules) = value("rules").and_then(Value::as_array).filter(|rules| !rules.is_empty()) {
            self.title("rules");
            for rule in rules {
                let text = |member: &str| rule.get(member).and_then(Value::as_str).unwrap_or_default();
                let line = rule.get("line").and_then(Value::as_u64).filter(|line| *line > 0);
                let place =
                    line.map_or_else(|| text("file").to_owned(), |line| format!("{}:{line}", text("file")));
                let name = self.paint.paint(BOLD, &visible_line(text("name")));
                let _ = writeln!(self.out, "  {name}  {}", self.paint.paint(CYAN, &visible_line(&place)));
            }
        }
        if let Some(args) = value("args").and_then(Value::as_object).filter(|args| !args.is_empty()) {
            self.title("arguments, redacted");
            args.iter().for_each(|(name, value)| self.field(name, &value.to_string()));
        }
        if let Some(inputs) = value("inputs").and_then(Value::as_array).filter(|inputs| !inputs.is_empty()) {
            self.title("values looked at");
            for input in inputs {
                let field = input.get("field").and_then(Value::as_str).unwrap_or_default();
                let seen = input.get("value").filter(|value| !value.is_null());
                let seen = seen.map_or("absent".to_owned(), ToString::to_string);
                let unknown = input.get("unknown").and_then(Value::as_str);
                self.field(field, &unknown.map_or(seen.clone(), |why| format!("{seen}, unknown: {why}")));
            }
        }
    }

    fn outcome(&mut self, outcome: &OutcomeFact, view: Option<&Map<String, Value>>) {
        let status = serde_json::to_value(outcome.status).unwrap_or_default();
        let word = status.as_str().unwrap_or_default();
        let style = if word == "succeeded" { GREEN } else { RED };
        let label = self.paint.paint(DIM, "status   ");
        let _ = writeln!(self.out, "  {label} {}", self.paint.paint(style, word));
        self.field("took", &moment::duration(outcome.elapsed_us));
        self.maybe("error", outcome.error.as_deref());
        self.maybe("says", view.and_then(|view| view.get("error")?.as_str()));
        let result = view.and_then(|view| view.get("result")).map(ToString::to_string);
        self.maybe("result", result.as_deref());
        if outcome.injections > 0 {
            self.field("injected", &format!("{} spans were taken for prompt injection", outcome.injections));
        }
    }

    fn recovery(&mut self, recovery: &RecoveryFact, view: Option<&Map<String, Value>>) {
        self.field(&recovery.code, &recovery.count.to_string());
        let Some(rollback) = &recovery.rollback else { return };
        self.field("by", &rollback.by);
        self.maybe("reason", view.and_then(|view| view.get("reason")?.as_str()));
        self.field("went on", &format!("from {} records, root {}", rollback.size, rollback.root));
        for lost in &rollback.lost {
            self.field("given up", &format!("{} records, root {} ({})", lost.size, lost.root, lost.kept));
        }
    }

    fn operations(&mut self, ops: &[LedgerOp]) {
        // What was asked has a title of its own.
        let ops: Vec<&LedgerOp> = ops.iter().filter(|op| !matches!(op, LedgerOp::Ask(_))).collect();
        if ops.is_empty() {
            return;
        }
        self.title("changed");
        for op in ops {
            let json = serde_json::to_value(op).unwrap_or_default();
            for (kind, body) in json.as_object().into_iter().flatten() {
                self.field(kind, &body.to_string());
            }
        }
    }
}
