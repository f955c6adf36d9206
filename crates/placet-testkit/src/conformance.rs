//! The cases of `conformance/cases`: read, written out as a user's files, and compared with decisions.
//!
//! Nothing here decides anything. A face (the library, the command line) puts each [`CaseSet`]'s events to its own
//! gate and hands the decisions back in their JSON form. The format is described in `conformance/README.md`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// The time of every event that has no `now`: a Saturday, noon, UTC.
pub const NOW: &str = "2026-11-21T12:00:00Z";

/// Objects of the event whose keys a case sets one by one.
const MERGED: [&str; 3] = ["context", "session", "parent"];

/// Why cases could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// A file could not be read or written.
    #[error("cases: {0}")]
    File(#[from] io::Error),
    /// A file has another format.
    #[error("`{path}`: {message}")]
    Format {
        /// Which file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// Cases that are decided under the same policies.
#[derive(Debug, Clone)]
pub struct CaseSet {
    /// Files by tier (`project`, `global`) and name.
    policies: BTreeMap<String, BTreeMap<String, String>>,
    /// Further keys of `placet.yaml`.
    config: Map<String, Json>,
    /// Whether it was made of a truth table.
    pub is_truth_table: bool,
    /// What is decided.
    pub cases: Vec<Case>,
}

/// One event, and what is expected of the decision on it.
#[derive(Debug, Clone)]
pub struct Case {
    /// `file: group: case`.
    pub id: String,
    /// The event as a JSON document.
    pub event: Json,
    /// What is expected.
    expect: Expect,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    verdict: Option<String>,
    hard: Option<bool>,
    rule: Option<String>,
    rules: Option<Vec<String>>,
    code: Option<String>,
    reason: Option<String>,
    risk_tier: Option<String>,
    reviewers: Option<Vec<String>>,
    trace: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    note: String,
    #[serde(default)]
    policies: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    config: Map<String, Json>,
    #[serde(default)]
    event: Map<String, Json>,
    #[serde(default)]
    cases: Vec<Row>,
    #[serde(default)]
    truths: Vec<Truths>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    note: String,
    #[serde(default)]
    event: Map<String, Json>,
    expect: Expect,
}

/// One condition and the values for which it is true, false and unknown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truths {
    /// A condition of the Rules dialect …
    when: Option<Json>,
    /// … or members of a rule of the Match dialect: `match`, `conditions`.
    rule: Option<Map<String, Json>>,
    /// Where the value stands in the event.
    #[serde(default = "args_x")]
    at: String,
    #[serde(default)]
    r#true: Vec<Json>,
    #[serde(default)]
    r#false: Vec<Json>,
    #[serde(default)]
    unknown: Vec<Json>,
    /// The truth when the value is not there at all; `skip` asks for nothing.
    #[serde(default = "unknown")]
    missing: String,
}

fn args_x() -> String {
    "args.x".to_owned()
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The folder of this repository that holds the cases.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance")
}

/// Reads all cases.
///
/// # Errors
/// [`CaseError`] names the file.
pub fn read() -> Result<Vec<CaseSet>, CaseError> {
    let entries = fs::read_dir(folder().join("cases"))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>, io::Error>>()?;
    paths.sort();
    let mut sets = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let failed = |message: String| CaseError::Format { path: path.display().to_string(), message };
        let file: File = yaml_serde::from_str(&text).map_err(|error| failed(error.to_string()))?;
        for group in &file.groups {
            sets.extend(group.sets(&name).map_err(failed)?);
        }
    }
    Ok(sets)
}

impl Group {
    fn sets(&self, file: &str) -> Result<Vec<CaseSet>, String> {
        let mut sets = Vec::new();
        for truths in &self.truths {
            for permits in [true, false] {
                sets.push(truths.set(permits, file, self)?);
            }
        }
        if !self.cases.is_empty() {
            let case = |row: &Row| Case {
                id: format!("{file}: {}: {}", self.note, row.note),
                event: overlaid(&self.event, &row.event),
                expect: row.expect.clone(),
            };
            let cases = self.cases.iter().map(case).collect();
            sets.push(CaseSet {
                policies: self.policies.clone(),
                config: self.config.clone(),
                is_truth_table: false,
                cases,
            });
        }
        Ok(sets)
    }
}

