import argparse
import csv
import os

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--epochs", type=int)
parser.add_argument("--rate", type=float)
args = parser.parse_args()

with open(os.path.join(args.data, "train.csv"), newline="") as file:
    rows = [(float(x), float(y)) for x, y in csv.reader(file)]
slope = 0.0
with mlflow.start_run():
    for epoch in range(args.epochs):
        loss = 0.0
        for x, y in rows:
            error = slope * x - y
            slope -= args.rate * error * x
            loss += error * error / len(rows)
        mlflow.log_metric("loss", loss, step=epoch)
    mlflow.log_dict({"slope": slope}, "model.json")
