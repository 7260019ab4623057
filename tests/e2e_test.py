#!/usr/bin/env python3
"""The whole product as a user meets it: the CIFAR-10 pipeline on a few made-up images, from pictures to an evaluated
container image; then the same with things broken on purpose.

Usage: e2e_test.py FOLDER_WITH_THE_PROGRAMS
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/bin").resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
PIPELINE = ROOT / "examples" / "cifar10"
SMALL = ["-P", "source=synthetic", "-P", "limit=640", "-P", "model_type=simple", "-P", "epochs=2"]


def tidemill(*arguments, cwd, **options):
    return subprocess.run([BIN / "tidemill", *arguments], cwd=cwd, text=True, capture_output=True, timeout=240, **options)


def runs_in(folder):
    listed = tidemill("runs", "list", "--json", cwd=folder)
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["runs"]


def processes_mentioning(text):
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and int(entry.parent.name) != os.getpid():
            found.append(command)
    return found


class WholePipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.result = tidemill("run", str(PIPELINE), *SMALL, cwd=cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def setUp(self):
        self.assertEqual(self.result.returncode, 0, self.result.stdout + self.result.stderr)
        self.runs = runs_in(self.folder)
        self.by_name = {run["run_name"]: run for run in self.runs}

    def step(self, name):
        return self.by_name[name]

    def artifacts(self, name):
        return pathlib.Path(self.step(name)["artifact_uri"])

    def test_records_one_parent_and_four_children(self):
        self.assertEqual(len(self.runs), 5)
        parent = self.step("cifar10")
        for name in ("preprocess", "train", "build", "evaluate"):
            self.assertEqual(self.step(name)["status"], "FINISHED")
            self.assertEqual(self.step(name)["tags"]["mlflow.parentRunId"], parent["run_id"])
        self.assertEqual(parent["params"]["model_type"], "simple")

    def test_preprocess_writes_pictures_by_class_with_their_lists(self):
        folder = self.artifacts("preprocess")
        classes = json.loads((folder / "classes.json").read_text())
        self.assertEqual(len(classes), 10)
        listed = json.loads((folder / "meta_train.json").read_text())
        self.assertEqual(sum(len(names) for names in listed.values()), 640)
        for name in listed:
            on_disk = sorted(path.name for path in (folder / "train" / name).iterdir())
            self.assertEqual(on_disk, sorted(listed[name]))

    def test_train_logs_parameters_metrics_and_writes_every_format(self):
        run = self.step("train")
        for key in ("optimizer", "preprocess", "epochs", "learning_rate", "batch_size", "num_workers", "device", "threads",
                    "precision", "seed"):
            self.assertIn(key, run["params"])
        for key in ("loss", "accuracy", "images_per_second"):
            self.assertIn(key, run["metrics"])
        names = [path.name for path in self.artifacts("train").rglob("*") if path.is_file()]
        for ending in (".safetensors", ".pth", ".onnx", ".ckpt"):
            self.assertTrue(any(name.endswith(ending) for name in names), f"no {ending} in {names}")
        self.assertTrue(any("tfevents" in name for name in names))

    def test_evaluate_agrees_with_the_trainer(self):
        train, evaluate = self.step("train"), self.step("evaluate")
        self.assertEqual(evaluate["metrics"]["total_tested"], 128)
        self.assertLessEqual(abs(evaluate["metrics"]["accuracy"] - train["metrics"]["accuracy"]) * 128, 2.001)
        written = json.loads((self.artifacts("evaluate") / "evaluation.json").read_text())
        self.assertIn("predictions", written)

    def test_says_what_to_do_next(self):
        self.assertIn("tidemill runs show", self.result.stdout + self.result.stderr)

    def test_nothing_is_left_running(self):
        self.assertEqual(processes_mentioning(str(self.folder)), [])


PYTHON = os.environ.get("TIDEMILL_PYTHON", os.path.expanduser("~/.cache/tidemill/venv/bin/python"))

PYTHON_STEP = """
import mlflow, sys
with mlflow.start_run() as run:
    mlflow.log_param("optimizer", "adam")
    for step in range(3):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.log_text("hello", "notes/hello.txt")
    with mlflow.start_run(nested=True, run_name="inner"):
        mlflow.log_metric("inner", 1)
