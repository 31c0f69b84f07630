"""What MlflowRegistry makes of a server that fails, hangs, drips, loses replies or has no stages."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from lifecycle.adapters.mlflow_registry import STAGE_TAG, MlflowRegistry
from lifecycle.ports import NotFoundError, PermanentError, PortError, TemporaryError, VersionRef
from tests.contract.registry import new_name
from tests.integration.registry.faults import Fault, FaultyServer, faulty_server
from tests.integration.registry.server import MlflowServer, MlflowWorld, free_port

pytestmark = pytest.mark.integration

TIMEOUT_SECONDS = 0.5


@pytest.fixture
def faulty(mlflow: MlflowServer) -> Iterator[FaultyServer]:
    with faulty_server(mlflow.uri) as server:
        yield server


@pytest.fixture
def registry(faulty: FaultyServer) -> Iterator[MlflowRegistry]:
    registry = MlflowRegistry(faulty.uri, timeout_seconds=TIMEOUT_SECONDS, retries=1, download_seconds=60)
    yield registry
    registry.close()


@pytest.fixture
def ref(world: MlflowWorld) -> VersionRef:
    name = new_name()
    world.create_model(name)
    return world.create_version(name)


def only(method: str, last: str, fault: Fault | tuple[int, bytes]) -> Callable[[str, str], Fault | tuple[int, bytes]]:
    return lambda seen, path: fault if (seen, path.rsplit("/", 1)[-1]) == (method, last) else Fault.NONE


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.DRIP_HEAD, Fault.DRIP_BODY, Fault.BREAK_OFF, Fault.LOSE_REPLY])
def test_a_server_that_does_not_finish_is_given_up_in_time(
    fault: Fault, faulty: FaultyServer, registry: MlflowRegistry
) -> None:
    faulty.fault = lambda method, path: fault
    start = time.monotonic()
    with pytest.raises(TemporaryError) as caught:
        registry.models(limit=1)
    assert time.monotonic() - start < 2 * TIMEOUT_SECONDS + 1
    assert caught.value.__cause__ is not None
    assert "Traceback" not in str(caught.value)
    assert len(faulty.seen) <= 2


@pytest.mark.parametrize(
    ("status", "body", "expected", "tries"),
    [
        (500, b"<h1>oops</h1>", TemporaryError, 2),
        (429, b"", TemporaryError, 2),
        (502, b"bad gateway", TemporaryError, 2),
        (503, b"", TemporaryError, 2),
        (504, b"", TemporaryError, 2),
        (408, b"", TemporaryError, 1),
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "no"}', PermanentError, 1),
        (401, b"who are you", PermanentError, 1),
        (403, b"", PermanentError, 1),
        (302, b"", PermanentError, 1),
        (404, b"not here", PermanentError, 1),
        (404, b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}', NotFoundError, 1),
        (200, b"<html>sign in</html>", TemporaryError, 1),
        (200, b"[1]", TemporaryError, 1),
        (200, b"{}", PermanentError, 1),
        (200, b'{"registered_model": []}', PermanentError, 1),
        (200, b'{"registered_model": {"name": "m", "aliases": [{"alias": "a", "version": "x"}]}}', PermanentError, 1),
        (200, b'{"registered_model": {"name": "m", "creation_timestamp": 1e300}}', PermanentError, 1),
    ],
)
def test_answers_are_sorted_into_our_errors(
    status: int, body: bytes, expected: type[PortError], tries: int, faulty: FaultyServer, registry: MlflowRegistry
) -> None:
    faulty.fault = lambda method, path: (status, body)
    with pytest.raises(expected) as caught:
        registry.model("m")
    assert isinstance(caught.value, PermanentError) == issubclass(expected, PermanentError)
    assert len(faulty.seen) == tries


def test_a_fault_that_passes_is_not_noticed(faulty: FaultyServer, registry: MlflowRegistry, ref: VersionRef) -> None:
    faulty.fault = lambda method, path: (503, b"") if len(faulty.seen) == 1 else Fault.NONE
    assert registry.version(ref).ref == ref


def test_nobody_listening_is_temporary() -> None:
    with pytest.raises(TemporaryError, match="can't be reached"):
        MlflowRegistry(f"http://127.0.0.1:{free_port()}", timeout_seconds=1, retries=0).model("m")


def test_an_address_that_is_none_is_permanent() -> None:
    with pytest.raises(PermanentError, match="address is not valid"):
        MlflowRegistry("mlflow").model("m")


def test_a_stage_whose_reply_was_lost_counts_as_set(
    faulty: FaultyServer, registry: MlflowRegistry, world: MlflowWorld, ref: VersionRef
) -> None:
    faulty.fault = only("POST", "transition-stage", Fault.LOSE_REPLY)
    registry.set_stage(ref, "Staging")
    faulty.fault = lambda method, path: Fault.NONE
    assert registry.version(ref).stage == "Staging"


def test_a_stage_that_is_there_is_not_written(faulty: FaultyServer, registry: MlflowRegistry, ref: VersionRef) -> None:
    registry.set_stage(ref, "None")
    assert {method for method, _ in faulty.seen} == {"GET"}


def test_a_write_that_is_accepted_but_not_applied_is_an_error(
    faulty: FaultyServer, registry: MlflowRegistry, ref: VersionRef
) -> None:
    faulty.fault = lambda method, path: Fault.NONE if method == "GET" else Fault.SWALLOW
    writes: list[Callable[[], None]] = [
        lambda: registry.set_stage(ref, "Staging"),
        lambda: registry.set_alias(ref.model, "staging", ref.version),
        lambda: registry.set_tags(ref, {"lifecycle.a": "b"}),
    ]
    for write in writes:
        with pytest.raises(TemporaryError, match="does not show it"):
            write()


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"<h1>Not Found</h1>"),
        (501, b'{"error_code": "NOT_IMPLEMENTED"}'),
        (404, b'{"error_code": "ENDPOINT_NOT_FOUND"}'),
    ],
)
def test_without_stages_a_tag_carries_the_stage(
    answer: tuple[int, bytes], faulty: FaultyServer, registry: MlflowRegistry, world: MlflowWorld, ref: VersionRef
) -> None:
    def no_stages(method: str, path: str) -> Fault | tuple[int, bytes]:
        if path.endswith("transition-stage"):
            return answer
        if path.endswith("model-versions/get"):
            version = world.session.get(
                f"{world.server.uri}{path}", params={"name": ref.model, "version": "1"}, timeout=10
            ).json()
            del version["model_version"]["current_stage"]
            return 200, json.dumps(version).encode()
        return Fault.NONE

    faulty.fault = no_stages
    registry.set_stage(ref, "Production")
    assert registry.version(ref).stage == "Production"
    assert registry.version(ref).tags[STAGE_TAG] == "Production"
    world.set_tag(ref, STAGE_TAG, "<script>")
    assert registry.version(ref).stage == "None"


@pytest.mark.parametrize(
    "source",
    ["/etc", "file:///etc", "https://example.org/model", "http://169.254.169.254/", "models:/m-1", "dbfs:/x", ""],
)
def test_files_that_are_not_in_a_store_are_refused(
    source: str, faulty: FaultyServer, registry: MlflowRegistry, ref: VersionRef, tmp_path: Path
) -> None:
    faulty.fault = only("GET", "get-download-uri", (200, json.dumps({"artifact_uri": source}).encode()))
    with pytest.raises(PermanentError, match="can't be fetched"):
        registry.download(ref, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_download_that_hangs_is_stopped(faulty: FaultyServer, world: MlflowWorld, tmp_path: Path) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, files={"a": b"b"})
    faulty.fault = lambda method, path: Fault.HANG if "mlflow-artifacts" in path else Fault.NONE
    start = time.monotonic()
    with pytest.raises(TemporaryError, match="took longer than 3 seconds"):
        MlflowRegistry(faulty.uri, timeout_seconds=10, download_seconds=3).download(ref, tmp_path)
    assert time.monotonic() - start < 8


def test_a_download_that_climbs_is_refused(
    faulty: FaultyServer, registry: MlflowRegistry, world: MlflowWorld, tmp_path: Path
) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, files={"a": b"b"})
    listing = {"files": [{"path": "../../../climbed", "is_dir": False, "file_size": 1}]}

    def climbing(method: str, path: str) -> Fault | tuple[int, bytes]:
        if path.endswith("mlflow-artifacts/artifacts"):
            return 200, json.dumps(listing).encode()
        return (200, b"x") if "climbed" in path else Fault.NONE

    destination = tmp_path / "a" / "b" / "c"
    destination.mkdir(parents=True)
    faulty.fault = climbing
    with pytest.raises(PortError):
        registry.download(ref, destination)
    assert not list(tmp_path.rglob("*climbed*"))


def test_a_model_description_that_cannot_be_read_is_no_error(
    faulty: FaultyServer, registry: MlflowRegistry, world: MlflowWorld
) -> None:
    name = new_name()
    world.create_model(name)
    version = registry.version(world.create_version(name, metrics={"f1": 0.5}, files={}))
    for body in (b"a: [", b"- 1", b"signature: {inputs: '{'}", b"flavors: 3", b"\x00", b"a" * 10_000_000):
        faulty.fault = only("GET", "get-artifact", (200, body))
        details = registry.details(version)
        assert (details.metrics, details.signature, details.flavors) == ({"f1": 0.5}, None, ())
    faulty.fault = only("GET", "get-artifact", (500, b""))
    assert registry.details(version).signature is None
    faulty.fault = only("GET", "get-artifact", (503, b""))
    with pytest.raises(TemporaryError):
        registry.details(version)


def test_credentials_go_with_every_request(mlflow: MlflowServer) -> None:
    for variables, expected in (
        ({"MLFLOW_TRACKING_USERNAME": "ana", "MLFLOW_TRACKING_PASSWORD": "ü"}, "Basic YW5hOsO8"),
        ({"MLFLOW_TRACKING_TOKEN": "t0ken"}, "Bearer t0ken"),
    ):
        registry = MlflowRegistry(mlflow.uri, environment=variables)
        request = registry._session().prepare_request(requests.Request("GET", mlflow.uri))
        assert request.headers["Authorization"] == expected
        registry.close()


def test_a_name_that_is_not_text_is_permanent(registry: MlflowRegistry) -> None:
    with pytest.raises(PermanentError, match="not valid text"):
        registry.model("\ud800")
