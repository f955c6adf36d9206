# SPDX-License-Identifier: MIT OR Apache-2.0
"""The demo's modules are scripts beside each other, not a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
