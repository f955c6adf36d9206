//! Generated policies: valid files of both dialects, with every operator, written as JSON, which is YAML.
//!
//! Names and values come from small pools that the events share, so that rules match now and then and spellings of
//! one name meet.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_policy::{GlobalMode, LoadOptions, SourceFile};
use placet_types::Tier;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};

/// Names of actions and tools, some of them spellings of one name.
pub const ACTIONS: &[&str] = &[
    "pay",
    "Pay",
    "send",
    "read_file",
    "write_x",
    "delete",
    "p\u{ad}ay",
    " send",
    "\u{ff50}ay",
    "agent.plan",
];

/// Other texts that policies and events use.
pub const TEXTS: &[&str] = &[
    "x",
    "X",
    " x",
    "x\u{200b}",
    "ab",
    "abc",
    "a/b",
    "/etc/passwd",
    "/tmp/../etc/passwd",
    "/tmp/%2e%2e/etc",
    "..",
    "//",
    "",
    "5",
    "true",
    "stra\u{df}e",
    "STRASSE",
    "\u{e9}",
    "e\u{301}",
    "foo bar",
    "\u{e9}foo",
    "C:\\win",
    "clerk",
    "Admin",
    "line\nbreak",
    "a b",
    "a-b",
    "]",
    "*",
    "\"q\"",
    "https://x.org/a/../b",
];

/// Roles and scopes.
pub const NAMES: &[&str] = &["clerk", "Clerk", "admin", "pay", "read", "re\u{ad}ad"];

const GLOBS: &[&str] = &[
    "*", "pay", "P*", "*a*", "??d", "se[mn]d", "[!a]*", "*/etc/*", "/tmp/*", "*_x", "a*c", "", "x", "[]]",
    "[*]*", "*\u{df}e", "re*d*e", "**",
];

const REGEXES: &[&str] = &[
    "^pay$",
    "(?i)^PAY$",
    "\\bfoo\\b",
    "\\d+",
    "^\\w+$",
    "[^a-z]",
    "etc/(passwd|shadow)",
    "^$",
    "a.c",
    "(?s)line.break",
    "(a|b){1,3}",
    "x*?y?",
    "\u{e9}",
    "^/tmp(/|$)",
    "(?m)^break",
    "[[:alpha:]&&[^x]]+",
    "\\.\\.",
];

const NUMBERS: &[f64] = &[-5.0, -0.5, 0.0, 0.1, 1.0, 2.0, 3.5, 100.0, 9_007_199_254_740_992.0];

/// Fields that hold anything, as conditions name them.
const FIELDS: &[&str] = &[
    "args.a",
    "args.b",
    "args.list",
    "args.obj.inner",
    "args.obj",
    "target",
    "context.delegation_depth",
    "context.user_role",
    "context.attributes.level",
    "tool_name",
    "tool_tags",
    "requested_capabilities",
    "session.tool_history",
    "steps",
    "resources",
    "context.sandbox_verified",
    "context.budget_used_tokens",
    "session.cost",
    "parent.depth",
    "parent.session_id",
    "data_classification",
    "resource_path",
    "context.session_scopes",
    "agent",
    "tenant",
    "transport",
];

/// One generated policy set.
#[derive(Debug, Clone)]
pub struct PolicyCase {
    /// Tier and text of each file.
    pub files: Vec<(Tier, String)>,
    /// Whether the global tier's allow is needed.
    pub global_grants: bool,
}

impl PolicyCase {
    /// The files as the engine loads them.
    #[must_use]
    pub fn sources(&self) -> Vec<(Tier, SourceFile)> {
        let named = |(number, (tier, text)): (usize, &(Tier, String))| {
            (*tier, SourceFile::new(format!("file{number}.yaml"), text.as_str()))
        };
        self.files.iter().enumerate().map(named).collect()
    }

    /// The options that go with them.
    #[must_use]
    pub fn options(&self) -> LoadOptions {
        LoadOptions { global_mode: self.mode(), ..LoadOptions::default() }
    }

    /// How the global tier takes part.
    #[must_use]
    pub fn mode(&self) -> GlobalMode {
        if self.global_grants { GlobalMode::Grant } else { GlobalMode::Guard }
    }
}

