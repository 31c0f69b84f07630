"""People and their roles."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.functional import cached_property

from lifecycle.domain.permissions import Role


class User(AbstractUser):
    """A person. ``time_zone`` is an IANA name; "" means that the browser's zone is used."""

    time_zone = models.CharField(max_length=64, blank=True, default="")

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    @cached_property
    def role_set(self) -> frozenset[Role]:
        return frozenset(Role(row.role) for row in self.role_assignments.all())


class RoleAssignment(models.Model):
    """One role of one person."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])

    class Meta:
        constraints = (models.UniqueConstraint(fields=("user", "role"), name="a_role_once_a_person"),)

    def __str__(self) -> str:
        return f"{self.user}: {self.role}"
