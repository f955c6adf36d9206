//! Steps as OpenTelemetry spans: their names, their attributes, and how they nest.
//!
//! Names are those of Kite Logik with our prefix, and those of the GenAI semantic conventions where these have one.
//! Source: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-agent-spans/#execute-tool-span>.
//!
//! No attribute holds an argument, a result, a reason, the text of an error or a bearer token: reasons can quote
//! arguments, so the code, the rules and the id of the decision stand for them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use placet_types::record::OutcomeStatus;
use placet_types::{Decision, Event, Field, Identity, Value, Verdict};

use super::{Decided, Ended, Lap, Step, Waited};

/// A governed call, from its first moment to its last; a span that is open while the others come and go.
pub const TOOL_CALL: &str = "placet.adapter.tool_call";
/// The decision on a call of a tool.
pub const EVALUATE: &str = "policy_gate.evaluate";
/// The decision on any other event.
pub const EVALUATE_EVENT: &str = "policy_gate.evaluate_event";
/// Closing the question: identity, facts of the session, authority.
pub const VALIDATE: &str = "policy_gate.schema_validate";
/// Verifying the credential.
pub const CREDENTIAL: &str = "placet.credential.validate";
/// Evaluating the policies for a call of a tool, by whatever engine.
pub const POLICY: &str = "policy_gate.opa_evaluate";
/// Evaluating the policies for any other event, by whatever engine.
pub const POLICY_EVENT: &str = "policy_gate.opa_evaluate_event";
/// Committing a record to the ledger.
pub const COMMIT: &str = "placet.audit.commit";
/// Waiting for people.
pub const WAIT: &str = "placet.approval.wait";
/// Cleaning what a tool returned.
pub const SANITIZE: &str = "policy_gate.sanitize_response";
/// The effect of an event that is no call of a tool.
pub const EFFECT: &str = "placet.effect";
/// What the name of the span of a tool's effect begins with; the tool's name follows. Also the operation's name.
pub const EXECUTE: &str = "execute_tool";

/// Most bytes of a text in an attribute: names can come from a model.
const MAX_TEXT_BYTES: usize = 256;

/// Most texts in an attribute.
const MAX_TEXTS: usize = 32;

/// A finished span with those inside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: Cow<'static, str>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// Its attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// The type of its error, when it failed. A deny is no failure.
    pub error: Option<Arc<str>>,
    /// The spans inside it.
    pub children: Vec<Span>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(Arc<str>),
    /// Several.
    Texts(Vec<Arc<str>>),
    /// A whole number.
    Count(i64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

impl Attribute {
    /// A text, cut where it is too long.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(cut(text))
    }
}

fn cut(text: &str) -> Arc<str> {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default().into()
}

/// The spans of a step.
#[must_use]
pub fn of(step: &Step<'_>) -> Vec<Span> {
    let clock = Clock::now();
    match step {
        Step::Decided(decided) => vec![decision(decided, &clock)],
        Step::Waited(waited) => vec![wait(waited, &clock)],
        Step::Ended(ended) => end(ended, &clock),
    }
}

/// The span of cleaning one text.
#[must_use]
pub fn of_cleaning(lap: &Lap, found: usize) -> Span {
    cleaning(lap, found, &Clock::now())
}

/// The attributes of the span of a governed call, known when it begins.
#[must_use]
pub fn of_call(tool: &str) -> Vec<(&'static str, Attribute)> {
    vec![("placet.tool_name", Attribute::text(tool)), ("gen_ai.tool.name", Attribute::text(tool))]
}

/// The name and the attributes of the span of an effect, known when it begins.
#[must_use]
pub fn of_effect(tool: Option<&str>) -> (Cow<'static, str>, Vec<(&'static str, Attribute)>) {
    let Some(tool) = tool else { return (EFFECT.into(), Vec::new()) };
    let attributes = vec![
        ("gen_ai.operation.name", Attribute::Text(EXECUTE.into())),
        ("gen_ai.tool.name", Attribute::text(tool)),
        ("gen_ai.tool.type", Attribute::Text("function".into())),
    ];
    (format!("{EXECUTE} {}", cut(tool)).into(), attributes)
}

/// The two clocks at one moment.
struct Clock {
    wall: SystemTime,
    steady: Instant,
}

impl Clock {
    fn now() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }

    fn at(&self, moment: Instant) -> SystemTime {
        let ago = self.steady.saturating_duration_since(moment);
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }

    fn span(&self, name: impl Into<Cow<'static, str>>, lap: &Lap) -> Span {
        Span {
            name: name.into(),
            began: self.at(lap.began),
            ended: self.at(lap.ended),
            attributes: Vec::new(),
            error: None,
            children: Vec::new(),
        }
    }
}

