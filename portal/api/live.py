"""Which version served what share at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import live_at
from lifecycle.domain.live import Told
from lifecycle.live_at import LiveAt
from portal.access import model_for
from portal.api.base import APIView


class AtSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(required=False)


class ShareSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    semantic_version = serializers.CharField(help_text="What the record called the version then; empty if nothing.")
    percent = serializers.IntegerField(min_value=0, max_value=100)


class EntrySerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    action = serializers.CharField()
    transition = serializers.IntegerField(allow_null=True)


class LiveSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    at = serializers.DateTimeField()
    known = serializers.BooleanField(help_text="False before the record's first word about this model's requests.")
    known_since = serializers.DateTimeField(allow_null=True, help_text="When that is, where known is false.")
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="null: the record tells of no later change.")
    transition = serializers.IntegerField(allow_null=True)
    shares = ShareSerializer(many=True, help_text="Percent of requests by version. Empty: no version got any.")
    copies = ShareSerializer(many=True, help_text="Versions that got copies of requests; nobody got their answers.")
    entry = EntrySerializer(allow_null=True, help_text="The entry of the record that tells of these shares first.")
    ended_by = EntrySerializer(allow_null=True)


EXAMPLE = {
    "model": "iris",
    "at": "2026-01-31T08:00:00Z",
    "known": True,
    "known_since": None,
    "since": "2026-01-31T07:12:09.120000Z",
    "until": "2026-01-31T09:12:11.480000Z",
    "transition": 12,
    "shares": [
        {"version": 1, "semantic_version": "1.0.0", "percent": 75},
        {"version": 2, "semantic_version": "1.1.0", "percent": 25},
    ],
    "copies": [],
    "entry": {"seq": 311, "at": "2026-01-31T07:12:09.120000Z", "action": "traffic_changed", "transition": 12},
    "ended_by": {"seq": 320, "at": "2026-01-31T09:12:11.480000Z", "action": "traffic_changed", "transition": 12},
}
"""In the middle of a rollout."""


class Live(APIView):
    def get(self, request: Request, name: str) -> Response:
        """Which version served what share at a time, from the record alone."""
        model = model_for(request, name)
        query = AtSerializer(data=request.GET)
        query.is_valid(raise_exception=True)
        now = timezone.now()
        at = query.validated_data.get("at") or now
        return Response(LiveSerializer(_as_json(live_at.live_at(model, at, now))).data)


def _as_json(answer: LiveAt) -> dict[str, Any]:
    period = answer.period
    began, ended = (period.began, period.ended) if period else (None, None)
    return {
        "model": answer.model.name,
        "at": answer.at,
        "known": period is not None,
        "known_since": answer.first,
        "since": began.at if began else None,
        "until": answer.next,
        "transition": began.transition if began else None,
        "shares": _shares(answer, answer.shares.weights),
        "copies": _shares(answer, answer.shares.copies),
        "entry": _entry(began),
        "ended_by": _entry(ended),
    }


def _shares(answer: LiveAt, shares: Mapping[int, int]) -> list[dict[str, Any]]:
    return [
        {"version": version, "semantic_version": answer.labels.get(version, ""), "percent": share}
        for version, share in sorted(shares.items())
    ]


def _entry(told: Told | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {"seq": told.seq, "at": told.at, "action": told.action, "transition": told.transition}
