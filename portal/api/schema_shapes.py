"""What the API answers where a view puts it together by hand: shapes for the documentation, field by field."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from lifecycle.domain.compare import MeasureState, VerdictKind
from lifecycle.domain.criteria import Criterion, Origin
from lifecycle.domain.differences import Outcome
from lifecycle.domain.facts import Source
from lifecycle.domain.findings import State
from lifecycle.domain.judgements.directions import Direction
from lifecycle.domain.permissions import Role
from lifecycle.domain.signatures import Bump, Part
from lifecycle.domain.stages import Stage
from portal.api import policies, retention
from portal.api import serializers as rows
from portal.api.compare import _OUTCOMES
from portal.api.metrics import BusinessReportSerializer

BUMPS = [bump.name for bump in Bump]
STATES = [state.value for state in State]
STAGES = [stage.value for stage in Stage]


@extend_schema_field(
    {"oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}, {"type": "null"}]}
)
class AnyNumber(serializers.Field[Any, Any, Any, Any]):
    """A number, or the word for what JSON has no number for."""


@extend_schema_field({"type": "array", "items": {"type": ["string", "integer"]}})
class KeyPath(serializers.Field[Any, Any, Any, Any]):
    pass


class Shape(serializers.Serializer[Any]):
    """Only documents: no row goes through it. Where a field is called as something of the framework's, such as
    ``source`` or ``label``, the type checker has to be told that the metaclass takes fields away."""


# ---------------------------------------------------------------- models and versions


class ShortVersion(Shape):
    version = serializers.IntegerField()
    semantic_version = serializers.CharField()
    stage = serializers.ChoiceField(choices=STAGES)


class ModelDetail(rows.ModelDetailSerializer):
    versions = ShortVersion(many=True, help_text="The newest hundred.")  # type: ignore[assignment]


class BaseVersion(Shape):
    version = serializers.IntegerField()
    semantic_version = serializers.CharField()


class SignatureChange(Shape):
    part = serializers.ChoiceField(choices=[part.value for part in Part])
    name = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    what = serializers.CharField(help_text="What it means for whoever calls the model.")
    required = serializers.ChoiceField(choices=BUMPS)  # type: ignore[assignment]


class SemanticVersion(Shape):
    model = serializers.CharField()
    version = serializers.IntegerField()
    semantic_version = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    measured = serializers.CharField()
    wanted = serializers.CharField()
    why = serializers.CharField()
    required = serializers.ChoiceField(choices=BUMPS, allow_null=True)  # type: ignore[assignment]
    proposal = serializers.CharField(allow_null=True, help_text="The lowest number that is right and free.")
    base = BaseVersion(allow_null=True)
    changes = SignatureChange(many=True)
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


# ---------------------------------------------------------------- the gate


class GateMeasure(Shape):
    name = serializers.CharField()
    measured = serializers.CharField()
    wanted = serializers.CharField()
    passed = serializers.BooleanField(allow_null=True)


class GateEvidence(Shape):
    id = serializers.IntegerField()
    criterion = serializers.ChoiceField(choices=[each.value for each in Criterion])
    passed = serializers.BooleanField()
    source = serializers.ChoiceField(choices=[each.value for each in Source])  # type: ignore[assignment]
    by = serializers.CharField()
    at = serializers.DateTimeField()
    value = serializers.FloatField(allow_null=True)
    unit = serializers.CharField()
    url = serializers.CharField()
    detail = serializers.CharField()
    stale = serializers.CharField(help_text="Why it no longer counts; empty while it does.")


class GateWaiver(Shape):
    id = serializers.IntegerField()
    criterion = serializers.ChoiceField(choices=[each.value for each in Criterion])
    reason = serializers.CharField()
    by = serializers.CharField()
    at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    stale = serializers.CharField()
    revoked_by = serializers.CharField()
    revoked_reason = serializers.CharField()


class Finding(Shape):
    criterion = serializers.ChoiceField(choices=[each.value for each in Criterion])
    label = serializers.CharField()  # type: ignore[assignment]
    question = serializers.CharField()
    origin = serializers.ChoiceField(choices=[each.value for each in Origin])
    state = serializers.ChoiceField(choices=STATES)
    without_waiver = serializers.ChoiceField(choices=STATES)
    measured = serializers.CharField()
    wanted = serializers.CharField()
    why = serializers.CharField(help_text="What is wrong and what to do; empty when it is passed.")
    by = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    age = serializers.FloatField(allow_null=True, help_text="Seconds.")
    measures = GateMeasure(many=True)
    evidence = GateEvidence(allow_null=True)
    stale = GateEvidence(allow_null=True)
    waived_by = GateWaiver(allow_null=True)
    waivers = GateWaiver(many=True)


class Gate(Shape):
    to = serializers.ChoiceField(choices=STAGES)
    open = serializers.BooleanField()
    may_be_asked_for = serializers.BooleanField(help_text="Only what approvals decide is still missing.")
    findings = Finding(many=True)


# ---------------------------------------------------------------- comparing


class ComparedVersion(Shape):
    version = serializers.IntegerField()
    semantic_version = serializers.CharField()
    stage = serializers.ChoiceField(choices=STAGES)
    created_at = serializers.DateTimeField(allow_null=True)
    run_id = serializers.CharField()


class LiveMeasure(Shape):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.ChoiceField(choices=[each.value for each in MeasureState])
    estimate = AnyNumber()
    low = AnyNumber()
    high = AnyNumber()
    limit = AnyNumber()
    unit = serializers.CharField()
    on_breach = serializers.ChoiceField(choices=["roll_back", "emergency", "hold"])
    why = serializers.CharField()


class LiveComparison(Shape):
    canary = serializers.IntegerField()
    stable = serializers.IntegerField()
    kind = serializers.CharField()
    weight = serializers.IntegerField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True)
    judged_at = serializers.DateTimeField(allow_null=True)
    transition = serializers.IntegerField(allow_null=True)
    verdict = serializers.ChoiceField(choices=[each.value for each in VerdictKind], allow_null=True)
    why = serializers.CharField()
    measures = LiveMeasure(many=True)


class OfflineMetric(Shape):
    name = serializers.CharField()
    stable = AnyNumber()
    canary = AnyNumber()
    better = serializers.ChoiceField(choices=[each.value for each in Direction])
    outcome = serializers.ChoiceField(choices=[_OUTCOMES.get(each, str(each)) for each in Outcome])
    absolute = serializers.FloatField(allow_null=True)
    relative = serializers.FloatField(allow_null=True, help_text="Percent.")


class TextDifference(Shape):
    name = serializers.CharField()
    stable = serializers.CharField(allow_null=True)
    canary = serializers.CharField(allow_null=True)


class SchemaChange(Shape):
    part = serializers.ChoiceField(choices=[part.value for part in Part])
    name = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    what = serializers.CharField()
    requires = serializers.ChoiceField(choices=BUMPS)


class SchemaDifference(Shape):
    problem = serializers.CharField()
    requires = serializers.ChoiceField(choices=BUMPS, allow_null=True)
    says = serializers.CharField()
    changes = SchemaChange(many=True)


class Comparison(Shape):
    model = serializers.CharField()
    stable = ComparedVersion()
    canary = ComparedVersion()
    live = LiveComparison(allow_null=True)
    metrics = OfflineMetric(many=True)
    params = TextDifference(many=True)
    tags = TextDifference(many=True)
    run_tags = TextDifference(many=True)
    schema = SchemaDifference()


# ---------------------------------------------------------------- traffic


class Reported(Shape):
    counted = serializers.IntegerField()
    repeated = serializers.IntegerField()


class RolloutStep(Shape):
    weight = serializers.IntegerField(help_text="Percent of the requests for the new version.")
    minimum = serializers.FloatField(help_text="Seconds.")
    requests = serializers.IntegerField(help_text="That the new version has to answer first.")
    mirror = serializers.IntegerField(help_text="Percent of the requests that it gets copies of.")
    judged = serializers.BooleanField()
    asks = serializers.ChoiceField(choices=[role.value for role in Role], allow_null=True)
    state = serializers.ChoiceField(choices=["done", "current", "ahead", "stopped", "never"])
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)


class Waiting(Shape):
    until = serializers.DateTimeField(allow_null=True)
    asks_person = serializers.BooleanField()
    paused = serializers.BooleanField()
    paused_at = serializers.DateTimeField(allow_null=True)
    paused_by = serializers.CharField()
    pause_reason = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        """``for`` is a word of Python's."""
        return {"for": serializers.CharField(), **super().get_fields()}


