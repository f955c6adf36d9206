//! How the answers of channels are read. Only one form of yes counts in each; everything else does not approve.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Value, json};

/// What a channel answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Approve,
    /// No, or nothing that counts as an answer: the request is refused.
    Refuse(NoReason),
    /// A person typed something that is neither yes nor no, and may be asked again.
    Unclear,
}

/// Why an answer does not approve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoReason {
    /// Somebody said no.
    #[error("a person said no")]
    SaidNo,
    /// The answer is something else than `true`.
    #[error("the {channel} answered {answer}; only `true` approves")]
    NotTrue {
        /// Which channel.
        channel: &'static str,
        /// What it answered, by its kind.
        answer: &'static str,
    },
    /// The answer cannot be read.
    #[error(
        "the webhook's answer cannot be read: {problem}; answer `{{\"approved\": true}}` or `{{\"approved\": false}}`"
    )]
    Unreadable {
        /// What is wrong.
        problem: String,
    },
    /// The webhook's server failed.
    #[error("the webhook answered with the status {0}; only 200 to 299 carry an answer")]
    Status(u16),
    /// The channel failed.
    #[error("the {channel} failed: {problem}")]
    Failed {
        /// Which channel.
        channel: &'static str,
        /// What it said.
        problem: String,
    },
    /// There is nobody to answer.
    #[error("the terminal is closed, so nobody can answer; use `placet approvals approve` from another one")]
    Closed,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    Timeout,
}

impl Answer {
    /// Whether it is a yes.
    #[must_use]
    pub fn approves(&self) -> bool {
        matches!(self, Self::Approve)
    }
}

/// Reads the answer of a webhook: a status of 200 to 299 and a JSON object whose `approved` is the JSON value `true`.
#[must_use]
pub fn webhook(status: u16, body: &[u8]) -> Answer {
    if !(200..300).contains(&status) {
        return Answer::Refuse(NoReason::Status(status));
    }
    match json::parse(body) {
        Err(error) => Answer::Refuse(NoReason::Unreadable { problem: error.to_string() }),
        Ok(Value::Object(fields)) => strict("webhook", fields.get("approved")),
        Ok(_) => Answer::Refuse(NoReason::Unreadable { problem: "it is no JSON object".to_owned() }),
    }
}

/// Reads the return value of a callback: only `true` approves.
#[must_use]
pub fn callback(value: &Value) -> Answer {
    strict("callback", Some(value))
}

fn strict(channel: &'static str, value: Option<&Value>) -> Answer {
    let answer = match value {
        Some(Value::Bool(true)) => return Answer::Approve,
        Some(Value::Bool(false)) => return Answer::Refuse(NoReason::SaidNo),
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Int(_) | Value::Float(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
        Some(Value::Unknown(_)) => "something that is not JSON",
    };
    Answer::Refuse(NoReason::NotTrue { channel, answer })
}

/// Reads a line that was typed at a terminal: `y` or `yes` approves, `n` or `no` refuses, in any case and with blanks
/// around. `None` is the end of the input, which refuses.
#[must_use]
pub fn terminal(line: Option<&str>) -> Answer {
    match line.map(|line| line.trim().to_lowercase()).as_deref() {
        Some("y" | "yes") => Answer::Approve,
        Some("n" | "no") => Answer::Refuse(NoReason::SaidNo),
        Some(_) => Answer::Unclear,
        None => Answer::Refuse(NoReason::Closed),
    }
}
