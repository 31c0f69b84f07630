"""Freezes by API: what was planned, and planning or removing one, which takes a person who has signed in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations, queries_freezes
from lifecycle.domain.freezes import Repeats
from lifecycle.models import FreezeWindow, Team
from portal.access import actor_of, model_for
from portal.api.base import APIView, ListAPIView
from portal.api.serializers import ReasonSerializer
from portal.api.views import valid


class OccurrenceSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()


class FreezeSerializer(serializers.ModelSerializer[FreezeWindow]):
    """``starts`` and ``ends`` are as the clock in ``zone`` shows them. Without model and team it holds all models.
    ``next`` is the time that it holds now or holds next, null for what is over or removed."""

    model = serializers.CharField(source="model.name", default=None, allow_null=True)
    team = serializers.SlugField(source="team.slug", default=None, allow_null=True)
    created_by = serializers.CharField(source="created_by_name")
    removed_by = serializers.CharField(source="removed_by_name")
    holds_now = serializers.SerializerMethodField()
    next = serializers.SerializerMethodField()

    class Meta:
        model = FreezeWindow
        fields = (
            "id",
            "name",
            "model",
            "team",
            "zone",
            "starts",
            "ends",
            "repeats",
            "until",
            "reason",
            "created_by",
            "created_at",
            "removed_by",
            "removed_at",
            "removed_reason",
            "holds_now",
            "next",
        )

    def get_holds_now(self, row: FreezeWindow) -> bool:
        return queries_freezes.occurrence_now(row, timezone.now()) is not None

    @extend_schema_field(OccurrenceSerializer(allow_null=True))
    def get_next(self, row: FreezeWindow) -> Any:
        found = queries_freezes.next_occurrence(row, timezone.now())
        return OccurrenceSerializer(found).data if found else None


@extend_schema_field(OpenApiTypes.STR)
class LocalTimeField(serializers.Field[datetime, Any, str, Any]):
    """A wall-clock time without an offset, such as 2026-12-24T18:00."""

    def to_internal_value(self, data: Any) -> datetime:
        try:
            return datetime.fromisoformat(data if isinstance(data, str) else "")
        except ValueError:
            raise ValidationError("Write a date and a time, such as 2026-12-24T18:00.") from None

    def to_representation(self, value: datetime) -> str:
        return value.isoformat(timespec="minutes")


class FreezeRequestSerializer(ReasonSerializer):
    """``model`` is a name, ``team`` a slug; with neither, the changes of all models are held."""

    name = serializers.CharField(max_length=200, allow_blank=True, default="")
    model = serializers.CharField(required=False, allow_null=True, default=None)
    team = serializers.CharField(required=False, allow_null=True, default=None)
    zone = serializers.CharField(max_length=64)
    starts = LocalTimeField()
    ends = LocalTimeField()
    repeats = serializers.ChoiceField(choices=[each.value for each in Repeats], default=Repeats.NEVER.value)
    until = serializers.DateField(required=False, allow_null=True, default=None)


class Freezes(ListAPIView[FreezeWindow]):
    serializer_class = FreezeSerializer

    def get_queryset(self) -> QuerySet[FreezeWindow]:
        return queries_freezes.freeze_windows()

    @extend_schema(request=FreezeRequestSerializer, responses={201: FreezeSerializer})
    def post(self, request: Request) -> Response:
        """Holds the changes of a model, of a team's models, or of all, for a time."""
        body = valid(FreezeRequestSerializer, request)
        name, team = body.pop("model"), _team(body.pop("team"))
        model = model_for(request, name) if name else None
        row = operations.plan_freeze(**body, model=model, team=team, actor=actor_of(request), now=timezone.now())
        return Response(FreezeSerializer(row).data, status=201)


def _team(slug: str | None) -> Team | None:
    if slug is None:
        return None
    found = Team.objects.filter(slug=slug).first()
    if found is None:
        raise ValidationError({"team": ["There is no team with this slug."]})
    return found


class FreezeDetail(APIView):
    @extend_schema(responses=FreezeSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return Response(FreezeSerializer(_freeze(pk)).data)


class RemoveFreeze(APIView):
    @extend_schema(request=ReasonSerializer, responses=FreezeSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Ends a freeze for good: what it holds goes on at once."""
        reason = valid(ReasonSerializer, request)["reason"]
        row = operations.remove_freeze(freeze=_freeze(pk), reason=reason, actor=actor_of(request), now=timezone.now())
        return Response(FreezeSerializer(row).data)


def _freeze(pk: int) -> FreezeWindow:
    found = queries_freezes.freeze_windows().filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no freeze {pk}.")
    return found
