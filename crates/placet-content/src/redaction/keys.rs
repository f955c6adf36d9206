//! Keys that tell by their name that their value is to be hidden.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::RedactionKind;

/// Terms as lists of words.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    pub(super) hidden: Vec<(Vec<String>, RedactionKind)>,
    pub(super) kept: Vec<Vec<String>>,
}

impl Keys {
    /// Why the value under a key is hidden; `None` when it is not.
    pub(super) fn kind(&self, key: &str) -> Option<RedactionKind> {
        let words = words(key);
        if self.kept.iter().any(|term| holds(&words, term)) {
            return None;
        }
        self.hidden.iter().find(|(term, _)| holds(&words, term)).map(|(_, kind)| *kind)
    }
}

fn holds(words: &[String], term: &[String]) -> bool {
    !term.is_empty() && words.windows(term.len()).any(|window| window == term)
}

/// The words of a name: split at separators and where lower case turns to upper, in lower case. A run of capitals is
/// one word (`APIKey` is `api key`).
pub(super) fn words(name: &str) -> Vec<String> {
    let signs: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut fresh = true;
    for (place, &sign) in signs.iter().enumerate() {
        if !sign.is_alphanumeric() {
            fresh = true;
            continue;
        }
        let before = place.checked_sub(1).and_then(|before| signs.get(before));
        let after = signs.get(place + 1);
        let rises = sign.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase() || before.is_ascii_digit())
                || (before.is_some_and(|before| before.is_uppercase())
                    && after.is_some_and(|after| after.is_lowercase())));
        if fresh || rises {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(sign.to_lowercase());
        }
        fresh = false;
    }
    words
}
