"""Transitions, approvals, the journal of effects, and the variants that serve."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from lifecycle.models.policy import Policy
from lifecycle.models.registry import ModelVersion, RegisteredModel


class Status(models.TextChoices):
    """The one state of a transition. The first four are active: at most one of those a model."""

    AWAITING_APPROVAL = "awaiting_approval", "waiting for approval"
    APPROVED = "approved", "approved"
    RUNNING = "running", "running"
    ROLLING_BACK = "rolling_back", "rolling back"
    FINISHED = "finished", "finished"
    ROLLED_BACK = "rolled_back", "rolled back"
    REJECTED = "rejected", "rejected"
    CANCELLED = "cancelled", "cancelled"
    FAILED = "failed", "failed"


ACTIVE = (Status.AWAITING_APPROVAL, Status.APPROVED, Status.RUNNING, Status.ROLLING_BACK)
EXECUTING = (Status.APPROVED, Status.RUNNING, Status.ROLLING_BACK)


class Kind(models.TextChoices):
    PROMOTION = "promotion", "promotion"
    ROLLBACK = "rollback", "rollback"
    ARCHIVAL = "archival", "archiving"
    DRILL = "drill", "rollback drill"
    RECONCILIATION = "reconciliation", "putting right"


class Strategy(models.TextChoices):
    CANARY = "canary", "canary"
    BLUE_GREEN = "blue_green", "blue-green"
    SHADOW = "shadow", "shadow"
    DIRECT = "direct", "all at once"
    NONE = "none", "no traffic"


class Transition(models.Model):
    """One request to move one version to one stage, from request to finish.

    ``stable`` is the version that served when execution began; ``previous`` is the version that a rollback brings
    back. ``steps`` is the rollout's plan, one object a step as ``lifecycle.domain.plan.PlannedStep`` describes it;
    ``step`` counts from 0 and ``step_since`` is when the gateway was seen to apply it. ``smoked_at`` is when the new
    version answered its smoke request, ``released`` the step that a person has let the rollout go on to, and
    ``asks_person`` says that nothing but a person moves it. ``target`` is what a reconciliation puts right. ``gate`` is
    the gate as it was when the change was asked for, one object a criterion. ``rollback_by`` is the person who rolled
    back, None when Stagegate did it by itself; ``review`` is what somebody else said about that afterwards.
    ``lease_until`` and ``fence`` belong to the executor that holds the transition now. ``shown`` is what a yes is bound
    to, as ``lifecycle.domain.binding`` describes it, and ``digest`` its digest. ``asked_by`` are the users who stand
    behind the request: none of them can approve. ``wanted_strategy`` is the way that they
    chose, "" for the policy's. ``bypassed_at`` says that it went on without the missing approvals,
    ``override_at`` that it did not wait for the end of a freeze.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="transitions")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="transitions")
    kind = models.CharField(max_length=16, choices=Kind)
    from_stage = models.CharField(max_length=16)
    to_stage = models.CharField(max_length=16)
    strategy = models.CharField(max_length=16, choices=Strategy)
    wanted_strategy = models.CharField(max_length=16, choices=Strategy, blank=True, default="")
    emergency = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=Status, db_index=True)
    reason = models.TextField()
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT)
    gate = models.JSONField(default=list)

    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="requested_transitions"
    )
    requested_by_name = models.CharField(max_length=200)
    requested_at = models.DateTimeField()
    asked_by = models.JSONField(default=list)
    shown = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, blank=True, default="")
    started_at = models.DateTimeField(null=True)
    checked_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    outcome = models.TextField(blank=True, default="")

    stable = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    previous = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    steps = models.JSONField(default=list)
    step = models.PositiveSmallIntegerField(default=0)
    step_since = models.DateTimeField(null=True)
    smoked_at = models.DateTimeField(null=True)
    released = models.PositiveSmallIntegerField(default=0)
    asks_person = models.BooleanField(default=False)
    paused_at = models.DateTimeField(null=True)
    paused_by_name = models.CharField(max_length=200, blank=True, default="")
    pause_reason = models.TextField(blank=True, default="")
    target = models.JSONField(default=dict)
    rollback_reason = models.TextField(blank=True, default="")
    rollback_by_name = models.CharField(max_length=200, blank=True, default="")
    rollback_requested_at = models.DateTimeField(null=True)
    rollback_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    traffic_back_at = models.DateTimeField(null=True)
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by_name = models.CharField(max_length=200, blank=True, default="")
    review = models.TextField(blank=True, default="")

    bypassed_at = models.DateTimeField(null=True)
    bypassed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    bypassed_by_name = models.CharField(max_length=200, blank=True, default="")
    bypass_reason = models.TextField(blank=True, default="")
    bypass_missing = models.JSONField(default=list)
    bypass_reviewed_at = models.DateTimeField(null=True)
    bypass_reviewed_by_name = models.CharField(max_length=200, blank=True, default="")
    bypass_review = models.TextField(blank=True, default="")
    override_at = models.DateTimeField(null=True)
    override_by_name = models.CharField(max_length=200, blank=True, default="")
    override_reason = models.TextField(blank=True, default="")

    waiting_for = models.TextField(blank=True, default="")
    waiting_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField(db_index=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("-requested_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("model",), condition=Q(status__in=ACTIVE), name="one_active_transition_a_model"
            ),
        )
        indexes = (
            models.Index(fields=("status", "due_at"), name="transitions_due"),
            models.Index(
                fields=("bypassed_at",),
                name="bypasses_to_review",
                condition=Q(bypassed_at__isnull=False, bypass_reviewed_at__isnull=True),
            ),
            models.Index(
                fields=("-rollback_requested_at",),
                name="rollbacks_to_review",
                condition=Q(rollback_requested_at__isnull=False, reviewed_at__isnull=True),
            ),
            models.Index(fields=("-finished_at",), name="transitions_by_end"),
        )

    def __str__(self) -> str:
        return f"{self.version} to {self.to_stage}"

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE


