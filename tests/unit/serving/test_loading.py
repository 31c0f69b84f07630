"""A model is loaded from its directory, or a reason is given in one line."""

from __future__ import annotations

import mlflow.sklearn
import pandas as pd
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from serving.__main__ import main
from serving.loading import LoadError, load, use_one_job
from serving.reference import METADATA_KEY, Labels, build_reference
from tests.unit.serving.models import pyfunc

FEATURES = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
CLASSES = [0, 0, 1, 1]

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def directory(tmp_path):
    model = RandomForestClassifier(3, random_state=0, n_jobs=-1).fit(FEATURES, CLASSES)
    mlflow.sklearn.save_model(
        model,
        tmp_path / "model",
        signature=infer_signature(FEATURES, model.predict(FEATURES)),
        metadata={METADATA_KEY: build_reference(FEATURES, model.predict(FEATURES))},
        pip_requirements=[],
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    return tmp_path / "model"


def serve(directory):
    return main(["--model-dir", str(directory), "--name", "m", "--version", "4", "--port", "1"])


def test_a_model_and_its_reference(directory):
    loaded = load(directory)
    assert loaded.model.predict(FEATURES).tolist() == CLASSES
    assert loaded.reference.prediction == Labels(("0", "1"))
    assert loaded.model.get_raw_model().n_jobs == 1


def damage_nothing_there(directory):
    (directory / "MLmodel").unlink()


def damage_no_yaml(directory):
    (directory / "MLmodel").write_text("{")


def damage_no_model(directory):
    (directory / "model.skops").unlink()


def damage_truncated(directory):
    (directory / "model.skops").write_bytes((directory / "model.skops").read_bytes()[:100])


def damage_module_missing(directory):
    text = (directory / "MLmodel").read_text()
    (directory / "MLmodel").write_text(text.replace("loader_module: mlflow.sklearn", "loader_module: no_such.module"))


def damage_reference(directory):
    text = (directory / "MLmodel").read_text()
    (directory / "MLmodel").write_text(text.replace("edges:", "fringes:"))


DAMAGES = {
    damage_nothing_there: "has no MLmodel file",
    damage_no_yaml: "Error",
    damage_no_model: "model.skops",
    damage_truncated: "BadZipFile",
    damage_module_missing: "No module named 'no_such'",
    damage_reference: "must have a list of 'edges'",
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_model_ends_the_start_with_one_line(directory, damage, reason, capsys):
    damage(directory)
    assert serve(directory) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("serving: ")]
    assert len(lines) == 1
    assert lines[0].startswith("serving: cannot load m version 4: ")
    assert reason in lines[0]


def test_names_from_the_registry_cannot_write_on_the_terminal(tmp_path, capsys):
    main(["--model-dir", str(tmp_path), "--name", "a\n\x1b[2Jb", "--version", "4", "--port", "1"])
    assert "serving: cannot load a??[2Jb version 4: " in capsys.readouterr().err


def test_model_code_that_exits_does_not_count_as_a_good_end(directory, tmp_path, monkeypatch):
    (tmp_path / "leaving_model.py").write_text("import sys\n\ndef _load_pyfunc(path):\n    sys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = (directory / "MLmodel").read_text()
    (directory / "MLmodel").write_text(text.replace("loader_module: mlflow.sklearn", "loader_module: leaving_model"))
    with pytest.raises(LoadError, match="SystemExit: 0"):
        load(directory)


def test_a_remote_address_is_no_directory():
    assert serve("models:/m/1") == 1


def test_estimators_inside_others_work_in_one_job_too():
    forest = RandomForestClassifier(2, n_jobs=4, random_state=0)
    voting = VotingClassifier([("one", make_pipeline(StandardScaler(), forest))], n_jobs=2).fit(FEATURES, CLASSES)

    class Wrapper:
        sklearn_model = voting
        predict = voting.predict

    use_one_job(pyfunc(Wrapper(), None))
    assert (voting.n_jobs, voting.estimators_[0].steps[1][1].n_jobs) == (1, 1)
