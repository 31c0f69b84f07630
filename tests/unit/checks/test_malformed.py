"""Every request that is made up as malformed is one: the model server refuses it with a reason."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from lifecycle.checks.malformed import Case, Raw, cases, smallest, written
from lifecycle.rows import Known, RowSource
from tests.unit.checks.schemas import ALL, COLUMNS, TENSORS, server_of, signature_of, source_for
from tests.unit.serving.models import MIXED, NUMBERS

CLASSES = {
    "wrong type",
    "missing column",
    "extra column",
    "null or not finite",
    "number too large",
    "long text",
    "wrong shape",
    "wrong envelope",
    "not JSON",
    "no rows",
}


@pytest.mark.parametrize("schema", ALL.values(), ids=ALL.keys())
def test_the_server_refuses_every_one_with_a_reason(schema):
    made = cases(source_for(schema), 80)
    with server_of(schema) as client:
        replies = [(name, case, client.post(case.body, case.content_type)) for name, case in made]
    answered = [(name, case.body[:300], reply.body) for name, case, reply in replies if not 400 <= reply.status < 500]
    assert answered == []
    assert all(reply.json["message"].strip() for _, _, reply in replies)


@pytest.mark.parametrize("schema", [MIXED, TENSORS["named"]], ids=["columns", "tensors"])
def test_every_class_gets_its_share(schema):
    made = cases(source_for(schema), 200)
    counts = Counter(name for name, _ in made)
    assert set(counts) == CLASSES
    assert len(made) == 200
    assert len({case for _, case in made}) == 200
    assert all(count >= 10 for name, count in counts.items() if name != "no rows")


def test_few_requests_are_still_of_every_class():
    assert {name for name, _ in cases(source_for(MIXED), 10)} == CLASSES


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("optional columns only", {"missing column"}),
        ("text", {"number too large", "long text"}),
    ],
)
def test_classes_that_a_signature_does_not_allow_are_left_out(name, absent):
    assert {made for made, _ in cases(source_for(COLUMNS[name]), 60)} == CLASSES - absent


def test_a_signature_from_a_type_hint_gets_wrong_envelopes_and_no_json():
    source = RowSource(signature_of(NUMBERS), Known(type_hint=True))
    assert {name for name, _ in cases(source, 30)} <= {"wrong envelope", "not JSON", "null or not finite"}


def test_they_are_the_same_ones_every_time():
    assert cases(source_for(MIXED), 60) == cases(source_for(MIXED), 60)


def test_what_json_cannot_write_stands_in_the_body_as_it_is():
    assert written({"a": [Raw("NaN"), "\x000\x00", Raw("1e400")]}) == b'{"a": [NaN, "\\u00000\\u0000", 1e400]}'


def test_the_smallest_that_fails_is_found():
    found = smallest(source_for(NUMBERS), "wrong type", lambda case: b"true" in case.body, 60)
    assert found is not None
    values = json.loads(found.body)["dataframe_split"]["data"][0]
    assert values[0] is True
    assert isinstance(values[1], float)


def test_nothing_fails():
    asked: list[Case] = []
    assert smallest(source_for(NUMBERS), "wrong type", lambda case: asked.append(case) or False, 20) is None
    assert len(asked) <= 20


def test_the_search_keeps_to_its_tries():
    asked: list[Case] = []
    assert smallest(source_for(MIXED), "not JSON", lambda case: asked.append(case) or True, 7) is not None
    assert len(asked) <= 7


def test_the_search_ends_when_it_is_told_to():
    asked: list[Case] = []

    def fails(case: Case) -> bool:
        asked.append(case)
        raise InterruptedError("stop")

    with pytest.raises(InterruptedError, match="stop"):
        smallest(source_for(NUMBERS), "wrong type", fails, 20)
    assert len(asked) == 1


def test_it_leaves_no_notes_in_the_current_directory(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    cases(source_for(MIXED), 30)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
