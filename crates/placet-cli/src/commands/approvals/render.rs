//! How requests look to a person.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;

use clap::builder::styling::Style;
use placet::record::ids::{ApproverId, Micros};
use placet::record::ledger::{ApprovalState, VoteStrength};
use placet::trust::approvals::Approval;
use serde_json::{Value, json};

use super::question::Shown;
use crate::moment;
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, visible, visible_line};
use crate::render::{self, Cell};

fn style(state: ApprovalState) -> Style {
    match state {
        ApprovalState::Pending => YELLOW,
        ApprovalState::Approved | ApprovalState::Consumed => GREEN,
        ApprovalState::Denied => RED,
        ApprovalState::Expired | ApprovalState::Cancelled => DIM,
    }
}

pub(super) fn json(approval: &Approval, now: Micros) -> Value {
    let mut json = json!(approval);
    if let Some(map) = json.as_object_mut() {
        map.insert("id".to_owned(), json!(approval.entry.id));
        map.insert("state".to_owned(), json!(approval.state_at(now)));
        map.insert("expires".to_owned(), json!(moment::exact(approval.entry.expires_us)));
    }
    json
}

pub(super) fn table(requests: &[Approval], now: Micros, paint: Paint) -> String {
    let head = ["id", "state", "time", "tool", "session", "agent", "ask", "rule"];
    let mut rows: Vec<Vec<Cell>> = vec![head.map(|name| Cell::left(name).styled(DIM)).into()];
    for approval in requests {
        let entry = &approval.entry;
        let state = approval.state_at(now);
        rows.push(vec![
            Cell::left(&*entry.id.0),
            Cell::left(state.to_string()).styled(style(state)),
            Cell::left(time(approval, state, now)),
            Cell::left(entry.tool.as_deref().unwrap_or(&entry.action)),
            Cell::left(entry.session.as_deref().unwrap_or_default()),
            Cell::left(entry.agent.as_deref().unwrap_or_default()),
            Cell::left(asked(approval)),
            Cell::left(entry.rules.join(", ")),
        ]);
    }
    render::table(&rows, paint)
}

/// `58m left`, or when it was asked.
fn time(approval: &Approval, state: ApprovalState, now: Micros) -> String {
    if state != ApprovalState::Pending {
        return moment::short(approval.recorded_us);
    }
    let left = approval.entry.expires_us.0.saturating_sub(now.0) / 1_000_000;
    match left {
        ..120 => format!("{left}s left"),
        120..7_200 => format!("{}m left", left / 60),
        _ => format!("{}h left", left / 3_600),
    }
}

/// Who may answer: `2 of finance`, `anyone`.
fn asked(approval: &Approval) -> String {
    let quorum = |quorum: &placet::record::ledger::Quorum| {
        let groups: Vec<String> = quorum.any_of.iter().map(ToString::to_string).collect();
        let who = if groups.is_empty() { "anyone".to_owned() } else { groups.join(" or ") };
        if quorum.count > 1 { format!("{} of {who}", quorum.count) } else { who }
    };
    approval.entry.quorums.iter().map(quorum).collect::<Vec<_>>().join(", ")
}

pub(super) fn whole(approval: &Approval, shown: &Shown, now: Micros, paint: Paint) -> String {
    let entry = &approval.entry;
    let state = approval.state_at(now);
    let heading = paint.paint(style(state), &state.to_string().to_uppercase());
    let mut out = format!("{heading}  {}\n", paint.paint(BOLD, &entry.id.0));
    let mut field = |label: &str, value: &str| {
        let _ = writeln!(out, "  {}  {}", paint.paint(DIM, &format!("{label:<9}")), visible_line(value));
    };
    field("ask", &asked(approval));
    field("strength", &format!("{} votes count", entry.strength));
    field("asked", &moment::short(entry.asked_us));
    field("expires", &moment::short(entry.expires_us));
    field("digest", &entry.digest.to_string());
    if let Some(seq) = shown.seq {
        field("decision", &format!("record {seq}, {}", entry.decision));
    }
    for cast in &approval.votes {
        let word = if cast.vote.approve { "yes" } else { "no" };
        let text = format!("of {} ({}, {})", cast.vote.approver, cast.vote.strength, cast.vote.channel);
        field(word, &text);
    }
    if let Some(closed) = &approval.closed {
        field("ended", &format!("{}, {}", moment::short(closed.at_us), closed.code));
    }
    match &shown.text {
        Ok(text) => {
            let _ = writeln!(out, "\n{}", paint.paint(BOLD, "what would run (checked against its digest)"));
            text.lines().skip(1).for_each(|line| {
                let _ = writeln!(out, "  {}", visible(line));
            });
        }
        Err(problem) => {
            let _ = writeln!(out, "\n{}  {problem}", paint.paint(RED, "NOT SHOWN"));
        }
    }
    out
}

pub(super) fn answered(
    after: &Approval,
    by: &ApproverId,
    yes: bool,
    strength: VoteStrength,
    paint: Paint,
) -> String {
    let tool = after.entry.tool.as_deref().unwrap_or(&after.entry.action);
    let word = if yes { "yes" } else { "no" };
    let proof = match strength {
        VoteStrength::Signed => "signed",
        _ => "asserted: this terminal says so, nothing proves it",
    };
    let heading = paint.paint(style(after.state), &after.state.to_string().to_uppercase());
    let mut out = format!("{heading}  {}\n", visible_line(&format!("{tool}: {word} of {by} ({proof})")));
    if after.state == ApprovalState::Pending {
        let _ = writeln!(out, "  it still waits for {}", visible_line(&asked(after)));
    }
    out
}

/// One line of `watch`.
pub(super) fn line(approval: &Approval, state: ApprovalState, paint: Paint) -> String {
    let entry = &approval.entry;
    let word = paint.paint(style(state), &format!("{:<9}", state.to_string().to_uppercase()));
    let tool = entry.tool.as_deref().unwrap_or(&entry.action);
    let by = approval.decided.as_ref().map(|decided| format!("  by {}", decided.by)).unwrap_or_default();
    let session = entry.session.as_deref().map(|session| format!("  session {session}")).unwrap_or_default();
    format!("{word} {}  {}", entry.id, visible_line(&format!("{tool}{session}{by}  {}", asked(approval))))
}
