//! What every ledger must do, whatever it is kept in.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(unreachable_pub, reason = "shared by several test files")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use placet_store::backend::Backend;
use placet_store::{LogLedger, Settings};
use placet_trust::approvals::queue::{Host, Proof, Queue, QueueError, Voter};
use placet_trust::{Freshness, Ledger, LedgerError, Personal, Proposal, State, StateKey, Vault};
use placet_types::ledger::{Consumption, Revocation, RevocationTarget};
use placet_types::memory::{MemorySpace, MemoryWrite, TrustTier, fields};
use placet_types::record::ErasureFact;
use placet_types::{Ack, ApproverId, DenyCause, Digest, LedgerOp, Micros, RecordId};

use crate::support::*;

/// A place for one log that can be opened many times.
pub trait Place {
    type Backend: Backend;

    fn open(&self) -> LogLedger<Self::Backend> {
        LogLedger::new(self.backend(), self.settings())
    }

    fn backend(&self) -> Self::Backend;

    fn settings(&self) -> Settings;

    /// Edits a cached row as an operator would.
    fn edit(&self, kind: &str, id: &str, body: Option<&str>);
}

fn size(ledger: &dyn Ledger) -> u64 {
    ledger.wait(u64::MAX, Instant::now()).unwrap()
}

pub fn commits_are_numbered_and_seen(place: &impl Place) {
    let ledger = place.open();
    for seq in 0..5 {
        let receipt = ledger.commit(personal(call()), Ack::Durable).unwrap();
        assert_eq!((receipt.seq, receipt.refused), (seq, None));
    }
    assert_eq!(size(&ledger), 5);
}

pub fn a_view_is_found_wherever_it_stands(place: &impl Place) {
    let (writer, reader) = (place.open(), place.open());
    let numbered = |number: usize| {
        let mut proposal = call();
        proposal.record.id = RecordId(format!("numbered-{number}").into());
        let mut view = view();
        view.insert("number".to_owned(), number.into());
        proposal.view = Some(view.into());
        proposal
    };
    // More than one of the blocks in which it is looked for.
    const COUNT: usize = 4_600;
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let writer = &writer;
            scope.spawn(move || {
                for number in (thread..COUNT).step_by(64) {
                    writer.commit(numbered(number), Ack::Durable).unwrap();
                }
            });
        }
    });
    for ledger in [&writer, &reader] {
        for number in [0, 1, 400, 503, 504, 505, 2_000, 4_095, 4_096, COUNT - 1] {
            let id = RecordId(format!("numbered-{number}").into());
            let found = ledger.find_view(&|record| record.id == id).unwrap().unwrap();
            assert_eq!(found["number"], number);
        }
        assert_eq!(ledger.find_view(&|_| false).unwrap(), None);
    }
}

pub fn a_failed_precondition_commits_the_fallback(place: &impl Place) {
    let ledger = place.open();
    ledger.commit(change(vec![limit(1)]), Ack::Durable).unwrap();
    assert_eq!(ledger.commit(with(vec![reserve(1)]), Ack::Durable).unwrap().refused, None);
    let refused = ledger.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
    assert_eq!(refused.refused.unwrap().cause, DenyCause::BudgetExhausted);
    assert_eq!((refused.seq, size(&ledger)), (2, 3));
    let mut without = with(vec![reserve(1)]);
    without.fallback = None;
    assert!(ledger.commit(without, Ack::Durable).unwrap().refused.is_some());
    assert_eq!(size(&ledger), 3, "without a fallback nothing is committed");
}

pub fn sixty_four_callers_spend_a_budget_of_ten(place: &impl Place) {
    let ledger = place.open();
    ledger.commit(change(vec![limit(10)]), Ack::Durable).unwrap();
    let ran = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let receipt = ledger.commit(with(vec![reserve(1)]), Ack::Durable).unwrap();
                ran.fetch_add(usize::from(receipt.refused.is_none()), Ordering::Relaxed);
            });
        }
    });
    assert_eq!((ran.into_inner(), spent(&ledger), size(&ledger)), (10, 10, 65));
}

