"""An installation of a given size as rows, for ``bench.pages``: what grows with it, and what is the same at every size.

``fill`` writes models, versions, transitions that have ended, and entries of the record, as many as the size says. The
people, what waits, what runs, and the one model that is looked at are the same at every size: a page that costs more
in a large installation pays for rows that it does not show.

It imports the tables, so it is imported once Django is set up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from lifecycle import bindings, model_index, policies
from lifecycle.domain import checkpoints as signing
from lifecycle.domain import compare, observations
from lifecycle.domain import policy as policy_values
from lifecycle.domain.chain import FIRST, entry_hash, timestamp
from lifecycle.domain.criteria import Criterion, Origin
from lifecycle.domain.notices import CHOICES
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import STAGE_ALIASES, Stage
from lifecycle.models import (
    Approval,
    AuditEntry,
    Channel,
    Checkpoint,
    Deletion,
    DeletionStatus,
    Disagreement,
    Evidence,
    ExportJob,
    ExportStatus,
    FreezeWindow,
    Hold,
    Kind,
    MirrorState,
    ModelVersion,
    Notice,
    NoticeState,
    Observation,
    Policy,
    RegisteredModel,
    RetentionRun,
    StagingFlag,
    Status,
    Strategy,
    Team,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Waiver,
)
from portal.accounts.models import ApiToken, Identity, RoleAssignment, User
from tests.support import rollouts
from tests.support.facts import FAST, SIGNATURE, TAGS

PEOPLE, TEAMS, OWN_POLICIES, GENERAL_POLICIES, CHANNELS, NOTICES, TOKENS = 500, 20, 20, 6, 6, 2000, 60
WAITING, RUNNING, ASKING, BYPASSES, ROLLED_BACK, HOLDS, WRONG = 12, 6, 2, 4, 8, 10, 3
LOOKED_AT, LOOKED_AT_VERSIONS, LOOKED_AT_ENTRIES = "fraud-scoring-eu", 200, 2000
VERSIONS_A_MODEL = 10
BATCH = 1000
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STEMS = ("churn-forecast", "credit-limit", "delivery-time", "price-elasticity", "returns-risk", "search-ranking")
FRAMEWORKS = ("sklearn", "xgboost", "pytorch", "lightgbm", "onnx", "prophet")
ACTIONS = (
    *("transition_requested", "transition_approved", "transition_approved", "step_reached", "weights_changed"),
    *("step_reached", "evidence_recorded", "check_finished", "transition_finished", "out_of_band_stage_change"),
)
WHY = "The canary answers as fast, and its predictions are better by two points on the held-out month."


@dataclass(frozen=True, slots=True)
class Size:
    """``versions`` are 10 a model but for the one that is looked at, which has 200 at every size."""

    name: str
    models: int
    versions: int
    entries: int


SIZES = {
    "small": Size("small", models=100, versions=1_000, entries=10_000),
    "large": Size("large", models=10_000, versions=100_000, entries=1_000_000),
}


@dataclass(frozen=True, slots=True)
class Seed:
    """What rows are made from: the size, the moment, and how progress is told."""

    size: Size
    now: datetime
    say: Callable[[str], None]
    people: list[User] = field(default_factory=list)
    teams: list[Team] = field(default_factory=list)


def fill(size: Size, now: datetime, say: Callable[[str], None]) -> dict[str, Any]:
    """Write everything; gives what addresses are made of (see ``bench.pages_screens``)."""
    seed = Seed(size, now, say)
    steps: tuple[Callable[[Seed], None], ...] = (
        _people,
        _policies,
        _models,
        _versions,
        _index,
        _histories,
        _serving,
        _looked_at,
        _waiting,
        _running,
        _retention,
        _frame,
        _notices,
        _entries,
        _checkpoints,
        _exports,
        _statistics,
    )
    for step in steps:
        start = time.perf_counter()
        step(seed)
        say(f"{step.__name__.strip('_')}: {time.perf_counter() - start:.1f} s")
    return _addresses()


def _create(model: Any, rows: Iterable[Any]) -> None:
    """In batches of one transaction each, so that nothing has to be held in memory at once."""
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            model.objects.bulk_create(batch)
            batch.clear()
    model.objects.bulk_create(batch)


# ---------------------------------------------------------------- people


def _people(seed: Seed) -> None:
    """``owner``, ``engineer``, ``auditor`` and ``admin`` have their role for all models, most others one for a team."""
    seed.teams.extend(
        Team.objects.create(name=f"Team {n:02} of the platform", slug=f"team-{n:02}") for n in range(TEAMS)
    )
    known = {"owner": "Priya", "engineer": "Mia", "asker": "Emil", "auditor": "Aron", "admin": "Ada"}
    names = [*known, *(f"person-{n:03}" for n in range(PEOPLE - len(known)))]
    User.objects.bulk_create(
        User(
            username=name,
            first_name=known.get(name, f"Person {number}"),
            last_name="Lindqvist-Andersson",
            email=f"{name}@example.com",
            password="!",
        )
        for number, name in enumerate(names)
    )
    seed.people.extend(User.objects.order_by("pk"))
    RoleAssignment.objects.bulk_create(_roles(seed))
    Identity.objects.bulk_create(Identity(user=each, value=f"email:{each.email}") for each in seed.people)
    ApiToken.objects.bulk_create(_token(seed, n) for n in range(TOKENS))


def _roles(seed: Seed) -> Iterator[RoleAssignment]:
    everywhere = (Role.PRODUCT_OWNER, Role.ML_ENGINEER, Role.ML_ENGINEER, Role.AUDITOR, Role.ADMINISTRATOR)
    for person, role in zip(seed.people, everywhere, strict=False):
        yield RoleAssignment(user=person, role=role)
    for number, person in enumerate(seed.people[len(everywhere) :]):
        role = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)[number % 2]
        yield RoleAssignment(user=person, role=role, team=seed.teams[number % TEAMS])


def _token(seed: Seed, number: int) -> ApiToken:
    return ApiToken(
        user=seed.people[number % 10],
        name=f"pipeline {number}",
        prefix=f"{number:012x}",
        digest=f"{number:064x}",
        scopes=["view", "record_evidence"],
        created_at=seed.now - 30 * DAY,
        created_by="Emil",
        expires_at=seed.now + 60 * DAY,
        last_used_at=seed.now - HOUR,
    )


def _person(name: str) -> User:
    return User.objects.get(username=name)


# ---------------------------------------------------------------- models and versions


def _policies(seed: Seed) -> None:
    policies.current_policy(None, seed.now - 300 * DAY)
    body = policy_values.dump(policy_values.Policy())
    _create(
        Policy,
        (
            Policy(number=n + 2, body=body, reason=WHY, created_by="Ada", created_at=seed.now - (200 - n) * DAY)
            for n in range(GENERAL_POLICIES)
        ),
    )


def _models(seed: Seed) -> None:
    _create(RegisteredModel, (_model(seed, number) for number in range(seed.size.models)))
    body = policy_values.dump(policy_values.Policy())
    own = RegisteredModel.objects.order_by("pk")[30 : 30 + OWN_POLICIES]
    Policy.objects.bulk_create(
        Policy(number=100 + n, model=each, body=body, reason=WHY, created_by="Ada", created_at=seed.now - 50 * DAY)
        for n, each in enumerate(own)
    )


def _model(seed: Seed, number: int) -> RegisteredModel:
    name = LOOKED_AT if number == 0 else f"{STEMS[number % len(STEMS)]}-{number:05}"
    long = f"Vorhersage der Lieferzeit für {name} in der Region Nord, mit Wetter, Feiertagen und Verkehr"
    team = seed.teams[number % TEAMS] if number % 10 else None
    newest = LOOKED_AT_VERSIONS if number == 0 else VERSIONS_A_MODEL
    return RegisteredModel(
        name=long if number % 50 == 49 else name,
        slug=name,
        description=f"Says for the next day what {name} is going to be, one row a customer. " * 3,
        tags={"domain": STEMS[number % 3], "criticality": ("high", "low")[number % 2], "cost_center": f"{number % 40}"},
        aliases={STAGE_ALIASES[Stage.STAGING]: newest - 1, STAGE_ALIASES[Stage.PRODUCTION]: newest - 2},
        created_at=seed.now - 400 * DAY,
        updated_at=seed.now - timedelta(minutes=number),
        team=team,
        digest=f"{number:064x}",
    )


def _versions(seed: Seed) -> None:
    """The newest is in Development, those before it in Staging and Production; most are archived, the oldest gone."""
    MirrorState.objects.create(last_full_pass_at=seed.now, last_success_at=seed.now, pass_started_at=seed.now)
    _create(ModelVersion, _every_version(seed))


def _every_version(seed: Seed) -> Iterator[ModelVersion]:
    models = list(RegisteredModel.objects.order_by("pk").values_list("pk", flat=True))
    others = len(models) - 1
    left = seed.size.versions - LOOKED_AT_VERSIONS
    for place, key in enumerate(models):
        count = LOOKED_AT_VERSIONS if place == 0 else left // others + (place <= left % others)
        for number in range(1, count + 1):
            yield _version(seed, key, number, count, place)


def _version(seed: Seed, model: int, number: int, count: int, place: int) -> ModelVersion:
    stage = {count: "None", count - 1: "Staging", count - 2: "Production"}.get(number, "Archived")
    gone = number <= count // 10
    age = timedelta(days=(count - number) * 300 // count, minutes=place % 1440)
    framework = FRAMEWORKS[place % len(FRAMEWORKS)]
    return ModelVersion(
        model_id=model,
        version=number,
        stage=stage,
        stage_since=seed.now - min(age, 89 * DAY) if number % 40 else seed.now - 95 * DAY,
        description="Trained on the last twelve months, with the outliers of March left out." if number % 2 else "",
        tags={**TAGS, "semantic_version": f"1.{number}.0", "framework": framework, "environment": "production"},
        source=f"mlflow-artifacts:/1/{model:08x}{number:08x}/artifacts/model",
        run_id=f"{model:016x}{number:016x}",
        created_at=seed.now - age - DAY,
        updated_at=seed.now - age,
        removed_at=seed.now - 20 * DAY if gone else None,
        metrics={f"{name}_{part}": 0.9 + number / 5000 for name in ("f1", "auc", "mae") for part in ("macro", "eu")}
        | {"f1_macro": 0.93, "accuracy": 0.95},
        params={"max_depth": "7", "learning_rate": "0.05", "trees": "400", "subsample": "0.8", "seed": f"{number}"},
        run_tags={"mlflow.user": "emil", "git_commit": f"{number:040x}", "mlflow.source.name": "train.py"},
        run_name=f"nightly-{number}",
        experiment_id="1",
        signature=SIGNATURE,
        flavors=["python_function", framework],
        details_at=seed.now - age,
        artifact_digest=f"{model:032x}{number:032x}",
        artifact_listing=f"{number:064x}",
        artifact_read_at=seed.now - age,
    )


def _index(seed: Seed) -> None:
    """What the list of models is read from."""
    model_index.refresh(list(RegisteredModel.objects.values_list("pk", flat=True)))


def _histories(seed: Seed) -> None:
    """What brought each version of every other model to Staging and to Production, with the approvals."""
    policy = policies.current_policy(None, seed.now)
    people = (_person("asker"), _person("engineer"), _person("owner"))
    rows = ModelVersion.objects.filter(stage__in=("Staging", "Production")).order_by("pk").iterator(chunk_size=2000)
    _create(Transition, (_ended(seed, row, policy, people[0], step) for row in rows for step in _way(row)))
    ended = Transition.objects.order_by("pk").values_list("pk", "requested_at").iterator(chunk_size=2000)
    _create(
        Approval,
        (
            Approval(
                transition_id=key,
                person=person,
                person_name=person.display_name,
                roles=[Role.PRODUCT_OWNER if person is people[2] else Role.ML_ENGINEER],
                approved=True,
                reason=WHY,
                decided_at=at + HOUR,
            )
            for key, at in ended
            for person in people[1:]
        ),
    )


def _way(row: ModelVersion) -> tuple[Stage, ...]:
    return (Stage.STAGING, Stage.PRODUCTION) if row.stage == "Production" else (Stage.STAGING,)


def _ended(
    seed: Seed, row: ModelVersion, policy: Policy, asker: User, to_stage: Stage, *, ago: timedelta | None = None
) -> Transition:
    at = seed.now - ago if ago is not None else (row.stage_since or seed.now) - DAY
    return Transition(
        model_id=row.model_id,
        version=row,
        kind=Kind.PROMOTION,
        from_stage=Stage.STAGING if to_stage == Stage.PRODUCTION else Stage.DEVELOPMENT,
        to_stage=to_stage,
        strategy=Strategy.CANARY,
        status=Status.FINISHED,
        reason=WHY,
        policy=policy,
        requested_by=asker,
        requested_by_name=asker.display_name,
        requested_at=at - HOUR,
        started_at=at,
        checked_at=at,
        finished_at=at + HOUR,
        due_at=at,
        digest="",
    )


def _serving(seed: Seed) -> None:
    """One server a model, judged since yesterday, and a few intervals of what it answered."""
    rows = list(ModelVersion.objects.filter(stage="Production").order_by("pk").values_list("pk", "model_id"))
    _create(
        Variant,
        (
            Variant(
                model_id=model,
                version_id=version,
                role=VariantRole.PRODUCTION,
                url="http://127.0.0.1:1",
                weight=100,
                weight_since=seed.now - DAY,
            )
            for version, model in rows
        ),
    )
    seen = rollouts.counts(1200, 3)
    verdict = compare.dump(rollouts.PROCEED)
    _create(
        Trial,
        (
            Trial(
                model_id=model,
                version_id=version,
                kind=compare.Trial.PRODUCTION,
                weight=100,
                looks=40,
                since=seed.now - DAY,
                seen_until=seed.now,
                last_seen=seed.now,
                judged_at=seed.now,
                canary={"requests": 1200, "errors": 3},
                verdict=verdict,
            )
            for version, model in rows
        ),
    )
    _create(
        Observation,
        (
            Observation(
                model_id=model,
                version_id=version,
                since=seed.now - (hours + 1) * HOUR,
                until=seed.now - hours * HOUR,
                requests=seen.requests,
                errors=seen.errors,
                merged=True,
            )
            for version, model in rows
            for hours in range(3)
        ),
    )


# ---------------------------------------------------------------- what is looked at


def _looked_at(seed: Seed) -> None:
    """The model with many versions has been in Production sixty times, and was rolled back now and then."""
    model = RegisteredModel.objects.get(slug=LOOKED_AT)
    policy, asker = policies.current_policy(model, seed.now), _person("asker")
    versions = {row.version: row for row in model.versions.all()}
    rows = [
        _ended(seed, versions[number], policy, asker, stage, ago=timedelta(days=300 - number, hours=number % 7))
        for number in range(LOOKED_AT_VERSIONS - 130, LOOKED_AT_VERSIONS - 10, 2)
        for stage in (Stage.STAGING, Stage.PRODUCTION)
    ]
    for row in rows[1::10]:
        row.kind, row.previous = Kind.ROLLBACK, versions[row.version.version - 2]
        row.rollback_requested_at, row.traffic_back_at = row.requested_at, row.requested_at + timedelta(seconds=4)
        row.rollback_reason, row.rollback_by_name, row.reviewed_at = WHY, "Mia", row.finished_at
    Transition.objects.bulk_create(rows)


def _evidence(seed: Seed, version: ModelVersion) -> None:
    """Every criterion that is not read from elsewhere has passed, the load test with what it measured."""
    series = [[n, 640, 0, 0.012, 0.03, 20] for n in range(120)]
    wanted = [each for each in Criterion if each.about.origin != Origin.READ]
    Evidence.objects.bulk_create(
        Evidence(
            version=version,
            criterion=each,
            passed=True,
            origin="check" if each.about.origin == Origin.CHECKED else "ci",
            detail="Everything passed.",
            url="https://ci.example.com/runs/4711",
            measurements={"series": series, **FAST} if each == Criterion.LOAD_TEST else {},
            run_id=version.run_id,
            source=version.source,
            artifact_digest=version.artifact_digest,
            tags={name: version.tags[name] for name in TAGS},
            recorded_by="CI",
            recorded_at=seed.now - HOUR * (1 + n % 5),
        )
        for n, each in enumerate([*wanted, *wanted])
    )
    Waiver.objects.create(
        version=version,
        criterion=Criterion.DRIFT,
        reason="The new region answers differently, and that is known.",
        run_id=version.run_id,
        source=version.source,
        artifact_digest=version.artifact_digest,
        granted_by="Priya",
        granted_at=seed.now - HOUR,
        expires_at=seed.now + 7 * DAY,
    )


def _candidates(first: int, count: int) -> list[ModelVersion]:
    """The versions in Staging of so many models, beginning with the ``first``."""
    keys = RegisteredModel.objects.order_by("pk").values_list("pk", flat=True)[first : first + count]
    rows = ModelVersion.objects.filter(model__in=list(keys), stage="Staging")
    return list(rows.select_related("model").order_by("pk"))


def _stable(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model=version.model_id, stage="Production")


def _waiting(seed: Seed) -> None:
    """Transitions to Production that one of two people has said yes to."""
    asker, engineer = _person("asker"), _person("engineer")
    for number, version in enumerate(_candidates(1, WAITING)):
        _evidence(seed, version)
        policy = policies.current_policy(version.model, seed.now)
        row = _ended(seed, version, policy, asker, Stage.PRODUCTION, ago=(number + 1) * HOUR)
        row.status, row.started_at, row.checked_at, row.finished_at = Status.AWAITING_APPROVAL, None, None, None
        row.stable = _stable(version)
        row.save()
        bindings.bind(row, seed.now)
        Approval.objects.create(
            transition=row,
            person=engineer,
            person_name=engineer.display_name,
            roles=[Role.ML_ENGINEER],
            approved=True,
            reason=WHY,
            decided_at=seed.now,
            digest=row.digest,
            expires_at=seed.now + 7 * DAY,
        )


def _running(seed: Seed) -> None:
    """Canaries in their second step, with three hours of what both versions answered; two of them wait for somebody."""
    versions = [*_candidates(0, 1), *_candidates(WAITING + 1, RUNNING - 1)]
    asker = _person("asker")
    for number, version in enumerate(versions):
        _evidence(seed, version)
        policy = policies.current_policy(version.model, seed.now)
        asks = number >= RUNNING - ASKING
        row = rollouts.running(version, _stable(version), policy, seed.now, requested_by=asker, asks_person=asks)
        rollouts.judged(row, rollouts.HOLD, seed.now)
        Observation.objects.bulk_create(_course(seed, row))
    _bypasses(seed)
    _rolled_back(seed)
    model = RegisteredModel.objects.get(slug=LOOKED_AT)
    Disagreement.objects.bulk_create(
        Disagreement(
            model=model, what="alias", expected="production is 198", found=f"production is {n}", since=seed.now
        )
        for n in range(WRONG)
    )


def _course(seed: Seed, row: Transition) -> Iterator[Observation]:
    for version, seen in ((row.version, rollouts.counts(70, 1)), (row.stable, rollouts.counts(210, 1))):
        details = {name: part for name, part in observations.dump(seen).items() if name not in ("requests", "errors")}
        for minutes in range(0, 180, 5):
            until = seed.now - timedelta(minutes=minutes)
            yield Observation(
                model=row.model,
                version=version,
                since=until - timedelta(minutes=5),
                until=until,
                requests=seen.requests,
                errors=seen.errors,
                details=details,
            )


def _bypasses(seed: Seed) -> None:
    admin = _person("admin")
    for version in _candidates(WAITING + RUNNING + 1, BYPASSES):
        row = Transition.objects.filter(version=version).first()
        row.bypassed_at, row.bypassed_by, row.bypassed_by_name = seed.now - HOUR, admin, admin.display_name
        row.bypass_reason, row.bypass_missing = WHY, [Role.PRODUCT_OWNER]
        row.save()


def _rolled_back(seed: Seed) -> None:
    asker = _person("asker")
    for version in _candidates(WAITING + RUNNING + BYPASSES + 1, ROLLED_BACK):
        policy = policies.current_policy(version.model, seed.now)
        row = _ended(seed, version, policy, asker, Stage.PRODUCTION, ago=5 * HOUR)
        row.status, row.previous, row.rollback_reason = Status.ROLLED_BACK, _stable(version), WHY
        row.rollback_requested_at, row.traffic_back_at = seed.now - 4 * HOUR, seed.now - 4 * HOUR
        row.save()


# ---------------------------------------------------------------- retention


def _retention(seed: Seed) -> None:
    """The journal of every version that is gone; holds, flags and passes of the clean-up."""
    gone = ModelVersion.objects.exclude(removed_at=None).order_by("pk").only("pk", "source", "run_id", "stage_since")
    _create(
        Deletion,
        (
            Deletion(
                version=row,
                status=DeletionStatus.DONE,
                source=row.source,
                run_id=row.run_id,
                policy=1,
                archived_since=row.stage_since,
                files=7,
                freed_bytes=4_000_000,
                planned_at=seed.now - 20 * DAY,
                finished_at=seed.now - 20 * DAY,
            )
            for row in gone.iterator(chunk_size=2000)
        ),
    )
    archived = ModelVersion.objects.filter(stage="Archived", removed_at=None).order_by("pk")[:HOLDS]
    Hold.objects.bulk_create(Hold(version=row, reason=WHY, placed_by="Aron", placed_at=seed.now) for row in archived)
    staged = ModelVersion.objects.filter(stage="Staging").order_by("pk")[:30]
    StagingFlag.objects.bulk_create(
        StagingFlag(version=row, stage_since=row.stage_since, flagged_at=seed.now) for row in staged
    )
    RetentionRun.objects.bulk_create(
        RetentionRun(
            running=False,
            started_at=seed.now - n * DAY,
            finished_at=seed.now - n * DAY,
            requested_by_name="Stagegate",
            planned=12,
            deleted=12,
        )
        for n in range(40)
    )


# ---------------------------------------------------------------- freezes, channels, notices


def _frame(seed: Seed) -> None:
    model = RegisteredModel.objects.get(slug=LOOKED_AT)
    whose = ({}, {"team": seed.teams[1]}, {"model": model})
    FreezeWindow.objects.bulk_create(
        FreezeWindow(
            name=f"Nobody is there {n}",
            zone="Europe/Berlin",
            starts=f"{seed.now + timedelta(days=3 + n):%Y-%m-%dT18:00}",
            ends=f"{seed.now + timedelta(days=5 + n):%Y-%m-%dT08:00}",
            repeats=("never", "weekly", "yearly")[n % 3],
            reason=WHY,
            created_by_name="Priya",
            created_at=seed.now,
            removed_at=seed.now if n % 4 == 3 else None,
            **whose[n % 3],
        )
        for n in range(24)
    )
    Channel.objects.bulk_create(
        Channel(
            name=f"Room {n}",
            team=seed.teams[n] if n % 2 else None,
            url=b"sealed",
            shown="slack://…/releases",
            events=[event.value for event in CHOICES],
            created_at=seed.now,
            created_by_name="Ada",
        )
        for n in range(CHANNELS)
    )


def _notices(seed: Seed) -> None:
    owner = _person("owner")
    rows = list(Transition.objects.order_by("pk").values_list("pk", "model_id")[:NOTICES])
    states = (NoticeState.SENT, NoticeState.SENT, NoticeState.DROPPED, NoticeState.WAITING, NoticeState.FAILED)
    Notice.objects.bulk_create(
        Notice(
            event="waiting",
            key=f"waiting:{n}",
            person=owner,
            model_id=rows[n % len(rows)][1],
            transition_id=rows[n % len(rows)][0],
            facts={"model": "m"},
            state=states[n % 5] if n % 100 == 0 else NoticeState.SENT,
            created_at=seed.now - n * HOUR,
            due_at=seed.now - n * HOUR,
            sent_at=seed.now - n * HOUR,
        )
        for n in range(NOTICES)
    )


# ---------------------------------------------------------------- the record


def _entries(seed: Seed) -> None:
    """Chained as ``lifecycle.audit`` chains them; a hundred a model but for the one that is looked at."""
    columns = [each for each in AuditEntry._meta.local_fields if not each.primary_key]
    names = ", ".join(f'"{each.column}"' for each in columns)
    statement = f"INSERT INTO {AuditEntry._meta.db_table} ({names}) VALUES ({', '.join(['%s'] * len(columns))})"
    last = AuditEntry.objects.order_by("-seq").first()
    seq, previous = (last.seq, last.hash) if last else (0, FIRST)
    batch: list[tuple[Any, ...]] = []
    converters = [_converter(each) for each in columns]
    for body in _bodies(seed, seq):
        body["previous_hash"] = previous
        previous = body["hash"] = entry_hash(body)
        batch.append(tuple(convert(body[each.name]) for each, convert in zip(columns, converters, strict=True)))
        if len(batch) == 20 * BATCH:
            _append(statement, batch)
            seed.say(f"  {body['seq']:,} of {seed.size.entries:,} entries")
            batch.clear()
    _append(statement, batch)


def _append(statement: str, batch: Sequence[tuple[Any, ...]]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(statement, batch)


def _converter(column: Any) -> Callable[[Any], Any]:
    if column.get_internal_type() == "JSONField":
        return lambda value: (
            json.dumps(value) if connection.vendor == "sqlite" else column.get_db_prep_save(value, connection)
        )
    if column.get_internal_type() == "DateTimeField":
        return lambda text: column.get_db_prep_save(datetime.fromisoformat(text), connection)
    return lambda value: value


def _bodies(seed: Seed, last: int) -> Iterator[dict[str, Any]]:
    transitions = list(Transition.objects.order_by("pk").values_list("pk", "version__model__name", "version__version"))
    every = 2 * 365 * DAY / seed.size.entries
    names = {True: (LOOKED_AT, LOOKED_AT_VERSIONS - 2)}
    looked_at_every = seed.size.entries // LOOKED_AT_ENTRIES
    people = [each.display_name for each in seed.people[:40]]
    for seq in range(last + 1, seed.size.entries + 1):
        key, model, version = transitions[(seq // 10) % len(transitions)]
        model, version = names.get(seq % looked_at_every == 0, (model, version))
        yield {
            "seq": seq,
            "at": timestamp(seed.now - (seed.size.entries - seq + 1) * every),
            "action": ACTIONS[seq % len(ACTIONS)] if seq % 500 else "policy_changed",
            "refused": seq % 50 == 0,
            "actor": people[seq % 40],
            "actor_id": seq % 40 + 1,
            "actor_roles": ["ml_engineer"],
            "signed_in_by": "password+totp",
            "address": "192.0.2.7",
            "model": model,
            "version": version,
            "semantic_version": f"1.{version}.0",
            "from_stage": "Staging",
            "to_stage": "Production",
            "reason": WHY,
            "details": {"weights": {"12": 95, "13": 5}, "step": seq % 4},
            "transition": key,
            "policy": 4,
            "evidence_digest": f"{seq:064x}",
        }


def _checkpoints(seed: Seed) -> None:
    """One every thousand entries, signed and delivered."""
    settings.CHECKPOINT_KEY_FILE.parent.mkdir(parents=True, exist_ok=True)
    settings.CHECKPOINT_KEY_FILE.write_bytes(signing.new_key())
    key = signing.load_key(settings.CHECKPOINT_KEY_FILE.read_bytes())
    statement: Any = None
    rows = []
    for seq, digest, at in (
        AuditEntry.objects.filter(seq__in=range(1000, seed.size.entries, 1000)).order_by("seq")
    ).values_list("seq", "hash", "at"):
        statement = signing.sign(key, seq=seq, entry_hash=digest, at=at, previous=statement)
        rows.append(
            Checkpoint(
                seq=seq, hash=digest, at=at, statement=statement, delivered=["folder"], complete=True, attempts=1
            )
        )
    Checkpoint.objects.bulk_create(rows)


def _exports(seed: Seed) -> None:
    auditor = _person("auditor")
    ExportJob.objects.bulk_create(
        ExportJob(
            person=auditor,
            format="jsonl",
            filters={"model": LOOKED_AT},
            last_seq=seed.size.entries,
            status=ExportStatus.RUNNING if n == 7 else ExportStatus.FINISHED,
            total=1000,
            rows=1000,
            bytes=500_000,
            file=f"export-{n}.jsonl",
            created_at=seed.now - HOUR,
            finished_at=seed.now,
            expires_at=seed.now + DAY,
        )
        for n in range(8)
    )


def _statistics(seed: Seed) -> None:
    """What the planner knows of the tables, as after the first day of an installation on PostgreSQL."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")


