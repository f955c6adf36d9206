//! Deciding a stream of events, one JSON text a line, on several threads and in order.
//!
//! A reader cuts the stream into blocks of whole lines, workers decide them, and the caller receives the results
//! in input order. Every line gets an answer: one that is no event is denied as an invalid request.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::io::{self, Read};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use placet::{Event, json};

/// How much is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// Blocks that wait before and behind each worker.
const QUEUED_BLOCKS: usize = 2;

/// Most threads that decide.
const MAX_WORKERS: usize = 8;

/// Whole lines and the number of the first.
struct Block {
    first_line: u64,
    bytes: Vec<u8>,
    /// Whether the first line was longer than an event may be; only its end is here.
    starts_oversized: bool,
}

/// What is done with one line: its number, and the event or why there is none.
pub(crate) trait Decide: Sync {
    /// What the lines of one block give.
    type Result: Default + Send;

    /// Decides one line.
    fn line(&self, line: u64, event: Result<Event, String>, into: &mut Self::Result);
}

/// What one block gave, and how many bytes it had.
pub(crate) struct Done<T> {
    pub(crate) result: T,
    pub(crate) bytes: u64,
}

/// Reads events and hands the results on in input order. `receive` returning an error stops everything;
/// `unreadable` names what could not be read.
pub(crate) fn run<D: Decide, E>(
    input: impl Read + Send,
    decide: &D,
    mut receive: impl FnMut(Done<D::Result>) -> Result<(), E>,
    unreadable: impl FnOnce(io::Error) -> E,
) -> Result<(), E> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS);
    thread::scope(|scope| {
        let mut to_workers = Vec::with_capacity(workers);
        let mut from_workers = Vec::with_capacity(workers);
        for _ in 0..workers {
            let (to_worker, blocks) = sync_channel(QUEUED_BLOCKS);
            let (done, from_worker) = sync_channel(QUEUED_BLOCKS);
            scope.spawn(move || work(decide, &blocks, &done));
            to_workers.push(to_worker);
            from_workers.push(from_worker);
        }
        let reader = scope.spawn(move || read(input, &to_workers));
        // Block n is decided by worker n modulo their number, so asking them in turn restores the order. The
        // first worker that has nothing more to give was at the end of the stream.
        for from_worker in from_workers.iter().cycle() {
            let Ok(done) = from_worker.recv() else { break };
            receive(done)?;
        }
        // Receivers that are dropped early make the workers, and then the reader, stop.
        drop(from_workers);
        match reader.join() {
            Ok(read) => read.map_err(unreadable),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn work<D: Decide>(decide: &D, blocks: &Receiver<Block>, done: &SyncSender<Done<D::Result>>) {
    for block in blocks {
        let mut result = D::Result::default();
        for (number, line) in (block.first_line..).zip(Lines(&block.bytes)) {
            let text = line.trim_ascii();
            if block.starts_oversized && number == block.first_line {
                let limit = json::MAX_BYTES;
                decide.line(
                    number,
                    Err(format!("the line is longer than the limit of {limit} bytes; send less")),
                    &mut result,
                );
            } else if !text.is_empty() {
                decide.line(number, Event::from_json(text).map_err(|error| error.to_string()), &mut result);
            }
        }
        if done.send(Done { result, bytes: block.bytes.len() as u64 }).is_err() {
            return;
        }
    }
}

/// Cuts the stream into blocks and deals them out in turn.
fn read(mut input: impl Read, workers: &[SyncSender<Block>]) -> io::Result<()> {
    let mut turn = workers.iter().cycle();
    let mut carried = Vec::new();
    let mut next_line = 1;
    let mut oversized = false;
    loop {
        let mut bytes = std::mem::take(&mut carried);
        let before = bytes.len();
        bytes.resize(before + BLOCK_BYTES, 0);
        let count = read_some(&mut input, bytes.get_mut(before..).unwrap_or_default())?;
        bytes.truncate(before + count);
        let end =
            if count == 0 { bytes.len() } else { memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1) };
        carried = bytes.split_off(end);
        if bytes.is_empty() && count > 0 {
            if carried.len() > json::MAX_BYTES {
                // What is left of such a line is not needed: its first part stands for it.
                oversized = true;
                carried.truncate(1);
            }
            continue;
        }
        if !bytes.is_empty() {
            let starts_oversized = std::mem::take(&mut oversized);
            let block = Block { first_line: next_line, starts_oversized, bytes };
            next_line += Lines(&block.bytes).count() as u64;
            let Some(worker) = turn.next() else { return Ok(()) };
            if worker.send(block).is_err() {
                return Ok(());
            }
        }
        if count == 0 {
            return Ok(());
        }
    }
}

fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The lines of a block, with their line ends.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.0).map_or(self.0.len(), |at| at + 1);
        let (line, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(line)
    }
}
