"""The model server: one version of one model a process, spoken to with MLflow's scoring protocol."""

import os

# MLflow reads this when it is first imported, which importing any module of this package does. A model server
# talks to nobody but its callers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