class Approval(models.Model):
    """A named person's yes or no, with a reason. ``roles`` are those the person had when deciding.

    A yes is bound to ``digest``, of what was shown: when that changes it is void, and ``void_reason`` says what did.
    It stands until ``expires_at``, or until the person takes it back. ``signed_in_by`` says how the person proved who
    they are, ``confirmed_at`` when they last did.
    """

    transition = models.ForeignKey(Transition, on_delete=models.CASCADE, related_name="approvals")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="approvals")
    person_name = models.CharField(max_length=200)
    roles = models.JSONField()
    approved = models.BooleanField()
    reason = models.TextField()
    decided_at = models.DateTimeField()
    digest = models.CharField(max_length=64, blank=True, default="")
    signed_in_by = models.CharField(max_length=40, blank=True, default="")
    confirmed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    void_reason = models.TextField(blank=True, default="")
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("decided_at", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("transition", "person"),
                condition=Q(voided_at=None, withdrawn_at=None),
                name="one_standing_decision_a_person_a_transition",
            ),
        )

    def __str__(self) -> str:
        return f"{self.person_name}: {'yes' if self.approved else 'no'}"

    @property
    def stands(self) -> bool:
        return self.voided_at is None and self.withdrawn_at is None


class FreezeWindow(models.Model):
    """A time in which no change is carried out: of one model, of a team's models, or, where both are None, of all.

    ``starts`` and ``ends`` are wall-clock times in ``zone``, an IANA name, without an offset; the window comes back as
    ``repeats`` says, until ``until`` (a local date, inclusive) where that is given. Rollbacks are never held.
    """

    class Repeats(models.TextChoices):
        NEVER = "never", "once"
        DAILY = "daily", "every day"
        WEEKLY = "weekly", "every week"
        YEARLY = "yearly", "every year"

    name = models.CharField(max_length=100)
    model = models.ForeignKey(RegisteredModel, null=True, on_delete=models.CASCADE, related_name="freezes")
    team = models.ForeignKey("lifecycle.Team", null=True, on_delete=models.CASCADE, related_name="freezes")
    zone = models.CharField(max_length=64)
    starts = models.CharField(max_length=16)
    ends = models.CharField(max_length=16)
    repeats = models.CharField(max_length=8, choices=Repeats, default=Repeats.NEVER)
    until = models.DateField(null=True)
    reason = models.TextField()
    created_by_name = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, db_index=True)
    removed_by_name = models.CharField(max_length=200, blank=True, default="")
    removed_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return self.name


class Effect(models.Model):
    """One line of the engine's journal: an intended change of the world, and what came of it.

    At most one intent of a transition is open. ``key`` names the wanted state, so an executor that comes back after a
    crash recognises its own intent; ``attempts`` counts how often it acted.
    """

    class Outcome(models.TextChoices):
        OPEN = "open", "under way"
        DONE = "done", "done"
        DROPPED = "dropped", "no longer wanted"

    transition = models.ForeignKey(Transition, on_delete=models.CASCADE, related_name="effects")
    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=200)
    payload = models.JSONField()
    summary = models.TextField()
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN)
    intended_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    attempted_at = models.DateTimeField()
    last_error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("transition",), condition=Q(outcome="open"), name="one_open_effect_a_transition"
            ),
        )

    def __str__(self) -> str:
        return self.summary


class VariantRole(models.TextChoices):
    PRODUCTION = "production", "serves Production"
    STAGING = "staging", "serves Staging"
    WARM = "warm", "kept warm for a rollback"
    NONE = "", "no role"


class Variant(models.Model):
    """A version that has a server, and the weight that the gateway was last seen to give it.

    ``warm_until`` keeps the server of a version without traffic, so that a rollback is one change of weights;
    ``idle_since`` is when the gateway was first seen to send it nothing; ``retiring`` says that its server is being
    stopped.
    """

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="variants")
    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="variant")
    role = models.CharField(max_length=16, choices=VariantRole, blank=True, default=VariantRole.NONE)
    url = models.CharField(max_length=200, blank=True, default="")
    weight = models.PositiveSmallIntegerField(default=0)
    weight_since = models.DateTimeField(null=True)
    warm_until = models.DateTimeField(null=True)
    idle_since = models.DateTimeField(null=True)
    retiring = models.BooleanField(default=False)

    class Meta:
        ordering = ("model", "-weight", "version")
        constraints = (
            models.CheckConstraint(condition=Q(weight__lte=100), name="weight_is_a_percentage"),
            models.UniqueConstraint(
                fields=("model",), condition=Q(role="production"), name="one_production_variant_a_model"
            ),
        )

    def __str__(self) -> str:
        return f"{self.version} at {self.weight} %"
