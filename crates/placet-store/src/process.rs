//! A ledger within one process.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use placet_audit::seal::{Head, LogKey};
use placet_audit::view::SaltedValue;
use placet_trust::{LedgerError, Refusal, State, StateKey, TenantKey};
use placet_types::Record;

use crate::backend::{Backend, Link};
use crate::background::Background;
use crate::batch::{self, Done, Work};
use crate::compare::compare;
use crate::engine::{Engine, Publish};
use crate::keeper::Keeper;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::watcher::Watcher;

/// How old a reading may be.
pub(crate) const SEEN_FOR: Duration = Duration::from_secs(1);

/// Everything that belongs to one process and must not be used by another.
pub(crate) struct Process<B: Backend> {
    pub(crate) id: u32,
    backend: Arc<B>,
    queue: Queue<Work, Done>,
    queue_limit: usize,
    engine: Mutex<Engine<B>>,
    pub(crate) readers: Readers,
    /// Whether a connection may be open.
    connected: AtomicBool,
    /// Why this process cannot use the ledger at all.
    unusable: Option<LedgerError>,
    pub(crate) background: Arc<Background>,
    pub(crate) keeper: Keeper,
    pub(crate) watcher: Watcher,
    /// The log's key, once it was opened.
    key: OnceLock<LogKey>,
    /// The last tenant whose key was asked for.
    tenant: Mutex<Option<(Option<Arc<str>>, TenantKey)>>,
    /// Held while the keeper has a connection of its own.
    tidying: Mutex<()>,
    /// Whether the keeper should do its housekeeping now.
    pub(crate) untidy: AtomicBool,
}

/// What readers see.
pub(crate) struct Readers {
    state: RwLock<State>,
    news: Mutex<News>,
    changed: Condvar,
    begun: Instant,
    /// Milliseconds after `begun` at which the log was last compared with the database; 0 is never.
    fresh_ms: AtomicU64,
}

/// What waiting calls wait for.
#[derive(Default)]
struct News {
    size: u64,
    /// How many wait: telling nobody would be a system call too.
    waiting: usize,
    /// How often nobody could tell them, and why the last time.
    failures: u64,
    failure: Option<LedgerError>,
}

