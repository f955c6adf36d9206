//! Everything that is loaded, ready to decide.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod hidden;

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

use placet_types::{Decision, DecisionId, Field, Identity, RuleRef, Tier};
use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::combine::{Saying, TierVoice, combine};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::dialect;
use crate::eval::Evaluation;
use crate::export;
use crate::hidden::Atoms;
use crate::ir::{DefaultVerdict, Rule, Truth, Unit, UnitKind};
use crate::lint;
use crate::program::Program;
use crate::rego::{RegoEvent, RegoInput, RegoOptions, RegoSet};
use crate::request::Request;
use crate::source::{Position, SourceFile};
use crate::voice::Voice;

/// How the global tier takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GlobalMode {
    /// It only restricts.
    #[default]
    Guard,
    /// Its allow is needed too.
    Grant,
}

/// What to load and how.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// How the global tier takes part.
    pub global_mode: GlobalMode,
    /// Whether warnings refuse the set.
    pub deny_warnings: bool,
    /// How Rego is loaded and evaluated.
    pub rego: RegoOptions,
}

/// One tier, compiled.
#[derive(Debug)]
struct TierSet {
    tier: Tier,
    must_allow: bool,
    rules: Program,
    matches: Vec<(Program, DefaultVerdict)>,
    rego: Option<RegoSet>,
}

/// All policies in force. Deciding is pure and takes no lock.
#[derive(Debug)]
pub struct PolicySet {
    tiers: Vec<TierSet>,
    version: Arc<str>,
    no_reason: Arc<str>,
    /// Whether some Rego file speaks of `norm`; normal forms of every text cost too much to make them for nobody.
    asks_norm: bool,
    /// What rules ask, made when a value is hidden for the first time.
    atoms: OnceLock<Atoms>,
    /// Whether some policy may look at the session's tool history; long ones cost too much to write out for nobody.
    asks_history: bool,
}

impl PolicySet {
    /// Loads policy files of all tiers, and says everything that is wrong with them at once. Warnings and notes
    /// come back beside the set.
    ///
    /// # Errors
    /// Every finding, when one is an error, or a warning under `deny_warnings`; then nothing is loaded.
    pub fn load(
        sources: &[(Tier, SourceFile)],
        options: &LoadOptions,
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let mut found = Vec::new();
        let mut tiers = Vec::new();
        let files: Vec<(Tier, SourceFile)> = sources.iter().map(unexported).collect();
        for tier in [Tier::Core, Tier::Global, Tier::Project] {
            let files: Vec<&SourceFile> =
                files.iter().filter(|(of, _)| *of == tier).map(|(_, file)| file).collect();
            if !files.is_empty() || tier == Tier::Project {
                let must_allow = match tier {
                    Tier::Core => false,
                    Tier::Global => options.global_mode == GlobalMode::Grant,
                    Tier::Project => true,
                };
                tiers.push(TierSet::load(tier, must_allow, &files, options, &mut found));
            }
        }
        let found = Diagnostics(found);
        let refused =
            found.has_errors() || (options.deny_warnings && found.of(Severity::Warning).next().is_some());
        if refused {
            return Err(found);
        }
        let asks_norm =
            files.iter().any(|(_, file)| file.path.ends_with(".rego") && file.text.contains("norm"));
        let asks_history = tiers.iter().any(TierSet::asks_history);
        let (version, atoms) = (version(sources, options), OnceLock::new());
        let set = Self { tiers, version, no_reason: Arc::default(), asks_norm, atoms, asks_history };
        Ok((set, found))
    }

    /// The digest of exactly the policies in this set: `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// Whether some policy may look at `session.tool_history`. Rego does not say what it looks at.
    #[must_use]
    pub fn asks_history(&self) -> bool {
        self.asks_history
    }

    /// Every rule of the YAML files and its tier, in the order in which they are tried; defaults are no rules.
    pub fn rules(&self) -> impl Iterator<Item = (Tier, &Arc<RuleRef>)> {
        self.tiers.iter().flat_map(|tier| tier.all_rules().map(|rule| (tier.tier, &rule.reference)))
    }

