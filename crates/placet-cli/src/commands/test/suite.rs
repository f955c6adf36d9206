//! YAML suites: events and what is expected of the decision on each.
//!
//! A suite is `{ policies, event, tests: [{ name, event, expect }] }`. A test may give an `action` (`type`, `target`,
//! `params`, `agent_id`) instead of an event, and `expect` may be one word: a verdict, or the approval of a Match rule.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::path::{Path, PathBuf};
use std::time::Instant;

use placet::config::Paths;
use placet::{Decision, Event, Gate, SourceFile};
use serde::Deserialize;
use serde_json::{Value, json};

use super::coverage::Coverage;
use super::{Case, Outcome, TestArgs};
use crate::failure::Failure;
use crate::project::DecideArgs;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    #[serde(default, rename = "version")]
    _version: Option<Value>,
    #[serde(default, rename = "name")]
    _name: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    /// Policies under test, from the suite's folder; without it those of the project.
    #[serde(default)]
    policies: Vec<PathBuf>,
    /// Library modules under test.
    #[serde(default)]
    library: Vec<String>,
    /// What every event has unless its test says otherwise.
    #[serde(default)]
    event: Option<Value>,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    #[serde(default, alias = "description")]
    name: Option<String>,
    #[serde(default)]
    event: Option<Value>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    expect: Option<Expect>,
    #[serde(default)]
    expected_decision: Option<String>,
    #[serde(default)]
    expected_risk_level: Option<String>,
}

/// An event of the Match dialect's vocabulary.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    r#type: String,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    params: Option<Value>,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expect {
    Word(String),
    Fields(Box<Fields>),
}

/// What is expected of a decision; absent keys expect nothing.
#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    verdict: Option<String>,
    approval: Option<String>,
    hard: Option<bool>,
    rule: Option<String>,
    code: Option<String>,
    reason: Option<String>,
    risk_tier: Option<String>,
    risk_level: Option<String>,
    reviewers: Option<Vec<String>>,
}

/// Runs one suite.
pub(super) fn run(
    file: &SourceFile,
    decide: &DecideArgs,
    args: &TestArgs,
    mut coverage: Option<&mut Coverage>,
) -> Result<Vec<Case>, Failure> {
    let invalid = |message: String| Failure::Usage(format!("`{}` is no test suite: {message}", file.path));
    let suite: Suite = yaml_serde::from_str(&file.text).map_err(|error| invalid(error.to_string()))?;
    let gate = gate(&suite, file, decide)?;
    let mut cases = Vec::with_capacity(suite.tests.len());
    for (number, test) in (1..).zip(&suite.tests) {
        let name = test.name.clone().unwrap_or_else(|| format!("test {number}"));
        if args.run.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let event =
            test.event(suite.event.as_ref()).map_err(|error| invalid(format!("`{name}`: {error}")))?;
        let expected = test.expected().map_err(|error| invalid(format!("`{name}`: {error}")))?;
        let started = Instant::now();
        let decision = gate.decide(event);
        let duration = started.elapsed();
        if let Some(coverage) = &mut coverage {
            coverage.meet(&decision);
        }
        let outcome = match expected.differences(&decision) {
            none if none.is_empty() => Outcome::Passed,
            some => Outcome::Failed(format!("{}; the reason was: {}", some.join("; "), decision.reason)),
        };
        let line = line_of(&file.text, &name);
        cases.push(Case { file: file.path.clone(), name, line, outcome, duration, prints: Vec::new() });
    }
    Ok(cases)
}

/// The gate under test: that of the project, or of the policies that the suite names.
fn gate(suite: &Suite, file: &SourceFile, decide: &DecideArgs) -> Result<Gate, Failure> {
    let mut options = decide.options()?;
    if !suite.policies.is_empty() || !suite.library.is_empty() {
        let folder = Path::new(&*file.path).parent().unwrap_or(Path::new(""));
        let paths = suite.policies.iter().map(|path| folder.join(path)).collect();
        options.config.policies = Paths::Many(paths);
        options.config.library.clone_from(&suite.library);
    }
    Ok(Gate::open(options)?)
}

