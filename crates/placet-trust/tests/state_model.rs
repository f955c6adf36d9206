//! Records that mix operations on everything the ledger knows, against a plain model and against a replay.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up fails"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use placet_trust::sessions::SessionKey;
use placet_trust::{State, StateKey};
use placet_types::ledger::{
    ApprovalClosing, ApprovalEntry, ApprovalState, Consumption, CredentialEntry, Quorum, Revocation,
    RevocationTarget, Vote, VoteStrength,
};
use placet_types::memory::{MemorySpace, MemoryWrite, TrustTier, fields};
use placet_types::record::OutcomeStatus;
use placet_types::{CredentialId, Digest, Fact, LedgerOp, Micros, Record, RiskTier};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

/// What somebody tries. Small numbers name things: credential 3, budget 1, approval 0.
#[derive(Debug, Clone)]
enum Try {
    Issue { id: u8, parent: Option<u8>, session: u8, seconds: i64 },
    Present(Vec<u8>),
    RevokeOne(u8),
    RevokeSession(u8),
    Limit(u8, u64),
    Reserve { id: u8, amounts: Vec<(u8, u64)> },
    Settle { id: u8, actual: Vec<(u8, u64)> },
    Release(u8),
    Ask { id: u8, key: u8, people: u32, seconds: i64 },
    Vote { id: u8, by: u8, yes: bool, digest: u8 },
    Close { id: u8, approved: bool, expired: bool },
    Consume { id: u8, digest: u8 },
    Remember { key: u8, tier: TrustTier },
}

#[derive(Debug, Clone)]
enum What {
    Allow(u8),
    Deny,
    Change,
    Outcome(OutcomeStatus),
}

/// One record to be.
#[derive(Debug, Clone)]
struct Attempt {
    seconds: i64,
    session: u8,
    what: What,
    tries: Vec<Try>,
}

fn one() -> impl Strategy<Value = Try> {
    let (id, few) = (0..5u8, 0..3u8);
    let amounts =
        || prop::collection::btree_map(0..2u8, 0..4u64, 0..3).prop_map(|map| map.into_iter().collect());
    prop_oneof![
        3 => (id.clone(), prop::option::weighted(0.7, 0..5u8), 0..2u8, 1..60i64)
            .prop_map(|(id, parent, session, seconds)| Try::Issue { id, parent, session, seconds }),
        2 => prop::collection::vec(0..5u8, 0..3).prop_map(Try::Present),
        1 => id.clone().prop_map(Try::RevokeOne),
        1 => (0..2u8).prop_map(Try::RevokeSession),
        1 => (0..2u8, 0..12u64).prop_map(|(key, limit)| Try::Limit(key, limit)),
        3 => (id.clone(), amounts()).prop_map(|(id, amounts)| Try::Reserve { id, amounts }),
        2 => (id.clone(), amounts()).prop_map(|(id, actual)| Try::Settle { id, actual }),
        1 => id.clone().prop_map(Try::Release),
        3 => (id.clone(), few.clone(), 1..3u32, 1..40i64)
            .prop_map(|(id, key, people, seconds)| Try::Ask { id, key, people, seconds }),
        4 => (id.clone(), few, prop::bool::weighted(0.8), select(vec![0, 0, 0, 1u8]))
            .prop_map(|(id, by, yes, digest)| Try::Vote { id, by, yes, digest }),
        1 => (id.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(id, approved, expired)| Try::Close { id, approved, expired }),
        3 => (id, select(vec![0, 0, 0, 1u8])).prop_map(|(id, digest)| Try::Consume { id, digest }),
        3 => (0..3u8, select(TrustTier::ALL.to_vec())).prop_map(|(key, tier)| Try::Remember { key, tier }),
    ]
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let statuses = vec![OutcomeStatus::Succeeded, OutcomeStatus::Failed, OutcomeStatus::NotStarted];
    let what = prop_oneof![
        3 => (0..3u8).prop_map(What::Allow),
        1 => Just(What::Deny),
        2 => Just(What::Change),
        2 => select(statuses).prop_map(What::Outcome),
    ];
    let tries = prop::collection::vec(one(), 0..4);
    let attempt = (0..3i64, 0..2u8, what, tries).prop_map(|(seconds, session, what, tries)| Attempt {
        seconds,
        session,
        what,
        tries,
    });
    prop::collection::vec(attempt, 1..60)
}

