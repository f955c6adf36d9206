//! The broker over a tiny ledger, against the rows of the acceptance list.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::credentials::authority::{ArgumentLimit, Constraint, Range, ToolLimit};
use crate::credentials::keys::NoRandom;
use crate::{LedgerError, Receipt, TenantKey, View};

/// A ledger of records and nothing else: what it was given can be replayed.
#[derive(Default)]
struct Tiny {
    inner: Mutex<(State, Vec<Proposal>)>,
    clock: Arc<Fake>,
    down: AtomicBool,
}

impl Tiny {
    fn reopened(&self) -> State {
        let mut state = State::default();
        self.inner.lock().unwrap().1.iter().for_each(|proposal| state.replay(&proposal.record));
        state
    }

    /// Erases or edits what stands beside the records.
    fn erase(&self, how: Erasure) {
        for proposal in &mut self.inner.lock().unwrap().1 {
            let Some(view) = &mut proposal.view else { continue };
            match how {
                Erasure::Views => proposal.view = None,
                Erasure::Wider => {
                    let text = serde_json::to_string(&view.members().unwrap()).unwrap();
                    *view = View::Text(text.replace("100", "900"));
                }
            }
        }
    }

    fn up(&self) -> Result<(), LedgerError> {
        if !self.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(LedgerError::Unavailable {
            ledger: "tiny".into(),
            action: "append",
            cause: "the disk is full".into(),
        })
    }

    fn text(&self) -> String {
        let inner = self.inner.lock().unwrap();
        let lines = inner.1.iter().map(|proposal| {
            format!(
                "{}{}",
                serde_json::to_string(&proposal.record).unwrap(),
                serde_json::json!(proposal.view.as_ref().map(|view| view.members().unwrap()))
            )
        });
        lines.collect()
    }
}

#[derive(Clone, Copy)]
enum Erasure {
    Wider,
    Views,
}

