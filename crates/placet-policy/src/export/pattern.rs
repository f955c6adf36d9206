//! Regular expressions as RE2 reads them, with the meaning they have here.
//!
//! The expression is printed from its parsed form: classes and case folding are spelt out as ranges, so that no
//! Unicode table of the reader takes part. Source: RE2 syntax; Go `regexp/syntax`, limits of repetition.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

/// Most repetitions that RE2 accepts, nested ones multiplied.
const MAX_REPEATS: u32 = 1_000;

/// Prints an expression for RE2.
///
/// # Errors
/// Says what RE2 cannot express.
pub(super) fn for_re2(pattern: &str) -> Result<String, String> {
    let parsed = regex_syntax::parse(pattern).map_err(|error| error.to_string())?;
    let mut out = String::new();
    print(&parsed, MAX_REPEATS, &mut out)?;
    Ok(out)
}

fn print(hir: &Hir, repeats: u32, out: &mut String) -> Result<(), String> {
    match hir.kind() {
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).map_err(|_| "it matches bytes that are no text")?;
            text.chars().for_each(|c| character(c, out));
        }
        HirKind::Class(class) => print_class(class, out),
        HirKind::Look(look) => out.push_str(assertion(*look)?),
        HirKind::Repetition(repetition) => print_repetition(repetition, repeats, out)?,
        HirKind::Capture(capture) => grouped(&capture.sub, repeats, out)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| match part.kind() {
            HirKind::Alternation(_) => grouped(part, repeats, out),
            _ => print(part, repeats, out),
        })?,
        HirKind::Alternation(parts) => {
            out.push_str("(?:");
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                print(part, repeats, out)?;
            }
            out.push(')');
        }
    }
    Ok(())
}

fn grouped(hir: &Hir, repeats: u32, out: &mut String) -> Result<(), String> {
    out.push_str("(?:");
    print(hir, repeats, out)?;
    out.push(')');
    Ok(())
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

fn assertion(look: Look) -> Result<&'static str, String> {
    match look {
        Look::Start => Ok("\\A"),
        Look::End => Ok("\\z"),
        Look::StartLF => Ok("(?m:^)"),
        Look::EndLF => Ok("(?m:$)"),
        Look::WordAscii => Ok("\\b"),
        Look::WordAsciiNegate => Ok("\\B"),
        _ => Err("it asks for line ends or word borders that RE2 does not have".to_owned()),
    }
}

fn print_repetition(repetition: &Repetition, repeats: u32, out: &mut String) -> Result<(), String> {
    let most = repetition.max.unwrap_or(repetition.min);
    if most > repeats {
        return Err(format!("it repeats a part more than {MAX_REPEATS} times, counting nested repetitions"));
    }
    let simple = matches!((repetition.min, repetition.max), (0, None | Some(1)) | (1, None));
    let inner = if simple || most == 0 { repeats } else { repeats / most };
    grouped(&repetition.sub, inner, out)?;
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
