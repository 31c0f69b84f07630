"""What the services are told."""

from pathlib import Path

import pytest

from embedded.home import Home, Secrets
from embedded.installation import (
    MARK,
    Installation,
    SettingError,
    allowed_hosts,
    listen_host,
    portal_settings,
    wants_demo,
)
from embedded.ports import Ports
from embedded.programs import programs

SECRETS = Secrets("django", "supervisor", "valkey/+", "fernet", "webhook")


def installation(**changes):
    return Installation(Home(Path("/data/stage gate")), SECRETS, Ports(), **changes)


def test_the_portal_gets_every_variable_that_it_reads():
    environment = installation().environment()
    assert environment["DATABASE_URL"] == "sqlite:////data/stage gate/stagegate.sqlite3"
    assert environment["REDIS_URL"] == "redis://:valkey/%2B@127.0.0.1:6380/0"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert environment["STAGEGATE_GATEWAY_CONFIG_DIR"] == "/data/stage gate/gateway/routes"
    assert environment["STAGEGATE_GATEWAY_API"] == "http://127.0.0.1:8081"
    assert environment["STAGEGATE_SUPERVISOR_URL"] == "http://127.0.0.1:9001"
    assert environment["STAGEGATE_MODEL_PORTS"] == "8200-8299"
    assert environment["STAGEGATE_DEMO"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"


def test_settings_go_before_the_installations_own():
    environment = installation(settings={"DATABASE_URL": "postgresql:///elsewhere"}).environment()
    assert environment["DATABASE_URL"] == "postgresql:///elsewhere"


@pytest.mark.parametrize("program", ["valkey", "mlflow", "gateway", "traffic"])
def test_programs_that_need_no_portal_secret_get_none(program):
    made = programs(installation())[program]
    told = {*made.environment.values(), *installation().base_environment().values()}
    assert told.isdisjoint({"django", "supervisor", "webhook"})


def test_every_program_is_marked_and_knows_the_data_folder():
    base = installation().base_environment()
    assert base[MARK] == base["STAGEGATE_HOME"] == "/data/stage gate"


def test_a_wide_host_is_for_portal_and_gateway_alone():
    wide = installation(host="0.0.0.0")
    listening = {name: " ".join(program.command) for name, program in programs(wide).items()}
    assert "--bind 0.0.0.0:8000" in listening["portal"]
    assert "0.0.0.0" not in listening["mlflow"]
    assert wide.portal_url == "http://127.0.0.1:8000"


def test_a_public_address_is_a_host_that_browsers_may_ask_for():
    assert "stagegate.example.com" in allowed_hosts("127.0.0.1", "https://stagegate.example.com")
    assert allowed_hosts("127.0.0.1", "http://127.0.0.1:8000") == ["127.0.0.1", "localhost", "[::1]"]


@pytest.mark.parametrize(
    ("text", "host"), [("", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("10.1.2.3", "10.1.2.3")]
)
def test_hosts_that_can_be_listened_on(text, host):
    assert listen_host({"STAGEGATE_HOST": text}) == host


@pytest.mark.parametrize("text", ["stagegate.example.com", "::", "1.2.3", "0.0.0.0:80"])
def test_other_hosts_are_refused(text):
    with pytest.raises(SettingError, match="STAGEGATE_HOST"):
        listen_host({"STAGEGATE_HOST": text})


def test_only_variables_meant_for_the_portal_reach_it():
    shell = {"PATH": "/bin", "STAGEGATE_HOME": "/data", "STAGEGATE_PORTAL_PORT": "9000", "STAGEGATE_LOG_LEVEL": "DEBUG"}
    assert portal_settings(shell) == {"STAGEGATE_LOG_LEVEL": "DEBUG"}


@pytest.mark.parametrize(("text", "wanted"), [("", True), ("1", True), ("0", False)])
def test_the_demo_can_be_left_out(text, wanted):
    assert wants_demo({"STAGEGATE_DEMO": text}) is wanted


def test_an_unclear_wish_is_refused():
    with pytest.raises(SettingError, match="STAGEGATE_DEMO is 'nope'"):
        wants_demo({"STAGEGATE_DEMO": "nope"})
