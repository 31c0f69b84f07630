"""The only writer of what the list of models is searched by: an index row and the tags of each model in the mirror.

Whoever changes a model or its versions refreshes the index in the same transaction, after everything else that it
locks. So at any time the index is what a rebuild from the mirror would give.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Count, OuterRef, Subquery

from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import ModelIndex, ModelTag, ModelVersion, RegisteredModel

LOCK = 0x5347_4958
"""The key of PostgreSQL's advisory lock that makes writers of the index take turns ("SGIX"): each counts what the one
before has written."""
BATCH = 1000
TEXT_LENGTH = 2000
NAME_LENGTH, DESCRIPTION_LENGTH = 500, 1000
SEARCHED_VALUE_LENGTH = 100
"""A longer value of a tag is a document, not a word that people search for."""
FRAMEWORK_LENGTH = 64
ANY_FRAMEWORK = "python_function"
"""The flavor that every model has."""
STAGE_FIELDS = {
    Stage.DEVELOPMENT: "in_development",
    Stage.STAGING: "in_staging",
    Stage.PRODUCTION: "in_production",
    Stage.ARCHIVED: "in_archived",
}
_CONTENT = ("slug", "text", "framework", "newest_version_at", "version_count", *STAGE_FIELDS.values())


def refresh(models: Collection[int]) -> None:
    """Bring the rows of these models, by their keys, in line with the mirror: eight queries for up to a thousand.

    Those of models that MLflow no longer has are deleted.
    """
    keys = sorted(set(models))
    for start in range(0, len(keys), BATCH):
        _refresh(keys[start : start + BATCH])


def fill_missing(limit: int) -> int:
    """Make the rows of up to ``limit`` models that have none, as after an update; return how many those were."""
    missing = RegisteredModel.objects.filter(removed_at=None, index=None).order_by("pk")
    keys = list(missing.values_list("pk", flat=True)[:limit])
    refresh(keys)
    return len(keys)


def _refresh(keys: Sequence[int]) -> None:
    with transaction.atomic(savepoint=False):
        _take_turn()
        there = _models(keys)
        gone = set(keys) - {model.pk for model in there}
        if gone:
            ModelIndex.objects.filter(pk__in=gone).delete()
            ModelTag.objects.filter(model__in=gone).delete()
        if there:
            _write_rows(there)
            _write_tags(there)


def _take_turn() -> None:
    """On SQLite every transaction takes its turn at its beginning anyway."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _models(keys: Sequence[int]) -> list[Any]:
    """The models that MLflow has; ``newest`` is the key of the newest version of each."""
    live = ModelVersion.objects.filter(model=OuterRef("pk"), removed_at=None).order_by("-version")
    there = RegisteredModel.objects.filter(pk__in=keys, removed_at=None).order_by("pk")
    found = there.annotate(newest=Subquery(live.values("pk")[:1]))
    return list(found.only("slug", "name", "description", "tags"))


# ---------------------------------------------------------------- rows


def _write_rows(models: Sequence[Any]) -> None:
    newest = _versions([model.newest for model in models if model.newest])
    counts = _counts([model.pk for model in models])
    rows = [_row(model, newest.get(model.newest), counts[model.pk]) for model in models]
    ModelIndex.objects.bulk_create(rows, update_conflicts=True, unique_fields=("model",), update_fields=_CONTENT)


def _versions(keys: Sequence[int]) -> dict[int, ModelVersion]:
    return ModelVersion.objects.only("created_at", "tags", "flavors").in_bulk(keys)


def _counts(keys: Sequence[int]) -> Mapping[int, Mapping[str, int]]:
    """How many versions each model has in each stage (MLflow's words)."""
    live = ModelVersion.objects.filter(model__in=keys, removed_at=None)
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for model, stage, count in live.values_list("model", "stage").annotate(count=Count("pk")).order_by():
        counts[model][stage] = count
    return counts


def _row(model: RegisteredModel, newest: ModelVersion | None, counts: Mapping[str, int]) -> ModelIndex:
    return ModelIndex(
        model=model,
        slug=model.slug,
        text=_text(model),
        framework=_framework(newest) if newest else "",
        newest_version_at=newest.created_at if newest else None,
        version_count=sum(counts.values()),
        **{field: to_mlflow(stage) in counts for stage, field in STAGE_FIELDS.items()},
    )


def _text(model: RegisteredModel) -> str:
    """What a search looks through: name, description, and the values of tags, a line each."""
    values = (str(model.tags[key]) for key in sorted(model.tags))
    short = (value for value in values if len(value) <= SEARCHED_VALUE_LENGTH)
    lines = (model.name[:NAME_LENGTH], model.description[:DESCRIPTION_LENGTH], *short)
    return "\n".join(line for line in lines if line).lower()[:TEXT_LENGTH]


def _framework(version: ModelVersion) -> str:
    """What its tag says, else its first flavor that says more than that it is a model."""
    tagged = str(version.tags.get("framework", "")).strip()
    flavors = (str(flavor) for flavor in version.flavors if flavor != ANY_FRAMEWORK)
    return (tagged or next(flavors, ""))[:FRAMEWORK_LENGTH]


# ---------------------------------------------------------------- tags


def _write_tags(models: Sequence[RegisteredModel]) -> None:
    """Write only what differs: most often nothing does."""
    rows = ModelTag.objects.filter(model__in=[model.pk for model in models])
    known = {(row.model_id, row.key): row for row in rows}
    wanted = {(model.pk, key): value for model in models for key, value in _tags(model).items()}
    gone = [row.pk for place, row in known.items() if place not in wanted]
    if gone:
        ModelTag.objects.filter(pk__in=gone).delete()
    changed = [
        ModelTag(model_id=model, key=key, value=value)
        for (model, key), value in wanted.items()
        if (model, key) not in known or known[model, key].value != value
    ]
    ModelTag.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=("model", "key"), update_fields=("value",), batch_size=BATCH
    )


def _tags(model: RegisteredModel) -> dict[str, str]:
    """Keys and values as an index takes them; of keys that begin alike for so long, the first one counts."""
    tags: dict[str, str] = {}
    for key in sorted(model.tags):
        tags.setdefault(key[: ModelTag.KEY_LENGTH], str(model.tags[key])[: ModelTag.VALUE_LENGTH])
    return tags
