"""The data folder: private, and never somebody else's."""

import pytest

from embedded.home import Home, HomeError
from lifecycle.domain.checkpoints import load_key


def mode(path):
    return path.stat().st_mode & 0o777


def test_the_folder_and_its_secrets_are_private(tmp_path):
    home = Home.at(tmp_path / "data")
    home.create()
    home.secrets()
    home.make_checkpoint_key()
    assert mode(home.path) == mode(home.path / "secrets") == 0o700
    assert {mode(file) for file in (home.path / "secrets").iterdir()} == {0o600}


def test_secrets_are_made_once_and_kept(tmp_path):
    home = Home.at(tmp_path / "data")
    home.create()
    first = home.secrets()
    home.make_checkpoint_key()
    key = (home.path / "secrets" / "checkpoint_key.pem").read_bytes()
    home.create()
    home.make_checkpoint_key()
    assert home.secrets() == first
    assert (home.path / "secrets" / "checkpoint_key.pem").read_bytes() == key
    load_key(key)
    assert len({first.django_key, first.valkey_password, first.supervisor_password, first.webhook_secret}) == 4


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    home = Home.at(tmp_path)
    with pytest.raises(HomeError, match="did not make"):
        home.create()
    with pytest.raises(HomeError, match="left as it is"):
        home.remove()
    assert (tmp_path / "thesis.tex").exists()


def test_reset_removes_what_was_made_and_nothing_beside_it(tmp_path):
    home = Home.at(tmp_path / "data")
    home.create()
    home.remove()
    home.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["100%", 'a"b', "a ;b", "a #b"])
def test_names_that_supervisord_cannot_be_given_are_refused(tmp_path, name):
    with pytest.raises(HomeError, match="supervisord"):
        Home.at(tmp_path / name).create()


def test_the_folder_is_held_by_one_starter(tmp_path):
    home = Home.at(tmp_path / "data")
    assert home.running_pid() is None
    with home.held():
        assert home.running_pid()
        with pytest.raises(HomeError, match="already runs"), Home.at(tmp_path / "data").held():
            pass
    assert home.running_pid() is None


def test_no_people_before_they_are_made(tmp_path):
    home = Home.at(tmp_path / "data")
    home.create()
    assert home.demo_people() == []
