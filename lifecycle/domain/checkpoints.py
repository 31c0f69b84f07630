"""Checkpoints: signed statements that the record had an entry with a hash at a time.

A statement is a JSON object: ``seq`` and ``hash`` of the newest entry, ``at`` (when it was signed, as
``chain.timestamp`` writes it), ``previous`` (the hash of the statement before, chain.FIRST for the first), ``key_id``
(the public key: 32 bytes in hexadecimal) and ``signature`` (64 bytes in hexadecimal; Ed25519, over the canonical bytes
of the other fields). A chain that was written anew does not have the hash of an older statement; of two statements that
hold the same ``previous``, one is from a fork; a statement that is taken out leaves a ``previous`` that fits nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from lifecycle.domain import chain

FIELDS = frozenset({"seq", "hash", "at", "previous", "key_id", "signature"})
LONGEST_PAUSE = timedelta(hours=1)
"""Between two attempts to deliver a checkpoint."""
SHORT_PAUSES = 6
"""How many pauses come before LONGEST_PAUSE: 1, 2, 4, 8, 16 and 32 minutes."""

Statement = Mapping[str, Any]


class BadKeyError(ValueError):
    """A file is no Ed25519 private key in PEM form without a password."""


class BrokenError(ValueError):
    """A statement does not hold. ``position`` counts the statements from 0."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(why)
        self.position = position


def new_key() -> bytes:
    """A new private key: PKCS #8, in PEM form, without a password."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises BadKeyError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BadKeyError("it is not a private key in PEM form without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKeyError("it is a private key, but not one for Ed25519")
    return key


def key_id(key: Ed25519PrivateKey) -> str:
    """The name of a key, which is its public half: 32 bytes in hexadecimal."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def public_pem(key: str) -> str:
    """The public key of this ``key_id`` in PEM form, for whoever checks a signature with a tool of their own."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def sign(key: Ed25519PrivateKey, *, seq: int, entry_hash: str, at: datetime, previous: Statement | None) -> Statement:
    """The statement that the record has the entry ``seq`` with ``entry_hash``, after the statement ``previous``."""
    said = {
        "seq": seq,
        "hash": entry_hash,
        "at": chain.timestamp(at),
        "previous": chain.FIRST if previous is None else statement_hash(previous),
        "key_id": key_id(key),
    }
    return {**said, "signature": key.sign(chain.canonical(said)).hex()}


def statement_hash(statement: Statement) -> str:
    """The SHA-256, in hexadecimal, of a statement's canonical bytes, its signature among them."""
    return hashlib.sha256(chain.canonical(statement)).hexdigest()


def content(statement: Statement) -> bytes:
    """What a place that keeps checkpoints gets: the statement in canonical JSON, and a line's end."""
    return chain.canonical(statement) + b"\n"


def file_name(statement: Statement) -> str:
    """Of such a length that the names are in the order of the entries."""
    return f"checkpoint-{statement['seq']:012d}.json"


def key_file_name(key: str) -> str:
    """Where the public key of this ``key_id`` lies beside the checkpoints."""
    return f"public-key-{key[:16]}.pem"


def verify(statements: Sequence[Statement], *, keys: frozenset[str] | None = None, previous: str = chain.FIRST) -> None:
    """Statements in the order of their entries hold: each is signed by one of ``keys`` and follows the one before.

    ``keys`` None: by whatever key it names. ``previous`` is the hash of the statement before the first of them. Raises
    BrokenError for the first one that does not hold.
    """
    last = 0
    for position, statement in enumerate(statements):
        why = why_unsigned(statement, keys)
        if not why and statement["previous"] != previous:
            why = "it does not follow the one before: one is missing, or the record was forked"
        if not why and statement["seq"] <= last:
            why = "its entry is not after that of the one before"
        if why:
            raise BrokenError(position, why)
        previous, last = statement_hash(statement), statement["seq"]


def why_unsigned(statement: Statement, keys: frozenset[str] | None = None) -> str:
    """What is wrong with a statement by itself, "" when nothing is. ``keys`` as in ``verify``."""
    if set(statement) != FIELDS:
        return "it does not have the fields of a checkpoint"
    if keys is not None and statement["key_id"] not in keys:
        return "it is signed by a key that is not trusted"
    said = {name: value for name, value in statement.items() if name != "signature"}
    try:
        public = Ed25519PublicKey.from_public_bytes(_from_hex(statement["key_id"]))
        public.verify(_from_hex(statement["signature"]), chain.canonical(said))
    except (ValueError, TypeError, InvalidSignature):
        return "its signature is not right"
    return ""


def _from_hex(text: str) -> bytes:
    """The bytes, of which there is one way of writing: ``bytes.fromhex`` alone passes over blanks."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("not in small hexadecimal digits alone")
    return found


def next_attempt(at: datetime, attempts: int) -> datetime:
    """When a checkpoint from ``at`` that could not be delivered ``attempts`` times is tried again."""
    minutes = 2 ** min(attempts, SHORT_PAUSES) - 1
    return at + timedelta(minutes=minutes) + LONGEST_PAUSE * max(attempts - SHORT_PAUSES, 0)
