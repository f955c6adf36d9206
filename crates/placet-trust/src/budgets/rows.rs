//! Budgets and reservations as rows. Each call changes some, so they are written by hand.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet_types::ledger::{Amount, BudgetKey, BudgetScope, BudgetUnit, Reservation, Window};
use serde::Serialize;

use crate::canonical;

/// The id of the row of a budget.
pub(super) fn id(key: &BudgetKey) -> String {
    #[derive(Serialize)]
    struct Id<'k> {
        scope: BudgetScope,
        owner: &'k str,
        unit: BudgetUnit,
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<Window>,
    }
    let BudgetKey { owner, scope, unit, window } = key;
    canonical::written(&Id { scope: *scope, owner, unit: *unit, window: *window })
}

/// What the row of a budget says.
#[derive(Debug, Clone)]
pub(super) struct BudgetRow {
    pub(super) burned_us: Option<i64>,
    pub(super) drops: Option<u128>,
    pub(super) in_flight: u64,
    pub(super) limit: Option<u64>,
    pub(super) period: i64,
    pub(super) seen_us: Option<i64>,
    pub(super) spent: u64,
}

impl BudgetRow {
    /// The body in canonical JSON.
    pub(super) fn body(&self) -> String {
        let Self { burned_us, drops, in_flight, limit, period, seen_us, spent } = *self;
        let mut row = RowText::new(128);
        row.raw("{");
        if let Some(burned_us) = burned_us {
            row.raw(r#""burned_us":"#).number(burned_us).raw(",");
        }
        if let Some(drops) = drops {
            // Past what JSON readers keep exactly.
            row.raw(r#""drops":""#).number(drops).raw(r#"","#);
        }
        row.raw(r#""in_flight":"#).number(in_flight);
        if let Some(limit) = limit {
            row.raw(r#","limit":"#).number(limit);
        }
        row.raw(r#","period":"#).number(period);
        if let Some(seen_us) = seen_us {
            row.raw(r#","seen_us":"#).number(seen_us);
        }
        row.raw(r#","spent":"#).number(spent).raw("}");
        row.0
    }
}

/// The body of the row of a reservation: what was reserved, and for each amount the window it was taken in.
pub(super) fn reservation(reservation: &Reservation, windows: &[i64]) -> String {
    let Reservation { amounts, expires_us, id, in_flight } = reservation;
    let mut row = RowText::new(160 + 160 * amounts.len());
    row.raw(r#"{"reservation":{"amounts":["#);
    for (index, amount) in amounts.iter().enumerate() {
        row.raw(if index > 0 { "," } else { "" }).amount(amount);
    }
    row.raw("]");
    if let Some(expires_us) = expires_us {
        row.raw(r#","expires_us":"#).number(expires_us.0);
    }
    row.raw(r#","id":"#).string(&id.0);
    row.raw(r#","in_flight":"#).raw(if *in_flight { "true" } else { "false" });
    row.raw(r#"},"windows":["#);
    for (index, window) in windows.iter().enumerate() {
        row.raw(if index > 0 { "," } else { "" }).number(*window);
    }
    row.raw("]}");
    row.0
}

/// A row that is being written.
struct RowText(String);

impl RowText {
    fn new(capacity_bytes: usize) -> Self {
        Self(String::with_capacity(capacity_bytes))
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.0.push_str(text);
        self
    }

    fn number(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.raw(itoa::Buffer::new().format(number))
    }

    fn string(&mut self, text: &str) -> &mut Self {
        // All of it is looked at, so that it can be many bytes at a time.
        let escapes = text.bytes().fold(false, |found, byte| found | matches!(byte, ..b' ' | b'"' | b'\\'));
        match escapes {
            true => self.raw(&canonical::written(&text)),
            false => self.raw("\"").raw(text).raw("\""),
        }
    }

    fn amount(&mut self, amount: &Amount) -> &mut Self {
        let Amount { amount, key: BudgetKey { owner, scope, unit, window }, limit } = amount;
        self.raw(r#"{"amount":"#).number(*amount);
        self.raw(r#","key":{"owner":"#).string(owner);
        self.raw(r#","scope":""#).raw(scope.name()).raw(r#"","unit":""#).raw(unit.name()).raw("\"");
        match window {
            Some(Window::Fixed(seconds)) => self.raw(r#","window":{"fixed":"#).number(*seconds).raw("}"),
            Some(Window::Rolling(seconds)) => self.raw(r#","window":{"rolling":"#).number(*seconds).raw("}"),
            None => self,
        };
        self.raw("}");
        if let Some(limit) = limit {
            self.raw(r#","limit":"#).number(*limit);
        }
        self.raw("}")
    }
}

#[cfg(test)]
mod tests {
    use placet_types::{Micros, ReservationId};
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[derive(Serialize)]
    struct TypedBudget {
        #[serde(skip_serializing_if = "Option::is_none")]
        burned_us: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        drops: Option<String>,
        in_flight: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
        period: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        seen_us: Option<i64>,
        spent: u64,
    }

    #[derive(Serialize)]
    struct TypedReservation<'a> {
        reservation: &'a Reservation,
        windows: &'a [i64],
    }

    const SCOPES: [BudgetScope; 5] = [
        BudgetScope::Session,
        BudgetScope::Agent,
        BudgetScope::Tool,
        BudgetScope::Tenant,
        BudgetScope::Organisation,
    ];

    fn budget_row() -> impl Strategy<Value = BudgetRow> {
        let numbers = (any::<u64>(), of(any::<u64>()), any::<i64>(), any::<u64>());
        (of(any::<i64>()), of(any::<u128>()), numbers, of(any::<i64>())).prop_map(
            |(burned_us, drops, (in_flight, limit, period, spent), seen_us)| BudgetRow {
                burned_us,
                drops,
                in_flight,
                limit,
                period,
                seen_us,
                spent,
            },
        )
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z0-9-]{0,40}", any::<String>(), "[\"\\\\/\u{0}-\u{20}\u{7f}\u{2028}é]{0,5}"]
    }

    fn amount() -> impl Strategy<Value = Amount> {
        let window =
            prop_oneof![any::<u32>().prop_map(Window::Fixed), any::<u32>().prop_map(Window::Rolling)];
        let key = (text(), select(&SCOPES[..]), select(&BudgetUnit::ALL[..]), of(window))
            .prop_map(|(owner, scope, unit, window)| BudgetKey { owner: owner.into(), scope, unit, window });
        (any::<u64>(), key, of(any::<u64>())).prop_map(|(amount, key, limit)| Amount { amount, key, limit })
    }

    proptest! {
        /// Rows that are stored were written from types.
        #[test]
        fn rows_are_written_as_their_types_have_them(
            budget in budget_row(),
            amounts in vec(amount(), 0..4),
            expires_us in of(any::<i64>().prop_map(Micros)),
            id in text(),
            in_flight in any::<bool>(),
            windows in vec(any::<i64>(), 0..4),
        ) {
            let BudgetRow { burned_us, drops, in_flight: taken, limit, period, seen_us, spent } = budget;
            let drops = drops.map(|drops| drops.to_string());
            let typed = TypedBudget { burned_us, drops, in_flight: taken, limit, period, seen_us, spent };
            prop_assert_eq!(budget.body(), canonical::written(&typed));
            let reserved = Reservation { amounts, expires_us, id: ReservationId::from(id), in_flight };
            let typed = TypedReservation { reservation: &reserved, windows: &windows };
            prop_assert_eq!(reservation(&reserved, &windows), canonical::written(&typed));
        }
    }
}
