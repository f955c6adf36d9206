//! The pattern language: words with gaps between them, compiled to a regular expression over the shadow.
//!
//! - words separated by spaces: a space is a *gap* (white space, separators, tags, or nothing at all)
//! - `(a|b c)` one of several, `[a]` optional, `{name}` a list of the pack's `words`
//! - `~3` up to three other words, `{letter}` one letter or digit, `^` start of the text, `$` its end, `\x` the character x, `\n` a line end
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{BTreeMap, BTreeSet};

use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Dot, Hir, Look, Repetition};

use crate::fold::{fold_literal, is_word_byte};

/// How deep word lists may refer to one another, and groups may nest.
const MAX_DEPTH: usize = 16;
/// How many different beginnings one shape may have.
const MAX_ANCHORS: usize = 512;
/// How many parts one shape may have once its word lists are written out.
const MAX_PARTS: usize = 20_000;
/// The most words `~` may skip.
const MAX_SKIPPED_WORDS: u32 = 20;

/// What may stand between two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gap {
    /// White space, separators, quotes, tags, or nothing at all.
    #[default]
    Loose,
    /// White space, at least one.
    Spaces,
    /// White space or nothing.
    Tight,
}

/// Where in a pattern a shape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The match itself.
    Core,
    /// What must come before it; compiled so that it ends where the match begins.
    Before,
    /// What must come after it.
    After,
}

/// A parsed shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Literal(Vec<u8>),
    /// Parts with a gap between each two.
    Words(Vec<Node>),
    /// Parts that touch.
    Joined(Vec<Node>),
    OneOf(Vec<Node>),
    Optional(Box<Node>),
    Skip(u32),
    Letter,
    Start,
    End,
}

/// The pack's word lists, parsed.
pub(crate) type Words = BTreeMap<String, Node>;

/// Parses a shape; `words` resolves `{name}`.
///
/// # Errors
/// A sentence that says what is wrong with the shape.
pub(crate) fn parse(shape: &str, words: &Words) -> Result<Node, String> {
    let mut parser = Parser { rest: shape, words, parts: 0 };
    let node = parser.alternatives(0)?;
    match parser.rest.chars().next() {
        None => Ok(node),
        Some(c) => Err(format!("`{c}` closes nothing in `{shape}`; write `\\{c}` for the character itself")),
    }
}

struct Parser<'s> {
    rest: &'s str,
    words: &'s Words,
    /// Parts so far; word lists that use word lists grow fast.
    parts: usize,
}

impl Parser<'_> {
    fn alternatives(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("groups nest deeper than {MAX_DEPTH}"));
        }
        let mut options = vec![self.words_in_sequence(depth)?];
        while self.take('|') {
            options.push(self.words_in_sequence(depth)?);
        }
        Ok(one_or(options, Node::OneOf))
    }

    fn words_in_sequence(&mut self, depth: usize) -> Result<Node, String> {
        let mut parts = Vec::new();
        loop {
            while self.take(' ') {}
            match self.rest.chars().next() {
                None | Some('|' | ')' | ']') => break,
                Some(_) => parts.push(self.touching(depth)?),
            }
        }
        if parts.is_empty() {
            return Err("a shape or an alternative is empty; use `[…]` for something optional".to_owned());
        }
        Ok(one_or(parts, Node::Words))
    }

    fn touching(&mut self, depth: usize) -> Result<Node, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        while let Some(c) = self.rest.chars().next() {
            if matches!(c, ' ' | '|' | ')' | ']') {
                break;
            }
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
            let special = match c {
                '(' => Some(self.group(')', depth)?),
                '[' => Some(Node::Optional(Box::new(self.group(']', depth)?))),
                '{' => Some(self.word_list()?),
                '~' => Some(self.skip()?),
                '^' => Some(Node::Start),
                '$' => Some(Node::End),
                '\\' => {
                    literal.push(self.escaped()?);
                    None
                }
                _ => {
                    literal.push(c);
                    None
                }
            };
            if let Some(node) = special {
                flush(&mut literal, &mut parts)?;
                parts.push(node);
            }
        }
        flush(&mut literal, &mut parts)?;
        Ok(one_or(parts, Node::Joined))
    }

    fn group(&mut self, close: char, depth: usize) -> Result<Node, String> {
        let node = self.alternatives(depth + 1)?;
        if self.take(close) { Ok(node) } else { Err(format!("`{close}` is missing at the end of a group")) }
    }

    fn word_list(&mut self) -> Result<Node, String> {
        let (name, rest) = self
            .rest
            .split_once('}')
            .ok_or_else(|| "`}` is missing after the name of a word list".to_owned())?;
        self.rest = rest;
        if name == "letter" {
            return Ok(Node::Letter);
        }
        let Some(list) = self.words.get(name) else {
            let known = self.words.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(format!("no word list is called `{name}`; known: {known}"));
        };
        self.parts += list.parts();
        if self.parts > MAX_PARTS {
            return Err(format!(
                "with `{name}` written out it has {} parts; the limit is {MAX_PARTS}",
                self.parts
            ));
        }
        Ok(list.clone())
    }

    fn skip(&mut self) -> Result<Node, String> {
        let digits: String = self.rest.chars().take_while(char::is_ascii_digit).take(3).collect();
        self.rest = self.rest.get(digits.len()..).unwrap_or_default();
        match digits.parse() {
            Ok(count @ 1..=MAX_SKIPPED_WORDS) => Ok(Node::Skip(count)),
            _ => Err(format!("`~` wants a number of words from 1 to {MAX_SKIPPED_WORDS}, as in `~3`")),
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let c = self
            .rest
            .chars()
            .next()
            .ok_or_else(|| "`\\` at the end of a shape escapes nothing".to_owned())?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Ok(if c == 'n' { '\n' } else { c })
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn one_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            many(parts)
        }
        (None, _) => many(parts),
    }
}

