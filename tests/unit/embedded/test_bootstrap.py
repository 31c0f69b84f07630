"""Building the environment: when it is done again, and what a person is told."""

import io
from types import SimpleNamespace

import pytest

from embedded import bootstrap
from embedded.bootstrap import BootstrapError, Environment, advise, check_python, count_requirements, describe
from embedded.steps import Steps


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (4, 0)])
def test_python_that_is_new_enough(version):
    check_python(version, "python3")


def test_an_old_python_is_named_with_what_to_do():
    with pytest.raises(BootstrapError, match=r"/usr/bin/python3 is Python 3\.9; .* 3\.11 .*\n.*PYTHON=python3\.11"):
        check_python((3, 9), "/usr/bin/python3")


def test_debians_python_without_venv(monkeypatch):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(BootstrapError, match=r"no ensurepip\.\n.*apt install python3\.\d+-venv"):
        bootstrap.check_venv_modules()


def test_a_small_disk(monkeypatch, tmp_path):
    usage = SimpleNamespace(free=10**9)
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BootstrapError, match=r"1\.0 GB free.*2\.5 GB"):
        bootstrap.check_disk(tmp_path)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: Retrying ... NewConnectionError('Temporary failure in name resolution')", "cannot be reached"),
        ("ERROR: Could not find a version that satisfies a==1 (from versions: none)", "cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "not the one that was locked"),
        ("ERROR: No matching distribution found for numpy==2.4.6", "no wheel"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'",
            "cannot be written",
        ),
    ],
)
def test_what_pip_says_becomes_something_to_do(line, advice):
    told = advise(["Collecting numpy", line])
    assert advice in told
    assert line in told


def test_what_nobody_foresaw_is_shown_as_it_is():
    assert "a bolt from the blue" in advise(["Collecting numpy", "a bolt from the blue"])


def test_progress_counts_to_the_number_of_requirements(tmp_path):
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "a==1 \\\n    --hash=sha256:00\nb==2 ; python_version < '3.12' \\\n    --hash=sha256:11\n    # via a\n"
    )
    assert count_requirements(lock) == 2
    assert describe("Collecting b==2", 2, 1) == "Packages: 1 of 2"
    assert describe("Installing collected packages: a, b", 2, 2) == "Packages: unpacking 2"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """An environment whose folder is made by touching files; ``made`` records what would have been run."""
    made = []
    env = Environment(tmp_path / ".venv", Steps(io.StringIO()))

    def create(self):
        made.append("create")
        self.python.parent.mkdir(parents=True, exist_ok=True)
        self.python.touch()

    monkeypatch.setattr(Environment, "_create", create)
    monkeypatch.setattr(Environment, "_same_python", lambda self: True)
    monkeypatch.setattr(Environment, "_pip", lambda self, lock: made.append(lock.name))
    monkeypatch.setattr(Environment, "_compile", lambda self: None)
    return env, made


def test_an_unchanged_lock_is_not_installed_again(environment, tmp_path):
    env, made = environment
    lock = tmp_path / "requirements.txt"
    lock.write_text("a==1")
    assert not env.has(lock)
    env.install(lock)
    assert env.has(lock)
    lock.write_text("a==2")
    assert not env.has(lock)
    assert made == ["create", "requirements.txt"]


def test_a_second_lock_goes_into_the_same_environment(environment, tmp_path):
    env, made = environment
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text(name)
        env.install(tmp_path / name)
    assert made == ["create", "requirements.txt", "requirements-dev.txt"]


def test_an_interrupted_installation_starts_from_an_empty_environment(environment, tmp_path, monkeypatch):
    env, made = environment
    lock = tmp_path / "requirements.txt"
    lock.write_text("a==1")

    def interrupted(self, lock):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Environment, "_pip", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.install(lock)
    assert not env.has(lock)
    env.install(lock)
    assert env.has(lock)
    assert made == ["create", "create", "requirements.txt"]
