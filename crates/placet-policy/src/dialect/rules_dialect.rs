//! The Rules dialect: `when` / `then`. All rules count and deny overrides; there is no default.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Field, ReviewerGroup};
use smol_str::SmolStr;

use super::conditions::{
    OPERATORS, combinator, conjunction, is_operator_map, operator_map, synonym, test, value_condition,
};
use super::fields;
use super::reader::Reader;
use super::vocabulary::{self, Names, THEN};
use crate::diagnostic::Severity;
use crate::ir::{Contained, Expr, Literal, Members, Op, Path, Rule, Subject, Text, Unit, UnitKind};
use crate::source::Position;
use crate::voice::Effect;
use crate::yaml::{Key, Kind, Node};

pub(super) const TOP_KEYS: &[&str] = &["version", "rules", "package", "description"];
pub(super) const RULE_KEYS: &[&str] =
    &["name", "when", "then", "reason", "risk_tier", "reviewers", "description"];

/// Longest rule name.
pub(super) const MAX_NAME_CHARS: usize = 64;

/// Reads a whole file.
pub(super) fn read(root: &Node, reader: &mut Reader<'_>) -> Option<Unit> {
    let entries = reader.map(root, "a policy file")?;
    let mut rules = None;
    let mut version = false;
    for (key, node) in entries {
        match key.text.as_str() {
            "version" => {
                version = true;
                reader.version(node);
            }
            "rules" => rules = Some(read_rules(reader, node)),
            "package" => {
                reader.add(
                    Severity::Note,
                    "policy/package",
                    key.position,
                    "`package` has no meaning in YAML and is ignored",
                );
            }
            "description" => drop(reader.text(node, "`description`")),
            _ => reader.unknown_key(key, "at the top of a policy", TOP_KEYS),
        }
    }
    if !version {
        reader
            .error("policy/version", root.position, "`version` is missing")
            .help("write `version: 1` at the top");
    }
    let Some(rules) = rules else {
        reader
            .error("policy/rules", root.position, "`rules` is missing")
            .help("write `rules:` with a list of rules");
        return None;
    };
    Some(Unit { kind: UnitKind::Rules, rules })
}

fn read_rules(reader: &mut Reader<'_>, node: &Node) -> Vec<Rule> {
    let Some(items) = reader.list(node, "`rules`") else { return Vec::new() };
    if items.is_empty() {
        reader.error("policy/rules", node.position, "`rules` is empty").help("write at least one rule");
    }
    let mut names = Names::default();
    items.iter().filter_map(|item| read_rule(reader, item, &mut names)).collect()
}

