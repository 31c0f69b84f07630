"""MLflow's own deliveries pass our check, and ensure_webhook can be repeated."""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.domain.webhooks import BadSignatureError, Delivery, Subject, names_of, verify
from lifecycle.ports import PermanentError
from tests.contract.registry import new_name
from tests.integration.registry.faults import Fault, faulty_server
from tests.integration.registry.server import MlflowServer, MlflowWorld

pytestmark = pytest.mark.integration

SECRET = "between the two of us"


class Receiver:
    def __init__(self) -> None:
        self.got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.url = ""

    def next(self) -> Delivery:
        headers, body = self.got.get(timeout=20)
        with pytest.raises(BadSignatureError):
            verify(SECRET + "?", headers, body, datetime.now(UTC))
        return verify(SECRET, headers, body, datetime.now(UTC))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.got.put((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """The queue is the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hooks/mlflow/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def hooks(world: MlflowWorld) -> list[dict[str, object]]:
    return [hook for hook in world.call("GET", "mlflow/webhooks").get("webhooks", ()) if hook["name"] == "stagegate"]


def test_the_webhook_is_made_once_and_kept_up_to_date(registry: MlflowRegistry, world: MlflowWorld) -> None:
    registry.ensure_webhook("http://127.0.0.1:9/old", "old")
    registry.ensure_webhook("http://127.0.0.1:9/new", "new")
    (hook,) = hooks(world)
    assert (hook["url"], hook["status"]) == ("http://127.0.0.1:9/new", "ACTIVE")


def test_a_lost_reply_leaves_one_webhook_in_the_end(mlflow: MlflowServer, world: MlflowWorld) -> None:
    for hook in hooks(world):
        world.call("DELETE", f"mlflow/webhooks/{hook['webhook_id']}")
    with faulty_server(mlflow.uri) as faulty:
        registry = MlflowRegistry(faulty.uri)
        faulty.fault = lambda method, path: (
            Fault.LOSE_REPLY if (method, len(faulty.seen)) == ("POST", 2) else Fault.NONE
        )
        registry.ensure_webhook("http://127.0.0.1:9/x", SECRET)
        assert len(hooks(world)) == 2
        registry.ensure_webhook("http://127.0.0.1:9/x", SECRET)
        assert len(hooks(world)) == 1
        registry.close()


def test_an_address_that_mlflow_refuses_is_permanent(registry: MlflowRegistry) -> None:
    with pytest.raises(PermanentError, match="Invalid webhook URL scheme"):
        registry.ensure_webhook("ftp://127.0.0.1/", SECRET)


def test_real_deliveries_are_verified_and_name_what_changed(
    registry: MlflowRegistry, world: MlflowWorld, receiver: Receiver
) -> None:
    registry.ensure_webhook(receiver.url, SECRET)
    threading.Event().wait(1.2)  # the server keeps its list of webhooks for one second
    name = new_name("Ä<b>")
    world.create_model(name)
    assert names_of(receiver.next()) == Subject(name)
    ref = world.create_version(name)
    assert names_of(receiver.next()) == Subject(name, 1)
    world.set_tag(ref, "k", "v")
    tagged = receiver.next()
    assert (tagged.entity, tagged.action, names_of(tagged)) == ("model_version_tag", "set", Subject(name, 1))
    world.set_alias(ref, "production")
    assert names_of(receiver.next()) == Subject(name)
