//! What the interpreter gets to see of a module.
// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::SourceFile;
use crate::rego::names::Names;
use crate::rego::parse::parse_file;
use crate::rego::rewrite::{Fate, rewrite};

fn rewritten(text: &str) -> String {
    let parsed = parse_file(&SourceFile::new("a.rego", text)).unwrap_or_else(|finding| panic!("{finding}"));
    let names = Names::new([&parsed]);
    rewrite(&parsed, &names, &|_| Fate::Keep).text
}

#[track_caller]
fn becomes(before: &str, after: &str) {
    let text = rewritten(&format!("package p\n{before}\n"));
    assert_eq!(text, format!("package p\n{after}\n"));
}

#[test]
fn what_needs_nothing_stays_as_written() {
    for text in [
        "allow if { input.a == 1; not input.b; not input.c == \"x\" }",
        "deny contains msg if { some x in [1, 2]; msg := \"a\" }",
        "n := count(input.a) + 1",
    ] {
        becomes(text, text);
    }
}

#[test]
fn operands_of_negations_are_evaluated_before() {
    becomes(
        "a if { not startswith(input.x, \"/tmp/\") }",
        "a if { __placet_1 := input.x; not startswith(__placet_1, \"/tmp/\") }",
    );
    becomes("a if not f(input.x)", "a if { __placet_1 := input.x; not f(__placet_1) }");
    becomes(
        "a if { not f(input.x) with input.x as \"v\" }",
        "a if { __placet_1 := input.x with input.x as \"v\"; not f(__placet_1) with input.x as \"v\" }",
    );
    becomes("a if { not o[input.k].z == 1 }", "a if { __placet_1 := input.k; not o[__placet_1].z == 1 }");
}

#[test]
fn values_in_heads_move_to_the_end_of_bodies() {
    becomes(
        "d contains sprintf(\"%v\", [input.x]) if input.y == \"z\" # why",
        "d contains __placet_1 if { input.y == \"z\"; __placet_1 := sprintf(\"%v\", [input.x]) } # why",
    );
    becomes(
        "d := {\"a\": \"b\", \"c\": input.x} if { input.y } else := input.z",
        "d := __placet_1 if { input.y; __placet_1 := {\"a\": \"b\", \"c\": input.x} } else := input.z",
    );
}

#[test]
fn a_head_that_goes_through_a_collection_gets_a_body() {
    becomes("x := input.l[_]", "x := __placet_1 if { __placet_1 := input.l[_] }");
    becomes("x contains input.l[i]", "x contains __placet_1 if { __placet_1 := input.l[i] }");
    becomes("x := [y | y := input.l[_]]", "x := [y | y := input.l[_]]");
}

#[test]
fn references_through_imports_are_written_in_full() {
    becomes(
        "import data.a.b\nimport data.c as d\nx if { b.y; d; d.f(b[1]); not b.z }\ny(b) if b.x",
        "import data.a.b\nimport data.c as d\nx if { data.a.b.y; data.c; data.c.f(data.a.b[1]); not data.a.b.z }\ny(b) if b.x",
    );
}

#[test]
fn words_do_not_run_into_each_other() {
    becomes(
        "a := [input.x]if(input.y) * input.z",
        "a := __placet_1 if{ __placet.times(input.y, input.z); __placet_1 := [input.x] }",
    );
}

#[test]
fn lines_keep_their_numbers() {
    let text = "package p\n\na if {\n\tnot f(\n\t\tinput.x, # one\n\t)\n\tx := input.a +\n\t\tinput.b\n}\n\nlast := 1\n";
    let line = |text: &str| text.lines().position(|line| line.starts_with("last")).unwrap();
    assert_eq!(line(&rewritten(text)), line(text));
}

#[test]
fn added_builtins_go_through_their_wrappers() {
    becomes("h := crypto.md5(input.x)", "h := data.placet_builtin.call__crypto__md5(input.x)");
    becomes(
        "t if { a with io.jwt.decode as f }",
        "t if { a with data.placet_builtin.call__io__jwt__decode as f }",
    );
}

#[test]
fn functions_are_called_by_their_full_name() {
    becomes(
        "f(x) := x\na if f(1)\nb if { a with f as 2 }",
        "f(x) := x\na if data.p.f(1)\nb if { a with data.p.f as 2 }",
    );
}

#[test]
fn future_keywords_are_imported_where_they_are_used() {
    let text = "package p # a name\n\na { \"x\" in input.l }\n";
    assert_eq!(rewritten(text), "package p import future.keywords # a name\n\na { \"x\" in input.l }\n");
}
