"""The REST API: the pages' operations and queries, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers as drf
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from lifecycle import operations, queries, queries_inbox, queries_models
from lifecycle.domain.permissions import Action, require
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy
from lifecycle.models import AuditEntry, ModelIndex, Status, Transition
from portal.access import actor_of, model_for, transition_for, version_for
from portal.api import serializers
from portal.api.base import APIView, ListAPIView
from portal.api.pagination import BySort
from portal.filters import RecordForm, model_filter

Body = TypeVar("Body", bound=Serializer[Any])


def valid(form: type[Body], request: Request) -> dict[str, Any]:
    """The body as checked values; raises ValidationError."""
    body = form(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


class Models(ListAPIView[Any]):
    """Found in the index; what is shown is the model."""

    serializer_class = serializers.ModelSerializer
    pagination_class = BySort

    def get_queryset(self) -> QuerySet[ModelIndex]:
        return queries_models.models_matching(model_filter(self.request.GET)).select_related("model")

    def paginate_queryset(self, queryset: Any) -> list[Any] | None:
        return [row.model for row in super().paginate_queryset(queryset) or ()]


class ModelDetail(APIView):
    def get(self, request: Request, name: str) -> Response:
        return Response(serializers.ModelDetailSerializer(model_for(request, name)).data)


class VersionDetail(APIView):
    def get(self, request: Request, name: str, version: int) -> Response:
        return Response(serializers.VersionSerializer(version_for(request, name, version)).data)


class TransitionFilters(drf.Serializer[Any]):
    """``waiting_for=me``: those that this person can decide on."""

    status = drf.ChoiceField(choices=[each.value for each in Status], required=False, default="")
    model = drf.CharField(required=False, default="", allow_blank=True)
    waiting_for = drf.ChoiceField(choices=["me"], required=False, default="")


class Transitions(ListAPIView[Transition]):
    serializer_class = serializers.TransitionSerializer

    def get_queryset(self) -> QuerySet[Transition]:
        given = TransitionFilters(data=self.request.GET)
        given.is_valid(raise_exception=True)
        wanted = given.validated_data
        actor = actor_of(self.request) if wanted["waiting_for"] else None
        return queries_inbox.transitions(status=wanted["status"], model=wanted["model"], actor=actor)

    def post(self, request: Request) -> Response:
        body = valid(serializers.TransitionRequestSerializer, request)
        created = operations.request_transition(
            version=version_for(request, body["model"], body["version"]),
            to_stage=Stage(body["to_stage"]),
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            strategy=Strategy(body["strategy"]) if "strategy" in body else None,
        )
        return Response(serializers.TransitionSerializer(created).data, status=201)


class TransitionDetail(APIView):
    def get(self, request: Request, pk: int) -> Response:
        return Response(serializers.TransitionSerializer(transition_for(request, pk)).data)


class Decision(APIView):
    """reject, cancel, take-back and their like: ``operation`` is given by the address."""

    operation: Callable[..., Transition] = operations.reject

    def post(self, request: Request, pk: int) -> Response:
        changed = type(self).operation(
            transition=transition_for(request, pk),
            reason=valid(serializers.ReasonSerializer, request)["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(serializers.TransitionSerializer(changed).data)


class Approve(APIView):
    """Without a ``digest`` the yes is to whatever there is, unless that has just changed."""

    def post(self, request: Request, pk: int) -> Response:
        body = valid(serializers.ApproveSerializer, request)
        changed = operations.approve(
            transition=transition_for(request, pk),
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            seen=body["digest"],
        )
        return Response(serializers.TransitionSerializer(changed).data)


class Reject(Decision):
    operation = staticmethod(operations.reject)


class Cancel(Decision):
    operation = staticmethod(operations.cancel)


class Record(ListAPIView[AuditEntry]):
    serializer_class = serializers.AuditSerializer

    def get_queryset(self) -> QuerySet[AuditEntry]:
        require(actor_of(self.request), Action.READ_RECORD)
        form = RecordForm(self.request.GET)
        if not form.is_valid():
            raise ValidationError({name: [str(each) for each in form.errors[name]] for name in form.errors})
        return queries.record_entries(form.wanted())
