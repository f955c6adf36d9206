//! Short texts that were looked at before: names of roles, scopes, sessions and keys come with every call.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::LocalKey;

use smol_str::SmolStr;

use super::RedactionKind;

/// Longer texts are rarely the same again.
const LONGEST: usize = 23;

/// How many are remembered in a thread; each has one place.
const PLACES: usize = 512;

/// What was found out about texts, by the patterns that found it out.
type Memo<T> = RefCell<Vec<(PackId, SmolStr, T)>>;

thread_local! {
    static CLEAN: Memo<bool> = const { RefCell::new(Vec::new()) };
    static KINDS: Memo<Option<RedactionKind>> = const { RefCell::new(Vec::new()) };
}

/// Which patterns found something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PackId(u64);

impl PackId {
    /// An id that no other patterns of this process have.
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether a text is clean: as it was remembered, else as `look` says. What is not is not remembered.
pub(super) fn is_clean(pack: PackId, text: &str, look: impl FnOnce() -> bool) -> bool {
    recall(&CLEAN, pack, text, look, |clean| clean)
}

/// Why the value under a key is hidden: as it was remembered, else as `look` says.
pub(super) fn kind(
    pack: PackId,
    key: &str,
    look: impl FnOnce() -> Option<RedactionKind>,
) -> Option<RedactionKind> {
    recall(&KINDS, pack, key, look, |_| true)
}

fn recall<T: Copy + Default>(
    memo: &'static LocalKey<Memo<T>>,
    pack: PackId,
    text: &str,
    look: impl FnOnce() -> T,
    keeps: impl FnOnce(T) -> bool,
) -> T {
    if text.len() > LONGEST {
        return look();
    }
    let place = place(text);
    let known = memo.with_borrow(|known| match known.get(place) {
        Some((of, known, found)) if *of == pack && known == text => Some(*found),
        _ => None,
    });
    if let Some(found) = known {
        return found;
    }
    let found = look();
    if keeps(found) {
        memo.with_borrow_mut(|known| {
            known.resize_with(PLACES, Default::default);
            known.iter_mut().skip(place).take(1).for_each(|slot| *slot = (pack, text.into(), found));
        });
    }
    found
}

/// Multiplies eight bytes at a time; only the spread matters: a text that shares its place with another is looked at
/// again.
fn place(text: &str) -> usize {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = text.as_bytes().as_chunks();
    let rest = rest.iter().fold(text.len() as u64, |rest, byte| (rest << 8) | u64::from(*byte));
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(ODD).rotate_left(29);
    let hash = words.iter().fold(mix(0, rest), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    usize::try_from(hash.wrapping_mul(ODD) >> 32).unwrap_or_default() % PLACES
}
