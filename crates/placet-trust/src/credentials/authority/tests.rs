//! A child's authority never exceeds its parent's, judged by enumerating calls.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::Arc;

use placet_types::{Micros, Object, Value, json};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

const KINDS: [&str; 11] = [
    "exact",
    "one_of",
    "range",
    "subset",
    "wildcard",
    "prefix_path",
    "host_suffix",
    "max_calls",
    "budget_ref",
    "all",
    "any",
];

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

/// Every value that constraints are tried on.
pub(in crate::credentials) fn domain() -> Vec<Value> {
    let texts = [
        "null",
        "true",
        "false",
        "-1",
        "0",
        "1",
        "2",
        "2.0",
        "2.5",
        "3",
        "4",
        r#""1""#,
        r#""a""#,
        r#""b""#,
        "[]",
        r#"["a"]"#,
        r#"["a","b"]"#,
        r#"["a",1]"#,
        "[null]",
        "{}",
        r#"{"k":1}"#,
        r#""/""#,
        r#""/d""#,
        r#""/d/x""#,
        r#""/d/x/y""#,
        r#""/d/../x""#,
        r#""/dd""#,
        r#""d/x""#,
        r#""e.org""#,
        r#""a.e.org""#,
        r#""https://b.a.e.org/p""#,
        r#""ee.org""#,
        r#""https://e.org@x.com""#,
    ];
    let mut values: Vec<_> = texts.iter().map(|text| value(text)).collect();
    values.push(Value::unknown("bytes", vec![1]));
    values.push(Value::Array(vec![Value::from("a"), Value::by_reference("socket")]));
    values
}

fn known_values() -> Vec<Value> {
    domain().into_iter().filter(|value| super::constraint::known(value) && !value.is_null()).collect()
}

fn range() -> impl Strategy<Value = Range> {
    let bound = || {
        let at = select(vec![-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, 4.0]);
        proptest::option::weighted(
            0.8,
            (at, any::<bool>()).prop_map(|(at, inclusive)| Bound { at, inclusive }),
        )
    };
    (bound(), bound()).prop_map(|(min, max)| match (min, max) {
        (Some(low), Some(high)) if low.at > high.at => Range { min: Some(high), max: Some(low) },
        (min, max) => Range { min, max },
    })
}

fn leaf() -> impl Strategy<Value = Constraint> {
    let scalars: Vec<_> = known_values()
        .into_iter()
        .filter(|value| !matches!(value, Value::Array(_) | Value::Object(_)))
        .collect();
    let elements: Vec<_> = ["1", "2", r#""a""#, r#""b""#].iter().map(|text| value(text)).collect();
    prop_oneof![
        select(scalars).prop_map(Constraint::Exact),
        subsequence(known_values(), 1..4).prop_map(Constraint::OneOf),
        range().prop_map(Constraint::Range),
        subsequence(elements, 0..4).prop_map(Constraint::Subset),
        Just(Constraint::Wildcard),
        select(vec!["/", "/d", "/d/x", "d"]).prop_map(|root| Constraint::PrefixPath(root.into())),
        select(vec!["org", "e.org", "a.e.org"]).prop_map(|suffix| Constraint::HostSuffix(suffix.into())),
        (0u64..4).prop_map(Constraint::MaxCalls),
        (select(vec!["x", "y"]), 0u64..4)
            .prop_map(|(budget, limit)| Constraint::BudgetRef { budget: budget.into(), limit }),
    ]
}

fn constraint() -> impl Strategy<Value = Constraint> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Constraint::All),
            proptest::collection::vec(inner, 1..4).prop_map(Constraint::Any),
        ]
    })
}

