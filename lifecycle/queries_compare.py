"""Any two versions of a model side by side: what they measured before anybody used them, and what they did since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Exists, F, OuterRef, Q, When, Window
from django.db.models.functions import RowNumber

from lifecycle.domain import compare
from lifecycle.domain.differences import MetricLine, Outcome, Schema, TextLine, metric_lines, schema, text_lines
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion, Observation, RegisteredModel, Trial, Variant, VariantRole
from lifecycle.policies import current_policy
from lifecycle.reads import ModelReads, VersionReads
from lifecycle.versions import Other, facts_of

OFFERED = 50
"""How many versions of a stage the pickers offer, the newest ones. An older one is compared from its own page."""
_PICKER_ORDER = (Stage.PRODUCTION, Stage.STAGING, Stage.DEVELOPMENT, Stage.ARCHIVED)


class NotComparableError(Exception):
    """Two versions that cannot be put side by side. ``str(error)`` says why and what to do; ``status`` is HTTP's."""

    def __init__(self, message: str, *, rule: str, status: int = 400) -> None:
        super().__init__(message)
        self.rule = rule
        self.status = status


# ---------------------------------------------------------------- which two


@dataclass(frozen=True, slots=True)
class Group:
    """The versions of one stage that a picker offers, newest first; ``more`` says that there are older ones."""

    stage: Stage
    versions: tuple[ModelVersion, ...]
    more: bool


def offered(model: RegisteredModel, chosen: Iterable[ModelVersion | None] = ()) -> tuple[Group, ...]:
    """What the pickers offer: the newest versions of every stage, and those that are chosen."""
    place = Window(RowNumber(), partition_by=[F("stage")], order_by=["-version"])
    rows = model.versions.filter(removed_at=None).annotate(place=place).filter(place__lte=OFFERED + 1)
    newest: dict[Stage, list[ModelVersion]] = {stage: [] for stage in _PICKER_ORDER}
    for row in rows.only("version", "stage", "tags", "model").order_by("-version"):
        newest[row.domain_stage].append(row)
    groups = (_group(stage, found, chosen) for stage, found in newest.items())
    return tuple(group for group in groups if group.versions)


def _group(stage: Stage, newest: Sequence[ModelVersion], chosen: Iterable[ModelVersion | None]) -> Group:
    shown = newest[:OFFERED]
    extra = [each for each in chosen if each and each.domain_stage == stage and each not in shown]
    return Group(stage, tuple(dict.fromkeys((*shown, *extra))), len(newest) > OFFERED)


def usual_pair(model: RegisteredModel) -> tuple[int, int] | None:
    """What people want to compare when they do not say: the version that serves Production and the one beside it, else
    that one and the newest, else the newest two. None for a model with fewer than two versions."""
    newest = model.versions.filter(removed_at=None).order_by("-version").values_list("version", flat=True)[:2]
    return _usual(ModelReads(model), list(newest))


def _usual(reads: ModelReads, newest: Sequence[int]) -> tuple[int, int] | None:
    """``newest`` are the numbers of the latest two versions at least, newest first."""
    variants = [each for each in reads.variants if each.version.removed_at is None]
    stable = next((each.version.version for each in variants if each.role == VariantRole.PRODUCTION), None)
    beside = [each.version.version for each in variants if each.version.version != stable and _on_trial(each)]
    if stable is not None and beside:
        return stable, max(beside)
    if stable is not None:
        other = next((each for each in newest if each != stable), None)
        return (stable, other) if other is not None else None
    return (newest[1], newest[0]) if len(newest) > 1 else None


def beside(reads: VersionReads) -> Other | None:
    """Whom people want to compare a version with: what serves Production, and for that the other one of the usual pair.
    None where the model has no other version."""
    version, others = reads.version, {each.version: each for each in reversed(reads.listed)}
    newest = sorted({*others, *([] if version.removed_at else [version.version])}, reverse=True)
    usual = _usual(reads.model, newest)
    return next((others[each] for each in usual or () if each != version.version), None)


def _on_trial(variant: Variant) -> bool:
    return bool(variant.weight) or variant.role == VariantRole.STAGING


