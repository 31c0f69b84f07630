"""Carrying checks out: claim, prepare, measure, write the evidence down.

A run may be killed at any line. Its lease ends, somebody else takes it up, and whoever was overtaken finds out at the
next report and stops: evidence is written only by the holder of the claim.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from lifecycle import adapters, artifacts, mirror
from lifecycle.audit import record, recording
from lifecycle.check_queue import (
    LOADS_THE_MODEL,
    ScanState,
    call_off,
    queue,
    scan_before,
    why_unasked,
)
from lifecycle.checks import artifact_scan, drift, load_test, malformed_input
from lifecycle.checks.base import CheckCancelledError, Entry, Result, Subject
from lifecycle.dispatch import CHECKS_QUEUE, send, wake_check
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.gates import Source
from lifecycle.domain.permissions import STAGEGATE, STAGEGATE_ASKED_BY
from lifecycle.domain.policy import Policy as PolicyValues
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.evidence import append, files_changed_since
from lifecycle.models import (
    UNFINISHED_CHECKS,
    CheckRun,
    CheckStatus,
    ModelVersion,
    Observation,
    Policy,
    RegisteredModel,
    Status,
    Transition,
    Variant,
)
from lifecycle.policies import current_policy
from lifecycle.ports import NotFoundError, PermanentError, PortError, Purpose, ServerState, TemporaryError, VersionRef

logger = logging.getLogger(__name__)

CHECKS: Mapping[Criterion, Entry] = {
    Criterion.ARTIFACT_SCAN: Entry(artifact_scan.run, fresh_files=True),
    Criterion.LOAD_TEST: Entry(load_test.run, needs_server=True),
    Criterion.MALFORMED_INPUT: Entry(malformed_input.run, needs_server=True),
    Criterion.DRIFT: Entry(drift.run),
}
LEASE = timedelta(seconds=60)
"""How long a run may say nothing before somebody else takes it up; a download says nothing for its whole length, so
its lease is DOWNLOAD_LEASE."""
DOWNLOAD_LEASE = timedelta(seconds=240)
ATTEMPTS = 3
RETRY = timedelta(seconds=15)
"""How long a run waits after a temporary error."""
REMIND = timedelta(seconds=30)
"""How long a queued run is left to its message before another one is sent."""
LOOK_AGAIN_SECONDS = 0.2
WAITS_FOR_SCAN = "waiting for the scan of its files"
NEW = timedelta(days=7)
"""What was registered longer ago is checked when somebody asks: an old registry is not scanned as a whole."""
AT_ONCE = 20
"""How many runs started by policy may be unfinished at a time."""
CANDIDATES = 50
"""How many versions are looked at for each check and call."""


class ServerFailedError(Exception):
    """The version's server does not start: that is a result, not a mishap."""


class CalledOffError(Exception):
    """What would be found is of no use to anybody any more, or must not be looked for; the text says why."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out one run; a write counts only while ``fence`` is still the row's and it is running."""

    check: CheckRun
    fence: int

    def write(self, **values: object) -> None:
        """Raises CheckCancelledError, having written nothing, when the claim is lost."""
        mine = CheckRun.objects.filter(pk=self.check.pk, fence=self.fence, status=CheckStatus.RUNNING)
        if mine.update(**values) != 1:
            raise CheckCancelledError

    def report(self, percent: int, phase: str) -> None:
        self.write(progress=min(max(percent, 0), 99), phase=phase[:200], lease_until=timezone.now() + LEASE)

    def wait(self, phase: str) -> None:
        """Announce a step that cannot report while it lasts."""
        self.write(phase=phase[:200], lease_until=timezone.now() + DOWNLOAD_LEASE)


