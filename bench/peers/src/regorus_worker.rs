//! `regorus` as a peer: JSON text in, JSON text out, by the interpreter or by its virtual machine.
//!
//! Usage: `regorus-worker interpreter|rvm QUERY`, where QUERY is such as `bench.decision`.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;

use bench_worker::{Engine, Failure, serve};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::utils::limits::PolicyLengthConfig;
use regorus::{Engine as Regorus, Rc};
use serde_json::Value;

/// The two ways regorus evaluates.
enum Evaluator {
    Interpreter(Box<Regorus>),
    Machine { program: Arc<regorus::rvm::program::Program>, vm: Box<RegoVM> },
}

struct Worker {
    rvm: bool,
    query: String,
    evaluator: Evaluator,
    inputs: Vec<String>,
}

impl Worker {
    fn decide(&mut self, index: usize) -> Result<String, Failure> {
        let input = self.inputs.get(index).ok_or("no such input")?;
        let value = match &mut self.evaluator {
            Evaluator::Interpreter(engine) => {
                engine.set_input_json(input)?;
                engine.eval_rule(self.query.clone())?
            }
            Evaluator::Machine { vm, .. } => {
                vm.set_input(regorus::Value::from_json_str(input)?);
                vm.execute()?
            }
        };
        Ok(value.to_json_str()?)
    }
}

impl Engine for Worker {
    fn hello(&self) -> (&'static str, &'static str, String) {
        let name = if self.rvm { "regorus-rvm" } else { "regorus" };
        (name, "JSON text -> JSON text, in process", "0.14.1".to_owned())
    }

    fn prepare(&mut self, events: &[Value]) -> Result<(), Failure> {
        self.inputs = events.iter().map(Value::to_string).collect();
        Ok(())
    }

    fn load(&mut self, folder: &Path, _options: &Value) -> Result<(), Failure> {
        let mut engine = Regorus::new();
        engine.set_policy_length_config(roomy());
        let mut files =
            std::fs::read_dir(folder)?.map(|one| Ok(one?.path())).collect::<Result<Vec<_>, Failure>>()?;
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rego")) {
            engine.add_policy_from_file(file)?;
        }
        if !self.rvm {
            self.evaluator = Evaluator::Interpreter(Box::new(engine));
            return Ok(());
        }
        let entry: Rc<str> = self.query.as_str().into();
        let compiled = engine.compile_with_entrypoint(&entry)?;
        let program = Compiler::compile_from_policy(&compiled, &[self.query.as_str()])?;
        self.evaluator = machine(program);
        Ok(())
    }

    fn call(&mut self, index: usize) -> Result<(), Failure> {
        black_box(self.decide(index)?);
        Ok(())
    }

    fn verdict(&mut self, index: usize) -> Result<String, Failure> {
        let answer = self.decide(index)?;
        let decision: Value = serde_json::from_str(&answer)?;
        let outcome = decision["outcome"].as_str().ok_or(format!("no outcome in {answer}"))?;
        Ok(outcome.to_owned())
    }

    fn fork(&self) -> Self {
        let evaluator = match &self.evaluator {
            Evaluator::Interpreter(engine) => Evaluator::Interpreter(engine.clone()),
            Evaluator::Machine { program, .. } => machine(program.clone()),
        };
        Self { rvm: self.rvm, query: self.query.clone(), evaluator, inputs: self.inputs.clone() }
    }
}

/// The defaults refuse files of more than 20,000 lines, which 10,000 rules are.
fn roomy() -> PolicyLengthConfig {
    PolicyLengthConfig {
        max_col: NonZeroU32::MAX,
        max_file_bytes: NonZeroUsize::MAX,
        max_lines: NonZeroUsize::MAX,
    }
}

fn machine(program: Arc<regorus::rvm::program::Program>) -> Evaluator {
    let mut vm = RegoVM::new();
    vm.load_program(program.clone());
    Evaluator::Machine { program, vm: Box::new(vm) }
}

fn main() -> Result<(), Failure> {
    let [surface, query] = std::array::from_fn(|n| std::env::args().nth(n + 1).unwrap_or_default());
    let rvm = match surface.as_str() {
        "interpreter" => false,
        "rvm" => true,
        other => return Err(format!("unknown surface `{other}`; use `interpreter` or `rvm`").into()),
    };
    let evaluator = Evaluator::Interpreter(Box::default());
    serve(Worker { rvm, query: format!("data.{query}"), evaluator, inputs: Vec::new() })
}
