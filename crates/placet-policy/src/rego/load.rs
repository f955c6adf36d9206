//! Loading the Rego files of one tier and asking them about events.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placet_types::RuleRef;
use regorus::Value;

use super::classify::{Classes, classify, event_type};
use super::decision::{self, is_default};
use super::engine::{ModuleText, Pool, data_reference, explain};
use super::model::{RegoEvent, RegoFile, RegoInput, RegoLimits, RegoOptions, UnitKind};
use super::names::Names;
use super::parse::{EnginePlace, Parsed, parse_file, rule_name};
use super::rewrite::{Fate, rewrite};
use super::voices::{self, AGGREGATE_RULES};
use super::{check, lints};
use crate::{Diagnostic, Effect, Position, Severity, SourceFile, Statement, Voice};

/// The Rego files of one tier, ready to answer. Shared by threads; evaluations do not wait for each other.
pub struct RegoSet {
    files: Vec<RegoFile>,
    units: Vec<Unit>,
    limits: RegoLimits,
}

impl std::fmt::Debug for RegoSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RegoSet").field("files", &self.files).field("limits", &self.limits).finish()
    }
}

struct Unit {
    kind: Kind,
    pool: Arc<Pool>,
    /// The entry rule.
    entry: String,
    /// Names the unit where no rule of it can be named.
    rule: Arc<RuleRef>,
}

enum Kind {
    Aggregate { rules: BTreeMap<String, Arc<RuleRef>> },
    PerEvent { event_type: &'static str, default: Option<decision::Default> },
}

/// How much of a per-event unit an event meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Full,
    /// Only what restricts.
    Restrict,
    None,
}

impl RegoSet {
    /// Loads the files of one tier; files ending in `_test.rego` are left out.
    ///
    /// Everything wrong is reported at once. The set is absent exactly when a finding is an error.
    #[must_use]
    pub fn load(files: &[SourceFile], options: &RegoOptions) -> (Option<Self>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let parsed = parse_all(files, options, &mut found);
        let broken = has_errors(&found);
        let names = Names::new(&parsed);
        let classes = classify(&parsed, &names, &mut found);
        for file in &parsed {
            lints::file(file, options, &mut found);
        }
        let mut loader = Loader { parsed: &parsed, classes: &classes, options, units: Vec::new(), found };
        // With a file missing, its functions would be reported missing too.
        if !broken {
            loader.per_event_units();
            loader.aggregate_units();
            loader.libraries();
        }
        let Loader { units, mut found, .. } = loader;
        found.sort_by(|left, right| {
            (&left.file, left.position, left.code).cmp(&(&right.file, right.position, right.code))
        });
        found.dedup();
        if has_errors(&found) {
            return (None, found);
        }
        let files = parsed.iter().zip(&classes.kinds).map(|(file, kind)| describe(file, *kind)).collect();
        (Some(Self { files, units, limits: options.limits }), found)
    }

    /// What became of each file.
    #[must_use]
    pub fn files(&self) -> &[RegoFile] {
        &self.files
    }

    /// What each unit that the event meets says. `now_ns` is the event's clock, in nanoseconds since the epoch.
    ///
    /// A unit that fails (an error, a conflict, a limit, a result of the wrong shape) says a hard deny that names the
    /// file.
    #[must_use]
    pub fn voices(&self, input: &RegoInput, event: &RegoEvent<'_>, now_ns: i128) -> Vec<Voice> {
        let document = self.admit(input);
        self.units
            .iter()
            .filter_map(|unit| {
                let reach = unit.reach(event);
                (reach != Reach::None).then(|| match &document {
                    Ok(document) => unit.voice(document, event, reach, now_ns, &self.limits),
                    Err(message) => failure(&unit.rule, &EnginePlace::only(message)),
                })
            })
            .collect()
    }