fn session(of: u8) -> String {
    format!("s{of}")
}

fn budget(of: u8) -> placet_types::ledger::BudgetKey {
    calls(&format!("b{of}"))
}

fn amounts(of: &[(u8, u64)]) -> Vec<placet_types::ledger::Amount> {
    of.iter().map(|(key, amount)| common::of(&budget(*key), *amount)).collect()
}

fn approval(of: u8) -> String {
    format!("p{of}")
}

fn operation(attempt: &Try, at: i64, session_of: u8, depth: u32) -> LedgerOp {
    match attempt {
        Try::Issue { id, parent, session: holder, seconds } => LedgerOp::Issue(CredentialEntry {
            id: format!("c{id}").into(),
            parent: parent.map(|parent| format!("c{parent}").into()),
            session: session(*holder).into(),
            tenant: None,
            agent: None,
            role: None,
            scopes: vec!["read".into()],
            depth,
            max_depth: 2,
            issued_us: Micros(at),
            not_before_us: None,
            expires_us: Micros(at + seconds * SECOND),
            authority: Digest([0; 32]),
        }),
        Try::Present(chain) => {
            LedgerOp::Present(chain.iter().map(|id| CredentialId::from(format!("c{id}"))).collect())
        }
        Try::RevokeOne(id) => revoke(RevocationTarget::Credential(format!("c{id}").into())),
        Try::RevokeSession(of) => revoke(RevocationTarget::Session(session(*of).into())),
        Try::Limit(key, limit) => set(&budget(*key), *limit),
        Try::Reserve { id, amounts: wanted } => permit(&format!("r{id}"), amounts(wanted)),
        Try::Settle { id, actual } => settle(&format!("r{id}"), amounts(actual)),
        Try::Release(id) => release(&format!("r{id}")),
        Try::Ask { id, key, people, seconds } => LedgerOp::Ask(Box::new(ApprovalEntry {
            id: approval(*id).into(),
            digest: Digest([0; 32]),
            request_key: Digest([*key; 32]),
            displayed: Digest([9; 32]),
            decision: "d".into(),
            tenant: None,
            session: Some(session(session_of).into()),
            agent: None,
            action: "pay".into(),
            tool: None,
            risk_tier: RiskTier::Operational,
            rules: Vec::new(),
            policy_version: "v".into(),
            quorums: vec![Quorum { any_of: Vec::new(), count: *people }],
            strength: VoteStrength::Asserted,
            requesters: vec!["v0".into()],
            asked_us: Micros(at),
            expires_us: Micros(at + seconds * SECOND),
            remind_us: None,
            escalate: None,
            due_us: None,
        })),
        Try::Vote { id, by, yes, digest } => LedgerOp::Vote(Box::new(Vote {
            approval: approval(*id).into(),
            digest: Digest([*digest; 32]),
            approver: format!("v{by}").into(),
            groups: Vec::new(),
            approve: *yes,
            strength: VoteStrength::Asserted,
            channel: "cli".into(),
            at_us: Micros(at),
            record: "r".into(),
            signature: None,
            key: None,
        })),
        Try::Close { id, approved, expired } => LedgerOp::Close(ApprovalClosing {
            approval: approval(*id).into(),
            from: if *approved { ApprovalState::Approved } else { ApprovalState::Pending },
            state: if *expired { ApprovalState::Expired } else { ApprovalState::Cancelled },
            code: "withdrawn".into(),
        }),
        Try::Consume { id, digest } => {
            LedgerOp::Consume(Consumption { approval: approval(*id).into(), digest: Digest([*digest; 32]) })
        }
        Try::Remember { key, tier } => LedgerOp::Remember(MemoryWrite {
            key: Digest([*key; 32]),
            tier: *tier,
            from: None,
            sanitized: false,
            expires_us: None,
        }),
    }
}

