"""A real MLflow server for tests, and the hands of those who register models in it."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from cryptography.fernet import Fernet

from lifecycle.ports import VersionRef

START_SECONDS = 90


@dataclass(frozen=True)
class MlflowServer:
    uri: str
    database: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_mlflow(home: Path) -> Iterator[MlflowServer]:
    """MLflow on SQLite below ``home``, with webhooks to private addresses allowed."""
    port = free_port()
    server = MlflowServer(f"http://127.0.0.1:{port}", home / "mlflow.sqlite3")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{server.database}", "--artifacts-destination", str(home / "files")]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "1",
    }
    with (home / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_until_up(process, server.uri, home / "mlflow.log")
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], uri: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{uri}/health", timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise RuntimeError(f"MLflow did not start:\n{log.read_text()[-2000:]}")


def seed(server: MlflowServer, versions: int, *, versions_a_model: int = 10, stem: str = "seeded") -> None:
    """Put many versions with three tags each straight into MLflow's tables: by its API, 50,000 would take an hour."""
    now = int(time.time() * 1000)

    def pairs() -> Iterator[tuple[str, int]]:
        return ((f"{stem}-{index // versions_a_model:06}", index % versions_a_model + 1) for index in range(versions))

    with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        database.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, '')",
            ((name, now, now) for name, version in pairs() if version == 1),
        )
        database.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'production', 1)",
            ((name,) for name, version in pairs() if version == 1),
        )
        database.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage,"
            " source, run_id, status) VALUES (?, ?, ?, ?, '', 'None', 's3://elsewhere/model', ?, 'READY')",
            ((name, version, now + i, now + i, f"{i:032x}") for i, (name, version) in enumerate(pairs())),
        )
        for key in ("semantic_version", "framework", "team"):
            database.executemany(
                "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
                ((name, version, key, f"1.{version}.0") for name, version in pairs()),
            )


class MlflowWorld:
    """Registers and deletes by MLflow's REST API."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server
        self.session = requests.Session()

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        response = self.session.request(method, f"{self.server.uri}/api/2.0/{path}", json=body, timeout=30)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def create_model(self, name: str, *, tags: Mapping[str, str] | None = None, description: str = "") -> None:
        self.call("POST", "mlflow/registered-models/create", name=name, tags=_items(tags), description=description)

    def create_version(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        signature: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> VersionRef:
        body: dict[str, Any] = {"name": name, "source": "s3://elsewhere/model", "tags": _items(tags)}
        if any(part is not None for part in (metrics, params, signature, files)):
            run = self._run(metrics or {}, params or {})
            body |= {"run_id": run["run_id"], "source": f"{run['artifact_uri']}/model"}
            if signature is not None or files is not None:
                self._upload(run["artifact_uri"], {"MLmodel": _mlmodel(signature), **(files or {})})
        answer = self.call("POST", "mlflow/model-versions/create", **body)
        return VersionRef(name, int(answer["model_version"]["version"]))

    def delete_version(self, ref: VersionRef) -> None:
        self.call("DELETE", "mlflow/model-versions/delete", name=ref.model, version=str(ref.version))

    def delete_model(self, name: str) -> None:
        self.call("DELETE", "mlflow/registered-models/delete", name=name)

    def delete_run(self, run_id: str) -> None:
        self.call("POST", "mlflow/runs/delete", run_id=run_id)

    def set_tag(self, ref: VersionRef, key: str, value: str) -> None:
        names = {"name": ref.model, "version": str(ref.version)}
        self.call("POST", "mlflow/model-versions/set-tag", **names, key=key, value=value)

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        self.call("POST", "mlflow/registered-models/set-tag", name=name, key=key, value=value)

    def set_stage(self, ref: VersionRef, stage: str) -> None:
        body = {"name": ref.model, "version": str(ref.version), "stage": stage, "archive_existing_versions": False}
        self.call("POST", "mlflow/model-versions/transition-stage", **body)

    def set_alias(self, ref: VersionRef, alias: str) -> None:
        body = {"name": ref.model, "alias": alias, "version": str(ref.version)}
        self.call("POST", "mlflow/registered-models/alias", **body)

    def _run(self, metrics: Mapping[str, float], params: Mapping[str, str]) -> dict[str, Any]:
        info = self.call("POST", "mlflow/runs/create", experiment_id="0", start_time=1)["run"]["info"]
        now = int(time.time() * 1000)
        self.call(
            "POST",
            "mlflow/runs/log-batch",
            run_id=info["run_id"],
            metrics=[
                {"key": key, "value": "NaN" if math.isnan(value) else value, "timestamp": now, "step": 0}
                for key, value in metrics.items()
            ],
            params=_items(params),
        )
        return dict(info)

    def _upload(self, artifact_uri: str, files: Mapping[str, bytes]) -> None:
        folder = artifact_uri.removeprefix("mlflow-artifacts:")
        for name, content in files.items():
            url = f"{self.server.uri}/api/2.0/mlflow-artifacts/artifacts{folder}/model/{name}"
            assert self.session.put(url, data=content, timeout=30).status_code == 200


def _items(values: Mapping[str, str] | None) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in (values or {}).items()]


def _mlmodel(signature: Mapping[str, Any] | None) -> bytes:
    written: dict[str, Any] = {"flavors": {"python_function": {"loader_module": "mlflow.sklearn"}}}
    if signature is not None:
        written["signature"] = {part: None if value is None else json.dumps(value) for part, value in signature.items()}
    return yaml.safe_dump(written).encode()
