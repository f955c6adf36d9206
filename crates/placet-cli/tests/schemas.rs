//! `schema`: what it prints describes exactly what the loader reads and what the engine writes.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot be set up fails")]

mod common;

use std::sync::LazyLock;

use common::{NOTES, Project, event};
use jsonschema::Validator;
use placet::{Diagnostics, Event, LoadOptions, PolicySet, SourceFile, Tier};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;
use serde_json::{Map, Value, json};

/// The schema as a user gets it.
fn schema(document: &str) -> Validator {
    let schema = Project::new(&[]).run(&["schema", document, "--format", "json"]).exits(0).json();
    jsonschema::validator_for(&schema).expect("a schema")
}

static POLICY: LazyLock<Validator> = LazyLock::new(|| schema("policy"));

/// Everything the loader has against a document; empty when it loads.
fn load(document: &Value) -> Diagnostics {
    let file = SourceFile::new("p.yaml", document.to_string());
    match PolicySet::load(&[(Tier::Project, file)], &LoadOptions::default()) {
        Ok(_) => Diagnostics::default(),
        Err(found) => Diagnostics(found.of(placet::Severity::Error).cloned().collect()),
    }
}

/// What JSON Schema cannot say: whether a pattern compiles, whether two rules share a name, which time zones there
/// are, and that a key below an argument is nearly an operator.
fn beyond_a_schema(found: &placet::Diagnostic) -> bool {
    ["policy/bad-regex", "policy/bad-glob", "policy/bad-timezone", "policy/duplicate-name"]
        .contains(&found.code)
        || found.message.ends_with("where an operator is expected")
}

#[track_caller]
fn agree(document: &Value) {
    let found = load(document);
    let is_valid = POLICY.is_valid(document);
    if found.0.is_empty() {
        let why: Vec<String> = POLICY.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(is_valid, "the loader accepts, the schema refuses: {document:#}\n{why:#?}");
    } else if !found.0.iter().all(beyond_a_schema) {
        assert!(!is_valid, "the loader refuses, the schema accepts: {document:#}\n{found}");
    }
}

#[test]
fn aegis_90_shipped_policies_meet_the_schema() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files = placet::files::list(&folder).expect("policies");
    let yaml: Vec<_> =
        files.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(yaml.len() >= 10);
    for file in yaml.into_iter().filter(|file| !file.to_string_lossy().ends_with("_test.yaml")) {
        let text = placet::files::read(file).expect("text").text.replace("${code_tools}", "[x]");
        let text = text.replace("${blocked_plan_tools}", "[x]").replace("${max_spawn_depth}", "2");
        let text = text.replace("${max_delegate_depth}", "1").replace("${max_plan_steps}", "50");
        let document: Value = yaml_serde::from_str(&text).expect("YAML");
        let errors: Vec<String> = POLICY.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{}", file.display());
    }
}

#[test]
fn aegis_90_what_the_loader_refuses_the_schema_refuses() {
    let rule = |when: Value| json!({"version": 1, "rules": [{"name": "r", "when": when, "then": "deny"}]});
    let conditions =
        |conditions: Value| json!({"version": "1", "rules": [{"match": {}, "conditions": conditions}]});
    for document in [
        json!([]),
        json!({}),
        json!({"version": 2, "rules": []}),
        json!({"version": 1, "rules": []}),
        json!({"version": 1, "rules": [{"name": "r", "when": {}, "then": "allow"}]}),
        json!({"version": 1, "rules": [{"name": "r", "when": {"action": "a"}, "then": "allow", "reviewers": ["x"]}]}),
        json!({"version": 1, "rules": [{"name": "9", "when": {"action": "a"}, "then": "deny"}]}),
        json!({"version": 1, "rules": [{"name": "r", "when": {"action": "a"}, "then": "deny", "approval": "auto"}]}),
        json!({"version": 1, "rules": [{"name": "r"}]}),
        rule(json!({"acton": "a"})),
        rule(json!({"action": null})),
        rule(json!({"action": []})),
        rule(json!({"args": {}})),
        rule(json!({"args.a..b": 1})),
        rule(json!({"args.a": [1]})),
        rule(json!({"args": {"a": {"gt": true}}})),
        rule(json!({"args": {"a": {"count": {"gt": 1, "lt": 2}}}})),
        rule(json!({"args": {"a": {"count": {"where": {"k": 1}}}}})),
        rule(json!({"args": {"a": {"count": {"gt": 1, "where": {}}}}})),
        rule(json!({"args": {"a": {"count": {"gt": 1, "where": [1]}}}})),
        rule(json!({"args": {"a": {"count": {"gt": 1, "were": {"k": 1}}}}})),
        rule(json!({"args": {"a": {"eq": {"field": "nothing"}}}})),
        rule(json!({"args": {"a": {"gt": 9_007_199_254_740_994_u64}}})),
        rule(json!({"any": []})),
        rule(json!({"not": {}})),
        conditions(json!({"time_after": "25:00"})),
        conditions(json!({"timezone": "UTC"})),
        conditions(json!({"weekdays": [0]})),
        conditions(json!({"param_count": {"a": {"gt": 1}}})),
        conditions(json!({"param_gt": {}})),
    ] {
        assert!(!load(&document).0.is_empty(), "the loader accepts {document}");
        assert!(!POLICY.is_valid(&document), "the schema accepts {document}");
    }
}

