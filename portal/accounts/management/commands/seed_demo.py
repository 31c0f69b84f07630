"""The demo's people, policy and first Production versions, made by the same operations that people use."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lifecycle import operations, queries
from lifecycle.approvals import still_missing
from lifecycle.domain import policy as policy_values
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Action, Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import ACTIVE, ModelVersion, Policy, RegisteredModel, Status, Team, Transition
from portal.accounts import tokens
from portal.accounts.models import RoleAssignment, User

PEOPLE = (
    ("priya", "Priya", "Natarajan", Role.PRODUCT_OWNER),
    ("emil", "Emil", "Sandberg", Role.ML_ENGINEER),
    ("mia", "Mia", "Okafor", Role.ML_ENGINEER),
    ("aron", "Aron", "Weiss", Role.AUDITOR),
    ("ada", "Ada", "Lindqvist", Role.ADMINISTRATOR),
)
FIRST_VERSION = "1.0.0"
TEAM = "Iris"
TEAM_REASON = "The demo shows whose a model is."
LOOKS = 5
"""How often the demo says yes again to what a check has changed meanwhile."""


REVIEWED = ("1.0.0", "1.0.1", "1.1.1", "1.1.2", "2.0.0")
"""1.1.0 of each model is left out: recording its review is for whoever tries the demo."""
SECURED = ("1.0.0", "1.0.1")
CI_ACCOUNT = "demo-ci"


def demo_policy(hour: float) -> dict[str, Any]:
    """The lifecycle strategy's numbers, with an hour of the schedule shortened to ``hour`` seconds.

    The stay in Staging is shortened further, to six such hours instead of 24, and asks for fewer requests. The judge
    is content with less evidence: a step takes some 600 requests to the new version as it is. It allows for one machine
    that does everything: there a server that gets 5 % of the requests is a cold one, and took half as long again.
    """
    steps = ((5, 1 * hour), (25, 2 * hour), (50, 4 * hour), (100, 0))
    return {
        "canary_steps": [{"weight": weight, "minimum": minimum} for weight, minimum in steps],
        "comparison": {"confidence": 90, "latency_p95_increase": 100},
        "rollout": {
            "shadow_duration": max(hour, 1),
            "shadow_requests": 100,
            "shadow_agreement": 85,
            "patience": max(60 * hour, 60),
            "grace": 20,
        },
        "soak": {"duration": 6 * hour, "requests": 50},
        "checks": {
            "in_staging": ["load_test", "malformed_input", "drift"],
            "load_test": {"users": 8, "ramp": 3, "steady": 10},
        },
        "retention": {"production": 180 * hour},
        "start_limit": 120,
        "warm_window": 180 * hour,
        "shortened": True,
    }


def opening_policy(hour: float) -> dict[str, Any]:
    """The demo's, without criteria and checks: what was in Production before there was a Stagegate was let in by it."""
    return {
        **demo_policy(hour),
        "criteria": {"to_staging": [], "to_production": [], "to_archived": []},
        "checks": {"in_development": [], "in_staging": []},
    }


