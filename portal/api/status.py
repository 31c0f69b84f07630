"""How the system is, part by part: for whoever watches it with something else than the page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import queries_status
from lifecycle.domain.permissions import Action, require
from lifecycle.domain.system import Figure, Part, State
from portal.access import actor_of
from portal.api.base import APIView


class FigureSerializer(serializers.Serializer[Figure]):
    name = serializers.CharField(source="label")
    value = serializers.SerializerMethodField("shown", help_text="Words, a number in digits, or a moment.")

    def shown(self, figure: Figure) -> str:
        value = figure.value
        return value.isoformat() if isinstance(value, datetime) else str(value)


class PartSerializer(serializers.Serializer[Part]):
    part = serializers.CharField(source="key")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in State])
    says = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True, help_text="When the trouble began; null: none, or not known.")
    what_to_do = serializers.CharField(source="todo", help_text="Empty where there is nothing to do.")
    figures = FigureSerializer(many=True)


class SystemSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    works = serializers.BooleanField(help_text="False while a part needs attention.")
    needs_attention = serializers.ListField(child=serializers.CharField(), help_text="These parts, the gravest first.")
    parts = PartSerializer(many=True)


EXAMPLE = {
    "at": "2026-01-31T08:00:00Z",
    "works": False,
    "needs_attention": ["queue:rollbacks"],
    "parts": [
        {
            "part": "queue:rollbacks",
            "name": "Rollbacks",
            "state": "down",
            "says": "What it is asked to do waits.",
            "since": "2026-01-31T07:52:10Z",
            "what_to_do": "Start one: celery --app portal.celery:app worker --queues rollbacks. What waits is then "
            "carried out.",
            "figures": [{"name": "Queue", "value": "rollbacks"}],
        }
    ],
}


class Status(APIView):
    def get(self, request: Request) -> Response:
        require(actor_of(request), Action.VIEW)
        system = queries_status.of_now(timezone.now())
        troubles = [part.key for part in system.troubles]
        body = {
            "at": system.at,
            "works": not troubles and not system.unheard,
            "needs_attention": troubles,
            "parts": system.parts,
        }
        return Response(SystemSerializer(body).data)
