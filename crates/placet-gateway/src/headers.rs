//! What every response says to browsers, and what is said of failures.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Told;
use crate::shared::Shared;

/// No response is a page, a part of one, or to be kept.
const SAFE: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Sets them, and says which request could not be served.
pub(crate) async fn add(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    let mut response = next.run(request).await;
    if response.status().is_server_error() {
        let told = response.extensions().get::<Told>().map(|told| told.0.as_str()).unwrap_or_default();
        shared.say(&format!("{what}: {} {told}", response.status().as_u16()));
    }
    for (name, value) in SAFE {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
