//! The words of the dialects: effects, tiers, names.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::Arc;

use placet_types::{RiskTier, RuleRef};
use smol_str::SmolStr;

use super::reader::{Reader, nearest};
use crate::ir::{Expr, Path};
use crate::source::Position;
use crate::voice::Effect;
use crate::yaml::Node;

/// Reads one of a fixed set of words.
pub(crate) fn word<T: Copy>(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let text = reader.text(node, what)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text) {
        return Some(*meaning);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let help = match nearest(text, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of: {}", known.join(", ")),
    };
    reader.error("policy/bad-value", node.position, format!("`{text}` is no value of {what}")).help(help);
    None
}

/// `then` of the Rules dialect.
pub(super) const THEN: &[(&str, Effect)] = &[
    ("allow", Effect::Allow),
    ("deny", Effect::Deny),
    ("hitl", Effect::Escalate),
    ("block", Effect::HardDeny),
];

/// `approval` of the Match dialect.
pub(super) const APPROVAL: &[(&str, Effect)] =
    &[("auto", Effect::Allow), ("approve", Effect::Escalate), ("block", Effect::HardDeny)];

/// `risk_level` of the Match dialect.
pub(crate) const RISK_LEVEL: &[(&str, RiskTier)] = &[
    ("low", RiskTier::Informational),
    ("medium", RiskTier::Operational),
    ("high", RiskTier::TransactionalHigh),
    ("critical", RiskTier::SecurityCritical),
    ("LOW", RiskTier::Informational),
    ("MEDIUM", RiskTier::Operational),
    ("HIGH", RiskTier::TransactionalHigh),
    ("CRITICAL", RiskTier::SecurityCritical),
];

/// `risk_tier` of the Rules dialect.
pub(super) fn risk_tier(reader: &mut Reader<'_>, node: &Node) -> Option<RiskTier> {
    let words: Vec<(&str, RiskTier)> = RiskTier::ALL.iter().map(|tier| (tier.name(), *tier)).collect();
    word(reader, node, "`risk_tier`", &words)
}

/// Rule names seen in one file.
#[derive(Default)]
pub(super) struct Names(HashMap<SmolStr, Position>);

impl Names {
    /// Notes a name; a second use in the same file is an error.
    pub(super) fn note(&mut self, reader: &mut Reader<'_>, name: &SmolStr, position: Position) {
        if let Some(first) = self.0.insert(name.clone(), position) {
            let message = format!("a rule named `{name}` stands already on line {}", first.line);
            reader.error("policy/duplicate-name", position, message).help("give each rule a name of its own");
        }
    }
}

/// A reference to a rule of the file being read.
pub(super) fn reference(reader: &Reader<'_>, name: &str, position: Position) -> Arc<RuleRef> {
    Arc::new(RuleRef { name: name.into(), file: reader.file.path.clone(), line: position.line })
}

/// Most values that one rule shows to operators.
const MAX_LOOKED_AT: usize = 16;

/// The values a condition looks at, with their names.
pub(super) fn looks_at(when: &Expr) -> Vec<(Path, Arc<str>)> {
    when.paths().into_iter().take(MAX_LOOKED_AT).map(|path| (path.clone(), path.to_string().into())).collect()
}
