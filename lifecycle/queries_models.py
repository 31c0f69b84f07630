"""The list of models: what it is searched and filtered by, its lines, and what there is to choose from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.core.cache import cache
from django.db.models import (
    CharField,
    Count,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    Window,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Concat, Length, LPad, RowNumber

from lifecycle.domain.stages import Stage
from lifecycle.domain.timeline import Change, Timeline, timeline
from lifecycle.model_index import STAGE_FIELDS
from lifecycle.models import (
    ACTIVE,
    Disagreement,
    Kind,
    ModelIndex,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    Status,
    Team,
    Transition,
    Variant,
)
from lifecycle.queries import Share, shares_of
from lifecycle.queries_serving import failing_trials
from lifecycle.reads import ModelReads, concerned
from lifecycle.together import Prepared

NOBODY = "-"
"""In place of a team: models that no team owns. No team's slug begins so."""
WORDS_SEARCHED = 10
COLONS_TRIED = 5
SHOWN_A_STAGE = 2
"""Versions of one stage that a line shows; the rest is counted."""
CHOICES_KEPT = 60
"""Seconds for which what there is to choose from is not counted again."""
FRAMEWORKS_OFFERED, TEAMS_OFFERED, KEYS_OFFERED, VALUES_OFFERED = 30, 200, 50, 100
LONGEST_VALUE_OFFERED = 60


class Sort(StrEnum):
    """What the list is ordered by; models that are alike in it stand by name."""

    NAME = "name"
    NAME_DOWN = "-name"
    NEWEST = "-newest"
    OLDEST = "newest"
    MOST = "-versions"
    FEWEST = "versions"

    @property
    def is_down(self) -> bool:
        return self.value.startswith("-")


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """What to show; empty values do not restrict.

    ``search``: all of its words occur. ``tags``: each is a key, or a key and a value with a colon between, and a model
    has all of them. ``team`` is a team's slug, or NOBODY. ``unhealthy``: it fails in Production, or something is not as
    Stagegate left it.
    """

    search: str = ""
    stage: Stage | None = None
    tags: tuple[str, ...] = ()
    team: str = ""
    framework: str = ""
    under_way: bool = False
    unhealthy: bool = False


# ---------------------------------------------------------------- which models


def models_matching(wanted: ModelFilter | None = None) -> QuerySet[ModelIndex]:
    """The index rows of the models that MLflow still has and that match, in no order."""
    wanted = wanted or ModelFilter()
    found = ModelIndex.objects.order_by()
    for word in wanted.search.lower().split()[:WORDS_SEARCHED]:
        found = found.filter(text__contains=word)
    if wanted.stage is not None:
        found = found.filter(**{STAGE_FIELDS[wanted.stage]: True})
    for tag in wanted.tags:
        found = found.filter(pk__in=ModelTag.objects.filter(_is_tag(tag)).values("model"))
    if wanted.framework:
        found = found.filter(framework=wanted.framework)
    if wanted.team:
        found = found.filter(pk__in=_owned_by(wanted.team).values("pk"))
    if wanted.under_way:
        found = found.filter(pk__in=Transition.objects.filter(status__in=ACTIVE).order_by().values("model"))
    if wanted.unhealthy:
        disagreeing = Disagreement.objects.order_by().values("model")
        found = found.filter(Q(pk__in=disagreeing) | Q(pk__in=failing_trials().order_by().values("model")))
    return found


def _is_tag(words: str) -> Q:
    """A key may hold colons itself: every place where it could end is tried."""
    found = Q(key=words[: ModelTag.KEY_LENGTH])
    parts = words.split(":")
    for end in range(1, min(len(parts), COLONS_TRIED + 1)):
        key, value = ":".join(parts[:end]), ":".join(parts[end:])
        found |= Q(key=key[: ModelTag.KEY_LENGTH], value=value.strip()[: ModelTag.VALUE_LENGTH])
    return found


def _owned_by(team: str) -> QuerySet[RegisteredModel]:
    owned = Q(team=None) if team == NOBODY else Q(team__slug=team)
    return RegisteredModel.objects.filter(owned, removed_at=None).order_by()


def are_unlisted() -> bool:
    """Whether there are models that the index does not have yet, as in the first seconds after an update."""
    return RegisteredModel.objects.filter(removed_at=None, index=None).exists()


def in_order(found: QuerySet[ModelIndex], sort: Sort) -> QuerySet[ModelIndex]:
    """For a page with a number."""
    return found.order_by(*_ORDERS[sort])


def _order(sort: Sort) -> tuple[Any, ...]:
    if sort in (Sort.NAME, Sort.NAME_DOWN):
        return ("-slug",) if sort.is_down else ("slug",)
    name = "newest_version_at" if sort in (Sort.NEWEST, Sort.OLDEST) else "version_count"
    return (F(name).desc(nulls_last=True) if sort.is_down else F(name).asc(nulls_last=True), "slug")


_ORDERS: Mapping[Sort, tuple[Any, ...]] = {sort: _order(sort) for sort in Sort}


