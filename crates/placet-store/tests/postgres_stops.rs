//! A PostgreSQL that stops in the middle: commits are refused while it is away, and go on when it is back.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests: helpers outside test functions")]

#[path = "support/stopping.rs"]
mod stopping;
mod support;

use placet_store::{LogLedger, Postgres};
use placet_trust::{Ledger, LedgerError};
use placet_types::Ack;
use stopping::Server;

#[test]
fn f27_a_server_that_stops_in_the_middle_refuses_and_comes_back() {
    if std::env::var("PLACET_TEST_POSTGRES").is_ok() {
        eprintln!("a server that others use is not stopped; not run");
        return;
    }
    let (server, keys) = (Server::start(), tempfile::tempdir().unwrap());
    let url = server.url();
    let ledger = LogLedger::new(Postgres::new(&url).unwrap(), support::settings(keys.path()));
    for seq in 0..3 {
        assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, seq);
    }
    for (round, how) in ["immediate", "fast"].into_iter().enumerate() {
        server.stop(how);
        for _ in 0..3 {
            let error = ledger.commit(support::call(), Ack::Durable).unwrap_err();
            assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
        }
        server.again();
        // In the same process; nothing was lost, and nothing slipped in.
        assert_eq!(ledger.commit(support::call(), Ack::Durable).unwrap().seq, 3 + round as u64);
    }
}