fn flush(literal: &mut String, parts: &mut Vec<Node>) -> Result<(), String> {
    if !literal.is_empty() {
        let folded = fold_literal(literal);
        if folded.is_empty() {
            return Err(format!("`{}` folds to nothing, so it can never be found", literal.escape_unicode()));
        }
        parts.push(Node::Literal(folded));
        literal.clear();
    }
    Ok(())
}

impl Node {
    /// The byte strings one of which every match begins with.
    ///
    /// # Errors
    /// A sentence that says why there are none.
    pub(crate) fn anchors(&self) -> Result<BTreeSet<Vec<u8>>, String> {
        let heads = self.heads()?;
        if let Some(open) = heads.iter().find(|head| head.bytes.is_empty()) {
            let why = if open.ends { "the whole shape is optional" } else { "it may begin with any word" };
            return Err(format!("{why}; begin with a fixed word"));
        }
        if let Some(short) = heads.iter().find(|head| head.bytes.len() < 2) {
            let shown = String::from_utf8_lossy(&short.bytes).into_owned();
            return Err(format!(
                "it may begin with `{shown}` alone; begin with two characters or more that touch"
            ));
        }
        Ok(heads.into_iter().map(|head| head.bytes).collect())
    }

    fn heads(&self) -> Result<BTreeSet<Head>, String> {
        let heads = match self {
            Self::Literal(bytes) => BTreeSet::from([Head { bytes: bytes.clone(), ends: true }]),
            Self::Skip(_) | Self::Letter => BTreeSet::from([Head { bytes: Vec::new(), ends: false }]),
            Self::Start | Self::End => {
                return Err("`^` and `$` belong into `before` and `after`, not into a shape".to_owned());
            }
            Self::Optional(inner) => {
                let mut heads = inner.heads()?;
                heads.insert(Head { bytes: Vec::new(), ends: true });
                heads
            }
            Self::OneOf(options) => {
                let mut heads = BTreeSet::new();
                for option in options {
                    heads.append(&mut option.heads()?);
                }
                heads
            }
            Self::Words(parts) => first_words(parts)?,
            Self::Joined(parts) => joined_heads(parts)?,
        };
        if heads.len() > MAX_ANCHORS {
            return Err(format!("it has {} different beginnings; the limit is {MAX_ANCHORS}", heads.len()));
        }
        Ok(heads)
    }

    /// The regular expression for this node.
    pub(crate) fn compile(&self, gap: Gap, place: Place) -> Hir {
        match place {
            Place::Core => self.hir(gap, false),
            Place::After => Hir::concat(vec![margin(), self.hir(gap, true)]),
            Place::Before => {
                let lead = repeat(0, None, false, Hir::dot(Dot::AnyByte));
                Hir::concat(vec![lead, self.hir(gap, true), margin(), Hir::look(Look::End)])
            }
        }
    }

