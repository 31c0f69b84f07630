"""What else came out of a version's run is looked up by the run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0009_fast_pages")]

    operations = [
        migrations.AddIndex("modelversion", models.Index(fields=["run_id"], name="versions_of_a_run")),
    ]
