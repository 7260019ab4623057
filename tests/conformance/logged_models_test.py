"""Logged models, which MLflow 3 has beside runs."""
import unittest

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from conformance import ConformanceTest


@unittest.skipUnless(hasattr(MlflowClient, "create_logged_model"), "MLflow 2 has no logged models")
class LoggedModels(ConformanceTest):
    def setUp(self):
        self.experiment = self.client.create_experiment(self.new_name())

    def new_model(self, **create):
        return self.client.create_logged_model(self.experiment, **create)

    def test_from_pending_to_ready(self):
        run = self.client.create_run(self.experiment)
        model = self.new_model(name="net", source_run_id=run.info.run_id, params={"lr": "0.1"}, tags={"a": "b"},
                               model_type="cnn")
        self.assertRegex(model.model_id, "^m-[0-9a-f]{32}$")
        self.assertEqual(str(model.status), "PENDING")
        done = self.client.finalize_logged_model(model.model_id, "READY")
        self.assertEqual(str(done.status), "READY")
        read = self.client.get_logged_model(model.model_id)
        self.assertEqual((read.name, read.model_type, read.params, read.tags), ("net", "cnn", {"lr": "0.1"}, {"a": "b"}))
        self.assertEqual(read.source_run_id, run.info.run_id)
        self.assertTrue(read.artifact_location.endswith(f"/models/{model.model_id}/artifacts"))

    def test_tags(self):
        model = self.new_model(name="net", tags={"a": "1"})
        self.client.set_logged_model_tags(model.model_id, {"a": "2", "b": "3"})
        self.client.delete_logged_model_tag(model.model_id, "b")
        self.assertEqual(self.client.get_logged_model(model.model_id).tags, {"a": "2"})

    def test_deleted_ones_are_not_shown(self):
        model = self.new_model(name="net")
        self.client.delete_logged_model(model.model_id)
        with self.assertRaisesRegex(MlflowException, "not found"):
            self.client.get_logged_model(model.model_id)
        self.assertEqual(list(self.client.search_logged_models([self.experiment])), [])

    def test_metrics_of_models(self):
        run = self.client.create_run(self.experiment)
        model = self.new_model(name="net")
        for step, value in enumerate([0.5, 0.75]):
            self.client.log_metric(run.info.run_id, "acc", value, step=step, model_id=model.model_id,
                                   dataset_name="d", dataset_digest="1")
        found = {(m.key, m.value, m.step, m.run_id, m.dataset_name) for m in
                 self.client.get_logged_model(model.model_id).metrics}
        self.assertEqual(found, {("acc", 0.5, 0, run.info.run_id, "d"), ("acc", 0.75, 1, run.info.run_id, "d")})
        self.assertEqual(self.client.get_run(run.info.run_id).data.metrics, {"acc": 0.75})

    def test_search(self):
        run = self.client.create_run(self.experiment)
        for name, value in [("a", 0.1), ("b", 0.9), ("c", 0.5)]:
            model = self.new_model(name=name, params={"kind": name})
            self.client.log_metric(run.info.run_id, "acc", value, model_id=model.model_id)
        names = [m.name for m in self.client.search_logged_models(
            [self.experiment], "metrics.acc > 0.3", order_by=[{"field_name": "metrics.acc", "ascending": False}])]
        self.assertEqual(names, ["b", "c"])
        self.assertEqual([m.name for m in self.client.search_logged_models([self.experiment], "params.kind = 'a'")], ["a"])
        self.assertEqual([m.name for m in self.client.search_logged_models([self.experiment], "name = 'c'")], ["c"])

    def test_searches_that_are_written_in_other_ways(self):
        run = self.client.create_run(self.experiment)
        for name, value, digest in [("5", "1", "x"), ("b", "0.1", "y")]:
            model = self.new_model(name=name, params={"lr": value})
            self.client.log_metric(run.info.run_id, "acc", float(value), model_id=model.model_id, dataset_name="d",
                                   dataset_digest=digest)
        self.client.finalize_logged_model(model.model_id, "READY")

        def found(ids=(self.experiment,), **search):
            models = self.ok("POST", "logged-models/search", {"experiment_ids": ids, **search}).get("models", [])
            return [model["info"]["name"] for model in models]

        for text, names in {"params.lr = 0.1": ["b"], "name = 5": ["5"], "status = 2": ["b"], "status != 2": ["5"],
                            f"experiment_id = '{self.experiment}'": ["b", "5"], "experiment_id != '0'": ["b", "5"],
                            "lifecycle_stage = 'active'": ["b", "5"]}.items():
            with self.subTest(filter=text):
                self.assertEqual(found(filter=text), names)
        order = {"field_name": "metrics.acc", "dataset_digest": "x"}
        self.assertEqual(found(order_by=[order]), ["5", "b"], "the other has no such value")
        self.assertEqual(found(ids=()), [])

    def test_outputs_of_runs(self):
        from mlflow.entities import LoggedModelOutput

        run = self.client.create_run(self.experiment)
        model = self.new_model(name="net")
        self.client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 3)])
        outputs = self.client.get_run(run.info.run_id).outputs.model_outputs
        self.assertEqual([(o.model_id, o.step) for o in outputs], [(model.model_id, 3)])


if __name__ == "__main__":
    unittest.main()
