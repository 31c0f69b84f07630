"""Each strategy to its end on a whole installation, judged by real traffic through the gateway."""

import time

import httpx
import pytest
import yaml

from lifecycle.domain.policy import Policy, dump
from tests.support.installation import JUDGED, MODEL, wait_until
from tests.support.registry import client_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]

GOOD, SLOW, FAILING = 2, 4, 5
STRICT = {**dump(Policy())["comparison"], **JUDGED}


@pytest.fixture
def first(installation):
    """Version 1 serves alone, before and after."""
    installation.await_ready()
    installation.back_to_first()
    yield installation
    installation.back_to_first()


def rollout(installation, pk):
    return installation.team["aron"].get(f"rollouts/{pk}/")


def entries(installation, pk, action):
    return installation.team["aron"].get(f"audit/?transition={pk}&action={action}")["results"]


def measure(verdict, name):
    return next(each for each in verdict["measures"] if each["name"] == name)


@pytest.fixture
def strict(first):
    first.ungated("The lifecycle strategy's thresholds.", comparison=STRICT)
    yield first
    first.ungated("Room again.")


def test_a_failing_version_is_taken_back_by_itself_with_the_facts_in_the_record(strict):
    strict.into_staging(FAILING)
    with strict.load(100):
        pk = strict.team.approved(MODEL, FAILING, "Production")
        row = strict.team.await_transition(pk)
    assert row["status"] == "rolled_back", row
    assert strict.serving_weights() == {1: 100}
    assert client_of(strict).get_registered_model(MODEL).aliases["production"] == "1"
    (entry,) = entries(strict, pk, "rollback_requested")
    assert entry["actor"] == "Stagegate"
    failed = next(each for each in entry["details"]["verdict"]["measures"] if each["name"] == "error_rate")
    assert failed["state"] == "breached"
    assert failed["estimate"] > failed["limit"] == 2


def test_a_slow_version_is_held_until_a_person_takes_it_back(strict):
    strict.into_staging(SLOW)
    with strict.load(20):
        pk = strict.team.approved(MODEL, SLOW, "Production")
        row = strict.team.await_transition(pk, until=lambda row: row["asks_person"])
        assert (row["status"], row["step"]) == ("running", 0)
        verdict = rollout(strict, pk)["verdict"]
        assert verdict["kind"] == "hold"
        assert measure(verdict, "latency_p95")["state"] == "breached"
        strict.team["emil"].post(f"rollouts/{pk}/abort/", reason="It is far too slow.")
        row = strict.team.await_transition(pk)
    assert row["status"] == "rolled_back"
    assert strict.serving_weights() == {1: 100}


def test_blue_green_cuts_over_at_once_and_keeps_the_old_one_warm(first):
    first.into_staging(GOOD)
    with first.load(50) as load:
        row = first.team.await_transition(first.team.approved(MODEL, GOOD, "Production", strategy="blue_green"))
        moved = time.monotonic()
        wait_until(lambda: load.by_version(since=moved)[GOOD] > 20, 20, "answers of the new version")
    assert row["status"] == "finished"
    assert load.failures == []
    assert load.by_version(since=moved + 0.5)[1] == 0
    weights = [effect["summary"] for effect in row["effects"] if effect["kind"] == "traffic"]
    assert weights == ["100 % of requests to 1.0.1"]
    variants = first.team["aron"].get(f"models/{MODEL}/")["variants"]
    assert {(each["version"], each["role"]) for each in variants} >= {(1, "warm"), (GOOD, "production")}


def test_a_shadow_answers_copies_that_users_never_see(strict):
    strict.into_staging(GOOD)
    # The new version names some flowers otherwise, which the old one was wrong about.
    strict.ungated("A few answers are other ones.", comparison=STRICT, rollout={"shadow_agreement": 80})
    with strict.load(50) as load:
        pk = strict.team.approved(MODEL, GOOD, "Production", strategy="shadow")
        strict.team.await_transition(pk, until=lambda row: row["step_since"])
        shadowed = time.monotonic()
        wait_until(lambda: (rollout(strict, pk)["verdict"] or {}).get("measures"), 60, "a verdict on the shadow")
        wait_until(
            lambda: measure(rollout(strict, pk)["verdict"], "agreement")["estimate"] is not None, 60, "compared answers"
        )
        if strict.team.transition(pk)["step"] == 0:
            assert load.by_version(since=shadowed + 0.5)[GOOD] == 0
        row = strict.team.await_transition(pk)
    assert row["status"] == "finished", row
    assert load.failures == []


