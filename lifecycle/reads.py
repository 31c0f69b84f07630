"""What is read of one model, or of one version, while one page or gate is made: each thing when it is first asked for,
and once. Such a value is passed on from function to function, and never kept for another request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum, Window
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
from lifecycle.together import Prepared, Together
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
        self.lists = Together(
            **_LISTS(
                model=model.pk,
                team=model.team_id,
                about=about.pk if about else None,
                of=of.pk if of else None,
                of_version=of.version_id if of else None,
            )
        )
        self._about = about
        self._of = of
        self._has_recent = False

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
        ended = ((kind, to_stage, number) for kind, to_stage, number, *_ in self.lists["ended"])
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
            lists = ("served", "active_versions", *(["recent_versions"] if self._has_recent else []))
            known = (*(each.version for each in self.variants), *(each for name in lists for each in self.lists[name]))
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

    def also_recent(self) -> None:
        """Let ``recent`` be read with what else is read of the model."""
        if not self._has_recent:
            self._has_recent = True
            self.lists.add(**_LISTS_OF_RECENT(model=self.model.pk, about=self._about.pk if self._about else None))

    @cached_property
    def recent(self) -> tuple[Transition, ...]:
        """The latest ones, newest first, without what their gates were."""
        self.also_recent()
        return tuple(map(self._with_versions, self.lists["recent"]))

    @cached_property
    def active(self) -> Transition | None:
        """The one that waits or is being carried out, with its versions and policy."""
        if self._of is not None and self._of.is_active:
            return self._of
        row = next(iter(self.lists["active"]), None)
        if row is not None:
            row.policy = next(each for each in self.lists["active_policies"] if each.pk == row.policy_id)
            self._with_versions(row)
        return row

    def _with_versions(self, row: Transition) -> Transition:
        row.model, row.version = self.model, self.version(row.version_id)
        row.stable = self.version(row.stable_id) if row.stable_id else None
        row.previous = self.version(row.previous_id) if row.previous_id else None
        return row

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
            **_LISTS_OF_VERSION(
                model=version.model_id,
                name=version.model.name,
                version=version.pk,
                number=version.version,
                since=self.since,
            )
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
    lists = reads.model.lists
    lists.add(**_LISTS_OF_TRANSITION(transition=transition.pk))
    lists.attach(transition, "approvals", "approvals")
    lists.attach(transition, "effects", "effects")
    return reads


# ---------------------------------------------------------------- the lists, for keys


def _lists(
    model: int, team: int | None, about: int | None, of: int | None, of_version: int | None
) -> dict[str, QuerySet[Any]]:
    of_model = RegisteredModel(pk=model, team_id=team)
    rows = Transition.objects.filter(model=model)
    finished, active = rows.filter(status=Status.FINISHED), rows.filter(status__in=ACTIVE)
    entered = Q(kind=Kind.PROMOTION, to_stage=Stage.PRODUCTION)
    return {
        "policies": policies_in_force(of_model),
        "variants": Variant.objects.filter(model=model).order_by("-weight", "-version_id"),
        "variant_versions": ModelVersion.objects.filter(variant__model=model).order_by("version"),
        "wrong": Disagreement.objects.filter(model=model),
        "freezes": freezes.planned(of_model).select_related(None),
        "active_approvals": Approval.objects.filter(transition__in=active),
        "active_effects": Effect.objects.filter(transition__in=active),
        "deleting": Deletion.objects.filter(version__model=model).exclude(status=DeletionStatus.DONE).only("version"),
        "arrivals": finished.filter(to_stage=Stage.STAGING, version__stage=to_mlflow(Stage.STAGING))
        .defer("gate", "shown", "target")
        .order_by("-finished_at", "-id"),
        "trials": _trials(model, about, of, of_version).defer("pending"),
        "ended": finished.filter(entered | Q(kind=Kind.ROLLBACK))
        .order_by("-finished_at", "-id")
        .values_list("kind", "to_stage", "version__version", "finished_at", "id"),
        "served": ModelVersion.objects.filter(pk__in=finished.filter(entered).values("version")).defer(*LARGE),
        "active": active.defer("gate", "shown"),
        "active_versions": ModelVersion.objects.filter(concerned(active), model=model).defer(*LARGE),
        "active_policies": Policy.objects.filter(pk__in=active.values("policy")),
    }


_LISTS = Prepared(_lists)


def _lists_of_recent(model: int, about: int | None) -> dict[str, QuerySet[Any]]:
    rows = Transition.objects.filter(model=model).order_by("-requested_at", "-id")
    recent = (rows if about is None else rows.filter(version=about))[:RECENT]
    return {
        "recent": recent.defer("gate", "shown"),
        "recent_versions": ModelVersion.objects.filter(concerned(recent), model=model).defer(*LARGE),
    }


_LISTS_OF_RECENT = Prepared(_lists_of_recent)


def concerned(rows: QuerySet[Transition]) -> Q:
    """Their versions, those that they take the place of, and those that they bring back."""
    return Q(pk__in=rows.values("version")) | Q(pk__in=rows.values("stable")) | Q(pk__in=rows.values("previous"))


def _trials(model: int, about: int | None, of: int | None, of_version: int | None) -> QuerySet[Trial]:
    wanted = Q(until=None)
    if about is not None:
        wanted |= Q(version=about, kind=compare.Trial.STAGING)
    if of is not None:
        wanted |= Q(transition=of) | Q(version=of_version, kind=compare.Trial.STAGING)
    return Trial.objects.filter(wanted, model=model)


def _lists_of_version(
    model: int, name: str, version: int, number: int, since: datetime | None
) -> dict[str, QuerySet[Any]]:
    row = ModelVersion(pk=version, model=RegisteredModel(pk=model, name=name), version=number)
    return {
        "evidence": _newest_evidence(row),
        "changed_files": files_changes(row, since),
        "last_change": history.changes_of_production(row),
        "answered": answered_in_staging(row, since),
        "waivers": Waiver.objects.filter(version=row),
        "holds": Hold.objects.filter(version=row, released_at=None),
        "check_runs": _newest_or_unfinished(row),
    }


_LISTS_OF_VERSION = Prepared(_lists_of_version)


def _lists_of_transition(transition: int) -> dict[str, QuerySet[Any]]:
    record = AuditEntry.objects.filter(transition=transition)
    verdicts = Verdict.objects.filter(trial__in=Trial.objects.filter(transition=transition)).order_by("-at", "-id")
    return {
        "approvals": Approval.objects.filter(transition=transition),
        "effects": Effect.objects.filter(transition=transition),
        "record": record.order_by("-seq")[:RECORD_SHOWN],
        "reached": record.filter(action="step_reached").order_by("id")[:RECORD_SHOWN],
        "verdicts": verdicts.defer("measures")[:VERDICTS_SHOWN],
    }


_LISTS_OF_TRANSITION = Prepared(_lists_of_transition)


def answered_in_staging(version: ModelVersion, since: datetime | None) -> QuerySet[ModelVersion]:
    """This version, and the one in Production, with what they have answered since then; none without a time."""
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
