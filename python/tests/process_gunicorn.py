"""A WSGI application whose gate is preloaded: every request is one governed call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from process_programs import preloaded

import placet

DEPLOYMENT = preloaded()


def application(environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
    try:
        answer, status = DEPLOYMENT.pay(environ["PATH_INFO"]), "200 OK"
    except placet.PlacetError as error:
        answer, status = repr(error), "500 Internal Server Error"
    respond(status, [("Content-Type", "text/plain"), ("X-Worker", str(os.getpid()))])
    return [answer.encode()]
