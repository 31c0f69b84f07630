"""``bench.pages`` measures every screen there is: a new one is added there, or it is said why it need not be."""

from __future__ import annotations

import pytest

from bench.pages_screens import NOT_MEASURED, SCREENS
from portal.permissions import PAGES

READ = {name for name, methods in PAGES.items() if "GET" in methods}
MEASURED = {screen.page for screen in SCREENS}


@pytest.mark.parametrize("name", sorted(READ))
def test_every_screen_is_measured_or_said_why_not(name):
    assert (name in MEASURED) != (name in NOT_MEASURED)


def test_nothing_is_measured_that_is_not_served():
    assert (MEASURED | NOT_MEASURED.keys()) <= READ
    assert len({screen.name for screen in SCREENS}) == len(SCREENS)
