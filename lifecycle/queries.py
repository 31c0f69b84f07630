"""Every read that a page or the API needs, as plain values: a bounded number of queries, whatever the size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Window
from django.db.models.functions import RowNumber

from lifecycle import freezes, people
from lifecycle.approvals import behind, required_roles, standing, still_missing, took_part_in_bypass
from lifecycle.domain.approval import ApprovalRefusedError, Approver, check_approver
from lifecycle.domain.gates import Gate
from lifecycle.domain.permissions import Action, Actor, Role, may
from lifecycle.domain.stages import Stage, possible_changes
from lifecycle.gating import gate_of, load_gate
from lifecycle.models import (
    EXECUTING,
    Approval,
    AuditEntry,
    Kind,
    MirrorState,
    ModelVersion,
    Observation,
    RegisteredModel,
    Status,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.reads import LARGE, ModelReads, VersionReads
from lifecycle.together import Prepared

COLUMN_LIMIT = 20
"""Version cards a stage column shows; the rest is counted."""
UNGATED = (Kind.ROLLBACK, Kind.DRILL, Kind.RECONCILIATION)
"""What no gate holds up: nothing new comes to users by it."""


# ---------------------------------------------------------------- shares of traffic


@dataclass(frozen=True, slots=True)
class Share:
    """One version's part of a model's traffic. ``start`` is where its part of the bar begins, in percent.

    ``tone`` is ``stable`` or ``canary``: the variant's colour on every page.
    """

    version: ModelVersion
    weight: int
    start: int
    tone: str
    role: str


def shares_of(variants: Iterable[Variant], canary_id: int | None = None) -> tuple[Share, ...]:
    """The traffic bar: the version that serves Production first, then whoever else gets requests."""
    serving = [variant for variant in variants if variant.weight]
    serving.sort(key=lambda variant: (variant.version_id == canary_id, variant.role != VariantRole.PRODUCTION))
    shares: list[Share] = []
    start = 0
    for variant in serving:
        is_canary = variant.version_id == canary_id or variant.role == VariantRole.STAGING
        tone = "canary" if is_canary else "stable"
        shares.append(Share(variant.version, variant.weight, start, tone, variant.get_role_display()))
        start += variant.weight
    return tuple(shares)


# ---------------------------------------------------------------- a model


@dataclass(frozen=True, slots=True)
class StageColumn:
    """The versions of one model in one stage, newest first; ``more`` is how many are not shown."""

    stage: Stage
    versions: tuple[ModelVersion, ...]
    more: int


@dataclass(frozen=True, slots=True)
class ModelPage:
    model: RegisteredModel
    shares: tuple[Share, ...]
    variants: tuple[Variant, ...]
    columns: tuple[StageColumn, ...]
    active: Transition | None
    history: tuple[Transition, ...]


def model_page(model: RegisteredModel, reads: ModelReads | None = None) -> ModelPage:
    known = reads or ModelReads(model)
    known.also_recent()
    known.lists.add(**_LISTS_OF_COLUMNS(model=model.pk))
    return ModelPage(
        model=model,
        shares=shares_of(known.variants, _canary_of(known.active) if known.active else None),
        variants=known.variants,
        columns=_columns(known),
        active=known.active,
        history=known.recent,
    )


def _lists_of_columns(model: int) -> dict[str, QuerySet[Any]]:
    rows = ModelVersion.objects.filter(model=model, removed_at=None).annotate(
        place=Window(RowNumber(), partition_by=[F("stage")], order_by=["-version"]),
        all_there=Window(Count("pk"), partition_by=[F("stage")]),
    )
    shown = rows.filter(place__lte=COLUMN_LIMIT).defer(*(set(LARGE) - {"metrics"}))
    return {"column_versions": shown.order_by("-version")}


_LISTS_OF_COLUMNS = Prepared(_lists_of_columns)


def _columns(reads: ModelReads) -> tuple[StageColumn, ...]:
    by_stage: dict[Stage, list[ModelVersion]] = {stage: [] for stage in Stage}
    for version in reads.lists["column_versions"]:
        version.model = reads.model
        by_stage[version.domain_stage].append(version)
    return tuple(StageColumn(stage, tuple(found), _more(found)) for stage, found in by_stage.items())


def _more(shown: Sequence[Any]) -> int:
    """How many there are besides those that are shown."""
    return shown[0].all_there - len(shown) if shown else 0


# ---------------------------------------------------------------- versions


@dataclass(frozen=True, slots=True)
class VersionPage:
    """``gates`` has one gate for every stage that the version could go to next, whether or not it is open; ``reads`` is
    what was read for it."""

    version: ModelVersion
    variant: Variant | None
    next_stages: tuple[Stage, ...]
    active: Transition | None
    transitions: tuple[Transition, ...]
    aliases: tuple[str, ...]
    gates: tuple[Gate, ...]
    may_request: bool
    reads: VersionReads


def version_page(version: ModelVersion, actor: Actor, now: datetime) -> VersionPage:
    model = ModelReads(version.model, about=version)
    model.also_recent()
    reads = VersionReads(version, model)
    model.people.name(actor.accounts)
    return VersionPage(
        version=version,
        variant=reads.variant,
        next_stages=_askable(version, reads.variant),
        transitions=model.recent,
        active=model.active,
        aliases=tuple(sorted(alias for alias, number in version.model.aliases.items() if number == version.version)),
        gates=_gates(reads, now),
        may_request=may(actor.at(version.model.team_id), Action.REQUEST_TRANSITION),
        reads=reads,
    )


def _gates(reads: VersionReads, now: datetime) -> tuple[Gate, ...]:
    """The gates ahead; a change that is waiting is judged by its own policy and approvals."""
    version, active = reads.version, reads.model.active
    if version.removed_at is not None:
        return ()
    asked = active if active and active.version_id == version.pk and active.kind not in UNGATED else None
    if asked is not None:
        reads.model.lists.attach(asked, "approvals", "active_approvals")
    return tuple(
        gate_of(version, stage, now, transition=asked if asked and asked.to_stage == stage else None, reads=reads)
        for stage in possible_changes(version.domain_stage)
    )


def _askable(version: ModelVersion, variant: Variant | None) -> tuple[Stage, ...]:
    if version.removed_at is not None or not version.model.exact_name:
        return ()
    held = variant is not None and variant.role in (VariantRole.PRODUCTION, VariantRole.WARM)
    return tuple(stage for stage in possible_changes(version.domain_stage) if not (held and stage == Stage.ARCHIVED))


# ---------------------------------------------------------------- transitions


@dataclass(frozen=True, slots=True)
class Counted:
    """What a version answered since the transition began; the version on trial comes last."""

    version: ModelVersion
    requests: int
    errors: int

    @property
    def error_rate(self) -> float:
        """Errors per 100 requests."""
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class TransitionPage:
    """``gate`` is the gate as it is now, None once execution has begun; ``gate_as_asked`` is how it was when the change
    was asked for, None for what no gate holds up. ``own_approval`` is this person's yes that they can take back;
    ``freeze`` the one that holds the transition now."""

    transition: Transition
    shares: tuple[Share, ...]
    missing: tuple[Role, ...]
    may_decide: bool
    why_not_decide: str
    may_cancel: bool
    counted: tuple[Counted, ...]
    gate: Gate | None
    gate_as_asked: Gate | None
    own_approval: Approval | None
    freeze: freezes.Freeze | None
    may_override: bool
    may_bypass: bool
    why_not_review_bypass: str

    @property
    def may_review_bypass(self) -> bool:
        """Whether there is a bypass to review here, and this person can."""
        return is_to_review(self.transition) and not self.why_not_review_bypass


def transition_page(
    transition: Transition, actor: Actor, now: datetime, reads: VersionReads | None = None
) -> TransitionPage:
    known = reads or VersionReads(transition.version, ModelReads(transition.model, of=transition))
    missing = still_missing(transition)
    here = actor.at(transition.model.team_id)
    freeze = known.model.freeze(now, transition.override_at) if has_not_begun(transition) else None
    awaiting = transition.status == Status.AWAITING_APPROVAL
    to_review = is_to_review(transition)
    persons = _people_of(transition, actor, known) if awaiting or to_review else {}
    why_not = why_not_decide(transition, actor, missing, persons) if awaiting else ""
    return TransitionPage(
        transition=transition,
        shares=shares_of(known.model.variants, _canary_of(transition)),
        missing=missing,
        may_decide=awaiting and not why_not,
        why_not_decide=why_not,
        may_cancel=awaiting and may(here, Action.CANCEL),
        counted=_counted(transition, known.model),
        gate=_gate_now(known, transition, now),
        gate_as_asked=_gate_as_asked(transition),
        own_approval=_own_approval(transition, here),
        freeze=freeze,
        may_override=freeze is not None and may(here, Action.OVERRIDE_FREEZE),
        may_bypass=awaiting and may_bypass(transition, here, persons),
        why_not_review_bypass=why_not_review_bypass(transition, actor, persons) if to_review else "",
    )


def _people_of(transition: Transition, actor: Actor, reads: VersionReads) -> Mapping[int, Approver]:
    """Everybody whom one asks about where a person decides on this transition."""
    decided = (each.person_id for each in standing(transition))
    granted = [row.granted_by_id for row in reads.waivers if row.granted_by_id] if has_not_begun(transition) else ()
    bypassed = (transition.bypassed_by_id,) if transition.bypassed_by_id else ()
    return reads.model.people.known((*actor.accounts, *behind(transition), *decided, *granted, *bypassed))


def has_not_begun(transition: Transition) -> bool:
    """Whether nothing of a change that a gate holds up has been carried out yet."""
    waits = transition.status in (Status.AWAITING_APPROVAL, Status.APPROVED)
    return waits and transition.checked_at is None and transition.kind not in UNGATED


def freeze_of(transition: Transition, now: datetime) -> freezes.Freeze | None:
    """The freeze that holds this transition now, whether or not it is approved; None once it was overridden."""
    return freezes.holding(transition, now) if has_not_begun(transition) else None


def may_bypass(transition: Transition, actor: Actor, known: Mapping[int, Approver] | None = None) -> bool:
    allowed = set(transition.policy.values.approval.bypass)
    here = actor.at(transition.model.team_id)
    if here.shared or not may(here, Action.BYPASS) or not here.roles & allowed:
        return False
    return not people.same_people(here.accounts, behind(transition), known)


def may_review_bypass(transition: Transition, actor: Actor, known: Mapping[int, Approver] | None = None) -> bool:
    """Whether there is a bypass to review here, and this person took no part in it. ``known`` is as for
    ``why_not_decide``."""
    return is_to_review(transition) and not why_not_review_bypass(transition, actor, known)


def is_to_review(transition: Transition) -> bool:
    """Whether it went on without its approvals, and nobody has looked at that since."""
    return transition.bypassed_at is not None and transition.bypass_reviewed_at is None


def why_not_review_bypass(transition: Transition, actor: Actor, known: Mapping[int, Approver] | None = None) -> str:
    """Why this person's review would be refused; "" when it would count. ``known`` is as for ``why_not_decide``."""
    if not may(actor.at(transition.model.team_id), Action.REVIEW_BYPASS):
        return "Product owners, auditors and administrators review bypasses."
    if actor.user_id == transition.bypassed_by_id:
        return "You let it go on, so somebody else reviews it."
    if actor.shared or took_part_in_bypass(transition, actor, known):
        return "You took part in it, or several people use this account, so somebody else reviews it."
    return ""


