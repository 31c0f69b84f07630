"""People, their roles, and the tokens that programs use in their place."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q, Value
from django.utils.functional import cached_property

from lifecycle.domain.permissions import TEAM_ROLES, Action, Role


class User(AbstractUser):
    """A person, or a service account: a user with the role ``service``, who acts by tokens and cannot sign in.

    ``time_zone`` is an IANA name; "" means that the browser's zone is used. ``is_shared`` marks an account that several
    people use: it can neither ask for a transition nor decide on one. ``made_by`` made a service account.
    """

    time_zone = models.CharField(max_length=64, blank=True, default="")
    is_shared = models.BooleanField(default=False)
    made_by = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    @cached_property
    def _held(self) -> list[tuple[bool, str, int | None]]:
        """Each role, with the key of its team, and what identifies the person: every page needs all of it."""
        is_role, no_team = Value(1, models.IntegerField()), Value(None, models.BigIntegerField())
        roles = self.role_assignments.order_by().values_list(is_role, "role", "team_id")
        identities = self.identities.order_by().values_list(Value(0, models.IntegerField()), "value", no_team)
        return [(bool(is_role), text, team) for is_role, text, team in roles.union(identities, all=True)]

    @cached_property
    def _roles(self) -> list[tuple[Role, int | None]]:
        """What was prefetched for many people is not read again."""
        if "role_assignments" in getattr(self, "_prefetched_objects_cache", {}):
            return [(Role(row.role), row.team_id) for row in self.role_assignments.all()]
        return [(Role(text), team) for is_role, text, team in self._held if is_role]

    @cached_property
    def role_set(self) -> frozenset[Role]:
        """The roles that this person has for every model."""
        return frozenset(role for role, team in self._roles if team is None)

    @cached_property
    def team_role_set(self) -> frozenset[tuple[int, Role]]:
        """The roles for one team's models alone, each with the team's key."""
        return frozenset((team, role) for role, team in self._roles if team is not None)

    @cached_property
    def identity_set(self) -> frozenset[str]:
        """What this account shares with another one of the same person."""
        if "identities" in getattr(self, "_prefetched_objects_cache", {}):
            return frozenset(row.value for row in self.identities.all())
        return frozenset(text for is_role, text, _ in self._held if not is_role)

    @property
    def is_service(self) -> bool:
        return Role.SERVICE in self.role_set


class RoleAssignment(models.Model):
    """One role of one person: for the models of ``team``, or for every model. ``given_by`` is an OpenID provider's name
    for a role that comes from its claim and goes with it, "" for one that an administrator gave."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])
    team = models.ForeignKey("lifecycle.Team", null=True, on_delete=models.CASCADE, related_name="role_assignments")
    given_by = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("user", "role"), condition=Q(team=None), name="a_role_once_a_person"),
            models.UniqueConstraint(fields=("user", "role", "team"), name="a_team_role_once_a_person"),
            models.CheckConstraint(
                condition=Q(team=None) | Q(role__in=sorted(TEAM_ROLES)), name="what_a_team_role_can_be"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.role}" + (f" of {self.team}" if self.team_id else "")


class Identity(models.Model):
    """What proves that an account is a certain person's: ``email:`` and a verified address, ``oidc:`` and issuer and
    subject. Two accounts that share one are the same person."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="identities")
    value = models.CharField(max_length=500, db_index=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = (models.UniqueConstraint(fields=("user", "value"), name="an_identity_once_an_account"),)

    def __str__(self) -> str:
        return f"{self.user}: {self.value}"


TOKEN_NAME_LIMIT = 34
"""Characters; the record keeps ``token:`` and the name in 40."""


class ApiToken(models.Model):
    """What a program shows to act as ``user``: for the actions in ``scopes`` and until ``expires_at``.

    The token's text is ``sg_``, ``prefix``, ``_`` and a secret of 256 random bits. Of the secret only the SHA-256 is
    kept, as ``digest``: it is far too long to be guessed, so a slow hash would add nothing. ``last_used_at`` may be a
    minute behind. ``made_by`` is whoever made it, which is somebody else for a service account's.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=TOKEN_NAME_LIMIT)
    prefix = models.CharField(max_length=12, unique=True)
    digest = models.CharField(max_length=64)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
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
