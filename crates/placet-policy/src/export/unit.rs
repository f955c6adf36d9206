//! One unit as Rego: its rules as numbered statements, and the sets of numbers that fire.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use placet_types::{RiskTier, RuleRef, Tier};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::condition::{Lines, Scope, Writer, block, path_forms};
use super::text::{ascii, encoded};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::ir::{
    DefaultVerdict, Expr, Literal, Members, Op, Operand, Path, Rule, Subject, Test, Text, Unit, UnitKind,
};
use crate::source::{Position, SourceFile};
use crate::voice::Effect;

/// The functions that conditions call. Each file has its own, since an interpreter may look for all definitions of
/// a function in one module; `§` stands for what the names of the file begin with.
const FUNCTIONS: &str = include_str!("functions.rego");

/// Most alternatives of one membership that become rules of their own, which OPA finds by its index.
const MAX_INDEXED: usize = 32;

/// Writes the rules of a unit.
///
/// # Errors
/// Regular expressions that RE2 cannot express, with the rule's place.
pub(super) fn write(tier: Tier, grant: bool, file: &SourceFile, unit: &Unit) -> Result<String, Diagnostics> {
    let prefix = prefix(tier, file);
    let mut out = String::new();
    let mut found = Vec::new();
    if grant {
        let _ = writeln!(out, "v1_must_allow contains {}\n", tier_number(tier));
    }
    let kind = if matches!(unit.kind, UnitKind::Rules) { Kind::Rules } else { Kind::Match };
    write_statements(&mut out, &prefix, tier, kind, &unit.rules);
    for (number, rule) in unit.rules.iter().enumerate() {
        let mut writer = Writer::new(&prefix, number);
        let _ = writeln!(out, "# {number}: {}\n", encoded(&rule.reference.name));
        let rules = fire(&mut writer, &prefix, number, rule, kind);
        for refused in &writer.refused {
            let position = Position::new(rule.reference.line, 1);
            found.push(
                Diagnostic::error("export/regex", file, position, refused.clone())
                    .with_help("write it with what RE2 has, or keep this rule out of the export"),
            );
        }
        for paragraph in rules.into_iter().chain(writer.into_helpers()) {
            out.push_str(&paragraph);
            out.push_str("\n\n");
        }
    }
    write_speech(&mut out, &prefix, kind, &unit.rules);
    if let UnitKind::Match { default } = &unit.kind {
        let _ = writeln!(out, "v1_default contains {}\n", default_statement(tier, default));
    }
    out.push_str(&FUNCTIONS.replace('§', &prefix));
    if found.is_empty() { Ok(out) } else { Err(Diagnostics(found)) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rules,
    Match,
}

/// Unique to one file in one tier, so that files load together.
fn prefix(tier: Tier, file: &SourceFile) -> String {
    let mut hasher = Sha256::new();
    for part in [tier.name(), &file.path, &file.text] {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    let digest = hex::encode(hasher.finalize());
    format!("p{}", digest.get(..12).unwrap_or_default())
}

fn write_statements(out: &mut String, prefix: &str, tier: Tier, kind: Kind, rules: &[Rule]) {
    if rules.is_empty() {
        return;
    }
    let _ = writeln!(out, "{prefix}_rules := [");
    for (number, rule) in rules.iter().enumerate() {
        let reviewers: Vec<&str> = rule.reviewers.iter().map(|group| &*group.0).collect();
        let statement = json!({
            "tier": tier_number(tier),
            "kind": if kind == Kind::Rules { 0 } else { 1 },
            "file": &*rule.reference.file,
            "number": number,
            "effect": effect_number(rule.effect),
            "risk": rule.risk_tier.map_or(-1, risk_number),
            "reviewers": reviewers,
            "rule": reference(&rule.reference),
            "reason": &*rule.reason,
            "instead": instead(rule),
        });
        let _ = writeln!(out, "\t{},", ascii(&statement.to_string()));
    }
    out.push_str("]\n\n");
}

fn default_statement(tier: Tier, default: &DefaultVerdict) -> String {
    let instead = match default.effect {
        Effect::Allow => "no rule matched; the default allows",
        Effect::Escalate => "no rule matched; the default asks for a person's approval",
        Effect::Deny | Effect::HardDeny => "no rule matched; the default denies",
    };
    let statement = json!({
        "tier": tier_number(tier),
        "kind": 2,
        "file": &*default.reference.file,
        "number": 0,
        "sure": true,
        "effect": effect_number(default.effect.min(Effect::Deny)),
        "risk": risk_number(default.risk_tier),
        "reviewers": [],
        "rule": reference(&default.reference),
        "reason": "",
        "instead": instead,
    });
    ascii(&statement.to_string())
}

fn reference(rule: &RuleRef) -> serde_json::Value {
    json!({"name": &*rule.name, "file": &*rule.file, "line": rule.line})
}

/// What is said when the author gave no reason.
fn instead(rule: &Rule) -> String {
    let name = &rule.reference.name;
    match rule.effect {
        Effect::Allow => format!("allowed by rule `{name}`"),
        Effect::Escalate => format!("rule `{name}` asks for a person's approval"),
        Effect::Deny | Effect::HardDeny => format!("denied by rule `{name}`"),
    }
}

fn tier_number(tier: Tier) -> u8 {
    match tier {
        Tier::Core => 0,
        Tier::Global => 1,
        Tier::Project => 2,
    }
}

fn effect_number(effect: Effect) -> u8 {
    match effect {
        Effect::Allow => 1,
        Effect::Escalate => 2,
        Effect::Deny => 3,
        Effect::HardDeny => 4,
    }
}

fn risk_number(tier: RiskTier) -> i8 {
    RiskTier::ALL
        .iter()
        .position(|other| *other == tier)
        .and_then(|place| i8::try_from(place).ok())
        .unwrap_or(-1)
}

/// The rules that put a rule's number among those that are true and those that are not false.
fn fire(writer: &mut Writer, prefix: &str, number: usize, rule: &Rule, kind: Kind) -> Vec<String> {
    let mut rules = Vec::new();
    let mut add = |set: &str, bodies: Vec<Lines>| {
        rules
            .extend(bodies.iter().map(|body| format!("{prefix}_{set} contains {number} if {}", block(body))));
    };
    // In a Match unit a true rule ends the search, whatever it says; and an escalation is sure only where it is true.
    if kind == Kind::Match || rule.effect <= Effect::Escalate {
        add("true", true_bodies(writer, &rule.when));
    }
    if rule.restricts() {
        add("not_false", not_false_bodies(writer, &rule.when));
    }
    rules
}

fn write_speech(out: &mut String, prefix: &str, kind: Kind, rules: &[Rule]) {
    let restricts = rules.iter().any(Rule::restricts);
    let can_be_true = rules.iter().any(|rule| rule.effect <= Effect::Escalate);
    let mut speak = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| line.replace('§', prefix)).collect();
        let _ = writeln!(out, "v1_statement contains statement if {}\n", block(&lines));
    };
    let sure = "statement := object.union(§_rules[number], {\"sure\": true})";
    let unless_asking = "statement := object.union(§_rules[number], {\"sure\": §_rules[number].effect != 2})";
    match kind {
        Kind::Rules => {
            if can_be_true {
                speak(&["some number in §_true", sure]);
            }
            if restricts {
                speak(&["some number in §_not_false", unless_asking]);
            }
        }
        Kind::Match if rules.is_empty() => {}
        Kind::Match => {
            speak(&["number := §_first", sure]);
            if restricts {
                speak(&["some number in §_not_false", "number < §_first", unless_asking]);
            }
            let _ = writeln!(out, "{prefix}_first := min({prefix}_true | {{{}}})\n", rules.len());
        }
    }
}

