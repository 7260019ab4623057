"""Splits the table into train.csv and test.csv."""
import os
import pathlib
import sys

import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

test_part, seed = float(sys.argv[1]), int(sys.argv[2])
output = pathlib.Path(os.environ["TIDEMILL_OUTPUT_DIR"])

table = load_breast_cancer(as_frame=True).frame
train, test = train_test_split(table, test_size=test_part, random_state=seed, stratify=table["target"])
train.to_csv(output / "train.csv", index=False)
test.to_csv(output / "test.csv", index=False)

with mlflow.start_run():  # joins the step's run
    mlflow.log_metrics({"rows": len(table), "features": table.shape[1] - 1})