def bypasses_to_review() -> QuerySet[Transition]:
    """The transitions that went on without their approvals and that nobody has looked at since, newest first."""
    rows = Transition.objects.filter(bypassed_at__isnull=False, bypass_reviewed_at=None)
    return rows.select_related("version__model", "model", "policy").order_by("-bypassed_at")


def _own_approval(transition: Transition, actor: Actor) -> Approval | None:
    if not has_not_begun(transition):
        return None
    mine = (each for each in transition.approvals.all() if each.approved and each.stands)
    return next((each for each in mine if each.person_id == actor.user_id), None)


def _gate_now(reads: VersionReads, transition: Transition, now: datetime) -> Gate | None:
    if not has_not_begun(transition):
        return None
    return gate_of(reads.version, Stage(transition.to_stage), now, transition=transition, reads=reads)


def _gate_as_asked(transition: Transition) -> Gate | None:
    is_gated = transition.kind not in UNGATED
    return load_gate(Stage(transition.to_stage), transition.gate) if is_gated else None


def _canary_of(transition: Transition) -> int | None:
    """The version on trial; what no gate holds up tries nothing out."""
    return transition.version_id if transition.is_active and transition.kind not in UNGATED else None


def _counted(transition: Transition, reads: ModelReads) -> tuple[Counted, ...]:
    if transition.started_at is None:
        return ()
    seen = Observation.objects.filter(model=transition.model_id, until__gt=transition.started_at)
    if transition.finished_at is not None:
        seen = seen.filter(since__lt=transition.finished_at)
    sums = seen.values("version").annotate(requests=Sum("requests"), errors=Sum("errors")).order_by("version")
    versions = _versions([row["version"] for row in sums], transition, reads)
    counted = [Counted(versions[row["version"]], row["requests"], row["errors"]) for row in sums]
    return tuple(sorted(counted, key=lambda each: (each.version.pk == transition.version_id, each.version.version)))


