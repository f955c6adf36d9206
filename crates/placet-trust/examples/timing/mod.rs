//! How examples time what they measure.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Instant;

/// The median and the 99th percentile of one call, over `count` windows of `inner` calls.
pub(crate) fn measure(name: &str, count: usize, inner: u32, mut work: impl FnMut()) {
    let mut nanos: Vec<u128> = (0..count)
        .map(|_| {
            let begin = Instant::now();
            (0..inner).for_each(|_| work());
            begin.elapsed().as_nanos() / u128::from(inner)
        })
        .collect();
    nanos.sort_unstable();
    let at = |part: usize| nanos.get(nanos.len() * part / 100).copied().unwrap_or(0);
    println!("{name:<52} p50 {:>9} ns   p99 {:>9} ns", at(50), at(99));
}
