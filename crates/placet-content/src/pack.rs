//! The pattern pack: what is looked for, as data.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::program::{Program, ShapeSpec};
use crate::scan;
use crate::shape::{Gap, Words, parse};

/// The most problems one error lists.
const MAX_PROBLEMS: usize = 100;

/// How sure, and how bad, a match of a pattern is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// A form that ordinary text takes now and then.
    Low,
    /// A form that ordinary text takes rarely.
    Medium,
    /// A form with hardly any other use.
    High,
}

impl Severity {
    /// The score of a pattern that names none.
    #[must_use]
    pub fn default_score(self) -> f64 {
        match self {
            Self::Low => 0.4,
            Self::Medium => 0.7,
            Self::High => 0.95,
        }
    }
}

/// One pattern of a pack: its label, its weight and the examples that test it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pattern {
    /// The name that findings carry; several patterns may share one.
    pub label: Arc<str>,
    /// How sure and how bad a match is.
    pub severity: Severity,
    /// The same as a number above 0 and up to 1.
    pub score: f64,
    /// Texts in which the label must be found.
    pub must_match: Vec<String>,
    /// Texts in which the label must not be found.
    pub must_not_match: Vec<String>,
}

/// A compiled pattern pack; cheap to clone.
#[derive(Clone)]
pub struct Pack {
    program: Arc<Program>,
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack").field("patterns", &self.patterns().len()).finish_non_exhaustive()
    }
}

impl Pack {
    /// The pack that comes with Placet (`patterns/injection.yaml`), compiled once per process.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the text is part of the crate and a test compiles it")]
    pub fn builtin() -> Self {
        static BUILTIN: LazyLock<Pack> =
            LazyLock::new(|| compile(BUILTIN_YAML).expect("the built-in pack compiles"));
        BUILTIN.clone()
    }

    /// Compiles a pack from YAML (shape in `docs/content.md`) and checks it against its own examples.
    ///
    /// # Errors
    /// [`PackError`] lists every problem found, not only the first.
    pub fn from_yaml(yaml: &str) -> Result<Self, PackError> {
        let pack = compile(yaml)?;
        let problems = pack.failing_examples();
        if problems.is_empty() { Ok(pack) } else { Err(PackError { problems }) }
    }

