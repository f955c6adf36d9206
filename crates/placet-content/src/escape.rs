//! Reading one unit of text: a character, or the escape, reference or piece of markup that stands for one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::fold::{Kind, fold_char};

/// Backslashes in front of one escape (text that was escaped again and again).
const MAX_BACKSLASHES: usize = 8;
/// `amp;` in front of one reference.
const MAX_NESTED_REFERENCES: usize = 4;
/// White space skipped between a bracket and the word it opens.
const MAX_PADDING: usize = 8;
/// The longest name of a character reference.
const MAX_NAME_BYTES: usize = 32;
/// Inline elements that may stand inside a word or between words without changing what is read.
const INLINE: [&str; 24] = [
    "b", "i", "u", "s", "a", "em", "strong", "span", "font", "wbr", "br", "p", "div", "sub", "sup", "mark",
    "code", "small", "big", "del", "ins", "kbd", "tt", "center",
];

/// The unit at one place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its length in the original, in bytes; at least 1.
    pub(crate) len: usize,
    /// How it takes part in the shadow.
    pub(crate) kind: Kind,
}

/// Reads the unit at `at` and writes its folded form. `None` at the end of the text.
pub(crate) fn read_unit(text: &str, at: usize, out: &mut Vec<u8>) -> Option<Unit> {
    let rest = text.get(at..)?;
    let c = rest.chars().next()?;
    let found = match c {
        '&' => reference(rest),
        '\\' => backslash_escape(rest),
        '%' => percent_escape(rest),
        _ => None,
    };
    if let Some((decoded, len)) = found {
        return Some(Unit { len, kind: fold_char(decoded, out) });
    }
    Some(match c {
        '<' | '[' => bracket(rest, out),
        '*' => Unit { len: 1, kind: Kind::Hidden },
        '@' | '$' if is_inside_word(text, at) => {
            out.push(if c == '@' { b'a' } else { b's' });
            Unit { len: 1, kind: Kind::Shown }
        }
        _ => Unit { len: c.len_utf8(), kind: fold_char(c, out) },
    })
}

fn is_inside_word(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    let letter = |place: Option<usize>| place.and_then(|p| bytes.get(p)).is_some_and(u8::is_ascii_alphabetic);
    letter(at.checked_sub(1)) && letter(Some(at + 1))
}

/// `<`, `</` or `[` together with the white space that pads it; inline elements and empty comments vanish.
fn bracket(rest: &str, out: &mut Vec<u8>) -> Unit {
    let hidden = if rest.starts_with('<') { inline_markup(rest) } else { None };
    if let Some(len) = hidden {
        return Unit { len, kind: Kind::Hidden };
    }
    let mut len = 1;
    out.extend(rest.bytes().next());
    for _ in 0..2 {
        let padded = rest.get(len..).unwrap_or_default();
        let padding = padded.bytes().take(MAX_PADDING).take_while(u8::is_ascii_whitespace).count();
        match padded.as_bytes().get(padding) {
            Some(b'/') if !out.ends_with(b"/") => {
                out.push(b'/');
                len += padding + 1;
            }
            Some(b'|') => return Unit { len: len + padding, kind: Kind::Shown },
            Some(byte) if byte.is_ascii_alphabetic() => {
                return Unit { len: len + padding, kind: Kind::Shown };
            }
            _ => break,
        }
    }
    Unit { len, kind: Kind::Shown }
}

/// The length of an inline element's tag without attributes, or of a comment too short to say anything.
fn inline_markup(rest: &str) -> Option<usize> {
    if let Some(comment) = rest.strip_prefix("<!--") {
        let head = comment.as_bytes().get(..comment.len().min(12))?;
        return head.windows(3).position(|window| window == b"-->").map(|at| at + 7);
    }
    let body = rest.get(1..)?;
    let name_at = usize::from(body.starts_with('/'));
    let name_len = body.get(name_at..)?.bytes().take(7).take_while(u8::is_ascii_alphabetic).count();
    let name = body.get(name_at..name_at + name_len)?;
    if !INLINE.iter().any(|inline| inline.eq_ignore_ascii_case(name)) {
        return None;
    }
    let tail = body.get(name_at + name_len..)?;
    let closing = tail.bytes().take(MAX_PADDING).take_while(|byte| matches!(byte, b' ' | b'/')).count();
    (tail.as_bytes().get(closing) == Some(&b'>')).then_some(1 + name_at + name_len + closing + 1)
}

/// A character reference, also one whose `&` is itself written `&amp;`.
fn reference(rest: &str) -> Option<(char, usize)> {
    let mut at = 1;
    let mut nested = 0;
    while nested < MAX_NESTED_REFERENCES && rest.get(at..).is_some_and(|tail| tail.starts_with("amp;")) {
        at += 4;
        nested += 1;
    }
    let body = rest.get(at..)?;
    let found = if let Some(number) = body.strip_prefix('#') {
        numeric_reference(number).map(|(c, len)| (c, len + 1))
    } else {
        named_reference(body)
    };
    match found {
        Some((c, len)) => Some((c, at + len)),
        None if nested > 0 => Some(('&', at)),
        None => None,
    }
}

fn numeric_reference(number: &str) -> Option<(char, usize)> {
    let (digits, radix, prefix) = match number.strip_prefix(['x', 'X']) {
        Some(hex) => (hex, 16, 1),
        None => (number, 10, 0),
    };
    let len = digits.bytes().take(10).take_while(|byte| char::from(*byte).is_digit(radix)).count();
    let code = u32::from_str_radix(digits.get(..len)?, radix).ok()?;
    let closed = usize::from(digits.as_bytes().get(len) == Some(&b';'));
    Some((char::from_u32(code)?, prefix + len + closed))
}

