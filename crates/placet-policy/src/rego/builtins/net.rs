//! placeholder
// SPDX-License-Identifier: MIT OR Apache-2.0
use super::Added;
pub(super) const ADDED: &[Added] = &[];
