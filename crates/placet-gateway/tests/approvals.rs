//! Requests for approval over HTTP, answered by real clients; what was approved runs once.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod common;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use common::{Bench, SETTINGS, store, token};
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use placet::channels::{ApprovalId, ApproverId, Micros};
use placet::trust::approvals::Ballot;
use placet::trust::approvals::queue::Queue;

fn path(id: &str, verb: &str) -> String {
    format!("/v1/approvals/{id}/{verb}")
}

#[test]
fn f69_a_reviewer_lists_looks_and_approves_and_the_call_runs_once() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let list = bench.get("/v1/approvals", "alice").is(200);
    assert_eq!(list["approvals"].as_array().map(Vec::len), Some(1), "{list}");
    let listed = &list["approvals"][0];
    assert_eq!(
        (&listed["id"], &listed["state"], &listed["tool"], &listed["risk_tier"]),
        (&id.as_str().into(), &"pending".into(), &"pay".into(), &"TRANSACTIONAL_HIGH".into())
    );
    assert!(!list.to_string().contains("amount"), "the list shows no arguments: {list}");

    let reply = bench.get(&format!("/v1/approvals/{id}"), "alice");
    let one = reply.is(200);
    assert_eq!(reply.header("etag"), listed["etag"].as_str(), "the list has the tag of the request");
    let shown = one["would_run"]["text"].as_str().expect("a text");
    assert!(shown.contains("amount = 900") && one["would_run"]["checked"] == true, "{one}");
    assert_eq!(one["ask"][0]["any_of"][0], "finance");
    assert!(one["digest"].as_str().is_some_and(|digest| digest.len() == 64) && one["expires"].is_string());

    let body = r#"{"reason": "the invoice is right"}"#;
    let done = bench.post_if(&path(&id, "approve"), "alice", body, reply.header("etag"));
    let after = done.is(200);
    assert_eq!(after["state"], "approved");
    let vote = &after["votes"][0];
    assert_eq!(
        (&vote["by"], &vote["strength"], &vote["channel"]),
        (&"alice".into(), &"session".into(), &"api".into())
    );
    assert_eq!(
        (&after["decision"]["answer"], &after["decision"]["by"]),
        (&"approve".into(), &"alice".into())
    );
    assert_ne!(done.header("etag"), reply.header("etag"));

    assert_eq!(bench.call("pay", r#"{"amount":900}"#, "s1"), Ok(()));
    let used = bench.get(&format!("/v1/approvals/{id}"), "alice").is(200);
    assert!(used["state"] == "consumed" && used["used"].is_string(), "{used}");
    assert_ne!(bench.ask(900), id, "it was used up");
    let said = bench.said.lock().expect("lines").join("\n");
    assert!(said.contains("yes of alice (session); it is approved"), "{said}");
    assert!(!said.contains("token-0123456789abcdef"), "no token in the log: {said}");
}

#[test]
fn f69_a_no_is_final_and_needs_no_body() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let bearer = format!("Bearer {}", token("bob"));
    let reply = bench.request("POST", &path(&id, "deny"), &[("Authorization", &bearer)], Some(""));
    assert_eq!(reply.is(200)["state"], "denied");
    assert_eq!(bench.call("pay", r#"{"amount":900}"#, "s1"), Err("approval_denied".to_owned()));
    let late = bench.post(&path(&id, "approve"), "alice", "{}").is_problem(409, "already_decided");
    assert_eq!((&late["decision"]["answer"], &late["decision"]["by"]), (&"deny".into(), &"bob".into()));
    assert_eq!(late["approval"]["state"], "denied");
    assert!(late["detail"].as_str().is_some_and(|text| text.contains("denied by `bob`")), "{late}");
}

#[test]
fn f69_who_has_no_token_or_a_wrong_one_gets_401_and_nothing_else() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let right = token("alice");
    let wrong = [
        None,
        Some("Bearer wrong-token-0123456789abcdef".to_owned()),
        Some("Bearer ".to_owned()),
        Some(format!("Basic {right}")),
        Some(right.clone()),
        Some(format!("Bearer {}", right.to_uppercase())),
        Some(format!("Bearer {}", &right[..right.len() - 1])),
        Some(format!("Bearer {}", common::sha256(&right))),
    ];
    for header in &wrong {
        let headers: Vec<_> = header.iter().map(|value| ("Authorization", value.as_str())).collect();
        for (method, path) in [
            ("GET", "/v1/approvals".to_owned()),
            ("GET", format!("/v1/approvals/{id}")),
            ("POST", path(&id, "approve")),
            ("POST", path(&id, "deny")),
            ("POST", path(&id, "claim")),
            ("POST", path("none", "approve")),
        ] {
            let reply = bench.request(method, &path, &headers, (method == "POST").then_some("{}"));
            let body = reply.is_problem(401, "unauthorized");
            assert!(reply.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));
            assert!(!body.to_string().contains(&id), "{body}");
        }
    }
    let several = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")];
    bench.request("GET", "/v1/approvals", &several, None).is_problem(400, "malformed_request");
    assert_eq!(bench.get(&format!("/v1/approvals/{id}"), "alice").is(200)["votes"], serde_json::json!([]));
}

