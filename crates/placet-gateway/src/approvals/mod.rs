//! The requests for approval: list, look at, wait for, answer, claim.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod answer;
mod input;
mod list;
mod look;
mod refused;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use placet::channels::Micros;
use placet::trust::approvals::Approval;
use serde_json::Value;

use crate::shared::Shared;

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/approvals", get(list::list))
        .route("/v1/approvals/{id}", get(look::look))
        .route("/v1/approvals/{id}/approve", post(answer::approve))
        .route("/v1/approvals/{id}/deny", post(answer::deny))
        .route("/v1/approvals/{id}/claim", post(answer::claim))
}

/// A request as it stands, with its tag.
fn standing(approval: &Approval, now: Micros) -> Response {
    let (body, tag) = view::tagged(approval, now);
    tagged(&body, &tag)
}

fn tagged(body: &Value, tag: &str) -> Response {
    let mut response = json(body);
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

fn json(body: &Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
