//! Asking a web server. Only the JSON value `true` approves.
//!
//! One request is one HTTP request whose body names the call, with secrets taken out, and the approval that it is
//! about. With a key, the body is signed and the answer must be (`placet_trust::approvals::webhook` says how):
//! with the nonce of this question, so that an answer that was captured answers no other.
//! Redirects are not followed and proxies of the environment are not used: an approval comes from where it was asked.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use placet_trust::approvals::answer::{self, Answer, NoReason};
use placet_trust::approvals::notices::{Owed, channel_name};
use placet_trust::approvals::webhook::{Direction, SIGNATURE_HEADER, WebhookKey};
use placet_types::{ApproverId, Micros};
use serde_json::json;
use ureq::Agent;
use ureq::http::{Method, Request, Response, Uri};

use super::outbox::{Notifier, TELLING};
use super::{Channel, Ending, Question, Reply};

/// How long one answer may take, unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a notice may take: less than others wait for it.
const MAX_NOTICE_TIME: Duration = TELLING.saturating_sub(Duration::from_secs(10));

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 1 << 16;

/// Where to ask, and how.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The address, `http://…` or `https://…`.
    pub url: String,
    /// The method.
    pub method: String,
    /// Further headers, for instance `Authorization`.
    pub headers: Vec<(String, String)>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The key that both sides know. Without one, answers are not signed.
    pub key: Option<WebhookKey>,
    /// As whose answers are recorded that do not say who gave them.
    pub approver: ApproverId,
}

impl WebhookOptions {
    /// Asks this address by `POST`, without a key.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            key: None,
            approver: ApproverId::from("webhook"),
        }
    }
}

/// Why a webhook cannot be used. Neither address nor headers are repeated, since they may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookOptionsError {
    /// The address is none.
    #[error("the webhook's address must begin with http:// or https:// and name a host")]
    Url,
    /// The method or a header is none.
    #[error("the webhook's method or one of its headers is not allowed in HTTP; correct it")]
    Request,
    /// The timeout is zero.
    #[error("the webhook's timeout must be more than 0 seconds")]
    Timeout,
}

/// A channel that asks a web server.
pub struct Webhook {
    options: WebhookOptions,
}

impl Webhook {
    /// A channel from its options. Nothing is opened before the first question.
    ///
    /// # Errors
    /// [`WebhookOptionsError`].
    pub fn new(options: WebhookOptions) -> Result<Self, WebhookOptionsError> {
        let address: Uri = options.url.parse().map_err(|_| WebhookOptionsError::Url)?;
        let scheme = address.scheme_str().unwrap_or_default();
        if !["http", "https"].contains(&scheme) || address.host().is_none_or(str::is_empty) {
            return Err(WebhookOptionsError::Url);
        }
        if options.timeout.is_zero() {
            return Err(WebhookOptionsError::Timeout);
        }
        let webhook = Self { options };
        webhook.request(Vec::new(), None).map_err(|_| WebhookOptionsError::Request)?;
        Ok(webhook)
    }

