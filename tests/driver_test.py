#!/usr/bin/env python3
"""Drivers in Python, as people have them around MLflow Projects, run as they are: tests/driver, a main.py that calls
mlflow.run() for four projects, and one that calls `tidemill run`. Then the same steps as the pipeline that
`tidemill init --from-mlproject` makes of it. And `tidemill run` beside `mlflow run`: the same runs.

Usage: driver_test.py FOLDER_WITH_THE_PROGRAMS
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import mlflow  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)

BIN = pathlib.Path(sys.argv.pop(1)).resolve()
DRIVER = pathlib.Path(__file__).resolve().parent / "driver"
STEPS = {"preprocess", "train", "build", "evaluate"}
SET_BY_TESTS = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


class Drivers(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.project = self.folder / "driver"
        shutil.copytree(DRIVER, self.project)
        self.environment = {name: value for name, value in os.environ.items() if name not in SET_BY_TESTS}
        # `python` and `mlflow` of the projects' commands.
        self.environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment["MLFLOW_ENV_ROOT"] = str(self.folder / "environments")

    def command(self, *words, **more):
        done = subprocess.run([str(word) for word in words], cwd=self.folder, text=True, capture_output=True, timeout=280,
                              env=self.environment | more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def tidemill(self, *words, **more):
        return self.command(BIN / "tidemill", *words, **more)

    def runs(self):
        return json.loads(self.tidemill("runs", "list", "--json"))["runs"]

    def entry_points(self):
        return {run["tags"]["mlflow.project.entryPoint"]: run for run in self.runs()}

    def test_a_driver_that_calls_mlflow_run_has_its_steps_as_children(self):
        self.tidemill("run", "driver", "-P", "rows=60", "-P", "epochs=4")
        runs = self.entry_points()
        self.assertEqual(set(runs), {"main"} | STEPS)
        parent = runs["main"]
        self.assertEqual(parent["params"], {"rows": "60", "epochs": "4", "rate": "0.5"})
        for step in STEPS:
            self.assertEqual(runs[step]["tags"]["mlflow.parentRunId"], parent["run_id"], step)
            self.assertEqual(runs[step]["experiment_id"], parent["experiment_id"], step)
        self.assertEqual({run["status"] for run in runs.values()}, {"FINISHED"})
        artifacts = {step: pathlib.Path(runs[step]["artifact_uri"]) for step in STEPS}
        self.assertEqual(len((artifacts["preprocess"] / "numbers" / "test.csv").read_text().splitlines()), 60)
        self.assertEqual(runs["train"]["params"]["data"], str(artifacts["preprocess"] / "numbers"))
        self.assertTrue((artifacts["build"] / "bundle.zip").is_file())
        self.assertEqual(runs["build"]["tags"]["bundle"], "it's the slope")
        self.assertLess(runs["evaluate"]["metrics"]["error"], 0.05)

    def test_a_failing_step_of_a_driver_fails_the_driver(self):
        (self.project / "train" / "train.py").write_text("raise SystemExit(3)")
        failed = subprocess.run([BIN / "tidemill", "run", "driver"], cwd=self.folder, env=self.environment, text=True,
                                capture_output=True, timeout=280)
        self.assertEqual(failed.returncode, 1, failed.stdout + failed.stderr)
        statuses = {point: run["status"] for point, run in self.entry_points().items()}
        self.assertEqual(statuses, {"main": "FAILED", "preprocess": "FINISHED", "train": "FAILED"})

    def test_a_driver_that_calls_tidemill_run_has_them_as_children_too(self):
        self.tidemill("run", "driver", "-e", "called", "--experiment-name", "lines")
        runs = self.entry_points()
        self.assertEqual(set(runs), {"called", "preprocess", "train"})
        for step in ("preprocess", "train"):
            self.assertEqual(runs[step]["run_name"], step)
            self.assertEqual(runs[step]["tags"]["mlflow.parentRunId"], runs["called"]["run_id"], step)
            self.assertEqual(runs[step]["experiment_id"], runs["called"]["experiment_id"], step)
        self.assertEqual({run["status"] for run in runs.values()}, {"FINISHED"})
        self.assertGreater(runs["train"]["metrics"]["loss"], 0)

    def test_its_steps_as_a_pipeline(self):
        made = subprocess.run([BIN / "tidemill", "init", "--from-mlproject", "driver"], cwd=self.folder, text=True,
                              capture_output=True, env=self.environment)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.tidemill("run", "driver", "-P", "rows=40")
        runs = {run["run_name"]: run for run in self.runs()}
        self.assertEqual(set(runs), {"slope"} | STEPS, (self.project / "pipeline.yaml").read_text() + made.stderr)
        self.assertLess(runs["evaluate"]["metrics"]["error"], 0.05)
        again = self.tidemill("run", "driver", "-P", "rows=40", "--json")
        states = {event["step"]: event["state"] for event in map(json.loads, again.splitlines())
                  if event["event"] == "step_finished"}
        self.assertEqual(states, dict.fromkeys(STEPS, "reused"))

    def test_its_runs_are_those_of_mlflow_run(self):
        project = self.folder / "project"
        project.mkdir()
        (project / "MLproject").write_text("""
name: same
entry_points:
  main:
    parameters:
      count: {type: int, default: 3}
      text: {type: string, default: plain}
      word: {type: string, default: other}
      here: {type: path, default: .}
      folder: {type: path, default: .}
    command: "echo {count} {text} {word} {here} {folder}"
""")
        (project / "script.py").write_text("import sys, mlflow; mlflow.log_metric('seen', len(sys.argv))")
        (project / "data").mkdir()
        commands = [["project", "-P", "count=5", "-P", "extra=a b", "-P", "folder=project/data", "-P", "word=it"],
                    ["project", "-e", "script.py", "-P", "word=x"]]
        server = subprocess.Popen([BIN / "tidemill", "server", "--port", "0"], cwd=self.folder, text=True,
                                  stdout=subprocess.PIPE, env=self.environment)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait, timeout=30)
        self.addCleanup(server.terminate)
        url = re.search(r"http://[^ ,]+", server.stdout.readline()).group()
        for number, words in enumerate(commands):
            self.command("mlflow", "run", *words, "--env-manager", "local", "--run-name", f"theirs {number}",
                         MLFLOW_TRACKING_URI=url)
            self.tidemill("run", *words, "--run-name", f"ours {number}")
        runs = {run["run_name"]: run for run in self.runs()}
        self.assertEqual(runs["ours 1"]["metrics"]["seen"], 3)
        for number in range(len(commands)):
            ours, theirs = runs[f"ours {number}"], runs[f"theirs {number}"]
            for what in ("status", "experiment_id"):
                self.assertEqual(ours[what], theirs[what], what)
            self.assertEqual(ours["metrics"].get("seen"), theirs["metrics"].get("seen"))
            # MLflow keeps the shell's quotes.
            self.assertEqual(ours["params"], {name: value.strip("'") for name, value in theirs["params"].items()})
            own = lambda run: {name: value for name, value in run["tags"].items() if name.startswith("mlflow.")}  # noqa: E731
            self.assertEqual(own(ours) | {"mlflow.runName": ""}, own(theirs) | {"mlflow.runName": ""})


if __name__ == "__main__":
    unittest.main(verbosity=2)
