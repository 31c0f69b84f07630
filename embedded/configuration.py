"""The configuration files of the services, as text."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Iterable, Mapping

import yaml

from embedded.installation import SUPERVISOR_USER, Installation
from embedded.ports import LOOPBACK
from embedded.programs import Program

# Seconds. Fine where a fast model answers, coarse up to the slowest latency that a policy allows.
LATENCY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0]


class UnwritableValueError(ValueError):
    """A value cannot be written into supervisord's configuration, which has no way to escape it."""


def valkey(installation: Installation) -> str:
    """Nothing is kept on disk: messages only hint at work that the database knows of, and old hints help nobody.

    The process title stays as it is: setting it would wipe the environment that marks the process as ours.
    """
    return "\n".join(
        (
            f"bind {LOOPBACK}",
            f"port {installation.ports.valkey}",
            f"requirepass {installation.secrets.valkey_password}",
            f'dir "{installation.home.path / "valkey"}"',
            'save ""',
            "appendonly no",
            "maxmemory 256mb",
            "maxmemory-policy noeviction",
            "daemonize no",
            "set-proc-title no",
            "",
        )
    )


def gateway(installation: Installation) -> str:
    """Traefik's static configuration: routes come from a folder and are in force milliseconds after a change."""
    ports = installation.ports
    # X_Forwarded_For, which some servers would read as the header that Traefik sets, does not get through.
    http = {"aliasHeadersStrategy": "delete"}
    admin = {"address": f"{LOOPBACK}:{ports.gateway_api}", "http": dict(http)}
    models = {
        "address": f"{installation.host}:{ports.gateway}",
        "http": http,
        "transport": {
            "lifeCycle": {"requestAcceptGraceTimeout": "0s", "graceTimeOut": "3s"},
            "respondingTimeouts": {"readTimeout": "60s", "writeTimeout": "0s", "idleTimeout": "180s"},
        },
    }
    static = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "format": "common", "noColor": True},
        # "traefik" is the name under which Traefik serves its own API, ping and metrics.
        "entryPoints": {"models": models, "traefik": admin},
        "api": {"insecure": True, "dashboard": False},
        "ping": {"entryPoint": "traefik"},
        "metrics": {
            "prometheus": {
                "entryPoint": "traefik",
                "addEntryPointsLabels": False,
                "addRoutersLabels": False,
                "addServicesLabels": True,
                "buckets": LATENCY_BUCKETS,
            }
        },
        "providers": {
            "providersThrottleDuration": "20ms",
            "file": {"directory": str(installation.home.path / "gateway" / "routes"), "watch": True},
        },
        "serversTransport": {
            "maxIdleConnsPerHost": 100,
            "forwardingTimeouts": {"dialTimeout": "2s", "responseHeaderTimeout": "60s", "idleConnTimeout": "30s"},
        },
    }
    return yaml.safe_dump(static, sort_keys=False)


def supervisor(installation: Installation, programs: Iterable[Program]) -> str:
    """supervisord's configuration. Programs wait to be started; model servers are read from a folder.

    Include patterns are split at blanks but resolved against this file, so the pattern is relative.
    """
    run = installation.home.path / "run"
    user = {"user": getpass.getuser()} if os.geteuid() == 0 else {}
    daemon = {
        "nodaemon": "true",
        "silent": "true",
        "logfile": str(installation.home.log("supervisord")),
        "logfile_maxbytes": "5MB",
        "logfile_backups": "2",
        "pidfile": str(run / "supervisord.pid"),
        "childlogdir": str(installation.home.path / "log"),
        "identifier": "stagegate",
        "umask": "077",
        "minfds": "1024",
    }
    http = {
        "port": f"{LOOPBACK}:{installation.ports.supervisor}",
        "username": SUPERVISOR_USER,
        "password": installation.secrets.supervisor_password,
    }
    factory = {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"}
    sections = [
        section("supervisord", daemon | user),
        section("inet_http_server", http),
        section("rpcinterface:supervisor", factory),
        *(section(f"program:{program.name}", program_options(installation, program)) for program in programs),
        section("include", {"files": "servers/*.conf"}),
    ]
    return "\n".join(sections)


def program_options(installation: Installation, program: Program) -> dict[str, str]:
    return {
        "command": shlex.join(program.command),
        "environment": environment_list(program.environment),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "3",
        "stopwaitsecs": str(program.stop_seconds),
        "stopasgroup": "true" if program.stop_group else "false",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(installation.home.log(program.name)),
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "2",
    }


def section(name: str, options: Mapping[str, str]) -> str:
    return "\n".join((f"[{name}]", *(f"{key}={plain(value)}" for key, value in options.items()), ""))


def plain(value: str) -> str:
    """A value as supervisord reads it back: % is doubled; what it would cut off as a comment is refused."""
    if any(cut in value for cut in ("\n", "\r", " ;", " #")):
        raise UnwritableValueError(
            f"supervisord cannot be given the value {value!r}: it has a line break, ' ;' or ' #'"
        )
    return value.replace("%", "%%")


def environment_list(environment: Mapping[str, str]) -> str:
    return ",".join(f"{name}={quoted(name, value)}" for name, value in sorted(environment.items()))


def quoted(name: str, value: str) -> str:
    for quote in ('"', "'"):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise UnwritableValueError(f"{name} holds both kinds of quotes, which supervisord cannot be given")