    fn request(
        &self,
        body: Vec<u8>,
        signature: Option<String>,
    ) -> Result<Request<Vec<u8>>, ureq::http::Error> {
        let WebhookOptions { url, method, headers, .. } = &self.options;
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes())?).uri(url);
        request = request.header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        request.body(body)
    }

    fn answer(&self, question: &Question, ending: &Ending) -> Result<(Answer, Vec<u8>), NoReason> {
        let failed = |problem: String| NoReason::Failed { channel: "webhook", problem };
        let nonce = nonce().map_err(|error| failed(error.to_string()))?;
        let body = serde_json::to_vec(&payload(question, &nonce));
        let body = body.map_err(|error| failed(error.to_string()))?;
        let digest = &question.entry.digest;
        let signature =
            self.options.key.as_ref().map(|key| key.sign(Direction::Request, digest, now(), &body));
        let request = self.request(body, signature).map_err(|error| failed(error.to_string()))?;
        let left = ending.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(NoReason::Timeout);
        }
        let (status, signature, body) = self.send(request, left).map_err(|error| match error {
            ureq::Error::Timeout(_) => NoReason::Timeout,
            other => failed(other.to_string()),
        })?;
        if let (Some(key), 200..=299) = (&self.options.key, status) {
            let header = signature.ok_or_else(|| failed("its answer is not signed".to_owned()))?;
            key.verify(Direction::Answer { nonce: &nonce }, digest, now(), &header, &body)
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok((answer::webhook(status, &body), body))
    }

    fn send(
        &self,
        request: Request<Vec<u8>>,
        left: Duration,
    ) -> Result<(u16, Option<String>, Vec<u8>), ureq::Error> {
        let config = Agent::config_builder()
            .timeout_global(Some(self.options.timeout.min(left)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .user_agent(concat!("placet/", env!("CARGO_PKG_VERSION")))
            .build();
        // An agent for each question: a child that was forked shares no connection with its parent.
        let mut response = config.new_agent().run(request)?;
        let status = response.status().as_u16();
        let signature = header(&response, SIGNATURE_HEADER);
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok((status, signature, body))
    }
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn ask(&self, question: &Question, ending: &Ending) -> Reply {
        match self.answer(question, ending) {
            Err(reason) => Reply::refused(&self.options.approver, reason),
            Ok((answer, body)) => {
                let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let text = |name: &str| said.get(name).and_then(serde_json::Value::as_str);
                let approver = text("approver").filter(|name| !name.trim().is_empty());
                let approver = approver.map_or_else(|| self.options.approver.clone(), ApproverId::from);
                Reply { reason: text("reason").map(str::to_owned), ..Reply::asserted(&approver, answer) }
            }
        }
    }
}

/// Tells a web server; an answer of 200 to 299 says that it took the notice.
pub struct WebhookNotifier {
    webhook: Webhook,
    channel: Arc<str>,
}

impl WebhookNotifier {
    /// A notifier from its options, of which the approver does not count.
    ///
    /// # Errors
    /// [`WebhookOptionsError`].
    pub fn new(options: WebhookOptions) -> Result<Self, WebhookOptionsError> {
        let channel = channel_name("webhook", &options.url);
        let options = WebhookOptions { timeout: options.timeout.min(MAX_NOTICE_TIME), ..options };
        Ok(Self { webhook: Webhook::new(options)?, channel })
    }
}

impl Notifier for WebhookNotifier {
    fn channel(&self) -> &Arc<str> {
        &self.channel
    }

    fn tell(&self, notice: &Owed) -> Result<(), String> {
        let webhook = &self.webhook;
        let body = serde_json::to_vec(&notice_body(notice)).map_err(|error| error.to_string())?;
        let (key, digest) = (webhook.options.key.as_ref(), &notice.approval.entry.digest);
        let signature = key.map(|key| key.sign(Direction::Notice, digest, now(), &body));
        let request = webhook.request(body, signature).map_err(|error| error.to_string())?;
        match webhook.send(request, webhook.options.timeout) {
            Ok((200..=299, ..)) => Ok(()),
            Ok((status, ..)) => Err(format!("it answered with the status {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What a notice says: who is asked what, and no arguments.
#[must_use]
pub fn notice_body(notice: &Owed) -> serde_json::Value {
    let (approval, entry) = (&notice.approval, &notice.approval.entry);
    let time = |at: Micros| Timestamp::from_microsecond(at.0).map(|at| at.to_string()).ok();
    let decided = approval.decided.as_ref();
    json!({
        "event": format!("approval.{}", notice.event),
        "event_id": notice.id(),
        "at": time(notice.at_us()),
        "approval_id": entry.id,
        "digest": entry.digest.to_string(),
        "state": approval.state,
        "action": entry.action,
        "tool": entry.tool,
        "session": entry.session,
        "agent": entry.agent,
        "tenant": entry.tenant,
        "risk_level": entry.risk_tier.name(),
        "rules": entry.rules,
        "reviewers": notice.groups(),
        "quorum": entry.quorums.iter().map(|quorum| quorum.count).max(),
        "due": entry.due_us.and_then(time),
        "expires": time(entry.expires_us),
        "decided_by": decided.map(|decided| &decided.by),
        "ended": approval.closed.as_ref().map(|closed| &closed.code),
    })
}

/// What is sent. The first seven keys are those that receivers of older approval webhooks know.
fn payload(question: &Question, nonce: &str) -> serde_json::Value {
    let entry = &question.entry;
    let expires = Timestamp::from_microsecond(entry.expires_us.0).map(|at| at.to_string()).ok();
    let target: Option<&Arc<str>> = question.target.as_ref().or(entry.tool.as_ref());
    json!({
        "action_type": question.action_type,
        "action_target": target,
        "action_params": question.args,
        "action_description": question.reason,
        "risk_level": entry.risk_tier.name(),
        "approval": "approve",
        "matched_rule": question.rule,
        "approval_id": entry.id,
        "digest": entry.digest.to_string(),
        "nonce": nonce,
        "expires": expires,
        "text": question.text,
    })
}

/// What no other question brings.
fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map(|()| hex::encode(bytes))
}

fn header(response: &Response<ureq::Body>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn now() -> Micros {
    Micros(Timestamp::now().as_microsecond())
}
