//! Policies as documents: which rules there are and in what they differ.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet, HashMap};

use placet::{GateOptions, PolicySet, RuleRef};
use serde::Serialize;
use serde_json::Value;

use crate::commands::validate::is_builtin;
use crate::failure::Failure;

/// The rules and files of one side.
pub(super) struct Policies {
    rules: Vec<RuleDocument>,
    /// The `defaults` of Match files, by file.
    defaults: BTreeMap<String, Value>,
    /// The text of Rego files, by file.
    rego: BTreeMap<String, String>,
}

/// One rule as it is written.
#[derive(Clone)]
struct RuleDocument {
    place: RuleRef,
    body: Value,
    /// Whether its order counts.
    is_ordered: bool,
}

impl Policies {
    /// Loads one side, which must be valid, and reads its documents.
    pub(super) fn read(options: &GateOptions) -> Result<Self, Failure> {
        let sources = placet::read_sources(options)?;
        let (set, _) = PolicySet::load(&sources, &options.load_options()).map_err(Failure::Policy)?;
        let mut places: HashMap<&str, Vec<&RuleRef>> = HashMap::new();
        for (_, rule) in set.rules() {
            places.entry(&rule.file).or_default().push(rule);
        }
        let mut policies = Self { rules: Vec::new(), defaults: BTreeMap::new(), rego: BTreeMap::new() };
        for (_, file) in sources.iter().filter(|(_, file)| !is_builtin(&file.path)) {
            let name = file.path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            match yaml_serde::from_str::<Value>(&file.text) {
                Ok(document) if !file.path.ends_with(".rego") => {
                    let places = places.remove(&*file.path).unwrap_or_default();
                    policies.add(&name, &document, places);
                }
                _ => drop(policies.rego.insert(name, file.text.to_string())),
            }
        }
        Ok(policies)
    }

    fn add(&mut self, file: &str, document: &Value, places: Vec<&RuleRef>) {
        let bodies = document.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (place, body) in places.into_iter().zip(bodies) {
            let is_ordered = body.get("when").is_none();
            self.rules.push(RuleDocument { place: place.clone(), body: body.clone(), is_ordered });
        }
        if let Some(defaults) = document.get("defaults") {
            self.defaults.insert(file.to_owned(), defaults.clone());
        }
    }

    /// The rules by name; a name used in several files is told apart by a number.
    fn by_name(&self) -> BTreeMap<(&str, usize), (usize, &RuleDocument)> {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut named = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let count = seen.entry(&rule.place.name).or_default();
            named.insert((&*rule.place.name, *count), (index, rule));
            *count += 1;
        }
        named
    }
}

/// What changed.
#[derive(Serialize)]
pub(super) struct Changes {
    pub(super) added: Vec<RuleRef>,
    pub(super) removed: Vec<RuleRef>,
    pub(super) changed: Vec<RuleChange>,
    /// Match rules that stand elsewhere among those that both sides have.
    pub(super) moved: Vec<RuleRef>,
    pub(super) defaults: Vec<DefaultsChange>,
    pub(super) rego: Vec<FileChange>,
}

/// A rule that both sides have, written differently.
#[derive(Serialize)]
pub(super) struct RuleChange {
    #[serde(flatten)]
    pub(super) rule: RuleRef,
    pub(super) changes: Vec<ValueChange>,
}

/// The defaults of one file.
#[derive(Serialize)]
pub(super) struct DefaultsChange {
    pub(super) file: String,
    pub(super) changes: Vec<ValueChange>,
}

/// One value below a rule or defaults; null where a side has none.
#[derive(Serialize)]
pub(super) struct ValueChange {
    pub(super) path: String,
    pub(super) old: Value,
    pub(super) new: Value,
}

/// A Rego file that only one side has, or whose text differs.
#[derive(Serialize)]
pub(super) struct FileChange {
    pub(super) file: String,
    pub(super) change: &'static str,
}

