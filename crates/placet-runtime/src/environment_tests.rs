// SPDX-License-Identifier: MIT OR Apache-2.0
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

use super::*;

/// What the file says; every setting has another value than by default.
const FILE: &str = "
policies: [from_file]
global: { policies: [file_global], mode: grant }
library: [read_only]
lifecycle: false
limits: { max_spawn_depth: 7, max_delegate_depth: 7, max_plan_steps: 7, blocked_plan_tools: [a], code_tools: [a] }
tools: { pay: { tags: [a] } }
strict_rego: true
allowed_builtins: [http.send]
max_policy_age_seconds: 7
ledger: file.db
audit_log: file.jsonl
audit_log_rotation: { max_bytes: 7 }
keys: file_keys
anchor: file_anchor
ack: written
redaction: file.yaml
budgets: [{ scope: session, tokens: 7 }]
approvals: { quorum: 7 }
telemetry: { traces: provider, otlp_endpoint: 'http://file', metrics: true, tool_names: [a] }
server: { max_connections: 7 }
";

fn overridden(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let home = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(home.path().join(name)).unwrap();
    }
    let mut config = Config::parse(FILE, "placet.yaml", Path::new("")).unwrap();
    let pairs = pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    config.override_from(pairs, home.path())?;
    Ok(config)
}

fn error(name: &str, value: &str) -> String {
    overridden(&[(name, value)]).expect_err(name).to_string()
}

/// For every setting a value that is accepted, another one, and values that are not.
const VALUES: &[(&str, [&str; 2], &[&str])] = &[
    ("policies", ["a", "a:b"], &["", "a::b", "nowhere", "a:nowhere"]),
    ("global.policies", ["a", "b"], &["", ":", "nowhere"]),
    ("global.mode", ["guard", " guard "], &["", "Guard", "deny"]),
    ("library", ["", "cost_cap, token_cap"], &["read_onyl", "cost_cap,,token_cap", ","]),
    ("lifecycle", ["true", " true"], &["", "yes", "1", "TRUE", "no"]),
    ("limits.max_spawn_depth", ["0", "4294967295"], &["", "-1", "+1", "1.0", "4294967296", "two"]),
    ("limits.max_delegate_depth", ["0", "3"], &["", "-1", "1e3"]),
    ("limits.max_plan_steps", ["0", "3"], &["", "-1", "0x10"]),
    ("limits.blocked_plan_tools", ["", "x, y"], &["x,", ",x"]),
    ("limits.code_tools", ["", "x"], &["x,,y"]),
    ("tools", ["{}", "{\"buy\": {\"tags\": [\"b\"]}}"], &["", "5", "{\"pay\": {\"tag\": []}}", "{"]),
    ("strict_rego", ["false", "false "], &["", "0", "off"]),
    ("allowed_builtins", ["", "rand.intn"], &[","]),
    ("max_policy_age_seconds", ["0", "86400"], &["", "-1", "1h", "18446744073709551616"]),
    ("ledger", ["off", "other.db"], &["", " "]),
    ("audit_log", ["other.jsonl", "b/x.jsonl"], &["", " "]),
    (
        "audit_log_rotation",
        ["{}", "{max_bytes: 9, max_age_seconds: 5}"],
        &["", "[]", "{max_bytes: 0}", "{max_bytes: -1}", "{max_age: 5}"],
    ),
    ("keys", ["other", "b"], &[""]),
    ("anchor", ["other", "b"], &[""]),
    ("ack", ["durable", "published"], &["", "flushed", "Durable"]),
    ("redaction", ["a", "a:b"], &["", "nowhere"]),
    ("budgets", ["[]", "[{scope: tenant, tokens: 1}]"], &["", "{}", "[{scope: nobody, tokens: 1}]"]),
    ("approvals", ["{}", "{\"quorum\": 2}"], &["", "[]", "{\"quorums\": 2}"]),
    ("telemetry.traces", ["off", "otlp"], &["", "on", "Otlp", "true"]),
    (
        "telemetry.otlp_endpoint",
        ["http://b:4318", "https://b/c"],
        &["", "b:4318", "http://", "http:///x", "ftp://b"],
    ),
    ("telemetry.metrics", ["false", " false"], &["", "1", "on"]),
    ("telemetry.tool_names", ["", "b, c"], &["b,,c"]),
    ("server", ["{}", "{\"listen\": \"127.0.0.1:1\"}"], &["", "[]", "{\"listen\": \"localhost\"}"]),
];

