//! A naive evaluator of YAML policies: it walks the parsed file for every event, exactly as the design's text says.
//!
//! It shares no code with the engine but the definition of normal forms (`placet_policy::reading`). It reads valid
//! policies only; what the loader refuses is not its business.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod conditions;
mod operators;

use placet_types::{Event, Tier};
use yaml_serde::Value as Yaml;

/// Three truths, in the order in which `any` takes the greatest and `all` the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    No,
    Unknown,
    Yes,
}

impl Truth {
    fn of(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

/// What the oracle says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// `allow`, `escalate` or `deny`.
    pub word: &'static str,
    /// Whether a deny is hard.
    pub hard: bool,
}

/// What a rule says, by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    Allow,
    Escalate,
    Deny,
    Block,
}

/// What the files of one tier said, and their defaults.
#[derive(Default)]
struct Heard {
    said: Vec<(Says, Truth)>,
    defaults: Vec<Says>,
}

/// Something a file does not hold although every valid policy does.
#[derive(Debug, thiserror::Error)]
#[error("the oracle cannot read the policy: {0}")]
pub struct Unreadable(pub String);

/// Decides one closed event on policy texts of all tiers.
///
/// # Errors
/// [`Unreadable`] for a text that is no valid policy.
pub fn judge(files: &[(Tier, &str)], global_grants: bool, event: &Event) -> Result<Outcome, Unreadable> {
    let mut binding = Vec::new();
    for tier in [Tier::Core, Tier::Global, Tier::Project] {
        let texts: Vec<&str> = files.iter().filter(|(of, _)| *of == tier).map(|(_, text)| *text).collect();
        if texts.is_empty() && tier != Tier::Project {
            continue;
        }
        let mut heard = Heard::default();
        for text in texts {
            let root: Yaml = yaml_serde::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
            speak(&root, event, &mut heard)?;
        }
        let must_allow = tier == Tier::Project || (tier == Tier::Global && global_grants);
        // An escalation on an unknown condition restricts, and does not break a silence.
        let silent = !heard.said.iter().any(|(says, truth)| *truth == Truth::Yes || *says != Says::Escalate);
        let strongest = heard.said.into_iter().map(|(says, _)| says).max();
        let otherwise = heard.defaults.into_iter().max().unwrap_or(Says::Deny);
        // A guard that allows, keeps silent or has a default abstains.
        binding.extend(match (strongest, must_allow) {
            (Some(Says::Allow) | None, false) => None,
            (says, true) if silent => says.max(Some(otherwise)),
            (says, _) => says,
        });
    }
    Ok(match binding.into_iter().max() {
        Some(Says::Allow) => Outcome { word: "allow", hard: false },
        Some(Says::Escalate) => Outcome { word: "escalate", hard: false },
        Some(Says::Block) => Outcome { word: "deny", hard: true },
        Some(Says::Deny) | None => Outcome { word: "deny", hard: false },
    })
}

fn speak(root: &Yaml, event: &Event, heard: &mut Heard) -> Result<(), Unreadable> {
    let rules = root.get("rules").and_then(Yaml::as_sequence).map(Vec::as_slice).unwrap_or_default();
    let is_match = root.get("defaults").is_some() || rules.iter().any(|rule| rule.get("then").is_none());
    if !is_match {
        for rule in rules {
            let says = word(rule.get("then"))?;
            let truth = conditions::when(rule.get("when").ok_or_else(|| missing("when"))?, event)?;
            if truth == Truth::Yes || (truth == Truth::Unknown && says > Says::Allow) {
                heard.said.push((says, truth));
            }
        }
        return Ok(());
    }
    // Without a default a file blocks; as a default that is a soft deny.
    let default = root.get("defaults").and_then(|defaults| defaults.get("approval"));
    let default = if default.is_some() { word(default)? } else { Says::Block };
    for rule in rules {
        let says = if rule.get("approval").is_some() { word(rule.get("approval"))? } else { default };
        let truth = conditions::matching(rule, event)?;
        if truth == Truth::Yes || (truth == Truth::Unknown && says > Says::Allow) {
            heard.said.push((says, truth));
        }
        if truth == Truth::Yes {
            break;
        }
    }
    heard.defaults.push(default.min(Says::Deny));
    Ok(())
}

fn word(node: Option<&Yaml>) -> Result<Says, Unreadable> {
    match node.and_then(Yaml::as_str) {
        Some("allow" | "auto") => Ok(Says::Allow),
        Some("hitl" | "approve") => Ok(Says::Escalate),
        Some("deny") => Ok(Says::Deny),
        Some("block") => Ok(Says::Block),
        _ => Err(missing("then")),
    }
}

fn missing(what: &str) -> Unreadable {
    Unreadable(format!("`{what}` is missing or of an unknown kind"))
}