"""


@unittest.skipUnless(os.path.exists(PYTHON), f"there is no {PYTHON} with MLflow's client (scripts/python-tools makes it)")
class StepInPython(unittest.TestCase):
    """A step that logs with the real MLflow client lands in the run that the pipeline made for it."""

    def test_logs_into_its_own_run(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            (folder / "train").mkdir()
            (folder / "train" / "train.py").write_text(PYTHON_STEP)
            (folder / "train" / "MLproject").write_text(f"entry_points:\n  main:\n    command: {PYTHON} train.py\n")
            (folder / "pipeline.yaml").write_text("name: demo\nsteps:\n  train: {project: train}\n")
            result = tidemill("run", str(folder), cwd=folder)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            runs = {run["run_name"]: run for run in runs_in(folder)}
            self.assertEqual(set(runs), {"demo", "train", "inner"})
            train = runs["train"]
            self.assertEqual(train["status"], "FINISHED")
            self.assertEqual(train["params"]["optimizer"], "adam")
            self.assertAlmostEqual(train["metrics"]["loss"], 1 / 3)
            self.assertEqual(train["tags"]["mlflow.parentRunId"], runs["demo"]["run_id"])
            self.assertEqual(runs["inner"]["tags"]["mlflow.parentRunId"], train["run_id"])
            self.assertEqual((pathlib.Path(train["artifact_uri"]) / "notes" / "hello.txt").read_text(), "hello")


class BrokenOnPurpose(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def test_an_unknown_parameter_is_told_with_the_nearest_and_records_nothing(self):
        result = tidemill("run", str(PIPELINE), "-P", "epoch=2", cwd=self.folder)
        self.assertEqual(result.returncode, 2)
        self.assertIn("did you mean 'epochs'", result.stderr)
        self.assertFalse((self.folder / "tidemill.db").exists())

    def test_a_damaged_data_set_fails_the_first_step_and_skips_the_rest(self):
        (self.folder / "data_batch_1.bin").write_bytes(b"\x03" * 5000)
        result = tidemill("run", str(PIPELINE), "-P", f"source={self.folder}", cwd=self.folder)
        self.assertEqual(result.returncode, 1)
        self.assertIn("data_batch_1.bin", result.stdout + result.stderr)
        runs = runs_in(self.folder)
        self.assertEqual({run["run_name"]: run["status"] for run in runs}, {"cifar10": "FAILED", "preprocess": "FAILED"})

    def start_training(self):
        """Starts the pipeline with far too many epochs, and waits until the train step runs."""
        runner = subprocess.Popen(
            [BIN / "tidemill", "run", str(PIPELINE), *SMALL[:-1], "epochs=100000"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(runner.wait)
        for _ in range(600):
            if any("cifar10-train" in process for process in processes_mentioning(str(self.folder))):
                return runner
            time.sleep(0.1)
        self.fail("the train step did not start")

    def assert_no_process_left(self):
        for _ in range(100):
            if not processes_mentioning(str(self.folder)):
                return
            time.sleep(0.1)
        self.fail(f"left running: {processes_mentioning(str(self.folder))}")

    def test_ctrl_c_marks_the_runs_killed_and_leaves_no_process(self):
        runner = self.start_training()
        runner.send_signal(signal.SIGINT)
        self.assertEqual(runner.wait(timeout=60), 130)
        self.assert_no_process_left()
        states = {run["run_name"]: run["status"] for run in runs_in(self.folder)}
        self.assertEqual(states, {"cifar10": "KILLED", "preprocess": "FINISHED", "train": "KILLED"})

    def test_steps_outlive_a_runner_that_is_killed_until_the_run_is_cancelled(self):
        runner = self.start_training()
        runner.kill()
        runner.wait(timeout=60)
        runs = {run["run_name"]: run for run in runs_in(self.folder)}
        self.addCleanup(tidemill, "cancel", runs["cifar10"]["run_id"], cwd=self.folder)
        self.assertEqual({name: run["status"] for name, run in runs.items()},
                         {"cifar10": "RUNNING", "preprocess": "FINISHED", "train": "RUNNING"})
        self.assertTrue(processes_mentioning(str(self.folder)))
        self.assertEqual(tidemill("cancel", runs["cifar10"]["run_id"], cwd=self.folder).returncode, 0)
        self.assert_no_process_left()
        states = {run["run_name"]: run["status"] for run in runs_in(self.folder)}
        self.assertEqual(states, {"cifar10": "KILLED", "preprocess": "FINISHED", "train": "KILLED"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