fn name() -> impl Strategy<Value = String> {
    select(vec!["customer", "purpose", "k.deep", "file", r"dot\.ted", "zz"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z*?]{0,4}".prop_map(Value::from),
        (-9i64..99).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!(2.5)),
    ]
}

fn operand() -> impl Strategy<Value = Value> {
    let fields = vec!["action", "args.x", "context.session_id", "role", "nothing"];
    prop_oneof![4 => scalar(), 1 => select(fields).prop_map(|field| json!({ "field": field }))]
}

fn operators() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        (select(vec!["eq", "ne", "gt", "gte", "lt", "lte"]), operand())
            .prop_map(|(op, value)| json!({ op: value })),
        (select(vec!["in", "not_in", "subset_of"]), prop::collection::vec(scalar(), 0..3))
            .prop_map(|(op, list)| json!({ op: list })),
        (select(vec!["contains", "not_contains", "starts_with", "ends_with", "glob", "matches"]), scalar())
            .prop_map(|(op, value)| json!({ op: value })),
        any::<bool>().prop_map(|flag| json!({ "exists": flag })),
        (select(vec!["gt", "lte", "eq"]), 0..9i64).prop_map(|(op, limit)| json!({ "count": { op: limit } })),
        (select(vec!["gt", "lte", "where"]), name(), scalar())
            .prop_map(|(op, key, value)| json!({ "count": { op: 1, "where": { key: value } } })),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        (
            select(vec!["some", "every"]),
            prop_oneof![inner.clone(), (name(), inner).prop_map(|(key, value)| json!({ key: value }))],
        )
            .prop_map(|(op, element)| json!({ op: element }))
    })
    .boxed()
}

fn condition() -> impl Strategy<Value = Value> {
    prop_oneof![scalar(), operators(), prop::collection::vec("[a-z]{1,3}", 0..3).prop_map(Value::from)]
}

fn when() -> BoxedStrategy<Value> {
    let fields = vec![
        "action",
        "role",
        "scope",
        "tool_tags",
        "context.delegation_depth",
        "plan.steps",
        "args.customer",
        "context.attributes.zz",
    ];
    let leaf = prop_oneof![
        (select(fields), condition()).prop_map(|(field, value)| json!({ field: value })),
        (name(), prop_oneof![scalar(), operators()])
            .prop_map(|(key, value)| json!({ "args": { key: value } })),
        (name(), name(), operators())
            .prop_map(|(one, two, value)| json!({ "args": { one: { two: value } } })),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (select(vec!["any", "all"]), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(key, list)| json!({ key: list })),
            inner.prop_map(|inner| json!({ "not": inner })),
        ]
    })
    .boxed()
}