fn revoke(target: RevocationTarget) -> LedgerOp {
    LedgerOp::Revoke(Revocation { target, by: "test".into() })
}

fn record_of(attempt: &Attempt, at: i64, model: &Model) -> Record {
    let fact = match &attempt.what {
        What::Allow(tool) => Fact::Decision(decision("allow", Some(&format!("t{tool}")))),
        What::Deny => Fact::Decision(decision("deny", None)),
        What::Change => change(),
        What::Outcome(status) => outcome(*status),
    };
    let depth = |one: &Try| match one {
        Try::Issue { parent: Some(parent), .. } => model.depth(*parent) + 1,
        _ => 0,
    };
    let ops = attempt.tries.iter().map(|one| operation(one, at, attempt.session, depth(one))).collect();
    let mut record = record(at, fact, ops);
    record.session = Some(session(attempt.session).into());
    for field in fields::ALL {
        record.commitments.insert(field.into(), Digest([3; 32]));
    }
    record
}

/// The same, as plainly as it can be said.
#[derive(Debug, Default, Clone)]
struct Model {
    credentials: BTreeMap<u8, Held>,
    /// Revoked before it was ever issued.
    unseen: BTreeSet<u8>,
    sessions_revoked: BTreeMap<u8, i64>,
    budgets: BTreeMap<u8, (Option<u64>, u64)>,
    open: BTreeMap<u8, Vec<(u8, u64)>>,
    approvals: BTreeMap<u8, Asked>,
    latest: BTreeMap<u8, u8>,
    histories: BTreeMap<String, Vec<String>>,
    memories: BTreeMap<(u8, u8), TrustTier>,
}

#[derive(Debug, Clone)]
struct Held {
    parent: Option<u8>,
    session: u8,
    depth: u32,
    expires: i64,
    revoked: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    people: u32,
    expires: i64,
    votes: BTreeSet<(u8, bool)>,
    state: ApprovalState,
}

impl Asked {
    fn at(&self, at: i64) -> ApprovalState {
        let open = matches!(self.state, ApprovalState::Pending | ApprovalState::Approved);
        if open && at >= self.expires { ApprovalState::Expired } else { self.state }
    }
}

impl Model {
    fn depth(&self, id: u8) -> u32 {
        self.credentials.get(&id).map_or(0, |held| held.depth)
    }

    fn live(&self, id: u8, at: i64) -> Option<&Held> {
        self.credentials.get(&id).filter(|held| !held.revoked && at < held.expires)
    }

    fn root(&self, mut id: u8) -> u8 {
        while let Some(parent) = self.credentials.get(&id).and_then(|held| held.parent) {
            id = parent;
        }
        id
    }

