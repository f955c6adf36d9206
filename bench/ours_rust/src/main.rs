//! Placet as a bench worker: `placet-worker json` takes and gives JSON, `placet-worker prebuilt` takes requests.
//!
//! The surfaces of `ledger.rs` time the ledger and credentials. Two more commands make what the peers need for the same work: `export FILE FOLDER` writes the core bundle and a
//! policy file as Rego, `documents` turns a JSON array of events on stdin into their inputs on stdout.
// SPDX-License-Identifier: MIT OR Apache-2.0

mod ledger;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bench_worker::{Engine, Failure, serve};
use ledger::{Kind, Timed};
use placet::{
    DecisionId, Event, GlobalMode, LoadOptions, PolicySet, Request, SourceFile, Tier, core_bundle, export,
};
use serde_json::Value;

/// A fixed id: making ids is the runtime's work and measured there.
const ID: &str = "0190a5a0-0000-7000-8000-000000000000";

struct Worker {
    json: bool,
    texts: Vec<Vec<u8>>,
    requests: Arc<Vec<Request>>,
    set: Option<Arc<PolicySet>>,
    id: DecisionId,
}

impl Worker {
    fn set(&self) -> Result<&PolicySet, Failure> {
        self.set.as_deref().ok_or_else(|| "no policies are loaded".into())
    }

    fn decide(&self, index: usize) -> Result<placet::Decision, Failure> {
        let set = self.set()?;
        if self.json {
            let text = self.texts.get(index).ok_or("no such input")?;
            return Ok(set.decide(&Request::new(Event::from_json(text)?), self.id.clone()));
        }
        let request = self.requests.get(index).ok_or("no such input")?;
        Ok(set.decide(request, self.id.clone()))
    }
}

impl Engine for Worker {
    fn hello(&self) -> (&'static str, &'static str, String) {
        let surface = if self.json {
            "JSON bytes -> decision JSON bytes"
        } else {
            "request built beforehand -> decision"
        };
        ("placet", surface, placet::VERSION.to_owned())
    }

    fn prepare(&mut self, events: &[Value]) -> Result<(), Failure> {
        self.texts = events.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
        let requests = self.texts.iter().map(|text| Event::from_json(text).map(Request::new));
        self.requests = Arc::new(requests.collect::<Result<_, _>>()?);
        Ok(())
    }

    fn load(&mut self, folder: &Path, options: &Value) -> Result<(), Failure> {
        let mut sources = if options["core"].as_bool() == Some(true) { core() } else { Vec::new() };
        for name in options["files"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let text = std::fs::read_to_string(folder.join(name))?;
            sources.push((Tier::Project, SourceFile::new(name, text)));
        }
        let (set, _) = PolicySet::load(&sources, &LoadOptions::default())?;
        self.set = Some(Arc::new(set));
        Ok(())
    }

    fn call(&mut self, index: usize) -> Result<(), Failure> {
        let decision = self.decide(index)?;
        if self.json {
            drop(black_box(serde_json::to_vec(&decision)?));
        } else {
            drop(black_box(decision));
        }
        Ok(())
    }

    fn verdict(&mut self, index: usize) -> Result<String, Failure> {
        Ok(self.decide(index)?.verdict.word().to_owned())
    }

    fn fork(&self) -> Self {
        Self {
            json: self.json,
            texts: self.texts.clone(),
            requests: self.requests.clone(),
            set: self.set.clone(),
            id: self.id.clone(),
        }
    }
}

fn core() -> Vec<(Tier, SourceFile)> {
    let mut sources = core_bundle::guards(&core_bundle::CoreLimits::default());
    sources.push(core_bundle::lifecycle());
    sources
}

/// Where the rules begin that every exported file carries, so that each works alone.
const SHARED: &str = "# How the statements of every exported file become one decision.";

/// Writes the core bundle and one policy file as `placet compile` and `placet init --opa` export them.
///
/// The shared rules stay in the first file only: peers evaluate each copy, and one is enough here.
fn write_export(file: &Path, folder: &Path) -> Result<(), Failure> {
    let mut sources = core();
    let name = file.file_name().ok_or("no file name")?.to_string_lossy();
    sources.push((Tier::Project, SourceFile::new(name, std::fs::read_to_string(file)?)));
    let mut first: Option<String> = None;
    for (name, text) in export::bundle(&sources, GlobalMode::Guard)? {
        let (own, shared) =
            text.split_once(SHARED).ok_or_else(|| format!("`{name}` lacks the shared rules"))?;
        let kept = match first.as_deref() {
            None => text.as_str(),
            Some(held) if held == shared => own,
            Some(_) => return Err(format!("`{name}` has shared rules of its own").into()),
        };
        std::fs::write(folder.join(&name), kept)?;
        first.get_or_insert_with(|| shared.to_owned());
    }
    Ok(())
}

/// The input documents of exported policies for a JSON array of events.
fn documents() -> Result<(), Failure> {
    let events: Vec<Value> = serde_json::from_reader(std::io::stdin())?;
    let document = |event: &Value| -> Result<Value, Failure> {
        Ok(export::input(&Request::new(Event::from_json(&serde_json::to_vec(event)?)?)))
    };
    let documents: Vec<Value> = events.iter().map(document).collect::<Result<_, _>>()?;
    println!("{}", serde_json::to_string(&documents)?);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let json = match arguments.as_slice() {
        ["json"] => true,
        ["prebuilt"] => false,
        ["export", file, folder] => return write_export(Path::new(file), Path::new(folder)),
        ["documents"] => return documents(),
        [surface] if Kind::named(surface).is_some() => {
            return Kind::named(surface).map_or(Ok(()), |kind| serve(Timed::new(kind)));
        }
        other => {
            let commands = "`json`, `prebuilt`, a surface of `ledger.rs`, `export FILE FOLDER` or `documents`";
            return Err(format!("unknown command {other:?}; use {commands}").into());
        }
    };
    let id = DecisionId(ID.into());
    serve(Worker { json, texts: Vec::new(), requests: Arc::default(), set: None, id })
}
