"""MLflow's webhooks: is this delivery genuine and fresh, and what is it about?

MLflow signs ``<delivery id>.<timestamp>.<body>`` with HMAC-SHA256 and sends the digest as ``v1,<base64>``. Its
timestamp is in whole seconds since 1970. A delivery is only a hint to look: nothing in it is copied anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

ID_HEADER = "X-MLflow-Delivery-Id"
TIMESTAMP_HEADER = "X-MLflow-Timestamp"
SIGNATURE_HEADER = "X-MLflow-Signature"
SIGNATURE_VERSION = "v1"
MODEL_ENTITIES = frozenset({"registered_model", "model_version", "model_version_tag", "model_version_alias"})
MAX_ID_CHARACTERS = 200
MAX_VERSION = 2**31 - 1


class RefusedDeliveryError(ValueError):
    """A delivery that must be ignored. ``rule`` names what refused it, for the record."""

    rule = "refused"


class MissingHeaderError(RefusedDeliveryError):
    rule = "missing header"


class StaleTimestampError(RefusedDeliveryError):
    rule = "stale timestamp"


class BadSignatureError(RefusedDeliveryError):
    rule = "bad signature"


class MalformedError(RefusedDeliveryError):
    rule = "malformed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A genuine delivery. ``id`` is unique: a second one with the same id is a replay."""

    id: str
    entity: str
    action: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What a delivery is about: a version, or the model as a whole when ``version`` is None."""

    model: str
    version: int | None = None


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance: timedelta = timedelta(minutes=5),
) -> Delivery:
    """The delivery, if it was signed with ``secret`` within ``tolerance`` of ``now`` (aware).

    Header names match in any case. Raises MissingHeaderError, StaleTimestampError, BadSignatureError or
    MalformedError; nothing of the body is read before the signature has been checked.
    """
    if not secret:
        raise BadSignatureError("No webhook secret is configured, so no delivery can be trusted.")
    by_name = {name.lower(): value for name, value in headers.items()}
    delivery_id, timestamp, signature = (
        _header(by_name, name) for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    )
    _check_time(timestamp, now, tolerance)
    _check_signature(secret, f"{delivery_id}.{timestamp}.", body, signature)
    if len(delivery_id) > MAX_ID_CHARACTERS or not delivery_id.isprintable():
        raise MalformedError("The delivery id is not usable.")
    return _delivery(delivery_id, body)


def names_of(delivery: Delivery) -> Subject | None:
    """What to read afresh: a version, a model, or nothing.

    A change of alias concerns the model, whose aliases MLflow lists. Prompts and budgets concern nobody here.
    """
    name = delivery.data.get("name")
    if delivery.entity not in MODEL_ENTITIES or not isinstance(name, str) or not name:
        return None
    if delivery.entity in {"registered_model", "model_version_alias"}:
        return Subject(name)
    return Subject(name, _version_number(delivery.data.get("version")))


def _header(by_name: Mapping[str, str], name: str) -> str:
    value = by_name.get(name.lower(), "")
    if not value:
        raise MissingHeaderError(f"The header {name} is missing.")
    return value


def _check_time(timestamp: str, now: datetime, tolerance: timedelta) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise MalformedError("The timestamp is not a number of seconds.")
    sent = datetime.fromtimestamp(int(timestamp), UTC)
    if abs(now - sent) > tolerance:
        raise StaleTimestampError(f"Sent at {sent.isoformat()}, which is more than {tolerance} away.")


def _check_signature(secret: str, prefix: str, body: bytes, signature: str) -> None:
    """Space-separated signatures are allowed, as Standard Webhooks has them while a secret is being changed."""
    digest = hmac.new(secret.encode(), prefix.encode("utf-8", "surrogateescape") + body, hashlib.sha256).digest()
    expected = f"{SIGNATURE_VERSION},{base64.b64encode(digest).decode()}".encode()
    given = [candidate.encode("utf-8", "replace") for candidate in signature.split(" ")]
    if sum(hmac.compare_digest(expected, candidate) for candidate in given) == 0:
        raise BadSignatureError("The signature does not fit the body and the secret.")


def _delivery(delivery_id: str, body: bytes) -> Delivery:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedError("The body is not JSON.") from error
    if not isinstance(payload, dict):
        raise MalformedError("The body is not an object.")
    entity, action, data = payload.get("entity"), payload.get("action"), payload.get("data")
    if not isinstance(entity, str) or not isinstance(action, str) or not isinstance(data, dict):
        raise MalformedError("The body lacks entity, action or data.")
    return Delivery(delivery_id, entity, action, data)


def _version_number(value: object) -> int | None:
    """MLflow writes versions as strings."""
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) <= 10):
        return None
    number = int(value)
    return number if 0 < number <= MAX_VERSION else None