/// Half of them say yes and half no, over five connections.
pub fn of_fifty_deciders_one_wins(place: &impl Place) {
    let ledgers: Vec<_> = (0..5).map(|_| place.open()).collect();
    ledgers[0].commit(change(vec![ask("a1", Digest([5; 32]))]), Ack::Durable).unwrap();
    let won = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (index, ledger) in ledgers.iter().cycle().take(50).enumerate() {
            let won = &won;
            scope.spawn(move || {
                let approver = ApproverId::from(format!("person-{index}"));
                let voter = Voter { approver: &approver, proof: Proof::Asserted, channel: "cli" };
                let (queue, id) = (Queue::new(ledger, &SystemHost), "a1".into());
                let cast = if index % 2 == 0 {
                    queue.approve(&id, &voter, None)
                } else {
                    queue.deny(&id, &voter, None)
                };
                match cast {
                    Ok(approval) => won.lock().unwrap().push((approver, approval.state)),
                    Err(QueueError::Approval(error)) if error.is_conflict() => {}
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
    let won = won.into_inner().unwrap();
    assert_eq!(won.len(), 1, "{won:?}");
    for ledger in &ledgers {
        let approval = Queue::new(ledger, &SystemHost).get(&"a1".into()).unwrap().unwrap();
        assert_eq!((approval.votes.len(), approval.state), (1, won[0].1));
        assert_eq!(approval.decided.unwrap().by, won[0].0);
    }
}

struct SystemHost;

impl Host for SystemHost {
    fn now(&self) -> Micros {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Micros(i64::try_from(since.as_micros()).unwrap())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn new_id(&self) -> String {
        fresh("vote")
    }
}

pub fn a_log_is_read_again(place: &impl Place) {
    {
        let ledger = place.open();
        ledger.commit(change(vec![limit(3)]), Ack::Durable).unwrap();
        ledger.commit(with(vec![reserve(2)]), Ack::Written).unwrap();
    }
    let ledger = place.open();
    assert_eq!((size(&ledger), spent(&ledger)), (2, 1));
    assert!(ledger.commit(with(vec![reserve(2)]), Ack::Durable).unwrap().refused.is_some());
}

pub fn a_record_id_is_taken_once(place: &impl Place) {
    let commit = |ledger: &dyn Ledger, id: &str| {
        let mut proposal = call();
        proposal.record.id = RecordId(id.into());
        proposal.fallback = None;
        ledger.commit(proposal, Ack::Written).unwrap().refused.map(|refusal| refusal.cause)
    };
    let taken_before = |ledger: &dyn Ledger, ids: &[&str]| {
        for id in ids {
            assert_eq!(commit(ledger, id), Some(DenyCause::InvalidRequest), "{id}");
        }
    };
    {
        let (one, other) = (place.open(), place.open());
        assert_eq!(commit(&one, "a"), None);
        taken_before(&one, &["a"]);
        assert_eq!(commit(&other, "b"), None);
        assert_eq!(commit(&other, "c"), None);
        taken_before(&other, &["a", "b", "c"]);
        taken_before(&one, &["c", "b", "a"]);
        assert_eq!(commit(&one, "d"), None);
        taken_before(&other, &["d"]);
        assert_eq!((size(&one), size(&other)), (4, 4));
    }
    let again = place.open();
    taken_before(&again, &["a", "b", "c", "d"]);
    assert_eq!(commit(&again, "e"), None);
    taken_before(&again, &["e", "a"]);
    assert_eq!(size(&again), 5);
}

pub fn two_writers_share_one_log(place: &impl Place) {
    let (one, other) = (place.open(), place.open());
    one.commit(change(vec![limit(10)]), Ack::Durable).unwrap();
    let ran = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for ledger in [&one, &other] {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let receipt = ledger.commit(with(vec![reserve(1)]), Ack::Written).unwrap();
                        ran.fetch_add(usize::from(receipt.refused.is_none()), Ordering::Relaxed);
                    }
                });
            }
        }
    });
    assert_eq!(ran.into_inner(), 10);
    assert_eq!((size(&one), size(&other)), (81, 81));
    assert_eq!((spent(&one), spent(&other)), (10, 10));
}

