//! The library: guards of common kinds, each switched on by one line of configuration.
//!
//! A module restricts. `read_only`, `tool_allowlist` and `mcp_allowlist` also allow what they list.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::Tier;

use crate::source::SourceFile;

macro_rules! modules {
    ($($name:literal),+ $(,)?) => {
        /// The modules of the library, in alphabetical order.
        pub const NAMES: &[&str] = &[$($name),+];

        fn text(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!("../../../policies/library/", $name, ".yaml"))),)+
                _ => None,
            }
        }
    };
}

modules![
    "cost_cap",
    "finance_approval",
    "mcp_allowlist",
    "pii_protection",
    "plan_limits",
    "rate_limiting",
    "read_only",
    "spawn_depth",
    "token_cap",
    "tool_allowlist",
    "write_folder",
];

/// A module by name; `None` when there is none.
#[must_use]
pub fn module(name: &str) -> Option<(Tier, SourceFile)> {
    let text = text(name)?;
    Some((Tier::Project, SourceFile::new(format!("placet:library/{name}.yaml"), text)))
}
