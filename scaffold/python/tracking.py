"""Logs metrics to the step's run with Python alone. With mlflow installed, its client does the same and more:

    with mlflow.start_run():
        mlflow.log_metrics({"error": 0.1})
"""
import json
import os
import time
import urllib.request


def log_metrics(metrics, step=0):
    if "MLFLOW_RUN_ID" not in os.environ:  # not run by tidemill
        print(metrics)
        return
    now = int(time.time() * 1000)
    batch = {"run_id": os.environ["MLFLOW_RUN_ID"],
             "metrics": [{"key": key, "value": value, "timestamp": now, "step": step} for key, value in metrics.items()]}
    urllib.request.urlopen(urllib.request.Request(
        os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-batch", json.dumps(batch).encode(),
        {"Content-Type": "application/json"})).close()
