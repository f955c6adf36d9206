//! The `decision` rules of a per-event file: the default that is taken off, and the transport it covers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use placet_types::RuleRef;
use regorus::Value;
use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, Query, Ref, Rule, RuleHead};

use super::model::RegoEvent;
use super::parse::{Parsed, head_reference, position, rule_name, static_path};
use super::voices::{self, DECISION_KEYS};
use super::walk::{bodies, walk_expressions};
use crate::{Diagnostic, Effect, Statement};

/// The default of a per-event file.
pub(super) struct Default {
    statement: Statement,
    /// The only transport it covers.
    transport: Option<String>,
}

impl Default {
    /// The default for an event, if it covers it.
    pub(super) fn cover(&self, event: &RegoEvent<'_>) -> Option<Statement> {
        let covered = match (&self.transport, event.transport) {
            (None, _) => true,
            (Some(covered), Some(transport)) => covered == transport,
            // Unknown never permits.
            (Some(_), None) => self.statement.effect != Effect::Allow,
        };
        covered.then(|| self.statement.clone())
    }
}

/// Whether a rule contributes to `decision`.
pub(super) fn is_decision(rule: &Rule) -> bool {
    rule_name(rule).is_some_and(|name| name == "decision")
}

/// Whether a rule is the `default decision`.
pub(super) fn is_default(rule: &Rule) -> bool {
    matches!(rule, Rule::Default { .. }) && is_decision(rule)
}

/// Reads the default of a file, and checks what its decisions are made of.
pub(super) fn read(parsed: &Parsed, into: &mut Vec<Diagnostic>) -> Option<Default> {
    let mut found = None;
    for rule in parsed.module.policy.iter().filter(|rule| is_decision(rule)) {
        check_keys(parsed, rule, into);
        let Rule::Default { refr, value, .. } = rule.as_ref() else { continue };
        let at = position(rule.span());
        if found.is_some() {
            into.push(Diagnostic::error("rego/default", &parsed.file, at, "`decision` has a second default"));
            continue;
        }
        if static_path(refr).is_some_and(|(path, _)| path.len() > 1) {
            let message = "the default must be that of `decision`, not of one of its keys";
            into.push(Diagnostic::error("rego/default", &parsed.file, at, message));
            continue;
        }
        match statement(parsed, rule, value) {
            Ok(statement) => found = Some(statement),
            Err(message) => into.push(
                Diagnostic::error("rego/default", &parsed.file, position(value.span()), message)
                    .with_help("write a constant object such as `{\"allow\": false, \"reason\": \"…\"}`"),
            ),
        }
    }
    found.flatten().map(|statement| Default { statement, transport: only_transport(parsed) })
}

fn statement(parsed: &Parsed, rule: &Rule, value: &Ref<Expr>) -> Result<Option<Statement>, String> {
    if !matches!(value.as_ref(), Expr::Object { .. }) {
        return Err("the default of `decision` must be an object".to_owned());
    }
    let value = constant(value).ok_or("the default of `decision` must be constant")?;
    let rule = Arc::new(RuleRef {
        name: Arc::from(format!("data.{}.decision (default)", parsed.package_name())),
        file: parsed.file.path.clone(),
        line: rule.span().line,
    });
    let said = voices::decision(&value, &rule)?;
    Ok(said.map(|mut said| {
        // Defaults are never hard.
        if said.effect == Effect::HardDeny {
            said.effect = Effect::Deny;
        }
        said
    }))
}

/// The value of a constant expression.
pub(super) fn constant(expression: &Expr) -> Option<Value> {
    Some(match expression {
        Expr::String { value, .. }
        | Expr::RawString { value, .. }
        | Expr::Number { value, .. }
        | Expr::Bool { value, .. }
        | Expr::Null { value, .. } => value.clone(),
        Expr::Array { items, .. } => {
            Value::from(items.iter().map(|item| constant(item)).collect::<Option<Vec<_>>>()?)
        }
        Expr::Set { items, .. } => Value::from(
            items.iter().map(|item| constant(item)).collect::<Option<std::collections::BTreeSet<_>>>()?,
        ),
        Expr::Object { fields, .. } => Value::from(
            fields
                .iter()
                .map(|(_, key, value)| Some((constant(key)?, constant(value)?)))
                .collect::<Option<std::collections::BTreeMap<_, _>>>()?,
        ),
        _ => return None,
    })
}

