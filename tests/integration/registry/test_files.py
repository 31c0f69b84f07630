"""Model files of a real MLflow: every kind of address, stores that fail, and what may never be deleted."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.adapters import mlflow_registry
from lifecycle.adapters.artifact_places import parse
from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.ports import (
    ArtifactEntry,
    ArtifactFile,
    Dataset,
    Keeper,
    NotFoundError,
    PermanentError,
    PortError,
    RegistryVersion,
    RunOrigin,
    TemporaryError,
    VersionRef,
)
from tests.contract.registry import new_name
from tests.integration.registry.faults import Fault, FaultyServer, faulty_server
from tests.integration.registry.server import MlflowServer, MlflowWorld

pytestmark = pytest.mark.integration


@pytest.fixture
def run(world: MlflowWorld) -> tuple[VersionRef, str, str]:
    """A version with files below a run of its own; its source and run."""
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, files={"data/a.bin": b"12345"})
    answer = world.session.get(
        f"{world.server.uri}/api/2.0/mlflow/model-versions/get", params={"name": name, "version": "1"}, timeout=10
    ).json()["model_version"]
    return ref, answer["source"], answer["run_id"]


def logged_model(world: MlflowWorld) -> tuple[str, str]:
    """A logged model with one file, not registered yet; its id and the address of its files."""
    info = world.call("POST", "mlflow/logged-models", experiment_id="0", name="m")["model"]["info"]
    path = f"{info['artifact_uri'].removeprefix('mlflow-artifacts:')}/MLmodel"
    url = f"{world.server.uri}/api/2.0/mlflow-artifacts/artifacts{path}"
    assert world.session.put(url, data=b"flavors: {}\n", timeout=10).status_code == 200
    return info["model_id"], info["artifact_uri"]


def register(world: MlflowWorld, source: str, **more: str) -> VersionRef:
    name = new_name()
    world.create_model(name)
    world.call("POST", "mlflow/model-versions/create", name=name, source=source, **more)
    return VersionRef(name, 1)


def stored(server: MlflowServer, address: str) -> Path:
    """Where the server keeps what is at an address."""
    return server.database.parent / "files" / address.removeprefix("mlflow-artifacts:/")


def test_a_logged_model_goes_with_its_entry_in_mlflow(world: MlflowWorld, registry: MlflowRegistry) -> None:
    model_id, address = logged_model(world)
    other_id, _ = logged_model(world)
    ref = register(world, f"models:/{model_id}", model_id=model_id)
    version = registry.version(ref)
    assert registry.files(version.source, version.run_id) == (ArtifactFile("MLmodel", 12),)
    assert registry.files(address, "") == (ArtifactFile("MLmodel", 12),)
    registry.delete_version(ref)
    registry.delete_files(version.source, version.run_id)
    registry.delete_files(version.source, version.run_id)
    assert registry.files(version.source, version.run_id) == ()
    assert not stored(world.server, address).exists()
    with pytest.raises(NotFoundError):
        registry._api("GET", f"logged-models/{model_id}")
    assert registry.files(f"models:/{other_id}", "")


def test_the_folders_of_a_logged_model_are_read_and_those_of_its_copy(
    world: MlflowWorld, registry: MlflowRegistry
) -> None:
    model_id, address = logged_model(world)
    original = register(world, f"models:/{model_id}", model_id=model_id)
    copy = register(world, f"models:/{original.model}/1")
    for version in (registry.version(original), registry.version(copy), RegistryVersion(original, "", source=address)):
        assert registry.folder(version, Keeper.MODEL, seconds=20) == (ArtifactEntry("MLmodel", 12),)
        assert registry.content(version, Keeper.MODEL, "MLmodel", most=12, seconds=20) == b"flavors: {}\n"
        assert registry.folder(version, Keeper.RUN, seconds=20) == ()
    elsewhere = RegistryVersion(original, "", source="models:/m-" + "0" * 32)
    assert registry.folder(elsewhere, Keeper.MODEL, seconds=20) == ()


def test_a_run_says_what_it_was_given(world: MlflowWorld, registry: MlflowRegistry) -> None:
    parent = world._run({}, {})["run_id"]
    run_id = world._run({}, {})["run_id"]
    world.call("POST", "mlflow/runs/set-tag", run_id=run_id, key="mlflow.parentRunId", value=parent)
    dataset = {"name": "orders", "digest": "abc", "source_type": "delta", "source": "{}"}
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    world.call("POST", "mlflow/runs/log-inputs", run_id=run_id, datasets=[{"dataset": dataset, "tags": tags}])
    origin = registry.run_origin(run_id, seconds=20)
    assert origin == RunOrigin(parent, (Dataset("orders", "abc", "delta", "training"),))


def test_a_logged_model_that_mlflow_marked_as_deleted_still_has_its_files(
    world: MlflowWorld, registry: MlflowRegistry
) -> None:
    model_id, address = logged_model(world)
    world.call("DELETE", f"mlflow/logged-models/{model_id}")
    assert registry.files(f"models:/{model_id}", "")
    registry.delete_files(f"models:/{model_id}", "")
    assert not stored(world.server, address).exists()


def test_a_logged_model_that_never_was_has_no_files(registry: MlflowRegistry) -> None:
    source = "models:/m-" + "0" * 32
    assert registry.files(source, "") == ()
    registry.delete_files(source, "")


def test_a_copy_has_the_files_of_its_original_and_never_deletes_them(
    world: MlflowWorld, registry: MlflowRegistry
) -> None:
    model_id, address = logged_model(world)
    original = register(world, f"models:/{model_id}", model_id=model_id)
    copy = register(world, f"models:/{original.model}/1")
    source = registry.version(copy).source
    assert (source, registry.location(copy)) == (f"models:/{original.model}/1", address)
    assert registry.files(source, "") == (ArtifactFile("MLmodel", 12),)
    with pytest.raises(PermanentError, match="files of another version"):
        registry.delete_files(source, "")
    registry.delete_version(original)
    assert registry.location(copy) == address


def test_an_address_by_run_is_that_runs(
    world: MlflowWorld, registry: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    _, source, run_id = run
    by_run = f"runs:/{run_id}/model"
    assert registry.files(by_run, run_id) == registry.files(source, run_id) != ()
    for climbing in (f"runs:/{run_id}/../..", f"runs:/{run_id}/", f"runs:/{run_id}", f"runs:/{run_id}/model/%2e%2e"):
        with pytest.raises(PermanentError):
            registry.delete_files(climbing, run_id)
    registry.delete_files(by_run, run_id)
    assert registry.files(source, run_id) == ()
    with pytest.raises(NotFoundError):
        registry.files(f"runs:/{'0' * 32}/model", "")


def test_a_source_can_be_a_single_file(registry: MlflowRegistry, run: tuple[VersionRef, str, str]) -> None:
    _, source, run_id = run
    assert registry.files(f"{source}/data/a.bin", run_id) == (ArtifactFile("a.bin", 5),)
    registry.delete_files(f"{source}/data/a.bin", run_id)
    assert [file.path for file in registry.files(source, run_id)] == ["MLmodel"]


def test_nothing_beside_the_model_is_touched(
    world: MlflowWorld, registry: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    _, source, run_id = run
    directory = stored(world.server, source)
    beside = directory.parent / "model-2" / "weights"
    beside.parent.mkdir()
    beside.write_bytes(b"1")
    outside = world.server.database.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_bytes(b"1")
    (directory / "link").symlink_to(outside)
    registry.delete_files(source, run_id)
    assert not directory.exists()
    assert beside.exists()
    assert (outside / "file").exists()


@pytest.mark.parametrize("host", ["169.254.169.254", "other.example:5000", "user@other.example"])
def test_the_store_of_another_server_is_never_asked(
    registry: MlflowRegistry, run: tuple[VersionRef, str, str], host: str
) -> None:
    _, source, run_id = run
    elsewhere = source.replace("mlflow-artifacts:/", f"mlflow-artifacts://{host}/")
    for call in (registry.files, registry.delete_files):
        with pytest.raises(PermanentError, match="another MLflow server"):
            call(elsewhere, run_id)


# ---------------------------------------------------------------- by the SDK, as for S3 and the like


@pytest.fixture
def by_sdk(registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch) -> MlflowRegistry:
    """MLflow's own store taken for a foreign one, which is asked by MLflow's SDK."""
    monkeypatch.setattr(mlflow_registry, "STORE", "none")
    return registry


def test_the_sdk_lists_and_deletes_the_same(by_sdk: MlflowRegistry, run: tuple[VersionRef, str, str]) -> None:
    _, source, run_id = run
    assert by_sdk.files(source, run_id)[1:] == (ArtifactFile("data/a.bin", 5),)
    by_sdk.delete_files(source, run_id)
    by_sdk.delete_files(source, run_id)
    assert by_sdk.files(source, run_id) == ()


def test_too_many_files_are_given_up(
    by_sdk: MlflowRegistry, run: tuple[VersionRef, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, source, run_id = run
    monkeypatch.setattr(mlflow_registry, "MAX_FILES", 1)
    with pytest.raises(PermanentError, match="more than 1 files"):
        by_sdk.files(source, run_id)
    monkeypatch.setattr(mlflow_registry, "STORE", "mlflow-artifacts")
    with pytest.raises(PermanentError, match="more than 1 files"):
        by_sdk.files(source, run_id)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import sys; sys.exit('AccessDenied: An error occurred (403)')", PermanentError),
        ("import sys; sys.exit('Could not connect to the endpoint URL')", TemporaryError),
        ("import time; time.sleep(60)", TemporaryError),
        ("print('not json')", PermanentError),
    ],
)
def test_what_the_sdk_says_is_sorted_into_our_errors(
    program: str, expected: type[PortError], tmp_path: Path, mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "store.py"
    script.write_text(program)
    monkeypatch.setattr(mlflow_registry, "STORE_PROGRAM", script)
    start = time.monotonic()
    with pytest.raises(expected) as caught:
        MlflowRegistry(mlflow.uri, download_seconds=1).files("s3://bucket/model", "")
    assert type(caught.value) is expected
    assert time.monotonic() - start < 5


def test_the_store_program_is_a_program(mlflow: MlflowServer, run: tuple[VersionRef, str, str]) -> None:
    _, source, _ = run
    command = [sys.executable, "-P", str(mlflow_registry.STORE_PROGRAM), "list", source, "10"]
    environment = {"MLFLOW_TRACKING_URI": mlflow.uri, "PATH": ""}
    output = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout
    assert ["data/a.bin", 5] in json.loads(output)


# ---------------------------------------------------------------- a server that fails


@pytest.fixture
def faulty(mlflow: MlflowServer) -> Iterator[FaultyServer]:
    with faulty_server(mlflow.uri) as server:
        yield server


@pytest.fixture
def hasty(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowRegistry]:
    monkeypatch.setattr(mlflow_registry, "DELETION_SECONDS", 0.5)
    registry = MlflowRegistry(faulty.uri, timeout_seconds=0.5, retries=0)
    yield registry
    registry.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ((403, b""), PermanentError),
        ((404, b""), PermanentError),
        ((429, b""), TemporaryError),
        ((500, b""), TemporaryError),
        ((503, b""), TemporaryError),
        (Fault.HANG, TemporaryError),
        (Fault.DRIP_HEAD, TemporaryError),
        (Fault.DRIP_BODY, TemporaryError),
        (Fault.BREAK_OFF, TemporaryError),
    ],
)
def test_a_store_that_fails(
    fault: Fault | tuple[int, bytes],
    expected: type[PortError],
    faulty: FaultyServer,
    hasty: MlflowRegistry,
    registry: MlflowRegistry,
    run: tuple[VersionRef, str, str],
) -> None:
    _, source, run_id = run
    faulty.fault = lambda method, path: fault
    for call in (hasty.files, hasty.delete_files):
        with pytest.raises(PortError) as caught:
            call(source, run_id)
        assert isinstance(caught.value, expected)
    assert registry.files(source, run_id)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP_BODY, (503, b"")])
def test_nobody_waits_long_for_a_look(
    fault: Fault | tuple[int, bytes], faulty: FaultyServer, run: tuple[VersionRef, str, str]
) -> None:
    ref, source, run_id = run
    patient = MlflowRegistry(faulty.uri, timeout_seconds=20, retries=3)
    faulty.fault = lambda method, path: fault
    version, start = RegistryVersion(ref, "", source=source, run_id=run_id), time.monotonic()
    for call in (
        lambda: patient.folder(version, Keeper.RUN, seconds=0.3),
        lambda: patient.content(version, Keeper.RUN, "a.png", most=10, seconds=0.3),
        lambda: patient.run_origin(run_id, seconds=0.3),
    ):
        with pytest.raises(TemporaryError):
            call()
    assert time.monotonic() - start < 3
    patient.close()


def test_a_folder_that_leads_elsewhere_is_not_followed(
    faulty: FaultyServer, hasty: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    ref, source, run_id = run
    paths = ["..", "", ".", "a/b", "../../etc", "/etc", "good.png"]
    listing = {"files": [{"path": path, "is_dir": path != "good.png"} for path in paths]}
    faulty.fault = lambda method, path: (200, json.dumps(listing).encode())
    version = RegistryVersion(ref, "", source=source, run_id=run_id)
    assert [each.path for each in hasty.folder(version, Keeper.RUN, seconds=5)] == ["good.png"]


def test_a_deletion_whose_reply_was_lost_is_found_done(
    faulty: FaultyServer, hasty: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    ref, source, run_id = run
    faulty.fault = lambda method, path: Fault.LOSE_REPLY if method == "DELETE" else Fault.NONE
    hasty.delete_version(ref)
    with pytest.raises(TemporaryError):
        hasty.delete_files(source, run_id)
    assert hasty.files(source, run_id) == ()


def test_a_deletion_that_is_accepted_but_not_done_is_an_error(
    faulty: FaultyServer, hasty: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    ref, source, run_id = run
    faulty.fault = lambda method, path: Fault.SWALLOW if method == "DELETE" else Fault.NONE
    with pytest.raises(TemporaryError, match="does not show it"):
        hasty.delete_version(ref)
    with pytest.raises(TemporaryError, match="still shows files"):
        hasty.delete_files(source, run_id)


@pytest.mark.parametrize("name", ["..", "", ".", "a/b", "../../etc", "a%2f", "a#b"])
def test_a_listing_that_climbs_is_refused(
    name: str, faulty: FaultyServer, hasty: MlflowRegistry, run: tuple[VersionRef, str, str]
) -> None:
    _, source, run_id = run
    listing = {"files": [{"path": name, "is_dir": True}]}
    faulty.fault = lambda method, path: (200, json.dumps(listing).encode())
    with pytest.raises(PermanentError):
        hasty.files(source, run_id)


def test_an_address_is_written_as_it_was_read() -> None:
    for address in ("mlflow-artifacts:/0/a/b", "s3://bucket/a b/c", "abfss://c@account.dfs.core.windows.net/x"):
        assert parse(address).address == address
