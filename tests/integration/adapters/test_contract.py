"""The local adapters keep their contracts with a real Traefik and a real supervisord."""

from collections.abc import Callable

import pytest

from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_serving import SupervisorServing
from lifecycle.ports import Serving, Traffic
from tests.contract import serving as serving_contract
from tests.contract import traffic as traffic_contract
from tests.integration.adapters.services import Keeper, TrafficWorld

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("check", traffic_contract.CHECKS, ids=lambda check: check.__name__)
def test_traffic(
    check: Callable[[Traffic, traffic_contract.World], None], traffic: TraefikTraffic, world: TrafficWorld
) -> None:
    check(traffic, world)


@pytest.mark.parametrize("check", serving_contract.CHECKS, ids=lambda check: check.__name__)
def test_serving(
    check: Callable[[Serving, serving_contract.World], None], serving: SupervisorServing, keeper: Keeper
) -> None:
    check(serving, keeper)
