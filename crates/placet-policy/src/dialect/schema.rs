//! The JSON Schema of a YAML policy file, made from the tables the loader reads by.
//!
//! What a schema cannot say is left to the loader: patterns that do not compile, names used twice, unknown time
//! zones, keys written twice, and misspelt operators below an argument.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::{RiskTier, value::MAX_NUMBER};
use serde_json::{Value, json};

use super::conditions::{COUNT_KEYS, MAX_REGEX_CHARS, OPERATORS};
use super::{fields, match_dialect as matching, rules_dialect as rules, vocabulary};
use crate::glob::MAX_CHARS as MAX_GLOB_CHARS;
use crate::ir::Order;

/// A dotted key path: no empty key, `\.` is a dot inside one.
const KEYS: &str = r"^([^.\\]|\\[\s\S])+(\.([^.\\]|\\[\s\S])+)*$";

/// The schema, in draft 2020-12.
#[must_use]
pub fn policy() -> Value {
    let is_match_rule =
        json!({ "anyOf": matching::TELLING_KEYS.iter().map(|key| required(&[key])).collect::<Vec<_>>() });
    let is_match = json!({ "anyOf": [
        required(&["defaults"]),
        { "properties": { "rules": { "type": "array", "contains": is_match_rule } }, "required": ["rules"] },
    ] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:placet:schema:policy:1",
        "title": "Placet policy",
        "description": "A YAML policy file: rules with `when`/`then`, or rules with `match`/`approval`.",
        "type": "object",
        "if": is_match,
        "then": reference("matchPolicy"),
        "else": reference("rulesPolicy"),
        "$defs": definitions(),
    })
}

fn definitions() -> Value {
    json!({
        "rulesPolicy": object(rules::TOP_KEYS, rules_top, &["version", "rules"]),
        "rule": rule(),
        "when": when(),
        "nestedWhen": { "allOf": [reference("when"), { "minProperties": 1 }] },
        "matchPolicy": object(matching::TOP_KEYS, match_top, &["version"]),
        "matchRule": object(matching::RULE_KEYS, match_rule, &[]),
        "matchConditions": match_conditions(),
        "nestedMatchConditions": { "allOf": [reference("matchConditions"), { "type": "object", "minProperties": 1 }] },
        "operators": {
            "description": "Every operator must hold.",
            "type": "object",
            "minProperties": 1,
            "properties": OPERATORS.iter().map(|name| ((*name).to_owned(), operator(name))).collect::<serde_json::Map<_, _>>(),
            "additionalProperties": false,
        },
        "value": { "description": "A scalar that the value equals, or operators.", "anyOf": [reference("scalar"), reference("operators")] },
        "openObject": open_object(),
        "openValue": { "anyOf": [reference("scalar"), reference("operators"), reference("openObject")] },
        "element": element(),
        "scalar": { "anyOf": [{ "type": "string" }, number(), { "type": "boolean" }] },
        "ordered": { "anyOf": [{ "type": "string" }, number(), reference("fieldReference")] },
        "operand": { "anyOf": [reference("scalar"), reference("fieldReference")] },
        "members": { "anyOf": [
            { "type": "array", "items": reference("scalar"), "minItems": 1 },
            reference("fieldReference"),
        ] },
        "texts": { "anyOf": [{ "type": "string" }, text_list()] },
        "globs": { "anyOf": [glob(), { "type": "array", "items": glob(), "minItems": 1 }] },
        "fieldReference": {
            "description": "Another value of the event.",
            "type": "object",
            "properties": { "field": reference("fieldName") },
            "required": ["field"],
            "additionalProperties": false,
        },
        "fieldName": { "anyOf": [{ "enum": fields::names() }, { "type": "string", "pattern": open_names() }] },
    })
}

fn rules_top(key: &str) -> Value {
    match key {
        "version" => version(),
        "rules" => json!({ "type": "array", "items": reference("rule"), "minItems": 1 }),
        "package" => json!({ "description": "Has no meaning in YAML and is ignored.", "deprecated": true }),
        _ => json!({ "type": "string" }),
    }
}

fn rule() -> Value {
    let rule = object(rules::RULE_KEYS, rule_key, &["name", "when", "then"]);
    let only = |effect: &str| json!({ "properties": { "then": { "const": effect } } });
    let every = json!([
        { "if": only("allow"), "then": { "properties": { "when": { "minProperties": 1 } } } },
        { "if": required(&["reviewers"]), "then": only("hitl") },
    ]);
    with(rule, "allOf", every)
}

fn rule_key(key: &str) -> Value {
    match key {
        "name" => {
            json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.-]*$", "maxLength": rules::MAX_NAME_CHARS })
        }
        "when" => reference("when"),
        "then" => words(vocabulary::THEN.iter().map(|(word, _)| *word)),
        "risk_tier" => words(RiskTier::ALL.iter().map(|tier| tier.name())),
        "reviewers" => reference("texts"),
        _ => json!({ "type": "string" }),
    }
}

/// Fields, combinators, and names below the open objects.
fn when() -> Value {
    let mut properties: serde_json::Map<String, Value> =
        fields::names().into_iter().map(|name| (name.to_owned(), field_condition())).collect();
    for name in ["args", "context.attributes"] {
        properties.insert(name.to_owned(), reference("openObject"));
    }
    for name in ["scope", "context.session_scopes"] {
        properties.insert(name.to_owned(), json!({ "anyOf": [reference("operators"), reference("texts")] }));
    }
    for name in ["any", "all"] {
        properties.insert(name.to_owned(), list_of("nestedWhen"));
    }
    properties.insert("not".to_owned(), reference("nestedWhen"));
    let mut patterns = serde_json::Map::new();
    patterns.insert(open_name("args"), reference("value"));
    patterns.insert(open_name(r"context\.attributes"), field_condition());
    json!({
        "description": "Every condition must hold.",
        "type": "object",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    })
}

