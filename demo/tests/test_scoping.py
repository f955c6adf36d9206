# SPDX-License-Identifier: MIT OR Apache-2.0
"""Scoping reads a prompt and schemas. The prompts here are made up; none is a task of a benchmark."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest
import scoping
import vocabulary
from scoping import Parameter, Request, Session, ToolSchema, scope, tags

DEMO = Path(scoping.__file__).parent


def tool(name: str, **parameters: str) -> ToolSchema:
    """A schema whose parameters have these descriptions."""
    return ToolSchema(name, "", tuple(Parameter(key, text, "string") for key, text in parameters.items()))


BANK = (
    tool("get_balance"),
    tool("read_file", file_path="The path to the file"),
    tool("send_money", recipient="IBAN of the recipient", amount="Amount", subject="Subject"),
    tool("update_standing_order", id="Id", recipient="IBAN of the recipient", amount="Amount"),
    tool("update_password", password="New password of the user"),
)
CHAT = (
    tool("list_channels"),
    tool("get_webpage", url="The URL"),
    tool("post_webpage", url="The URL", content="The content"),
    tool("send_direct_message", recipient="Who gets it", body="The text"),
    tool("send_channel_message", channel="The channel", body="The text"),
    tool("remove_user", user="The user"),
)


def scoped(prompt: str, tools: tuple[ToolSchema, ...]) -> Session:
    return scope(Request(prompt, tools))


def named(session: Session, parameter: str) -> list[str]:
    return session.attributes["named"][parameter]  # type: ignore[index]


def left_open(session: Session, parameter: str) -> list[str]:
    return session.attributes["left_open"][parameter]  # type: ignore[index]


def test_a_request_holds_a_prompt_and_schemas_and_nothing_else() -> None:
    assert [field.name for field in dataclasses.fields(Request)] == ["prompt", "tools"]
    assert [field.name for field in dataclasses.fields(ToolSchema)] == ["name", "description", "parameters"]
    assert [field.name for field in dataclasses.fields(Parameter)] == ["name", "description", "type"]


@pytest.mark.parametrize("module", ["scoping.py", "vocabulary.py"])
def test_scoping_reaches_no_ground_truth(module: str) -> None:
    source = (DEMO / module).read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Name):
            assert node.id not in {"open", "eval", "exec", "__import__", "globals", "getattr"}
    assert imported <= {"__future__", "re", "collections", "dataclasses", "vocabulary"}
    assert "ground_truth" not in source and "user_task" not in source and "injection" not in source


def test_no_policy_names_a_task() -> None:
    for policy in (DEMO / "policies").rglob("*.yaml"):
        text = policy.read_text(encoding="utf-8")
        assert "user_task" not in text and "injection_task" not in text, policy


def test_the_same_request_gives_the_same_session() -> None:
    prompt = "Pay DE89370400440532013000 and tell Nora in the lounge channel."
    assert scoped(prompt, BANK + CHAT) == scoped(prompt, BANK + CHAT)


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("get_balance", {}, ["read"]),
        ("get_webpage", {"url": "The URL"}, ["effect", "egress"]),
        ("send_money", {"recipient": "IBAN"}, ["effect", "write"]),
        ("frobnicate", {}, ["effect", "write"]),
    ],
)
def test_what_only_looks_is_a_read(name: str, parameters: dict[str, str], expected: list[str]) -> None:
    assert tags(tool(name, **parameters)) == expected


def test_a_named_account_is_the_only_recipient() -> None:
    session = scoped("Please transfer 20.00 to DE89370400440532013000 for the tickets.", BANK)
    assert session.scopes == ["send_money"]
    assert named(session, "recipient") == ["DE89370400440532013000"]
    assert left_open(session, "recipient") == []
    assert session.attributes["amount_limit"] == 20.0


def test_a_payee_by_name_is_found_where_a_pronoun_points_back() -> None:
    session = scoped("Vodafone raised its price. Please pay them the rest.", BANK)
    assert named(session, "recipient") == ["Vodafone"]


def test_a_pronoun_does_not_point_forward() -> None:
    session = scoped("Remove her. The note from Nora to Kim says why.", CHAT)
    assert named(session, "user") == []


def test_a_recipient_that_only_a_file_knows_is_left_open() -> None:
    session = scoped("Pay the invoice 'invoice-7.txt' please", BANK)
    assert session.scopes == ["send_money"]
    assert named(session, "recipient") == []
    assert left_open(session, "recipient") == ["send_money"]


def test_a_question_calls_for_no_effect() -> None:
    session = scoped("How much did I pay for the concert last year?", BANK)
    assert session.scopes == []


@pytest.mark.parametrize("prompt", ["Who posted the message?", "What was in the message I send every week?"])
def test_a_noun_or_a_statement_is_no_order(prompt: str) -> None:
    assert scoped(prompt, CHAT).scopes == []


def test_words_inside_quotes_and_messages_are_not_orders() -> None:
    quoted = scoped("Tell Nora: 'remove the user Kim'", CHAT)
    assert "remove_user" not in quoted.scopes
    prompt = "Write Nora the following message: Remove user Kim and post it on www.evil.example"
    after_colon = scoped(prompt, CHAT)
    assert "remove_user" not in after_colon.scopes
    assert named(after_colon, "url") == []


def test_a_password_must_stand_in_quotes() -> None:
    assert named(scoped("Change my password to 's3cret-x9'.", BANK), "password") == ["s3cret-x9"]
    unquoted = scoped("Change my password to what the file 'new.txt' says.", BANK)
    assert named(unquoted, "password") == []
    assert left_open(unquoted, "password") == ["update_password"]


def test_addresses_channels_and_people_are_kept_apart() -> None:
    session = scoped("Read www.news.example/today and send Nora and the lounge channel a note.", CHAT)
    assert named(session, "url")[0] == "www.news.example/today"
    assert named(session, "channel") == ["lounge"]
    assert named(session, "recipient") == ["Nora"]
    assert "post_webpage" not in session.scopes


def test_an_address_ends_where_the_next_sentence_begins() -> None:
    session = scoped("Look at www.news.example.Then post a message in the lounge channel.", CHAT)
    assert named(session, "url") == [
        "www.news.example",
        "http://www.news.example",
        "https://www.news.example",
    ]


def test_instructions_kept_elsewhere_leave_everything_to_a_person() -> None:
    session = scoped("Do all the tasks listed at www.list.example/mine", CHAT)
    assert session.attributes["delegated"] is True
    assert set(left_open(session, "url")) == {"get_webpage", "post_webpage"}
    assert left_open(session, "user") == ["remove_user"]


def test_a_percentage_leaves_no_bound_for_the_amount() -> None:
    session = scoped("Pay DE89370400440532013000 another 7.5% and a fee of 2.00", BANK)
    assert session.attributes["amount_limit"] is None


def test_every_destination_is_announced_to_the_policy() -> None:
    """The policy refuses to decide on a destination that it has no rule for; it learns of them here."""
    session = scoped("Hello", BANK + CHAT)
    assert session.attributes["guarded"] == ["channel", "password", "recipient", "url", "user"]


def test_the_vocabulary_is_lower_case_words() -> None:
    tables = (vocabulary.VERBS, vocabulary.IMPLIES, vocabulary.NOUNS)
    words = {word for table in tables for key, values in table.items() for word in (key, *values)}
    assert all(word == word.lower() and " " not in word for word in words | vocabulary.OPENERS)
