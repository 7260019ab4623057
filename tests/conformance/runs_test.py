"""Runs: their life, what is logged to them, and what is refused."""
import unittest

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from conformance import ConformanceTest, missing

INVALID, GONE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"


class RunsTest(ConformanceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.experiment = cls.client.create_experiment(cls.new_name())

    def new_run(self, **create):
        return self.client.create_run(self.experiment, **create).info.run_id


class Life(RunsTest):
    def test_created_read_and_ended(self):
        run_id = self.new_run(start_time=5, run_name="first", tags={"a": "1"})
        run = self.client.get_run(run_id)
        self.assertEqual((run.info.run_name, run.info.status, run.info.start_time), ("first", "RUNNING", 5))
        self.assertEqual((run.info.lifecycle_stage, run.info.end_time), ("active", None))
        self.assertEqual(run.data.tags, {"a": "1", "mlflow.runName": "first"})
        self.assertTrue(run.info.artifact_uri.endswith(f"/{run_id}/artifacts"))
        self.client.set_terminated(run_id, "FAILED", 9)
        info = self.client.get_run(run_id).info
        self.assertEqual((info.status, info.end_time), ("FAILED", 9))
        self.client.update_run(run_id, "RUNNING", "second")
        run = self.client.get_run(run_id)
        self.assertEqual((run.info.status, run.info.run_name), ("RUNNING", "second"))
        self.assertEqual(run.data.tags["mlflow.runName"], "second")

    def test_its_name_is_a_tag(self):
        run_id = self.new_run(tags={"mlflow.runName": "by tag"})
        self.assertEqual(self.client.get_run(run_id).info.run_name, "by tag")
        self.client.set_tag(run_id, "mlflow.runName", "changed")
        self.client.set_tag(run_id, "mlflow.runName", "")
        self.client.log_batch(run_id, tags=[RunTag("mlflow.runName", "")])
        run = self.client.get_run(run_id)
        self.assertEqual((run.info.run_name, run.data.tags["mlflow.runName"]), ("changed", "changed"))
        nameless = self.client.get_run(self.new_run())
        self.assertRegex(nameless.info.run_name, r"^[a-z]+-[a-z]+-\d+$")
        body = {"experiment_id": self.experiment, "run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]}
        self.refused(400, INVALID, None, "POST", "runs/create", body)

    def test_tags_of_a_new_one(self):
        run_id = self.new_run(tags={"a*b": "1", "c//d": "2"})
        tags = self.client.get_run(run_id).data.tags
        self.assertEqual((tags["a*b"], tags["c//d"]), ("1", "2"))
        twice = [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]
        self.assertEqual(self.call("POST", "runs/create", {"experiment_id": self.experiment, "tags": twice})[0], 400)

    def test_deleted_and_restored(self):
        run_id = self.new_run()
        self.client.delete_run(run_id)
        self.assertEqual(self.client.get_run(run_id).info.lifecycle_stage, "deleted")
        body = {"run_id": run_id, "status": "FINISHED"}
        text = f"The run {run_id} must be in the 'active' state. Current state is deleted."
        self.refused(400, INVALID, text, "POST", "runs/update", body)
        self.refused(400, INVALID, text, "POST", "runs/log-batch", {"run_id": run_id, "tags": [{"key": "a", "value": "b"}]})
        self.client.restore_run(run_id)
        self.assertEqual(self.client.get_run(run_id).info.lifecycle_stage, "active")

    def test_old_words(self):
        run_id = self.new_run()
        self.assertEqual(self.ok("GET", "runs/get", run_uuid=run_id)["run"]["info"]["run_uuid"], run_id)
        self.ok("POST", "runs/log-parameter", {"run_uuid": run_id, "key": "p", "value": "1"})
        self.assertEqual(self.client.get_run(run_id).data.params, {"p": "1"})

    def test_runs_that_are_not_there(self):
        text = "Run with id=nix not found"
        self.refused(404, GONE, text, "GET", "runs/get", run_id="nix")
        for path, more in {"update": {"status": "FINISHED"}, "delete": {}, "restore": {}, "set-tag": {"key": "a", "value": "b"},
                           "delete-tag": {"key": "a"}, "log-parameter": {"key": "a", "value": "b"}, "log-batch": {},
                           "log-metric": {"key": "a", "value": 1, "timestamp": 1}}.items():
            self.refused(404, GONE, text, "POST", f"runs/{path}", {"run_id": "nix"} | more)
            self.refused(400, INVALID, missing("run_id"), "POST", f"runs/{path}", more)
        self.refused(400, INVALID, missing("run_id"), "GET", "runs/get")
        self.refused(404, GONE, "No Experiment with id=99999 exists", "POST", "runs/create", {"experiment_id": "99999"})
        reading = ("GET", "metrics/get-history")
        if self.on_mlflow("the history of a run that is not there"):
            self.assertEqual(self.ok(*reading, run_id="nix", metric_key="m"), {})
        else:
            self.refused(404, GONE, text, *reading, run_id="nix", metric_key="m")

    def test_a_status_that_is_none_changes_nothing(self):
        run_id = self.new_run()
        self.ok("POST", "runs/update", {"run_id": run_id, "status": "NOPE"})
        self.assertEqual(self.client.get_run(run_id).info.status, "RUNNING")


class Logged(RunsTest):
    def test_in_one_batch(self):
        run_id = self.new_run()
        self.client.log_batch(run_id, [Metric("m", 1, 1, 0)], [Param("p", "1")], [RunTag("t", "1")])
        data = self.client.get_run(run_id).data
        self.assertEqual((data.metrics, data.params, data.tags["t"]), ({"m": 1}, {"p": "1"}, "1"))
        self.client.log_batch(run_id, tags=[RunTag("t", "2"), RunTag("u", "")])
        self.client.delete_tag(run_id, "u")
        self.assertEqual(self.client.get_run(run_id).data.tags["t"], "2")
        self.refused(404, GONE, None, "POST", "runs/delete-tag", {"run_id": run_id, "key": "u"})

    def test_a_parameter_keeps_its_value(self):
        run_id = self.new_run()
        self.client.log_param(run_id, "p", "1")
        self.client.log_param(run_id, "p", "1")
        with self.assertRaisesRegex(MlflowException, "Changing param values is not allowed"):
            self.client.log_param(run_id, "p", "2")
        for value in ("1", "2"):
            body = {"run_id": run_id, "params": [{"key": "q", "value": "1"}, {"key": "q", "value": value}]}
            self.refused(400, INVALID, None, "POST", "runs/log-batch", body)
        self.assertEqual(self.client.get_run(run_id).data.params, {"p": "1"})

    def test_lengths(self):
        run_id = self.new_run()
        self.ok("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "v" * 6001})
        self.ok("POST", "runs/set-tag", {"run_id": run_id, "key": "t", "value": "v" * 8001})
        data = self.client.get_run(run_id).data
        self.assertEqual((len(data.params["p"]), len(data.tags["t"])), (6000, 8000), "they are cut")
        for path in ("log-parameter", "set-tag"):
            self.refused(400, INVALID, None, "POST", f"runs/{path}", {"run_id": run_id, "key": "k" * 251, "value": "v"})
        for kind, count in {"params": 101, "tags": 101}.items():
            body = {"run_id": run_id, kind: [{"key": f"k{i}", "value": "v"} for i in range(count)]}
            self.refused(400, INVALID, None, "POST", "runs/log-batch", body)
        metrics = [{"key": f"k{i}", "value": 1, "timestamp": 1} for i in range(950)]
        body = {"run_id": run_id, "metrics": metrics, "params": [{"key": f"k{i}", "value": "v"} for i in range(60)]}
        self.refused(400, INVALID, None, "POST", "runs/log-batch", body)
        self.assertEqual(self.client.get_run(run_id).data.metrics, {})

    def test_names(self):
        run_id = self.new_run()
        for good in ("ok/path with space-._:1", "ü"):
            self.client.log_param(run_id, good, "1")
        for bad in ("a*b", "../x", "/abs", "a//b", ".", "a/", ""):
            for path, more in {"log-parameter": {"value": "1"}, "set-tag": {"value": "1"},
                               "log-metric": {"value": 1, "timestamp": 1}}.items():
                with self.subTest(key=bad, path=path):
                    self.refused(400, INVALID, None, "POST", f"runs/{path}", {"run_id": run_id, "key": bad} | more)

    def test_numbers_of_metrics(self):
        run_id = self.new_run()
        metric = {"run_id": run_id, "key": "m", "value": 1.5, "timestamp": 7}
        log = ("POST", "runs/log-metric")
        for more in ({}, {"value": "1.5"}, {"timestamp": "7", "step": "5"}, {"step": 2.0}, {"step": 2**63 - 1}, {"step": -1}):
            self.ok(*log, metric | more)
        for bad in ({"value": "x"}, {"timestamp": "x"}):
            self.refused(400, INVALID, None, *log, metric | bad)
        for key in ("value", "timestamp"):
            self.refused(400, INVALID, missing(key), *log, {k: v for k, v in metric.items() if k != key})
        for strange in ({"value": True}, {"step": 1.5}, {"step": 2**63}):
            if self.on_mlflow("numbers that are none"):
                self.ok(*log, metric | strange)
            else:
                self.refused(400, INVALID, None, *log, metric | strange)

    def test_words_for_numbers_in_a_batch(self):
        body = {"run_id": self.new_run(), "metrics": [{"key": "k", "value": "x", "timestamp": 2}]}
        if self.on_mlflow("numbers that are none"):
            self.ok("POST", "runs/log-batch", body)
        else:
            self.refused(400, INVALID, None, "POST", "runs/log-batch", body)

    def test_entries_without_what_they_need(self):
        run_id = self.new_run()
        batches = [("metrics", {"key": "k"}), ("metrics", {"key": "k", "value": 1}), ("metrics", {"value": 1, "timestamp": 2}),
                   ("metrics", {"key": "", "value": 1, "timestamp": 2}), ("params", {"value": "a"}), ("tags", {"value": "a"})]
        for kind, item in batches:
            with self.subTest(kind=kind, item=item):
                self.refused(400, INVALID, None, "POST", "runs/log-batch", {"run_id": run_id, kind: [item]})
        if not self.on_mlflow("entries that are no objects"):
            self.refused(400, INVALID, None, "POST", "runs/log-batch", {"run_id": run_id, "metrics": [5]})


class Inputs(RunsTest):
    def test_data_sets(self):
        run_id = self.new_run()
        data = Dataset("d", "digest", "local", "{}", schema="s", profile="p")
        for _ in range(2):
            self.client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "train")])])
        (found,) = self.client.get_run(run_id).inputs.dataset_inputs
        self.assertEqual((found.dataset.name, found.dataset.digest, found.dataset.schema), ("d", "digest", "s"))
        self.assertEqual([(t.key, t.value) for t in found.tags], [("mlflow.data.context", "train")])
        for text in ("dataset.name = 'd'", "datasets.digest LIKE 'dig%'", "dataset.context = 'train'"):
            found = self.client.search_runs([self.experiment], f"{text} AND run_id = '{run_id}'")
            self.assertEqual([run.info.run_id for run in found], [run_id], text)

    def test_a_data_set_without_a_digest(self):
        body = {"run_id": self.new_run(), "datasets": [{"dataset": {"name": "x"}}]}
        if self.on_mlflow("data sets without a digest"):
            self.ok("POST", "runs/log-inputs", body)
        else:
            self.refused(400, INVALID, missing("datasets[0].dataset.digest"), "POST", "runs/log-inputs", body)


if __name__ == "__main__":
    unittest.main()
