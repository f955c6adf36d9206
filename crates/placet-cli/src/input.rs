//! Reading what a command is given: JSON text, a file or `-`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::io::Read;

use placet::Event;

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
        Self::read_file(argument, console)
    }

    /// Reads a file, or stdin for `-`.
    pub(crate) fn read_file(argument: &str, console: &mut Console<'_>) -> Result<Self, Failure> {
        if argument == "-" {
            let mut bytes = Vec::new();
            let read = console.stdin.read_to_end(&mut bytes);
            read.map_err(|source| Failure::Read { what: "stdin".to_owned(), source })?;
            return Ok(Self { origin: "stdin".to_owned(), bytes });
        }
        let read = |source| Failure::Read { what: format!("`{argument}`"), source };
        Ok(Self { origin: format!("`{argument}`"), bytes: fs::read(argument).map_err(read)? })
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
