//! `regex.globs_match`: whether two patterns of characters, `.`, sets and the flags `*` and `+` have a non-empty text
//! in common.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeSet;

use regorus::Value;

use super::{Added, Failure, Outcome, string};

pub(super) const ADDED: &[Added] = &[Added::new("regex.globs_match", 2, globs_match)];

/// Most pairs of positions in two patterns.
const MAX_PAIRS: usize = 1_000_000;

/// One element of a pattern.
#[derive(Debug, Clone)]
struct Token {
    /// The characters it takes, as ranges; absent for `.`.
    ranges: Option<Vec<(char, char)>>,
    /// Whether it may be left out and repeated.
    starred: bool,
}

impl Token {
    fn meets(&self, other: &Self) -> bool {
        match (&self.ranges, &other.ranges) {
            (Some(left), Some(right)) => left.iter().any(|(low, high)| {
                right.iter().any(|(other_low, other_high)| low <= other_high && other_low <= high)
            }),
            _ => true,
        }
    }
}

fn globs_match(arguments: &[Value]) -> Outcome {
    let left = tokens(string(arguments.first())?)?;
    let right = tokens(string(arguments.get(1))?)?;
    if left.len().saturating_mul(right.len()) > MAX_PAIRS {
        let message =
            format!("patterns of {} and {} elements are too long to compare", left.len(), right.len());
        return Err(Failure::Stop(message));
    }
    Ok(Value::from(intersect(&left, &right)))
}

/// Walks both patterns at once, one common character at a time.
fn intersect(left: &[Token], right: &[Token]) -> bool {
    let mut seen = BTreeSet::new();
    let mut pending = vec![(0, 0, false)];
    while let Some(state) = pending.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (at, other, taken) = state;
        if at == left.len() && other == right.len() && taken {
            return true;
        }
        let (first, second) = (left.get(at), right.get(other));
        if first.is_some_and(|token| token.starred) {
            pending.push((at + 1, other, taken));
        }
        if second.is_some_and(|token| token.starred) {
            pending.push((at, other + 1, taken));
        }
        if let (Some(first), Some(second)) = (first, second)
            && first.meets(second)
        {
            pending.push((at + usize::from(!first.starred), other + usize::from(!second.starred), true));
        }
    }
    false
}

fn tokens(pattern: &str) -> Result<Vec<Token>, Failure> {
    let mut found = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let ranges = match character {
            '.' => None,
            '[' => Some(set(&mut characters)?),
            ']' | '*' | '+' => return Err(Failure::Undefined),
            '\\' => characters
                .next()
                .map(|escaped| vec![(escaped, escaped)])
                .ok_or(Failure::Undefined)
                .map(Some)?,
            other => Some(vec![(other, other)]),
        };
        let token = Token { ranges, starred: false };
        match characters.next_if(|next| matches!(next, '*' | '+')) {
            Some('*') => found.push(Token { starred: true, ..token }),
            Some(_) => {
                found.push(token.clone());
                found.push(Token { starred: true, ..token });
            }
            None => found.push(token),
        }
    }
    Ok(found)
}

/// The rest of a set after its `[`.
fn set(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Vec<(char, char)>, Failure> {
    let mut ranges: Vec<(char, char)> = Vec::new();
    let mut start: Option<char> = None;
    loop {
        match characters.next().ok_or(Failure::Undefined)? {
            ']' => return Ok(ranges),
            '-' => {
                let low = start.take().ok_or(Failure::Undefined)?;
                let high = match characters.next().ok_or(Failure::Undefined)? {
                    ']' | '-' => return Err(Failure::Undefined),
                    '\\' => characters.next().ok_or(Failure::Undefined)?,
                    other => other,
                };
                if high < low {
                    return Err(Failure::Undefined);
                }
                ranges.push((low, high));
            }
            '\\' => start = Some(characters.next().ok_or(Failure::Undefined)?),
            other => start = Some(other),
        }
        ranges.extend(start.map(|single| (single, single)));
    }
}
