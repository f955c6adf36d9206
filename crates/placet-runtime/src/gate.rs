//! The gate: policies in force, their reload, and one way to decide.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use placet_policy::core_bundle::{self, CoreLimits};
use placet_policy::hidden::{AtomId, Knowing, Known};
use placet_policy::ir::{Path, Truth};
use placet_policy::{
    Diagnostics, Effect, GlobalMode, LoadOptions, PolicySet, RegoOptions, Request, SourceFile,
};
use placet_trust::budgets::Estimate;
use placet_types::{
    Ack, Decision, DecisionId, DenyCause, Event, Field, Identity, Micros, RiskTier, Tier, Value, Verdict,
};
use sha2::{Digest, Sha256};

use crate::clock::{Clock, Interval, SystemClock};
use crate::config::{Config, ConfigError, Mode};
use crate::files::{self, FileError};
use crate::refusal::new_id;
use crate::registry::Registry;

/// How often files are looked at, at most, unless the options say otherwise.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// What a gate is made of.
pub struct GateOptions {
    /// Policy files or folders of the project tier.
    pub policies: Vec<PathBuf>,
    /// Policy files or folders of the global tier.
    pub global_policies: Vec<PathBuf>,
    /// The other settings.
    pub config: Config,
    /// Policies given as text, besides those in files.
    pub texts: Vec<SourceFile>,
    /// Whether warnings refuse a policy set.
    pub deny_warnings: bool,
    /// Whether changed files are loaded while the gate is in use.
    pub reload: bool,
    /// How often files are looked at, at most.
    pub reload_interval: Duration,
    /// The clock of events.
    pub clock: Arc<dyn Clock>,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            global_policies: Vec::new(),
            config: Config::default(),
            texts: Vec::new(),
            deny_warnings: false,
            reload: true,
            reload_interval: RELOAD_INTERVAL,
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl GateOptions {
    /// How the policies are loaded under these options.
    #[must_use]
    pub fn load_options(&self) -> LoadOptions {
        let config = &self.config;
        let global_mode = match config.global.as_ref().map(|global| global.mode) {
            Some(Mode::Grant) => GlobalMode::Grant,
            Some(Mode::Guard) | None => GlobalMode::Guard,
        };
        let rego = RegoOptions {
            strict: config.strict_rego,
            allowed_builtins: config.allowed_builtins.iter().cloned().collect(),
            ..RegoOptions::default()
        };
        LoadOptions { global_mode, deny_warnings: self.deny_warnings, rego }
    }
}

/// Why a gate could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policies were refused.
    #[error("{0}")]
    Policy(Diagnostics),
    /// There is nothing to decide with.
    #[error("no policy is given; name a policy file or folder in `policies`")]
    NoPolicy,
    /// The configuration names a library module that does not exist.
    #[error("the library has no module `{name}`; it has: {known}")]
    UnknownLibrary {
        /// The name given.
        name: String,
        /// Those that exist.
        known: String,
    },
}

/// The policies of one deployment.
pub struct Gate {
    options: GateOptions,
    current: ArcSwap<Loaded>,
    due: Interval,
    reloading: Mutex<Reload>,
    registry: Registry,
}

/// A policy set and when its files were last seen to be good.
struct Loaded {
    set: PolicySet,
    confirmed: Mutex<Instant>,
}

/// What the last look at the files gave.
#[derive(Default)]
struct Reload {
    fingerprint: [u8; 32],
    failure: Option<Arc<str>>,
    findings: Diagnostics,
}

impl Gate {
    /// Reads and loads the policies.
    ///
    /// # Errors
    /// [`GateError`] with everything that is wrong with them; a gate never opens on half a set.
    pub fn open(options: GateOptions) -> Result<Self, GateError> {
        let sources = read_sources(&options)?;
        Self::over(options, &sources)
    }

    /// A gate for events that another evaluator decides: it keeps the clock, the settings and the tools, and of
    /// policies the core bundle alone, which is asked nothing. Policies among the options are not read.
    ///
    /// # Errors
    /// [`GateError`] for settings that are refused.
    pub fn external(options: GateOptions) -> Result<Self, GateError> {
        let sources = core_bundle::guards(&limits(&options.config));
        Self::over(GateOptions { reload: false, ..options }, &sources)
    }

