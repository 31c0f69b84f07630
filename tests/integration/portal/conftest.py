import pytest
from django.test import Client

from tests.support.documented import DocumentedClient
from tests.support.world import people, world

__all__ = ["people", "signed_in", "world"]


@pytest.fixture
def signed_in(people):
    """A browser of the person with this name."""

    def client(name: str) -> Client:
        browser = DocumentedClient()
        assert browser.login(username=name, password=name)
        return browser

    return client
