"""Every code block of the guides runs and prints what stands below it."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "least"), [("python.md", 10), ("approvals.md", 4), ("credentials.md", 8)])
def test_the_guide_is_true(tmp_path, monkeypatch, page, least):
    monkeypatch.chdir(tmp_path)
    check(page, least)


def test_the_page_on_telemetry_is_true(tmp_path):
    """In a process of its own, whose metrics are those of the page."""
    program = "import test_docs; test_docs.check('telemetry.md', 5)"
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {program}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check(page, least):
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(blocks) > least
    names: dict[str, object] = {"__name__": "guide"}
    for position, (kind, file, text) in enumerate(blocks):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text, encoding="utf-8")
        if kind == "python":
            follows = blocks[position + 1] if position + 1 < len(blocks) else ("", "", "")
            run(text, names, page, follows[0], follows[2])


def run(text, names, page, kind, expected):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(text, f"docs/{page}", "exec", dont_inherit=True), names)
    assert printed.getvalue().strip() == (expected.strip() if kind == "text" else ""), printed.getvalue()
