//! Dialects, load errors, known traps of the interpreter.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

fn dialect(text: &str) -> Dialect {
    load(&[("a.rego", text)]).files()[0].dialect
}

#[test]
fn each_dialect_is_found() {
    assert_eq!(dialect("package placet.a\n\nallow if input.x == 1"), Dialect::V1);
    assert_eq!(dialect("package placet.a\nimport rego.v1\nallow if input.x == 1"), Dialect::V1);
    assert_eq!(dialect("package placet.a\n\nallow { input.x == 1 }"), Dialect::V0);
    assert_eq!(dialect("package placet.a\nimport future.keywords\nallow { 1 in input.x }"), Dialect::V0);
    assert_eq!(dialect("package placet.a\nimport future.keywords.in\nallow { 1 in input.x }"), Dialect::V0);
    assert_eq!(dialect("package placet.a\n\nallow { 1 in input.x }"), Dialect::V0FutureKeywords);
    assert_eq!(
        dialect("package placet.a\n\nallow { every x in input.x { x == 1 } }"),
        Dialect::V0FutureKeywords
    );
    assert_eq!(dialect("package placet.a\n\nallow { contains(input.x, \"if in every\") }"), Dialect::V0);
}

#[test]
fn an_unimported_if_is_never_read_as_a_second_rule() {
    // Plain v0 would read `allow` (always) and a rule called `if`.
    let set = load(&[(
        "a.rego",
        "package placet.a\n\nallow if { input.action == \"a\" }\n\ndeny { input.action == \"b\" }",
    )]);
    assert_eq!(set.files()[0].dialect, Dialect::V0FutureKeywords);
    assert_eq!(effect(&set, &call(&json!({"action": "a"}))), Some(Effect::Allow));
    assert_eq!(effect(&set, &call(&json!({"action": "b"}))), Some(Effect::HardDeny));
    assert_eq!(effect(&set, &call(&json!({"action": "c"}))), None);
}

#[track_caller]
fn refused(text: &str, code: &str, line: u32, column: u32, words: &str) {
    let found = errors(&[("bad.rego", text)]);
    let place = |finding: &Diagnostic| (finding.code, finding.position.line, finding.position.column);
    let matching = found.iter().find(|finding| place(finding) == (code, line, column));
    let finding = matching.unwrap_or_else(|| panic!("no {code} at {line}:{column} in:\n{}", printed(&found)));
    assert!(finding.to_string().contains(words), "{finding}");
    assert_eq!(&*finding.file, "bad.rego");
}

#[test]
fn syntax_errors_are_those_of_the_plausible_dialect() {
    refused("package placet.x\n\nallow if {\n", "rego/syntax", 4, 1, "expecting");
    refused("package placet.x\n\nallow {\n  input.x = = 1\n}\n", "rego/syntax", 4, 13, "");
    refused("allow := true", "rego/syntax", 1, 1, "package");
    refused("package placet[input.x]\nallow := true", "rego/syntax", 1, 16, "string");
}

#[test]
fn every_broken_file_is_reported_at_once() {
    let found = errors(&[
        ("a.rego", "package placet.a\nallow if {"),
        ("b.rego", "package placet.b\nallow if http.send({})"),
        ("c.rego", "package placet.c\nallow if true"),
    ]);
    let files: Vec<&str> = found.iter().map(|finding| &*finding.file).collect();
    assert!(files.contains(&"a.rego"), "{files:?}");
    let alone = errors(&[("b.rego", "package placet.b\nallow if http.send({})")]);
    assert_eq!(alone.len(), 1);
}

#[test]
fn builtins_with_effects_are_refused_at_their_place() {
    for name in ["http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "uuid.rfc4122"] {
        let arguments = match name {
            "opa.runtime" => "",
            "rand.intn" => "\"a\", 5",
            _ => "\"a\"",
        };
        let text = format!("package placet.x\n\nallow if {{\n  x := {name}({arguments})\n  x\n}}\n");
        refused(&text, "rego/restricted-builtin", 4, 8, name);
        let options = RegoOptions { allowed_builtins: [name.to_owned()].into(), ..RegoOptions::default() };
        load_with(&[("good.rego", &text)], &options);
    }
}

