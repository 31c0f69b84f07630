"""What was counted of every version, and what the judge made of it."""

from __future__ import annotations

from dataclasses import replace

from django.db import models
from django.db.models import Q

from lifecycle.domain.observations import Counts, load
from lifecycle.models.registry import ModelVersion, RegisteredModel
from lifecycle.models.transition import Transition


class Observation(models.Model):
    """What one version answered in one interval; the counts add up.

    ``details`` are the histograms and business metrics of ``lifecycle.domain.observations.Counts``, as JSON. ``merged``
    says that it has been looked at for merging with its neighbours, and stays as it is.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="observations")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="observations")
    since = models.DateTimeField()
    until = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    details = models.JSONField(default=dict)
    merged = models.BooleanField(default=False)

    class Meta:
        ordering = ("until",)
        indexes = (
            models.Index(fields=("model", "until"), name="observations_of_a_model"),
            models.Index(fields=("version", "until"), name="observations_of_a_version"),
            models.Index(fields=("version", "until"), name="observations_to_merge", condition=Q(merged=False)),
        )

    def __str__(self) -> str:
        return f"{self.version}: {self.requests} requests, {self.errors} errors"

    @property
    def counts(self) -> Counts:
        return replace(load(self.details), requests=self.requests, errors=self.errors)


class CounterReading(models.Model):
    """The last cumulative counts read of a version from one counter: what the next interval is measured from."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="readings")
    counter = models.CharField(max_length=16, default="gateway")
    instance = models.CharField(max_length=200, blank=True, default="")
    epoch = models.FloatField(default=0.0)
    read_at = models.DateTimeField()
    counts = models.JSONField(default=dict)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("version", "counter", "instance"), name="one_reading_a_counter"),
        )

    def __str__(self) -> str:
        return f"{self.version} by {self.counter} {self.instance} at {self.read_at:%H:%M:%S}"


class MetricReport(models.Model):
    """Business metrics that were reported, until the next look counts them with everything else of the version.

    ``details`` are the metrics as JSON, ``since`` is when the first of the values arose, where it is known. A report
    with a ``key`` stays for a while after it was counted, so that it is not counted again when it is sent again;
    ``digest`` is the SHA-256 of what it said.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="metric_reports")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="metric_reports")
    key = models.CharField(max_length=220, null=True)
    digest = models.CharField(max_length=64, default="")
    details = models.JSONField(default=dict)
    since = models.DateTimeField(null=True)
    reported_by = models.CharField(max_length=200)
    reported_at = models.DateTimeField(db_index=True)
    counted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("model", "key"), name="one_metric_report_a_key"),)
        indexes = (models.Index(fields=("model",), name="metric_reports_to_count", condition=Q(counted_at=None)),)

    def __str__(self) -> str:
        return f"{self.version}: {self.details}"


class Trial(models.Model):
    """One period over which a version is judged: a step of a rollout, a stay in Staging, a day in Production, or later
    the quiet days of it that followed each other.

    ``kind`` is a word of ``lifecycle.domain.compare.Trial``. ``weight`` is the version's percentage of requests then.
    ``canary`` and ``stable`` are the counts since it began, up to ``seen_until``; ``last_seen`` is the end of the
    latest interval in which anything could be read of the version; ``looks`` is how often it was judged. ``verdict``
    is the latest one, as JSON. ``pending`` are the answers of a shadow that still wait for their counterpart.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="trials")
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="trials")
    stable = models.ForeignKey(ModelVersion, null=True, on_delete=models.CASCADE, related_name="+")
    transition = models.ForeignKey(Transition, null=True, on_delete=models.CASCADE, related_name="trials")
    step = models.PositiveSmallIntegerField(default=0)
    kind = models.CharField(max_length=16)
    weight = models.PositiveSmallIntegerField(default=0)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True)
    looks = models.PositiveIntegerField(default=0)
    seen_until = models.DateTimeField()
    last_seen = models.DateTimeField(null=True)
    canary = models.JSONField(default=dict)
    stable_counts = models.JSONField(default=dict)
    pending = models.JSONField(default=dict)
    verdict = models.JSONField(default=dict)
    judged_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-since", "-id")
        constraints = (
            models.UniqueConstraint(fields=("model", "kind"), condition=Q(until=None), name="one_open_trial_a_kind"),
        )

    def __str__(self) -> str:
        return f"{self.version}: {self.kind} since {self.since:%Y-%m-%d %H:%M}"


class Verdict(models.Model):
    """A verdict of a trial that differs from the one before it, with the measures it was based on, as JSON."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="verdicts")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16)
    why = models.TextField()
    measures = models.JSONField(default=list)

    class Meta:
        ordering = ("at", "id")
        indexes = (models.Index(fields=("kind", "trial"), name="verdicts_by_kind"),)

    def __str__(self) -> str:
        return f"{self.kind}: {self.why}"


class Disagreement(models.Model):
    """Something in the world that is not as Stagegate left it: two halves of a sentence, what is ``found`` there, and
    what was ``expected``.

    ``what`` is a stable word: weights, mirrors, stage or alias.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="disagreements")
    version = models.ForeignKey(ModelVersion, null=True, on_delete=models.CASCADE, related_name="+")
    what = models.CharField(max_length=16)
    expected = models.CharField(max_length=300)
    found = models.CharField(max_length=300)
    since = models.DateTimeField()

    class Meta:
        ordering = ("what", "since")

    def __str__(self) -> str:
        return f"{self.found}; {self.expected}."
