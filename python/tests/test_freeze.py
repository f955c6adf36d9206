"""Freezing foreign values: typed unknown leaves, copies, limits (promise 5, DESIGN §4)."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import pathlib
import uuid

import pytest

import placet
from conftest import refusal


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    pass


@dataclasses.dataclass
class Order:
    amount: int


PASSED_THROUGH = [
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    datetime.date(2026, 1, 1),
    datetime.timedelta(1),
    decimal.Decimal("1.5"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=1),
    b"bytes",
    2**53 + 1,
    10**5000,
    float("inf"),
    Colour.RED,
    Text("x"),
    Order(5),
    object(),
    collections.OrderedDict(a=1),
    "\ud800",
    frozenset({1}),
    1 + 2j,
    range(3),
    None,
]


@pytest.mark.parametrize("value", PASSED_THROUGH, ids=lambda value: type(value).__name__)
def test_promise_5_values_that_are_not_json_reach_the_body(governed, value):
    assert governed(lambda x: x, action="show", sanitize=False)(value) == value


@pytest.mark.parametrize("value", PASSED_THROUGH, ids=lambda value: type(value).__name__)
def test_promise_2_they_are_unknown_to_rules(open_gate, context, value):
    policy = """
        version: 1
        rules:
          - { name: all, when: { action: [restricted] }, then: allow }
          - { name: unless, when: { action: restricted, args: { x: { gt: 100 } } }, then: deny }
          - { name: only, when: { action: permitted, args: { x: { lte: 100 } } }, then: allow }
    """
    decorate = placet.governed
    gate = open_gate(policy)
    for action in ("restricted", "permitted"):
        refusal(decorate(gate=gate, context=context, action=action)(lambda x: x), value)
    assert decorate(gate=gate, context=context, action="restricted")(lambda x: x)(5) == 5


def test_promise_5_copyable_values_are_copied(governed):
    same = governed(lambda x: x, action="show", sanitize=False)
    for value in ([1], {"a": 1}, {1: [2]}, {1, 2}, bytearray(b"x"), pathlib.Path("/srv/a"), ([1],)):
        got = same(value)
        assert got == value
        assert type(got) is type(value)
        assert got is not value


def test_a_path_object_is_decided_as_its_text(governed):
    read = governed(lambda path: "ok", action="read_file")
    assert read(pathlib.Path("/srv/a")) == "ok"
    for path in (pathlib.Path("/etc/shadow"), "/etc/shadow", b"/etc/shadow", pathlib.PurePosixPath("x/.env")):
        refusal(read, path)


def cyclic():
    value = []
    value.append({"self": value})
    return value


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def exploding():
    value = ["x" * 100] * 100
    for _ in range(40):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (cyclic, "contain themselves"),
        (lambda: deep(65), "deeper than 64"),
        (lambda: "x" * (16 << 20), "larger than the limit"),
        (lambda: [0] * 2_000_000, "larger than the limit"),
        (exploding, "larger than the limit"),
    ],
)
def test_cycles_depth_and_size_are_refused_with_a_decision(governed, gate, context, make, word):
    error = refusal(governed(lambda x: x, action="show"), make())
    assert word in str(error)
    assert error.decision.code == "invalid_request"
    call = placet.ToolCallInput(action="show", args={"x": make()})
    assert gate.decide_tool_call(call, context).code == "invalid_request"


def test_depth_64_is_accepted(governed):
    assert governed(lambda x: "ran", action="show")(deep(64)) == "ran"


def test_args_of_a_call_may_be_any_mapping_with_string_keys(gate, context):
    def decide(args):
        return gate.decide_tool_call(placet.ToolCallInput(action="pay", args=args), context)

    assert decide(collections.ChainMap({"amount": 5})).allow
    assert decide(collections.OrderedDict(amount=5)).allow
    for args in ({1: 2}, [1], "text"):
        assert decide(args).code == "invalid_request"


def test_promise_5_a_name_that_calls_itself_equal_to_another_is_the_name_it_spells(open_gate, context):
    class Name(str):
        def __hash__(self):
            return hash("amount")

        def __eq__(self, other):
            return other == "amount"

    rule = "{ name: n, when: { action: pay, args: { note: { exists: true } } }, then: allow }"
    rules = f"version: 1\nrules:\n  - {rule}\n"
    pay = placet.governed(open_gate(rules), context, action="pay")(lambda **given: given.get("amount"))
    assert pay(**{Name("note"): 9000}) is None
