"""The gate as a whole: order, evidence that counts, staleness, waivers."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.gates import Facts, Source, State, gate, in_words
from lifecycle.domain.policy import Criteria, Policy, WaiverRules
from lifecycle.domain.stages import Stage
from tests.support.facts import FAST, HOUR, NOW, answered, evidence, finding, version, waiver

REPORTED = (Criterion.UNIT_TESTS, Criterion.INTEGRATION_TESTS, Criterion.CODE_REVIEW, Criterion.SECURITY_SCAN)


def test_a_gate_has_the_policys_criteria_in_the_policys_order():
    for stage, criteria in (
        (Stage.STAGING, TO_STAGING),
        (Stage.PRODUCTION, TO_PRODUCTION),
        (Stage.ARCHIVED, TO_ARCHIVED),
    ):
        found = gate(stage, Policy(), Facts(version()), NOW)
        assert tuple(each.criterion for each in found.findings) == criteria
    mine = Policy(criteria=Criteria(to_staging=(Criterion.CODE_REVIEW, Criterion.UNIT_TESTS)))
    found = gate(Stage.STAGING, mine, Facts(version()), NOW)
    assert [each.criterion for each in found.findings] == [Criterion.CODE_REVIEW, Criterion.UNIT_TESTS]


def test_a_policy_that_asks_nothing_has_an_open_gate():
    empty = Policy(criteria=Criteria((), (), ()))
    assert all(gate(stage, empty, Facts(version()), NOW).open for stage in Stage)


def test_all_criteria_can_pass_at_once():
    facts = [
        *(evidence(criterion) for criterion in (Criterion.UNIT_TESTS, Criterion.INTEGRATION_TESTS)),
        evidence(Criterion.CODE_REVIEW, source=Source.PERSON, by="Mia"),
        evidence(Criterion.ARTIFACT_SCAN, source=Source.CHECK, by="Stagegate"),
    ]
    found = gate(Stage.STAGING, Policy(), Facts(version(), evidence=tuple(facts)), NOW)
    assert found.open, in_words(found.closed_by)


@pytest.mark.parametrize("criterion", REPORTED)
def test_what_is_reported_passes_or_fails_as_reported(criterion):
    assert finding(criterion).state == State.MISSING
    passed = finding(criterion, evidence=(evidence(criterion),))
    assert (passed.state, passed.by, passed.age, passed.why) == (State.PASSED, "CI", HOUR, "")
    failed = finding(criterion, evidence=(evidence(criterion, passed=False, detail="3 of 120 fail"),))
    assert failed.state == State.FAILED
    assert failed.why.startswith("3 of 120 fail. ")


def test_a_reported_figure_is_shown():
    found = finding(Criterion.UNIT_TESTS, evidence=(evidence(Criterion.UNIT_TESTS, value=214, unit="tests"),))
    assert found.measured == "passed, 214 tests"


@pytest.mark.parametrize("criterion", REPORTED)
def test_the_newest_evidence_counts(criterion):
    old, new = evidence(criterion, age=3 * HOUR), evidence(criterion, passed=False, age=HOUR, id=2)
    assert finding(criterion, evidence=(old, new)).state == State.FAILED
    assert finding(criterion, evidence=(replace(old, passed=False), replace(new, passed=True))).state == State.PASSED


def test_of_evidence_from_the_same_moment_the_last_written_counts():
    first, second = evidence(Criterion.UNIT_TESTS, id=1), evidence(Criterion.UNIT_TESTS, passed=False, id=2)
    assert finding(Criterion.UNIT_TESTS, evidence=(second, first)).state == State.FAILED


def test_stale_evidence_is_missing_and_shown_with_why():
    stale = evidence(Criterion.UNIT_TESTS, stale="The version's files have changed since.")
    found = finding(Criterion.UNIT_TESTS, evidence=(stale,))
    assert (found.state, found.stale, found.evidence) == (State.MISSING, stale, None)
    assert "files have changed" in found.why


def test_behind_stale_evidence_the_newest_that_counts_counts():
    old, stale = (
        evidence(Criterion.UNIT_TESTS, age=3 * HOUR),
        evidence(Criterion.UNIT_TESTS, False, id=2, stale="Other."),
    )
    found = finding(Criterion.UNIT_TESTS, evidence=(stale, old))
    assert (found.state, found.evidence, found.stale) == (State.PASSED, old, stale)


# ---------------------------------------------------------------- waivers


@pytest.mark.parametrize("state", [State.FAILED, State.MISSING])
def test_a_waiver_lets_what_is_failed_or_missing_pass(state):
    known = (evidence(Criterion.SECURITY_SCAN, passed=False),) if state == State.FAILED else ()
    mine = waiver(Criterion.SECURITY_SCAN)
    found = finding(Criterion.SECURITY_SCAN, evidence=known, waivers=(mine,))
    assert (found.state, found.without_waiver, found.waived_by, found.holds) == (State.WAIVED, state, mine, True)
    assert found.why


def test_a_waiver_on_what_is_passed_changes_nothing():
    mine = waiver(Criterion.UNIT_TESTS)
    found = finding(Criterion.UNIT_TESTS, evidence=(evidence(Criterion.UNIT_TESTS),), waivers=(mine,))
    assert (found.state, found.waived_by, found.waivers) == (State.PASSED, None, (mine,))


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({"lasts": HOUR + timedelta(microseconds=1)}, State.WAIVED),
        ({"lasts": HOUR}, State.MISSING),
        ({"lasts": HOUR - timedelta(microseconds=1)}, State.MISSING),
        ({"revoked_at": NOW - timedelta(minutes=1)}, State.MISSING),
        ({"stale": "The version's files have changed since."}, State.MISSING),
    ],
)
def test_a_waiver_counts_until_its_end_its_revocation_or_another_artifact(values, state):
    mine = waiver(Criterion.UNIT_TESTS, **values)
    found = finding(Criterion.UNIT_TESTS, waivers=(mine,))
    assert (found.state, found.waivers) == (state, (mine,))


def test_what_nobody_may_waive_stays_closed_though_somebody_did():
    mine = waiver(Criterion.ARTIFACT_SCAN)
    assert finding(Criterion.ARTIFACT_SCAN, waivers=(mine,)).state == State.MISSING
    anybody = Policy(waivers=WaiverRules(never=()))
    assert finding(Criterion.ARTIFACT_SCAN, policy=anybody, waivers=(mine,)).state == State.WAIVED


def test_all_waivers_are_shown_newest_first_and_the_newest_in_force_counts():
    granted = [
        waiver(Criterion.UNIT_TESTS, age=5 * HOUR, lasts=24 * HOUR, id=1),
        waiver(Criterion.UNIT_TESTS, age=3 * HOUR, lasts=24 * HOUR, id=2),
        waiver(Criterion.UNIT_TESTS, age=HOUR, lasts=24 * HOUR, id=3, revoked_at=NOW),
        waiver(Criterion.CODE_REVIEW, id=4),
    ]
    found = finding(Criterion.UNIT_TESTS, waivers=tuple(granted))
    assert [each.id for each in found.waivers] == [3, 2, 1]
    assert found.waived_by.id == 2


# ---------------------------------------------------------------- asking


def test_approvals_do_not_keep_a_change_from_being_asked_for():
    only = Policy(criteria=Criteria(to_production=(Criterion.APPROVALS, Criterion.SECURITY_SCAN)))
    found = gate(Stage.PRODUCTION, only, Facts(version(), evidence=(evidence(Criterion.SECURITY_SCAN),)), NOW)
    assert (found.open, found.to_request) == (False, ())
    found = gate(Stage.PRODUCTION, only, Facts(version()), NOW)
    assert [each.criterion for each in found.to_request] == [Criterion.SECURITY_SCAN]


def test_a_refusal_names_the_first_criteria_and_counts_the_rest():
    found = gate(Stage.STAGING, Policy(), Facts(version()), NOW)
    words = in_words(found.closed_by)
    assert words.startswith("Unit tests (missing): Let CI report")
    assert words.endswith("And 1 more.")


# ---------------------------------------------------------------- for any facts

A_CRITERION = st.sampled_from(Criterion)
A_MEASUREMENT = st.one_of(st.none(), st.floats(), st.text(max_size=3), st.booleans())
EVIDENCE = st.builds(
    evidence,
    A_CRITERION,
    st.booleans(),
    age=st.timedeltas(timedelta(0), timedelta(days=90)),
    source=st.sampled_from(Source),
    value=st.one_of(st.none(), st.floats()),
    detail=st.sampled_from(["", "It is known."]),
    measurements=st.dictionaries(st.sampled_from([*FAST, "rejected"]), A_MEASUREMENT),
    stale=st.sampled_from(["", "Other files."]),
)
WAIVERS = st.builds(
    waiver,
    A_CRITERION,
    lasts=st.timedeltas(timedelta(0), timedelta(days=2)),
    revoked_at=st.sampled_from([None, NOW]),
    stale=st.sampled_from(["", "Other files."]),
)
VERSIONS = st.builds(
    version,
    semantic_version=st.sampled_from(["", "1.0.0", "1.1.0", "2.0.0", "x"]),
    tags=st.dictionaries(st.sampled_from(["task", "training_date", "framework"]), st.text(max_size=5)),
    metrics=st.dictionaries(st.sampled_from(["f1", "rmse", "baseline_rmse", "speed"]), st.floats()),
    signature=st.sampled_from([None, {}, {"inputs": 3}]),
)
ANSWERED = st.builds(
    answered,
    st.integers(0, 3000),
    st.integers(0, 200),
    span=st.timedeltas(timedelta(0), timedelta(days=3)),
    ago=st.timedeltas(timedelta(0), timedelta(days=1)),
)
FACTS = st.builds(
    Facts,
    version=VERSIONS,
    others=st.lists(VERSIONS.map(lambda each: replace(each, version=1)), max_size=1).map(tuple),
    production=st.one_of(st.none(), VERSIONS),
    evidence=st.lists(EVIDENCE, max_size=6).map(tuple),
    waivers=st.lists(WAIVERS, max_size=6).map(tuple),
    staging_since=st.sampled_from([None, NOW - 30 * HOUR]),
    answered=ANSWERED,
    stable_answered=ANSWERED,
    production_since=st.sampled_from([None, NOW - timedelta(days=40)]),
    serves_production=st.booleans(),
    kept_warm=st.booleans(),
    rolled_back=st.sampled_from(["", "Errors."]),
    replaced_by=st.sampled_from(["", "1.2.0"]),
)


@settings(max_examples=150, deadline=None)
@given(facts=FACTS, to_stage=st.sampled_from(Stage))
def test_a_gate_is_never_open_while_something_is_failed_or_missing_and_not_waived(facts, to_stage):
    policy = Policy()
    found = gate(to_stage, policy, facts, NOW)
    wrong = [each for each in found.findings if each.state in (State.FAILED, State.MISSING)]
    assert found.open == (not wrong)
    for each in found.findings:
        if each.state == State.WAIVED:
            assert each.without_waiver != State.PASSED
            assert each.criterion not in policy.waivers.never
            assert each.waived_by.revoked_at is None
            assert each.waived_by.expires_at > NOW
        assert bool(each.why) == (each.without_waiver != State.PASSED), each
        assert each.measured
        assert each.wanted
