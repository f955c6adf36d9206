"""Summaries of timings: minimum, median, 99th percentile, and ratios paired by round."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Summary:
    """Nanoseconds of single calls over all rounds."""

    min: float
    median: float
    p99: float
    calls: int


def summarise(rounds: Sequence[Sequence[int]]) -> Summary:
    """All calls of all rounds together. A percentile of n calls is the value at rank ceil(0.99 n)."""
    flat = sorted(sample for one in rounds for sample in one)
    rank = -(-99 * len(flat) // 100) - 1
    return Summary(flat[0], median(flat), flat[rank], len(flat))


def paired_ratio(slow: Sequence[Sequence[int]], fast: Sequence[Sequence[int]]) -> float:
    """The median over rounds of (median call of the first / median call of the second in the same round)."""
    return median(median(a) / median(b) for a, b in zip(slow, fast, strict=True))
