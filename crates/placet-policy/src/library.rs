//! The starter library: guards of common kinds, each switched on by one line of configuration.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Tier;

use crate::source::SourceFile;

/// The modules of the library.
pub const NAMES: &[&str] = &["cost_cap", "pii_protection", "rate_limiting", "read_only", "tool_allowlist"];

/// A module by name; `None` when there is none.
#[must_use]
pub fn module(name: &str) -> Option<(Tier, SourceFile)> {
    let text = match name {
        "cost_cap" => include_str!("../../../policies/library/cost_cap.yaml"),
        "pii_protection" => include_str!("../../../policies/library/pii_protection.yaml"),
        "rate_limiting" => include_str!("../../../policies/library/rate_limiting.yaml"),
        "read_only" => include_str!("../../../policies/library/read_only.yaml"),
        "tool_allowlist" => include_str!("../../../policies/library/tool_allowlist.yaml"),
        _ => return None,
    };
    Some((Tier::Project, SourceFile::new(format!("placet:library/{name}.yaml"), text)))
}
