//! Moments on the wire.
// SPDX-License-Identifier: MIT OR Apache-2.0

use jiff::Timestamp;
use placet::channels::Micros;

/// RFC 3339 in UTC with as many digits as it takes; `None` for a moment outside the calendar.
pub(crate) fn text(at: Micros) -> Option<String> {
    Timestamp::from_microsecond(at.0).ok().map(|at| at.to_string())
}