    fn over(options: GateOptions, sources: &[(Tier, SourceFile)]) -> Result<Self, GateError> {
        placet_types::process::notice_forks();
        let registry = Registry::new(&options.config.tools)?;
        let (set, findings) = PolicySet::load(sources, &options.load_options()).map_err(GateError::Policy)?;
        let reload = Reload { fingerprint: fingerprint(sources), failure: None, findings };
        Ok(Self {
            current: ArcSwap::from_pointee(Loaded { set, confirmed: Mutex::new(Instant::now()) }),
            due: Interval::new(options.reload_interval),
            reloading: Mutex::new(reload),
            registry,
            options,
        })
    }

    /// Decides one event under the policies of this moment.
    ///
    /// The event's `now` is kept when it has one; otherwise it is the clock's.
    pub fn decide(&self, event: Event) -> Decision {
        self.judge(event).0
    }

    /// As [`Gate::decide`], and returns the closed question that was decided beside the answer.
    pub fn judge(&self, mut event: Event) -> (Decision, Request) {
        let bad_now = self.tell_time(&mut event);
        self.judge_told(event, bad_now, &|_| ())
    }

    /// As [`Gate::judge`], of an event that was told the time, and of a session whose tool history is written into the
    /// event only if the policies that decide may look at it.
    pub(crate) fn judge_told(
        &self,
        mut event: Event,
        bad_now: bool,
        add_history: &dyn Fn(&mut Event),
    ) -> (Decision, Request) {
        self.registry.complete(&mut event);
        self.reload_if_due();
        let loaded = self.current.load();
        if loaded.set.asks_history() {
            add_history(&mut event);
        }
        let request = Request::new(event);
        let decision =
            self.unasked(bad_now, &loaded).unwrap_or_else(|| loaded.set.decide(&request, new_id()));
        (decision, request)
    }

    /// As [`Gate::judge`], of an event of which values are hidden: see [`placet_policy::hidden`]. Truths are those of the
    /// event as it is given; those about fields that are completed here, or named by `moved`, count for nothing.
    pub fn judge_knowing(
        &self,
        event: Event,
        truth: &dyn Fn(&AtomId) -> Option<Truth>,
        moved: &[Field],
    ) -> (Knowing, Request) {
        let mut told = event.clone();
        told.complete();
        let (decision, request) = self.judge(event);
        let differs =
            |field: &&Field| moved.contains(*field) || request.event().get(**field) != told.get(**field);
        let moved = Field::ALL.iter().filter(differs).copied().collect();
        // Where no policy was asked, values have no say.
        let is_unasked = matches!(
            decision.verdict,
            Verdict::Deny { cause: DenyCause::PolicyTooOld | DenyCause::InvalidRequest, .. }
        );
        let knowing = if is_unasked {
            Knowing { outcomes: vec![Effect::of(&decision.verdict)], decision }
        } else {
            let known = Known { truth, moved };
            self.current.load().set.decide_knowing(&request, decision.decision_id, &known)
        };
        (knowing, request)
    }

    /// The truths of what the policies of this moment ask of places of a closed event: see [`PolicySet::asked`].
    pub(crate) fn asked(
        &self,
        event: &Event,
        places: &[Path],
        kept_back: &[Path],
        most: usize,
    ) -> Vec<(AtomId, Truth)> {
        self.current.load().set.asked(event, places, kept_back, most)
    }

    /// Adds what the registration of its tool says to an event that another evaluator is to decide.
    pub fn complete(&self, event: &mut Event) {
        self.registry.complete(event);
    }

    /// Sets the event's `now` where it has none; says whether it has one that is no time.
    pub(crate) fn tell_time(&self, event: &mut Event) -> bool {
        match event.get(Field::Now) {
            Value::Null => {
                event.set(Field::Now, time_text(self.options.clock.now()));
                false
            }
            Value::String(now) => now.parse::<jiff::Timestamp>().is_err(),
            _ => true,
        }
    }

