"""Joining the answers of a shadow with those that users got."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain import shadow
from lifecycle.domain.shadow import Pending, Value, match
from lifecycle.ports import ServerAnswer


def answers(*given: tuple[str, tuple[Value, ...]]) -> list[ServerAnswer]:
    return [ServerAnswer(number, key, values) for number, (key, values) in enumerate(given, 1)]


@pytest.mark.parametrize(
    ("users", "copy", "expected"),
    [
        (("setosa",), ("setosa",), {"same": 1}),
        (("setosa",), ("virginica",), {"setosa→virginica": 1}),
        (("a", "b", "c"), ("a", "c", "c"), {"same": 2, "b→c": 1}),
        (("a→b",), ("c",), {"a->b→c": 1}),
        ((1.0,), (1.0,), {"same": 1}),
        ((1.0,), (1.0 + 9e-7,), {"same": 1}),
        ((0.0,), (1e-13,), {"same": 1}),
        ((1.0,), (1.000002,), {"≤0.1 %": 1}),
        ((1000.0,), (999.0,), {"≤0.1 %": 1}),
        ((100.0,), (99.0,), {"≤1 %": 1}),
        ((100.0,), (95.5,), {"≤5 %": 1}),
        ((-100.0,), (-80.0,), {"≤20 %": 1}),
        ((100.0,), (79.9,), {">20 %": 1}),
        ((1.0,), (-1.0,), {">20 %": 1}),
        ((0.0,), (5.0,), {">20 %": 1}),
        ((5e-324,), (1e308,), {">20 %": 1}),
        ((1e308,), (-1e308,), {">20 %": 1}),
        (("1",), (1.0,), {"other shape": 1}),
        ((1.0, 2.0), (1.0,), {"other shape": 2}),
    ],
)
def test_rows_fall_into_a_class_of_agreement(
    users: tuple[Value, ...], copy: tuple[Value, ...], expected: dict[str, int]
) -> None:
    assert match(Pending(), answers(("k", users)), answers(("k", copy))) == (expected, Pending((), (), 1, 1))


def test_what_has_no_counterpart_waits_for_it() -> None:
    counts, pending = match(Pending(), answers(("a", ("x",)), ("b", ("x",))), answers(("c", ("y",))))
    assert counts == {}
    assert (pending.stable, pending.shadow) == ((("a", ("x",)), ("b", ("x",))), (("c", ("y",)),))
    counts, pending = match(pending, [ServerAnswer(3, "c", ("z",))], [ServerAnswer(2, "a", ("x",))])
    assert counts == {"same": 1, "z→y": 1}
    assert pending == Pending((("b", ("x",)),), (), 3, 2)


def test_a_body_that_was_sent_twice_is_two_pairs() -> None:
    twice = answers(("a", ("x",)), ("a", ("x",)))
    counts, pending = match(Pending(), twice, twice[:1])
    assert (counts, len(pending.stable)) == ({"same": 1}, 1)
    assert match(pending, [], twice[1:])[0] == {"same": 1}


def test_the_oldest_are_let_go() -> None:
    many = answers(*((f"{number}", ("x",)) for number in range(shadow.MAX_WAITING + 5)))
    _, pending = match(Pending(), many, [])
    assert [pending.stable[0][0], len(pending.stable)] == ["5", shadow.MAX_WAITING]


def test_answers_with_many_rows_wait_in_less_number() -> None:
    wide = answers(*((f"{number}", ("x",) * 20) for number in range(shadow.MAX_WAITING)))
    _, pending = match(Pending(), [], wide)
    assert len(pending.shadow) == shadow.MAX_WAITING_VALUES // 20
    assert pending.shadow[-1][0] == str(shadow.MAX_WAITING - 1)


def test_rare_pairs_of_classes_are_counted_together() -> None:
    pairs = [(f"k{number}-{turn}", f"c{number}") for number in range(150) for turn in range(1 + (number < 100))]
    users = answers(*((key, (name,)) for key, name in pairs))
    counts, _ = match(Pending(), users, answers(*((key, ("x",)) for key, _ in pairs)))
    assert len(counts) == shadow.MAX_PAIRS + 1
    assert (counts["c0→x"], counts[shadow.OTHER_CLASSES]) == (2, 50)
    assert shadow.bounded(counts) == counts


def test_waiting_answers_survive_as_json() -> None:
    pending = Pending((("a", ("x", 1.5)),), (("b", (2.0,)),), 7, 9)
    assert shadow.load(json.loads(json.dumps(shadow.dump(pending)))) == pending
    assert shadow.load({}) == Pending()


CLASSES = {"same": 6, "a→b": 2, "b→a": 3, shadow.OTHER_CLASSES: 1}


def test_what_a_page_shows() -> None:
    assert (shadow.compared(CLASSES), shadow.agreement(CLASSES)) == (12, 0.5)
    assert shadow.agreement({}) is None
    assert shadow.confusions(CLASSES) == (("b", "a", 3), ("a", "b", 2), ("other", "other", 1))
    assert shadow.sizes(CLASSES) == ()
    assert shadow.sizes({"same": 1, "≤5 %": 2}) == (
        ("≤0.1 %", 0), ("≤1 %", 0), ("≤5 %", 2), ("≤20 %", 0), (">20 %", 0),
    )  # fmt: skip


KEYS = st.lists(st.sampled_from("abcdefgh"), max_size=30)


@settings(max_examples=100, deadline=None)
@given(users=KEYS, copies=KEYS, cuts=st.tuples(st.integers(0, 30), st.integers(0, 30)), seed=st.integers())
def test_neither_order_nor_portions_matter_and_nothing_is_counted_twice(
    users: list[str], copies: list[str], cuts: tuple[int, int], seed: int
) -> None:
    """Two models that answer each body always alike, asked in any order, looked at once or twice."""
    stable = answers(*((key, (key.upper(),)) for key in users))
    shadows = answers(*((key, ("A" if key in "abc" else key.upper(),)) for key in copies))
    at_once, waiting = match(Pending(), stable, shadows)
    random.Random(seed).shuffle(stable)
    random.Random(seed + 1).shuffle(shadows)
    first, pending = match(Pending(), stable[: cuts[0]], shadows[: cuts[1]])
    second, pending = match(pending, stable[cuts[0] :], shadows[cuts[1] :])
    assert Counter(first) + Counter(second) == Counter(at_once)
    assert sum(at_once.values()) == (Counter(users) & Counter(copies)).total()
    assert sorted(pending.stable) == sorted(waiting.stable)
    assert sorted(pending.shadow) == sorted(waiting.shadow)
    assert len(users) - len(pending.stable) == len(copies) - len(pending.shadow) == sum(at_once.values())


@pytest.mark.parametrize(("tolerance", "alike"), [(0.0, 10), (0.1, 15), (1.0, 18), (5.0, 18), (20.0, 19)])
def test_numbers_within_the_tolerance_are_alike(tolerance, alike):
    counts = {"same": 10, "≤0.1 %": 5, "≤1 %": 3, "≤20 %": 1, ">20 %": 1}
    assert shadow.alike(counts, tolerance) == alike
    assert shadow.agreement(counts, tolerance) == alike / 20
