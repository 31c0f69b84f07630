"""Run a command with DATABASE_URL naming a PostgreSQL server of its own, which lives as long as the command.

    python -m tests.postgres pytest tests/integration/lifecycle

Exits with the command's status; with 0 and a notice when PostgreSQL's binaries are not found, unless
STAGEGATE_REQUIRE_ALL=1 says that everything has to run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_binaries() -> Path | None:
    """The folder with initdb and postgres; Debian keeps it off the PATH."""
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = Path(on_path) if on_path else (installed[-1] if installed else None)
    return found.resolve().parent if found else None


@contextmanager
def server(binaries: Path) -> Iterator[str]:
    """A running server's URL. PostgreSQL refuses to run as root, so root runs it as the user ``postgres``."""
    owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="stagegate-postgres-"))
    shutil.chown(folder, owner)
    data, port = folder / "data", _free_port()

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=owner, cwd=folder, stdout=subprocess.DEVNULL)

    try:
        run(str(binaries / "initdb"), "-D", str(data), "-U", "stagegate", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = (
            f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {port} -c max_connections=100 -c fsync=off"
        )
        run(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgres://stagegate@127.0.0.1:{port}/postgres"
        finally:
            run(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(command: list[str]) -> int:
    binaries = find_binaries()
    if binaries is None:
        print("PostgreSQL's binaries were not found (Debian: apt-get install postgresql); these tests did not run.")
        return 1 if os.environ.get("STAGEGATE_REQUIRE_ALL") == "1" else 0
    with server(binaries) as url:
        print(f"PostgreSQL from {binaries}", flush=True)
        return subprocess.run([sys.executable, "-m", *command], env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
