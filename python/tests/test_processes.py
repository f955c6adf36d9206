"""Many processes on one ledger, in a file and in PostgreSQL: every call ends, in one valid log (F26, F27)."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import process_programs
import pytest
from postgres_server import Server, own_server
from process_programs import FOLDER, POLICY, Deployment, call

import placet

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

TESTS = Path(__file__).parent
PATIENCE_SECONDS = 120


class Shared:
    """A deployment that several processes open."""

    def __init__(self, folder: Path, ledger: str) -> None:
        self.folder, self.ledger, self.keys = folder, ledger, folder / "keys"
        settings = f"policies: policy.yaml\nledger: {ledger}\nkeys: keys\n"
        budgets = "budgets: [{ scope: session, of: few, api_calls: 10 }]\n"
        (folder / "placet.yaml").write_text(settings + budgets)
        (folder / "policy.yaml").write_text(POLICY)

    def effects(self) -> list[str]:
        path = self.folder / "effects"
        return path.read_text().splitlines() if path.exists() else []

    def rows(self) -> list[dict[str, Any]]:
        """The decisions, in a log that verifies."""
        log = placet.AuditLog(self.ledger)
        program = "import sys; from placet._cli import main; sys.exit(main())"
        command = [
            sys.executable,
            "-c",
            program,
            "audit",
            "key",
            "--config",
            str(self.folder / "placet.yaml"),
        ]
        key = subprocess.run(command, capture_output=True, text=True, check=True, env=self.environment())
        report = log.verify(key.stdout.strip())
        assert report["ok"], report
        if Path(self.ledger).exists():
            with contextlib.closing(sqlite3.connect(self.ledger)) as database:
                views = database.execute("SELECT body ->> '$._salt' FROM view").fetchall()
            assert len(set(views)) == len(views), "no process drew a salt that another has"
        return log.query()

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
        return {**kept, FOLDER: str(self.folder), "PYTHONPATH": str(TESTS), **more}

    def check(self, allowed: int, refused: int = 0) -> None:
        """So many calls ran, each once, and their outcomes are known; so many were refused."""
        effects = self.effects()
        assert len(set(effects)) == len(effects) == allowed
        statuses = Counter(row["result_status"] for row in self.rows())
        assert statuses == Counter({"success": allowed, "blocked": refused}) + Counter()

    def run(self, method: str, count: int, target: Callable[..., Sequence[str]], *given: object) -> list[str]:
        """What so many processes answer that start at the same moment."""
        context = multiprocessing.get_context(method)
        start = context.Barrier(count)
        answers = context.Queue()
        work = [
            context.Process(target=_answer, args=(answers, target, (*given[:-1], start, given[-1])))
            for _ in range(count)
        ]
        for process in work:
            process.start()
        gathered = [word for _ in work for word in answers.get(timeout=PATIENCE_SECONDS)]
        for process in work:
            process.join(PATIENCE_SECONDS)
        assert [process.exitcode for process in work] == [0] * count
        return gathered


def _answer(answers: Any, target: Callable[..., Sequence[str]], given: tuple[object, ...]) -> None:
    answers.put(target(*given))


@pytest.fixture(autouse=True)
def configured_by_files(own_ledger: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACET_LEDGER")
    monkeypatch.delenv("PLACET_KEYS")


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Shared:
    if request.param == "sqlite":
        return Shared(tmp_path, str(tmp_path / "placet_audit.db"))
    return Shared(tmp_path, request.getfixturevalue("postgresql").ledger())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_f26_f27_eight_processes_append_with_threads_and_event_loops(shared: Shared, method: str) -> None:
    if method == "fork":
        Deployment(shared.folder).pay("before")
    answers = shared.run(method, 8, process_programs.append, shared.folder, 5)
    assert not [answer for answer in answers if "Error" in answer]
    shared.check(allowed=8 * 3 * 5 + (method == "fork"))


def test_f11_sixty_four_callers_of_eight_processes_spend_a_budget_of_ten(shared: Shared) -> None:
    answers = Counter(
        answer.split()[0] for answer in shared.run("spawn", 8, process_programs.draw, shared.folder, 8)
    )
    assert answers == {"paid": 10, "budget_exhausted": 54}
    shared.check(allowed=10, refused=54)


def test_f67_of_fifty_deciders_in_five_processes_one_wins(shared: Shared) -> None:
    queue = placet.HITLQueue(shared.ledger, keys=shared.keys)
    action = placet.PendingAction(id="one", session_id="s", tool_name="pay", args={"amount": 5})
    asyncio.run(queue.enqueue(action))
    given = (shared.ledger, shared.keys, "one", 10)
    answers = Counter(shared.run("spawn", 5, process_programs.decide, *given))
    assert answers == {"True": 1, "False": 49}
    shared.rows()


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def test_f26_f27_forks_during_appends_lose_nothing(shared: Shared) -> None:
    deployment = Deployment(shared.folder)
    done = threading.Event()
    failures: list[Exception] = []

    def work(index: int) -> None:
        count = 0
        while not done.is_set():
            try:
                deployment.pay(f"thread-{index}-{count}")
            except Exception as error:
                failures.append(error)
                return
            count += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    children = [_fork(lambda n=n: [deployment.pay(f"child-{n}-{i}") for i in range(2)]) for n in range(10)]
    codes = [os.waitpid(child, 0)[1] for child in children]
    done.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert (codes, failures) == ([0] * 10, [])
    effects = shared.effects()
    assert sum(line.startswith("child-") for line in effects) == 20
    shared.check(allowed=len(effects))


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def _wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert process.poll() is None and time.monotonic() < until, log.read_text()
        time.sleep(0.02)


def _wait_for_rest(parent: subprocess.Popen[bytes], count: int) -> None:
    """Until so many children of a process are the same for a second: none ends, none begins."""
    threads = Path(f"/proc/{parent.pid}/task")
    until, seen, since = time.monotonic() + PATIENCE_SECONDS, "", time.monotonic()
    while time.monotonic() < since + 1 or len(seen.split()) != count:
        now = " ".join(sorted(path.read_text() for path in threads.glob("*/children"))).strip()
        if now != seen:
            seen, since = now, time.monotonic()
        assert parent.poll() is None and time.monotonic() < until, seen
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0, log.read_text()


def test_f26_f27_gunicorn_with_a_preloaded_gate(shared: Shared) -> None:
    """Workers with threads, which are replaced after a few requests while the others go on."""
    path, log = shared.folder / "socket", shared.folder / "gunicorn.log"
    options = [
        "--preload",
        "--workers",
        "3",
        "--threads",
        "2",
        "--max-requests",
        "8",
        "--bind",
        f"unix:{path}",
    ]
    command = [sys.executable, "-m", "gunicorn", *options, "--graceful-timeout", "60", "process_gunicorn"]
    with log.open("wb") as output:
        gunicorn = subprocess.Popen(
            command, cwd=shared.folder, env=shared.environment(), stdout=output, stderr=output
        )
    try:
        _wait_until(path.exists, gunicorn, log)
        workers = set()

        def ask(index: int) -> str:
            answers = []
            for n in range(6):
                connection = _Socket(path)
                connection.request("GET", f"/{index}-{n}")
                response = connection.getresponse()
                workers.add(response.headers["X-Worker"])
                answers.append((response.status, response.read().decode()))
                connection.close()
            return "".join(answer for status, answer in answers if status != 200)

        assert process_programs.in_threads(8, ask) == [""] * 8
        assert len(workers) > 3, "no worker was replaced"
    finally:
        _end(gunicorn, log)
    shared.check(allowed=1 + 8 * 6)


def test_f26_f27_celery_workers(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefork pool whose processes are replaced after a few tasks."""
    log = shared.folder / "celery.log"
    options = ["--pool", "prefork", "--concurrency", "3", "--max-tasks-per-child", "4", "--without-mingle"]
    command = [sys.executable, "-m", "celery", "-A", "process_celery", "worker", *options]
    environment = shared.environment(PLACET_PROCESS_TEST_WORKS="1")
    monkeypatch.setenv(FOLDER, str(shared.folder))
    sys.modules.pop("process_celery", None)
    import process_celery

    # Before anybody takes them: a broker that is a folder loses what is taken while it is written.
    tasks = [process_celery.pay.delay(f"task-{n}") for n in range(30)]
    with log.open("wb") as output:
        worker = subprocess.Popen(
            command, cwd=shared.folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        answers = [task.get(timeout=PATIENCE_SECONDS, interval=0.05) for task in tasks]
        assert all(answer.startswith("paid by ") for answer in answers)
        assert len(set(answers)) > 3, "no process was replaced"
        # A process that is told to end just then may keep a semaphore, for which Celery waits for ever.
        _wait_for_rest(worker, 3)
    finally:
        _end(worker, log)
    shared.check(allowed=1 + 30)


def _in_child(target: Callable[..., Sequence[str]], *given: object) -> list[str]:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=_answer, args=(answers, target, given))
    child.start()
    gathered = list(answers.get(timeout=PATIENCE_SECONDS))
    child.join(PATIENCE_SECONDS)
    assert child.exitcode == 0
    return gathered


