"""Evidence and gates on a whole installation: real MLflow, real model servers, real checks by real workers."""

import pickle
import time
from contextlib import contextmanager

import pytest

from tests.support.installation import DEMO_POLICY, MODEL, wait_until
from tests.support.load import Load, flowers
from tests.support.registry import client_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GOOD, MINOR, SLOW, FAILING, BREAKING = 2, 3, 4, 5, 6
# What the machine of the tests reaches while other tests run; the slow version fails by its latency.
MODEST = {"throughput": 10}
SHORT = {
    "load_test": {"users": 4, "ramp": "1s", "steady": "4s"},
    "malformed_inputs": 60,
    "in_staging": [],
    "in_development": [],
}


@pytest.fixture(scope="module")
def gated(installation):
    """The demo's criteria apply, with short load tests, and nothing starts by itself."""
    installation.await_ready()
    installation.back_to_first()
    with installation.gated(checks=SHORT, service_levels=MODEST):
        yield installation


def start(installation, version, criterion):
    """A new run of the check, or the one that the policy has just started."""
    answer = installation.team["emil"].try_post(f"models/{MODEL}/versions/{version}/checks/", criterion=criterion)
    if answer.status_code == 409:
        runs = installation.team["aron"].get(f"models/{MODEL}/versions/{version}/checks/")["results"]
        return next(run["id"] for run in runs if run["criterion"] == criterion)
    return answer.raise_for_status().json()["id"]


