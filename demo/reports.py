"""What the demonstration's CI has told Stagegate, and what it still has to. Light: every start asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from demo.catalogue import Entry, registered

ASK_SECONDS = 30.0
CRITERIA = ("unit_tests", "integration_tests")


def portal(portal_url: str, token: str) -> httpx.Client:
    """Stagegate's API for the holder of the token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{portal_url}/api/v1/", headers=headers, timeout=ASK_SECONDS, trust_env=False)


def unreported(client: httpx.Client, tracking_uri: str) -> dict[Entry, int]:
    """The registered entries, with MLflow's numbers, whose tests have not all been reported. Raises httpx.HTTPError."""
    return {
        entry: version for entry, version in registered(tracking_uri).items() if not _reported(client, entry, version)
    }


def _reported(client: httpx.Client, entry: Entry, version: int) -> bool:
    answer = client.get(_address(entry, version)).raise_for_status().json()
    return {row["criterion"] for row in answer["results"]} >= set(CRITERIA)


def send(client: httpx.Client, entry: Entry, version: int, body: Mapping[str, Any]) -> None:
    client.post(_address(entry, version), json=dict(body)).raise_for_status()


def _address(entry: Entry, version: int) -> str:
    return f"models/{entry.model}/versions/{version}/evidence/"
