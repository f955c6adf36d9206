//! Listening, and ending well.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use placet::channels::Stop;
use placet::channels::outbox::{Outbox, Turn};
use placet::trust::approvals::queue::QueueError;
use tokio::sync::{Semaphore, watch};

use crate::problem::Problem;
use crate::shared::{Limits, Service, Shared};
use crate::{approvals, headers, health, pulse};

/// Where the service listens when nobody says.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8470));

/// Threads that serve connections.
const WORKERS: usize = 2;

/// Threads that wait for the ledger.
const LEDGER_THREADS: usize = 64;

/// Most headers of a request.
const MAX_HEADERS: usize = 64;

/// How often it is looked whether the service is to end.
const LOOK_FOR_END: Duration = Duration::from_millis(50);

/// How long work rests that failed by a defect.
const AFTER_DEFECT: Duration = Duration::from_secs(1);

/// How long notices on their way may take when the service ends.
const LAST_NOTICES: Duration = Duration::from_secs(5);

/// A service that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    service: Service,
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is reached by other machines, and nothing encrypts.
    #[error(
        "`{0}` is reached by other machines and tokens would cross the network in the clear; listen on 127.0.0.1 behind a \
         proxy that speaks TLS, or say `allow_plain_http: true`"
    )]
    PlainHttp(SocketAddr),
    /// Nobody can listen there.
    #[error("cannot listen on `{address}`: {source}; choose another address with `listen`")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no threads or signals.
    #[error("the service cannot run: {0}")]
    System(#[from] io::Error),
}

impl Server {
    /// Listens. An address that other machines reach is refused unless plain HTTP there is asked for.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn bind(service: Service, address: SocketAddr, allow_plain_http: bool) -> Result<Self, ServeError> {
        if !address.ip().is_loopback() && !allow_plain_http {
            return Err(ServeError::PlainHttp(address));
        }
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, service })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is stopped, or until the process is told to end (SIGTERM, SIGINT). Requests on their way are
    /// finished first. The ledger is not closed: it is the caller's.
    ///
    /// # Errors
    /// [`ServeError::System`].
    pub fn run(self, stop: &Stop) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(LEDGER_THREADS)
            .thread_name("placet-http")
            .enable_all()
            .build()?;
        let (news, heard) = watch::channel(0);
        let (end, ending) = watch::channel(false);
        self.service.metrics.tell(&self.service.ledger);
        let ledger = self.service.ledger.clone();
        let mut clerk =
            Outbox::new(ledger.clone(), self.service.host.clone(), self.service.notifiers.clone());
        let waiting = Arc::new(Semaphore::new(self.service.limits.waiting));
        let shared = Arc::new(Shared {
            service: self.service,
            questions: <_>::default(),
            news: heard,
            ending,
            waiting,
        });
        let background = Stop::default();
        let (pulse_stop, clerk_stop) = (background.clone(), background.clone());
        let pulse = tireless("placet-pulse", &shared, &background, move || {
            pulse::run(&ledger, &news, &pulse_stop);
        })?;
        let mut report = reporting(shared.clone());
        let clerk = tireless("placet-clerk", &shared, &background, move || {
            clerk.run(&clerk_stop, &mut report);
        })?;
        let served = runtime.block_on(serve(self.listener, &shared, &end, stop));
        runtime.shutdown_timeout(shared.service.limits.end_time);
        background.stop();
        // A notice on its way may take long; what is not told then is owed.
        let until = Instant::now() + LAST_NOTICES;
        while !(pulse.is_finished() && clerk.is_finished()) && Instant::now() < until {
            thread::sleep(LOOK_FOR_END);
        }
        served.map_err(ServeError::System)
    }
}

/// Runs work until it is stopped, on a thread of its own. A defect in it is said, and it begins again.
fn tireless(
    name: &'static str,
    shared: &Arc<Shared>,
    stop: &Stop,
    mut work: impl FnMut() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (shared, stop) = (shared.clone(), stop.clone());
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        while !stop.is_stopped() {
            if catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
                shared.say(&format!("`{name}` failed; it begins again"));
                thread::sleep(AFTER_DEFECT);
            }
        }
    })
}

/// Says what the clerk could not tell, and once what keeps it from its work.
fn reporting(shared: Arc<Shared>) -> impl FnMut(Result<Turn, QueueError>) {
    let mut last = None;
    move |turn| match turn {
        Ok(turn) => {
            last = None;
            let failed = turn.failed.iter();
            failed
                .for_each(|(notice, problem)| shared.say(&format!("{notice}: {problem}; it is tried again")));
        }
        Err(error) => {
            let text = format!("{error}; it is tried again");
            if last.as_ref() != Some(&text) {
                shared.say(&text);
            }
            last = Some(text);
        }
    }
}

/// Everything that is served. What is added later stands beside the approvals.
fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .merge(approvals::routes())
        .merge(health::routes())
        .fallback(async |request: Request| {
            let detail =
                format!("nothing is served at `{}`; approvals are at `/v1/approvals`", request.uri().path());
            Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
        })
        .method_not_allowed_fallback(async |request: Request| {
            let detail = format!("`{}` cannot be done with `{}`", request.method(), request.uri().path());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(DefaultBodyLimit::max(shared.service.limits.body_bytes))
        .layer(from_fn_with_state(shared.clone(), headers::add))
        .with_state(shared.clone())
}

async fn serve(
    listener: TcpListener,
    shared: &Arc<Shared>,
    end: &watch::Sender<bool>,
    stop: &Stop,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let limits = &shared.service.limits;
    let service = TowerToHyperService::new(router(shared));
    let protocol = protocol(limits);
    let connections = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut told = std::pin::pin!(told_to_end(stop));
    loop {
        let next = async {
            let room = connections.clone().acquire_owned().await;
            (room, listener.accept().await)
        };
        let (room, accepted) = tokio::select! {
            next = next => next,
            told = &mut told => break told?,
        };
        // Out of file descriptors, most likely: others must go before one can come.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(LOOK_FOR_END).await;
            continue;
        };
        let connection = protocol.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _room = room;
            // A client that went away or spoke no HTTP needs no answer.
            let _ = connection.await;
        });
    }
    drop(listener);
    end.send_replace(true);
    let _ = tokio::time::timeout(limits.end_time, graceful.shutdown()).await;
    Ok(())
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes)
        .max_headers(MAX_HEADERS);
    protocol
}

/// Until somebody wants the service to end.
async fn told_to_end(stop: &Stop) -> io::Result<()> {
    let stopped = async {
        while !stop.is_stopped() {
            tokio::time::sleep(LOOK_FOR_END).await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            () = stopped => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::select! {
        () = stopped => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
