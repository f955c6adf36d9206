//! Keys, notes, checkpoints and proofs: against the vectors of Go's `note` package and `ct-merkle`.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use placet_audit::checkpoint::{self, Checkpoint, CheckpointError, Earlier};
use placet_audit::keys::{SigningKey, VerifierKey};
use placet_audit::note::{self, NoteError};
use placet_audit::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use placet_audit::tlog_proof::{TlogProof, TlogProofError};
use placet_audit::tree::{Frontier, leaf_hash};
use placet_types::Digest;
use proptest::prelude::*;
use sha2::Sha256;

const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SECRET: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER_SIGNED: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH_SIGNED: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

fn verifier(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

#[test]
fn keys_of_gos_note_package_are_read_and_no_mangled_ones() {
    assert_eq!(verifier(PETER).to_string(), PETER);
    let secret = SigningKey::parse(PETER_SECRET).unwrap();
    assert_eq!(secret.reveal(), PETER_SECRET);
    assert_eq!(secret.verifier(), &verifier(PETER));
    for (from, to) in (0..PETER.len()).flat_map(|from| (from..=PETER.len()).map(move |to| (from, to))) {
        if (from, to) != (0, PETER.len()) {
            assert!(PETER[from..to].parse::<VerifierKey>().is_err(), "{}", &PETER[from..to]);
        }
    }
    for at in 0..PETER_SECRET.len() {
        let mut bytes = PETER_SECRET.as_bytes().to_vec();
        bytes[at] += 1;
        assert!(SigningKey::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "{at}");
        assert!(SigningKey::parse(&PETER_SECRET[at + 1..]).is_err());
    }
    let unknown_kind = "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    let too_long = "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==";
    assert!(unknown_kind.parse::<VerifierKey>().is_err() && too_long.parse::<VerifierKey>().is_err());
    assert!(SigningKey::generate("has space").is_err() && SigningKey::generate("a+b").is_err());
    let new = SigningKey::generate("log.example/new").unwrap();
    assert_eq!(&verifier(&new.verifier().to_string()), new.verifier());
}

#[test]
fn notes_of_gos_note_package_are_made_and_read() {
    let peter = SigningKey::parse(PETER_SECRET).unwrap();
    assert_eq!(note::sign(TEXT, &[&peter]).unwrap(), format!("{TEXT}\n{PETER_SIGNED}"));
    let both = format!("{TEXT}\n{PETER_SIGNED}{ENOCH_SIGNED}");
    let read = note::open(&both, &[verifier(PETER)]).unwrap();
    assert_eq!((read.text, read.signers), (TEXT, vec![verifier(PETER)]));
    assert_eq!(note::open(&both, &[verifier(PETER), verifier(ENOCH)]).unwrap().signers.len(), 2);
    assert_eq!(note::open(&both, &[]), Err(NoteError::Unsigned { keys: 0 }));
    let forged = both.replace("If you", "If You");
    assert_eq!(
        note::open(&forged, &[verifier(PETER)]),
        Err(NoteError::Forged { name: "PeterNeumann".into() })
    );
    for bad in [
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n{}", PETER_SIGNED.trim_end()),
        format!("\u{1}{TEXT}\n{PETER_SIGNED}"),
        format!("{TEXT}\n{}", PETER_SIGNED.replace("PeterNeumann", "Bad Name")),
        format!("{TEXT}\n{PETER_SIGNED}Unexpected line.\n"),
        format!("{TEXT}\n{}", PETER_SIGNED.repeat(101)),
        format!("{TEXT}\n{}", PETER_SIGNED.replace('\u{2014}', "-")),
    ] {
        assert!(matches!(note::open(&bad, &[verifier(PETER)]), Err(NoteError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn a_checkpoint_is_signed_only_if_it_extends_the_one_before() {
    let key = SigningKey::from_seed("log.example", [3; 32]).unwrap();
    let leaves: Vec<Digest> = (0..9_u8).map(|n| leaf_hash(&[n])).collect();
    let at = |size: usize| {
        let mut tree = Frontier::new();
        leaves[..size].iter().for_each(|leaf| tree.push(*leaf));
        (Checkpoint { origin: "log.example".into(), size: size as u64, root: tree.root() }, tree)
    };
    let ((early, frontier), (late, _)) = (at(5), at(9));
    let signed = checkpoint::sign(&late, Earlier::None, &[&key]).unwrap();
    assert_eq!(checkpoint::verify(&signed, &[key.verifier().clone()]).unwrap(), late);
    let proof = consistency(&leaves[..], 5, 9).unwrap();
    let proven = Earlier::Proven { checkpoint: &early, proof: &proof };
    assert_eq!(checkpoint::sign(&late, proven, &[&key]).unwrap(), signed);
    let mut since = leaves[5..].iter().copied();
    let grown = Earlier::Grown { checkpoint: &early, frontier: &frontier, leaves: &mut since };
    assert_eq!(checkpoint::sign(&late, grown, &[&key]).unwrap(), signed);
    let inconsistent = Err(CheckpointError::Inconsistent { size: 9, earlier: 5 });
    let rewritten = Checkpoint { root: leaf_hash(b"other"), ..late.clone() };
    let proven = Earlier::Proven { checkpoint: &early, proof: &proof };
    assert_eq!(checkpoint::sign(&rewritten, proven, &[&key]), inconsistent);
    let mut since = leaves[5..8].iter().copied();
    let grown = Earlier::Grown { checkpoint: &early, frontier: &frontier, leaves: &mut since };
    assert_eq!(checkpoint::sign(&late, grown, &[&key]), inconsistent);
    let shorter = Earlier::Proven { checkpoint: &late, proof: &[] };
    assert!(checkpoint::sign(&early, shorter, &[&key]).is_err());
    let stranger = SigningKey::from_seed("other.example", [3; 32]).unwrap();
    assert!(matches!(
        checkpoint::sign(&late, Earlier::None, &[&stranger]),
        Err(CheckpointError::Origin { .. })
    ));
    let foreign = note::sign(&late.text(), &[&stranger]).unwrap();
    assert!(matches!(
        checkpoint::verify(&foreign, &[stranger.verifier().clone()]),
        Err(CheckpointError::Origin { .. })
    ));
}

#[test]
fn checkpoint_texts() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let good = format!("example.com/behind-the-sofa\n20852163\n{root}\n");
    assert_eq!(Checkpoint::parse(&good).unwrap().text(), good);
    assert!(Checkpoint::parse(&format!("{good}extension\n")).is_ok());
    for bad in [
        good.replace("20852163", "020852163"),
        good.replace("20852163", "+20852163"),
        good.replace("20852163", "99999999999999999999"),
        good.replace("2I=", "2J="),
        good.replace("example.com/behind-the-sofa", ""),
        format!("{good}\nextension\n"),
        good.trim_end().to_owned(),
        format!("a\n0\n{root}"),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_proof_file_is_checked_offline() {
    let key = SigningKey::from_seed("log.example", [3; 32]).unwrap();
    let entries: Vec<Vec<u8>> = (0..11_u8).map(|n| vec![n]).collect();
    let hashes: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let mut tree = Frontier::new();
    hashes.iter().for_each(|hash| tree.push(*hash));
    let next = Checkpoint { origin: "log.example".into(), size: 11, root: tree.root() };
    let checkpoint = checkpoint::sign(&next, Earlier::None, &[&key]).unwrap();
    let keys = [key.verifier().clone()];
    for index in 0..11 {
        let hashes = inclusion(&hashes[..], index, 11).unwrap();
        let proof = TlogProof {
            extra: (index == 3).then(|| b"x".to_vec()),
            index,
            hashes,
            checkpoint: checkpoint.clone(),
        };
        let read = TlogProof::parse(&proof.to_text()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&entries[index as usize], &keys).unwrap(), next);
        let refused = read.verify(b"other", &keys);
        assert_eq!(refused, Err(TlogProofError::NotIncluded { index, size: 11 }));
        let moved = TlogProof { index: (index + 1) % 11, ..read };
        assert!(moved.verify(&entries[index as usize], &keys).is_err());
    }
    let text = TlogProof { extra: None, index: 0, hashes: vec![], checkpoint }.to_text();
    for bad in [
        text.replace("@v1", "@v2"),
        text.replace("index 0", "index 00"),
        text.replace("index 0\n", ""),
        text.replace("index 0\n", "index 0\nAAAA\n"),
        text.replace("index 0\n", "extra *\nindex 0\n"),
        text.replace("index 0\n", "extra AAA=AAA=\nindex 0\n"),
        text.replace("index 0\n", &format!("index 0\nAAA=AAA={}\n", "A".repeat(36))),
    ] {
        assert!(TlogProof::parse(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn proofs_agree_with_ct_merkle(size in 1_u64..300, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let entries: Vec<Vec<u8>> = (0..size).map(|n| n.to_be_bytes().to_vec()).collect();
        let hashes: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut roots = vec![];
        for entry in &entries {
            oracle.push(entry.clone());
            roots.push(Digest((*oracle.root().as_bytes()).into()));
        }
        let root = roots[size as usize - 1];
        let index = a.index(size as usize);
        let ours = inclusion(&hashes[..], index as u64, size).unwrap();
        let bytes: Vec<u8> = ours.iter().flat_map(|hash| hash.0).collect();
        prop_assert_eq!(&bytes, &oracle.prove_inclusion(index).as_bytes().to_vec());
        prop_assert!(verify_inclusion(index as u64, size, &hashes[index], &ours, &root));
        let foreign = InclusionProof::<Sha256>::try_from_bytes(bytes).unwrap();
        prop_assert!(oracle.root().verify_inclusion(&entries[index], index as u64, &foreign).is_ok());
        let earlier = b.index(size as usize) as u64 + 1;
        let path = consistency(&hashes[..], earlier, size).unwrap();
        let earlier_root = roots[earlier as usize - 1];
        prop_assert!(verify_consistency(earlier, size, &path, &earlier_root, &root));
        if earlier < size {
            let bytes: Vec<u8> = path.iter().flat_map(|hash| hash.0).collect();
            let theirs = oracle.prove_consistency((size - earlier) as usize);
            prop_assert_eq!(&bytes, &theirs.as_bytes().to_vec());
            let foreign = ConsistencyProof::<Sha256>::try_from_bytes(bytes).unwrap();
            let old = RootHash::<Sha256>::new(earlier_root.0.into(), earlier);
            prop_assert!(oracle.root().verify_consistency(&old, &foreign).is_ok());
            prop_assert!(!verify_consistency(earlier, size, &path, &root, &root));
        }
        for at in 0..path.len() {
            let mut bad = path.clone();
            bad[at].0[0] ^= 1;
            prop_assert!(!verify_consistency(earlier, size, &bad, &earlier_root, &root));
            bad.remove(at);
            prop_assert!(!verify_consistency(earlier, size, &bad, &earlier_root, &root));
        }
        for at in 0..ours.len() {
            let mut bad = ours.clone();
            bad[at].0[0] ^= 1;
            prop_assert!(!verify_inclusion(index as u64, size, &hashes[index], &bad, &root));
            bad.push(hashes[0]);
            prop_assert!(!verify_inclusion(index as u64, size, &hashes[index], &bad, &root));
        }
    }
}
