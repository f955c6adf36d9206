//! The shadow: a folded copy of a text that is searched in its place, with the way back to the original.
//!
//! What is not drawn vanishes from the shadow and leaves a *break*: a place where a word may begin or end. So
//! one reading serves both an invisible character inside a word and one between words.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ops::Range;

use crate::escape::read_unit;
use crate::fold::{ASCII, FILLER, Kind, is_accent, is_word_byte};

/// Letters standing alone before they are read as one spaced-out word.
const MIN_SPACED_LETTERS: usize = 4;
/// The widest gap between two words of spaced-out letters.
const MAX_SPACED_GAP: usize = 3;
/// White space and fillers kept of a longer run.
const MAX_BLANKS: usize = 24;

/// A folded copy of a text.
pub(crate) struct Shadow<'t> {
    original: &'t str,
    text: Vec<u8>,
    /// For each byte of `text`, where the unit it came from begins in the original.
    origin: Vec<u32>,
    /// Places in `text` where something was left out, ascending.
    breaks: Vec<u32>,
}

impl<'t> Shadow<'t> {
    /// Folds a text of less than 4 GiB. `continued` says that the text goes on before its first byte.
    pub(crate) fn new(original: &'t str, continued: bool) -> Self {
        let capacity = original.len() + 16;
        let mut shadow = Self {
            original,
            text: Vec::with_capacity(capacity),
            origin: Vec::with_capacity(capacity),
            breaks: Vec::new(),
        };
        if continued {
            // Stands in the way of patterns that ask for the start of the text.
            shadow.text.push(FILLER);
            shadow.origin.push(0);
        }
        shadow.fold_all();
        shadow.squeeze();
        shadow
    }

    /// The bytes to search.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text
    }

    /// The part of the original that a part of the shadow came from.
    pub(crate) fn to_original(&self, span: Range<usize>) -> Option<Range<usize>> {
        let start = *self.origin.get(span.start)? as usize;
        let last = *self.origin.get(span.end.checked_sub(1)?)? as usize;
        let unit = read_unit(self.original, last, &mut Vec::new())?;
        let tail = self.original.get(last + unit.len..)?;
        // Marks belong to the letter before them; left alone they would sit on the replacement.
        let marks: usize = tail.chars().take_while(|c| is_accent(*c)).map(char::len_utf8).sum();
        Some(start..last + unit.len + marks)
    }

    /// True when a word may begin or end at this place.
    pub(crate) fn is_boundary(&self, at: usize) -> bool {
        let Some((before, after)) = self.neighbours(at) else { return true };
        !(is_lettered(before) && is_lettered(after)) || self.is_break(at) || self.follows_escape(at)
    }

    fn is_break(&self, at: usize) -> bool {
        u32::try_from(at).is_ok_and(|at| self.breaks.binary_search(&at).is_ok())
    }

    /// True behind `\n`, `\r` or `\t` spelled out with a backslash, as in JSON text.
    fn follows_escape(&self, at: usize) -> bool {
        matches!(
            at.checked_sub(2).and_then(|start| self.text.get(start..at)),
            Some([b'\\', b'n' | b'r' | b't'])
        )
    }

    fn neighbours(&self, at: usize) -> Option<(char, char)> {
        let before = self.text.get(at.saturating_sub(4)..at)?;
        let lead = before.iter().rposition(|byte| byte & 0xC0 != 0x80)?;
        let before = std::str::from_utf8(before.get(lead..)?).ok()?.chars().next()?;
        let after = self.text.get(at..)?;
        let len = 1 + after.iter().skip(1).take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
        let after = std::str::from_utf8(after.get(..len)?).ok()?.chars().next()?;
        Some((before, after))
    }

    fn fold_all(&mut self) {
        let bytes = self.original.as_bytes();
        let mut tagged = false;
        let mut at = 0;
        while at < bytes.len() {
            let plain = self.fold_plain(at, &mut tagged);
            at += plain;
            // Text of other scripts comes in runs; stay here as long as it lasts.
            while bytes.get(at).is_some_and(|byte| !is_plain(*byte)) {
                let Some(len) = self.fold_unit(at, &mut tagged) else { return };
                at += len;
            }
        }
    }

    fn fold_unit(&mut self, at: usize, tagged: &mut bool) -> Option<usize> {
        let written = self.text.len();
        let unit = read_unit(self.original, at, &mut self.text)?;
        match unit.kind {
            Kind::Shown => self.note_tags(tagged, false, written),
            Kind::Tagged => self.note_tags(tagged, true, written),
            Kind::Hidden => self.push_break(written),
            Kind::Mark => {}
        }
        self.origin.resize(self.text.len(), at as u32);
        Some(unit.len)
    }

    /// Folds the run of plain ASCII at `at` and returns its length.
    fn fold_plain(&mut self, at: usize, tagged: &mut bool) -> usize {
        let rest = self.original.as_bytes().get(at..).unwrap_or_default();
        let len = rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
        if len > 0 {
            self.note_tags(tagged, false, self.text.len());
            let run = rest.get(..len).unwrap_or_default();
            self.text
                .extend(run.iter().map(|byte| TABLE.get(usize::from(*byte)).map_or(FILLER, |slot| slot.0)));
            self.origin.extend(at as u32..(at + len) as u32);
        }
        len
    }

    /// Tag characters are a text of their own: a break where it begins and where it ends.
    fn note_tags(&mut self, tagged: &mut bool, now: bool, at: usize) {
        if *tagged != now {
            *tagged = now;
            self.push_break(at);
        }
    }

    fn push_break(&mut self, at: usize) {
        let at = at as u32;
        if self.breaks.last() != Some(&at) {
            self.breaks.push(at);
        }
    }

    /// Joins spaced-out letters and shortens long runs of blanks.
    fn squeeze(&mut self) {
        let cuts = find_cuts(&self.text);
        if cuts.is_empty() {
            return;
        }
        self.text = keep_outside(&self.text, &cuts);
        self.origin = keep_outside(&self.origin, &cuts);
        let mut removed = 0;
        let mut upcoming = cuts.iter().peekable();
        for place in &mut self.breaks {
            while let Some(cut) = upcoming.next_if(|cut| cut.end <= *place as usize) {
                removed += cut.len();
            }
            let inside = upcoming.peek().map_or(0, |cut| (*place as usize).saturating_sub(cut.start));
            *place -= (removed + inside) as u32;
        }
        self.breaks.dedup();
    }
}