class Command(BaseCommand):
    help = (
        "Create the demo's people and policy, and bring the first version of every model into Production. Idempotent."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("This is not a demo installation: set STAGEGATE_DEMO=1 to make it one.")
        people = create_people(settings.HOME / "secrets" / "demo_people.json")
        open_with_a_policy(people["ada"])
        for version in _first_versions():
            self.stdout.write(f"{version.model.name} {version.label} into Production")
            _bring_into_production(version, people)
        give_models_to_a_team(people["ada"])
        put_policy_into_force(people["ada"])
        record_reviews(people["mia"])
        create_ci_token(settings.HOME / "secrets" / "ci_token", people["ada"])


def create_people(path: Path) -> dict[str, Actor]:
    """The demo's people as actors, by user name; their passwords are made once and kept in ``path``."""
    known = {row["username"]: row["password"] for row in json.loads(path.read_text())} if path.exists() else {}
    rows = []
    for username, first, last, role in PEOPLE:
        password = known.get(username) or secrets.token_urlsafe(9)
        user, created = User.objects.get_or_create(username=username, defaults={"first_name": first, "last_name": last})
        if created or username not in known:
            user.set_password(password)
            user.save(update_fields=["password"])
        RoleAssignment.objects.get_or_create(user=user, role=role, team=None)
        rows.append({"username": username, "name": f"{first} {last}", "role": role.label, "password": password})
    _write_private(path, json.dumps(rows, indent=2))
    users = User.objects.filter(username__in=[row["username"] for row in rows])
    return {user.username: Actor(user.display_name, user.pk, user.role_set, signed_in_by="demo") for user in users}


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


OPENING_REASON = "The demo begins with versions that are in Production already, so nothing is asked of them."
DEMO_REASON = "The lifecycle strategy's criteria and numbers, with shortened durations, for all that comes now."


def open_with_a_policy(actor: Actor) -> None:
    """Number 1 is the lifecycle strategy's own; it asks for evidence that the first versions cannot have."""
    number_one = Policy.objects.filter(model=None).count() <= 1
    if number_one and not Transition.objects.exists():
        _put_into_force(opening_policy(settings.DEMO_HOUR_SECONDS), OPENING_REASON, actor)


def put_policy_into_force(actor: Actor) -> None:
    """Only after the opening one: later on, what applies is for whoever tries the demo to say."""
    newest = Policy.objects.filter(model=None).first()
    if newest is not None and newest.reason == OPENING_REASON:
        _put_into_force(demo_policy(settings.DEMO_HOUR_SECONDS), DEMO_REASON, actor)


def _put_into_force(body: dict[str, Any], reason: str, actor: Actor) -> None:
    operations.change_policy(
        model=None, values=policy_values.load(body), reason=reason, actor=actor, now=timezone.now()
    )


def give_models_to_a_team(actor: Actor) -> None:
    """The iris models get a team, once; the others stay with those who have a role for all models."""
    if Team.objects.exists():
        return
    team = operations.add_team(name=TEAM, reason=TEAM_REASON, actor=actor, now=timezone.now())
    for model in RegisteredModel.objects.filter(name__startswith="iris", removed_at=None):
        operations.give_model(model=model, team=team, reason=TEAM_REASON, actor=actor, now=timezone.now())


def record_reviews(actor: Actor) -> None:
    """What the demo's CI cannot know: who has read the code, and what was made of its packages."""
    notes = {
        Criterion.CODE_REVIEW: (REVIEWED, "I have read the training code and the model's own code in demo/models."),
        Criterion.SECURITY_SCAN: (
            SECURED,
            "No scanner belongs to the demo: the packages are those of the portal's own locked requirements.",
        ),
    }
    for version in ModelVersion.objects.filter(removed_at=None).exclude(stage="Archived").select_related("model"):
        for criterion, (numbers, note) in notes.items():
            if version.semantic_version in numbers and not version.evidence.filter(criterion=criterion).exists():
                operations.record_evidence(
                    version=version, criterion=criterion, passed=True, detail=note, actor=actor, now=timezone.now()
                )


def create_ci_token(path: Path, actor: Actor) -> None:
    """The demo's CI gets a token that can record evidence and nothing else."""
    if path.exists():
        return
    wanted = tokens.Wanted(
        name="demo CI",
        scopes=frozenset({Action.RECORD_EVIDENCE}),
        expires_at=timezone.now() + tokens.LONGEST,
        reason="The demo's CI reports the tests of every version.",
    )
    issued = tokens.create_for_service(account=CI_ACCOUNT, wanted=wanted, actor=actor, now=timezone.now())
    _write_private(path, issued.text)


def _first_versions() -> list[ModelVersion]:
    found = ModelVersion.objects.filter(stage__in=("None", "Staging"), removed_at=None).select_related("model")
    return [version for version in found.order_by("model", "version") if version.semantic_version == FIRST_VERSION]


def _bring_into_production(version: ModelVersion, people: dict[str, Actor]) -> None:
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        version.refresh_from_db()
        if version.domain_stage in (stage, Stage.PRODUCTION):
            continue
        waiting = Transition.objects.filter(version=version, to_stage=stage, status__in=ACTIVE).first()
        transition = waiting or operations.request_transition(
            version=version,
            to_stage=stage,
            reason="The first version of the demo.",
            actor=people["emil"],
            now=timezone.now(),
        )
        _approve(transition, people)
        _await(transition)


def _approve(transition: Transition, people: dict[str, Actor]) -> None:
    for name in ("mia", "priya"):
        for look in range(LOOKS):
            transition.refresh_from_db()
            awaiting = transition.status == Status.AWAITING_APPROVAL
            if not awaiting or queries.why_not_decide(transition, people[name], still_missing(transition)):
                break
            if _say_yes(transition, people[name], last=look == LOOKS - 1):
                break


def _say_yes(transition: Transition, actor: Actor, *, last: bool) -> bool:
    """Whether the yes counts. A check that ended meanwhile changes what it is about, and it has to be given again."""
    now, reason = timezone.now(), "The demo starts from here."
    try:
        operations.approve(transition=transition, reason=reason, actor=replace(actor, confirmed_at=now), now=now)
    except operations.RefusedError as error:
        if last or error.rule != "changed_since_shown":
            raise
        return False
    return True


def _await(transition: Transition, *, seconds: float = 120) -> None:
    """Wait until the workers have carried the transition out."""
    _until(lambda: Transition.objects.get(pk=transition.pk).status not in ACTIVE, seconds)
    transition.refresh_from_db()
    if transition.status != Status.FINISHED:
        raise CommandError(
            f"{transition} ended as {transition.get_status_display()}: {transition.outcome or transition.waiting_for}. "
            "The workers' logs say more."
        )


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)