fn decision(decided: &Decided<'_>, clock: &Clock) -> Span {
    let is_call = decided.event.get(Field::EventType).as_str() == Some("tool_call");
    let (whole, policy) = if is_call { (EVALUATE, POLICY) } else { (EVALUATE_EVENT, POLICY_EVENT) };
    let mut validate = clock.span(VALIDATE, &decided.settled);
    validate.children.extend(decided.verified.as_ref().map(|lap| clock.span(CREDENTIAL, lap)));
    let mut span = clock.span(whole, &decided.whole);
    span.attributes = event_attributes(decided.event);
    span.attributes.extend(decision_attributes(decided.decision));
    span.attributes.push(("placet.duration_ms", Attribute::Number(milliseconds(decided.whole.took()))));
    span.attributes.extend(decided.approval.map(|id| ("placet.approval_id", Attribute::Text(id.0.clone()))));
    span.children.push(validate);
    span.children.extend(decided.judged.as_ref().map(|lap| clock.span(policy, lap)));
    span.children.extend(decided.recorded.as_ref().map(|lap| {
        let unrecorded = ["audit_unavailable", "state_tampered"].contains(&decided.decision.verdict.code());
        commit(lap, "decision", unrecorded.then(|| decided.decision.verdict.code()), clock)
    }));
    span
}

fn commit(lap: &Lap, record: &str, failed: Option<&str>, clock: &Clock) -> Span {
    let mut span = clock.span(COMMIT, lap);
    span.attributes.push(("placet.record", Attribute::text(record)));
    span.error = failed.map(Arc::from);
    span
}

/// What is said of an event: names and numbers that policies match on, never what is in its arguments.
fn event_attributes(event: &Event) -> Vec<(&'static str, Attribute)> {
    const TEXTS: [(&str, Field); 9] = [
        ("placet.event_type", Field::EventType),
        ("placet.action", Field::Action),
        ("placet.tool_name", Field::ToolName),
        ("gen_ai.tool.name", Field::ToolName),
        ("placet.session_id", Field::SessionId),
        ("placet.user_role", Field::UserRole),
        ("placet.tenant_id", Field::TenantId),
        ("placet.transport", Field::Transport),
        ("placet.data_classification", Field::DataClassification),
    ];
    let texts = TEXTS.iter().filter_map(|(key, field)| {
        event.get(*field).as_str().filter(|text| !text.is_empty()).map(|text| (*key, Attribute::text(text)))
    });
    let mut attributes: Vec<_> = texts.collect();
    if let Value::Int(depth) = event.get(Field::DelegationDepth) {
        attributes.push(("placet.delegation_depth", Attribute::Count(*depth)));
    }
    attributes
}

fn decision_attributes(decision: &Decision) -> Vec<(&'static str, Attribute)> {
    let verdict = &decision.verdict;
    let rules = decision.rules.iter().take(MAX_TEXTS).map(|rule| cut(&rule.name));
    vec![
        ("placet.decision_id", Attribute::Text(decision.decision_id.0.clone())),
        ("placet.policy.verdict", Attribute::Text(verdict.word().into())),
        ("placet.policy.code", Attribute::Text(verdict.code().into())),
        ("placet.policy.allow", Attribute::Flag(*verdict == Verdict::Allow)),
        ("placet.policy.deny", Attribute::Flag(matches!(verdict, Verdict::Deny { .. }))),
        ("placet.policy.requires_hitl", Attribute::Flag(matches!(verdict, Verdict::Escalate { .. }))),
        ("placet.policy.hard", Attribute::Flag(verdict.is_hard())),
        ("placet.policy.risk_tier", Attribute::Text(decision.risk_tier.to_string().into())),
        ("placet.policy.rules", Attribute::Texts(rules.collect())),
        ("placet.policy.version", Attribute::Text(decision.policy_version.clone())),
        ("placet.identity", Attribute::Text(identity_word(decision.identity).into())),
    ]
}

fn identity_word(identity: Identity) -> &'static str {
    match identity {
        Identity::Asserted => "asserted",
        Identity::Verified => "verified",
    }
}

fn wait(waited: &Waited<'_>, clock: &Clock) -> Span {
    let code = waited.refused.map_or("decided", |(_, decision)| decision.verdict.code());
    let mut span = clock.span(WAIT, &waited.lap);
    span.attributes.push(("placet.approval.result", Attribute::text(code)));
    span.attributes.extend(waited.approval.map(|id| ("placet.approval_id", Attribute::Text(id.0.clone()))));
    span
}

fn end(ended: &Ended<'_>, clock: &Clock) -> Vec<Span> {
    let mut spans = Vec::with_capacity(3);
    if let Some(lap) = &ended.ran {
        let (name, attributes) = of_effect(ended.tool);
        let mut span = clock.span(name, lap);
        span.attributes = attributes;
        span.error = match ended.status {
            OutcomeStatus::Succeeded | OutcomeStatus::NotStarted => None,
            OutcomeStatus::Failed => Some(ended.error_type.as_deref().map_or("_OTHER".into(), cut)),
            OutcomeStatus::Cancelled => Some("cancelled".into()),
        };
        spans.push(span);
    }
    spans.extend(
        ended
            .cleaned
            .as_ref()
            .map(|lap| cleaning(lap, usize::try_from(ended.injections).unwrap_or(0), clock)),
    );
    spans.extend(
        ended
            .recorded
            .as_ref()
            .map(|lap| commit(lap, "outcome", ended.unrecorded.then_some("audit_unavailable"), clock)),
    );
    spans
}

fn cleaning(lap: &Lap, found: usize, clock: &Clock) -> Span {
    let mut span = clock.span(SANITIZE, lap);
    span.attributes.push(("placet.sanitizer.was_modified", Attribute::Flag(found > 0)));
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    span.attributes.push(("placet.sanitizer.patterns_found", Attribute::Count(found)));
    span
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
