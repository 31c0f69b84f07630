"""What is read of one model, or of one version, while one page or gate is made: each thing when it is first asked for,
and once. Such a value is passed on from function to function, and never kept for another request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property

from django.db.models import Case, Count, F, Max, Min, Q, QuerySet, Sum, When, Window
from django.db.models.functions import RowNumber

from lifecycle import freezes, history, people
from lifecycle.domain import compare
from lifecycle.domain.approval import Approver
from lifecycle.domain.facts import Answered, VersionFacts
from lifecycle.domain.plan import rollback_target
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.evidence import differ, files_changes
from lifecycle.models import (
    ACTIVE,
    EXECUTING,
    UNFINISHED_CHECKS,
    Approval,
    AuditEntry,
    CheckRun,
    Deletion,
    DeletionStatus,
    Disagreement,
    Effect,
    Evidence,
    Hold,
    Kind,
    ModelVersion,
    Policy,
    RegisteredModel,
    Status,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
    Waiver,
)
from lifecycle.policies import current_policy, policies_in_force
from lifecycle.together import Together
from lifecycle.versions import Other, listed_beside, others_of

RECENT = 20
"""How many of the latest transitions a page lists."""
KEPT_OF_EACH = 10
"""How many of the newest pieces of evidence of one criterion and origin are looked at: when all of them are stale, no
older one is asked for."""
EVIDENCE_PAGE = 20
RECORD_SHOWN = 100
"""Entries of the record that a transition's page shows."""
VERDICTS_SHOWN = 50
LARGE = ("metrics", "params", "run_tags", "signature", "flavors", "description")
"""What a version holds much of, and a list shows nothing of."""
SLIM = tuple(f"{version}__{column}" for version in ("version", "stable", "previous") for column in LARGE)


class People:
    """Which accounts are one person's: those that were named by the time that somebody asks are read in one query."""

    def __init__(self) -> None:
        self._named: set[int] = set()
        self._read: frozenset[int] = frozenset()
        self._known: Mapping[int, Approver] = {}

    def name(self, keys: Iterable[int]) -> None:
        """These accounts will be asked about."""
        self._named.update(keys)

    def known(self, keys: Iterable[int]) -> Mapping[int, Approver]:
        """These accounts, and those that were named, by their keys, as ``people.of`` has them."""
        self.name(keys)
        if not self._named <= self._read:
            self._read = frozenset(self._named)
            self._known = people.by_key(self._read)
        return self._known

    def same(self, some: Collection[int], others: Collection[int]) -> frozenset[int]:
        """Those of ``some`` who are one of the ``others``, by the same account or another one of theirs."""
        if not some or not others:
            return frozenset()
        return people.same_people(some, others, self.known((*some, *others)))


