"""Keeping secrets in the database: encrypted, with keys that come from the installation's secret key.

A new SECRET_KEY encrypts, and those in SECRET_KEY_FALLBACKS still decrypt, as Django does it with what it signs.
"""

from __future__ import annotations

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PURPOSE = b"stagegate: addresses of channels"
"""What tells these keys from others that come from the same secret."""


class SealBrokenError(Exception):
    """None of the secret keys opens it."""


def seal(text: str) -> bytes:
    return _fernets()[0].encrypt(text.encode())


def unseal(sealed: bytes | memoryview) -> str:
    """Raises SealBrokenError."""
    try:
        return MultiFernet(_fernets()).decrypt(bytes(sealed)).decode()
    except InvalidToken:
        raise SealBrokenError(
            "It was encrypted with a secret key that is not known any more. Put the old one into "
            "STAGEGATE_SECRET_KEY_FALLBACKS, or enter the address again."
        ) from None


def is_current(sealed: bytes | memoryview) -> bool:
    """Whether it was encrypted with the secret key of today."""
    try:
        _fernets()[0].decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def _fernets() -> list[Fernet]:
    return [Fernet(_key(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _key(secret: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)
