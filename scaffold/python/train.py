"""Fits a line by gradient descent and writes model.json. Usage: train.py TABLE EPOCHS RATE OUTPUT_FOLDER"""
import csv
import json
import pathlib
import sys

import tracking

data, epochs, rate, output = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), pathlib.Path(sys.argv[4])
output.mkdir(parents=True, exist_ok=True)

with open(data, newline="") as file:
    points = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]

slope = offset = 0.0
for epoch in range(epochs):
    gaps = [(x, slope * x + offset - y) for x, y in points]
    slope -= rate * 2 * sum(x * gap for x, gap in gaps) / len(points)
    offset -= rate * 2 * sum(gap for _, gap in gaps) / len(points)
    error = sum(gap * gap for _, gap in gaps) / len(points)
    tracking.log_metrics({"error": error}, step=epoch)

(output / "model.json").write_text(json.dumps({"slope": slope, "offset": offset}) + "\n")
tracking.log_metrics({"slope": slope, "offset": offset})