#[test]
fn an_allowed_builtin_without_a_network_denies() {
    let text = "package placet.x\n\ndeny if not http.send({\"url\": \"http://localhost\"}).ok\n";
    let options = RegoOptions { allowed_builtins: ["http.send".to_owned()].into(), ..RegoOptions::default() };
    let set = load_with(&[("web.rego", text)], &options);
    let said = said(&set, &call(&json!({})));
    assert!(said[0].is_failure && said[0].reason.contains("http.send"), "{said:?}");
}

#[test]
fn calls_must_resolve() {
    refused(
        "package placet.x\nallow if startwith(input.a, \"b\")",
        "rego/unknown-function",
        2,
        10,
        "did you mean `startswith`?",
    );
    refused(
        "package placet.x\nallow if data.placet.y.f(1)",
        "rego/unknown-function",
        2,
        10,
        "data.placet.y.f",
    );
    refused(
        "package placet.x\nf(x) := x\nallow if f(1, 2, 3)",
        "rego/arguments",
        3,
        10,
        "takes 1 arguments, and 3 are given",
    );
    refused("package placet.x\nallow if count()", "rego/arguments", 2, 10, "count");
    refused("package placet.x\nallow if any([true])", "rego/unknown-function", 2, 10, "some x in xs");
    refused("package placet.x\nallow if __placet.plus(1, 2)", "rego/unknown-function", 2, 10, "");
    refused("package placet.x\nallow if nothing.here == 1", "rego/compile", 2, 10, "unsafe");
    refused(
        "package placet.x\nallow if not input.x[_] == 1",
        "rego/unsafe-variable",
        2,
        22,
        "`_` under `not`",
    );
}

#[test]
fn recursion_and_deep_chains_are_refused() {
    refused("package placet.x\nf(x) := f(x)\nallow if f(1)", "rego/recursion", 2, 1, "refers to itself");
    refused("package placet.x\na if b\nb if a\nallow if a", "rego/recursion", 2, 1, "refers to itself");
    let mut text = "package placet.x\nallow if r0\n".to_owned();
    for number in 0..200 {
        text.push_str(&format!("r{number} if r{}\n", number + 1));
    }
    text.push_str("r200 := true\n");
    assert!(errors(&[("deep.rego", &text)]).iter().any(|finding| finding.code == "rego/too-deep"));
    let nested =
        format!("package placet.x\nallow if {{ x := {}1{}; x }}", "[".repeat(3000), "]".repeat(3000));
    assert!(!errors(&[("nested.rego", &nested)]).is_empty());
    let chain = format!("package placet.x\nallow if {{ x := 1{}; x }}", " + 1".repeat(200_000));
    assert!(errors(&[("chain.rego", &chain)]).iter().any(|finding| finding.code == "rego/too-deep"));
}

#[test]
fn a_local_name_does_not_make_a_rule_recursive() {
    load(&[(
        "a.rego",
        "package placet.x\nuser := name(\"a\")\nname(user) := user\nallow if name(input.user)",
    )]);
}

#[test]
fn decisions_that_nobody_reads_are_refused() {
    refused(
        "package placet.tool_calls\n\ndecision := {\"allow\": true}",
        "rego/unread-decision",
        3,
        1,
        "did you mean `package placet.tool_call`?",
    );
    refused(
        "package placet.tool_call\n\ndecision := {\"alow\": true}",
        "rego/unknown-key",
        3,
        14,
        "did you mean `allow`?",
    );
    refused(
        "package placet.tool_call\ndefault decision := {\"allow\": input.x}",
        "rego/default",
        2,
        21,
        "constant",
    );
    refused("package placet.tool_call\ndefault decision := true", "rego/default", 2, 21, "object");
    refused(
        "package placet.tool_call\ndefault decision := {\"allow\": 1}",
        "rego/default",
        2,
        21,
        "true or false",
    );
    let found = errors(&[(
        "two.rego",
        "package placet.tool_call\ndefault decision := {\"allow\": true}\ndefault decision := {\"allow\": false}",
    )]);
    assert!(found.iter().any(|finding| finding.position.line == 3), "{}", printed(&found));
}

