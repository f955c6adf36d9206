//! YAML as a tree in which every key and value knows its place.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod node;
mod parse;

pub(crate) use node::{Key, Kind, Node};
pub(crate) use parse::parse;
