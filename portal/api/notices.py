"""What has become of notices, as JSON: for administrators, and for their monitoring."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from lifecycle import queries_notices
from lifecycle.models import Notice, NoticeState
from portal.api.base import ListAPIView


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """No address is shown: ``to`` is a person's name or a channel's."""

    to = serializers.SerializerMethodField()
    channel = serializers.CharField(source="channel.name", allow_null=True, read_only=True)
    model = serializers.CharField(source="model.name", allow_null=True, read_only=True)

    class Meta:
        model = Notice
        fields = (
            *("id", "event", "to", "channel", "model", "transition", "state", "attempts"),
            *("created_at", "due_at", "sent_at", "last_error"),
        )

    def get_to(self, notice: Notice) -> str:
        return str(notice.person.display_name if notice.person else notice.channel)


class WantedSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=NoticeState.choices, required=False)


class Notices(ListAPIView[Notice]):
    """Notices to people and channels, newest first; ``state`` shows those in one state alone."""

    serializer_class = NoticeSerializer

    def get_queryset(self) -> QuerySet[Notice]:
        wanted = WantedSerializer(data=self.request.query_params)
        wanted.is_valid(raise_exception=True)
        state = wanted.validated_data.get("state")
        return queries_notices.delivery([state] if state else [])
