# SPDX-License-Identifier: MIT OR Apache-2.0
"""The words that `scoping` knows: how people ask for what tools are named after. Data only."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _table(lines: str) -> dict[str, frozenset[str]]:
    """Reads `word word: meaning meaning` lines."""
    table: dict[str, frozenset[str]] = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        words, meanings = line.split(":")
        for word in words.split():
            table[word] = table.get(word, frozenset()) | _set(meanings)
    return table


# First words of tool names that only look. Any other first word counts as a write.
READ_VERBS = _set("get read list search find fetch view show check lookup query count describe")

# Words of a request -> first words of tool names.
VERBS = _table(
    """
    pay refund transfer wire reimburse remit: send
    message write reply respond tell notify text dm email forward share: send
    post publish: send post
    upload: post
    adjust change modify edit correct set amend: update
    set-up arrange plan: schedule create
    onboard: invite
    include: add append
    kick expel ban: remove
    remove: delete
    delete erase: remove
    book: reserve create schedule
    make: create
    reschedule move postpone: reschedule update
    """
)

# Verbs that carry their object with them.
IMPLIES = _table(
    """
    pay refund transfer wire reimburse remit: money transaction
    message write reply respond tell notify text dm: message
    email forward: email
    """
)

# Words of a request -> other words of tool names. A tool's own words need no entry.
NOUNS = _table(
    """
    payment rent bill invoice fee amount price subscription: money transaction
    order standing transfer: transaction
    article website site page link url blog web: webpage
    dm question reply text feedback: message
    colleague member person people employee coworker: user
    information detail address profile: info
    group: channel
    appointment meeting invitation: event
    mail e-mail: email
    document doc spreadsheet: file
    """
)

# Words in a tool's name that qualify its object rather than name it.
MODIFIERS = _set("a the to from in on of by for and with all new most recent current scheduled direct day")

# What a parameter's name (or, for a person, its description) says it points at.
DESTINATIONS = {
    "url": _set("url link website webpage"),
    "secret": _set("password passphrase pin secret token"),
    "email": _set("email mail cc bcc"),
    "account": _set("iban account"),
    "channel": _set("channel group"),
    "person": _set("recipient user to member participant payee beneficiary assignee contact attendee"),
}

# A word after one of these is no order: "the message", "who post", "I pay".
NOT_BEFORE_AN_ORDER = _set(
    "a an the this that these those each every any some no my our your his her its their of by via from in "
    "at direct following next last i we they he she usually always who which what how"
)

# The request hands the decision over to text found elsewhere.
DELEGATES = _set("instruction instructions task tasks todo todos steps checklist")

PRONOUNS = _set("them him her they it")

DATES = _set(
    "january february march april may june july august september october november december "
    "monday tuesday wednesday thursday friday saturday sunday"
)

# Words that open a sentence without being a name.
OPENERS = (
    _set(
        "please can could would will what when where who why how which is are do does did i my we our "
        "you your they their he she it this that these those the a an and or but also after before then "
        "if hey hi hello thanks note now next first finally perform follow summarize sort visit look go "
        "take use see make let give apparently yes no in on at for from to with of some all every each "
        "there"
    )
    | READ_VERBS
    | VERBS.keys()
    | _set("send add invite update schedule create delete remove reserve append cancel")
)
