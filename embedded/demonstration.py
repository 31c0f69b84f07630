"""Filling a fresh installation with the demonstration's models and people."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from demo import catalogue, reports
from embedded.installation import Installation
from embedded.tasks import run, run_django


def untrained(installation: Installation) -> list[catalogue.Entry]:
    """The demonstration's versions that MLflow does not have yet."""
    return catalogue.missing(installation.mlflow_url)


def train(installation: Installation) -> None:
    """Train and register what is missing. Takes about a minute when nothing is there."""
    run(installation, "train", (sys.executable, "-m", "demo.train"))


def connect(installation: Installation) -> None:
    """Copy what the registry holds, and ask it to tell the portal of changes."""
    run_django(installation, "connect_registry")


def seed(installation: Installation) -> None:
    """People, policies and the first Production versions; does nothing that is done already."""
    run_django(installation, "seed_demo")


def untested(installation: Installation) -> bool:
    """Whether the portal lacks what the demonstration's CI has to report. A CI whose token was revoked is left be."""
    with reports.portal(
        installation.portal_url, _token_file(installation).read_text(encoding="ascii").strip()
    ) as client:
        try:
            return bool(reports.unreported(client, installation.mlflow_url))
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.UNAUTHORIZED:
                return False
            raise


def test(installation: Installation) -> None:
    """Run the tests of the demonstration's models, and report them as a company's CI does."""
    settings = {
        "STAGEGATE_PORTAL_URL": installation.portal_url,
        "STAGEGATE_CI_TOKEN_FILE": str(_token_file(installation)),
    }
    run(installation, "ci", (sys.executable, "-m", "demo.ci"), settings=settings)


def _token_file(installation: Installation) -> Path:
    return installation.home.path / "secrets" / "ci_token"
