"""What MLflow's client reads from the environment when it is imported. Import this first."""
import os

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
os.environ["PYTHONWARNINGS"] = "ignore"
