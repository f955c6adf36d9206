//! The view of a decision together with what stands in it besides event and decision: what the tool is for, and what is
//! kept of the values that redaction changed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::{Arc, LazyLock};

use memchr::memmem::Finder;
use placet_trust::{Ledger, View};
use placet_types::{Event, Field, Value};
use serde_json::{Value as Json, json};

use super::recording::{Extras, decision_record};
use super::viewing::{decision_view, fields};
use super::{Case, Pipeline, denied_at_commit};
use crate::features::{self, Features};

/// The longest description that is shown, in characters.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// Of how many tools it is known what they are for.
const MAX_DESCRIPTIONS: usize = 10_000;

pub(super) type Descriptions = parking_lot::RwLock<std::collections::HashMap<Box<str>, Arc<str>>>;

impl Pipeline {
    /// Says what a tool is for: the first paragraph is shown in the records of its calls. The last one that is said counts.
    pub fn describe(&self, tool: &str, description: &str) {
        let text = description.trim().split("\n\n").next().unwrap_or_default();
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = text.char_indices().nth(MAX_DESCRIPTION_CHARS) {
            text.truncate(end);
            text.push('…');
        }
        let mut known = self.descriptions.write();
        if text.is_empty() {
            known.remove(tool);
        } else if known.len() < MAX_DESCRIPTIONS || known.contains_key(tool) {
            known.insert(tool.into(), self.redactor.text(&text).into());
        }
    }

    /// The readable view of a case, with what is kept of the values that redaction changed, and with what an approver was
    /// shown if people were asked. Beside it, what other views of the same event hold too.
    pub(super) fn view(&self, ledger: &dyn Ledger, case: &Case, question: Option<&Json>) -> (View, Besides) {
        let event = case.request.event();
        let description = self.description(event);
        let view = decision_view(event, &case.decision, &self.redactor, question, description.as_deref());
        let kept = self.kept_features(ledger, event, &view);
        let besides = Besides { description, kept };
        (besides.added_to(view), besides)
    }

    fn description(&self, event: &Event) -> Option<Arc<str>> {
        self.descriptions.read().get(event.get(Field::ToolName).as_str()?).cloned()
    }

    /// What is kept beside a view in which redaction changed something.
    fn kept_features(&self, ledger: &dyn Ledger, event: &Event, view: &View) -> Option<Kept> {
        let View::Text(text) = view else { return None };
        if !SIGNS.iter().any(|sign| sign.find(text.as_bytes()).is_some()) {
            return None;
        }
        let mut shown: Vec<(Field, Json)> =
            fields().map(|field| (field, self.redactor.value(event.get(field)))).collect();
        let resources = hide_resources(event, &mut shown);
        let key = || ledger.tenant_key(event.get(Field::TenantId).as_str()).ok();
        let pairs = shown.iter().map(|(field, shown)| (*field, shown));
        let features = Features::of(event, pairs, &self.redactor, &self.gate, key)?;
        Some(Kept { features: json!(features), resources })
    }

    /// What is recorded when a precondition fails: the same event, denied.
    pub(super) fn fallback(
        &self,
        case: &Arc<Case>,
        extras: Extras,
        besides: Besides,
    ) -> placet_trust::Fallback {
        let (case, redactor) = (case.clone(), self.redactor.clone());
        Box::new(move |refusal| {
            let event = case.request.event();
            let denied = denied_at_commit(&case.decision, refusal);
            let record = decision_record(event, &denied, Extras { permit: false, ..extras });
            let description = besides.description.as_deref();
            let view = decision_view(event, &denied, &redactor, None, description);
            (record, Some(besides.added_to(view)))
        })
    }
}

/// What every view of an event holds besides the event and a decision.
pub(super) struct Besides {
    description: Option<Arc<str>>,
    kept: Option<Kept>,
}

/// What stands in a text in which redaction changed something, or in which a value that JSON does not have is named.
static SIGNS: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| ["[REDACTED:", " bytes left out]", "[too deep to be shown]", "\"<"].map(Finder::new));

/// What is added to a view.
struct Kept {
    features: Json,
    /// The resources without those that are hidden elsewhere, if there are any.
    resources: Option<Json>,
}

impl Besides {
    fn added_to(&self, view: View) -> View {
        let Some(kept) = &self.kept else { return view };
        match view.members() {
            Ok(mut members) => {
                members.insert(features::MEMBER.to_owned(), kept.features.clone());
                members.extend(kept.resources.clone().map(|resources| ("resources".to_owned(), resources)));
                View::Members(members)
            }
            // Its text was just written from an object.
            Err(_) => view,
        }
    }
}

/// Resources are found in arguments and steps: what is hidden there is hidden here.
fn hide_resources(event: &Event, shown: &mut [(Field, Json)]) -> Option<Json> {
    let mut hidden = Vec::new();
    for (field, shown) in shown.iter().filter(|(field, _)| matches!(field, Field::Args | Field::Steps)) {
        hidden_texts(event.get(*field), shown, &mut hidden);
    }
    let hidden: Vec<(String, String)> =
        hidden.into_iter().map(|(text, mark)| (text.to_owned(), mark.to_owned())).collect();
    let (_, resources) = shown.iter_mut().find(|(field, _)| *field == Field::Resources)?;
    for resource in resources.as_array_mut()? {
        if let Some((_, mark)) = hidden.iter().find(|(text, _)| resource.as_str() == Some(text)) {
            *resource = mark.as_str().into();
        }
    }
    Some(resources.clone()).filter(|resources| resources.as_array().is_some_and(|all| !all.is_empty()))
}

/// The texts of a value that are not shown as they are, and what is shown instead.
fn hidden_texts<'v>(value: &'v Value, shown: &'v Json, found: &mut Vec<(&'v str, &'v str)>) {
    match (value, shown) {
        (Value::String(text), Json::String(mark)) if text.as_str() != mark => found.push((text, mark)),
        (Value::Array(items), Json::Array(shown)) => {
            items.iter().zip(shown).for_each(|(item, shown)| hidden_texts(item, shown, found));
        }
        (Value::Array(items), Json::String(_)) => {
            items.iter().for_each(|item| hidden_texts(item, shown, found));
        }
        (Value::Object(object), Json::Object(members)) => {
            for (key, value) in object.iter() {
                if let Some(shown) = members.get(key.as_str()) {
                    hidden_texts(value, shown, found);
                }
            }
        }
        (Value::Object(object), Json::String(mark)) => {
            for (key, value) in object.iter() {
                found.push((key, mark));
                hidden_texts(value, shown, found);
            }
        }
        _ => {}
    }
}
