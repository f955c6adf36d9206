//! The issuer's keys: made once by many, changed while others use them, refused when they cannot be trusted.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests: helpers outside test functions")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use placet_store::{IssuerFolder, LedgerIssuer, LogLedger, Memory, Settings, Sqlite, Store};
use placet_trust::credentials::keys::{Distrust, IssuerKeys};
use placet_types::Micros;
use support::*;

const NOW: Micros = Micros(1_800_000_000_000_000);

fn ledger(folder: &Path) -> Arc<LogLedger<Sqlite>> {
    Arc::new(LogLedger::new(Sqlite::new(folder.join("placet_audit.db")), settings(folder)))
}

fn folder_of(ledger: &Arc<LogLedger<Sqlite>>) -> IssuerFolder {
    ledger.issuer().unwrap().unwrap()
}

#[test]
fn f23_many_make_one_key_on_first_use_for_their_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let ledger = ledger(place.path());
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (issuer, start) = (folder_of(&ledger), start.clone());
            thread::spawn(move || {
                start.wait();
                issuer.signer(NOW).unwrap().0.public().to_string()
            })
        })
        .collect();
    let keys: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let issuer = folder_of(&ledger);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_eq!(issuer.keys(NOW).unwrap().newest().unwrap().to_string(), keys[0]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&issuer.secret_path()), mode(&issuer.public_path())), (0o600, 0o644));
}

#[test]
fn f23_a_rotation_is_known_within_a_second_to_whoever_holds_the_old_keys() {
    let place = tempfile::tempdir().unwrap();
    let ledger = ledger(place.path());
    let (here, there) = (folder_of(&ledger), LedgerIssuer::new(ledger.clone()));
    let old = there.signer(NOW).unwrap().0.public();
    let later = Micros(NOW.0 + 10_000_000);
    let set = here.rotate(ledger.as_ref(), later, 0, "ann").unwrap();
    let begun = Instant::now();
    while there.trusted(later).unwrap() != set {
        assert!(begun.elapsed() < Duration::from_secs(1));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(set.trust(&old.id(), later, 0), Err(Distrust::Retired(later)));
    assert_eq!(there.signer(later).unwrap().0.public(), *set.newest().unwrap());
    assert_eq!(fs::metadata(here.secret_path()).unwrap().permissions().mode() & 0o777, 0o600);
    // It is on record; the secret is not.
    let secret = fs::read_to_string(here.secret_path()).unwrap();
    drop((here, there, ledger));
    let database = fs::read(place.path().join("placet_audit.db")).unwrap();
    let holds = |text: &str| database.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&set.newest().unwrap().to_string()));
    assert!(!holds(secret.rsplit(':').next().unwrap()));
}

#[test]
fn a_key_that_cannot_be_trusted_signs_nothing_and_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let ledger = ledger(place.path());
    let issuer = folder_of(&ledger);
    issuer.signer(NOW).unwrap();
    let path = issuer.secret_path();
    let good = fs::read(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    assert!(issuer.signer(NOW).unwrap_err().to_string().contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for (text, word) in [
        (&b"PLACET-SECRET-KEY-1:AAAA"[..], "not 32 bytes"),
        (b"PLACET-SECRET-KEY-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "not the newest"),
        (b"", "not of the form"),
    ] {
        fs::write(&path, text).unwrap();
        let error = issuer.signer(NOW).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("keys rotate --credentials"), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(issuer.signer(NOW).unwrap_err().to_string().contains("is missing"));
    fs::write(&path, good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    issuer.signer(NOW).unwrap();
    fs::write(issuer.public_path(), "placet-key-1 x y 0 -").unwrap();
    let anew = folder_of(&ledger);
    assert!(anew.trusted(NOW).unwrap_err().to_string().contains("holds no key"));
}

#[test]
fn a_ledger_in_memory_has_keys_that_end_with_it() {
    let made = || {
        let ledger = LogLedger::new(Memory::default(), Settings::with_passing_keys().unwrap());
        LedgerIssuer::new(Arc::new(ledger))
    };
    let (one, other) = (made(), made());
    assert_eq!(one.signer(NOW).unwrap().0.public(), *one.trusted(NOW).unwrap().newest().unwrap());
    assert_ne!(one.trusted(NOW).unwrap(), other.trusted(NOW).unwrap());
}
