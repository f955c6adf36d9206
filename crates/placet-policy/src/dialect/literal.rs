//! Literals on the right side of operators.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::fields;
use super::reader::Reader;
use crate::ir::{Literal, Members, Operand, Path, Text};
use crate::yaml::{Kind, Node};

/// A scalar literal that stands for a whole value.
pub(super) fn scalar(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<Literal> {
    match &node.kind {
        Kind::Text(text) => Some(Literal::Text(Text::whole(text))),
        Kind::Number { value, .. } => Some(Literal::Number(*value)),
        Kind::Bool(flag) => Some(Literal::Bool(*flag)),
        Kind::Null => {
            let message = format!("`{operator}: null` is never true, because null is an unknown value");
            reader
                .error("policy/null", node.position, message)
                .help("write `exists: false` to ask whether the value is absent");
            None
        }
        Kind::List(_) | Kind::Map(_) => {
            let message =
                format!("`{operator}` takes a text, number or boolean, but this is {}", node.describe());
            reader.error("policy/type", node.position, message);
            None
        }
    }
}

/// A literal, or `{ field: name }` for another value of the event.
pub(super) fn operand(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<Operand> {
    match field_reference(reader, node, operator) {
        Ok(Some(path)) => Some(Operand::Path(path)),
        Ok(None) => scalar(reader, node, operator).map(Operand::Literal),
        Err(()) => None,
    }
}

/// A non-empty list of literals, or `{ field: name }` for a list of the event.
pub(super) fn members(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Option<Members> {
    if let Some(path) = field_reference(reader, node, operator).ok()? {
        return Some(Members::Path(path));
    }
    let items = reader.list(node, &format!("`{operator}`"))?;
    if items.is_empty() {
        reader
            .error(
                "policy/empty-list",
                node.position,
                format!("`{operator}` has an empty list, which no value is in"),
            )
            .help("name at least one value");
        return None;
    }
    let literals: Option<Vec<Literal>> = items.iter().map(|item| scalar(reader, item, operator)).collect();
    literals.map(Members::Literals)
}

/// `Err` when it looks like a reference and is not a valid one; the error is reported.
fn field_reference(reader: &mut Reader<'_>, node: &Node, operator: &str) -> Result<Option<Path>, ()> {
    let Kind::Map(entries) = &node.kind else { return Ok(None) };
    match entries.as_slice() {
        [(key, value)] if key.text == "field" => {
            let name = reader.text(value, "`field`").ok_or(())?;
            fields::resolve(reader, name, value.position).map(Some).ok_or(())
        }
        _ => {
            let message =
                format!("`{operator}` takes a literal or `{{ field: name }}`, but this is a mapping");
            reader.error("policy/type", node.position, message);
            Err(())
        }
    }
}
