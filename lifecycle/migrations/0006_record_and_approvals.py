"""The record is chained and protected; approvals are bound to what was shown; teams, freezes, notices and exports."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from lifecycle.domain import chain

HASHED = (
    *("seq", "at", "action", "refused", "actor", "actor_id", "actor_roles", "signed_in_by", "address"),
    *("model", "version", "semantic_version", "from_stage", "to_stage", "reason", "details", "transition", "policy"),
    *("evidence_digest", "previous_hash"),
)
REFUSAL = "the record is append-only: its entries are never changed or deleted"
ORDER = "the record has no gaps: an entry follows the last one and holds its hash"
TABLE = "lifecycle_auditentry"
SQLITE = (
    f"""CREATE TRIGGER record_no_update BEFORE UPDATE ON {TABLE}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    f"""CREATE TRIGGER record_no_delete BEFORE DELETE ON {TABLE}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END""",
    # REPLACE deletes a row in its way without asking the trigger above, so its insertion is refused.
    f"""CREATE TRIGGER record_in_order BEFORE INSERT ON {TABLE}
        WHEN NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM {TABLE})
          OR NEW.previous_hash IS NOT
             COALESCE((SELECT hash FROM {TABLE} ORDER BY seq DESC LIMIT 1), '{chain.FIRST}')
          OR EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, '{ORDER}'); END""",
)
POSTGRESQL = (
    f"""CREATE FUNCTION record_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'restrict_violation'; END $$""",
    f"""CREATE FUNCTION record_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE last RECORD;
        BEGIN
          SELECT seq, hash INTO last FROM {TABLE} ORDER BY seq DESC LIMIT 1;
          IF NEW.seq <> COALESCE(last.seq, 0) + 1 OR NEW.previous_hash <> COALESCE(last.hash, '{chain.FIRST}') THEN
            RAISE EXCEPTION '{ORDER}' USING ERRCODE = 'restrict_violation';
          END IF;
          RETURN NEW;
        END $$""",
    f"CREATE TRIGGER record_no_change BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION record_refuse()",
    f"CREATE TRIGGER record_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION record_refuse()",
    f"CREATE TRIGGER record_in_order BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION record_in_order()",
)
UNPROTECT = {
    "sqlite": [f"DROP TRIGGER {name}" for name in ("record_no_update", "record_no_delete", "record_in_order")],
    "postgresql": [
        *(f"DROP TRIGGER {name} ON {TABLE}" for name in ("record_no_change", "record_no_truncate", "record_in_order")),
        *(f"DROP FUNCTION {name}" for name in ("record_refuse", "record_in_order")),
    ],
}


def chain_entries(apps, schema_editor):
    """What was recorded so far is chained in the order in which it was written. From here on a change of it shows."""
    entries = apps.get_model("lifecycle", "AuditEntry").objects.order_by("id")
    previous = chain.FIRST
    for seq, row in enumerate(entries.iterator(chunk_size=1000), start=1):
        for name in ("actor", "model", "semantic_version", "reason", "signed_in_by"):
            setattr(row, name, chain.text(getattr(row, name)))
        row.details = chain.plain(row.details)
        row.seq, row.previous_hash = seq, previous
        values = {name: getattr(row, name) for name in HASHED}
        row.hash = previous = chain.entry_hash({**values, "at": chain.timestamp(row.at)})
        row.save()