#[test]
fn every_setting_is_replaced_by_its_variable_and_only_it() {
    let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(VALUES.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), keys);
    let file = overridden(&[]).unwrap();
    assert_eq!(file, Config::parse(FILE, "placet.yaml", Path::new("")).unwrap());
    for ((key, values, _), setting) in VALUES.iter().zip(SETTINGS) {
        for value in values {
            let config = overridden(&[(&setting.variable(), value)]).unwrap();
            assert_ne!(config, file, "{key} = {value}");
            // What the variable set is the only difference: with it put back, the file is there again.
            let mut restored = config.clone();
            match *key {
                "policies" => restored.policies = file.policies.clone(),
                "global.policies" | "global.mode" => restored.global = file.global.clone(),
                "library" => restored.library = file.library.clone(),
                "lifecycle" => restored.lifecycle = file.lifecycle,
                "tools" => restored.tools = file.tools.clone(),
                "strict_rego" => restored.strict_rego = file.strict_rego,
                "allowed_builtins" => restored.allowed_builtins = file.allowed_builtins.clone(),
                "max_policy_age_seconds" => restored.max_policy_age_seconds = file.max_policy_age_seconds,
                "ledger" => restored.ledger = file.ledger.clone(),
                "audit_log" => restored.audit_log = file.audit_log.clone(),
                "audit_log_rotation" => restored.audit_log_rotation = file.audit_log_rotation,
                "keys" => restored.keys = file.keys.clone(),
                "anchor" => restored.anchor = file.anchor.clone(),
                "ack" => restored.ack = file.ack,
                "redaction" => restored.redaction = file.redaction.clone(),
                "budgets" => restored.budgets = file.budgets.clone(),
                "approvals" => restored.approvals = file.approvals.clone(),
                "server" => restored.server = file.server.clone(),
                key if key.starts_with("telemetry.") => restored.telemetry = file.telemetry.clone(),
                _ => restored.limits = file.limits.clone(),
            }
            assert_eq!(restored, file, "{key} = {value}");
        }
    }
}

#[test]
fn values_arrive_as_they_were_meant() {
    let config = overridden(&[
        ("PLACET_LIBRARY", " cost_cap , token_cap"),
        ("PLACET_LIMITS_MAX_SPAWN_DEPTH", "3"),
        ("PLACET_LIMITS_CODE_TOOLS", "run, eval"),
        ("PLACET_TOOLS", "{\"buy\": {\"tags\": [\"b\"], \"transport\": \"mcp\"}}"),
        ("PLACET_GLOBAL_POLICIES", "a:b"),
        ("PLACET_MAX_POLICY_AGE_SECONDS", "60"),
    ])
    .unwrap();
    assert_eq!(config.library, ["cost_cap", "token_cap"]);
    assert_eq!((config.limits.max_spawn_depth, config.limits.max_plan_steps), (Some(3), Some(7)));
    assert_eq!(config.limits.code_tools.unwrap(), ["run", "eval"]);
    assert_eq!(config.tools.keys().collect::<Vec<_>>(), ["buy"]);
    assert_eq!(config.tools.get("buy").unwrap().transport.as_deref(), Some("mcp"));
    let global = config.global.unwrap();
    assert_eq!((global.policies.to_vec().len(), global.mode), (2, Mode::Grant));
    assert_eq!(config.max_policy_age_seconds, Some(60));
}

#[test]
fn a_global_tier_may_come_from_the_environment_alone() {
    let home = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    let here = (OsString::from("PLACET_GLOBAL_POLICIES"), OsString::from("."));
    config.override_from([here], home.path()).unwrap();
    let global = config.global.unwrap();
    assert_eq!((global.policies.to_vec(), global.mode), (vec![home.path().join(".")], Mode::Guard));
}

