"""Rows as JSON."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lifecycle import freezes
from lifecycle.approvals import still_missing
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy
from lifecycle.evidence import why_other_artifact, why_stale
from lifecycle.freezes import Freeze
from lifecycle.models import (
    Approval,
    AuditEntry,
    CheckRun,
    Disagreement,
    Effect,
    Evidence,
    FreezeWindow,
    ModelVersion,
    RegisteredModel,
    Status,
    Transition,
    Variant,
    Waiver,
)
from lifecycle.operations.evidence import LONGEST_DETAIL, LONGEST_UNIT, LONGEST_URL
from lifecycle.queries import has_not_begun
from lifecycle.queries_freezes import holding_among


class VariantSerializer(serializers.ModelSerializer[Variant]):
    version = serializers.IntegerField(source="version.version")
    semantic_version = serializers.CharField(source="version.semantic_version")

    class Meta:
        model = Variant
        fields = ("version", "semantic_version", "role", "weight", "weight_since", "warm_until")


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    class Meta:
        model = RegisteredModel
        fields = ("name", "slug", "description", "tags", "aliases", "created_at", "updated_at")


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    model = serializers.CharField(source="model.name")
    stage = serializers.CharField(source="domain_stage")

    class Meta:
        model = ModelVersion
        fields = (
            "model",
            "version",
            "semantic_version",
            "stage",
            "description",
            "tags",
            "status",
            "source",
            "run_id",
            "metrics",
            "params",
            "signature",
            "created_at",
            "updated_at",
            "removed_at",
        )


class DisagreementSerializer(serializers.ModelSerializer[Disagreement]):
    version = serializers.IntegerField(source="version.version", default=None)

    class Meta:
        model = Disagreement
        fields = ("what", "version", "found", "expected", "since")


class ModelDetailSerializer(ModelSerializer):
    variants = VariantSerializer(many=True)
    versions = serializers.SerializerMethodField()
    disagreements = DisagreementSerializer(many=True)

    class Meta:
        model = RegisteredModel
        fields = (*ModelSerializer.Meta.fields, "variants", "versions", "disagreements")

    def get_versions(self, model: RegisteredModel) -> list[dict[str, Any]]:
        """The newest hundred versions, shortly; each has an address of its own with everything."""
        return [
            {"version": row.version, "semantic_version": row.semantic_version, "stage": row.domain_stage}
            for row in model.versions.filter(removed_at=None).order_by("-version")[:100]
        ]


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    class Meta:
        model = Approval
        fields = (
            "person_name",
            "roles",
            "approved",
            "reason",
            "decided_at",
            "digest",
            "signed_in_by",
            "expires_at",
            "voided_at",
            "void_reason",
            "withdrawn_at",
            "withdrawn_reason",
        )


class EffectSerializer(serializers.ModelSerializer[Effect]):
    class Meta:
        model = Effect
        fields = ("kind", "summary", "outcome", "attempts", "intended_at", "finished_at", "last_error")


class HoldingSerializer(serializers.Serializer[Freeze]):
    """A freeze that holds a transition now."""

    id = serializers.IntegerField(source="row.pk")
    name = serializers.CharField(source="row.name")
    reason = serializers.CharField(source="row.reason")
    since = serializers.DateTimeField(source="occurrence.since")
    until = serializers.DateTimeField(source="occurrence.until")


class TransitionSerializer(serializers.ModelSerializer[Transition]):
    """``digest`` names what is ``shown``, which a yes is bound to; ``waits_for`` are the roles whose yes is missing.
    ``freeze`` is what holds it now, null where nothing does."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.version")
    semantic_version = serializers.CharField(source="version.semantic_version")
    stable = serializers.IntegerField(source="stable.version", default=None)
    previous = serializers.IntegerField(source="previous.version", default=None)
    policy = serializers.IntegerField(source="policy.number")
    approvals = ApprovalSerializer(many=True)
    effects = EffectSerializer(many=True)
    shown = serializers.JSONField(read_only=True)
    waits_for = serializers.SerializerMethodField()
    freeze = serializers.SerializerMethodField()
    bypass_missing = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Transition
        fields = (
            "id",
            "model",
            "version",
            "semantic_version",
            "kind",
            "from_stage",
            "to_stage",
            "strategy",
            "emergency",
            "status",
            "reason",
            "policy",
            "requested_by_name",
            "requested_at",
            "started_at",
            "finished_at",
            "outcome",
            "stable",
            "previous",
            "steps",
            "step",
            "step_since",
            "asks_person",
            "paused_at",
            "rollback_requested_at",
            "rollback_by_name",
            "rollback_reason",
            "traffic_back_at",
            "reviewed_at",
            "reviewed_by_name",
            "review",
            "waiting_for",
            "waiting_until",
            "digest",
            "shown",
            "waits_for",
            "approvals",
            "bypassed_at",
            "bypassed_by_name",
            "bypass_reason",
            "bypass_missing",
            "bypass_reviewed_at",
            "bypass_reviewed_by_name",
            "bypass_review",
            "freeze",
            "override_at",
            "override_by_name",
            "override_reason",
            "effects",
        )

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=[role.value for role in Role])))
    def get_waits_for(self, row: Transition) -> list[str]:
        return [*still_missing(row)] if row.status == Status.AWAITING_APPROVAL else []

    @extend_schema_field(HoldingSerializer(allow_null=True))
    def get_freeze(self, row: Transition) -> Any:
        if not has_not_begun(row):
            return None
        freeze = holding_among(self._planned, row.model, timezone.now(), overridden_at=row.override_at)
        return HoldingSerializer(freeze).data if freeze else None

    @cached_property
    def _planned(self) -> list[FreezeWindow]:
        return list(freezes.planned())


