//! Export of YAML policies to Rego.
// SPDX-License-Identifier: MIT OR Apache-2.0

/// The first words of every exported file.
pub const HEADER: &str = "# placet-export ";

/// Whether a Rego text was made by the exporter.
#[must_use]
pub fn is_export(text: &str) -> bool {
    text.starts_with(HEADER)
}
