//! `placet credentials`, as people use it: two holders and an issuer, each with files of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Project, Run};
use serde_json::Value;

fn tools(most: u32) -> String {
    format!(
        r#"{{"pay":{{"amount":{{"constraint_type":"range","min":0,"max":{most}}},"*":{{"constraint_type":"wildcard"}}}}}}"#
    )
}

/// A project with two holders, `a` and `b`, and a root for `a` in `root.chain`.
fn bank() -> Project {
    let project = Project::new(&[("placet.yaml", "policies: policies\nkeys: keys\n")]);
    for name in ["a", "b"] {
        let public = keygen(&project, name);
        project.write(&format!("{name}.pub"), &public);
    }
    let limits = tools(500);
    let issued = project.run(&[
        "credentials",
        "issue",
        "--session",
        "s0",
        "--scope",
        "pay",
        "--scope",
        "read",
        "--holder",
        "a.pub",
        "--tenant",
        "acme",
        "--role",
        "clerk",
        "--tools",
        &limits,
        "--calls",
        "pay=9",
        "--budget",
        "api_calls=5",
        "--by",
        "ann",
        "-o",
        "root.chain",
    ]);
    issued.exits(0).complains(&["issued `crd_", "for the session `s0`", "only the holder's key can use it"]);
    project
}

fn keygen(project: &Project, name: &str) -> String {
    let made = project.run(&["credentials", "keygen", "-o", &format!("{name}.key")]).exits(0);
    made.out.clone()
}

fn mode(project: &Project, name: &str) -> u32 {
    std::fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777
}

fn delegate(project: &Project, more: &[&str]) -> Run {
    let first =
        ["credentials", "delegate", "root.chain", "--key", "a.key", "--holder", "b.pub", "--session", "s1"];
    project.run(&[&first[..], more].concat())
}

fn narrowed(project: &Project) -> Value {
    let limits = tools(80);
    delegate(
        project,
        &[
            "--scope",
            "pay",
            "--agent",
            "worker",
            "--tools",
            &limits,
            "--calls",
            "pay=3",
            "-o",
            "two.chain",
            "--format",
            "json",
        ],
    )
    .exits(0)
    .json()
}

fn verify(project: &Project, more: &[&str]) -> Run {
    project.run(&[&["credentials", "verify", "two.chain", "--format", "json"][..], more].concat())
}