pub fn waiting_ends_with_news(place: &impl Place) {
    let (one, other) = (place.open(), place.open());
    one.commit(call(), Ack::Durable).unwrap();
    for committer in [&one, &other] {
        let seen = size(&one);
        let far = Instant::now() + Duration::from_secs(20);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (one.wait(seen, far).unwrap(), Instant::now()));
            std::thread::sleep(Duration::from_millis(30));
            committer.commit(call(), Ack::Written).unwrap();
            let committed = Instant::now();
            let (size, woke) = waiting.join().unwrap();
            assert_eq!(size, seen + 1);
            let late = woke.saturating_duration_since(committed);
            assert!(late < Duration::from_secs(2), "woke after {late:?}");
        });
    }
    let begun = Instant::now();
    let seen = size(&one);
    assert_eq!(one.wait(seen, begun + Duration::from_millis(20)).unwrap(), seen);
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

pub fn published_is_covered_by_a_checkpoint(place: &impl Place) {
    use placet_store::backend::{Access, Link};
    let ledger = place.open();
    ledger.commit(call(), Ack::Published).unwrap();
    let mut link = place.backend().open().unwrap();
    link.begin(Access::Read).unwrap();
    let note = link.note().unwrap().unwrap();
    assert_eq!(note.lines().nth(1), Some("1"));
}

pub fn time_never_runs_backwards(place: &impl Place) {
    use std::sync::atomic::AtomicI64;
    let now = Arc::new(AtomicI64::new(50_000_000));
    let clock = now.clone();
    let settings = place.settings().clock(Arc::new(move || Micros(clock.load(Ordering::Relaxed))));
    let ledger = LogLedger::new(place.backend(), settings);
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().time_us, Micros(50_000_000));
    now.store(10_000_000, Ordering::Relaxed);
    let back = ledger.commit(call(), Ack::Durable).unwrap();
    assert_eq!((back.time_us, back.seq), (Micros(50_000_000), 2), "a recovery record stands before it");
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 3, "it is recorded once");
}

pub fn an_edited_row_is_noticed(place: &impl Place) {
    let ledger = place.open();
    let taken = |op| {
        let receipt = ledger.commit(change(vec![op]), Ack::Durable).unwrap();
        assert_eq!(receipt.refused, None);
        receipt
    };
    let now = taken(limit(10)).time_us;
    taken(LedgerOp::Issue(credential("c1", now)));
    taken(LedgerOp::Issue(credential("c2", now)));
    taken(LedgerOp::Revoke(Revocation {
        target: RevocationTarget::Credential("c2".into()),
        by: "admin".into(),
    }));
    taken(ask("a1", Digest([5; 32])));
    let consume = LedgerOp::Consume(Consumption { approval: "a1".into(), digest: Digest([5; 32]) });
    let present = |id: &str| LedgerOp::Present(vec![id.into()]);
    let edits = [
        (
            "budget",
            State::default().row(&StateKey::Budget(budget())).id,
            Some("{\"limit\":1000000}"),
            reserve(1),
        ),
        ("approval", "a1".to_owned(), Some("{\"state\":\"approved\"}"), consume),
        ("credential", "c1".to_owned(), None, present("c1")),
        ("credential", "c2".to_owned(), Some("{\"session\":\"session-1\"}"), present("c2")),
    ];
    for (kind, id, body, op) in edits {
        place.edit(kind, &id, body);
        let before = size(&ledger);
        let receipt = ledger.commit(with(vec![op]), Ack::Durable).unwrap();
        let refusal = receipt.refused.unwrap();
        assert_eq!(refusal.cause, DenyCause::StateTampered, "{refusal}");
        assert_eq!(size(&ledger), before + 1, "the refusal is on record");
    }
    assert!(ledger.commit(call(), Ack::Durable).unwrap().refused.is_none(), "others go on");
}

