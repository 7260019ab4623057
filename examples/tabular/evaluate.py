"""Measures the chosen model on the rows that were put aside at the start."""
import pathlib
import pickle
import sys

import mlflow
import pandas
from sklearn.metrics import accuracy_score, f1_score

model = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
table = pandas.read_csv(sys.argv[2])

predicted = model.predict(table.drop(columns="target"))
with mlflow.start_run():
    mlflow.log_metrics({
        "accuracy": accuracy_score(table["target"], predicted),
        "f1": f1_score(table["target"], predicted),
    })
