"""Which deliveries are believed, and which rule refuses the others."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lifecycle.domain.webhooks import (
    BadSignatureError,
    Delivery,
    MalformedError,
    MissingHeaderError,
    RefusedDeliveryError,
    StaleTimestampError,
    Subject,
    names_of,
    verify,
)

SECRET = "s3cret"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SENT = str(int(NOW.timestamp()))
BODY = json.dumps({"entity": "model_version", "action": "created", "data": {"name": "iris", "version": "3"}}).encode()


def signed(body: bytes = BODY, *, sent: str = SENT, secret: str = SECRET, delivery_id: str = "d-1") -> dict[str, str]:
    digest = hmac.new(secret.encode(), f"{delivery_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    return {
        "X-MLflow-Delivery-Id": delivery_id,
        "X-MLflow-Timestamp": sent,
        "X-MLflow-Signature": "v1," + base64.b64encode(digest).decode(),
    }


def test_a_genuine_delivery_is_read() -> None:
    delivery = verify(SECRET, signed(), BODY, NOW)
    assert delivery == Delivery("d-1", "model_version", "created", {"name": "iris", "version": "3"})


def test_header_names_match_in_any_case() -> None:
    headers = {name.upper(): value for name, value in signed().items()}
    assert verify(SECRET, headers, BODY, NOW).id == "d-1"


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed()
    headers["X-MLflow-Signature"] = "v1,AAAA " + headers["X-MLflow-Signature"]
    assert verify(SECRET, headers, BODY, NOW).id == "d-1"


@pytest.mark.parametrize("name", ["X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_every_header_is_needed(name: str, value: str | None) -> None:
    headers = {key: given for key, given in signed().items() if key != name}
    if value is not None:
        headers[name] = value
    with pytest.raises(MissingHeaderError, match=name):
        verify(SECRET, headers, BODY, NOW)


@pytest.mark.parametrize("minutes", [-6, 6, 60, -60 * 24 * 365])
def test_a_delivery_from_another_time_is_stale(minutes: int) -> None:
    sent = str(int((NOW + timedelta(minutes=minutes)).timestamp()))
    with pytest.raises(StaleTimestampError):
        verify(SECRET, signed(sent=sent), BODY, NOW)


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_five_minutes_either_way_are_fresh(minutes: int) -> None:
    sent = str(int((NOW + timedelta(minutes=minutes)).timestamp()))
    assert verify(SECRET, signed(sent=sent), BODY, NOW)


@pytest.mark.parametrize("sent", ["soon", "1e9", "-1", "12.5", "٣", "9" * 40, " 1", "0x10"])
def test_a_timestamp_is_whole_seconds(sent: str) -> None:
    headers = signed() | {"X-MLflow-Timestamp": sent}
    with pytest.raises(MalformedError):
        verify(SECRET, headers, BODY, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"X-MLflow-Signature": "v1,AAAA"},
        {"X-MLflow-Signature": signed()["X-MLflow-Signature"][3:]},
        {"X-MLflow-Signature": "v2" + signed()["X-MLflow-Signature"][2:]},
        {"X-MLflow-Signature": "ü"},
        {"X-MLflow-Signature": signed(secret="other")["X-MLflow-Signature"]},
        {"X-MLflow-Delivery-Id": "d-2"},
        {"X-MLflow-Timestamp": str(int(SENT) + 1)},
    ],
)
def test_what_was_not_signed_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(BadSignatureError):
        verify(SECRET, signed() | change, BODY, NOW)


def test_a_changed_body_is_refused() -> None:
    with pytest.raises(BadSignatureError):
        verify(SECRET, signed(), BODY.replace(b"3", b"4"), NOW)


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(BadSignatureError):
        verify("", signed(secret=""), BODY, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        b'{"entity": "e", "action": "a"}',
        b"[" * 100_000,
        b'{"entity": 1, "action": "a", "data": {}}',
        b'{"entity": "e", "action": "a", "data": []}',
    ],
    ids=range(10),
)
def test_a_genuine_body_must_make_sense(body: bytes) -> None:
    with pytest.raises(MalformedError):
        verify(SECRET, signed(body), body, NOW)


def test_a_delivery_id_must_fit_a_row() -> None:
    for delivery_id in ("x" * 201, "a\x00b"):
        with pytest.raises(MalformedError):
            verify(SECRET, signed(delivery_id=delivery_id), BODY, NOW)


def test_every_refusal_names_its_rule() -> None:
    rules = {error.rule for error in RefusedDeliveryError.__subclasses__()}
    assert rules == {"missing header", "stale timestamp", "bad signature", "malformed"}
    assert issubclass(RefusedDeliveryError, ValueError)


@pytest.mark.parametrize(
    ("entity", "data", "expected"),
    [
        ("registered_model", {"name": "iris"}, Subject("iris")),
        ("model_version", {"name": "iris", "version": "3"}, Subject("iris", 3)),
        ("model_version_tag", {"name": "iris", "version": "3", "key": "k"}, Subject("iris", 3)),
        ("model_version_alias", {"name": "iris", "alias": "production", "version": "3"}, Subject("iris")),
        ("model_version", {"name": "iris", "version": "three"}, Subject("iris")),
        ("model_version", {"name": "iris", "version": 3}, Subject("iris")),
        ("model_version", {"name": "iris", "version": "0"}, Subject("iris")),
        ("model_version", {"name": "iris", "version": "9999999999"}, Subject("iris")),
        ("model_version", {"name": "iris"}, Subject("iris")),
        ("model_version", {"name": ""}, None),
        ("model_version", {"name": 3}, None),
        ("model_version", {}, None),
        ("prompt", {"name": "p"}, None),
        ("budget_policy", {}, None),
    ],
)
def test_what_a_delivery_is_about(entity: str, data: dict[str, Any], expected: Subject | None) -> None:
    assert names_of(Delivery("d", entity, "set", data)) == expected
