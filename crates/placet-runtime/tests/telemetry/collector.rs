//! A real receiver of OTLP over HTTP, decoding what comes.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use placet_runtime::telemetry::otel::of_settings;
use placet_runtime::telemetry::{Telemetry, Traces};
use prost::Message;

use super::support::{pipeline, run};

/// How long a test waits for an export.
const PATIENCE: Duration = Duration::from_secs(20);

struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    request: ExportTraceServiceRequest,
}

/// Listens for exports; returns its address and what comes.
fn collector() -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut headers = BTreeMap::new();
            loop {
                line.clear();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                headers.insert(name.to_lowercase(), value.to_owned());
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            let request = ExportTraceServiceRequest::decode(&*body).unwrap();
            if tell.send(Received { path, headers, request }).is_err() {
                return;
            }
        }
    });
    (address, received)
}

fn spans(received: &Received) -> Vec<&Span> {
    let resources = received.request.resource_spans.iter();
    resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect()
}

fn service(received: &Received) -> String {
    let resource = received.request.resource_spans[0].resource.as_ref().unwrap();
    let named = resource.attributes.iter().find(|pair| pair.key == "service.name").unwrap();
    match named.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn export(endpoint: Option<&str>) -> bool {
    let otlp_endpoint = endpoint.map(str::to_owned);
    let settings = Telemetry { traces: Traces::Otlp, otlp_endpoint, ..Telemetry::default() };
    let (observers, export) = of_settings(&settings).unwrap();
    let Some(export) = export else { return !observers.is_empty() };
    let observed = pipeline(|options| options.observers = observers);
    run(&observed, "read", r#"{"note": "CANARY"}"#);
    assert!(export.flush());
    true
}

#[test]
fn f33_a_collector_receives_the_spans_with_their_parents() {
    let (address, received) = collector();
    assert!(export(Some(&format!("{address}/"))));
    let received = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(received.path, "/v1/traces");
    assert_eq!(received.headers["content-type"], "application/x-protobuf");
    let scope = &received.request.resource_spans[0].scope_spans[0].scope;
    assert_eq!(scope.as_ref().unwrap().name, "placet");
    let spans = spans(&received);
    let named = |name: &str| *spans.iter().find(|span| span.name == name).expect(name);
    let (call, decided) = (named("placet.adapter.tool_call"), named("policy_gate.evaluate"));
    assert_eq!(call.parent_span_id, Vec::<u8>::new());
    assert_eq!(decided.parent_span_id, call.span_id);
    assert_eq!(named("policy_gate.opa_evaluate").parent_span_id, decided.span_id);
    assert_eq!(named("execute_tool read").parent_span_id, call.span_id);
    assert!(!format!("{:?}", received.request).contains("CANARY"));
}

/// Runs `export_of_child` in a process of its own, since variables are those of a process.
fn child(variables: &[(&str, &str)]) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry::collector::export_of_child"])
        .env("PLACET_TEST_CHILD", "1")
        .envs(variables.iter().copied())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn export_of_child() {
    if std::env::var_os("PLACET_TEST_CHILD").is_some() {
        let exported = export(None);
        assert_eq!(exported, std::env::var_os("OTEL_SDK_DISABLED").is_none());
    }
}

#[test]
fn f33_the_standard_variables_are_respected() {
    let (address, received) = collector();
    child(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue"),
        ("OTEL_SERVICE_NAME", "till"),
    ]);
    let first = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!((first.path.as_str(), service(&first).as_str()), ("/v1/traces", "till"));
    assert_eq!(first.headers["x-team"], "blue");
    child(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{address}/elsewhere"))]);
    let second = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!((second.path.as_str(), service(&second).as_str()), ("/elsewhere", "placet"));
    child(&[("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
    assert!(received.try_recv().is_err());
}