fn named_reference(body: &str) -> Option<(char, usize)> {
    let len = body.bytes().take(MAX_NAME_BYTES).take_while(u8::is_ascii_alphanumeric).count();
    let name = body.get(..len)?;
    if body.as_bytes().get(len) == Some(&b';') {
        return NAMES
            .get(name)
            .map(|&(c, _)| (c, len + 1))
            .or_else(|| math_letter(name).map(|c| (c, len + 1)));
    }
    (2..=len.min(6)).rev().find_map(|cut| match NAMES.get(name.get(..cut)?) {
        Some(&(c, true)) => Some((c, cut)),
        _ => None,
    })
}

/// `&iscr;`, `&iopf;`, `&ifr;`: one letter in a mathematical face.
fn math_letter(name: &str) -> Option<char> {
    let letter = ["scr", "opf", "fr"].iter().find_map(|face| name.strip_suffix(face))?;
    let mut letters = letter.chars();
    match (letters.next(), letters.next()) {
        (Some(c), None) if c.is_ascii_alphabetic() => Some(c),
        _ => None,
    }
}

static NAMES: LazyLock<HashMap<&'static str, (char, bool)>> = LazyLock::new(|| {
    let rows = include_str!("../data/entities.txt").lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let mut fields = row.split(' ');
        let (name, code) = (fields.next()?, fields.next()?);
        let c = char::from_u32(u32::from_str_radix(code, 16).ok()?)?;
        Some((name, (c, fields.next() == Some("*"))))
    })
    .collect()
});

/// `\u0069`, `\u{69}`, `\x69`, surrogate pairs, each behind one or more backslashes.
fn backslash_escape(rest: &str) -> Option<(char, usize)> {
    let slashes = rest.bytes().take(MAX_BACKSLASHES).take_while(|byte| *byte == b'\\').count();
    let tail = rest.get(slashes..)?;
    let (kind, digits) = (tail.bytes().next()?, tail.get(1..)?);
    match kind {
        b'x' => Some((char::from(u8::try_from(hex(digits, 2)?).ok()?), slashes + 3)),
        b'u' => {
            if let Some(braced) = digits.strip_prefix('{') {
                let len = braced.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
                let closed = braced.as_bytes().get(len) == Some(&b'}');
                let c = char::from_u32(hex(braced, len)?)?;
                return closed.then_some((c, slashes + 3 + len));
            }
            let first = hex(digits, 4)?;
            if let Some(c) = char::from_u32(first) {
                return Some((c, slashes + 5));
            }
            surrogate_pair(first, digits.get(4..)?).map(|(c, len)| (c, slashes + 5 + len))
        }
        _ => None,
    }
}

fn surrogate_pair(first: u32, tail: &str) -> Option<(char, usize)> {
    let slashes = tail.bytes().take(MAX_BACKSLASHES).take_while(|byte| *byte == b'\\').count();
    let digits = tail.get(slashes..)?.strip_prefix('u')?;
    let second = hex(digits, 4)?;
    if slashes == 0 || !(0xD800..0xDC00).contains(&first) || !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    let c = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?;
    Some((c, slashes + 5))
}

/// `%20` and its like, ASCII only.
fn percent_escape(rest: &str) -> Option<(char, usize)> {
    let code = u8::try_from(hex(rest.get(1..)?, 2)?).ok()?;
    code.is_ascii().then_some((char::from(code), 3))
}

fn hex(digits: &str, len: usize) -> Option<u32> {
    let digits = digits.get(..len)?;
    let all_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, usize, Kind) {
        let mut out = Vec::new();
        let unit = read_unit(text, 0, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), unit.len, unit.kind)
    }

    #[test]
    fn escapes_and_references_are_one_unit() {
        let cases = [
            ("&nbsp;x", " ", 6),
            ("&nbspx", " ", 5),
            ("&amp;nbsp;x", " ", 10),
            ("&amp;amp;#x69;", "i", 14),
            ("&#105x", "i", 5),
            ("&#0000105;", "i", 10),
            ("&gscr;", "g", 6),
            ("&amp; x", "&", 5),
            ("& x", "&", 1),
            ("\\u0069x", "i", 6),
            ("\\\\u0069x", "i", 7),
            ("\\u{69}", "i", 6),
            ("\\x69", "i", 4),
            ("\\ud835\\udc22", "i", 12),
            ("\\narrow", "\\", 1),
            ("%20x", " ", 3),
            ("% x", "%", 1),
            ("< system", "<", 2),
            ("</ system", "</", 3),
            ("< / system", "</", 4),
            ("< 3", "<", 1),
            ("[ INST", "[", 2),
        ];
        for (text, shadow, len) in cases {
            assert_eq!(read(text), (shadow.to_owned(), len, Kind::Shown), "{text}");
        }
    }

    #[test]
    fn inline_markup_is_hidden() {
        for (text, len) in
            [("<b>x", 3), ("</ strong>", 1), ("</EM>x", 5), ("<br />x", 6), ("<!-- -->x", 8), ("*x", 1)]
        {
            let want = if text == "</ strong>" { Kind::Shown } else { Kind::Hidden };
            let (_, got, kind) = read(text);
            if want == Kind::Hidden {
                assert_eq!((got, kind), (len, want), "{text}");
            } else {
                assert_eq!(kind, want, "{text}");
            }
        }
        assert_eq!(read("<system>").2, Kind::Shown);
        assert_eq!(read("<b title=x>").2, Kind::Shown);
    }
}
