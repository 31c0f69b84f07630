"""One Traefik, one supervisord and three model servers for all tests of the local adapters."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_serving import SupervisorServing
from tests.integration.adapters.services import Gateway, Keeper, TrafficWorld, model_server


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrafficWorld]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"))
    with gateway.started(), ExitStack() as stack:
        log = gateway.home / "servers.log"
        ports = {version: stack.enter_context(model_server(version, log)) for version in (1, 2, 3)}
        yield TrafficWorld(gateway, ports)


@pytest.fixture(scope="session")
def gateway(world: TrafficWorld) -> Gateway:
    return world.gateway


@pytest.fixture
def traffic(gateway: Gateway) -> TraefikTraffic:
    return gateway.adapter()


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    keeper = Keeper(tmp_path_factory.mktemp("keeper"))
    with keeper.started():
        yield keeper


@pytest.fixture(scope="session")
def serving(keeper: Keeper) -> SupervisorServing:
    return keeper.adapter()
