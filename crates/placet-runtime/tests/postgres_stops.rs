//! A pipeline over a PostgreSQL that stops in the middle of a call: nothing runs while it is away, and the outcome that
//! could not be recorded is, as soon as it is back.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod shop;
#[path = "../../placet-store/tests/support/stopping.rs"]
mod stopping;

use placet_audit::verify::verify;
use placet_runtime::pipeline::{Begun, Outcome};
use placet_store::{KeyFolder, Postgres, PostgresSource};
use placet_types::Event;
use shop::*;
use stopping::Server;

fn read_in(session: usize) -> Event {
    event(&format!(
        r#"{{"action":"read","context":{{"session_id":"session-{session}","delegation_depth":0}}}}"#
    ))
}

#[test]
fn f27_a_server_that_stops_during_a_call_refuses_and_the_outcome_is_made_up_for() {
    if std::env::var("PLACET_TEST_POSTGRES").is_ok() {
        eprintln!("a server that others use is not stopped; not run");
        return;
    }
    let (server, keys, mut effects) = (Server::start(), tempfile::tempdir().unwrap(), 0);
    let place = Postgres::new(&server.url()).unwrap();
    let shop = Shop::over(place.clone(), keys.path(), Options::default());
    assert_eq!(shop.run(read_in(0), &mut effects), Ok(()));
    for (round, how) in ["immediate", "fast"].into_iter().enumerate() {
        let session = 10 * (round + 1);
        let Begun::Started(started) = shop.pipeline.begin(read_in(session)) else { panic!("it is allowed") };
        let call = started.permit.call().expect("its digest");
        let effect = started.permit.spend(&call).expect("a good permit");
        effects += 1;
        server.stop(how);
        assert!(effect.finish(Outcome::succeeded(None)).is_err(), "the result is withheld");
        let ran = effects;
        for later in 1..4 {
            assert_eq!(shop.run(read_in(session + later), &mut effects), Err("audit_unavailable"));
        }
        assert_eq!(effects, ran, "nothing ran");
        server.again();
        assert_eq!(shop.run(read_in(session + 4), &mut effects), Ok(()), "without a restart");
    }
    drop(shop);
    let mut source = PostgresSource::open(&place).unwrap();
    let keys = KeyFolder::new(keys.path().join("keys")).verifiers(&source.origin().unwrap()).unwrap();
    let report = verify(&mut source, &keys, None).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.unknown_total, report.entries), (0, 2 * u64::from(effects)), "{report:?}");
}
