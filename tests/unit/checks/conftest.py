"""MLflow is imported here, once: its own type hints make it warn, and a warning is an error in these tests."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import mlflow.pyfunc.scoring_server
    import mlflow.sklearn  # noqa: F401 - imported for the test modules
