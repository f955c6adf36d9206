//! Whether the service lives, whether it can answer, and its metrics.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use placet::telemetry::metrics::CONTENT_TYPE;
use placet::trust::Freshness;

use crate::problem::Problem;
use crate::shared::Shared;

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Ready is who can read the log as it is now, and is not about to end.
async fn ready(State(shared): State<Arc<Shared>>) -> Result<&'static str, Problem> {
    if shared.is_ending() {
        let detail = "the service is ending and takes no more requests; ask another one";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ending", detail));
    }
    let read = shared.blocking(|shared| shared.service.ledger.read(Freshness::Now, &mut |_| {})).await?;
    read?;
    Ok("ready\n")
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Response, Problem> {
    shared.service.tokens.may_measure(&headers)?;
    let text = shared.blocking(|shared| shared.service.metrics.render()).await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