pub fn an_edited_row_stops_no_others_in_its_batch(place: &impl Place) {
    let ledger = place.open();
    let now = ledger.commit(change(vec![limit(100)]), Ack::Durable).unwrap().time_us;
    ledger.commit(change(vec![LedgerOp::Issue(credential("c1", now))]), Ack::Durable).unwrap();
    place.edit("credential", "c1", None);
    let uses_it = |caller: usize| caller.is_multiple_of(4);
    let op = |caller| if uses_it(caller) { LedgerOp::Present(vec!["c1".into()]) } else { reserve(1) };
    // What comes meanwhile is one batch.
    let paused = ledger.before_fork();
    std::thread::scope(|scope| {
        let commit = |caller| ledger.commit(with(vec![op(caller)]), Ack::Durable).unwrap().refused;
        let callers: Vec<_> = (0..16).map(|caller| scope.spawn(move || commit(caller))).collect();
        drop(paused);
        for (caller, committed) in callers.into_iter().enumerate() {
            let cause = committed.join().unwrap().map(|refusal| refusal.cause);
            assert_eq!(cause, uses_it(caller).then_some(DenyCause::StateTampered), "{caller}");
        }
    });
    assert_eq!(spent(&ledger), 12);
    assert_eq!(ledger.commit(with(vec![reserve(1)]), Ack::Durable).unwrap().refused, None);
}

pub fn what_is_erased_is_gone_and_on_record(place: &impl Place) {
    use placet_store::backend::Link;
    let ledger = place.open();
    ledger.commit(personal(call()), Ack::Durable).unwrap();
    let mut link = place.backend().open().unwrap();
    assert!(link.view(0).unwrap().is_some());
    let erasure =
        ErasureFact { records: vec![0], fields: Vec::new(), by: "dpo".into(), basis: "gdpr-17".into() };
    let record = decision("allow", "allowed");
    assert_eq!(ledger.erase(record, erasure).unwrap().seq, 1);
    assert_eq!(link.view(0).unwrap(), None);
    drop((ledger, link));
    assert_eq!(size(&place.open()), 2);
}

pub fn a_record_too_large_is_refused_alone(place: &impl Place) {
    let ledger = place.open();
    let mut large = call();
    large.record.agent = Some("x".repeat(70_000).into());
    let error = ledger.commit(large, Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::TooLarge { limit_bytes: 65_535, .. }), "{error}");
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 0);
}

pub fn a_fault_in_a_fallback_refuses_and_harms_nothing(place: &impl Place) {
    let ledger = place.open();
    ledger.commit(change(vec![limit(0)]), Ack::Durable).unwrap();
    let mut broken = with(vec![reserve(1)]);
    broken.fallback = Some(Box::new(|_| panic!("a fallback of the test")));
    let error = ledger.commit(broken, Ack::Durable).unwrap_err();
    assert!(matches!(error, LedgerError::Unavailable { .. }), "{error}");
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
    ledger.read(Freshness::Seen, &mut |_| {}).unwrap();
}

pub fn closing_signs_and_the_next_use_opens(place: &impl Place) {
    use placet_store::backend::Link;
    let ledger = place.open();
    ledger.commit(call(), Ack::Durable).unwrap();
    ledger.close();
    let note = place.backend().open().unwrap().note().unwrap().unwrap();
    assert_eq!(note.lines().nth(1), Some("1"));
    assert_eq!(ledger.commit(call(), Ack::Durable).unwrap().seq, 1);
}

/// A memory of a session, as it is committed.
fn memory(session: Option<&str>, tier: TrustTier, value: &str) -> Proposal {
    let write = MemoryWrite { key: Digest([1; 32]), tier, from: None, sanitized: false, expires_us: None };
    let mut proposal = change(vec![LedgerOp::Remember(write)]);
    proposal.record.session = session.map(Into::into);
    let field = |field: &&str| Personal { field: (*field).into(), value: value.into() };
    proposal.personal = fields::ALL.iter().map(field).collect();
    proposal
}

