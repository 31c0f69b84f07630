"""A portal in which every screen has something to show: one model for each state that a person comes upon."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.mfa.webauthn.internal.auth import WebAuthn
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from django.utils import timezone
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

from lifecycle import export_jobs, mirror, operations, retention
from lifecycle.domain import compare
from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.permissions import STAGEGATE, Action, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    CheckRun,
    CheckStatus,
    Disagreement,
    Evidence,
    Heartbeat,
    Kind,
    ModelVersion,
    Notice,
    NoticeState,
    Policy,
    RegisteredModel,
    StagingFlag,
    Status,
    Strategy,
    Team,
    Transition,
    Variant,
    VariantRole,
    Waiver,
)
from lifecycle.ports import PermanentError, VersionRef
from lifecycle.queries import RecordFilter
from lifecycle.retention_queue import begin
from portal.accounts import tokens
from portal.accounts.models import User
from portal.accounts.passwords import make_link
from tests.support import rollouts
from tests.support.notices import with_addresses
from tests.support.world import NAME, POLICY, World

TAGS = {
    "schema_version": "1.0.0",
    "data_version": "2026-02-01",
    "training_date": "2026-02-02",
    "trainer_email": "ds@example.org",
    "framework": "sklearn",
    "explainability": "shap",
}
METRICS = {"f1_macro": 0.93, "auc": 0.981, "rmse": 0.42}
PARAMS = {"depth": "4", "seed": "7"}
SIGNATURE = {
    "inputs": [{"name": "petal_length", "type": "double", "required": True}],
    "outputs": [{"type": "long", "required": True}],
    "params": None,
}
CRITERIA = ["unit_tests", "code_review", "load_test", "approvals"]
MEASURED: dict[str, dict[str, Any]] = {
    "load_test": {
        "throughput": 640.0,
        "p50": 0.01,
        "p95": 1.4,
        "p99": 1.9,
        "failed": 0.0,
        "users": 16,
        "policy": 1,
        "ramp_seconds": 1.0,
        "steady_seconds": 2.0,
        "series": [[1, 40, 0, 0.01, 0.9, 8], [2, 640, 1, 0.01, 1.4, 16], [3, 650, 0, 0.01, 1.2, 16]],
        "failures": [{"reason": "500", "count": 3, "example": "Internal Server Error"}],
    },
    "malformed_input": {
        "rejected": 97.5,
        "sent": 200,
        "failed": 0.0,
        "by_class": {"wrong type": {"sent": 20, "rejected": 15}},
        "failing": [
            {"class": "wrong type", "body": "{}", "content_type": "text/xml", "status": 200, "answer": "[1]"},
        ],
    },
    "artifact_scan": {
        "total_files": 2,
        "total_bytes": 4096,
        "manifest": {"MLmodel": "ab" * 32},
        "formats": ["MLmodel"],
        "files": [
            {"path": "model.pkl", "size": 96, "format": "", "verdict": "failed", "why": "is of a format"},
            {"path": "MLmodel", "size": 4000, "format": "MLmodel", "verdict": "passed", "why": ""},
        ],
    },
    "drift": {
        "value": 0.42,
        "rows": 1000,
        "not_compared": {"width": "was given in 3 rows only"},
        "distributions": [
            {
                "feature": "petal_width",
                "distance": 0.42,
                "edges": [1.0],
                "categories": [],
                "reference": [0.5, 0.5],
                "seen": [0.1, 0.9],
            }
        ],
    },
}


@dataclass
class Shown:
    """What there is to be seen. The transitions are named by the state that they are in."""

    world: World
    decision: Transition
    rolled_back: Transition
    finished: Transition
    rollout: Transition
    shadow: Transition
    bypassed: Transition
    paused: Transition
    team: Team
    nora: User
    link: str = ""
    evidence: dict[str, Evidence] = field(default_factory=dict)

    @property
    def entry(self) -> int:
        """The entry of the record that tells of the bypass: it has details, a model and a transition."""
        return int(AuditEntry.objects.filter(transition=self.bypassed.pk).latest("seq").seq)


def filled(world: World, settings: Any, folder: Path) -> Shown:
    """The rows of every screen. Whatever people did is in the record, as operations write it."""
    settings.EXPORTS_DIR = folder
    settings.MAIL_URL = "mailto://127.0.0.1:9?from=stagegate@example.org"
    with_addresses()
    with_versions(world, "churn", "fraud", "price", "shipping", "returns", "wine")
    rolled_back, finished = _history(world)
    bypassed = _bypassed(world, "fraud")
    decision = _decision(world)
    shown = Shown(
        world=world,
        decision=decision,
        rolled_back=rolled_back,
        finished=finished,
        bypassed=bypassed,
        rollout=on_trial(world, "churn"),
        shadow=_shadow(world, "price"),
        paused=_paused(world, "shipping"),
        team=_team(world, "churn"),
        nora=_nora(world),
    )
    shown.evidence = _evidence(world, "churn")
    shown.link = make_link(person=shown.nora, reason="She is new.", actor=world.people["ada"], now=world.now)
    _policy_of_its_own(world, "churn")
    _wrong(world, "returns")
    _retention(world, "wine")
    _freezes(world)
    _notices(world, decision)
    _tokens(world)
    _exports(world)
    _second_factor("mia")
    for queue in ("celery", "engine"):
        Heartbeat.objects.create(queue=queue, sent_at=world.now, seen_at=world.now, worker="worker@here")
    return shown


def emptied(world: World) -> None:
    """As a portal is before MLflow was connected: nothing but people and the policy that comes with it."""
    ModelVersion.objects.all().delete()
    RegisteredModel.objects.all().delete()
    Policy.objects.all().delete()


# ---------------------------------------------------------------- models and what moves


def with_versions(world: World, *names: str) -> None:
    """Three versions of each of these models."""
    for name in names:
        world.registry.add_model(
            name, description=f"Predicts {name} for every order of the day.", tags={"area": "shop"}
        )
        for number in range(3):
            world.registry.add_version(name, tags={**TAGS, "semantic_version": f"1.{number}.0"})
    mirror.full_pass(world.registry, world.now)
    ModelVersion.objects.filter(version=1).update(metrics=METRICS, params=PARAMS, signature=SIGNATURE)
    better = {name: value * 1.02 for name, value in METRICS.items()}
    ModelVersion.objects.filter(version=2).update(
        metrics=better, params={**PARAMS, "depth": "6"}, signature=SIGNATURE, run_id="ab" * 16
    )


def version_of(name: str, number: int) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(model__name=name, version=number)


def _history(world: World) -> tuple[Transition, Transition]:
    """1.0.0 in Production, 1.1.0 after it, and 1.1.0 rolled back by hand; the rollback waits for a second look."""
    finished = world.in_production(1)
    world.in_production(2)
    rolled_back = world.drive(world.roll_back(by="mia"))
    world.pass_time(minutes=5)
    return rolled_back, finished


def _decision(world: World) -> Transition:
    """1.2.0 waits for the yes that is missing; its gate has evidence, a waiver and something that is replaced."""
    world.drive(world.approved(3, Stage.STAGING))
    criteria = {"to_staging": ["unit_tests"], "to_production": CRITERIA, "to_archived": []}
    body = {**POLICY, "criteria": criteria}
    Policy.objects.create(number=2, body=body, reason="Ask for tests.", created_by="Ada Novak", created_at=world.now)
    version = world.version(3)
    for criterion, passed in (("unit_tests", False), ("unit_tests", True), ("code_review", True)):
        evidence_of(world, version, criterion, passed=passed, detail="312 passed")
    waived(world, version, "load_test")
    return world.approve(world.request(3, Stage.PRODUCTION), "mia")


def evidence_of(world: World, version: ModelVersion, criterion: str, **values: Any) -> Evidence:
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    known = {"passed": True, "origin": "ci", "recorded_by": "CI of iris", "recorded_at": world.now}
    return Evidence.objects.create(version=version, criterion=criterion, **{**known, **bound, **values})


def waived(world: World, version: ModelVersion, criterion: str) -> Waiver:
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    return Waiver.objects.create(
        version=version,
        criterion=criterion,
        reason="The test bench is being moved.",
        granted_by="Priya Raman",
        granted_at=world.now,
        expires_at=world.now + timedelta(days=7),
        **bound,
    )


def on_trial(world: World, name: str) -> Transition:
    """1.1.0 at 25 % beside 1.0.0, with what was counted of both and a verdict that holds it."""
    row = rollouts.running(version_of(name, 2), version_of(name, 1), _first_policy(), world.now)
    rollouts.judged(row, rollouts.HOLD, world.now)
    for number, errors in ((1, 1), (2, 3)):
        _observed(version_of(name, number), world.now, errors)
    _staged(name, {1: "Production", 2: "Staging"})
    return row


def _observed(version: ModelVersion, until: datetime, errors: int) -> None:
    for place in range(12):
        end = until - place * rollouts.HOUR / 12
        rollouts.observe(version, end - rollouts.HOUR / 12, end, rollouts.counts(200, errors))


def _first_policy() -> Policy:
    return Policy.objects.get(number=1)


def _staged(name: str, stages: dict[int, str]) -> None:
    for number, stage in stages.items():
        ModelVersion.objects.filter(model__name=name, version=number).update(stage=stage)


def _shadow(world: World, name: str) -> Transition:
    """1.1.0 answers a copy of every request."""
    row = rollouts.running(
        version_of(name, 2),
        version_of(name, 1),
        _first_policy(),
        world.now,
        steps=rollouts.SHADOW_STEPS,
        strategy=Strategy.SHADOW,
        step=0,
    )
    seen = rollouts.counts(100, 0, answers={"same": 95, "setosa→virginica": 4, "≤1 %": 1})
    rollouts.judged(row, rollouts.PROCEED, world.now, kind=compare.Trial.SHADOW, canary=seen)
    _staged(name, {1: "Production", 2: "Staging"})
    return row


def _paused(world: World, name: str) -> Transition:
    """At 25 %, held by a person, and nothing has been measured of it yet."""
    row = rollouts.running(
        version_of(name, 2),
        version_of(name, 1),
        _first_policy(),
        world.now,
        paused_at=world.now,
        paused_by_name="Mia Keller",
        pause_reason="Until noon.",
        waiting_for="Paused by Mia Keller",
    )
    _staged(name, {1: "Production", 2: "Staging"})
    return row


def _bypassed(world: World, name: str) -> Transition:
    """Asked for by emil, let go on by ada in an emergency; nobody has reviewed that."""
    row = operations.request_transition(
        version=version_of(name, 1),
        to_stage=Stage.STAGING,
        reason="Orders are refused.",
        actor=world.people["emil"],
        now=world.now,
    )
    return operations.bypass(transition=row, reason="Users get errors.", actor=world.people["ada"], now=world.now)


def _wrong(world: World, name: str) -> None:
    """It serves Production, fails there, and the gateway is not as Stagegate left it."""
    version = version_of(name, 1)
    _staged(name, {1: "Production"})
    Transition.objects.create(
        model=version.model,
        version=version,
        kind=Kind.PROMOTION,
        from_stage=Stage.STAGING,
        to_stage=Stage.PRODUCTION,
        strategy=Strategy.DIRECT,
        status=Status.FINISHED,
        reason="It was the first.",
        policy=_first_policy(),
        requested_by_name="Emil Sandberg",
        requested_at=world.now,
        finished_at=world.now,
        due_at=world.now,
    )
    Variant.objects.create(
        model=version.model,
        version=version,
        role=VariantRole.PRODUCTION,
        weight=100,
        weight_since=world.now,
        url="http://127.0.0.1:1",
    )
    Disagreement.objects.create(
        model=version.model,
        what="weights",
        found="The gateway sends 30 % of requests to 1.1.0",
        expected="Stagegate left all of them at 1.0.0",
        since=world.now,
    )
    measure = compare.Measure(
        "error_rate_absolute",
        "Error rate",
        compare.MeasureState.BREACHED,
        estimate=12.3,
        limit=10.0,
        unit="%",
        on_breach="emergency",
        why="The version in Production fails too many of its requests; 10 % is the limit.",
    )
    verdict = compare.Verdict(compare.VerdictKind.ROLL_BACK, "It fails too many.", (measure,), emergency=True)
    about = {"model": version.model, "version": version, "since": world.now - rollouts.HOUR / 2}
    rollouts.judged(None, verdict, world.now, kind=compare.Trial.PRODUCTION, canary=rollouts.counts(1260, 155), **about)


def _evidence(world: World, name: str) -> dict[str, Evidence]:
    """What each check measured, a report from outside, and a check that runs."""
    version = version_of(name, 2)
    found = {
        criterion: evidence_of(
            world, version, criterion, passed=False, origin="check", measurements=seen, value=seen.get("value")
        )
        for criterion, seen in MEASURED.items()
    }
    found["unit_tests"] = evidence_of(
        world, version, "unit_tests", url="https://ci.example.org/builds/7", detail="312 passed", value=312.0
    )
    CheckRun.objects.create(
        version=version_of(name, 3),
        criterion="artifact_scan",
        status=CheckStatus.RUNNING,
        progress=42,
        phase="looking into its files",
        policy=_first_policy(),
        requested_by_name="Emil Sandberg",
        requested_at=world.now,
    )
    return found


# ---------------------------------------------------------------- what is kept and told


def _policy_of_its_own(world: World, name: str) -> None:
    operations.change_policy(
        model=RegisteredModel.objects.get(name=name),
        values={**POLICY, "warm_window": 900},
        reason="It is called more often.",
        actor=world.people["ada"],
        now=world.now,
    )


def _retention(world: World, name: str) -> None:
    """One version deleted, one whose files could not be, one on hold, and one for too long in Staging."""
    for _ in range(2):
        world.registry.add_version(name, tags=TAGS)
    for number in (1, 2, 3, 4):
        world.registry.set_stage(VersionRef(name, number), "Archived")
    mirror.full_pass(world.registry, world.now)
    rows = ModelVersion.objects.filter(model__name=name, version__lte=4)
    rows.update(stage="Archived", stage_since=world.now - timedelta(days=100))
    rows.filter(version=4).update(stage_since=world.now - timedelta(days=85))
    operations.place_hold(
        version=version_of(name, 3), reason="A court asked.", actor=world.people["aron"], now=world.now
    )
    StagingFlag.objects.create(version=version_of(name, 5), stage_since=world.now, flagged_at=world.now)
    world.registry.undeletable[version_of(name, 2).source] = PermanentError("The store says no.")
    row = begin(requested_by=STAGEGATE, now=world.now)
    assert row is not None
    retention.run(row.pk, clock=lambda: world.now)
    rows.filter(version=4).update(stage_since=world.now - timedelta(days=100))


def _freezes(world: World) -> None:
    """One that holds nobody's decision yet, and one that comes back."""
    began = datetime.combine(world.now.date(), time.min) + timedelta(days=10)
    known = {"zone": "Europe/Berlin", "reason": "The books are closed.", "actor": world.people["ada"], "now": world.now}
    operations.plan_freeze(name="End of the quarter", starts=began, ends=began + timedelta(days=3), **known)
    operations.plan_freeze(name="Nights", starts=began, ends=began + timedelta(hours=8), repeats="daily", **known)


