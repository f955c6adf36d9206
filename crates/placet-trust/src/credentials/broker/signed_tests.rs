//! Chains made and shown through the broker.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use placet_types::ledger::RevocationTarget;
use placet_types::{Digest, Micros, Object};
use proptest::test_runner::TestRunner;

use super::tests::{Fake, NOW, World, secret};
use super::*;
use crate::Ledger;
use crate::credentials::authority::tests::{altered, authority, calls, domain, sample};
use crate::credentials::authority::{ArgumentLimit, Authority, Call, Constraint, Range, ToolLimit, Tools};
use crate::credentials::keys::{KeySet, NoIssuer, PublicKey, SecretKey};
use crate::credentials::token::{Chain, Presentation, ProofRequest};

/// An issuer whose keys are in memory, and may be lost.
struct Issuer(Mutex<Option<(Arc<SecretKey>, KeySet)>>);

impl Issuer {
    fn new() -> Self {
        let key = SecretKey::from_seed([200; 32]);
        let set = KeySet::new("placet.local/test", key.public(), NOW);
        Self(Mutex::new(Some((Arc::new(key), set))))
    }

    fn rotate(&self, seed: u8, at: Micros, overlap_seconds: u32) {
        let mut held = self.0.lock().unwrap();
        let (key, set) = held.as_mut().unwrap();
        *key = Arc::new(SecretKey::from_seed([seed; 32]));
        set.rotate(key.public(), at, overlap_seconds).unwrap();
    }
}

impl IssuerKeys for Issuer {
    fn trusted(&self, _now: Micros) -> Result<Arc<KeySet>, NoIssuer> {
        let held = self.0.lock().unwrap();
        held.as_ref().map(|(_, set)| Arc::new(set.clone())).ok_or(NoIssuer("lost; restore it".to_owned()))
    }

