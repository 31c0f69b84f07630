"""Teams, identities, shared accounts, and who made what acts in somebody's place."""

import django.db.models.deletion
import lifecycle.domain.permissions
from django.conf import settings
from django.db import migrations, models


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
    ]