    fn admit<'a>(&self, input: &'a RegoInput) -> Result<&'a Value, String> {
        if input.bytes > self.limits.input_bytes {
            return Err(format!(
                "the event document has {} bytes; the limit is {} bytes",
                input.bytes, self.limits.input_bytes
            ));
        }
        if input.depth > self.limits.input_depth {
            return Err(format!(
                "the event document is {} levels deep; the limit is {} levels",
                input.depth, self.limits.input_depth
            ));
        }
        input.value.as_ref().ok_or_else(|| "the event document is none that Rego can hold".to_owned())
    }
}

fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|finding| finding.severity == Severity::Error)
}

fn describe(file: &Parsed, kind: UnitKind) -> RegoFile {
    RegoFile {
        path: file.file.path.clone(),
        dialect: file.dialect,
        package: Arc::from(file.package_name()),
        kind,
    }
}

/// Parses the files that are not tests; what cannot be read is reported.
pub(super) fn parse_all(
    files: &[SourceFile],
    options: &RegoOptions,
    found: &mut Vec<Diagnostic>,
) -> Vec<Parsed> {
    let mut parsed = Vec::new();
    for file in files.iter().filter(|file| !file.path.ends_with("_test.rego")) {
        parse_into(file, options, &mut parsed, found);
    }
    parsed
}

/// Parses one file, bounded in size.
pub(super) fn parse_into(
    file: &SourceFile,
    options: &RegoOptions,
    parsed: &mut Vec<Parsed>,
    found: &mut Vec<Diagnostic>,
) {
    if file.text.len() > options.limits.file_bytes {
        let message = format!(
            "this file has {} bytes; the limit is {} bytes",
            file.text.len(),
            options.limits.file_bytes
        );
        found.push(Diagnostic::error("rego/too-large", file, Position::default(), message));
        return;
    }
    match parse_file(file) {
        Ok(file) => parsed.push(file),
        Err(finding) => found.push(*finding),
    }
}

struct Loader<'a> {
    parsed: &'a [Parsed],
    classes: &'a Classes,
    options: &'a RegoOptions,
    units: Vec<Unit>,
    found: Vec<Diagnostic>,
}

