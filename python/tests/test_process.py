"""Importing opens nothing; forked and spawned children decide (DESIGN §6)."""

import concurrent.futures
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

import placet
from conftest import POLICY


def test_importing_opens_nothing_and_starts_nothing():
    script = """
        import os, threading
        def state():
            return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        before = state()
        import placet
        assert state() == before, (before, state())
        assert threading.active_count() == 1
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def decide_in_child(gate, context, sender):
    amounts = (5, 500)
    call = placet.ToolCallInput
    sender.send(
        [gate.decide_tool_call(call(action="pay", args={"amount": n}), context).verdict for n in amounts]
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_decides_with_the_gate_of_its_parent(gate, context):
    fork = multiprocessing.get_context("fork")
    gate.decide_tool_call(placet.ToolCallInput(action="pay"), context)
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=decide_in_child, args=(gate, context, sender))
    child.start()
    assert receiver.poll(10)
    assert receiver.recv() == ["allow", "deny"]
    child.join(10)
    assert child.exitcode == 0


def pay_in_child(folder, amount):
    context = placet.SessionContext(session_id="s", user_role="r", session_scopes=[])
    gate = placet.PolicyGate(policies=folder)
    return placet.governed(gate=gate, context=context, action="pay")(_pay)(amount)


def _pay(amount):
    return amount


def test_a_spawned_child_raises_its_refusal_in_the_parent(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(pay_in_child, str(tmp_path), 5).result(30) == 5
        with pytest.raises(placet.GovernanceError, match="more than 100") as caught:
            pool.submit(pay_in_child, str(tmp_path), 500).result(30)
    assert caught.value.decision.rule_matched == "soft_limit"


def test_the_command_of_the_wheel_is_the_command(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)
    run = [sys.executable, "-c", "import sys; from placet._cli import main; sys.exit(main())"]
    done = subprocess.run([*run, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, placet.__version__ in done.stdout) == (0, True)
    done = subprocess.run([*run, "validate", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    event = '{"action": "pay", "args": {"amount": 500}}'
    done = subprocess.run(
        [*run, "check", event, "--policies", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr


def test_compiling_reports_as_loading_does(tmp_path):
    (tmp_path / "p.yaml").write_text(POLICY)
    assert "package placet" in placet.compile_yaml(tmp_path / "p.yaml")
    assert placet.compile_yaml_string(POLICY)
    with pytest.raises(FileNotFoundError, match="Policy file not found"):
        placet.compile_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(placet.PolicyError) as caught:
        placet.compile_yaml_string(POLICY.replace("when", "wen"))
    assert caught.value.diagnostics


# recording in several processes and threads


@pytest.fixture
def shared(tmp_path):
    """A folder with a policy, a ledger on disk and its keys, for every process to open."""
    (tmp_path / "p.yaml").write_text(POLICY)
    return tmp_path


def open_shared(folder):
    gate = placet.PolicyGate(policies=folder / "p.yaml", ledger=folder / "log.db", keys=folder / "keys")
    context = placet.SessionContext(session_id="s", user_role="r", session_scopes=[])
    return placet.governed(gate=gate, context=context, action="pay")(_pay)


def recorded(folder):
    """How many decisions the log has, and how many of them have their outcome."""
    with sqlite3.connect(folder / "log.db") as database:
        statuses = [row[0] for row in database.execute("select result_status from audit_log")]
    return len(statuses), statuses.count("success")


def pay_often(tool, times, failures):
    for _ in range(times):
        try:
            tool(5)
        except Exception as error:
            failures.put(repr(error))


def pay_often_in_spawned(folder, times, failures):
    pay_often(open_shared(folder), times, failures)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("used_before", [False, True])
def test_forked_workers_of_a_preloaded_gate_share_one_log(shared, used_before):
    """As gunicorn with `preload_app` and `multiprocessing` do it: the gate is made, perhaps used, before."""
    tool = open_shared(shared)
    if used_before:
        tool(5)
    fork = multiprocessing.get_context("fork")
    failures = fork.Queue()
    children = [fork.Process(target=pay_often, args=(tool, 10, failures)) for _ in range(4)]
    for child in children:
        child.start()
    pay_often(tool, 10, failures)
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 4
    assert failures.empty(), failures.get()
    assert recorded(shared) == (50 + used_before, 50 + used_before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forking_while_other_threads_append_loses_nothing(shared):
    tool = open_shared(shared)
    fork = multiprocessing.get_context("fork")
    failures = fork.Queue()
    done = threading.Event()
    counts = [0, 0, 0]

    def append(index):
        while not done.is_set():
            pay_often(tool, 1, failures)
            counts[index] += 1

    threads = [threading.Thread(target=append, args=(index,)) for index in range(len(counts))]
    for thread in threads:
        thread.start()
    children = [fork.Process(target=pay_often, args=(tool, 2, failures)) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    done.set()
    for thread in threads:
        thread.join(60)
    assert [child.exitcode for child in children] == [0] * 8
    assert failures.empty(), failures.get()
    total = sum(counts) + 16
    assert recorded(shared) == (total, total)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("fails", [False, True])
def test_a_tool_that_forks_has_one_outcome_and_its_log_is_clean(shared, fails):
    gate = placet.PolicyGate(policies=shared / "p.yaml", ledger=shared / "log.db", keys=shared / "keys")
    context = placet.SessionContext(session_id="s", user_role="r", session_scopes=[])

    def show(fails):
        child = os.fork()
        if child == 0 and fails:
            raise ValueError("in the child")
        return child

    tool = placet.governed(gate, context, action="show")(show)
    try:
        child = tool(fails)
    except ValueError:
        os._exit(0)
    if child == 0:
        # What it calls afterwards is recorded like any other call.
        placet.governed(gate, context, action="pay")(_pay)(5)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    statuses = [(row["tool_name"], row["result_status"]) for row in gate.audit.query()]
    assert sorted(statuses) == ([("show", "success")] if fails else [("pay", "success"), ("show", "success")])
    origin = next((shared / "keys").glob("*.vkey")).read_text(encoding="utf-8")
    assert gate.audit.verify(origin)["ok"]


def send_ids(gate, context, sender):
    call = placet.ToolCallInput(action="pay")
    sender.send([gate.decide_tool_call(call, context).decision_id for _ in range(500)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_children_give_no_id_twice(gate, context):
    gate.decide_tool_call(placet.ToolCallInput(action="pay"), context)
    fork = multiprocessing.get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(4)]
    children = [fork.Process(target=send_ids, args=(gate, context, sender)) for _, sender in pipes]
    for child in children:
        child.start()
    ids = [id for receiver, _ in pipes for id in receiver.recv()]
    for child in children:
        child.join(10)
    assert len(set(ids)) == len(ids) == 2000


def test_spawned_workers_share_one_log(shared):
    spawn = multiprocessing.get_context("spawn")
    failures = spawn.Queue()
    children = [spawn.Process(target=pay_often_in_spawned, args=(shared, 10, failures)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0] * 3
    assert failures.empty(), failures.get()
    assert recorded(shared) == (30, 30)
