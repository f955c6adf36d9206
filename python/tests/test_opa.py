"""Remote OPA and two tiers: F01, F05. The transport itself is tested in Rust."""

import asyncio
import http.server
import json
import multiprocessing
import os
import threading
import time

import pytest

import placet


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, payload = answer(self, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def call(**args):
    return placet.ToolCallInput(action="pay", args=args)


def test_f01_the_whole_event_and_its_normal_forms_are_asked(serve, context):
    asked = []

    def answer(request, body):
        asked.append((request.path, request.headers.get("Authorization"), json.loads(body)["input"]))
        return 200, b'{"result": {"allow": true, "risk_tier": "DESTRUCTIVE"}}'

    client = placet.OPAClient(serve(answer), "kitelogik.main", token="secret")
    gate = placet.PolicyGate(client)
    decision = gate.decide_tool_call(call(amount=5, Note="ＡＢＣ"), context)
    assert (decision.allow, decision.risk_tier) == (True, "DESTRUCTIVE")
    ((path, token, event),) = asked
    assert (path, token) == ("/v1/data/kitelogik/main", "Bearer secret")
    assert (event["action"], event["tool"], event["args"]) == ("pay", "pay", {"amount": 5, "Note": "ＡＢＣ"})
    assert event["context"]["session_id"] == event["session"]["id"] == "s1"
    assert "norm" in event
    assert "secret" not in repr(client) + repr(gate)


def test_f01_the_loop_goes_on_while_the_server_thinks(serve, context):
    def answer(request, body):
        time.sleep(0.3)
        return 200, b'{"result": {"allow": true}}'

    gate = placet.PolicyGate(placet.OPAClient(serve(answer)))

    async def main():
        started = time.perf_counter()
        ticks = []

        async def tick():
            while True:
                ticks.append(1)
                await asyncio.sleep(0.01)

        ticker = asyncio.create_task(tick())
        decisions = await asyncio.gather(*(gate.evaluate_tool_call(call(), context) for _ in range(3)))
        ticker.cancel()
        return decisions, time.perf_counter() - started, len(ticks)

    decisions, seconds, ticks = asyncio.run(main())
    assert all(decision.allow for decision in decisions)
    assert seconds < 0.8
    assert ticks > 10


def test_f01_other_threads_go_on_while_one_waits(serve, context):
    def answer(request, body):
        time.sleep(0.3)
        return 200, b'{"result": {"allow": true}}'

    gate = placet.PolicyGate(placet.OPAClient(serve(answer)))
    thread = threading.Thread(target=gate.decide_tool_call, args=(call(), context))
    started = time.perf_counter()
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1
    thread.join()
    assert time.perf_counter() - started < 2
    assert count > 1000


def test_f01_health_and_closing(serve):
    client = placet.OPAClient(serve(lambda request, body: (200, b"{}")))

    async def main():
        async with client as same:
            return same is client and await client.health()

    assert asyncio.run(main())
    assert not asyncio.run(placet.OPAClient("http://127.0.0.1:9", timeout_seconds=0.2).health())


def test_f01_wrong_options_are_refused_at_once():
    message = "OPA base_url must use http:// or https:// scheme, got 'localhost'"
    with pytest.raises(ValueError, match=message):
        placet.OPAClient("localhost:8181")
    for options in ({"package": "a/../b"}, {"timeout_seconds": 0}, {"timeout_seconds": float("nan")}):
        with pytest.raises(ValueError):
            placet.OPAClient(**options)


def test_f01_a_client_can_be_asked_directly(serve, context):
    client = placet.OPAClient(serve(lambda request, body: (200, b'{"result": {"deny": ["no"]}}')))
    given = placet.PolicyInput(action="pay", context=context)
    decision = asyncio.run(client.evaluate(given))
    assert (decision.deny, decision.reason) == (True, "no")
    event = placet.GovernanceEvent(event_type="agent.plan", session_id="s1", context=context)
    assert asyncio.run(client.evaluate_event(event)).deny


def test_f05_two_packages_of_one_server_make_two_tiers(serve, context):
    def answer(request, body):
        amount = json.loads(body)["input"]["args"]["amount"]
        limit = 1000 if request.path.endswith("/global") else 100
        return 200, json.dumps({"result": {"allow": amount <= limit, "deny": amount > 10_000}}).encode()

    base = serve(answer)
    tiers = placet.HierarchicalEvaluator(
        placet.OPAClient(base, package="acme/global"), placet.OPAClient(base, package="acme/project")
    )
    gate = placet.PolicyGate(tiers)
    got = []
    for amount in (5, 500, 5000, 50_000):
        decision = gate.decide_tool_call(call(amount=amount), context)
        trace = [(step.tier, step.outcome) for step in decision.resolution_trace]
        got.append((decision.verdict, decision.reason[:9], trace))
    assert got == [
        ("allow", "[global] ", [("global", "allow"), ("project", "allow")]),
        ("deny", "[project]", [("global", "allow"), ("project", "deny")]),
        ("deny", "[global] ", [("global", "deny"), ("project", "deny")]),
        ("deny", "[global] ", [("global", "deny"), ("project", "skipped")]),
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_f01_a_forked_child_asks_on_a_connection_of_its_own(serve, context):
    clients = []

    def answer(request, body):
        clients.append(request.client_address)
        return 200, b'{"result": {"allow": true}}'

    gate = placet.PolicyGate(placet.OPAClient(serve(answer)))
    assert [gate.decide_tool_call(call(), context).allow for _ in range(2)] == [True, True]
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sender.send(gate.decide_tool_call(call(), context).verdict))
    child.start()
    assert receiver.poll(10)
    assert receiver.recv() == "allow"
    child.join(10)
    assert gate.decide_tool_call(call(), context).allow
    parent_first, parent_second, in_child, parent_third = clients
    assert parent_first == parent_second == parent_third != in_child
