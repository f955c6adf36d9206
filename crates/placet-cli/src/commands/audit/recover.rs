//! `placet audit recover`: going on from an older copy of the log, once a person accepts what is lost.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fmt::Write as _;
use std::sync::Arc;

use clap::Args;
use placet::record::ids::{Digest, Micros};
use placet::record::ledger::{BudgetKey, RevocationTarget};
use placet::trust::LedgerError;
use placet::trust::approvals::Approval;
use placet::trust::budgets::Standing;
use placet_store::Store;
use placet_store::recovery::{Acceptance, Accepted, Rollback, RollbackError};
use serde_json::json;

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::log;
use crate::moment;
use crate::paint::{BOLD, DIM, GREEN, Paint, RED, YELLOW, visible_line};
use crate::render::counted;

/// How many things of a kind are named to a person.
const SHOWN: usize = 20;

/// What is accepted, by whom and why.
#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// Go on from the ledger as it is; without it, what is lost is only shown. There is no way back
    #[arg(long, requires_all = ["size", "root", "by", "reason"])]
    accept_rollback: bool,
    /// How many records the ledger has, as shown without `--accept-rollback`
    #[arg(long, requires = "accept_rollback", value_name = "RECORDS")]
    size: Option<u64>,
    /// The root over them, as shown without `--accept-rollback`
    #[arg(long, requires = "accept_rollback", value_name = "ROOT")]
    root: Option<Digest>,
    /// Who accepts it
    #[arg(long, requires = "accept_rollback", value_name = "NAME")]
    by: Option<Arc<str>>,
    /// Why, in words
    #[arg(long, requires = "accept_rollback", value_name = "TEXT")]
    reason: Option<String>,
    /// Budgets count as used up, since nobody knows what the lost part spent: those without a window for good, others until
    /// their window is over
    #[arg(long, requires = "accept_rollback")]
    burn_budgets: bool,
}

impl RecoverArgs {
    fn acceptance(&self) -> Option<Acceptance> {
        let (by, reason) = (self.by.clone()?, self.reason.clone()?);
        let burn_budgets = self.burn_budgets;
        self.accept_rollback.then_some(Acceptance {
            size: self.size?,
            root: self.root?,
            by,
            reason,
            burn_budgets,
        })
    }
}

pub(super) fn run(
    args: &RecoverArgs,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let store = log::store(&common.ledger, &common.ledger.config()?)?;
    match args.acceptance() {
        Some(acceptance) => accept(store.as_ref(), &acceptance, common, console),
        None => show(store.as_ref(), common, console),
    }
}

fn show(store: &dyn Store, common: &CommonArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Some(rollback) = store.rollback().map_err(failed)? else {
        if common.is_json() {
            console.json(&json!({"rollback": null}))?;
        }
        console.say("the ledger extends every checkpoint that is known of it; there is nothing to recover");
        return Ok(Exit::Ok);
    };
    let loss = Loss::of(&rollback);
    if common.is_json() {
        console.json(&loss.json(&rollback))?;
    } else {
        let text = loss.text(&rollback, console.paint);
        console.out.write_all(text.as_bytes())?;
    }
    console.say("nothing was changed; a copy of the ledger that extends the checkpoint is better than going on without it");
    Ok(Exit::Escalate)
}

fn accept(
    store: &dyn Store,
    acceptance: &Acceptance,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    if acceptance.by.trim().is_empty() || acceptance.reason.trim().is_empty() {
        return Err(Failure::Usage(
            "`--by` and `--reason` say who accepts it and why; write both".to_owned(),
        ));
    }
    let Accepted { receipt, mirror, left } =
        store.accept_rollback(acceptance).map_err(|error| match error {
            RollbackError::Ledger(error) => failed(error),
            other => Failure::Negative(other.to_string()),
        })?;
    if common.is_json() {
        let left = left.as_ref().map(ToString::to_string);
        console.json(&json!({"accepted": {"seq": receipt.seq, "mirror": mirror, "left": left}}))?;
    } else {
        let done = console.paint.paint(GREEN, "ACCEPTED");
        writeln!(console.out, "{done}  the ledger goes on; record {} says so", receipt.seq)?;
    }
    if let Some(mirror) = mirror {
        console.say(&format!("the mirror that holds more was moved to `{}`", mirror.display()));
    }
    if let Some(left) = left {
        let warning = console.paint_err.paint(YELLOW, "warning:");
        console.say(&format!("{warning} the new checkpoint is not everywhere yet: {left}"));
    }
    console.say("start every process anew that used the ledger; keep the new checkpoint elsewhere (`placet audit verify --save-checkpoint`)");
    Ok(Exit::Ok)
}

