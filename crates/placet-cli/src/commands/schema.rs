//! `placet schema`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use clap::{Args, ValueEnum};

use crate::args::FormatArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Print the JSON Schema of a document
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SchemaArgs {
    /// Which document
    #[arg(value_enum)]
    document: Document,
    #[command(flatten)]
    output: FormatArgs,
}

/// A document with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Document {
    /// A YAML policy file
    Policy,
    /// An event
    Event,
    /// A decision
    Decision,
}

pub(crate) fn run(args: SchemaArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let schema = match args.document {
        Document::Policy => placet::schema::policy(),
        Document::Event => placet::schema::event(),
        Document::Decision => placet::schema::decision(),
    };
    // A schema is JSON in either format; for programs it takes one line.
    if args.output.is_json() {
        writeln!(console.out, "{schema}")?;
    } else {
        console.json(&schema)?;
    }
    Ok(Exit::Ok)
}
