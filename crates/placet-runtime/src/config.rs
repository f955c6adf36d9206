//! `placet.yaml`: which policies, which parts of the bundle, what is known about tools.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placet_content::RedactionError;
use placet_trust::approvals::webhook::WebhookKey;
use placet_trust::approvals::{ReviewerKeyError, Reviewers};
use placet_trust::budgets::{BudgetRule, Estimate};
use placet_types::ledger::VoteStrength;
use placet_types::{Ack, ApproverId, ReviewerGroup};
use serde::Deserialize;

use crate::channels::outbox::Notifier;
use crate::channels::{WebhookNotifier, WebhookOptions};
use crate::files::{self, FileError};
pub use crate::server::{ReviewerToken, Server, TokenSource};
pub use crate::telemetry::{Telemetry, Traces};

/// The settings of a deployment. Unknown keys are refused.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Policy files or folders of the project tier; relative ones start at the file's folder.
    pub policies: Paths,
    /// Policy files or folders of the global tier.
    pub global: Option<Global>,
    /// Modules of the library to switch on, for instance `read_only`.
    pub library: Vec<String>,
    /// Whether the lifecycle rules are loaded; yes unless it says no.
    pub lifecycle: Option<bool>,
    /// Limits of the core guards.
    pub limits: Limits,
    /// What is known about tools.
    pub tools: BTreeMap<String, Tool>,
    /// Whether Rego that fails open on unknown values is refused.
    pub strict_rego: bool,
    /// Rego builtins with effects or without a fixed answer that may be called, by name.
    pub allowed_builtins: Vec<String>,
    /// After how many seconds without a successful load everything is denied; absent means never.
    pub max_policy_age_seconds: Option<u64>,
    /// Where decisions are recorded: a file, a PostgreSQL address, `memory` or `off`; `placet_audit.db` when absent.
    pub ledger: Option<String>,
    /// A file to which every commit is mirrored, one JSON object a line.
    pub audit_log: Option<PathBuf>,
    /// When that file is full, and the next one begins; it grows by default.
    pub audit_log_rotation: AuditLogRotation,
    /// The folder of the ledger's keys.
    pub keys: Option<PathBuf>,
    /// A file on another volume to which checkpoints are copied, and which the log must extend.
    pub anchor: Option<PathBuf>,
    /// How safe a record must be before its effect begins; `durable` when absent.
    pub ack: Option<Ack>,
    /// Files with patterns of what is taken out before it is stored, besides those that come with Placet.
    pub redaction: Paths,
    /// Limits of what may be spent.
    pub budgets: Vec<BudgetRule>,
    /// The terms on which people are asked, and who they are.
    pub approvals: Approvals,
    /// Spans and metrics; none by default.
    pub telemetry: Telemetry,
    /// The HTTP service.
    pub server: Server,
}

/// When the file of `audit_log` is full.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct AuditLogRotation {
    /// At so many bytes.
    pub max_bytes: Option<NonZeroU64>,
    /// When its first entry is so many seconds older than the next one.
    pub max_age_seconds: Option<NonZeroU64>,
}

/// The terms on which people are asked, and who they are.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Approvals {
    /// How long a request lives; an hour when absent.
    pub lifetime_seconds: Option<u32>,
    /// How many people must say yes; one when absent.
    pub quorum: Option<u32>,
    /// The weakest kind of vote that counts: `asserted`, `session` or `signed`; `asserted` when absent.
    pub strength: Option<VoteStrength>,
    /// After how many seconds reviewers are reminded.
    pub remind_seconds: Option<u32>,
    /// After how many seconds an answer is overdue.
    pub due_seconds: Option<u32>,
    /// After how many seconds a further group may answer too.
    pub escalate_seconds: Option<u32>,
    /// Which group that is.
    pub escalate_to: Option<String>,
    /// The members of each reviewer group.
    pub groups: BTreeMap<String, Vec<String>>,
    /// The public keys of people, for signed votes.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Who is told that a request waits, is late or has ended.
    pub notify: Vec<Notify>,
}

/// A web server that is told of requests.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Notify {
    /// Its address.
    pub url: String,
    /// A file with the key that both sides know; without one, notices are not signed.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl Approvals {
    /// Who may answer, and with which keys they sign.
    ///
    /// # Errors
    /// [`ConfigError::ReviewerKey`] names the person whose key cannot be used.
    pub fn reviewers(&self) -> Result<Reviewers, ConfigError> {
        let mut reviewers = Reviewers::new();
        for (group, members) in &self.groups {
            for member in members {
                reviewers.add_member(ReviewerGroup(group.as_str().into()), ApproverId::from(member.as_str()));
            }
        }
        for (person, keys) in &self.keys {
            for key in keys {
                reviewers.add_key(ApproverId::from(person.as_str()), key)?;
            }
        }
        Ok(reviewers)
    }

    /// Who is told of requests.
    ///
    /// # Errors
    /// [`ConfigError::Notify`] names the one that cannot be, never its address, which may hold a secret.
    pub fn notifiers(&self) -> Result<Vec<Arc<dyn Notifier>>, ConfigError> {
        let made = self.notify.iter().enumerate().map(|(index, notify)| {
            notify.notifier().map_err(|problem| ConfigError::Notify { number: index + 1, problem })
        });
        made.collect()
    }
}

