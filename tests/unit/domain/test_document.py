"""Documents to print: bounded, printable, and drawn."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from lifecycle.domain.document import (
    Document,
    Facts,
    Note,
    Picture,
    Section,
    Table,
    clipped,
    dump,
    printable,
    texts,
    words,
)
from lifecycle.domain.drawing import Curve, Tick, chart, pieces

START = datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\x00b\x07", "a⟨U+0000⟩b⟨U+0007⟩"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("two\nlines\tand a tab", "two\nlines and a tab"),
        ("👩\u200d👧 Ωλ عربي 中文", "👩\u200d👧 Ωλ عربي 中文"),
        ("\ud800", "⟨U+D800⟩"),
    ],
)
def test_what_moves_other_text_is_spelled_out(text, shown):
    assert printable(text) == shown


def test_what_is_long_says_how_much_is_left_out():
    assert clipped("x" * 2500) == "x" * 2000 + "… (500 more characters)"
    assert (words(None).text, words(True).text, words(START).text) == ("\u2013", "yes", "2026-01-31 08:00:00")


def test_every_text_of_a_document_is_printable_when_it_is_dumped():
    bad = words("\u202e")
    parts = (
        Facts((("\u202e", bad),)),
        Table(("\u202e",), ((bad,),), (1,), "\u202e"),
        Picture("\u202e", "<svg/>", "\u202e"),
        Note("\u202e"),
    )
    dumped = dump(Document("\u202e", "\u202e", "\u202e", (Section("\u202e", parts),)))
    assert "\u202e" not in "".join(texts(dumped))
    assert "".join(texts(dumped)).count("⟨U+202E⟩") == 12


def places(*values):
    return [(START + timedelta(minutes=number), value) for number, value in enumerate(values)]


def test_a_chart_is_well_formed_and_breaks_where_nothing_is_known():
    line = pieces([*places(0.1, 0.2), (START + timedelta(hours=1), 0.3)], timedelta(minutes=5))
    assert [len(piece) for piece in line] == [2, 1]
    drawn = ElementTree.fromstring(chart([Curve("canary", line)], [Tick(START, "5 % <")], unit="%", limit=2.0))
    kinds = [each.tag.rpartition("}")[2] for each in drawn]
    assert (kinds.count("polyline"), kinds.count("circle")) == (1, 1)
    assert any("5 % <" in (each.text or "") for each in drawn)


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [1e-9, 5e-9], [1e6, 2e6], [99.9, 100.0]])
def test_the_axis_reaches_above_every_value(values):
    drawn = ElementTree.fromstring(chart([Curve("stable", pieces(places(*values), timedelta(hours=1)))], [], unit="%"))
    heights = [float(each.get("cy", 0)) for each in drawn if each.tag.endswith("circle")]
    assert all(22 <= height <= 192 for height in heights)


def test_nothing_is_drawn_where_nothing_was_counted():
    assert chart([Curve("stable", ())], [], unit="%") == ""