    /// The time of the clock of events.
    #[must_use]
    pub fn now(&self) -> Micros {
        Micros(self.options.clock.now().as_microsecond())
    }

    /// What a call of the event's tool is expected to cost.
    #[must_use]
    pub fn estimate_of(&self, event: &Event) -> Estimate {
        self.registry.tool(event).map(|tool| tool.cost).unwrap_or_default()
    }

    /// How safe the records of the event's tool must be, where its registration says so.
    #[must_use]
    pub fn ack_of(&self, event: &Event) -> Option<Ack> {
        self.registry.tool(event)?.ack
    }

    /// The denies that no policy is asked for.
    fn unasked(&self, bad_now: bool, loaded: &Loaded) -> Option<Decision> {
        let version = loaded.set.version();
        if bad_now {
            let reason = "the event's `now` is no time; write RFC 3339, for instance `2026-11-21T10:00:00Z`";
            return Some(refused(new_id(), version.clone(), DenyCause::InvalidRequest, reason.into()));
        }
        let limit = self.options.config.max_policy_age_seconds?;
        if loaded.confirmed.lock().elapsed() <= Duration::from_secs(limit) {
            return None;
        }
        let reason =
            format!("the policies were last loaded more than {limit} seconds ago; repair the policy files");
        Some(refused(new_id(), version.clone(), DenyCause::PolicyTooOld, reason.into()))
    }

    /// The decision on something that is no event: a deny with the code `invalid_request`.
    #[must_use]
    pub fn refuse(&self, reason: &str) -> Decision {
        refused(new_id(), self.policy_version(), DenyCause::InvalidRequest, reason.into())
    }

    /// The digest of the policies in force.
    #[must_use]
    pub fn policy_version(&self) -> Arc<str> {
        self.current.load().set.version().clone()
    }

    /// Warnings and notes of the policies in force.
    #[must_use]
    pub fn findings(&self) -> Diagnostics {
        self.reloading.lock().findings.clone()
    }

    /// Why the files as they stand now were not loaded; `None` when they were.
    #[must_use]
    pub fn reload_failure(&self) -> Option<Arc<str>> {
        self.reloading.lock().failure.clone()
    }

    /// Looks at the files at most once per interval, on the calling thread. A broken set never replaces a good one.
    fn reload_if_due(&self) {
        if !self.options.reload || !self.due.is_due() {
            return;
        }
        // Told without the lock: who listens may ask this gate.
        match self.look_at_files() {
            Some(Ok(version)) => tracing::info!(target: "placet::policy", %version, "policies reloaded"),
            Some(Err(reason)) => {
                tracing::error!(target: "placet::policy", %reason, "the policies were not reloaded; the last good ones stay in force");
            }
            None => {}
        }
    }

    /// What is new: the version now in force, or why it is not.
    fn look_at_files(&self) -> Option<Result<Arc<str>, Arc<str>>> {
        let mut state = self.reloading.try_lock()?;
        match self.reload(&mut state) {
            Ok(version) => {
                state.failure = None;
                version.map(Ok)
            }
            Err(error) => {
                let message = error.to_string();
                if state.failure.as_deref() == Some(&*message) {
                    return None;
                }
                let message: Arc<str> = message.into();
                state.failure = Some(message.clone());
                Some(Err(message))
            }
        }
    }

    /// The new version, when the files have changed.
    fn reload(&self, state: &mut Reload) -> Result<Option<Arc<str>>, GateError> {
        let sources = read_sources(&self.options)?;
        let fingerprint = fingerprint(&sources);
        if fingerprint == state.fingerprint {
            *self.current.load().confirmed.lock() = Instant::now();
            return Ok(None);
        }
        let (set, findings) =
            PolicySet::load(&sources, &self.options.load_options()).map_err(GateError::Policy)?;
        let version = set.version().clone();
        self.current.store(Arc::new(Loaded { set, confirmed: Mutex::new(Instant::now()) }));
        *state = Reload { fingerprint, failure: None, findings };
        Ok(Some(version))
    }
}

