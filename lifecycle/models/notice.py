"""What people are told outside of the portal: the notices to send, and where they go."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from lifecycle.models.registry import RegisteredModel, Team
from lifecycle.models.transition import Transition


class Channel(models.Model):
    """A chat room or mailbox that many people read; an administrator sets it up.

    ``url`` is an address as Apprise writes it, encrypted, because it holds the room's secret; ``shown`` is the part of
    it that may be seen. Without a team it hears of every model.
    """

    name = models.CharField(max_length=100, unique=True)
    team = models.ForeignKey(Team, null=True, on_delete=models.CASCADE, related_name="channels")
    url = models.BinaryField()
    shown = models.CharField(max_length=200)
    events = models.JSONField(default=list)
    created_at = models.DateTimeField()
    created_by_name = models.CharField(max_length=200)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class NoticeSetting(models.Model):
    """The events of which a person wants no e-mail. Without a row they get all that concern them."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notice_setting")
    muted = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"notices of {self.person}"


class NoticeState(models.TextChoices):
    WAITING = "waiting", "to be sent"
    SENT = "sent", "sent"
    FAILED = "failed", "given up"
    DROPPED = "dropped", "not wanted any more"


class Notice(models.Model):
    """One message to one person or channel, written in the transaction of what it tells of and sent afterwards.

    ``event`` is one of ``lifecycle.domain.notices.Event``; ``key`` names what it tells of, so that nobody is told
    twice. ``facts`` is what its template gets. ``claimed_until`` belongs to the task that is sending it now.
    """

    event = models.CharField(max_length=30)
    key = models.CharField(max_length=200)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="notices")
    channel = models.ForeignKey(Channel, null=True, on_delete=models.CASCADE, related_name="notices")
    model = models.ForeignKey(RegisteredModel, null=True, on_delete=models.CASCADE, related_name="+")
    transition = models.ForeignKey(Transition, null=True, on_delete=models.CASCADE, related_name="notices")
    facts = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=NoticeState, default=NoticeState.WAITING)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(db_index=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=Q(person=None) ^ Q(channel=None), name="a_notice_has_one_addressee"),
            models.UniqueConstraint(fields=("key", "person"), condition=Q(channel=None), name="a_person_is_told_once"),
            models.UniqueConstraint(fields=("key", "channel"), condition=Q(person=None), name="a_channel_is_told_once"),
        )
        indexes = (models.Index(fields=("state", "due_at"), name="notices_due"),)

    def __str__(self) -> str:
        return f"{self.event} to {self.person or self.channel}"


class NoticeCursor(models.Model):
    """How far the record has been told of: one row, whose ``seq`` is the last entry that was looked at.

    ``retention_told_at`` is when owners were last told what will be deleted; ``sending_until`` belongs to the task that
    is sending notices now.
    """

    seq = models.BigIntegerField()
    retention_told_at = models.DateTimeField(null=True)
    sending_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"told up to entry {self.seq}"
