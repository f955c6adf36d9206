//! The two readings of a text: as it is, and its normal form.
//!
//! A restricting rule matches on either reading, a permitting rule needs both; where the readings disagree the
//! condition is unknown. The normal form is: NFKC, default-ignorable code points removed, trimmed, case-folded,
//! and, when the text is shaped like a path, resolved lexically (separators, `.` and `..`, percent forms, NUL).
//! Source: Unicode Standard Annex #15 (NFKC), Unicode Standard §5.21 (default-ignorable), RFC 3986 §2.1 and §5.2.4.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// The normal form of a text.
#[must_use]
pub fn normal_form(text: &str) -> Cow<'_, str> {
    if is_settled(text, ODD | UPPER) {
        return Cow::Borrowed(text);
    }
    let mut current = normal_once(text);
    for _ in 0..MAX_PASSES {
        let next = normal_once(&current);
        if next == current {
            break;
        }
        current = next;
    }
    Cow::Owned(current)
}

/// One pass can bring forth work for the next: a decoded percent form, a space uncovered by resolving.
const MAX_PASSES: usize = 8;

fn normal_once(text: &str) -> String {
    let folded = fold(&compatible(text));
    let trimmed = trim(&folded);
    if is_path_like(trimmed) { fold(&resolve(&percent_decoded(trimmed))) } else { trimmed.to_owned() }
}

/// The normal form of a glob pattern: as a text, but percent forms stay, since decoding could make a wildcard.
#[must_use]
pub fn normal_pattern(pattern: &str) -> String {
    let folded = fold(&compatible(pattern));
    let trimmed = trim(&folded);
    if is_path_like(trimmed) { resolve(trimmed) } else { trimmed.to_owned() }
}

/// The normal form of a literal that stands for a part of a text (prefix, suffix, substring): spaces at its ends
/// count, and separators alone (`//`, `/../`) stay what they are, since resolving them would match every path.
#[must_use]
pub fn normal_fragment(fragment: &str) -> String {
    let folded = fold(&compatible(fragment));
    if !is_path_like(&folded) {
        return folded;
    }
    let resolved = resolve(&folded);
    if resolved.contains(|c| !matches!(c, '.' | '/')) { resolved } else { folded }
}

/// What a regex sees besides the raw text: the normal form without case folding.
#[must_use]
pub fn unfolded_form(text: &str) -> Cow<'_, str> {
    if is_settled(text, ODD) {
        return Cow::Borrowed(text);
    }
    if text.is_ascii() && !is_path_like(text) {
        return Cow::Borrowed(trim(text));
    }
    Cow::Owned(unfolded_once(text))
}

fn unfolded_once(text: &str) -> String {
    let compatible = compatible(text);
    let trimmed = trim(&compatible);
    if is_path_like(trimmed) { resolve(&percent_decoded(trimmed)) } else { trimmed.to_owned() }
}

/// ASCII that normalising leaves alone; decided without branches, since nearly every name and path is of this kind.
/// `unsettled` are the classes of bytes that mean work.
fn is_settled(text: &str, unsettled: u8) -> bool {
    let seen = text.bytes().fold(0, |seen, byte| seen | CLASSES.get(usize::from(byte)).unwrap_or(&ODD));
    seen & unsettled == 0
        && !text.starts_with([' ', '.'])
        && !text.ends_with(' ')
        && (seen & SEPARATOR == 0
            || text.as_bytes().windows(2).all(|pair| !matches!(pair, [b'/', b'.' | b'/'])))
}

/// Controls, everything beyond ASCII, and what may need decoding.
const ODD: u8 = 1;
/// Upper case.
const UPPER: u8 = 2;
/// What parts the segments of a path.
const SEPARATOR: u8 = 4;

/// The class of each byte.
const CLASSES: [u8; 256] = classes();

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, where an index out of bounds is an error"
)]
const fn classes() -> [u8; 256] {
    let mut classes = [ODD; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' => UPPER,
            b'/' => SEPARATOR,
            b'\\' | b'%' => ODD,
            _ => 0,
        };
        byte += 1;
    }
    classes
}

/// NFKC without default-ignorable code points.
pub(crate) fn compatible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().filter(|c| !is_default_ignorable(*c)).collect();
    match is_nfkc_quick(kept.chars()) {
        IsNormalized::Yes => Cow::Owned(kept),
        // Normalising can bring forth code points that are ignorable themselves.
        _ => Cow::Owned(kept.nfkc().filter(|c| !is_default_ignorable(*c)).collect()),
    }
}

/// Upper then lower case, which folds what lower case alone keeps apart (`ß` and `SS`, `ς` and `σ`).
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let folded: String = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    folded.nfkc().collect()
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || (c.is_control() && c != '\0'))
}

/// Code points that most renderers show as nothing. Source: Default_Ignorable_Code_Point in
/// DerivedCoreProperties.txt of the Unicode Character Database, plus the other format controls of bidi text.
fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether resolving the text as a path can change it.
fn is_path_like(text: &str) -> bool {
    text.contains(['/', '\\', '\0']) || matches!(text, "." | "..") || has_percent_separator(text)
}

/// `%2e`, `%2f`, `%5c` or `%00`, or such a form with its percent sign encoded again.
fn has_percent_separator(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        let rest = rest.as_bytes();
        matches!(
            rest,
            [b'2', b'e' | b'E' | b'f' | b'F' | b'5', ..] | [b'5', b'c' | b'C', ..] | [b'0', b'0', ..]
        )
    })
}