fn keep_outside<T: Copy>(items: &[T], cuts: &[Range<usize>]) -> Vec<T> {
    let mut kept = Vec::with_capacity(items.len());
    let mut from = 0;
    for cut in cuts {
        kept.extend_from_slice(items.get(from..cut.start).unwrap_or_default());
        from = cut.end;
    }
    kept.extend_from_slice(items.get(from..).unwrap_or_default());
    kept
}

/// The parts of the shadow to leave out, ascending and apart.
fn find_cuts(text: &[u8]) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let (mut word_len, mut blank_len) = (0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let class = class_of(byte);
        if class == Class::Word {
            (word_len, blank_len) = (word_len + 1, 0);
        } else {
            if word_len == 1
                && let Some(end) = join_spaced_letters(text, at - 1, &mut cuts)
            {
                (word_len, at) = (1, end);
                continue;
            }
            word_len = 0;
            if class == Class::Blank {
                blank_len += 1;
                if blank_len > MAX_BLANKS {
                    cut_byte(&mut cuts, at);
                }
            } else {
                blank_len = 0;
            }
        }
        at += 1;
    }
    cuts
}

fn cut_byte(cuts: &mut Vec<Range<usize>>, at: usize) {
    match cuts.last_mut() {
        Some(last) if last.end == at => last.end = at + 1,
        _ => cuts.push(at..at + 1),
    }
}

