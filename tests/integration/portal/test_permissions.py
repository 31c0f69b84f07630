"""Every address, by every method, as everybody: what the table of permissions says is what happens."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.db import transaction
from django.template.backends.django import Template
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.views import APIView

from lifecycle.domain.permissions import ALLOWED, IN_PERSON, OF_NO_MODEL, Action, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    Channel,
    CheckRun,
    Evidence,
    ExportJob,
    FreezeWindow,
    Notice,
    Policy,
    RegisteredModel,
    Team,
    Waiver,
)
from portal.accounts.models import ApiToken, RoleAssignment, User
from portal.permissions import ENDPOINTS, PUBLIC, RECORDED_READS, SIGNED_IN, Needs

DAY = timedelta(days=1)

# ---------------------------------------------------------------- what there is


@cache
def addresses() -> dict[str, URLPattern]:
    """Every address by its name, with the name spaces before it."""
    return dict(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[Any], space: str) -> Iterator[tuple[str, URLPattern]]:
    for each in patterns:
        if isinstance(each, URLResolver):
            inner = f"{space}{each.namespace}:" if each.namespace else space
            yield from _walk(each.url_patterns, inner)
        else:
            yield space + (each.name or f"without a name: {each.pattern}"), each


def is_api(name: str) -> bool:
    return issubclass(getattr(addresses()[name].callback, "cls", object), APIView)


def test_the_table_has_every_address_and_nothing_else():
    assert sorted(ENDPOINTS) == sorted(addresses())


def test_every_view_of_the_api_answers_the_methods_of_the_table():
    for name in filter(is_api, addresses()):
        view = addresses()[name].callback.cls
        answered = {each for each in ("GET", "POST", "PUT", "PATCH", "DELETE") if hasattr(view, each.lower())}
        assert answered == set(ENDPOINTS[name]), name


# ---------------------------------------------------------------- who there is


@dataclass(frozen=True)
class Who:
    """Somebody who asks: ``roles`` for all models, ``team_roles`` for those of the team ``of``. The model that the
    addresses are about is of the team "owners". ``by_token``: with a token of these scopes. ``changes_only``: they read
    as others do, so only what they change is tried."""

    roles: frozenset[Role] = frozenset()
    team_roles: frozenset[Role] = frozenset()
    of: str = "owners"
    signed_in: bool = True
    by_token: bool = False
    scopes: frozenset[Action] = frozenset()
    changes_only: bool = False

    def may(self, needed: Needs, *, reading: bool, in_api: bool) -> bool:
        """What the table, and the domain's one of roles, say."""
        if needed == PUBLIC:
            return True
        if not self.signed_in or (self.by_token and not in_api):
            return False
        return needed == SIGNED_IN or self._may_act(Action(needed), reading)

    def _may_act(self, action: Action, reading: bool) -> bool:
        if self.by_token and action != Action.VIEW and (action not in self.scopes or action in IN_PERSON):
            return False
        counts = reading or action in OF_NO_MODEL or self.of == "owners"
        return bool((self.roles | (self.team_roles if counts else frozenset())) & ALLOWED[action])


ENGINEER, OWNER = frozenset({Role.ML_ENGINEER}), frozenset({Role.PRODUCT_OWNER})
EVERYBODY = {
    "nobody": Who(signed_in=False),
    "without a role": Who(),
    "product owner": Who(OWNER),
    "ML engineer": Who(ENGINEER),
    "auditor": Who(frozenset({Role.AUDITOR})),
    "administrator": Who(frozenset({Role.ADMINISTRATOR})),
    "the team's ML engineer": Who(team_roles=ENGINEER, changes_only=True),
    "another team's people": Who(team_roles=ENGINEER | OWNER, of="others", changes_only=True),
    "token without scopes": Who(ENGINEER, by_token=True),
    "token with all scopes": Who(OWNER | ENGINEER, by_token=True, scopes=frozenset(Action), changes_only=True),
    "service account": Who(frozenset({Role.SERVICE}), by_token=True, scopes=frozenset(Action)),
}