    fn holds(&self, one: &Try, attempt: &Attempt, at: i64) -> bool {
        match one {
            Try::Issue { id, parent, session, seconds } => {
                let expires = at + seconds * SECOND;
                let fits = parent.is_none_or(|parent| {
                    self.live(parent, at).is_some_and(|held| held.depth < 2 && expires <= held.expires)
                });
                let ended = self.sessions_revoked.get(session).is_some_and(|revoked| at <= *revoked);
                !self.credentials.contains_key(id) && !self.unseen.contains(id) && !ended && fits
            }
            Try::Present(chain) => {
                let linked = chain.windows(2).all(|pair| {
                    self.credentials.get(&pair[1]).is_some_and(|held| held.parent == Some(pair[0]))
                });
                !chain.is_empty() && chain.iter().all(|id| self.live(*id, at).is_some()) && linked
            }
            Try::Reserve { id, amounts } => {
                let fits = |(key, amount): &(u8, u64)| match self.budgets.get(key) {
                    Some((Some(limit), used)) => used < limit && used + amount <= *limit,
                    _ => true,
                };
                let known = self.open.get(id);
                let granted = !matches!(attempt.what, What::Deny);
                granted && known.map_or_else(|| amounts.iter().all(fits), |known| known == amounts)
            }
            Try::Settle { id, .. } => self.open.contains_key(id),
            Try::Release(id) => {
                !self.open.contains_key(id)
                    || matches!(attempt.what, What::Outcome(OutcomeStatus::NotStarted))
            }
            Try::Ask { id, key, .. } => {
                let busy = self.latest.get(key).map(|latest| self.approvals[latest].at(at));
                let busy = matches!(busy, Some(ApprovalState::Pending | ApprovalState::Approved));
                !self.approvals.contains_key(id) && !busy
            }
            Try::Vote { id, by, yes, digest } => self.approvals.get(id).is_some_and(|asked| {
                asked.at(at) == ApprovalState::Pending
                    && *digest == 0
                    && *by != 0
                    && !asked.votes.contains(&(*by, *yes))
            }),
            Try::Close { id, approved, expired } => self.approvals.get(id).is_some_and(|asked| {
                let from = if *approved { ApprovalState::Approved } else { ApprovalState::Pending };
                if *expired { asked.state == from } else { asked.at(at) == from }
            }),
            Try::Consume { id, digest } => {
                *digest == 0
                    && self.approvals.get(id).is_some_and(|asked| asked.at(at) == ApprovalState::Approved)
            }
            Try::Remember { key, tier } => {
                self.memories.get(&(attempt.session, *key)).is_none_or(|held| held <= tier)
            }
            Try::RevokeOne(_) | Try::RevokeSession(_) | Try::Limit(..) => true,
        }
    }

    /// Each thing once, and no credential after a revocation.
    fn is_distinct(tries: &[Try]) -> bool {
        let (mut seen, mut revoked) = (BTreeSet::new(), false);
        tries.iter().all(|one| {
            let things = match one {
                Try::Issue { id, .. } => vec![format!("credential {id}")],
                Try::Present(_) => Vec::new(),
                Try::RevokeOne(id) => vec![format!("revoke {id}")],
                Try::RevokeSession(of) => vec![format!("revoke session {of}")],
                Try::Limit(key, _) => vec![format!("budget {key}")],
                Try::Reserve { id, amounts } => amounts
                    .iter()
                    .map(|(key, _)| format!("budget {key}"))
                    .chain([format!("reservation {id}")])
                    .collect(),
                Try::Settle { id, .. } | Try::Release(id) => vec![format!("reservation {id}")],
                Try::Ask { id, key, .. } => vec![format!("approval {id}"), format!("request {key}")],
                Try::Vote { id, .. } | Try::Close { id, .. } | Try::Consume { id, .. } => {
                    vec![format!("approval {id}")]
                }
                Try::Remember { key, .. } => vec![format!("memory {key}")],
            };
            revoked |= matches!(one, Try::RevokeOne(_) | Try::RevokeSession(_));
            let late = revoked && matches!(one, Try::Issue { .. } | Try::Present(_));
            !late && things.into_iter().all(|thing| seen.insert(thing))
        })
    }

    fn admit(&mut self, attempt: &Attempt, at: i64) -> bool {
        let distinct = attempt.tries.len() < 2 || Self::is_distinct(&attempt.tries);
        if !distinct || !attempt.tries.iter().all(|one| self.holds(one, attempt, at)) {
            return false;
        }
        for one in &attempt.tries {
            self.apply(one, attempt, at);
        }
        if let What::Allow(tool) = attempt.what {
            let shown = attempt.tries.iter().find_map(|one| match one {
                Try::Present(chain) => chain.last(),
                _ => None,
            });
            let key = match shown {
                Some(id) => SessionKey::lineage(&format!("c{}", self.root(*id)).into()),
                None => SessionKey::stated(None, &session(attempt.session)),
            };
            self.histories.entry(key.0.to_string()).or_default().push(format!("t{tool}"));
        }
        true
    }

