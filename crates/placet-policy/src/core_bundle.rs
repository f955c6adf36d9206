//! The core bundle that ships with Placet: guards, and the lifecycle rules of the project tier.
//!
//! The rules are YAML like any other; their limits are data that a deployment may set.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Tier;

use crate::source::SourceFile;

/// The limits of the guards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoreLimits {
    /// Deepest delegation depth at which anything happens.
    pub max_spawn_depth: u32,
    /// Deepest delegation depth that may delegate.
    pub max_delegate_depth: u32,
    /// Most steps of a plan.
    pub max_plan_steps: u32,
    /// Tools that no plan may use.
    pub blocked_plan_tools: Vec<String>,
    /// Actions and tools that run code and therefore need a verified sandbox.
    pub code_tools: Vec<String>,
}

impl Default for CoreLimits {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            max_spawn_depth: 2,
            max_delegate_depth: 1,
            max_plan_steps: 50,
            blocked_plan_tools: list(&["execute_shell", "run_command", "drop_database", "delete_all"]),
            code_tools: list(&[
                "execute_shell",
                "run_command",
                "eval_code",
                "execute_code",
                "run_shell_command",
                "spawn_process",
                "shell",
                "bash",
                "sh",
                "zsh",
                "powershell",
                "cmd",
                "terminal",
                "exec",
                "eval",
                "python",
                "python_repl",
                "run_python",
                "run_code",
                "code_interpreter",
            ]),
        }
    }
}

/// File name and text of each guard.
const GUARDS: &[(&str, &str)] = &[
    ("placet:core/security.yaml", include_str!("../../../policies/core/security.yaml")),
    ("placet:core/delegation.yaml", include_str!("../../../policies/core/delegation.yaml")),
    ("placet:core/plan.yaml", include_str!("../../../policies/core/plan.yaml")),
    ("placet:core/budget.yaml", include_str!("../../../policies/core/budget.yaml")),
    ("placet:core/classification.yaml", include_str!("../../../policies/core/classification.yaml")),
];

const LIFECYCLE: (&str, &str) =
    ("placet:core/lifecycle.yaml", include_str!("../../../policies/core/lifecycle.yaml"));

/// The guards with these limits.
#[must_use]
pub fn guards(limits: &CoreLimits) -> Vec<(Tier, SourceFile)> {
    GUARDS.iter().map(|(path, text)| (Tier::Core, SourceFile::new(*path, fill(text, limits)))).collect()
}

/// The lifecycle rules.
#[must_use]
pub fn lifecycle() -> (Tier, SourceFile) {
    (Tier::Project, SourceFile::new(LIFECYCLE.0, LIFECYCLE.1))
}

/// Writes the limits into the text; JSON is YAML, so no value can break out of its place.
fn fill(text: &str, limits: &CoreLimits) -> String {
    let names = |names: &[String]| serde_json::to_string(names).unwrap_or_else(|_| "[]".to_owned());
    text.replace("${max_spawn_depth}", &limits.max_spawn_depth.to_string())
        .replace("${max_delegate_depth}", &limits.max_delegate_depth.to_string())
        .replace("${max_plan_steps}", &limits.max_plan_steps.to_string())
        .replace("${blocked_plan_tools}", &names(&limits.blocked_plan_tools))
        .replace("${code_tools}", &names(&limits.code_tools))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadOptions, PolicySet};

    #[test]
    fn the_core_bundle_loads_without_a_finding() {
        let mut sources = guards(&CoreLimits::default());
        sources.push(lifecycle());
        let (_, found) =
            PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
        assert!(found.0.is_empty(), "{found}");
    }
}