def run(check_id: int) -> None:
    """Carry one run out, unless somebody else has it or it has ended.

    1. Leave it in the queue while the scan of the files has to come first.
    2. Claim it by a conditional update.
    3. Read the version afresh, and get its files.
    4. Start a server for it, where the check needs one, that no user's request reaches.
    5. Measure.
    6. Write evidence, outcome and audit entry in one transaction.
    """
    if _has_to_wait(check_id, timezone.now()):
        return
    claim = _claim(check_id, timezone.now())
    if claim is None:
        return
    try:
        result, version = _measure(claim)
        _conclude(claim, version, result, timezone.now())
    except CheckCancelledError:
        logger.info("check %s was cancelled or taken over", check_id)
    except CalledOffError as error:
        call_off(claim.check, str(error), timezone.now())
    except TemporaryError as error:
        _try_later(claim, str(error), timezone.now())
    except PermanentError as error:
        _break(claim, str(error), timezone.now())
    except SoftTimeLimitExceeded:
        _break(claim, "It took longer than a check may take.", timezone.now())


# ---------------------------------------------------------------- claiming


def _has_to_wait(check_id: int, now: datetime) -> bool:
    """Whether a queued check that loads the model cannot begin yet, or ever, because of the scan of the files."""
    rows = CheckRun.objects.select_related("version__model", "policy")
    check = rows.filter(pk=check_id, status=CheckStatus.QUEUED, criterion__in=LOADS_THE_MODEL).first()
    if check is None:
        return False
    scan = scan_before(check.version, Criterion(check.criterion), check.policy.values, now)
    if scan.why:
        call_off(check, scan.why, now)
    elif scan.state == ScanState.UNDER_WAY:
        CheckRun.objects.filter(pk=check.pk, status=CheckStatus.QUEUED).update(phase=WAITS_FOR_SCAN)
    return scan.state != ScanState.LET_GO


def _claim(check_id: int, now: datetime) -> Claim | None:
    """Take a run that waits, or one whose worker has gone silent; one run of a version at a time."""
    with transaction.atomic():
        seen = CheckRun.objects.filter(_free(now), pk=check_id).first()
        if seen is None:
            return None
        # One holder of this lock at a time, so that no two runs of a version start together.
        ModelVersion.objects.select_for_update().get(pk=seen.version_id)
        others = CheckRun.objects.filter(version=seen.version_id, status=CheckStatus.RUNNING, lease_until__gte=now)
        if others.exclude(pk=seen.pk).exists():
            return None
        mine = CheckRun.objects.filter(_free(now), pk=seen.pk, fence=seen.fence)
        taken = mine.update(
            status=CheckStatus.RUNNING,
            fence=seen.fence + 1,
            attempts=F("attempts") + 1,
            started_at=now,
            lease_until=now + LEASE,
            progress=0,
            phase="reading the version afresh",
            error="",
        )
        if taken != 1:
            return None
        row = CheckRun.objects.select_related("version__model", "policy").get(pk=seen.pk)
    claim = Claim(row, row.fence)
    if row.attempts > ATTEMPTS:
        _break(claim, f"Its worker ended {ATTEMPTS} times without a result.", now)
        return None
    return claim


def _free(now: datetime) -> Q:
    waiting = Q(status=CheckStatus.QUEUED) & (Q(lease_until=None) | Q(lease_until__lte=now))
    return waiting | Q(status=CheckStatus.RUNNING, lease_until__lt=now)


# ---------------------------------------------------------------- measuring


def _measure(claim: Claim) -> tuple[Result, ModelVersion]:
    entry = CHECKS[Criterion(claim.check.criterion)]
    version = _fresh(claim)
    with tempfile.TemporaryDirectory(prefix="check-", dir=_scratch()) as folder:
        files = _files(claim, version, Path(folder), fresh=entry.fresh_files)
        _need_scanned(claim, version)
        subject = Subject(
            ref=VersionRef(version.model.name, version.version),
            slug=version.model.slug,
            policy=claim.check.policy.values,
            signature=version.signature,
            files=files,
            users_url=_users_url(version),
        )
        if not entry.needs_server:
            return entry.run(subject, claim.report), version
        try:
            with _server(claim, version) as address:
                return entry.run(replace(subject, server_url=address), claim.report), version
        except ServerFailedError as error:
            return Result(False, f"Its model server does not start: {error}"), version


