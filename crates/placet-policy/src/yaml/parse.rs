//! From YAML events to a tree. Strict: one document, string keys, no duplicate keys, no tags, bounded size.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::{HashMap, HashSet};

use placet_types::value::MAX_NUMBER;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use smol_str::SmolStr;

use super::node::{Key, Kind, Node};
use crate::diagnostic::Diagnostic;
use crate::source::{Position, SourceFile};

/// Deepest nesting of a policy file.
const MAX_DEPTH: usize = 64;

/// Most values in one file, aliases expanded.
const MAX_NODES: usize = 4_000_000;

/// Reads the one document of a file; `None` when it is empty. Everything wrong is added to `found`.
pub(crate) fn parse(file: &SourceFile, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut builder = Builder {
        file,
        found,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        documents: 0,
        root: None,
    };
    for event in Parser::new_from_str(&file.text) {
        match event {
            Ok((event, span)) => {
                if !builder.take(event, span) {
                    return None;
                }
            }
            Err(error) => {
                let position = place(*error.marker());
                let message = error.info().to_owned();
                builder.found.push(Diagnostic::error("yaml/syntax", file, position, message));
                return None;
            }
        }
    }
    builder.root
}

fn place(marker: saphyr_parser::Marker) -> Position {
    let clamp = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position::new(clamp(marker.line()), clamp(marker.col() + 1))
}

fn place_of(span: Span) -> Position {
    let position = place(span.start);
    let one_line = span.start.line() == span.end.line();
    if one_line { position.with_length(span.end.col().saturating_sub(span.start.col())) } else { position }
}

/// A collection that is being read.
struct Open {
    position: Position,
    anchor: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<SmolStr>, key: Option<Key> },
}

struct Builder<'a> {
    file: &'a SourceFile,
    found: &'a mut Vec<Diagnostic>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    /// Takes one event; false when reading on makes no sense.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        let position = place_of(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                self.documents == 1
                    || self.stop(
                        position,
                        "yaml/documents",
                        "a policy file holds one document; remove the second",
                    )
            }
            Event::Scalar(text, style, anchor, tag) => {
                tag.is_none_or(|_| {
                    self.stop(position, "yaml/tag", "YAML tags have no meaning in a policy; remove the tag")
                }) && self.scalar(&text, style, anchor, position)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(position, anchor, tag.is_some(), Body::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let body = Body::Map { entries: Vec::new(), seen: HashSet::new(), key: None };
                self.start(position, anchor, tag.is_some(), body)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return self.stop(position, "yaml/alias", "this alias refers to itself or to nothing");
                };
                self.count(size(&node), position) && self.put(node)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
        }
    }

    fn stop(&mut self, position: Position, code: &'static str, message: &str) -> bool {
        self.found.push(Diagnostic::error(code, self.file, position, message));
        false
    }

    fn count(&mut self, nodes: usize, position: Position) -> bool {
        self.nodes += nodes;
        self.nodes <= MAX_NODES
            || self.stop(
                position,
                "yaml/size",
                &format!("the file has more than {MAX_NODES} values; split it"),
            )
    }

    fn start(&mut self, position: Position, anchor: usize, tagged: bool, body: Body) -> bool {
        if tagged {
            return self.stop(position, "yaml/tag", "YAML tags have no meaning in a policy; remove the tag");
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels; flatten the policy");
            return self.stop(position, "yaml/depth", &message);
        }
        if !self.key_allowed(position) {
            return false;
        }
        self.open.push(Open { position, anchor, body });
        self.count(1, position)
    }

    /// A collection cannot stand where a key must.
    fn key_allowed(&mut self, position: Position) -> bool {
        let wants_key = matches!(self.open.last(), Some(Open { body: Body::Map { key: None, .. }, .. }));
        !wants_key || self.stop(position, "yaml/key", "a key must be text")
    }

    fn close(&mut self) -> bool {
        let Some(Open { position, anchor, body }) = self.open.pop() else { return true };
        let kind = match body {
            Body::List(items) => Kind::List(items),
            Body::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node { position, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.put(node)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, anchor: usize, position: Position) -> bool {
        if let Some(Open { body: Body::Map { key, seen, .. }, .. }) = self.open.last_mut()
            && key.is_none()
        {
            let text = SmolStr::from(text);
            let twice = !seen.insert(text.clone());
            *key = Some(Key { text: text.clone(), position });
            if twice {
                let message = format!("the key `{text}` occurs twice in this mapping");
                let found = Diagnostic::error("yaml/duplicate-key", self.file, position, message);
                self.found.push(found.with_help("remove one of the two"));
            }
            return true;
        }
        let kind = if style == ScalarStyle::Plain { plain(text) } else { Kind::Text(text.into()) };
        if let Kind::Number { value, .. } = kind
            && (!value.is_finite() || value.abs() > MAX_NUMBER)
        {
            let message = format!("the number `{text}` is past 2^53, where numbers stop being exact");
            let found = Diagnostic::error("yaml/number", self.file, position, message);
            self.found.push(found.with_help("use a smaller number, or quote it to compare text"));
        }
        if style == ScalarStyle::Plain
            && ["yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
        {
            let message = format!("`{text}` is text here, not a boolean");
            let found = Diagnostic::warning("lint/yaml-boolean", self.file, position, message);
            self.found.push(found.with_help("write `true` or `false`, or quote it to compare text"));
        }
        let node = Node { position, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.count(1, position) && self.put(node)
    }

    fn put(&mut self, node: Node) -> bool {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { body: Body::List(items), .. }) => items.push(node),
            Some(Open { body: Body::Map { entries, key, .. }, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let position = node.position;
                    return self.stop(position, "yaml/key", "a key must be text");
                }
            },
        }
        true
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::List(items) => items.iter().map(size).sum::<usize>(),
        Kind::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
        _ => 0,
    }
}

/// A plain scalar by the core schema. Source: YAML 1.2.2, §10.3.2.
fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Number { value: f64::NAN, integral: false },
        _ => {}
    }
    number(text).unwrap_or_else(|| Kind::Text(text.into()))
}

