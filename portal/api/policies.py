"""Policies as JSON and YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations, policies, policy_files
from lifecycle.domain import policy as policy_values
from lifecycle.domain.permissions import Action, require
from lifecycle.models import Policy
from portal.access import actor_of, model_for, policy_for
from portal.api.base import APIView, ListAPIView
from portal.api.pagination import Newest
from portal.api.serializers import ReasonSerializer
from portal.api.views import valid


class ByNumber(Newest):
    ordering = "-number"


class YamlRenderer(BaseRenderer):
    """The policy as a file that can be sent back; ``?format=yaml``, or by its media type. Problems stay JSON."""

    media_type = "application/yaml"
    format = "yaml"
    charset = "utf-8"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        response = (renderer_context or {})["response"]
        if response.status_code >= 400 or data.get("values") is None:
            return bytes(JSONRenderer().render(data))
        return policy_files.write(policy_values.load(data["values"])).encode()


class TextYamlRenderer(YamlRenderer):
    media_type = "text/yaml"


class PolicyRow(serializers.ModelSerializer[Policy]):
    model = serializers.CharField(source="model.name", default=None)
    in_force = serializers.SerializerMethodField()

    class Meta:
        model = Policy
        fields = ("number", "model", "withdrawn", "in_force", "reason", "created_by", "created_at")

    def get_in_force(self, policy: Policy) -> bool:
        return policy.number in self.context["in_force"]


class TextField(serializers.Field[str, Any, str, Any]):
    """Any text at all: what cannot stand in a policy is told by line."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise ValidationError("This has to be a text.")
        return data


class PolicyRequest(ReasonSerializer):
    """``yaml`` or ``values``; what is wrong in them is left to the operation, which tells it by line."""

    model = serializers.CharField(required=False, allow_null=True, default=None)
    yaml = TextField(required=False)
    values = serializers.JSONField(required=False)
    expected_number = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if ("yaml" in given) == ("values" in given):
            raise ValidationError("Send the policy either as yaml (a text) or as values (an object).")
        return given


class WithdrawalRequest(ReasonSerializer):
    model = serializers.CharField()
    expected_number = serializers.IntegerField(required=False, allow_null=True, default=None, min_value=1)


class Policies(ListAPIView[Policy]):
    """Every number there has been, newest first; ``?model=`` shows those of one model."""

    serializer_class = PolicyRow
    pagination_class = ByNumber

    def get_queryset(self) -> QuerySet[Policy]:
        require(actor_of(self.request), Action.VIEW)
        every = Policy.objects.select_related("model")
        name = self.request.GET.get("model")
        return every.filter(model=model_for(self.request, name)) if name else every

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "in_force": policies.numbers_in_force(timezone.now())}

    def post(self, request: Request) -> Response:
        body = valid(PolicyRequest, request)
        created = operations.change_policy(
            model=model_for(request, body["model"]) if body["model"] else None,
            values=body["yaml"] if "yaml" in body else _object(body["values"]),
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            expected_number=body["expected_number"],
        )
        return Response(_whole(created), status=201)


class PolicyDetail(APIView):
    renderer_classes = (JSONRenderer, YamlRenderer, TextYamlRenderer)

    def get(self, request: Request, number: int) -> Response:
        return Response(_whole(policy_for(request, number)))


class Withdrawal(APIView):
    """A model follows the policy of all models again."""

    def post(self, request: Request) -> Response:
        body = valid(WithdrawalRequest, request)
        created = operations.withdraw_policy(
            model=model_for(request, body["model"]),
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            expected_number=body["expected_number"],
        )
        return Response(_whole(created), status=201)


def _object(values: Any) -> Any:
    """A text among the values would be read as YAML; JSON's own text is no policy."""
    if isinstance(values, str):
        raise ValidationError({"values": ["This has to be an object; send a text as yaml."]})
    return values


def _whole(policy: Policy) -> dict[str, Any]:
    """A policy with its values, null for a withdrawal, and what it changed."""
    page = policies.policy_page(policy)
    row = PolicyRow(policy, context={"in_force": {policy.number} if page.in_force else set()})
    changed = [
        {"section": each.section, "value": each.label, "before": each.before, "after": each.after}
        for each in page.changes
    ]
    values = None if policy.withdrawn else policy_values.dump(policy.values)
    replaces = page.before.number if page.before else None
    return {**row.data, "replaces": replaces, "transitions": page.transitions, "changes": changed, "values": values}
