"""What people decide about a transition besides yes and no, and their inbox, by API. None of it takes a token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import prefetch_related_objects
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations, queries_inbox
from lifecycle.models import Transition
from lifecycle.queries_inbox import Asked
from portal.access import actor_of
from portal.api.base import APIView
from portal.api.serializers import TransitionSerializer
from portal.api.views import Decision

INBOX_SHOWN = 100
"""Rows of one list of the inbox; transitions/?waiting_for=me has them all."""


class TakeBack(Decision):
    """Takes back one's own yes, as long as the execution has not begun."""

    operation = staticmethod(operations.take_back)


class Bypass(Decision):
    """Lets a transition go on without the approvals that are missing; it is flagged until it has been reviewed."""

    operation = staticmethod(operations.bypass)


class ReviewBypass(Decision):
    """Says what there is to say about a bypass. Whoever took part in it is refused."""

    operation = staticmethod(operations.review_bypass)


class OverrideFreeze(Decision):
    """Lets one transition go on although a freeze holds it."""

    operation = staticmethod(operations.override_freeze)


class AskedSerializer(serializers.Serializer[Asked]):
    """A request of one's own that waits for others; ``could`` are the first of those who could say yes."""

    transition = serializers.IntegerField(source="transition.pk")
    model = serializers.CharField(source="transition.model.name")
    version = serializers.IntegerField(source="transition.version.version")
    waits_for = serializers.ListField(child=serializers.CharField(), source="missing")
    could = serializers.ListField(child=serializers.CharField())


class InboxSerializer(serializers.Serializer[Any]):
    """``waiting`` are transitions to decide on, ``rollouts`` those to let go on; both oldest first."""

    count = serializers.IntegerField()
    waiting = TransitionSerializer(many=True)
    rollouts = TransitionSerializer(many=True)
    bypasses = TransitionSerializer(many=True)
    rollbacks = TransitionSerializer(many=True)
    asked = AskedSerializer(many=True)


class Inbox(APIView):
    @extend_schema(responses=InboxSerializer)
    def get(self, request: Request) -> Response:
        """What waits for whoever asks: at most 100 of each kind."""
        actor, now = actor_of(request), timezone.now()
        inbox = queries_inbox.inbox(actor)
        lists = {
            "waiting": inbox.waiting,
            "rollouts": inbox.asking,
            "bypasses": inbox.bypasses,
            "rollbacks": inbox.reviews,
        }
        found = {name: _first(rows) for name, rows in lists.items()}
        asked = queries_inbox.asked_by(actor, now)[:INBOX_SHOWN]
        return Response(InboxSerializer({"count": inbox.count, **found, "asked": asked}).data)


def _first(rows: Iterable[Transition]) -> list[Transition]:
    shown = list(rows)[:INBOX_SHOWN]
    prefetch_related_objects(shown, "approvals", "effects", "policy")
    return shown
