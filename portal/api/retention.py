"""Retention as JSON: the preview, the clean-up, and holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.paginator import Paginator
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle import queries_retention as queries
from lifecycle.domain.permissions import Action, require
from lifecycle.models import Deletion, Hold, RetentionRun
from portal.access import actor_of, version_for
from portal.api.base import APIView
from portal.api.serializers import ReasonSerializer
from portal.api.views import valid

PAGE_SIZE = 100


class CleanUpSerializer(serializers.ModelSerializer[RetentionRun]):
    class Meta:
        model = RetentionRun
        fields = (
            "id",
            "running",
            "requested_by_name",
            "started_at",
            "finished_at",
            "planned",
            "deleted",
            "stuck",
            "flagged",
            "freed_bytes",
            "error",
        )


class DeletionSerializer(serializers.ModelSerializer[Deletion]):
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.version")

    class Meta:
        model = Deletion
        fields = ("model", "version", "status", "planned_at", "attempts", "attempted_at", "last_error")


class HoldSerializer(serializers.ModelSerializer[Hold]):
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.version")

    class Meta:
        model = Hold
        exclude = ("id", "placed_by_id")


class PageSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, default=1)


class Preview(APIView):
    """What may be deleted now and in the next 30 days, soonest first, a page at a time; what is stuck; the last run."""

    def get(self, request: Request) -> Response:
        require(actor_of(request), Action.VIEW)
        now = timezone.now()
        outlook = queries.outlook(now)
        wanted = PageSerializer(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        page = Paginator(outlook.going, PAGE_SIZE).get_page(wanted.validated_data["page"])
        last = queries.runs().first()
        return Response(
            {
                "due": outlook.due,
                "within_30_days": outlook.soon,
                "later": outlook.later,
                "protected": len(outlook.protected),
                "stuck": DeletionSerializer(queries.stuck()[:PAGE_SIZE], many=True).data,
                "last_clean_up": CleanUpSerializer(last).data if last else None,
                "next_page": page.next_page_number() if page.has_next() else None,
                "results": [_line(each) for each in queries.going(list(page), now)],
            }
        )


def _line(going: queries.Going) -> dict[str, Any]:
    version = going.version
    return {
        "model": version.model.name,
        "version": version.version,
        "semantic_version": version.semantic_version,
        "archived_since": version.stage_since,
        "deletable_from": going.at,
        "due": going.is_due,
    }


class CleanUp(APIView):
    def post(self, request: Request) -> Response:
        reason = valid(ReasonSerializer, request)["reason"]
        started = operations.start_clean_up(reason=reason, actor=actor_of(request), now=timezone.now())
        return Response(CleanUpSerializer(started).data, status=202)


class HoldChange(APIView):
    """Place or release a hold: ``operation`` is given by the address."""

    operation: Callable[..., Hold] = operations.place_hold
    status = 200

    def post(self, request: Request, name: str, version: int) -> Response:
        changed = type(self).operation(
            version=version_for(request, name, version),
            reason=valid(ReasonSerializer, request)["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(HoldSerializer(changed).data, status=self.status)


class PlaceHold(HoldChange):
    operation = staticmethod(operations.place_hold)
    status = 201


class ReleaseHold(HoldChange):
    operation = staticmethod(operations.release_hold)