def _versions(keys: Iterable[int], transition: Transition, reads: ModelReads) -> dict[int, ModelVersion]:
    """By their keys; those that serve, and those that the change is about, have been read."""
    about = (each for each in (transition.version, transition.stable, transition.previous) if each is not None)
    known = {each.pk: each for each in (*(variant.version for variant in reads.variants), *about)}
    others = set(keys) - known.keys()
    return known | (ModelVersion.objects.in_bulk(others) if others else {})


def why_not_decide(
    transition: Transition, actor: Actor, missing: Sequence[Role], known: Mapping[int, Approver] | None = None
) -> str:
    """Why this person's yes or no would be refused; "" when it would count. ``known`` are the people of many
    transitions by their keys, read once."""
    here = actor.at(transition.model.team_id)
    if not may(here, Action.APPROVE) or here.user_id is None:
        return "Your role reads here; product owners and ML engineers of this model decide."
    try:
        check_approver(
            approver=Approver(here.user_id, here.roles, here.identities, here.shared),
            asked_by=_these(behind(transition), known),
            decided_by=_these([each.person_id for each in standing(transition)], known),
            required=required_roles(transition),
        )
    except ApprovalRefusedError as error:
        return str(error)
    if not here.roles & set(missing):
        return "The yes of your role is there already."
    return ""