/// One to three files of any dialect and tier.
pub fn policy_case() -> impl Strategy<Value = PolicyCase> {
    let tier = prop_oneof![1 => Just(Tier::Core), 1 => Just(Tier::Global), 4 => Just(Tier::Project)];
    (vec((tier, file()), 1..4), any::<bool>()).prop_map(|(files, global_grants)| PolicyCase {
        files: files.into_iter().map(|(tier, file)| (tier, file.to_string())).collect(),
        global_grants,
    })
}

/// A file of either dialect.
pub fn file() -> impl Strategy<Value = Json> {
    prop_oneof![3 => rules_file(), 2 => match_file()]
}

/// A file of the Rules dialect.
pub fn rules_file() -> impl Strategy<Value = Json> {
    let rule = (when(2), select(&["allow", "allow", "hitl", "deny", "block"][..]), extras()).prop_map(
        |(when, then, extras)| {
            let mut rule = Map::new();
            // An allow of everything does not load.
            let then = if when.is_empty() && then == "allow" { "deny" } else { then };
            rule.insert("when".to_owned(), Json::Object(when));
            rule.insert("then".to_owned(), json!(then));
            let (reason, risk_tier, reviewers) = extras;
            reason.map(|reason| rule.insert("reason".to_owned(), json!(reason)));
            risk_tier.map(|tier| rule.insert("risk_tier".to_owned(), json!(tier)));
            reviewers
                .filter(|_| then == "hitl")
                .map(|names| rule.insert("reviewers".to_owned(), json!(names)));
            rule
        },
    );
    vec(rule, 1..5).prop_map(|rules| json!({"version": 1, "rules": named(rules)}))
}

/// A file of the Match dialect.
pub fn match_file() -> impl Strategy<Value = Json> {
    let approval = || select(&["auto", "auto", "approve", "block"][..]);
    let level = || select(&["low", "medium", "high", "critical"][..]);
    let globs = || prop_oneof![3 => glob(), 1 => vec(glob(), 1..3).prop_map(Json::from)];
    let matches = prop::collection::btree_map(select(&["type", "target", "agent"][..]), globs(), 0..3);
    let rule = (matches, prop::option::of(conditions(2)), approval(), level()).prop_map(
        |(matches, conditions, approval, level)| {
            let mut rule = Map::new();
            rule.insert("match".to_owned(), json!(matches));
            conditions.map(|conditions| rule.insert("conditions".to_owned(), Json::Object(conditions)));
            rule.insert("approval".to_owned(), json!(approval));
            rule.insert("risk_level".to_owned(), json!(level));
            rule
        },
    );
    (vec(rule, 0..6), prop::option::of(approval()), level()).prop_map(|(rules, approval, level)| {
        let mut defaults = json!({"risk_level": level});
        if let (Some(approval), Json::Object(defaults)) = (approval, &mut defaults) {
            defaults.insert("approval".to_owned(), json!(approval));
        }
        json!({"version": "1", "defaults": defaults, "rules": named(rules)})
    })
}

fn named(rules: Vec<Map<String, Json>>) -> Vec<Json> {
    let name = |(number, mut rule): (usize, Map<String, Json>)| {
        rule.insert("name".to_owned(), json!(format!("rule{number}")));
        Json::Object(rule)
    };
    rules.into_iter().enumerate().map(name).collect()
}

