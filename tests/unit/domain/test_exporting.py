"""Entries as lines of a file."""

import csv
import io
import json
import re

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle import audit
from lifecycle.domain import chain
from lifecycle.domain.exporting import COLUMNS, DANGEROUS, ExportFormat, defused, json_line

ENTRY = {
    **dict.fromkeys(COLUMNS, ""),
    "seq": 1,
    "at": "2026-01-31T08:00:00.000000Z",
    "action": "transition_requested",
    "refused": False,
    "actor": "Emil",
    "actor_id": 3,
    "actor_roles": ["ml_engineer"],
    "version": 3,
    "details": {"weights": {"1": 95, "2": 5}},
    "transition": None,
    "policy": 2,
}
WIDE = "\uff1d\uff0b\uff0d\uff20"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def cells(file: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(file.decode("utf-8-sig"), newline="")))


def written(**values) -> list[str]:
    return cells(ExportFormat.CSV.lines([{**ENTRY, **values}]))[0]


def is_dangerous(cell: str) -> bool:
    seen = cell.lstrip('" \u00a0\u200b\ufeff\x00\x01\x1f')[:1]
    return cell[:1] in {*"=+-@\t\r\n"} or seen in {*DANGEROUS, *WIDE}


def test_the_columns_are_what_is_hashed_and_the_hash():
    assert (*audit.HASHED, "hash") == COLUMNS


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", ""),
        ("iris", "iris"),
        ("naïve 模型", "naïve 模型"),
        ("a=b", "a=b"),
        ("It is 5 % better - really", "It is 5 % better - really"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\nhello", "'\nhello"),
        ("  =1", "'  =1"),
        ("\u00a0\u200b=1", "'\u00a0\u200b=1"),
        ("\u202e=1", "'\u202e=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\x01=1", "'\x01=1"),
        ('"=1', "'\"=1"),
        ("'=1", "''=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff20A1", "'\uff20A1"),
        ("\ufe621", "'\ufe621"),
        ("|calc", "'|calc"),
        ("better;=HYPERLINK(A1)", "better;'=HYPERLINK(A1)"),
        ("better\n=1", "better\n'=1"),
        ("better\t -1", "better\t' -1"),
        ("one; two", "one; two"),
    ],
)
def test_formulas_are_defused(text, cell):
    assert defused(text) == cell
    assert written(reason=text)[COLUMNS.index("reason")] == cell


RISKY = st.text(st.sampled_from([*"=+-@;,\t\r\n\"' a1\u00a0\u200b\u202e\ufeff", *WIDE]), max_size=12)
RISKY |= st.text(max_size=12)


@settings(max_examples=100)
@given(RISKY, RISKY)
def test_no_cell_begins_as_a_formula(one, other):
    row = written(actor=one, reason=other, details={one: other}, actor_roles=[one, other])
    assert len(row) == len(COLUMNS)
    assert not [cell for cell in row if is_dangerous(cell)]
    assert row[COLUMNS.index("reason")].replace("'", "") == other.replace("'", "").replace("\x00", "\ufffd")


@settings(max_examples=100)
@given(RISKY, RISKY)
def test_nor_where_another_character_separates_the_cells(one, other):
    file = ExportFormat.CSV.lines([{**ENTRY, "actor": one, "reason": other}]).decode()
    split = re.split(r"[;\t\r\n]", file)[1:]
    assert not [cell for cell in split if cell and is_dangerous(cell.lstrip('"'))]


def test_numbers_stay_numbers_and_words_words():
    line = ExportFormat.CSV.lines([ENTRY]).decode()
    assert line.startswith('1,"2026-01-31T08:00:00.000000Z","transition_requested","false","Emil",3,"ml_engineer",')
    assert line.endswith("\r\n")
    assert written(details={"a": 1})[COLUMNS.index("details")] == '{"a":1}'


def test_a_csv_file_names_its_columns_and_its_alphabet():
    file = ExportFormat.CSV.head + ExportFormat.CSV.lines([ENTRY, {**ENTRY, "actor": "Zoë", "reason": 'a "b"\r\nc'}])
    head, _, second = cells(file)
    assert file.startswith(b"\xef\xbb\xbf")
    assert tuple(head) == COLUMNS
    assert (second[COLUMNS.index("actor")], second[COLUMNS.index("reason")]) == ("Zoë", 'a "b"\r\nc')


@settings(max_examples=100)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.text())
def test_a_json_line_is_the_canonical_form(details, reason):
    entry = chain.plain({**ENTRY, "reason": reason, "details": details})
    assert json_line(entry) == rfc8785.dumps(entry) + b"\n"


@pytest.mark.parametrize("value", [2**60, float("nan"), float("inf"), 1e300, "\ud800", ["\ud800", 2**70]])
def test_what_no_writer_leaves_is_json_all_the_same(value):
    line = json_line({**ENTRY, "details": {"x": value}})
    assert json.loads(line)["seq"] == 1
    assert line.count(b"\n") == 1
    assert written(details={"x": value})[0] == "1"


def test_a_line_holds_no_line_break_of_a_text():
    assert json_line({**ENTRY, "reason": "a\nb\r\u2028c"}).count(b"\n") == 1
