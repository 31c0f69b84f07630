"""A model's own policy can be withdrawn; the time in Production moves into the group ``retention``."""

from django.db import migrations, models
from django.db.models import Q


def into_group(apps, schema_editor):
    for row in apps.get_model("lifecycle", "Policy").objects.filter(body__has_key="production_retention"):
        length = row.body.pop("production_retention")
        row.body["retention"] = {**row.body.get("retention", {}), "production": length}
        row.save(update_fields=["body"])


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0003_deletion_attempted_at")]

    operations = [
        migrations.AlterField(model_name="policy", name="body", field=models.JSONField(null=True)),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.CheckConstraint(
                condition=Q(body__isnull=False) | Q(model__isnull=False), name="only_a_models_policy_is_withdrawn"
            ),
        ),
        migrations.RunPython(into_group, migrations.RunPython.noop, elidable=True),
    ]
