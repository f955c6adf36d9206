//! What all requests share.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use placet::channels::outbox::Notifier;
use placet::telemetry::Metrics;
use placet::trust::Ledger;
use placet::trust::approvals::queue::{Host, Queue};
use tokio::sync::{Semaphore, watch};

use crate::auth::Tokens;
use crate::problem::Problem;
use crate::questions::Questions;

/// What the service works with.
pub struct Service {
    /// The ledger. It knows its reviewers.
    pub ledger: Arc<dyn Ledger>,
    /// The clocks and ids of this process.
    pub host: Arc<dyn Host>,
    /// Who may ask.
    pub tokens: Tokens,
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// Who is told of requests while the service runs.
    pub notifiers: Vec<Arc<dyn Notifier>>,
    /// What it takes at most.
    pub limits: Limits,
    /// Told in words what was answered and what failed. It must not block.
    pub say: Box<dyn Fn(&str) + Send + Sync>,
}

/// What the service takes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Requests that wait for a decision at a time; more are refused.
    pub waiting: usize,
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// How long a client may take for a head, and stay silent between two requests.
    pub head_time: Duration,
    /// How long a client may take for a body.
    pub body_time: Duration,
    /// How long the ledger may take.
    pub ledger_time: Duration,
    /// How long a request may wait for a decision.
    pub wait_time: Duration,
    /// How long requests on their way may take when the service ends.
    pub end_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            waiting: 128,
            body_bytes: 16 * 1024,
            head_bytes: 16 * 1024,
            head_time: Duration::from_secs(15),
            body_time: Duration::from_secs(10),
            ledger_time: Duration::from_secs(30),
            wait_time: Duration::from_secs(60),
            end_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// With so many connections at a time, of which half may wait for a decision.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        let connections = connections.max(2);
        Self { connections, waiting: connections / 2, ..self }
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) questions: Questions,
    pub(crate) news: watch::Receiver<u64>,
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) waiting: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn queue(&self) -> Queue<'_> {
        Queue::new(self.service.ledger.as_ref(), self.service.host.as_ref())
    }

    pub(crate) fn say(&self, text: &str) {
        (self.service.say)(text);
    }

    pub(crate) fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Does what waits for the ledger, on a thread for that. It is not interrupted when it takes too long.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared));
        let limit = self.service.limits.ledger_time;
        match tokio::time::timeout(limit, done).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => {
                let detail = "the service failed on this request; what it asks for may have been recorded, so read it again";
                Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail))
            }
            Err(_) => {
                let detail = format!(
                    "the ledger has not answered for {} s; what the request asks for may be recorded later, so read it again",
                    limit.as_secs()
                );
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_busy", detail);
                Err(problem.header(header::RETRY_AFTER, "1"))
            }
        }
    }
}
