//! The promises of the design as properties over generated policies and events.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use std::collections::HashMap;

use placet_policy::hidden::{AtomId, HiddenType, Known};
use placet_policy::ir::{Path, Truth};
use placet_policy::{PolicySet, Request, SourceFile};
use placet_testkit::events::event;
use placet_testkit::policies::{PolicyCase, policy_case, rules_file};
use placet_types::{Decision, DecisionId, Event, Field, Object, Tier, Value, Verdict};
use proptest::prelude::*;
use proptest::sample::Index;
use smol_str::SmolStr;

fn load(case: &PolicyCase) -> PolicySet {
    PolicySet::load(&case.sources(), &case.options()).unwrap_or_else(|found| panic!("{found}")).0
}

fn decide(set: &PolicySet, request: &Request) -> Decision {
    set.decide(request, DecisionId("generated".into()))
}

/// How much a verdict restricts.
fn strength(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Escalate { .. } => 1,
        Verdict::Deny { hard: false, .. } => 2,
        Verdict::Deny { hard: true, .. } => 3,
    }
}

/// What a value is replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Null,
    Missing,
    Nan,
    /// A type that no operator takes. (A list is the right type for `contains` and text for `starts_with`: which JSON
    /// types are wrong depends on the operator, see `a_wrong_type_is_unknown_for_every_operator`.)
    Foreign,
}

impl Loss {
    fn value(self) -> Value {
        match self {
            Self::Null | Self::Missing => Value::Null,
            Self::Nan => Value::from_f64(f64::NAN),
            Self::Foreign => Value::by_reference("object"),
        }
    }
}

/// Fields that say the same in the two vocabularies lose their value together; else the other would fill it in again.
const TWINS: &[(Field, Field)] = &[
    (Field::SessionId, Field::SessionSelfId),
    (Field::UserRole, Field::AgentRole),
    (Field::SessionScopes, Field::Scopes),
    (Field::TenantId, Field::Tenant),
    (Field::Action, Field::ToolName),
];

/// Places of values: a field, then keys and positions.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

fn places<'v>(value: &'v Value, here: &[Step], found: &mut Vec<(Vec<Step>, &'v Value)>) {
    found.push((here.to_vec(), value));
    let mut below = |step: Step, value: &'v Value| {
        let mut place = here.to_vec();
        place.push(step);
        places(value, &place, found);
    };
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| below(Step::Item(at), item)),
        Value::Object(object) => {
            object.iter().for_each(|(key, item)| below(Step::Key(key.to_string()), item))
        }
        _ => {}
    }
}

