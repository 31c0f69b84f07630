"""The four stages, which changes between them exist, and how MLflow spells them."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    DEVELOPMENT = "Development"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


_MLFLOW_WORD = {
    Stage.DEVELOPMENT: "None",
    Stage.STAGING: "Staging",
    Stage.PRODUCTION: "Production",
    Stage.ARCHIVED: "Archived",
}
_FROM_MLFLOW = {word: stage for stage, word in _MLFLOW_WORD.items()}

STAGE_ALIASES = {Stage.STAGING: "staging", Stage.PRODUCTION: "production"}
"""The MLflow alias that follows the version which holds the stage for users."""

_CHANGES = {
    (Stage.DEVELOPMENT, Stage.STAGING),
    (Stage.STAGING, Stage.PRODUCTION),
    (Stage.STAGING, Stage.ARCHIVED),
    (Stage.PRODUCTION, Stage.ARCHIVED),
    (Stage.ARCHIVED, Stage.STAGING),
}


class StageChangeRefusedError(ValueError):
    """The stage change does not exist. ``str(error)`` says what to do instead."""


def to_mlflow(stage: Stage) -> str:
    return _MLFLOW_WORD[stage]


def from_mlflow(word: str) -> Stage:
    """Raises ValueError for a word that MLflow does not use."""
    try:
        return _FROM_MLFLOW[word]
    except KeyError:
        raise ValueError(f"MLflow has no stage {word!r}") from None


def check_change(current: Stage, wanted: Stage) -> None:
    """Raises StageChangeRefusedError unless a person may ask for this change.

    A rollback is not asked for here: it has rules of its own (``lifecycle.domain.plan``).
    """
    if (current, wanted) in _CHANGES:
        return
    raise StageChangeRefusedError(_why_not(current, wanted))


def possible_changes(current: Stage) -> tuple[Stage, ...]:
    return tuple(stage for stage in Stage if (current, stage) in _CHANGES)


def _why_not(current: Stage, wanted: Stage) -> str:
    if current == wanted:
        return f"This version is in {wanted} already."
    if wanted == Stage.DEVELOPMENT:
        return "A version never goes back to Development. Archive it, or register a corrected version."
    if wanted == Stage.PRODUCTION:
        return f"Stages cannot be skipped: from {current} a version goes to Staging first, then to Production."
    if current == Stage.PRODUCTION:
        return "A version leaves Production by a rollback, or by being archived once another one has replaced it."
    return f"A version cannot go from {current} to {wanted}. Its next stages are: " + (
        ", ".join(possible_changes(current)) + "."
    )
