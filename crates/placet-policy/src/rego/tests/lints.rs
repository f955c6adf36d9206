//! Places that fail open are pointed at, and only those.
// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

fn lint(rules: &str) -> Vec<(&'static str, u32, u32)> {
    let text = format!("package placet.x\n{rules}\n");
    let (set, found) = RegoSet::load(&sources(&[("a.rego", &text)]), &RegoOptions::default());
    assert!(set.is_some(), "{}", printed(&found));
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning));
    found.iter().map(|finding| (finding.code, finding.position.line, finding.position.column)).collect()
}

#[test]
fn defaults_that_allow_are_found() {
    assert_eq!(lint("default allow := true"), [("rego/default-allow", 2, 18)]);
    assert!(lint("default allow := false").is_empty());
    let decision = |value: &str| {
        let text = format!(
            "package placet.tool_call\ndefault decision := {value}\ndecision := {{\"deny\": \"x\"}} if input.y"
        );
        RegoSet::load(&sources(&[("a.rego", &text)]), &RegoOptions::default()).1
    };
    assert_eq!(decision("{\"allow\": true}")[0].code, "rego/default-allow");
    assert!(decision("{\"allow\": false}").is_empty());
}

#[test]
fn one_sided_bounds_in_an_allow_are_found() {
    assert_eq!(lint("allow if input.args.amount <= 100"), [("rego/one-sided", 2, 10)]);
    assert_eq!(lint("allow if 100 > input.args.amount"), [("rego/one-sided", 2, 10)]);
    assert_eq!(lint("allow if input.args.amount >= 0"), [("rego/one-sided", 2, 10)]);
    assert!(lint("allow if { input.args.amount >= 0; input.args.amount <= 100 }").is_empty());
    assert!(lint("allow if { is_number(input.args.amount); input.args.amount <= 100 }").is_empty());
    assert!(lint("deny if input.args.amount > 100").is_empty());
}

#[test]
fn a_difference_from_a_literal_in_an_allow_is_found() {
    assert_eq!(lint("allow if input.user != \"root\""), [("rego/not-equal", 2, 10)]);
    assert!(lint("deny if input.user != \"root\"").is_empty());
}

#[test]
fn negations_are_judged_by_what_the_rule_does() {
    assert_eq!(lint("deny if not startswith(input.args.path, \"/tmp/\")"), [("rego/negation", 2, 13)]);
    assert_eq!(lint("deny if not input.args.amount > 5"), [("rego/negation", 2, 13)]);
    assert!(lint("deny if not input.context.sandbox_verified").is_empty());
    assert!(lint("deny if not input.context.kind == \"a\"").is_empty());
    assert!(lint("deny if not object.get(input, \"x\", false)").is_empty());
    assert_eq!(lint("allow if not input.blocked"), [("rego/negation", 2, 14)]);
    assert_eq!(lint("allow if not input.kind == \"a\""), [("rego/negation", 2, 14)]);
    assert!(lint("allow if not startswith(input.args.path, \"/etc/\")").is_empty());
}

#[test]
fn helpers_are_judged_by_what_uses_them() {
    assert_eq!(
        lint("deny if outside\noutside if not startswith(input.path, \"/tmp/\")"),
        [("rego/negation", 3, 16)]
    );
    assert_eq!(lint("allow if not small\nsmall if input.amount != 5"), []);
    assert_eq!(lint("allow if other\nother if input.kind != \"a\""), [("rego/not-equal", 3, 10)]);
}

#[test]
fn strict_refuses_what_lints_find() {
    let files = sources(&[("a.rego", "package placet.x\nallow if input.args.amount <= 100\n")]);
    let options = RegoOptions { strict: true, ..RegoOptions::default() };
    let (set, found) = RegoSet::load(&files, &options);
    assert!(set.is_none());
    assert_eq!((found[0].severity, found[0].code), (Severity::Error, "rego/one-sided"));
}