def test_a_person_steers_a_rollout(first):
    first.into_staging(GOOD)
    emil = first.team["emil"]
    pk = first.team.approved(MODEL, GOOD, "Production")
    first.team.await_transition(pk, until=lambda row: row["step_since"])
    emil.post(f"rollouts/{pk}/pause/", reason="Lunch.")
    assert "Lunch." in first.team.await_transition(pk, until=lambda row: "Lunch." in row["waiting_for"])["waiting_for"]
    emil.post(f"rollouts/{pk}/resume/", reason="Back again.")
    emil.post(f"rollouts/{pk}/skip/", reason="Nobody is awake to send requests.")
    first.team.await_transition(pk, until=lambda row: row["step"] == 1 and row["step_since"])
    assert first.serving_weights() == {1: 50, GOOD: 50}
    first.team["priya"].post(f"rollouts/{pk}/promote/", reason="I answer for it.")
    assert first.team.await_transition(pk)["status"] == "finished"
    assert first.serving_weights() == {GOOD: 100}


def test_a_drill_goes_there_and_back_and_is_timed(first):
    first.into_staging(GOOD)
    first.promoted(GOOD)
    with first.load(50) as load:
        wait_until(lambda: load.by_version()[GOOD] > 20, 20, "answers")
        pk = first.team["emil"].post(f"models/{MODEL}/drill/", reason="Are we quick enough?")["id"]
        row = first.team.await_transition(pk)
    assert row["status"] == "finished", row
    assert row["traffic_back_at"]
    assert load.failures == []
    assert load.by_version()[1] > 0
    assert first.serving_weights() == {GOOD: 100}
    assert client_of(first).get_registered_model(MODEL).aliases["production"] == str(GOOD)


def test_weights_edited_by_hand_are_seen_and_put_right(first):
    first.into_staging(GOOD)
    route = first.home / "gateway" / "routes" / f"{MODEL}.yml"
    before = route.read_text()
    values = yaml.safe_load(before)
    for child in values["http"]["services"][MODEL]["weighted"]["services"]:
        child["weight"] = 50
    route.write_text(before.split("\n", 2)[0] + "\n" + before.split("\n", 2)[1] + "\n" + yaml.safe_dump(values))
    edited = time.monotonic()
    aron = first.team["aron"]
    wait_until(lambda: aron.get(f"models/{MODEL}/")["disagreements"], 30, "the disagreement to be shown")
    assert time.monotonic() - edited < 30
    first.team["emil"].post(f"models/{MODEL}/reconcile/", reason="Nobody was to touch that file.")
    wait_until(lambda: not aron.get(f"models/{MODEL}/")["disagreements"], 60, "both to agree again")
    services = httpx.get(f"{first.environment['STAGEGATE_GATEWAY_API']}/api/http/services", trust_env=False).json()
    weighted = next(each for each in services if each["name"] == f"{MODEL}@file")["weighted"]["services"]
    assert {child["name"]: child["weight"] for child in weighted if child["weight"]} == {f"{MODEL}--v1": 100}


def test_a_rollback_needs_neither_the_general_worker_nor_mlflow_nor_the_canary(first):
    first.into_staging(GOOD)
    with first.load(50) as load:
        pk = first.team.approved(MODEL, GOOD, "Production")
        first.team.await_transition(pk, until=lambda row: row["step_since"])
        with first.without("worker"), first.without("mlflow"):
            first.kill(f"{MODEL}--v{GOOD}")
            clicked = time.monotonic()
            first.team["emil"].post(f"models/{MODEL}/rollback/", reason="Errors went up.")
            first.team.await_transition(pk, until=lambda row: row["traffic_back_at"], seconds=20)
            wait_until(lambda: load.by_version(since=clicked + 1)[1] > 20, 20, "answers of version 1")
        row = first.team.await_transition(pk)
    assert row["status"] == "rolled_back", row
    assert load.by_version(since=clicked + 1)[GOOD] == 0
    assert first.serving_weights() == {1: 100}
