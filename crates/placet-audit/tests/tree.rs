//! The tree against the vectors of the certificate-transparency project and `ct-merkle`; the head and its seal.
// SPDX-License-Identifier: MIT OR Apache-2.0

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use placet_audit::seal::{self, Head, LogKey};
use placet_audit::tree::{Frontier, empty_root, leaf_hash};
use placet_audit::{chain, view};
use placet_types::{Digest, Micros};
use proptest::prelude::*;
use sha2::Sha256;

const LEAVES: [&[u8]; 8] = [
    b"",
    &[0x00],
    &[0x10],
    &[0x20, 0x21],
    &[0x30, 0x31],
    &[0x40, 0x41, 0x42, 0x43],
    &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
    &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn rfc_6962_vectors() {
    assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut tree = Frontier::new();
    for (leaf, root) in LEAVES.iter().zip(ROOTS) {
        tree.push(leaf_hash(leaf));
        assert_eq!(tree.root().to_string(), root, "{}", tree.size());
    }
}

#[test]
fn a_frontier_is_read_only_when_its_hashes_fit_its_size() {
    let mut tree = Frontier::new();
    for size in 0..70_u64 {
        let bytes = tree.to_bytes();
        assert_eq!(Frontier::from_bytes(&bytes), Ok(tree.clone()));
        assert!(Frontier::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(Frontier::from_bytes(&[bytes, vec![0; 32]].concat()).is_err());
        tree.push(leaf_hash(&size.to_be_bytes()));
    }
}

#[test]
fn a_seal_covers_every_part_of_the_head() {
    let key = LogKey::from_bytes([1; 32]);
    let mut head = Head::empty("log.example/a");
    head.push(leaf_hash(b"one"), Micros(5));
    let sealed = seal::seal(&key, &head);
    assert!(seal::holds(&key, &head, &sealed));
    assert!(!seal::holds(&LogKey::from_bytes([2; 32]), &head, &sealed));
    let mut others = vec![head.clone(); 4];
    others[0].origin = "log.example/b".into();
    others[1].chain = chain::START;
    others[2].time_us = Micros(6);
    others[3].frontier = Frontier::new();
    assert!(others.iter().all(|other| !seal::holds(&key, other, &sealed)));
    let mut flipped = sealed;
    flipped.0[31] ^= 1;
    assert!(!seal::holds(&key, &head, &flipped));
    let again = LogKey::parse(&key.reveal()).unwrap();
    assert!(seal::holds(&again, &head, &sealed));
    assert!(LogKey::parse("c2hvcnQ=").is_err());
    assert_ne!(key.tenant_key(None), key.tenant_key(Some("")));
}

#[test]
fn equal_views_and_values_have_different_digests() {
    let view = serde_json::json!({"reason": "no"}).as_object().cloned().unwrap();
    let (one, two) = (view::text(view.clone()).unwrap(), view::text(view).unwrap());
    assert_ne!(view::digest(&one), view::digest(&two));
    let value = serde_json::json!("a@example.com");
    let (one, two) = (view::SaltedValue::new(&value).unwrap(), view::SaltedValue::new(&value).unwrap());
    assert_eq!(one.text, two.text);
    assert_ne!(one.commitment(), two.commitment());
}

proptest! {
    #[test]
    fn roots_agree_with_ct_merkle(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200)) {
        let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        let mut tree = Frontier::new();
        for leaf in leaves {
            tree.push(leaf_hash(&leaf));
            oracle.push(leaf);
            prop_assert_eq!(tree.root(), Digest((*oracle.root().as_bytes()).into()));
        }
    }
}
