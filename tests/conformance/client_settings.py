"""What MLflow's client reads from the environment when it is imported. Import this first."""
import os

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
os.environ["PYTHONWARNINGS"] = "ignore"


def without_inferred_requirements():
    """For each model that is logged, the client starts another Python to see what the model imports: seconds, of which no
    server knows. Call this when mlflow is imported."""
    from mlflow.utils import requirements_utils

    requirements_utils._capture_imported_modules = lambda *_, **__: []
