"""The filter of a search for model versions, as MLflow's ``search_model_versions`` takes it.

``tags.environment = 'production' AND name LIKE 'iris%'``: conditions joined by AND. On top of MLflow's keys there are
``stage`` (Development, Staging, Production, Archived) and ``alias``, which MLflow cannot search by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lifecycle.domain.stages import Stage
from lifecycle.domain.words import listed

LONGEST, MOST_CONDITIONS, MOST_VALUES, MOST_WILDCARDS = 2000, 20, 100, 20
LARGEST_VERSION = 2**31 - 1

TAG = "tag"
_NUMBERS = ("=", "!=", ">", ">=", "<", "<=")
_TEXTS = ("=", "!=", "LIKE", "ILIKE")
COMPARATORS: dict[str, tuple[str, ...]] = {
    "name": (*_TEXTS, "IN", "NOT IN"),
    "version_number": _NUMBERS,
    "run_id": (*_TEXTS, "IN", "NOT IN"),
    "source_path": _TEXTS,
    "stage": ("=", "!=", "IN", "NOT IN"),
    "alias": ("=",),
    TAG: _TEXTS,
}
"""What each key can be compared by."""
KEYS = ("name", "version_number", "run_id", "source_path", "stage", "alias", "tags.KEY")
_TAGS, _ATTRIBUTES = ("tag", "tags"), ("attribute", "attributes", "attr")

_TOKENS = re.compile(
    r"""(?P<space>\s+)
    |(?P<word>[^\W\d](?:[\w\-/]|\.(?=[\w`"]))*(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")?)
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<number>-?\d+)(?![\w.])
    |(?P<comparator><=|>=|!=|=|<|>)
    |(?P<mark>[(),])""",
    re.VERBOSE,
)


class FilterError(ValueError):
    """The filter cannot be read. ``position`` counts characters from 1; ``str(error)`` says what is wrong there."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"At character {position}: {message}")
        self.message, self.position = message, position


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``key`` is one of COMPARATORS, ``tag`` the tag's key where that is TAG.

    ``values`` are several for IN and NOT IN, and numbers for ``version_number``.
    """

    key: str
    comparator: str
    values: tuple[str | int, ...]
    tag: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


def parse(text: str) -> tuple[Condition, ...]:
    """The conditions; none for an empty filter. Raises FilterError."""
    if len(text) > LONGEST:
        raise FilterError(f"The filter is longer than {LONGEST:,} characters.", LONGEST + 1)
    reader = _Reader([*_tokens(text), _Token("end", "", len(text) + 1)])
    if reader.peek().kind == "end":
        return ()
    conditions = [reader.condition()]
    while reader.peek().kind != "end":
        reader.need_and()
        if len(conditions) == MOST_CONDITIONS:
            raise FilterError(f"A filter has at most {MOST_CONDITIONS} conditions.", reader.peek().position)
        conditions.append(reader.condition())
    return tuple(conditions)


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        found = _TOKENS.match(text, place)
        if found is None or found.lastgroup is None:
            raise FilterError(_unreadable(text[place]), place + 1)
        if found.lastgroup != "space":
            yield _Token(found.lastgroup, found.group(), place + 1)
        place = found.end()


def _unreadable(character: str) -> str:
    if character in "'\"`":
        return f"This {character} has no counterpart: a text ends with the mark that it began with."
    return (
        f"{character!r} does not belong here. A filter looks like: tags.environment = 'production' AND name = 'iris'."
    )


class _Reader:
    """Takes tokens one after the other."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._place = tokens, 0

    def peek(self) -> _Token:
        return self._tokens[self._place]

    def take(self) -> _Token:
        token = self.peek()
        self._place = min(self._place + 1, len(self._tokens) - 1)
        return token

    def need_and(self) -> None:
        token = self.take()
        if token.is_word("OR"):
            raise FilterError("There is no OR: MLflow's filters join conditions by AND alone.", token.position)
        if not token.is_word("AND"):
            raise FilterError(f"Expected AND or the end, found {_shown(token)}.", token.position)

    def condition(self) -> Condition:
        named = self.take()
        key, tag = _key(named)
        comparator = self._comparator(key)
        values = self._list() if comparator.endswith("IN") else (self.take(),)
        checked = tuple(_value(key, comparator, each) for each in values)
        return Condition(key, comparator, checked, tag)

    def _comparator(self, key: str) -> str:
        token = self.take()
        found = token.text.upper()
        if found == "NOT" and self.peek().is_word("IN"):
            self.take()
            found = "NOT IN"
        if token.kind not in ("comparator", "word") or found not in COMPARATORS[key]:
            what = "a tag" if key == TAG else key
            allowed = listed([*COMPARATORS[key]])
            raise FilterError(f"Expected one of {allowed} for {what}, found {_shown(token)}.", token.position)
        return found

    def _list(self) -> tuple[_Token, ...]:
        opens = self.take()
        if opens.text != "(":
            raise FilterError(f"Expected a list such as ('a', 'b'), found {_shown(opens)}.", opens.position)
        values = [_need_text(self.take())]
        while self.peek().text == "," and self.peek().kind == "mark":
            self.take()
            values.append(_need_text(self.take()))
        closes = self.take()
        if closes.text != ")" or closes.kind != "mark":
            raise FilterError(f"Expected a comma or the end of the list, found {_shown(closes)}.", closes.position)
        if len(values) > MOST_VALUES:
            raise FilterError(f"A list has at most {MOST_VALUES} values.", opens.position)
        return tuple(values)


def _key(token: _Token) -> tuple[str, str]:
    """The key and, for a tag, its name."""
    if token.kind != "word":
        raise FilterError(f"Expected {listed(KEYS, 'or')}, found {_shown(token)}.", token.position)
    entity, dot, rest = token.text.partition(".")
    if not dot and entity in COMPARATORS and entity != TAG:
        return entity, ""
    if dot and entity in _ATTRIBUTES and _unquoted(rest) in COMPARATORS and _unquoted(rest) != TAG:
        return _unquoted(rest), ""
    if dot and entity in _TAGS and _unquoted(rest):
        return TAG, _unquoted(rest)
    raise FilterError(
        f"There is no key {_shown(token)}; expected {listed(KEYS, 'or')}. A tag whose key has spaces is written "
        "tags.`its key`.",
        token.position,
    )


def _value(key: str, comparator: str, token: _Token) -> str | int:
    if key == "version_number":
        return _number(token)
    value = _unquoted(_need_text(token).text)
    if key == "stage" and value not in {str(stage) for stage in Stage}:
        stages = listed([str(stage) for stage in Stage], "or")
        raise FilterError(f"There is no stage {value!r}; expected {stages}.", token.position)
    if comparator.endswith("LIKE") and value.count("%") > MOST_WILDCARDS:
        raise FilterError(f"A pattern has at most {MOST_WILDCARDS} wildcards %.", token.position)
    return value


def _need_text(token: _Token) -> _Token:
    if token.kind != "text":
        raise FilterError(f"Expected a text in quotes, such as 'production', found {_shown(token)}.", token.position)
    return token


def _number(token: _Token) -> int:
    digits = _unquoted(token.text) if token.kind == "text" else token.text
    if token.kind not in ("number", "text") or not re.fullmatch(r"-?[0-9]{1,18}", digits):
        raise FilterError(f"Expected a whole number, found {_shown(token)}.", token.position)
    if abs(int(digits)) > LARGEST_VERSION:
        raise FilterError(f"No version number is as large as {digits}.", token.position)
    return int(digits)


def _unquoted(text: str) -> str:
    mark = text[:1]
    return text[1:-1].replace(mark * 2, mark) if mark in ("'", '"', "`") and text.endswith(mark) else text


def _shown(token: _Token) -> str:
    if token.kind == "end":
        return "the end"
    return token.text if len(token.text) <= 40 else f"{token.text[:40]}…"