impl Notify {
    fn notifier(&self) -> Result<Arc<dyn Notifier>, String> {
        let key = match &self.key_file {
            None => None,
            Some(path) => {
                let text = files::read(path).map_err(|error| error.to_string())?.text;
                let key = WebhookKey::new(text.trim().as_bytes().to_vec());
                Some(key.map_err(|error| error.to_string())?)
            }
        };
        let options = WebhookOptions { key, ..WebhookOptions::new(&self.url) };
        let made = WebhookNotifier::new(options).map_err(|error| error.to_string())?;
        Ok(Arc::new(made))
    }
}

/// One path or several.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Paths {
    /// None given.
    #[default]
    None,
    /// One.
    One(PathBuf),
    /// Several.
    Many(Vec<PathBuf>),
}

impl Paths {
    /// As a list.
    #[must_use]
    pub fn to_vec(&self) -> Vec<PathBuf> {
        match self {
            Self::None => Vec::new(),
            Self::One(path) => vec![path.clone()],
            Self::Many(paths) => paths.clone(),
        }
    }
}

/// The global tier.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Global {
    /// Its policy files or folders.
    pub policies: Paths,
    /// How it takes part.
    #[serde(default)]
    pub mode: Mode,
}

/// How the global tier takes part.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It only restricts.
    #[default]
    Guard,
    /// Its allow is needed too.
    Grant,
}

/// Limits of the core guards; absent ones keep their defaults.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Deepest delegation depth at which anything happens.
    pub max_spawn_depth: Option<u32>,
    /// Deepest delegation depth that may delegate.
    pub max_delegate_depth: Option<u32>,
    /// Most steps of a plan.
    pub max_plan_steps: Option<u32>,
    /// Tools that no plan may use.
    pub blocked_plan_tools: Option<Vec<String>>,
    /// Actions and tools that need a verified sandbox.
    pub code_tools: Option<Vec<String>>,
}

/// What is known about one tool.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Tool {
    /// Its labels.
    pub tags: Vec<String>,
    /// Over what it is reached: `local`, `mcp` or `http`.
    pub transport: Option<String>,
    /// The system it acts on.
    pub target: Option<String>,
    /// Arguments that hold paths.
    pub paths: Vec<String>,
    /// The least classification of what it returns.
    pub classification: Option<String>,
    /// What a call is expected to cost.
    pub cost: Estimate,
    /// How safe its records must be before it runs.
    pub ack: Option<Ack>,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no configuration.
    #[error("`{path}` is no configuration: {message}")]
    Invalid {
        /// Which file.
        path: String,
        /// What is wrong, with line and column.
        message: String,
    },
    /// An environment variable holds what its setting does not accept.
    #[error(
        "the environment variable `{variable}` is `{value}`{wrong}; it accepts {accepts}; correct or unset it"
    )]
    Variable {
        /// Its name.
        variable: String,
        /// What it holds.
        value: String,
        /// What is wrong, after a colon; empty when that is plain.
        wrong: String,
        /// What would be accepted.
        accepts: String,
    },
    /// An environment variable is likely meant as a setting and is none.
    #[error("the environment variable `{variable}` is no setting; did you mean `{near}`? rename or unset it")]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The nearest variable of a setting.
        near: String,
    },
    /// Patterns of redaction are refused.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// The key of a reviewer is none.
    #[error("`approvals.keys`: {0}")]
    ReviewerKey(#[from] ReviewerKeyError),
    /// A web server cannot be told.
    #[error("`approvals.notify` {number}: {problem}")]
    Notify {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Two tools have one name.
    #[error(
        "the tools `{one}` and `{other}` differ only in case, spaces, invisible or look-alike characters; rename one"
    )]
    SameTool {
        /// One name.
        one: String,
        /// The other name.
        other: String,
    },
}

impl Config {
    /// Reads a configuration file; relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and the place.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let source = files::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&source.text, &source.path, folder)
    }

    /// Reads a configuration from text; relative paths start at `folder`.
    ///
    /// # Errors
    /// [`ConfigError`] names the place.
    pub fn parse(text: &str, name: &str, folder: &Path) -> Result<Self, ConfigError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let invalid = |error: yaml_serde::Error| ConfigError::Invalid {
            path: name.to_owned(),
            message: error.to_string(),
        };
        let mut config: Self = yaml_serde::from_str(text).map_err(invalid)?;
        config.policies =
            Paths::Many(config.policies.to_vec().iter().map(|path| folder.join(path)).collect());
        if let Some(global) = &mut config.global {
            global.policies =
                Paths::Many(global.policies.to_vec().iter().map(|path| folder.join(path)).collect());
        }
        config.redaction =
            Paths::Many(config.redaction.to_vec().iter().map(|path| folder.join(path)).collect());
        for path in [&mut config.audit_log, &mut config.keys, &mut config.anchor].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        if let Some(ledger) = &mut config.ledger
            && !["off", "memory"].contains(&ledger.as_str())
            && !ledger.contains("://")
        {
            *ledger = folder.join(&*ledger).display().to_string();
        }
        for path in config.approvals.notify.iter_mut().filter_map(|notify| notify.key_file.as_mut()) {
            *path = folder.join(&*path);
        }
        config.server.start_at(folder);
        Ok(config)
    }
}
