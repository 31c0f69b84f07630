"""Roles from a provider's claim: the map, the path, and what is believed of an address."""

import pytest

from lifecycle.domain.permissions import Role
from portal.accounts.claims import Grant, grants, parse_map, values_at, verified_email

ENGINEER, OWNER = Grant(Role.ML_ENGINEER), Grant(Role.PRODUCT_OWNER, "fraud")
MAP = parse_map('{"ml-eng": "ml_engineer", "fraud-owners": ["product_owner@fraud", "auditor"]}')


def test_the_map_names_roles_for_all_models_and_for_teams():
    assert {"ml-eng": {ENGINEER}, "fraud-owners": {OWNER, Grant(Role.AUDITOR)}} == MAP
    assert parse_map("") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[]", "an object"),
        ('{"a": 1}', "is no role"),
        ('{"a": "boss"}', "'boss' is no role"),
        ('{"a": "service"}', "is no role"),
        ('{"a": "administrator@fraud"}', "no role for a team"),
        ('{"a": "ml_engineer@"}', "no role for a team"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_map(text)


@pytest.mark.parametrize(
    ("claims", "path", "found"),
    [
        ({"groups": ["a", "b"]}, "groups", {"a", "b"}),
        ({"groups": "a"}, "groups", {"a"}),
        ({"groups": ["a", 1, None, {"b": "c"}]}, "groups", {"a"}),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}),
        ({"https://example.com/roles": ["a"]}, "https://example.com/roles", {"a"}),
        ({"a.b": {"c": "x"}}, "a.b.c", {"x"}),
        ({"a": "x"}, "a.b", set()),
        ({}, "groups", set()),
    ],
)
def test_a_claim_is_found_by_its_path(claims, path, found):
    assert values_at(claims, path) == found


def test_only_what_the_map_names_gives_a_role():
    assert grants({"groups": ["ml-eng", "canteen"]}, "groups", MAP) == {ENGINEER}
    assert grants({"groups": ["ML-ENG"]}, "groups", MAP) == set()


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": " Kim@Example.com ", "email_verified": True}, "kim@example.com"),
        ({"email": "kim@example.com"}, ""),
        ({"email": "kim@example.com", "email_verified": False}, ""),
        ({"email": "kim@example.com", "email_verified": "true"}, ""),
        ({"email": ["kim@example.com"], "email_verified": True}, ""),
    ],
)
def test_an_address_counts_when_the_provider_vouches_for_it(claims, email):
    assert verified_email(claims) == email
