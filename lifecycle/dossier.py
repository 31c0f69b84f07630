"""The dossier of one version: what it is, what was decided about it, what its requests did, and what is recorded."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Count, QuerySet, Window

from lifecycle.domain import chain
from lifecycle.domain.document import Document, Facts, Note, Part, Section, Table, Text, clipped, words
from lifecycle.dossier_changes import entry_row, section_of
from lifecycle.models import AuditEntry, Checkpoint, ModelVersion, Transition
from lifecycle.queries_rollouts import courses_of, told_of

MOST_TRANSITIONS = 12
"""The latest ones are told in full."""
MOST_ENTRIES = 1000
"""So many entries of the record are shown, the latest ones."""
MOST_TAGS = 60


def dossier_of(version: ModelVersion, *, now: datetime, by: str) -> Document:
    """``by`` is the person it is made for."""
    rows = Transition.objects.filter(version=version).select_related("policy", "stable", "previous")
    newest = rows.annotate(all_there=Window(Count("pk"))).order_by("-requested_at", "-pk")
    latest = list(newest.prefetch_related("approvals")[:MOST_TRANSITIONS])
    for row in latest:
        row.version, row.model = version, version.model
    told = told_of(latest)
    courses = courses_of([row for row in latest if row.steps and row.started_at], told, now)
    sections = [section_of(row, told[row.pk], courses.get(row.pk), now) for row in reversed(latest)]
    return Document(
        title="Promotion dossier",
        subtitle=clipped(f"{version.model.name}, {version.label} (version {version.version} in MLflow)", 400),
        made=f"Made by Stagegate for {by} on {words(now).text}. All times are UTC.",
        sections=(_identity(version), *_left_out(latest[0].all_there if latest else 0), *sections, _record(version)),
    )


def _left_out(count: int) -> list[Section]:
    if count <= MOST_TRANSITIONS:
        return []
    words_of = f"This version has {count:,} transitions; the latest {MOST_TRANSITIONS} are told here in full."
    return [Section("Transitions", (Note(f"{words_of} The record below names those before them."),))]


def _identity(version: ModelVersion) -> Section:
    aliases = sorted(alias for alias, number in version.model.aliases.items() if number == version.version)
    removed = [("Removed from MLflow", words(version.removed_at, "strong"))] if version.removed_at else []
    facts: tuple[tuple[str, Text], ...] = (
        ("Model", words(version.model.name)),
        ("Version in MLflow", words(version.version)),
        ("Semantic version", words(version.semantic_version)),
        ("Stage", words(str(version.domain_stage))),
        ("In it since", words(version.stage_since)),
        ("Aliases", words(", ".join(aliases))),
        ("Digest of its files", words(version.artifact_digest, "code")),
        ("Files read", words(version.artifact_read_at)),
        ("Files", words(version.source)),
        ("Run", words(version.run_name or version.run_id)),
        ("Run's id", words(version.run_id, "code")),
        ("Flavors", words(", ".join(map(str, version.flavors)))),
        ("Registered", words(version.created_at)),
        ("Description", words(version.description)),
        *removed,
    )
    return Section("The version", (Facts(facts), *_tags(version)))


def _tags(version: ModelVersion) -> list[Part]:
    if not version.tags:
        return []
    shown = sorted(version.tags.items())[:MOST_TAGS]
    rows = tuple((words(clipped(str(name), 200)), words(clipped(str(value), 500))) for name, value in shown)
    left_out = len(version.tags) - len(shown)
    more: list[Part] = [Note(f"{left_out:,} more tags are not shown.")] if left_out else []
    return [Table(("Tag", "Value"), rows, (3, 7), empty="No tags."), *more]


# ---------------------------------------------------------------- the record


def _record(version: ModelVersion) -> Section:
    entries = _entries(version)
    latest = list(entries.order_by("-seq")[:MOST_ENTRIES])
    count = len(latest) if len(latest) < MOST_ENTRIES else entries.count()
    parts: list[Part] = [Note(_how_many(count)), _covered_by(latest[0].seq if latest else 0)]
    rows = tuple(entry_row(entry) for entry in reversed(latest))
    columns = ("Entry", "When", "Who", "What", "Stages, reason and details", "SHA-256")
    table = Table(columns, rows, (2, 4, 4, 4, 8, 6), empty="The record has no entry about this version.")
    return Section("What the record says", (*parts, table), new_page=True)


def _entries(version: ModelVersion) -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(model=chain.text(version.model.name), version=version.version)


def _how_many(count: int) -> str:
    if count <= MOST_ENTRIES:
        return f"All {count:,} entries of the record about this version, in the order of the record."
    return (
        f"The record has {count:,} entries about this version. The latest {MOST_ENTRIES:,} are shown; an export of the "
        "record has them all."
    )


def _covered_by(last: int) -> Part:
    """The signed statement that the newest entry shown was there: the first one that covers it."""
    covering = Checkpoint.objects.filter(seq__gte=last).order_by("seq").first() if last else None
    if covering is None:
        return Note("No checkpoint covers the latest of these entries yet.")
    statement = covering.statement if isinstance(covering.statement, dict) else {}
    facts = (
        ("Covered by the checkpoint at entry", words(covering.seq)),
        ("Hash of that entry", words(covering.hash, "code")),
        ("Signed", words(covering.at)),
        ("With the key", words(str(statement.get("key_id", "")), "code")),
        ("Signature", words(str(statement.get("signature", "")), "code")),
        ("Kept outside the database", words(", ".join(map(str, covering.delivered)))),
    )
    return Facts(facts)
