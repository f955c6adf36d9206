//! Finding the policies a command works on.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use placet::config::Paths;
use placet::{Clock, Config, FixedClock, Gate, GateOptions, SystemClock};

use crate::failure::Failure;

/// The configuration that is looked for in the current folder.
const CONFIG_FILE: &str = "placet.yaml";

/// The policies that are looked for in the current folder.
const POLICY_FOLDER: &str = "policies";

/// Which policies.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProjectArgs {
    /// Policy file or folder; may be repeated [default: what `placet.yaml` names, else `policies/`]
    #[arg(long, value_name = "PATH")]
    pub(crate) policies: Vec<PathBuf>,
    /// Configuration file [default: `placet.yaml` where it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Refuse policies that have warnings
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

/// Which policies, and the time of the events.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DecideArgs {
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    /// Time of events that carry no `now`, as RFC 3339 [default: the system's clock]
    #[arg(long, value_name = "TIME")]
    pub(crate) now: Option<Timestamp>,
}

impl ProjectArgs {
    /// The same project with more policy paths.
    pub(crate) fn with_paths(&self, paths: &[PathBuf]) -> Self {
        let mut project = self.clone();
        project.policies.extend(paths.iter().cloned());
        project
    }

    /// The options of a gate over the project, in the environment of this process.
    pub(crate) fn options(&self) -> Result<GateOptions, Failure> {
        self.options_in(env::vars_os())
    }

    /// The options of a gate over the project whose configuration file was named as one side of a comparison: its
    /// policies are its own, whatever the environment says.
    fn options_of_side(&self) -> Result<GateOptions, Failure> {
        let paths = ["PLACET_POLICIES", "PLACET_GLOBAL_POLICIES"];
        self.options_in(env::vars_os().filter(|(name, _)| paths.iter().all(|path| name != path)))
    }

    fn options_in(
        &self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<GateOptions, Failure> {
        let mut config = self.read_config()?;
        config.override_from(variables, Path::new(""))?;
        if !self.policies.is_empty() {
            config.policies = Paths::Many(self.policies.clone());
        } else if config.policies.to_vec().is_empty() {
            let folder = self.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            let default = folder.join(POLICY_FOLDER);
            if default.is_dir() {
                config.policies = Paths::Many(vec![default]);
            }
        }
        if config.policies.to_vec().is_empty() && config.global.is_none() && config.library.is_empty() {
            return Err(Failure::Usage(format!(
                "there is no `{CONFIG_FILE}` and no `{POLICY_FOLDER}/` here; run `placet init`, change the folder, or \
                 name policies with `--policies PATH`"
            )));
        }
        Ok(GateOptions { config, deny_warnings: self.deny_warnings, reload: false, ..GateOptions::default() })
    }

    /// The settings of the project in the environment of this process, also where there are no policies.
    pub(crate) fn settings(&self) -> Result<Config, Failure> {
        let mut config = self.read_config()?;
        config.override_from(env::vars_os(), Path::new(""))?;
        Ok(config)
    }

    fn read_config(&self) -> Result<Config, Failure> {
        let path = match &self.config {
            Some(path) => path.as_path(),
            None if Path::new(CONFIG_FILE).exists() => Path::new(CONFIG_FILE),
            None => return Ok(Config::default()),
        };
        Ok(Config::read(path)?)
    }
}

impl DecideArgs {
    /// The options of a gate over the project, with its clock.
    pub(crate) fn options(&self) -> Result<GateOptions, Failure> {
        Ok(GateOptions { clock: self.clock(), ..self.project.options()? })
    }

    /// As [`DecideArgs::options`], for one side of a comparison that is a project of its own.
    pub(crate) fn options_of_side(&self) -> Result<GateOptions, Failure> {
        Ok(GateOptions { clock: self.clock(), ..self.project.options_of_side()? })
    }

    fn clock(&self) -> Arc<dyn Clock> {
        match self.now {
            Some(now) => Arc::new(FixedClock(now)),
            None => Arc::new(SystemClock::default()),
        }
    }

    /// A gate over the project.
    pub(crate) fn gate(&self) -> Result<Gate, Failure> {
        Ok(Gate::open(self.options()?)?)
    }
}