/// Lays a case's event over the group's: whole fields, but `context`, `session` and `parent` key by key.
fn overlaid(below: &Map<String, Json>, own: &Map<String, Json>) -> Json {
    let mut document = below.clone();
    for (key, value) in own {
        match (document.get_mut(key), value) {
            (Some(Json::Object(held)), Json::Object(value)) if MERGED.contains(&key.as_str()) => {
                held.extend(value.clone());
            }
            _ => drop(document.insert(key.clone(), value.clone())),
        }
    }
    Json::Object(document)
}

impl Truths {
    /// A policy set in which only the truth of the condition decides, and an event for each value.
    fn set(&self, permits: bool, file: &str, group: &Group) -> Result<CaseSet, String> {
        let subject = match (&self.when, &self.rule) {
            (Some(when), None) => when.clone(),
            (None, Some(rule)) => Json::Object(rule.clone()),
            _ => return Err("a truth table has either `when` or `rule`".to_owned()),
        };
        let columns = [("true", &self.r#true), ("false", &self.r#false), ("unknown", &self.unknown)];
        let mut rows: Vec<(&str, Option<&Json>)> = Vec::new();
        for (truth, values) in columns {
            rows.extend(values.iter().map(|value| (truth, Some(value))));
        }
        if self.missing != "skip" {
            rows.push((&self.missing, None));
        }
        let role = if permits { "permits" } else { "restricts" };
        let mut cases = Vec::new();
        for (truth, value) in rows {
            let shown = value.map_or_else(|| "nothing".to_owned(), Json::to_string);
            let allows = truth == if permits { "true" } else { "false" };
            let verdict = if allows { "allow" } else { "deny" };
            cases.push(Case {
                id: format!("{file}: {}: {subject} {role} at {} = {shown}", group.note, self.at),
                event: placed(&group.event, &self.at, value)?,
                expect: Expect { verdict: Some(verdict.to_owned()), ..Expect::default() },
            });
        }
        let policies = BTreeMap::from([("project".to_owned(), self.probe(permits))]);
        Ok(CaseSet { policies, config: Map::new(), is_truth_table: true, cases })
    }

    fn probe(&self, permits: bool) -> BTreeMap<String, String> {
        let mut rule = self.rule.clone().unwrap_or_default();
        rule.insert("name".to_owned(), json!("probe"));
        let unit = match &self.when {
            Some(when) => {
                rule.insert("when".to_owned(), when.clone());
                rule.insert("then".to_owned(), json!(if permits { "allow" } else { "deny" }));
                json!({ "version": 1, "rules": [rule] })
            }
            None => {
                let (says, default) = if permits { ("auto", "block") } else { ("block", "auto") };
                rule.insert("approval".to_owned(), json!(says));
                json!({ "version": 1, "defaults": { "approval": default }, "rules": [rule] })
            }
        };
        let mut files = BTreeMap::from([("probe.yaml".to_owned(), unit.to_string())]);
        if !permits && self.when.is_some() {
            let open = json!({ "version": 1, "defaults": { "approval": "auto" } });
            files.insert("open.yaml".to_owned(), open.to_string());
        }
        files
    }
}

/// The event with a value at one place; `None` leaves the place out.
fn placed(below: &Map<String, Json>, at: &str, value: Option<&Json>) -> Result<Json, String> {
    let mut document = below.clone();
    let Some(value) = value else { return Ok(Json::Object(document)) };
    match at.split_once('.') {
        None => drop(document.insert(at.to_owned(), value.clone())),
        Some((group, key)) => {
            let group = document.entry(group).or_insert_with(|| json!({}));
            let group = group.as_object_mut().ok_or_else(|| format!("`{at}` stands in no object"))?;
            group.insert(key.to_owned(), value.clone());
        }
    }
    Ok(Json::Object(document))
}

impl CaseSet {
    /// Writes the policies and a `placet.yaml` into an empty folder; returns the path of the latter.
    ///
    /// # Errors
    /// [`CaseError`] for a tier that a case cannot fill, and for files.
    pub fn write(&self, folder: &Path) -> Result<PathBuf, CaseError> {
        let path = folder.join("placet.yaml");
        let failed = |message: String| CaseError::Format { path: path.display().to_string(), message };
        let mut config = self.config.clone();
        for (tier, files) in &self.policies {
            fs::create_dir(folder.join(tier))?;
            for (name, text) in files {
                fs::write(folder.join(tier).join(name), text)?;
            }
            match tier.as_str() {
                "project" => drop(config.insert("policies".to_owned(), json!(["project"]))),
                "global" => {
                    let global = config.entry("global").or_insert_with(|| json!({})).as_object_mut();
                    let global = global.ok_or_else(|| failed("`global` is no object".to_owned()))?;
                    global.insert("policies".to_owned(), json!(["global"]));
                }
                other => return Err(failed(format!("`{other}` is no tier that a case can fill"))),
            }
        }
        fs::write(&path, Json::Object(config).to_string())?;
        Ok(path)
    }
}

impl Case {
    /// Whether anything at all is expected.
    #[must_use]
    pub fn expects_something(&self) -> bool {
        let Expect { verdict, hard, rule, rules, code, reason, risk_tier, reviewers, trace } = &self.expect;
        let texts = [verdict, rule, code, reason, risk_tier].iter().any(|text| text.is_some());
        let lists = [rules, reviewers, trace].iter().any(|list| list.is_some());
        texts || lists || hard.is_some()
    }

    /// What a decision in its JSON form has that is not as expected.
    #[must_use]
    pub fn differences(&self, decision: &Json) -> Vec<String> {
        let Expect { verdict, hard, rule, rules, code, reason, risk_tier, reviewers, trace } = &self.expect;
        let list = |key: &str, member: Option<&str>| -> Vec<String> {
            let items = decision.get(key).and_then(Json::as_array).into_iter().flatten();
            let texts = items.filter_map(|item| member.map_or(Some(item), |member| item.get(member)));
            texts.filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let named = list("rules", Some("name"));
        let mut found = Vec::new();
        let mut compare = |what: &str, wanted: Option<Json>, got: Json| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
                found.push(format!("{what}: expected {wanted}, got {got}"));
            }
        };
        let texts = [("verdict", verdict), ("code", code), ("reason", reason), ("risk_tier", risk_tier)];
        for (what, wanted) in texts {
            let got = decision.get(what).cloned().unwrap_or_default();
            compare(what, wanted.as_ref().map(|text| json!(text)), got);
        }
        compare("hard", hard.map(Json::from), decision.get("hard").cloned().unwrap_or_default());
        compare("rules", rules.as_ref().map(|names| json!(sorted(names))), json!(sorted(&named)));
        let groups = list("reviewers", None);
        compare("reviewers", reviewers.as_ref().map(|names| json!(sorted(names))), json!(sorted(&groups)));
        compare("trace", trace.as_ref().map(|steps| json!(steps)), json!(list("trace", Some("outcome"))));
        if let Some(wanted) = rule.as_ref().filter(|wanted| !named.contains(wanted)) {
            found.push(format!("rule: expected {wanted}, got {named:?}"));
        }
        found
    }
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}

/// What came of everything: ids of all cases, and the failures among them.
#[derive(Debug, Default)]
pub struct Report {
    seen: BTreeSet<String>,
    failures: BTreeMap<String, String>,
    twice: Vec<String>,
}

impl Report {
    /// Compares one decision.
    pub fn note(&mut self, case: &Case, decision: &Json) {
        let mut differences = case.differences(decision);
        if !case.expects_something() {
            differences.push("it expects nothing".to_owned());
        }
        if !self.seen.insert(case.id.clone()) {
            self.twice.push(case.id.clone());
        }
        if !differences.is_empty() {
            self.failures
                .insert(case.id.clone(), format!("{} (decided: {decision})", differences.join("; ")));
        }
    }

    /// How many cases were compared.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// What is wrong, held against the face's part of `known_failures.yaml`: failures that are not listed, entries
    /// that pass, and ids that two cases have.
    ///
    /// # Errors
    /// [`CaseError`] when the list cannot be read, or does not name the face.
    pub fn problems(&self, face: &str) -> Result<Vec<String>, CaseError> {
        let path = folder().join("known_failures.yaml");
        let failed = |message: String| CaseError::Format { path: path.display().to_string(), message };
        let text = fs::read_to_string(&path)?;
        let known: BTreeMap<String, BTreeSet<String>> =
            yaml_serde::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let known = known.get(face).ok_or_else(|| failed(format!("there is no list for `{face}`")))?;
        let unlisted = self.failures.iter().filter(|(id, _)| !known.contains(*id));
        let stale = known.iter().filter(|id| !self.failures.contains_key(*id));
        let twice = self.twice.iter().map(|id| format!("two cases are called `{id}`"));
        Ok(unlisted
            .map(|(id, why)| format!("{id}\n    {why}"))
            .chain(stale.map(|id| format!("{id}\n    passes or is gone; take it off the list")))
            .chain(twice)
            .collect())
    }
}