class ModelReads:
    """One model as it stands now. ``about`` is the version that a page is about: its transitions are the recent ones
    then, instead of the model's. ``of`` is a transition that has been read with its versions and policy."""

    def __init__(
        self, model: RegisteredModel, *, about: ModelVersion | None = None, of: Transition | None = None
    ) -> None:
        self.model = model
        self.people = People()
        rows = Transition.objects.filter(model=model)
        finished, active = rows.filter(status=Status.FINISHED), rows.filter(status__in=ACTIVE)
        self.lists = Together(
            policies=policies_in_force(model),
            variants=Variant.objects.filter(model=model).order_by("-weight", "-version_id"),
            variant_versions=ModelVersion.objects.filter(variant__model=model).order_by("version"),
            wrong=Disagreement.objects.filter(model=model),
            freezes=freezes.planned(model).select_related(None),
            active_approvals=Approval.objects.filter(transition__in=active),
            active_effects=Effect.objects.filter(transition__in=active),
            deleting=Deletion.objects.filter(version__model=model).exclude(status=DeletionStatus.DONE).only("version"),
            arrivals=finished.filter(to_stage=Stage.STAGING, version__stage=to_mlflow(Stage.STAGING))
            .defer("gate", "shown", "target")
            .order_by("-finished_at", "-id"),
            trials=_trials(model, about, of).defer("pending"),
            ended=finished.only("kind", "to_stage", "version", "finished_at").order_by("-finished_at", "-id"),
            served=ModelVersion.objects.filter(
                pk__in=finished.filter(kind=Kind.PROMOTION, to_stage=Stage.PRODUCTION).values("version")
            ).defer(*LARGE),
        )
        self._about = about
        self._of = of

    def policy(self, now: datetime) -> Policy:
        """The one in force; the first use of all writes the defaults."""
        found = self.lists["policies"]
        own = (each for each in found if each.model_id is not None)
        return next(own, None) or next(iter(found), None) or current_policy(self.model, now)

    # ------------------------------------------------------------ what serves

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """What has a server, with the versions."""
        versions = {each.pk: each for each in self.lists["variant_versions"]}
        for row in self.lists["variants"]:
            row.model, row.version = self.model, versions[row.version_id]
            row.version.model = self.model
        return tuple(self.lists["variants"])

    def variant(self, version: ModelVersion) -> Variant | None:
        return next((each for each in self.variants if each.version_id == version.pk), None)

    @property
    def production(self) -> ModelVersion | None:
        """The version that serves Production through the gateway now."""
        serving = (each.version for each in self.variants if each.role == VariantRole.PRODUCTION)
        return next(serving, None)

    def is_warm(self, version: ModelVersion) -> bool:
        """Whether its server is kept running, as far as the tables know."""
        return any(each.version_id == version.pk and each.url and not each.retiring for each in self.variants)

    # ------------------------------------------------------------ what was before

    @cached_property
    def history(self) -> tuple[int, ...]:
        """The versions that entered Production and were not rolled back since, each once, the latest entry first."""
        numbers = {each.pk: each.version for each in self.lists["served"]}
        ended = (
            (row.kind, row.to_stage, numbers[row.version_id])
            for row in self.lists["ended"]
            if row.version_id in numbers
        )
        return tuple(history.entered_production(ended))

    def previous(self, serving: ModelVersion) -> ModelVersion | None:
        """The version that a rollback brings back, or None when ``serving`` is the first in Production."""
        target = rollback_target(serving.version, self.history)
        return next((each for each in self.kept if each.version == target), None)

    @property
    def kept(self) -> tuple[ModelVersion, ...]:
        """Those that served Production and that MLflow still has."""
        return tuple(self.version(each.pk) for each in self.lists["served"] if each.removed_at is None)

    @property
    def could_come_back(self) -> tuple[ModelVersion, ...]:
        """Those of them that a rollback may be asked to bring back, the one that entered Production last first."""
        going = {each.version_id for each in self.lists["deleting"]}
        known = {each.version: each for each in self.kept if each.pk not in going}
        return tuple(known[number] for number in self.history if number in known)

    def arrival(self, version: ModelVersion) -> Transition | None:
        """The change that brought a version of now to Staging last; None where it came there outside Stagegate."""
        row = next((each for each in self.lists["arrivals"] if each.version_id == version.pk), None)
        if row is not None:
            row.model, row.version = self.model, version
        return row

    def version(self, key: int) -> ModelVersion:
        """The version with this key: most that something is said of have been read."""
        if key not in self._versions:
            known = (*(each.version for each in self.variants), *self.lists["served"])
            found = next((each for each in known if each.pk == key), None)
            self._versions[key] = found or self.model.versions.defer(*LARGE).get(pk=key)
        self._versions[key].model = self.model
        return self._versions[key]

    @cached_property
    def _versions(self) -> dict[int, ModelVersion]:
        """Those that the reads are of, and others from when they are asked for."""
        of = self._of
        own = (self._about, *((of.version, of.stable, of.previous) if of else ()))
        return {each.pk: each for each in own if each is not None}

    # ------------------------------------------------------------ transitions

    @cached_property
    def _listed(self) -> tuple[Transition, ...]:
        """The recent ones, and before them the one that is active, whatever it is about."""
        rows = self._transitions().defer("gate", "shown", *SLIM)
        if self._about is not None:
            rows = rows.filter(Q(version=self._about) | Q(status__in=ACTIVE))
        active_first = Case(When(status__in=ACTIVE, then=0), default=1)
        return self._of_model(rows.order_by(active_first, "-requested_at", "-id")[: RECENT + 1])

    def _transitions(self) -> QuerySet[Transition]:
        return Transition.objects.filter(model=self.model).select_related("version", "stable", "previous", "policy")

    def _of_model(self, rows: Iterable[Transition]) -> tuple[Transition, ...]:
        found = tuple(rows)
        for row in found:
            row.model = row.version.model = self.model
        return found

    @cached_property
    def recent(self) -> tuple[Transition, ...]:
        """The latest ones, newest first."""
        about = self._about
        rows = (each for each in self._listed if about is None or each.version_id == about.pk)
        return tuple(sorted(rows, key=lambda row: (row.requested_at, row.pk), reverse=True)[:RECENT])

    @cached_property
    def active(self) -> Transition | None:
        """The one that waits or is being carried out, with its versions and policy."""
        if self._of is not None and self._of.is_active:
            return self._of
        listed = self.__dict__.get("_listed")
        rows = self._of_model(self._transitions().filter(status__in=ACTIVE)) if listed is None else listed
        return next((each for each in rows if each.is_active), None)

    @property
    def executing(self) -> Transition | None:
        """The active one, once it is approved."""
        return self.active if self.active is not None and self.active.status in EXECUTING else None

    # ------------------------------------------------------------ what is measured, and what is wrong

    @cached_property
    def _trials(self) -> tuple[Trial, ...]:
        """Those that are open, and those of the transition or of the version, newest first."""
        for row in self.lists["trials"]:
            row.model, row.version = self.model, self.version(row.version_id)
            row.stable = self.version(row.stable_id) if row.stable_id else None
        return tuple(self.lists["trials"])

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What is judged now."""
        return tuple(each for each in self._trials if each.until is None)

    def trials_of(self, transition: Transition) -> tuple[Trial, ...]:
        """What was judged of a transition that these reads are of, newest first."""
        return tuple(each for each in self._trials if each.transition_id == transition.pk)

    def trials_in_staging(self, version: ModelVersion) -> tuple[Trial, ...]:
        """What was judged of a version that these reads are about, while it was in Staging, newest first."""
        mine = (each for each in self._trials if each.version_id == version.pk)
        return tuple(each for each in mine if each.kind == compare.Trial.STAGING)

    @cached_property
    def wrong(self) -> tuple[Disagreement, ...]:
        """What is not as Stagegate left it; each row as text is a sentence."""
        for row in self.lists["wrong"]:
            row.model, row.version = self.model, self.version(row.version_id) if row.version_id else None
        return tuple(self.lists["wrong"])

    def freeze(self, now: datetime, overridden_at: datetime | None = None) -> freezes.Freeze | None:
        """The one that holds changes now, as ``freezes.in_force`` has it."""
        return freezes.in_force(self.lists["freezes"], now, overridden_at=overridden_at)


class VersionReads:
    """One version as it stands now, and its model."""

    def __init__(self, version: ModelVersion, model: ModelReads | None = None) -> None:
        self.version = version
        self.model = model or ModelReads(version.model, about=version)
        self.model.lists.add(
            evidence=_newest_evidence(version),
            changed_files=files_changes(version, self.since),
            last_change=history.changes_of_production(version),
            answered=_answered(version, self.since),
            waivers=Waiver.objects.filter(version=version),
            holds=Hold.objects.filter(version=version, released_at=None),
            check_runs=_newest_or_unfinished(version),
        )

    @property
    def variant(self) -> Variant | None:
        return self.model.variant(self.version)

    @cached_property
    def listed(self) -> tuple[Other, ...]:
        """The model's other versions that MLflow has, in the order of their numbers."""
        return listed_beside(self.version)

    @cached_property
    def others(self) -> tuple[VersionFacts, ...]:
        """Those of them that have a semantic version."""
        return others_of(self.version, self.listed)

    # ------------------------------------------------------------ evidence, waivers, checks

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The newest pieces of each criterion and origin, newest first."""
        return tuple(row for row in self.model.lists["evidence"] if row.place <= KEPT_OF_EACH)

    @property
    def evidence_count(self) -> int:
        return next((row.recorded for row in self.model.lists["evidence"]), 0)

    @property
    def latest_evidence(self) -> list[Evidence]:
        """The first page of all of it."""
        return self.model.lists["evidence"][:EVIDENCE_PAGE]

    @property
    def waivers(self) -> list[Waiver]:
        """All that were ever granted."""
        return self.model.lists["waivers"]

    @cached_property
    def check_runs(self) -> dict[str, CheckRun]:
        """The newest run of each criterion's check."""
        return {row.criterion: row for row in reversed(self.model.lists["check_runs"])}

    @property
    def checked_now(self) -> frozenset[str]:
        """The criteria whose checks wait or run."""
        return frozenset(row.criterion for row in self.model.lists["check_runs"] if row.is_unfinished)

    # ------------------------------------------------------------ its retention

    @property
    def hold(self) -> Hold | None:
        """The one in force."""
        return next(iter(self.model.lists["holds"]), None)

    @property
    def deletion(self) -> Deletion | None:
        """Its deletion, where that was begun or done."""
        return getattr(self.version, "deletion", None)

    # ------------------------------------------------------------ its stay in Staging

    @property
    def since(self) -> datetime | None:
        """Since when it is in Staging; None elsewhere."""
        return self.version.stage_since if self.version.domain_stage == Stage.STAGING else None

    @property
    def has_other_files(self) -> bool:
        """Whether its files are no longer those with which it came to Staging."""
        return self.since is not None and differ(self.version, self.model.lists["changed_files"])

    @property
    def answered(self) -> dict[int, Answered]:
        """What it has answered in Staging, and the one in Production since then, by their keys."""
        rows = self.model.lists["answered"]
        return {row.pk: Answered(row.total, row.failed, row.first, row.last) for row in rows}

    @property
    def last_change(self) -> Transition | None:
        """The one that last took it into Production, or out of it."""
        return next(iter(self.model.lists["last_change"]), None)


