"""The console script: the same command as the `placet` binary."""

from __future__ import annotations

import signal
import sys

from . import _core


def main() -> int:
    """Runs the command line with the arguments of this process and returns its exit code."""
    # The command runs outside the interpreter, which therefore could not react to Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.main(["placet", *sys.argv[1:]])
