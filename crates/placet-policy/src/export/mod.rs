//! Export of YAML policies to Rego that decides the same on any Open Policy Agent.
//!
//! Every condition becomes a true form and a false form, so that three values survive in a language of two: a
//! permitting rule fires on *true*, a restricting rule unless *false*. The result of the exported files together
//! is `data.placet.main.decision`, beside the flags `allow`, `deny`, `requires_hitl`, `risk_tier` and
//! `deny_reason`. What this module does not do: read Rego, or run it.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod condition;
mod norm;
mod operators;
mod pattern;
mod text;
mod unit;

use placet_types::Tier;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::dialect;
use crate::set::GlobalMode;
use crate::source::{Position, SourceFile};

pub use norm::{input, norm};

/// The first words of every exported file.
pub const HEADER: &str = "# placet-export v1 ";

/// The rules that make one decision of all statements; part of every exported file.
const COMBINER: &str = include_str!("combiner.rego");

/// What stands before each line of the source.
const SOURCE_LINE: &str = "#: ";

/// What the first line of an exported file says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    /// SHA-256 of everything after the first line.
    digest: String,
    /// The path of the source as it was given.
    path: String,
    /// The tier for which it was exported.
    tier: Tier,
    /// Whether the allow of a global tier is needed.
    grant: bool,
}

/// A policy that was found whole in an exported file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The tier for which it was exported.
    pub tier: Tier,
    /// The YAML.
    pub source: SourceFile,
}

/// Exports one YAML file of the project tier as a Rego module.
///
/// # Errors
/// Everything that is wrong with the file, and regular expressions that RE2 cannot express.
pub fn compile(file: &SourceFile) -> Result<String, Diagnostics> {
    module(Tier::Project, file, GlobalMode::Guard)
}

/// Exports YAML files of all tiers; the modules decide together as the set does. Each comes with a file name that
/// is unique among them and has no folder.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn bundle(
    sources: &[(Tier, SourceFile)],
    mode: GlobalMode,
) -> Result<Vec<(String, String)>, Diagnostics> {
    let mut modules: Vec<(String, String)> = Vec::new();
    let mut found = Vec::new();
    for (tier, file) in sources {
        match module(*tier, file, mode) {
            Ok(text) => {
                let name = module_name(*tier, file, &modules);
                modules.push((name, text));
            }
            Err(wrong) => found.extend(wrong.0),
        }
    }
    if found.is_empty() { Ok(modules) } else { Err(Diagnostics(found)) }
}

/// Whether a text is an exported file that nobody edited.
#[must_use]
pub fn is_export(text: &str) -> bool {
    read_header(text).is_some_and(|(header, body)| header.digest == digest(body))
}

/// The YAML that an exported file was made of, only if exporting it again gives the same file byte for byte.
#[must_use]
pub fn source_of(text: &str) -> Option<Exported> {
    let (header, body) = read_header(text)?;
    let lines: Option<Vec<String>> = body
        .lines()
        .filter_map(|line| line.strip_prefix(SOURCE_LINE))
        .map(|line| serde_json::from_str(line).ok())
        .collect();
    let source = SourceFile::new(header.path, lines?.join("\n"));
    let mode = if header.grant { GlobalMode::Grant } else { GlobalMode::Guard };
    let again = module(header.tier, &source, mode).ok()?;
    (again == text).then_some(Exported { tier: header.tier, source })
}

fn read_header(text: &str) -> Option<(Header, &str)> {
    let (first, body) = text.strip_prefix(HEADER)?.split_once('\n')?;
    serde_json::from_str(first).ok().map(|header| (header, body))
}

fn module(tier: Tier, file: &SourceFile, mode: GlobalMode) -> Result<String, Diagnostics> {
    let mut found = Vec::new();
    if !file.path.ends_with(".yaml") && !file.path.ends_with(".yml") {
        let message =
            format!("`{}` is no YAML policy by its name; export a `.yaml` or `.yml` file", file.path);
        found.push(Diagnostic::error("export/not-yaml", file, Position::default(), message));
        return Err(Diagnostics(found));
    }
    let unit = dialect::load(file, &mut found);
    let (Some(unit), false) = (unit, Diagnostics(found.clone()).has_errors()) else {
        return Err(Diagnostics(found));
    };
    let grant = tier == Tier::Global && mode == GlobalMode::Grant;
    let rules = unit::write(tier, grant, file, &unit)?;
    let mut body = String::from(
        "# Made by `placet compile` from the policy below. Change the policy and compile it again; once this file is\n\
         # edited it counts as Rego written by hand.\n#\n",
    );
    for line in file.text.split('\n') {
        body.push_str(SOURCE_LINE);
        body.push_str(&text::encoded(line));
        body.push('\n');
    }
    body.push_str("\npackage placet.main\n\nimport rego.v1\n\n");
    body.push_str(&rules);
    body.push_str(COMBINER);
    let header = Header { digest: digest(&body), path: file.path.to_string(), tier, grant };
    let header = serde_json::to_string(&header).unwrap_or_default();
    Ok(format!("{HEADER}{}\n{body}", text::ascii(&header)))
}

fn digest(body: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body.as_bytes())))
}

/// `core_security.rego`: the tier and the name of the source, numbered where that is taken.
fn module_name(tier: Tier, file: &SourceFile, taken: &[(String, String)]) -> String {
    let name = file.path.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or(name);
    // `_test.rego` files are tests to every tool, and would not be loaded.
    let stem = stem.strip_suffix("_test").unwrap_or(stem);
    let plain = |number: usize| match number {
        0 => format!("{}_{stem}.rego", tier.name()),
        number => format!("{}_{stem}_{number}.rego", tier.name()),
    };
    (0..).map(plain).find(|name| !taken.iter().any(|(other, _)| other == name)).unwrap_or_default()
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod export_tests;