impl Test {
    fn event(&self, shared: Option<&Value>) -> Result<Event, String> {
        let mut document = shared.cloned().unwrap_or_else(|| json!({}));
        let own = match (&self.event, &self.action) {
            (Some(event), None) => event.clone(),
            (None, Some(action)) => action.event(),
            _ => return Err("give either `event` or `action`".to_owned()),
        };
        overlay(&mut document, own);
        let text = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
        Event::from_json(&text).map_err(|error| error.to_string())
    }

    fn expected(&self) -> Result<Fields, String> {
        let mut fields = match &self.expect {
            Some(Expect::Word(word)) => Fields { verdict: Some(word.clone()), ..Fields::default() },
            Some(Expect::Fields(fields)) => (**fields).clone(),
            None => Fields::default(),
        };
        fields.verdict = fields.verdict.or_else(|| self.expected_decision.clone()).or(fields.approval.take());
        fields.risk_level = fields.risk_level.or_else(|| self.expected_risk_level.clone());
        if let Some(word) = &mut fields.verdict {
            *word = verdict(word)?.to_owned();
        }
        if let Some(level) = fields.risk_level.take() {
            fields.risk_tier = Some(risk_tier(&level)?.to_owned());
        }
        if fields.is_empty() {
            return Err("it expects nothing; write for instance `expect: deny`".to_owned());
        }
        Ok(fields)
    }
}

/// A verdict, or the approval that has its meaning.
fn verdict(word: &str) -> Result<&'static str, String> {
    match word {
        "allow" | "auto" => Ok("allow"),
        "deny" | "block" => Ok("deny"),
        "escalate" | "hitl" | "approve" => Ok("escalate"),
        other => Err(format!("`{other}` is no verdict; use allow, deny or escalate")),
    }
}

/// The tier that a risk level of the Match dialect stands for.
fn risk_tier(level: &str) -> Result<&'static str, String> {
    match level.to_ascii_lowercase().as_str() {
        "low" => Ok("INFORMATIONAL"),
        "medium" => Ok("OPERATIONAL"),
        "high" => Ok("TRANSACTIONAL_HIGH"),
        "critical" => Ok("SECURITY_CRITICAL"),
        other => Err(format!("`{other}` is no risk level; use low, medium, high or critical")),
    }
}

impl Action {
    /// The event of a first agent, so its depth is 0.
    fn event(&self) -> Value {
        json!({
            "action": self.r#type,
            "target": self.target,
            "args": self.params,
            "session": { "agent_id": self.agent_id },
            "context": { "delegation_depth": 0 },
        })
    }
}

impl Fields {
    fn is_empty(&self) -> bool {
        let texts = [&self.verdict, &self.rule, &self.code, &self.reason, &self.risk_tier];
        texts.iter().all(|text| text.is_none()) && self.hard.is_none() && self.reviewers.is_none()
    }

    /// What a decision has that is not as expected.
    fn differences(&self, decision: &Decision) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, wanted: Option<String>, got: String| {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != got) {
                found.push(format!("{what}: expected {wanted}, got {got}"));
            }
        };
        let reviewers = |names: Vec<String>| format!("[{}]", names.join(", "));
        compare("verdict", self.verdict.clone(), decision.verdict.word().to_owned());
        compare("hard", self.hard.map(|hard| hard.to_string()), decision.verdict.is_hard().to_string());
        compare("code", self.code.clone(), decision.verdict.code().to_owned());
        compare("risk_tier", self.risk_tier.clone(), decision.risk_tier.name().to_owned());
        compare("reason", self.reason.clone(), decision.reason.to_string());
        let got = decision.reviewers().iter().map(ToString::to_string).collect();
        compare("reviewers", self.reviewers.clone().map(reviewers), reviewers(got));
        let rules: Vec<&str> = decision.rules.iter().map(|rule| &*rule.name).collect();
        if let Some(wanted) = self.rule.as_deref().filter(|wanted| !rules.contains(wanted)) {
            let got = if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
            found.push(format!("rule: expected {wanted}, got {got}"));
        }
        found
    }
}

/// Lays one document over another, object by object.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

/// The line on which a test's name stands; 0 when it has none of its own.
fn line_of(text: &str, name: &str) -> u32 {
    let holds = |line: &str| (line.contains("name:") || line.contains("description:")) && line.contains(name);
    (1..).zip(text.lines()).find(|(_, line)| holds(line)).map_or(0, |(number, _)| number)
}