impl<'a> Loader<'a> {
    fn members(&self, indexes: &BTreeSet<usize>) -> Vec<&'a Parsed> {
        indexes.iter().filter_map(|index| self.parsed.get(*index)).collect()
    }

    fn per_event_units(&mut self) {
        for (index, file) in self.parsed.iter().enumerate() {
            let (Some(UnitKind::PerEvent), Some(event_type)) =
                (self.classes.kinds.get(index), event_type(&file.package))
            else {
                continue;
            };
            let default = decision::read(file, &mut self.found);
            let needs = self.classes.needs.get(index).cloned().unwrap_or_default();
            let mut path = file.package.clone();
            path.push("decision".to_owned());
            let entries = [format!("unit := [x | x := {}]", data_reference(&path))];
            let rule = rule_ref(file, "decision", format!("{}.decision", data_reference(&file.package)));
            if let Some(pool) = self.pool(&self.members(&needs), &entries, Some(file)) {
                let kind = Kind::PerEvent { event_type, default };
                self.units.push(Unit { kind, pool, entry: "unit".to_owned(), rule });
            }
        }
    }

    fn aggregate_units(&mut self) {
        let needed: BTreeSet<usize> = self
            .classes
            .aggregates
            .iter()
            .flat_map(|(_, members)| members)
            .filter_map(|index| self.classes.needs.get(*index))
            .flatten()
            .copied()
            .collect();
        let members = self.members(&needed);
        let mut entries = Vec::new();
        let mut units = Vec::new();
        for (number, (package, files)) in self.classes.aggregates.iter().enumerate() {
            let rules = aggregate_rules(package, &self.members(&files.iter().copied().collect()));
            let fields: Vec<String> = rules
                .keys()
                .map(|name| {
                    let path: Vec<String> = package.iter().chain([name]).cloned().collect();
                    format!("\"{name}\": [x | x := {}]", data_reference(&path))
                })
                .collect();
            let entry = format!("unit_{number}");
            entries.push(format!("{entry} := {{{}}}", fields.join(", ")));
            let file = files.first().and_then(|index| self.parsed.get(*index));
            let rule = Arc::new(RuleRef {
                name: Arc::from(data_reference(package)),
                file: file.map_or_else(|| Arc::from(""), |file| file.file.path.clone()),
                line: file.map_or(0, |file| file.module.package.span.line),
            });
            units.push((Kind::Aggregate { rules }, entry, rule));
        }
        if units.is_empty() {
            return;
        }
        if let Some(pool) = self.pool(&members, &entries, None) {
            let pooled =
                units.into_iter().map(|(kind, entry, rule)| Unit { kind, pool: pool.clone(), entry, rule });
            self.units.extend(pooled);
        }
    }

    /// Libraries that no unit needs are checked all the same.
    fn libraries(&mut self) {
        let mut used = BTreeSet::new();
        for (index, kind) in self.classes.kinds.iter().enumerate() {
            if *kind != UnitKind::Library {
                used.extend(self.classes.needs.get(index).into_iter().flatten().copied());
            }
        }
        let rest: BTreeSet<usize> = (0..self.parsed.len())
            .filter(|index| !used.contains(index))
            .flat_map(|index| self.classes.needs.get(index).into_iter().flatten().copied())
            .collect();
        if !rest.is_empty() {
            let _ = self.pool(&self.members(&rest), &[], None);
        }
    }

    /// Checks a set of modules and compiles it, without the default decision of `unit`.
    fn pool(&mut self, modules: &[&Parsed], entries: &[String], unit: Option<&Parsed>) -> Option<Arc<Pool>> {
        let names = Names::new(modules.iter().copied());
        let before = self.found.len();
        for module in modules {
            check::file(module, &names, self.options, &mut self.found);
        }
        check::recursion(modules, &names, self.options, &mut self.found);
        if self.found.get(before..).is_some_and(has_errors) {
            return None;
        }
        let (texts, used) = module_texts(modules, &names, &|file, rule| match unit
            .is_some_and(|unit| std::ptr::eq(unit, file))
            && is_default(rule)
        {
            true => Fate::LeaveOut,
            false => Fate::Keep,
        });
        match Pool::build(&texts, &used, entries, &self.options.limits) {
            Ok(pool) => Some(Arc::new(pool)),
            Err(text) => {
                self.found.push(compile_error(modules, &text));
                None
            }
        }
    }
}

/// The texts for the interpreter, rewritten, and the added builtins they call.
pub(super) fn module_texts(
    modules: &[&Parsed],
    names: &Names,
    fate: &dyn Fn(&Parsed, &regorus::unstable::Rule) -> Fate,
) -> (Vec<ModuleText>, BTreeSet<String>) {
    let mut used = BTreeSet::new();
    let texts = modules
        .iter()
        .map(|file| {
            let rewritten = rewrite(file, names, &|rule| fate(file, rule));
            used.extend(rewritten.used);
            ModuleText { path: file.file.path.to_string(), text: rewritten.text, dialect: file.dialect }
        })
        .collect();
    (texts, used)
}

/// An error that the interpreter finds when the modules are together, at its place.
pub(super) fn compile_error(modules: &[&Parsed], text: &str) -> Diagnostic {
    let place = EnginePlace::read(text);
    let named = modules.iter().find(|file| Some(&*file.file.path) == place.file.as_deref());
    let (file, at) = match (named, modules.first()) {
        (Some(file), _) => (file.file.clone(), Position::new(place.line, place.column)),
        (None, Some(file)) => (file.file.clone(), Position::default()),
        (None, None) => (SourceFile::new("", ""), Position::default()),
    };
    Diagnostic::error("rego/compile", &file, at, place.message)
}

/// The first rule of each name that an aggregate package is asked for.
fn aggregate_rules(package: &[String], files: &[&Parsed]) -> BTreeMap<String, Arc<RuleRef>> {
    let mut found = BTreeMap::new();
    for name in AGGREGATE_RULES {
        for file in files {
            if file.module.policy.iter().any(|rule| rule_name(rule).is_some_and(|other| other == name)) {
                let path: Vec<String> = package.iter().cloned().chain([name.to_owned()]).collect();
                found.entry(name.to_owned()).or_insert_with(|| rule_ref(file, name, data_reference(&path)));
            }
        }
    }
    found
}