def _scratch() -> Path:
    settings.HOME.mkdir(parents=True, exist_ok=True)
    return Path(settings.HOME)


def _fresh(claim: Claim) -> ModelVersion:
    """The version as the registry has it now. Raises PermanentError when it is gone."""
    version = claim.check.version
    try:
        mirror.refresh_version(adapters.registry(), VersionRef(version.model.name, version.version), timezone.now())
    except NotFoundError as error:
        raise PermanentError("MLflow no longer has this version.") from error
    return ModelVersion.objects.select_related("model").get(pk=version.pk)


def _files(claim: Claim, version: ModelVersion, folder: Path, *, fresh: bool) -> Path:
    """The version's files, and their digest on the version: evidence has to belong to exactly these."""
    ref = VersionRef(version.model.name, version.version)
    claim.wait("getting its files")
    if not fresh:
        _check_served_files(version)
    if version.artifact_digest and not fresh:
        return adapters.serving().files(ref, slug=version.model.slug, digest=version.artifact_digest)
    listing = artifacts.listing_of(version)
    adapters.registry().download(ref, folder)
    claim.report(0, "reading its files")
    artifacts.note_files(version, folder, listing=listing, now=timezone.now())
    version.refresh_from_db()
    return folder


def _need_scanned(claim: Claim, version: ModelVersion) -> None:
    """The files that were fetched may be other ones than those that were scanned when this was let go. Raises
    CalledOffError."""
    criterion, policy = Criterion(claim.check.criterion), claim.check.policy.values
    if scan_before(version, criterion, policy, timezone.now()).state != ScanState.LET_GO:
        raise CalledOffError("The version's files are no longer those that passed the artifact scan.")


def _check_served_files(version: ModelVersion) -> None:
    """Other files than those that it serves from must not take their place on this machine: a server that is started
    again would serve them, though they came to Staging by no gate. Raises PermanentError."""
    serves = version.domain_stage in (Stage.STAGING, Stage.PRODUCTION)
    if serves and version.stage_since is not None and files_changed_since(version, version.stage_since):
        raise PermanentError(
            f"The version's files have changed since it came to {version.domain_stage}, so what it serves is no "
            "longer what MLflow has. Register the new files as a version of their own."
        )


def _users_url(version: ModelVersion) -> str:
    variant = Variant.objects.filter(version=version, retiring=False).first()
    return variant.url if variant else ""


@contextmanager
def _server(claim: Claim, version: ModelVersion) -> Iterator[str]:
    """The address of a ready server of the version that users' requests do not reach; it is stopped at the end."""
    ref, slug = VersionRef(version.model.name, version.version), version.model.slug
    serving = adapters.serving()
    claim.wait("starting a server for the check")
    try:
        serving.ensure(ref, slug=slug, digest=version.artifact_digest, purpose=Purpose.CHECKS)
        yield _await_ready(claim, ref, slug)
    finally:
        _stop(ref, slug)


def _await_ready(claim: Claim, ref: VersionRef, slug: str) -> str:
    deadline = timezone.now() + claim.check.policy.values.start_limit
    while timezone.now() < deadline:
        claim.report(1, "waiting for its server to load the model")
        server = adapters.serving().status(ref, slug=slug, purpose=Purpose.CHECKS)
        if server.state == ServerState.READY:
            return server.url
        if server.state == ServerState.FAILED:
            raise ServerFailedError(server.detail)
        time.sleep(LOOK_AGAIN_SECONDS)
    raise ServerFailedError("it was not ready in the time that the policy allows")


def _stop(ref: VersionRef, slug: str) -> None:
    try:
        adapters.serving().remove(ref, slug=slug, purpose=Purpose.CHECKS)
    except PortError as error:
        logger.warning("the server that checked %s could not be stopped: %s", ref, error)


# ---------------------------------------------------------------- ending


