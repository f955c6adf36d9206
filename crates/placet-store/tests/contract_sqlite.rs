//! The contract of a ledger, over sqlite.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: helpers outside test functions"
)]

mod contract;
mod support;

use contract::{Place, contract};
use placet_store::{Settings, Sqlite};
use tempfile::TempDir;

struct InSqlite(TempDir);

impl InSqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Place for InSqlite {
    type Backend = Sqlite;

    fn backend(&self) -> Sqlite {
        Sqlite::new(self.0.path().join("placet_audit.db"))
    }

    fn settings(&self) -> Settings {
        support::settings(self.0.path())
    }

    fn edit(&self, kind: &str, id: &str, body: Option<&str>) {
        let shell = rusqlite::Connection::open(self.0.path().join("placet_audit.db")).unwrap();
        let changed = match body {
            Some(body) => {
                shell.execute("UPDATE state SET body = ?3 WHERE kind = ?1 AND id = ?2", [kind, id, body])
            }
            None => shell.execute("DELETE FROM state WHERE kind = ?1 AND id = ?2", [kind, id]),
        };
        assert_eq!(changed.unwrap(), 1);
    }
}

contract! { InSqlite::new();
    f26_sqlite_commits_are_numbered_and_seen => commits_are_numbered_and_seen,
    f26_sqlite_a_view_is_found_wherever_it_stands => a_view_is_found_wherever_it_stands,
    f26_sqlite_a_failed_precondition_commits_the_fallback => a_failed_precondition_commits_the_fallback,
    f26_sqlite_sixty_four_callers_spend_a_budget_of_ten => sixty_four_callers_spend_a_budget_of_ten,
    f67_f26_sqlite_of_fifty_deciders_one_wins => of_fifty_deciders_one_wins,
    f26_sqlite_a_log_is_read_again => a_log_is_read_again,
    f26_sqlite_a_record_id_is_taken_once => a_record_id_is_taken_once,
    f26_sqlite_two_writers_share_one_log => two_writers_share_one_log,
    f26_sqlite_waiting_ends_with_news => waiting_ends_with_news,
    f26_sqlite_published_is_covered_by_a_checkpoint => published_is_covered_by_a_checkpoint,
    f26_sqlite_time_never_runs_backwards => time_never_runs_backwards,
    f26_sqlite_an_edited_row_is_noticed => an_edited_row_is_noticed,
    f26_sqlite_an_edited_row_stops_no_others_in_its_batch => an_edited_row_stops_no_others_in_its_batch,
    f26_sqlite_what_is_erased_is_gone_and_on_record => what_is_erased_is_gone_and_on_record,
    f26_sqlite_a_record_too_large_is_refused_alone => a_record_too_large_is_refused_alone,
    f26_sqlite_a_fault_in_a_fallback_refuses_and_harms_nothing => a_fault_in_a_fallback_refuses_and_harms_nothing,
    f26_sqlite_closing_signs_and_the_next_use_opens => closing_signs_and_the_next_use_opens,
    f72_sqlite_memories_keep_to_their_session_and_tier => memories_keep_to_their_session_and_tier,
}