# ---------------------------------------------------------------- addresses


def _addresses() -> dict[str, Any]:
    """The keys that ``bench.pages_screens`` puts into its addresses."""
    model = RegisteredModel.objects.get(slug=LOOKED_AT)
    version = ModelVersion.objects.get(model=model, stage="Staging")
    newest = Transition.objects.filter(status=Status.FINISHED, to_stage="Production").order_by("pk")
    evidence = Evidence.objects.filter(version=version)
    tracked = AuditEntry.objects.filter(model=LOOKED_AT).order_by("seq")
    return {
        "model": LOOKED_AT,
        "version": version.version,
        "stable": version.version - 1,
        "archived": version.version - 50,
        "other": RegisteredModel.objects.order_by("pk")[40].slug,
        "evidence": evidence.filter(criterion=Criterion.LOAD_TEST).first().pk,
        "waiting": Transition.objects.filter(status=Status.AWAITING_APPROVAL).earliest("pk").pk,
        "running": Transition.objects.filter(status=Status.RUNNING).earliest("pk").pk,
        "finished": newest.filter(model=model).last().pk,
        "rolled_back": Transition.objects.filter(status=Status.ROLLED_BACK).earliest("pk").pk,
        "person": _person("person-007").pk,
        "policy": Policy.objects.filter(model=None).latest("number").number,
        "own_policy": Policy.objects.exclude(model=None).earliest("number").number,
        "actor": "Person 17 Lindqvist-Andersson",
        "entry": tracked.first().seq,
        "before": AuditEntry.objects.latest("seq").seq // 2,
        "month": f"{AuditEntry.objects.latest('seq').at - 30 * DAY:%Y-%m-%dT%H:%M:%S}",
        "at": f"{AuditEntry.objects.latest('seq').at - 2 * DAY:%Y-%m-%dT%H:%M:%S}",
    }
