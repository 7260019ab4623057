"""Trains a forest of trees of one depth, and measures it on rows that it has not seen."""
import os
import pathlib
import pickle
import sys

import mlflow
import pandas
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

data, depth, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
output = pathlib.Path(os.environ["TIDEMILL_OUTPUT_DIR"])

table = pandas.read_csv(data)
train, validation = train_test_split(table, test_size=0.3, random_state=seed, stratify=table["target"])
model = RandomForestClassifier(n_estimators=50, max_depth=depth, random_state=seed)
model.fit(train.drop(columns="target"), train["target"])
accuracy = model.score(validation.drop(columns="target"), validation["target"])

(output / "model.pkl").write_bytes(pickle.dumps(model))
with mlflow.start_run():
    mlflow.log_metric("validation_accuracy", accuracy)
