"""For all tests: what may not be skipped, and what may not be reached."""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.support.installation import installation

__all__ = ["installation"]

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
def pytest_collection_modifyitems(items):
    """Unit tests open no socket, and say so when one tries; whatever needs the whole installation is marked as such."""
    for item in items:
        if "/tests/unit/" in str(item.path):
            item.add_marker(pytest.mark.disable_socket)
        if "installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.installation)
