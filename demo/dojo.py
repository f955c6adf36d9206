# SPDX-License-Identifier: MIT OR Apache-2.0
"""AgentDojo as a source of traces and as the judge of what they did.

An agent is not run: its calls are the suites' ground truth. For each user task alone, and for each pair of
user task and injection task, the calls become events in a session scoped by `scoping` to the user's prompt.
What Placet let through is replayed in a fresh environment, and AgentDojo's own checkers say what happened.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import pickle
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from scoping import Parameter, Request, Session, ToolSchema, scope, tags

BENCHMARK = "v1.2.2"
NOW = "2024-05-15T12:00:00Z"


@dataclass(frozen=True)
class Call:
    """One call of a trace, and whether it serves the user or the injection."""

    function: str
    args: dict[str, Any]
    of_injection: bool


@dataclass(frozen=True)
class Trace:
    """The calls of one session: a user task alone, or with an injection that strikes at one place."""

    suite: str
    user_task: str
    injection_task: str | None
    strikes: str
    session: Session
    calls: list[Call]


def load_suite(name: str) -> Any:
    """Loads a suite of the pinned benchmark version, without the clients of model vendors."""
    _skip_model_clients()
    from agentdojo.task_suite import get_suite

    return get_suite(BENCHMARK, name)


def _skip_model_clients() -> None:
    """Enters `agentdojo.agent_pipeline` without running its `__init__`, which imports every vendor's SDK.

    The suites need from it only the ground-truth pipeline, and that one constant of the Google client.
    """
    found = importlib.util.find_spec("agentdojo")
    if found is None or found.origin is None or "agentdojo.agent_pipeline" in sys.modules:
        return
    root = Path(found.origin).parent
    for name in ("agent_pipeline", "agent_pipeline.llms"):
        package = ModuleType(f"agentdojo.{name}")
        package.__path__ = [str(root.joinpath(*name.split(".")))]
        sys.modules[package.__name__] = package
    google = ModuleType("agentdojo.agent_pipeline.llms.google_llm")
    google.__dict__["EMPTY_FUNCTION_NAME"] = "<empty-function-name>"
    sys.modules[google.__name__] = google


def schemas(suite: Any) -> tuple[ToolSchema, ...]:
    """The suite's tools as an agent is told of them."""
    tools = []
    for tool in suite.tools:
        properties = tool.parameters.model_json_schema().get("properties", {})
        parameters = tuple(
            Parameter(name, schema.get("description", ""), schema.get("type", "any"))
            for name, schema in properties.items()
        )
        tools.append(ToolSchema(tool.name, tool.description, parameters))
    return tuple(tools)


def traces(suite: Any) -> Iterator[Trace]:
    """Every user task alone; then every pair twice: injected after all the user's calls, and after the first.

    Two places, because an effect of the user's own call may overwrite what the injection did, or the reverse.
    """
    tools = schemas(suite)
    for user_id, user_task in suite.user_tasks.items():
        session = scope(Request(user_task.PROMPT, tools))
        own = _ground_truth(suite, user_task, user_task, of_injection=False)
        yield Trace(suite.name, user_id, None, "", session, own)
        for injection_id, injection_task in suite.injection_tasks.items():
            injected = _ground_truth(suite, user_task, injection_task, of_injection=True)
            yield Trace(suite.name, user_id, injection_id, "last", session, own + injected)
            yield Trace(suite.name, user_id, injection_id, "early", session, own[:1] + injected + own[1:])


@functools.cache
def _pickled_environment(suite: Any) -> bytes:
    return pickle.dumps(suite.load_and_inject_default_environment({}))


def _environment(suite: Any, user_task: Any) -> Any:
    """A fresh copy of the suite's world, without injected text."""
    return user_task.init_environment(pickle.loads(_pickled_environment(suite)))


def _ground_truth(suite: Any, user_task: Any, task: Any, *, of_injection: bool) -> list[Call]:
    calls = task.ground_truth(_environment(suite, user_task))
    return [Call(call.function, dict(call.args), of_injection) for call in calls]


def events(trace: Trace, tool_tags: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """The events of a trace, one a call."""
    session_id = "/".join(filter(None, (trace.suite, trace.user_task, trace.injection_task, trace.strikes)))
    for call in trace.calls:
        yield {
            "event_type": "tool_call",
            "action": call.function,
            "tool_name": call.function,
            "tool_tags": tool_tags[call.function],
            "args": call.args,
            "context": {
                "session_id": session_id,
                "user_role": "assistant",
                "session_scopes": trace.session.scopes,
                "delegation_depth": 0,
                "sandbox_verified": False,
                "tenant_id": None,
                "attributes": trace.session.attributes,
            },
            "session": {"id": session_id, "scopes": trace.session.scopes, "tool_history": []},
            "now": NOW,
        }


def registry(suite: Any) -> dict[str, list[str]]:
    """The labels of each tool."""
    return {tool.name: tags(tool) for tool in schemas(suite)}


def user_goal_met(suite: Any, trace: Trace, through: list[bool]) -> bool:
    """Replays the calls let through and asks AgentDojo whether the user got what was asked for."""
    return _goal_met(suite, trace.user_task, None, *_replayed(trace, through))


def injection_succeeds(suite: Any, trace: Trace, through: list[bool]) -> bool:
    """Replays the calls let through and asks AgentDojo whether the attacker got what was asked for."""
    return _goal_met(suite, trace.user_task, trace.injection_task, *_replayed(trace, through))


def _replayed(trace: Trace, through: list[bool]) -> tuple[tuple[str, ...], bool]:
    """The calls that run, and whether the final answer of the ground truth may count.

    It counts only when every call of the user went through: an agent kept from reading could not have
    written it.
    """
    judged = list(zip(trace.calls, through, strict=True))
    done = tuple(json.dumps([call.function, call.args]) for call, passed in judged if passed)
    return done, all(passed for call, passed in judged if not call.of_injection)


@functools.cache
def _goal_met(
    suite: Any, user_id: str, injection_id: str | None, done: tuple[str, ...], complete: bool
) -> bool:
    """Whether a goal is met after these calls in a fresh environment. Cached: traces share most of them."""
    from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime
    from agentdojo.types import text_content_block_from_string

    user_task = suite.user_tasks[user_id]
    before, after = _environment(suite, user_task), _environment(suite, user_task)
    calls = [FunctionCall(function=function, args=args) for function, args in map(json.loads, done)]
    runtime = FunctionsRuntime(suite.tools)
    for call in calls:
        runtime.run_function(after, call.function, call.args)
    task = suite.injection_tasks[injection_id] if injection_id else user_task
    answer = [text_content_block_from_string(user_task.GROUND_TRUTH_OUTPUT if complete else "")]
    # Some checkers print and warn; the demo's output is its tables.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(suite._check_task_result(task, answer, before, after, calls))
