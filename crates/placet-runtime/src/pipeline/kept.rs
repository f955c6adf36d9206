//! The view of a decision together with what is kept of the values that redaction changed.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_trust::Ledger;
use placet_types::Field;

use super::recording::{decision_view, shown};
use super::{Case, Pipeline};
use crate::features::{self, Features};

pub(super) type View = serde_json::Map<String, serde_json::Value>;

impl Pipeline {
    /// The readable view of a case, with what is kept of the values that redaction changed.
    pub(super) fn view(&self, ledger: &dyn Ledger, case: &Case) -> View {
        let event = case.request.event();
        let mut view = decision_view(event, &case.decision, &self.redactor);
        let key = || ledger.tenant_key(event.get(Field::TenantId).as_str()).ok();
        let features = Features::of(event, shown(&view), &self.redactor, &self.gate, key);
        view.extend(features.map(|of| (features::MEMBER.to_owned(), serde_json::json!(of))));
        view
    }
}
