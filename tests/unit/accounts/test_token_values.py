"""What a token says about itself."""

from datetime import UTC, datetime, timedelta

import pytest

from lifecycle.domain.permissions import IN_PERSON, Action, Role
from portal.accounts.models import ApiToken, User
from portal.accounts.tokens import BadTokenError, Issued, recognise, scopes_for

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


def token(**values):
    owner = User(username="ci", is_active=values.pop("is_active", True))
    return ApiToken(**{"user": owner, "name": "nightly", "expires_at": NOW + timedelta(days=1), "scopes": [], **values})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, ""),
        ({"expires_at": NOW + timedelta(microseconds=1)}, ""),
        ({"expires_at": NOW}, "expired"),
        ({"expires_at": NOW - timedelta(days=1)}, "expired"),
        ({"revoked_at": NOW - timedelta(days=1)}, "revoked"),
        ({"is_active": False}, "owner"),
    ],
)
def test_a_token_says_why_it_no_longer_works(values, why):
    assert why in token(**values).why_dead(NOW)
    assert bool(token(**values).why_dead(NOW)) == bool(why)


def test_a_scope_that_no_longer_exists_gives_nothing():
    assert token(scopes=["record_evidence", "fly"]).actions == {Action.RECORD_EVIDENCE}


def test_nothing_that_takes_a_person_is_offered():
    assert not set(scopes_for(Role)) & IN_PERSON
    service = (Action.REPORT_METRICS, Action.READ_RECORD, Action.RECORD_EVIDENCE, Action.START_CHECK)
    assert scopes_for({Role.SERVICE}) == service
    assert scopes_for(()) == ()


def test_the_secret_is_not_in_what_a_log_would_show():
    assert "secret" not in repr(Issued(token(), "sg_0_secret"))


@pytest.mark.parametrize(
    "text", ["", "sg_", "sg_0123456789ab_", "sg_0123456789ab_" + "g" * 64, "sg_0123456789AB_" + "0" * 64,
             " sg_0123456789ab_" + "0" * 64, "sg_0123456789ab_" + "0" * 64 + "\n", "0" * 10_000, "sg_\0_\0"]
)  # fmt: skip
def test_what_does_not_look_like_a_token_reaches_no_database(text):
    with pytest.raises(BadTokenError, match="not a token"):
        recognise(text, NOW)
