"""What every operation shares: the refusal, the reason, and the fresh read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from lifecycle import adapters, mirror
from lifecycle.audit import record, recording
from lifecycle.domain.approval import ApprovalRefusedError
from lifecycle.domain.permissions import Action, Actor, NotAllowedError, require
from lifecycle.domain.stages import Stage, StageChangeRefusedError
from lifecycle.models import ModelVersion
from lifecycle.ports import NotFoundError, PortError, VersionRef
from lifecycle.transitions import RefusedError


@contextmanager
def recorded(action: Action, actor: Actor, now: datetime, **about: Any) -> Iterator[Actor]:
    """Turn a broken rule into RefusedError and record the attempt, outside the transaction that was rolled back.

    Gives the actor with the roles that count for the model that the action is about.
    """
    here = actor.at(_team_of(about))
    try:
        with recording():
            require(here, action)
            yield here
    except (RefusedError, NotAllowedError, StageChangeRefusedError, ApprovalRefusedError) as error:
        refusal = _refusal(error)
        with recording():
            record(action, actor=here, now=now, refused=True, details={"refusal": str(refusal)}, **about)
        raise refusal from error


def _team_of(about: Mapping[str, Any]) -> int | None:
    """The team that owns the model that an action is about, None where there is none."""
    transition, version, model = about.get("transition"), about.get("version"), about.get("model")
    version = version or (transition.version if transition else None)
    model = model or (version.model if version else None)
    return model.team_id if model else None


def _refusal(error: Exception) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, NotAllowedError):
        return RefusedError(str(error), rule="role", status=403)
    if isinstance(error, StageChangeRefusedError):
        return RefusedError(str(error), rule="stage_order")
    return RefusedError(str(error), rule="approver", status=403)


def need_reason(reason: str) -> str:
    cleaned = reason.strip()
    if not cleaned:
        raise RefusedError("Say why: a reason is part of the record.", rule="reason", status=422)
    if len(cleaned) > 2000:
        raise RefusedError("The reason is longer than 2,000 characters; shorten it.", rule="reason", status=422)
    return cleaned


def read_afresh(version: ModelVersion, now: datetime) -> RefusedError | None:
    try:
        mirror.refresh_version(adapters.registry(), VersionRef(version.model.name, version.version), now)
    except NotFoundError:
        return RefusedError(
            "MLflow no longer has this version. Register it there again if it is still needed.", rule="version_removed"
        )
    except PortError as error:
        return RefusedError(
            f"MLflow cannot be read just now ({error}), so this version's facts cannot be confirmed. "
            "Try again when it is back.",
            rule="registry_unreachable",
            status=503,
        )
    return None


def need_registered(version: ModelVersion) -> None:
    """Raises RefusedError for a version that MLflow has lost, or whose model's name cannot be passed on."""
    _need_present(version)
    _need_exact_name(version)


def need_writable(version: ModelVersion) -> None:
    """As ``need_registered``, and refuses an archived version: those are read-only."""
    _need_present(version)
    if version.domain_stage == Stage.ARCHIVED:
        raise RefusedError(
            "Archived versions are read-only. Bring it back to Staging first.", rule="archived_read_only"
        )
    _need_exact_name(version)


def need_ready(version: ModelVersion) -> None:
    if version.status != "READY":
        raise RefusedError(
            f"MLflow says that this version is {version.status}; wait until it is READY.", rule="version_not_ready"
        )


def _need_present(version: ModelVersion) -> None:
    if version.removed_at is not None:
        raise RefusedError(
            "MLflow no longer has this version. Register it there again if it is still needed.", rule="version_removed"
        )


def _need_exact_name(version: ModelVersion) -> None:
    if not version.model.exact_name:
        raise RefusedError(
            "The model's name holds characters that cannot be passed on safely; rename it in MLflow.", rule="model_name"
        )
