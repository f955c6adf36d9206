//! Proof files: no text makes reading or checking panic, and what is read is written the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet_audit::proof::{verify_consistency, verify_inclusion};
use placet_audit::tlog_proof::TlogProof;
use placet_audit::tree::leaf_hash;

fuzz_target!(|input: (&str, u64, u64)| {
    let (text, index, size) = input;
    let Ok(proof) = TlogProof::parse(text) else { return };
    assert_eq!(proof.to_text(), text);
    let (leaf, root) = (leaf_hash(b"leaf"), leaf_hash(b"root"));
    assert!(!verify_inclusion(index, size, &leaf, &proof.hashes, &root));
    assert!(index == size || index == 0 || !verify_consistency(index, size, &proof.hashes, &leaf, &root));
});
