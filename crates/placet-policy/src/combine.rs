//! From what rules say to one decision: within a tier, then across tiers.
//!
//! In a tier the strongest thing said counts; when nobody said anything, the most restrictive default; without
//! one, deny. An escalation whose condition is unknown restricts what else is said, and does not break a silence:
//! else a lost value could turn a deny into a question. Guard tiers bind only where they restrict. The project tier
//! must allow.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::{DenyCause, InputSeen, ReviewerGroup, RiskTier, RuleRef, Tier, TraceStep, Value, Verdict};
use smallvec::SmallVec;

use crate::doubt;
use crate::eval::Evaluation;
use crate::ir::{DefaultVerdict, Rule, Truth};
use crate::voice::{Effect, Statement, Voice};

/// One thing said, borrowed from a rule or from what an engine answered.
#[derive(Clone, Copy)]
pub(crate) struct Saying<'s> {
    pub(crate) effect: Effect,
    pub(crate) reason: &'s Arc<str>,
    pub(crate) rule: &'s Arc<RuleRef>,
    pub(crate) risk_tier: Option<RiskTier>,
    pub(crate) reviewers: &'s [ReviewerGroup],
    pub(crate) is_failure: bool,
    is_default: bool,
    /// Whether it was said for sure; an escalation on an unknown condition was not.
    is_sure: bool,
    /// The YAML rule, and the truth of its condition.
    native: Option<(&'s Rule, Truth)>,
}

impl<'s> Saying<'s> {
    pub(crate) fn of_rule(rule: &'s Rule, truth: Truth) -> Self {
        Self {
            effect: rule.effect,
            reason: &rule.reason,
            rule: &rule.reference,
            risk_tier: rule.risk_tier,
            reviewers: &rule.reviewers,
            is_failure: false,
            is_default: false,
            is_sure: truth == Truth::True || rule.effect != Effect::Escalate,
            native: Some((rule, truth)),
        }
    }

    /// Whether it was said for sure.
    pub(crate) fn is_sure(&self) -> bool {
        self.is_sure
    }

    pub(crate) fn of_statement(statement: &'s Statement) -> Self {
        Self {
            effect: statement.effect,
            reason: &statement.reason,
            rule: &statement.rule,
            risk_tier: statement.risk_tier,
            reviewers: &statement.reviewers,
            is_failure: statement.is_failure,
            is_default: false,
            is_sure: true,
            native: None,
        }
    }

    fn of_stated_default(statement: &'s Statement) -> Self {
        Self { is_default: true, ..Self::of_statement(statement) }
    }

    pub(crate) fn of_default(default: &'s DefaultVerdict, no_reason: &'s Arc<str>) -> Self {
        Self {
            effect: default.effect,
            reason: no_reason,
            rule: &default.reference,
            risk_tier: Some(default.risk_tier),
            reviewers: &[],
            is_failure: false,
            is_default: true,
            is_sure: true,
            native: None,
        }
    }
}

