//! Which YAML rules the suites met.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet::{Decision, GateOptions, PolicySet, RuleRef};

use crate::commands::validate::is_builtin;
use crate::failure::Failure;

/// The user's rules and whether a decision named them.
pub(super) struct Coverage {
    rules: BTreeMap<(Arc<str>, u32), (Arc<RuleRef>, bool)>,
}

impl Coverage {
    /// The rules of a project, none met yet.
    pub(super) fn new(options: &GateOptions) -> Result<Self, Failure> {
        let sources = placet::read_sources(options)?;
        let (set, _) = PolicySet::load(&sources, &options.load_options()).map_err(Failure::Policy)?;
        let own = set.rules().map(|(_, rule)| rule).filter(|rule| !is_builtin(&rule.file));
        Ok(Self { rules: own.map(|rule| ((rule.file.clone(), rule.line), (rule.clone(), false))).collect() })
    }

    /// Notes the rules that carried a decision.
    pub(super) fn meet(&mut self, decision: &Decision) {
        for rule in &decision.rules {
            if let Some((_, met)) = self.rules.get_mut(&(rule.file.clone(), rule.line)) {
                *met = true;
            }
        }
    }

    pub(super) fn total(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn met(&self) -> usize {
        self.rules.values().filter(|(_, met)| *met).count()
    }

    /// Rules that carried no decision.
    pub(super) fn missed(&self) -> impl Iterator<Item = &RuleRef> {
        self.rules.values().filter(|(_, met)| !met).map(|(rule, _)| &**rule)
    }

    /// The share of rules met; all of none.
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    pub(super) fn percent(&self) -> f64 {
        if self.rules.is_empty() { 100.0 } else { self.met() as f64 * 100.0 / self.total() as f64 }
    }
}