/// A rule while it is being read.
#[derive(Default)]
struct Draft<'n> {
    name: Option<(&'n SmolStr, Position)>,
    when: Option<(Option<Expr>, &'n Key)>,
    then: Option<Option<Effect>>,
    reason: &'n str,
    risk_tier: Option<placet_types::RiskTier>,
    reviewers: Vec<ReviewerGroup>,
    reviewers_at: Option<Position>,
}

fn read_rule(reader: &mut Reader<'_>, node: &Node, names: &mut Names) -> Option<Rule> {
    let entries = reader.map(node, "a rule")?;
    let mut draft = Draft::default();
    for (key, node) in entries {
        match key.text.as_str() {
            "name" => draft.name = read_name(reader, node).map(|name| (name, key.position)),
            "when" => draft.when = Some((read_when(reader, node), key)),
            "then" => draft.then = Some(vocabulary::word(reader, node, "`then`", THEN)),
            "reason" => draft.reason = reader.text(node, "`reason`").map(SmolStr::as_str).unwrap_or_default(),
            "risk_tier" => draft.risk_tier = vocabulary::risk_tier(reader, node),
            "reviewers" => {
                draft.reviewers_at = Some(key.position);
                draft.reviewers = reviewers(reader, node);
            }
            "description" => drop(reader.text(node, "`description`")),
            _ => reader.unknown_key(key, "in a rule", RULE_KEYS),
        }
    }
    finish(reader, node, draft, names)
}

fn finish(reader: &mut Reader<'_>, node: &Node, draft: Draft<'_>, names: &mut Names) -> Option<Rule> {
    let misspelt = |wanted: &str| match &node.kind {
        Kind::Map(entries) => entries.iter().any(|(key, _)| {
            !RULE_KEYS.contains(&key.text.as_str())
                && super::reader::nearest(&key.text, RULE_KEYS) == Some(wanted)
        }),
        _ => false,
    };
    if draft.name.is_none() && !has_key(node, "name") && !misspelt("name") {
        reader.error("policy/name", node.position, "a rule has no name").help("write `name: what_it_does`");
    }
    if draft.when.is_none() && !misspelt("when") {
        reader
            .error("policy/when", node.position, "a rule has no `when`")
            .help("say when it applies, or write `when: {}` for a rule that restricts every event");
    }
    if draft.then.is_none() && !misspelt("then") {
        reader
            .error("policy/then", node.position, "a rule has no `then`")
            .help("write `then: allow`, `deny`, `hitl` or `block`");
    }
    let ((name, at), (when, when_key), effect) = (draft.name?, draft.when?, draft.then??);
    names.note(reader, name, at);
    let when = when?;
    if effect == Effect::Allow && matches!(&when, Expr::All(parts) if parts.is_empty()) {
        reader
            .error(
                "policy/allow-everything",
                when_key.position,
                format!("the rule `{name}` would allow every event"),
            )
            .help("name an action, a role or a scope in `when`");
    }
    if effect != Effect::Escalate
        && let Some(position) = draft.reviewers_at
    {
        reader
            .error("policy/reviewers", position, "`reviewers` has a meaning only with `then: hitl`")
            .help("write `then: hitl`, or remove `reviewers`");
    }
    let looks_at = vocabulary::looks_at(&when);
    Some(Rule {
        reference: vocabulary::reference(reader, name, node.position),
        when,
        effect,
        reason: draft.reason.into(),
        risk_tier: draft.risk_tier,
        reviewers: draft.reviewers,
        looks_at,
    })
}

fn has_key(node: &Node, name: &str) -> bool {
    matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|(key, _)| key.text == name))
}

fn read_name<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n SmolStr> {
    let name = reader.text(node, "`name`")?;
    let head = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let body = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if !head || !body || name.len() > MAX_NAME_CHARS {
        let message = format!("`{name}` is no rule name");
        reader.error("policy/name", node.position, message).help(format!(
            "use a letter, then letters, digits, `_`, `-` or `.`, at most {MAX_NAME_CHARS} in all"
        ));
        return None;
    }
    Some(name)
}

fn reviewers(reader: &mut Reader<'_>, node: &Node) -> Vec<ReviewerGroup> {
    let names = reader.texts(node, "`reviewers`").unwrap_or_default();
    names.into_iter().map(|name| ReviewerGroup(name.as_str().into())).collect()
}

/// The `when` mapping: a conjunction of conditions.
fn read_when(reader: &mut Reader<'_>, node: &Node) -> Option<Expr> {
    let entries = reader.map(node, "`when`")?;
    let parts: Vec<Option<Expr>> = entries.iter().map(|(key, node)| condition(reader, key, node)).collect();
    let parts: Vec<Expr> = parts.into_iter().collect::<Option<_>>()?;
    Some(if parts.is_empty() { Expr::All(parts) } else { conjunction(parts) })
}

fn condition(reader: &mut Reader<'_>, key: &Key, node: &Node) -> Option<Expr> {
    match key.text.as_str() {
        "any" | "all" => combinator(reader, key, node, nested),
        "not" => nested(reader, node).map(|inner| Expr::Not(Box::new(inner))),
        "args" => open_object(reader, Field::Args, &[], node),
        "context.attributes" => open_object(reader, Field::Attributes, &[], node),
        "scope" | "context.session_scopes" if !matches!(node.kind, Kind::Map(_)) => scopes(reader, node),
        name => {
            let path = when_field(reader, name, key.position)?;
            let subject = Subject::Path(path);
            match &node.kind {
                Kind::List(_) if !name.starts_with("args.") => one_of(reader, &subject, name, node),
                _ => value_condition(reader, &subject, node),
            }
        }
    }
}

