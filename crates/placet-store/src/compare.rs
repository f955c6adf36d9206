//! Holding cached rows against the log without writing anything.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::borrow::Cow;

use placet_trust::{LedgerError, Refusal, State, StateKey, StateRow};
use placet_types::DenyCause;

use crate::backend::{Access, Backend, Link};
use crate::engine::{Engine, Publish, closed};

/// Takes in what others committed, and compares the rows of these things within the same transaction.
pub(crate) fn compare<B: Backend>(
    engine: &mut Engine<B>,
    keys: &mut dyn FnMut(&State) -> Vec<StateKey>,
    publish: &dyn Publish,
) -> Result<Result<(), Refusal>, LedgerError> {
    engine.ensure_open(publish)?;
    let stored = engine.begin(Access::Read)?;
    let compared = engine.catch_up(stored, publish).and_then(|()| rows(engine, keys));
    if compared.is_err() {
        engine.give_up();
    } else {
        engine.end();
    }
    compared
}

fn rows<B: Backend>(
    engine: &mut Engine<B>,
    keys: &mut dyn FnMut(&State) -> Vec<StateKey>,
) -> Result<Result<(), Refusal>, LedgerError> {
    let Some(log) = &engine.log else { return Err(closed()) };
    let rows: Vec<Cow<'_, StateRow>> =
        keys(&log.working).iter().map(|key| Cow::Owned(log.working.row(key))).collect();
    let agree = engine.link()?.agrees(&rows).map_err(|error| engine.failed("read", error))?;
    let edited_row = rows.iter().zip(agree).find(|(_, agrees)| !agrees);
    Ok(edited_row.map_or(Ok(()), |(row, _)| Err(edited(row))))
}

/// Somebody wrote what the log does not say.
pub(crate) fn edited(row: &StateRow) -> Refusal {
    let StateRow { kind, id, .. } = row;
    Refusal::new(
        DenyCause::StateTampered,
        format!(
            "the row of {kind} `{id}` is not what the log says: it was edited; put it back from a copy of the ledger"
        ),
    )
}