    /// `whole_words` wants word boundaries around literals: contexts are found, not entered at an anchor.
    fn hir(&self, gap: Gap, whole_words: bool) -> Hir {
        match self {
            Self::Literal(bytes) if whole_words => whole_word(bytes),
            Self::Literal(bytes) => Hir::literal(bytes.clone()),
            Self::Words(parts) => sequence(parts, gap, whole_words),
            Self::Joined(parts) => Hir::concat(parts.iter().map(|part| part.hir(gap, false)).collect()),
            Self::OneOf(options) => {
                let mut options: Vec<&Self> = options.iter().collect();
                // The longest first, so that a plural is not cut to its singular.
                options.sort_by_key(|option| std::cmp::Reverse(option.weight()));
                Hir::alternation(options.into_iter().map(|option| option.hir(gap, whole_words)).collect())
            }
            Self::Optional(inner) => repeat(0, Some(1), true, inner.hir(gap, whole_words)),
            Self::Skip(count) => skipped_words(*count),
            Self::Letter => letter(),
            Self::Start => Hir::look(Look::Start),
            Self::End => Hir::look(Look::End),
        }
    }

    /// How many literals and the like it is made of.
    fn parts(&self) -> usize {
        match self {
            Self::Words(parts) | Self::Joined(parts) | Self::OneOf(parts) => {
                parts.iter().map(Self::parts).sum()
            }
            Self::Optional(inner) => inner.parts(),
            _ => 1,
        }
    }

    /// Skipped words come with the white space before them.
    fn brings_its_gap(&self) -> bool {
        match self {
            Self::Skip(_) => true,
            Self::Joined(parts) | Self::Words(parts) => parts.first().is_some_and(Self::brings_its_gap),
            _ => false,
        }
    }

    /// The length of the longest text it matches, gaps aside.
    fn weight(&self) -> usize {
        match self {
            Self::Literal(bytes) => bytes.len(),
            Self::Words(parts) | Self::Joined(parts) => parts.iter().map(Self::weight).sum(),
            Self::OneOf(options) => options.iter().map(Self::weight).max().unwrap_or(0),
            Self::Optional(inner) => inner.weight(),
            Self::Skip(count) => *count as usize,
            Self::Letter => 1,
            Self::Start | Self::End => 0,
        }
    }
}

/// A beginning of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    bytes: Vec<u8>,
    /// The node may end right there, so what touches it goes on.
    ends: bool,
}

/// The beginnings of words with gaps: those of the first, and of the next where it is optional.
fn first_words(parts: &[Node]) -> Result<BTreeSet<Head>, String> {
    let nothing = Head { bytes: Vec::new(), ends: true };
    let mut found = BTreeSet::new();
    for part in parts {
        let mut heads = part.heads()?;
        let optional = heads.remove(&nothing);
        found.extend(heads.into_iter().map(|head| Head { ends: false, ..head }));
        if !optional {
            return Ok(found);
        }
    }
    found.insert(nothing);
    Ok(found)
}

/// The beginnings of parts that touch: combinations, as far as they are fixed.
fn joined_heads(parts: &[Node]) -> Result<BTreeSet<Head>, String> {
    let mut heads = BTreeSet::from([Head { bytes: Vec::new(), ends: true }]);
    for part in parts {
        if !heads.iter().any(|head| head.ends) || heads.len() > MAX_ANCHORS {
            break;
        }
        let tails = part.heads()?;
        let (open, mut longer): (BTreeSet<Head>, BTreeSet<Head>) =
            heads.into_iter().partition(|head| head.ends);
        for head in &open {
            longer.extend(
                tails.iter().map(|tail| Head {
                    bytes: [head.bytes.as_slice(), &tail.bytes].concat(),
                    ends: tail.ends,
                }),
            );
        }
        heads = longer;
    }
    Ok(heads)
}