fn top(when: &Expr) -> Vec<&Expr> {
    match when {
        Expr::All(parts) => parts.iter().collect(),
        other => vec![other],
    }
}

/// Bodies that hold where the condition is true; a short membership is spelt out for OPA's index.
fn true_bodies(writer: &mut Writer, when: &Expr) -> Vec<Lines> {
    let parts = top(when);
    let filed = parts.iter().position(|part| matches!(filing(part), Some((_, texts)) if texts.len() > 1));
    let mut rest = Lines::new();
    for (place, part) in parts.iter().enumerate() {
        if Some(place) != filed {
            rest.extend(writer.lines(part, Scope::Document, true));
        }
    }
    let Some((path, texts)) = filed.and_then(|place| parts.get(place)).and_then(|part| filing(part)) else {
        return vec![rest];
    };
    let forms = path_forms(path);
    let body = |text: &&Text| {
        let mut lines = vec![
            format!("{} == {}", forms.raw, encoded(&text.raw)),
            format!("{} == {}", forms.normal, encoded(&text.normal)),
        ];
        lines.extend(rest.iter().cloned());
        lines
    };
    texts.iter().map(body).collect()
}

/// Bodies that hold where the condition is not false. An equality of a field is not false where the normal forms
/// are equal or the field holds no text; OPA finds both by its index.
fn not_false_bodies(writer: &mut Writer, when: &Expr) -> Vec<Lines> {
    let parts = top(when);
    let filed = parts.iter().position(|part| matches!(filing(part), Some((path, _)) if path.keys.is_empty()));
    let mut rest = Lines::new();
    for (place, part) in parts.iter().enumerate() {
        if Some(place) != filed {
            let lines = writer.lines(part, Scope::Document, false);
            let line = writer.one_line(Scope::Document, lines);
            rest.push(format!("not {line}"));
        }
    }
    let Some((path, texts)) = filed.and_then(|place| parts.get(place)).and_then(|part| filing(part)) else {
        return vec![rest];
    };
    let normal = path_forms(path).normal;
    let mut keys: Vec<String> =
        texts.iter().map(|text| format!("{normal} == {}", encoded(&text.normal))).collect();
    keys.sort();
    keys.dedup();
    keys.push(format!("input.norm.no_text[{}] == true", encoded(path.field.path())));
    let body = |key: String| std::iter::once(key).chain(rest.iter().cloned()).collect();
    keys.into_iter().map(body).collect()
}

/// The texts of which a path must hold one, for conditions that ask nothing else.
fn filing(part: &Expr) -> Option<(&Path, Vec<&Text>)> {
    let Expr::Test(Test { subject: Subject::Path(path), op }) = part else { return None };
    match op {
        Op::Eq(Operand::Literal(Literal::Text(text))) => Some((path, vec![text])),
        Op::In(Members::Literals(literals)) if literals.len() <= MAX_INDEXED => {
            literals.iter().map(text).collect::<Option<Vec<_>>>().map(|texts| (path, texts))
        }
        _ => None,
    }
}

fn text(literal: &Literal) -> Option<&Text> {
    match literal {
        Literal::Text(text) => Some(text),
        Literal::Number(_) | Literal::Bool(_) => None,
    }
}
