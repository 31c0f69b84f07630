"""Builds ``.venv`` from the locked requirements: ``python3 -m embedded.bootstrap [--dev]``.

Runs on the user's own Python with nothing installed, so: standard library only, and no syntax newer than 3.7
(an older Python must get as far as reading why it is too old).
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple, Sequence  # noqa: UP035  (see the module's docstring)

from embedded.steps import Steps

ROOT = Path(__file__).resolve().parent.parent
MINIMUM_PYTHON = (3, 11)
NEEDED_BYTES = 2500 * 1000 * 1000
# The tests of the libraries, and two clients with 80 MB of source that nothing loads at start: half of the time.
NOT_COMPILED = r"[/\\](tests|kubernetes|databricks)[/\\]"


class BootstrapError(Exception):
    """The environment cannot be built. The text says why and what to do."""


class Advice(NamedTuple):
    """What to tell a person when pip's output matches ``pattern``."""

    pattern: str
    text: str


ADVICE = (
    Advice(
        r"No space left on device|Disk quota exceeded",
        "The disk is full. Free some space (the environment needs 2.5 GB), or set TMPDIR to a folder on a larger disk.",
    ),
    Advice(
        r"DO NOT MATCH THE HASHES",
        "A downloaded package is not the one that was locked. Do not use it: check the package index or proxy between\n"
        "this machine and PyPI.",
    ),
    Advice(
        r"name resolution|NewConnectionError|Timeout|ProxyError|unreachable|CERTIFICATE_VERIFY|from versions: none",
        "The package index cannot be reached. Check the network; behind a proxy set HTTPS_PROXY, for a mirror set\n"
        "PIP_INDEX_URL, for its certificate set PIP_CERT. Then run the same command again: downloads are kept.",
    ),
    Advice(
        r"Could not find a version|No matching distribution",
        "A package has no wheel for this Python or machine. Linux on x86-64 and ARM64 and macOS with CPython 3.11 to\n"
        "3.13 are known to work; choose one of them with PYTHON=/path/to/python3.",
    ),
    Advice(r"Permission denied", "This folder cannot be written to. Check its owner, or make a copy that is yours."),
)


def check_python(version: tuple[int, ...], executable: str) -> None:
    """Raise BootstrapError if ``version`` is older than Stagegate needs."""
    if version >= MINIMUM_PYTHON:
        return
    found, needed = (".".join(str(part) for part in parts) for parts in (version, MINIMUM_PYTHON))
    raise BootstrapError(
        f"{executable} is Python {found}; Stagegate needs Python {needed} or newer.\n"
        f"If this machine has one, name it: make run PYTHON=python{needed}"
    )


def check_venv_modules() -> None:
    """Debian and Ubuntu take ``venv`` and ``ensurepip`` out of Python into a package of their own."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = "{}.{}".format(*sys.version_info[:2])
        raise BootstrapError(
            f"This Python has no {' and no '.join(missing)}.\n"
            f"On Debian or Ubuntu: sudo apt install python{version}-venv\n"
            "Without administrator rights, point PYTHON at a Python that has them: make run PYTHON=/path/to/python3"
        )


def check_disk(folder: Path) -> None:
    free = shutil.disk_usage(str(folder)).free
    if free < NEEDED_BYTES:
        raise BootstrapError(
            f"{folder} has {free / 1e9:.1f} GB free; the environment needs {NEEDED_BYTES / 1e9:.1f} GB."
        )


def fingerprint(lock: Path) -> str:
    """What an installation of ``lock`` stands for: its bytes and the Python that it is for."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(sys.version.encode())
    return digest.hexdigest()


def advise(output: Iterable[str]) -> str:
    """What a person can do about a failed install, from pip's last lines; the lines themselves if nothing fits."""
    lines = list(output)
    text = "\n".join(lines)
    for advice in ADVICE:
        if re.search(advice.pattern, text):
            return f"{advice.text}\n\npip said: {lines[-1].strip()}"
    return "pip failed:\n" + "\n".join(lines[-12:])


def count_requirements(lock: Path) -> int:
    return len(re.findall(r"^[A-Za-z0-9].*==", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))


