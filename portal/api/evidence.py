"""What speaks for and against a version: evidence, waivers, checks, and the gate that weighs them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Model, QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle.domain.stages import Stage, possible_changes
from lifecycle.gating import gate_json, gate_of
from lifecycle.models import ACTIVE, CheckRun, Evidence, ModelVersion, Transition, Waiver
from lifecycle.policies import current_policy
from portal.access import actor_of, check_for, version_for, waiver_for
from portal.api import serializers
from portal.api.base import APIView, ListAPIView
from portal.api.views import valid
from portal.filters import stage_named


class OfVersion(ListAPIView[Any]):
    """Lists what belongs to the version that the address names; a subclass adds how one is created."""

    @cached_property
    def version(self) -> ModelVersion:
        return version_for(self.request, self.kwargs["name"], self.kwargs["version"])

    @cached_property
    def now(self) -> datetime:
        return timezone.now()

    def get_serializer_context(self) -> dict[str, Any]:
        policy = current_policy(self.version.model, self.now).values
        return {**super().get_serializer_context(), "version": self.version, "policy": policy, "now": self.now}

    def answer(self, row: Model, status: int) -> Response:
        return Response(self.get_serializer(row).data, status=status)


class EvidenceOf(OfVersion):
    serializer_class = serializers.EvidenceSerializer

    def get_queryset(self) -> QuerySet[Evidence]:
        return self.version.evidence.all()

    def post(self, request: Request, name: str, version: int) -> Response:
        """201, or 200 for a report that was sent again."""
        body = valid(serializers.EvidenceRequestSerializer, request)
        outcome = body.pop("outcome")
        row = operations.record_evidence(
            version=self.version, passed=outcome == "passed", actor=actor_of(request), now=self.now, **body
        )
        return self.answer(row, 201 if row.recorded_at == self.now else 200)


class WaiversOf(OfVersion):
    serializer_class = serializers.WaiverSerializer

    def get_queryset(self) -> QuerySet[Waiver]:
        return self.version.waivers.all()

    def post(self, request: Request, name: str, version: int) -> Response:
        body = valid(serializers.WaiverRequestSerializer, request)
        expires_at = body["expires_at"] if "expires_at" in body else self.now + timedelta(days=body["days"])
        row = operations.grant_waiver(
            version=self.version,
            criterion=body["criterion"],
            reason=body["reason"],
            expires_at=expires_at,
            actor=actor_of(request),
            now=self.now,
        )
        return self.answer(row, 201)


class GateOf(APIView):
    """``?to=`` names the stage; without it, it is the first that the version can go to next."""

    def get(self, request: Request, name: str, version: int) -> Response:
        found = version_for(request, name, version)
        to_stage = _stage_asked_for(request.GET.get("to"), found)
        active = Transition.objects.filter(version=found, to_stage=to_stage, status__in=ACTIVE)
        transition = active.select_related("policy").first()
        return Response(gate_json(gate_of(found, to_stage, timezone.now(), transition=transition)))


def _stage_asked_for(word: str | None, version: ModelVersion) -> Stage:
    if word is None:
        return possible_changes(version.domain_stage)[0]
    wanted = stage_named(word)
    if wanted in (None, Stage.DEVELOPMENT):
        raise ValidationError({"to": f"A gate leads to {Stage.STAGING}, {Stage.PRODUCTION} or {Stage.ARCHIVED}."})
    return wanted


class RevokeWaiver(APIView):
    def post(self, request: Request, pk: int) -> Response:
        waiver = waiver_for(request, pk)
        reason = valid(serializers.ReasonSerializer, request)["reason"]
        revoked = operations.revoke_waiver(waiver=waiver, reason=reason, actor=actor_of(request), now=timezone.now())
        return Response(serializers.WaiverSerializer(revoked, context={"version": waiver.version}).data)


class ChecksOf(OfVersion):
    serializer_class = serializers.CheckSerializer

    def get_queryset(self) -> QuerySet[CheckRun]:
        return self.version.check_runs.select_related("policy")

    def post(self, request: Request, name: str, version: int) -> Response:
        body = valid(serializers.CheckRequestSerializer, request)
        row = operations.start_check(
            version=self.version, criterion=body["criterion"], actor=actor_of(request), now=self.now
        )
        return self.answer(row, 202)


class CancelCheck(APIView):
    def post(self, request: Request, pk: int) -> Response:
        cancelled = operations.cancel_check(check=check_for(request, pk), actor=actor_of(request), now=timezone.now())
        return Response(serializers.CheckSerializer(cancelled).data)
