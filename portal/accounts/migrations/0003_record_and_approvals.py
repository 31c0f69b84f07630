"""Teams, identities, shared accounts, and who made what acts in somebody's place."""

import django.db.models.deletion
import lifecycle.domain.permissions
from django.conf import settings
from django.db import migrations, models


def remember_makers(apps, schema_editor):
    """Who made a token or a service account is in the record; nobody says yes to what these ask for in their place."""
    entries = apps.get_model("lifecycle", "AuditEntry").objects.filter(refused=False, actor_id__isnull=False)
    users, tokens = apps.get_model("accounts", "User"), apps.get_model("accounts", "ApiToken")
    for entry in entries.filter(action__in=("token_created", "service_account_created")).order_by("seq"):
        if not users.objects.filter(pk=entry.actor_id).exists():
            continue
        if entry.action == "token_created":
            made = tokens.objects.filter(prefix=entry.details.get("prefix", ""), made_by=None)
        else:
            made = users.objects.filter(username=entry.details.get("account", ""), made_by=None)
        made.update(made_by=entry.actor_id)
    waiting = apps.get_model("lifecycle", "Transition").objects.filter(status__in=("awaiting_approval", "approved"))
    for row in waiting.filter(requested_by__isnull=False):
        makers = tokens.objects.filter(user=row.requested_by_id, made_by__isnull=False).values_list("made_by", flat=True)
        behind = {row.requested_by_id, users.objects.get(pk=row.requested_by_id).made_by_id, *makers} - {None}
        row.asked_by = sorted(behind)
        row.save(update_fields=["asked_by"])


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_api_tokens"),
        ("lifecycle", "0006_record_and_approvals"),
    ]

    operations = [
        migrations.CreateModel(
            name="Identity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("value", models.CharField(db_index=True, max_length=500)),
            ],
            options={
                "verbose_name_plural": "identities",
            },
        ),
        migrations.RemoveConstraint(
            model_name="roleassignment",
            name="a_role_once_a_person",
        ),
        migrations.AddField(
            model_name="apitoken",
            name="made_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="roleassignment",
            name="given_by",
            field=models.CharField(blank=True, default="", max_length=100),
        ),
        migrations.AddField(
            model_name="roleassignment",
            name="team",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="role_assignments",
                to="lifecycle.team",
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="is_shared",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="user",
            name="made_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddConstraint(
            model_name="roleassignment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("team", None)), fields=("user", "role"), name="a_role_once_a_person"
            ),
        ),
        migrations.AddConstraint(
            model_name="roleassignment",
            constraint=models.UniqueConstraint(fields=("user", "role", "team"), name="a_team_role_once_a_person"),
        ),
        migrations.AddConstraint(
            model_name="roleassignment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("team", None),
                    (
                        "role__in",
                        [
                            lifecycle.domain.permissions.Role["ML_ENGINEER"],
                            lifecycle.domain.permissions.Role["PRODUCT_OWNER"],
                        ],
                    ),
                    _connector="OR",
                ),
                name="what_a_team_role_can_be",
            ),
        ),
        migrations.AddField(
            model_name="identity",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="identities", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddConstraint(
            model_name="identity",
            constraint=models.UniqueConstraint(fields=("user", "value"), name="an_identity_once_an_account"),
        ),
        migrations.RunPython(remember_makers, migrations.RunPython.noop),
    ]
