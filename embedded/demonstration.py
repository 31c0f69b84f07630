"""Filling a fresh installation with the demonstration's models and people."""

from __future__ import annotations

import sys

from demo import catalogue
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
