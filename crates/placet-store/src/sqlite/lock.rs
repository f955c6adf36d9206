//! The lock file beside an SQLite ledger, by which processes take turns.
//!
//! An uncontended turn is one system call. Otherwise a helper thread waits for it in the kernel, which is fair among
//! processes, while the caller waits for the helper: a wait in the kernel cannot be given up, one for a thread can. The
//! helper has a descriptor of its own, so that what it gets too late it gives back without taking anything from others.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::BackendError;

use super::{private, unusable};

/// How long a turn is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it is waited for while an earlier wait was in vain: what stood in its way then most likely still does.
const SHORT_PATIENCE: Duration = Duration::from_millis(250);

/// What the connections of one process to a ledger share: the helpers that wait for none of them.
#[derive(Debug, Default)]
pub(super) struct Helpers {
    /// With the process whose threads they are: a forked child has none.
    idle: Mutex<Vec<(u32, Arc<Helper>)>>,
    /// The last wait was in vain.
    vain: AtomicBool,
}

impl Helpers {
    fn get(&self, path: &Path) -> io::Result<Arc<Helper>> {
        let mut idle = locked(&self.idle);
        idle.retain(|(process, _)| *process == std::process::id());
        let known = idle.pop();
        drop(idle);
        known.map_or_else(|| Helper::start(path), |(_, helper)| Ok(helper))
    }

    fn put(&self, helper: Arc<Helper>) {
        locked(&self.idle).push((std::process::id(), helper));
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *locked(&self.idle));
        idle.iter().for_each(|(_, helper)| helper.end());
    }
}

/// A lock file, and whether it is this connection's turn.
#[derive(Debug)]
pub(super) struct LockFile {
    path: PathBuf,
    file: File,
    helpers: Arc<Helpers>,
    taken: Option<Taken>,
}

/// Through which descriptor the lock is held.
#[derive(Debug)]
enum Taken {
    Own,
    Helper(Arc<Helper>),
}

impl LockFile {
    pub(super) fn open(path: PathBuf, helpers: Arc<Helpers>) -> Result<Self, BackendError> {
        let file = private().open(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Self { path, file, helpers, taken: None })
    }

    /// Waits for its turn among all processes, for [`PATIENCE`] at most.
    pub(super) fn take(&mut self) -> Result<(), BackendError> {
        let taken = match self.file.try_lock() {
            Ok(()) => Taken::Own,
            Err(TryLockError::WouldBlock) => Taken::Helper(self.wait()?),
            Err(TryLockError::Error(error)) => return Err(self.failed(&error)),
        };
        self.taken = Some(taken);
        self.helpers.vain.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    pub(super) fn give_back(&mut self) {
        match self.taken.take() {
            Some(Taken::Own) => {
                let _ = self.file.unlock();
            }
            Some(Taken::Helper(helper)) => {
                helper.give_back();
                self.helpers.put(helper);
            }
            None => {}
        }
    }

    fn wait(&self) -> Result<Arc<Helper>, BackendError> {
        let vain = self.helpers.vain.load(Ordering::Relaxed);
        let patience = if vain { SHORT_PATIENCE } else { PATIENCE };
        let helper = self.helpers.get(&self.path).map_err(|error| self.failed(&error))?;
        let held = helper.wait(patience);
        if matches!(held, Ok(true)) {
            return Ok(helper);
        }
        self.helpers.put(helper);
        held.map_err(|error| self.failed(&error))?;
        self.helpers.vain.store(true, Ordering::Relaxed);
        Err(BackendError::Failed(format!(
            "its lock file `{}` is held by {} (flock), and was waited for {patience:?}; end that program, or wait until \
             it lets go",
            self.path.display(),
            holder(&self.path).unwrap_or_else(|| "another program".to_owned())
        )))
    }

    fn failed(&self, error: &io::Error) -> BackendError {
        BackendError::Failed(format!("its lock file `{}` fails: {error}", self.path.display()))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A thread that waits in the kernel.
#[derive(Debug)]
struct Helper {
    file: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Somebody waits for the lock.
    wanted: bool,
    held: bool,
    ended: bool,
    failed: Option<io::Error>,
}

impl Helper {
    fn start(path: &Path) -> io::Result<Arc<Self>> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let helper = Arc::new(Self { file: private().open(path)?, state, changed });
        let this = helper.clone();
        std::thread::Builder::new().name("placet-lock".to_owned()).spawn(move || this.run())?;
        Ok(helper)
    }

    fn run(&self) {
        loop {
            let idle = |state: &mut State| !state.wanted && !state.ended;
            let state = self.changed.wait_while(self.state(), idle);
            let state = state.unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            drop(state);
            let locked = self.lock();
            let mut state = self.state();
            match locked {
                Ok(()) if state.wanted => state.held = true,
                // Nobody waits any more.
                Ok(()) => drop(self.file.unlock()),
                Err(error) => state.failed = Some(error),
            }
            state.wanted = false;
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> io::Result<()> {
        loop {
            match self.file.lock() {
                // A signal that the program handles.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                locked => return locked,
            }
        }
    }

    /// Waits for the lock; says whether it is held.
    fn wait(&self, patience: Duration) -> io::Result<bool> {
        let mut state = self.state();
        state.wanted = true;
        self.changed.notify_all();
        let open = |state: &mut State| !state.held && state.failed.is_none();
        let waited = self.changed.wait_timeout_while(state, patience, open);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.wanted = false;
        state.failed.take().map_or(Ok(state.held), Err)
    }

    fn give_back(&self) {
        self.state().held = false;
        let _ = self.file.unlock();
    }

    fn end(&self) {
        let mut state = self.state();
        (state.wanted, state.ended) = (false, true);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who holds the lock on a file, as far as the system tells.
fn holder(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok()?;
    let (major, minor) = (file.dev() >> 8 & 0xfff, file.dev() & 0xff | file.dev() >> 12 & 0xfff_ff00);
    let place = format!("{major:02x}:{minor:02x}:{}", file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = locks.lines().find_map(|line| holding(line, &place))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    Some(match name.trim_end() {
        "" => format!("process {process}"),
        name => format!("process {process} (`{name}`)"),
    })
}

/// The process that holds a lock, by one line of `/proc/locks`: `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF`. Those
/// who wait stand behind `->`.
fn holding(line: &str, place: &str) -> Option<u32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, _, process, at, ..] if at == place => process.parse().ok().filter(|id| *id > 0),
        _ => None,
    }
}