    fn apply(&mut self, one: &Try, attempt: &Attempt, at: i64) {
        match one {
            Try::Issue { id, parent, session, seconds } => {
                let depth = parent.map_or(0, |parent| self.depth(parent) + 1);
                let expires = at + seconds * SECOND;
                let held = Held { parent: *parent, session: *session, depth, expires, revoked: false };
                self.credentials.insert(*id, held);
            }
            Try::RevokeOne(id) if self.credentials.contains_key(id) => self.end(&|one, _| one == *id),
            Try::RevokeOne(id) => {
                self.unseen.insert(*id);
            }
            Try::RevokeSession(of) => {
                self.end(&|_, held| held.session == *of);
                self.sessions_revoked.insert(*of, at);
            }
            Try::Limit(key, limit) => self.budgets.entry(*key).or_default().0 = Some(*limit),
            Try::Reserve { id, amounts } => {
                if self.open.insert(*id, amounts.clone()).is_none() {
                    amounts
                        .iter()
                        .for_each(|(key, amount)| self.budgets.entry(*key).or_default().1 += amount);
                }
            }
            Try::Settle { id, actual } => {
                let failed = matches!(attempt.what, What::Outcome(OutcomeStatus::Failed));
                let mut actual: BTreeMap<u8, u64> = actual.iter().copied().collect();
                for (key, taken) in self.open.remove(id).unwrap() {
                    let told = actual.remove(&key).unwrap_or(taken);
                    let cost = if failed { told.max(taken) } else { told };
                    let used = &mut self.budgets.entry(key).or_default().1;
                    *used = *used - taken + cost;
                }
                actual.into_iter().for_each(|(key, cost)| self.budgets.entry(key).or_default().1 += cost);
            }
            Try::Release(id) => {
                for (key, taken) in self.open.remove(id).into_iter().flatten() {
                    self.budgets.entry(key).or_default().1 -= taken;
                }
            }
            Try::Ask { id, key, people, seconds } => {
                let expires = at + seconds * SECOND;
                let (votes, state) = (BTreeSet::new(), ApprovalState::Pending);
                self.approvals.insert(*id, Asked { people: *people, expires, votes, state });
                self.latest.insert(*key, *id);
            }
            Try::Vote { id, by, yes, .. } => {
                let asked = self.approvals.get_mut(id).unwrap();
                asked.votes.insert((*by, *yes));
                let count = asked.votes.iter().filter(|(_, yes)| *yes).count();
                if !yes {
                    asked.state = ApprovalState::Denied;
                } else if count >= asked.people as usize {
                    asked.state = ApprovalState::Approved;
                }
            }
            Try::Close { id, expired, .. } => {
                let state = if *expired { ApprovalState::Expired } else { ApprovalState::Cancelled };
                self.approvals.get_mut(id).unwrap().state = state;
            }
            Try::Consume { id, .. } => self.approvals.get_mut(id).unwrap().state = ApprovalState::Consumed,
            Try::Remember { key, tier } => {
                self.memories.insert((attempt.session, *key), *tier);
            }
            Try::Present(_) => {}
        }
    }

    fn end(&mut self, first: &dyn Fn(u8, &Held) -> bool) {
        let mut ended: BTreeSet<u8> =
            self.credentials.iter().filter(|(id, held)| first(**id, held)).map(|(id, _)| *id).collect();
        loop {
            let more: Vec<u8> = self
                .credentials
                .iter()
                .filter(|(id, held)| {
                    !ended.contains(*id) && held.parent.is_some_and(|parent| ended.contains(&parent))
                })
                .map(|(id, _)| *id)
                .collect();
            if more.is_empty() {
                break;
            }
            ended.extend(more);
        }
        ended.iter().for_each(|id| self.credentials.get_mut(id).unwrap().revoked = true);
    }

    /// What can be seen of it.
    fn picture(&self, at: i64) -> String {
        let live: Vec<u8> = (0..5).filter(|id| self.live(*id, at).is_some()).collect();
        let budgets: Vec<_> = (0..2).map(|key| self.budgets.get(&key).copied().unwrap_or_default()).collect();
        let asked: Vec<_> = (0..5).map(|id| self.approvals.get(&id).map(|asked| asked.at(at))).collect();
        format!(
            "{live:?} {budgets:?} {:?} {asked:?} {:?} {:?}",
            self.open.len(),
            self.histories,
            self.memories
        )
    }
}

