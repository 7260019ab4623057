#!/usr/bin/env python3
"""The example in Python, examples/tabular, run as its page says: first all of it, then with one more depth.

Usage: tabular_test.py FOLDER_WITH_THE_PROGRAMS
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

try:
    import mlflow  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has scikit-learn and mlflow")
    sys.exit(77)

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "tabular"


class Tabular(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()

    def tearDown(self):
        self.temporary.cleanup()

    def run_pipeline(self, *parameters):
        """The state of each step."""
        ran = subprocess.run([BIN / "tidemill", "run", EXAMPLE, "--json", "-P", f"python={sys.executable}", *parameters],
                             cwd=self.temporary.name, text=True, capture_output=True)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        events = [json.loads(line) for line in ran.stdout.splitlines()]
        return {event["step"]: event for event in events if event["event"] == "step_finished"}

    def show(self, run_id):
        shown = subprocess.run([BIN / "tidemill", "runs", "show", run_id, "--json"], cwd=self.temporary.name,
                               text=True, capture_output=True, check=True)
        return json.loads(shown.stdout)

    def test_a_sweep_that_grows(self):
        first = self.run_pipeline("-P", "depths=1,4")
        self.assertEqual({step["state"] for step in first.values()}, {"finished"})
        self.assertEqual(set(first), {"prepare", "train[depth=1]", "train[depth=4]", "choose", "evaluate", "report"})
        chosen = self.show(first["choose"]["run_id"])
        trained = [self.show(first[f"train[depth={depth}]"]["run_id"]) for depth in (1, 4)]
        self.assertEqual(chosen["metrics"]["best_accuracy"],
                         max(run["metrics"]["validation_accuracy"] for run in trained))
        self.assertGreater(self.show(first["evaluate"]["run_id"])["metrics"]["accuracy"], 0.85)

        grown = self.run_pipeline("-P", "depths=1,4,6")
        ran = {name for name, step in grown.items() if step["state"] == "finished"}
        self.assertLessEqual({"train[depth=6]", "choose"}, ran)
        self.assertEqual({grown[name]["state"] for name in ("prepare", "train[depth=1]", "train[depth=4]")}, {"reused"})

        refused = subprocess.run([BIN / "tidemill", "run", EXAMPLE, "--json", "-P", f"python={sys.executable}",
                                  "-P", "depths=1,4,6", "-P", "gate_accuracy=1.01"],
                                 cwd=self.temporary.name, text=True, capture_output=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("its gate is closed: accuracy", refused.stdout)
        model = subprocess.run([BIN / "tidemill", "models", "versions", "tabular", "--json"], cwd=self.temporary.name,
                               text=True, capture_output=True, check=True)
        self.assertIn("champion", model.stdout)

        strict = self.run_pipeline("-P", "depths=1,4,6", "-P", "least_accuracy=1.01")
        self.assertEqual(strict["report"]["state"], "skipped")
        self.assertIn(">= 1.01", strict["report"]["reason"])


if __name__ == "__main__":
    unittest.main()
