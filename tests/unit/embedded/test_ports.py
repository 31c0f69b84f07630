"""Port settings: read strictly, and complained about by name."""

import pytest

from embedded.ports import SINGLE, Port, PortError, Ports, variable


def test_defaults_without_any_setting():
    assert Ports.from_environment({}) == Ports()
    assert Ports().models == range(8200, 8300)


def test_every_port_can_be_set_and_is_passed_on():
    environment = {variable(name): str(20_000 + number) for number, name in enumerate(SINGLE)}
    environment["STAGEGATE_MODEL_PORTS"] = "21000-21009"
    ports = Ports.from_environment(environment)
    assert [getattr(ports, name) for name in SINGLE] == list(range(20_000, 20_006))
    assert ports.models == range(21_000, 21_010)
    assert ports.environment() == environment


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"STAGEGATE_PORTAL_PORT": "http"}, "STAGEGATE_PORTAL_PORT is 'http'"),
        ({"STAGEGATE_PORTAL_PORT": "0"}, "1 to 65535"),
        ({"STAGEGATE_MLFLOW_PORT": "65536"}, "STAGEGATE_MLFLOW_PORT is '65536'"),
        ({"STAGEGATE_GATEWAY_PORT": "-1"}, "STAGEGATE_GATEWAY_PORT"),
        ({"STAGEGATE_MODEL_PORTS": "8200"}, "STAGEGATE_MODEL_PORTS is '8200'"),
        ({"STAGEGATE_MODEL_PORTS": "8299-8200"}, "rising range"),
        ({"STAGEGATE_MODEL_PORTS": "80-90"}, "1024-65535"),
        ({"STAGEGATE_PORTAL_PORT": "5000"}, "STAGEGATE_MLFLOW_PORT and STAGEGATE_PORTAL_PORT are both 5000"),
        ({"STAGEGATE_VALKEY_PORT": "8250"}, "lies within STAGEGATE_MODEL_PORTS"),
    ],
)
def test_bad_settings_are_named(environment, complaint):
    with pytest.raises(PortError, match=complaint):
        Ports.from_environment(environment)


def test_only_portal_and_gateway_leave_the_loopback_address():
    listeners = Ports().listeners("0.0.0.0")
    assert {name for name, port in listeners.items() if port.host != "127.0.0.1"} == {"portal", "gateway"}
    assert listeners["gateway"] == Port("gateway", "STAGEGATE_GATEWAY_PORT", "0.0.0.0", 8080)