/// Reads single letters, each followed by one separator, from `start`. When there are enough of them, cuts
/// the separators and returns the end of the last letter; gaps between words are kept.
fn join_spaced_letters(text: &[u8], start: usize, cuts: &mut Vec<Range<usize>>) -> Option<usize> {
    // Prose is full of one-letter words; look for a second one before doing anything else.
    let single = |at: usize| {
        text.get(at).is_some_and(u8::is_ascii_alphanumeric)
            && text.get(at + 1).is_none_or(|byte| !is_word_byte(*byte))
    };
    let kept = cuts.len();
    let (mut letters, mut last) = (1, start);
    if !single(start) {
        return None;
    }
    loop {
        let gap = text.iter().skip(last + 1).take(MAX_SPACED_GAP + 1);
        let gap = gap.take_while(|byte| is_spacer(**byte)).count();
        if gap == 0 || gap > MAX_SPACED_GAP || !single(last + 1 + gap) {
            break;
        }
        if gap == 1 {
            cut_byte(cuts, last + 1);
        }
        letters += 1;
        last += 1 + gap;
    }
    if letters < MIN_SPACED_LETTERS {
        cuts.truncate(kept);
        return None;
    }
    Some(last + 1)
}

fn is_spacer(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'-' | b'_' | b'.' | b',' | b'/' | b'|' | b'+' | b':' | FILLER)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Word,
    Blank,
    Other,
}

fn class_of(byte: u8) -> Class {
    match byte {
        b' ' | b'\n' | FILLER => Class::Blank,
        _ if is_word_byte(byte) => Class::Word,
        _ => Class::Other,
    }
}

/// A letter of a script that sets words apart by spaces and adds nothing to their front.
fn is_lettered(c: char) -> bool {
    c.is_alphanumeric() && u32::from(c) < 0x590
}

/// The folded form of each byte, and whether it folds by itself, without a look at what follows.
static TABLE: [(u8, bool); 256] = plain_table();

fn is_plain(byte: u8) -> bool {
    TABLE.get(usize::from(byte)).is_some_and(|slot| slot.1)
}

const fn plain_table() -> [(u8, bool); 256] {
    let mut table = [(FILLER, false); 256];
    let mut code = 0;
    while code < 128 {
        let special = matches!(code as u8, b'&' | b'\\' | b'%' | b'<' | b'[' | b'*' | b'@' | b'$');
        #[expect(clippy::indexing_slicing, reason = "constant evaluation; the index is below both lengths")]
        {
            table[code] = (ASCII[code], !special && ASCII[code] != 0);
        }
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shadow(text: &str) -> String {
        String::from_utf8(Shadow::new(text, false).bytes().to_vec()).unwrap()
    }

    #[test]
    fn spaced_letters_are_joined() {
        assert_eq!(shadow("say i g n o r e  a b b now"), "say ignore  abb now");
        assert_eq!(shadow("i-g-n-o-r-e"), "ignore");
        assert_eq!(shadow("ｉ ｇ ｎ ｏ"), "igno");
        assert_eq!(shadow("i \u{200b}g n o r e"), "ignore");
        assert_eq!(shadow("a b c"), "a b c");
        assert_eq!(shadow("i am a fox"), "i am a fox");
    }

    #[test]
    fn long_runs_of_blanks_are_shortened() {
        let text = format!("ignore{}b", " ".repeat(1000));
        assert_eq!(shadow(&text).len(), "ignore".len() + MAX_BLANKS + 1);
    }

    #[test]
    fn spans_lead_back_to_the_original() {
        for (text, word) in [
            ("x ig\u{200b}nore y", "ig\u{200b}nore"),
            ("x \\u0069gnore y", "\\u0069gnore"),
            ("ж ignóre\u{301}\u{302} y", "ignóre\u{301}\u{302}"),
            ("x **ign**ore\u{200b} y", "ign**ore"),
            ("x i g n o r e y", "i g n o r e"),
        ] {
            let shadow = Shadow::new(text, false);
            let bytes = shadow.bytes();
            let at = bytes.windows(6).position(|window| window == b"ignore").unwrap();
            let span = shadow.to_original(at..at + 6).unwrap();
            assert_eq!(&text[span], word);
        }
    }

    #[test]
    fn breaks_follow_the_cuts() {
        let text = "a b c d e hello\u{200b}x";
        let shadow = Shadow::new(text, false);
        let at = shadow.bytes().len() - 1;
        assert_eq!(shadow.breaks, [at as u32]);
        assert!(shadow.is_boundary(at));
        assert!(!shadow.is_boundary(at - 1));
    }
}