    /// Decides one request.
    ///
    /// Rego's clock is the event's `now`; without one it stands at the epoch.
    #[must_use]
    pub fn decide(&self, request: &Request, decision_id: DecisionId) -> Decision {
        let evaluation = Evaluation::new(request.event());
        let asked = RegoQuestion::new(request, self.asks_norm);
        let answers: SmallVec<[OnceCell<Vec<Voice>>; 3]> =
            self.tiers.iter().map(|_| OnceCell::new()).collect();
        let mut voices: SmallVec<[TierVoice<'_>; 3]> = SmallVec::new();
        for (tier, answer) in self.tiers.iter().zip(&answers) {
            let mut voice = TierVoice::new(tier.tier, tier.must_allow);
            if voices.iter().any(TierVoice::is_hard) {
                voice.skipped = true;
            } else {
                tier.speak(&evaluation, &self.no_reason, &mut voice);
                if let Some(rego) = &tier.rego {
                    voice.hear(answer.get_or_init(|| asked.put_to(rego)));
                }
            }
            voices.push(voice);
        }
        self.decided(decision_id, &voices, &evaluation)
    }

    /// The decision that what the tiers say comes to.
    fn decided(
        &self,
        decision_id: DecisionId,
        voices: &[TierVoice<'_>],
        evaluation: &Evaluation<'_>,
    ) -> Decision {
        let combined = combine(voices, evaluation);
        Decision {
            decision_id,
            verdict: combined.verdict,
            reason: combined.reason,
            risk_tier: combined.risk_tier,
            rules: combined.rules,
            policy_version: self.version.clone(),
            identity: Identity::Asserted,
            trace: combined.trace,
            inputs: combined.inputs,
        }
    }
}

impl TierSet {
    fn load(
        tier: Tier,
        must_allow: bool,
        files: &[&SourceFile],
        options: &LoadOptions,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut units = Vec::new();
        let mut rego_files = Vec::new();
        for file in files {
            if file.path.ends_with(".rego") {
                rego_files.push((*file).clone());
                continue;
            }
            if !file.path.ends_with(".yaml") && !file.path.ends_with(".yml") {
                let message = "a policy file ends in `.yaml`, `.yml` or `.rego`";
                found.push(Diagnostic::error("policy/file-name", file, Position::default(), message));
                continue;
            }
            units.extend(dialect::load(file, found).map(|unit| (*file, unit)));
        }
        let linted: Vec<(&SourceFile, &Unit)> = units.iter().map(|(file, unit)| (*file, unit)).collect();
        found.extend(lint::lint(&linted));
        let mut rules = Vec::new();
        let mut matches = Vec::new();
        for (_, unit) in units {
            match unit.kind {
                UnitKind::Rules => rules.extend(unit.rules),
                UnitKind::Match { default } => matches.push((Program::new(unit.rules), default)),
            }
        }
        let rego = if rego_files.is_empty() { None } else { load_rego(&rego_files, options, found) };
        Self { tier, must_allow, rules: Program::new(rules), matches, rego }
    }

    fn all_rules(&self) -> impl Iterator<Item = &Rule> {
        let programs = std::iter::once(&self.rules).chain(self.matches.iter().map(|(program, _)| program));
        programs.flat_map(Program::rules)
    }

    fn asks_history(&self) -> bool {
        let asks = |rule: &Rule| {
            let shown = rule.looks_at.iter().map(|(path, _)| path);
            rule.when.paths().into_iter().chain(shown).any(|path| path.field == Field::ToolHistory)
        };
        self.rego.is_some() || self.all_rules().any(asks)
    }

    fn speak<'s>(&'s self, evaluation: &Evaluation<'_>, no_reason: &'s Arc<str>, voice: &mut TierVoice<'s>) {
        for rule in self.rules.candidates(evaluation) {
            let truth = evaluation.truth(&rule.when);
            if rule.fires(truth) {
                voice.said.push(Saying::of_rule(rule, truth));
            }
        }
        for (program, default) in &self.matches {
            speak_first_match(program, evaluation, voice);
            voice.defaults.push(Saying::of_default(default, no_reason));
        }
    }
}

fn load_rego(files: &[SourceFile], options: &LoadOptions, found: &mut Vec<Diagnostic>) -> Option<RegoSet> {
    let (set, diagnostics) = RegoSet::load(files, &options.rego);
    found.extend(diagnostics);
    set
}

/// An event as Rego is asked about it; the document is made once, for the first tier that needs it.
struct RegoQuestion<'e> {
    request: &'e Request,
    /// Whether a file speaks of `norm`.
    asks_norm: bool,
    input: OnceCell<RegoInput>,
}

impl<'e> RegoQuestion<'e> {
    fn new(request: &'e Request, asks_norm: bool) -> Self {
        Self { request, asks_norm, input: OnceCell::new() }
    }

    fn put_to(&self, rego: &RegoSet) -> Vec<Voice> {
        let input = self.input.get_or_init(|| {
            // An event is plain data, so it always has a JSON form; were it not so, Rego would see null and deny.
            let event = || serde_json::to_value(self.request.event()).unwrap_or_default();
            RegoInput::new(&if self.asks_norm { export::input(self.request) } else { event() })
        });
        let text = |field| self.request.event().get(field).as_str();
        let event = RegoEvent { event_type: text(Field::EventType), transport: text(Field::Transport) };
        let now = text(Field::Now).and_then(|now| now.parse::<jiff::Timestamp>().ok());
        rego.voices(input, &event, now.map_or(0, jiff::Timestamp::as_nanosecond))
    }
}

/// An exported file that nobody edited runs as the YAML it was made of. A guard stays one wherever its export
/// lies; nothing that was exported as a guard grants.
fn unexported((tier, file): &(Tier, SourceFile)) -> (Tier, SourceFile) {
    let exported = if file.path.ends_with(".rego") { export::source_of(&file.text) } else { None };
    match exported {
        Some(exported) => (exported.tier.min(*tier), exported.source),
        None => (*tier, file.clone()),
    }
}

/// The first true rule speaks, and before it every restricting rule that is unknown; the strictest counts.
fn speak_first_match<'s>(program: &'s Program, evaluation: &Evaluation<'_>, voice: &mut TierVoice<'s>) {
    for rule in program.candidates(evaluation) {
        let truth = evaluation.truth(&rule.when);
        if rule.fires(truth) {
            voice.said.push(Saying::of_rule(rule, truth));
        }
        if truth == Truth::True {
            break;
        }
    }
}

/// Covers each file's tier, name and text, and the options that change decisions.
fn version(sources: &[(Tier, SourceFile)], options: &LoadOptions) -> Arc<str> {
    let mut lines: Vec<String> = sources
        .iter()
        .map(|(tier, file)| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            format!("{}\0{name}\0{}", tier.name(), hex::encode(Sha256::digest(file.text.as_bytes())))
        })
        .collect();
    lines.sort();
    let mut hasher = Sha256::new();
    hasher.update(format!("placet-policy-version-1\0{:?}\0{:?}\0", options.global_mode, options.rego));
    lines.iter().for_each(|line| {
        hasher.update(line);
        hasher.update("\n");
    });
    format!("sha256:{}", hex::encode(hasher.finalize())).into()
}
