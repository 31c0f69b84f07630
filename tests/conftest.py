"""For all tests: what may not be skipped, and what may not be reached."""

from __future__ import annotations

import os
from importlib import import_module

import hypothesis
import pytest
from django.core.cache import cache
from django.db import connection
from django.test import TransactionTestCase

from tests.support.installation import installation
from tests.support.mlflow import mlflow

__all__ = ["installation", "mlflow"]

REQUIRE_ALL = os.environ.get("STAGEGATE_REQUIRE_ALL") == "1"

# Where a change waits for the result, the same code gets the same result: new examples are tried by everybody else.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
if REQUIRE_ALL:
    hypothesis.settings.load_profile("same")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything has to run, a skipped test is a failed one."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where everything has to run: {report.longrepr}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Unit tests open no socket, and say so when one tries; whatever needs the whole installation is marked as such.

    What is PostgreSQL's alone is not asked of SQLite: it is no test there that could be skipped.
    """
    if connection.vendor != "postgresql":
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("postgres")])
        items[:] = [item for item in items if not item.get_closest_marker("postgres")]
    for item in items:
        if "/tests/unit/" in str(item.path):
            item.add_marker(pytest.mark.disable_socket)
        if "installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.installation)


@pytest.fixture(autouse=True, scope="session")
def record_can_be_emptied():
    """Between two tests that commit, the record is emptied with all the other tables, which its triggers forbid."""
    triggers = import_module("lifecycle.migrations.0006_record_and_approvals")
    usual = TransactionTestCase._fixture_teardown

    def emptied(test):
        with connection.schema_editor() as editor:
            triggers.unprotect(None, editor)
        try:
            usual(test)
        finally:
            with connection.schema_editor() as editor:
                triggers.protect(None, editor)

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", emptied)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def nothing_counted():
    """No test is refused for what another one asked: limits are counted in the cache."""
    cache.clear()
