"""Program files, read back by supervisord's own parser."""

from __future__ import annotations

import shlex
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser, expand

from lifecycle.adapters.supervisor import Program, port_of, word
from lifecycle.ports import PermanentError
from tests.contract.serving import HOSTILE_NAMES


def program(*command: str, log: str = "/var/log/x.log") -> Program:
    return Program(
        name="iris--v1",
        port=8201,
        command=command,
        directory=Path("/srv/stagegate"),
        log=Path(log),
        start_seconds=60,
        start_retries=3,
        stop_seconds=30,
    )


def parsed(text: str) -> UnhosedConfigParser:
    """What supervisord does with an included file before it looks at the sections."""
    parser = UnhosedConfigParser()
    parser.read_string("[supervisord]\n")
    parser.read_string(text)
    parser.expand_here("/here")
    return parser


def argv(text: str) -> list[str]:
    """What supervisord makes of the command when it starts the program."""
    parser = parsed(text)
    assert parser.sections() == ["supervisord", "program:iris--v1"]
    expansions = {"here": "/here", "program_name": "iris--v1", "ENV_HOME": "/root"}
    return shlex.split(expand(parser.get("program:iris--v1", "command"), expansions, "command"))


def as_an_argument(text: str) -> str:
    """What an argument can hold of a text."""
    return "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cs", "Cn") else each for each in text)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_arrive_unchanged(name: str) -> None:
    command = ("/usr/bin/env", f"--name={name}", name, "--port=1")
    assert argv(program(*command).text()) == [as_an_argument(part) for part in command]


@given(st.lists(st.text() | st.text(alphabet="%()s;# \t\\'\"here[]=:\n"), min_size=1, max_size=4))
def test_any_words_arrive_unchanged(words: list[str]) -> None:
    command = ("/usr/bin/env", *words, "end")
    assert argv(program(*command).text()) == [as_an_argument(part) for part in command]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", '""'), ("a-b_c=1/2.3:4,5@6+7", "a-b_c=1/2.3:4,5@6+7"), ("50% off", r"50\%%\ off"), ("a;b", r"a\;b")],
)
def test_words(text: str, expected: str) -> None:
    assert word(text) == expected


def test_the_settings_that_keep_a_server_running() -> None:
    parser = parsed(program("/bin/true").text())
    settings = dict(parser.items("program:iris--v1"))
    assert settings["directory"] == "/srv/stagegate"
    assert (
        settings["autostart"] == settings["autorestart"] == settings["stopasgroup"] == settings["killasgroup"] == "true"
    )
    assert (settings["startsecs"], settings["startretries"], settings["stopwaitsecs"]) == ("60", "3", "30")
    assert settings["stderr_logfile"] == "/var/log/x.log"
    assert "environment" not in settings


def test_the_port_is_found_again() -> None:
    assert port_of(program("/bin/true", "; port: 9999").text()) == 8201
    assert port_of("") is None
    assert port_of("[program:x]\ncommand=/bin/true\n") is None


@pytest.mark.parametrize("path", ["/var/100%/x.log", "/var/a;b/x.log", "/var/a #b/x.log", "/var/a\nb/x.log"])
def test_paths_that_supervisord_would_misread_are_refused(path: str) -> None:
    with pytest.raises(PermanentError, match="can't use the path"):
        program("/bin/true", log=path)
