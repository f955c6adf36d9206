//! What other evaluators answer, as decisions.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{DenyCause, refusal, tiers};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::decision::PolicyDecision;
use crate::event::FrozenEvent;

/// The deny when an evaluator failed; `code` is `evaluator_failure` or `opa_connection_failure`.
#[pyfunction]
pub(crate) fn failure(code: &str, reason: &str, event: &FrozenEvent) -> PyResult<PolicyDecision> {
    let causes = [DenyCause::EvaluatorFailure, DenyCause::OpaConnectionFailure];
    let cause = causes.into_iter().find(|cause| cause.code() == code);
    let cause = cause.ok_or_else(|| PyValueError::new_err(format!("`{code}` is no code of a failure")))?;
    Ok(event.decided(refusal::failure(cause, reason, "".into())))
}

/// Takes over what an evaluator answered: under an id of its own, or as a deny when it is no decision.
#[pyfunction]
pub(crate) fn adopt(
    answer: &Bound<'_, PyAny>,
    evaluator: &str,
    event: &FrozenEvent,
) -> PyResult<PolicyDecision> {
    let Ok(given) = answer.cast_exact::<PolicyDecision>() else {
        let found = answer.get_type().name()?;
        let reason = format!("the evaluator {evaluator} returned {found}; it must return a PolicyDecision");
        return failure(DenyCause::EvaluatorFailure.code(), &reason, event);
    };
    let mut decision = given.get().decision().clone();
    decision.decision_id = refusal::new_id();
    if decision.policy_version.is_empty() {
        decision.policy_version = format!("evaluator:{evaluator}").into();
    }
    Ok(event.decided(decision))
}

/// Combines the answers of two tiers; the second is `None` when it was not asked.
#[pyfunction]
pub(crate) fn combine_tiers(
    global_: &PolicyDecision,
    project: Option<&PolicyDecision>,
    event: &FrozenEvent,
) -> PolicyDecision {
    event.decided(tiers::combine(global_.decision(), project.map(PolicyDecision::decision)))
}

/// What is said about a plan that may not be carried out; `None` when it may.
#[pyfunction]
pub(crate) fn refusal_of_plan(decision: &PolicyDecision) -> Option<String> {
    refusal::of_plan(decision.decision())
}

/// A name as policies compare it: two names with the same form are one name.
#[pyfunction]
pub(crate) fn normal_form(name: &str) -> String {
    placet::normal_form(name).into_owned()
}
