//! The view of a decision together with what stands in it besides event and decision: what the tool is for, and what is
//! kept of the values that redaction changed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::Ledger;
use placet_types::Field;

use super::recording::{Extras, decision_record, decision_view, shown};
use super::{Case, Pipeline, denied_at_commit};
use crate::features::{self, Features};

/// The member of a view that says what its tool is for.
const DESCRIPTION: &str = "description";

/// The longest description that is shown, in characters.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// Of how many tools it is known what they are for.
const MAX_DESCRIPTIONS: usize = 10_000;

pub(super) type Descriptions = parking_lot::RwLock<std::collections::HashMap<Box<str>, std::sync::Arc<str>>>;

type View = serde_json::Map<String, serde_json::Value>;

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

    /// The readable view of a case, with what is kept of the values that redaction changed.
    pub(super) fn view(&self, ledger: &dyn Ledger, case: &Case) -> View {
        let event = case.request.event();
        let mut view = decision_view(event, &case.decision, &self.redactor);
        let key = || ledger.tenant_key(event.get(Field::TenantId).as_str()).ok();
        let features = Features::of(event, shown(&view), &self.redactor, &self.gate, key);
        view.extend(features.map(|of| (features::MEMBER.to_owned(), serde_json::json!(of))));
        if let Some(tool) = event.get(Field::ToolName).as_str()
            && let Some(description) = self.descriptions.read().get(tool)
        {
            view.insert(DESCRIPTION.to_owned(), (&**description).into());
        }
        view
    }

    /// What is recorded when a precondition fails: the same event, denied.
    pub(super) fn fallback(&self, case: &Case, extras: Extras, view: &View) -> placet_trust::Fallback {
        // Long histories stand in no record.
        let event = case.request.event().clone_without(Field::ToolHistory);
        let decision = case.decision.clone();
        let redactor = self.redactor.clone();
        let besides = besides(view);
        Box::new(move |refusal| {
            let denied = denied_at_commit(&decision, refusal);
            let record = decision_record(&event, &denied, Extras { permit: false, ..extras });
            let mut view = decision_view(&event, &denied, &redactor);
            view.extend(besides);
            (record, Some(view))
        })
    }
}

/// What a view holds that does not follow from event and decision.
fn besides(view: &View) -> Vec<(String, serde_json::Value)> {
    let of = |name: &str| Some((name.to_owned(), view.get(name)?.clone()));
    [features::MEMBER, DESCRIPTION].into_iter().filter_map(of).collect()
}
