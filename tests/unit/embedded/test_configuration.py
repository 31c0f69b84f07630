"""The configuration files, read back by whoever reads them."""

import configparser
import shlex
import tempfile
from pathlib import Path

import pytest
import yaml
from supervisor.datatypes import dict_of_key_value_pairs

from embedded import configuration
from embedded.configuration import UnwritableValueError
from embedded.home import Home, Secrets
from embedded.installation import Installation
from embedded.ports import Ports
from embedded.programs import Program, programs

SECRETS = Secrets("django", "supervisor", "valkey", "fernet=", "webhook")


@pytest.fixture
def installation(tmp_path):
    return Installation(Home(tmp_path / "stage gate"), SECRETS, Ports(), host="0.0.0.0")


def parsed(text):
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return parser


def test_every_program_is_in_supervisords_configuration(installation):
    made = programs(installation)
    parser = parsed(configuration.supervisor(installation, made.values()))
    assert {name.removeprefix("program:") for name in parser.sections() if ":" in name} - {"rpcinterface"} >= set(made)
    for name, program in made.items():
        options = parser[f"program:{name}"]
        assert tuple(shlex.split(options["command"].replace("%%", "%"))) == program.command
        assert options["killasgroup"] == "true"
        assert options["autorestart"] == "true"


def test_an_environment_survives_the_way_through_supervisord(installation):
    environment = {"A": "50%,x=1", "B": "it's", "C": "", "URL": "redis://:p@127.0.0.1:1/0"}
    options = configuration.program_options(installation, Program("p", ("true",), environment))
    written = configuration.section("program:p", options)
    assert dict_of_key_value_pairs(parsed(written)["program:p"]["environment"].replace("%%", "%")) == environment


@pytest.mark.parametrize("value", ["a\nb", "a ;b", "a #b", "both ' and \""])
def test_values_that_supervisord_would_cut_are_refused(installation, value):
    with pytest.raises(UnwritableValueError):
        configuration.section(
            "program:p", configuration.program_options(installation, Program("p", ("true",), {"A": value}))
        )


def test_supervisord_listens_on_loopback_with_a_password(installation):
    http = parsed(configuration.supervisor(installation, []))["inet_http_server"]
    assert dict(http) == {"port": "127.0.0.1:9001", "username": "stagegate", "password": "supervisor"}


def test_traefik_takes_routes_from_the_folder_at_once(installation):
    static = yaml.safe_load(configuration.gateway(installation))
    assert static["providers"]["providersThrottleDuration"] == "20ms"
    assert static["providers"]["file"] == {
        "directory": str(installation.home.path / "gateway" / "routes"),
        "watch": True,
    }
    assert static["metrics"]["prometheus"]["addServicesLabels"] is True
    assert static["global"] == {"checkNewVersion": False, "sendAnonymousUsage": False}


def test_only_the_models_entry_point_leaves_the_loopback_address(installation):
    entry_points = yaml.safe_load(configuration.gateway(installation))["entryPoints"]
    assert entry_points["models"]["address"] == "0.0.0.0:8080"
    assert entry_points["traefik"]["address"] == "127.0.0.1:8081"


def test_valkey_wants_a_password_and_never_evicts(installation):
    lines = configuration.valkey(installation).splitlines()
    assert {"bind 127.0.0.1", "requirepass valkey", "maxmemory-policy noeviction", "set-proc-title no"} <= set(lines)


def test_a_folder_with_the_longest_usual_name_needs_no_unix_socket():
    deep = Path(tempfile.gettempdir()) / ("d" * 120)
    installation = Installation(Home(deep), SECRETS, Ports())
    assert "unix" not in configuration.supervisor(installation, programs(installation).values())
