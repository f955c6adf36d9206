//! What an approver sees: one text with every value escaped, and a digest that binds it.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use placet_types::decision::RiskTier;
use placet_types::ledger::{ApprovalEntry, BudgetUnit};
use placet_types::{Digest, Object, Value};

use super::encoding::{Fields, mac};
use super::subject::{ApprovalSubject, unit_word};

/// What is shown of a call. Arguments are redacted before they come here.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// What is to be done.
    pub action: &'a str,
    /// Which tool is to do it.
    pub tool: Option<&'a str>,
    /// What it is done to.
    pub target: Option<&'a str>,
    /// The resources, resolved.
    pub resources: &'a [&'a str],
    /// The agent that asks.
    pub agent: Option<&'a str>,
    /// Its session.
    pub session: Option<&'a str>,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// How much it can hurt.
    pub risk_tier: RiskTier,
    /// Why a person is asked, in the words of the rule's author.
    pub reason: &'a str,
    /// The escalating rules.
    pub rules: &'a [&'a str],
    /// The digest of the policies that decided.
    pub policy_version: &'a str,
    /// The most that it may cost, by unit.
    pub max_cost: &'a [(BudgetUnit, u64)],
    /// The arguments.
    pub args: &'a Object,
    /// HMAC of the digest of the arguments as they will run.
    pub args_digest: &'a Digest,
}

/// The text that is shown, with what is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displayed {
    /// The text, lines ended by `\n`.
    pub text: String,
    /// The salt that goes with it and dies with it, so that the digest in the log tells nothing about the text.
    pub salt: Digest,
    /// SHA-256 over salt and text.
    pub digest: Digest,
}

/// A call that nobody can judge by looking at it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the argument `{argument}` is passed by reference, so nobody can see what would run; pass a plain value, or let a rule decide"
)]
pub struct NotShowable {
    /// Which argument.
    pub argument: String,
}

/// Makes the text. The salt follows from text and key, so that a repeated call gives the same digest.
///
/// # Errors
/// [`NotShowable`] when an argument is passed by reference: such a call cannot be approved.
pub fn display(shown: &Shown<'_>, tenant_key: &[u8; 32]) -> Result<Displayed, NotShowable> {
    if let Some((name, _)) = shown.args.iter().find(|(_, value)| value.has_by_reference()) {
        return Err(NotShowable { argument: escaped(name) });
    }
    let text = text(shown);
    let mut salted = Fields::of("placet.approval.salt.v1");
    salted.text(&text);
    let salt = mac(tenant_key, salted.as_bytes());
    let digest = digest(&salt, &text);
    Ok(Displayed { text, salt, digest })
}

/// The digest of a text with its salt: what a viewer computes anew before it trusts a text from the database.
#[must_use]
pub fn digest(salt: &Digest, text: &str) -> Digest {
    let mut fields = Fields::of("placet.approval.display.v1");
    fields.digest(salt);
    fields.text(text);
    fields.sha256()
}

/// What a request shows, held against its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The text.
    pub text: String,
    /// Its salt.
    pub salt: Digest,
    /// What the request is bound to.
    pub subject: ApprovalSubject,
}

/// Why nothing that a request shows can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// It is gone.
    #[error("what it shows was erased")]
    Erased,
    /// It is another text.
    #[error("what it shows is not what was asked; run `placet audit verify`")]
    Edited,
    /// It describes another call.
    #[error("the call that it describes is not the one that was asked; run `placet audit verify`")]
    OtherCall,
}