fn nested(reader: &mut Reader<'_>, node: &Node) -> Option<Expr> {
    let entries = reader.map(node, "a condition")?;
    if entries.is_empty() {
        reader
            .error("policy/empty-condition", node.position, "an empty condition says nothing")
            .help("name a field, or remove it");
        return None;
    }
    read_when(reader, node)
}

/// Fields of `when`: an unknown one is suggested from combinators too.
fn when_field(reader: &mut Reader<'_>, name: &str, position: Position) -> Option<Path> {
    let combinators = ["any", "all", "not", "args"];
    let known: Vec<&str> = fields::names().into_iter().chain(combinators).collect();
    if !known.contains(&name)
        && !name.contains('.')
        && let Some(near) = super::reader::nearest(name, &known)
    {
        reader
            .error("policy/unknown-key", position, format!("unknown key `{name}` in `when`"))
            .help(format!("did you mean `{near}`?"));
        return None;
    }
    fields::resolve(reader, name, position)
}

/// A list right of a field: the value is one of them.
fn one_of(reader: &mut Reader<'_>, subject: &Subject, name: &str, node: &Node) -> Option<Expr> {
    let texts = reader.texts(node, &format!("`{name}`"))?;
    let literals = texts.into_iter().map(|text| Literal::Text(Text::whole(text))).collect();
    Some(test(subject, Op::In(Members::Literals(literals))))
}

/// `scope: a` or `scope: [a, b]`: the session holds all of them.
fn scopes(reader: &mut Reader<'_>, node: &Node) -> Option<Expr> {
    let subject = Subject::Path(Path::of(Field::SessionScopes));
    let names = reader.texts(node, "`scope`")?;
    let holds =
        |name: &SmolStr| test(&subject, Op::Contains(Contained::new(Literal::Text(Text::whole(name)))));
    Some(conjunction(names.into_iter().map(holds).collect()))
}

/// `args: { name: condition }`, nested to any depth; names may be dotted.
fn open_object(reader: &mut Reader<'_>, field: Field, above: &[SmolStr], node: &Node) -> Option<Expr> {
    let entries = reader.map(node, &format!("`{}`", field.path()))?;
    if entries.is_empty() {
        reader
            .error("policy/empty-condition", node.position, format!("`{}` has no conditions", field.path()))
            .help("name an argument, or remove the key");
        return None;
    }
    let parts: Vec<Option<Expr>> =
        entries.iter().map(|(key, node)| open_key(reader, field, above, key, node)).collect();
    parts.into_iter().collect::<Option<Vec<_>>>().map(conjunction)
}

fn open_key(
    reader: &mut Reader<'_>,
    field: Field,
    above: &[SmolStr],
    key: &Key,
    node: &Node,
) -> Option<Expr> {
    let Some(keys) = fields::split(&key.text) else {
        let message = format!("`{}` has an empty key between dots", key.text);
        reader.error("policy/unknown-field", key.position, message);
        return None;
    };
    let keys: Vec<SmolStr> = above.iter().cloned().chain(keys).collect();
    if let Kind::Map(entries) = &node.kind {
        let looks_like_operator =
            entries.iter().any(|(key, _)| is_misspelt_operator(&key.text) || synonym(&key.text).is_some());
        let holds_maps = entries.iter().all(|(_, node)| matches!(node.kind, Kind::Map(_)));
        if !entries.is_empty() && !is_operator_map(entries) && (holds_maps || !looks_like_operator) {
            return open_object(reader, field, &keys, node);
        }
        let subject = Subject::Path(Path { field, keys: keys.into() });
        return operator_map(reader, &subject, entries, node.position);
    }
    value_condition(reader, &Subject::Path(Path { field, keys: keys.into() }), node)
}

/// Whether a name below an argument is one slip away from an operator; names of real arguments (`amount`, `id`)
/// are further off.
fn is_misspelt_operator(name: &str) -> bool {
    name.len() > 2 && OPERATORS.iter().any(|operator| strsim::damerau_levenshtein(name, operator) == 1)
}