#[test]
fn f20_a_holder_narrows_offline_and_sees_in_what() {
    let project = bank();
    for secret in ["a.key", "root.chain", "keys"] {
        assert_eq!(mode(&project, secret) & 0o077, 0, "{secret}");
    }
    let changes = narrowed(&project)["changes"].clone();
    let changes: Vec<&str> = changes.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(
        changes,
        [
            "scope `read`: given -> not given (narrowed)",
            "tool `pay`, argument `amount`: at least 0 and at most 500 -> at least 0 and at most 80 (narrowed)",
            "tool `pay`, calls: at most 9 times -> at most 3 times (narrowed)",
        ]
    );
    project.run(&["credentials", "show", "two.chain"]).exits(0).says(&[
        "0  crd_",
        "session s0  tenant acme  role clerk",
        "tool      pay  (amount: at least 0 and at most 500; other arguments: anything; called at most 9 times)",
        "budget    api_calls 5",
        "1  aat_",
        "session s1  agent worker",
        "narrowed  scope `read`: given -> not given",
    ]);
    let verified = verify(&project, &[]).exits(0).json();
    assert_eq!((&verified["verified"], &verified["revocation"]), (&true.into(), &"checked".into()));
    assert_eq!(verified["tokens"][1]["agent"], "worker");

    let limits = tools(900);
    let wider = delegate(&project, &["--scope", "pay", "--tools", &limits, "--calls", "pay=9"]).exits(1);
    assert_eq!(wider.out, "", "nothing was signed");
    wider.complains(&[
        "REFUSED  the child would exceed its parent:",
        "at most 500 -> at least 0 and at most 900 (exceeds the parent)",
        r#"the child could do this and the parent could not: the call `pay` with {"amount":501}"#,
    ]);
    let told =
        delegate(&project, &["--scope", "pay", "--tools", &limits, "--calls", "pay=9", "--format", "json"]);
    assert_eq!(told.exits(1).json()["example"], r#"the call `pay` with {"amount":501}"#);
    delegate(&project, &["--scope", "root"]).exits(1).complains(&["'root'"]);
    delegate(&project, &["--scope", "pay", "--ttl", "soon"]).exits(2).complains(&["length of time"]);
    project
        .run(&[
            "credentials",
            "delegate",
            "root.chain",
            "--key",
            "b.key",
            "--holder",
            "b.pub",
            "--session",
            "s",
            "--scope",
            "pay",
        ])
        .exits(1)
        .complains(&["not that of the token's holder"]);
    delegate(&project, &["--scope", "pay", "-o", "two.chain"]).exits(1).complains(&["not overwritten"]);
}

#[test]
fn f22_a_proof_is_verified_for_its_call_and_no_other() {
    let project = bank();
    narrowed(&project);
    let prove =
        ["credentials", "prove", "two.chain", "--key", "b.key", "--tool", "pay", "--args", r#"{"amount":5}"#];
    project.run(&[&prove[..], &["-o", "shown"]].concat()).exits(0).complains(&["good for one call"]);
    let check =
        |args: &str| project.run(&["credentials", "verify", "shown", "--tool", "pay", "--args", args]);
    check(r#"{"amount":5}"#).exits(0).says(&["VALID  a chain of 2", "proof       holds for this call"]);
    check(r#"{"amount":6}"#).exits(1).says(&["INVALID", "another call"]);
    project.run(&["credentials", "verify", "shown"]).exits(2).complains(&["--tool"]);
    let stranger = ["credentials", "prove", "two.chain", "--key", "a.key", "--tool", "pay"];
    project.run(&stranger).exits(1).complains(&["not that of the token's holder"]);
    let text = project.read("two.chain");
    project.run(&["credentials", "verify", text.trim()]).exits(0);
    let output = project.run_with(&["credentials", "verify", "-"], text.replace('~', "~x").as_bytes());
    output.exits(1).says(&["INVALID"]);
}

#[test]
fn f21_what_is_revoked_is_refused_and_listed_so() {
    let project = bank();
    narrowed(&project);
    let list = |more: &[&str]| {
        let listed = project.run(&[&["credentials", "list", "--format", "json"][..], more].concat()).exits(0);
        listed.json()["credentials"].as_array().unwrap().clone()
    };
    assert_eq!((list(&[]).len(), &list(&[])[0]["state"]), (1, &"live".into()));
    project.run(&["credentials", "revoke", "two.chain", "--by", "ann"]).exits(0);
    let refused = verify(&project, &[]).exits(1).json();
    assert!(refused["reason"].as_str().unwrap().contains("was revoked with"), "{refused}");
    project.run(&["credentials", "verify", "root.chain"]).exits(0);
    project.run(&["credentials", "revoke", "--by", "ann"]).exits(2);
    let root = list(&[])[0]["credential"].as_str().unwrap().to_owned();
    let revoked = project.run(&["credentials", "revoke", "--session", "s0", "--by", "ann"]).exits(0);
    assert_eq!(revoked.out.trim(), root);
    project
        .run(&["credentials", "verify", "root.chain"])
        .exits(1)
        .says(&["was revoked with the session `s0`"]);
    project.run(&["credentials", "list"]).exits(0).complains(&["no credential is live"]);
    project.run(&["credentials", "list", "--all"]).exits(0).says(&["CREDENTIAL", "revoked", "by ann"]);
}

#[test]
fn f23_keys_are_exported_rotated_with_overlap_and_then_retired() {
    let project = bank();
    narrowed(&project);
    project.run(&["credentials", "keys", "-o", "issuer.keys"]).exits(0);
    let offline = verify(&project, &["--keys", "issuer.keys"]).exits(0).json();
    assert_eq!(offline["revocation"], "not checked");
    let rotate = ["keys", "rotate", "--credentials", "--by", "ann", "--overlap"];
    let rotated = project.run(&[&rotate[..], &["1h"]].concat()).exits(0);
    let new = rotated.out.trim().to_owned();
    rotated.complains(&["what the old one signed verifies until", "placet credentials keys -o"]);
    verify(&project, &[]).exits(0);
    project.run(&["credentials", "keys"]).exits(0).says(&["signs since", &new, "verifies until"]);
    let changed = project.run(&["audit", "show", "1"]).exits(0);
    changed.says(&["KEYS", "signs     credentials", &new, "by        ann"]);
    project.run(&[&rotate[..], &["0s"]].concat()).exits(0).complains(&["refused from now on"]);
    verify(&project, &[]).exits(1).says(&["which was retired at", "get a new token from the issuer"]);
    project.run(&["credentials", "keys"]).exits(0).says(&["retired at"]);
    let keys = project.run(&["credentials", "keys", "--format", "json"]).exits(0).json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3);

    // The log verifies: these keys sign no checkpoints.
    project.write("elsewhere/placet.txt", "");
    project.run(&["audit", "key", "-o", "elsewhere/log.vkey"]).exits(0);
    let audit = project.run(&["audit", "verify", "--key", "elsewhere/log.vkey"]).exits(0);
    assert!(!audit.err.contains("brought in a key"), "{audit:?}");

    // A lost secret: nothing is signed before a new one is brought in.
    let folder = std::fs::read_dir(project.path("keys")).unwrap();
    let secret = folder
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(".issuer.key"));
    let secret = secret.expect("the issuer's key");
    let text = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&secret).unwrap();
    let issue =
        ["credentials", "issue", "--session", "s", "--scope", "pay", "--holder", "a.pub", "--by", "ann"];
    project.run(&issue).exits(2).complains(&["is missing", "restore it", "keys rotate --credentials"]);
    project.run(&[&rotate[..], &["1h"]].concat()).exits(0);
    project.run(&issue).exits(0);
    let database = std::fs::read(project.path("placet_audit.db")).unwrap();
    let hidden = text.trim().rsplit(':').next().unwrap().as_bytes();
    assert!(!database.windows(hidden.len()).any(|window| window == hidden), "no secret is in the log");
}

#[test]
fn a_handle_is_told_only_when_it_is_asked_for() {
    let project = bank();
    let issue = ["credentials", "issue", "--session", "s", "--scope", "pay", "--by", "ann"];
    project.run(&issue).exits(2).complains(&["--holder"]);
    let told = project.run(&[&issue[..], &["--bearer"]].concat()).exits(0);
    assert!(told.out.starts_with("tok_"), "{told:?}");
    told.complains(&["whoever has this secret can use it"]);
    project.run(&[&issue[..], &["--holder", "nobody.pub"]].concat()).exits(2).complains(&["keygen"]);
    let tools =
        [&issue[..], &["--holder", "a.pub", "--tools", r#"{"pay":{"amount":{"constraint_type":"less"}}}"#]];
    project.run(&tools.concat()).exits(2).complains(&["--tools", "unknown constraint `less`"]);
    let secret = std::fs::metadata(project.path("a.key")).unwrap();
    let mut open = secret.permissions();
    open.set_mode(0o644);
    std::fs::set_permissions(project.path("a.key"), open).unwrap();
    delegate(&project, &["--scope", "pay"]).exits(2).complains(&["chmod 600"]);
}
