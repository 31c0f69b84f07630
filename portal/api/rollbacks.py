"""Rolling back, drills, putting right, and the review afterwards, by API."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle.models import Transition
from portal.access import actor_of, model_for, version_for
from portal.api import serializers
from portal.api.base import APIView
from portal.api.views import Decision, valid


class Rollback(APIView):
    def post(self, request: Request, name: str) -> Response:
        model = model_for(request, name)
        body = valid(serializers.RollbackSerializer, request)
        created = operations.roll_back(
            model=model,
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            emergency=body["kind"] == "emergency",
            to_version=body.get("to_version"),
            stop=body["stop"],
        )
        return _accepted(created)


class Drill(APIView):
    def post(self, request: Request, name: str) -> Response:
        model = model_for(request, name)
        body = valid(serializers.DrillSerializer, request)
        created = operations.drill(
            model=model,
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            to_version=body.get("to_version"),
        )
        return _accepted(created)


class Reconcile(APIView):
    def post(self, request: Request, name: str) -> Response:
        model = model_for(request, name)
        reason = valid(serializers.ReasonSerializer, request)["reason"]
        created = operations.reconcile(model=model, reason=reason, actor=actor_of(request), now=timezone.now())
        return _accepted(created)


class Withdraw(APIView):
    def post(self, request: Request, name: str, version: int) -> Response:
        row = version_for(request, name, version)
        reason = valid(serializers.ReasonSerializer, request)["reason"]
        created = operations.withdraw(version=row, reason=reason, actor=actor_of(request), now=timezone.now())
        return _accepted(created)


class Review(Decision):
    operation = staticmethod(operations.review_rollback)


def _accepted(created: Transition) -> Response:
    return Response(serializers.TransitionSerializer(created).data, status=202)