type Extras = (Option<&'static str>, Option<&'static str>, Option<Vec<&'static str>>);

fn extras() -> impl Strategy<Value = Extras> {
    let tiers =
        &["INFORMATIONAL", "OPERATIONAL", "TRANSACTIONAL_HIGH", "DESTRUCTIVE", "SECURITY_CRITICAL"][..];
    (
        prop::option::of(select(&["because", "\"quoted\" \u{2028} reason", ""][..])),
        prop::option::of(select(tiers)),
        prop::option::of(vec(select(&["finance", "ops"][..]), 1..3)),
    )
}

fn text() -> BoxedStrategy<Json> {
    prop_oneof![2 => select(TEXTS), 1 => select(ACTIONS), 1 => select(NAMES)].prop_map(Json::from).boxed()
}

fn number() -> BoxedStrategy<Json> {
    let plain = |number: f64| {
        if number.fract() == 0.0 {
            number.to_string().parse::<i64>().map_or(Json::Null, Json::from)
        } else {
            json!(number)
        }
    };
    select(NUMBERS).prop_map(plain).boxed()
}

fn literal() -> BoxedStrategy<Json> {
    prop_oneof![3 => text(), 2 => number(), 1 => any::<bool>().prop_map(Json::from)].boxed()
}

fn glob() -> BoxedStrategy<Json> {
    prop_oneof![2 => select(GLOBS), 1 => select(ACTIONS)].prop_map(Json::from).boxed()
}

fn reference() -> BoxedStrategy<Json> {
    select(FIELDS).prop_map(|field| json!({"field": field})).boxed()
}

fn object(entries: Vec<(String, Json)>) -> Map<String, Json> {
    entries.into_iter().collect()
}

/// An operator map; its operators may contradict each other.
fn operators(depth: u32) -> BoxedStrategy<Json> {
    vec(operator(depth), 1..3).prop_map(|operators| Json::Object(object(operators))).boxed()
}

fn operator(depth: u32) -> BoxedStrategy<(String, Json)> {
    let named = |names: &'static [&'static str], operand: BoxedStrategy<Json>| {
        (select(names).prop_map(str::to_owned), operand).boxed()
    };
    let list = || prop_oneof![3 => vec(literal(), 1..4).prop_map(Json::from), 1 => reference()].boxed();
    let ordered = prop_oneof![3 => number(), 1 => text(), 1 => reference()].boxed();
    let counts = (select(&["gt", "gte", "lt", "lte"][..]), 0_u32..4)
        .prop_map(|(name, limit)| json!({name: limit}))
        .boxed();
    let plain = prop_oneof![
        3 => named(&["eq", "ne"], prop_oneof![4 => literal(), 1 => reference()].boxed()),
        3 => named(&["gt", "gte", "lt", "lte"], ordered),
        2 => named(&["in", "not_in"], list()),
        2 => named(&["contains", "not_contains"], literal()),
        1 => named(&["starts_with", "ends_with"], text()),
        1 => named(&["glob"], glob()),
        1 => named(&["matches"], select(REGEXES).prop_map(Json::from).boxed()),
        1 => named(&["exists"], any::<bool>().prop_map(Json::from).boxed()),
        1 => named(&["subset_of"], list()),
        1 => named(&["count"], counts),
    ];
    if depth == 0 {
        return plain.boxed();
    }
    let filtered = (select(&["gt", "gte", "lt", "lte"][..]), 0_u32..4, element(depth - 1))
        .prop_map(|(name, limit, filter)| ("count".to_owned(), json!({name: limit, "where": filter})));
    prop_oneof![
        12 => plain,
        2 => named(&["some", "every"], element(depth - 1)),
        1 => filtered,
    ]
    .boxed()
}

/// A condition on one element of a list.
fn element(depth: u32) -> BoxedStrategy<Json> {
    let key = || select(&["tool", "tool_name", "inner", "args.a", "x"][..]).prop_map(str::to_owned);
    let keyed = || (key(), prop_oneof![operators(0), literal()]);
    let plain = prop_oneof![
        2 => operators(depth),
        2 => vec(keyed(), 1..3).prop_map(|entries| Json::Object(object(entries))),
    ];
    if depth == 0 {
        return plain.boxed();
    }
    let inner = || element(depth - 1);
    prop_oneof![
        4 => plain,
        1 => vec(inner(), 1..3).prop_map(|parts| json!({"any": parts})),
        1 => vec(inner(), 1..3).prop_map(|parts| json!({"all": parts})),
        1 => inner().prop_map(|part| json!({"not": part})),
    ]
    .boxed()
}

/// The `when` of a rule; may be empty.
fn when(depth: u32) -> BoxedStrategy<Map<String, Json>> {
    vec(condition(depth), 0..4).prop_map(object).boxed()
}