fn remembered(ledger: &dyn Ledger, session: Option<&str>) -> Option<(u64, TrustTier)> {
    let space = MemorySpace { tenant: None, session: session.map(Into::into) };
    let mut found = None;
    let mut look = |state: &placet_trust::State| {
        let slot = state.memory.slot(&space, &Digest([1; 32]));
        let current = slot.and_then(|slot| slot.current(Micros(0)));
        found = current.map(|version| (version.seq, version.write.tier));
    };
    ledger.read(Freshness::Now, &mut look).unwrap();
    found
}

pub fn memories_keep_to_their_session_and_tier(place: &impl Place) {
    let ledger = place.open();
    let write = |session, tier, value: &str| {
        ledger
            .commit(memory(session, tier, value), Ack::Durable)
            .unwrap()
            .refused
            .map(|refusal| refusal.cause)
    };
    assert_eq!(write(Some("a"), TrustTier::External, "one"), None);
    assert_eq!(write(Some("a"), TrustTier::Trusted, "two"), None, "a higher tier takes its place");
    let refused = Some(DenyCause::InvalidRequest);
    for tier in [TrustTier::Untrusted, TrustTier::External, TrustTier::Delegated, TrustTier::Internal] {
        assert_eq!(write(Some("a"), tier, "lower"), refused, "{tier}");
    }
    assert_eq!(write(Some("b"), TrustTier::Untrusted, "of another session"), None);
    assert_eq!(write(None, TrustTier::Untrusted, "of none"), None);
    drop(ledger);

    let ledger = place.open();
    assert_eq!(remembered(&ledger, Some("a")), Some((1, TrustTier::Trusted)));
    assert_eq!(remembered(&ledger, Some("b")), Some((2, TrustTier::Untrusted)));
    assert_eq!(remembered(&ledger, None), Some((3, TrustTier::Untrusted)));
    assert_eq!(remembered(&ledger, Some("c")), None);
    let fields = ledger.personal(1).unwrap();
    let texts: Vec<_> = fields.iter().map(|field| (&*field.field, field.value.as_str().unwrap())).collect();
    assert_eq!(texts, [("memory.key", "two"), ("memory.source", "two"), ("memory.value", "two")]);
    let mut committed = 0;
    ledger
        .read(Freshness::Seen, &mut |state| {
            let space = MemorySpace { tenant: None, session: Some("a".into()) };
            let slot = state.memory.slot(&space, &Digest([1; 32])).unwrap();
            let version = slot.current(Micros(0)).unwrap();
            let same = |field: &&placet_trust::Recalled| {
                version.commitments.get(&field.field) == Some(&field.commitment)
            };
            committed = fields.iter().filter(same).count();
            assert_eq!((slot.written, slot.versions().count()), (2, 2), "what it was before is known");
        })
        .unwrap();
    assert_eq!(committed, 3);

    let erasure = ErasureFact {
        records: vec![0, 1],
        fields: fields::ALL.iter().map(|field| (*field).into()).collect(),
        by: "dpo".into(),
        basis: "gdpr-17".into(),
    };
    ledger.forget(change(Vec::new()).record, erasure).unwrap();
    assert_eq!((remembered(&ledger, Some("a")), ledger.personal(1).unwrap()), (None, Vec::new()));
    drop(ledger);
    let ledger = place.open();
    assert_eq!(remembered(&ledger, Some("a")), None, "also for whoever reads the log anew");
    let again = ledger.commit(memory(Some("a"), TrustTier::Untrusted, "new"), Ack::Durable).unwrap();
    assert_eq!(again.refused, None, "what is gone protects nothing");
    let mut bare = memory(Some("a"), TrustTier::Trusted, "x");
    bare.personal.pop();
    assert!(
        ledger.commit(bare, Ack::Durable).unwrap().refused.is_some(),
        "no memory without a commitment to it"
    );
}

/// One test for each part of the contract.
macro_rules! contract {
    ($place:expr; $($name:ident => $part:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            contract::$part(&$place);
        }
    )+};
}
pub(crate) use contract;
