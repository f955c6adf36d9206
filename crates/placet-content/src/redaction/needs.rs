//! What each pattern needs of a text, so that a text that has nothing of it is not searched.
//!
//! A match is as long as its pattern asks for at least, and holds one of some bytes: one of `:` and `=`, say. Both are
//! read off the pattern, so they hold for those of a deployment too.
// SPDX-License-Identifier: MIT OR Apache-2.0

use regex_syntax::hir::{Class, Hir, HirKind};

/// Longer texts are searched: nearly each has some of the bytes.
const LONGEST: usize = 63;

/// The bytes that texts need for a match, by their length.
#[derive(Debug, Clone)]
pub(super) struct Needs {
    /// For each byte, a bit for each length of texts in which it may stand for a match.
    lengths: Box<[u64; 256]>,
    /// A bit for each length at which texts match without any of the bytes.
    always: u64,
}

impl Needs {
    pub(super) fn of<'p>(patterns: impl IntoIterator<Item = &'p Hir>) -> Self {
        let mut needs = Self { lengths: Box::new([0; 256]), always: 0 };
        for pattern in patterns {
            // What has no length matches nothing.
            let Some(shortest) = pattern.properties().minimum_len() else { continue };
            let lengths = u32::try_from(shortest).ok().and_then(|shortest| u64::MAX.checked_shl(shortest));
            let lengths = lengths.unwrap_or_default();
            match Bytes::of(pattern) {
                Some(bytes) => {
                    let needed = needs.lengths.iter_mut().zip(bytes.0).filter(|(_, is)| *is);
                    needed.for_each(|(of, _)| *of |= lengths);
                }
                None => needs.always |= lengths,
            }
        }
        needs
    }

    /// False where no pattern can match.
    pub(super) fn may_match(&self, text: &str) -> bool {
        if text.len() > LONGEST {
            return true;
        }
        let lengths = |byte: u8| self.lengths.get(usize::from(byte)).copied().unwrap_or(u64::MAX);
        let all = text.bytes().fold(self.always, |all, byte| all | lengths(byte));
        (all >> text.len()) & 1 != 0
    }
}

/// A set of bytes.
#[derive(Debug, Clone)]
struct Bytes([bool; 256]);

impl Bytes {
    /// Bytes of which each match has one, such as few texts have; None where a match need not have any.
    fn of(hir: &Hir) -> Option<Self> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => None,
            HirKind::Literal(literal) => {
                literal.0.iter().map(|byte| Self::from_iter([*byte])).min_by_key(Self::cost)
            }
            HirKind::Class(class) => Some(Self::of_class(class)),
            HirKind::Repetition(repetition) if repetition.min == 0 => None,
            HirKind::Repetition(repetition) => Self::of(&repetition.sub),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => parts.iter().filter_map(Self::of).min_by_key(Self::cost),
            HirKind::Alternation(parts) => {
                let parts: Vec<Self> = parts.iter().map(Self::of).collect::<Option<_>>()?;
                Some((0..=u8::MAX).filter(|byte| parts.iter().any(|part| part.has(*byte))).collect())
            }
        }
    }

    fn of_class(class: &Class) -> Self {
        // Past ASCII, any byte that is not of it.
        let of_char = |sign: char| u8::try_from(sign).ok().filter(u8::is_ascii).unwrap_or(u8::MAX);
        let ranges: Vec<(u8, u8)> = match class {
            Class::Unicode(class) => {
                class.iter().map(|range| (of_char(range.start()), of_char(range.end()))).collect()
            }
            Class::Bytes(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
        };
        let holds = |byte: u8| {
            let byte = if byte.is_ascii() { byte..=byte } else { 0x80..=u8::MAX };
            ranges.iter().any(|(first, last)| *first <= *byte.end() && *byte.start() <= *last)
        };
        (0..=u8::MAX).filter(|byte| holds(*byte)).collect()
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).is_some_and(|has| *has)
    }

    /// How much of ordinary texts has one of these bytes.
    fn cost(&self) -> u32 {
        let of = |byte: u8| match byte {
            b' ' => 60,
            b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 40,
            b'a'..=b'z' => 15,
            b'0'..=b'9' => 12,
            b'A'..=b'Z' => 6,
            b'.' | b'-' | b'_' => 10,
            0x80.. => 0,
            _ => 3,
        };
        (0..=u8::MAX).filter(|byte| self.has(*byte)).map(of).sum()
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        let mut set = [false; 256];
        for byte in bytes {
            set.iter_mut().skip(usize::from(byte)).take(1).for_each(|has| *has = true);
        }
        Self(set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Redactor;
    use super::*;

    #[test]
    fn ordinary_names_are_not_searched() {
        let needs = &Redactor::builtin().0.needs;
        for text in ["", "0", "123456", "s-1", "refund", "small_refund", "support_agent", "crm_read"] {
            assert!(!needs.may_match(text), "{text}");
        }
        for text in ["pwd:xyz", "a@b.org", "219-09-9999", "4111111111111111"] {
            assert!(needs.may_match(text), "{text}");
        }
    }

    /// Texts of the pieces that patterns look for.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[ -~]{0,3}",
            4 => prop::sample::select(vec![
                "pwd", "_pwd", "password", "secret is", "Bearer", "basic", " ", ":", "=", "://", "@", "a.org", "-", "tok_",
                "token", "\u{212a}ey", "api_\u{212a}ey", "\u{17f}ecret", "\u{a0}", "\u{2003}", "eyJ", "sk-", "4111", "1111", "+44 20", "(415)",
                "219-09-", "DE89", "cookie", "curl -u ", "?key=", "AKIA", "hf_", "xox", "glpat-", "-----BEGIN ",
            ]).prop_map(str::to_owned),
            1 => "[0-9a-f]{4,32}",
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    /// Patterns of every shape.
    const SHAPES: [&str; 9] = [
        "ORD-\\d{6}",
        "a?b*",
        "(?i)k+[^a-y]",
        "(?:x|y{0,2})z?",
        "\\p{Greek}{2}",
        "(?-u:\\b)[\\w--\\d]{3}\\z",
        "^(?:ab|\u{e9})",
        "[^\\s]{5}",
        "(?:\u{17f}|st){2}",
    ];

    proptest! {
        #[test]
        fn no_match_is_missed(text in text()) {
            let pack = &Redactor::builtin().0;
            prop_assert!(pack.needs.may_match(&text) || !pack.regex.is_match(&text));
        }

        #[test]
        fn no_match_of_any_pattern_is_missed(shape in prop::sample::select(&SHAPES[..]), text in "[a-eikxyz0-9 -]{0,6}[\u{e9}\u{17f}\u{212a}\u{3b1}\u{3b2}stORD-]{0,6}[0-9]{0,7}") {
            let needs = Needs::of([&regex_syntax::parse(shape).unwrap()]);
            let regex = regex_automata::meta::Regex::new(shape).unwrap();
            prop_assert!(needs.may_match(&text) || !regex.is_match(&text));
        }
    }
}