def _conclude(claim: Claim, version: ModelVersion, result: Result, now: datetime) -> None:
    """Write the evidence down, about the tags that the version had then, unless it has become another one meanwhile."""
    with recording():
        current = ModelVersion.objects.select_related("model").get(pk=version.pk)
        measured = (version.run_id, version.source, version.artifact_digest)
        if (current.run_id, current.source, current.artifact_digest) != measured:
            raise PermanentError("The version's files changed while they were checked. Start the check again.")
        unasked = why_unasked(claim.check, current)
        if unasked:
            raise CalledOffError(unasked)
        status = CheckStatus.PASSED if result.passed else CheckStatus.FAILED
        claim.write(status=status, progress=100, phase="", finished_at=now, lease_until=None)
        evidence = append(
            version=version,
            criterion=Criterion(claim.check.criterion),
            passed=result.passed,
            origin=Source.CHECK,
            policy=claim.check.policy.values,
            actor=replace(STAGEGATE, name=_author(claim.check)),
            now=now,
            value=result.measurements.get("value"),
            detail=result.detail,
            measurements={**result.measurements, "policy": claim.check.policy.number},
        )
        CheckRun.objects.filter(pk=claim.check.pk).update(evidence=evidence)
        _wake_waiting(claim.check)


def _author(check: CheckRun) -> str:
    by_policy = check.requested_by_name == STAGEGATE.name
    return STAGEGATE.name if by_policy else f"{STAGEGATE_ASKED_BY}{check.requested_by_name}"[:200]


def _try_later(claim: Claim, why: str, now: datetime) -> None:
    if claim.check.attempts >= ATTEMPTS:
        _break(claim, why, now)
        return
    logger.info("check %s is tried again: %s", claim.check.pk, why)
    again = {"status": CheckStatus.QUEUED, "lease_until": now + RETRY, "phase": "waiting to try again", "error": why}
    _write_unless_lost(claim, **again)


def _break(claim: Claim, why: str, now: datetime) -> None:
    """End a run without evidence, and say why: nothing was measured, so nothing is passed or failed."""
    with recording():
        ended = {"status": CheckStatus.BROKEN, "error": why, "finished_at": now, "lease_until": None, "phase": ""}
        if _write_unless_lost(claim, **ended):
            details = {"criterion": claim.check.criterion, "error": why}
            record("check_broken", actor=STAGEGATE, now=now, version=claim.check.version, details=details)
            _wake_waiting(claim.check)


def _wake_waiting(ended: CheckRun) -> None:
    """What waits for the scan that has just ended begins now, or learns that it cannot."""
    if ended.criterion != Criterion.ARTIFACT_SCAN:
        return
    waiting = CheckRun.objects.filter(
        version=ended.version_id, status=CheckStatus.QUEUED, criterion__in=LOADS_THE_MODEL
    )
    for pk in waiting.values_list("pk", flat=True):
        wake_check(pk)


def _write_unless_lost(claim: Claim, **values: object) -> bool:
    try:
        claim.write(**values)
    except CheckCancelledError:
        return False
    return True


# ---------------------------------------------------------------- starting without being asked


def sweep(*, now: datetime) -> int:
    """Send every run that nobody has taken up to the queue; return how many there were."""
    reminded = Q(status=CheckStatus.QUEUED, lease_until=None, requested_at__lt=now - REMIND)
    late = Q(status=CheckStatus.QUEUED, lease_until__lte=now) | Q(status=CheckStatus.RUNNING, lease_until__lt=now)
    rows = list(CheckRun.objects.filter(reminded | late).values_list("pk", flat=True))
    for pk in rows:
        send("lifecycle.check", pk, queue=CHECKS_QUEUE)
    return len(rows)


def call_off_unasked(*, now: datetime) -> int:
    """End the runs whose result nobody asks for any more; return how many."""
    unfinished = CheckRun.objects.filter(status__in=UNFINISHED_CHECKS).select_related("version__model")
    found = ((check, why_unasked(check, check.version)) for check in unfinished)
    return sum(call_off(check, why, now) for check, why in found if why)