def finished(installation, version, check, seconds=150):
    """The run when it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        runs = installation.team["aron"].get(f"models/{MODEL}/versions/{version}/checks/")["results"]
        run = next(each for each in runs if each["id"] == check)
        if run["status"] not in ("queued", "running"):
            return run
        time.sleep(0.2)
    raise AssertionError(f"still {run}")


def checked(installation, version, criterion):
    run = finished(installation, version, start(installation, version, criterion))
    assert run["status"] in ("passed", "failed"), run
    return finding(installation, version, criterion)


def gate(installation, version, to_stage, name=MODEL):
    return installation.team["aron"].get(f"models/{name}/versions/{version}/gate/?to={to_stage}")


def finding(installation, version, criterion, name=MODEL):
    """What the gate that asks for the criterion says of it."""
    stage = "Staging" if criterion in ("artifact_scan", "unit_tests", "semantic_version") else "Production"
    findings = gate(installation, version, stage, name)["findings"]
    return next(each for each in findings if each["criterion"] == criterion)


def test_the_ci_has_reported_its_tests_of_every_version(gated):
    for version in range(1, 7):
        for criterion in ("unit_tests", "integration_tests"):
            rows = gated.team["aron"].get(f"models/{MODEL}/versions/{version}/evidence/")["results"]
            row = next(each for each in rows if each["criterion"] == criterion)
            assert (row["outcome"], row["source"]) == ("passed", "ci"), row
            assert "tests passed in" in row["detail"]


@pytest.mark.parametrize(
    ("version", "criterion"),
    # A scikit-learn model in skops, and a model as code.
    [(GOOD, "artifact_scan"), (MINOR, "artifact_scan"), (GOOD, "load_test"), (GOOD, "malformed_input")],
)
def test_a_good_version_passes_its_checks(gated, version, criterion):
    found = checked(gated, version, criterion)
    assert found["state"] == "passed", found


def test_the_slow_version_fails_its_load_test(gated):
    found = checked(gated, SLOW, "load_test")
    assert found["state"] == "failed"
    failed = [measure["name"] for measure in found["measures"] if not measure["passed"]]
    assert failed


def test_the_failing_version_fails_predictions(gated):
    found = checked(gated, FAILING, "load_test")
    assert found["state"] == "failed"
    assert [measure for measure in found["measures"] if "ailed" in measure["name"] and not measure["passed"]], found


@contextmanager
def registered(installation, name, files, run_id, tag):
    """A version of the model ``name`` with these files, which is removed at the end."""
    client = client_of(installation)
    model_id = files.removeprefix("models:/") if files.startswith("models:/") else None
    made = client.create_model_version(
        name, source=files, run_id=run_id, model_id=model_id, tags={"semantic_version": tag}
    )
    try:
        await_mirrored(installation, name, int(made.version))
        yield int(made.version)
    finally:
        client.delete_model_version(name, made.version)


def await_mirrored(installation, name, version):
    def known():
        return installation.team["aron"].page(f"/api/v1/models/{name}/versions/{version}/").status_code == 200

    wait_until(known, 30, "the mirror to have the version")


def test_a_breaking_change_called_minor_is_refused_column_by_column(gated):
    client, name = client_of(gated), "iris-misnamed"
    client.create_registered_model(name)
    minor, breaking = (client.get_model_version(MODEL, str(version)) for version in (MINOR, BREAKING))
    with (
        registered(gated, name, minor.source, minor.run_id, "1.1.0"),
        registered(gated, name, breaking.source, breaking.run_id, "1.2.0") as version,
    ):
        found = finding(gated, version, "semantic_version", name)
        assert found["state"] == "failed"
        assert "MAJOR" in found["why"]
        assert "2.0.0" in found["why"]
        assert any("confidence" in measure["name"] for measure in found["measures"]), found
        body = {"model": name, "version": version, "to_stage": "Staging", "reason": "It is only a small change."}
        refused = gated.team["emil"].try_post("transitions/", **body)
        assert (refused.status_code, refused.json()["title"]) == (409, "gate closed")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w').write('executed')",)


def sneaky(path):
    """A pickle that the scanners pass: it names importlib.import_module and nothing that they know."""
    return (
        b"\x80\x04cimportlib\nimport_module\nX\x02\x00\x00\x00os\x85R\x940"
        + b"cbuiltins\ngetattr\nh\x00X\x06\x00\x00\x00system\x86R"
        + b"X" + len(f"touch {path}").to_bytes(4, "little") + f"touch {path}".encode() + b"\x85R."
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["malicious", "sneaky"])
def test_a_pickle_that_could_do_harm_fails_and_is_never_executed(gated, tmp_path, kind):
    trace, folder = tmp_path / "executed", tmp_path / "model"
    folder.mkdir()
    content = pickle.dumps(Payload(trace)) if kind == "malicious" else sneaky(trace)
    files, run_id = artifact_with(gated, folder, content)
    with registered(gated, MODEL, files, run_id, "9.9.9") as version:
        found = checked(gated, version, "artifact_scan")
        assert found["state"] == "failed", found
        assert not trace.exists()


def artifact_with(installation, folder, content):
    """A run of MLflow with a model's files, of which the weights are ``content``; their address and the run."""
    client = client_of(installation)
    run = client.create_run("0").info
    (folder / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    (folder / "model.pkl").write_bytes(content)
    client.log_artifacts(run.run_id, str(folder), "model")
    client.set_terminated(run.run_id)
    return f"{run.artifact_uri}/model", run.run_id


def test_a_closed_gate_refuses_on_the_server(gated):
    """3 (1.1.0) lacks a code review, and the page's button is not what refuses."""
    refused = gated.team["emil"].try_post(
        "transitions/", model=MODEL, version=3, to_stage="Staging", reason="Nobody will notice."
    )
    assert refused.status_code == 409
    problem = refused.json()
    assert problem["title"] == "gate closed"
    assert "Code review" in problem["detail"]


def test_a_version_goes_all_the_way_through_its_gates(gated):
    """Staging takes its criteria; Production is refused until time, traffic and checks are there, and the drift that
    the test's requests make, all of one flower, has been explained."""
    checks = {**SHORT, "in_staging": ["load_test", "malformed_input", "drift"]}
    gated.put_policy(DEMO_POLICY, "Checks start by themselves in Staging.", checks=checks, service_levels=MODEST)
    with Load(gated.route, flowers()[:1], 60):
        stays_in_staging_from_now_on(gated, GOOD)
        asked = {"model": MODEL, "version": GOOD, "to_stage": "Production", "reason": "I cannot wait."}
        assert gated.team["emil"].try_post("transitions/", **asked).status_code == 409
        await_closed_by_nothing_but(gated, "approvals", "drift")
        assert finding(gated, GOOD, "drift")["state"] == "failed"
        gated.team["mia"].post(
            f"models/{MODEL}/versions/{GOOD}/evidence/",
            criterion="drift", outcome="passed", detail="Every request of this test is about one and the same flower.",
        )  # fmt: skip
        await_closed_by_nothing_but(gated, "approvals")
        row = gated.team.await_transition(gated.team.approved(MODEL, GOOD, "Production", strategy="blue_green"))
    assert row["status"] == "finished", row["outcome"]


def stays_in_staging_from_now_on(installation, version):
    """Another test may have left it there without a share of the requests."""
    if installation.team["aron"].get(f"models/{MODEL}/versions/{version}/")["stage"] == "Staging":
        row = installation.team.await_transition(installation.team.approved(MODEL, version, "Archived"))
        assert row["status"] == "finished", row["outcome"]
    installation.into_staging(version)


def await_closed_by_nothing_but(installation, *criteria):
    """Until the good version's gate to Production lacks these alone, each of them judged by now."""

    def closed():
        findings = gate(installation, GOOD, "Production")["findings"]
        states = {each["criterion"]: each["state"] for each in findings if each["state"] not in ("passed", "waived")}
        return set(states) <= set(criteria) and states.get("drift") != "missing"

    wait_until(closed, 150, f"the gate to be closed by nothing but {', '.join(criteria)}")