impl Publish for Readers {
    fn show(&self, state: &mut State, head: &Head) {
        state.exchange(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
        let mut news = locked(&self.news);
        news.size = head.size();
        self.tell(news);
    }

    fn copy(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Readers {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        let fresh = self.fresh_ms.load(Ordering::Acquire);
        let age = self.now_ms().saturating_sub(fresh);
        fresh != 0 && u128::from(age) < SEEN_FOR.as_millis()
    }

    pub(crate) fn look(&self, look: &mut dyn FnMut(&State)) {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn size(&self) -> u64 {
        locked(&self.news).size
    }

    pub(crate) fn failures(&self) -> u64 {
        locked(&self.news).failures
    }

    /// Tells those who wait that the log could not be looked at.
    pub(crate) fn fail(&self, error: LedgerError) {
        let mut news = locked(&self.news);
        news.failures = news.failures.wrapping_add(1);
        news.failure = Some(error);
        self.tell(news);
    }

    fn tell(&self, news: MutexGuard<'_, News>) {
        if news.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until the log is longer than `seen`, or could not be looked at once more, or for so long.
    pub(crate) fn wait(&self, seen: u64, failures: u64, at_most: Duration) -> Result<u64, LedgerError> {
        let none = |news: &mut News| news.size <= seen && news.failures == failures;
        let mut news = locked(&self.news);
        news.waiting += 1;
        let waited = self.changed.wait_timeout_while(news, at_most, none);
        let mut news = waited.unwrap_or_else(PoisonError::into_inner).0;
        news.waiting -= 1;
        match &news.failure {
            Some(error) if news.size <= seen && news.failures != failures => Err(error.clone()),
            _ => Ok(news.size),
        }
    }
}

impl<B: Backend> Process<B> {
    pub(crate) fn new(backend: Arc<B>, settings: Arc<Settings>, unusable: Option<LedgerError>) -> Self {
        let readers = Readers {
            state: RwLock::default(),
            news: Mutex::default(),
            changed: Condvar::new(),
            begun: Instant::now(),
            fresh_ms: AtomicU64::new(0),
        };
        Self {
            id: std::process::id(),
            queue: Queue::new(settings.queue_limit),
            queue_limit: settings.queue_limit,
            engine: Mutex::new(Engine::new(backend.clone(), settings)),
            backend,
            readers,
            connected: AtomicBool::new(false),
            unusable,
            background: Arc::default(),
            keeper: Keeper::default(),
            watcher: Watcher::default(),
            key: OnceLock::new(),
            tenant: Mutex::default(),
            tidying: Mutex::new(()),
            untidy: AtomicBool::new(false),
        }
    }

    /// Whether a child forked now would inherit locks that it does not hold.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(crate) fn submit(&self, work: Work) -> Done {
        if let Some(error) = &self.unusable {
            return Err(error.clone());
        }
        let submitted = self.queue.submit(work, &|works| self.write(works));
        submitted.unwrap_or_else(|full| {
            let waiting = full.0.min(self.queue_limit);
            Err(LedgerError::Busy { ledger: self.backend.name(), waiting })
        })
    }

    /// The key of a tenant, once the log was opened.
    pub(crate) fn tenant_key(&self, tenant: Option<&str>) -> Option<TenantKey> {
        let key = self.key.get()?;
        let mut last = locked(&self.tenant);
        match &*last {
            Some((of, known)) if of.as_deref() == tenant => Some(known.clone()),
            _ => {
                let made = TenantKey::new(key.tenant_key(tenant));
                *last = Some((tenant.map(Arc::from), made.clone()));
                Some(made)
            }
        }
    }

    fn write(&self, works: Vec<Work>) -> Vec<Done> {
        let mut engine = locked(&self.engine);
        self.connected.store(true, Ordering::Release);
        let asked_ms = self.readers.now_ms();
        let done = batch::run(&mut engine, works, &self.readers);
        if engine.link.as_mut().is_some_and(Link::is_untidy) {
            self.untidy.store(true, Ordering::Release);
        }
        if let (None, Some(log)) = (self.key.get(), &engine.log) {
            let _ = self.key.set(log.key.clone());
        }
        match done.iter().any(Result::is_ok) {
            true => self.readers.fresh_ms.store(asked_ms, Ordering::Release),
            false => self.readers.fresh_ms.store(0, Ordering::Release),
        }
        done
    }

    /// Holds cached rows against the log.
    pub(crate) fn compare(
        &self,
        keys: &mut dyn FnMut(&State) -> Vec<StateKey>,
    ) -> Result<Result<(), Refusal>, LedgerError> {
        if let Some(error) = &self.unusable {
            return Err(error.clone());
        }
        let mut engine = locked(&self.engine);
        self.connected.store(true, Ordering::Release);
        compare(&mut engine, keys, &self.readers)
    }

    /// Does the housekeeping over a connection of its own, so that commits do not wait for it.
    pub(crate) fn tidy(&self) -> Result<(), LedgerError> {
        let _one = locked(&self.tidying);
        if !B::NEEDS_TIDYING || !self.is_connected() {
            return Ok(());
        }
        let tidied = self.backend.open().and_then(|mut link| link.tidy(false));
        tidied.map_err(|error| LedgerError::Unavailable {
            ledger: self.backend.name(),
            action: "append",
            cause: error.to_string(),
        })
    }

    /// Signs a checkpoint if anything is new, and keeps it in its other places while others commit.
    pub(crate) fn sign(&self) -> Result<(), LedgerError> {
        self.submit(Work::Sign)?;
        let unspread = locked(&self.engine).unspread.take();
        unspread.map_or(Ok(()), |unspread| unspread.spread())
    }

    /// The name of the log, once it was opened.
    pub(crate) fn origin(&self) -> Option<Arc<str>> {
        locked(&self.engine).log.as_ref().map(|log| log.committed.head.origin.clone())
    }

    /// The personal fields of an entry.
    pub(crate) fn personal(&self, seq: u64) -> Result<Vec<(Arc<str>, SaltedValue)>, LedgerError> {
        // Opens the log, and takes in what is new.
        self.submit(Work::Refresh)?;
        self.queue.pause();
        let mut engine = locked(&self.engine);
        let read = engine.link().map(|link| link.personal(seq));
        let fields = read.and_then(|read| read.map_err(|error| engine.failed("read", error)));
        drop(engine);
        self.queue.resume();
        fields
    }

    /// Why the mirror lags, if it does.
    pub(crate) fn mirror_trouble(&self) -> Option<LedgerError> {
        locked(&self.engine).mirror_trouble.clone()
    }

    /// Stops writing, closes every connection and has the threads behind the ledger stand still, until
    /// [`Self::resume`].
    pub(crate) fn pause(&self) {
        self.background.halt();
        self.watcher.see_off();
        self.queue.pause();
        let _one = locked(&self.tidying);
        locked(&self.engine).link = None;
        self.connected.store(false, Ordering::Release);
    }

    pub(crate) fn resume(&self) {
        self.queue.resume();
        self.background.go_on();
    }

    /// The view of the first record that is wanted. Nobody commits meanwhile.
    pub(crate) fn find_view(
        &self,
        wanted: &dyn Fn(&Record) -> bool,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, LedgerError> {
        self.queue.pause();
        let found = locked(&self.engine).find_view(wanted);
        self.queue.resume();
        found
    }

    /// Copies side files back, and tells why it could not: another process that is at work may need them.
    pub(crate) fn fold(&self, thorough: bool) -> Result<(), LedgerError> {
        self.queue.pause();
        let mut engine = locked(&self.engine);
        let folded = engine.link.as_mut().map_or(Ok(()), |link| link.tidy(thorough));
        let folded = folded.map_err(|error| engine.unavailable("append", error));
        drop(engine);
        self.queue.resume();
        folded
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