/// Reads what a request shows from the view of the decision that asked.
///
/// # Errors
/// [`NotShown`] unless it is exactly what the request is bound to: then nobody may say yes.
pub fn checked(
    view: Option<&serde_json::Map<String, serde_json::Value>>,
    entry: &ApprovalEntry,
) -> Result<Checked, NotShown> {
    let question = view.and_then(|view| view.get("approval")).ok_or(NotShown::Erased)?;
    let member = |name: &str| question.get(name).and_then(serde_json::Value::as_str);
    let salt = member("salt").and_then(|salt| salt.parse::<Digest>().ok());
    let (Some(text), Some(salt)) = (member("text"), salt) else { return Err(NotShown::Erased) };
    if digest(&salt, text) != entry.displayed {
        return Err(NotShown::Edited);
    }
    let subject = question.get("subject").cloned().map(serde_json::from_value::<ApprovalSubject>);
    match subject {
        Some(Ok(subject)) if subject.is_of(entry) => Ok(Checked { text: text.to_owned(), salt, subject }),
        _ => Err(NotShown::OtherCall),
    }
}

fn text(shown: &Shown<'_>) -> String {
    let mut out = String::from("approval required\n");
    let mut line = |label: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{label:<11} {value}");
    };
    line("tool", &shown.tool.map_or_else(|| "-".to_owned(), escaped));
    line("action", &escaped(shown.action));
    line("target", &shown.target.map_or_else(|| "-".to_owned(), escaped));
    line("resources", &list(shown.resources));
    line("risk", shown.risk_tier.name());
    line("reason", &escaped(shown.reason));
    line("rules", &list(shown.rules));
    line("agent", &shown.agent.map_or_else(|| "-".to_owned(), escaped));
    line("session", &shown.session.map_or_else(|| "-".to_owned(), escaped));
    line("tenant", &shown.tenant.map_or_else(|| "-".to_owned(), escaped));
    line("policy", &escaped(shown.policy_version));
    let costs: Vec<_> =
        shown.max_cost.iter().map(|(unit, amount)| format!("{amount} {}", unit_word(*unit))).collect();
    line("cost", &if costs.is_empty() { "-".to_owned() } else { format!("at most {}", costs.join(", ")) });
    line("arguments", &format!("{}, digest {}", shown.args.len(), shown.args_digest));
    for (name, value) in shown.args.iter() {
        let _ = writeln!(out, "  {} = {}", escaped(name), json(value));
    }
    out
}

fn list(items: &[&str]) -> String {
    if items.is_empty() {
        return "-".to_owned();
    }
    items.iter().map(|item| escaped(item)).collect::<Vec<_>>().join(", ")
}

/// A text on one line that cannot pass for another: as it is when it is a plain word, else a JSON string in which
/// everything invisible is written out.
#[must_use]
pub fn escaped(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:/@+".contains(letter);
    let starts_plain = text.starts_with(|first: char| first.is_ascii_alphanumeric() || "_/@".contains(first));
    if starts_plain && text.chars().all(|letter| plain(letter) || letter == '-') {
        return text.to_owned();
    }
    quoted(text)
}

/// JSON, with a form of its own for what JSON does not have: `<bytes 0x00ff>`, `<date "2026-01-01">`.
fn json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| format!("{}: {}", quoted(name), json(field)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => quoted(text),
        Value::Unknown(leaf) => {
            let content = leaf.content.as_deref().unwrap_or_default();
            let content = match std::str::from_utf8(content) {
                Ok("") => String::new(),
                Ok(text) => format!(" {}", quoted(text)),
                Err(_) => format!(" 0x{}", hex::encode(content)),
            };
            format!("<{}{content}>", escaped(&leaf.type_name))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        // `{:?}` keeps the fraction, so that 1.0 is not shown as 1.
        Value::Float(number) => format!("{number:?}"),
    }
}

fn quoted(text: &str) -> String {
    visible(&serde_json::Value::String(text.to_owned()).to_string())
}

/// Writes out what is invisible, or moves what is shown, as JSON does: `\u202e`.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_invisible(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(letter);
        }
    }
    out
}

/// Whether a character is shown as nothing, or moves what is shown: controls, marks of direction, zero widths, tags,
/// fillers, blanks other than the space, line and paragraph separators.
pub(super) fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || (letter.is_whitespace() && letter != ' ')
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}
