//! Who may answer, as the deployment configures it: never read from the database.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::BASE64;
use ed25519_dalek::VerifyingKey;
use placet_types::decision::ReviewerGroup;
use placet_types::{ApproverId, Digest};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization;

/// Groups with their members, and the keys with which members sign.
///
/// The default knows nobody: then anyone may answer a request that names no group and takes `asserted` votes, and
/// nobody any other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reviewers {
    people: BTreeMap<ApproverId, Person>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Person {
    groups: BTreeSet<ReviewerGroup>,
    keys: BTreeMap<Arc<str>, VerifyingKey>,
}

/// A text that is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key of `{approver}` is no Ed25519 public key: {problem}; write its 32 bytes in base64")]
pub struct ReviewerKeyError {
    /// Whose key.
    pub approver: ApproverId,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Reviewers {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a person known who belongs to no group: an approver of requests that name none.
    pub fn add_person(&mut self, approver: ApproverId) {
        self.people.entry(approver).or_default();
    }

    /// Makes a person a member of a group.
    pub fn add_member(&mut self, group: ReviewerGroup, approver: ApproverId) {
        self.people.entry(approver).or_default().groups.insert(group);
    }

    /// Adds a key with which a person signs; several keys serve rotation. Returns the id of the key.
    ///
    /// # Errors
    /// [`ReviewerKeyError`] when the text is no base64 of a strong Ed25519 public key.
    pub fn add_key(&mut self, approver: ApproverId, public_key: &str) -> Result<Arc<str>, ReviewerKeyError> {
        let wrong = |problem| ReviewerKeyError { approver: approver.clone(), problem };
        let bytes = BASE64.decode(public_key.trim().as_bytes()).map_err(|_| wrong("it is no base64"))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong("it is not 32 bytes long"))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong("it is no point of the curve"))?;
        if key.is_weak() {
            return Err(wrong("it is a weak key"));
        }
        let id = key_id(&key);
        self.people.entry(approver).or_default().keys.insert(id.clone(), key);
        Ok(id)
    }

    /// Whether nobody is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Whether this person is configured.
    #[must_use]
    pub fn knows(&self, approver: &ApproverId) -> bool {
        self.people.contains_key(approver)
    }

    /// The groups of a person, sorted.
    #[must_use]
    pub fn groups_of(&self, approver: &ApproverId) -> Vec<ReviewerGroup> {
        self.people.get(approver).map(|person| person.groups.iter().cloned().collect()).unwrap_or_default()
    }

    /// The members of a group, sorted.
    pub fn members_of<'a>(&'a self, group: &'a ReviewerGroup) -> impl Iterator<Item = &'a ApproverId> {
        self.people.iter().filter(|(_, person)| person.groups.contains(group)).map(|(approver, _)| approver)
    }

    /// The keys of a person: those with this id, or all when none is named.
    pub(super) fn keys_of<'a>(
        &'a self,
        approver: &ApproverId,
        id: Option<&'a Arc<str>>,
    ) -> impl Iterator<Item = &'a VerifyingKey> {
        let keys = self.people.get(approver).map(|person| &person.keys);
        keys.into_iter()
            .flatten()
            .filter(move |(known, _)| id.is_none_or(|id| id == *known))
            .map(|(_, key)| key)
    }
}

/// The id of a key: the first 16 hexadecimal digits of its SHA-256.
pub(super) fn key_id(key: &VerifyingKey) -> Arc<str> {
    let digest = Digest(Sha256::digest(key.as_bytes()).into()).to_string();
    digest.get(..16).unwrap_or(&digest).into()
}

/// A name as people read it, so that `Alice ` and `alice` are one person who counts once.
pub(super) fn folded(name: &str) -> String {
    name.nfkc()
        .filter(|letter| !super::display::is_invisible(*letter))
        .collect::<String>()
        .trim()
        .to_lowercase()
}
