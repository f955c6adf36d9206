//! Packs of redaction patterns: data, compiled into one automaton.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashSet;

use regex_automata::meta::Regex;
use regex_syntax::hir::Hir;
use serde::Deserialize;

use super::checks::Check;
use super::keys::{Keys, words};
use super::needs::Needs;
use super::recall::PackId;
use super::{RedactionKind, Redactor};

/// The text of the built-in pack, a model for one's own.
pub const REDACTION_YAML: &str = include_str!("../../patterns/redaction.yaml");

/// The most bytes that the compiled patterns may take.
const MAX_PROGRAM_BYTES: usize = 16 << 20;

/// Everything that is wrong with redaction packs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the redaction patterns have {} problems: {}", .problems.len(), .problems.join("; "))]
pub struct RedactionError {
    /// The problems; at least one.
    pub problems: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    keys: KeysDocument,
    #[serde(default)]
    patterns: Vec<PatternDocument>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeysDocument {
    secret: Vec<String>,
    personal: Vec<String>,
    keep: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternDocument {
    label: String,
    kind: RedactionKind,
    pattern: String,
    #[serde(default)]
    check: Option<Check>,
    must_match: Vec<String>,
    #[serde(default)]
    must_not_match: Vec<String>,
}

/// One compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) mark: String,
    pub(super) kind: RedactionKind,
    pub(super) check: Option<Check>,
}

/// All patterns in one automaton.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) id: PackId,
    pub(super) regex: Regex,
    pub(super) needs: Needs,
    pub(super) patterns: Vec<Pattern>,
    pub(super) keys: Keys,
}

impl Pack {
    /// Compiles the built-in pack with further ones, whose patterns come first.
    pub(super) fn compile(packs: &[&str]) -> Result<Self, RedactionError> {
        let mut problems = Vec::new();
        let mut documents = Vec::new();
        for text in packs.iter().copied().chain([REDACTION_YAML]) {
            match yaml_serde::from_str::<Document>(text) {
                Ok(document) if document.version != 1 => {
                    problems.push(format!("`version` is {}; this release reads 1", document.version));
                }
                Ok(document) => documents.push(document),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let keys = keys(&documents);
        let patterns: Vec<PatternDocument> =
            documents.into_iter().flat_map(|document| document.patterns).collect();
        problems.extend(doubtful(&patterns));
        if !problems.is_empty() {
            return Err(RedactionError { problems });
        }
        let pack = build(&patterns, keys)?;
        let failing = failing_examples(&pack, &patterns);
        if failing.is_empty() { Ok(pack) } else { Err(RedactionError { problems: failing }) }
    }
}

fn keys(documents: &[Document]) -> Keys {
    let mut keys = Keys::default();
    for document in documents {
        let lists = [
            (&document.keys.secret, RedactionKind::Secret),
            (&document.keys.personal, RedactionKind::Personal),
        ];
        for (terms, kind) in lists {
            keys.hidden.extend(terms.iter().map(|term| (words(term), kind)));
        }
        keys.kept.extend(document.keys.keep.iter().map(|term| words(term)));
    }
    keys
}

fn doubtful(patterns: &[PatternDocument]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = HashSet::new();
    for PatternDocument { label, pattern, must_match, .. } in patterns {
        if !seen.insert(label.as_str()) {
            problems.push(format!("the label `{label}` is used twice"));
        }
        if label.is_empty()
            || !label.bytes().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'_')
        {
            problems.push(format!("the label `{label}` must be lower-case letters, digits and `_`"));
        }
        if must_match.is_empty() {
            problems.push(format!("`{label}` has no example in `must_match`"));
        }
        match Regex::new(pattern) {
            Err(error) => problems.push(format!("the pattern of `{label}` cannot be read: {error}")),
            Ok(regex) if regex.is_match("") => {
                problems.push(format!("the pattern of `{label}` matches nothing at all"))
            }
            Ok(_) => {}
        }
    }
    problems
}

fn build(documents: &[PatternDocument], keys: Keys) -> Result<Pack, RedactionError> {
    let texts: Vec<&str> = documents.iter().map(|document| document.pattern.as_str()).collect();
    let refused = |error: String| RedactionError { problems: vec![error] };
    let parse = |text: &&str| regex_syntax::parse(text).map_err(|error| refused(error.to_string()));
    let parsed: Vec<Hir> = texts.iter().map(parse).collect::<Result<_, _>>()?;
    let config = Regex::config().nfa_size_limit(Some(MAX_PROGRAM_BYTES));
    let regex =
        Regex::builder().configure(config).build_many(&texts).map_err(|error| refused(error.to_string()))?;
    let patterns = documents.iter().map(|document| Pattern {
        mark: format!("[REDACTED:{}]", document.label),
        kind: document.kind,
        check: document.check,
    });
    let (id, needs, patterns) = (PackId::fresh(), Needs::of(&parsed), patterns.collect());
    Ok(Pack { id, regex, needs, patterns, keys })
}

fn failing_examples(pack: &Pack, documents: &[PatternDocument]) -> Vec<String> {
    let redactor = Redactor(std::sync::Arc::new(Pack {
        id: PackId::fresh(),
        regex: pack.regex.clone(),
        needs: pack.needs.clone(),
        patterns: pack.patterns.clone(),
        keys: pack.keys.clone(),
    }));
    let mut failing = Vec::new();
    for PatternDocument { label, must_match, must_not_match, .. } in documents {
        let mark = format!("[REDACTED:{label}]");
        for (examples, wanted) in [(must_match, true), (must_not_match, false)] {
            for example in examples.iter().filter(|example| redactor.text(example).contains(&mark) != wanted)
            {
                let said = if wanted { "is not found in" } else { "is found in" };
                failing.push(format!("`{label}` {said} its example `{example}`"));
            }
        }
    }
    failing
}
