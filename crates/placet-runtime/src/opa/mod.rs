//! Asking an Open Policy Agent server.
//!
//! One question is one `POST /v1/data/<package>` with the complete event document and its normal forms as `input`. Connections are
//! kept open, answers are bounded, redirects are not followed, proxies of the environment are not used, and a
//! circuit breaker spares a server that is down. Whatever goes wrong is a hard deny with the code
//! `opa_connection_failure`; there is no retry, since a policy decision is only as good as it is timely.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod answer;
mod breaker;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use placet_policy::{Request, export};
use placet_types::{Decision, DenyCause, Event};
use serde_json::json;
use ureq::Agent;

use crate::refusal;
use breaker::Breaker;

/// How long one question may take, unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the question for health may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// Where to ask, and how.
#[derive(Clone)]
pub struct OpaOptions {
    /// The server, for instance `http://localhost:8181`.
    pub base_url: String,
    /// The package to query, with slashes or dots: `placet/main`.
    pub package: String,
    /// How long one question may take.
    pub timeout: Duration,
    /// The bearer token that the server asks for.
    pub token: Option<String>,
}

impl Default for OpaOptions {
    fn default() -> Self {
        Self {
            base_url: "http://localhost:8181".to_owned(),
            package: "placet/main".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            token: None,
        }
    }
}

/// Why a client could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpaError {
    /// The URL has another scheme.
    #[error("OPA base_url must use http:// or https:// scheme, got '{scheme}'")]
    Scheme {
        /// The scheme found.
        scheme: String,
    },
    /// The URL has no host.
    #[error("OPA base_url `{url}` names no host; write it as `http://localhost:8181`")]
    Host {
        /// The URL given.
        url: String,
    },
    /// The package is no path.
    #[error("OPA package `{package}` is no package path; write it as `placet/main`")]
    Package {
        /// The package given.
        package: String,
    },
    /// The timeout is zero.
    #[error("the OPA timeout must be more than 0 seconds")]
    Timeout,
}

/// Asks one OPA server. Cheap to share; usable from many threads.
pub struct OpaClient {
    url: String,
    health_url: String,
    options: OpaOptions,
    link: ArcSwap<Link>,
}

/// What must not survive a fork: connections and locks.
struct Link {
    process: u32,
    agent: Agent,
    breaker: Breaker,
}

impl OpaClient {
    /// Makes a client. Nothing is opened before the first question.
    ///
    /// # Errors
    /// [`OpaError`] for a URL, package or timeout that cannot be used.
    pub fn new(options: OpaOptions) -> Result<Self, OpaError> {
        let given = options.base_url.as_str();
        let Some(rest) = given.strip_prefix("http://").or_else(|| given.strip_prefix("https://")) else {
            let scheme = given.split_once(':').map_or("", |(scheme, _)| scheme);
            return Err(OpaError::Scheme { scheme: scheme.to_owned() });
        };
        let base = given.trim_end_matches('/');
        if rest.is_empty() || rest.starts_with(['/', ':', '?', '#']) || rest.contains(char::is_whitespace) {
            return Err(OpaError::Host { url: options.base_url });
        }
        let path = package_path(&options.package)?;
        if options.timeout.is_zero() {
            return Err(OpaError::Timeout);
        }
        Ok(Self {
            url: format!("{base}/v1/data/{path}"),
            health_url: format!("{base}/health"),
            link: ArcSwap::from_pointee(Link::new(&options)),
            options,
        })
    }

    /// The address that is asked.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Decides one event. Blocks until the server answered or the timeout passed.
    #[must_use]
    pub fn decide(&self, event: Event) -> Decision {
        let request = Request::new(event);
        let link = self.link();
        if !link.breaker.may_ask() {
            return self.failed("it failed several times in a row and is left alone for a moment");
        }
        match self.ask(&link, &request) {
            Ok(body) => {
                link.breaker.succeeded();
                answer::read(&body).map_or_else(
                    |what| self.failed(&format!("it answered something unusable: {what}")),
                    |answer| answer.into_decision(self.version()),
                )
            }
            Err(what) => {
                link.breaker.failed();
                self.failed(&what)
            }
        }
    }

    /// Whether the server answers `GET /health` with success.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let request = self.link().agent.get(&self.health_url);
        let config = request.config().timeout_global(Some(HEALTH_TIMEOUT.min(self.options.timeout)));
        config.build().call().is_ok_and(|response| response.status().is_success())
    }

    /// Drops the connections that are kept open.
    pub fn close(&self) {
        self.link.store(Arc::new(Link::new(&self.options)));
    }

    /// The connections of this process. A forked child shares its parent's sockets, so it forgets them.
    fn link(&self) -> Arc<Link> {
        let link = self.link.load_full();
        if link.process == std::process::id() {
            return link;
        }
        let fresh = Arc::new(Link::new(&self.options));
        // Closing would speak on the parent's connections, so the old ones are leaked, once per fork.
        std::mem::forget(self.link.swap(Arc::clone(&fresh)));
        std::mem::forget(link);
        fresh
    }

    fn ask(&self, link: &Link, request: &Request) -> Result<Vec<u8>, String> {
        let question = serde_json::to_vec(&json!({ "input": export::input(request) }))
            .map_err(|error| format!("the event could not be written: {error}"))?;
        let mut post = link.agent.post(&self.url).header("Content-Type", "application/json");
        if let Some(token) = &self.options.token {
            post = post.header("Authorization", &format!("Bearer {token}"));
        }
        let mut response = post.send(&question[..]).map_err(|error| error.to_string())?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("it answered with HTTP status {}", status.as_u16()));
        }
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        body.read_to_vec().map_err(|error| error.to_string())
    }

    fn version(&self) -> Arc<str> {
        format!("opa:{}", self.url).into()
    }

    fn failed(&self, what: &str) -> Decision {
        let url = &self.url;
        let reason = format!("OPA at {url} could not decide (opa_connection_failure): {what}");
        tracing::error!(target: "placet::opa", %url, %what, "the OPA server could not decide; the event is denied");
        refusal::failure(DenyCause::OpaConnectionFailure, reason, self.version())
    }
}

impl Link {
    fn new(options: &OpaOptions) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(options.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A policy must not travel through whatever the environment names.
            .proxy(None)
            .user_agent(concat!("placet/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { process: std::process::id(), agent: config.new_agent(), breaker: Breaker::default() }
    }
}

/// `placet.main` and `data.placet.main` mean `placet/main`.
fn package_path(package: &str) -> Result<String, OpaError> {
    let plain = package.trim_matches('/');
    let plain = plain.strip_prefix("data.").or_else(|| plain.strip_prefix("data/")).unwrap_or(plain);
    let path = plain.replace('.', "/");
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if path.split('/').all(is_word) {
        Ok(path)
    } else {
        Err(OpaError::Package { package: package.to_owned() })
    }
}

#[cfg(test)]
#[path = "opa_tests.rs"]
mod tests;
