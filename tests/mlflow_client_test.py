"""The real mlflow client against Tidemill's tracking endpoint.

usage: mlflow_client_test.py TEST_SERVER_PROGRAM [--postgres]
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import math
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import client_settings  # noqa: E402,F401
import servers  # noqa: E402

try:
    import mlflow
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)

SERVER = sys.argv.pop(1)
START = servers.tidemill_of(sys.argv)


class MlflowClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(START(SERVER))
        mlflow.set_tracking_uri(cls.url)
        cls.client = MlflowClient(cls.url)

    def test_training_script(self):
        experiment = mlflow.set_experiment("training")
        with mlflow.start_run(run_name="parent", tags={"team": "vision"}) as parent:
            mlflow.log_params({"lr": 0.1, "layers": [1, 2], "text": "grüße \U0001f600"})
            mlflow.log_param("epochs", 3)
            for epoch in range(3):
                mlflow.log_metrics({"loss": 1.0 / (epoch + 1), "accuracy": epoch / 3}, step=epoch)
            mlflow.log_metric("nan", math.nan)
            mlflow.set_tags({"stage": "test"})
            mlflow.set_tag("note", "x" * 100)
            with mlflow.start_run(run_name="child", nested=True) as child:
                mlflow.log_metric("loss", 0.5)
        parent_run = self.client.get_run(parent.info.run_id)
        self.assertEqual(parent_run.info.status, "FINISHED")
        self.assertGreaterEqual(parent_run.info.end_time, parent_run.info.start_time)
        self.assertEqual(parent_run.info.run_name, "parent")
        self.assertEqual(
            parent_run.data.params, {"lr": "0.1", "layers": "[1, 2]", "text": "grüße \U0001f600", "epochs": "3"}
        )
        self.assertAlmostEqual(parent_run.data.metrics["loss"], 1 / 3)
        self.assertTrue(math.isnan(parent_run.data.metrics["nan"]))
        self.assertEqual(parent_run.data.tags["team"], "vision")
        self.assertEqual(parent_run.data.tags["stage"], "test")
        child_run = self.client.get_run(child.info.run_id)
        self.assertEqual(child_run.data.tags["mlflow.parentRunId"], parent.info.run_id)
        history = self.client.get_metric_history(parent.info.run_id, "loss")
        self.assertEqual([(m.step, m.value) for m in history], [(0, 1.0), (1, 0.5), (2, 1 / 3)])
        found = mlflow.search_runs(
            [experiment.experiment_id],
            filter_string=f"tags.mlflow.parentRunId = '{parent.info.run_id}' and metrics.loss < 0.6",
        )
        self.assertEqual(list(found["run_id"]), [child.info.run_id])

    def test_failed_run(self):
        mlflow.set_experiment("failing")
        with self.assertRaises(RuntimeError):
            with mlflow.start_run() as run:
                raise RuntimeError("no")
        self.assertEqual(self.client.get_run(run.info.run_id).info.status, "FAILED")

    def test_run_started_elsewhere(self):
        experiment = mlflow.set_experiment("joined")
        run = self.client.create_run(experiment.experiment_id)
        os.environ["MLFLOW_RUN_ID"] = run.info.run_id
        try:
            with mlflow.start_run() as joined:
                mlflow.log_param("joined", True)
        finally:
            os.environ.pop("MLFLOW_RUN_ID", None)
        self.assertEqual(joined.info.run_id, run.info.run_id)
        self.assertEqual(self.client.get_run(run.info.run_id).data.params, {"joined": "True"})

    def test_artifacts(self):
        run = self.client.create_run(self.client.create_experiment("artifacts"))
        run_id = run.info.run_id
        self.assertTrue(run.info.artifact_uri.startswith("mlflow-artifacts:/"))
        with tempfile.TemporaryDirectory() as work:
            folder = pathlib.Path(work, "out")
            (folder / "deep").mkdir(parents=True)
            (folder / "deep" / "a b ü.txt").write_text("odd name")
            (folder / "large.bin").write_bytes(os.urandom(9_000_000))
            self.client.log_artifact(run_id, folder / "large.bin")
            self.client.log_artifacts(run_id, folder, "out")
            self.client.log_text(run_id, "text", "notes/readme.txt")
            self.client.log_dict(run_id, {"a": 1}, "notes/data.json")
            listed = self.client.list_artifacts(run_id)
            self.assertEqual(
                [(f.path, f.is_dir, f.file_size) for f in listed],
                [("large.bin", False, 9_000_000), ("notes", True, None), ("out", True, None)],
            )
            self.assertEqual([f.path for f in self.client.list_artifacts(run_id, "out/deep")], ["out/deep/a b ü.txt"])
            copied = pathlib.Path(self.client.download_artifacts(run_id, "", work))
            self.assertEqual((copied / "out/deep/a b ü.txt").read_text(), "odd name")
            self.assertEqual((copied / "large.bin").read_bytes(), (folder / "large.bin").read_bytes())
            self.assertEqual(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/readme.txt"), "text")
        with self.assertRaises(MlflowException):
            mlflow.artifacts.load_text(f"{run.info.artifact_uri}/none.txt")

    def test_batches(self):
        run_id = self.client.create_run(self.client.create_experiment("batches")).info.run_id
        metrics = [Metric(f"m{i % 7}", i * 0.5, 1000 + i, i) for i in range(1000)]
        self.client.log_batch(run_id, metrics=metrics)
        params = [Param(f"p{i}", str(i)) for i in range(100)]
        self.client.log_batch(run_id, params=params, tags=[RunTag("t", "1")])
        run = self.client.get_run(run_id)
        self.assertEqual(len(run.data.params), 100)
        self.assertEqual(run.data.metrics["m0"], 497.0)
        self.assertEqual(len(self.client.get_metric_history(run_id, "m3")), 143)
        with self.assertRaisesRegex(MlflowException, "Changing param values is not allowed"):
            self.client.log_batch(run_id, params=[Param("p1", "other"), Param("new", "1")])
        self.assertNotIn("new", self.client.get_run(run_id).data.params)
        with self.assertRaises(MlflowException):
            self.client.log_batch("0" * 32, metrics=metrics)

    def test_experiments(self):
        created = self.client.create_experiment("e1", tags={"a": "b"})
        with self.assertRaisesRegex(MlflowException, "already exists"):
            self.client.create_experiment("e1")
        experiment = self.client.get_experiment_by_name("e1")
        self.assertEqual(experiment.experiment_id, created)
        self.assertEqual(experiment.tags, {"a": "b"})
        self.assertIsNone(self.client.get_experiment_by_name("none"))
        self.client.set_experiment_tag(created, "c", "d")
        self.client.rename_experiment(created, "e2")
        self.assertIn("e2", [e.name for e in self.client.search_experiments(filter_string="tags.c = 'd'")])
        self.client.delete_experiment(created)
        self.assertEqual(self.client.get_experiment(created).lifecycle_stage, "deleted")
        self.assertNotIn("e2", [e.name for e in self.client.search_experiments()])
        self.client.restore_experiment(created)
        self.assertEqual(self.client.get_experiment(created).lifecycle_stage, "active")

    def test_runs_are_changed_deleted_and_paged(self):
        experiment = self.client.create_experiment("many")
        ids = [self.client.create_run(experiment, start_time=1000 + i).info.run_id for i in range(5)]
        page = self.client.search_runs([experiment], max_results=2)
        self.assertEqual([r.info.run_id for r in page], [ids[4], ids[3]])
        rest = self.client.search_runs([experiment], max_results=9, page_token=page.token)
        self.assertEqual([r.info.run_id for r in rest], [ids[2], ids[1], ids[0]])
        self.assertFalse(rest.token)
        self.client.set_tag(ids[0], "k", "v")
        self.client.delete_tag(ids[0], "k")
        self.assertNotIn("k", self.client.get_run(ids[0]).data.tags)
        self.client.update_run(ids[0], name="renamed")
        self.assertEqual(self.client.get_run(ids[0]).info.run_name, "renamed")
        self.client.delete_run(ids[0])
        self.assertEqual(len(self.client.search_runs([experiment])), 4)
        with self.assertRaises(MlflowException):
            self.client.log_metric(ids[0], "m", 1)
        self.client.restore_run(ids[0])
        self.client.log_metric(ids[0], "m", 1)
        self.client.set_terminated(ids[0], "KILLED")
        self.assertEqual(self.client.get_run(ids[0]).info.status, "KILLED")

    def test_asynchronous_logging(self):
        mlflow.set_experiment("asynchronous")
        with mlflow.start_run() as run:
            operations = [mlflow.log_metric("m", i, step=i, synchronous=False) for i in range(200)]
            for operation in operations:
                operation.wait()
        self.assertEqual(len(self.client.get_metric_history(run.info.run_id, "m")), 200)


if __name__ == "__main__":
    unittest.main(verbosity=1)
