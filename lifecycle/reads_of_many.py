"""What is read of several versions that one page decides on: each list in one query for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from lifecycle import freezes, history
from lifecycle.approvals import behind, standing
from lifecycle.domain import compare
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Actor
from lifecycle.domain.stages import Stage
from lifecycle.evidence import files_changes
from lifecycle.models import Evidence, FreezeWindow, ModelVersion, Transition, Trial, Variant, Waiver
from lifecycle.reads import KEPT_OF_EACH, ModelReads, People, VersionReads, answered_in_staging
from lifecycle.together import Together
from lifecycle.versions import listed_beside_each

_BULKY = ("params", "run_tags", "flavors", "description")
"""What no gate asks of a version that serves."""
_LATER = ("gate", "shown", "version__metrics", "version__signature")
"""What lists of transitions leave out, and a decision asks for."""


def of_waiting(transitions: Sequence[Transition], actor: Actor) -> list[VersionReads]:
    """For each of these transitions, that have not begun and were read with their versions and approvals: what its gate
    and its decision ask for. Nothing else is in these reads."""
    if not transitions:
        return []
    _complete(transitions)
    own = {row.pk: _own(row) for row in transitions}
    found, persons = _read(transitions, own), People()
    persons.name([*actor.accounts, *(key for row in transitions for key in _took_part(row))])
    persons.name(row.granted_by_id for row in found["waivers"] if row.granted_by_id)
    many: list[VersionReads] = [_Version(row, _lists(row, found, own[row.pk]), persons) for row in transitions]
    _list_others(many, transitions)
    return many


class _Known(Together):
    """Lists that have been read."""

    def __init__(self, found: dict[str, list[Any]]) -> None:
        super().__init__()
        self._found = found


class _Model(ModelReads):
    def __init__(self, of: Transition, lists: Together, persons: People) -> None:
        self.model, self.lists, self.people = of.model, lists, persons
        self._about, self._of = None, of


class _Version(VersionReads):
    def __init__(self, of: Transition, found: dict[str, list[Any]], persons: People) -> None:
        self.version, self.model = of.version, _Model(of, _Known(found), persons)


def _took_part(row: Transition) -> set[int]:
    decided = {each.person_id for each in standing(row)}
    return {*behind(row), *decided, *([row.bypassed_by_id] if row.bypassed_by_id else [])}


def _complete(transitions: Sequence[Transition]) -> None:
    """Add what a list of transitions leaves out, to the rows themselves."""
    rows = {row.pk: row for row in transitions}
    for later in Transition.objects.filter(pk__in=rows).order_by().values("pk", *_LATER):
        row = rows[later["pk"]]
        row.gate, row.shown = later["gate"], later["shown"]
        row.version.metrics, row.version.signature = later["version__metrics"], later["version__signature"]


# ---------------------------------------------------------------- lists


Own = Mapping[str, QuerySet[Any]]
"""What is one version's own, by names with the version's key."""


def _read(transitions: Sequence[Transition], own: Mapping[int, Own]) -> Together:
    versions = [row.version_id for row in transitions]
    models = [row.model_id for row in transitions]
    return Together(
        variants=Variant.objects.filter(model__in=models).order_by("-weight", "-version_id"),
        variant_versions=ModelVersion.objects.filter(variant__model__in=models).order_by("version").defer(*_BULKY),
        freezes=_freezes(transitions),
        trials=Trial.objects.filter(version__in=versions, kind=compare.Trial.STAGING).defer("pending"),
        evidence=_newest_evidence(versions),
        waivers=Waiver.objects.filter(version__in=versions),
        **{name: rows for lists in own.values() for name, rows in lists.items()},
    )


def _own(row: Transition) -> Own:
    version = row.version
    since = version.stage_since if version.domain_stage == Stage.STAGING else None
    lists: dict[str, QuerySet[Any]] = {
        "changed_files": files_changes(version, since),
        "answered": answered_in_staging(version, since),
    }
    if row.to_stage == Stage.ARCHIVED:
        lists["last_change"] = history.changes_of_production(version)
    return {f"{name}_{version.pk}": rows for name, rows in lists.items()}


def _lists(row: Transition, found: Together, own: Own) -> dict[str, list[Any]]:
    """One transition's share of what was read."""
    version = row.version_id
    return {
        **{name: [each for each in found[name] if each.model_id == row.model_id] for name in _OF_MODEL},
        **{name: [each for each in found[name] if each.version_id == version] for name in _OF_VERSION},
        **{name.removesuffix(f"_{version}"): found[name] for name in own},
        "freezes": [each for each in found["freezes"] if _concerns(each, row)],
    }


_OF_MODEL, _OF_VERSION = ("variants", "variant_versions"), ("trials", "evidence", "waivers")


def _freezes(transitions: Iterable[Transition]) -> QuerySet[FreezeWindow]:
    models = {row.model_id for row in transitions}
    teams = {row.model.team_id for row in transitions if row.model.team_id}
    about = Q(model=None, team=None) | Q(model__in=models) | Q(team__in=teams)
    return freezes.planned().select_related(None).filter(about)


def _concerns(freeze: FreezeWindow, row: Transition) -> bool:
    """As ``freezes.planned`` has it of one model."""
    if freeze.model_id is None and freeze.team_id is None:
        return True
    return freeze.model_id == row.model_id or (freeze.team_id is not None and freeze.team_id == row.model.team_id)


def _newest_evidence(versions: Sequence[int]) -> QuerySet[Evidence]:
    """Of each version, criterion and origin."""
    of_each = [F("version"), F("criterion"), F("origin")]
    place = Window(RowNumber(), partition_by=of_each, order_by=["-recorded_at", "-id"])
    return Evidence.objects.filter(version__in=versions).annotate(place=place).filter(place__lte=KEPT_OF_EACH)


# ---------------------------------------------------------------- the models' other versions


def _list_others(many: Sequence[VersionReads], transitions: Sequence[Transition]) -> None:
    """For those whose policy compares a version's number with those before it."""
    asking = [reads for reads, row in zip(many, transitions, strict=True) if _asks_for_number(row)]
    listed = listed_beside_each([reads.version for reads in asking])
    for reads in asking:
        reads.listed = listed[reads.version.pk]


def _asks_for_number(row: Transition) -> bool:
    return Criterion.SEMANTIC_VERSION in row.policy.values.criteria.of(Stage(row.to_stage))