/// A time as events have it, made without a text besides.
fn time_text(time: jiff::Timestamp) -> Value {
    let mut buffer = [0; LONGEST_TIME];
    let mut free = &mut buffer[..];
    let fits = write!(free, "{time}").is_ok();
    let used = LONGEST_TIME - free.len();
    let text = buffer.get(..used).filter(|_| fits).and_then(|text| str::from_utf8(text).ok());
    text.map_or_else(|| Value::from(&*time.to_string()), Value::from)
}

/// The bytes of a time with nanoseconds and a year of six digits, and some more.
const LONGEST_TIME: usize = 40;

/// A deny that no policy was asked for.
fn refused(
    decision_id: DecisionId,
    policy_version: Arc<str>,
    cause: DenyCause,
    reason: Arc<str>,
) -> Decision {
    Decision {
        decision_id,
        verdict: Verdict::Deny { hard: true, cause },
        reason,
        risk_tier: RiskTier::SecurityCritical,
        rules: Vec::new(),
        policy_version,
        identity: Identity::Asserted,
        trace: Vec::new(),
        inputs: Vec::new(),
    }
}

/// Reads everything that the options name, without loading it: the core bundle, the global tier, the project tier
/// with its library modules.
///
/// # Errors
/// [`GateError`] for a file that cannot be read, a library module that does not exist, or when there is no policy.
pub fn read_sources(options: &GateOptions) -> Result<Vec<(Tier, SourceFile)>, GateError> {
    let config = &options.config;
    let mut sources = core_bundle::guards(&limits(config));
    if config.lifecycle.unwrap_or(true) {
        sources.push(core_bundle::lifecycle());
    }
    let global = config.global.as_ref().map(|global| global.policies.to_vec()).unwrap_or_default();
    for path in options.global_policies.iter().chain(&global) {
        sources.extend(files::read_policies(path)?.into_iter().map(|file| (Tier::Global, file)));
    }
    let before = sources.len();
    for path in options.policies.iter().chain(&config.policies.to_vec()) {
        sources.extend(files::read_policies(path)?.into_iter().map(|file| (Tier::Project, file)));
    }
    sources.extend(options.texts.iter().map(|file| (Tier::Project, file.clone())));
    for name in &config.library {
        sources.push(placet_policy::library::module(name).ok_or_else(|| GateError::UnknownLibrary {
            name: name.clone(),
            known: placet_policy::library::NAMES.join(", "),
        })?);
    }
    if sources.len() == before {
        return Err(GateError::NoPolicy);
    }
    Ok(sources)
}

fn limits(config: &Config) -> CoreLimits {
    let given = config.limits.clone();
    let default = CoreLimits::default();
    CoreLimits {
        max_spawn_depth: given.max_spawn_depth.unwrap_or(default.max_spawn_depth),
        max_delegate_depth: given.max_delegate_depth.unwrap_or(default.max_delegate_depth),
        max_plan_steps: given.max_plan_steps.unwrap_or(default.max_plan_steps),
        blocked_plan_tools: given.blocked_plan_tools.unwrap_or(default.blocked_plan_tools),
        code_tools: given.code_tools.unwrap_or(default.code_tools),
    }
}

/// A digest of paths and texts, to tell whether anything changed. Times are not trusted: editors, `rsync` and
/// version control set them as they like.
fn fingerprint(sources: &[(Tier, SourceFile)]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for (tier, file) in sources {
        hasher.update(tier.name());
        hasher.update(file.path.len().to_be_bytes());
        hasher.update(file.path.as_bytes());
        hasher.update(file.text.len().to_be_bytes());
        hasher.update(file.text.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_prints() {
        let second = jiff::Timestamp::constant(1_795_000_000, 0);
        for time in [jiff::Timestamp::MIN, jiff::Timestamp::MAX, second, jiff::Timestamp::now()] {
            assert_eq!(time_text(time).as_str(), Some(&*time.to_string()));
        }
    }
}