def _notices(world: World, about: Transition) -> None:
    """A channel; one message that went out and one that was given up."""
    channel = operations.add_channel(
        name="Ops room",
        address="jsons://hooks.example.org/very-secret-path",
        events=["held", "rolled_back"],
        team=None,
        reason="To be told.",
        actor=world.people["ada"],
        now=world.now,
    )
    facts = {"title": "1.2.0 to Production"}
    told = {"event": "waiting", "model": about.model, "transition": about, "facts": facts, "created_at": world.now}
    priya = User.objects.get(username="priya")
    Notice.objects.create(key="a", person=priya, state=NoticeState.SENT, sent_at=world.now, due_at=world.now, **told)
    failed = {"state": NoticeState.FAILED, "attempts": 8, "last_error": "421 Service not available"}
    Notice.objects.create(key="b", channel=channel, due_at=world.now, **failed, **told)


def _team(world: World, model: str) -> Team:
    known: dict[str, Any] = {"reason": "They own it.", "actor": world.people["ada"], "now": world.now}
    team = operations.add_team(name="Customers", **known)
    operations.give_model(model=RegisteredModel.objects.get(name=model), team=team, **known)
    operations.give_role(person=User.objects.get(username="emil"), role=Role.PRODUCT_OWNER, team=team, **known)
    return team