fn object(entries: Vec<(&str, Option<Value>)>) -> Value {
    let present = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn rules_policy() -> impl Strategy<Value = Value> {
    let rule = (
        select(vec!["a", "b-1", "c.d"]),
        when(),
        select(vec!["allow", "deny", "hitl", "block"]),
        prop::option::of(Just(json!("why"))),
        prop::option::weighted(0.2, Just(json!(["one"]))),
        prop::option::of(select(vec![json!("OPERATIONAL"), json!("HUGE")])),
    )
        .prop_map(|(name, when, then, reason, reviewers, risk_tier)| {
            let fixed = [("name", json!(name)), ("when", when), ("then", json!(then))]
                .map(|(key, value)| (key, Some(value)));
            let more = [("reason", reason), ("reviewers", reviewers), ("risk_tier", risk_tier)];
            object(fixed.into_iter().chain(more).collect())
        });
    prop::collection::vec(rule, 1..3).prop_map(|rules| json!({ "version": 1, "rules": rules }))
}

fn match_policy() -> impl Strategy<Value = Value> {
    let conditions = prop_oneof![
        (
            select(vec!["param_eq", "param_gt", "param_in", "param_glob", "param_exists"]),
            name(),
            prop_oneof![operand(), Just(json!([1]))]
        )
            .prop_map(|(key, name, value)| json!({ key: { name: value } })),
        select(vec!["09:00", "24:00", "7:30"])
            .prop_map(|time| json!({ "time_after": time, "timezone": "UTC" })),
        prop::collection::vec(0..9i64, 0..3).prop_map(|days| json!({ "weekdays": days })),
        Just(Value::Null),
    ];
    let conditions = conditions.prop_recursive(1, 4, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|list| json!({ "any": list })),
            inner.prop_map(|inner| json!({ "not": inner })),
        ]
    });
    let rule = (
        prop::option::of(prop_oneof![scalar(), Just(json!(["a*", "b"]))]),
        prop::option::of(select(vec!["auto", "approve", "block", "ask"])),
        prop::option::of(select(vec!["low", "HIGH", "Low"])),
        prop::option::of(conditions),
    )
        .prop_map(|(kind, approval, level, conditions)| {
            object(vec![
                ("match", kind.map(|kind| json!({ "type": kind }))),
                ("approval", approval.map(Value::from)),
                ("risk_level", level.map(Value::from)),
                ("conditions", conditions),
            ])
        });
    let defaults =
        prop::option::of(select(vec![json!({}), json!({"approval": "approve"}), json!({"aproval": "auto"})]));
    (prop::collection::vec(rule, 0..3), defaults).prop_map(|(rules, defaults)| {
        object(vec![("version", Some(json!("1"))), ("rules", Some(json!(rules))), ("defaults", defaults)])
    })
}

/// Replaces the n-th value of a document, or gives one of its keys another name.
fn mutate(document: &mut Value, place: &mut usize, with: &Value, key: &str) {
    if *place == 0 {
        *document = with.clone();
    }
    *place = place.wrapping_sub(1);
    match document {
        Value::Array(items) => items.iter_mut().for_each(|item| mutate(item, place, with, key)),
        Value::Object(entries) => {
            entries.values_mut().for_each(|value| mutate(value, place, with, key));
            if *place == 0
                && let Some(first) = entries.keys().next().cloned()
                && let Some(value) = entries.remove(&first)
            {
                entries.insert(key.to_owned(), value);
            }
        }
        _ => {}
    }
}

fn odd() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!([]),
        json!({}),
        json!(7),
        json!("text"),
        json!(true),
        json!(["a"]),
        json!({"eq": 1}),
        json!({"field": "action"}),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(90),
        ..ProptestConfig::default()
    })]

    #[test]
    fn aegis_90_the_schema_accepts_what_the_loader_accepts_and_nothing_else(
        document in prop_oneof![rules_policy(), match_policy()],
        mutation in prop::option::of((0..30usize, odd(), select(vec!["when", "any", "rules", "zz", "match", "defaults"]))),
    ) {
        let mut document = document;
        if let Some((mut place, with, key)) = mutation {
            mutate(&mut document, &mut place, &with, key);
        }
        agree(&document);
    }
}

#[test]
fn decisions_and_events_meet_their_schemas() {
    let project = Project::with_policy(NOTES);
    let decision = schema("decision");
    for action in ["read_note", "delete_note", "send_note", "burn_note"] {
        let json = project.run(&["check", &event(action, "{}"), "--format", "json"]).json();
        assert!(decision.is_valid(&json), "{json}");
    }
    let bad = project.run_with(&["simulate", "-", "--format", "json"], b"x\n").exits(2).json();
    assert!(decision.is_valid(&bad), "{bad}");
    let shape = schema("event");
    for text in
        [&*event("a", r#"{"n":1}"#), r#"{"event_type":"agent.plan","plan":{"steps":[{"tool":"t"}]}}"#, "{}"]
    {
        let complete = serde_json::to_value(Event::from_json(text.as_bytes()).expect(text)).expect("JSON");
        let errors: Vec<String> = shape.iter_errors(&complete).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{complete}");
    }
    assert!(shape.is_valid(&json!({"action": "x", "session_id": "s"})));
    assert!(!shape.is_valid(&json!({"acton": "x"})));
}