/// A new kind does not compile here until it is listed, in [`KINDS`] and in [`leaf`] too.
fn listed(one: &Constraint) -> &'static str {
    match one {
        Constraint::Exact(_)
        | Constraint::OneOf(_)
        | Constraint::Range(_)
        | Constraint::Subset(_)
        | Constraint::Wildcard
        | Constraint::PrefixPath(_)
        | Constraint::HostSuffix(_)
        | Constraint::MaxCalls(_)
        | Constraint::BudgetRef { .. }
        | Constraint::All(_)
        | Constraint::Any(_) => one.kind(),
    }
}

pub(in crate::credentials) fn sample<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// The property of every kind of constraint, on pairs that are really within one another for each of them.
#[test]
fn promise_9_within_and_ok_imply_ok_for_every_kind_of_constraint() {
    let mut runner = TestRunner::deterministic();
    let (strategy, values) = (constraint(), domain());
    let (mut as_child, mut as_parent) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..14_000 {
        let (one, parent) = (sample(&strategy, &mut runner), sample(&strategy, &mut runner));
        let child = match sample(&(0u8..6), &mut runner) {
            0 => parent.clone(),
            1 => Constraint::All(vec![one, parent.clone()]),
            _ => one,
        };
        if !child.within(&parent) {
            continue;
        }
        assert!(KINDS.contains(&listed(&child)));
        *as_child.entry(child.kind()).or_insert(0) += 1;
        *as_parent.entry(parent.kind()).or_insert(0) += 1;
        for value in &values {
            assert!(!child.ok(value) || parent.ok(value), "{child:?} within {parent:?} at {value:?}");
        }
    }
    for kind in KINDS {
        let seen = (as_child.get(kind).copied().unwrap_or(0), as_parent.get(kind).copied().unwrap_or(0));
        assert!(seen.0 >= 10 && seen.1 >= 10, "{kind}: {seen:?}");
    }
}

#[test]
fn every_constraint_lies_within_itself() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..2_000 {
        let one = sample(&leaf(), &mut runner);
        assert!(one.within(&one), "{one:?}");
    }
}

#[test]
fn what_is_unknown_missing_or_of_another_type_is_never_ok() {
    let mut runner = TestRunner::deterministic();
    let strategy = constraint();
    for _ in 0..2_000 {
        let one = sample(&strategy, &mut runner);
        for value in domain().iter().filter(|value| value.is_null() || !super::constraint::known(value)) {
            assert!(!one.ok(value), "{one:?} at {value:?}");
        }
    }
    let amount = Constraint::Range(Range::between(0.0, 10.0));
    for text in [r#""5""#, "true", "[5]", r#"{"a":5}"#, "9007199254740993"] {
        assert!(!amount.ok(&value(text)), "{text}");
    }
    assert!(!Constraint::Exact(Value::Int(1)).ok(&Value::Bool(true)));
    assert!(!Constraint::Exact(Value::from("1")).ok(&Value::Int(1)));
    assert!(!Constraint::BudgetRef { budget: "b".into(), limit: 9 }.ok(&value("1.0")));
}

fn tool_limit() -> impl Strategy<Value = ToolLimit> {
    let argument = (constraint_without_calls(), any::<bool>())
        .prop_map(|(constraint, optional)| ArgumentLimit { constraint, optional });
    let arguments =
        proptest::collection::btree_map(select(vec!["x", "y"]).prop_map(Arc::from), argument, 0..3);
    let calls = proptest::option::of((0u64..3).prop_map(Constraint::MaxCalls));
    (arguments, any::<bool>(), calls).prop_map(|(arguments, open, calls)| {
        let open = open || arguments.is_empty();
        ToolLimit { arguments, open, calls }
    })
}

fn constraint_without_calls() -> impl Strategy<Value = Constraint> {
    fn has_calls(one: &Constraint) -> bool {
        match one {
            Constraint::MaxCalls(_) => true,
            Constraint::All(clauses) | Constraint::Any(clauses) => clauses.iter().any(has_calls),
            _ => false,
        }
    }
    constraint().prop_filter("stands on a tool", |one| !has_calls(one))
}

