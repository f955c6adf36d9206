"""A Celery application whose gate is used before its workers are forked. Its broker is a folder."""

from __future__ import annotations

import os
from pathlib import Path

import celery
from process_programs import FOLDER, preloaded

FILES = Path(os.environ[FOLDER]) / "broker"
for name in ("queue", "done", "control", "results"):
    (FILES / name).mkdir(parents=True, exist_ok=True)

DEPLOYMENT = preloaded() if os.environ.get("PLACET_PROCESS_TEST_WORKS") else None

app = celery.Celery("placet", broker="filesystem://", backend=f"file://{FILES}/results")
app.conf.broker_transport_options = {
    "data_folder_in": str(FILES / "queue"),
    "data_folder_out": str(FILES / "queue"),
    "processed_folder": str(FILES / "done"),
    "control_folder": str(FILES / "control"),
    "polling_interval": 0.05,
}


@app.task(name="pay")
def pay(what: str) -> str:
    assert DEPLOYMENT is not None
    return DEPLOYMENT.pay(what)
