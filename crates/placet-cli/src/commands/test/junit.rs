//! Results as JUnit XML. Source: the schema that Jenkins and GitLab read (testsuites, testsuite, testcase).
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write;
use std::time::Duration;

use super::{Case, Outcome};

pub(super) fn write(cases: &[Case]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites{}>", counts(cases.iter()));
    let mut files: Vec<&str> = cases.iter().map(|case| &*case.file).collect();
    files.dedup();
    for file in files {
        let of_file = || cases.iter().filter(|case| &*case.file == file);
        let _ = writeln!(out, "  <testsuite name=\"{}\"{}>", escaped(file), counts(of_file()));
        of_file().for_each(|case| one(&mut out, case));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped, mut time) = (0, 0, 0, 0, Duration::ZERO);
    for case in cases {
        tests += 1;
        time += case.duration;
        match case.outcome {
            Outcome::Passed => {}
            Outcome::Failed(_) => failures += 1,
            Outcome::Errored(_) => errors += 1,
            Outcome::Skipped => skipped += 1,
        }
    }
    let time = time.as_secs_f64();
    format!(
        " tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{time:.6}\""
    )
}

fn one(out: &mut String, case: &Case) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{0}\" line=\"{}\" time=\"{:.6}\"",
        escaped(&case.file),
        escaped(&case.name),
        case.line,
        case.duration.as_secs_f64()
    );
    let inside = match &case.outcome {
        Outcome::Passed => String::new(),
        Outcome::Failed(message) => format!("      <failure message=\"{}\"/>\n", escaped(message)),
        Outcome::Errored(message) => format!("      <error message=\"{}\"/>\n", escaped(message)),
        Outcome::Skipped => "      <skipped/>\n".to_owned(),
    };
    let prints = if case.prints.is_empty() {
        String::new()
    } else {
        format!("      <system-out>{}</system-out>\n", escaped(&case.prints.join("\n")))
    };
    let _ = if inside.is_empty() && prints.is_empty() {
        writeln!(out, "/>")
    } else {
        writeln!(out, ">\n{inside}{prints}    </testcase>")
    };
}

/// Text inside XML; characters that XML 1.0 cannot hold become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
