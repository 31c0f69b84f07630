"""People, their roles, and the tokens that programs use in their place."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.utils.functional import cached_property

from lifecycle.domain.permissions import Action, Role


class User(AbstractUser):
    """A person, or a service account: a user with the role ``service``, who acts by tokens and cannot sign in.

    ``time_zone`` is an IANA name; "" means that the browser's zone is used.
    """

    time_zone = models.CharField(max_length=64, blank=True, default="")

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    @cached_property
    def role_set(self) -> frozenset[Role]:
        return frozenset(Role(row.role) for row in self.role_assignments.all())

    @property
    def is_service(self) -> bool:
        return Role.SERVICE in self.role_set


class RoleAssignment(models.Model):
    """One role of one person."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "role"), name="a_role_once_a_person"),)

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"


TOKEN_NAME_LIMIT = 34
"""Characters; the record keeps ``token:`` and the name in 40."""


class ApiToken(models.Model):
    """What a program shows to act as ``user``: for the actions in ``scopes`` and until ``expires_at``.

    The token's text is ``sg_``, ``prefix``, ``_`` and a secret of 256 random bits. Of the secret only the SHA-256 is
    kept, as ``digest``: it is far too long to be guessed, so a slow hash would add nothing. ``last_used_at`` may be a
    minute behind.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=TOKEN_NAME_LIMIT)
    prefix = models.CharField(max_length=12, unique=True)
    digest = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=200, blank=True, default="")
    revoked_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            # The record names tokens by owner and name: two at once could not be told apart there.
            models.UniqueConstraint(
                fields=("user", "name"), condition=Q(revoked_at=None), name="a_token_name_once_an_owner"
            ),
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="a_token_lives_for_a_while"),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.name}"

    @property
    def actions(self) -> frozenset[Action]:
        return frozenset(action for action in Action if action.value in self.scopes)

    @property
    def ordered_actions(self) -> list[Action]:
        """The scopes in the order in which they are offered."""
        return [action for action in Action if action in self.actions]

    def why_dead(self, now: datetime) -> str:
        """Why the token no longer works, "" while it does."""
        if self.revoked_at is not None:
            return "This token has been revoked."
        if now >= self.expires_at:
            return "This token has expired."
        if not self.user.is_active:
            return "The owner of this token is not active any more."
        return ""
