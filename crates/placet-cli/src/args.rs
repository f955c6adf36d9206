//! The command line: which commands there are.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    approvals, audit, check, compile, completions, diff, eval, explain, init, keys, lint, replay, sanitize,
    schema, simulate, test, validate, version,
};

#[cfg(feature = "server")]
use crate::commands::serve;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "Exit codes: 0 ok or allow, 1 a negative answer (deny, findings, failed test, invalid policy), 2 an error, 3 escalate or pending.";

/// Decides what AI agents may do, before they do it.
#[derive(Debug, Parser)]
#[command(name = "placet", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: Colour,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// What was asked for; `None` leaves it to the terminal.
    pub(crate) fn choice(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::Always => Some(true),
            Self::Never => Some(false),
        }
    }
}

/// The commands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::InitArgs),
    Compile(compile::CompileArgs),
    Validate(validate::ValidateArgs),
    Lint(lint::LintArgs),
    Test(test::TestArgs),
    Check(check::CheckArgs),
    Explain(explain::ExplainArgs),
    Simulate(simulate::SimulateArgs),
    Diff(diff::DiffArgs),
    Audit(Box<audit::AuditArgs>),
    Approvals(approvals::ApprovalsArgs),
    #[cfg(feature = "server")]
    Serve(serve::ServeArgs),
    Keys(keys::KeysArgs),
    Replay(replay::ReplayArgs),
    Eval(eval::EvalArgs),
    Sanitize(sanitize::SanitizeArgs),
    Schema(schema::SchemaArgs),
    Version(version::VersionArgs),
    Completions(completions::CompletionsArgs),
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The output format.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,
}

impl FormatArgs {
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }
}