def test_f26_a_full_disk_refuses_and_nothing_runs(tmp_path: Path) -> None:
    """The system lets no file grow past a limit, as a full disk would not."""
    shared = Shared(tmp_path, str(tmp_path / "placet_audit.db"))
    answers = _in_child(process_programs.fill_disk, tmp_path, 400_000)
    assert set(answers) == {"paid", "audit_unavailable"}, answers
    assert (answers[0], answers[-5:]) == ("paid", ["audit_unavailable"] * 4 + ["paid"])
    allowed = [row for row in shared.rows() if row["verdict"] == "allow"]
    # At most one ran and could not be told of then: its result was withheld, its outcome is on record now.
    assert answers.count("paid") <= len(shared.effects()) <= answers.count("paid") + 1
    assert [row["result_status"] for row in allowed] == ["success"] * len(shared.effects())


def test_f26_a_database_that_may_not_be_written_refuses_and_nothing_runs(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    shared = Shared(tmp_path, str(tmp_path / "placet_audit.db"))
    assert call(Deployment(tmp_path), "first") == "paid"
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "effects").chmod(0o666)
    assert _in_child(process_programs.call_as_nobody, tmp_path) == ["audit_unavailable"] * 3
    tmp_path.chmod(0o755)
    shared.check(allowed=1)


