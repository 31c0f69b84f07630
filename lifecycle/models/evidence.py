"""Evidence, waivers, and the checks that collect evidence."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from lifecycle.models.policy import Policy
from lifecycle.models.registry import ModelVersion


class Evidence(models.Model):
    """A recorded fact for or against one criterion of one version; never changed afterwards.

    It belongs to the artifact that it was recorded for: ``run_id``, ``source`` and ``artifact_digest`` are the
    version's of that moment, ``tags`` its watched tags. Evidence that came in before the files were first read has no
    digest; it gets the first one that is found. ``origin`` is ``ci``, ``person`` or ``check``.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evidence")
    criterion = models.CharField(max_length=40)
    passed = models.BooleanField()
    origin = models.CharField(max_length=10)
    value = models.FloatField(null=True)
    unit = models.CharField(max_length=40, blank=True, default="")
    url = models.CharField(max_length=2000, blank=True, default="")
    detail = models.TextField(blank=True, default="")
    measurements = models.JSONField(default=dict)
    run_id = models.CharField(max_length=64, blank=True, default="")
    source = models.TextField(blank=True, default="")
    artifact_digest = models.CharField(max_length=64, blank=True, default="")
    tags = models.JSONField(default=dict)
    recorded_by = models.CharField(max_length=200)
    recorded_by_id = models.BigIntegerField(null=True)
    recorded_at = models.DateTimeField()

    class Meta:
        ordering = ("-recorded_at", "-id")
        verbose_name_plural = "evidence"
        indexes = (models.Index(fields=("version", "criterion", "-recorded_at"), name="evidence_of_a_criterion"),)

    def __str__(self) -> str:
        return f"{self.version}: {self.criterion} {'passed' if self.passed else 'failed'}"


class Waiver(models.Model):
    """A named person let a failed or missing criterion pass, until ``expires_at``. It is never deleted."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="waivers")
    criterion = models.CharField(max_length=40)
    reason = models.TextField()
    run_id = models.CharField(max_length=64, blank=True, default="")
    source = models.TextField(blank=True, default="")
    artifact_digest = models.CharField(max_length=64, blank=True, default="")
    granted_by = models.CharField(max_length=200)
    granted_by_id = models.BigIntegerField(null=True)
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=200, blank=True, default="")
    revoked_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-granted_at", "-id")
        indexes = (models.Index(fields=("version", "criterion"), name="waivers_of_a_criterion"),)

    def __str__(self) -> str:
        return f"{self.version}: {self.criterion} waived by {self.granted_by}"


class CheckStatus(models.TextChoices):
    QUEUED = "queued", "waiting for a worker"
    RUNNING = "running", "running"
    PASSED = "passed", "passed"
    FAILED = "failed", "failed"
    BROKEN = "broken", "could not be carried out"
    CANCELLED = "cancelled", "cancelled"


UNFINISHED_CHECKS = (CheckStatus.QUEUED, CheckStatus.RUNNING)


class CheckRun(models.Model):
    """One run of a check that collects evidence for ``criterion``; at most one unfinished run a version and criterion.

    ``progress`` is percent, ``phase`` says in words what is being done. ``requested_by_name`` is "Stagegate" for a run
    that the policy started. ``lease_until`` belongs to the worker that runs it; ``fence`` grows with every claim, and a
    run that lost its worker is taken up again, at most ``attempts`` 3. ``error`` says why a run is broken, or why
    Stagegate called it off: of a run that a person cancelled it is "".
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="check_runs")
    criterion = models.CharField(max_length=40)
    status = models.CharField(max_length=12, choices=CheckStatus, default=CheckStatus.QUEUED, db_index=True)
    progress = models.PositiveSmallIntegerField(default=0)
    phase = models.CharField(max_length=200, blank=True, default="")
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT)
    requested_by_name = models.CharField(max_length=200)
    requested_by_id = models.BigIntegerField(null=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    error = models.TextField(blank=True, default="")
    evidence = models.OneToOneField(Evidence, null=True, on_delete=models.SET_NULL, related_name="check_run")

    class Meta:
        ordering = ("-requested_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("version", "criterion"),
                condition=Q(status__in=UNFINISHED_CHECKS),
                name="one_unfinished_check_a_criterion",
            ),
        )

    def __str__(self) -> str:
        return f"{self.criterion} of {self.version}: {self.get_status_display()}"

    @property
    def is_unfinished(self) -> bool:
        return self.status in UNFINISHED_CHECKS