/// What one tier said.
pub(crate) struct TierVoice<'s> {
    pub(crate) tier: Tier,
    /// Whether its allow is needed; guards only restrict.
    pub(crate) must_allow: bool,
    pub(crate) said: SmallVec<[Saying<'s>; 4]>,
    pub(crate) defaults: SmallVec<[Saying<'s>; 2]>,
    pub(crate) skipped: bool,
}

impl<'s> TierVoice<'s> {
    pub(crate) fn new(tier: Tier, must_allow: bool) -> Self {
        Self { tier, must_allow, said: SmallVec::new(), defaults: SmallVec::new(), skipped: false }
    }

    /// Adds what the units of another engine said.
    pub(crate) fn hear(&mut self, voices: &'s [Voice]) {
        self.said.extend(voices.iter().flat_map(|voice| &voice.statements).map(Saying::of_statement));
        self.defaults
            .extend(voices.iter().filter_map(|voice| voice.default.as_ref()).map(Saying::of_stated_default));
    }

    fn strongest(&self) -> Option<Effect> {
        self.said.iter().map(|saying| saying.effect).max()
    }

    pub(crate) fn is_hard(&self) -> bool {
        self.strongest() == Some(Effect::HardDeny)
    }

    /// Whether nobody said anything for sure in a tier that must allow: its defaults then count too.
    pub(crate) fn is_silent(&self) -> bool {
        self.must_allow && !self.said.iter().any(|saying| saying.is_sure)
    }

    /// What counts.
    fn counted(&self) -> impl Iterator<Item = &Saying<'s>> {
        let defaults = if self.is_silent() { &self.defaults[..] } else { &[] };
        self.said.iter().chain(defaults)
    }

    /// The effect that binds the decision, and whose sayings carry it; `None` for a guard that abstains.
    fn binding(&self) -> Option<(Effect, Source)> {
        let default = self.defaults.iter().map(|saying| saying.effect).max();
        bind(self.strongest(), self.is_silent(), self.must_allow, default)
    }

    fn carriers(&self, effect: Effect) -> impl Iterator<Item = &Saying<'s>> {
        self.counted().filter(move |saying| saying.effect == effect)
    }

    fn risk_tier(&self) -> Option<RiskTier> {
        self.counted().filter_map(|saying| saying.risk_tier).max()
    }

    fn trace(&self) -> TraceStep {
        let binding = if self.skipped { None } else { self.binding() };
        let outcome = match binding {
            _ if self.skipped => "skipped",
            None => "abstain",
            Some((Effect::Allow, _)) => "allow",
            Some((Effect::Escalate, _)) => "escalate",
            Some((Effect::Deny | Effect::HardDeny, _)) => "deny",
        };
        let carrier = binding.and_then(|(effect, _)| self.carriers(effect).next());
        TraceStep {
            tier: self.tier,
            outcome,
            hard: matches!(binding, Some((Effect::HardDeny, _))),
            risk_tier: self.risk_tier().unwrap_or(RiskTier::Operational),
            reason: carrier.map(|saying| saying.reason.clone()).unwrap_or_default(),
            rule_matched: carrier.map(|saying| saying.rule.name.clone()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Said,
    Default,
    Nothing,
}

/// What binds of a tier in which this was said, and which has this default.
pub(crate) fn bind(
    said: Option<Effect>,
    is_silent: bool,
    must_allow: bool,
    default: Option<Effect>,
) -> Option<(Effect, Source)> {
    if !is_silent {
        let effect = said.filter(|effect| must_allow || *effect > Effect::Allow)?;
        return Some((effect, Source::Said));
    }
    let (default, source) = match default {
        Some(effect) => (effect.min(Effect::Deny), Source::Default),
        None => (Effect::Deny, Source::Nothing),
    };
    Some(match said {
        Some(effect) if effect >= default => (effect, Source::Said),
        _ => (default, source),
    })
}

/// The decision without its id and version.
pub(crate) struct Combined {
    pub(crate) verdict: Verdict,
    pub(crate) reason: Arc<str>,
    pub(crate) risk_tier: RiskTier,
    pub(crate) rules: Vec<Arc<RuleRef>>,
    pub(crate) trace: Vec<TraceStep>,
    pub(crate) inputs: Vec<InputSeen>,
}

/// Combines the tiers, strongest first: hard deny, deny, escalate, allow.
pub(crate) fn combine(tiers: &[TierVoice<'_>], evaluation: &Evaluation<'_>) -> Combined {
    let bindings =
        || tiers.iter().filter(|tier| !tier.skipped).filter_map(|tier| Some((tier, tier.binding()?)));
    let strongest = bindings().map(|(_, (effect, _))| effect).max();
    // No tier that must allow was asked: nothing permits, so nothing happens.
    let effect = strongest.unwrap_or(Effect::Deny);
    let deciding: SmallVec<[Saying<'_>; 4]> = bindings()
        .filter(|(_, (bound, _))| *bound == effect)
        .flat_map(|(tier, _)| tier.carriers(effect))
        .copied()
        .collect();
    let said = bindings().any(|(_, (bound, source))| bound == effect && source == Source::Said);
    Combined {
        verdict: verdict(effect, said, &deciding),
        reason: reason(effect, &deciding, evaluation),
        risk_tier: tiers.iter().filter_map(TierVoice::risk_tier).max().unwrap_or(RiskTier::Operational),
        rules: deciding.iter().map(|saying| saying.rule.clone()).collect(),
        trace: tiers.iter().map(TierVoice::trace).collect(),
        inputs: inputs(&deciding, evaluation),
    }
}

fn verdict(effect: Effect, said: bool, deciding: &[Saying<'_>]) -> Verdict {
    let cause = if deciding.iter().any(|saying| saying.is_failure) {
        DenyCause::PolicyError
    } else if said {
        DenyCause::Rule
    } else if deciding.is_empty() {
        DenyCause::NoRuleMatched
    } else {
        DenyCause::Default
    };
    match effect {
        Effect::Allow => Verdict::Allow,
        Effect::Escalate => {
            let mut reviewers: Vec<ReviewerGroup> =
                deciding.iter().flat_map(|saying| saying.reviewers.to_vec()).collect();
            reviewers.sort();
            reviewers.dedup();
            Verdict::Escalate { reviewers }
        }
        Effect::Deny => Verdict::Deny { hard: false, cause },
        Effect::HardDeny => Verdict::Deny { hard: true, cause },
    }
}

fn reason(effect: Effect, deciding: &[Saying<'_>], evaluation: &Evaluation<'_>) -> Arc<str> {
    let mut given: SmallVec<[&Arc<str>; 4]> = SmallVec::new();
    for saying in deciding {
        if !saying.reason.is_empty() && !given.contains(&saying.reason) {
            given.push(saying.reason);
        }
    }
    match given.as_slice() {
        [] => fallback_reason(effect, deciding, evaluation).into(),
        [one] => Arc::clone(one),
        several => several.iter().map(|reason| &***reason).collect::<Vec<_>>().join("; ").into(),
    }
}

fn fallback_reason(effect: Effect, deciding: &[Saying<'_>], evaluation: &Evaluation<'_>) -> String {
    let Some(first) = deciding.first() else {
        let action = evaluation.event().get(placet_types::Field::Action);
        let action = serde_json::to_string(action).unwrap_or_default();
        return format!("no rule allows the action {action}; add a rule that does, or correct the name");
    };
    let name = &first.rule.name;
    match (effect, !first.is_default) {
        (Effect::Allow, true) => format!("allowed by rule `{name}`"),
        (Effect::Escalate, true) => format!("rule `{name}` asks for a person's approval"),
        (Effect::Deny | Effect::HardDeny, true) => format!("denied by rule `{name}`"),
        (Effect::Allow, false) => "no rule matched; the default allows".to_owned(),
        (Effect::Escalate, false) => "no rule matched; the default asks for a person's approval".to_owned(),
        (Effect::Deny | Effect::HardDeny, false) => "no rule matched; the default denies".to_owned(),
    }
}

/// Most values shown to operators.
const MAX_INPUTS: usize = 16;

fn inputs(deciding: &[Saying<'_>], evaluation: &Evaluation<'_>) -> Vec<InputSeen> {
    let mut seen: Vec<InputSeen> = Vec::new();
    for (rule, truth) in deciding.iter().filter_map(|saying| saying.native) {
        let doubts = if truth == Truth::Unknown { doubt::doubts(evaluation, &rule.when) } else { Vec::new() };
        for (path, name) in &rule.looks_at {
            let unknown = doubt::about(&doubts, path);
            if let Some(input) = seen.iter_mut().find(|input| input.field == *name) {
                input.unknown = input.unknown.take().or(unknown);
            } else if seen.len() < MAX_INPUTS {
                let value = evaluation.value(path).cloned().unwrap_or(Value::Null);
                seen.push(InputSeen { field: name.clone(), value, unknown });
            }
        }
    }
    seen
}
