"""The same driver without MLflow's own projects: it calls `tidemill run` for each of them."""
import argparse
import json
import os
import subprocess

import mlflow
from mlflow.tracking import MlflowClient


def run(folder, entry_point, **parameters):
    words = ["tidemill", "run", folder, "-e", entry_point, "--run-name", folder, "--json"]
    for name, value in parameters.items():
        words += ["-P", f"{name}={value}"]
    ran = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    return next(event["run_id"] for event in events if event["event"] == "step_started")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50)
    args = parser.parse_args()

    with mlflow.start_run():
        preprocessed = run("preprocess", "preprocess", rows=args.rows)
        data = os.path.join(MlflowClient().get_run(preprocessed).info.artifact_uri, "numbers")
        run("train", "train", data=data)


if __name__ == "__main__":
    main()
