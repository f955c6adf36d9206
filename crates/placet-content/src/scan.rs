//! One pass over one text: shadow, anchors, shapes, encoded runs.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::ops::Range;

use crate::encoded::{self, Run};
use crate::program::Program;
use crate::shadow::Shadow;

/// Layers of encoding that are opened.
const MAX_LAYERS: u32 = 2;

/// How a text stands in a larger one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Frame {
    /// The text goes on before its first byte.
    pub(crate) continued: bool,
    /// Encoded runs begin here at the earliest.
    pub(crate) runs_from: usize,
}

/// A match: which pattern, and where in the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) pattern: usize,
    pub(crate) span: Range<usize>,
}

/// What a scan did, for the tests of linearity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Bytes of shadow searched for anchors, decoded text included.
    pub(crate) searched_bytes: u64,
    /// Shapes tried at anchors; each reads a bounded window.
    pub(crate) attempts: u64,
    /// Bytes decoded from encoded runs.
    pub(crate) decoded_bytes: u64,
}

/// The hits of one scan, ordered by start and end; those of one label may overlap.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) hits: Vec<Hit>,
    pub(crate) work: Work,
}

/// Scans a text of less than 4 GiB.
pub(crate) fn scan(program: &Program, text: &str, frame: Frame) -> Scan {
    let mut scan = Scan::default();
    scan_layer(program, text, frame, MAX_LAYERS, &mut scan);
    scan.hits.sort_unstable_by_key(|hit| (hit.span.start, hit.span.end, hit.pattern));
    scan.hits.dedup();
    scan
}

/// True when the text holds a match with this label.
pub(crate) fn finds_label(program: &Program, text: &str, label: &str) -> bool {
    let found = scan(program, text, Frame::default());
    found.hits.iter().any(|hit| program.patterns.get(hit.pattern).is_some_and(|p| &*p.label == label))
}

fn scan_layer(program: &Program, text: &str, frame: Frame, layers: u32, scan: &mut Scan) {
    search_shadow(program, text, frame, scan);
    if layers == 0 {
        return;
    }
    for run in encoded::runs(text, frame.runs_from) {
        open_run(program, text, &run, layers, scan);
    }
}

fn search_shadow(program: &Program, text: &str, frame: Frame, scan: &mut Scan) {
    let shadow = Shadow::new(text, frame.continued);
    let bytes = shadow.bytes();
    scan.work.searched_bytes += bytes.len() as u64;
    let mut states = None;
    for (start, shapes) in program.anchors(bytes) {
        if !shadow.is_boundary(start) {
            continue;
        }
        let states = states.get_or_insert_with(|| program.states());
        for index in shapes {
            let Some(shape) = program.shape(*index) else { continue };
            scan.work.attempts += 1;
            let Some(end) = program.core_end(shape, states, bytes, start) else { continue };
            let ends_well = Program::has_after(shape) || shadow.is_boundary(end);
            if ends_well
                && program.contexts_hold(shape, states, bytes, start..end)
                && let Some(span) = shadow.to_original(start..end)
            {
                scan.hits.push(Hit { pattern: shape.pattern, span });
            }
        }
    }
}

/// Decodes a run and scans what it says; a match inside makes the whole run a hit.
fn open_run(program: &Program, text: &str, run: &Run, layers: u32, scan: &mut Scan) {
    let outer = std::mem::take(&mut scan.hits);
    for decoded in encoded::decode(text, run) {
        scan.work.decoded_bytes += decoded.len() as u64;
        scan_layer(program, &decoded, Frame::default(), layers - 1, scan);
    }
    let inner = std::mem::replace(&mut scan.hits, outer);
    let mut patterns: Vec<usize> = inner.into_iter().map(|hit| hit.pattern).collect();
    patterns.sort_unstable();
    patterns.dedup();
    scan.hits.extend(patterns.into_iter().map(|pattern| Hit { pattern, span: run.span.clone() }));
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
