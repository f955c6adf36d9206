//! Metrics in the text format of Prometheus (OpenMetrics), counted from the same steps as the spans.
//!
//! Labels have few values: verdicts, codes, kinds of events. A tool has a name here only when the configuration lists
//! it; what a model makes up is never a label. This serves no page: it renders a text.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::Mutex;
use placet_trust::approvals::sla::{SlaFigures, figures, percentile, waits};
use placet_trust::{Freshness, Ledger};
use placet_types::record::OutcomeStatus;
use placet_types::{Decision, DenyCause, Event, Field, Micros, Verdict};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Decided, Ended, Observer, Opening, Step, Waited, Watcher};

/// The type under which the text is served.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of what takes microseconds.
const FAST: [f64; 14] =
    [2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 5e-2, 0.25, 1.0];

/// Bounds of what other people's code and machines take.
const SLOW: [f64; 12] = [1e-3, 5e-3, 2.5e-2, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0];

/// Over how long the time to decision is told, in microseconds: a day.
const DECIDED_WITHIN_US: i64 = 86_400_000_000;

/// The hundredths of decisions whose time is told, with their label.
const QUANTILES: [(usize, &str); 2] = [(50, "0.5"), (95, "0.95")];

/// The kinds of events that have a name; all others are `other`.
const EVENT_TYPES: [&str; 6] =
    ["tool_call", "agent.spawn", "agent.delegate", "agent.plan", "agent.budget", "data.access"];