impl Ledger for Tiny {
    fn find_view(
        &self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, LedgerError> {
        let inner = self.inner.lock().unwrap();
        let found = inner.1.iter().find(|proposal| wanted(&proposal.record));
        Ok(found.and_then(|found| found.view.as_ref()).map(|view| view.members().unwrap()))
    }

    fn commit(&self, mut proposal: Proposal, _ack: Ack) -> Result<Receipt, LedgerError> {
        self.up()?;
        let (state, log) = &mut *self.inner.lock().unwrap();
        let head = log.last().map_or(NOW, |last: &Proposal| last.record.time_us);
        let time_us = self.clock.now().max(head);
        proposal.record.time_us = time_us;
        let refused = state.admit(&proposal.record).err();
        if refused.is_none() {
            log.push(proposal);
        }
        Ok(Receipt { seq: log.len() as u64, time_us, leaf: Digest([0; 32]), refused })
    }

    fn read(&self, _fresh: Freshness, look: &mut dyn FnMut(&State)) -> Result<(), LedgerError> {
        self.up()?;
        look(&self.inner.lock().unwrap().0);
        Ok(())
    }

    fn tenant_key(&self, _tenant: Option<&str>) -> Result<TenantKey, LedgerError> {
        self.up()?;
        Ok(TenantKey::new([7; 32]))
    }

    fn wait(&self, _seen: u64, _until: Instant) -> Result<u64, LedgerError> {
        Ok(self.inner.lock().unwrap().1.len() as u64)
    }
}

const NOW: Micros = Micros(1_800_000_000_000_000);

#[derive(Default)]
struct Fake {
    elapsed: AtomicI64,
    counter: AtomicU64,
}

impl Fake {
    fn advance(&self, seconds: i64) {
        self.elapsed.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Fake {
    fn now(&self) -> Micros {
        Micros(NOW.0 + self.elapsed.load(Ordering::Relaxed))
    }
}

impl Random for Fake {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandom> {
        let mut seed = self.counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in bytes {
            seed = seed.rotate_left(9).wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(1);
            *byte = (seed >> 56) as u8;
        }
        Ok(())
    }
}

struct World {
    ledger: Tiny,
    fake: Arc<Fake>,
    memory: BrokerMemory,
}

impl Default for World {
    fn default() -> Self {
        let fake = Arc::new(Fake::default());
        let ledger = Tiny { clock: fake.clone(), ..Tiny::default() };
        Self { ledger, fake, memory: BrokerMemory::default() }
    }
}

impl World {
    fn broker(&self) -> Broker<'_> {
        let limits = BrokerLimits::default();
        Broker::new(&self.ledger, &*self.fake, &*self.fake, &self.memory, limits, "system".into())
    }

    fn issue(&self, session: &str, scopes: &[&str]) -> String {
        secret(&self.broker().issue(&IssueRequest::new(session, scopes.iter().copied())).unwrap())
    }

    fn delegate(&self, parent: &str, scopes: &[&str], session: &str) -> Result<SessionToken, BrokerError> {
        self.broker().delegate(parent, &DelegateRequest::new(session, scopes.iter().copied()))
    }

    fn valid(&self, token: &str) -> bool {
        self.broker().validate(token).unwrap().is_some()
    }
}

fn secret(token: &SessionToken) -> String {
    token.bearer().secret_text()
}

#[test]
fn f19_tokens_are_random_bound_to_a_session_and_end() {
    let world = World::default();
    let request = IssueRequest { ttl_seconds: 300, ..IssueRequest::new("s1", ["write", "read", "read"]) };
    let token = world.broker().issue(&request).unwrap();
    let text = secret(&token);
    assert!(text.len() == 36 && Bearer::parse(&text).is_some() && text != world.issue("s1", &["read"]));
    assert_eq!(world.broker().get_scopes(&text).unwrap(), ["read".into(), "write".into()]);
    assert_eq!((token.depth(), token.expires()), (0, NOW.plus_seconds(300)));
    world.fake.advance(299);
    assert!(world.valid(&text));
    world.fake.advance(1);
    assert!(!world.valid(&text) && world.broker().get_scopes(&text).unwrap().is_empty());
    let error = world.broker().look(&text).unwrap_err().to_string();
    assert!(error.contains("expired 0 s ago") && !error.contains(&text), "{error}");
}

#[test]
fn f19_a_clock_that_goes_back_revives_nothing() {
    let world = World::default();
    let request = IssueRequest { ttl_seconds: 10, ..IssueRequest::new("s", ["a"]) };
    let token = secret(&world.broker().issue(&request).unwrap());
    world.fake.advance(20);
    world.issue("other", &["a"]);
    world.fake.advance(-15);
    assert!(!world.valid(&token));
}

#[test]
fn f20_delegation_only_narrows() {
    let world = World::default();
    let parent = world.issue("s1", &["read", "write"]);
    let child = world.delegate(&parent, &["read"], "s1_worker").unwrap();
    assert_eq!((child.session(), child.scopes(), child.depth()), ("s1_worker", &["read".into()][..], 1));
    assert_eq!(child.expires(), NOW.plus_seconds(3_600));
    let error = world.delegate(&parent, &["x", "admin", "read"], "w").unwrap_err();
    assert_eq!(error.to_string(), "Requested scopes exceed parent grant — forbidden: ['admin', 'x']");
    let error = world.delegate(&secret(&child), &["write"], "w").unwrap_err();
    assert_eq!(error.to_string(), "Requested scopes exceed parent grant — forbidden: ['write']");
    assert!(world.delegate(&parent, &[], "w").unwrap_err().to_string().contains("at least one scope"));
    let error = world.delegate("tok_unknown", &["read"], "w").unwrap_err().to_string();
    assert!(error.starts_with("Parent token 'crd_") && error.contains("is invalid or expired"), "{error}");
}

#[test]
fn f20_a_child_lives_no_longer_than_it_asked_nor_than_its_parent() {
    let world = World::default();
    let parent = world.issue("s", &["a"]);
    let delegate = |ttl| {
        let request = DelegateRequest { ttl_seconds: ttl, ..DelegateRequest::new("w", ["a"]) };
        world.broker().delegate(&parent, &request).map(|token| token.expires())
    };
    assert_eq!(delegate(Some(60)).unwrap(), NOW.plus_seconds(60));
    assert_eq!(delegate(Some(7_200)).unwrap(), NOW.plus_seconds(3_600));
    world.fake.advance(3_000);
    assert_eq!(delegate(Some(1_000)).unwrap(), NOW.plus_seconds(3_600));
    assert!(delegate(Some(0)).unwrap_err().to_string().contains("from 1 to 86400"));
}

#[test]
fn f20_the_depth_cap_holds() {
    let world = World::default();
    let mut token = world.issue("s", &["a"]);
    for depth in 1..=3 {
        let child = world.delegate(&token, &["a"], "s").unwrap();
        assert_eq!(child.depth(), depth);
        token = secret(&child);
    }
    let error = world.delegate(&token, &["a"], "s").unwrap_err().to_string();
    assert!(error.contains("4 delegations deep; the limit is 3"), "{error}");
}

#[test]
fn f21_revoking_a_root_ends_all_descendants_at_once_and_nothing_else() {
    let world = World::default();
    let root = world.issue("s", &["a"]);
    let child = secret(&world.delegate(&root, &["a"], "w").unwrap());
    let grandchild = secret(&world.delegate(&child, &["a"], "x").unwrap());
    let other = world.issue("s", &["a"]);
    assert!(world.broker().revoke(&root).unwrap());
    for token in [&root, &child, &grandchild] {
        assert!(!world.valid(token));
        assert!(world.delegate(token, &["a"], "y").is_err());
    }
    assert!(world.valid(&other));
    let reopened = world.ledger.reopened();
    let at = world.fake.now();
    let live = |token: &str| reopened.credentials.live(&Bearer::parse(token).unwrap().id(), at).is_ok();
    assert!(!live(&grandchild) && live(&other), "another process that reads the log sees the same");
}

#[test]
fn f21_revoking_a_session_counts_its_own_live_tokens() {
    let world = World::default();
    let first = world.issue("s", &["a"]);
    let child = secret(&world.delegate(&first, &["a"], "w").unwrap());
    world.issue("s", &["a"]);
    world.issue("ss", &["a"]);
    assert_eq!(world.broker().revoke_session("s").unwrap(), 2);
    assert_eq!(world.broker().revoke_session("s").unwrap(), 0);
    assert_eq!(world.broker().revoke_session("nobody").unwrap(), 0);
    assert!(!world.valid(&first) && !world.valid(&child));
    assert!(world.valid(&world.issue("s", &["a"])), "what comes later is not covered");
}

#[test]
fn f22_a_token_binds_its_session_and_scopes() {
    let world = World::default();
    let token = world.issue("a", &["pay"]);
    let bind = |token: &str, session: &str, claimed: &[&str]| {
        let claimed: Vec<_> = claimed.iter().map(|scope| Arc::from(*scope)).collect();
        world.broker().bind(token, session, &claimed).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(bind(&token, "a", &["pay"]), Ok(()));
    assert!(bind(&token, "b", &["pay"]).unwrap_err().contains("issued to the session `a`, and not to `b`"));
    assert!(bind(&token, "a", &["pay", "root"]).unwrap_err().contains("['root']"));
    assert!(bind("", "a", &[]).unwrap_err().contains("no credential was shown"));
}

#[test]
fn kite_r4_no_token_is_refused_with_its_cause() {
    let world = World::default();
    assert_eq!(world.broker().look("").unwrap_err(), BrokerError::Invalid(Why::Missing));
    assert_eq!(world.broker().validate("").unwrap(), None);
}

#[test]
fn kite_r5_a_token_of_another_session_and_other_scopes_is_refused() {
    let world = World::default();
    let token = world.issue("other", &["nothing"]);
    let error = world.broker().bind(&token, "mine", &["pay".into()]).unwrap_err();
    assert!(matches!(error, BrokerError::Invalid(Why::OtherSession { .. })), "{error}");
}

#[test]
fn kite_r6_a_child_of_a_revoked_parent_is_dead() {
    let world = World::default();
    let parent = world.issue("s", &["a"]);
    let child = secret(&world.delegate(&parent, &["a"], "w").unwrap());
    assert!(world.valid(&child));
    world.broker().revoke(&parent).unwrap();
    assert!(!world.valid(&child));
}

#[test]
fn kite_r7_a_token_in_hand_revives_nothing() {
    let world = World::default();
    let mut token = world.broker().issue(&IssueRequest::new("s", ["read"])).unwrap();
    world.broker().revoke(&secret(&token)).unwrap();
    token.entry.scopes.push("root".into());
    token.entry.expires_us = Micros(i64::MAX);
    assert!(!world.valid(&secret(&token)));
    let live = world.issue("s", &["read"]);
    let mut copy = world.broker().validate(&live).unwrap().unwrap();
    copy.entry.scopes.push("root".into());
    assert_eq!(world.broker().get_scopes(&live).unwrap(), ["read".into()]);
}

#[test]
fn kite_20_6_issue_refuses_what_makes_no_credential() {
    let world = World::default();
    let issue = |session: &str, scopes: &[&str], ttl_seconds| {
        let request = IssueRequest { ttl_seconds, ..IssueRequest::new(session, scopes.iter().copied()) };
        world.broker().issue(&request).unwrap_err().to_string()
    };
    assert_eq!(issue(" ", &["a"], 1), "session_id is empty; name the session that the token is for");
    assert!(issue("s", &[], 1).contains("at least one"));
    assert!(issue("s", &[" "], 1).contains("empty"));
    for ttl in [0, -5, 86_401, 1_000_000_000, i64::MIN] {
        assert_eq!(issue("s", &["a"], ttl), format!("ttl_seconds is {ttl}; it must be from 1 to 86400"));
    }
    assert_eq!(world.ledger.text(), "");
}

#[test]
fn kite_20_6_no_record_or_message_holds_the_bearer() {
    let world = World::default();
    let token = world.broker().issue(&IssueRequest::new("s", ["a"])).unwrap();
    let child = world.delegate(&secret(&token), &["a"], "w").unwrap();
    world.broker().revoke(&secret(&token)).unwrap();
    let text = format!("{}{token:?}{child:?}", world.ledger.text());
    for token in [&token, &child] {
        assert!(!text.contains(&secret(token)[4..]), "{text}");
        assert!(text.contains(&*token.id().0));
    }
    assert!(text.contains("credential_delegated") && text.contains("\"changes\":"));
    assert!(!world.broker().revoke("tok_zz").unwrap() && !world.broker().revoke(&"0".repeat(36)).unwrap());
}

#[test]
fn kite_20_6_tenant_and_role_come_from_the_parent() {
    let world = World::default();
    let request = IssueRequest {
        tenant: Some("t".into()),
        role: Some("clerk".into()),
        ..IssueRequest::new("s", ["a"])
    };
    let parent = world.broker().issue(&request).unwrap();
    let child = world.delegate(&secret(&parent), &["a"], "w").unwrap();
    assert_eq!((&child.entry().tenant, &child.entry().role), (&Some("t".into()), &Some("clerk".into())));
}

#[test]
fn f23_a_restart_keeps_tokens_and_revocations() {
    let world = World::default();
    let (kept, revoked) = (world.issue("s", &["a"]), world.issue("s", &["a"]));
    world.broker().revoke(&revoked).unwrap();
    world.ledger.inner.lock().unwrap().0 = world.ledger.reopened();
    assert!(world.valid(&kept) && !world.valid(&revoked));
}

#[test]
fn a_ledger_that_is_down_issues_nothing_and_validates_nothing() {
    let world = World::default();
    let token = world.issue("s", &["a"]);
    world.ledger.down.store(true, Ordering::Relaxed);
    let broker = world.broker();
    assert!(matches!(broker.issue(&IssueRequest::new("s", ["a"])), Err(BrokerError::Ledger(_))));
    assert!(matches!(broker.validate(&token), Err(BrokerError::Ledger(_))));
    assert!(matches!(broker.revoke(&token), Err(BrokerError::Ledger(_))));
    assert!(matches!(broker.get_scopes(&token), Err(BrokerError::Ledger(_))));
}

fn refunds(most: f64) -> Tools {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let limit =
        ToolLimit { arguments: BTreeMap::from([("amount".into(), amount)]), open: false, calls: None };
    Tools::Only(BTreeMap::from([("refund".into(), limit)]))
}

#[test]
fn promise_9_a_refused_delegation_shows_the_difference_and_a_call() {
    let world = World::default();
    let request = IssueRequest {
        tools: refunds(100.0),
        budgets: BTreeMap::from([("usd".into(), 50)]),
        ..IssueRequest::new("s", ["pay"])
    };
    let parent = secret(&world.broker().issue(&request).unwrap());
    let delegate = |most, budget| {
        let request = DelegateRequest {
            tools: Some(refunds(most)),
            budgets: BTreeMap::from([("usd".into(), budget)]),
            ..DelegateRequest::new("w", ["pay"])
        };
        world.broker().delegate(&parent, &request)
    };
    let child = delegate(80.0, 10).unwrap();
    let handle = world.broker().handle(&secret(&child)).unwrap();
    assert_eq!((&handle.authority().tools, handle.authority().budgets["usd"]), (&refunds(80.0), 10));
    assert!(
        world
            .ledger
            .text()
            .contains("argument `amount`: at least 0 and at most 100 -> at least 0 and at most 80")
    );
    let error = delegate(101.0, 10).unwrap_err().to_string();
    assert!(
        error.contains("(exceeds the parent)") && error.contains(r#"call `refund` with {"amount":101}"#),
        "{error}"
    );
    assert!(delegate(80.0, 51).unwrap_err().to_string().contains("spending 51 of the budget `usd`"));
    let plain = world.delegate(&parent, &["pay"], "w").unwrap();
    assert_eq!(
        world.broker().handle(&secret(&plain)).unwrap().authority().tools,
        refunds(100.0),
        "limits are inherited"
    );

    let other = BrokerMemory::default();
    let limits = BrokerLimits::default();
    let stranger = Broker::new(&world.ledger, &*world.fake, &*world.fake, &other, limits, "system".into());
    assert!(stranger.validate(&parent).unwrap().is_some());
    let refused = stranger.delegate(&parent, &DelegateRequest::new("w", ["pay"]));
    assert!(refused.is_ok(), "a process that did not issue it reads its limits in the log");
    let child = refused.unwrap();
    assert_eq!(stranger.handle(&secret(&child)).unwrap().authority().tools, refunds(100.0));
    let wider = DelegateRequest { tools: Some(refunds(101.0)), ..DelegateRequest::new("w", ["pay"]) };
    assert!(matches!(stranger.delegate(&parent, &wider), Err(BrokerError::Exceeds { .. })));
    for erase in [Erasure::Wider, Erasure::Views] {
        world.ledger.erase(erase);
        let other = BrokerMemory::default();
        let stranger =
            Broker::new(&world.ledger, &*world.fake, &*world.fake, &other, limits, "system".into());
        let refused = stranger.delegate(&parent, &DelegateRequest::new("w", ["pay"]));
        assert!(
            matches!(refused, Err(BrokerError::UnknownAuthority(_))),
            "limits that are not known are not dropped, and those of an edited view are not taken"
        );
    }
}

#[test]
fn a_handle_is_checked_against_the_state() {
    let world = World::default();
    let token = world.issue("s", &["a"]);
    let handle = world.broker().handle(&token).unwrap();
    let check = || {
        let mut result = None;
        let at = world.fake.now();
        world
            .ledger
            .read(Freshness::Seen, &mut |state| result = Some(handle.check(state, at).is_ok()))
            .unwrap();
        result.unwrap()
    };
    assert!(check());
    world.broker().revoke(&token).unwrap();
    assert!(!check());
}
