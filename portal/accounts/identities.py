"""What tells that two accounts are one person: verified addresses, and identities at an OpenID provider."""

from __future__ import annotations

import hashlib

from lifecycle.people import email_identity
from portal.accounts.models import Identity, User

EMAIL = "email:"
LONGEST = 500
"""Characters that an identity can have; of a longer one the hash is kept."""


def of_subject(issuer: str, subject: str) -> str:
    """Somebody at an OpenID provider: a subject is unique at its issuer, and nowhere else."""
    value = f"oidc:{issuer}|{subject}"
    return value if len(value) <= LONGEST else f"oidc:{hashlib.sha256(value.encode()).hexdigest()}"


def add(user: User, value: str) -> None:
    Identity.objects.get_or_create(user=user, value=value)


def set_email(user: User, email: str, verified: bool) -> None:
    """Set somebody's address, in place of the one they had. Only a verified one tells who they are.

    Call it inside the transaction that records it.
    """
    user.email = email.strip()
    user.save(update_fields=["email"])
    kept = email_identity(email) if verified and email.strip() else ""
    Identity.objects.filter(user=user, value__startswith=EMAIL).exclude(value=kept).delete()
    if kept:
        add(user, kept)
