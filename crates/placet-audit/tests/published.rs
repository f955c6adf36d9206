//! Notes, checkpoints and proofs that others published: the examples of the C2SP specifications, and what the checksum
//! database of Go signed. And the other way round: Go's packages over what is written here.
//!
//! Sources: <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/tlog-cosignature>,
//! <https://c2sp.org/tlog-proof>; `sum.golang.org`, whose key stands in the Go command.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use placet_audit::checkpoint::{self, Checkpoint, CheckpointError, Earlier};
use placet_audit::keys::{SigningKey, VerifierKey};
use placet_audit::note::{self, NoteError};
use placet_audit::proof::{inclusion, verify_inclusion};
use placet_audit::tlog_proof::TlogProof;
use placet_audit::tree::{Frontier, leaf_hash};
use placet_types::Digest;

const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// The example of signed-note. Its key was not published.
const QUASIMODO: &str = "Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
";

/// The example of tlog-checkpoint.
const SOFA: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
";

/// A checkpoint of the checksum database, as README files of others quote it.
const SUMDB_OF_2023: &str = "go.sum database tree
15081221
BoMMe1wd25Tco0mYGROkyqxHZWx+hcSCtMV315Lu6Lg=

— sum.golang.org Az3grilD7vQqTrv66jRgKM84Y80KTprrSt4bKmiOPxgmS5ZVBTeCl6dUvjYnN13R+C8j0jGY1WnUADGMkok3U0m2Zgo=
";

const PROOF: &str = include_str!("data/sum_golang_org.tlog-proof");
const LEAF: &str = include_str!("data/sum_golang_org.leaf");

fn sumdb() -> VerifierKey {
    SUMDB.parse().unwrap()
}

#[test]
fn f28_the_examples_of_the_specifications_are_read() {
    // A note is read whole before its keys are looked at, so what is missing here is a key and nothing else.
    for note in [QUASIMODO, SOFA] {
        assert_eq!(note::open(note, &[sumdb()]), Err(NoteError::Unsigned { keys: 1 }), "{note}");
    }
    let text = SOFA.split_once("\n\n").unwrap().0.to_owned() + "\n";
    let read = Checkpoint::parse(&text).unwrap();
    assert_eq!((&*read.origin, read.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(read.text(), text);
    // Whatever is cut off or put in, it is a note no more.
    for at in 0..QUASIMODO.len() {
        if let Some(cut) = QUASIMODO.get(..at) {
            assert!(matches!(note::open(cut, &[sumdb()]), Err(NoteError::Malformed { .. })), "{cut}");
        }
    }
}

#[test]
fn f28_notes_that_others_signed_are_verified() {
    // The signature of the example is the checksum database's, over its own first line and under its own name.
    let of_sumdb = SOFA
        .replacen("example.com/behind-the-sofa", "go.sum database tree", 1)
        .replace("example.com/behind-the-sofa", "sum.golang.org");
    for signed in [&*of_sumdb, SUMDB_OF_2023] {
        let read = note::open(signed, &[sumdb()]).unwrap();
        assert_eq!(read.signers, [sumdb()]);
        assert_eq!(&*Checkpoint::parse(read.text).unwrap().origin, "go.sum database tree");
        for (from, to) in [("\n1", "\n2"), ("\n2", "\n1"), ("tree", "three")] {
            let edited = signed.replacen(from, to, 1);
            let refused = Err(NoteError::Forged { name: "sum.golang.org".into() });
            assert!(edited == *signed || note::open(&edited, &[sumdb()]) == refused, "{edited}");
        }
    }
    // Logs of Placet bear the name of their key, as the specification advises; another's checkpoint is none of theirs.
    assert!(matches!(checkpoint::verify(SUMDB_OF_2023, &[sumdb()]), Err(CheckpointError::Origin { .. })));
}

#[test]
fn f28_a_proof_of_a_log_of_72_million_entries_is_verified() {
    let proof = TlogProof::parse(PROOF).unwrap();
    assert_eq!(proof.to_text(), PROOF);
    let checkpoint = Checkpoint::parse(note::open(&proof.checkpoint, &[sumdb()]).unwrap().text).unwrap();
    let holds = |leaf: &str, index: u64, hashes: &[Digest]| {
        verify_inclusion(index, checkpoint.size, &leaf_hash(leaf.as_bytes()), hashes, &checkpoint.root)
    };
    assert_eq!((checkpoint.size, proof.index), (72_097_574, 71_056_177));
    assert!(holds(LEAF, proof.index, &proof.hashes));
    assert!(!holds(&LEAF.replace("v0.43.0", "v0.43.1"), proof.index, &proof.hashes));
    assert!(!holds(LEAF, proof.index - 1, &proof.hashes));
    for at in 0..proof.hashes.len() {
        let mut hashes = proof.hashes.clone();
        hashes[at].0[31] ^= 1;
        assert!(!holds(LEAF, proof.index, &hashes), "hash {at}");
    }
}

/// Go's judge, if it is built (`make notes`).
fn judge() -> Option<PathBuf> {
    let named = env::var_os("PLACET_GO_NOTES").map(PathBuf::from);
    let go = env::var_os("GOPATH").map(PathBuf::from);
    let go = go.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join("go")));
    let installed = go.map(|go| go.join("bin").join("placet-go-notes"));
    named.into_iter().chain(installed).find(|command| command.is_file())
}

