"""Keeps the model with the best accuracy; of equals, the one of the smallest depth."""
import json
import os
import pathlib
import shutil
import sys

import mlflow

models, accuracies, depths = map(json.loads, sys.argv[1:4])
output = pathlib.Path(os.environ["TIDEMILL_OUTPUT_DIR"])

accuracy, depth, model = min(zip(accuracies, depths, models), key=lambda one: (-one[0], one[1]))
shutil.copy(model, output / "model.pkl")
with mlflow.start_run():
    mlflow.log_metrics({"best_accuracy": accuracy, "best_depth": depth})
