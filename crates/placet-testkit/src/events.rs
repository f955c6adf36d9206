//! Generated events: fields and arguments with values of every type, missing, null, typed unknown, oddly spelt.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{Event, Field, Object, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::policies::{ACTIONS, NAMES, TEXTS};

/// Keys of arguments and of what lies below them.
const KEYS: &[&str] = &["a", "b", "list", "obj", "inner", "x", "X", "tool", "path", "clerk", "$unknown"];

const TIMES: &[&str] = &[
    "2026-11-21T10:00:00Z",
    "2026-11-21T18:00:00Z",
    "2026-11-23T23:59:59.999Z",
    "2026-11-22T03:15:00+05:45",
    "2026-03-08T07:30:00Z",
    "1969-12-31T23:59:59Z",
    "noon",
    "9000-01-01T00:00:00Z",
];

/// A value of any type.
pub fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => select(&[-5_i64, 0, 1, 2, 100, 9_007_199_254_740_992][..]).prop_map(Value::Int),
        1 => select(&[-0.5, -0.0, 0.1, 1.0, 3.5, 1e-300][..]).prop_map(Value::Float),
        5 => text(),
        1 => unknown(),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        prop_oneof![
            3 => inner.clone(),
            1 => vec(inner.clone(), 0..4).prop_map(Value::Array),
            1 => object(inner),
        ]
    })
    .boxed()
}

/// A value that no rule can look into.
pub fn unknown() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::from_f64(f64::NAN)),
        Just(Value::unknown("bytes", vec![1])),
        Just(Value::by_reference("object")),
        Just(Value::from_i128(1 << 60)),
    ]
}

fn text() -> BoxedStrategy<Value> {
    prop_oneof![3 => select(TEXTS), 1 => select(ACTIONS), 1 => select(NAMES)].prop_map(Value::from).boxed()
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(select(KEYS), inner, 0..5).prop_map(|entries| {
        let mut object = Object::new();
        entries.into_iter().for_each(|(key, value)| object.insert(key, value));
        Value::Object(object)
    })
}

/// What a field usually holds, or now and then anything.
fn usually(strategy: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    prop_oneof![8 => strategy.boxed(), 1 => value(), 1 => Just(Value::Null)]
}

fn list(strategy: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
    vec(strategy, 0..4).prop_map(Value::Array)
}

fn names() -> impl Strategy<Value = Value> {
    select(NAMES).prop_map(Value::from)
}

/// An event, not yet completed.
pub fn event() -> impl Strategy<Value = Event> {
    let event_type = select(&["tool_call", "tool_call", "tool_call", "agent.plan", "agent.spawn"][..])
        .prop_map(Value::from);
    let action = || select(ACTIONS).prop_map(Value::from);
    let step = object(prop_oneof![text(), action()]);
    let core = (
        usually(event_type),
        usually(action()),
        usually(object(value())),
        usually(names()),
        usually(list(names())),
    );
    let more = (
        usually(select(&[-1_i64, 0, 1, 2, 3][..]).prop_map(Value::Int)),
        usually(text()),
        usually(list(step)),
        usually(list(names())),
        usually(select(TIMES).prop_map(Value::from)),
    );
    let rare = vec((select(Field::ALL), value()), 0..4);
    (core, more, rare).prop_map(
        |((event_type, action, args, role, scopes), (depth, target, steps, tags, now), rare)| {
            let mut event = Event::default();
            for (field, value) in rare {
                event.set(field, value);
            }
            for (field, value) in [
                (Field::EventType, event_type),
                (Field::Action, action),
                (Field::Args, args),
                (Field::UserRole, role),
                (Field::SessionScopes, scopes),
                (Field::DelegationDepth, depth),
                (Field::Target, target),
                (Field::Steps, steps),
                (Field::ToolTags, tags),
                (Field::Now, now),
            ] {
                event.set(field, value);
            }
            event
        },
    )
}
