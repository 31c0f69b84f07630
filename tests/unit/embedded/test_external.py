"""A person's own database, broker or MLflow, named in the environment."""

import pytest

from embedded.installation import SettingError, portal_settings, replaced


def test_a_persons_own_database_and_broker_are_used():
    environment = {
        "DATABASE_URL": "postgres://kim:secret@db/portal",
        "REDIS_URL": "redis://cache:6379/1",
        "PATH": "/bin",
    }
    settings = portal_settings(environment)
    assert settings == {name: environment[name] for name in ("DATABASE_URL", "REDIS_URL")}


def test_what_is_said_about_it_holds_no_password():
    settings = portal_settings({"DATABASE_URL": "postgres://kim:secret@db/portal"})
    assert replaced(settings) == {"DATABASE_URL": "postgres://db/portal"}


def test_the_demo_never_goes_into_somebodys_mlflow():
    with pytest.raises(SettingError, match="STAGEGATE_DEMO=0"):
        portal_settings({"MLFLOW_TRACKING_URI": "http://mlflow:5000"})


def test_without_the_demo_somebodys_mlflow_is_used_with_its_credentials():
    environment = {
        "STAGEGATE_DEMO": "0",
        "MLFLOW_TRACKING_URI": "https://mlflow",
        "MLFLOW_TRACKING_TOKEN": "secret",
    }
    assert portal_settings(environment) == {name: environment[name] for name in environment if name != "STAGEGATE_DEMO"}


@pytest.mark.parametrize("address", ["databricks", "sqlite:///mlflow.db", "./mlruns"])
def test_an_mlflow_that_is_no_server_is_refused(address):
    with pytest.raises(SettingError, match="http"):
        portal_settings({"STAGEGATE_DEMO": "0", "MLFLOW_TRACKING_URI": address})
