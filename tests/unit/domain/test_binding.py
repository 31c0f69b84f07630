from dataclasses import replace

import pytest

from lifecycle.domain.binding import Shown, changed, dump, load

SEEN = Shown("a" * 64, (("Unit tests", "passed, evidence 3"), ("Code review", "passed, waiver 1")), 4, ("canary", "5"))


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({}, ""),
        ({"artifact": "b" * 64}, "The model's files changed since then."),
        ({"policy": 5}, "The policy (number 4 then, 5 now) changed since then."),
        ({"strategy": ("canary", "10")}, "The way requests move changed since then."),
        (
            {"criteria": (("Unit tests", "failed, evidence 4"),)},
            "The criterion “Unit tests” and the criterion “Code review” changed since then.",
        ),
        ({"criteria": (*SEEN.criteria, ("Drift", "passed"))}, "The criterion “Drift” changed since then."),
        ({"artifact": "", "policy": 9}, "The model's files and the policy (number 4 then, 9 now) changed since then."),
    ],
)  # fmt: skip
def test_a_sentence_names_every_part_that_changed(now, sentence):
    shown = replace(SEEN, **now)
    assert changed(SEEN, shown) == sentence
    assert (shown.digest == SEEN.digest) == (sentence == "")


def test_what_was_written_down_is_read_back():
    assert load(dump(SEEN)) == SEEN
    assert load(dump(SEEN)).digest == SEEN.digest
    assert load({}) is None
