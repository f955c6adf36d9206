//! Signed notes: a text and the signatures under it.
//!
//! Source: <https://c2sp.org/signed-note>.
// SPDX-License-Identifier: MIT OR Apache-2.0

use data_encoding::BASE64;

use crate::keys::{SigningKey, VerifierKey, is_name};

/// The longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 128 << 10;
/// The most signatures that are read; a note may have 16 at least.
pub const MAX_SIGNATURES: usize = 64;

const MARK: &str = "\u{2014} ";

/// Why a note is not believed, or was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// It is no signed note.
    #[error("the text is no signed note: {cause}; copy it whole, with its last line end")]
    Malformed {
        /// What is wrong.
        cause: &'static str,
    },
    /// None of the keys signed it.
    #[error("none of the {keys} given keys signed the note; give the key of the log that made it")]
    Unsigned {
        /// How many keys were given.
        keys: usize,
    },
    /// It bears a signature in the name of a given key which that key did not make.
    #[error("the signature in the name of `{name}` is not by that key; the note was edited or forged")]
    Forged {
        /// The name of the key.
        name: String,
    },
}

/// A note that a given key signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'a> {
    /// The text with its last line end.
    pub text: &'a str,
    /// The keys that signed it, of those given.
    pub signers: Vec<VerifierKey>,
}

/// Signs a text with each key.
///
/// # Errors
/// [`NoteError::Malformed`] for a text that cannot be a note's, or without a key.
pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<String, NoteError> {
    check_text(text)?;
    if keys.is_empty() {
        return Err(NoteError::Unsigned { keys: 0 });
    }
    let mut note = format!("{text}\n");
    for key in keys {
        let mut bytes = key.verifier().id().to_vec();
        bytes.extend_from_slice(&key.sign(text.as_bytes()));
        note.push_str(&format!("{MARK}{} {}\n", key.verifier().name(), BASE64.encode(&bytes)));
    }
    Ok(note)
}

/// Reads a note that at least one of the keys signed. Signatures of other keys are ignored.
///
/// # Errors
/// [`NoteError`]: nothing in the text may be used.
pub fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<Note<'a>, NoteError> {
    let (text, signatures) = split(note)?;
    let mut signers: Vec<VerifierKey> = Vec::new();
    for (count, line) in signatures.lines().enumerate() {
        if count >= MAX_SIGNATURES {
            return Err(malformed("it has too many signatures"));
        }
        let (name, id, signature) = signature_line(line)?;
        let mut named = keys.iter().filter(|key| key.name() == name && key.id() == id).peekable();
        if named.peek().is_none() {
            continue;
        }
        match named.find(|key| key.verifies(text.as_bytes(), &signature)) {
            Some(key) if !signers.contains(key) => signers.push(key.clone()),
            Some(_) => {}
            None => return Err(NoteError::Forged { name: name.to_owned() }),
        }
    }
    if signers.is_empty() {
        return Err(NoteError::Unsigned { keys: keys.len() });
    }
    Ok(Note { text, signers })
}

fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(malformed("it is too long"));
    }
    let blank = note.rfind("\n\n").ok_or_else(|| malformed("no empty line stands before its signatures"))?;
    let (text, rest) = note.split_at_checked(blank + 1).ok_or_else(|| malformed("it is cut"))?;
    let signatures = rest.strip_prefix('\n').unwrap_or(rest);
    check_text(text)?;
    if signatures.is_empty() || !signatures.ends_with('\n') {
        return Err(malformed("its last line is not a whole signature"));
    }
    if has_control(signatures) {
        return Err(malformed("it holds a control character"));
    }
    Ok((text, signatures))
}

/// Base64 in its one form: the decoder also takes padding in the middle, as of texts one after the other.
pub(crate) fn parse_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

fn signature_line(line: &str) -> Result<(&str, [u8; 4], Vec<u8>), NoteError> {
    let bad = || malformed("a line under the text is no signature");
    let (name, base64) = line.strip_prefix(MARK).and_then(|rest| rest.split_once(' ')).ok_or_else(bad)?;
    let bytes = parse_base64(base64).ok_or_else(bad)?;
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if is_name(name) && !signature.is_empty() => {
            Ok((name, *id, signature.to_vec()))
        }
        _ => Err(bad()),
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(malformed("its text does not end with a line end"));
    }
    if has_control(text) {
        return Err(malformed("it holds a control character"));
    }
    Ok(())
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < b' ' && byte != b'\n')
}

fn malformed(cause: &'static str) -> NoteError {
    NoteError::Malformed { cause }
}
