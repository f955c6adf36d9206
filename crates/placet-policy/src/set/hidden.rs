//! What a policy set asks of values that are about to be hidden, and what it says when they are.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use placet_types::{DecisionId, Event};
use smallvec::SmallVec;

use super::{PolicySet, TierSet};
use crate::combine::{Saying, TierVoice, bind};
use crate::eval::Evaluation;
use crate::hidden::{AtomId, Atoms, Knowing, Known, Possible, Search};
use crate::ir::{Path, Rule, Truth};
use crate::program::Program;
use crate::request::Request;
use crate::voice::Effect;

/// Everything that may be said.
const SAYINGS: [Option<Effect>; 5] =
    [None, Some(Effect::Allow), Some(Effect::Escalate), Some(Effect::Deny), Some(Effect::HardDeny)];

/// What may have been said in a tier so far: the strongest thing, and whether something was said for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    strongest: Option<Effect>,
    is_sure: bool,
}

impl Said {
    const NOTHING: Self = Self { strongest: None, is_sure: false };

    fn and(self, effect: Option<Effect>, is_sure: bool) -> Self {
        Self { strongest: self.strongest.max(effect), is_sure: self.is_sure || is_sure }
    }

    /// With what a rule says when its condition has a truth.
    fn after(self, rule: &Rule, truth: Truth) -> Self {
        if rule.fires(truth) {
            self.and(Some(rule.effect), Saying::of_rule(rule, truth).is_sure())
        } else {
            self
        }
    }
}

/// The distinct states that a tier may be in.
type States = SmallVec<[Said; 10]>;

fn put(states: &mut States, said: Said) {
    if !states.contains(&said) {
        states.push(said);
    }
}

impl PolicySet {
    /// The truths of the conditions of this set that look at places of a closed event, and at none that is kept back;
    /// at most so many. What they ask stays with whoever has the policies.
    #[must_use]
    pub fn asked(
        &self,
        event: &Event,
        places: &[Path],
        kept_back: &[Path],
        most: usize,
    ) -> Vec<(AtomId, Truth)> {
        let atoms = self.atoms.get_or_init(|| Atoms::of(self.tiers.iter().flat_map(TierSet::all_rules)));
        let evaluation = Evaluation::new(event);
        let mut seen = BTreeSet::new();
        let mut asked = Vec::new();
        let fields: BTreeSet<_> = places.iter().map(|place| place.field).collect();
        for (number, id, expr) in fields.into_iter().flat_map(|field| atoms.on(field)) {
            let paths = expr.paths();
            let looks_at =
                |places: &[Path]| places.iter().any(|place| paths.iter().any(|path| path.meets(place)));
            if asked.len() < most && looks_at(places) && !looks_at(kept_back) && seen.insert(number) {
                asked.push((id, evaluation.truth(expr)));
            }
        }
        asked
    }

    /// Decides a request of which values are hidden: see [`crate::hidden`]. What Rego says to it may be anything.
    #[must_use]
    pub fn decide_knowing(&self, request: &Request, decision_id: DecisionId, known: &Known<'_>) -> Knowing {
        let evaluation = Evaluation::new(request.event());
        let search = Search { evaluation: &evaluation, known };
        let mut voices: SmallVec<[TierVoice<'_>; 3]> = SmallVec::new();
        let mut outcomes = BTreeSet::from([None]);
        for tier in &self.tiers {
            let mut voice = TierVoice::new(tier.tier, tier.must_allow);
            let states = tier.speak_knowing(&search, &self.no_reason, &mut voice);
            let bound = tier.bound(&states, &voice);
            let both = |one: &Option<Effect>| bound.iter().map(|other| *one.max(other)).collect::<Vec<_>>();
            outcomes = outcomes.iter().flat_map(both).collect();
            voice.skipped = voices.iter().any(TierVoice::is_hard);
            voices.push(voice);
        }
        let decision = self.decided(decision_id, &voices, &evaluation);
        // Nothing that must allow was asked: nothing happens.
        let outcomes: BTreeSet<Effect> =
            outcomes.into_iter().map(|effect| effect.unwrap_or(Effect::Deny)).collect();
        Knowing { decision, outcomes: outcomes.into_iter().collect() }
    }
}

impl TierSet {
    /// Says what can be told, and returns what may come to be said.
    fn speak_knowing<'s>(
        &'s self,
        search: &Search<'_, '_>,
        no_reason: &'s std::sync::Arc<str>,
        voice: &mut TierVoice<'s>,
    ) -> States {
        let mut states = States::from_slice(&[Said::NOTHING]);
        // Not the candidates alone: the index leaves out what cannot permit while a value is unknown.
        for rule in self.rules.rules() {
            let truths = search.truths(&rule.when);
            say(rule, truths, voice);
            let mut next = States::new();
            for state in &states {
                truths.truths().for_each(|truth| put(&mut next, state.after(rule, truth)));
            }
            states = next;
        }
        for (program, default) in &self.matches {
            states = first_match(program, search, states, voice);
            voice.defaults.push(Saying::of_default(default, no_reason));
        }
        states
    }

    /// What the tier may come to bind.
    fn bound(&self, states: &States, voice: &TierVoice<'_>) -> BTreeSet<Option<Effect>> {
        let default = voice.defaults.iter().map(|saying| saying.effect).max();
        let bind = |said: Said, default| {
            let is_silent = self.must_allow && !said.is_sure;
            bind(said.strongest, is_silent, self.must_allow, default).map(|(effect, _)| effect)
        };
        if self.rego.is_none() {
            return states.iter().map(|said| bind(*said, default)).collect();
        }
        let mut bound = BTreeSet::new();
        for said in states {
            for more in SAYINGS {
                let said = said.and(more, more.is_some());
                bound.extend(SAYINGS.iter().map(|other| bind(said, default.max(*other))));
            }
        }
        bound
    }
}

/// Says what a rule says as far as it can be told; what cannot be told is unknown.
fn say<'s>(rule: &'s Rule, truths: Possible, voice: &mut TierVoice<'s>) -> Truth {
    let truth = truths.only().unwrap_or(Truth::Unknown);
    if rule.fires(truth) {
        voice.said.push(Saying::of_rule(rule, truth));
    }
    truth
}

/// The first true rule speaks, and before it every restricting rule that is unknown.
fn first_match<'s>(
    program: &'s Program,
    search: &Search<'_, '_>,
    mut going_on: States,
    voice: &mut TierVoice<'s>,
) -> States {
    let mut ended = States::new();
    let mut is_ended = false;
    for rule in program.rules() {
        let truths = search.truths(&rule.when);
        if !is_ended {
            is_ended = say(rule, truths, voice) == Truth::True;
        }
        let mut next = States::new();
        for state in &going_on {
            for truth in truths.truths() {
                let states = if truth == Truth::True { &mut ended } else { &mut next };
                put(states, state.after(rule, truth));
            }
        }
        going_on = next;
    }
    going_on.into_iter().for_each(|state| put(&mut ended, state));
    ended
}