def pair(model: RegisteredModel, first: str | None, second: str | None) -> tuple[ModelVersion, ModelVersion]:
    """The two versions asked for, by MLflow's numbers; what is not given is the usual one.

    Raises NotComparableError.
    """
    usual = usual_pair(model) if not (first and second) else None
    if usual is None and not (first and second):
        raise NotComparableError(
            f"{model.name} has only one version, so there is nothing to compare it with."
            if model.versions.filter(removed_at=None).exists()
            else f"{model.name} has no version yet.",
            rule="nothing_to_compare",
            status=404,
        )
    numbers = _filled(_number(first), _number(second), usual or (0, 0))
    if numbers[0] == numbers[1]:
        raise NotComparableError(f"Both are version {numbers[0]}. Choose two different versions.", rule="same_version")
    found = {row.version: row for row in model.versions.select_related("model").filter(version__in=numbers)}
    for number in numbers:
        if number not in found:
            raise NotComparableError(
                f"{model.name} has no version {number}. Choose another one.", rule="not_found", status=404
            )
    return found[numbers[0]], found[numbers[1]]


def _number(written: str | None) -> int | None:
    if not written:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= 9):
        raise NotComparableError(
            "A version is named by MLflow's number, such as 3. Choose one from the list.", rule="invalid"
        )
    return int(written)


def _filled(first: int | None, second: int | None, usual: tuple[int, int]) -> tuple[int, int]:
    """A side that is not given takes whichever of the usual two the other side is not."""
    if first is None and second is None:
        return usual
    if first is None:
        return next(each for each in usual if each != second), second or 0
    return first, second if second is not None else next(each for each in reversed(usual) if each != first)


# ---------------------------------------------------------------- side by side


@dataclass(frozen=True, slots=True)
class Live:
    """What the judge measured while the two were on trial together. ``why_none`` says why nothing was, "" when it was.

    ``canary`` is the version that was on trial, ``stable`` the one it was measured against; ``verdict`` is None
    before the first look.
    """

    trial: Trial | None = None
    canary: ModelVersion | None = None
    stable: ModelVersion | None = None
    verdict: compare.Verdict | None = None
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``second`` beside ``first``: better and worse are said of the second."""

    first: ModelVersion
    second: ModelVersion
    metrics: tuple[MetricLine, ...]
    params: tuple[TextLine, ...]
    tags: tuple[TextLine, ...]
    run_tags: tuple[TextLine, ...]
    schema: Schema
    live: Live

    def metrics_with(self, *outcomes: Outcome) -> int:
        return sum(line.outcome in outcomes for line in self.metrics)


def comparison(first: ModelVersion, second: ModelVersion, now: datetime) -> Comparison:
    """Both sides, in a number of queries that does not depend on what the versions hold."""
    rules = current_policy(first.model, now).values.offline_regression
    mine, theirs = facts_of(first), facts_of(second)
    return Comparison(
        first=first,
        second=second,
        metrics=metric_lines(mine.metrics, theirs.metrics, rules),
        params=text_lines(first.params, second.params),
        tags=text_lines(first.tags, second.tags),
        run_tags=text_lines(first.run_tags, second.run_tags),
        schema=schema(
            first.signature,
            second.signature,
            (first.semantic_version, second.semantic_version),
            (first.label, second.label),
        ),
        live=live(first, second),
    )


def live(first: ModelVersion, second: ModelVersion) -> Live:
    """The latest trial of one of them against the other, whichever way round."""
    either = Q(version=first, stable=second) | Q(version=second, stable=first)
    trials = Trial.objects.filter(either).defer("pending", "canary", "stable_counts")
    judged_first = Case(When(judged_at=None, then=1), default=0)
    trial = trials.order_by(judged_first, "-since", "-id").first()
    if trial is None:
        return Live(why_none=_why_none(first, second))
    canary, stable = (second, first) if trial.version_id == second.pk else (first, second)
    verdict = compare.load(trial.verdict) if trial.verdict else None
    return Live(trial, canary, stable, verdict)


def _why_none(first: ModelVersion, second: ModelVersion) -> str:
    answered = Observation.objects.filter(version=OuterRef("pk"), requests__gt=0)
    rows = ModelVersion.objects.filter(pk__in=(first.pk, second.pk))
    used = set(rows.filter(Exists(answered)).values_list("pk", flat=True))
    unused = [each.label for each in (first, second) if each.pk not in used]
    if len(unused) == 2:
        return "Neither version has answered a request yet, so there is nothing live to compare."
    if unused:
        return f"{unused[0]} has not answered a request yet, so there is nothing live to compare."
    return (
        "Both have answered requests, but never side by side. Live figures are only compared when both versions answer "
        "requests of the same time."
    )


def text(first: ModelVersion, second: ModelVersion, of: str, name: str) -> TextLine | None:
    """One of the texts that the versions carry in ``params``, ``tags`` or ``run_tags``; None when neither has it."""
    mine, theirs = getattr(first, of), getattr(second, of)
    found = text_lines(
        {name: mine[name]} if name in mine else {},
        {name: theirs[name]} if name in theirs else {},
    )
    return found[0] if found else None
