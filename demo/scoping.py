# SPDX-License-Identifier: MIT OR Apache-2.0
"""Least authority from the prompt: which tools a request calls for, and whom it names.

It sees the text of one request and the schemas of the tools, nothing else: no task, no environment, no
tool output. It is a vocabulary, not a model: it does not understand the request, it reads words. What it
grants is used by a policy; a value it did not find in the prompt is for a person to judge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vocabulary import (
    DATES,
    DELEGATES,
    DESTINATIONS,
    IMPLIES,
    MODIFIERS,
    NOT_BEFORE_AN_ORDER,
    NOUNS,
    OPENERS,
    PRONOUNS,
    READ_VERBS,
    VERBS,
)

_QUOTED = re.compile(r"""(?<!\w)['"“‘]([^'"“”‘’]+)['"”’](?!\w)""")
_URL = re.compile(r"\b(?:https?://|www\.)[a-z0-9-]+(?:\.[a-z0-9-]+)*(?:/[\w./?=&%#-]*\w)?")
_EMAIL = re.compile(r"\b[\w.+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_ACCOUNT = re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{10,30}\b")
_FILE = re.compile(r"\b[\w-]+\.(?:txt|pdf|docx?|xlsx?|csv|md|json|png|jpe?g)\b", re.I)
_NUMBER = re.compile(r"(?<![\w.,-])\d[\d,]*(?:\.\d+)?(?![\w%-])")
_NAME = re.compile(r"(?<!\w)[A-Z][a-z]+\b")
_CHANNEL = re.compile(r"#(\w+)|['\"](\w+)['\"] channel\b|\b[Tt]he (\w+) channel\b")
_CONTENT = re.compile(r"(\b(?:message|question|text|note|reply|comment|body)\b[^.:?!\n]*:\s*).+$", re.S)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=\s|[A-Z]|$)|\n")
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_PLURAL = re.compile(r"(?<=[a-z]{2}[a-rt-z])s$")
_SPOKEN_AS = {"person": "user", "account": "transaction", "url": "webpage"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool, as its schema declares it."""

    name: str
    description: str
    type: str


