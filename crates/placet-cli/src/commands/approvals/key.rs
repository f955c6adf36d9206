//! The keys with which people sign their answers.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use placet::audit::keys::SigningKey as NamedKey;
use serde_json::json;

use super::CommonArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Reads a secret key: what [`generate`] wrote.
pub(super) fn read(path: &Path) -> Result<SigningKey, Failure> {
    let what = || format!("the key `{}`", path.display());
    let text = fs::read_to_string(path).map_err(|source| Failure::Read { what: what(), source })?;
    let wrong =
        || Failure::Ledger(format!("{} is no secret key; `placet approvals keygen` makes one", what()));
    NamedKey::parse(text.trim()).map_err(|_| wrong())?;
    bytes(text.trim()).map(|seed| SigningKey::from_bytes(&seed)).ok_or_else(wrong)
}

/// The 32 bytes at the end of a key's text, behind the byte of its kind.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let (head, base64) = text.rsplit_once('+')?;
    // The base64 itself may hold a plus: the parts before it have a fixed number.
    let skip = if head.starts_with("PRIVATE+KEY+") { 4 } else { 2 };
    let base64 = text.splitn(skip + 1, '+').nth(skip).unwrap_or(base64);
    BASE64.decode(base64.as_bytes()).ok()?.get(1..)?.try_into().ok()
}

/// Makes a key: the secret half into a file that only its owner may read, the public half to stdout.
pub(super) fn generate(
    by: &str,
    output: &Path,
    common: &CommonArgs,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let name: String = by.split_whitespace().collect::<Vec<_>>().join("-");
    let key = NamedKey::generate(&name).map_err(|error| Failure::Ledger(error.to_string()))?;
    let public = bytes(&key.verifier().to_string()).map(|bytes| BASE64.encode(&bytes));
    let public = public.ok_or_else(|| Failure::Ledger("the new key has no public half".to_owned()))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    let mut file = file.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => {
            Failure::Exists(format!("`{}` exists and is not overwritten", output.display()))
        }
        _ => Failure::Write { what: format!("`{}`", output.display()), source },
    })?;
    writeln!(file, "{}", key.reveal())
        .map_err(|source| Failure::Write { what: format!("`{}`", output.display()), source })?;
    if common.is_json() {
        console.json(&json!({"by": by, "public_key": public, "file": output}))?;
    } else {
        console
            .say(&format!("the secret half is in `{}`; put this under `approvals.keys`:", output.display()));
        writeln!(console.out, "{by}: [\"{public}\"]")?;
    }
    Ok(Exit::Ok)
}
