//! A project whose ledger was made by the pipeline.

use std::sync::Arc;

use placet::pipeline::{Begun, Outcome, Pipeline, PipelineOptions};
use placet::trust::Ledger;
use placet::{Config, Event, Gate, GateOptions};
use placet_store::PlaceSettings;

use super::Project;

pub const POLICY: &str = "version: 1
rules:
  - name: search_auto
    when: { action: search }
    then: allow
    risk_tier: INFORMATIONAL
  - name: writes_ask
    when: { action: write_report }
    then: hitl
    risk_tier: TRANSACTIONAL_HIGH
    reason: \"a person reads it first\"
  - name: block_deletes
    when: { action: delete_document }
    then: block
    risk_tier: SECURITY_CRITICAL
    reason: \"documents are kept\"
  - name: small_payments
    when: { action: pay, args.amount: { gte: 0, lte: 100 } }
    then: allow
";

/// The parts of a deployment.
pub struct Deployment {
    pub pipeline: Arc<Pipeline>,
    pub ledger: Arc<dyn Ledger>,
}

/// A project with this policy; its keys lie in a folder of their own.
pub fn project(policy: &str) -> Project {
    Project::new(&[("placet.yaml", "policies: policies\nkeys: keys\n"), ("policies/policy.yaml", policy)])
}

pub fn deploy(project: &Project) -> Deployment {
    let config = Config::read(&project.path("placet.yaml")).expect("a configuration");
    let settings = PlaceSettings {
        ledger: config.ledger.clone(),
        keys: config.keys.clone(),
        reviewers: Arc::new(config.approvals.reviewers().expect("reviewers")),
        ..PlaceSettings::default()
    };
    let ledger = settings.ledger(project.folder.path(), |_| None).expect("a ledger").expect("it is on");
    let options = PipelineOptions::of_config(&config, Some(ledger.clone())).expect("options");
    let gate = Gate::open(GateOptions { config, reload: false, ..GateOptions::default() }).expect("a gate");
    Deployment { pipeline: Arc::new(Pipeline::new(gate, options)), ledger }
}

pub fn call(action: &str, args: &str, session: &str) -> Event {
    let text = format!(
        r#"{{"action":"{action}","tool_name":"{action}","target":"web","args":{args},"context":{{"session_id":"{session}","delegation_depth":0}},"session":{{"agent_id":"agent-1"}}}}"#
    );
    Event::from_json(text.as_bytes()).expect("an event")
}

impl Deployment {
    /// Runs a call to its end. The code of its refusal, if it was refused.
    pub fn run(&self, event: Event, outcome: Outcome) -> Result<(), &'static str> {
        match self.pipeline.begin(event) {
            Begun::Refused(refused) => Err(refused.decision.verdict.code()),
            Begun::Started(started) => {
                let call = started.permit.call().expect("its digest");
                let effect = started.permit.spend(&call).expect("a good permit");
                effect.finish(outcome).expect("recorded");
                Ok(())
            }
        }
    }
}

/// Three calls as in the tutorial: one runs, one waits for a person, one is blocked. And one that fails.
pub fn recorded() -> Project {
    let project = project(POLICY);
    record(&deploy(&project));
    project
}

/// What [`recorded`] records.
pub fn record(deployment: &Deployment) {
    let run = |action, args, session, outcome| deployment.run(call(action, args, session), outcome);
    run("search", r#"{"q":"ai"}"#, "s1", Outcome::succeeded(Some("found".into()))).expect("allowed");
    assert_eq!(
        run("write_report", r#"{"id":"42"}"#, "s1", Outcome::succeeded(None)),
        Err("approval_required")
    );
    assert_eq!(
        run("delete_document", r#"{"id":"42"}"#, "s2", Outcome::succeeded(None)),
        Err("denied_by_rule")
    );
    run("search", r#"{"q":"x"}"#, "s2", Outcome::failed("ValueError", "no index")).expect("allowed");
}
