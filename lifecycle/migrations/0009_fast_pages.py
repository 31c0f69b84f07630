"""Indexes that pages of a large installation are read by: each gives the newest of what it finds first."""

from django.db import migrations, models

TABLE = "lifecycle_auditentry"
SINGLE = {
    "at": models.DateTimeField(),
    "action": models.CharField(max_length=60),
    "actor": models.CharField(max_length=200),
    "model": models.TextField(blank=True, default=""),
    "transition": models.BigIntegerField(null=True),
}
"""The columns of the record that had an index of their own, as they are without it."""


def need_owner(apps, schema_editor):
    """Where another role owns the record, its table can be changed only once it has been handed back."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT relowner::regrole::text, pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = %s::regclass",
            [TABLE],
        )
        owner, allowed = cursor.fetchone()
    if not allowed:
        raise RuntimeError(
            f"The record's table belongs to the role {owner}, and this migration has to change its indexes. Hand it back for "
            "the migration with `manage.py protect_record --release`, migrate, and then run `manage.py protect_record` again."
        )


def drop_single(apps, schema_editor):
    """By what they index: how they are called is not the same everywhere, and PostgreSQL has a second one of a text."""
    with schema_editor.connection.cursor() as cursor:
        found = schema_editor.connection.introspection.get_constraints(cursor, TABLE)
    for name, about in found.items():
        if about["index"] and not about["unique"] and len(about["columns"]) == 1 and about["columns"][0] in SINGLE:
            schema_editor.execute(f"DROP INDEX {schema_editor.quote_name(name)}")


def make_single(apps, schema_editor):
    entry = apps.get_model("lifecycle", "AuditEntry")
    for name in SINGLE:
        schema_editor.execute(schema_editor._create_index_sql(entry, fields=[entry._meta.get_field(name)]))


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0008_pages")]

    operations = [
        migrations.RunPython(need_owner, need_owner),
        # Altering the fields would make SQLite's table anew, without the triggers that protect it.
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.AlterField("auditentry", name, field) for name, field in SINGLE.items()],
            database_operations=[migrations.RunPython(drop_single, make_single)],
        ),
        migrations.AddIndex(
            "modelversion", models.Index(fields=["removed_at", "model", "-version"], name="versions_by_model")
        ),
        migrations.AddIndex(
            "registeredmodel", models.Index(fields=["team", "removed_at", "slug"], name="models_of_a_team")
        ),
        migrations.AddIndex(
            "deletion", models.Index(fields=["status", "-finished_at", "-id"], name="deletions_latest_first")
        ),
        migrations.AddIndex("auditentry", models.Index(fields=["at", "seq"], name="record_by_time")),
        migrations.AddIndex("auditentry", models.Index(fields=["action", "seq"], name="record_by_action")),
        migrations.AddIndex("auditentry", models.Index(fields=["actor", "seq"], name="record_by_actor")),
        migrations.AddIndex("auditentry", models.Index(fields=["model", "version", "seq"], name="record_by_version")),
        migrations.AddIndex("auditentry", models.Index(fields=["model", "seq"], name="record_by_model")),
        migrations.AddIndex("auditentry", models.Index(fields=["transition", "seq"], name="record_by_transition")),
        migrations.AddIndex(
            "auditentry", models.Index(condition=models.Q(("refused", True)), fields=["seq"], name="record_of_refusals")
        ),
        migrations.AddIndex(
            "transition",
            models.Index(
                condition=models.Q(("bypass_reviewed_at__isnull", True), ("bypassed_at__isnull", False)),
                fields=["bypassed_at"],
                name="bypasses_to_review",
            ),
        ),
        migrations.AddIndex(
            "transition",
            models.Index(
                condition=models.Q(("reviewed_at__isnull", True), ("rollback_requested_at__isnull", False)),
                fields=["-rollback_requested_at"],
                name="rollbacks_to_review",
            ),
        ),
        migrations.AddIndex("transition", models.Index(fields=["-finished_at"], name="transitions_by_end")),
        migrations.AddIndex("verdict", models.Index(fields=["kind", "trial"], name="verdicts_by_kind")),
    ]