/// A misspelt key would be a decision that nobody reads.
fn check_keys(parsed: &Parsed, rule: &Rule, into: &mut Vec<Diagnostic>) {
    let mut check = |name: &str, at| {
        if !DECISION_KEYS.contains(&name) {
            let found = Diagnostic::error(
                "rego/unknown-key",
                &parsed.file,
                at,
                format!("`decision` has no key `{name}`"),
            );
            let nearest = DECISION_KEYS.iter().min_by_key(|key| strsim::osa_distance(key, name));
            into.push(match nearest {
                Some(key) if strsim::osa_distance(key, name) <= 2 => {
                    found.with_help(format!("did you mean `{key}`?"))
                }
                _ => found.with_help(format!("its keys are {}", DECISION_KEYS.join(", "))),
            });
        }
    };
    if let Some((path, _)) = static_path(head_reference(rule))
        && let Some(key) = path.get(1)
    {
        check(key, position(head_reference(rule).span()));
        return;
    }
    for value in values(rule) {
        if let Expr::Object { fields, .. } = value.as_ref() {
            for (_, key, _) in fields {
                if let Expr::String { value: Value::String(name), span, .. } = key.as_ref() {
                    check(name, position(span));
                }
            }
        }
    }
}

/// The values that a rule may take: its head's and its `else` branches'.
pub(super) fn values(rule: &Rule) -> Vec<&Ref<Expr>> {
    match rule {
        Rule::Default { value, .. } => vec![value],
        Rule::Spec { head, bodies, .. } => {
            let head = match head {
                RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => assign.as_ref(),
                RuleHead::Set { .. } => None,
            };
            head.into_iter()
                .chain(bodies.iter().filter_map(|body| body.assign.as_ref()))
                .map(|a| &a.value)
                .collect()
        }
    }
}

/// The transport that every body of `decision` requires, if they all require the same.
fn only_transport(parsed: &Parsed) -> Option<String> {
    let mut required: Option<String> = None;
    for rule in parsed.module.policy.iter().filter(|rule| is_decision(rule) && !is_default(rule)) {
        let all = bodies(rule);
        if all.is_empty() || has_input_override(rule) {
            return None;
        }
        for body in all {
            let transport = transport_of(parsed, &body.query)?;
            if required.as_ref().is_some_and(|other| *other != transport) {
                return None;
            }
            required = Some(transport);
        }
    }
    required
}

fn has_input_override(rule: &Rule) -> bool {
    let mut shadowed = false;
    walk_expressions(rule, &mut |expression| {
        if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expression.as_ref() {
            shadowed |= matches!(lhs.as_ref(), Expr::Var { span, .. } if span.text() == "input");
        }
    });
    shadowed
}

fn transport_of(parsed: &Parsed, query: &Query) -> Option<String> {
    query.stmts.iter().filter(|statement| statement.with_mods.is_empty()).find_map(|statement| {
        let Literal::Expr { expr, .. } = &statement.literal else { return None };
        let (Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. }
        | Expr::AssignExpr { op: AssignOp::Eq, lhs, rhs, .. }) = expr.as_ref()
        else {
            return None;
        };
        [(lhs, rhs), (rhs, lhs)].into_iter().find_map(|(path, constant)| {
            let (path, complete) = static_path(path)?;
            let full = match path.split_first() {
                Some((root, rest)) => match parsed.imports.get(root) {
                    Some(import) => import.iter().chain(rest).cloned().collect(),
                    None => path,
                },
                None => path,
            };
            let is_transport = complete && full == ["input", "transport"];
            match constant.as_ref() {
                Expr::String { value: Value::String(text), .. } if is_transport => Some(text.to_string()),
                _ => None,
            }
        })
    })
}