@dataclass(frozen=True)
class ToolSchema:
    """What a tool says of itself."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Request:
    """Everything that scoping may see."""

    prompt: str
    tools: tuple[ToolSchema, ...]


@dataclass(frozen=True)
class Session:
    """What one request grants: tools, and the values that policies compare arguments with."""

    scopes: list[str]
    attributes: dict[str, object]


@dataclass(frozen=True)
class _Text:
    """A prompt taken apart: its literals, its sentences without them, and what each sentence speaks of."""

    literals: dict[str, list[str]]
    sentences: list[str]
    nouns: list[set[str]]
    amount_limit: float | None


def scope(request: Request) -> Session:
    """Derives the session of a request."""
    text = _read(request)
    writes = [tool for tool in request.tools if "write" in tags(tool)]
    egress = [tool for tool in request.tools if "egress" in tags(tool)]
    fired = {tool.name: _firing_sentences(tool, text, request) for tool in writes}
    granted = [tool for tool in writes if fired[tool.name]]
    delegated = not granted and any(DELEGATES & set(_words(sentence)) for sentence in text.sentences)
    if delegated:
        granted = writes
    if delegated or text.literals["url"] or any("webpage" in nouns for nouns in text.nouns):
        granted = granted + egress
    named: dict[str, list[str]] = {name: [] for name in guarded_parameters(request.tools)}
    left_open: dict[str, list[str]] = {name: [] for name in named}
    for tool in granted:
        for parameter in tool.parameters:
            if kind := _kind(parameter):
                values = _values(kind, text, fired.get(tool.name, []), request)
                named[parameter.name] += [value for value in values if value not in named[parameter.name]]
                if delegated or not values:
                    left_open[parameter.name].append(tool.name)
    attributes: dict[str, object] = {
        "named": named,
        "left_open": left_open,
        "guarded": sorted(named),
        "delegated": delegated,
        "amount_limit": text.amount_limit,
    }
    return Session(scopes=[tool.name for tool in granted], attributes=attributes)


def tags(tool: ToolSchema) -> list[str]:
    """Labels for the tool registry: `read`, or `effect` with `write` or `egress` (a read of an address)."""
    if tool.name.split("_")[0].lower() not in READ_VERBS:
        return ["effect", "write"]
    egress = any(_kind(parameter) == "url" for parameter in tool.parameters)
    return ["effect", "egress"] if egress else ["read"]


def guarded_parameters(tools: Iterable[ToolSchema]) -> list[str]:
    """Names of the parameters that say where an effect goes, or set a secret."""
    effects = [tool for tool in tools if "effect" in tags(tool)]
    return sorted({p.name for tool in effects for p in tool.parameters if _kind(p)})


def _kind(parameter: Parameter) -> str | None:
    """What a parameter points at: url, secret, email, account, channel or person; None for plain content."""
    name, description = set(_stems(parameter.name)), set(_stems(parameter.description))
    if "id" in name:
        return None
    for kind, words in DESTINATIONS.items():
        if kind != "person" and name & words:
            return kind
    if name & DESTINATIONS["person"]:
        return next((kind for kind in ("email", "account") if description & DESTINATIONS[kind]), "person")
    return None


def _read(request: Request) -> _Text:
    prompt = request.prompt
    quoted = _QUOTED.findall(prompt)
    files = _FILE.findall(prompt)
    masked = _CONTENT.sub(r"\1_", prompt)
    literals = {
        "url": [variant for url in _URL.findall(masked) for variant in _url_variants(url)],
        "email": _EMAIL.findall(prompt),
        "account": _ACCOUNT.findall(prompt),
        "channel": [next(filter(None, groups)) for groups in _CHANNEL.findall(prompt)],
        "secret": [word for word in quoted if " " not in word and word not in files],
    }
    for pattern in (_QUOTED, _EMAIL, _FILE, _URL, _ACCOUNT):
        masked = pattern.sub("_", masked)
    sentences = [part.strip() for part in _SENTENCE_END.split(masked) if part.strip()]
    numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(masked)]
    # A percentage asks for arithmetic: then no number in the prompt bounds the result.
    limit = max(numbers) if numbers and "%" not in masked else None
    return _Text(literals, sentences, [_nouns(sentence) for sentence in sentences], limit)


def _url_variants(url: str) -> list[str]:
    bare = re.sub(r"^https?://", "", url)
    return [url] if url != bare else [bare, f"http://{bare}", f"https://{bare}"]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stems(text: str) -> list[str]:
    """Words without plural endings."""
    return [_PLURAL.sub("", word) for word in _WORD.findall(re.sub(r"[_-]", " ", text).lower())]


def _nouns(sentence: str) -> set[str]:
    """The things a sentence speaks of, in the words that tools use."""
    stems = _stems(sentence)
    return set(stems).union(*(NOUNS.get(stem, frozenset()) for stem in stems))


def _firing_sentences(tool: ToolSchema, text: _Text, request: Request) -> list[int]:
    """The sentences that call for a tool: its verb is asked for, and its object is spoken of or named."""
    verb = tool.name.split("_")[0].lower()
    objects = set(_stems(tool.name)) - MODIFIERS - {verb}
    kinds = {kind for parameter in tool.parameters if (kind := _kind(parameter))}
    objects |= {_SPOKEN_AS.get(kind, kind) for kind in kinds}
    found = []
    for index, sentence in enumerate(text.sentences):
        orders = [word for word in _orders(sentence, request) if verb == word or verb in VERBS.get(word, ())]
        spoken_of = [(text.nouns[index] - {order}) | IMPLIES.get(order, frozenset()) for order in orders]
        named = any(_values(kind, text, [index], request) for kind in kinds)
        if orders and (named or any(objects & nouns for nouns in spoken_of)):
            found.append(index)
    return found


def _orders(sentence: str, request: Request) -> list[str]:
    """Words that may be orders: not after an article, a possessive, a subject, nor inside a compound noun."""
    words = _words(sentence.lower().replace("set up ", "set-up "))
    nouns = _tool_words(request)
    return [
        word
        for previous, word in zip(["", *words], words, strict=False)
        if previous not in NOT_BEFORE_AN_ORDER and not (word in nouns and previous in nouns)
    ]


def _tool_words(request: Request) -> set[str]:
    return {word for tool in request.tools for word in _stems(tool.name)} - MODIFIERS


def _values(kind: str, text: _Text, sentences: list[int], request: Request) -> list[str]:
    """The literals of a kind. Names count where the tool is called for, or where a pronoun points back to."""
    if kind in ("url", "email", "channel", "secret"):
        return text.literals[kind]
    if kind == "account" and text.literals["account"]:
        return text.literals["account"]
    own = [name for index in sentences for name in _names(text.sentences[index], request)]
    if own:
        return own
    pointing = [index for index in sentences if PRONOUNS & set(_words(text.sentences[index]))]
    earlier = text.sentences[: max(pointing, default=0)]
    return [name for sentence in earlier for name in _names(sentence, request)]


def _names(sentence: str, request: Request) -> list[str]:
    """Capitalised words that are no date, no word of a tool's name, and not only the start of a sentence."""
    own_words = _tool_words(request)
    names = []
    for match in _NAME.finditer(sentence):
        word = match.group(0).lower()
        opens = not re.search(r"\w", sentence[: match.start()].rsplit(":")[-1])
        if word in DATES or word in own_words or (opens and word in OPENERS):
            continue
        names.append(match.group(0))
    return list(dict.fromkeys(names))