def protect(apps, schema_editor):
    for statement in POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def need_owner(schema_editor):
    """Where another role owns the record, its table can be changed only once it has been handed back."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT relowner::regrole::text, pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = %s::regclass", [TABLE])
        owner, allowed = cursor.fetchone()
    if not allowed:
        raise RuntimeError(
            f"The record's table belongs to the role {owner}, and this migration has to change it. Hand it back for the "
            "migration with `manage.py protect_record --release`, migrate, and then run `manage.py protect_record` again."
        )


def unprotect(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        need_owner(schema_editor)
    for statement in UNPROTECT[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("lifecycle", "0005_rollouts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                ("url", models.BinaryField()),
                ("shown", models.CharField(max_length=200)),
                ("events", models.JSONField(default=list)),
                ("created_at", models.DateTimeField()),
                ("created_by_name", models.CharField(max_length=200)),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.BigIntegerField(unique=True)),
                ("hash", models.CharField(max_length=64)),
                ("at", models.DateTimeField()),
                ("statement", models.JSONField()),
                ("delivered", models.JSONField(default=list)),
                ("complete", models.BooleanField(db_index=True, default=False)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("last_error", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ("-seq",),
            },
        ),
        migrations.CreateModel(
            name="ExportJob",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("format", models.CharField(choices=[("csv", "CSV"), ("jsonl", "JSON lines")], max_length=5)),
                ("filters", models.JSONField(default=dict)),
                ("last_seq", models.BigIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "waiting"),
                            ("running", "running"),
                            ("finished", "finished"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("total", models.BigIntegerField(default=0)),
                ("rows", models.BigIntegerField(default=0)),
                ("bytes", models.BigIntegerField(default=0)),
                ("file", models.CharField(blank=True, default="", max_length=100)),
                ("error", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(db_index=True)),
                ("lease_until", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="FreezeWindow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("zone", models.CharField(max_length=64)),
                ("starts", models.CharField(max_length=16)),
                ("ends", models.CharField(max_length=16)),
                (
                    "repeats",
                    models.CharField(
                        choices=[
                            ("never", "once"),
                            ("daily", "every day"),
                            ("weekly", "every week"),
                            ("yearly", "every year"),
                        ],
                        default="never",
                        max_length=8,
                    ),
                ),
                ("until", models.DateField(null=True)),
                ("reason", models.TextField()),
                ("created_by_name", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(db_index=True, null=True)),
                ("removed_by_name", models.CharField(blank=True, default="", max_length=200)),
                ("removed_reason", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event", models.CharField(max_length=30)),
                ("key", models.CharField(max_length=200)),
                ("facts", models.JSONField(default=dict)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "to be sent"),
                            ("sent", "sent"),
                            ("failed", "given up"),
                            ("dropped", "not wanted any more"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(db_index=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("last_error", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="NoticeSetting",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("muted", models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name="Team",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100, unique=True)),
                ("slug", models.SlugField(max_length=63, unique=True)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.AlterModelOptions(
            name="auditentry",
            options={"ordering": ("-seq",), "verbose_name_plural": "audit entries"},
        ),
        migrations.RemoveConstraint(
            model_name="approval",
            name="one_decision_a_person_a_transition",
        ),
        migrations.AddField(
            model_name="approval",
            name="confirmed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="digest",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="approval",
            name="expires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="signed_in_by",
            field=models.CharField(blank=True, default="", max_length=40),
        ),
        migrations.AddField(
            model_name="approval",
            name="void_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="approval",
            name="voided_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="withdrawn_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="approval",
            name="withdrawn_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="evidence_digest",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="hash",
            field=models.CharField(max_length=64, default=""),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="previous_hash",
            field=models.CharField(max_length=64, default=""),
        ),
        migrations.AddField(
            model_name="auditentry",
            name="seq",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="transition",
            name="asked_by",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypass_missing",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypass_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypass_review",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypass_reviewed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypass_reviewed_by_name",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypassed_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypassed_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="transition",
            name="bypassed_by_name",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="transition",
            name="digest",
            field=models.CharField(blank=True, default="", max_length=64),
        ),
        migrations.AddField(
            model_name="transition",
            name="override_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="transition",
            name="override_by_name",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="transition",
            name="override_reason",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="transition",
            name="shown",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="transition",
            name="wanted_strategy",
            field=models.CharField(
                blank=True,
                choices=[
                    ("canary", "canary"),
                    ("blue_green", "blue-green"),
                    ("shadow", "shadow"),
                    ("direct", "all at once"),
                    ("none", "no traffic"),
                ],
                default="",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="model",
            field=models.TextField(blank=True, db_index=True, default=""),
        ),
        migrations.AddConstraint(
            model_name="approval",
            constraint=models.UniqueConstraint(
                condition=models.Q(("voided_at", None), ("withdrawn_at", None)),
                fields=("transition", "person"),
                name="one_standing_decision_a_person_a_transition",
            ),
        ),
        migrations.AddField(
            model_name="exportjob",
            name="person",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="freezewindow",
            name="model",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="freezes",
                to="lifecycle.registeredmodel",
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="channel",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="notices", to="lifecycle.channel"
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="model",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="lifecycle.registeredmodel"
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="person",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="notices",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="notice",
            name="transition",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="notices",
                to="lifecycle.transition",
            ),
        ),
        migrations.AddField(
            model_name="noticesetting",
            name="person",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE, related_name="notice_setting", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="freezewindow",
            name="team",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="freezes", to="lifecycle.team"
            ),
        ),
        migrations.AddField(
            model_name="channel",
            name="team",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="channels", to="lifecycle.team"
            ),
        ),
        migrations.AddField(
            model_name="registeredmodel",
            name="team",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="models", to="lifecycle.team"
            ),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(fields=["state", "due_at"], name="notices_due"),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.CheckConstraint(
                condition=models.Q(("person", None), ("channel", None), _connector="XOR"),
                name="a_notice_has_one_addressee",
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("channel", None)), fields=("key", "person"), name="a_person_is_told_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="notice",
            constraint=models.UniqueConstraint(
                condition=models.Q(("person", None)), fields=("key", "channel"), name="a_channel_is_told_once"
            ),
        ),
        migrations.RunPython(chain_entries, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="auditentry",
            name="seq",
            field=models.BigIntegerField(unique=True),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="previous_hash",
            field=models.CharField(max_length=64),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="hash",
            field=models.CharField(max_length=64),
        ),
        migrations.RunPython(protect, unprotect),
    ]