pub(in crate::credentials) fn authority() -> impl Strategy<Value = Authority> {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    let tools = prop_oneof![
        1 => Just(Tools::Any),
        6 => proptest::collection::btree_map(select(names(&["f", "g"])), tool_limit(), 0..3).prop_map(Tools::Only),
    ];
    let budgets = proptest::collection::btree_map(select(names(&["usd"])), 0u64..3, 0..2);
    (
        subsequence(names(&["r", "w"]), 0..=2),
        tools,
        0u32..3,
        proptest::option::of((0i64..3).prop_map(Micros)),
        3i64..5,
        budgets,
    )
        .prop_map(|(scopes, tools, max_depth, not_before, expires, budgets)| Authority {
            scopes: scopes.into_iter().collect(),
            tools,
            max_depth,
            not_before,
            expires: Micros(expires),
            budgets,
        })
}

/// A child made of its parent by steps that may narrow it or widen it.
pub(in crate::credentials) fn altered(parent: &Authority, runner: &mut TestRunner) -> Authority {
    let other = sample(&authority(), runner);
    let choice = sample(&proptest::collection::vec(0u8..4, 8), runner);
    let mut child = parent.clone();
    let take = |index: usize| choice.get(index).copied() == Some(0);
    if take(0) {
        child.scopes = other.scopes;
    }
    if take(1) {
        child.max_depth = other.max_depth;
    }
    if take(2) {
        child.expires = other.expires;
    }
    if take(3) {
        child.not_before = other.not_before;
    }
    if take(4) {
        child.budgets = other.budgets;
    }
    match (&mut child.tools, other.tools) {
        (Tools::Only(own), Tools::Only(new)) => {
            for (name, limit) in new {
                let Some(held) = own.get_mut(&name) else {
                    if take(5) {
                        own.insert(name, limit);
                    }
                    continue;
                };
                if take(6) {
                    held.open = limit.open;
                }
                if take(7) {
                    held.calls = limit.calls;
                }
                held.arguments.extend(limit.arguments);
            }
        }
        (own, new) if take(5) => *own = new,
        _ => {}
    }
    child
}

pub(in crate::credentials) fn calls(values: &[Value]) -> Vec<(&'static str, Object, u64, Micros)> {
    let mut all = Vec::new();
    let some = |names: &[(&str, &Value)]| {
        let mut args = Object::new();
        names.iter().for_each(|(name, value)| args.insert(*name, (*value).clone()));
        args
    };
    let mut arguments = vec![Object::new()];
    for one in values {
        arguments.extend([some(&[("x", one)]), some(&[("y", one)]), some(&[("z", one)])]);
        arguments.extend(values.iter().step_by(9).map(|other| some(&[("x", one), ("y", other)])));
    }
    for args in arguments {
        for (tool, made, at) in [("f", 0, 2), ("g", 1, 3), ("f", 2, 1), ("h", 0, 2), ("g", 0, 4), ("f", 0, 0)]
        {
            all.push((tool, args.clone(), made, Micros(at)));
        }
    }
    all
}

#[test]
fn promise_9_child_never_exceeds_parent() {
    let mut runner = TestRunner::deterministic();
    let calls = calls(&domain());
    let (mut within, mut denied, mut witnessed) = (0, 0, 0);
    for _ in 0..600 {
        let parent = sample(&authority(), &mut runner);
        let child = altered(&parent, &mut runner);
        let broken = calls.iter().find(|(tool, args, calls, at)| {
            let call = Call { tool, args, calls: *calls, at: *at };
            child.covers(&call).is_ok() && parent.covers(&call).is_err()
        });
        let wider = child.max_depth > parent.max_depth
            || !child.scopes.is_subset(&parent.scopes)
            || parent
                .budgets
                .iter()
                .any(|(name, limit)| child.budgets.get(name).is_none_or(|own| own > limit));
        if child.within(&parent) {
            within += 1;
            assert_eq!((broken, wider), (None, false), "{parent:#?}\n{child:#?}");
            assert_eq!(witness(&parent, &child), None);
        } else {
            denied += 1;
            assert!(!excess(&parent, &child).is_empty());
        }
        match witness(&parent, &child) {
            Some(Witness::Call { tool, args, calls, at }) => {
                let call = Call { tool: &tool, args: &args, calls, at };
                assert!(child.covers(&call).is_ok() && parent.covers(&call).is_err());
                witnessed += 1;
            }
            Some(_) => assert!(wider),
            None => {}
        }
    }
    assert!(within > 60 && denied > 60 && witnessed > 40, "{within} {denied} {witnessed}");
}

