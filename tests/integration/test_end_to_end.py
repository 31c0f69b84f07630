"""A whole installation: MLflow, Valkey, Traefik, model servers, workers, and real requests through all of it."""

import time

import httpx
import pytest

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.ports import VersionRef
from tests.support.installation import MODEL, wait_until
from tests.support.registry import client_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]


@pytest.fixture
def first(installation):
    """Version 1 serves alone, before and after."""
    installation.await_ready()
    installation.back_to_first()
    yield installation
    installation.await_ready()
    installation.back_to_first()


def test_the_mirror_has_what_mlflow_has(installation):
    seen = installation.team["aron"].get(f"models/{MODEL}/versions/1/")
    real = client_of(installation).get_model_version(MODEL, "1")
    run = client_of(installation).get_run(real.run_id)
    assert seen["metrics"] == pytest.approx(run.data.metrics)
    assert seen["params"] == run.data.params
    assert seen["stage"] == real.current_stage == "Production"
    assert [column["name"] for column in seen["signature"]["inputs"]]
    for tag in ("schema_version", "data_version", "feature_set_version", "training_date", "trainer_email", "framework"):
        assert seen["tags"][tag] == real.tags[tag]


def test_traffic_moves_in_steps_by_the_schedule_and_no_request_fails(first):
    first.into_staging(2)
    steps = [{"weight": weight, "minimum": 2} for weight in (5, 25, 50)]
    first.ungated("The weights of the lifecycle strategy.", canary_steps=[*steps, {"weight": 100, "minimum": 0}])
    with first.load(150) as load:
        pk = first.team.approved(MODEL, 2, "Production")
        row = first.team.await_transition(pk, seconds=300)
        moved = time.monotonic()
        wait_until(lambda: load.by_version(since=moved)[2] > 20, 20, "answers of version 2")
    first.ungated("Short again.")
    assert row["status"] == "finished"
    assert load.failures == []
    assert load.by_version()[1] > 20
    assert load.by_version(since=moved + 0.5)[1] == 0
    weights = [effect["summary"] for effect in row["effects"] if effect["kind"] == "traffic"]
    assert weights == [
        "95 % of requests to 1.0.0, 5 % of requests to 1.0.1",
        "75 % of requests to 1.0.0, 25 % of requests to 1.0.1",
        "50 % of requests to 1.0.0, 50 % of requests to 1.0.1",
        "100 % of requests to 1.0.1",
    ]
    real = client_of(first).get_registered_model(MODEL)
    assert real.aliases["production"] == "2"
    assert client_of(first).get_model_version(MODEL, "2").current_stage == "Production"


def test_a_rollback_during_a_canary_brings_everybody_back(first):
    first.into_staging(2)
    with first.load(rate=50) as load:
        pk = first.team.approved(MODEL, 2, "Production")
        first.team.await_transition(pk, until=lambda row: row["step_since"])
        wait_until(lambda: load.by_version()[2] > 5, 20, "answers of the canary")
        clicked = time.monotonic()
        first.team["emil"].post(f"models/{MODEL}/rollback/", reason="Errors went up.")
        row = first.team.await_transition(pk)
        wait_until(lambda: load.by_version(since=clicked + 1)[1] > 20, 20, "answers of version 1")
    assert row["status"] == "rolled_back"
    assert load.by_version(since=clicked + 1)[2] == 0
    assert load.failures == []
    assert client_of(first).get_model_version(MODEL, "2").current_stage == "Staging"


def test_traffic_comes_back_while_mlflow_is_down_and_mlflow_catches_up(first):
    first.into_staging(2)
    first.promoted(2)
    with first.without("mlflow"):
        clicked = time.monotonic()
        pk = first.team["emil"].post(f"models/{MODEL}/rollback/", reason="Errors went up.")["id"]
        row = first.team.await_transition(pk, until=lambda row: row["traffic_back_at"], seconds=10)
        assert time.monotonic() - clicked < 5
        assert row["status"] == "rolling_back"
    row = first.team.await_transition(pk)
    assert row["status"] == "finished"
    assert client_of(first).get_model_version(MODEL, "2").current_stage == "Archived"
    assert client_of(first).get_registered_model(MODEL).aliases["production"] == "1"