class AuditSerializer(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        exclude = ()


class ReasonSerializer(serializers.Serializer[Any]):
    """A missing or overlong reason is left to the operation, which refuses it and records the attempt."""

    reason = serializers.CharField(allow_blank=True, default="")


class ApproveSerializer(ReasonSerializer):
    """``digest`` is the transition's, as it was shown: a yes to anything else is refused."""

    digest = serializers.CharField(required=False, allow_blank=True, default="", max_length=64)


class DrillSerializer(ReasonSerializer):
    to_version = serializers.IntegerField(required=False, min_value=1)


class RollbackSerializer(DrillSerializer):
    kind = serializers.ChoiceField(choices=["emergency", "graceful"], default="emergency")
    stop = serializers.BooleanField(default=False)


class TransitionRequestSerializer(ReasonSerializer):
    model = serializers.CharField()
    version = serializers.IntegerField(min_value=1)
    to_stage = serializers.ChoiceField(choices=[stage.value for stage in Stage])
    strategy = serializers.ChoiceField(choices=[each.value for each in Strategy], required=False)


# ---------------------------------------------------------------- evidence


class CriterionField(serializers.ChoiceField):
    """A criterion by its identifier. The refusal of another one lists those that there are."""

    default_error_messages = {"invalid_choice": "There is no criterion “{input}”. There are: " + ", ".join(Criterion)}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(choices=[criterion.value for criterion in Criterion], **kwargs)

    def to_internal_value(self, data: Any) -> Criterion:
        return Criterion(super().to_internal_value(data if isinstance(data, str) else ""))


class EvidenceRequestSerializer(serializers.Serializer[Any]):
    criterion = CriterionField()
    outcome = serializers.ChoiceField(choices=["passed", "failed"])
    value = serializers.FloatField(required=False, allow_null=True, default=None)
    unit = serializers.CharField(allow_blank=True, default="", max_length=LONGEST_UNIT)
    url = serializers.CharField(allow_blank=True, default="", max_length=LONGEST_URL)
    detail = serializers.CharField(allow_blank=True, default="", max_length=LONGEST_DETAIL)


class EvidenceSerializer(serializers.ModelSerializer[Evidence]):
    """``stale`` says why it no longer counts, "" while it does; the context's ``policy`` is the one in force."""

    outcome = serializers.SerializerMethodField()
    source = serializers.CharField(source="origin")  # type: ignore[assignment]  # the metaclass takes fields away
    by = serializers.CharField(source="recorded_by")
    at = serializers.DateTimeField(source="recorded_at")
    stale = serializers.SerializerMethodField()

    class Meta:
        model = Evidence
        fields = (
            "id",
            "criterion",
            "outcome",
            "source",
            "by",
            "at",
            "value",
            "unit",
            "url",
            "detail",
            "measurements",
            "artifact_digest",
            "stale",
        )

    def get_outcome(self, row: Evidence) -> str:
        return "passed" if row.passed else "failed"

    def get_stale(self, row: Evidence) -> str:
        return why_stale(row, self.context["version"], self.context["policy"], self.context["now"])


class WaiverRequestSerializer(ReasonSerializer):
    """Until ``expires_at``, or for ``days`` from now; one of the two."""

    criterion = CriterionField()
    days = serializers.IntegerField(required=False, min_value=1, max_value=3650)
    expires_at = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("days" in attrs) == ("expires_at" in attrs):
            raise serializers.ValidationError({"days": "Give either days or expires_at."})
        return attrs


class WaiverSerializer(serializers.ModelSerializer[Waiver]):
    """``stale`` says why it does not count although its time has not passed."""

    stale = serializers.SerializerMethodField()

    class Meta:
        model = Waiver
        fields = (
            "id",
            "criterion",
            "reason",
            "granted_by",
            "granted_at",
            "expires_at",
            "revoked_at",
            "revoked_by",
            "revoked_reason",
            "stale",
        )

    def get_stale(self, row: Waiver) -> str:
        return why_other_artifact(row, self.context["version"])


class CheckRequestSerializer(serializers.Serializer[Any]):
    criterion = CriterionField()


class CheckSerializer(serializers.ModelSerializer[CheckRun]):
    """``evidence`` is the id of what the run recorded, null before its end or when it could not be carried out."""

    policy = serializers.IntegerField(source="policy.number")
    requested_by = serializers.CharField(source="requested_by_name")

    class Meta:
        model = CheckRun
        fields = (
            "id",
            "criterion",
            "status",
            "progress",
            "phase",
            "policy",
            "requested_by",
            "requested_at",
            "started_at",
            "finished_at",
            "error",
            "evidence",
        )
