//! Regular expressions as RE2 reads them, with the meaning they have here.
//!
//! The expression is printed from its parsed form: classes and case folding are spelt out as ranges, so that no
//! Unicode table of the reader takes part. Source: RE2 syntax; Go `regexp/syntax`, limits of repetition.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Most repetitions that RE2 accepts, nested ones multiplied.
const MAX_REPEATS: u32 = 1_000;

/// A printed expression.
pub(super) struct Printed {
    /// For RE2, as OPA has it.
    pub(super) re2: String,
    /// For engines whose `\b` knows Unicode, where that makes a difference.
    pub(super) other: Option<String>,
}

/// Prints an expression.
///
/// # Errors
/// Says what RE2 cannot express.
pub(super) fn for_re2(pattern: &str) -> Result<Printed, String> {
    let parsed = regex_syntax::parse(pattern).map_err(|error| error.to_string())?;
    let print = |spelling| {
        let mut printer = Printer { out: String::new(), spelling };
        printer.print(&parsed, MAX_REPEATS).map(|()| printer.out)
    };
    let looks = parsed.properties().look_set();
    let borders = looks.contains(Look::WordAscii) || looks.contains(Look::WordAsciiNegate);
    let other = if borders { Some(print(Spelling::AsciiFlag)?) } else { None };
    Ok(Printed { re2: print(Spelling::Re2)?, other })
}

/// How ASCII word borders are written.
#[derive(Clone, Copy)]
enum Spelling {
    Re2,
    AsciiFlag,
}

struct Printer {
    out: String,
    spelling: Spelling,
}

impl Printer {
    fn print(&mut self, hir: &Hir, repeats: u32) -> Result<(), String> {
        let out = &mut self.out;
        match hir.kind() {
            HirKind::Empty => out.push_str("(?:)"),
            HirKind::Literal(literal) => {
                let text =
                    std::str::from_utf8(&literal.0).map_err(|_| "it matches bytes that are no text")?;
                text.chars().for_each(|c| character(c, out));
            }
            HirKind::Class(class) => print_class(class, out),
            HirKind::Look(look) => out.push_str(assertion(*look, self.spelling)?),
            HirKind::Repetition(repetition) => self.print_repetition(repetition, repeats)?,
            HirKind::Capture(capture) => self.grouped(&capture.sub, repeats)?,
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| match part.kind() {
                HirKind::Alternation(_) => self.grouped(part, repeats),
                _ => self.print(part, repeats),
            })?,
            HirKind::Alternation(parts) => {
                self.out.push_str("(?:");
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        self.out.push('|');
                    }
                    self.print(part, repeats)?;
                }
                self.out.push(')');
            }
        }
        Ok(())
    }

    fn grouped(&mut self, hir: &Hir, repeats: u32) -> Result<(), String> {
        self.out.push_str("(?:");
        self.print(hir, repeats)?;
        self.out.push(')');
        Ok(())
    }
    fn print_repetition(&mut self, repetition: &Repetition, repeats: u32) -> Result<(), String> {
        let most = repetition.max.unwrap_or(repetition.min);
        if most > repeats {
            return Err(format!(
                "it repeats a part more than {MAX_REPEATS} times, counting nested repetitions"
            ));
        }
        let simple = matches!((repetition.min, repetition.max), (0, None | Some(1)) | (1, None));
        let inner = if simple || most == 0 { repeats } else { repeats / most };
        self.grouped(&repetition.sub, inner)?;
        let out = &mut self.out;
        match (repetition.min, repetition.max) {
            (0, None) => out.push('*'),
            (1, None) => out.push('+'),
            (0, Some(1)) => out.push('?'),
            (min, None) => drop(write!(out, "{{{min},}}")),
            (min, Some(max)) if min == max => drop(write!(out, "{{{min}}}")),
            (min, Some(max)) => drop(write!(out, "{{{min},{max}}}")),
        }
        Ok(())
    }
}

fn character(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '/' | ',' | ':' | ';' | '=' | '@' | '"' | '\'') {
        out.push(c);
    } else if c.is_ascii_punctuation() {
        out.push('\\');
        out.push(c);
    } else {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
    }
}

fn print_class(class: &Class, out: &mut String) {
    let ranges: Vec<(char, char)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start(), range.end())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    if ranges.is_empty() {
        // The class that nothing is in.
        out.push_str("[^\\x{0}-\\x{10ffff}]");
        return;
    }
    out.push('[');
    for (start, end) in ranges {
        class_member(start, out);
        if start != end {
            out.push('-');
            class_member(end, out);
        }
    }
    out.push(']');
}

fn class_member(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
    }
}

fn assertion(look: Look, spelling: Spelling) -> Result<&'static str, String> {
    match (look, spelling) {
        (Look::Start, _) => Ok("\\A"),
        (Look::End, _) => Ok("\\z"),
        (Look::StartLF, _) => Ok("(?m:^)"),
        (Look::EndLF, _) => Ok("(?m:$)"),
        (Look::WordAscii, Spelling::Re2) => Ok("\\b"),
        (Look::WordAscii, Spelling::AsciiFlag) => Ok("(?-u:\\b)"),
        (Look::WordAsciiNegate, Spelling::Re2) => Ok("\\B"),
        (Look::WordAsciiNegate, Spelling::AsciiFlag) => Ok("(?-u:\\B)"),
        _ => Err("it asks for line ends or word borders that RE2 does not have".to_owned()),
    }
}