fn sequence(parts: &[Node], gap: Gap, whole_words: bool) -> Hir {
    let mut out = Vec::with_capacity(parts.len() * 2);
    // Until something fixed has been written, a gap belongs to the optional part before it.
    let mut begun = false;
    for part in parts {
        let piece = part.hir(gap, whole_words);
        match (begun, part) {
            (true, Node::Optional(inner)) => {
                let inner = Hir::concat(vec![gap_hir(gap), inner.hir(gap, whole_words)]);
                out.push(repeat(0, Some(1), true, inner));
            }
            (true, part) if part.brings_its_gap() => out.push(piece),
            (true, _) => out.extend([gap_hir(gap), piece]),
            (false, Node::Optional(inner)) => {
                let inner = Hir::concat(vec![inner.hir(gap, whole_words), gap_hir(gap)]);
                out.push(repeat(0, Some(1), true, inner));
            }
            (false, _) => {
                out.push(piece);
                begun = true;
            }
        }
    }
    Hir::concat(out)
}

fn whole_word(bytes: &[u8]) -> Hir {
    let mut out = Vec::with_capacity(3);
    if bytes.first().is_some_and(|byte| is_word_byte(*byte)) {
        out.push(Hir::look(Look::WordStartHalfAscii));
    }
    out.push(Hir::literal(bytes.to_vec()));
    if bytes.last().is_some_and(|byte| is_word_byte(*byte)) {
        out.push(Hir::look(Look::WordEndHalfAscii));
    }
    Hir::concat(out)
}

/// Up to `count` other words, each with the white space before it.
fn skipped_words(count: u32) -> Hir {
    let byte = class(&[(b'a', b'z'), (b'0', b'9'), (b'\'', b'\''), (b'-', b'-'), (0x80, 0xFF)]);
    let word = Hir::concat(vec![gap_hir(Gap::Spaces), repeat(1, None, true, byte)]);
    repeat(0, Some(count), true, word)
}

/// A byte of a word. Digits have become letters in the shadow, but for a few.
fn letter() -> Hir {
    class(&[(b'a', b'z'), (b'0', b'9'), (0x80, 0xFF)])
}

/// What may stand between a match and its context: white space and quotes.
fn margin() -> Hir {
    let mark =
        class(&[(b' ', b' '), (b'\n', b'\n'), (b'"', b'"'), (b'\'', b'\''), (b'`', b'`'), (b'_', b'_')]);
    repeat(0, None, true, Hir::alternation(vec![mark, spelled_escape()]))
}

fn gap_hir(gap: Gap) -> Hir {
    match gap {
        Gap::Spaces => {
            let mark = class(&[(b' ', b' '), (b'\n', b'\n'), (b'"', b'"'), (b'\'', b'\''), (b',', b',')]);
            repeat(1, None, true, Hir::alternation(vec![mark, spelled_escape()]))
        }
        Gap::Tight => repeat(0, None, true, class(&[(b' ', b' '), (b'\n', b'\n')])),
        Gap::Loose => loose_gap(),
    }
}

/// Anything but a word or the end of a sentence: separators and tags, or dots that touch the next word.
fn loose_gap() -> Hir {
    let separators = b" \n-_~`'\",|/\\+=^#>()[]{}:";
    let separator = class(&separators.map(|byte| (byte, byte)));
    let not_angle = class(&[(0, b'<' - 1), (b'<' + 1, b'>' - 1), (b'>' + 1, 0xFF)]);
    let tag = Hir::concat(vec![Hir::literal(*b"<"), repeat(0, None, true, not_angle), Hir::literal(*b">")]);
    let dot = || Hir::literal(*b".");
    let ellipsis = Hir::concat(vec![dot(), repeat(1, None, true, dot())]);
    let run = repeat(0, None, true, Hir::alternation(vec![separator, spelled_escape(), tag, ellipsis]));
    Hir::alternation(vec![run, dot()])
}

/// `\n` and its like, spelled out with a backslash as in JSON text.
fn spelled_escape() -> Hir {
    Hir::concat(vec![Hir::literal(*b"\\"), class(&[(b'n', b'n'), (b'r', b'r'), (b't', b't')])])
}

fn class(ranges: &[(u8, u8)]) -> Hir {
    let ranges = ranges.iter().map(|(from, to)| ClassBytesRange::new(*from, *to));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

fn repeat(min: u32, max: Option<u32>, greedy: bool, sub: Hir) -> Hir {
    Hir::repetition(Repetition { min, max, greedy, sub: Box::new(sub) })
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