class StoredMeasure(LiveMeasure):
    details = serializers.DictField(help_text="What a chart needs.")


class RolloutVerdict(Shape):
    kind = serializers.ChoiceField(choices=[each.value for each in VerdictKind])
    why = serializers.CharField()
    emergency = serializers.BooleanField()
    measures = StoredMeasure(many=True)
    judged_at = serializers.DateTimeField(allow_null=True)
    since = serializers.DateTimeField()
    requests = serializers.IntegerField()
    stable_requests = serializers.IntegerField()


class Rollout(Shape):
    transition = rows.TransitionSerializer()
    steps = RolloutStep(many=True)
    current = serializers.IntegerField(allow_null=True, help_text="Counts from 0.")
    waiting = Waiting()
    verdict = RolloutVerdict(allow_null=True)


# ---------------------------------------------------------------- policies and retention


class PolicyChange(Shape):
    section = serializers.CharField()
    value = serializers.CharField()
    before = serializers.CharField()
    after = serializers.CharField()


class PolicyListed(policies.PolicyRow):
    model = serializers.CharField(allow_null=True)


class Policy(PolicyListed):
    replaces = serializers.IntegerField(allow_null=True)
    transitions = serializers.IntegerField()
    changes = PolicyChange(many=True)
    values = serializers.DictField(allow_null=True, help_text="Null for a withdrawal.")

    class Meta(policies.PolicyRow.Meta):
        fields = (*policies.PolicyRow.Meta.fields, "replaces", "transitions", "changes", "values")  # type: ignore[assignment]


class PolicyRequest(policies.PolicyRequest):
    yaml = serializers.CharField(required=False, help_text="The policy as a file.")  # type: ignore[assignment]
    values = serializers.DictField(required=False, help_text="The policy as an object.")  # type: ignore[assignment]


class Going(Shape):
    model = serializers.CharField()
    version = serializers.IntegerField()
    semantic_version = serializers.CharField()
    archived_since = serializers.DateTimeField(allow_null=True)
    deletable_from = serializers.DateTimeField()
    due = serializers.BooleanField()


class Retention(Shape):
    due = serializers.IntegerField()
    within_30_days = serializers.IntegerField()
    later = serializers.IntegerField()
    protected = serializers.IntegerField()
    stuck = retention.DeletionSerializer(many=True)
    last_clean_up = retention.CleanUpSerializer(allow_null=True)
    next_page = serializers.IntegerField(allow_null=True)
    results = Going(many=True)


class BusinessReport(BusinessReportSerializer):
    """The numbers are numbers, not texts."""