impl Changes {
    pub(super) fn between(old: &Policies, new: &Policies) -> Self {
        let (before, after) = (old.by_name(), new.by_name());
        let only = |one: &BTreeMap<(&str, usize), (usize, &RuleDocument)>,
                    other: &BTreeMap<(&str, usize), (usize, &RuleDocument)>| {
            let mut rules: Vec<(usize, RuleRef)> = one
                .iter()
                .filter(|(name, _)| !other.contains_key(*name))
                .map(|(_, (index, rule))| (*index, rule.place.clone()))
                .collect();
            rules.sort_by_key(|(index, _)| *index);
            rules.into_iter().map(|(_, rule)| rule).collect()
        };
        let mut both: Vec<(usize, usize, &RuleDocument, &RuleDocument)> = after
            .iter()
            .filter_map(|(name, (index, rule))| {
                before.get(name).map(|(was, old)| (*index, *was, *old, *rule))
            })
            .collect();
        both.sort_by_key(|(index, ..)| *index);
        let changed = both.iter().filter_map(|(_, _, old, new)| {
            let changes = differences(&old.body, &new.body);
            (!changes.is_empty()).then(|| RuleChange { rule: new.place.clone(), changes })
        });
        Self {
            added: only(&after, &before),
            removed: only(&before, &after),
            changed: changed.collect(),
            moved: moved(&both),
            defaults: defaults(old, new),
            rego: rego(old, new),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.moved.is_empty()
            && self.defaults.is_empty()
            && self.rego.is_empty()
    }
}

/// The ordered rules outside the longest run that keeps its order.
fn moved(both: &[(usize, usize, &RuleDocument, &RuleDocument)]) -> Vec<RuleRef> {
    let ordered: Vec<_> = both.iter().filter(|(_, _, old, new)| old.is_ordered && new.is_ordered).collect();
    let old_places: Vec<usize> = ordered.iter().map(|(_, was, ..)| *was).collect();
    let kept = longest_increasing(&old_places);
    let moved = ordered.iter().enumerate().filter(|(index, _)| !kept.contains(index));
    moved.map(|(_, (_, _, _, rule))| rule.place.clone()).collect()
}

/// The indexes of a longest increasing subsequence. Source: patience sorting.
fn longest_increasing(values: &[usize]) -> BTreeSet<usize> {
    // For each length, the index of the least last value of a run of that length; and who stands before whom.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let length = ends.partition_point(|end| values.get(*end).is_some_and(|last| last < value));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut kept = BTreeSet::new();
    let mut at = ends.last().copied();
    while let Some(index) = at {
        kept.insert(index);
        at = before.get(index).copied().flatten();
    }
    kept
}

fn defaults(old: &Policies, new: &Policies) -> Vec<DefaultsChange> {
    let files: BTreeSet<&String> = old.defaults.keys().chain(new.defaults.keys()).collect();
    let none = Value::Object(serde_json::Map::new());
    let change = |file: &String| {
        let of = |side: &'_ Policies| side.defaults.get(file).unwrap_or(&none).clone();
        DefaultsChange { file: file.clone(), changes: differences(&of(old), &of(new)) }
    };
    files.into_iter().map(change).filter(|change| !change.changes.is_empty()).collect()
}

fn rego(old: &Policies, new: &Policies) -> Vec<FileChange> {
    let files: BTreeSet<&String> = old.rego.keys().chain(new.rego.keys()).collect();
    let change = |file: &String| match (old.rego.get(file), new.rego.get(file)) {
        (Some(_), None) => Some("removed"),
        (None, Some(_)) => Some("added"),
        (before, after) => (before != after).then_some("changed"),
    };
    let changes =
        files.into_iter().filter_map(|file| Some(FileChange { file: file.clone(), change: change(file)? }));
    changes.collect()
}

/// Every value in which two documents differ, with its path.
fn differences(old: &Value, new: &Value) -> Vec<ValueChange> {
    let mut found = Vec::new();
    collect(old, new, "", &mut found);
    found
}

fn collect(old: &Value, new: &Value, path: &str, found: &mut Vec<ValueChange>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of =
                    |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or(Value::Null);
                collect(&of(before), &of(after), &path, found);
            }
        }
        _ => found.push(ValueChange { path: path.to_owned(), old: old.clone(), new: new.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_its_order_is_not_moved() {
        assert_eq!(longest_increasing(&[0, 1, 2]).len(), 3);
        assert_eq!(longest_increasing(&[2, 0, 1]), BTreeSet::from([1, 2]));
        assert_eq!(longest_increasing(&[]), BTreeSet::new());
        assert_eq!(longest_increasing(&[3, 1, 2, 0, 5]), BTreeSet::from([1, 2, 4]));
    }

    #[test]
    fn differences_name_the_path() {
        let old = serde_json::json!({"when": {"args": {"amount": {"lte": 100}}}, "then": "allow"});
        let new =
            serde_json::json!({"when": {"args": {"amount": {"lte": 200}}}, "then": "allow", "reason": "x"});
        let found = differences(&old, &new);
        let paths: Vec<&str> = found.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["reason", "when.args.amount.lte"]);
        assert_eq!((&found[0].old, &found[1].new), (&Value::Null, &serde_json::json!(200)));
    }
}
