//! The ledgers of this process: shared by whoever names the same place, and closed around a fork.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use placet_store::{Paused, Place, PlaceError, PlaceSettings, Store};
use pyo3::prelude::*;

/// How long a fork waits at most for calls that are being recorded.
const FORK_PATIENCE: Duration = Duration::from_secs(10);

/// How long it sleeps between two looks.
const FORK_LOOK: Duration = Duration::from_micros(100);

/// Every ledger that is in use, by what it was set up with. Locked with the interpreter's lock held only, so that
/// nobody else holds it while a thread forks.
static STORES: Mutex<Vec<InUse>> = Mutex::new(Vec::new());

/// What holds the ledgers closed while the process forks.
static PAUSED: Mutex<Vec<Box<dyn Paused>>> = Mutex::new(Vec::new());

/// How many calls are on their way through a pipeline, and may hold locks that a child would never see opened.
static UNDERWAY: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread is about to fork.
static FORKING: AtomicBool = AtomicBool::new(false);

/// What a ledger was set up with: its place, and the rest as text.
type Known = (Place, String);

type InUse = (Option<Known>, Weak<dyn Store>);

/// A ledger that is in use.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// Whether it waits for a disk or a server.
    pub(crate) waits: bool,
    pub(crate) place: Place,
}

/// The ledger at a place, which opens nothing before its first use; `None` when it is off.
pub(crate) fn open(settings: &PlaceSettings, folder: &Path) -> Result<Option<Opened>, PlaceError> {
    let variable = |name: &str| env::var_os(name).map(Into::into);
    let place = settings.place(folder)?;
    let waits = !matches!(place, Place::Memory);
    let opened = |store| Opened { store, waits, place: place.clone() };
    // Two ledgers in memory are two ledgers.
    if matches!(place, Place::Off | Place::Memory) {
        let made = settings.store(folder, variable)?;
        return Ok(made.map(|store| opened(remember(None, &store))));
    }
    let keys = settings.key_folder(folder, variable)?;
    let PlaceSettings { audit_log, audit_log_rotation: rotation, anchor, reviewers, .. } = settings;
    let name = Some((place.clone(), format!("{audit_log:?} {rotation:?} {anchor:?} {keys:?} {reviewers:?}")));
    let known = STORES.lock().iter().find(|(known, _)| *known == name).and_then(|(_, store)| store.upgrade());
    match known {
        Some(store) => Ok(Some(opened(store))),
        None => {
            let made = settings.store(folder, variable)?;
            Ok(made.map(|store| opened(remember(name, &store))))
        }
    }
}

/// A ledger that this process already uses at a place, with the keys and the mirror that it was set up with.
pub(crate) fn in_use(place: &Place) -> Option<Arc<dyn Store>> {
    let is_there = |known: &Option<Known>| known.as_ref().is_some_and(|(there, _)| there == place);
    STORES.lock().iter().find(|(known, _)| is_there(known)).and_then(|(_, store)| store.upgrade())
}

fn remember(name: Option<Known>, store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let mut stores = STORES.lock();
    stores.retain(|(_, store)| store.strong_count() > 0);
    stores.push((name, Arc::downgrade(store)));
    store.clone()
}

/// Says that a call is done with the pipeline.
struct Underway;

impl Drop for Underway {
    fn drop(&mut self) {
        UNDERWAY.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs something that may wait, while the interpreter goes on; never across a fork, where a child would inherit the locks
/// that it holds.
pub(crate) fn wait<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    while FORKING.load(Ordering::Acquire) {
        py.detach(|| std::thread::sleep(FORK_LOOK));
    }
    UNDERWAY.fetch_add(1, Ordering::AcqRel);
    let underway = Underway;
    py.detach(move || {
        let _underway = underway;
        work()
    })
}

/// Before `fork`: waits for calls that are being recorded and closes every ledger, so that the child inherits no lock.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) {
    // One fork at a time.
    while FORKING.swap(true, Ordering::AcqRel) {
        py.detach(|| std::thread::sleep(FORK_LOOK));
    }
    let looks = FORK_PATIENCE.as_micros() / FORK_LOOK.as_micros();
    for _ in 0..looks {
        if UNDERWAY.load(Ordering::Acquire) == 0 {
            break;
        }
        py.detach(|| std::thread::sleep(FORK_LOOK));
    }
    let stores: Vec<Arc<dyn Store>> = STORES.lock().iter().filter_map(|(_, store)| store.upgrade()).collect();
    let paused: Vec<_> = py.detach(|| stores.iter().map(|store| store.guard_fork()).collect());
    *PAUSED.lock() = paused;
    // Dropping the last reference to a ledger closes it, which may wait.
    py.detach(move || drop(stores));
}

/// After `fork`, in the parent and in the child.
#[pyfunction]
pub(crate) fn after_fork(py: Python<'_>, is_child: bool) {
    if is_child {
        UNDERWAY.store(0, Ordering::Release);
    }
    let paused = std::mem::take(&mut *PAUSED.lock());
    py.detach(move || drop(paused));
    FORKING.store(false, Ordering::Release);
}
