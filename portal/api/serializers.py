"""Rows as JSON."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from lifecycle.domain.stages import Stage
from lifecycle.models import Approval, AuditEntry, Effect, ModelVersion, RegisteredModel, Transition, Variant


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


class ModelDetailSerializer(ModelSerializer):
    variants = VariantSerializer(many=True)
    versions = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields = (*ModelSerializer.Meta.fields, "variants", "versions")

    def get_versions(self, model: RegisteredModel) -> list[dict[str, Any]]:
        """The newest hundred versions, shortly; each has an address of its own with everything."""
        return [
            {"version": row.version, "semantic_version": row.semantic_version, "stage": row.domain_stage}
            for row in model.versions.filter(removed_at=None).order_by("-version")[:100]
        ]


class ApprovalSerializer(serializers.ModelSerializer[Approval]):
    class Meta:
        model = Approval
        fields = ("person_name", "roles", "approved", "reason", "decided_at")


class EffectSerializer(serializers.ModelSerializer[Effect]):
    class Meta:
        model = Effect
        fields = ("kind", "summary", "outcome", "attempts", "intended_at", "finished_at", "last_error")


class TransitionSerializer(serializers.ModelSerializer[Transition]):
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.version")
    semantic_version = serializers.CharField(source="version.semantic_version")
    stable = serializers.IntegerField(source="stable.version", default=None)
    previous = serializers.IntegerField(source="previous.version", default=None)
    policy = serializers.IntegerField(source="policy.number")
    approvals = ApprovalSerializer(many=True)
    effects = EffectSerializer(many=True)

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
            "rollback_requested_at",
            "traffic_back_at",
            "waiting_for",
            "waiting_until",
            "approvals",
            "effects",
        )


class AuditSerializer(serializers.ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        exclude = ()


class ReasonSerializer(serializers.Serializer[Any]):
    """A missing or overlong reason is left to the operation, which refuses it and records the attempt."""

    reason = serializers.CharField(allow_blank=True, default="")


class RollbackSerializer(ReasonSerializer):
    to_version = serializers.IntegerField(required=False, min_value=1)
    kind = serializers.ChoiceField(choices=["emergency", "graceful"], default="emergency")


class TransitionRequestSerializer(ReasonSerializer):
    model = serializers.CharField()
    version = serializers.IntegerField(min_value=1)
    to_stage = serializers.ChoiceField(choices=[stage.value for stage in Stage])
