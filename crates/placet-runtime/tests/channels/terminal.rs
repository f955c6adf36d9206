//! A real terminal device as a channel.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use placet_runtime::channels::{Channel, Terminal, Waiting};
use placet_types::ApproverId;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::common::{Bench, bench, code, event, pay, within};

/// The side of the person.
struct Person {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    /// Keeps the device open, as a shell does.
    _shell: File,
    path: String,
}

impl Person {
    fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let shell = File::from(rustix::fs::open(&*path, open, rustix::fs::Mode::empty()).unwrap());
        let keyboard = File::from(master);
        let (mut reader, screen) = (keyboard.try_clone().unwrap(), Arc::new(Mutex::new(String::new())));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut chunk) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        Self { keyboard, screen, _shell: shell, path }
    }

    fn terminal(&self) -> Arc<Terminal> {
        Arc::new(Terminal::at(self.path.as_str(), ApproverId::from("ann")))
    }

    fn types(&self, text: &str) {
        (&self.keyboard).write_all(text.as_bytes()).unwrap();
    }

    fn sees(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits until so many prompts were shown.
    fn awaits_prompts(&self, count: usize) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.sees().matches("Approve? [y/n]").count() < count {
            assert!(Instant::now() < until, "no prompt: {}", self.sees());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn asking(terminal: Arc<dyn Channel>, milliseconds: u64) -> Waiting {
    Waiting { channel: Some(terminal), ..within(milliseconds) }
}

/// Types lines, each at the next prompt.
fn typed(lines: &[&str]) -> (&'static str, String) {
    let (bench, person) = (bench(), Person::new());
    let waiting = asking(person.terminal(), 20_000);
    let got = std::thread::scope(|scope| {
        let call = scope.spawn(|| code(bench.pipeline.begin_waiting(&pay(500), &waiting)));
        for (index, line) in lines.iter().enumerate() {
            person.awaits_prompts(index + 1);
            person.types(line);
        }
        call.join().unwrap()
    });
    assert_eq!(bench.ledger.last_code(), got, "what was said is what was recorded");
    (got, person.sees())
}

#[test]
fn aegis_61_yes_and_no_in_any_case() {
    for line in ["y\n", "yes\n", "Y\n", " YES \n"] {
        assert_eq!(typed(&[line]).0, "allowed", "{line:?}");
    }
    for line in ["n\n", "no\n", "NO\n"] {
        assert_eq!(typed(&[line]).0, "approval_denied", "{line:?}");
    }
}

#[test]
fn aegis_61_garbage_is_asked_again_and_refused_in_the_end() {
    let (got, screen) = typed(&["what?\n", "y\n"]);
    assert_eq!(got, "allowed");
    assert!(screen.contains("Please enter 'y' or 'n'."), "{screen}");
    assert_eq!(typed(&["yep\n", "I do NOT approve\n", "\n"]).0, "approval_failed");
}

#[test]
fn aegis_61_the_end_of_input_and_a_missing_terminal_refuse() {
    assert_eq!(typed(&["\u{4}"]).0, "approval_failed");
    let bench = bench();
    let nowhere = Arc::new(Terminal::at("/nonexistent/tty", ApproverId::from("ann")));
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &asking(nowhere, 20_000))), "approval_failed");
}

#[test]
fn aegis_61_nobody_answers_in_time() {
    let (bench, person) = (bench(), Person::new());
    let waiting = asking(person.terminal(), 200);
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &waiting)), "approval_timeout");
    assert_eq!(bench.ledger.last_code(), "approval_timeout");
}

#[test]
fn aegis_61_what_was_typed_before_the_question_does_not_answer_it() {
    let (bench, person) = (bench(), Person::new());
    person.types("y\n");
    let waiting = asking(person.terminal(), 300);
    assert_eq!(code(bench.pipeline.begin_waiting(&pay(500), &waiting)), "approval_timeout");
}

#[test]
fn aegis_61_control_characters_are_escaped() {
    let (bench, person) = (bench(), Person::new());
    let call = event(
        r#"{"action":"pay","target":"bank\nrisk        INFORMATIONAL\u001b[2J\u202e",
            "args":{"amount":500,"note":"x\r\nrisk        LOW\u0007"},
            "context":{"session_id":"s1","delegation_depth":0}}"#,
    );
    let waiting = asking(person.terminal(), 20_000);
    std::thread::scope(|scope| {
        scope.spawn(|| code(bench.pipeline.begin_waiting(&call, &waiting)));
        person.awaits_prompts(1);
        person.types("n\n");
    });
    let screen = person.sees();
    assert!(!screen.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{screen:?}");
    let risks: Vec<_> = screen.lines().filter(|line| line.trim_start().starts_with("risk")).collect();
    assert_eq!(risks.len(), 1, "no forged line: {screen}");
    assert!(screen.contains(r"\u001b[2J") && screen.contains(r"\u202e"), "{screen}");
}

#[test]
fn aegis_61_prompts_that_come_together_are_asked_one_after_the_other() {
    let (bench, person) = (bench(), Person::new());
    let terminal = person.terminal();
    let begin = |bench: &Bench, amount| {
        code(bench.pipeline.begin_waiting(&pay(amount), &asking(terminal.clone(), 20_000)))
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| begin(&bench, 500));
        let other = scope.spawn(|| begin(&bench, 600));
        person.awaits_prompts(1);
        assert_eq!(person.sees().matches("APPROVAL REQUIRED").count(), 1, "{}", person.sees());
        person.types("y\n");
        person.awaits_prompts(2);
        person.types("n\n");
        (one.join().unwrap(), other.join().unwrap())
    });
    let first_is_500 = person.sees().find("amount = 500") < person.sees().find("amount = 600");
    let wanted = if first_is_500 { ("allowed", "approval_denied") } else { ("approval_denied", "allowed") };
    assert_eq!((one, other), wanted, "each answer went to the question above it");
}
