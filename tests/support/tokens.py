"""Programs with a token, without the entries that making one leaves in the record."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from lifecycle.domain.permissions import Action
from portal.accounts import tokens
from tests.support.world import World


def program(world: World, account: str, *scopes: Action) -> Client:
    """A client without cookies that shows the token of this service account, with every check against forgery on."""
    wanted = tokens.Wanted(account, frozenset(scopes), world.now + timedelta(days=30), "A program needs it.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "record", lambda *args, **kwargs: None)
        issued = tokens.create_for_service(account=account, wanted=wanted, actor=world.people["ada"], now=world.now)
    return Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {issued.text}"})