def _these(keys: Collection[int], known: Mapping[int, Approver] | None) -> list[Approver]:
    return people.of(keys) if known is None else [known[key] for key in keys if key in known]


_LARGE = ("description", "metrics", "params", "run_tags", "signature", "flavors")
NOT_LISTED = (
    *("gate", "shown", "model__description", "model__tags", "version__model__description", "version__model__tags"),
    *(f"{version}__{column}" for version in ("version", "stable", "previous") for column in _LARGE),
)
"""What no list of transitions shows, and what is large: for those with ``version__model``, ``model``, ``stable`` and
``previous``."""


def running() -> QuerySet[Transition]:
    return Transition.objects.filter(status__in=EXECUTING).select_related("version__model", "model", "stable")


def lately_rolled_back(now: datetime, *, days: int = 7) -> QuerySet[Transition]:
    gone_back = Q(kind=Kind.ROLLBACK) | Q(status=Status.ROLLED_BACK)
    return Transition.objects.filter(gone_back, finished_at__gte=now - timedelta(days=days)).select_related(
        "version__model", "model", "previous", "stable"
    )[:10]


# ---------------------------------------------------------------- the record


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What to show of the record; empty values do not restrict. ``last_seq`` is the last entry that may be shown."""

    model: str = ""
    version: int | None = None
    actor: str = ""
    action: str = ""
    refused: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    transition: int | None = None
    last_seq: int | None = None

    def conditions(self) -> dict[str, Any]:
        """What restricts, as the lookups of a query."""
        lookups = {
            "model": self.model,
            "version": self.version,
            "actor__icontains": self.actor,
            "action": self.action,
            "refused": self.refused,
            "at__gte": self.since,
            "at__lt": self.until,
            "transition": self.transition,
            "seq__lte": self.last_seq,
        }
        return {name: value for name, value in lookups.items() if value not in ("", None)}


def record_entries(wanted: RecordFilter) -> QuerySet[AuditEntry]:
    """Audit entries, newest first."""
    return AuditEntry.objects.filter(**wanted.conditions())


def mirror_state() -> MirrorState | None:
    return MirrorState.objects.first()


# ---------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True)
class Figures:
    """What /metrics shows. ``mirror_age`` is in seconds, NaN when the mirror has never succeeded."""

    transitions: dict[str, int]
    models: int
    versions: int
    overdue: int
    mirror_age: float


def figures(now: datetime) -> Figures:
    counts = dict(Transition.objects.values_list("status").annotate(Count("pk")).order_by())
    state = mirror_state()
    read_at = state.last_success_at if state else None
    overdue = Transition.objects.filter(status__in=EXECUTING, due_at__lt=now - timedelta(seconds=30))
    return Figures(
        transitions={status.value: counts.get(status.value, 0) for status in Status},
        models=RegisteredModel.objects.filter(removed_at=None).count(),
        versions=ModelVersion.objects.filter(removed_at=None).count(),
        overdue=overdue.count(),
        mirror_age=(now - read_at).total_seconds() if read_at else float("nan"),
    )