def come(who: Who, now: datetime) -> Client:
    """The browser, or the program, of somebody like this."""
    if not who.signed_in:
        return Client()
    user = User.objects.create(username="who")
    for role in who.roles:
        RoleAssignment.objects.create(user=user, role=role)
    for role in who.team_roles:
        RoleAssignment.objects.create(user=user, role=role, team=Team.objects.get(slug=who.of))
    if who.by_token:
        secret = "0" * 64
        token(user, now, scopes=sorted(who.scopes), digest=hashlib.sha256(secret.encode()).hexdigest())
        return Client(headers={"Authorization": f"Bearer sg_{'0' * 12}_{secret}"})
    browser = Client()
    browser.force_login(user, backend="portal.accounts.backends.People")
    return browser


def token(user: User, now: datetime, **values: Any) -> ApiToken:
    usual = {"name": "nightly", "prefix": "0" * 12, "digest": "", "created_at": now, "created_by": "test"}
    return ApiToken.objects.create(user=user, expires_at=now + DAY, **{**usual, **values})


# ---------------------------------------------------------------- what they ask for


KINDS = {
    "check": ("cancel-check", "api-cancel-check"),
    "waiver": ("revoke-waiver", "api-revoke-waiver"),
    "evidence": ("evidence",),
    "token": ("revoke-token",),
    "freeze": ("remove-freeze", "api-freeze", "api-remove-freeze"),
    "export": ("cancel-export", "download-export"),
    "person": ("person", "profile", "give-role", "take-role", "password-link"),
    "channel": ("change-channel", "test-channel", "remove-channel"),
    "notice": ("notice-again",),
}
"""What the number in an address is of, where it is not a transition's."""
TEAMS = ("team", "team-members", "api-team")
"""Where the slug in an address is a team's."""
BODY = {
    "reason": "Because of the test.",
    "model": "iris",
    "version": 1,
    "to_stage": "Staging",
    "to_version": 1,
    "step": 0,
    "base": 1,
    "criterion": "code_review",
    "outcome": "passed",
    "passed": True,
    "detail": "Read.",
    "days": 1,
    "expires_in_days": 1,
    "kind": "emergency",
    "semantic_version": "1.0.0",
    "format": "csv",
    "yaml": "{}",
    "policy": "{}",
    "metric": "conversion",
    "count": 1,
    "sum": 1.0,
    "sum_of_squares": 1.0,
    "username": "newcomer",
    "name": "Newcomer",
    "role": "product_owner",
    "team": "others",
    "active": True,
    "starts": "2027-01-01T00:00",
    "ends": "2027-01-02T00:00",
    "zone": "UTC",
    "repeats": "never",
    "whose": "model",
}
"""The fields of all forms together: what one does not know it ignores."""
EXTRA: dict[str, Mapping[str, Any]] = {
    "edit-policy": {"step": "confirm", "checked": hashlib.sha256(b"{}").hexdigest()},
    "team-members": {"username": "aron"},
    "plan-freeze": {"team": None},
    "channels": {"team": None},
    "change-channel": {"team": None},
    "api-freezes": {"team": None},
}
"""Where the fields of two forms are at odds; None: without it."""
QUERIES = {"api-export-record": {"format": "csv"}}
HIDDEN = ("revoke-token", "cancel-export", "download-export")
"""What is somebody's own: whether others have such a thing is not told."""


@pytest.fixture
def rows(world) -> dict[str, int]:
    """One row of everything that an address can be about, by what it is."""
    for slug in ("owners", "others"):
        Team.objects.create(name=slug, slug=slug)
    RegisteredModel.objects.update(team=Team.objects.get(slug="owners"))
    now, about = world.now, {"version": world.version(1), "criterion": "code_review"}
    asked = {"requested_by_name": "emil", "requested_at": now, "policy": Policy.objects.get(number=1)}
    freeze = {"name": "Summer", "zone": "UTC", "starts": BODY["starts"], "ends": BODY["ends"], "created_by_name": "ada"}
    expiring = {"expires_at": now + DAY}
    made = {
        "transition": world.request(1, Stage.STAGING, by="mia"),
        "check": CheckRun.objects.create(**about, **asked),
        "waiver": Waiver.objects.create(**about, **expiring, granted_by="mia", granted_at=now),
        "evidence": Evidence.objects.create(**about, origin="person", passed=True, recorded_by="mia", recorded_at=now),
        "token": token(User.objects.get(username="mia"), now, prefix="1" * 12),
        "freeze": FreezeWindow.objects.create(**freeze, created_at=now),
        "export": ExportJob.objects.create(
            **expiring, person_id=world.people["ada"].user_id, format="csv", last_seq=1, created_at=now
        ),
        "person": User.objects.get(username="aron"),
        "channel": Channel.objects.create(name="room", url=b"", shown="", created_at=now, created_by_name="ada"),
        "notice": Notice.objects.create(
            event="test", key="test", person=User.objects.get(username="aron"), created_at=now, due_at=now
        ),
    }
    return {kind: row.pk for kind, row in made.items()}


