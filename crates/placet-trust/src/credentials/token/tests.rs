//! Chains that hold, and every way in which they may not.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;

use placet_types::{Digest, Micros, json};
use proptest::prelude::*;

use super::*;
use crate::State;
use crate::credentials::authority::{ArgumentLimit, Constraint, Range, ToolLimit, Tools};
use crate::credentials::canonical;

const ISSUER: &str = "https://issuer.example";
const NOW: Micros = Micros(1_800_000_000_000_000);

fn later(seconds: i64) -> Micros {
    Micros(NOW.0 + seconds * 1_000_000)
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn keys() -> KeySet {
    KeySet::new(ISSUER, key(0).public(), later(-1_000))
}

fn refunds(most: f64, seconds: i64) -> Authority {
    let amount = ArgumentLimit { constraint: Constraint::Range(Range::between(0.0, most)), optional: false };
    let refund =
        ToolLimit { arguments: BTreeMap::from([("amount".into(), amount)]), open: false, calls: None };
    Authority {
        tools: Tools::Only(BTreeMap::from([("refund".into(), refund)])),
        ..Authority::of_scopes(["pay"], 3, later(seconds))
    }
}

fn grant(depth: u8, authority: Authority) -> Grant {
    Grant {
        jti: format!("jti-{depth}").into(),
        issued: later(depth.into()),
        identity: Identity {
            session: format!("s{depth}").into(),
            tenant: Some("t".into()),
            agent: Some(format!("agent-{depth}").into()),
            role: Some("clerk".into()),
        },
        authority,
        holder: key(depth + 1).public(),
    }
}

fn root() -> Chain {
    Chain::issue(&grant(0, refunds(500.0, 300)), ISSUER, &key(0)).unwrap()
}

fn three() -> Chain {
    let two = root().attenuate(&grant(1, refunds(100.0, 200)), &key(1)).unwrap();
    two.attenuate(&grant(2, refunds(80.0, 100)), &key(2)).unwrap()
}

/// Signs whatever it is told, as a dishonest holder would.
fn forged(chain: &Chain, alter: impl Fn(&mut Claims), signer: &SecretKey) -> Chain {
    let last = jws::split(chain.tokens.last().unwrap(), 0).unwrap();
    let depth = u32::try_from(chain.tokens.len()).unwrap();
    let grant = grant(u8::try_from(depth).unwrap(), refunds(80.0, 100));
    let parent = Claims::read(&last.payload().unwrap(), depth - 1).unwrap();
    let mut claims = Claims::of(&grant, parent.holder.uri().into(), depth, Some(jws::hash(last.input)));
    alter(&mut claims);
    let mut tokens = chain.tokens.clone();
    tokens.push(jws::sign(&claims.text().unwrap(), jws::HEADER, signer));
    Chain { tokens }
}

/// Signs the last token's payload after a change to its text.
fn rewritten(chain: &Chain, from: &str, to: &str, header: &str, signer: &SecretKey) -> Chain {
    let mut tokens = chain.tokens.clone();
    let last = tokens.pop().unwrap();
    let payload = jws::split(&last, 0).unwrap().payload().unwrap();
    let text = canonical::text(&payload).unwrap();
    assert!(text.contains(from), "{text}");
    tokens.push(jws::sign(&text.replacen(from, to, 1), header, signer));
    Chain { tokens }
}

fn refused(chain: &Chain) -> String {
    chain.verify(&keys(), later(5)).expect_err("the chain must be refused").to_string()
}

#[test]
fn a_chain_of_three_holds_and_says_what_its_leaf_gives() {
    let chain = Chain::parse(&three().to_text()).unwrap();
    let leaf = chain.verify(&keys(), later(5)).unwrap();
    assert_eq!((leaf.depth(), &*leaf.identity().session), (2, "s2"));
    assert_eq!(leaf.authority(), &refunds(80.0, 100));
    assert_eq!(leaf.chain().len(), 3);
    assert_eq!(leaf.hops().count(), 3);
    assert!(leaf.in_time(later(99)) && !leaf.in_time(later(100)));
    assert!(chain.to_text().len() < 3_000, "{}", chain.to_text().len());
}

#[test]
fn every_invariant_of_the_draft_is_enforced() {
    let one = root();
    assert!(forged(&one, |_| {}, &key(1)).verify(&keys(), later(5)).is_ok(), "the forger can also be honest");
    let cases: [(&str, Chain); 14] = [
        ("I1", forged(&one, |claims| claims.iss = key(9).public().uri().into(), &key(1))),
        ("signature of the token at depth 1", forged(&one, |_| {}, &key(9))),
        ("I2: del_depth", forged(&one, |claims| claims.depth = 2, &key(1))),
        ("depth of delegation", forged(&one, |claims| claims.authority.max_depth = 4, &key(1))),
        ("until", forged(&one, |claims| claims.exp += 1_000, &key(1))),
        ("I3: it was issued before", forged(&one, |claims| claims.iat -= 2, &key(1))),
        ("I3: it was issued more", forged(&one, |claims| claims.iat += 60, &key(1))),
        ("I3: a token must end", forged(&one, |claims| claims.exp = claims.iat, &key(1))),
        ("I4", forged(&one, |claims| claims.authority = refunds(501.0, 100), &key(1))),
        (
            "I4",
            forged(&one, |claims| claims.authority = Authority::of_scopes(["pay"], 3, later(100)), &key(1)),
        ),
        ("I4", forged(&one, |claims| claims.authority.scopes.extend(["admin".into()]), &key(1))),
        ("another tenant", forged(&one, |claims| claims.identity.tenant = None, &key(1))),
        ("another role", forged(&one, |claims| claims.identity.role = Some("admin".into()), &key(1))),
        ("I5", forged(&one, |claims| claims.par_hash = Some([0; 32]), &key(1))),
    ];
    for (word, chain) in cases {
        let error = refused(&chain);
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn a_child_of_one_parent_does_not_hang_from_another() {
    let other = Grant { jti: "other".into(), ..grant(0, refunds(500.0, 300)) };
    let other = Chain::issue(&other, ISSUER, &key(0)).unwrap();
    let child = root().attenuate(&grant(1, refunds(100.0, 200)), &key(1)).unwrap();
    let spliced = Chain { tokens: vec![other.tokens[0].clone(), child.tokens[1].clone()] };
    assert!(refused(&spliced).contains("I5"));
    let headless = Chain { tokens: vec![child.tokens[1].clone()] };
    assert!(matches!(headless.verify(&keys(), later(5)), Err(TokenError::Untrusted)));
    let twice = Chain { tokens: vec![child.tokens[0].clone(), child.tokens[0].clone()] };
    assert!(twice.verify(&keys(), later(5)).is_err());
}

#[test]
fn attenuating_refuses_what_verifying_would() {
    let chain = root();
    let error = chain.attenuate(&grant(1, refunds(501.0, 200)), &key(1)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("argument `amount`: at least 0 and at most 500 -> at least 0 and at most 501"),
        "{text}"
    );
    assert!(text.contains(r#"it would allow the call `refund` with {"amount":501}"#), "{text}");
    let stranger = chain.attenuate(&grant(1, refunds(1.0, 200)), &key(9));
    assert!(stranger.unwrap_err().to_string().contains("I1"));
    let flat = Authority { max_depth: 0, ..refunds(1.0, 300) };
    let leaf = Chain::issue(&grant(0, flat.clone()), ISSUER, &key(0)).unwrap();
    assert!(leaf.attenuate(&grant(1, flat), &key(1)).unwrap_err().to_string().contains("I2"));
    let deep = Authority { max_depth: 9, ..refunds(1.0, 300) };
    assert!(Chain::issue(&grant(0, deep), ISSUER, &key(0)).is_err());
    let long = Authority { expires: later(91 * 86_400), ..refunds(1.0, 300) };
    assert!(Chain::issue(&grant(0, long), ISSUER, &key(0)).unwrap_err().to_string().contains("90 days"));
}

#[test]
fn f19_tokens_end_and_keys_end() {
    let chain = three();
    assert!(chain.verify(&keys(), later(99)).is_ok());
    assert!(matches!(chain.verify(&keys(), later(100)), Err(TokenError::Time(2))));
    assert!(matches!(root().verify(&keys(), later(300)), Err(TokenError::Time(0))));
    // A clock that runs behind is tolerated for 30 s, as MAX_SKEW_SECONDS says.
    assert!(root().verify(&keys(), later(-30)).is_ok() && root().verify(&keys(), later(-31)).is_err());
    let mut rotated = keys();
    rotated.rotate(key(7).public(), later(0), 60).unwrap();
    assert!(chain.verify(&rotated, later(59)).is_ok());
    let retired = TokenError::Retired { key: key(0).public().id().into(), since: later(60) };
    assert_eq!(chain.verify(&rotated, later(60)).unwrap_err(), retired);
    let other = KeySet::new("https://other.example", key(0).public(), later(0));
    assert_eq!(chain.verify(&other, later(5)).unwrap_err(), TokenError::Untrusted);
}

#[test]
fn what_is_not_quite_a_token_is_refused() {
    let chain = root();
    let header = jws::root_header(&key(0).public());
    let none = r#"{"alg":"none","typ":"aat+jwt"}"#;
    let critical = header.replace("\"typ\"", "\"crit\":[\"exp\"],\"typ\"");
    for (word, from, to, header) in [
        ("Ed25519", "jti-0", "jti-0", none),
        ("another type", "jti-0", "jti-0", jws::PROOF_HEADER),
        ("critical", "jti-0", "jti-0", critical.as_str()),
        ("no jti", r#""jti":"jti-0""#, r#""jti":7"#, header.as_str()),
        ("empty", r#""jti":"jti-0""#, r#""jti":"""#, header.as_str()),
        ("JSON that is refused", r#""jti":"jti-0""#, r#""jti":"a","jti":"b""#, header.as_str()),
        ("del_depth", r#""del_depth":0"#, r#""del_depth":-1"#, header.as_str()),
        ("del_depth", r#""del_depth":0"#, r#""del_depth":0.0"#, header.as_str()),
        ("exp", r#""exp":"#, r#""exp":1.5,"old":"#, header.as_str()),
        ("cnf", r#""kty":"OKP""#, r#""kty":"OKP","d":"AA""#, header.as_str()),
        ("cnf", r#""crv":"Ed25519""#, r#""crv":"X25519""#, header.as_str()),
        ("claim placet", r#""session":"s0""#, r#""session":"s0","superuser":"yes""#, header.as_str()),
        (
            "unknown constraint",
            r#""constraint_type":"range""#,
            r#""constraint_type":"regex""#,
            header.as_str(),
        ),
        ("unknown member", r#""scopes":"#, r#""bonus":1,"scopes":"#, header.as_str()),
        (
            "I5",
            r#""jti":"jti-0""#,
            &format!(r#""jti":"jti-0","par_hash":"{}""#, jws::encode(&[1; 32])),
            &header,
        ),
    ] {
        let error = refused(&rewritten(&chain, from, to, header, &key(0)));
        assert!(error.contains(word), "{word}: {error}");
    }
    let text = chain.to_text();
    for wrong in ["", "a.b.c", "~", &text[..text.len() - 1], &format!("{text}~"), &format!("{text}=")] {
        assert!(
            Chain::parse(wrong).is_err() || Chain::parse(wrong).unwrap().verify(&keys(), later(5)).is_err()
        );
    }
    let large = "a".repeat(MAX_CHAIN_BYTES + 1);
    assert!(matches!(Chain::parse(&large), Err(TokenError::TooLarge { .. })));
    assert!(Chain::parse(&["x"; 10].join("~")).unwrap_err().to_string().contains("deeper than 8"));
}

#[test]
fn f21_revoking_any_token_of_a_chain_ends_what_hangs_from_it() {
    use placet_types::ledger::{Revocation, RevocationTarget};
    use placet_types::record::ChangeFact;
    use placet_types::{Fact, LedgerOp, Record};
    let leaf = three().verify(&keys(), later(5)).unwrap();
    let mut state = State::default();
    let mut commit = |op: LedgerOp| {
        let mut record = Record::new(
            crate::credentials::registry_tests::fresh_id(),
            Fact::Change(ChangeFact { by: "system".into() }),
        );
        (record.time_us, record.ops) = (later(5), vec![op]);
        state.admit(&record).map(|()| state.credentials.generation())
    };
    assert!(commit(LedgerOp::Present(leaf.chain().to_vec())).is_err(), "not registered yet");
    for entry in leaf.entries() {
        commit(LedgerOp::Issue(entry.clone())).unwrap();
    }
    commit(LedgerOp::Present(leaf.chain().to_vec())).unwrap();
    let target = RevocationTarget::Credential(leaf.chain()[1].clone());
    commit(LedgerOp::Revoke(Revocation { target, by: "system".into() })).unwrap();
    assert!(commit(LedgerOp::Present(leaf.chain().to_vec())).is_err());
    assert!(commit(LedgerOp::Present(leaf.chain()[..1].to_vec())).is_ok());
}

#[test]
fn f22_a_proof_holds_for_one_call_of_the_holder_once() {
    let leaf = three().verify(&keys(), later(5)).unwrap();
    let (args, other) = (Digest([1; 32]), Digest([2; 32]));
    let request = ProofRequest { tool: "refund", args: &args, audience: Some("here") };
    let proof = leaf.prove(&request, "p1", later(5), &key(3)).unwrap();
    let mut window = ReplayWindow::new(2);
    let mut check = |proof: &str, request: &ProofRequest<'_>, at| {
        leaf.check_proof(proof, request, at, &mut window).map_err(|error| error.to_string())
    };
    for (word, request, at) in [
        ("another call", ProofRequest { tool: "wire", ..request.clone() }, 5),
        ("another call", ProofRequest { args: &other, ..request.clone() }, 5),
        ("enforcement point", ProofRequest { audience: Some("there"), ..request.clone() }, 5),
        ("enforcement point", ProofRequest { audience: None, ..request.clone() }, 5),
        ("this minute", request.clone(), 66),
        ("this minute", request.clone(), -26),
    ] {
        assert!(check(&proof, &request, later(at)).unwrap_err().contains(word), "{word} at {at}");
    }
    assert_eq!(check(&proof, &request, later(5)).map(|_| ()), Ok(()));
    assert!(check(&proof, &request, later(6)).unwrap_err().contains("used before"));
    assert!(leaf.prove(&request, "p", later(5), &key(2)).is_err(), "only the holder's key");
    let thief = jws::sign("{}", jws::PROOF_HEADER, &key(2));
    assert!(check(&thief, &request, later(5)).unwrap_err().contains("holder"));
    let old = leaf.prove(&request, "p1", later(90), &key(3)).unwrap();
    assert_eq!(
        check(&old, &request, later(90)).map(|_| ()),
        Ok(()),
        "an id may come again when the window has passed"
    );
    let next = |id: &str| leaf.prove(&request, id, later(90), &key(3)).unwrap();
    assert_eq!(check(&next("p2"), &request, later(90)).map(|_| ()), Ok(()));
    assert!(check(&next("p3"), &request, later(90)).unwrap_err().contains("too many"), "full is refused");
    let sibling = root().attenuate(&grant(1, refunds(1.0, 100)), &key(1)).unwrap();
    let sibling = sibling.verify(&keys(), later(5)).unwrap();
    assert!(sibling.check_proof(&proof, &request, later(5), &mut ReplayWindow::new(9)).is_err());
}

#[test]
fn a_token_is_written_as_the_draft_has_it() {
    let last = root().tokens[0].clone();
    let payload = jws::split(&last, 0).unwrap().payload().unwrap();
    let expected = format!(
        concat!(
            r#"{{"authorization_details":[{{"tools":{{"refund":{{"amount":{{"constraint_type":"range","max":500,"min":0}}}}}},"#,
            r#""type":"attenuating_agent_token"}},{{"budgets":{{}},"calls":{{}},"scopes":["pay"],"type":"placet_authority"}}],"#,
            r#""cnf":{{"jwk":{{"crv":"Ed25519","kty":"OKP","x":"{}"}}}},"del_depth":0,"del_max_depth":3,"#,
            r#""exp":1800000300,"iat":1800000000,"iss":"https://issuer.example","jti":"jti-0","#,
            r#""placet":{{"agent":"agent-0","role":"clerk","session":"s0","tenant":"t"}}}}"#
        ),
        key(1).public()
    );
    assert_eq!(canonical::text(&payload).unwrap(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// No changed byte of a chain is accepted, and nothing foreign panics.
    #[test]
    fn a_changed_chain_is_never_accepted(index in any::<prop::sample::Index>(), byte in 0u8..128) {
        let text = three().to_text();
        let mut bytes = text.clone().into_bytes();
        let at = index.index(bytes.len());
        prop_assume!(bytes[at] != byte);
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        let verified = Chain::parse(&changed).and_then(|chain| chain.verify(&keys(), later(5)));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn foreign_text_is_refused_without_a_panic(text in "[a-zA-Z0-9~._=-]{0,200}") {
        let verified = Chain::parse(&text).and_then(|chain| chain.verify(&keys(), later(5)));
        prop_assert!(verified.is_err());
        prop_assert!(json::parse(text.as_bytes()).is_ok() || Authority::from_details(&text.as_str().into(), 0, NOW).is_err());
    }
}