/// A list right of a field: one of them; right of `scope`: all of them.
fn field_condition() -> Value {
    json!({ "anyOf": [reference("value"), text_list()] })
}

fn match_top(key: &str) -> Value {
    match key {
        "version" => version(),
        "defaults" => object(matching::DEFAULT_KEYS, match_word, &[]),
        "rules" => {
            json!({ "anyOf": [{ "type": "array", "items": reference("matchRule") }, { "type": "null" }] })
        }
        _ => json!({ "type": "string" }),
    }
}

fn match_word(key: &str) -> Value {
    match key {
        "risk_level" => words(vocabulary::RISK_LEVEL.iter().map(|(word, _)| *word)),
        _ => words(vocabulary::APPROVAL.iter().map(|(word, _)| *word)),
    }
}

fn match_rule(key: &str) -> Value {
    match key {
        "match" => {
            let keys: Vec<&str> = matching::MATCH_KEYS.iter().map(|(key, _)| *key).collect();
            object(&keys, |_| reference("globs"), &[])
        }
        "conditions" => reference("matchConditions"),
        "risk_level" | "approval" => match_word(key),
        _ => json!({ "type": "string" }),
    }
}

fn match_conditions() -> Value {
    let conditions = object(matching::CONDITION_KEYS, match_condition, &[]);
    let conditions = with(conditions, "type", json!(["object", "null"]));
    let window: Vec<Value> =
        ["time_after", "time_before", "weekdays"].iter().map(|key| required(&[key])).collect();
    with(conditions, "dependentSchemas", json!({ "timezone": { "anyOf": window } }))
}

fn match_condition(key: &str) -> Value {
    match key {
        "time_after" | "time_before" => {
            json!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" })
        }
        "weekdays" => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 7 }, "minItems": 1 })
        }
        "timezone" => json!({ "description": "A name of the IANA database.", "type": "string" }),
        "any" | "all" => list_of("nestedMatchConditions"),
        "not" => reference("nestedMatchConditions"),
        matching::HISTORY => reference("operators"),
        parameters => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": KEYS },
            "additionalProperties": operator(parameters.trim_start_matches("param_")),
        }),
    }
}

/// What may stand right of an operator.
fn operator(name: &str) -> Value {
    match name {
        "eq" | "ne" => reference("operand"),
        "gt" | "gte" | "lt" | "lte" => reference("ordered"),
        "in" | "not_in" | "subset_of" => reference("members"),
        "contains" | "not_contains" => reference("scalar"),
        "glob" => glob(),
        "matches" => json!({ "description": "RE2 syntax.", "type": "string", "maxLength": MAX_REGEX_CHARS }),
        "exists" => json!({ "type": "boolean" }),
        "count" => {
            let orders = [Order::Gt, Order::Gte, Order::Lt, Order::Lte].map(Order::word);
            let condition = |key: &str| if key == "where" { reference("element") } else { number() };
            let one = orders.map(|order| required(&[order]));
            with(object(COUNT_KEYS, condition, &[]), "oneOf", json!(one))
        }
        "some" | "every" => reference("element"),
        _ => json!({ "type": "string" }),
    }
}

/// Names below an open object, to any depth.
fn open_object() -> Value {
    json!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": KEYS },
        "additionalProperties": {
            "if": { "type": "object", "anyOf": OPERATORS.iter().map(|name| required(&[name])).collect::<Vec<_>>() },
            "then": reference("operators"),
            "else": reference("openValue"),
        },
    })
}

/// A condition on one element of a list.
fn element() -> Value {
    let has_operator = json!({ "anyOf": OPERATORS.iter().map(|name| required(&[name])).collect::<Vec<_>>() });
    json!({
        "description": "Operators on the element itself, or conditions on its keys.",
        "type": "object",
        "if": has_operator,
        "then": reference("operators"),
        "else": {
            "minProperties": 1,
            "propertyNames": { "pattern": KEYS },
            "properties": { "any": list_of("element"), "all": list_of("element"), "not": reference("element") },
            "additionalProperties": reference("value"),
        },
    })
}

fn version() -> Value {
    json!({ "enum": [1, "1"] })
}

fn number() -> Value {
    json!({ "type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER })
}

fn glob() -> Value {
    json!({ "description": "`*`, `?`, `[seq]`, `[!seq]`; the whole text.", "type": "string", "maxLength": MAX_GLOB_CHARS })
}

fn text_list() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
}

fn list_of(name: &str) -> Value {
    json!({ "type": "array", "items": reference(name), "minItems": 1 })
}

fn words<'w>(words: impl Iterator<Item = &'w str>) -> Value {
    json!({ "enum": words.collect::<Vec<_>>() })
}

fn required(keys: &[&str]) -> Value {
    json!({ "required": keys })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// An object of known keys.
fn object(keys: &[&str], schema: impl Fn(&str) -> Value, required: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        keys.iter().map(|key| ((*key).to_owned(), schema(key))).collect();
    let object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if required.is_empty() { object } else { with(object, "required", json!(required)) }
}

/// A schema with one more keyword.
fn with(mut schema: Value, keyword: &str, value: Value) -> Value {
    if let Value::Object(keywords) = &mut schema {
        keywords.insert(keyword.to_owned(), value);
    }
    schema
}

fn open_name(prefix: &str) -> String {
    format!(r"^{prefix}(\.([^.\\]|\\[\s\S])+)+$")
}

fn open_names() -> String {
    open_name(r"(args|context\.attributes)")
}
