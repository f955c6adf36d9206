"""Every code block of the guide runs and prints what stands below it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from placet import _tracing

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("page", "least"), [("python.md", 10), ("telemetry.md", 5)])
def test_the_guide_is_true(tmp_path, monkeypatch, page, least):
    monkeypatch.chdir(tmp_path)
    # What a page sets up ends with it.
    monkeypatch.setattr(_tracing, "_chosen", None)
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
    assert printed.getvalue().strip() == (expected.strip() if kind == "text" else "")
