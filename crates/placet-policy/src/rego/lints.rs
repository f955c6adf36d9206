//! Places where Rego fails open on unknown values.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::model::{RegoOptions, UnitKind};
use super::parse::Parsed;
use crate::Diagnostic;

/// Lints one file.
pub(super) fn file(_parsed: &Parsed, _kind: &UnitKind, _options: &RegoOptions, _into: &mut Vec<Diagnostic>) {}