fn refunds(most: f64) -> Authority {
    let limit = |constraint, optional| ArgumentLimit { constraint, optional };
    let refund = ToolLimit {
        arguments: BTreeMap::from([
            ("amount".into(), limit(Constraint::Range(Range::between(0.0, most)), false)),
            ("currency".into(), limit(Constraint::Exact("EUR".into()), true)),
        ]),
        open: false,
        calls: Some(Constraint::MaxCalls(5)),
    };
    Authority {
        tools: Tools::Only(BTreeMap::from([("refund".into(), refund)])),
        budgets: BTreeMap::from([("usd".into(), 1_000)]),
        ..Authority::of_scopes(["pay", "read"], 3, Micros(10_000_000))
    }
}

#[test]
fn a_delegation_shows_a_readable_diff() {
    let parent = refunds(500.0);
    let mut child = Authority { expires: Micros(5_000_000), max_depth: 1, ..refunds(80.0) };
    child.scopes.remove("read");
    let lines: Vec<_> = diff(&parent, &child).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "scope `read`: given -> not given (narrowed)",
            "tool `refund`, argument `amount`: at least 0 and at most 500 -> at least 0 and at most 80 (narrowed)",
            "depth of delegation: at most 3 -> at most 1 (narrowed)",
            "life: until 1970-01-01T00:00:10Z -> until 1970-01-01T00:00:05Z (narrowed)",
        ]
    );
    assert!(child.within(&parent) && diff(&parent, &parent).is_empty());
}

#[test]
fn the_budgets_that_the_ledger_counts_are_named_by_their_units() {
    let budgets = [("tokens", 9), ("cost_micros", 0), ("usd", 7)];
    let budgets = budgets.into_iter().map(|(name, limit)| (Arc::from(name), limit)).collect();
    let limits = Authority { budgets, ..refunds(1.0) }.limits();
    assert_eq!(limits, BTreeMap::from([(BudgetUnit::Tokens, 9), (BudgetUnit::CostMicros, 0)]));
}

#[test]
fn a_refused_delegation_gives_a_concrete_call() {
    let (parent, child) = (refunds(500.0), refunds(800.0));
    let lines = excess(&parent, &child);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].to_string().ends_with("at most 500 -> at least 0 and at most 800 (exceeds the parent)"));
    let found = witness(&parent, &child).unwrap();
    let Witness::Call { tool, args, .. } = &found else { panic!("{found}") };
    assert_eq!((&**tool, args.get("amount").and_then(Value::as_number)), ("refund", Some(501.0)));
    assert_eq!(found.to_string(), r#"the call `refund` with {"amount":501,"currency":"EUR"}"#);

    let wider = [
        ("scope `admin`", Authority::of_scopes(["admin"], 3, Micros(1))),
        ("any_other_tool", Authority { tools: Tools::Any, ..refunds(1.0) }),
        ("4 deep", Authority { max_depth: 4, ..refunds(1.0) }),
        ("1001 of the budget `usd`", Authority { budgets: BTreeMap::new(), ..refunds(1.0) }),
        ("at 1970-01-01T00:00:10Z", Authority { expires: Micros(10_000_001), ..refunds(1.0) }),
    ];
    for (word, child) in wider {
        assert!(!child.within(&parent));
        let text = witness(&parent, &child).unwrap().to_string();
        assert!(text.contains(word), "{word}: {text}");
    }
    let mut child = refunds(500.0);
    if let Tools::Only(tools) = &mut child.tools {
        tools.get_mut("refund").unwrap().calls = None;
    }
    assert!(witness(&parent, &child).unwrap().to_string().contains("after 5 calls"));
}

