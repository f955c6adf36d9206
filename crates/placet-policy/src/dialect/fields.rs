//! Names of fields as policies write them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Field;
use smol_str::SmolStr;

use super::reader::{Reader, nearest};
use crate::ir::Path;
use crate::source::Position;

/// Short names of the Rules dialect.
const ALIASES: &[(&str, Field)] = &[
    ("role", Field::UserRole),
    ("scope", Field::SessionScopes),
    ("tool", Field::ToolName),
    ("tags", Field::ToolTags),
    ("agent", Field::AgentId),
    ("tenant", Field::TenantId),
    ("plan.steps", Field::Steps),
];

/// Fields that hold open objects: any key may follow.
const OPEN: &[Field] = &[Field::Args, Field::Attributes];

/// Resolves a dotted name; an unknown one is an error with a suggestion.
pub(super) fn resolve(reader: &mut Reader<'_>, name: &str, position: Position) -> Option<Path> {
    if let Some(path) = find(name) {
        return Some(path);
    }
    let known = names();
    let help = match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "fields are those of the event document; your own values stand under `args` or `context.attributes`"
            .to_owned(),
    };
    reader.error("policy/unknown-field", position, format!("the event has no field `{name}`")).help(help);
    None
}

/// Every name that a policy may write for a field.
pub(super) fn names() -> Vec<&'static str> {
    Field::ALL.iter().map(|field| field.path()).chain(ALIASES.iter().map(|(name, _)| *name)).collect()
}

fn find(name: &str) -> Option<Path> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, field)| *field);
    if let Some(field) = alias.or_else(|| Field::at(name)) {
        return Some(Path::of(field));
    }
    OPEN.iter().find_map(|field| {
        let rest = name.strip_prefix(field.path())?.strip_prefix('.')?;
        Some(Path { field: *field, keys: split(rest)? })
    })
}

/// Splits a dotted key path; `\.` is a dot inside a key. `None` when a key is empty.
pub(super) fn split(text: &str) -> Option<Box<[SmolStr]>> {
    let mut keys = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => keys.push(String::new()),
            '\\' => keys.last_mut()?.push(chars.next()?),
            other => keys.last_mut()?.push(other),
        }
    }
    keys.iter().all(|key| !key.is_empty()).then(|| keys.into_iter().map(SmolStr::from).collect())
}