#[test]
fn f69_of_fifty_deciders_at_a_time_one_wins_and_the_others_are_told_who() {
    let reviewers: Vec<String> = (0..50).map(|number| format!("r{number}")).collect();
    let names = reviewers.join(", ");
    let tokens: String = reviewers
        .iter()
        .map(|name| format!("    - {{ name: {name}, token_env: TOKEN_OF_{} }}\n", name.to_uppercase()))
        .collect();
    let settings = format!("approvals:\n  groups: {{ finance: [{names}] }}\nserver:\n  reviewers:\n{tokens}");
    let bench = Bench::new(&settings);
    // Half of them ask another service over the same database.
    let second = bench.second();
    let addresses = [bench.address, second.address];
    for round in 0..3 {
        let id = bench.ask(1_000 + round);
        let start = Barrier::new(reviewers.len());
        let replies: Vec<_> = std::thread::scope(|scope| {
            let decide = |(number, name): (usize, &String)| {
                let (bench, start, name) = (&bench, &start, name.clone());
                let path = path(&id, if number % 3 == 0 { "approve" } else { "deny" });
                let address = addresses[number % 2];
                scope.spawn(move || {
                    start.wait();
                    (name.clone(), bench.post_to(address, &path, &name, r#"{"reason": "I was first"}"#))
                })
            };
            let all: Vec<_> = reviewers.iter().enumerate().map(decide).collect();
            all.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|(_, reply)| reply.status == 200);
        assert_eq!((won.len(), lost.len()), (1, 49));
        let winner = &won[0].0;
        for (_, reply) in &lost {
            assert_eq!(reply.is_problem(409, "already_decided")["decision"]["by"], winner.as_str());
        }
        let after = bench.get(&format!("/v1/approvals/{id}"), "r0").is(200);
        assert_eq!(after["votes"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn f69_a_stale_tag_gets_412_and_a_decided_request_409_whatever_the_tag() {
    let settings = SETTINGS.replace("approvals:", "approvals:\n  quorum: 2");
    let bench = Bench::new(&settings);
    let id = bench.ask(900);
    let tag = bench.get(&format!("/v1/approvals/{id}"), "alice").header("etag").expect("a tag").to_owned();
    let approve = path(&id, "approve");
    for wrong in ["\"other\"", &format!("W/{tag}")] {
        let stale = bench.post_if(&approve, "alice", "{}", Some(wrong)).is_problem(412, "stale");
        assert_eq!(stale["approval"]["etag"], tag.as_str(), "it says what the tag is now");
    }
    bench.post_if(&approve, "alice", "{}", Some("nonsense")).is_problem(400, "malformed_request");
    let both = format!("\"other\", {tag}");
    assert_eq!(bench.post_if(&approve, "alice", "{}", Some(&both)).is(200)["state"], "pending");
    // Somebody voted since: whoever answers must have seen it.
    bench.post_if(&approve, "bob", "{}", Some(&tag)).is_problem(412, "stale");
    bench.post_if(&path(&id, "claim"), "bob", "{}", Some(&tag)).is_problem(412, "stale");
    bench.post_if(&approve, "alice", "{}", Some("*")).is_problem(409, "already_answered");
    // What is refused anyway is refused for its own reason.
    bench.post_if(&approve, "dave", "{}", Some(&tag)).is_problem(403, "not_reviewer");
    assert_eq!(bench.post_if(&approve, "bob", "{}", Some("*")).is(200)["state"], "approved");
    bench.post_if(&approve, "bob", "{}", Some(&tag)).is_problem(409, "already_decided");
}

#[test]
fn f71_only_members_answer_and_others_get_403_that_names_the_groups() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    for name in ["carol", "dave"] {
        for verb in ["approve", "deny", "claim"] {
            let body = bench.post(&path(&id, verb), name, "{}").is_problem(403, "not_reviewer");
            assert_eq!(body["needed_groups"], serde_json::json!(["finance"]));
            assert!(
                body["detail"].as_str().is_some_and(|text| text.contains(name) && text.contains("finance"))
            );
        }
        let body = bench.get(&format!("/v1/approvals/{id}"), name).is_problem(403, "not_reviewer");
        assert!(!body.to_string().contains("amount"), "others do not see what would run: {body}");
    }
    // Erin is a member, but the call is on her behalf.
    bench.post(&path(&id, "approve"), "erin", "{}").is_problem(403, "requester");
    bench.post(&path(&id, "approve"), "bob", "{}").is(200);
    assert_eq!(bench.call("pay", r#"{"amount":900}"#, "s1"), Ok(()));
    // A request that names no group is for every reviewer.
    let open = bench.call("report", "{}", "s1").expect_err("asked");
    bench.post(&path(&open, "approve"), "dave", "{}").is(200);
    assert_eq!(bench.call("report", "{}", "s1"), Ok(()));
}

#[test]
fn f71_the_next_group_may_answer_from_its_time_on() {
    let settings = SETTINGS.replace(
        "approvals:",
        "approvals:\n  escalate_seconds: 600\n  escalate_to: board\n  lifetime_seconds: 7200",
    );
    let bench = Bench::new(&settings);
    let id = bench.ask(900);
    let seen = bench.get(&format!("/v1/approvals/{id}"), "carol").is(200);
    assert_eq!((&seen["escalated"], &seen["escalate"]["group"]), (&false.into(), &"board".into()));
    bench.post(&path(&id, "approve"), "carol", "{}").is_problem(403, "not_reviewer");
    bench.clock.by_seconds(601);
    let seen = bench.get(&format!("/v1/approvals/{id}"), "carol").is(200);
    assert_eq!(seen["may_answer"], serde_json::json!(["board", "finance"]));
    bench.post(&path(&id, "approve"), "carol", "{}").is(200);
}

#[test]
fn f69_who_claims_a_request_is_alone_with_it_until_it_is_given_back() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let claimed = bench.post(&path(&id, "claim"), "alice", r#"{"seconds": 60}"#).is(200);
    assert_eq!(claimed["claim"]["by"], "alice");
    let refused = bench.post(&path(&id, "approve"), "bob", "{}").is_problem(409, "claimed");
    assert_eq!(refused["approval"]["claim"]["by"], "alice");
    bench.post(&path(&id, "claim"), "bob", "{}").is_problem(409, "claimed");
    for (body, detail) in [
        (r#"{"seconds": 0}"#, "from 1 to 86400 s"),
        (r#"{"seconds": 86401}"#, "from 1 to 86400 s"),
        (r#"{"seconds": 5, "release": true}"#, "`release` or `seconds`"),
        (r#"{"minutes": 5}"#, "unknown field `minutes`"),
        (r#"{"seconds": -1}"#, "invalid value"),
    ] {
        let problem = bench.post(&path(&id, "claim"), "alice", body).is_problem(422, "invalid_body");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(detail)), "{problem}");
    }
    let released = bench.post(&path(&id, "claim"), "alice", r#"{"release": true}"#).is(200);
    assert_eq!(released["claim"], serde_json::Value::Null);
    bench.post(&path(&id, "approve"), "bob", "{}").is(200);
}

#[test]
fn f69_an_expired_or_withdrawn_request_is_gone_and_an_unknown_one_not_found() {
    let settings = SETTINGS.replace("approvals:", "approvals:\n  lifetime_seconds: 60");
    let bench = Bench::new(&settings);
    let (id, withdrawn) = (bench.ask(900), bench.ask(901));
    let queue = Queue::new(bench.store.as_ref(), &bench.clock);
    queue.cancel(&ApprovalId::from(withdrawn.as_str()), "system", "withdrawn").expect("taken back");
    let gone = bench.post(&path(&withdrawn, "approve"), "alice", "{}").is_problem(410, "withdrawn");
    assert_eq!(gone["approval"]["ended"]["code"], "withdrawn");
    bench.clock.by_seconds(61);
    for verb in ["approve", "deny", "claim"] {
        bench.post(&path(&id, verb), "alice", "{}").is_problem(410, "expired");
    }
    assert_eq!(bench.get(&format!("/v1/approvals/{id}"), "alice").is(200)["state"], "expired");
    for verb in ["approve", "deny", "claim"] {
        bench.post(&path("nobody-asked", verb), "alice", "{}").is_problem(404, "unknown_request");
    }
    bench.get("/v1/approvals/nobody-asked", "alice").is_problem(404, "unknown_request");
    bench.get("/v1/nothing", "alice").is_problem(404, "not_found");
}

#[test]
fn f69_signed_votes_count_where_only_they_do() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = BASE64.encode(key.verifying_key().as_bytes());
    let head = format!("approvals:\n  strength: signed\n  keys: {{ alice: [\"{public}\"] }}");
    let bench = Bench::new(&SETTINGS.replace("approvals:", &head));
    let id = bench.ask(900);
    let weak = bench.post(&path(&id, "approve"), "alice", "{}").is_problem(403, "too_weak");
    assert_eq!(weak["needed_strength"], "signed");
    let one = bench.get(&format!("/v1/approvals/{id}"), "alice").is(200);
    let entry = &one["would_run"]["entry"];
    let expires = Micros(entry["expires_us"].as_i64().expect("a moment"));
    let digest = one["digest"].as_str().expect("a digest").parse().expect("a digest");
    let at = jiff::Timestamp::now().as_microsecond();
    let sign = |who: &str, approve: bool, key: &SigningKey| {
        let (approval, approver) = (ApprovalId::from(id.as_str()), ApproverId::from(who));
        let ballot = Ballot {
            approval: &approval,
            digest: &digest,
            approve,
            approver: &approver,
            issued_us: Micros(at),
            expires_us: expires,
        };
        let (signature, key) = ballot.sign(key);
        serde_json::json!({"signed": {"at_us": at, "signature": *signature, "key": *key}}).to_string()
    };
    let approve = |who: &str, body: &str| bench.post(&path(&id, "approve"), who, body);
    // Of another answer, another person, another key, and of somebody who has none.
    approve("alice", &sign("alice", false, &key)).is_problem(403, "bad_signature");
    approve("alice", &sign("bob", true, &key)).is_problem(403, "bad_signature");
    approve("alice", &sign("alice", true, &SigningKey::from_bytes(&[8; 32])))
        .is_problem(403, "bad_signature");
    approve("bob", &sign("alice", true, &key)).is_problem(403, "bad_signature");
    approve("alice", r#"{"signed": {"at_us": 1, "signature": "x"}}"#).is_problem(403, "bad_signature");
    let after = approve("alice", &sign("alice", true, &key)).is(200);
    assert_eq!((&after["state"], &after["votes"][0]["strength"]), (&"approved".into(), &"signed".into()));
    assert_eq!(bench.call("pay", r#"{"amount":900}"#, "s1"), Ok(()));
}

#[test]
fn f69_a_long_poll_wakes_within_200_ms_also_for_votes_of_other_processes() {
    let bench = Bench::new(SETTINGS);
    // Its own connection to the database, as another process has.
    let other = store(bench.folder.path(), &bench.config, &bench.clock);
    for round in 0..3 {
        let id = bench.ask(900 + round);
        let look = format!("/v1/approvals/{id}?wait=30s");
        let late = std::thread::scope(|scope| {
            let wait = scope.spawn(|| (bench.get(&look, "alice").is(200), Instant::now()));
            std::thread::sleep(Duration::from_millis(300));
            let voter = placet::trust::approvals::queue::Voter {
                approver: &ApproverId::from("bob"),
                proof: placet::trust::approvals::queue::Proof::Asserted,
                channel: "cli",
            };
            let queue = Queue::new(other.as_ref(), &bench.clock);
            queue.approve(&ApprovalId::from(id.as_str()), &voter, None).expect("a vote");
            let voted = Instant::now();
            let (body, woken) = wait.join().expect("an answer");
            assert_eq!(body["state"], "approved");
            woken.saturating_duration_since(voted)
        });
        assert!(late < Duration::from_millis(200), "{late:?}");
    }
}

#[test]
fn f69_a_long_poll_with_a_tag_tells_every_change_and_304_when_there_is_none() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let (plain, bearer) = (format!("/v1/approvals/{id}"), format!("Bearer {}", token("alice")));
    let tag = bench.get(&plain, "alice").header("etag").expect("a tag").to_owned();
    let known = [("Authorization", &*bearer), ("If-None-Match", &*tag)];
    let unchanged = bench.request("GET", &plain, &known, None);
    assert_eq!((unchanged.status, &*unchanged.text), (304, ""));
    let began = Instant::now();
    assert_eq!(bench.request("GET", &format!("{plain}?wait=300ms"), &known, None).status, 304);
    assert!(began.elapsed() >= Duration::from_millis(300));
    let claimed = std::thread::scope(|scope| {
        let wait = scope.spawn(|| bench.request("GET", &format!("{plain}?wait=30s"), &known, None).is(200));
        std::thread::sleep(Duration::from_millis(200));
        bench.post(&path(&id, "claim"), "bob", "{}").is(200);
        wait.join().expect("an answer")
    });
    assert_eq!((&claimed["state"], &claimed["claim"]["by"]), (&"pending".into(), &"bob".into()));
    for wrong in ["wait=61s", "wait=soon", "wait=-1", "wait=1&wait=2", "wiat=1"] {
        bench.get(&format!("{plain}?{wrong}"), "alice").is_problem(400, "malformed_request");
    }
}

#[test]
fn f69_pages_follow_each_other_and_filters_hold() {
    let bench = Bench::new(SETTINGS);
    let ids: Vec<String> = (0..7).map(|number| bench.ask(900 + number)).collect();
    let other = bench.call("pay", r#"{"amount":1}"#, "s2").expect_err("asked");
    bench.post(&path(&ids[2], "deny"), "alice", "{}").is(200);
    let page = |query: &str| {
        let body = bench.get(&format!("/v1/approvals?{query}"), "alice").is(200);
        let found = body["approvals"].as_array().expect("a list").iter();
        let found: Vec<String> = found.map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        (found, body["next_cursor"].as_str().map(str::to_owned))
    };
    let (first, cursor) = page("session=s1&limit=4");
    assert_eq!(first, [&ids[..2], &ids[3..5]].concat());
    let (second, end) = page(&format!("session=s1&limit=4&cursor={}", cursor.expect("there are more")));
    assert_eq!((&second[..], end), (&ids[5..], None));
    assert_eq!(page("state=denied").0, [ids[2].clone()]);
    assert_eq!(page("state=all&session=s1").0, ids);
    assert_eq!(page("session=s2").0, [other]);
    assert_eq!(page("state=all&limit=8").1, None, "a page that is just full is the last one");
    for wrong in
        ["state=open", "limit=0", "limit=201", "limit=+1", "cursor=x", "limit=1&limit=2", "sesion=s1"]
    {
        bench.get(&format!("/v1/approvals?{wrong}"), "alice").is_problem(400, "malformed_request");
    }
}

#[test]
fn f69_nobody_approves_what_was_edited_after_it_was_asked() {
    let bench = Bench::new(SETTINGS);
    let id = bench.ask(900);
    let script = "import sqlite3,sys
c=sqlite3.connect(sys.argv[1]); c.execute('''UPDATE \"view\" SET body = replace(body, '900', '100')'''); c.commit()";
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(bench.folder.path().join("audit.db"))
        .status();
    assert!(done.expect("python3").success());
    let seen = bench.get(&format!("/v1/approvals/{id}"), "alice").is(200);
    assert_eq!(
        (&seen["would_run"]["text"], &seen["would_run"]["checked"]),
        (&serde_json::Value::Null, &false.into())
    );
    assert!(seen["would_run"]["problem"].as_str().is_some_and(|text| text.contains("edited")), "{seen}");
    bench.post(&path(&id, "approve"), "alice", "{}").is_problem(409, "not_shown");
    assert_eq!(bench.post(&path(&id, "deny"), "alice", "{}").is(200)["state"], "denied");
}
