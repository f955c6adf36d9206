//! Notes, checkpoints and keys: no text makes reading panic, and what is read is written the same way.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use placet_audit::checkpoint::{self, Checkpoint};
use placet_audit::keys::{SigningKey, VerifierKey};
use placet_audit::note;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_seed("log.example", [7; 32]).expect("a key"));

fuzz_target!(|text: &str| {
    let keys = [KEY.verifier().clone()];
    // Nobody but the holder of the key makes these; the fuzzer does not hold it.
    assert!(checkpoint::verify(text, &keys).is_err());
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert!(text.starts_with(&checkpoint.text()));
    }
    if let Ok(signed) = note::sign(text, &[&KEY]) {
        let read = note::open(&signed, &keys);
        assert!(read.is_ok_and(|note| note.text == text) || signed.len() > note::MAX_NOTE_BYTES);
    }
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = SigningKey::parse(text) {
        assert_eq!(key.reveal(), text);
    }
});