    fn signer(&self, now: Micros) -> Result<(Arc<SecretKey>, Arc<str>), NoIssuer> {
        let issuer = self.trusted(now)?.issuer().clone();
        Ok((self.0.lock().unwrap().as_ref().unwrap().0.clone(), issuer))
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn public(seed: u8) -> PublicKey {
    key(seed).public()
}

fn refunds(most: f64) -> Tools {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let limit = ToolLimit { arguments: BTreeMap::from([("amount".into(), amount)]), ..ToolLimit::default() };
    Tools::Only(BTreeMap::from([("refund".into(), limit)]))
}

struct Bank {
    world: World,
    issuer: Issuer,
}

impl Bank {
    fn new() -> Self {
        Self { world: World::default(), issuer: Issuer::new() }
    }

    fn broker(&self) -> Broker<'_> {
        self.world.broker().with_issuer(&self.issuer)
    }

    fn random(&self) -> &Fake {
        &self.world.fake
    }

    /// A root for the holder of key 1, narrowed twice by holders alone.
    fn three(&self) -> (SessionToken, HeldChain) {
        let request = IssueRequest {
            tools: refunds(500.0),
            tenant: Some("acme".into()),
            ..IssueRequest::new("s0", ["pay", "read"])
        };
        let (token, chain) = self.broker().issue_signed(&request, &public(1)).unwrap();
        let root = HeldChain::new(chain, key(1)).unwrap();
        let second = self.narrowed(&root, "s1", 100.0, 2);
        (token, self.narrowed(&second, "s2", 80.0, 3))
    }

    fn narrowed(&self, held: &HeldChain, session: &str, most: f64, seed: u8) -> HeldChain {
        let request =
            DelegateRequest { tools: Some(refunds(most)), ..DelegateRequest::new(session, ["pay"]) };
        let made = held.delegate(&request, public(seed), self.broker().clock.now(), self.random()).unwrap();
        assert!(made.changes.iter().any(|line| line.what.contains("amount")), "{:?}", made.changes);
        HeldChain::new(made.chain, key(seed)).unwrap()
    }

    fn shown(&self, held: &HeldChain, args: &Digest) -> String {
        let request = ProofRequest { tool: "refund", args, audience: None };
        held.prove(&request, self.broker().clock.now(), self.random()).unwrap().to_text()
    }

    fn present(&self, shown: &str, session: &str, args: &Digest) -> Result<Presented, String> {
        let request = ProofRequest { tool: "refund", args, audience: None };
        self.broker().present(shown, session, &["pay".into()], &request).map_err(|error| error.to_string())
    }
}

const ARGS: Digest = Digest([1; 32]);

#[test]
fn f22_a_chain_is_shown_with_a_proof_and_registered_when_first_seen() {
    let bank = Bank::new();
    let (root, leaf) = bank.three();
    let shown = bank.shown(&leaf, &ARGS);
    let presented = bank.present(&shown, "s2", &ARGS).unwrap();
    let entry = &presented.entry;
    assert_eq!((entry.depth, &*entry.session, entry.tenant.as_deref()), (2, "s2", Some("acme")));
    let lineage = bank.broker().lineage(&entry.id).unwrap();
    assert_eq!((lineage.len(), &lineage[0].id), (3, root.id()), "the root is the credential of the handle");
    let authority = bank.broker().authority(entry).unwrap();
    assert_eq!(authority.tools, refunds(80.0));
    assert!(bank.world.ledger.text().contains("amount"), "the diff stands beside the record");
    assert_eq!(bank.world.ledger.reopened().credentials.all().count(), 3);

    let again = bank.present(&shown, "s2", &ARGS).unwrap_err();
    assert!(again.contains("used before"), "{again}");
    bank.world.memory.give_back(&presented.proof);
    bank.present(&shown, "s2", &ARGS).unwrap();
    for (word, shown, session, args) in [
        ("another call", bank.shown(&leaf, &ARGS), "s2", Digest([2; 32])),
        ("issued to the session", bank.shown(&leaf, &ARGS), "s1", ARGS),
        ("without a proof", leaf.chain().to_text(), "s2", ARGS),
        ("holder", format!("{}~~{}", leaf.chain().to_text(), "a.b.c"), "s2", ARGS),
    ] {
        let error = bank.present(&shown, session, &args).unwrap_err();
        let is_known = error.contains(word) || (word == "holder" && error.contains("depth"));
        assert!(is_known, "{word}: {error}");
    }
    let thief = Presentation { chain: leaf.chain().clone(), proof: String::new() };
    assert!(
        leaf.chain()
            .prove(&ProofRequest { tool: "refund", args: &ARGS, audience: None }, "x", NOW, &key(9))
            .is_err()
    );
    assert!(bank.present(&thief.to_text(), "s2", &ARGS).is_err());
    assert!(HeldChain::new(leaf.chain().clone(), key(9)).is_err());
}

#[test]
fn f21_revoking_any_link_ends_what_was_signed_below_it_seen_or_not() {
    for which in 0..3 {
        let bank = Bank::new();
        let (root, leaf) = bank.three();
        let seen = which < 2;
        if seen {
            bank.present(&bank.shown(&leaf, &ARGS), "s2", &ARGS).unwrap();
        }
        let ids: Vec<_> = leaf.chain().claimed().unwrap().into_iter().map(|one| one.id).collect();
        let revoked = match which {
            0 => bank.broker().revoke(&secret(&root)).unwrap(),
            1 => bank.broker().revoke(&ids[1].0).unwrap(),
            // Nobody has seen it yet.
            _ => bank.broker().revoke(&leaf.chain().to_text()).unwrap(),
        };
        assert!(revoked);
        let error = bank.broker().inspected(&leaf.chain().to_text()).unwrap_err().to_string();
        assert!(error.contains("was revoked with"), "{which}: {error}");
        let error = bank.present(&bank.shown(&leaf, &ARGS), "s2", &ARGS).unwrap_err();
        assert!(error.contains("was revoked with"), "{which}: {error}");
    }
}

#[test]
fn f21_a_forged_chain_revokes_nothing_that_it_names() {
    let bank = Bank::new();
    let (root, leaf) = bank.three();
    let named = leaf.chain().claimed().unwrap()[0].clone();
    let grant = crate::credentials::token::Grant {
        jti: "x".into(),
        issued: NOW,
        identity: named.identity,
        authority: named.authority,
        holder: public(9),
    };
    let forged = Chain::issue_for(root.id(), &grant, "placet.local/test", &key(9)).unwrap();
    assert!(bank.broker().revoke(&forged.to_text()).is_err());
    assert!(bank.broker().validate(&secret(&root)).unwrap().is_some());
}

#[test]
fn f21_a_session_revoked_before_a_chain_was_seen_stays_revoked() {
    let bank = Bank::new();
    let (_, leaf) = bank.three();
    bank.broker().revoke_all(RevocationTarget::Session("s1".into())).unwrap();
    let error = bank.present(&bank.shown(&leaf, &ARGS), "s2", &ARGS).unwrap_err();
    assert!(error.contains("the session `s1`"), "{error}");
}

#[test]
fn f19_a_chain_ends_by_the_clock_given_also_when_it_was_seen() {
    let bank = Bank::new();
    let request = IssueRequest { ttl_seconds: 300, ..IssueRequest::new("s0", ["pay"]) };
    let (_, chain) = bank.broker().issue_signed(&request, &public(1)).unwrap();
    let held = HeldChain::new(chain, key(1)).unwrap();
    let handle = secret(&bank.broker().hold(&held).unwrap());
    bank.world.fake.advance(299);
    bank.present(&bank.shown(&held, &ARGS), "s0", &ARGS).unwrap();
    assert!(bank.broker().validate(&handle).unwrap().is_some());
    let late = bank.shown(&held, &ARGS);
    bank.world.fake.advance(1);
    assert!(bank.present(&late, "s0", &ARGS).unwrap_err().contains("not valid at this time"));
    assert!(bank.broker().validate(&handle).unwrap().is_none());
}

#[test]
fn f20_what_exceeds_a_token_is_not_signed_and_shows_what_it_would_allow() {
    let bank = Bank::new();
    let (_, leaf) = bank.three();
    let delegate = |request: DelegateRequest| {
        leaf.delegate(&request, public(4), bank.broker().clock.now(), bank.random())
    };
    let wider = DelegateRequest { tools: Some(refunds(90.0)), ..DelegateRequest::new("s3", ["pay"]) };
    let error = delegate(wider).unwrap_err();
    assert!(error.lines()[0].to_string().contains("at most 80 -> at least 0 and at most 90"), "{error}");
    assert!(error.witness().unwrap().to_string().contains(r#"the call `refund` with {"amount":81}"#));
    assert!(delegate(DelegateRequest::new("s3", ["read"])).unwrap_err().to_string().contains("'read'"));
    let deeper = DelegateRequest { max_depth: Some(4), ..DelegateRequest::new("s3", ["pay"]) };
    assert!(delegate(deeper).unwrap_err().to_string().contains("a delegation 4 deep"));
    let longer = DelegateRequest { ttl_seconds: Some(86_400), ..DelegateRequest::new("s3", ["pay"]) };
    let made = delegate(longer).unwrap().chain.claimed().unwrap();
    assert_eq!(made[3].authority.expires, made[2].authority.expires, "no longer than its parent");
    let last = HeldChain::new(delegate(DelegateRequest::new("s3", ["pay"])).unwrap().chain, key(4)).unwrap();
    let request = DelegateRequest::new("s4", ["pay"]);
    let error = last.delegate(&request, public(5), NOW, bank.random()).unwrap_err();
    assert!(error.to_string().contains("I2"), "{error}");
}

#[test]
fn f20_a_delegated_handle_keeps_its_depth_when_it_is_exported() {
    let bank = Bank::new();
    let root = secret(&bank.broker().issue(&IssueRequest::new("s0", ["pay"])).unwrap());
    let child = bank.broker().delegate(&root, &DelegateRequest::new("s1", ["pay"])).unwrap();
    let held = HeldChain::new(bank.broker().signed(&secret(&child), &public(1)).unwrap(), key(1)).unwrap();
    assert_eq!(held.chain().claimed().unwrap()[0].authority.max_depth, 2, "three in all, one is used");
    let presented = bank.present(&bank.shown(&held, &ARGS), "s1", &ARGS).unwrap();
    assert_eq!(&presented.entry.id, child.id(), "it is the same credential");
    let request = DelegateRequest::new("s2", ["pay"]);
    let made = held.delegate(&request, public(2), NOW, bank.random()).unwrap();
    let below = HeldChain::new(made.chain, key(2)).unwrap();
    let presented = bank.present(&bank.shown(&below, &ARGS), "s2", &ARGS).unwrap();
    assert_eq!((presented.entry.depth, presented.entry.max_depth), (2, 3));
    let handle = secret(&bank.broker().hold(&below).unwrap());
    let third = bank.broker().delegate(&handle, &DelegateRequest::new("s3", ["pay"])).unwrap();
    assert_eq!(third.depth(), 3);
    let error = bank.broker().delegate(&secret(&third), &DelegateRequest::new("s4", ["pay"])).unwrap_err();
    assert!(error.to_string().contains("deep"), "{error}");
}

#[test]
fn f23_a_rotated_key_verifies_through_its_overlap_and_is_then_called_retired() {
    let bank = Bank::new();
    let (_, leaf) = bank.three();
    let handle = secret(&bank.broker().hold(&leaf).unwrap());
    bank.issuer.rotate(201, NOW, 60);
    bank.present(&bank.shown(&leaf, &ARGS), "s2", &ARGS).unwrap();
    let (_, new) = bank.broker().issue_signed(&IssueRequest::new("s9", ["pay"]), &public(1)).unwrap();
    bank.world.fake.advance(60);
    for error in [
        bank.present(&bank.shown(&leaf, &ARGS), "s2", &ARGS).unwrap_err(),
        bank.broker().look(&handle).unwrap_err().to_string(),
        Bank { world: World::default(), ..bank_of(&bank) }.broker_error(&leaf, 60),
    ] {
        assert!(error.contains("retired at 2027-01-15T08:01:00Z"), "{error}");
    }
    bank.broker().verified(&new.to_text()).unwrap();
    *bank.issuer.0.lock().unwrap() = None;
    let error = bank.broker().issue_signed(&IssueRequest::new("s", ["pay"]), &public(1)).unwrap_err();
    assert!(error.to_string().contains("lost; restore it"));
    assert!(!bank.world.ledger.text().contains("PLACET-SECRET"));
}

/// A bank with the same issuer that has never seen the chain.
fn bank_of(bank: &Bank) -> Bank {
    let held = bank.issuer.0.lock().unwrap().clone();
    Bank { world: World::default(), issuer: Issuer(Mutex::new(held)) }
}

impl Bank {
    fn broker_error(&self, leaf: &HeldChain, seconds: i64) -> String {
        self.world.fake.advance(seconds);
        self.broker().verified(&leaf.chain().to_text()).unwrap_err().to_string()
    }
}

#[test]
fn promise_9_widened_reordered_truncated_and_foreign_chains_are_refused() {
    let bank = Bank::new();
    let (_, leaf) = bank.three();
    let text = leaf.chain().to_text();
    let tokens: Vec<&str> = text.split('~').collect();
    let other = Bank::new();
    other.world.issue("its", &["own"]);
    let (_, foreign) = other.three();
    let forged = Chain::issue_for(
        &leaf.chain().claimed().unwrap()[0].id,
        &crate::credentials::token::Grant {
            jti: "x".into(),
            issued: NOW,
            identity: leaf.chain().claimed().unwrap()[0].identity.clone(),
            authority: Authority::of_scopes(["pay"], 3, NOW.plus_seconds(60)),
            holder: public(3),
        },
        "placet.local/test",
        &SecretKey::from_seed([200; 32]),
    );
    for (what, text) in [
        ("reordered", [tokens[0], tokens[2], tokens[1]].join("~")),
        ("without its middle", [tokens[0], tokens[2]].join("~")),
        ("without its root", tokens[1..].join("~")),
        ("twice its leaf", [tokens[0], tokens[1], tokens[2], tokens[2]].join("~")),
        ("empty", String::new()),
        ("of another ledger", foreign.chain().to_text()),
        ("signed by the issuer's key with more than is registered", forged.unwrap().to_text()),
    ] {
        let error = bank.broker().verified(&text).err();
        assert!(error.is_some(), "{what}");
    }
    // Cut behind a link, a chain is its parent's: whoever holds the leaf's key cannot show it.
    let cut = Chain::parse(&tokens[..2].join("~")).unwrap();
    assert!(HeldChain::new(cut.clone(), key(3)).is_err());
    let proof = bank.shown(&leaf, &ARGS);
    let proof = proof.split_once("~~").unwrap().1;
    let error = bank.present(&format!("{}~~{proof}", cut.to_text()), "s1", &ARGS).unwrap_err();
    assert!(error.contains("I6"), "{error}");
}

/// Chains of generated authorities, delegated by handle and by holders; judged by enumerating calls.
#[test]
fn promise_9_no_chain_made_through_the_broker_exceeds_what_stands_above_it() {
    let mut runner = TestRunner::deterministic();
    let (mut links, mut refused) = (0, 0);
    let calls = calls(&domain());
    for round in 0..160 {
        let bank = Bank::new();
        let one = sample(&authority(), &mut runner);
        let scopes: Vec<_> = one.scopes.iter().cloned().collect();
        if scopes.is_empty() {
            continue;
        }
        let request = IssueRequest {
            tools: one.tools.clone(),
            budgets: one.budgets.clone(),
            ..IssueRequest::new("s0", scopes)
        };
        let Ok((root, chain)) = bank.broker().issue_signed(&request, &public(1)) else { continue };
        let handle = bank.broker().delegate(&secret(&root), &asked(&one, "h"));
        let chain = match handle {
            Ok(handle) if round % 2 == 0 => bank.broker().signed(&secret(&handle), &public(1)).unwrap(),
            _ => chain,
        };
        let mut held = HeldChain::new(chain, key(1)).unwrap();
        for seed in 2..4 {
            let above = held.chain().claimed().unwrap().last().unwrap().authority.clone();
            let wanted = altered(&above, &mut runner);
            let request = asked(&wanted, &format!("s{seed}"));
            match held.delegate(&request, public(seed), NOW, bank.random()) {
                Err(_) => refused += 1,
                Ok(made) => {
                    links += 1;
                    held = HeldChain::new(made.chain, key(seed)).unwrap();
                    let presented = bank.present(&bank.shown(&held, &ARGS), "", &ARGS);
                    assert!(presented.is_err(), "no session is shown");
                    judge(&bank, &held, &above, &calls);
                }
            }
        }
    }
    assert!(links > 60 && refused > 60, "{links} {refused}");
}

fn asked(wanted: &Authority, session: &str) -> DelegateRequest {
    DelegateRequest {
        tools: Some(wanted.tools.clone()),
        budgets: wanted.budgets.clone(),
        max_depth: Some(wanted.max_depth),
        ..DelegateRequest::new(session, wanted.scopes.iter().cloned())
    }
}

/// What the registered leaf covers, everything above it covers.
fn judge(bank: &Bank, held: &HeldChain, above: &Authority, calls: &[(&'static str, Object, u64, Micros)]) {
    let leaf = bank.broker().verified(&held.chain().to_text()).unwrap();
    let entry = bank.broker().admitted(&leaf).unwrap();
    let own = bank.broker().authority(&entry).unwrap();
    let line: Vec<Arc<Authority>> = bank
        .broker()
        .lineage(&entry.id)
        .unwrap()
        .iter()
        .map(|one| {
            let mut entry = None;
            let look = &mut |state: &State| entry = state.credentials.entry(&one.id).cloned();
            bank.world.ledger.read(Freshness::Seen, look).unwrap();
            bank.broker().authority(&entry.unwrap()).unwrap()
        })
        .collect();
    for (tool, args, calls, _) in calls {
        let call = Call { tool, args, calls: *calls, at: NOW };
        if own.covers(&call).is_ok() {
            assert!(above.covers(&call).is_ok());
            assert!(line.iter().all(|authority| authority.covers(&call).is_ok()));
        }
    }
    for pair in line.windows(2) {
        let narrower = pair[1].scopes.is_subset(&pair[0].scopes)
            && pair[1].max_depth <= pair[0].max_depth
            && pair[1].expires <= pair[0].expires
            && pair[0]
                .budgets
                .iter()
                .all(|(name, limit)| pair[1].budgets.get(name).is_some_and(|own| own <= limit));
        assert!(narrower, "{:#?}", pair);
    }
}
