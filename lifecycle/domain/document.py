"""A document to print, as plain values: the page and the PDF of a dossier show the same ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LONGEST = 2000
"""Characters of one text that are shown; what is left out is counted."""
NOTHING = "\u2013"
"""A dash, where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Text:
    """What stands in one place. ``tone`` is "", "code" (digests and the like), or "strong" (what speaks against)."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    rows: tuple[tuple[str, Text], ...]
    kind: str = "facts"


@dataclass(frozen=True, slots=True)
class Table:
    """``widths`` are the columns' shares of the width. ``empty`` stands there when there are no rows."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    widths: tuple[int, ...]
    empty: str
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with a title, and what it shows in words. ``svg`` holds no text that anybody else has written."""

    title: str
    svg: str
    words: str
    kind: str = "picture"


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    kind: str = "note"


Part = Facts | Table | Picture | Note


@dataclass(frozen=True, slots=True)
class Section:
    """``new_page``: it begins a page of its own when it is printed."""

    title: str
    parts: tuple[Part, ...]
    new_page: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """``subtitle`` says what it is of, ``made`` when and for whom it was made."""

    title: str
    subtitle: str
    made: str
    sections: tuple[Section, ...] = field(default_factory=tuple)


def words(value: Any, tone: str = "") -> Text:
    """Any value as a text of the document: bounded, times in UTC, nothing for None."""
    if value is None or value == "":
        return Text(NOTHING)
    if isinstance(value, bool):
        return Text("yes" if value else "no", tone)
    if isinstance(value, datetime):
        return Text(f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}", tone)
    return Text(clipped(str(value)), tone)


def clipped(text: str, longest: int = LONGEST) -> str:
    left_out = len(text) - longest
    return text if left_out <= 0 else f"{text[:longest]}… ({left_out:,} more characters)"


_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"
"""What scripts and emoji are written with; it moves nothing."""


def printable(text: str) -> str:
    """Without what cannot be seen and yet moves what stands around it: such characters appear as ``⟨U+202E⟩``.

    Paper has no markup that could keep a text's direction to itself.
    """
    return "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character in "\n\t" or character in _JOINERS:
        return " " if character == "\t" else character
    return code_point(character) if unicodedata.category(character) in _INVISIBLE else character


def code_point(character: str) -> str:
    return f"⟨U+{ord(character):04X}⟩"


def dump(document: Document) -> dict[str, Any]:
    """As JSON values with nothing but printable texts, for whatever typesets it."""
    return {
        "title": printable(document.title),
        "subtitle": printable(document.subtitle),
        "made": printable(document.made),
        "sections": [
            {
                "title": printable(section.title),
                "new_page": section.new_page,
                "parts": [_dump_part(part) for part in section.parts],
            }
            for section in document.sections
        ],
    }


def _dump_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Note):
        return {"kind": part.kind, "text": printable(part.text)}
    if isinstance(part, Picture):
        return {"kind": part.kind, "title": printable(part.title), "svg": part.svg, "words": printable(part.words)}
    if isinstance(part, Facts):
        rows = [[_dump_text(Text(name)), _dump_text(value)] for name, value in part.rows]
        return {"kind": part.kind, "rows": rows}
    return {
        "kind": part.kind,
        "columns": [printable(column) for column in part.columns],
        "widths": list(part.widths),
        "rows": [[_dump_text(cell) for cell in row] for row in part.rows],
        "empty": printable(part.empty),
    }


def _dump_text(cell: Text) -> dict[str, str]:
    return {"text": printable(cell.text), "tone": cell.tone}


def texts(value: Any) -> Iterator[str]:
    """Every text in what ``dump`` gave, drawings left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, each in value.items():
            if name != "svg":
                yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