/// The value with another at a place.
fn put(value: &Value, place: &[Step], other: &Value) -> Value {
    let Some((step, rest)) = place.split_first() else { return other.clone() };
    match (value, step) {
        (Value::Array(items), Step::Item(at)) => {
            let item =
                |(n, item): (usize, &Value)| if n == *at { put(item, rest, other) } else { item.clone() };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        (Value::Object(object), Step::Key(key)) => {
            let mut out = Object::new();
            for (name, item) in object.iter() {
                out.insert(name.clone(), if name == key { put(item, rest, other) } else { item.clone() });
            }
            Value::Object(out)
        }
        (seen, _) => seen.clone(),
    }
}

/// The value with the part at a place lost.
fn lose(value: &Value, place: &[Step], loss: Loss) -> Value {
    let Some((step, rest)) = place.split_first() else { return loss.value() };
    match (value, step) {
        (Value::Array(items), Step::Item(at)) => {
            let lost = |(number, item): (usize, &Value)| {
                if number == *at { lose(item, rest, loss) } else { item.clone() }
            };
            Value::Array(items.iter().enumerate().map(lost).collect())
        }
        (Value::Object(object), Step::Key(key)) => {
            let mut lost = Object::new();
            for (name, item) in object.iter() {
                if name != key {
                    lost.insert(name.clone(), item.clone());
                } else if loss != Loss::Missing || !rest.is_empty() {
                    lost.insert(name.clone(), lose(item, rest, loss));
                }
            }
            Value::Object(lost)
        }
        (other, _) => other.clone(),
    }
}

/// The event with one value lost, and everything else as it was; `None` where completing the event fills the value
/// in again, as the document of an event says it does (an absent list is empty, a tool call without an event type
/// is one).
fn with_loss(request: &Request, field: Field, place: &[Step], loss: Loss) -> Option<Request> {
    let twin = TWINS.iter().find_map(|(one, two)| match field {
        _ if field == *one => Some(*two),
        _ if field == *two => Some(*one),
        _ => None,
    });
    let mut lossy = request.event().clone();
    for field in std::iter::once(field).chain(twin) {
        let held = lossy.get(field);
        // What was never there is not lost: a value would come where there was none.
        if !held.is_null() {
            lossy.set(field, lose(held, place, loss));
        }
    }
    let closed = Request::new(lossy.clone());
    (*closed.event() == lossy).then_some(closed)
}

/// `exists` asks whether a value is there, and that is known of a value that is not: losing one may make
/// `exists: false` true, and what was below a lost list or object is absent. In the same way the number of an
/// object's keys is known.
fn asks_for_presence(case: &PolicyCase, loss: Loss, place: &[Step], lost: &Value) -> bool {
    let asked = |word: &str| case.files.iter().any(|(_, text)| text.contains(&format!("{word}\":")));
    match loss {
        Loss::Nan | Loss::Foreign => asked("exists") && matches!(lost, Value::Array(_) | Value::Object(_)),
        Loss::Null => asked("exists"),
        Loss::Missing => asked("exists") || (!place.is_empty() && asked("count")),
    }
}

/// `PLACET_PROMISE_RUNS` multiplies the cases.
fn config(cases: u32) -> ProptestConfig {
    let runs = std::env::var("PLACET_PROMISE_RUNS").map_or(1, |text| text.parse::<u32>().unwrap());
    let cases = cases * runs;
    ProptestConfig {
        max_global_rejects: 1_000_000,
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn promise_2_unknown_never_permits(
        case in policy_case(),
        event in event(),
        field in prop::sample::select(Field::ALL),
        place in any::<Index>(),
        loss in prop::sample::select(&[Loss::Null, Loss::Missing, Loss::Nan, Loss::Foreign][..]),
    ) {
        let request = Request::new(event);
        let held = request.event().get(field);
        prop_assume!(!held.is_null());
        let mut found = Vec::new();
        places(held, &[], &mut found);
        let (place, lost) = place.get(&found).clone();
        prop_assume!(!asks_for_presence(&case, loss, &place, lost));
        let Some(lossy) = with_loss(&request, field, &place, loss) else { return Err(TestCaseError::reject("completed")) };
        let set = load(&case);
        let (before, after) = (decide(&set, &request), decide(&set, &lossy));
        prop_assert!(
            strength(&after.verdict) >= strength(&before.verdict),
            "{:?} became {:?} when `{}` lost {place:?}: {:?}", before.verdict, after.verdict, field.path(), after.rules
        );
    }

    #[test]
    fn closing_an_event_twice_changes_nothing(event in event()) {
        let once = Request::new(event);
        prop_assert_eq!(Request::new(once.event().clone()), once);
    }

    /// What replay relies on where values were redacted: what it is sure of is the truth, whatever was hidden and whatever
    /// other policies had asked; and where these policies had asked themselves, it is sure.
    #[test]
    fn f32_aegis_89_what_is_certain_of_hidden_values_is_the_truth(
        case in policy_case(),
        others in policy_case(),
        event in event(),
        hidden in prop::collection::vec((hidden_field(), any::<Index>(), any::<bool>()), 1..4),
    ) {
        let request = Request::new(event);
        let mut hiding = request.event().clone();
        let mut hidden_places = Vec::new();
        for (field, place, typed) in hidden {
            hidden_places.extend(hide(&mut hiding, field, place, typed));
        }
        prop_assume!(!hidden_places.is_empty());
        let closed = Request::new(hiding.clone());
        let moved: Vec<Field> =
            Field::ALL.iter().copied().filter(|field| closed.event().get(*field) != hiding.get(*field)).collect();
        let set = load(&case);
        let truth = strength(&decide(&set, &request).verdict);
        for asker in [&set, &load(&others)] {
            let asked = asker.asked(request.event(), &hidden_places, &[], usize::MAX);
            let told: HashMap<AtomId, Truth> = asked.into_iter().collect();
            let known = Known { truth: &|id| told.get(id).copied(), moved: moved.clone() };
            let knowing = set.decide_knowing(&closed, DecisionId("generated".into()), &known);
            let outcomes: Vec<u8> = knowing.outcomes.iter().map(|effect| *effect as u8).collect();
            prop_assert!(
                outcomes.contains(&truth),
                "{truth} is not in {outcomes:?} without {hidden_places:?}: {:?}", hiding
            );
            if outcomes.len() == 1 {
                prop_assert_eq!(strength(&knowing.decision.verdict), truth, "{:?}", knowing.decision.trace);
            }
            if std::ptr::eq(asker, &set) && moved.is_empty() {
                prop_assert_eq!(&outcomes, &[truth], "{:?} {:?}", hidden_places, hiding);
            }
        }
    }
}

#[test]
fn f32_aegis_89_a_hidden_clock_leaves_a_time_window_open() {
    let text = r#"{ version: "1", defaults: { approval: auto }, rules: [
        { name: mondays, match: { target: "*" }, conditions: { weekdays: [1] }, approval: block } ] }"#;
    let set = load(&PolicyCase { files: vec![(Tier::Project, text.to_owned())], global_grants: false });
    let event = br#"{"action":"pay","target":"x","now":"2026-11-21T10:00:00Z"}"#;
    let request = Request::new(Event::from_json(event).unwrap());
    let mut hiding = request.event().clone();
    hiding.set(Field::Now, HiddenType::of(hiding.get(Field::Now)).leaf());
    let place = Path { field: Field::Now, keys: [].into() };
    let told: HashMap<AtomId, Truth> =
        set.asked(request.event(), &[place], &[], usize::MAX).into_iter().collect();
    let outcomes = |truth: &dyn Fn(&AtomId) -> Option<Truth>| {
        let known = Known { truth, moved: Vec::new() };
        let knowing = set.decide_knowing(&Request::new(hiding.clone()), DecisionId("hidden".into()), &known);
        knowing.outcomes.iter().map(|effect| *effect as u8).collect::<Vec<_>>()
    };
    assert_eq!(strength(&decide(&set, &request).verdict), 0, "it is a Saturday");
    assert_eq!(outcomes(&|_| None), [0, 3]);
    assert_eq!(outcomes(&|id| told.get(id).copied()), [0]);
}

