//! Who asks: bearer tokens of reviewers, known only by their digests.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc6750>
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use data_encoding::HEXLOWER_PERMISSIVE;
use placet::channels::ApproverId;
use placet::config::TokenSource;
use placet::{Config, files};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::problem::Problem;
use crate::shared::Shared;

/// The fewest characters of a token whose text is read here.
const MIN_TOKEN_CHARS: usize = 20;

/// The tokens of those who may ask. Holds digests only.
#[derive(Clone, Default)]
pub struct Tokens {
    people: Vec<(ApproverId, TokenDigest)>,
    metrics: Option<TokenDigest>,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TokenDigest([u8; 32]);

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokens").field("people", &self.people.len()).finish_non_exhaustive()
    }
}

/// A token that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is not said in exactly one way where the token is.
    #[error(
        "`{place}` says in {given} ways where its token is; give one of `token_sha256`, `token_env` and `token_file`"
    )]
    Source {
        /// The setting.
        place: String,
        /// In how many ways.
        given: usize,
    },
    /// The token cannot be read or used. The text never holds it.
    #[error("the token of `{place}` {problem}")]
    Unusable {
        /// The setting.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Nobody of this name may answer anything.
    #[error("`{place}` is in no group of `approvals.groups` and has no key there; add the name to a group")]
    Unknown {
        /// The setting.
        place: String,
    },
    /// Two people have one token.
    #[error("`{one}` and `{other}` have the same token; give each their own")]
    Shared {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// The reviewers cannot be read.
    #[error("{0}")]
    Config(String),
}

impl Tokens {
    /// The tokens that the settings name; `variable` reads the environment.
    ///
    /// # Errors
    /// [`TokenError`] names the setting.
    pub fn of_config(
        config: &Config,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, TokenError> {
        let reviewers =
            config.approvals.reviewers().map_err(|error| TokenError::Config(error.to_string()))?;
        let mut tokens = Self::default();
        for reviewer in &config.server.reviewers {
            let place = format!("server.reviewers: {}", reviewer.name);
            let name = ApproverId::from(reviewer.name.as_str());
            if !reviewers.knows(&name) {
                return Err(TokenError::Unknown { place });
            }
            let digest = digest_of(&reviewer.source(), &place, variable)?;
            if let Some((other, _)) =
                tokens.people.iter().find(|(other, known)| *known == digest && *other != name)
            {
                return Err(TokenError::Shared { one: other.to_string(), other: reviewer.name.clone() });
            }
            tokens.people.push((name, digest));
        }
        if let Some(source) = &config.server.metrics {
            tokens.metrics = Some(digest_of(source, "server.metrics", variable)?);
        }
        Ok(tokens)
    }

    /// Whether nobody can ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Whose token it is. Compares with every token, each in constant time.
    fn whose(&self, token: &str) -> Option<&ApproverId> {
        let given = TokenDigest::of(token);
        let mut found = None;
        for (name, known) in &self.people {
            if bool::from(known.same(&given)) {
                found = Some(name);
            }
        }
        found
    }

    /// Whether a request may read the metrics.
    pub(crate) fn may_measure(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(known) = &self.metrics else { return Ok(()) };
        match bearer(headers)? {
            Some(token) if bool::from(known.same(&TokenDigest::of(token))) => Ok(()),
            given => Err(unauthorized(given.is_some())),
        }
    }
}

impl TokenDigest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

fn digest_of(
    source: &TokenSource,
    place: &str,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<TokenDigest, TokenError> {
    let unusable = |problem: String| TokenError::Unusable { place: place.to_owned(), problem };
    let text = match (&source.token_sha256, &source.token_env, &source.token_file) {
        (Some(hex), None, None) => {
            let bytes = HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).ok();
            let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            return bytes.map(TokenDigest).ok_or_else(|| {
                let text = "is no SHA-256: write its 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them";
                unusable(text.to_owned())
            });
        }
        (None, Some(name), None) => {
            let value = variable(name).and_then(|value| value.into_string().ok());
            value.ok_or_else(|| unusable(format!("is not in the environment variable `{name}`; set it")))?
        }
        (None, None, Some(path)) => {
            files::read(path).map_err(|error| unusable(error.to_string()))?.text.to_string()
        }
        (hex, env, file) => {
            let given =
                [hex.is_some(), env.is_some(), file.is_some()].into_iter().filter(|given| *given).count();
            return Err(TokenError::Source { place: place.to_owned(), given });
        }
    };
    let token = text.trim();
    let length = token.chars().count();
    if length < MIN_TOKEN_CHARS {
        let problem =
            format!("has {length} characters; it needs {MIN_TOKEN_CHARS} at least, so make a random one");
        return Err(unusable(problem));
    }
    Ok(TokenDigest::of(token))
}

/// The token of a request; `None` when it has none.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return match headers.contains_key(header::AUTHORIZATION) {
            false => Ok(None),
            true => Err(Problem::malformed("the request has several `Authorization` headers; send one")),
        };
    };
    let value = value.to_str().unwrap_or_default();
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(Some(token.map_or("", |(_, token)| token.trim())))
}

fn unauthorized(given: bool) -> Problem {
    let (detail, challenge) = if given {
        ("the bearer token is none of `server.reviewers`; check it, or ask for a new one", INVALID)
    } else {
        ("the request has no token; send `Authorization: Bearer TOKEN`", "Bearer realm=\"placet\"")
    };
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).header(header::WWW_AUTHENTICATE, challenge)
}

const INVALID: &str = "Bearer realm=\"placet\", error=\"invalid_token\"";

/// The reviewer who asks.
#[derive(Debug, Clone)]
pub(crate) struct Reviewer(pub(crate) ApproverId);

impl FromRequestParts<Arc<Shared>> for Reviewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let whose = token.and_then(|token| shared.service.tokens.whose(token));
        whose.cloned().map(Self).ok_or_else(|| unauthorized(token.is_some()))
    }
}
