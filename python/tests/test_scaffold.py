"""The scaffold of `placet init`, as a user runs it: F47."""

import subprocess
import sys


def run(*command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_f47_the_scaffolded_agent_runs_on_the_embedded_engine(tmp_path):
    placet = (sys.executable, "-c", "from placet._cli import main; raise SystemExit(main())")
    assert run(*placet, "init", folder=tmp_path).returncode == 0
    agent = run(sys.executable, "agent.py", folder=tmp_path)
    assert (agent.returncode, agent.stderr) == (0, "")
    words = [line.split()[:2] for line in agent.stdout.splitlines()]
    assert words == [
        ["ALLOW", "get_customer"],
        ["ALLOW", "approve_refund"],
        ["BLOCK", "approve_refund"],
    ]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"agent.py", "placet.yaml", "policies/policy.yaml", "policies/policy.rego"}
    (tmp_path / "agent.py").write_text("mine")
    again = run(*placet, "init", folder=tmp_path)
    assert (again.returncode, (tmp_path / "agent.py").read_text()) == (1, "mine")
