//! Tests that tell a number of some kind from any other digits.
// SPDX-License-Identifier: MIT OR Apache-2.0

/// A test of what a pattern found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// The check digit of payment cards. Source: ISO/IEC 7812-1 annex B.
    Luhn,
    /// The check digits of international bank account numbers. Source: ISO 13616, ISO 7064 mod 97-10.
    Iban,
    /// Areas, groups and serials that the Social Security Administration never issues.
    Ssn,
    /// Digits, or letters of both cases past the first: no plain word.
    Mixed,
}

impl Check {
    pub(super) fn holds(self, found: &str) -> bool {
        match self {
            Self::Luhn => luhn(found),
            Self::Iban => iban(found),
            Self::Ssn => ssn(found),
            Self::Mixed => mixed(found),
        }
    }
}

fn luhn(found: &str) -> bool {
    let digits: Vec<u32> = found.chars().filter_map(|sign| sign.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let doubled = if place % 2 == 1 { digit * 2 } else { *digit };
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

fn iban(found: &str) -> bool {
    let signs: Vec<char> = found.chars().filter(|sign| !sign.is_whitespace()).collect();
    if !(15..=34).contains(&signs.len()) {
        return false;
    }
    let turned = signs.iter().skip(4).chain(signs.iter().take(4));
    let remainder = turned.filter_map(|sign| sign.to_digit(36)).fold(0_u32, |remainder, digit| {
        let shift = if digit > 9 { 100 } else { 10 };
        (remainder * shift + digit) % 97
    });
    remainder == 1
}

fn ssn(found: &str) -> bool {
    let parts: Vec<&str> = found.split('-').collect();
    let &[area, group, serial] = parts.as_slice() else { return false };
    area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000"
}

fn mixed(found: &str) -> bool {
    let mut rest = found.chars().skip(1);
    found.contains(|sign: char| sign.is_ascii_digit())
        || (rest.any(|sign| sign.is_ascii_uppercase())
            && found.contains(|sign: char| sign.is_ascii_lowercase()))
}
