//! The keys of archived views: one for each, in the key folder, so that one view, or all of a subject, can go for good.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;

use super::{parts, plain};
use crate::keys::{KeyError, KeyFolder, closed, damaged, replace, unusable};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The keys of one segment. A key of zeros is none: there was no view, or it was erased.
pub(super) struct Vault {
    name: String,
    pub(super) from: u64,
    pub(super) to: u64,
    keys: Vec<[u8; KEY_BYTES]>,
}

impl Vault {
    pub(super) fn new(name: &str, from: u64, to: u64) -> Self {
        let count = usize::try_from(to.saturating_sub(from)).unwrap_or_default();
        Self { name: name.to_owned(), from, to, keys: vec![[0; KEY_BYTES]; count] }
    }

    fn read(name: &str, from: u64, to: u64, path: &Path) -> Result<Self, KeyError> {
        closed(path, 0o600)?;
        let bytes = fs::read(path).map_err(|cause| unusable(path, "read", cause))?;
        let mut vault = Self::new(name, from, to);
        let (keys, rest) = bytes.as_chunks::<KEY_BYTES>();
        if keys.len() != vault.keys.len() || !rest.is_empty() {
            return Err(damaged(path, &"it does not have one key for each record"));
        }
        vault.keys.copy_from_slice(keys);
        Ok(vault)
    }

    /// Encrypts a view under a new key.
    pub(super) fn seal(&mut self, seq: u64, text: &str) -> Result<String, String> {
        let mut fresh = [0; KEY_BYTES + NONCE_BYTES];
        getrandom::fill(&mut fresh).map_err(|error| error.to_string())?;
        let (key, nonce) = fresh.split_at(KEY_BYTES);
        let (Ok(key), Ok(nonce)) = (<[u8; KEY_BYTES]>::try_from(key), <[u8; NONCE_BYTES]>::try_from(nonce))
        else {
            return Err("a key has another length".to_owned());
        };
        let nonce = XNonce::from(nonce);
        let bound = bound(&self.name, seq);
        let payload = Payload { msg: text.as_bytes(), aad: bound.as_bytes() };
        let sealed = XChaCha20Poly1305::new(&key.into()).encrypt(&nonce, payload);
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed.map_err(|error| error.to_string())?);
        let slot = seq.checked_sub(self.from).and_then(|at| self.keys.get_mut(usize::try_from(at).ok()?));
        *slot.ok_or("it is past the segment")? = key;
        Ok(BASE64.encode(&bytes))
    }

    pub(super) fn store(&self, keys: &KeyFolder) -> Result<(), KeyError> {
        let path = path(keys, &self.name, self.from, self.to);
        let put = replace(&path, self.keys.as_flattened(), 0o600);
        put.map_err(|cause| unusable(&path, "made", cause))
    }
}

/// What a ciphertext belongs to.
fn bound(name: &str, seq: u64) -> String {
    format!("placet.archive.v1\n{name}\n{seq}")
}

fn path(keys: &KeyFolder, name: &str, from: u64, to: u64) -> PathBuf {
    keys.path().join(format!("{name}.{from:012}-{to:012}.vault"))
}

/// The keys of all archived views of a log.
#[derive(Default)]
pub struct ViewKeys {
    name: String,
    vaults: Vec<(Vault, PathBuf)>,
}

impl ViewKeys {
    /// The keys in a folder; none where nothing was archived.
    ///
    /// # Errors
    /// [`KeyError`] where a file of keys cannot be read, or others can read it.
    pub fn read(keys: &KeyFolder, origin: &str) -> Result<Self, KeyError> {
        let name = plain(origin);
        let mut vaults = Vec::new();
        let listed = match fs::read_dir(keys.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { name, vaults }),
            listed => listed.map_err(|cause| unusable(keys.path(), "read", cause))?,
        };
        for file in listed {
            let path = file.map_err(|cause| unusable(keys.path(), "read", cause))?.path();
            let stem = path.file_name().and_then(|file| file.to_str()?.strip_suffix(".vault"));
            let Some((of, from, to)) = stem.and_then(parts) else { continue };
            if of == name {
                vaults.push((Vault::read(&name, from, to, &path)?, path));
            }
        }
        Ok(Self { name, vaults })
    }

    fn keys(&self, seq: u64) -> impl Iterator<Item = &[u8; KEY_BYTES]> {
        let key =
            move |vault: &'_ Vault| -> Option<usize> { usize::try_from(seq.checked_sub(vault.from)?).ok() };
        let keys = self.vaults.iter().filter_map(move |(vault, _)| vault.keys.get(key(vault)?));
        keys.filter(|key| **key != [0; KEY_BYTES])
    }

    /// Whether nothing was archived, or its keys are not here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vaults.is_empty()
    }

    /// Whether an archived view can still be opened.
    #[must_use]
    pub fn holds(&self, seq: u64) -> bool {
        self.keys(seq).next().is_some()
    }

    /// Opens an archived view. `None` when its key was erased, or is not here.
    ///
    /// # Errors
    /// When the key does not open it: somebody edited it.
    pub(super) fn open(&self, seq: u64, sealed: &str) -> Result<Option<String>, &'static str> {
        if !self.holds(seq) {
            return Ok(None);
        }
        let edited = "its archived view does not open with its key: it was edited";
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| edited)?;
        let (nonce, text) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(edited)?;
        let bound = bound(&self.name, seq);
        let opened = self.keys(seq).find_map(|key| {
            let payload = Payload { msg: text, aad: bound.as_bytes() };
            XChaCha20Poly1305::new(&(*key).into()).decrypt(&XNonce::from(*nonce), payload).ok()
        });
        String::from_utf8(opened.ok_or(edited)?).map(Some).map_err(|_| edited)
    }

    /// Overwrites the keys of these records where they stand: no copy of an archived view can be opened any more.
    ///
    /// # Errors
    /// [`KeyError`]; some keys may be gone by then.
    pub fn forget(&self, records: &[u64]) -> Result<u64, KeyError> {
        let mut forgotten = 0;
        for (vault, path) in &self.vaults {
            let places: Vec<u64> = records
                .iter()
                .filter(|seq| (vault.from..vault.to).contains(seq))
                .map(|seq| seq - vault.from)
                .collect();
            if places.is_empty() {
                continue;
            }
            let overwrite = || -> io::Result<()> {
                let mut file = OpenOptions::new().write(true).open(path)?;
                for place in &places {
                    file.seek(SeekFrom::Start(place.saturating_mul(KEY_BYTES as u64)))?;
                    file.write_all(&[0; KEY_BYTES])?;
                }
                file.sync_all()
            };
            overwrite().map_err(|cause| unusable(path, "overwritten", cause))?;
            forgotten += places.len() as u64;
        }
        Ok(forgotten)
    }
}
