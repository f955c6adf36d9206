"""The driver of the bench: engines, workloads, measuring, report."""
# SPDX-License-Identifier: MIT OR Apache-2.0
