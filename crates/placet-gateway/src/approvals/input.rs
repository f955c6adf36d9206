//! What requests say: ids, queries and bodies, read strictly.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use placet::channels::ApprovalId;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::problem::Problem;
use crate::shared::Shared;

/// The most bytes of an id.
const MAX_ID_BYTES: usize = 256;

/// The id in the path.
#[derive(Debug)]
pub(super) struct Id(pub(super) ApprovalId);

impl FromRequestParts<Arc<Shared>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, shared).await;
        let Path(id) = path.map_err(|error| Problem::malformed(format!("the id in the path: {error}")))?;
        if id.len() > MAX_ID_BYTES {
            let size = id.len();
            return Err(Problem::malformed(format!(
                "the id in the path has {size} bytes; ids have {MAX_ID_BYTES} at most"
            )));
        }
        Ok(Self(ApprovalId::from(id)))
    }
}

/// The query, with no key that is not known.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, shared).await;
        let Query(asked) = query.map_err(|error| Problem::malformed(format!("the query: {error}")))?;
        Ok(Self(asked))
    }
}

/// The body of a request, as JSON; nothing stands for `{}`.
pub(super) async fn body<T: DeserializeOwned>(shared: &Arc<Shared>, request: Request) -> Result<T, Problem> {
    let limits = &shared.service.limits;
    let kind = is_json(request.headers());
    let reading = Bytes::from_request(request, shared);
    let Ok(read) = tokio::time::timeout(limits.body_time, reading).await else {
        let seconds = limits.body_time.as_secs();
        let detail = format!("the body did not come within {seconds} s; send it again");
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail));
    };
    let bytes = read.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail =
                format!("the body is larger than {} bytes, the limit; shorten it", limits.body_bytes);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
        }
        _ => Problem::malformed("the body did not arrive whole; send it again"),
    })?;
    if bytes.is_empty() {
        return parse(b"{}");
    }
    if !kind {
        let detail = "the body is not said to be JSON; send `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    parse(&bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map(|Object(said)| said).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::unprocessable(format!("the body: {error}")),
        _ => Problem::malformed(format!("the body is no JSON: {error}")),
    })
}

/// What is written as an object. Serde would take a list of the values in their order, too.
#[derive(Debug, Clone)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Reads `30s`, `500ms` or `30`, which are seconds.
pub(super) fn duration(text: &str, most: Duration) -> Result<Duration, Problem> {
    let wrong = || {
        let most = most.as_secs();
        Problem::malformed(format!("`wait={text}` is no time from 0 to {most} s; write `30s` or `500ms`"))
    };
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1_000),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse::<u64>().ok()).flatten();
    let wait = number.and_then(|number| number.checked_mul(unit)).map(Duration::from_millis);
    wait.filter(|wait| *wait <= most).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::duration;

    #[test]
    fn times_are_read_strictly_and_have_a_limit() {
        let most = Duration::from_secs(60);
        let read = |text| duration(text, most).ok();
        assert_eq!(read("30s"), Some(Duration::from_secs(30)));
        assert_eq!(read("60"), Some(most));
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        for wrong in
            ["", "s", "-1", "+1", "1.5s", "1m", "61s", "99999999999999999999", "18446744073709551615s"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
