//! Errors as RFC 9457 problem details.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc9457>
// SPDX-License-Identifier: MIT OR Apache-2.0

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use placet::trust::LedgerError;
use serde_json::{Map, Value, json};

/// Why a request was not done.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    members: Map<String, Value>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts { status, code, detail: detail.into(), members: Map::new(), header: None }))
    }

    /// A request that cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    /// A body that can be read and says nothing that can be done.
    pub(crate) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail)
    }

    pub(crate) fn unknown(id: &str) -> Self {
        let detail = format!("there is no approval request `{id}`; `GET /v1/approvals?state=all` lists them");
        Self::new(StatusCode::NOT_FOUND, "unknown_request", detail)
    }

    /// With a further member.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// With a header.
    pub(crate) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let code = match &error {
            LedgerError::Tampered { .. } => "state_tampered",
            LedgerError::Busy { .. } => "ledger_busy",
            _ => "audit_unavailable",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string()).header(RETRY_AFTER, "1")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, code, detail, members, header } = *self.0;
        let mut body = json!({
            "type": format!("urn:placet:problem:{code}"),
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        if let Some(map) = body.as_object_mut() {
            map.extend(members);
        }
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(CONTENT_TYPE, kind)], body.to_string()).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        // Read by the layer that says what failed.
        response.extensions_mut().insert(Told(detail));
        response
    }
}

/// What a problem said, for the log.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) String);