#[test]
fn a_value_that_is_not_accepted_names_variable_value_and_what_is() {
    for ((_, _, wrong), setting) in VALUES.iter().zip(SETTINGS) {
        for value in *wrong {
            let (name, text) = (setting.variable(), error(&setting.variable(), value));
            let start = format!("the environment variable `{name}` is `{value}`");
            let end = format!("; it accepts {}; correct or unset it", setting.accepts());
            assert!(text.starts_with(&start) && text.ends_with(&end), "{text}");
        }
    }
    assert!(error("PLACET_LIBRARY", "cost_cap,x").contains("there is no module `x`; it accepts modules"));
    assert!(error("PLACET_TOOLS", "{\"pay\": {\"tag\": []}}").contains("unknown field `tag`"));
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let pair = ("PLACET_LIBRARY".into(), OsString::from_vec(vec![0xff]));
    let error = Config::default().override_from([pair], Path::new("")).expect_err("refused").to_string();
    assert!(error.contains("it is not UTF-8"), "{error}");
}

#[test]
fn a_name_that_is_likely_meant_as_a_setting_is_refused_with_the_nearest() {
    for (given, near) in [
        ("PLACET_LIBARY", "PLACET_LIBRARY"),
        ("PLACET_LIBRARIES", "PLACET_LIBRARY"),
        ("PLACET_POLICY", "PLACET_POLICIES"),
        ("PLACET_POLICY_DIR", "PLACET_POLICIES"),
        ("PLACET_STRICTREGO", "PLACET_STRICT_REGO"),
        ("PLACET_LIFE_CYCLE", "PLACET_LIFECYCLE"),
        ("PLACET_MAX_SPAWN_DEPTH", "PLACET_LIMITS_MAX_SPAWN_DEPTH"),
        ("PLACET_LIMIT_MAX_PLAN_STEPS", "PLACET_LIMITS_MAX_PLAN_STEPS"),
        ("PLACET_CODE_TOOLS", "PLACET_LIMITS_CODE_TOOLS"),
        ("PLACET_GLOBAL_TIER", "PLACET_GLOBAL_MODE"),
        ("PLACET_MODE", "PLACET_GLOBAL_MODE"),
        ("PLACET_TOOLS_PAY_TAGS", "PLACET_TOOLS"),
        ("placet_library", "PLACET_LIBRARY"),
    ] {
        let wanted = format!(
            "the environment variable `{given}` is no setting; did you mean `{near}`? rename or unset it"
        );
        assert_eq!(error(given, "x"), wanted);
    }
}

#[test]
fn other_names_are_left_alone() {
    for name in [
        "PATH",
        "PLACEBO_LIBRARY",
        "PLACET",
        // Of this repository's tests and tools.
        "PLACET_OPA",
        "PLACET_REQUIRE_OPA",
        "PLACET_DIFFERENTIAL_EVENTS",
        "PLACET_DIFFERENTIAL_SEED",
        "PLACET_GENERATE",
        "PLACET_MUTATIONS",
        "PLACET_PROMISE_RUNS",
        "PLACET_BENCH_PYTHON",
        "PLACET_ACCEPTANCE_PACKAGE",
        // Of orchestrators.
        "PLACET_SERVICE_HOST",
        "PLACET_PORT",
        "PLACET_PORT_8080_TCP_ADDR",
        "PLACET_POLICY_SERVICE_PORT_HTTP",
        "PLACET_TOOLS_PORT_80_TCP",
        // Of a deployment.
        "PLACET_VERSION",
        "PLACET_NODE",
        "PLACET_IMAGE_TAG",
    ] {
        assert!(overridden(&[(name, "x")]).is_ok(), "{name}");
    }
}

/// The keys that a part of the configuration has, as its own refusal of another one lists them.
fn keys(prefix: &str, text: &str) -> BTreeSet<String> {
    let refusal = Config::parse(text, "placet.yaml", Path::new("")).expect_err(text).to_string();
    let (_, list) = refusal.split_once("expected").unwrap();
    let words = list.split('`').skip(1).step_by(2);
    words.map(|key| format!("{prefix}{key}")).collect()
}

#[test]
fn every_key_of_the_file_has_a_variable() {
    let mut all = keys("", "{ no_such_key: 1 }");
    assert!(all.remove("global") && all.remove("limits") && all.remove("telemetry"));
    all.extend(keys("telemetry.", "{ telemetry: { no_such_key: 1 } }"));
    all.extend(keys("global.", "{ global: { no_such_key: 1 } }"));
    all.extend(keys("limits.", "{ limits: { no_such_key: 1 } }"));
    let table: BTreeSet<String> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
    assert_eq!(table, all);
}
