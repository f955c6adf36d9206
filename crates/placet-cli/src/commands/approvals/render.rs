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
    let entry = &approval.entry;
    if let Some(map) = json.as_object_mut() {
        map.insert("id".to_owned(), json!(entry.id));
        map.insert("state".to_owned(), json!(approval.state_at(now)));
        map.insert("expires".to_owned(), json!(moment::exact(entry.expires_us)));
        map.insert("due".to_owned(), json!(entry.due_us.map(moment::exact)));
        map.insert("breached".to_owned(), json!(approval.is_breached(now)));
        map.insert("claimed_by".to_owned(), json!(approval.claimed(now).map(|claim| &claim.by)));
    }
    json
}

pub(super) fn table(requests: &[Approval], now: Micros, paint: Paint) -> String {
    let head =
        ["id", "state", "risk", "time", "due", "claimed by", "tool", "session", "agent", "ask", "rule"];
    let mut rows: Vec<Vec<Cell>> = vec![head.map(|name| Cell::left(name).styled(DIM)).into()];
    let cells: Vec<[(String, Option<Style>); 11]> = requests.iter().map(|one| cells(one, now)).collect();
    // A column in which nothing stands takes no room.
    let shown: Vec<bool> = (0..head.len())
        .map(|at| cells.iter().any(|row| row.get(at).is_some_and(|cell| !cell.0.is_empty())))
        .collect();
    let kept = |row: Vec<Cell>| {
        row.into_iter().zip(&shown).filter(|(_, shown)| **shown).map(|(cell, _)| cell).collect()
    };
    for row in cells {
        let cell = |(text, style): (String, Option<Style>)| {
            let cell = Cell::left(text);
            match style {
                Some(style) => cell.styled(style),
                None => cell,
            }
        };
        rows.push(row.map(cell).into());
    }
    let rows: Vec<Vec<Cell>> = rows.into_iter().map(kept).collect();
    render::table(&rows, paint)
}

fn cells(approval: &Approval, now: Micros) -> [(String, Option<Style>); 11] {
    let entry = &approval.entry;
    let state = approval.state_at(now);
    let plain = |text: &str| (text.to_owned(), None);
    [
        plain(&entry.id.0),
        (state.to_string(), Some(style(state))),
        plain(entry.risk_tier.name()),
        (time(approval, state, now), None),
        due(approval, state, now),
        plain(&approval.claimed(now).map(|claim| claim.by.to_string()).unwrap_or_default()),
        plain(entry.tool.as_deref().unwrap_or(&entry.action)),
        plain(entry.session.as_deref().unwrap_or_default()),
        plain(entry.agent.as_deref().unwrap_or_default()),
        plain(&asked(approval, now)),
        plain(&entry.rules.join(", ")),
    ]
}

/// `in 9m`, `breached 3m ago`, or `late` for one that was answered after its time.
fn due(approval: &Approval, state: ApprovalState, now: Micros) -> (String, Option<Style>) {
    let Some(due) = approval.entry.due_us else { return (String::new(), None) };
    let waits = state == ApprovalState::Pending;
    match (waits, approval.is_breached(now)) {
        (true, true) => (format!("breached {} ago", span(now.0.saturating_sub(due.0))), Some(RED)),
        (true, false) => (format!("in {}", span(due.0.saturating_sub(now.0))), None),
        (false, true) => ("late".to_owned(), Some(YELLOW)),
        (false, false) => (String::new(), None),
    }
}

/// `58m left`, or when it was asked.
fn time(approval: &Approval, state: ApprovalState, now: Micros) -> String {
    if state != ApprovalState::Pending {
        return moment::short(approval.recorded_us);
    }
    format!("{} left", span(approval.entry.expires_us.0.saturating_sub(now.0)))
}

/// `45s`, `12m`, `3h`.
fn span(micros: i64) -> String {
    let seconds = micros.max(0) / 1_000_000;
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3_600),
    }
}

/// `3 wait, 1 of them past its time; the oldest for 12m`.
pub(super) fn summary(requests: &[Approval], now: Micros) -> Option<String> {
    let waiting: Vec<&Approval> =
        requests.iter().filter(|one| one.state_at(now) == ApprovalState::Pending).collect();
    let oldest = waiting.iter().map(|one| now.0.saturating_sub(one.recorded_us.0)).max()?;
    let overdue = waiting.iter().filter(|one| one.is_breached(now)).count();
    let count = waiting.len();
    let waits = if count == 1 { "1 waits".to_owned() } else { format!("{count} wait") };
    let late = if overdue > 0 { format!(", {overdue} breached") } else { String::new() };
    let oldest =
        if count == 1 { format!("for {}", span(oldest)) } else { format!("the oldest for {}", span(oldest)) };
    Some(format!("{waits}{late}; {oldest}; `placet approvals show ID` shows what would run"))
}