/// The first rule of a name in a file that is no default.
fn rule_ref(file: &Parsed, name: &str, label: String) -> Arc<RuleRef> {
    let named = |rule: &&regorus::unstable::Ref<regorus::unstable::Rule>| {
        rule_name(rule).is_some_and(|other| other == name)
    };
    let is_default = |rule: &regorus::unstable::Rule| matches!(rule, regorus::unstable::Rule::Default { .. });
    let rules = &file.module.policy;
    let first =
        rules.iter().filter(named).find(|rule| !is_default(rule)).or_else(|| rules.iter().find(named));
    Arc::new(RuleRef {
        name: Arc::from(label),
        file: file.file.path.clone(),
        line: first.map_or(0, |rule| rule.span().line),
    })
}

impl Unit {
    fn reach(&self, event: &RegoEvent<'_>) -> Reach {
        match (&self.kind, event.event_type) {
            (Kind::Aggregate { .. }, _) => Reach::Full,
            (Kind::PerEvent { event_type, .. }, Some(actual)) if *event_type == actual => Reach::Full,
            // A spent budget stops whatever comes next, and an event of no stated type is whatever denies it.
            (Kind::PerEvent { event_type: "agent.budget", .. }, Some(_)) => Reach::Restrict,
            (Kind::PerEvent { .. }, None) => Reach::Restrict,
            (Kind::PerEvent { .. }, Some(_)) => Reach::None,
        }
    }

    fn voice(
        &self,
        document: &Value,
        event: &RegoEvent<'_>,
        reach: Reach,
        now_ns: i128,
        limits: &RegoLimits,
    ) -> Voice {
        let value = match self.pool.evaluate(&self.entry, document, now_ns) {
            Ok(value) => value,
            Err(text) => return failure(&self.rule, &explain(&text, limits)),
        };
        let said = match &self.kind {
            Kind::Aggregate { rules } => {
                voices::aggregate(&defined(&value), rules, &self.rule).map(|statements| (statements, None))
            }
            Kind::PerEvent { default, .. } => match first(&value) {
                Some(decision) => {
                    voices::decision(decision, &self.rule).map(|said| (Vec::from_iter(said), None))
                }
                None => Ok((Vec::new(), default.as_ref().and_then(|default| default.cover(event)))),
            },
        };
        match said {
            Ok((mut statements, mut default)) => {
                if reach == Reach::Restrict {
                    statements.retain(|said| said.effect != Effect::Allow);
                    default = None;
                }
                Voice { statements, default }
            }
            Err(message) => failure(&self.rule, &EnginePlace::only(&message)),
        }
    }
}

/// The entry of a per-event unit is a list of no or one value.
fn first(value: &Value) -> Option<&Value> {
    match value {
        Value::Array(items) => items.iter().next(),
        _ => None,
    }
}

/// The entry of an aggregate unit is an object of such lists.
fn defined(value: &Value) -> BTreeMap<String, Value> {
    let Value::Object(fields) = value else { return BTreeMap::new() };
    fields
        .iter()
        .filter_map(|(name, value)| match name {
            Value::String(name) => first(value).map(|value| (name.to_string(), value.clone())),
            _ => None,
        })
        .collect()
}

/// A policy that fails denies, and says which file.
fn failure(rule: &Arc<RuleRef>, place: &EnginePlace) -> Voice {
    let file = place.file.as_deref().filter(|file| !file.starts_with('<')).unwrap_or(&rule.file);
    let line = if place.line > 0 { place.line } else { rule.line };
    let reason = format!("the policy `{file}` failed at line {line}: {}", place.message);
    let statement = Statement {
        effect: Effect::HardDeny,
        reason: Arc::from(reason),
        rule: Arc::new(RuleRef { name: rule.name.clone(), file: Arc::from(file), line }),
        risk_tier: None,
        reviewers: Vec::new(),
        is_failure: true,
    };
    Voice { statements: vec![statement], default: None }
}