    /// The patterns, in the order of the file.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.program.patterns
    }

    /// The examples that do not do what they promise; empty for a pack made by [`Pack::from_yaml`].
    #[must_use]
    pub fn failing_examples(&self) -> Vec<PackProblem> {
        let mut problems = Vec::new();
        for pattern in self.patterns() {
            for (examples, wanted) in [(&pattern.must_match, true), (&pattern.must_not_match, false)] {
                for example in examples {
                    if scan::finds_label(&self.program, example, &pattern.label) != wanted {
                        let (label, example) = (pattern.label.to_string(), example.clone());
                        problems.push(if wanted {
                            PackProblem::Missed { label, example }
                        } else {
                            PackProblem::WronglyMatched { label, example }
                        });
                    }
                }
            }
        }
        problems.truncate(MAX_PROBLEMS);
        problems
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

/// The text of the built-in pack, a model for one's own.
pub const BUILTIN_YAML: &str = include_str!("../patterns/injection.yaml");

/// Everything that is wrong with a pack.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the pattern pack has {}: {}", count(.problems.len()), list(.problems))]
pub struct PackError {
    /// The problems, in the order of the file; at least one.
    pub problems: Vec<PackProblem>,
}

/// One thing that is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackProblem {
    /// The text is not YAML, or has other keys than a pack has.
    #[error("the YAML cannot be read: {message}")]
    Yaml {
        /// What the YAML reader says, with line and column.
        message: String,
    },
    /// The version is not one this crate knows.
    #[error("`version` is {found}; this version of Placet reads 1")]
    Version {
        /// The number in the file.
        found: u32,
    },
    /// The pack looks for nothing.
    #[error("`patterns` is empty; add a pattern, or use the built-in pack")]
    Empty,
    /// A word list is defined twice.
    #[error("the word list `{name}` is defined twice; rename or join them")]
    DuplicateWords {
        /// The list.
        name: String,
    },
    /// A word list cannot be read.
    #[error("word list `{name}`: {message}")]
    Words {
        /// The list.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A label is empty or holds other characters than letters, digits, `_`, `-` and `.`.
    #[error("the label `{label}` of pattern {number} is not a name of letters, digits, `_`, `-` and `.`")]
    Label {
        /// The label.
        label: String,
        /// The pattern's place in the file, counted from 1.
        number: usize,
    },
    /// A score is not above 0 and at most 1.
    #[error("pattern `{label}`: the score {score} is not above 0 and at most 1")]
    Score {
        /// The pattern.
        label: String,
        /// The score, as written.
        score: String,
    },
    /// A shape or a context cannot be read.
    #[error("pattern `{label}`, `{shape}`: {message}")]
    Shape {
        /// The pattern.
        label: String,
        /// The shape.
        shape: String,
        /// What is wrong with it.
        message: String,
    },
    /// A pattern lacks shapes or examples.
    #[error("pattern `{label}` has no {what}; give at least one")]
    Missing {
        /// The pattern.
        label: String,
        /// What is missing.
        what: &'static str,
    },
    /// All shapes together are too large to compile.
    #[error("the pack cannot be compiled: {message}; use fewer or shorter shapes")]
    TooLarge {
        /// What the compiler says.
        message: String,
    },
    /// A `must_match` example is not found.
    #[error("pattern `{label}` does not find its own example `{example}`; change the shape or the example")]
    Missed {
        /// The pattern.
        label: String,
        /// The example.
        example: String,
    },
    /// A `must_not_match` example is found.
    #[error("pattern `{label}` fires on `{example}`, which it must leave alone; narrow the shape")]
    WronglyMatched {
        /// The pattern.
        label: String,
        /// The example.
        example: String,
    },
}

fn count(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}

fn list(problems: &[PackProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PackFile {
    version: u32,
    #[serde(default)]
    words: Entries,
    patterns: Vec<PatternFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternFile {
    label: String,
    severity: Severity,
    score: Option<f64>,
    #[serde(default)]
    gap: Gap,
    before: Option<String>,
    after: Option<String>,
    shapes: Vec<String>,
    must_match: Vec<String>,
    #[serde(default)]
    must_not_match: Vec<String>,
}

/// A mapping in the order of the file, duplicates kept so that they can be named.
#[derive(Default)]
struct Entries(Vec<(String, Vec<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> serde::de::Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("word lists by name")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn compile(yaml: &str) -> Result<Pack, PackError> {
    let one = |problem| PackError { problems: vec![problem] };
    let file: PackFile =
        yaml_serde::from_str(yaml).map_err(|error| one(PackProblem::Yaml { message: error.to_string() }))?;
    let mut problems = Vec::new();
    if file.version != 1 {
        problems.push(PackProblem::Version { found: file.version });
    }
    if file.patterns.is_empty() {
        problems.push(PackProblem::Empty);
    }
    let words = read_words(file.words, &mut problems);
    let mut patterns = Vec::new();
    let mut shapes = Vec::new();
    for (index, pattern) in file.patterns.into_iter().enumerate() {
        check_pattern(&pattern, index + 1, &mut problems);
        read_shapes(&pattern, index, &words, &mut shapes, &mut problems);
        patterns.push(Pattern {
            label: pattern.label.into(),
            severity: pattern.severity,
            score: pattern.score.unwrap_or_else(|| pattern.severity.default_score()),
            must_match: pattern.must_match,
            must_not_match: pattern.must_not_match,
        });
    }
    if !problems.is_empty() {
        problems.truncate(MAX_PROBLEMS);
        return Err(PackError { problems });
    }
    match Program::build(patterns, &shapes) {
        Ok(program) => Ok(Pack { program: Arc::new(program) }),
        Err(message) => Err(one(PackProblem::TooLarge { message })),
    }
}

/// Each list may use the lists above it.
fn read_words(entries: Entries, problems: &mut Vec<PackProblem>) -> Words {
    let mut words = Words::new();
    for (name, options) in entries.0 {
        if words.contains_key(&name) {
            problems.push(PackProblem::DuplicateWords { name });
            continue;
        }
        match parse(&options.join("|"), &words) {
            Ok(node) => {
                words.insert(name, node);
            }
            Err(message) => problems.push(PackProblem::Words { name, message }),
        }
    }
    words
}

fn check_pattern(pattern: &PatternFile, number: usize, problems: &mut Vec<PackProblem>) {
    let label = || pattern.label.clone();
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if pattern.label.is_empty() || !pattern.label.chars().all(named) {
        problems.push(PackProblem::Label { label: label(), number });
    }
    if let Some(score) = pattern.score
        && !(score > 0.0 && score <= 1.0)
    {
        problems.push(PackProblem::Score { label: label(), score: score.to_string() });
    }
    if pattern.shapes.is_empty() {
        problems.push(PackProblem::Missing { label: label(), what: "shapes" });
    }
    if pattern.must_match.is_empty() {
        problems.push(PackProblem::Missing { label: label(), what: "must_match examples" });
    }
}

fn read_shapes(
    pattern: &PatternFile,
    index: usize,
    words: &Words,
    shapes: &mut Vec<ShapeSpec>,
    problems: &mut Vec<PackProblem>,
) {
    let mut read = |shape: &str| match parse(shape, words) {
        Ok(node) => Some(node),
        Err(message) => {
            let (label, shape) = (pattern.label.clone(), shape.to_owned());
            problems.push(PackProblem::Shape { label, shape, message });
            None
        }
    };
    let before = pattern.before.as_deref().and_then(&mut read);
    let after = pattern.after.as_deref().and_then(&mut read);
    let cores: Vec<_> = pattern.shapes.iter().filter_map(|text| Some((text, read(text)?))).collect();
    for (text, core) in cores {
        match core.anchors() {
            Ok(anchors) => shapes.push(ShapeSpec {
                pattern: index,
                gap: pattern.gap,
                anchors,
                core,
                before: before.clone(),
                after: after.clone(),
            }),
            Err(message) => problems.push(PackProblem::Shape {
                label: pattern.label.clone(),
                shape: text.clone(),
                message,
            }),
        }
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
