//! Limits, threads, panics.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::{Duration, Instant};

use super::*;

const ENDLESS: &str = "package placet.x\n\nallow if count([1 | some a in numbers.range(1, 9999); some b in numbers.range(1, 9999); a * b == 7]) > 0\n";

fn limited(limits: RegoLimits) -> RegoOptions {
    RegoOptions { limits, ..RegoOptions::default() }
}

#[test]
fn a_long_evaluation_is_stopped_and_denies() {
    let limits = RegoLimits { time: Duration::from_millis(50), ..RegoLimits::default() };
    let set = load_with(&[("slow.rego", ENDLESS)], &limited(limits));
    let started = Instant::now();
    let said = said(&set, &call(&json!({})));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(said[0].is_failure && said[0].reason.contains("limit of 50 ms"), "{said:?}");
    assert!(said[0].reason.contains("slow.rego"), "{said:?}");
}

#[test]
fn a_stopped_function_is_not_swallowed_by_its_other_definition() {
    let text = "package placet.x\n\nf(x) if count([1 | some a in numbers.range(1, 9999); some b in numbers.range(1, 9999); a == b + x]) < 0\n\nf(_) := true\n\nallow if f(1)\n";
    let limits = RegoLimits { time: Duration::from_millis(50), ..RegoLimits::default() };
    let set = load_with(&[("slow.rego", text)], &limited(limits));
    assert!(said(&set, &call(&json!({})))[0].is_failure);
}

#[test]
fn results_of_exploding_size_are_stopped() {
    for expression in [
        "numbers.range(1, 1000000000000)",
        "net.cidr_expand(\"::/0\")",
        "numbers.range_step(1, 1000000000000, 2)",
    ] {
        let set = load(&[("big.rego", &format!("package placet.x\nallow if count({expression}) > 0"))]);
        let said = said(&set, &call(&json!({})));
        assert!(said[0].is_failure, "{expression}: {said:?}");
    }
}

#[test]
fn documents_too_large_or_too_deep_deny() {
    let set = load_with(
        &[
            ("a.rego", "package placet.x\nallow if true"),
            ("b.rego", "package placet.tool_call\ndecision := {\"allow\": true} if true"),
        ],
        &limited(RegoLimits { input_bytes: 2_000, input_depth: 10, ..RegoLimits::default() }),
    );
    assert_eq!(effect(&set, &call(&json!({}))), Some(Effect::Allow));
    let large = call(&json!({"args": {"text": "x".repeat(3_000)}}));
    assert!(said(&set, &large).iter().all(|said| said.is_failure && said.reason.contains("2000 bytes")));
    assert_eq!(said(&set, &large).len(), 2);
    let mut deep = json!(1);
    for _ in 0..12 {
        deep = json!([deep]);
    }
    assert!(said(&set, &call(&json!({"args": deep})))[0].reason.contains("limit is 10 levels"));
}

#[test]
fn the_deepest_accepted_policy_fits_a_small_stack() {
    // The largest chain that loads, on the stack of a spawned thread.
    let fits = (1..200).rev().find_map(|length| {
        let mut text = "package placet.x\nallow if r0(1)\n".to_owned();
        for number in 0..length {
            text.push_str(&format!("r{number}(x) if r{}(x)\n", number + 1));
        }
        text.push_str(&format!("r{length}(x) if x == 1\n"));
        RegoSet::load(&sources(&[("deep.rego", &text)]), &RegoOptions::default()).0
    });
    let set = fits.unwrap();
    let event = call(&json!({}));
    let run = move || effect(&set, &event);
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap();
    assert_eq!(thread.join().unwrap(), Some(Effect::Allow));
}

#[test]
fn a_panic_is_a_failure_and_the_next_evaluation_is_fresh() {
    let mut probe = crate::rego::engine::Pool::build(
        &[],
        &Default::default(),
        &["unit := input.x".to_owned()],
        &RegoLimits::default(),
    )
    .unwrap();
    probe.add_for_test("probe.panic", |_| panic!("on purpose"));
    let input = RegoInput::new(&json!({"x": 1})).value.unwrap();
    let error = probe.evaluate("boom", &input, 0).unwrap_err();
    assert!(error.contains("stopped"), "{error}");
    assert_eq!(probe.evaluate("unit", &input, 0).unwrap(), regorus::Value::from(1_u64));
}

#[test]
fn threads_answer_their_own_events() {
    let set = load(&[(
        "a.rego",
        "package placet.tool_call\ndecision := {\"allow\": false, \"reason\": sprintf(\"%v at %v\", [input.tool, time.now_ns()])} if true",
    )]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let set = &set;
            scope.spawn(move || {
                for round in 0..50 {
                    let event = call(&json!({"tool": format!("t{thread}_{round}")}));
                    let meets = RegoEvent { event_type: Some("tool_call"), transport: None };
                    let voices =
                        set.voices(&RegoInput::new(&event), &meets, i128::from(thread * 1000 + round));
                    let wanted = format!("t{thread}_{round} at {}", thread * 1000 + round);
                    assert_eq!(&*voices[0].statements[0].reason, wanted);
                }
            });
        }
    });
}

#[test]
fn a_set_is_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<RegoSet>();
    is_shared::<RegoInput>();
}

#[test]
fn mutilated_policies_load_or_are_refused_with_a_place() {
    let rounds = std::env::var("PLACET_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(300_u64);
    let texts: Vec<&str> = super::seeds::SAMPLES
        .iter()
        .map(|(_, text)| *text)
        .chain([
            include_str!("../../../tests/rego/types.rego"),
            include_str!("../../../tests/rego/language.rego"),
        ])
        .collect();
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound.max(1)
    };
    for _ in 0..rounds {
        let text = texts[next(texts.len())];
        let characters: Vec<char> = text.chars().collect();
        let (start, length) = (next(characters.len()), next(40));
        let mut changed: String = characters[..start].iter().collect();
        changed.push_str(
            ["", "}", "{", "[", "\"", " not ", "if", "_", "input", "é", "\\", "else", " in ", "1e999"]
                [next(14)],
        );
        changed.extend(characters.iter().skip(start + length));
        let (set, found) = RegoSet::load(&sources(&[("m.rego", &changed)]), &RegoOptions::default());
        match set {
            Some(set) => {
                let _ = voices(&set, &call(&json!({"tool": "fs.write"})));
            }
            None => assert!(found.iter().any(|finding| finding.severity == Severity::Error), "{changed}"),
        }
    }
}