/// What it says of a proof: the size of the log and the place of the entry, or what is wrong.
fn judged(judge: &Path, key: &str, origin: &str, proof: &str, leaf: &[u8]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let (proof_file, leaf_file) = (folder.path().join("proof"), folder.path().join("leaf"));
    fs::write(&proof_file, proof).unwrap();
    fs::write(&leaf_file, leaf).unwrap();
    let ran = Command::new(judge).args([key, origin]).args([proof_file, leaf_file]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) }
}

#[test]
fn f28_gos_packages_verify_our_keys_notes_checkpoints_and_proofs() {
    let Some(judge) = judge() else {
        assert!(env::var_os("PLACET_REQUIRE_GO_NOTES").is_none(), "the judge is not built: `make notes`");
        eprintln!("skipped: Go's judge of notes is not built (`make notes`)");
        return;
    };
    let database = judged(&judge, SUMDB, "go.sum database tree", PROOF, LEAF.as_bytes());
    assert_eq!(database.as_deref(), Ok("72097574 71056177"), "the judge itself");
    let (origin, size) = ("placet.local/log", 37_u64);
    let (old, new) = (SigningKey::generate(origin).unwrap(), SigningKey::generate(origin).unwrap());
    let entries: Vec<Vec<u8>> = (0..size).map(|n| format!("{{\"entry\":{n}}}").into_bytes()).collect();
    let hashes: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let mut tree = Frontier::new();
    hashes.iter().for_each(|hash| tree.push(*hash));
    let next = Checkpoint { origin: origin.into(), size, root: tree.root() };
    // As it is while one key takes over from another: both sign.
    let checkpoint = checkpoint::sign(&next, Earlier::None, &[&old, &new]).unwrap();
    for (index, entry) in (0..).zip(&entries) {
        let hashes = inclusion(&hashes[..], index, size).unwrap();
        let extra = (index % 2 == 1).then(|| b"beside it".to_vec());
        let proof = TlogProof { extra, index, hashes, checkpoint: checkpoint.clone() };
        let text = proof.to_text();
        for key in [&old, &new] {
            let told = judged(&judge, &key.verifier().to_string(), origin, &text, entry);
            assert_eq!(told, Ok(format!("{size} {index}")), "{text}");
        }
        let key = old.verifier().to_string();
        assert!(judged(&judge, &key, origin, &text, b"another entry").is_err());
        let moved = TlogProof { index: (index + 1) % size, ..proof }.to_text();
        assert!(judged(&judge, &key, origin, &moved, entry).is_err());
    }
    let stranger = SigningKey::generate(origin).unwrap().verifier().to_string();
    let text =
        TlogProof { extra: None, index: 0, hashes: inclusion(&hashes[..], 0, size).unwrap(), checkpoint };
    assert!(judged(&judge, &stranger, origin, &text.to_text(), &entries[0]).is_err());
}