class Environment:
    """A virtual environment that knows which locked requirements it holds."""

    def __init__(self, folder: Path, steps: Steps) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._steps = steps
        self._unfinished = folder / "stagegate-unfinished"

    def has(self, lock: Path) -> bool:
        """Whether exactly this lock was installed to the end by this Python."""
        try:
            return self._stamp(lock).read_text(encoding="ascii") == fingerprint(lock) and self.python.exists()
        except OSError:
            return False

    def install(self, lock: Path) -> None:
        """Make the environment hold ``lock``: create, install, compile, stamp. An interrupted one is made anew."""
        check_disk(self.folder.parent)
        if self._unfinished.exists() or not self.python.exists() or not self._same_python():
            self._create()
        self._unfinished.touch()
        with self._steps.step(f"Packages ({lock.name})"):
            self._pip(lock)
        with self._steps.step("Byte code"):
            self._compile()
        self._write_stamp(lock)
        self._unfinished.unlink()

    def _create(self) -> None:
        with self._steps.step("Python environment in " + self.folder.name):
            shutil.rmtree(str(self.folder), ignore_errors=True)
            command = [sys.executable, "-m", "venv", str(self.folder)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
        if done.returncode != 0:
            raise BootstrapError(
                f"{' '.join(command)} failed:\n{advise(done.stdout.splitlines()[-12:] or ['no output'])}"
            )

    def _same_python(self) -> bool:
        command = [str(self.python), "-c", "import sys; sys.stdout.write(sys.version)"]
        try:
            found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8")
        except OSError:
            return False
        return found.stdout == sys.version

    def _pip(self, lock: Path) -> None:
        """Install with hashes and wheels only; compiling is left to a step that uses every core."""
        command = [str(self.python), "-m", "pip", "install", "--require-hashes", "--only-binary=:all:", "--no-compile"]
        command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--requirement", str(lock)]
        total, found = count_requirements(lock), 0
        tail: deque[str] = deque(maxlen=40)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8") as pip:
            for line in pip.stdout or ():
                tail.append(line.rstrip())
                found += line.startswith(("Collecting ", "Requirement already"))
                self._steps.progress(describe(line, total, found))
        if pip.returncode != 0:
            raise BootstrapError(advise(tail))

    def _compile(self) -> None:
        packages = next((self.folder / "lib").glob("python*/site-packages"))
        jobs = str(os.cpu_count() or 1)
        command = [str(self.python), "-m", "compileall", "-qq", "-j", jobs, "-x", NOT_COMPILED, str(packages)]
        # A library may ship a file that does not compile on this Python; nothing imports it, so it is no failure.
        subprocess.run(command, check=False)

    def _stamp(self, lock: Path) -> Path:
        return self.folder / f"stagegate-{lock.stem}.sha256"

    def _write_stamp(self, lock: Path) -> None:
        fresh = self._stamp(lock).with_suffix(".new")
        fresh.write_text(fingerprint(lock), encoding="ascii")
        os.replace(str(fresh), str(self._stamp(lock)))


def describe(line: str, total: int, found: int) -> str:
    """One line about where pip is: ``found`` of ``total`` packages looked up, or unpacking them."""
    if line.startswith("Installing collected packages"):
        return f"Packages: unpacking {total}"
    return f"Packages: {min(found, total)} of {total}"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Two commands at once must not install into the same environment: the second waits for the first."""
    handle = os.open(str(folder), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def prepare(locks: Sequence[Path], steps: Steps) -> None:
    """Bring ``.venv`` to hold all ``locks``; does nothing when it already does."""
    check_python(tuple(sys.version_info[:2]), sys.executable)
    with only_one(ROOT):
        environment = Environment(ROOT / ".venv", steps)
        wanted = [lock for lock in locks if not environment.has(lock)]
        if wanted:
            check_venv_modules()
        for lock in wanted:
            environment.install(lock)


def main(arguments: Sequence[str]) -> int:
    locks = [ROOT / "requirements.txt"] + ([ROOT / "requirements-dev.txt"] if "--dev" in arguments else [])
    try:
        prepare(locks, Steps())
    except (BootstrapError, OSError) as error:
        sys.stderr.write(f"\nStagegate cannot start: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. The next run starts the installation again; downloads are kept.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