#[test]
fn packages_outside_the_roots_are_libraries_and_unused_ones_are_reported() {
    let library = ("lib.rego", "package shared.names\nis_known(x) if x == \"a\"\n");
    let (set, found) = RegoSet::load(&sources(&[library]), &RegoOptions::default());
    assert!(set.is_some());
    assert!(found.iter().any(|finding| finding.code == "rego/unused-package"), "{}", printed(&found));
    let user =
        ("use.rego", "package placet.x\nimport data.shared.names\nallow if names.is_known(input.action)\n");
    let (set, found) = RegoSet::load(&sources(&[library, user]), &RegoOptions::default());
    assert!(found.is_empty(), "{}", printed(&found));
    let set = set.unwrap();
    assert_eq!(set.files()[0].kind, UnitKind::Library);
    assert_eq!(effect(&set, &call(&json!({"action": "a"}))), Some(Effect::Allow));
    assert_eq!(effect(&set, &call(&json!({"action": "b"}))), None);
}

#[test]
fn test_files_are_left_out() {
    let set = load(&[
        ("a.rego", "package placet.x\nallow if input.action == \"a\""),
        ("a_test.rego", "package placet.x_test\nallow if true\nthis is no rego"),
    ]);
    assert_eq!(set.files().len(), 1);
}

#[test]
fn long_lines_and_many_lines_load() {
    let names = (0..20_000).map(|number| format!("\"name_{number}\"")).collect::<Vec<_>>().join(", ");
    let text =
        format!("package placet.x\nallow if input.action in {{{names}}}\n{}", "# line\n".repeat(30_000));
    let set = load(&[("wide.rego", &text)]);
    assert_eq!(effect(&set, &call(&json!({"action": "name_19999"}))), Some(Effect::Allow));
}

/// Kite §22: what the interpreter got wrong in earlier versions.
#[test]
fn kite_22_known_traps_stay_closed() {
    let set = load(&[
        (
            "a.rego",
            "package kitelogik.main\nimport data.kitelogik.security\ndefault allow := false\ndefault deny := false",
        ),
        (
            "b.rego",
            "package kitelogik.main\nimport data.kitelogik.security\nallow if input.args.default == 1\ndeny if security.deny",
        ),
        (
            "c.rego",
            "package kitelogik.security\ndeny if input.args.package.import == \"x\"\ntorn := 1 if input.action\ntorn := 2 if input.action",
        ),
    ]);
    let with_args = |args: Value| call(&json!({"action": "a", "args": args}));
    assert_eq!(effect(&set, &with_args(json!({"default": 1}))), Some(Effect::Allow));
    assert_eq!(
        effect(&set, &with_args(json!({"package": {"import": "x"}, "default": 1}))),
        Some(Effect::HardDeny)
    );
    assert_eq!(effect(&set, &with_args(json!({}))), None);
    let kinds: Vec<UnitKind> = set.files().iter().map(|file| file.kind).collect();
    assert_eq!(kinds, [UnitKind::Aggregate, UnitKind::Aggregate, UnitKind::Library]);
}

#[test]
fn kite_20_12_the_shipped_shape_of_policies_loads_in_process() {
    // `in` without import, alias-less imports, defaults apart from rules, tests beside: each failed to load before.
    let set = load(&[
        (
            "main.rego",
            "package kitelogik.main\nimport data.kitelogik.security\nimport data.kitelogik.financial\ndefault allow = false\ndefault deny = false\ndeny { security.deny }\nallow { not deny; financial.allow }\ndefault risk_tier = \"OPERATIONAL\"\nrisk_tier = \"SECURITY_CRITICAL\" { security.deny }",
        ),
        (
            "security.rego",
            "package kitelogik.security\ndefault deny = false\ndeny { input.action in {\"execute_shell\", \"run_command\"} }",
        ),
        ("financial.rego", "package kitelogik.financial\ndefault allow = false"),
        ("rules.rego", "package kitelogik.financial\nallow { input.action == \"read\" }"),
        (
            "main_test.rego",
            "package kitelogik.main\ntest_x { data.kitelogik.main.allow with input as {\"action\": \"read\"} }",
        ),
    ]);
    assert_eq!(effect(&set, &call(&json!({"action": "read"}))), Some(Effect::Allow));
    let shell = said(&set, &call(&json!({"action": "execute_shell"})));
    assert_eq!(shell[0].effect, Effect::HardDeny);
    assert_eq!(shell[0].risk_tier, Some(placet_types::RiskTier::SecurityCritical));
    assert_eq!(effect(&set, &call(&json!({"action": "other"}))), None);
}