/// The value of some digits; infinite past 2^53, so that no integer is rounded to one that a rule may hold.
#[allow(clippy::cast_precision_loss, reason = "an integer of at most 2^53 is exact")]
fn integer(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let integer = u64::from_str_radix(digits, radix).ok().filter(|integer| *integer <= 1 << 53);
    Some(integer.map_or(f64::INFINITY, |integer| integer as f64))
}

fn number(text: &str) -> Option<Kind> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let negative = text.starts_with('-');
    let signed = |value: f64| if negative { -value } else { value };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(Kind::Number { value: signed(f64::INFINITY), integral: false });
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            return Some(Kind::Number { value: integer(digits, radix)?, integral: true });
        }
    }
    if let Some(value) = integer(unsigned, 10) {
        return Some(Kind::Number { value: signed(value), integral: true });
    }
    let decimal = unsigned
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
    let starts = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let digits = unsigned.bytes().any(|byte| byte.is_ascii_digit());
    if decimal && starts && digits {
        return Some(Kind::Number { value: signed(unsigned.parse().ok()?), integral: false });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut found = Vec::new();
        let file = SourceFile::new("p.yaml", text);
        let node = parse(&file, &mut found).expect("a document");
        assert!(found.iter().all(|found| found.severity == crate::Severity::Warning), "{found:?}");
        match node.kind {
            Kind::List(items) => items.into_iter().map(|item| item.kind).collect(),
            other => vec![other],
        }
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let number = |value, integral| Kind::Number { value, integral };
        let text = |text: &str| Kind::Text(text.into());
        let list = "[18:00, yes, on, 5, -5.5, 1e3, 0x10, '5', ~, true, 1.2.3, .5, 1-2]";
        let wanted = [
            text("18:00"),
            text("yes"),
            text("on"),
            number(5.0, true),
            number(-5.5, false),
            number(1000.0, false),
            number(16.0, true),
            text("5"),
            Kind::Null,
            Kind::Bool(true),
            text("1.2.3"),
            number(0.5, false),
            text("1-2"),
        ];
        assert_eq!(kinds(list), wanted);
    }

    #[test]
    fn what_has_no_clear_meaning_is_refused_with_its_place() {
        for (text, code, line) in [
            ("a: 1\na: 2\n", "yaml/duplicate-key", 2),
            ("a: [\n", "yaml/syntax", 2),
            ("a: !x 1\n", "yaml/tag", 1),
            ("a: 1\n---\nb: 1\n", "yaml/documents", 2),
            ("? [a]\n: 1\n", "yaml/key", 1),
            ("a: .inf\n", "yaml/number", 1),
            ("a: 9007199254740993\n", "yaml/number", 1),
            ("a: -9007199254740993\n", "yaml/number", 1),
            ("a: 99999999999999999999999\n", "yaml/number", 1),
            ("a: 0x20000000000001\n", "yaml/number", 1),
            ("a: 0xfffffffffffffffff\n", "yaml/number", 1),
        ] {
            let mut found = Vec::new();
            parse(&SourceFile::new("p.yaml", text), &mut found);
            let first = found.first().unwrap_or_else(|| panic!("{text} was accepted"));
            assert_eq!((first.code, first.position.line), (code, line), "{text}");
        }
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let one = format!("*a{}", level - 1);
            text += &format!("a{level}: &a{level} [{}]\n", vec![one; 10].join(", "));
        }
        let mut found = Vec::new();
        assert!(parse(&SourceFile::new("p.yaml", text), &mut found).is_none());
        assert_eq!(found[0].code, "yaml/size");
    }
}