def test_f27_a_database_that_may_not_be_written_refuses_and_nothing_runs(
    tmp_path: Path, postgresql: Server
) -> None:
    shared = Shared(tmp_path, postgresql.ledger())
    assert call(Deployment(tmp_path), "first") == "paid"
    joint = "&" if "?" in shared.ledger else "?"
    replica = Shared(tmp_path, f"{shared.ledger}{joint}options=-c%20default_transaction_read_only%3Don")
    deployment = Deployment(replica.folder)
    assert [call(deployment, f"call-{n}") for n in range(3)] == ["audit_unavailable"] * 3
    shared.check(allowed=1)


def test_f27_a_restarted_server_costs_at_most_the_call_in_flight(tmp_path: Path) -> None:
    with own_server() as own:
        shared = Shared(tmp_path, own.ledger())
        deployment = Deployment(shared.folder)
        for mode in ("fast", "immediate"):
            assert call(deployment, f"before-{mode}") == "paid"
            own.stop(mode)
            assert call(deployment, f"down-{mode}") == "audit_unavailable"
            own.start()
            assert call(deployment, f"after-{mode}") == "paid"
        _restart_under_load(own, deployment)
        assert "down-fast" not in shared.effects()
        allowed = [row for row in shared.rows() if row["verdict"] == "allow"]
        # Whatever ran is on record. A decision may be, of which the answer was lost: it did not run.
        assert len(shared.effects()) <= len(allowed) <= len(shared.effects()) + 4
        assert not [row for row in allowed if row["result_status"] not in ("success", "unknown")]


def _restart_under_load(own: Server, deployment: Deployment) -> None:
    """Each of four threads is refused while the server is away, and goes on by itself."""
    back = threading.Event()

    def work(index: int) -> list[str]:
        answers = []
        while answers[-3:] != ["paid"] * 3 or not back.is_set():
            answers.append(call(deployment, f"load-{index}-{len(answers)}"))
        return answers

    def restart(_: int) -> list[str]:
        time.sleep(0.3)
        own.stop("immediate")
        time.sleep(0.3)
        own.start()
        back.set()
        return ["audit_unavailable"]

    answers = process_programs.in_threads(5, lambda index: restart(index) if index == 4 else work(index))
    assert all(set(given) <= {"paid", "audit_unavailable"} for given in answers), answers
