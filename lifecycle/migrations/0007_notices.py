"""How far the record has been told of."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0006_record_and_approvals")]

    operations = [
        migrations.CreateModel(
            name="NoticeCursor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("seq", models.BigIntegerField()),
                ("retention_told_at", models.DateTimeField(null=True)),
                ("sending_until", models.DateTimeField(null=True)),
            ],
        ),
    ]
