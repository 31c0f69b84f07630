"""Where the services listen: read from the environment, checked before anything starts."""

from __future__ import annotations

import errno
import ipaddress
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

LOOPBACK = "127.0.0.1"
# Below the range that the kernel hands out for outgoing connections, so a port that is free stays free.
FREE_PORTS = range(10_000, 32_000)


class PortError(Exception):
    """A port setting is wrong or a port is taken. The text names every one and says what to set."""


@dataclass(frozen=True, slots=True)
class Port:
    """One address to listen on. ``variable`` is the environment variable that changes it."""

    name: str
    variable: str
    host: str
    number: int


@dataclass(frozen=True, slots=True)
class Ports:
    """Port numbers of the services, and the range for model servers."""

    portal: int = 8000
    mlflow: int = 5000
    valkey: int = 6380
    gateway: int = 8080
    gateway_api: int = 8081
    supervisor: int = 9001
    models: range = range(8200, 8300)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Ports:
        """Read ``STAGEGATE_*_PORT`` and ``STAGEGATE_MODEL_PORTS``; raise PortError for a bad or doubled one."""
        numbers = {name: _number(environment, variable(name), getattr(cls(), name)) for name in SINGLE}
        ports = cls(**numbers, models=_range(environment.get("STAGEGATE_MODEL_PORTS", "8200-8299")))
        _refuse_doubles(ports)
        return ports

    @classmethod
    def free(cls, models: int = 20) -> Ports:
        """A block of neighbouring ports that are free now, ``models`` of them for model servers."""
        size = len(SINGLE) + models
        for _ in range(200):
            first = random.randrange(FREE_PORTS.start, FREE_PORTS.stop - size)  # noqa: S311  (no secret)
            if all(_bindable(LOOPBACK, number) is None for number in range(first, first + size)):
                names = dict(zip(SINGLE, range(first, first + len(SINGLE)), strict=True))
                return cls(**names, models=range(first + len(SINGLE), first + size))
        raise PortError(f"No block of {size} free ports was found within {FREE_PORTS.start}-{FREE_PORTS.stop}.")

    def environment(self) -> dict[str, str]:
        numbers = {variable(name): str(getattr(self, name)) for name in SINGLE}
        return numbers | {"STAGEGATE_MODEL_PORTS": f"{self.models.start}-{self.models.stop - 1}"}

    def listeners(self, host: str) -> dict[str, Port]:
        """Every single port with its address: only portal and gateway follow ``host``."""
        public = {"portal", "gateway"}
        return {
            name: Port(name, variable(name), host if name in public else LOOPBACK, getattr(self, name))
            for name in SINGLE
        }


SINGLE = ("portal", "mlflow", "valkey", "gateway", "gateway_api", "supervisor")


def variable(name: str) -> str:
    return f"STAGEGATE_{name.upper()}_PORT"


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "") or str(default)
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise PortError(f"{name} is {text!r}; it must be a port number from 1 to 65535.")
    return int(text)


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    if not (dash and first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535):
        raise PortError(
            f"STAGEGATE_MODEL_PORTS is {text!r}; write a rising range within 1024-65535, such as 8200-8299."
        )
    return range(int(first), int(last) + 1)


def _refuse_doubles(ports: Ports) -> None:
    seen: dict[int, str] = {}
    for name in SINGLE:
        number = getattr(ports, name)
        if number in seen:
            raise PortError(f"{variable(name)} and {variable(seen[number])} are both {number}; give each its own port.")
        if number in ports.models:
            raise PortError(f"{variable(name)} is {number}, which lies within STAGEGATE_MODEL_PORTS; move one of them.")
        seen[number] = name


def _bindable(host: str, number: int) -> OSError | None:
    """Try to listen; the error that says why not, or None."""
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def owner_of(number: int) -> str:
    """Who listens on a port, as far as this user may see."""
    try:
        connections = psutil.net_connections(kind="tcp")
        pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == number and c.pid]
        return f"{psutil.Process(pids[0]).name()} (process {pids[0]})"
    except (IndexError, psutil.Error):
        return "another program"


def check(ports: Mapping[str, Port], owner: Callable[[int], str] = owner_of) -> None:
    """Raise PortError naming all ports that cannot be listened on, each with the variable that moves it."""
    complaints = [complaint for port in ports.values() if (complaint := _complaint(port, owner))]
    if complaints:
        raise PortError("\n".join([*complaints, "Nothing was started. Set other ports and run the command again."]))


def _complaint(port: Port, owner: Callable[[int], str]) -> str:
    error = _bindable(port.host, port.number)
    where = f"port {port.number} ({port.name}, {port.variable})"
    if error is None:
        return ""
    if error.errno == errno.EADDRINUSE:
        return f"{where} is taken by {owner(port.number)}; for example {port.variable}={port.number + 1000}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this machine has no address {port.host}; check STAGEGATE_HOST"
    return f"{where} cannot be used: {error.strerror}"