def _nora(world: World) -> User:
    known: dict[str, Any] = {"reason": "She joins.", "actor": world.people["ada"], "now": world.now}
    nora: User = operations.add_person(username="nora", name="Nora de Vries", email="nora@example.org", **known)
    return nora


def _tokens(world: World) -> None:
    expires = world.now + timedelta(days=30)
    own = tokens.Wanted("laptop", frozenset({Action.RECORD_EVIDENCE}), expires, "To try it.")
    tokens.create_own(wanted=own, actor=world.people["emil"], now=world.now)
    service = tokens.Wanted("nightly", frozenset({Action.RECORD_EVIDENCE}), expires, "CI reports.")
    tokens.create_for_service(account="ci-iris", wanted=service, actor=world.people["ada"], now=world.now)


def _exports(world: World) -> None:
    """One that is written, and one that waits for a worker."""
    for form in (ExportFormat.CSV, ExportFormat.JSONL):
        job = operations.request_export(
            wanted=RecordFilter(model=NAME), form=form, reason="The audit.", actor=world.people["aron"], now=world.now
        )
        if form == ExportFormat.CSV:
            export_jobs.run(job.pk, clock=timezone.now)


def _second_factor(username: str) -> None:
    """An app, recovery codes, and a passkey that no device holds."""
    user = User.objects.get(username=username)
    TOTP.activate(user, generate_totp_secret())
    RecoveryCodes.activate(user)
    WebAuthn.add(user, "Laptop", _credential(b"passkey-of-" + username.encode()))


def _credential(name: bytes) -> dict[str, Any]:
    """What a browser answers when it has made a passkey."""
    key = ES256.from_cryptography_key(generate_private_key(SECP256R1()).public_key())
    made = AttestedCredentialData.create(bytes(16), name, key)
    flags = AuthenticatorData.FLAG.AT | AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV
    told = AuthenticatorData.create(sha256(b"localhost").digest(), flags, 0, made)
    return {
        "id": websafe_encode(name),
        "rawId": websafe_encode(name),
        "type": "public-key",
        "clientExtensionResults": {"credProps": {"rk": True}},
        "response": {
            "clientDataJSON": websafe_encode(b'{"type": "webauthn.create", "challenge": "", "origin": ""}'),
            "attestationObject": websafe_encode(AttestationObject.create("none", told, {})),
        },
    }
