//! The worker side of the bench in Rust: JSON lines in, JSON lines out. It decides nothing itself.
//!
//! The same requests as `bench/workers/protocol.py`. An engine implements [`Engine`] and calls [`serve`].
// SPDX-License-Identifier: MIT OR Apache-2.0
#![deny(missing_docs)]

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use serde_json::{Value, json};

/// Anything an engine may fail with; the driver gets its text.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What an engine must offer. `call` is what is timed; `verdict` is the same path with its answer read.
pub trait Engine: Send {
    /// Engine name, surface and version, as the table prints them.
    fn hello(&self) -> (&'static str, &'static str, String);
    /// Puts the inputs into the form the engine takes. Not timed.
    ///
    /// # Errors
    /// An event the engine cannot express.
    fn prepare(&mut self, events: &[Value]) -> Result<(), Failure>;
    /// Reads the policy files in `folder` and gets ready to decide. `options.core` asks for the core bundle.
    ///
    /// # Errors
    /// Unreadable or invalid policies.
    fn load(&mut self, folder: &Path, options: &Value) -> Result<(), Failure>;
    /// Decides input number `index`; the answer must pass through `black_box` or be dropped here.
    ///
    /// # Errors
    /// The engine failed.
    fn call(&mut self, index: usize) -> Result<(), Failure>;
    /// `allow`, `deny` or `escalate` for input number `index`, by the path that is timed.
    ///
    /// # Errors
    /// The engine failed or answered something else.
    fn verdict(&mut self, index: usize) -> Result<String, Failure>;
    /// A second engine with the same policies and inputs, for another thread.
    fn fork(&self) -> Self
    where
        Self: Sized;
}

/// Answers requests until standard input ends.
///
/// # Errors
/// Standard input or output broke.
pub fn serve<E: Engine>(mut engine: E) -> Result<(), Failure> {
    let mut inputs = 0;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = answer(&mut engine, &mut inputs, &request)
            .unwrap_or_else(|failure| json!({"error": failure.to_string()}));
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer<E: Engine>(engine: &mut E, inputs: &mut usize, request: &Value) -> Result<Value, Failure> {
    let number =
        |key: &str| request[key].as_u64().and_then(|n| usize::try_from(n).ok()).ok_or(format!("no `{key}`"));
    match request["op"].as_str() {
        Some("hello") => {
            let (name, surface, version) = engine.hello();
            Ok(json!({"name": name, "surface": surface, "version": version}))
        }
        Some("prepare") => {
            let events = request["events"].as_array().ok_or("no `events`")?;
            *inputs = events.len();
            engine.prepare(events)?;
            Ok(json!({}))
        }
        Some("load") => load(engine, request),
        Some("verdicts") => {
            let verdicts = (0..*inputs).map(|i| engine.verdict(i)).collect::<Result<Vec<_>, _>>()?;
            Ok(json!({"verdicts": verdicts}))
        }
        Some("time") => time(engine, *inputs, number("calls")?),
        Some("threads") => threads(engine, *inputs, number("calls")?, number("threads")?),
        other => Err(format!("unknown request `{other:?}`").into()),
    }
}

fn load<E: Engine>(engine: &mut E, request: &Value) -> Result<Value, Failure> {
    let folder = request["folder"].as_str().ok_or("no `folder`")?;
    let before = rss()?;
    let started = Instant::now();
    engine.load(Path::new(folder), &request["options"])?;
    engine.call(0)?;
    let taken = started.elapsed();
    Ok(json!({"ns": taken.as_nanos() as u64, "rss_before": before, "rss_after": rss()?}))
}

fn time<E: Engine>(engine: &mut E, inputs: usize, calls: usize) -> Result<Value, Failure> {
    let mut samples = Vec::with_capacity(calls);
    for n in 0..calls {
        let started = Instant::now();
        engine.call(n % inputs)?;
        samples.push(started.elapsed().as_nanos() as u64);
    }
    Ok(json!({"samples": samples}))
}

fn threads<E: Engine>(engine: &mut E, inputs: usize, calls: usize, threads: usize) -> Result<Value, Failure> {
    let gate = Barrier::new(threads + 1);
    let mut forks: Vec<E> = (0..threads).map(|_| engine.fork()).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = forks
            .iter_mut()
            .map(|fork| {
                let gate = &gate;
                scope.spawn(move || {
                    let mut result = fork.call(0);
                    gate.wait();
                    for n in 0..calls {
                        result = result.and(fork.call(n % inputs));
                    }
                    gate.wait();
                    result
                })
            })
            .collect();
        gate.wait();
        let started = Instant::now();
        gate.wait();
        let taken = started.elapsed();
        for thread in running {
            thread.join().map_err(|_| "a timing thread panicked")??;
        }
        Ok(json!({"ns": taken.as_nanos() as u64}))
    })
}

/// Resident bytes of this process, from the kernel.
fn rss() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find(|line| line.starts_with("Rss:")).ok_or("no Rss line")?;
    let kilobytes = line.split_whitespace().nth(1).ok_or("no Rss value")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
