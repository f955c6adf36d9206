//! What one event gives: a JSON line, a line for people, a count.
// SPDX-License-Identifier: MIT OR Apache-2.0

use placet::{Decision, Event, Field, Gate};

use super::SimulateArgs;
use super::tally::Tally;
use crate::batch::Decide;
use crate::paint::{Paint, verdict_style, visible_line};

/// Decides events under one gate and writes the answers.
pub(super) struct Simulation<'a> {
    pub(super) gate: &'a Gate,
    pub(super) args: &'a SimulateArgs,
    pub(super) paint: Paint,
}

/// The answers to some lines.
#[derive(Default)]
pub(super) struct Answers {
    /// What goes to stdout.
    pub(super) out: Vec<u8>,
    /// The counts.
    pub(super) tally: Tally,
    /// Lines that held no event, and why.
    pub(super) bad: Vec<(u64, String)>,
}

impl Decide for Simulation<'_> {
    type Result = Answers;

    fn line(&self, line: u64, event: Result<Event, String>, into: &mut Answers) {
        match event {
            Ok(event) => self.event(line, event, into),
            Err(message) => {
                let decision = self.gate.refuse(&format!("line {line} holds no event: {message}"));
                self.write(line, "", &decision, into);
                into.tally.count(&decision, self.wants_rows().then_some(""));
                into.bad.push((line, message));
            }
        }
    }
}

impl Simulation<'_> {
    /// Decides one event and writes its answer.
    pub(super) fn event(&self, line: u64, event: Event, into: &mut Answers) {
        let for_people = !self.args.output.is_json();
        let action = for_people.then(|| event.get(Field::Action).as_str().unwrap_or_default().to_owned());
        let decision = self.gate.decide(event);
        self.write(line, action.as_deref().unwrap_or_default(), &decision, into);
        into.tally.count(&decision, action.as_deref());
    }

    fn wants_rows(&self) -> bool {
        !self.args.output.is_json()
    }

    fn write(&self, line: u64, action: &str, decision: &Decision, into: &mut Answers) {
        if self.args.output.is_json() {
            let before = into.out.len();
            if serde_json::to_writer(&mut into.out, decision).is_err() {
                into.out.truncate(before);
            }
            into.out.push(b'\n');
        } else if self.args.each {
            into.out.extend_from_slice(self.row(line, action, decision).as_bytes());
        }
    }

    fn row(&self, line: u64, action: &str, decision: &Decision) -> String {
        let word = decision.verdict.word();
        let verdict = self.paint.paint(verdict_style(word), &format!("{:<8}", word.to_uppercase()));
        let rule = decision.rule_matched().map_or(decision.verdict.code(), |rule| &**rule);
        let (action, rule) = (visible_line(action), visible_line(rule));
        format!("{line:>6}  {verdict}  {action:<24}  {rule:<24}  {}\n", visible_line(&decision.reason))
    }
}