/// Completing an event again makes something of a hidden value that may not have been there.
#[test]
fn f32_aegis_89_what_is_made_of_a_hidden_value_may_not_have_been_there() {
    let counts = |limit: &str| format!("resources: {{ count: {{ {limit}, where: {{ exists: true }} }} }}");
    let path = [Step::Key("path".into())];
    for (condition, event, field, place, truth) in [
        ("resources: { some: { exists: true } }".into(), r#"{"args":{"path":5}}"#, Field::Args, &path[..], 0),
        ("resources: { every: { exists: false } }".into(), r#"{"args":{"path":5}}"#, Field::Args, &path, 3),
        (counts("lt: 2"), r#"{"args":{"path":"/a"}}"#, Field::Args, &path, 3),
        (counts("lt: 2"), r#"{"resource_path":"/a"}"#, Field::ResourcePath, &[], 3),
        (counts("gt: 1"), r#"{"args":{"path":["/a"]}}"#, Field::Args, &path, 0),
        // Nothing but the type of the event is hidden; but what is no text was a resource twice.
        ("resources: { contains: 7 }".into(), r#"{"resource_path":5}"#, Field::EventType, &[], 3),
        ("action: { exists: true }".into(), "{}", Field::EventType, &[], 0),
        (
            "parent.session_id: { exists: true }".into(),
            r#"{"event_type":"agent.spawn","context":{"parent_session_id":"p"}}"#,
            Field::EventType,
            &[],
            0,
        ),
    ] {
        let rule = format!("version: 1\nrules: [{{ name: rule, when: {{ {condition} }}, then: block }}]\n");
        let default = "version: '1'\ndefaults: { approval: auto }\nrules: []\n".to_owned();
        let files = vec![(Tier::Project, rule), (Tier::Project, default)];
        let set = load(&PolicyCase { files, global_grants: false });
        let request = Request::new(Event::from_json(event.as_bytes()).unwrap());
        assert_eq!(strength(&decide(&set, &request).verdict), truth, "{condition} {event}");
        let mut hiding = request.event().clone();
        let mut found = Vec::new();
        places(request.event().get(field), &[], &mut found);
        let (_, held) = found.into_iter().find(|(at, _)| at == place).unwrap();
        hiding.set(field, put(hiding.get(field), place, &HiddenType::of(held).leaf()));
        let closed = Request::new(hiding.clone());
        let differs = |field: &Field| closed.event().get(*field) != hiding.get(*field);
        let moved = Field::ALL.iter().copied().filter(differs).collect();
        let known = Known { truth: &|_| None, moved };
        let knowing = set.decide_knowing(&closed, DecisionId("hidden".into()), &known);
        let outcomes: Vec<u8> = knowing.outcomes.iter().map(|effect| *effect as u8).collect();
        assert!(outcomes.contains(&truth), "{truth} is not in {outcomes:?}: {condition} {event}");
    }
}

/// Any field, and those more often of which completing an event makes others.
fn hidden_field() -> impl Strategy<Value = Field> {
    let sources = &[Field::Args, Field::ResourcePath, Field::Steps, Field::EventType];
    prop_oneof![3 => prop::sample::select(Field::ALL), 1 => prop::sample::select(&sources[..])]
}

/// Hides a value of an event, and its twin; where that is, as rules can say it. Values under keys that say what they are
/// may be hidden with their type or without.
fn hide(event: &mut Event, field: Field, place: Index, typed: bool) -> Vec<Path> {
    let mut found = Vec::new();
    let held = event.get(field).clone();
    places(&held, &[], &mut found);
    let (place, value) = place.get(&found);
    if value.is_null() || matches!(value, Value::Unknown(_)) {
        return Vec::new();
    }
    let kind = if typed { HiddenType::of(value) } else { HiddenType::Any };
    let keys: Vec<SmolStr> = place
        .iter()
        .map_while(|step| match step {
            Step::Key(key) => Some(key.into()),
            Step::Item(_) => None,
        })
        .collect();
    let twin = TWINS.iter().find_map(|(one, two)| match field {
        _ if field == *one => Some(*two),
        _ if field == *two => Some(*one),
        _ => None,
    });
    let mut hidden = Vec::new();
    for field in std::iter::once(field).chain(twin.filter(|twin| event.get(*twin) == &held)) {
        let value = put(event.get(field), place, &kind.leaf());
        event.set(field, value);
        hidden.push(Path { field, keys: keys.clone().into() });
    }
    hidden
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn promise_3_one_outcome(case in policy_case(), event in event(), turn in any::<Index>()) {
        let set = load(&case);
        let request = Request::new(event);
        let decision = decide(&set, &request);
        // The one outcome is the strongest that a tier binds, and an allow needs the project's.
        let bound = decision.trace.iter().map(|step| match (step.outcome, step.hard) {
            ("allow", _) => 0,
            ("escalate", _) => 1,
            ("deny", false) => 2,
            ("deny", true) => 3,
            _ => 0,
        });
        prop_assert_eq!(bound.max(), Some(strength(&decision.verdict)));
        if decision.verdict == Verdict::Allow {
            let project = decision.trace.iter().find(|step| step.tier == Tier::Project);
            prop_assert_eq!(project.map(|step| step.outcome), Some("allow"));
        }
        // The order of files has no say.
        let mut turned = case.clone();
        let by = turn.index(turned.files.len());
        turned.files.rotate_left(by);
        prop_assert_eq!(strength(&decide(&load(&turned), &request).verdict), strength(&decision.verdict));
        // One more rule that says something stronger is heard, whatever the tier; something weaker changes nothing.
        for (then, least) in [("hitl", 1), ("deny", 2), ("block", 3)] {
            for tier in [Tier::Core, Tier::Global, Tier::Project] {
                let mut more = case.clone();
                more.files.push((tier, format!("version: 1\nrules: [{{ name: more, when: {{}}, then: {then} }}]\n")));
                let after = strength(&decide(&load(&more), &request).verdict);
                // A tier that only had a default has now said something; a default is never hard.
                let before = if decision.verdict.code() == "denied_by_default" || decision.verdict.code() == "no_rule_matched" { 0 } else { strength(&decision.verdict) };
                prop_assert!(after >= least.max(before), "{then} at {} gives {after}, before {before}", tier.name());
            }
        }
    }

    #[test]
    fn a_failing_rule_never_allows(case in policy_case(), event in event(), tier in prop::sample::select(&[Tier::Core, Tier::Global, Tier::Project][..])) {
        let mut sources = case.sources();
        sources.push((tier, SourceFile::new("failing.rego", FAILING)));
        let (set, _) = PolicySet::load(&sources, &case.options()).unwrap_or_else(|found| panic!("{found}"));
        let decision = decide(&set, &Request::new(event));
        prop_assert!(decision.verdict.is_hard(), "{:?}", decision.verdict);
    }

    #[test]
    fn a_rule_that_knows_nothing_never_allows(files in prop::collection::vec(rules_file(), 1..3), foreign in any::<bool>()) {
        let texts: Vec<String> = files.iter().map(ToString::to_string).collect();
        prop_assume!(!texts.iter().any(|text| text.contains("\"exists\":")));
        let case = PolicyCase { files: texts.into_iter().map(|text| (Tier::Project, text)).collect(), global_grants: false };
        let mut nothing = Event::default();
        for field in Field::ALL {
            nothing.set(*field, if foreign { Value::by_reference("object") } else { Value::from_f64(f64::NAN) });
        }
        let decision = decide(&load(&case), &Request::new(nothing));
        prop_assert_ne!(decision.verdict, Verdict::Allow);
    }
}

/// Two values for one rule: evaluating it is an error, whatever the event.
const FAILING: &str = "package placet.main

import rego.v1

allow := x if some x in [true, false]
";

/// A rule that asks a person when the amount is large, beside others; the amount is lost.
#[test]
fn an_escalation_on_a_lost_value_softens_no_silence() {
    let asks = "version: 1\nrules: [{ name: asks, when: { action: pay, args: { amount: { gt: 100 } } }, then: hitl }]\n";
    let allows = "version: 1\nrules: [{ name: allows, when: { action: pay }, then: allow }]\n";
    let default = |approval: &str| format!("version: '1'\ndefaults: {{ approval: {approval} }}\nrules: []\n");
    let verdict = |files: &[&str], args: &str| {
        let sources: Vec<(Tier, SourceFile)> = files
            .iter()
            .enumerate()
            .map(|(number, text)| (Tier::Project, SourceFile::new(format!("{number}.yaml"), *text)))
            .collect();
        let (set, _) = PolicySet::load(&sources, &placet_policy::LoadOptions::default()).unwrap();
        let event = format!("{{\"action\": \"pay\", \"args\": {args}}}");
        decide(&set, &Request::new(Event::from_json(event.as_bytes()).unwrap())).verdict.code()
    };
    let (auto, approve, block) = (default("auto"), default("approve"), default("block"));
    for (beside, small, large, lost) in [
        (None, "no_rule_matched", "approval_required", "no_rule_matched"),
        (Some(allows), "allowed", "approval_required", "approval_required"),
        (Some(auto.as_str()), "allowed", "approval_required", "approval_required"),
        (Some(approve.as_str()), "approval_required", "approval_required", "approval_required"),
        (Some(block.as_str()), "denied_by_default", "approval_required", "denied_by_default"),
    ] {
        let files: Vec<&str> = std::iter::once(asks).chain(beside).collect();
        let verdicts = ["{\"amount\": 5}", "{\"amount\": 500}", "{}"].map(|args| verdict(&files, args));
        assert_eq!(verdicts, [small, large, lost], "{files:?}");
    }
}

/// Each operator with a literal, and the values whose type it does not take.
const WRONG: &[(&str, &[&str])] = &[
    ("eq: x", &["5", "true", "[]", "{}"]),
    ("eq: 5", &["'5'", "true", "[]", "{}"]),
    ("eq: true", &["'true'", "1", "[]", "{}"]),
    ("gt: 5", &["'9'", "true", "[]", "{}"]),
    ("lte: x", &["5", "false", "[]", "{}"]),
    ("lt: { field: args.flag }", &["true", "false", "'x'", "5", "[]"]),
    ("in: [x, y]", &["5", "true", "[]", "{}"]),
    ("in: [1, 2]", &["'1'", "true", "[]", "{}"]),
    ("in: { field: args.none }", &["'1'", "true", "[]", "{}"]),
    ("contains: x", &["5", "true"]),
    ("contains: 5", &["'5'", "true", "{}"]),
    ("starts_with: x", &["5", "true", "[]", "{}"]),
    ("ends_with: x", &["5", "true", "[]", "{}"]),
    ("glob: 'x*'", &["5", "true", "[]", "{}"]),
    ("matches: 'x'", &["5", "true", "[]", "{}"]),
    ("subset_of: [x]", &["5", "true", "'x'", "{}"]),
    ("count: { gte: 0 }", &["5", "true", "'x'"]),
    ("some: { eq: x }", &["5", "true", "'x'", "{}"]),
    ("every: { eq: x }", &["5", "true", "'x'", "{}", "[]"]),
];

#[test]
fn a_wrong_type_is_unknown_for_every_operator() {
    let verdict = |then: &str, condition: &str, value: &str| {
        let text = format!(
            "version: 1\nrules:\n- {{ name: yes_rule, when: {{ action: a }}, then: allow }}\n\
             - {{ name: rule, when: {{ {condition} }}, then: {then} }}\n"
        );
        let text = if then == "allow" { text.replacen("then: allow", "then: hitl", 1) } else { text };
        let sources = [(Tier::Project, SourceFile::new("p.yaml", text.as_str()))];
        let (set, _) = PolicySet::load(&sources, &placet_policy::LoadOptions::default())
            .unwrap_or_else(|found| panic!("{found}"));
        let value = value.replace('\'', "\"");
        let event = format!("{{\"action\": \"b\", \"args\": {{\"flag\": true, \"v\": {value}}}}}");
        strength(&decide(&set, &Request::new(Event::from_json(event.as_bytes()).unwrap())).verdict)
    };
    for (operator, values) in WRONG {
        for value in values.iter().chain(&["null"]) {
            let plain = format!("args.v: {{ {operator} }}");
            let negated = format!("not: {{ {plain} }}");
            for condition in [&plain, &negated] {
                assert_ne!(verdict("allow", condition, value), 0, "{condition} allows {value}");
                assert_eq!(verdict("block", condition, value), 3, "{condition} lets {value} pass");
            }
        }
    }
}
