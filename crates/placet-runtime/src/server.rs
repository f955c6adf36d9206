//! The settings of the HTTP service. What serves is another crate.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where the HTTP service listens, and who may ask it.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port; `127.0.0.1:8470` when absent.
    pub listen: Option<SocketAddr>,
    /// Whether an address that other machines reach may be served without TLS.
    pub allow_plain_http: bool,
    /// Who may answer over HTTP, each with a token. Their groups are those under `approvals.groups`.
    pub reviewers: Vec<ReviewerToken>,
    /// The token for `/metrics`; absent means that no token is needed.
    pub metrics: Option<TokenSource>,
    /// How many connections are served at a time; 256 when absent.
    pub max_connections: Option<u32>,
}

/// A reviewer's token. One reviewer may have several, one after the other, so that they can be renewed.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ReviewerToken {
    /// Who.
    pub name: String,
    /// The SHA-256 of the token, in 64 hexadecimal digits.
    #[serde(default)]
    pub token_sha256: Option<String>,
    /// The environment variable that holds the token.
    #[serde(default)]
    pub token_env: Option<String>,
    /// The file that holds the token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Where a token comes from: exactly one of these.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct TokenSource {
    /// The SHA-256 of the token, in 64 hexadecimal digits.
    pub token_sha256: Option<String>,
    /// The environment variable that holds the token.
    pub token_env: Option<String>,
    /// The file that holds the token.
    pub token_file: Option<PathBuf>,
}

impl ReviewerToken {
    /// Where the token comes from.
    #[must_use]
    pub fn source(&self) -> TokenSource {
        TokenSource {
            token_sha256: self.token_sha256.clone(),
            token_env: self.token_env.clone(),
            token_file: self.token_file.clone(),
        }
    }
}

impl Server {
    /// Lets relative paths start at a folder.
    pub(crate) fn start_at(&mut self, folder: &Path) {
        let reviewers = self.reviewers.iter_mut().filter_map(|reviewer| reviewer.token_file.as_mut());
        let metrics = self.metrics.as_mut().and_then(|metrics| metrics.token_file.as_mut());
        for path in reviewers.chain(metrics) {
            *path = folder.join(&*path);
        }
    }
}
