"""Importing opens nothing; forked and spawned children decide (DESIGN §6)."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import textwrap

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
