"""JSON Schemas of tools, from their signatures."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import pathlib
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, cast

Schema = dict[str, Any]

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    complex: {"type": "string"},
    decimal.Decimal: {"type": "number"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    type(None): {"type": "null"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array", "uniqueItems": True},
    frozenset: {"type": "array", "uniqueItems": True},
    dict: {"type": "object"},
    uuid.UUID: {"type": "string", "format": "uuid"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"},
    pathlib.Path: {"type": "string"},
    pathlib.PurePath: {"type": "string"},
}

_SEQUENCES = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_SETS = (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_MAX_DEPTH = 16


def input_schema(function: Callable[..., Any]) -> Schema:
    """The schema of a tool's arguments by name. `self` and `cls` are no arguments."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    hints = getattr(function, "__annotations__", {})
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        name = parameter.name
        if position == 0 and name in ("self", "cls"):
            continue
        hint = hints.get(name, parameter.annotation)
        if parameter.kind is parameter.VAR_KEYWORD:
            schema["additionalProperties"] = schema_of(hint) or True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            properties[name] = _with(_PLAIN[list], items=schema_of(hint))
        else:
            properties[name] = schema_of(hint)
            if parameter.default is parameter.empty:
                required.append(name)
            elif isinstance(parameter.default, (str, bool, int, float)) and not isinstance(
                parameter.default, enum.Enum
            ):
                properties[name]["default"] = parameter.default
    return schema


def schema_of(hint: Any, depth: int = 0) -> Schema:
    """The schema of one type; `{}`, which is any value, when nothing can be said."""
    if depth > _MAX_DEPTH or hint in (Any, object, inspect.Parameter.empty) or isinstance(hint, str):
        return {}
    if hint is None:
        return {"type": "null"}
    if isinstance(hint, type) and hint in _PLAIN:
        return dict(_PLAIN[hint])
    origin = typing.get_origin(hint)
    if origin is not None:
        return _generic(origin, typing.get_args(hint), depth + 1)
    if isinstance(hint, typing.TypeVar):
        return schema_of(hint.__bound__, depth + 1) if hint.__bound__ else {}
    if isinstance(hint, typing.NewType):
        return schema_of(hint.__supertype__, depth + 1)
    if value := getattr(hint, "__value__", None):  # `type X = …` of Python 3.12
        return schema_of(value, depth + 1)
    return _class(hint, depth + 1) if isinstance(hint, type) else {}


def _generic(origin: Any, arguments: tuple[Any, ...], depth: int) -> Schema:
    if origin is typing.Annotated:
        return _annotated(arguments, depth)
    if origin is typing.Literal:
        return _choice([value.value if isinstance(value, enum.Enum) else value for value in arguments])
    if origin in (typing.Union, types.UnionType):
        return _union([schema_of(argument, depth) for argument in arguments])
    if origin in (typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", None), typing.Final):
        return schema_of(arguments[0], depth)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _with(_PLAIN[list], items=schema_of(arguments[0], depth))
        items = [schema_of(argument, depth) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if origin in _SEQUENCES:
        return _with(_PLAIN[list], items=schema_of(arguments[0], depth))
    if origin in _SETS:
        return _with(_PLAIN[set], items=schema_of(arguments[0], depth))
    if origin in _MAPPINGS:
        return _with(_PLAIN[dict], additionalProperties=schema_of(arguments[1], depth))
    return schema_of(origin, depth)


def _annotated(arguments: tuple[Any, ...], depth: int) -> Schema:
    schema = schema_of(arguments[0], depth)
    for note in arguments[1:]:
        description = note if isinstance(note, str) else getattr(note, "description", None)
        if isinstance(description, str):
            schema["description"] = description
    return schema


def _union(choices: list[Schema]) -> Schema:
    choices = [choice for position, choice in enumerate(choices) if choice not in choices[:position]]
    if {} in choices:
        return {}
    if len(choices) == 1:
        return choices[0]
    if all(set(choice) == {"type"} for choice in choices):
        return {"type": [choice["type"] for choice in choices]}
    return {"anyOf": choices}


def _choice(values: list[Any]) -> Schema:
    kinds = {type(value) for value in values}
    schema: Schema = {"enum": values}
    if len(kinds) == 1 and (kind := kinds.pop()) in (str, int, float, bool):
        schema = {"type": _PLAIN[kind]["type"], **schema}
    return schema


def _class(hint: type, depth: int) -> Schema:
    if issubclass(hint, enum.Enum):
        return _choice([member.value for member in hint])
    if callable(model := getattr(hint, "model_json_schema", None)):
        schema = cast("Schema", model())
        return schema
    if dataclasses.is_dataclass(hint):
        fields = dataclasses.fields(hint)
        missing = dataclasses.MISSING
        needed = [f.name for f in fields if f.default is missing and f.default_factory is missing]
        return _object(hint, needed, depth)
    if typing.is_typeddict(hint):
        return _object(hint, sorted(getattr(hint, "__required_keys__", ())), depth)
    for plain, schema in _PLAIN.items():
        if plain is not type(None) and issubclass(hint, plain):
            return dict(schema)
    for kinds, plain in ((_MAPPINGS, dict), (_SETS, set), (_SEQUENCES, list)):
        if hint in kinds:
            return dict(_PLAIN[plain])
    return {}


def _object(hint: type, required: list[str], depth: int) -> Schema:
    try:
        hints = typing.get_type_hints(hint, include_extras=True)
    except Exception:
        hints = {}
    properties = {name: schema_of(kind, depth) for name, kind in hints.items()}
    return {"type": "object", "properties": properties, "required": required}


def _with(schema: Schema, **more: Schema) -> Schema:
    return {**schema, **{key: value for key, value in more.items() if value}}