/// Who may answer now: `2 of finance`, `anyone`, `finance or board` once it was escalated.
fn asked(approval: &Approval, now: Micros) -> String {
    let further = approval.entry.escalate.as_ref().filter(|further| now >= further.at_us);
    let quorum = |quorum: &placet::record::ledger::Quorum| {
        let mut groups: Vec<String> = quorum.any_of.iter().map(ToString::to_string).collect();
        if !groups.is_empty() {
            groups.extend(further.map(|further| further.group.to_string()));
        }
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
    for (label, value) in facts(approval, shown, now) {
        field(label, &value);
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

/// What is known of a request besides what would run.
fn facts(approval: &Approval, shown: &Shown, now: Micros) -> Vec<(&'static str, String)> {
    let entry = &approval.entry;
    let strength = match entry.strength {
        VoteStrength::Asserted => "any vote counts, also one that is only asserted".to_owned(),
        strength => format!("only {strength} votes count"),
    };
    let mut facts = vec![("ask", asked(approval, now)), ("strength", strength)];
    facts.push(("asked", moment::short(entry.asked_us)));
    if let Some(at) = entry.due_us {
        let (text, _) = due(approval, approval.state_at(now), now);
        let text = if text.is_empty() { text } else { format!(" ({text})") };
        facts.push(("due", format!("{}{text}", moment::short(at))));
    }
    if let Some(further) = &entry.escalate {
        facts.push(("escalates", format!("{} to {}", moment::short(further.at_us), further.group)));
    }
    facts.push(("expires", moment::short(entry.expires_us)));
    facts.push(("digest", entry.digest.to_string()));
    facts.extend(shown.seq.map(|seq| ("decision", format!("record {seq}, {}", entry.decision))));
    if let Some(claim) = approval.claimed(now) {
        facts.push(("claimed", format!("by {} until {}", claim.by, moment::short(claim.until_us))));
    }
    for (event, at) in &approval.marks {
        facts.push((event.name(), format!("{} (recorded)", moment::short(*at))));
    }
    for cast in &approval.votes {
        let word = if cast.vote.approve { "yes" } else { "no" };
        let (by, strength, channel) = (&cast.vote.approver, cast.vote.strength, &cast.vote.channel);
        facts.push((word, format!("of {by} ({strength}, {channel}) at {}", moment::short(cast.recorded_us))));
    }
    for (channel, events) in &approval.told {
        let events: Vec<&str> = events.iter().map(|event| event.name()).collect();
        facts.push(("told", format!("{channel}: {}", events.join(", "))));
    }
    if let Some(used) = approval.consumed_us {
        facts.push(("used", moment::short(used)));
    }
    if let Some(closed) = &approval.closed {
        facts.push(("ended", format!("{}, {}", moment::short(closed.at_us), closed.code)));
    }
    facts
}

/// Why an answer came too late, for the one who gave it.
pub(super) fn too_late(approval: &Approval, now: Micros) -> Option<String> {
    let id = &approval.entry.id;
    let by = approval
        .decided
        .as_ref()
        .map(|decided| format!(" by {} at {}", decided.by, moment::short(decided.at_us)));
    let by = by.unwrap_or_default();
    match approval.state_at(now) {
        ApprovalState::Pending => None,
        ApprovalState::Expired => Some(format!(
            "the request `{id}` expired at {}; the agent has to ask anew",
            moment::short(approval.entry.expires_us)
        )),
        ApprovalState::Cancelled => Some(format!("the request `{id}` was taken back; nothing waits for it")),
        ApprovalState::Consumed => {
            Some(format!("the request `{id}` was approved{by}, and what it allowed has begun"))
        }
        state => Some(format!("the request `{id}` was {state}{by}; the first decision counts")),
    }
}

pub(super) fn answered(
    after: &Approval,
    by: &ApproverId,
    yes: bool,
    strength: VoteStrength,
    now: Micros,
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
        let _ = writeln!(out, "  it still waits for {}", visible_line(&asked(after, now)));
    }
    out
}

/// One line of `watch`.
pub(super) fn line(approval: &Approval, word: &str, style: Style, now: Micros, paint: Paint) -> String {
    let entry = &approval.entry;
    let word = paint.paint(style, &format!("{:<9}", word.to_uppercase()));
    let tool = entry.tool.as_deref().unwrap_or(&entry.action);
    let by = approval.decided.as_ref().map(|decided| format!("  by {}", decided.by)).unwrap_or_default();
    let session = entry.session.as_deref().map(|session| format!("  session {session}")).unwrap_or_default();
    let text = format!("{tool}  {}{session}{by}  {}", entry.risk_tier.name(), asked(approval, now));
    format!("{}  {word} {}  {}", moment::short(now), entry.id, visible_line(&text))
}

/// What `watch` says of a request now: its state, or that it waits too long or is claimed.
pub(super) fn standing(approval: &Approval, now: Micros) -> (String, Style) {
    let state = approval.state_at(now);
    if state == ApprovalState::Pending && approval.is_breached(now) {
        return ("breached".to_owned(), RED);
    }
    if state == ApprovalState::Pending && approval.claimed(now).is_some() {
        return ("claimed".to_owned(), YELLOW);
    }
    (state.to_string(), style(state))
}