@pytest.mark.parametrize(
    "programs",
    [(("worker", "beat"), ("portal", "observations")), (("valkey", "checks"), ("rollbacks", "mlflow"))],
)
def test_killed_one_after_another_in_the_steps_of_a_rollout_it_goes_on(first, programs):
    first.into_staging(2)
    with first.load(100) as load:
        pk = first.team.approved(MODEL, 2, "Production")
        for step, killed in enumerate(programs):
            first.team.await_transition(pk, until=lambda row, step=step: row["step"] >= step and row["step_since"])
            for program in killed:
                first.kill(program)
            first.await_ready()
        row = first.team.await_transition(pk)
    assert row["status"] == "finished"
    assert first.serving_weights() == {2: 100}
    assert load.failures == []
    done = [effect["summary"] for effect in row["effects"] if effect["outcome"] == "done"]
    assert len(done) == len(set(done)) == 7


def test_a_killed_gateway_and_killed_model_servers_come_back_with_the_weights_of_the_step(first):
    first.into_staging(2)
    with first.load(100):
        pk = first.team.approved(MODEL, 2, "Production")
        first.team.await_transition(pk, until=lambda row: row["step_since"])
        for program in (f"{MODEL}--v1", "gateway", f"{MODEL}--v2"):
            first.kill(program)
        first.await_ready()
        first.team["emil"].post(f"rollouts/{pk}/promote/", reason="The gateway's own end is in the figures.")
        row = first.team.await_transition(pk)
    assert row["status"] == "finished"
    assert first.serving_weights() == {2: 100}
    with first.load() as load:
        wait_until(lambda: load.by_version()[2] > 20, 20, "answers of version 2")
    assert load.failures == []
    assert load.by_version()[1] == 0


def test_a_tag_set_in_mlflow_arrives_by_webhook_or_sweep(installation):
    client_of(installation).set_model_version_tag(MODEL, "3", "reviewed_by", "Jürgen")
    person = installation.team["aron"]
    wait_until(lambda: person.get(f"models/{MODEL}/versions/3/")["tags"].get("reviewed_by") == "Jürgen", 120, "the tag")


def test_a_stage_changed_in_mlflow_is_recorded_as_out_of_band(installation):
    MlflowRegistry(installation.environment["MLFLOW_TRACKING_URI"]).set_stage(VersionRef(MODEL, 3), "Archived")
    person = installation.team["aron"]
    wait_until(lambda: person.get(f"models/{MODEL}/versions/3/")["stage"] == "Archived", 60, "the stage")
    entries = person.get(f"audit/?model={MODEL}&version=3&action=out_of_band_stage_change")["results"]
    assert [(entry["from_stage"], entry["to_stage"]) for entry in entries] == [("Development", "Archived")]
    assert "directly in MLflow" in entries[0]["reason"]


def test_the_gateway_shows_users_no_metrics(installation):
    gateway = installation.route.removesuffix("invocations")
    assert httpx.get(f"{gateway}ping", trust_env=False).status_code == 200
    assert httpx.get(f"{gateway}metrics", trust_env=False).status_code == 404


def test_every_queue_gives_a_sign_of_life(installation):
    def states():
        parts = installation.team["aron"].get("status/")["parts"]
        return {each["part"]: each["state"] for each in parts if each["part"].startswith(("beat", "queue:"))}

    wait_until(lambda: set(states().values()) == {"healthy"}, 30, "signs of life")
    assert len(states()) == 5


def test_readyz_names_what_is_down(installation):
    with installation.without("mlflow"):
        answer = installation.team["aron"].page("/readyz")
        assert answer.status_code == 200
        assert [name for name, part in answer.json()["parts"].items() if not part["ok"]] == ["registry"]
    installation.await_ready()


def test_a_candidate_that_cannot_be_loaded_is_turned_back(first):
    run = client_of(first).create_run("0")
    client_of(first).log_text(run.info.run_id, "flavors: {no_such_flavor: {}}", "broken/MLmodel")
    broken = client_of(first).create_model_version(MODEL, f"{run.info.artifact_uri}/broken", run.info.run_id)
    wait_until(
        lambda: first.team["aron"].page(f"/api/v1/models/{MODEL}/versions/{broken.version}/").status_code == 200,
        60,
        "the mirror",
    )
    pk = first.team.approved(MODEL, int(broken.version), "Staging")
    row = first.team.await_transition(pk)
    assert row["status"] == "rolled_back"
    assert first.serving_weights() == {1: 100}
