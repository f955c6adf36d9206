//! Folding one character: compatibility forms, case, accents, look-alikes and digits read as letters.
//!
//! The folded form is only ever searched, never shown. Literals of patterns go through the same fold, so it
//! need not be a spelling anybody would recognise: `l`, `I` and `1` all become `i`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::HashMap;
use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What stands in the shadow for a symbol that separates words (emoji, currency, private use).
pub(crate) const FILLER: u8 = b'~';

/// How a character takes part in the shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It shows: at least one byte was written.
    Shown,
    /// It shows to a model only: a tag character, written as the ASCII character it encodes.
    Tagged,
    /// It is not drawn, or is markup without a text of its own: nothing was written.
    Hidden,
    /// It is a mark on the character before it: nothing was written.
    Mark,
}

/// Writes the folded form of one character.
pub(crate) fn fold_char(c: char, out: &mut Vec<u8>) -> Kind {
    match u32::from(c) {
        code @ 0..0x80 => fold_ascii(code as u8, out),
        code @ 0x80..0x800 => match TABLES.low.get(code as usize) {
            Some(short) => short.write(out),
            None => fold_other(c, out),
        },
        // Unified ideographs have neither case, accents nor compatibility forms.
        0x4E00..=0x9FFF | 0x3400..=0x4DBF => {
            push_char(c, out);
            Kind::Shown
        }
        code @ 0xE0020..=0xE007E => match fold_ascii((code - 0xE0000) as u8, out) {
            Kind::Shown => Kind::Tagged,
            other => other,
        },
        _ => fold_other(c, out),
    }
}

/// The folded form of a pattern's literal.
pub(crate) fn fold_literal(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        fold_char(c, &mut out);
    }
    out
}

/// The folded form of each ASCII byte; 0 for those that are not drawn.
pub(crate) static ASCII: [u8; 128] = ascii_table();

/// True for a byte of a word in the shadow: an ASCII letter or digit, or part of a non-ASCII letter.
pub(crate) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn fold_ascii(byte: u8, out: &mut Vec<u8>) -> Kind {
    match ASCII.get(usize::from(byte)) {
        Some(&folded) if folded != 0 => {
            out.push(folded);
            Kind::Shown
        }
        _ => Kind::Hidden,
    }
}

const fn ascii_table() -> [u8; 128] {
    let mut table = [0u8; 128];
    let mut code = 0u8;
    while code < 128 {
        let folded = match code {
            b'\n' | 0x0B | 0x0C => b'\n',
            b'\t' | b'\r' | b' ' => b' ',
            0..0x20 | 0x7F => 0,
            b'0' => b'o',
            b'1' | b'l' | b'L' => b'i',
            b'3' => b'e',
            b'4' => b'a',
            b'5' => b's',
            b'7' => b't',
            b'8' => b'b',
            other => other.to_ascii_lowercase(),
        };
        #[expect(clippy::indexing_slicing, reason = "constant evaluation; the index is below the length")]
        {
            table[code as usize] = folded;
        }
        code += 1;
    }
    table
}

/// A short folded form, or the kind of a character that writes nothing.
#[derive(Clone, Copy)]
struct Short {
    kind: Kind,
    len: u8,
    bytes: [u8; 12],
}

impl Short {
    fn of(c: char) -> Self {
        let mut out = Vec::new();
        let kind = fold_other(c, &mut out);
        let mut bytes = [0; 12];
        // INVARIANT: no folded form below U+0800 is longer than 12 bytes (tested).
        for (slot, byte) in bytes.iter_mut().zip(&out) {
            *slot = *byte;
        }
        Self { kind, len: out.len().min(12) as u8, bytes }
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) -> Kind {
        match self.len {
            0 => {}
            1 => out.extend(self.bytes.first()),
            len => out.extend(self.bytes.iter().take(usize::from(len))),
        }
        self.kind
    }
}

struct Tables {
    low: Vec<Short>,
}

static TABLES: LazyLock<Tables> =
    LazyLock::new(|| Tables { low: (0..0x800).filter_map(char::from_u32).map(Short::of).collect() });

static CONFUSABLES: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let mut map = HashMap::new();
    for line in include_str!("../data/confusables.txt").lines().filter(|line| !line.starts_with('#')) {
        let Some((latin, others)) = line.split_once(' ') else { continue };
        let Some(&folded) = latin.bytes().next().and_then(|byte| ASCII.get(usize::from(byte))) else {
            continue;
        };
        map.extend(others.chars().map(|c| (c, folded)));
    }
    map
});

fn fold_other(c: char, out: &mut Vec<u8>) -> Kind {
    if is_ignorable(c) {
        return Kind::Hidden;
    }
    if is_accent(c) {
        return Kind::Mark;
    }
    let before = out.len();
    if let Some(folded) = boxed_letter(c).or_else(|| CONFUSABLES.get(&c).copied()) {
        out.push(folded);
    } else {
        decompose_compatible(c, |part| fold_part(part, out));
    }
    // A compatibility form made of marks only (U+FC5E and the like) leaves nothing behind.
    if out.len() == before { Kind::Mark } else { Kind::Shown }
}

