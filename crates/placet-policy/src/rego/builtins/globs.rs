//! `regex.globs_match`: whether two patterns of characters, `.`, sets and the flags `*` and `+` have a text in common.
//!
//! The answers are OPA's, which looks ahead by one element only and so misses some common texts of starred elements.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regorus::Value;

use super::{Added, Failure, Outcome, string};

pub(super) const ADDED: &[Added] = &[Added::new("regex.globs_match", 2, globs_match)];

/// Most elements of one pattern, which bounds the depth of the search.
const MAX_ELEMENTS: usize = 500;

/// Most comparisons of one search.
const MAX_STEPS: usize = 1_000_000;

/// How often an element may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Once,
    Plus,
    Star,
}

/// One element of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    /// The characters it takes, as ranges in order; absent for `.`.
    ranges: Option<Vec<(u32, u32)>>,
    flag: Flag,
}

impl Element {
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
    let left = elements(string(arguments.first())?)?;
    let right = elements(string(arguments.get(1))?)?;
    if left.len().max(right.len()) > MAX_ELEMENTS {
        return Err(Failure::Stop(format!(
            "a pattern of `regex.globs_match` has more than {MAX_ELEMENTS} elements"
        )));
    }
    let Some((left, right)) = trim(&left, &right) else { return Ok(Value::from(false)) };
    Ok(Value::from(Search { steps: 0 }.plain(left, right)?))
}

/// Cuts off what both patterns start and end with, but for one element; nothing when they cannot meet.
fn trim<'a>(left: &'a [Element], right: &'a [Element]) -> Option<(&'a [Element], &'a [Element])> {
    let once = |(left, right): &(&Element, &Element)| left.flag == Flag::Once && right.flag == Flag::Once;
    let prefix: Vec<_> = left.iter().zip(right).take_while(once).collect();
    if !prefix.iter().all(|(left, right)| left.meets(right)) {
        return None;
    }
    let start = prefix.len().saturating_sub(1);
    let (left, right) = (left.get(start..)?, right.get(start..)?);
    let suffix: Vec<_> = left.iter().rev().zip(right.iter().rev()).take_while(once).collect();
    if !suffix.iter().all(|(left, right)| left.meets(right)) {
        return None;
    }
    let end = suffix.len().saturating_sub(1);
    Some((left.get(..left.len() - end)?, right.get(..right.len() - end)?))
}

/// A search that counts its steps.
struct Search {
    steps: usize,
}

impl Search {
    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        match self.steps > MAX_STEPS {
            true => Err(Failure::Stop(format!("`regex.globs_match` took more than {MAX_STEPS} steps"))),
            false => Ok(()),
        }
    }

    /// Elements in step until one of them has a flag.
    fn plain(&mut self, left: &[Element], right: &[Element]) -> Result<bool, Failure> {
        let (mut left, mut right) = (left, right);
        while let (Some((first, left_rest)), Some((second, right_rest))) =
            (left.split_first(), right.split_first())
        {
            self.step()?;
            match (first.flag, second.flag) {
                (Flag::Once, Flag::Once) if !first.meets(second) => return Ok(false),
                (Flag::Once, Flag::Once) => (left, right) = (left_rest, right_rest),
                (Flag::Plus, _) => return self.plus(left, right),
                (Flag::Star, _) => return self.star(left, right),
                (Flag::Once, Flag::Plus) => return self.plus(right, left),
                (Flag::Once, Flag::Star) => return self.star(right, left),
            }
        }
        Ok(left.is_empty() && right.is_empty())
    }

    /// The first element of `plussed` takes one of `other` at least, or a flagged one of `other` takes it.
    fn plus(&mut self, plussed: &[Element], other: &[Element]) -> Result<bool, Failure> {
        let (Some((first, after)), Some((second, rest))) = (plussed.split_first(), other.split_first())
        else {
            return Ok(false);
        };
        if !first.meets(second) {
            return Ok(false);
        }
        Ok(self.star(plussed, rest)? || (second.flag != Flag::Once && self.plain(after, other)?))
    }

    /// The first element of `starred` takes elements of `other` until the one after it meets the next of them.
    fn star(&mut self, starred: &[Element], other: &[Element]) -> Result<bool, Failure> {
        let Some((first, after)) = starred.split_first() else { return Ok(other.is_empty()) };
        let mut rest = other;
        while let Some((element, next)) = rest.split_first() {
            self.step()?;
            if after.first().is_some_and(|following| element.meets(following)) && self.plain(after, rest)? {
                return Ok(true);
            }
            if !element.meets(first) {
                return Ok(false);
            }
            rest = next;
        }
        Ok(after.is_empty())
    }
}

fn elements(pattern: &str) -> Result<Vec<Element>, Failure> {
    let mut found: Vec<Element> = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        let ranges = match character {
            '.' => None,
            '[' => Some(in_order(set(&mut characters)?)),
            ']' | '*' | '+' => return Err(Failure::Undefined),
            '\\' => Some(vec![single(characters.next().ok_or(Failure::Undefined)?)]),
            other => Some(vec![single(other)]),
        };
        let flag = match characters.next_if(|next| matches!(next, '*' | '+')) {
            Some('*') => Flag::Star,
            Some(_) => Flag::Plus,
            None => Flag::Once,
        };
        match found.last_mut() {
            // The same element with a flag twice is one of them: `a*a+` is `a+`.
            Some(last) if last.flag != Flag::Once && flag != Flag::Once && last.ranges == ranges => {
                if flag == Flag::Plus {
                    last.flag = Flag::Plus;
                }
            }
            _ => found.push(Element { ranges, flag }),
        }
    }
    Ok(found)
}

fn single(character: char) -> (u32, u32) {
    (u32::from(character), u32::from(character))
}

/// Ranges sorted and joined, so that equal sets have equal ranges.
fn in_order(ranges: Vec<(char, char)>) -> Vec<(u32, u32)> {
    let mut sorted: Vec<(u32, u32)> =
        ranges.into_iter().map(|(low, high)| (u32::from(low), u32::from(high))).collect();
    sorted.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (low, high) in sorted {
        match joined.last_mut() {
            Some((_, last)) if low <= last.saturating_add(1) => *last = (*last).max(high),
            _ => joined.push((low, high)),
        }
    }
    joined
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
