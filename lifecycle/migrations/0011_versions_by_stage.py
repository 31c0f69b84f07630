"""The versions of one stage are found without a look at all others."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0010_versions_of_a_run")]

    operations = [
        migrations.AddIndex(
            "modelversion",
            models.Index(fields=["removed_at", "stage", "model", "-version"], name="versions_by_stage"),
        ),
    ]
