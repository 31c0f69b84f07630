from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("lifecycle", "0002_evidence_and_retention")]

    operations = [
        migrations.AddField(model_name="deletion", name="attempted_at", field=models.DateTimeField(null=True)),
    ]
