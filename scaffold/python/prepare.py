"""Writes table.csv: points near a line. Usage: prepare.py ROWS OUTPUT_FOLDER"""
import csv
import pathlib
import random
import sys

import tracking

rows, output = int(sys.argv[1]), pathlib.Path(sys.argv[2])
output.mkdir(parents=True, exist_ok=True)

random.seed(1)
with open(output / "table.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["x", "y"])
    for _ in range(rows):
        x = random.uniform(-1, 1)
        table.writerow([x, 3 * x + 2 + random.gauss(0, 0.1)])

tracking.log_metrics({"rows": rows})