def address_of(name: str, rows: Mapping[str, int]) -> str:
    kind = next((kind for kind, names in KINDS.items() if name in names), "transition")
    values: dict[str, Any] = {
        "slug": "owners" if name in TEAMS else "iris",
        "name": "iris",
        "username": "aron",
        "of": "description",
        "what": "roll-back",
        "uidb64": "MQ",
        "token": "none",
        "key": "none",
        "pk": rows[kind],
        **dict.fromkeys(("version", "number", "seq"), 1),
    }
    return reverse(name, kwargs={each: values[each] for each in addresses()[name].pattern.converters})


@dataclass(frozen=True)
class Answer:
    """``refusals`` are what the record got about roles; ``asks`` says that somebody has to sign in first."""

    status: int
    asks: bool
    refusals: tuple[tuple[str, str], ...]


def visit(client: Client, cookies: str, name: str, method: str, address: str) -> Answer:
    """What is answered and recorded; whatever else was done is undone."""
    body = {key: value for key, value in {**BODY, **EXTRA.get(name, {})}.items() if value is not None}
    given: dict[str, Any] = {"data": body}
    if method == "GET":
        given = {"data": QUERIES.get(name, {})}
    elif is_api(name):
        given = {"data": json.dumps(body), "content_type": "application/json"}
    client.cookies = SimpleCookie(cookies)
    with transaction.atomic():
        response = getattr(client, method.lower())(address, **given)
        entries = AuditEntry.objects.filter(refused=True).values_list("action", "details__refusal")
        refusals = list(entries) if method != "GET" or name == "api-export-record" else []
        transaction.set_rollback(True)
    return Answer(
        status=response.status_code,
        asks=response.status_code == 401 or response.headers.get("Location", "").startswith("/sign-in/?next="),
        refusals=tuple(each for each in refusals if "need the role" in each[1] or "oken " in each[1]),
    )


# ---------------------------------------------------------------- what happens


@pytest.fixture
def quick(monkeypatch, settings):
    """Nothing is put into words, which is most of the work: what stands on a page is for other tests."""
    monkeypatch.setattr(Template, "render", lambda *args, **kwargs: "")
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    settings.API_REQUESTS_A_MINUTE = settings.API_STRANGERS_A_MINUTE = 100_000
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("called", EVERYBODY)
def test_what_the_table_says_is_what_happens(world, rows, quick, called):
    who = EVERYBODY[called]
    client = come(who, world.now)
    client.raise_request_exception = False
    cookies = client.cookies.output(header="", sep=";")
    wrong: list[str] = []
    for name in sorted(ENDPOINTS, key=lambda each: each == "sign-out"):
        methods = ENDPOINTS[name]
        address = address_of(name, rows)
        for method in set(methods) - ({"GET"} if who.changes_only else set()):
            needed = methods[method]
            answer = visit(client, cookies, name, method, address)
            problem = _what_is_wrong(who, name, method, needed, answer)
            if problem:
                wrong.append(f"{method} {address} ({needed}): {problem}, {answer}")
    assert not wrong, "\n".join(wrong)


def _what_is_wrong(who: Who, name: str, method: str, needed: Needs, answer: Answer) -> str:
    reading = method == "GET"
    if answer.status in (405, 429) or answer.status >= 500:
        return "not an answer"
    if who.may(needed, reading=reading, in_api=is_api(name)):
        refused = answer.asks or answer.refusals or (reading and needed != PUBLIC and answer.status == 403)
        return "was refused" if refused else ""
    if not who.signed_in or (who.by_token and not is_api(name)):
        return "" if answer.asks else "was let in without signing in"
    if name in HIDDEN and answer.status == 404:
        return ""
    if reading and needed not in RECORDED_READS:
        return "" if answer.status == 403 else "could be read"
    recorded = [action for action, _ in answer.refusals] == [str(needed)]
    return "" if recorded and (answer.status == 403 or not is_api(name)) else "was not refused, and recorded, once"
