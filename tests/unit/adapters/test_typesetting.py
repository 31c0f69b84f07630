"""Typesetting in a process of its own: no text is markup, and no character vanishes."""

from datetime import UTC, datetime

import pytest

from lifecycle.adapters import typesetting
from lifecycle.adapters.typst_child import spelled, without_glyph
from lifecycle.domain.document import Document, Facts, Note, Section, Table, dump, words
from lifecycle.ports import PermanentError, TemporaryError

NOW = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
HOSTILE = (
    '#panic("no") #read("/etc/passwd") #import "@preview/x:1.0.0" *b* $x$ @ref <label> // /* `',
    "\u202eturned\u2066\x00\x07",
    "W" * 10_000,
    "two\nlines",
    "Ελληνικά Кириллица العربية 中文 한국어 \U0001f469\u200d\U0001f467",
)


def document(*texts):
    rows = tuple((words(text), words(text, "code"), words(text, "strong")) for text in texts)
    parts = (Facts(((texts[0][:50], words(texts[0])),)), Table(("a", "b", "c"), rows, (1, 1, 1), ""), Note(texts[0]))
    return dump(Document("Title", texts[0][:200], "made", (Section("One", parts, new_page=True),)))


def test_texts_are_set_as_they_are():
    assert typesetting.pdf(document(*HOSTILE), NOW).startswith(b"%PDF-")


def test_a_character_that_no_font_has_is_spelled_out():
    assert without_glyph({"rows": ["Ω Я ع", "\u0379"], "svg": "\u037a\u0380"}) == {"\u0379"}
    assert spelled({"a": ["x\u0379y"], "svg": "\u0379"}, {"\u0379"}) == {"a": ["x⟨U+0379⟩y"], "svg": "\u0379"}


def test_what_takes_too_long_or_is_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(typesetting, "SECONDS", 0.001)
    with pytest.raises(TemporaryError, match="Print the page"):
        typesetting.pdf(document("x"), NOW)
    monkeypatch.setattr(typesetting, "LARGEST", 10)
    with pytest.raises(PermanentError, match="too long"):
        typesetting.pdf(document("x"), NOW)


def test_a_template_that_fails_says_what_to_do_and_nothing_of_its_inside():
    with pytest.raises(PermanentError) as failed:
        typesetting.pdf({"title": "no sections"}, NOW)
    assert str(failed.value) == "The PDF could not be made. Print the page instead."
