"""What differs between two versions, and whether it is for the better."""

import math

import pytest

from lifecycle.domain.differences import EXCERPT, Outcome, metric_lines, schema, text_lines
from lifecycle.domain.judgements.directions import Direction
from lifecycle.domain.policy import OfflineRegression
from lifecycle.domain.signatures import Bump

NAN, INF = math.nan, math.inf
NAMES = ("old", "new")


def signature(**columns):
    """``name="double"``, or ``name="double?"`` for an optional one."""
    inputs = [
        {"name": name, "type": kind.rstrip("?"), "required": not kind.endswith("?")} for name, kind in columns.items()
    ]
    return {"inputs": inputs, "outputs": [{"type": "long", "required": True}]}


@pytest.mark.parametrize(
    ("name", "first", "second", "outcome", "absolute", "relative"),
    [
        ("f1", 0.8, 0.9, Outcome.BETTER, 0.1, 12.5),
        ("f1", 0.9, 0.8, Outcome.WORSE, -0.1, -11.1111),
        ("rmse", 2.0, 3.0, Outcome.WORSE, 1.0, 50.0),
        ("rmse", 2.0, 1.0, Outcome.BETTER, -1.0, -50.0),
        ("rmse", 2.0, 2.01, Outcome.TOLERATED, 0.01, 0.5),
        ("trees", 100, 200, Outcome.CHANGED, 100, 100),
        ("left_out", 1.0, 2.0, Outcome.CHANGED, 1.0, 100),
        ("f1", 0.8, 0.8, Outcome.SAME, 0.0, 0.0),
        ("f1", NAN, NAN, Outcome.SAME, None, None),
        ("f1", 0.8, NAN, Outcome.WORSE, None, None),
        ("f1", NAN, 0.8, Outcome.CHANGED, None, None),
        ("rmse", 1.0, INF, Outcome.WORSE, None, None),
        ("rmse", INF, 1.0, Outcome.BETTER, None, None),
        ("rmse", INF, INF, Outcome.SAME, None, None),
        ("rmse", 0.0, 1.0, Outcome.WORSE, 1.0, None),
        ("loss", -2.0, -1.0, Outcome.WORSE, 1.0, 50.0),
        ("f1", None, 0.8, Outcome.ONLY_SECOND, None, None),
        ("f1", 0.8, None, Outcome.ONLY_FIRST, None, None),
    ],
)
def test_a_metric_of_two_versions(name, first, second, outcome, absolute, relative):
    rules = OfflineRegression(tolerance=1, ignored=("left_out",))
    mine = {} if first is None else {name: first}
    theirs = {} if second is None else {name: second}
    (line,) = metric_lines(mine, theirs, rules)
    assert line.outcome == outcome
    assert line.absolute == (None if absolute is None else pytest.approx(absolute))
    assert line.relative == (None if relative is None else pytest.approx(relative, rel=1e-4))
    assert line.differs == (outcome != Outcome.SAME)


def test_what_is_worse_comes_first_and_the_largest_change_before_the_smaller():
    first = {"f1": 0.9, "rmse": 1.0, "auc": 0.9, "same": 1, "gone": 1, "mae": 5.0}
    second = {"f1": 0.8, "rmse": 2.0, "auc": 0.95, "same": 1, "new": 1, "mae": 5.0}
    lines = metric_lines(first, second, OfflineRegression())
    assert [line.name for line in lines] == ["rmse", "f1", "auc", "new", "gone", "mae", "same"]
    assert {line.name: line.direction for line in lines}["same"] == Direction.UNKNOWN


def test_texts_what_differs_first():
    lines = text_lines({"a": "1", "b": "2", "c": 3}, {"a": "1", "b": "3", "c": "3", "d": {"x": 1}})
    assert [(line.name, line.first, line.second, line.differs) for line in lines] == [
        ("b", "2", "3", True),
        ("d", None, '{"x": 1}', True),
        ("a", "1", "1", False),
        ("c", "3", "3", False),
    ]


def test_of_long_texts_the_part_that_differs_is_shown():
    same = "x" * 5000
    (line,) = text_lines({"config": same + "old" + same}, {"config": same + "new" + same})
    assert line.is_cut
    assert "old" in line.first_excerpt
    assert "new" in line.second_excerpt
    for excerpt in (line.first_excerpt, line.second_excerpt):
        assert excerpt.startswith("…")
        assert excerpt.endswith("…")
        assert len(excerpt) == EXCERPT + 2


@pytest.mark.parametrize(("first", "second"), [("a" * 300, "a" * 10_000), ("a" * 10_000, "a" * 300), ("a" * 300, "")])
def test_a_text_that_goes_on_where_the_other_ends(first, second):
    (line,) = text_lines({"config": first}, {"config": second})
    assert line.differs
    assert max(len(line.first_excerpt), len(line.second_excerpt)) <= EXCERPT + 2


@pytest.mark.parametrize(
    ("second", "numbers", "required", "said"),
    [
        (signature(a="double", b="double"), ("1.0.0", "1.0.1"), None, "no caller notices"),
        (signature(a="double", b="double", c="long?"), ("1.0.0", "1.1.0"), Bump.MINOR, "as 1.0.0 → 1.1.0 says"),
        (signature(a="double", b="double", c="long?"), ("1.0.0", "1.0.1"), Bump.MINOR, "is only a PATCH one"),
        (signature(a="double"), ("1.0.0", "2.0.0"), Bump.MAJOR, "as 1.0.0 → 2.0.0 says"),
        (signature(a="double"), ("2.0.0", "1.0.0"), Bump.MAJOR, "no higher number"),
        (signature(a="string", b="double"), ("1.0.0", "new"), Bump.MAJOR, "MAJOR change of the semantic version."),
    ],
)
def test_what_a_schema_means_for_the_semantic_version(second, numbers, required, said):
    found = schema(signature(a="double", b="double"), second, numbers, NAMES)
    assert found.required == required
    assert said in found.says
    assert not found.problem


def test_the_lines_of_a_schema_say_what_became_of_each():
    found = schema(
        signature(a="double", b="double", c="long"), signature(a="double", b="string", d="long?"), ("", ""), NAMES
    )
    became = {(str(line.part), line.name): line.became for line in found.lines}
    assert became == {
        ("input", "b"): "changed",
        ("input", "c"): "removed",
        ("input", "d"): "added",
        ("input", "a"): "same",
        ("output", "column 1"): "same",
    }


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (None, None, "Neither version has a signature"),
        (None, signature(a="double"), "The signature of old cannot"),
        (signature(a="double"), {"inputs": "what"}, "The signature of new cannot"),
    ],
)
def test_signatures_that_cannot_be_read_say_whose(first, second, words):
    found = schema(first, second, ("1.0.0", "1.0.1"), NAMES)
    assert words in found.problem
    assert found.required is None
    assert not found.lines