/// Decodes percent forms again and again until none is left; each pass shortens the text.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    let mut current = Cow::Borrowed(text);
    for _ in 0..MAX_PERCENT_LAYERS {
        match decode_once(&current) {
            Some(decoded) => current = Cow::Owned(decoded),
            None => break,
        }
    }
    current
}

/// How many layers of percent encoding are taken off; more than any server takes off.
const MAX_PERCENT_LAYERS: usize = 8;

fn decode_once(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut changed = false;
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = match tail {
            [high, low, ..] if first == b'%' => {
                hex_digit(*high).zip(hex_digit(*low)).map(|(h, l)| h * 16 + l)
            }
            _ => None,
        };
        out.push(decoded.unwrap_or(first));
        changed |= decoded.is_some();
        rest = if decoded.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    let decoded = if changed { String::from_utf8_lossy(&out).into_owned() } else { return None };
    Some(compatible(&decoded).into_owned())
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Resolves `.`, `..` and repeated separators without touching a file system; cuts at NUL, where C would. A
/// web address keeps its scheme and host: only its path is resolved.
fn resolve(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default();
    let text = text.replace('\\', "/");
    match host_end(&text).and_then(|end| text.split_at_checked(end)) {
        Some((host, "")) => host.to_owned(),
        Some((host, path)) => host.to_owned() + &resolve_segments(path),
        None => resolve_segments(&text),
    }
}

/// Where the path of a web address begins; `None` for everything else.
fn host_end(text: &str) -> Option<usize> {
    let host = scheme_end(text)?;
    let rest = text.get(host..)?;
    Some(host + rest.find('/').unwrap_or(rest.len()))
}

/// Where the host of a web address begins: after `https://` and the like, but not after `file://`.
pub(crate) fn scheme_end(text: &str) -> Option<usize> {
    let (scheme, _) = text.split_once("://")?;
    let named = !scheme.is_empty()
        && scheme.len() <= MAX_SCHEME_BYTES
        && !scheme.eq_ignore_ascii_case("file")
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    named.then_some(scheme.len() + "://".len())
}

/// Longest scheme of a web address.
const MAX_SCHEME_BYTES: usize = 16;

fn resolve_segments(text: &str) -> String {
    let rooted = text.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in text.split('/') {
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            _ => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(text.len());
    if rooted {
        out.push('/');
    }
    out.push_str(&kept.join("/"));
    if directory && !kept.is_empty() {
        out.push('/');
    }
    if out.is_empty() {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_name_have_one_normal_form() {
        for name in [
            "delete_x",
            "Delete_x",
            " delete_x",
            "delete_x\n",
            "del\u{200b}ete_x",
            "\u{ff44}elete_x",
            "del\u{ad}ete_x",
        ] {
            assert_eq!(normal_form(name), "delete_x", "{name:?}");
        }
        assert_eq!(normal_form("STRASSE"), normal_form("straße"));
        assert_eq!(normal_form("ΣΊΣΥΦΟΣ"), normal_form("σίσυφος"));
    }

    #[test]
    fn paths_are_resolved_without_a_file_system() {
        for (path, normal) in [
            ("/workspace/../etc/passwd", "/etc/passwd"),
            ("//etc//passwd", "/etc/passwd"),
            ("/./etc/passwd", "/etc/passwd"),
            ("/x/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"),
            ("/x/%252e%252e/etc/passwd", "/etc/passwd"),
            ("%2Fetc%2Fpasswd", "/etc/passwd"),
            ("C:\\Windows\\..\\x", "c:/x"),
            ("/srv/.env\0.txt", "/srv/.env"),
            ("/tmp/", "/tmp/"),
            ("../a", "../a"),
            ("a/../..", "../"),
            ("..", "../"),
            (".env", ".env"),
            ("/srv/.env", "/srv/.env"),
            ("/..", "/"),
            ("/", "/"),
            (".", "."),
            ("https://x.org/a", "https://x.org/a"),
            ("HTTPS://x.org/a/../../b//c", "https://x.org/b/c"),
            ("https://x.org", "https://x.org"),
            ("file:///etc/passwd", "file:/etc/passwd"),
        ] {
            assert_eq!(normal_form(path), normal, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn the_short_cut_gives_what_the_long_way_gives(text in "[a-zA-Z./% ]{0,12}|[ -~\\n\\x00é]{0,6}") {
            if is_settled(&text, ODD | UPPER) {
                prop_assert_eq!(&normal_once(&text), &text);
            }
            prop_assert_eq!(unfolded_form(&text), unfolded_once(&text));
        }

        #[test]
        fn ordinary_names_and_paths_take_the_short_cut(text in "/?[a-z_]{1,9}(/[a-z_][a-z_.]{0,5}){0,3}") {
            prop_assert!(matches!(normal_form(&text), Cow::Borrowed(_)), "{}", text);
            prop_assert!(matches!(unfolded_form(&text), Cow::Borrowed(_)), "{}", text);
        }

        #[test]
        fn normalising_twice_changes_nothing(text in "\\PC*|[a-zA-Z./%2eE\\\\ ]{0,40}") {
            let once = normal_form(&text).into_owned();
            prop_assert_eq!(normal_form(&once), once.as_str());
        }
    }
}