def of_transition(transition: Transition) -> VersionReads:
    """For a page about one transition: its approvals and what was done so far come with what is read of the model."""
    reads = VersionReads(transition.version, ModelReads(transition.model, of=transition))
    record = AuditEntry.objects.filter(transition=transition.pk)
    verdicts = Verdict.objects.filter(trial__in=transition.trials.all()).order_by("-at", "-id")
    lists = reads.model.lists
    lists.add(
        approvals=transition.approvals.all(),
        effects=transition.effects.all(),
        record=record.order_by("-seq")[:RECORD_SHOWN],
        reached=record.filter(action="step_reached").order_by("id")[:RECORD_SHOWN],
        verdicts=verdicts.defer("measures")[:VERDICTS_SHOWN],
    )
    lists.attach(transition, "approvals", "approvals")
    lists.attach(transition, "effects", "effects")
    return reads


def _trials(model: RegisteredModel, about: ModelVersion | None, of: Transition | None) -> QuerySet[Trial]:
    wanted = Q(until=None)
    if about is not None:
        wanted |= Q(version=about, kind=compare.Trial.STAGING)
    if of is not None:
        wanted |= Q(transition=of) | Q(version=of.version_id, kind=compare.Trial.STAGING)
    return Trial.objects.filter(wanted, model=model)


