"""How somebody signed in, as the record has it."""

import pytest

from portal.accounts.sessions import LONGEST_WORDS, described

PASSWORD = {"method": "password"}
PROVIDER = {"method": "socialaccount", "provider": "oidc"}


def second(kind, **more):
    return {"method": "mfa", "type": kind, **more}


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "password"),
        ([PASSWORD], "password"),
        ([PASSWORD, second("totp")], "password+totp"),
        ([PASSWORD, second("webauthn")], "password+passkey"),
        ([PASSWORD, second("recovery_codes")], "password+recovery code"),
        ([second("webauthn", passwordless=True)], "passkey"),
        ([PROVIDER], "oidc:Acme"),
        ([PROVIDER, second("totp")], "oidc:Acme+totp"),
        ([PASSWORD, second("totp", reauthenticated=True)], "password"),
    ],
)
def test_the_ways_to_sign_in(records, words):
    assert described(records, "Acme") == words


def test_they_fit_the_record():
    words = described([PROVIDER, second("recovery_codes")], "x" * 35)
    assert len(words) == LONGEST_WORDS
    assert words.endswith("+recovery code")
