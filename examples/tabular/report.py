"""Writes what came out."""
import os
import pathlib
import sys

accuracy, depth = float(sys.argv[1]), float(sys.argv[2])
output = pathlib.Path(os.environ["TIDEMILL_OUTPUT_DIR"])
(output / "report.md").write_text(f"A forest of depth {depth:.0f} is right in {accuracy:.1%} of unseen cases.\n")
