//! The input document of exported policies: the event, and the normal forms of its texts.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;

use jiff::Timestamp;
use placet_types::{Event, Field, Object, Value};
use serde_json::{Map, Value as Json};

use crate::reading;
use crate::request::Request;

/// The event as JSON with [`norm`] beside its fields: what exported policies decide on.
#[must_use]
pub fn input(request: &Request) -> Json {
    let mut document = json(request.event());
    document.insert("norm".to_owned(), norm(request));
    Json::Object(document)
}

/// The normal forms of an event's texts. It has the structure of the event: a text stands as its normal form, lists
/// and objects stay, everything else is null. Beside the fields stand `unfolded` (the same structure, with the form
/// that regular expressions see), `no_text` (whether a field, by its dotted name, holds no text) and `now_ns` (the event's time in nanoseconds since
/// 1970, null when it is no time).
#[must_use]
pub fn norm(request: &Request) -> Json {
    let event = request.event();
    let mut document = mirrored(event, &reading::normal_form);
    document.insert("unfolded".to_owned(), Json::Object(mirrored(event, &reading::unfolded_form)));
    let no_text = Field::ALL
        .iter()
        .map(|field| (field.path().to_owned(), Json::from(event.get(*field).as_str().is_none())));
    document.insert("no_text".to_owned(), Json::Object(no_text.collect()));
    document.insert("now_ns".to_owned(), nanoseconds(event).map_or(Json::Null, Json::from));
    Json::Object(document)
}

fn nanoseconds(event: &Event) -> Option<i64> {
    crate::clock::nanoseconds(event.get(Field::Now).as_str()?.parse::<Timestamp>().ok()?)
}

fn json(event: &Event) -> Map<String, Json> {
    match serde_json::to_value(event) {
        Ok(Json::Object(document)) => document,
        // A document of texts, finite numbers and unique keys always serialises; without it nothing is allowed.
        _ => Map::new(),
    }
}

fn mirrored(event: &Event, form: &impl Fn(&str) -> Cow<'_, str>) -> Map<String, Json> {
    let mut mirror = Event::default();
    for field in Field::ALL {
        mirror.set(*field, mirrored_value(event.get(*field), form));
    }
    json(&mirror)
}

fn mirrored_value(value: &Value, form: &impl Fn(&str) -> Cow<'_, str>) -> Value {
    match value {
        Value::String(text) => Value::String(form(text).as_ref().into()),
        Value::Array(items) => Value::Array(items.iter().map(|item| mirrored_value(item, form)).collect()),
        Value::Object(object) => {
            let pairs = object.iter().map(|(key, value)| (key.clone(), mirrored_value(value, form)));
            Value::Object(Object::from_pairs(pairs.collect()).unwrap_or_default())
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Unknown(_) => Value::Null,
    }
}
