"""What every ``Serving`` must do, whatever runs the model servers.

A test module parametrizes over ``CHECKS`` and hands each check a serving and a world: the makers of models.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Protocol

import pytest

from lifecycle.ports import PermanentError, Purpose, Server, ServerState, Serving, TemporaryError, VersionRef
from tests.contract.waiting import eventually

HOSTILE_NAMES = (
    'it\'s "quoted" \\ and \\\\ more',
    "50% of %(here)s %s %% %(ENV_HOME)s",
    "semi ; colon # hash",
    "new\nline\r\nand NUL \x00 and escape \x1b[31m",
    "[program:evil]\ncommand=/bin/false",
    "--host=0.0.0.0",
    "$(id) `id` $HOME | & > <img src=x onerror=alert(1)>",
    "Ä語\u2028\u202e\U0001f600 \ud800",
    " spaces \t ",
    "=cmd|'calc'!A0",
)


class World(Protocol):
    def starts(self, ref: VersionRef, slug: str) -> int:
        """How often a server of this version was started."""

    def break_model(self, ref: VersionRef, slug: str) -> None:
        """From now on a server of this version fails to load its model."""

    def mend_model(self, ref: VersionRef, slug: str) -> None: ...


def new_slug() -> str:
    return f"model-{uuid.uuid4().hex[:10]}"


def wait_for(serving: Serving, ref: VersionRef, slug: str, state: ServerState) -> Server:
    return eventually(lambda: serving.status(ref, slug=slug), lambda seen: seen.state == state, seconds=30)


def an_unknown_version_is_absent(serving: Serving, world: World) -> None:
    assert serving.status(VersionRef("m", 1), slug=new_slug()) == Server(ServerState.ABSENT)


def a_server_becomes_ready(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 3), new_slug()
    serving.ensure(ref, slug=slug)
    server = wait_for(serving, ref, slug, ServerState.READY)
    assert server.url.startswith("http://")
    assert server.in_flight == 0


def ensuring_again_starts_nothing(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    serving.ensure(ref, slug=slug)
    serving.ensure(ref, slug=slug)
    before = wait_for(serving, ref, slug, ServerState.READY)
    serving.ensure(ref, slug=slug)
    assert wait_for(serving, ref, slug, ServerState.READY).url == before.url
    assert world.starts(ref, slug) == 1


def versions_have_servers_of_their_own(serving: Serving, world: World) -> None:
    slug = new_slug()
    first, second = VersionRef("m", 1), VersionRef("m", 2)
    for ref in (first, second):
        serving.ensure(ref, slug=slug)
    urls = {wait_for(serving, ref, slug, ServerState.READY).url for ref in (first, second)}
    assert len(urls) == 2
    serving.remove(first, slug=slug)
    assert serving.status(second, slug=slug).state == ServerState.READY


def removing_is_final_and_idempotent(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    serving.remove(ref, slug=slug)
    serving.ensure(ref, slug=slug)
    wait_for(serving, ref, slug, ServerState.READY)
    for _ in range(2):
        serving.remove(ref, slug=slug)
        assert serving.status(ref, slug=slug) == Server(ServerState.ABSENT)


def a_removed_server_can_come_back(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    for _ in range(2):
        serving.ensure(ref, slug=slug)
        wait_for(serving, ref, slug, ServerState.READY)
        serving.remove(ref, slug=slug)
    assert world.starts(ref, slug) == 2


def a_model_that_does_not_load_fails_and_says_why(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    world.break_model(ref, slug)
    serving.ensure(ref, slug=slug)
    failed = wait_for(serving, ref, slug, ServerState.FAILED)
    assert "the model can't be loaded" in failed.detail
    assert failed.in_flight is None
    world.mend_model(ref, slug)
    assert serving.status(ref, slug=slug).state == ServerState.FAILED
    serving.ensure(ref, slug=slug)
    wait_for(serving, ref, slug, ServerState.READY)


def hostile_names_are_only_text(serving: Serving, world: World) -> None:
    named = [(VersionRef(name, 1), new_slug()) for name in HOSTILE_NAMES]
    for ref, slug in named:
        serving.ensure(ref, slug=slug)
    for ref, slug in named:
        wait_for(serving, ref, slug, ServerState.READY)
        serving.remove(ref, slug=slug)


def what_can_name_no_server_is_refused(serving: Serving, world: World) -> None:
    for slug in ("", "a--b", "../x", "a/b", "UPPER", "a b", "a\n"):
        for call in (serving.ensure, serving.status, serving.remove):
            with pytest.raises(PermanentError):
                call(VersionRef("m", 1), slug=slug)
    with pytest.raises(PermanentError):
        serving.ensure(VersionRef("m", -1), slug=new_slug())


def a_server_for_checks_is_another_one(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    serving.ensure(ref, slug=slug)
    users = wait_for(serving, ref, slug, ServerState.READY)
    assert serving.status(ref, slug=slug, purpose=Purpose.CHECKS).state == ServerState.ABSENT
    serving.ensure(ref, slug=slug, purpose=Purpose.CHECKS)
    checks = eventually(
        lambda: serving.status(ref, slug=slug, purpose=Purpose.CHECKS),
        lambda seen: seen.state == ServerState.READY,
        seconds=30,
    )
    assert checks.url != users.url
    serving.remove(ref, slug=slug, purpose=Purpose.CHECKS)
    assert serving.status(ref, slug=slug, purpose=Purpose.CHECKS).state == ServerState.ABSENT
    assert serving.status(ref, slug=slug).state == ServerState.READY


def other_files_than_those_that_were_scanned_are_never_served(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    for call in (serving.ensure, serving.files):
        with pytest.raises(PermanentError, match="not those that were scanned"):
            call(ref, slug=slug, digest="0" * 64)
    assert serving.status(ref, slug=slug).state == ServerState.ABSENT


def forgetting_files_is_idempotent(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    serving.files(ref, slug=slug)
    for _ in range(2):
        serving.forget(ref, slug=slug)
    serving.files(ref, slug=slug)


def a_ready_server_answers_a_request(serving: Serving, world: World) -> None:
    ref, slug = VersionRef("m", 1), new_slug()
    body = b'{"dataframe_split": {"columns": ["a"], "data": [[1.0]]}}'
    with pytest.raises(TemporaryError):
        serving.ask(ref, slug=slug, body=body)
    serving.ensure(ref, slug=slug)
    wait_for(serving, ref, slug, ServerState.READY)
    answer = serving.ask(ref, slug=slug, body=body)
    assert answer.status == 200
    assert isinstance(json.loads(answer.text), dict)


CHECKS: tuple[Callable[[Serving, World], None], ...] = (
    an_unknown_version_is_absent,
    a_server_becomes_ready,
    ensuring_again_starts_nothing,
    versions_have_servers_of_their_own,
    removing_is_final_and_idempotent,
    a_removed_server_can_come_back,
    a_model_that_does_not_load_fails_and_says_why,
    hostile_names_are_only_text,
    what_can_name_no_server_is_refused,
    a_server_for_checks_is_another_one,
    other_files_than_those_that_were_scanned_are_never_served,
    forgetting_files_is_idempotent,
    a_ready_server_answers_a_request,
)
