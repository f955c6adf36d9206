use placet_types::{DecisionId, Event, Tier};

use super::*;
use crate::{LoadOptions, PolicySet, Request, core_bundle};

const POLICY: &str = "version: 1
rules:
  - { name: small, when: { action: pay, args: { amount: { gte: 0, lte: 100 } } }, then: allow }
  - { name: large, when: { action: pay, args: { amount: { gt: 100 } } }, then: deny, reason: \"too much: \\u201cno\\u201d\" }
";

fn policy() -> SourceFile {
    SourceFile::new("policies/pay.yaml", POLICY)
}

fn exported() -> String {
    compile(&policy()).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn an_unedited_export_gives_its_source_back() {
    let text = exported();
    assert!(is_export(&text));
    assert!(text.is_ascii());
    assert_eq!(source_of(&text), Some(Exported { tier: Tier::Project, source: policy() }));
    for (_, text) in
        bundle(&core_bundle::guards(&core_bundle::CoreLimits::default()), GlobalMode::Guard).unwrap()
    {
        assert_eq!(source_of(&text).map(|exported| exported.tier), Some(Tier::Core));
    }
}

#[test]
fn an_edited_export_is_ordinary_rego() {
    let text = exported();
    let edited = text.replace("<= 100", "<= 1000");
    assert_ne!(edited, text);
    assert!(!is_export(&edited));
    assert_eq!(source_of(&edited), None);
    // Mending the digest does not help: what is embedded must give the whole file again.
    let (header, body) = read_header(&edited).unwrap();
    let forged = Header { digest: digest(body), ..header };
    let forged = format!("{HEADER}{}\n{body}", serde_json::to_string(&forged).unwrap());
    assert!(is_export(&forged));
    assert_eq!(source_of(&forged), None);
    for cut in [0, HEADER.len(), HEADER.len() + 5, text.len() / 2, text.len() - 1] {
        assert_eq!(source_of(&text[..cut]), None, "cut at {cut}");
    }
}

#[test]
fn an_export_runs_as_its_source_and_a_guard_stays_a_guard() {
    let decide = |sources: &[(Tier, SourceFile)], event: &str| {
        let (set, _) =
            PolicySet::load(sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
        let request = Request::new(Event::from_json(event.as_bytes()).unwrap());
        set.decide(&request, DecisionId("d".into())).verdict.code()
    };
    let pay = r#"{"action":"pay","args":{"amount":5}}"#;
    let project = SourceFile::new("policies/pay.rego", exported());
    assert_eq!(decide(&[(Tier::Project, project)], pay), "allowed");
    let guard = module(Tier::Global, &policy(), GlobalMode::Guard).unwrap();
    let guard = SourceFile::new("policies/guard.rego", guard);
    assert_eq!(decide(&[(Tier::Project, guard)], pay), "no_rule_matched");
}

#[test]
fn an_edited_export_decides_as_rego_on_the_same_input() {
    let edited = exported().replace("<= 100", "<= 200");
    let sources = [(Tier::Project, SourceFile::new("pay.rego", edited))];
    let (set, _) =
        PolicySet::load(&sources, &LoadOptions::default()).unwrap_or_else(|found| panic!("{found}"));
    let decide = |amount: u32| {
        let event = format!("{{\"action\":\"pay\",\"args\":{{\"amount\":{amount}}}}}");
        let request = Request::new(Event::from_json(event.as_bytes()).unwrap());
        set.decide(&request, DecisionId("d".into())).verdict.word()
    };
    assert_eq!([50, 150, 250].map(decide), ["allow", "allow", "deny"]);
}

#[test]
fn names_in_a_bundle_are_unique_and_no_tests() {
    let one = (Tier::Project, SourceFile::new("a/pay.yaml", POLICY));
    let two = (Tier::Project, SourceFile::new("b/pay.yaml", POLICY));
    let test = (Tier::Global, SourceFile::new("b/pay_test.yml", POLICY));
    let names: Vec<String> =
        bundle(&[one, two, test], GlobalMode::Grant).unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["project_pay.rego", "project_pay_1.rego", "global_pay.rego"]);
}

#[test]
fn what_re2_cannot_express_is_refused_with_its_place() {
    let refused = |regex: &str| {
        let text = format!(
            "version: 1\nrules:\n  - name: r\n    when: {{ action: {{ matches: '{regex}' }} }}\n    then: deny\n"
        );
        compile(&SourceFile::new("p.yaml", text))
            .err()
            .map(|found| (found.0[0].code, found.0[0].position.line))
    };
    assert_eq!(refused(r"(x{50}){50}"), Some(("export/regex", 3)));
    assert_eq!(refused(r"(?mR)a$"), Some(("export/regex", 3)));
    assert_eq!(refused(r"(?i)\bé\d+[^a&&[a-z]]*?\PL$"), None);
    assert_eq!(compile(&SourceFile::new("p.rego", "")).unwrap_err().0[0].code, "export/not-yaml");
}

#[test]
fn no_text_of_a_policy_breaks_out_of_its_place() {
    let evil = "x\"\n}\nallow := true\n#\r\u{2028}\u{feff}\u{7f}\u{0}";
    let evil = serde_json::to_string(evil).unwrap();
    let text = format!(
        "version: 1\nrules:\n- {{name: n, reason: {evil}, when: {{action: {evil}, args: {{{evil}: {{in: [{evil}]}}}}}}, then: deny}}\n"
    );
    let exported = compile(&SourceFile::new("p\nq.yaml", text)).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(exported.matches("\nallow").count(), 1);
    assert!(exported.bytes().all(|byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~')));
    assert!(source_of(&exported).is_some());
}
