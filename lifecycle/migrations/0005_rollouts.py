"""Rollouts that are judged: observations with histograms, trials, verdicts, and what steers a rollout."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def into_counts(apps, schema_editor):
    """Nothing is counted twice after the update: the last reading stays what the next one is measured from."""
    for row in apps.get_model("lifecycle", "CounterReading").objects.all():
        row.counts = {"requests": row.requests, "errors": row.errors}
        row.instance = "gateway"
        row.save(update_fields=["counts", "instance"])


def judge_rollouts(apps, schema_editor):
    """A rollout that runs, or waits for a yes, was planned by time alone: from here on it takes a verdict to go on."""
    rollouts = apps.get_model("lifecycle", "Transition").objects.filter(
        kind="promotion",
        to_stage="Production",
        status__in=("awaiting_approval", "approved", "running", "rolling_back"),
    )
    for row in rollouts:
        row.steps = [{**step, "judged": True} for step in row.steps[:-1]] + row.steps[-1:]
        row.save(update_fields=["steps"])


class Migration(migrations.Migration):

    dependencies = [
        ('lifecycle', '0004_policies_in_groups'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Disagreement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('what', models.CharField(max_length=16)),
                ('expected', models.CharField(max_length=300)),
                ('found', models.CharField(max_length=300)),
                ('since', models.DateTimeField()),
            ],
            options={
                'ordering': ('what', 'since'),
            },
        ),
        migrations.CreateModel(
            name='MetricReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=220, null=True)),
                ('digest', models.CharField(default='', max_length=64)),
                ('details', models.JSONField(default=dict)),
                ('since', models.DateTimeField(null=True)),
                ('reported_by', models.CharField(max_length=200)),
                ('reported_at', models.DateTimeField(db_index=True)),
                ('counted_at', models.DateTimeField(null=True)),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metric_reports', to='lifecycle.registeredmodel')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='metric_reports', to='lifecycle.modelversion')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('counted_at', None)), fields=['model'], name='metric_reports_to_count')],
                'constraints': [models.UniqueConstraint(fields=('model', 'key'), name='one_metric_report_a_key')],
            },
        ),
        migrations.CreateModel(
            name='Trial',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('step', models.PositiveSmallIntegerField(default=0)),
                ('kind', models.CharField(max_length=16)),
                ('weight', models.PositiveSmallIntegerField(default=0)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField(null=True)),
                ('looks', models.PositiveIntegerField(default=0)),
                ('seen_until', models.DateTimeField()),
                ('last_seen', models.DateTimeField(null=True)),
                ('canary', models.JSONField(default=dict)),
                ('stable_counts', models.JSONField(default=dict)),
                ('pending', models.JSONField(default=dict)),
                ('verdict', models.JSONField(default=dict)),
                ('judged_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ('-since', '-id'),
            },
        ),
        migrations.CreateModel(
            name='Verdict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(max_length=16)),
                ('why', models.TextField()),
                ('measures', models.JSONField(default=list)),
            ],
            options={
                'ordering': ('at', 'id'),
            },
        ),
        migrations.AddField(
            model_name='counterreading',
            name='counter',
            field=models.CharField(default='gateway', max_length=16),
        ),
        migrations.AddField(
            model_name='counterreading',
            name='counts',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='counterreading',
            name='epoch',
            field=models.FloatField(default=0.0),
        ),
        migrations.AddField(
            model_name='counterreading',
            name='instance',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
        migrations.RunPython(into_counts, migrations.RunPython.noop, elidable=True),
        migrations.RunPython(judge_rollouts, migrations.RunPython.noop, elidable=True),
        migrations.RemoveField(
            model_name='counterreading',
            name='errors',
        ),
        migrations.RemoveField(
            model_name='counterreading',
            name='requests',
        ),
        migrations.AddField(
            model_name='observation',
            name='details',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='observation',
            name='merged',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='transition',
            name='asks_person',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='transition',
            name='pause_reason',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddField(
            model_name='transition',
            name='paused_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='transition',
            name='paused_by_name',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
        migrations.AddField(
            model_name='transition',
            name='released',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='transition',
            name='smoked_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='transition',
            name='target',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='registeredmodel',
            name='compared_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='registeredmodel',
            name='suspicions',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='transition',
            name='review',
            field=models.TextField(blank=True, default=''),
        ),
        migrations.AddField(
            model_name='transition',
            name='reviewed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='transition',
            name='reviewed_by_name',
            field=models.CharField(blank=True, default='', max_length=200),
        ),
        migrations.AddField(
            model_name='transition',
            name='rollback_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='counterreading',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='readings', to='lifecycle.modelversion'),
        ),
        migrations.AlterField(
            model_name='observation',
            name='errors',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='observation',
            name='requests',
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AlterField(
            model_name='transition',
            name='kind',
            field=models.CharField(choices=[('promotion', 'promotion'), ('rollback', 'rollback'), ('archival', 'archiving'), ('drill', 'rollback drill'), ('reconciliation', 'putting right')], max_length=16),
        ),
        migrations.AlterField(
            model_name='transition',
            name='strategy',
            field=models.CharField(choices=[('canary', 'canary'), ('blue_green', 'blue-green'), ('shadow', 'shadow'), ('direct', 'all at once'), ('none', 'no traffic')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='observation',
            index=models.Index(fields=['version', 'until'], name='observations_of_a_version'),
        ),
        migrations.AddIndex(
            model_name='observation',
            index=models.Index(condition=models.Q(('merged', False)), fields=['version', 'until'], name='observations_to_merge'),
        ),
        migrations.AddConstraint(
            model_name='counterreading',
            constraint=models.UniqueConstraint(fields=('version', 'counter', 'instance'), name='one_reading_a_counter'),
        ),
        migrations.AddField(
            model_name='disagreement',
            name='model',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='disagreements', to='lifecycle.registeredmodel'),
        ),
        migrations.AddField(
            model_name='disagreement',
            name='version',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='lifecycle.modelversion'),
        ),
        migrations.AddField(
            model_name='trial',
            name='model',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trials', to='lifecycle.registeredmodel'),
        ),
        migrations.AddField(
            model_name='trial',
            name='stable',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='lifecycle.modelversion'),
        ),
        migrations.AddField(
            model_name='trial',
            name='transition',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='trials', to='lifecycle.transition'),
        ),
        migrations.AddField(
            model_name='trial',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trials', to='lifecycle.modelversion'),
        ),
        migrations.AddField(
            model_name='verdict',
            name='trial',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='verdicts', to='lifecycle.trial'),
        ),
        migrations.AddConstraint(
            model_name='trial',
            constraint=models.UniqueConstraint(condition=models.Q(('until', None)), fields=('model', 'kind'), name='one_open_trial_a_kind'),
        ),
    ]