def with_place(found: QuerySet[ModelIndex], sort: Sort) -> QuerySet[ModelIndex]:
    """For a page with a cursor: ``place`` is a text that no two models share, and that sorts as ``sort`` does."""
    text = CharField()
    if sort in (Sort.NEWEST, Sort.OLDEST):
        first: Any = Coalesce(Cast("newest_version_at", text), Value("" if sort.is_down else "9999-12-31"))
    else:
        first = LPad(Cast("version_count", text), 10, Value("0"))
    return found.annotate(place=Concat(first, Value(" "), "slug", output_field=text))


# ---------------------------------------------------------------- its lines


@dataclass(frozen=True, slots=True)
class Staged:
    """The newest versions in one stage; ``more`` is how many are not among them."""

    versions: tuple[ModelVersion, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of the list of models. ``newest`` is the version with the highest number, None where there is none."""

    model: RegisteredModel
    version_count: int
    newest: ModelVersion | None
    newest_at: datetime | None
    staging: Staged
    production: Staged
    shares: tuple[Share, ...]
    active: Transition | None


def model_rows(page: QuerySet[ModelIndex], sort: Sort = Sort.NAME) -> list[ModelRow]:
    """The lines for a page of the index, in five queries."""
    indexed = _indexed(page, sort)
    keys = [row.pk for row in indexed]
    staged, newest = _versions(keys, [row.newest for row in indexed if row.newest])
    variants = Variant.objects.filter(model__in=keys, weight__gt=0).select_related("version").order_by("model_id", "pk")
    serving = _by_model(variants.only(*_SERVING))
    running = Transition.objects.filter(model__in=keys, status__in=ACTIVE).order_by().only(*_ACTIVE)
    active = {row.model_id: row for row in running}
    return [
        ModelRow(
            model=row.model,
            version_count=row.version_count,
            newest=newest.get(row.newest),
            newest_at=row.newest_version_at,
            staging=staged.get((row.pk, "Staging"), Staged()),
            production=staged.get((row.pk, "Production"), Staged()),
            shares=shares_of(serving.get(row.pk, ())),
            active=active.get(row.pk),
        )
        for row in indexed
    ]


_LABEL = ("model", "version", "tags", "stage")
_SERVING = ("model", "weight", "role", *(f"version__{name}" for name in _LABEL))
_ACTIVE = ("model", "status")


def _indexed(page: QuerySet[ModelIndex], sort: Sort) -> list[Any]:
    """The page's rows with their models and teams; ``newest`` is the key of the newest version. Whatever is wide is
    read for these rows alone, not for all that come before them."""
    live = ModelVersion.objects.filter(model=OuterRef("pk"), removed_at=None).order_by("-version")
    rows = ModelIndex.objects.filter(pk__in=page.values("pk")).select_related("model__team")
    newest = rows.annotate(newest=Subquery(live.values("pk")[:1]))
    of_model = ("model__name", "model__slug", "model__exact_name", "model__team")
    return list(newest.only("version_count", "newest_version_at", *of_model).order_by(*_ORDERS[sort]))


def _versions(
    models: Sequence[int], newest: Sequence[int]
) -> tuple[dict[tuple[int, str], Staged], dict[int, ModelVersion]]:
    """The first versions of each model and stage, and the newest versions by their keys."""
    in_stage = [F("model"), F("stage")]
    live = ModelVersion.objects.filter(model__in=models, removed_at=None).only(*_LABEL)
    staged = live.filter(stage__in=("Staging", "Production")).annotate(
        place=Window(RowNumber(), partition_by=in_stage, order_by=F("version").desc()),
        of=Window(Count("pk"), partition_by=in_stage),
    )
    found: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for version in staged.filter(place__lte=SHOWN_A_STAGE).order_by("model_id", "-version"):
        found[version.model_id, version.stage].append(version)
    return (
        {place: Staged(tuple(rows), rows[0].of - len(rows)) for place, rows in found.items()},
        ModelVersion.objects.order_by().only(*_LABEL).in_bulk(newest),
    )


def _by_model(variants: Iterable[Variant]) -> dict[int, list[Variant]]:
    grouped: dict[int, list[Variant]] = defaultdict(list)
    for variant in variants:
        grouped[variant.model_id].append(variant)
    return grouped


# ---------------------------------------------------------------- what there is to choose from


@dataclass(frozen=True, slots=True)
class Choices:
    """``teams`` are slugs and names, ``frameworks`` names with how many models have them, ``tags`` keys and
    ``key:value``: the most frequent ones."""

    teams: tuple[tuple[str, str], ...]
    frameworks: tuple[tuple[str, int], ...]
    tags: tuple[str, ...]


def choices() -> Choices:
    """What the list can be filtered by, as of the last minute."""
    found: Choices | None = cache.get("model-choices")
    if found is None:
        found = Choices(_teams(), _frameworks(), _tags())
        cache.set("model-choices", found, CHOICES_KEPT)
    return found


def _teams() -> tuple[tuple[str, str], ...]:
    return tuple(Team.objects.order_by("name").values_list("slug", "name")[:TEAMS_OFFERED])


def _frameworks() -> tuple[tuple[str, int], ...]:
    known = ModelIndex.objects.exclude(framework="").values_list("framework")
    return tuple(known.annotate(count=Count("pk")).order_by("-count", "framework")[:FRAMEWORKS_OFFERED])


def _tags() -> tuple[str, ...]:
    keys = ModelTag.objects.values_list("key").annotate(count=Count("pk")).order_by("-count", "key")
    measured = ModelTag.objects.annotate(length=Length("value"))
    short = measured.filter(length__gte=1, length__lte=LONGEST_VALUE_OFFERED)
    values = short.values_list("key", "value").annotate(count=Count("pk")).order_by("-count", "key", "value")
    return (
        *(key for key, _ in keys[:KEYS_OFFERED]),
        *(f"{key}:{value}" for key, value, _ in values[:VALUES_OFFERED]),
    )


# ---------------------------------------------------------------- the past of one


class Span(StrEnum):
    """How far back a model's past is shown."""

    MONTH = "30d"
    QUARTER = "90d"
    ALL = "all"

    @property
    def length(self) -> timedelta | None:
        """None: to the beginning."""
        return {Span.MONTH: timedelta(days=30), Span.QUARTER: timedelta(days=90)}.get(self)


@dataclass(frozen=True, slots=True)
class Past:
    """A model's past as a line of time. ``line`` is None where nothing has ever happened, ``cut`` says that there are
    older transitions than those that it is made of. ``labels`` are of versions, ``titles`` of transitions."""

    span: Span
    now: datetime
    line: Timeline | None
    cut: bool
    labels: Mapping[int, str]
    titles: Mapping[int, str]

    def label(self, version: int) -> str:
        return self.labels.get(version) or f"version {version}"

    def words(self, transition: int) -> str:
        return self.titles.get(transition, "")


PAST_READ = 200
"""Transitions that a line of time is made of, at most: the newest."""
_ENDS = ("kind", "from_stage", "to_stage", "status", "requested_at", "started_at", "finished_at", "traffic_back_at")
_WHO = ("requested_by_id", "rollback_by_id")
_PAST = ("id", *_ENDS, *_WHO, "version", "previous", "stable")


def also_past(reads: ModelReads) -> None:
    """Let ``past`` be read with what else is read of the model."""
    reads.lists.add(**_LISTS_OF_PAST(model=reads.model.pk))


def _lists_of_past(model: int) -> dict[str, QuerySet[Any]]:
    rows = Transition.objects.filter(model=model).order_by("-requested_at", "-id")[: PAST_READ + 1]
    versions = ModelVersion.objects.filter(concerned(rows), model=model)
    return {
        "past": rows.values_list(*_PAST),
        "past_versions": versions.order_by("id")
        .annotate(tag=KT("tags__semantic_version"))
        .values_list("id", "version", "tag"),
    }


_LISTS_OF_PAST = Prepared(_lists_of_past)


def past(reads: ModelReads, span: Span, now: datetime) -> Past:
    """As it has been read of the model."""
    known = {key: (number, tag or f"version {number}") for key, number, tag in reads.lists["past_versions"]}
    labels, serving = dict(known.values()), reads.production
    if serving is not None:
        labels[serving.version] = serving.label
    rows = [dict(zip(_PAST, row, strict=True)) for row in reads.lists["past"]]
    told = [{**row, **_numbers(row, known)} for row in rows[:PAST_READ]]
    changes = [_change(row) for row in told]
    titles = {row["id"]: _title(row, labels) for row in told}
    line = timeline(changes, now, span.length, serving.version if serving else None)
    return Past(span, now, line, len(rows) > len(told), labels, titles)


def _numbers(row: Mapping[str, Any], known: Mapping[int, tuple[int, str]]) -> dict[str, int | None]:
    """Of the versions that a transition is about; None where it brings none back, or takes no other's place."""
    return {name: known[row[name]][0] if row[name] else None for name in ("version", "previous", "stable")}


def _change(row: Mapping[str, Any]) -> Change:
    turned_back = row["kind"] == Kind.ROLLBACK or row["status"] == Status.ROLLED_BACK
    by = row["requested_by_id"] if row["kind"] == Kind.ROLLBACK else row["rollback_by_id"]
    return Change(
        key=row["id"],
        version=row["version"],
        kind=row["kind"],
        from_stage=row["from_stage"],
        to_stage=row["to_stage"],
        status=row["status"],
        asked_at=row["requested_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        turned_at=row["traffic_back_at"] if turned_back else None,
        comes_back=row["previous"],
        served=row["stable"],
        by_person=by is not None,
    )


def _title(row: Mapping[str, Any], labels: Mapping[int, str]) -> str:
    name = labels[row["version"]]
    if row["kind"] in (Kind.ROLLBACK, Kind.DRILL) and row["previous"] is not None:
        return f"{name} to {labels[row['previous']]}"
    return f"{name} to {row['to_stage']}"
