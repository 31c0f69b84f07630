"""A real Prometheus that collects from a Traefik and model servers, on a free port, below a directory."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.contract.waiting import eventually
from tests.integration.adapters.services import free_port, running

SLUG = "collected"
"""What the scrape says is the slug of the model servers."""
SETTLES = 0.1
SCRAPES = "500ms"
"""How often, and how long a target may take: one that takes longer counts as gone, which a busy machine must not be."""
PROGRAM = "STAGEGATE_TEST_PROMETHEUS"


def program() -> str | None:
    """The binary that the environment names, else the one on the PATH; None where there is none."""
    return os.environ.get(PROGRAM) or shutil.which("prometheus")


@dataclass
class Prometheus:
    """``answering`` is how many of its targets are there to be read: whoever ends one takes one off."""

    home: Path
    gateway_port: int
    servers: Mapping[int, int]
    port: int = field(default_factory=free_port)
    answering: int = field(init=False)

    def __post_init__(self) -> None:
        self.answering = 1 + len(self.servers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def started(self, binary: str) -> Iterator[None]:
        config = self.home / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        command = [
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.home / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]
        with running(command, self.home / "prometheus.log", self.port):
            eventually(self._scrapes, lambda seen: len(seen) == self.answering, seconds=30)
            yield

    def _config(self) -> dict[str, Any]:
        servers = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"slug": SLUG, "version": str(version)}}
            for version, port in self.servers.items()
        ]
        return {
            "global": {"scrape_interval": SCRAPES, "scrape_timeout": SCRAPES},
            "scrape_configs": [
                {"job_name": "gateway", "static_configs": [{"targets": [f"127.0.0.1:{self.gateway_port}"]}]},
                {"job_name": "servers", "static_configs": servers},
            ],
        }

    def collected(self) -> None:
        """Return once every target has been read anew. A gateway counts a request just after it has answered it."""
        asked = time.time() + SETTLES
        eventually(self._scrapes, lambda seen: len(seen) == self.answering and min(seen) > asked, seconds=20)

    def _scrapes(self) -> list[float]:
        """When each target that answers was read last; of more than a plain series, timestamp() would say now."""
        return [float(each["value"][1]) for each in self.query("timestamp(up) and (up == 1)")]

    def query(self, text: str) -> list[dict[str, Any]]:
        where = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
        try:
            with urllib.request.urlopen(where, timeout=10) as answer:
                return list(json.load(answer)["data"]["result"])
        except OSError:
            return []