/// The transports that have a name.
const TRANSPORTS: [&str; 3] = ["local", "mcp", "http"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    verdict: &'static str,
    code: &'static str,
    event_type: &'static str,
    transport: &'static str,
    tool: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    event_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RecordLabels {
    record: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
    tool: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuantileLabels {
    quantile: &'static str,
}

/// The metrics of a process, shared by its gates.
pub struct Metrics {
    registry: Registry,
    instruments: Arc<Instruments>,
    /// Ledgers whose open approvals are told.
    ledgers: Mutex<Vec<Watched>>,
}

/// A ledger, and whether it is in use.
struct Watched {
    ledger: Weak<dyn Ledger>,
    used: Arc<AtomicBool>,
}

type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

struct Instruments {
    decisions: Family<DecisionLabels, Counter>,
    decision_seconds: Timings<KindLabels>,
    policy_seconds: Timings<KindLabels>,
    budget_denials: Family<CodeLabels, Counter>,
    commit_seconds: Timings<RecordLabels>,
    commit_failures: Family<RecordLabels, Counter>,
    approvals_requested: Counter,
    approval_wait_seconds: Timings<ResultLabels>,
    approvals_open: Gauge,
    approvals_overdue: Gauge,
    approval_oldest_seconds: Gauge<f64, AtomicU64>,
    approval_breaches: Counter,
    approval_decision_seconds: Family<QuantileLabels, Gauge<f64, AtomicU64>>,
    effects: Family<StatusLabels, Counter>,
    effect_seconds: Histogram,
    sanitizer_hits: Counter,
    spans_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("placet");
        let instruments = Arc::new(Instruments::new(&mut registry));
        Self { registry, instruments, ledgers: Mutex::default() }
    }
}

impl Metrics {
    /// The observer of one gate; `tools` are those that have a name in metrics. The open approvals of its ledger are
    /// told once it is in use.
    pub fn observer(&self, tools: &[String], ledger: Option<&Arc<dyn Ledger>>) -> Arc<dyn Observer> {
        let used = ledger.map(|ledger| {
            let used = Arc::new(AtomicBool::new(false));
            let mut ledgers = self.ledgers.lock();
            ledgers.retain(|known| known.ledger.strong_count() > 0);
            ledgers.push(Watched { ledger: Arc::downgrade(ledger), used: used.clone() });
            used
        });
        let tools = tools.iter().map(|tool| Arc::from(tool.as_str())).collect();
        Arc::new(Counting(Arc::new(GateInstruments { instruments: self.instruments.clone(), tools, used })))
    }

    /// Tells the approvals of a ledger from now on, whether or not a gate uses it.
    pub fn tell(&self, ledger: &Arc<dyn Ledger>) {
        let used = Arc::new(AtomicBool::new(true));
        self.ledgers.lock().push(Watched { ledger: Arc::downgrade(ledger), used });
    }

    /// All metrics as text. Reads the ledgers in use, so it may wait for a disk.
    #[must_use]
    pub fn render(&self) -> String {
        let (figures, waits) = self.figures(Micros(Timestamp::now().as_microsecond()));
        let instruments = &self.instruments;
        // What the log says, which never shrinks.
        let breaches = u64::try_from(figures.breached).unwrap_or(u64::MAX);
        instruments.approval_breaches.inner().store(breaches, Ordering::Relaxed);
        instruments.approval_decision_seconds.clear();
        for (hundredths, quantile) in QUANTILES {
            if let Some(waited_us) = percentile(&waits, hundredths) {
                let seconds = std::time::Duration::from_micros(waited_us.max(0).unsigned_abs()).as_secs_f64();
                instruments
                    .approval_decision_seconds
                    .get_or_create(&QuantileLabels { quantile })
                    .set(seconds);
            }
        }
        instruments.approvals_open.set(i64::try_from(figures.pending).unwrap_or(i64::MAX));
        instruments.approvals_overdue.set(i64::try_from(figures.overdue).unwrap_or(i64::MAX));
        let oldest = u64::try_from(figures.oldest_us).unwrap_or(0);
        instruments.approval_oldest_seconds.set(std::time::Duration::from_micros(oldest).as_secs_f64());
        let mut rendered = String::new();
        match text::encode(&mut rendered, &self.registry) {
            Ok(()) => rendered,
            // Writing to a text does not fail.
            Err(fmt::Error) => String::new(),
        }
    }

    /// Counts what was found in a text that no call returned.
    pub fn cleaned(&self, found: usize) {
        self.instruments.sanitizer_hits.inc_by(u64::try_from(found).unwrap_or(u64::MAX));
    }

    /// Counts spans that found no room in a queue.
    pub fn spans_dropped(&self, count: u64) {
        self.instruments.spans_dropped.inc_by(count);
    }

    /// The figures of all ledgers in use, and how long what was decided lately had waited.
    fn figures(&self, at: Micros) -> (SlaFigures, Vec<i64>) {
        let mut ledgers: Vec<Arc<dyn Ledger>> = Vec::new();
        for Watched { ledger, used } in self.ledgers.lock().iter() {
            let known = |ledger: &Arc<dyn Ledger>| ledgers.iter().any(|other| Arc::ptr_eq(other, ledger));
            if used.load(Ordering::Relaxed)
                && let Some(ledger) = ledger.upgrade()
                && !known(&ledger)
            {
                ledgers.push(ledger);
            }
        }
        let (mut sum, mut waited) = (SlaFigures::default(), Vec::new());
        let since = Micros(at.0.saturating_sub(DECIDED_WITHIN_US));
        for ledger in ledgers {
            let mut one = SlaFigures::default();
            let read = ledger.read(Freshness::Seen, &mut |state| {
                one = figures(&state.approvals, at);
                waited.extend(waits(&state.approvals, since));
            });
            if let Err(error) = read {
                tracing::warn!(target: "placet::telemetry", %error, "open approvals are not told");
            }
            sum.pending += one.pending;
            sum.overdue += one.overdue;
            sum.oldest_us = sum.oldest_us.max(one.oldest_us);
            sum.breached += one.breached;
        }
        waited.sort_unstable();
        (sum, waited)
    }
}

/// Histograms with the bounds of what takes microseconds.
fn fast() -> Histogram {
    Histogram::new(FAST)
}

fn slow() -> Histogram {
    Histogram::new(SLOW)
}

impl Instruments {
    fn new(registry: &mut Registry) -> Self {
        let instruments = Self {
            decisions: Family::default(),
            decision_seconds: Family::new_with_constructor(fast),
            policy_seconds: Family::new_with_constructor(fast),
            budget_denials: Family::default(),
            commit_seconds: Family::new_with_constructor(fast),
            commit_failures: Family::default(),
            approvals_requested: Counter::default(),
            approval_wait_seconds: Family::new_with_constructor(slow),
            approvals_open: Gauge::default(),
            approvals_overdue: Gauge::default(),
            approval_oldest_seconds: Gauge::default(),
            approval_breaches: Counter::default(),
            approval_decision_seconds: Family::default(),
            effects: Family::default(),
            effect_seconds: slow(),
            sanitizer_hits: Counter::default(),
            spans_dropped: Counter::default(),
        };
        instruments.register_decisions(registry);
        instruments.register_rest(registry);
        instruments
    }

    fn register_decisions(&self, registry: &mut Registry) {
        registry.register("decisions", "Decisions", self.decisions.clone());
        registry.register_with_unit(
            "decision_duration",
            "Time from an event to its decision, recorded",
            Unit::Seconds,
            self.decision_seconds.clone(),
        );
        registry.register_with_unit(
            "policy_evaluation_duration",
            "Time in which the policies were evaluated",
            Unit::Seconds,
            self.policy_seconds.clone(),
        );
        registry.register(
            "budget_denials",
            "Events denied because a budget or a rate limit was used up",
            self.budget_denials.clone(),
        );
        registry.register_with_unit(
            "ledger_commit_duration",
            "Time in which a record was committed",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register(
            "ledger_failures",
            "Records that could not be committed",
            self.commit_failures.clone(),
        );
    }

    fn register_rest(&self, registry: &mut Registry) {
        registry.register(
            "approvals_requested",
            "Requests put before people",
            self.approvals_requested.clone(),
        );
        registry.register_with_unit(
            "approval_wait_duration",
            "Time for which calls waited for people",
            Unit::Seconds,
            self.approval_wait_seconds.clone(),
        );
        registry.register(
            "approvals_open",
            "Requests that wait for people, in the ledgers in use",
            self.approvals_open.clone(),
        );
        registry.register("approvals_breached", "Those of them overdue", self.approvals_overdue.clone());
        registry.register_with_unit(
            "approvals_oldest",
            "Age of the oldest of them",
            Unit::Seconds,
            self.approval_oldest_seconds.clone(),
        );
        registry.register(
            "approvals_breaches",
            "Requests that were not answered in time, over the whole log",
            self.approval_breaches.clone(),
        );
        registry.register_with_unit(
            "approvals_decision",
            "Time from the question to the decision, of requests decided in the last 24 hours",
            Unit::Seconds,
            self.approval_decision_seconds.clone(),
        );
        registry.register("effects", "Guarded acts, by how they ended", self.effects.clone());
        registry.register_with_unit(
            "effect_duration",
            "Time that guarded acts took",
            Unit::Seconds,
            self.effect_seconds.clone(),
        );
        registry.register(
            "sanitizer_hits",
            "Spans of results taken for prompt injection",
            self.sanitizer_hits.clone(),
        );
        registry.register(
            "telemetry_spans_dropped",
            "Finished spans that found no room in the queue to their exporter",
            self.spans_dropped.clone(),
        );
    }
}

/// The instruments as one gate uses them.
struct GateInstruments {
    instruments: Arc<Instruments>,
    tools: BTreeSet<Arc<str>>,
    used: Option<Arc<AtomicBool>>,
}

/// The observer: every event shares the same instruments.
struct Counting(Arc<GateInstruments>);

impl Observer for Counting {
    fn opens(&self, _: &Opening<'_>) -> Arc<dyn Watcher> {
        self.0.clone()
    }
}

impl Watcher for GateInstruments {
    fn saw(&self, step: &Step<'_>) {
        match step {
            Step::Decided(decided) => self.decided(decided),
            Step::Waited(waited) => self.waited(waited),
            Step::Ended(ended) => self.ended(ended),
        }
    }
}

impl GateInstruments {
    fn decided(&self, decided: &Decided<'_>) {
        let to = &self.instruments;
        let kind = KindLabels { event_type: known(&EVENT_TYPES, decided.event, Field::EventType) };
        to.decision_seconds.get_or_create(&kind).observe(decided.whole.took().as_secs_f64());
        if let Some(judged) = &decided.judged {
            to.policy_seconds.get_or_create(&kind).observe(judged.took().as_secs_f64());
        }
        self.count(decided.event, decided.decision);
        if let Some(recorded) = &decided.recorded {
            let record = RecordLabels { record: "decision" };
            to.commit_seconds.get_or_create(&record).observe(recorded.took().as_secs_f64());
            if let Some(used) = &self.used {
                used.store(true, Ordering::Relaxed);
            }
        }
        if decided.approval.is_some() && matches!(decided.decision.verdict, Verdict::Escalate { .. }) {
            to.approvals_requested.inc();
        }
    }

    fn count(&self, event: &Event, decision: &Decision) {
        let to = &self.instruments;
        let labels = DecisionLabels {
            verdict: decision.verdict.word(),
            code: decision.verdict.code(),
            event_type: known(&EVENT_TYPES, event, Field::EventType),
            transport: known(&TRANSPORTS, event, Field::Transport),
            tool: self.tool(event.get(Field::ToolName).as_str()),
        };
        to.decisions.get_or_create(&labels).inc();
        let Verdict::Deny { cause, .. } = &decision.verdict else { return };
        match cause {
            DenyCause::BudgetExhausted | DenyCause::RateLimited => {
                to.budget_denials.get_or_create(&CodeLabels { code: cause.code() }).inc();
            }
            DenyCause::AuditUnavailable | DenyCause::StateTampered => {
                to.commit_failures.get_or_create(&RecordLabels { record: "decision" }).inc();
            }
            _ => {}
        }
    }

    fn waited(&self, waited: &Waited<'_>) {
        let result = waited.refused.map_or("decided", |(_, decision)| decision.verdict.code());
        let labels = ResultLabels { result };
        let seconds = waited.lap.took().as_secs_f64();
        self.instruments.approval_wait_seconds.get_or_create(&labels).observe(seconds);
        // What ends a wait is a decision of its own.
        if let Some((event, decision)) = waited.refused {
            self.count(event, decision);
        }
    }

    fn ended(&self, ended: &Ended<'_>) {
        let to = &self.instruments;
        let status = match ended.status {
            OutcomeStatus::Succeeded => "succeeded",
            OutcomeStatus::Failed => "failed",
            OutcomeStatus::Cancelled => "cancelled",
            OutcomeStatus::NotStarted => "not_started",
        };
        to.effects.get_or_create(&StatusLabels { status, tool: self.tool(ended.tool) }).inc();
        if let Some(ran) = &ended.ran {
            to.effect_seconds.observe(ran.took().as_secs_f64());
        }
        to.sanitizer_hits.inc_by(u64::from(ended.injections));
        let record = RecordLabels { record: "outcome" };
        if let Some(recorded) = &ended.recorded {
            to.commit_seconds.get_or_create(&record).observe(recorded.took().as_secs_f64());
        }
        if ended.unrecorded {
            to.commit_failures.get_or_create(&record).inc();
        }
    }

    /// The tool's name where it is one that metrics name; an empty label counts as absent.
    fn tool(&self, name: Option<&str>) -> Arc<str> {
        name.and_then(|name| self.tools.get(name)).cloned().unwrap_or_default()
    }
}

/// The text of a field where it is a known one.
fn known(all: &[&'static str], event: &Event, field: Field) -> &'static str {
    let text = event.get(field).as_str();
    all.iter().find(|known| text == Some(**known)).copied().unwrap_or("other")
}
