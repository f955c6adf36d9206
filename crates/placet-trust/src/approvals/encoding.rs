//! A deterministic encoding for what is hashed or signed: length-prefixed fields.
// SPDX-License-Identifier: MIT OR Apache-2.0

use hmac::{Hmac, KeyInit, Mac};
use placet_types::{Digest, Micros};
use sha2::{Digest as _, Sha256};

/// Fields one after another, each with its length before it, so that no two lists of fields give the same bytes.
pub(super) struct Fields(Vec<u8>);

impl Fields {
    /// Starts with the purpose, so that bytes made for one purpose never serve another.
    pub(super) fn of(domain: &str) -> Self {
        let mut fields = Self(Vec::with_capacity(512));
        fields.bytes(domain.as_bytes());
        fields
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(super) fn moment(&mut self, moment: Micros) {
        self.0.extend_from_slice(&moment.0.to_be_bytes());
    }

    pub(super) fn digest(&mut self, digest: &Digest) {
        self.bytes(&digest.0);
    }

    /// A field that may be absent; absent differs from empty.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// A list with its length.
    pub(super) fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.number(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn sha256(&self) -> Digest {
        Digest(Sha256::digest(&self.0).into())
    }
}

/// HMAC-SHA-256 of a message.
pub(super) fn mac(key: &[u8], message: &[u8]) -> Digest {
    let mut mac = keyed(key);
    mac.update(message);
    Digest(mac.finalize().into_bytes().into())
}

/// Compares in constant time.
pub(super) fn mac_holds(key: &[u8], message: &[u8], given: &Digest) -> bool {
    let mut mac = keyed(key);
    mac.update(message);
    mac.verify_slice(&given.0).is_ok()
}

/// HMAC-SHA-256 under a key, before any message.
pub(crate) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a short key up with zeros and hashes a long one, which is done here since a key of exactly one
    // block cannot fail.
    let short: &[u8] = if key.len() > 64 { &Sha256::digest(key) } else { key };
    let mut block = [0_u8; 64];
    block.iter_mut().zip(short).for_each(|(slot, byte)| *slot = *byte);
    Hmac::<Sha256>::new(&block.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |parts: &[&str]| {
            let mut fields = Fields::of("test");
            parts.iter().for_each(|part| fields.text(part));
            fields.sha256()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["ab"]), of(&["ab", ""]));
    }

    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        // Test cases 1 and 6.
        let short = mac(&[0x0b; 20], b"Hi There");
        assert_eq!(short.to_string(), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let long = mac(&[0xaa; 131], text);
        assert_eq!(long.to_string(), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
        assert!(mac_holds(&[0xaa; 131], text, &long) && !mac_holds(&[0xaa; 131], text, &short));
    }
}
