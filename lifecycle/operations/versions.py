"""Giving a version the semantic version that Stagegate proposes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lifecycle import adapters
from lifecycle.audit import record
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.semver import LONGEST, Verdict
from lifecycle.domain.signatures import shown
from lifecycle.evidence import SEMANTIC_VERSION_TAG
from lifecycle.mirror import claim_tags
from lifecycle.models import ModelVersion, RegisteredModel
from lifecycle.operations.common import read_afresh, recorded
from lifecycle.ports import PortError, VersionRef
from lifecycle.transitions import RefusedError
from lifecycle.versions import semantic_version_of, why_not_nameable


def accept_semantic_version(*, version: ModelVersion, proposed: str, actor: Actor, now: datetime) -> ModelVersion:
    """Write the proposed semantic version to MLflow, as the tag ``semantic_version``.

    1. The version, and the one that its number is measured against, are read afresh from MLflow.
    2. The proposal must still be ``proposed``. What it rests on becomes the reason in the record, and the number is
       taken, so that nobody can give it to another version meanwhile. A version that has it already is left alone.
    3. The tag is written outside of the transaction, so that a slow MLflow holds up nobody. A write whose reply was
       lost is looked for; one that failed gives the number back and is recorded as refused.

    Raises RefusedError.
    """
    read_error = _read(version, now)
    version.refresh_from_db()
    about = {"version": version, "reason": f"Accept the proposal {shown(proposed, LONGEST)}"}
    with recorded(Action.ACCEPT_SEMANTIC_VERSION, actor, now, **about) as actor:
        if read_error is not None:
            raise read_error
        _check_nameable(version)
        # Two versions of one model are named one after the other, or both could take one number.
        RegisteredModel.objects.select_for_update().get(pk=version.model_id)
        verdict = semantic_version_of(version)
        if verdict.passed and version.semantic_version == proposed:
            return version
        _take(version, verdict, proposed, actor, now)
    failure = _write(version, proposed, now)
    if failure is not None:
        with recorded(Action.ACCEPT_SEMANTIC_VERSION, actor, now, **about) as actor:
            raise failure
    return version


def _read(version: ModelVersion, now: datetime) -> RefusedError | None:
    """Read the version, and its base where that was never read: its signature decides what is proposed."""
    error = read_afresh(version, now)
    if error is not None:
        return error
    base = semantic_version_of(version).base
    unread = version.model.versions.filter(version=base.version, details_at=None).first() if base else None
    return read_afresh(unread, now) if unread else None


def _check_nameable(version: ModelVersion) -> None:
    why_not = why_not_nameable(version)
    if why_not:
        raise RefusedError(why_not, rule="version_read_only")
    if version.details_at is None:
        raise RefusedError(
            f"Its run and model files could not be read, so what changed is not known. Try again when they "
            f"can be: {version.details_error}",
            rule="version_unread",
            status=503,
        )


def _take(version: ModelVersion, verdict: Verdict, proposed: str, actor: Actor, now: datetime) -> None:
    tags = {**version.tags, SEMANTIC_VERSION_TAG: proposed}
    if not proposed or verdict.proposal != proposed or not claim_tags(version, tags):
        raise RefusedError(_changed(version, verdict, proposed), rule="proposal_changed")
    record(
        "semantic_version_accepted",
        actor=actor,
        now=now,
        version=version,
        reason=_reason(verdict),
        details={
            "semantic_version": proposed,
            "before": version.semantic_version,
            "required": verdict.required.name if verdict.required else None,
            "base": verdict.base.version if verdict.base else None,
        },
    )


def _changed(version: ModelVersion, verdict: Verdict, proposed: str) -> str:
    asked = f"{shown(proposed, LONGEST) or 'No number'} is not what is proposed"
    if verdict.passed:
        return f"{asked}: this version is called {version.semantic_version} by now. Nothing was changed."
    if not verdict.proposal:
        return f"{asked}: there is no proposal now. {verdict.why}"
    return f"{asked} now: it is {verdict.proposal}. Look at what changed, and accept that one if it is right."


def _reason(verdict: Verdict) -> str:
    if verdict.base is None or verdict.required is None or verdict.difference is None:
        return f"Accepted the proposal {verdict.proposal}: it is the model's first number."
    return (
        f"Accepted the proposal {verdict.proposal}: a {verdict.required.name} change since {verdict.base.number}. "
        f"{verdict.difference.words}"
    )


def _write(version: ModelVersion, proposed: str, now: datetime) -> RefusedError | None:
    """Write the tag and read the version again. A failure is one only if the tag is not there afterwards."""
    before = version.tags
    try:
        adapters.registry().set_tags(VersionRef(version.model.name, version.version), {SEMANTIC_VERSION_TAG: proposed})
    except PortError as error:
        return _failure(version, before, proposed, error, now)
    read_afresh(version, now)
    version.refresh_from_db()
    return None


def _failure(
    version: ModelVersion, before: Mapping[str, str], proposed: str, error: PortError, now: datetime
) -> RefusedError | None:
    version.refresh_from_db()
    claim_tags(version, before)
    read_error = read_afresh(version, now)
    version.refresh_from_db()
    if version.semantic_version == proposed:
        return None
    return read_error or RefusedError(
        f"MLflow did not take the tag ({error}), so nothing was changed. Try again when it answers.",
        rule="registry_unreachable",
        status=503,
    )