/// An edited log is no older one.
fn failed(error: LedgerError) -> Failure {
    match error {
        LedgerError::Tampered { .. } => {
            Failure::Negative(format!("{error}; only an older copy can be accepted"))
        }
        other => Failure::Ledger(other.to_string()),
    }
}

/// What ends, or may be wrong, when a rollback is accepted.
struct Loss {
    at: Micros,
    approvals: Vec<String>,
    credentials: usize,
    budgets: Vec<(BudgetKey, Standing)>,
}

impl Loss {
    fn of(rollback: &Rollback) -> Self {
        let (at, state) = (rollback.time_us, &rollback.state);
        let asked = |approval: &Approval| {
            let tool = approval.entry.tool.as_ref().unwrap_or(&approval.entry.action);
            format!("{} ({tool}, {})", approval.entry.id, approval.state_at(at))
        };
        let mut budgets: Vec<_> = state
            .budgets
            .keys_known()
            .filter_map(|key| state.budgets.standing(key, at).map(|standing| (key.clone(), standing)))
            .collect();
        budgets.sort_by(|left, right| left.0.cmp(&right.0));
        let covered = state.credentials.covered(&RevocationTarget::All);
        let credentials = covered.iter().filter(|id| state.credentials.live(id, at).is_ok()).count();
        Self { at, approvals: state.approvals.open().map(asked).collect(), credentials, budgets }
    }

    fn json(&self, rollback: &Rollback) -> serde_json::Value {
        let budget = |(key, standing): &(BudgetKey, Standing)| json!({"budget": key, "spent": standing.spent, "in_flight": standing.in_flight, "limit": standing.limit});
        json!({"rollback": {
            "size": rollback.size, "root": rollback.root, "lost": rollback.lost, "time_us": self.at,
            "open_approvals": self.approvals, "live_credentials": self.credentials,
            "budgets": self.budgets.iter().map(budget).collect::<Vec<_>>(),
        }})
    }

    fn text(&self, rollback: &Rollback, paint: Paint) -> String {
        let Rollback { size, root, lost, said_by, .. } = rollback;
        let most = lost.first().map_or(*size, |lost| lost.size);
        let has = counted(*size, "record");
        let mut out =
            format!("{}  the ledger has {has}, and {most} were signed\n", paint.paint(RED, "ROLLED BACK"));
        let mut field = |label: &str, value: &str| {
            let _ = writeln!(out, "  {}  {}", paint.paint(DIM, &format!("{label:<11}")), visible_line(value));
        };
        for (at, by) in lost.iter().zip(said_by) {
            field("covered", &format!("{} by {by}", at.size));
        }
        let gone = counted(most.saturating_sub(*size), "record");
        let last = moment::exact(self.at);
        field("lost", &format!("at least {gone} after {last}; what ran in them is not known here"));
        let shown = |all: &[String]| {
            let more = if all.len() > SHOWN { ", …" } else { "" };
            format!("{}{more}", all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
        };
        let open = counted(self.approvals.len() as u64, "open request");
        field("approvals", &format!("{open} cancelled: {}", shown(&self.approvals)));
        let live = counted(self.credentials as u64, "live one");
        field(
            "credentials",
            &format!("{live} ended, with all others issued until now, also in the lost part"),
        );
        let budgets: Vec<String> = self.budgets.iter().map(|(key, standing)| spent(key, *standing)).collect();
        let known = counted(budgets.len() as u64, "budget");
        field("budgets", &format!("{known} may have spent more: {}", shown(&budgets)));
        let _ = writeln!(out, "\n{}", paint.paint(BOLD, "to go on without what is lost"));
        let _ = writeln!(
            out,
            "  placet audit recover --accept-rollback --size {size} --root {root} --by NAME --reason TEXT\n  with \
             `--burn-budgets` the budgets count as used up; without it they go on from their counters"
        );
        out
    }
}

fn spent(key: &BudgetKey, standing: Standing) -> String {
    let used = standing.spent.saturating_add(standing.in_flight);
    match standing.limit {
        Some(limit) => format!("{key}: {used} of {limit}"),
        None => format!("{key}: {used}"),
    }
}
