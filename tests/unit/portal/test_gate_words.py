"""The gate in words."""

from datetime import timedelta

import pytest

from lifecycle.checklists import Checklist, Line
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.findings import Finding, Gate, State
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import Policy
from portal.templatetags import gate

PASSED, FAILED, MISSING, WAIVED = State.PASSED, State.FAILED, State.MISSING, State.WAIVED


def checklist(stage=Stage.STAGING, /, **states):
    findings = tuple(
        Finding(Criterion(name), state, MISSING if state == WAIVED else state) for name, state in states.items()
    )
    return Checklist(Gate(stage, findings), Policy(number=1), tuple(Line(each) for each in findings))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (checklist(), "Ready for Staging"),
        (checklist(unit_tests=PASSED, code_review=WAIVED), "Ready for Staging"),
        (checklist(unit_tests=FAILED, code_review=PASSED), "1 of 2 criteria keeps it from Staging"),
        (checklist(unit_tests=FAILED, code_review=MISSING), "2 of 2 criteria keep it from Staging"),
        (checklist(Stage.PRODUCTION, soak=PASSED, approvals=MISSING), "Ready for Production"),
        (checklist(Stage.PRODUCTION, soak=FAILED, approvals=MISSING), "1 of 1 criteria keeps it from Production"),
        (checklist(Stage.ARCHIVED, replaced=PASSED), "Ready to be archived"),
        (checklist(Stage.ARCHIVED, replaced=FAILED), "1 of 1 criteria keeps it from being archived"),
    ],
)
def test_the_headline(given, sentence):
    assert gate.headline(given) == sentence


def test_every_criterion_stands_in_one_group():
    given = checklist(unit_tests=FAILED, code_review=MISSING, benchmarks=WAIVED, signature=PASSED, approvals=MISSING)
    groups = (given.needed, given.waived, given.fulfilled, given.later)
    assert [len(group) for group in groups] == [2, 1, 1, 1]
    assert (given.failed_count, given.missing_count, given.counted) == (1, 1, 4)


def test_every_state_and_every_check_has_words():
    assert len({gate.state_words(state) for state in State}) == len(State)
    checked = [each for each in Criterion if each.about.origin == "checked"]
    buttons = {gate.run_words(Line(Finding(each, MISSING, MISSING))) for each in checked}
    assert len(buttons) == len(checked)


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ((), "nobody"),
        ((Role.ML_ENGINEER,), "one ML engineer"),
        ((Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.ML_ENGINEER), "one product owner and two ML engineers"),
    ],
)
def test_how_many_have_to_say_yes(roles, words):
    assert gate.roles_counted(roles) == words


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://ci.example.org/1", "ci.example.org"),
        ("javascript:alert(1)", ""),
        ("data:text/html,x", ""),
        ("https://[x", ""),
        ("", ""),
    ],
)
def test_only_web_addresses_are_linked(url, host):
    assert gate.web_host(url) == host


@pytest.mark.parametrize(("age", "words"), [(None, ""), (timedelta(days=2), ""), (timedelta(days=12), "12 d old")])
def test_an_age_is_told_where_the_moment_is_a_date(age, words):
    assert gate.old(age) == words
