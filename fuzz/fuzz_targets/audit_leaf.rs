//! Leaves: no bytes make reading panic, and what is read has these bytes and no others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use placet_audit::leaf;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = leaf::decode(bytes) {
        let leaf = leaf::encode(&record).expect("a record that was read has a leaf");
        assert_eq!(leaf.as_bytes(), bytes);
    }
});
