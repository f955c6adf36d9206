//! The event's clock.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::Cell;

use regorus::Value;

use super::{Added, Outcome};

thread_local! {
    static NOW_NS: Cell<i128> = const { Cell::new(0) };
}

/// Runs an evaluation with `time.now_ns` fixed, in nanoseconds since the epoch.
pub(in crate::rego) fn with_clock<T>(now_ns: i128, run: impl FnOnce() -> T) -> T {
    let before = NOW_NS.replace(now_ns);
    let result = run();
    NOW_NS.set(before);
    result
}

/// The clock of the evaluation, as the nearest floating-point number.
pub(super) fn now() -> f64 {
    NOW_NS.get() as f64
}

pub(super) const ADDED: &[Added] = &[Added::new("time.now_ns", 0, now_ns)];

fn now_ns(_: &[Value]) -> Outcome {
    Ok(Value::from(NOW_NS.get()))
}
