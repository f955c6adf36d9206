//! Reading what a command is given: JSON text, a file or `-`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::Read;

use placet::{Event, json};

use crate::console::Console;
use crate::failure::Failure;

/// A document and where it came from.
pub(crate) struct Input {
    pub(crate) origin: String,
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    /// Reads JSON text as it stands, a file, or stdin for `-`.
    pub(crate) fn read(argument: &str, console: &mut Console<'_>) -> Result<Self, Failure> {
        if argument.trim_start().starts_with(['{', '[', '"']) {
            return Ok(Self { origin: "the JSON text".to_owned(), bytes: argument.as_bytes().to_vec() });
        }
        // One byte more than a document may have is enough to refuse it: a stream need not end.
        Self::read_at_most(json::MAX_BYTES as u64 + 1, argument, console)
    }

    /// Reads a file, or stdin for `-`.
    pub(crate) fn read_file(argument: &str, console: &mut Console<'_>) -> Result<Self, Failure> {
        Self::read_at_most(u64::MAX, argument, console)
    }

    fn read_at_most(most: u64, argument: &str, console: &mut Console<'_>) -> Result<Self, Failure> {
        let origin = if argument == "-" { "stdin".to_owned() } else { format!("`{argument}`") };
        let mut bytes = Vec::new();
        let read = if argument == "-" {
            console.stdin.by_ref().take(most).read_to_end(&mut bytes)
        } else {
            File::open(argument).and_then(|file| file.take(most).read_to_end(&mut bytes))
        };
        read.map_err(|source| Failure::Read { what: origin.clone(), source })?;
        Ok(Self { origin, bytes })
    }

    /// The document as an event.
    pub(crate) fn event(self) -> Result<Event, Failure> {
        Event::from_json(&self.bytes).map_err(|source| Failure::Event { origin: self.origin, source })
    }
}

/// Reads EVENT: JSON text, a file, or `-`.
pub(crate) fn event(argument: &str, console: &mut Console<'_>) -> Result<Event, Failure> {
    Input::read(argument, console)?.event()
}
