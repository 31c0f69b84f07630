"""What one installation is made of, as values: where it lives, where it listens, and what its services are told."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from embedded.home import Home, Secrets
from embedded.ports import LOOPBACK, Ports

ROOT = Path(__file__).resolve().parent.parent
SUPERVISOR_USER = "stagegate"
# Marks every process of an installation, so that leftovers of a killed starter are found. Not STAGEGATE_HOME:
# that one a person may have set in a shell, and a shell must never be taken for a leftover.
MARK = "STAGEGATE_INSTALLATION"
# Without these, each of a dozen processes would start a thread a core for work that takes microseconds.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

EXTERNAL = {"DATABASE_URL": "", "REDIS_URL": "valkey", "MLFLOW_TRACKING_URI": "mlflow"}
"""Variables that name a person's own part, and the service of ours that is then not started."""


class SettingError(Exception):
    """An environment variable has a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class Installation:
    """``settings`` are variables that go to the portal and its workers as they are, before the installation's own."""

    home: Home
    secrets: Secrets
    ports: Ports
    host: str = LOOPBACK
    demo: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def mlflow_url(self) -> str:
        return self.settings.get("MLFLOW_TRACKING_URI") or f"http://{LOOPBACK}:{self.ports.mlflow}"

    @property
    def redis_url(self) -> str:
        return (
            self.settings.get("REDIS_URL")
            or f"redis://:{quote(self.secrets.valkey_password)}@{LOOPBACK}:{self.ports.valkey}/0"
        )

    @property
    def gateway_api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.gateway_api}"

    @property
    def gateway_url(self) -> str:
        return f"http://{reachable(self.host)}:{self.ports.gateway}"

    @property
    def portal_url(self) -> str:
        """Where the portal answers on this machine; people may use STAGEGATE_PUBLIC_URL instead."""
        return f"http://{reachable(self.host)}:{self.ports.portal}"

    @property
    def public_url(self) -> str:
        return self.settings.get("STAGEGATE_PUBLIC_URL", self.portal_url)

    @property
    def supervisor_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.supervisor}"

    def base_environment(self) -> dict[str, str]:
        """What every process gets, model servers too: no secret is among it."""
        kept = {name: os.environ[name] for name in (*KEPT, *PROXIES) if name in os.environ}
        return kept | {
            MARK: str(self.home.path),
            "STAGEGATE_HOME": str(self.home.path),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": str(self.home.path / "cache"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            **ONE_THREAD,
        }

    def environment(self) -> dict[str, str]:
        """Everything the portal and its workers read, on top of ``base_environment``."""
        home = self.home.path
        return (
            self.base_environment()
            | self.ports.environment()
            | {
                "DATABASE_URL": f"sqlite:///{home / 'stagegate.sqlite3'}",
                "REDIS_URL": self.redis_url,
                "STAGEGATE_ALLOWED_HOSTS": ",".join(allowed_hosts(self.host, self.public_url)),
                "STAGEGATE_DEMO": "1" if self.demo else "0",
                "STAGEGATE_GATEWAY_API": self.gateway_api_url,
                "STAGEGATE_GATEWAY_CONFIG_DIR": str(home / "gateway" / "routes"),
                "STAGEGATE_GATEWAY_URL": self.gateway_url,
                "STAGEGATE_HOST": self.host,
                "STAGEGATE_MODEL_STORE": str(home / "models"),
                "STAGEGATE_PUBLIC_URL": self.public_url,
                "STAGEGATE_SECRET_KEY": self.secrets.django_key,
                "STAGEGATE_SERVERS_DIR": str(home / "servers"),
                "STAGEGATE_SUPERVISOR_PASSWORD": self.secrets.supervisor_password,
                "STAGEGATE_SUPERVISOR_URL": self.supervisor_url,
                "STAGEGATE_SUPERVISOR_USER": SUPERVISOR_USER,
                "STAGEGATE_WEBHOOK_SECRET": self.secrets.webhook_secret,
            }
            | dict(self.settings)
        )

    def mlflow_environment(self) -> dict[str, str]:
        """MLflow's own switches: no job runner (eight processes), webhooks to this machine's portal allowed."""
        return {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "5",
            "MLFLOW_WEBHOOK_REQUEST_TIMEOUT": "5",
            "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": self.secrets.webhook_encryption_key,
        }

    def traffic_environment(self) -> dict[str, str]:
        rate = {name: value for name, value in self.settings.items() if name.startswith("STAGEGATE_DEMO_")}
        return {"STAGEGATE_GATEWAY_URL": self.gateway_url} | rate


def listen_host(environment: Mapping[str, str]) -> str:
    """STAGEGATE_HOST as an IP address; raise SettingError for anything else."""
    text = environment.get("STAGEGATE_HOST", "") or LOOPBACK
    if text == "localhost":
        return LOOPBACK
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise SettingError(f"STAGEGATE_HOST is {text!r}; give an IPv4 address, such as 127.0.0.1 or 0.0.0.0.") from None


def wants_demo(environment: Mapping[str, str]) -> bool:
    """STAGEGATE_DEMO=0 starts an empty installation; raise SettingError for anything but 0 and 1."""
    text = environment.get("STAGEGATE_DEMO", "") or "1"
    if text not in ("0", "1"):
        raise SettingError(f"STAGEGATE_DEMO is {text!r}; give 0 or 1.")
    return text == "1"


def portal_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What a person set for the portal: every STAGEGATE_ name, and what is theirs instead of ours (see EXTERNAL)."""
    names = ("STAGEGATE_", "MLFLOW_TRACKING_")
    settings = {name: value for name, value in environment.items() if name.startswith(names) and value}
    for ours in ("STAGEGATE_HOME", "STAGEGATE_HOST", "STAGEGATE_DEMO", MARK, *Ports().environment()):
        settings.pop(ours, None)
    settings |= {name: environment[name] for name in EXTERNAL if environment.get(name)}
    _check_mlflow(settings.get("MLFLOW_TRACKING_URI", ""), demo=wants_demo(environment))
    return settings


def _check_mlflow(address: str, *, demo: bool) -> None:
    """A company's MLflow must never find the demonstration's models in it because of a variable in somebody's shell."""
    if address and demo:
        raise SettingError(
            "MLFLOW_TRACKING_URI is set, and the demo would register its models there. Set STAGEGATE_DEMO=0 to use "
            "that MLflow without the demo, or unset MLFLOW_TRACKING_URI to start one of our own."
        )
    if address and urlsplit(address).scheme not in ("http", "https"):
        raise SettingError(f"MLFLOW_TRACKING_URI is {address!r}; give the http or https address of an MLflow server.")


def replaced(settings: Mapping[str, str]) -> dict[str, str]:
    """The parts that are a person's own: the variable, and its address without credentials."""
    return {name: _without_credentials(settings[name]) for name in EXTERNAL if name in settings}


def _without_credentials(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def reachable(host: str) -> str:
    """An address to connect to for an address that is listened on."""
    return LOOPBACK if host == "0.0.0.0" else host  # noqa: S104  (compared, not listened on)


def allowed_hosts(host: str, public_url: str) -> list[str]:
    """Names by which a browser may ask for the portal."""
    names = [LOOPBACK, "localhost", "[::1]", reachable(host), urlsplit(public_url).hostname or LOOPBACK]
    if not ipaddress.ip_address(host).is_loopback:
        names.append(socket.gethostname())
    return list(dict.fromkeys(names))