fn picture(state: &State, model: &Model, at: i64) -> String {
    let now = Micros(at);
    let live: Vec<u8> =
        (0..5).filter(|id| state.credentials.live(&format!("c{id}").into(), now).is_ok()).collect();
    let budgets: Vec<(Option<u64>, u64)> = (0..2)
        .map(|key| {
            let standing = state.budgets.standing(&budget(key), now);
            standing.map_or((None, 0), |standing| (standing.limit, standing.spent + standing.in_flight))
        })
        .collect();
    let asked: Vec<_> = (0..5u8)
        .map(|id| state.approvals.get(&approval(id).into()).map(|approval| approval.state_at(now)))
        .collect();
    let histories: BTreeMap<String, Vec<String>> = model
        .histories
        .keys()
        .map(|key| {
            let facts = state.facts(&SessionKey(key.as_str().into()));
            (key.clone(), facts.tool_history.iter().map(ToString::to_string).collect())
        })
        .collect();
    let mut memories = BTreeMap::new();
    for (of, key) in (0..2u8).flat_map(|of| (0..3u8).map(move |key| (of, key))) {
        let space = MemorySpace { tenant: None, session: Some(session(of).into()) };
        let slot = state.memory.slot(&space, &Digest([key; 32]));
        if let Some(version) = slot.and_then(|slot| slot.current(now)) {
            memories.insert((of, key), version.write.tier);
        }
    }
    let open = state.budgets.in_flight().count();
    format!("{live:?} {budgets:?} {open:?} {asked:?} {histories:?} {memories:?}")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        rng_seed: RngSeed::Fixed(72),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// What is admitted is what the model admits, and a replay of the admitted records, read from their text, gives the
    /// same state and the same rows.
    #[test]
    fn a_replay_of_what_was_admitted_gives_the_admitted_state(attempts in attempts()) {
        // The last credential of all keeps the registry from forgetting revocations within the test.
        let mut anchor = record(SECOND, change(), vec![credential("anchor", None)]);
        if let Some(LedgerOp::Issue(entry)) = anchor.ops.first_mut() {
            entry.expires_us = Micros(10_000 * SECOND);
        }
        let (mut state, mut model) = (State::default(), Model::default());
        state.admit(&anchor).unwrap();
        let mut log = vec![serde_json::to_string(&anchor).unwrap()];
        let mut keys: BTreeSet<StateKey> = BTreeSet::new();
        let mut at = 10 * SECOND;
        for attempt in &attempts {
            at += attempt.seconds * SECOND;
            let record = record_of(attempt, at, &model);
            keys.extend(state.keys(&record));
            let before: Vec<_> = keys.iter().map(|key| state.row(key)).collect();
            let wanted = model.admit(attempt, at);
            let answer = state.admit(&record);
            prop_assert_eq!(answer.is_ok(), wanted, "{:?} at {}: {:?}", attempt, at, answer);
            match answer {
                Ok(()) => log.push(serde_json::to_string(&record).unwrap()),
                Err(_) => {
                    let after: Vec<_> = keys.iter().map(|key| state.row(key)).collect();
                    prop_assert_eq!(before, after, "a refused record changed something");
                }
            }
            prop_assert_eq!(picture(&state, &model, at), model.picture(at));
        }
        let mut replayed = State::default();
        for line in &log {
            replayed.replay(&serde_json::from_str(line).unwrap());
        }
        prop_assert_eq!(picture(&replayed, &model, at), model.picture(at));
        for key in &keys {
            prop_assert_eq!(replayed.row(key), state.row(key));
        }
        prop_assert!(replayed.budgets == state.budgets && replayed.sessions == state.sessions);
        prop_assert!(replayed.memory == state.memory);
    }
}