fn fold_part(c: char, out: &mut Vec<u8>) {
    if is_ignorable(c) || is_accent(c) {
        return;
    }
    if c.is_ascii() {
        fold_ascii(c as u8, out);
        return;
    }
    if let Some(&folded) = CONFUSABLES.get(&c) {
        out.push(folded);
        return;
    }
    for lower in c.to_lowercase().filter(|lower| !is_accent(*lower)) {
        match lower {
            'ß' => out.extend(b"ss"),
            'æ' => out.extend(b"ae"),
            'œ' => out.extend(b"oe"),
            _ => match CONFUSABLES.get(&lower) {
                Some(&folded) => out.push(folded),
                None if lower.is_ascii() => drop(fold_ascii(lower as u8, out)),
                None if lower.is_alphanumeric() || is_combining_mark(lower) => push_char(lower, out),
                None => out.push(punctuation(lower)),
            },
        }
    }
}

fn push_char(c: char, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
}

/// Non-ASCII punctuation and white space as its ASCII counterpart.
fn punctuation(c: char) -> u8 {
    match c {
        '\u{85}' | '\u{2028}' | '\u{2029}' => b'\n',
        '\u{2800}' => b' ',
        _ if c.is_whitespace() => b' ',
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '⁃' | '−' | '﹘' | '⸺' | '⸻' | '〜' | '・' => {
            b'-'
        }
        '‘' | '’' | '‚' | '‛' | '′' | '‹' | '›' | 'ʹ' => b'\'',
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '「' | '」' | '『' | '』' | '《' | '》' => {
            b'"'
        }
        '。' | '।' | '۔' | '｡' | '‥' => b'.',
        '、' | '،' | '､' => b',',
        '؛' => b';',
        '؟' | '¿' => b'?',
        '¡' => b'!',
        '⁄' | '∕' | '⧸' => b'/',
        '【' | '〔' | '〖' => b'[',
        '】' | '〕' | '〗' => b']',
        '〈' | '⟨' => b'<',
        '〉' | '⟩' => b'>',
        '▁' => b'_',
        '∶' | '꞉' | 'ː' => b':',
        _ => FILLER,
    }
}

/// Letters drawn in a box, a disc or as half of a flag.
fn boxed_letter(c: char) -> Option<u8> {
    let code = u32::from(c);
    let index = match code {
        0x1F150..=0x1F169 => code - 0x1F150,
        0x1F170..=0x1F189 => code - 0x1F170,
        0x1F1E6..=0x1F1FF => code - 0x1F1E6,
        _ => return None,
    };
    ASCII.get(usize::from(b'a') + index as usize).copied()
}

/// Characters that are not drawn (`Default_Ignorable_Code_Point`, controls, annotation marks, replacement).
fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x08 | 0x0E..=0x1F | 0x7F..=0x84 | 0x86..=0x9F
        | 0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F
        | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0
        | 0xFFF0..=0xFFFD | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A
        | 0xE0000..=0xE001F | 0xE007F..=0xE0FFF)
}

/// Marks whose presence does not change which word is read: accents, points, voicing marks.
pub(crate) fn is_accent(c: char) -> bool {
    matches!(u32::from(c),
        0x300..=0x34E | 0x350..=0x36F | 0x483..=0x489 | 0x591..=0x5BD | 0x5BF | 0x5C1..=0x5C2 | 0x5C4..=0x5C7
        | 0x610..=0x61A | 0x640 | 0x64B..=0x65F | 0x670 | 0x6D6..=0x6DC | 0x6DF..=0x6E4 | 0x6E7..=0x6E8
        | 0x6EA..=0x6ED | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0x3099..=0x309A | 0xFE20..=0xFE2F)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(text: &str) -> String {
        String::from_utf8(fold_literal(text)).unwrap()
    }

    #[test]
    fn forms_of_one_word_fold_alike() {
        let plain = fold("ignore");
        for form in [
            "IGNORE",
            "ｉｇｎｏｒｅ",
            "іgnоrе",
            "ìgñörê",
            "ɪɢɴᴏʀᴇ",
            "𝐢𝐠𝐧𝐨𝐫𝐞",
            "ⓘⓖⓝⓞⓡⓔ",
            "🅸🅶🅽🅾🆁🅴",
            "1gn0r3",
            "ɡ",
        ] {
            let want = if form == "ɡ" { "g" } else { plain.as_str() };
            assert_eq!(fold(form), want, "{form}");
        }
    }

    #[test]
    fn no_short_form_is_cut() {
        for c in (0x80..0x800).filter_map(char::from_u32) {
            let mut out = Vec::new();
            fold_other(c, &mut out);
            assert!(out.len() <= 12, "{c:?} folds to {} bytes", out.len());
        }
    }

    #[test]
    fn every_folded_form_is_utf8() {
        for c in (0..=0x10FFFF).filter_map(char::from_u32) {
            let mut out = Vec::new();
            let kind = fold_char(c, &mut out);
            assert!(std::str::from_utf8(&out).is_ok(), "{c:?}");
            assert_eq!(out.is_empty(), matches!(kind, Kind::Hidden | Kind::Mark), "{c:?}");
        }
    }

    #[test]
    fn composed_and_decomposed_text_fold_alike() {
        assert_eq!(fold("é"), fold("e\u{301}"));
        assert_eq!(fold("지시"), fold("\u{110c}\u{1175}\u{1109}\u{1175}"));
        assert_eq!(fold("で"), fold("て\u{3099}"));
    }
}
