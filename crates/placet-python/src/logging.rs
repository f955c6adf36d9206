//! What the Rust side reports, told through Python's `logging`: the target `placet::policy` is the logger
//! `placet.policy`.
//!
//! Spans are not forwarded.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::{self, Write};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Forwards events from now on; once per process.
pub(crate) fn forward() {
    // A second module in the same process finds the first one's subscriber in place.
    let _ = tracing::subscriber::set_global_default(ToPython);
}

struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("placet::")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{}{}", line.message, line.fields);
        let (name, level) = (event.metadata().target().replace("::", "."), *event.metadata().level());
        // An interpreter that is going down logs nothing any more.
        let _ = Python::try_attach(|py| {
            if let Err(error) = tell(py, &name, level, &text) {
                error.write_unraisable(py, None);
            }
        });
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn tell(py: Python<'_>, name: &str, level: Level, text: &str) -> PyResult<()> {
    let level = match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        _ => 20,
    };
    let logger = py.import("logging")?.call_method1("getLogger", (name,))?;
    logger.call_method1("log", (level, "%s", text)).map(|_| ())
}

/// An event as one text: its message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "; {name}: {value:?}"),
        };
    }
}
