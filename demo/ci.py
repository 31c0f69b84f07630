"""``python -m demo.ci``: what a company's CI does for every version: run its tests, and report them to Stagegate.

Tests what has not been reported yet and nothing else, so that it can be run at any time. Reads MLFLOW_TRACKING_URI,
STAGEGATE_PORTAL_URL, and the token from the file that STAGEGATE_CI_TOKEN_FILE names.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import reports, suites

log = logging.getLogger("demo.ci")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a suite of tests came to; ``failures`` are sentences."""

    names: Sequence[str]
    failures: Sequence[str]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.failures

    def line(self) -> str:
        if self.passed:
            return f"{len(self.names)} tests passed in {self.seconds:.2f} s: {', '.join(self.names)}."
        return f"{len(self.failures)} of {len(self.names)} tests failed: {'; '.join(self.failures)}"


def main() -> int:
    """Returns 0 when every registered version has been reported, whatever its tests came to."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    tracking_uri = os.environ["MLFLOW_TRACKING_URI"]
    token = Path(os.environ["STAGEGATE_CI_TOKEN_FILE"]).read_text(encoding="ascii").strip()
    with reports.portal(os.environ["STAGEGATE_PORTAL_URL"], token) as client:
        for entry, version in reports.unreported(client, tracking_uri).items():
            subject = suites.subject(tracking_uri, entry, version)
            for criterion, tests in zip(reports.CRITERIA, (suites.UNIT, suites.INTEGRATION), strict=True):
                outcome = carry_out(tests, subject)
                reports.send(client, entry, version, body_of(criterion, outcome))
                log.info("%s, %s: %s", entry, criterion, outcome.line())
    return 0


def carry_out(tests: Sequence[Callable[[Any], None]], subject: Any) -> Outcome:
    started = time.monotonic()
    failures = []
    for test in tests:
        try:
            test(subject)
        except Exception as error:
            failures.append(f"{words(test)}: {type(error).__name__}: {error}"[:300])
    return Outcome([words(test) for test in tests], failures, time.monotonic() - started)


def words(test: Callable[[Any], None]) -> str:
    return test.__name__.replace("_", " ")


def body_of(criterion: str, outcome: Outcome) -> dict[str, Any]:
    return {
        "criterion": criterion,
        "outcome": "passed" if outcome.passed else "failed",
        "value": len(outcome.names) - len(outcome.failures),
        "unit": f"of {len(outcome.names)} tests",
        "detail": outcome.line(),
    }


if __name__ == "__main__":
    sys.exit(main())