def _answered(version: ModelVersion, since: datetime | None) -> QuerySet[ModelVersion]:
    if since is None:
        return ModelVersion.objects.none()
    rows = ModelVersion.objects.filter(
        Q(pk=version.pk) | Q(variant__role=VariantRole.PRODUCTION, model=version.model_id),
        observations__model=version.model_id,
        observations__until__gt=since,
        observations__since__gte=since,
        observations__requests__gt=0,
    )
    return (
        rows.only("version")
        .order_by("version")
        .annotate(
            total=Sum("observations__requests"),
            failed=Sum("observations__errors"),
            first=Min("observations__since"),
            last=Max("observations__until"),
        )
    )


def _newest_evidence(version: ModelVersion) -> QuerySet[Evidence]:
    """The first page of all of it, and the newest of each criterion and origin. Each row has its ``line`` among all
    that there are, its ``place`` among those of its kind, and how many are ``recorded``."""
    newest = ["-recorded_at", "-id"]
    rows = Evidence.objects.filter(version=version).annotate(
        line=Window(RowNumber(), order_by=newest),
        place=Window(RowNumber(), partition_by=[F("criterion"), F("origin")], order_by=newest),
        recorded=Window(Count("pk")),
    )
    return rows.filter(Q(place__lte=KEPT_OF_EACH) | Q(line__lte=EVIDENCE_PAGE))


def _newest_or_unfinished(version: ModelVersion) -> QuerySet[CheckRun]:
    """Of each criterion's check; an unfinished run is the newest one, as there can be no other meanwhile."""
    newest = Window(RowNumber(), partition_by=[F("criterion")], order_by=["-requested_at", "-id"])
    rows = CheckRun.objects.filter(version=version).annotate(place=newest)
    wanted = rows.filter(Q(place=1) | Q(status__in=UNFINISHED_CHECKS))
    return CheckRun.objects.filter(pk__in=wanted.values("pk"))
