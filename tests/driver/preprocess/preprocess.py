import argparse
import csv
import pathlib
import random
import tempfile

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int)
parser.add_argument("--dataset")
args = parser.parse_args()

randomness = random.Random(7)
with mlflow.start_run(), tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch) / args.dataset
    folder.mkdir()
    for part in ("train", "test"):
        with (folder / f"{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            for _ in range(args.rows):
                x = randomness.random()
                table.writerow([x, 3 * x + randomness.gauss(0, 0.01)])
    mlflow.log_artifacts(scratch)
