"""The record as a file: one entry a line, as JSON to be verified or as CSV to be read.

A line of JSON is the canonical form (RFC 8785) of what the entry's hash is computed over, and the hash. CSV is for
people and their spreadsheets: what a spreadsheet would take for a formula gets an apostrophe in front, so a cell can
differ from what was recorded, and the file proves nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from operator import itemgetter
from typing import Any

import rfc8785

from lifecycle.domain import chain

COLUMNS = (
    *("seq", "at", "action", "refused", "actor", "actor_id", "actor_roles", "signed_in_by", "address"),
    *("model", "version", "semantic_version", "from_stage", "to_stage", "reason", "details", "transition", "policy"),
    *("evidence_digest", "previous_hash", "hash"),
)
"""Of an exported entry, in this order. A new one is only ever put at the end."""
DANGEROUS = frozenset("=+-@|%")
"""What a spreadsheet may take for the beginning of a formula; in other widths too."""
_LINE_AND_TAB = frozenset("\t\r\n")
_BEGINS_A_CELL = re.compile(r"([;\t\r\n])")
_HARMLESS = re.compile(r"(\w[^;\t\r\n\x00]*)?")
_in_order = itemgetter(*COLUMNS)
BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets read a CSV file in the alphabet of their country, and names come out garbled."""


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"

    @property
    def label(self) -> str:
        return "CSV" if self is ExportFormat.CSV else "JSON lines"

    @property
    def media_type(self) -> str:
        return "text/csv; charset=utf-8; header=present" if self is ExportFormat.CSV else "application/jsonl"

    @property
    def head(self) -> bytes:
        """What stands before the first entry."""
        return (BYTE_ORDER_MARK + _written([COLUMNS])).encode() if self is ExportFormat.CSV else b""

    def lines(self, entries: Iterable[Mapping[str, Any]]) -> bytes:
        """Entries as bytes, each with the end of its line. ``at`` is the text that ``chain.timestamp`` gives."""
        if self is ExportFormat.CSV:
            return _written(map(_cells, entries)).encode("utf-8", "replace")
        return b"".join(json_line(entry) for entry in entries)


# ---------------------------------------------------------------- JSON lines

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def json_line(entry: Mapping[str, Any]) -> bytes:
    """The canonical form of an entry, and the end of the line.

    What no writer of the record would have left in the database still becomes JSON: whoever looks for tampering needs
    just these entries, and their hash tells on them.
    """
    if _is_encoded_alike(entry["details"]):
        return _encode(entry).encode("utf-8", "replace") + b"\n"
    try:
        return chain.canonical(entry) + b"\n"
    except rfc8785.CanonicalizationError:
        return rfc8785.dumps(chain.plain(entry)) + b"\n"


def _is_encoded_alike(value: Any) -> bool:
    """Whether the standard library's encoder, which is five times as fast, gives the canonical form.

    It differs in how it writes numbers that are no integers, and in the order of names beyond ASCII.
    """
    kind = type(value)
    if kind is dict:
        return all(name.isascii() for name in value) and all(map(_is_encoded_alike, value.values()))
    if kind is list:
        return all(map(_is_encoded_alike, value))
    if kind is int:
        return bool(-chain.EXACT_INTEGERS < value < chain.EXACT_INTEGERS)
    return kind is not float


# ---------------------------------------------------------------- CSV


def defused(text: str) -> str:
    """The text as a cell that no spreadsheet runs: with an apostrophe in front, where it might be a formula.

    What some spreadsheets skip at the beginning of a cell (spaces, control and invisible characters, quotes) does not
    hide one. A spreadsheet whose cells end with a semicolon or a tab pays no heed to the quotes around this text, so
    what follows one of those, or begins a line, counts as a beginning too.
    """
    if _HARMLESS.fullmatch(text):
        return text
    mark = "'" if text[:1] in _LINE_AND_TAB else ""
    return mark + "".join(f"'{part}" if _is_dangerous(part) else part for part in _BEGINS_A_CELL.split(text))


def _is_dangerous(cell: str) -> bool:
    seen = next((each for each in cell if not _is_skipped(each)), "")
    return unicodedata.normalize("NFKC", seen)[:1] in DANGEROUS


def _is_skipped(character: str) -> bool:
    """Spaces, controls, marks of the direction of writing, joiners, and quotes, which a spreadsheet may strip."""
    return character in "\"'" or character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Zs", "Mn")


def _cells(entry: Mapping[str, Any]) -> tuple[str | int | None, ...]:
    harmless = _HARMLESS.fullmatch
    return tuple(
        [
            value if type(value) is int or (type(value) is str and harmless(value)) else _cell(value)
            for value in _in_order(entry)
        ]
    )


def _cell(value: Any) -> str | int | None:
    """Numbers stay numbers, lists of words become "one, two", and other values their JSON."""
    kind = type(value)
    if kind is str:
        return defused(value.replace("\x00", "\ufffd"))
    if kind is bool:
        return "true" if value else "false"
    if value is None or isinstance(value, int):
        return value
    if kind is list and all(isinstance(each, str) for each in value):
        return defused(", ".join(value).replace("\x00", "\ufffd"))
    return defused(_encode(value))


def _written(rows: Iterable[tuple[str | int | None, ...]]) -> str:
    """Every text in quotes: where the semicolon separates cells, one inside a text must not begin a new cell."""
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return out.getvalue()