#[test]
fn an_authority_survives_its_wire_form() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_000 {
        let one = sample(&authority(), &mut runner);
        let text = canonical::text(&one.details().unwrap()).unwrap();
        let read = Authority::from_details(&value(&text), one.max_depth, one.expires).unwrap();
        assert_eq!(read.digest().unwrap(), one.digest().unwrap(), "{text}");
        assert!(read.within(&one) && one.within(&read) || has_untyped_any(&one), "{text}");
    }
}

/// `within` may fail to prove that a nested tree lies within itself; it must not for plain ones.
fn has_untyped_any(one: &Authority) -> bool {
    let Tools::Only(tools) = &one.tools else { return false };
    let nested = |limit: &ArgumentLimit| limit.constraint.depth() > 1;
    tools.values().any(|limit| limit.arguments.values().any(nested))
}

#[test]
fn what_is_not_known_is_refused_and_says_where() {
    let deep = (0..17).fold(r#"{"constraint_type":"wildcard"}"#.to_owned(), |inner, _| {
        format!(r#"{{"constraint_type":"all","constraints":[{inner}]}}"#)
    });
    for (text, word) in [
        (r#"{"constraint_type":"regex","pattern":".*"}"#, "unknown constraint `regex`"),
        (r#"{"constraint_type":"exact","value":1,"unless":2}"#, "unknown member `unless`"),
        (r#"{"constraint_type":"exact","value":null}"#, "exactly a string"),
        (r#"{"constraint_type":"exact","value":[1]}"#, "exactly a string"),
        (r#"{"constraint_type":"one_of","values":[]}"#, "at least one value"),
        (r#"{"constraint_type":"range","min":3,"max":2}"#, "lower bound"),
        (r#"{"constraint_type":"range","min":"1"}"#, "numbers"),
        (r#"{"constraint_type":"range","min":9007199254740993}"#, "numbers"),
        (r#"{"constraint_type":"range","max_inclusive":false}"#, "absent"),
        (r#"{"constraint_type":"prefix_path","prefix":"/a/../b"}"#, "`..`"),
        (r#"{"constraint_type":"host_suffix","suffix":"E.org"}"#, "lower case"),
        (r#"{"constraint_type":"host_suffix","suffix":"10.0.0.1"}"#, "lower case"),
        (r#"{"constraint_type":"any","constraints":[]}"#, "at least one constraint"),
        (r#"{"constraint_type":"budget_ref","budget":"b","limit":-1}"#, "not negative"),
        (r#"{"value":1}"#, "constraint_type"),
        (deep.as_str(), "the limit is 16"),
    ] {
        let error = Constraint::read(&value(text)).expect_err(text).to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    let many: BTreeMap<_, _> = (0..257).map(|n| (format!("t{n}").into(), ToolLimit::unlimited())).collect();
    let many = Authority { tools: Tools::Only(many), ..refunds(1.0) };
    assert!(many.digest().unwrap_err().to_string().contains("257 tools; the limit is 256"));
}

#[test]
fn a_comparison_that_would_take_too_long_is_refused() {
    let nest = |kind: fn(Vec<Constraint>) -> Constraint, leaf: Constraint| {
        (0..14).fold(leaf, |inner, _| kind(vec![inner.clone(), inner]))
    };
    let (child, parent) =
        (nest(Constraint::All, Constraint::Wildcard), nest(Constraint::Any, Constraint::Exact(true.into())));
    assert!(!child.within(&parent));
}
