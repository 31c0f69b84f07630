"""Semantic versions: parsing, order, proposals, and the verdict on a version's number."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semver import Version

from lifecycle.domain.facts import VersionFacts
from lifecycle.domain.findings import State
from lifecycle.domain.semver import LARGEST_PART, SemanticVersionError, bump_between, judge, parse, proposal
from lifecycle.domain.signatures import Bump

parts = st.integers(0, LARGEST_PART - 1)
versions = st.builds(Version, parts, parts, parts)
near = st.builds(Version, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
bumps = st.sampled_from(Bump)


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("v1.2.3", "Write 1.2.3."),
        ("1.2", "Write 1.2.0."),
        ("2", "Write 2.0.0."),
        (" 1.2.3 ", "Write 1.2.3."),
        ("1.2.3\n", "Write 1.2.3."),
        ("01.2.3", "Write 1.2.3."),
        ("1.2.3-rc.1", "Write 1.2.3."),
        ("1.2.3+build5", "Write 1.2.3."),
        ("1.2.3.4", "such as 1.2.0"),
        ("one", "such as 1.2.0"),
        ("1.2.-3", "such as 1.2.0"),
        ("1٢.0.0", "such as 1.2.0"),
        ("1000000000.0.0", "greater than 999,999,999"),
        ("9" * 100_000 + ".0.0", "longer than 50 characters"),
        ("<img src=x>", "such as 1.2.0"),
    ],
)
def test_what_is_no_semantic_version_is_told_what_to_write(text, words):
    with pytest.raises(SemanticVersionError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@given(versions)
def test_parsing_is_the_opposite_of_writing(version):
    assert parse(str(version)) == version


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_parsing_raises_nothing_else(text):
    with suppress(SemanticVersionError):
        assert str(parse(text)) == text


@given(versions, bumps)
def test_a_proposal_is_that_bump_above_its_base(base, bump):
    found = proposal(base, bump)
    assert found > base
    assert bump_between(base, found) == bump


@given(near, near)
def test_the_order_is_that_of_the_three_numbers(one, other):
    assert (one < other) == (tuple(one)[:3] < tuple(other)[:3])
    if one < other:
        assert proposal(one, bump_between(one, other)) <= other
        with pytest.raises(ValueError, match="not greater"):
            bump_between(other, one)


@given(near, near, near)
def test_a_bump_over_two_steps_is_the_greater_of_both(one, other, third):
    low, middle, high = sorted({one, other, third} | {Version(3), Version(4), Version(5)})[:3]
    assert bump_between(low, high) == max(bump_between(low, middle), bump_between(middle, high))


# ---------------------------------------------------------------- the verdict


def columns(*names, optional=()):
    given_names = [{"name": name, "type": "double", "required": True} for name in names]
    return given_names + [{"name": name, "type": "double", "required": False} for name in optional]


SPECIES = [{"type": "string", "required": True}]
NUMBER = [{"type": "double", "required": True}]
SPECIES_AND_CONFIDENCE = [
    {"name": "species", "type": "string", "required": True},
    {"name": "confidence", "type": "double", "required": True},
]


def signed(inputs, outputs=SPECIES):
    return {"inputs": inputs, "outputs": outputs, "params": None}


# The signatures of the demonstration's iris model: 1.0.0, 1.1.0 and 2.0.0.
MEASURES = ("sepal_length", "petal_length", "petal_width")
PLAIN = signed(columns(*MEASURES))
WITH_OPTIONAL = signed(columns(*MEASURES, optional=["sepal_width"]))
OTHER_OUTPUT = signed(columns(*MEASURES, optional=["sepal_width"]), SPECIES_AND_CONFIDENCE)


def version(number, tag, signature=PLAIN):
    return VersionFacts(version=number, semantic_version=tag, signature=signature)


FIRST = version(1, "1.0.0")


@pytest.mark.parametrize(
    ("tag", "signature", "state", "required", "offered"),
    [
        # the same schema
        ("1.0.1", PLAIN, State.PASSED, Bump.PATCH, ""),
        ("1.1.0", PLAIN, State.PASSED, Bump.PATCH, ""),
        ("7.0.0", PLAIN, State.PASSED, Bump.PATCH, ""),
        ("", PLAIN, State.MISSING, Bump.PATCH, "1.0.1"),
        ("v1.0.1", PLAIN, State.FAILED, Bump.PATCH, "1.0.1"),
        ("1.0.0", PLAIN, State.FAILED, Bump.PATCH, "1.0.1"),
        ("0.9.0", PLAIN, State.FAILED, Bump.PATCH, "1.0.1"),
        # a new optional input
        ("1.1.0", WITH_OPTIONAL, State.PASSED, Bump.MINOR, ""),
        ("2.0.0", WITH_OPTIONAL, State.PASSED, Bump.MINOR, ""),
        ("1.0.1", WITH_OPTIONAL, State.FAILED, Bump.MINOR, "1.1.0"),
        ("1.0.99", WITH_OPTIONAL, State.FAILED, Bump.MINOR, "1.1.0"),
        ("", WITH_OPTIONAL, State.MISSING, Bump.MINOR, "1.1.0"),
        # another output
        ("2.0.0", OTHER_OUTPUT, State.PASSED, Bump.MAJOR, ""),
        ("1.2.0", OTHER_OUTPUT, State.FAILED, Bump.MAJOR, "2.0.0"),
        ("1.99.99", OTHER_OUTPUT, State.FAILED, Bump.MAJOR, "2.0.0"),
        ("", OTHER_OUTPUT, State.MISSING, Bump.MAJOR, "2.0.0"),
        # no signature of its own
        ("2.0.0", None, State.FAILED, None, ""),
        ("", None, State.MISSING, None, ""),
    ],
)
def test_the_second_version(tag, signature, state, required, offered):
    verdict = judge(version(2, tag, signature), [FIRST])
    assert (verdict.state, verdict.required, verdict.proposal) == (state, required, offered)
    assert (verdict.why == "") == verdict.passed == (state == State.PASSED)


@pytest.mark.parametrize("tag", ["1.0.0", "0.1.0", "4.2.1"])
def test_any_valid_number_is_right_for_the_first_version(tag):
    verdict = judge(version(1, tag), [])
    assert verdict.passed
    assert (verdict.base, verdict.difference, verdict.required) == (None, None, None)


@pytest.mark.parametrize(("tag", "state"), [("", State.MISSING), ("1.0", State.FAILED)])
def test_the_first_version_is_proposed_as_1_0_0(tag, state):
    verdict = judge(version(1, tag), [])
    assert (verdict.state, verdict.proposal) == (state, "1.0.0")


def test_2_0_0_tagged_as_1_2_0_is_told_column_by_column():
    before = [FIRST, version(2, "1.1.0", WITH_OPTIONAL)]
    verdict = judge(version(3, "1.2.0", OTHER_OUTPUT), before)
    assert verdict.state == State.FAILED
    assert (verdict.measured, verdict.wanted) == ("1.2.0", "at least 2.0.0 (MAJOR above 1.1.0)")
    assert "From 1.1.0 to 1.2.0 is a MINOR change, but a MAJOR change is required." in verdict.why
    assert "the output “column 1” was removed; the output “species” is new (string)" in verdict.why
    assert "2.0.0 is the lowest number that is right." in verdict.why
    assert [(each.name, each.before, each.after) for each in verdict.difference.changes] == [
        ("column 1", "string", ""),
        ("species", "", "string"),
        ("confidence", "", "double"),
    ]


def test_an_added_output_column_is_major_for_a_regression_too():
    before = version(1, "1.0.0", signed(columns("age"), NUMBER))
    after = version(2, "1.1.0", {**signed(columns("age")), "outputs": [*NUMBER, *NUMBER]})
    assert judge(after, [before]).required == Bump.MAJOR


def test_a_duplicate_names_the_other_version():
    for other in (version(1, "1.1.0"), version(9, "1.1.0")):
        verdict = judge(version(5, "1.1.0"), [other])
        assert verdict.state == State.FAILED
        assert f"Version {other.version} in MLflow is 1.1.0 too" in verdict.why


def test_going_backwards_names_the_version_before():
    verdict = judge(version(3, "1.5.0"), [FIRST, version(2, "2.0.0")])
    assert verdict.state == State.FAILED
    assert "goes backwards: version 2 in MLflow" in verdict.why
    assert verdict.proposal == "2.0.1"


def test_the_base_is_the_highest_number_registered_before():
    others = [version(1, "1.0.0"), version(2, "3.0.0", WITH_OPTIONAL), version(3, "2.0.0"), version(4, "no")]
    verdict = judge(version(5, "3.0.1", WITH_OPTIONAL), [*others, version(6, "9.0.0", OTHER_OUTPUT)])
    assert verdict.passed
    assert (verdict.base.version, str(verdict.base.number)) == (2, "3.0.0")


def test_a_base_without_a_signature_requires_major():
    verdict = judge(version(2, "1.1.0"), [version(1, "1.0.0", None)])
    assert (verdict.state, verdict.required, verdict.proposal) == (State.FAILED, Bump.MAJOR, "2.0.0")
    assert "The version before has no signature" in verdict.why
    assert judge(version(2, "2.0.0"), [version(1, "1.0.0", None)]).passed


def test_a_proposal_is_never_taken_by_a_later_version():
    verdict = judge(version(2, ""), [FIRST, version(3, "1.0.2")])
    assert verdict.proposal == "1.0.1"
    for later in ("1.0.1", "1.0.0", "0.5.0"):
        verdict = judge(version(2, ""), [version(1, "1.0.0"), version(3, later)])
        assert verdict.proposal == ""
        assert "Register the model again" in verdict.why


def test_nothing_is_proposed_beyond_the_largest_number():
    verdict = judge(version(2, ""), [version(1, f"1.0.{LARGEST_PART}")])
    assert verdict.proposal == ""


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(near.map(str), st.sampled_from(["", "v1", "1.0"])), max_size=5),
    st.integers(1, 6),
    st.sampled_from([PLAIN, WITH_OPTIONAL, OTHER_OUTPUT]),
)
def test_a_proposal_passes_once_it_is_written_and_spoils_no_other(tags, number, signature):
    others = [version(at, tag) for at, tag in enumerate(tags, 1) if at != number]
    verdict = judge(version(number, "", signature), others)
    assert verdict.state == State.MISSING
    if verdict.proposal:
        named = version(number, verdict.proposal, signature)
        assert judge(named, others).passed
        for other in others:
            before = judge(other, [each for each in others if each is not other])
            after = judge(other, [each for each in others if each is not other] + [named])
            assert not (before.passed and after.state == State.FAILED and "goes backwards" in after.why)
            assert f"Version {number} in MLflow" not in after.why