def start_due(*, now: datetime) -> int:
    """Queue the checks that the policies want without being asked; return how many.

    Each is started once for the same files: one that failed or broke is started again by a person, or when the files
    have changed.
    """
    room = AT_ONCE - CheckRun.objects.filter(status__in=UNFINISHED_CHECKS, requested_by_id=None).count()
    started = 0
    for version, criterion, policy in _wanted(now):
        if started >= room:
            break
        started += _queue(version, criterion, policy, now)
    return started


def _wanted(now: datetime) -> Iterator[tuple[ModelVersion, Criterion, Policy]]:
    """What is to be started, versions in Staging first, then new ones; bounded, the rest comes with the next call."""
    goes_back = Transition.objects.filter(version=OuterRef("pk"), status=Status.ROLLING_BACK)
    usable = ModelVersion.objects.filter(~Exists(goes_back), removed_at=None, status="READY", model__exact_name=True)
    usable = usable.select_related("model")
    policies = _PolicyOfModel(now)
    for criterion in CHECKS:
        for version in _unchecked(usable.filter(stage=to_mlflow(Stage.STAGING)), criterion):
            policy = policies.of(version.model)
            wanted = criterion in policy.values.checks.in_staging
            if wanted and _has_what_it_needs(version, criterion, policy.values, now):
                yield version, criterion, policy
    for criterion in CHECKS:
        new = usable.filter(stage=to_mlflow(Stage.DEVELOPMENT), created_at__gte=now - NEW)
        for version in _unchecked(new, criterion):
            policy = policies.of(version.model)
            wanted = criterion in policy.values.checks.in_development
            if wanted and _may_be_loaded(version, criterion, policy.values, now):
                yield version, criterion, policy


def _may_be_loaded(version: ModelVersion, criterion: Criterion, policy: PolicyValues, now: datetime) -> bool:
    """Not where the scan of its files has failed, and not where a scan ended without a result: a person starts that
    again."""
    scan = scan_before(version, criterion, policy, now)
    if scan.state != ScanState.MISSING:
        return scan.state != ScanState.FAILED
    scans = CheckRun.objects.filter(version=version, criterion=Criterion.ARTIFACT_SCAN)
    return not scans.filter(evidence=None).exists()


def _has_what_it_needs(version: ModelVersion, criterion: Criterion, policy: PolicyValues, now: datetime) -> bool:
    """Drift is measured on users' requests: as many as the stay in Staging asks for."""
    if criterion != Criterion.DRIFT:
        return _may_be_loaded(version, criterion, policy, now)
    seen = Observation.objects.filter(version=version, until__gte=version.stage_since or version.created_at)
    return (seen.aggregate(total=Sum("requests"))["total"] or 0) >= max(policy.soak.requests, drift.LEAST)


class _PolicyOfModel:
    """Each model's policy, looked up once."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._known: dict[int, Policy] = {}

    def of(self, model: RegisteredModel) -> Policy:
        if model.pk not in self._known:
            self._known[model.pk] = current_policy(model, self._now)
        return self._known[model.pk]


def _unchecked(versions: QuerySet[ModelVersion], criterion: Criterion) -> QuerySet[ModelVersion]:
    """Those whose files as they are now were never under this check: a run without evidence waits for a person, unless
    Stagegate has called it off."""
    runs = CheckRun.objects.filter(version=OuterRef("pk"), criterion=criterion)
    runs = runs.exclude(status=CheckStatus.CANCELLED, error__gt="")
    checked = runs.filter(Q(evidence=None) | Q(evidence__artifact_digest=OuterRef("artifact_digest")))
    return versions.filter(~Exists(checked)).order_by("-created_at", "-pk")[:CANDIDATES]


def _queue(version: ModelVersion, criterion: Criterion, policy: Policy, now: datetime) -> bool:
    """Create the run and send its message; False when somebody else has just done so."""
    row = queue(version, criterion, policy=policy, actor=STAGEGATE, now=now)
    return row is not None
