//! `cedar-policy` as a peer: a request built beforehand in, allow or deny with its policies out.
//!
//! Cedar knows no escalation; a forbid annotated `@verdict("escalate")` stands for one.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use bench_worker::{Engine, Failure, serve};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
};
use serde_json::{Map, Value, json};

#[derive(Clone)]
struct Worker {
    authorizer: Arc<Authorizer>,
    policies: Arc<PolicySet>,
    entities: Arc<Entities>,
    requests: Arc<Vec<Request>>,
}

impl Engine for Worker {
    fn hello(&self) -> (&'static str, &'static str, String) {
        let version = cedar_policy::get_sdk_version().to_string();
        ("cedar-policy", "request already built -> decision with its policies", version)
    }

    fn prepare(&mut self, events: &[Value]) -> Result<(), Failure> {
        self.requests = Arc::new(events.iter().map(request_of).collect::<Result<_, _>>()?);
        Ok(())
    }

    fn load(&mut self, folder: &Path, _options: &Value) -> Result<(), Failure> {
        self.policies = Arc::new(std::fs::read_to_string(folder.join("policy.cedar"))?.parse::<PolicySet>()?);
        Ok(())
    }

    fn call(&mut self, index: usize) -> Result<(), Failure> {
        let request = self.requests.get(index).ok_or("no such input")?;
        black_box(self.authorizer.is_authorized(request, &self.policies, &self.entities));
        Ok(())
    }

    fn verdict(&mut self, index: usize) -> Result<String, Failure> {
        let request = self.requests.get(index).ok_or("no such input")?;
        let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(format!("input {index}: {error}").into());
        }
        if response.decision() == Decision::Allow {
            return Ok("allow".to_owned());
        }
        let says = |word: &str| {
            response.diagnostics().reason().any(|id| self.policies.annotation(id, "verdict") == Some(word))
        };
        let word = if says("escalate") && !says("deny") { "escalate" } else { "deny" };
        Ok(word.to_owned())
    }

    fn fork(&self) -> Self {
        self.clone()
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Failure> {
    Ok(EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>()?, EntityId::new(id)))
}

/// Cedar has no null and no iteration: nulls are left out, a plan's tools become a set.
fn request_of(event: &Value) -> Result<Request, Failure> {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let steps = event["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut context = Map::from_iter([
        ("event_type".to_owned(), event["event_type"].clone()),
        ("action".to_owned(), event["action"].clone()),
        ("args".to_owned(), event["args"].clone()),
        ("requested_capabilities".to_owned(), event["requested_capabilities"].clone()),
        ("step_count".to_owned(), json!(steps.len())),
        ("step_tools".to_owned(), steps.iter().map(|step| step["tool_name"].clone()).collect()),
        ("session".to_owned(), without_nulls(&event["context"])),
    ]);
    for field in ["resource_path", "data_classification"] {
        if !event[field].is_null() {
            context.insert(field.to_owned(), event[field].clone());
        }
    }
    let context = Context::from_json_value(Value::Object(context), None)?;
    let action = uid("Action", &text("action"))?;
    let principal = uid("Session", &text("session_id"))?;
    let resource = uid("Tool", &text("action"))?;
    Ok(Request::new(principal, action, resource, context, None)?)
}

fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn main() -> Result<(), Failure> {
    serve(Worker {
        authorizer: Arc::new(Authorizer::new()),
        policies: Arc::new(PolicySet::new()),
        entities: Arc::new(Entities::empty()),
        requests: Arc::new(Vec::new()),
    })
}
