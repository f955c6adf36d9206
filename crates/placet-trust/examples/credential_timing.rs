//! How long credentials take: `cargo run --release -p placet-trust --example credential_timing`.
// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, missing_docs, reason = "an example that measures")]

mod timing;

use std::collections::BTreeMap;
use std::hint::black_box;

use placet_trust::State;
use placet_trust::credentials::authority::{
    ArgumentLimit, Authority, Call, Constraint, Range, ToolLimit, Tools,
};
use placet_trust::credentials::keys::{KeySet, SecretKey};
use placet_trust::credentials::token::{Chain, Grant, Identity, ProofRequest, ReplayWindow};
use placet_types::record::ChangeFact;
use placet_types::{Digest, Fact, LedgerOp, Micros, Object, Record, Value};
use timing::measure;

const NOW: Micros = Micros(1_800_000_000_000_000);

/// How many windows each figure is of.
const COUNT: usize = 500;

fn refunds(most: f64) -> Authority {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let limit =
        ToolLimit { arguments: BTreeMap::from([("amount".into(), amount)]), open: false, calls: None };
    Authority {
        tools: Tools::Only(BTreeMap::from([("payments.refund".into(), limit)])),
        ..Authority::of_scopes(["pay"], 3, NOW.plus_seconds(300))
    }
}

fn grant(depth: u8, most: f64) -> Grant {
    Grant {
        jti: format!("jti-{depth}").into(),
        issued: NOW,
        identity: Identity { session: "s".into(), tenant: Some("t".into()), agent: None, role: None },
        authority: refunds(most),
        holder: SecretKey::from_seed([depth + 1; 32]).public(),
    }
}

fn main() {
    let key = |seed| SecretKey::from_seed([seed; 32]);
    let keys = KeySet::new("https://issuer.example", key(0).public(), NOW);
    let one = Chain::issue(&grant(0, 500.0), "https://issuer.example", &key(0)).unwrap();
    let two = one.attenuate(&grant(1, 100.0), &key(1)).unwrap();
    let three = two.attenuate(&grant(2, 80.0), &key(2)).unwrap();
    for (length, chain) in [(1, &one), (2, &two), (3, &three)] {
        let text = chain.to_text();
        measure(&format!("verify a chain of {length} ({} bytes), cold", text.len()), COUNT, 1, || {
            black_box(Chain::parse(&text).unwrap().verify(&keys, NOW).unwrap());
        });
    }
    measure("attenuate", COUNT, 1, || drop(black_box(two.attenuate(&grant(2, 80.0), &key(2)).unwrap())));

    let leaf = three.verify(&keys, NOW).unwrap();
    let mut state = State::default();
    for entry in leaf.entries() {
        let mut record = Record::new((&*entry.id.0).into(), Fact::Change(ChangeFact { by: "system".into() }));
        (record.time_us, record.ops) = (NOW, vec![LedgerOp::Issue(entry.clone())]);
        state.admit(&record).unwrap();
    }
    let id = leaf.chain().last().unwrap().clone();
    measure("check a handle", COUNT, 100, || {
        black_box(state.credentials.live(&id, NOW).unwrap());
    });
    let mut args = Object::new();
    args.insert("amount", Value::Int(50));
    let call = Call { tool: "payments.refund", args: &args, calls: 0, at: NOW };
    measure("check a call against its authority", COUNT, 100, || {
        leaf.authority().covers(black_box(&call)).unwrap()
    });

    let args = Digest([1; 32]);
    let request = ProofRequest { tool: "payments.refund", args: &args, audience: None };
    let proof = leaf.prove(&request, "p", NOW, &key(3)).unwrap();
    measure("verify a proof of possession", COUNT, 1, || {
        leaf.check_proof(&proof, &request, NOW, &mut ReplayWindow::new(1)).unwrap();
    });
}
