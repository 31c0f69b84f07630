"""schemathesis against the running portal: no 5xx, no undocumented status, no answer that is not as documented.

    pytest tests/integration/portal/test_schemathesis.py

A longer search, of as many seconds as you like and with other examples every time:

    STAGEGATE_SCHEMATHESIS_SECONDS=300 pytest tests/integration/portal/test_schemathesis.py --timeout 600
"""

import copy
import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.conf import settings as configured
from django.test import Client

from lifecycle import operations
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import Policy
from portal.accounts.models import RoleAssignment, User
from tests.support.documented import strict
from tests.support.served import staged
from tests.support.world import POLICY

SECONDS = int(os.environ.get("STAGEGATE_SCHEMATHESIS_SECONDS", "0"))
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
SHORT = ("--phases=examples,fuzzing", "--max-examples=2", "--generation-deterministic")
LONG = ("--phases=examples,coverage,fuzzing", f"--max-time={SECONDS}", "--continue-on-failure")
KNOWN = {
    "name": {"enum": ["iris", "iris", "none"]},
    "version": {"enum": [1, 2, 3, 9]},
    "number": {"enum": [1, 2, 9]},
    "id": {"enum": [1, 2, 3, 9]},
    "username": {"enum": ["emil", "none"]},
    "slug": {"enum": ["botany", "none"]},
}
"""What there is, so that a search gets beyond 404; and what there is not."""


@pytest.fixture
def everybody(people):
    """Who may do everything, so that nothing is refused at the door."""
    person = User.objects.create_user("all", password="all")
    for role in Role:
        if role != Role.SERVICE:
            RoleAssignment.objects.create(user=person, role=role)
    return person


@pytest.fixture
def begun(world):
    """Something of everything: versions that serve, evidence, a waiver, a request that waits."""
    staged(world)
    asked = {"to_staging": ["unit_tests"], "to_production": ["benchmarks"], "to_archived": []}
    Policy.objects.create(
        number=2, body={**POLICY, "criteria": asked}, reason="test", created_by="test", created_at=world.now
    )
    ada, emil = world.people["ada"], world.people["emil"]
    operations.record_evidence(
        version=world.version(3),
        criterion=Criterion.UNIT_TESTS,
        passed=True,
        detail="Seen.",
        actor=emil,
        now=world.now,
    )
    operations.grant_waiver(
        version=world.version(3),
        criterion=Criterion.BENCHMARKS,
        reason="Not yet.",
        expires_at=world.now + timedelta(days=7),
        actor=world.people["priya"],
        now=world.now,
    )
    operations.add_team(name="Botany", reason="It owns flowers.", actor=ada, now=world.now)
    world.request(3, Stage.STAGING)
    return world


def described(folder):
    """The document as a file, in which an address names what there is."""
    document = copy.deepcopy(strict())
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter.get("in") == "path":
                    parameter["schema"] = KNOWN[parameter["name"]]
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    return path


def signed_in_headers():
    """The session's cookie, and the token against forged requests that belongs to it."""
    browser = Client()
    assert browser.login(username="all", password="all")
    session = browser.cookies[configured.SESSION_COOKIE_NAME].value
    token = "a" * 32
    cookies = f"{configured.SESSION_COOKIE_NAME}={session}; {configured.CSRF_COOKIE_NAME}={token}"
    return ("--header", f"Cookie:{cookies}", "--header", f"X-CSRFToken:{token}")


def test_the_running_portal_answers_as_it_is_documented(
    transactional_db, live_server, begun, everybody, settings, tmp_path
):
    settings.API_REQUESTS_A_MINUTE = settings.API_STRANGERS_A_MINUTE = 10**6
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(described(tmp_path)), f"--url={live_server.url}"),
        *signed_in_headers(),
        *(f"--checks={','.join(CHECKS)}", "--generation-with-security-parameters=false"),
        *("--warnings=off", "--no-color"),
        *(LONG if SECONDS else SHORT),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 150)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
