//! Short texts that were looked at before and hold nothing to redact: names of roles, scopes, sessions and keys come
//! with every call.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

/// Longer texts are rarely the same again.
const LONGEST: usize = 23;

/// How many are remembered in a thread; each has one place.
const PLACES: usize = 128;

thread_local! {
    static CLEAN: RefCell<Vec<(PackId, SmolStr)>> = const { RefCell::new(Vec::new()) };
}

/// Which patterns a text was found clean by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PackId(u64);

impl PackId {
    /// An id that no other patterns of this process have.
    pub(super) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether a text is clean: as it was remembered, else as `look` says.
pub(super) fn is_clean(pack: PackId, text: &str, look: impl FnOnce() -> bool) -> bool {
    if text.len() > LONGEST {
        return look();
    }
    let place = place(text);
    let known =
        CLEAN.with_borrow(|clean| clean.get(place).is_some_and(|(of, known)| *of == pack && known == text));
    if known {
        return true;
    }
    let is_clean = look();
    if is_clean {
        CLEAN.with_borrow_mut(|clean| {
            clean.resize(PLACES, (PackId::default(), SmolStr::default()));
            clean.iter_mut().skip(place).take(1).for_each(|slot| *slot = (pack, text.into()));
        });
    }
    is_clean
}

/// FNV-1a, of which only the spread matters: a text that shares its place with another is looked at again.
fn place(text: &str) -> usize {
    let mix = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = text.bytes().fold(0x811c_9dc5, mix);
    usize::try_from(hash ^ (hash >> 16)).unwrap_or_default() % PLACES
}
