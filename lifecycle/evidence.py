"""Writing evidence down, and telling whether it still counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from lifecycle.audit import record
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.gates import Source
from lifecycle.domain.permissions import Actor
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Evidence, ModelVersion, Waiver

SEMANTIC_VERSION_TAG = "semantic_version"
ARTIFACT_CHANGED = "artifact_changed"
"""The record's word for files that are no longer those that were read; ``old_digest`` is among its details."""


def append(
    *,
    version: ModelVersion,
    criterion: Criterion,
    passed: bool,
    origin: Source,
    policy: Policy,
    actor: Actor,
    now: datetime,
    value: float | None = None,
    unit: str = "",
    url: str = "",
    detail: str = "",
    measurements: Mapping[str, Any] | None = None,
) -> Evidence:
    """Write one piece of evidence and its audit entry, inside the caller's transaction.

    It is bound to the artifact and to the tags that the policy watches, as they are now.
    """
    row = Evidence.objects.create(
        version=version,
        criterion=criterion,
        passed=passed,
        origin=origin,
        value=value,
        unit=unit,
        url=url,
        detail=detail,
        measurements=dict(measurements or {}),
        run_id=version.run_id,
        source=version.source,
        artifact_digest=version.artifact_digest,
        tags=watched_tags(version, policy),
        recorded_by=actor.name,
        recorded_by_id=actor.user_id,
        recorded_at=now,
    )
    details = {"criterion": str(criterion), "passed": passed, "evidence": row.pk, "url": url, "value": value}
    record("evidence_recorded", actor=actor, now=now, version=version, reason=detail, details=details)
    return row


def watched_tags(version: ModelVersion, policy: Policy) -> dict[str, str]:
    """The tags that evidence depends on: those the policy requires, and the semantic version."""
    watched = (*policy.evidence.required_tags, SEMANTIC_VERSION_TAG)
    return {name: str(version.tags[name]) for name in watched if name in version.tags}


def why_stale(row: Evidence, version: ModelVersion, policy: Policy, now: datetime) -> str:
    """Why the evidence no longer counts, "" while it does."""
    changed = why_other_artifact(row, version)
    if changed:
        return changed
    for name, value in row.tags.items():
        now_is = version.tags.get(name)
        if now_is is None:
            return f"The tag {name} has been removed since."
        if str(now_is) != value:
            return f"The tag {name} has changed since, from {value} to {now_is}."
    # An archived version is read-only: nobody could record anything newer for its way back.
    if version.domain_stage != Stage.ARCHIVED and now - row.recorded_at > policy.evidence.longest:
        return f"It is older than {policy.evidence.longest.days} days."
    return ""


def why_other_artifact(row: Evidence | Waiver, version: ModelVersion) -> str:
    """Why a record is not about the version's files as they are now, "" when it is."""
    if row.run_id != version.run_id:
        return "The version belongs to another run since."
    if row.source != version.source:
        return "The version's files are in another place since."
    if row.artifact_digest != version.artifact_digest:
        return "The version's files have changed since."
    return ""


def files_changed_since(version: ModelVersion, since: datetime) -> bool:
    """Whether the version's files are no longer those that it had then; files that were never read cannot tell."""
    return differ(version, files_changes(version, since))


def files_changes(version: ModelVersion, since: datetime | None) -> QuerySet[AuditEntry]:
    """The first entry of the record since then that the version's files have changed; none without a time."""
    if since is None:
        return AuditEntry.objects.none()
    about = {"action": ARTIFACT_CHANGED, "model": version.model.name, "version": version.version}
    return AuditEntry.objects.filter(**about, at__gt=since).order_by("id")[:1]


def differ(version: ModelVersion, changes: Iterable[AuditEntry]) -> bool:
    """Whether the version's files are other ones than before the first of these changes."""
    first = next(iter(changes), None)
    return first is not None and first.details.get("old_digest") != version.artifact_digest


def why_other_files(version: ModelVersion, to_stage: Stage) -> str:
    """Why a version cannot enter a stage whatever its gate says, "" when it can: these are other files than those that
    passed the gate to Staging and answered requests there."""
    if to_stage == Stage.ARCHIVED:
        return ""
    if to_stage == Stage.PRODUCTION and version.stage_since and files_changed_since(version, version.stage_since):
        return (
            "Its files have changed since it came to Staging. Archive it and bring it back through Staging, so that "
            "its new files are looked at, or register them as a version of their own."
        )
    return ""


def bind_first_digest(version: ModelVersion, digest: str) -> None:
    """Give evidence and waivers from before the files were first read the first digest that was found."""
    unbound = {"version": version, "artifact_digest": "", "run_id": version.run_id, "source": version.source}
    Evidence.objects.filter(**unbound).update(artifact_digest=digest)
    Waiver.objects.filter(**unbound).update(artifact_digest=digest)
