import time

import pytest
import yaml
from hypothesis import given, settings

from lifecycle import policy_files
from lifecycle.domain.policy import Policy, Problem, dump, load
from lifecycle.policy_files import PolicyFileError
from tests.support.policies import policies


def wrong(text):
    """Line, column and message of everything that is wrong."""
    with pytest.raises(PolicyFileError) as caught:
        policy_files.read(text)
    return [(problem.line, problem.column, problem.message) for problem in caught.value.problems]


@settings(max_examples=50)
@given(policies)
def test_a_policy_survives_its_file(policy):
    assert policy_files.read(policy_files.write(policy)) == policy


@settings(max_examples=25)
@given(policies)
def test_other_readers_of_yaml_find_the_same_values(policy):
    assert load(yaml.safe_load(policy_files.write(policy))) == policy


def test_a_file_has_its_values_in_a_stable_order_and_says_their_units():
    text = policy_files.write(Policy())
    names = [line.split(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    assert names == list(dump(Policy()))
    for words in ("percent", "Lengths of time", "answers a second", "percentage points"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 120
    assert policy_files.write(policy_files.read(text)) == text


def test_what_is_left_out_takes_the_strategys_value():
    assert policy_files.read("{}") == Policy()
    assert policy_files.read("# nothing but a comment\nwarm_window: 1h") == load({"warm_window": "1h"})


def test_every_problem_comes_at_its_line():
    text = """\
soak:
  duration: 1x
  requests: 1e3
retention: {arcived: 90d}
soak: {}
staging_weight: 51
canary_steps:
  - weight: 5
  - weight: 4
    minimum: 1h
evidence:
  required_tags:
    - schema_version
    - &tag data_version
    - *tag
waivers:
"""
    found = wrong(text)
    assert [(line, column) for line, column, _ in found] == [
        (2, 3),
        (3, 3),
        (4, 13),
        (5, 1),
        (6, 1),
        (8, 5),
        (14, 7),
        (15, 7),
        (16, 1),
    ]
    messages = [message for _, _, message in found]
    parts = ["such as 24h", "whole number", "Did you mean archived?", "here already", "51 is out", "minimum is missing"]
    parts += ["Anchors and aliases", "Anchors and aliases", "group of values"]
    for part, message in zip(parts, messages, strict=True):
        assert part in message


@pytest.mark.parametrize(
    ("text", "line", "column", "complaint"),
    [
        ("", 1, 1, "empty"),
        ("# only a comment\n", 1, 1, "empty"),
        ("[1]", 1, 1, "group of values"),
        ("just words", 1, 1, "group of values"),
        ("soak:\n\trequests: 1", 2, 1, "not YAML"),
        ("a: b: c", 1, 5, "not YAML: mapping values are not allowed here"),
        ("soak: {requests: 1\nretention: {}", 2, 10, "not YAML"),
        ("staging_weight: 10\n---\nstaging_weight: 11", 2, 1, "single document"),
        ("staging_weight: 'x", 1, 19, "unexpected end"),
        ("staging_weight: !!python/object/apply:os.system [ls]", 1, 17, "Types such as"),
        ("soak: !!set {a}", 1, 7, "Types such as"),
        ("staging_weight: !!int x", 1, 17, "not what its type says"),
        ("? [a]\n: 1", 1, 3, "has to be a word"),
        ("1: 2", 1, 1, "no value called “1”"),
        ("<<: {staging_weight: 1}", 1, 1, "no value called “<<”"),
        ("shortened: yes", 1, 1, "true or false, not “yes”"),
        ("warm_window: 1:30", 1, 1, "such as 24h"),
        ("staging_weight: " + "9" * 5000, 1, 1, "whole number"),
        ("staging_weight: .nan", 1, 1, "whole number"),
        ("soak: {}\nstaging\0_weight: 1", 2, 8, "U+0000 cannot"),
        ("soak: {}\r\nstaging_weight: 51\r\n", 2, 1, "out of range"),
        ("soak: {}\u2028staging_weight: 51", 1, 10, "out of range"),
        (b"soak: {}\nx: \xff", 2, 4, "UTF-8"),
        ("\ufeffstaging_weight: 51", 1, 1, "out of range"),
        ("# " + "x" * 70_000, 1, 1, "larger than 64 KB"),
    ],
)
def test_a_mistake_is_pointed_at(text, line, column, complaint):
    [(found_line, found_column, message)] = wrong(text)
    assert (found_line, found_column) == (line, column)
    assert complaint in message


def test_all_odd_characters_are_pointed_at():
    assert [(line, column) for line, column, _ in wrong("a\0: 1\n\x01b: \x02")] == [(1, 2), (2, 1), (2, 5)]


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 60_000,
        "- " * 30_000,
        "? " * 30_000,
        "{a: " * 16_000,
        "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a,*a,*a,*a]\n" for n in range(2000)),
        "x: 1\n" * 13_000,
        "evidence: {required_tags: [" + "a," * 30_000 + "a]}",
    ],
)
def test_a_bomb_does_no_harm(bomb):
    started = time.perf_counter()
    assert len(wrong(bomb)) <= policy_files.MOST_PROBLEMS
    assert time.perf_counter() - started < 10


def test_the_error_says_the_first_problem_and_how_many_more():
    with pytest.raises(PolicyFileError, match=r"^Line 1, column 1: 51 is out .* There is 1 more problem\.$"):
        policy_files.read("staging_weight: 51\nwarm_window: x")
    with pytest.raises(PolicyFileError, match=r"There are 2 more problems\.$"):
        policy_files.read("staging_weight: 51\nwarm_window: x\nx: 1")


def test_problems_of_another_kind_are_found_in_the_file():
    text = "soak: {}\napprovals_to_staging: [ml_engineer]\n"
    [here, nowhere] = policy_files.locate(
        text, [Problem(("approvals_to_staging",), "Nobody."), Problem(("waivers", "roles"), "Nobody.")]
    )
    assert (here.line, here.column) == (2, 1)
    assert (nowhere.line, nowhere.column) == (1, 1)