fn condition(depth: u32) -> BoxedStrategy<(String, Json)> {
    let keyed = |key: &str, value: BoxedStrategy<Json>| {
        let key = key.to_owned();
        value.prop_map(move |value| (key.clone(), value)).boxed()
    };
    let actions = || select(ACTIONS).prop_map(Json::from).boxed();
    let action =
        prop_oneof![3 => actions(), 1 => vec(actions(), 1..4).prop_map(Json::from), 2 => operators(0)]
            .boxed();
    let names = || select(NAMES).prop_map(Json::from).boxed();
    let several = || {
        prop_oneof![2 => names(), 1 => vec(names(), 1..3).prop_map(Json::from), 1 => operators(depth)].boxed()
    };
    let argument = prop_oneof![3 => operators(depth), 1 => literal()].boxed();
    let arguments = (argument.clone(), prop::option::of(operators(0))).prop_map(|(a, inner)| match inner {
        Some(inner) => json!({"a": a, "obj": {"inner": inner}}),
        None => json!({"b": a}),
    });
    let field = (select(FIELDS).prop_map(str::to_owned), operators(depth)).boxed();
    let plain = prop_oneof![
        5 => keyed("action", action),
        1 => keyed("event_type", select(&["tool_call", "agent.plan"][..]).prop_map(Json::from).boxed()),
        2 => keyed("role", several()),
        2 => keyed("scope", several()),
        2 => keyed("args", arguments.boxed()),
        1 => keyed("args.a", argument),
        5 => field,
    ];
    if depth == 0 {
        return plain.boxed();
    }
    let nested = || vec(condition(depth - 1), 1..3).prop_map(|entries| Json::Object(object(entries)));
    let parts = || vec(nested(), 1..3).prop_map(Json::from).boxed();
    prop_oneof![
        8 => plain,
        1 => keyed("any", parts()),
        1 => keyed("all", parts()),
        1 => keyed("not", nested().boxed()),
    ]
    .boxed()
}

/// The `conditions` of a Match rule.
fn conditions(depth: u32) -> BoxedStrategy<Map<String, Json>> {
    let part = move || {
        let parameter = (operator(0), select(&["a", "b", "list", "obj.inner"][..])).prop_map(
            |((name, operand), argument)| {
                let known = !matches!(name.as_str(), "subset_of" | "count");
                let (name, operand) =
                    if known { (name, operand) } else { ("exists".to_owned(), Json::Bool(true)) };
                vec![(format!("param_{name}"), json!({argument: operand}))]
            },
        );
        let plain = prop_oneof![3 => parameter, 2 => window()];
        if depth == 0 {
            return plain.boxed();
        }
        let inner = || conditions(depth - 1).prop_map(Json::Object);
        let keyed = |key: &'static str| move |value: Json| vec![(key.to_owned(), value)];
        prop_oneof![
            6 => plain,
            1 => vec(inner(), 1..3).prop_map(Json::from).prop_map(keyed("any")),
            1 => vec(inner(), 1..3).prop_map(Json::from).prop_map(keyed("all")),
            1 => inner().prop_map(keyed("not")),
        ]
        .boxed()
    };
    vec(part(), 1..3).prop_map(|parts| object(parts.into_iter().flatten().collect())).boxed()
}

/// Hours, days and a zone; a zone never stands alone.
fn window() -> impl Strategy<Value = Vec<(String, Json)>> {
    let times = || prop::option::of(select(&["00:00", "06:30", "09:00", "18:00", "23:59"][..]));
    let days = prop::option::of(vec(1_u8..8, 1..4));
    let zone = prop::option::of(select(&["Asia/Seoul", "America/New_York", "UTC", "Asia/Kathmandu"][..]));
    (times(), times(), days, zone).prop_map(|(after, before, days, zone)| {
        let after = if before.is_none() && days.is_none() { after.or(Some("12:00")) } else { after };
        let mut entries = Vec::new();
        entries.extend(after.map(|time| ("time_after".to_owned(), json!(time))));
        entries.extend(before.map(|time| ("time_before".to_owned(), json!(time))));
        entries.extend(days.map(|days| ("weekdays".to_owned(), json!(days))));
        entries.extend(zone.map(|zone| ("timezone".to_owned(), json!(zone))));
        entries
    })
}
