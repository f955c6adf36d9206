//! Placet as a bench worker: `placet-worker json` takes and gives JSON, `placet-worker prebuilt` takes requests.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bench_worker::{Engine, Failure, serve};
use placet::{DecisionId, Event, LoadOptions, PolicySet, Request, SourceFile, Tier, core_bundle};
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
        let surface = if self.json { "JSON bytes -> decision JSON bytes" } else { "request built beforehand -> decision" };
        ("placet", surface, env!("CARGO_PKG_VERSION").to_owned())
    }

    fn prepare(&mut self, events: &[Value]) -> Result<(), Failure> {
        self.texts = events.iter().map(serde_json::to_vec).collect::<Result<_, _>>()?;
        let requests = self.texts.iter().map(|text| Event::from_json(text).map(Request::new));
        self.requests = Arc::new(requests.collect::<Result<_, _>>()?);
        Ok(())
    }

    fn load(&mut self, folder: &Path, options: &Value) -> Result<(), Failure> {
        let mut sources = Vec::new();
        if options["core"].as_bool() == Some(true) {
            sources.extend(core_bundle::guards(&core_bundle::CoreLimits::default()));
            sources.push(core_bundle::lifecycle());
        }
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

fn main() -> Result<(), Failure> {
    let json = match std::env::args().nth(1).as_deref() {
        Some("json") => true,
        Some("prebuilt") => false,
        other => return Err(format!("unknown surface {other:?}; use `json` or `prebuilt`").into()),
    };
    let id = DecisionId(ID.into());
    serve(Worker { json, texts: Vec::new(), requests: Arc::default(), set: None, id })
}
