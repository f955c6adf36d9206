//! Tokens: no text makes reading panic, and nothing made of a genuine chain, or of a proof for it, by edits says more
//! than what its holder signed.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use placet_trust::credentials::authority::Authority;
use placet_trust::credentials::broker::Bearer;
use placet_trust::credentials::keys::{KeySet, PublicKey, SecretKey};
use placet_trust::credentials::public_id;
use placet_trust::credentials::token::{Chain, Grant, Identity, Presentation, ProofRequest, ReplayWindow};
use placet_types::{CredentialId, Digest, Micros};

const ISSUER: &str = "https://issuer.example";
const NOW: Micros = Micros(1_800_000_000_000_000);

const ARGS: Digest = Digest([1; 32]);

struct Genuine {
    /// The chain with a proof for one call.
    text: String,
    proof: String,
    ids: Vec<CredentialId>,
    root: Authority,
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn keys() -> KeySet {
    KeySet::new(ISSUER, key(0).public(), Micros(NOW.0 - 1_000_000))
}

fn grant(depth: u8, scopes: &[&str]) -> Grant {
    let identity =
        Identity { session: format!("s{depth}").into(), tenant: None, agent: None, role: None };
    let expires = NOW.plus_seconds(300 - u32::from(depth));
    let authority = Authority::of_scopes(scopes.iter().copied(), 3, expires);
    Grant { jti: format!("jti-{depth}").into(), issued: NOW, identity, authority, holder: key(depth + 1).public() }
}

/// A chain of two.
static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let root = grant(0, &["pay", "read"]);
    let stands_for = CredentialId::from("crd_00");
    let chain = Chain::issue_for(&stands_for, &root, ISSUER, &key(0)).expect("a root");
    let chain = chain.attenuate(&grant(1, &["read"]), &key(1)).expect("a child");
    let ids = chain.verify(&keys(), NOW).expect("it verifies").chain().to_vec();
    let request = ProofRequest { tool: "pay", args: &ARGS, audience: None };
    let shown = chain.prove(&request, "once", NOW, &key(2)).expect("a proof");
    Genuine { text: shown.to_text(), proof: shown.proof, ids, root: root.authority }
});

fn read(text: &str) {
    if let Some(bearer) = Bearer::parse(text) {
        assert_eq!(bearer.id(), Bearer::parse(&bearer.secret_text()).expect("its own text").id());
    }
    let _ = public_id(text);
    if let Ok(key) = SecretKey::from_secret_text(text) {
        assert_eq!(SecretKey::from_secret_text(&key.to_secret_text()).expect("its own text").public(), key.public());
    }
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(set) = KeySet::from_text(text) {
        assert_eq!(KeySet::from_text(&set.to_text()).expect("its own text"), set);
    }
    let (text, proof) = Presentation::split(text).map_or((text, None), |(chain, proof)| (chain, Some(proof)));
    let Ok(chain) = Chain::parse(text) else { return };
    let _ = chain.claimed();
    let again = Chain::parse(&chain.to_text()).expect("its own text");
    assert_eq!(again.digest(), chain.digest());
    if let Ok(leaf) = chain.verify(&keys(), NOW) {
        assert!(GENUINE.ids.starts_with(leaf.chain()), "a chain that nobody signed");
        assert!(leaf.authority().within(&GENUINE.root));
        let request = ProofRequest { tool: "pay", args: &ARGS, audience: None };
        let proof = proof.filter(|proof| {
            leaf.check_proof(proof, &request, NOW, &mut ReplayWindow::new(1)).is_ok()
        });
        assert!(proof.is_none_or(|proof| proof == GENUINE.proof), "a proof that nobody signed");
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    // The same bytes as edits of the genuine chain: where, and what stands there instead; past the end they cut it off.
    let mut text = GENUINE.text.clone().into_bytes();
    for edit in bytes.chunks_exact(3).take(32) {
        let at = usize::from(u16::from_be_bytes([edit[0], edit[1]]));
        match text.get_mut(at) {
            Some(byte) => *byte = edit[2] & 0x7f,
            None => text.truncate(at % (text.len() + 1)),
        }
    }
    read(&String::from_utf8(text).expect("ASCII"));
});
