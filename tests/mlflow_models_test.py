"""Logged models, data sets, autologging and a PyTorch loop: the real MLflow 3 client against Tidemill's endpoint.

usage: mlflow_models_test.py TEST_SERVER_PROGRAM [--postgres]
Exits with 77 (skipped) when mlflow or scikit-learn cannot be imported, or there is no PostgreSQL.
"""
import logging
import math
import os
import pathlib
import sys
import tempfile
import unittest
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import client_settings  # noqa: E402
import servers  # noqa: E402

try:
    import mlflow
    import numpy
    import pandas
    import sklearn.linear_model
    import sklearn.model_selection
    from mlflow.entities import LoggedModelStatus, Metric
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow and scikit-learn")
    sys.exit(77)

warnings.simplefilter("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)
client_settings.without_inferred_requirements()
SERVER = sys.argv.pop(1)
START = servers.tidemill_of(sys.argv)
X = numpy.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
Y = numpy.array([0, 0, 0, 1, 1, 1])


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input


class MlflowModelsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            mlflow.set_tracking_uri(cls.enterClassContext(START(SERVER)))
        except servers.NotHere as error:
            print(f"skipped: {error}")
            os._exit(77)
        cls.client = MlflowClient()
        cls.work = tempfile.TemporaryDirectory()
        os.chdir(cls.work.name)

    @classmethod
    def tearDownClass(cls):
        os.chdir("/")
        cls.work.cleanup()

    def tearDown(self):
        mlflow.autolog(disable=True)
        mlflow.end_run()

    def fitted(self):
        return sklearn.linear_model.LogisticRegression().fit(X, Y)

    def test_sklearn_model(self):
        experiment = mlflow.set_experiment("sklearn model")
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(
                self.fitted(), name="net", params={"lr": 0.1}, tags={"team": "vision"}, model_type="classifier",
                input_example=X[:2],
            )
        model = mlflow.get_logged_model(info.model_id)
        self.assertEqual(model.status, LoggedModelStatus.READY)
        self.assertEqual(model.name, "net")
        self.assertEqual(model.model_type, "classifier")
        self.assertEqual(model.source_run_id, run.info.run_id)
        self.assertEqual(model.params, {"lr": "0.1"})
        self.assertEqual(model.tags["team"], "vision")
        self.assertEqual(model.experiment_id, experiment.experiment_id)
        outputs = self.client.get_run(run.info.run_id).outputs.model_outputs
        self.assertEqual([(o.model_id, o.step) for o in outputs], [(info.model_id, 0)])
        for uri in (f"models:/{info.model_id}", f"runs:/{run.info.run_id}/net", info.model_uri):
            loaded = mlflow.pyfunc.load_model(uri)
            self.assertEqual(list(loaded.predict(pandas.DataFrame(X))), list(Y))
        self.assertIn("MLmodel", [f.path for f in self.client.list_logged_model_artifacts(info.model_id)])
        self.assertIn("net/MLmodel", [f.path for f in self.client.list_artifacts(run.info.run_id, "net")])
        copied = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{info.model_id}"))
        self.assertTrue((copied / "MLmodel").is_file())

    def test_pyfunc_model_without_a_run(self):
        experiment = mlflow.set_experiment("pyfunc model")
        info = mlflow.pyfunc.log_model(name="echo", python_model=Echo())
        loaded = mlflow.pyfunc.load_model(info.model_uri)
        self.assertEqual(list(loaded.predict(["a"])), ["a"])
        found = mlflow.search_logged_models([experiment.experiment_id], output_format="list")
        self.assertEqual([m.model_id for m in found], [info.model_id])
        self.client.delete_logged_model(info.model_id)
        with self.assertRaisesRegex(MlflowException, "not found"):
            self.client.get_logged_model(info.model_id)

    def test_failed_upload(self):
        mlflow.set_experiment("failed upload")
        model = mlflow.initialize_logged_model(name="broken")
        self.assertEqual(model.status, LoggedModelStatus.PENDING)
        mlflow.finalize_logged_model(model.model_id, LoggedModelStatus.FAILED)
        self.assertEqual(mlflow.get_logged_model(model.model_id).status, LoggedModelStatus.FAILED)

    def test_external_model_with_many_parameters(self):
        mlflow.set_experiment("external")
        params = {f"p{i:03}": str(i) for i in range(250)}
        model = mlflow.create_external_model(name="outside", params=params)
        self.assertEqual(mlflow.get_logged_model(model.model_id).params, params)
        mlflow.set_logged_model_tags(model.model_id, {"a/b c": "1", "other": "2"})
        mlflow.delete_logged_model_tag(model.model_id, "a/b c")
        tags = mlflow.get_logged_model(model.model_id).tags
        self.assertEqual(tags["other"], "2")
        self.assertNotIn("a/b c", tags)

    def test_metrics_of_a_model_on_data_sets(self):
        experiment = mlflow.set_experiment("model metrics")
        train = mlflow.data.from_pandas(pandas.DataFrame({"x": [1, 2, 3]}), name="train")
        test = mlflow.data.from_pandas(pandas.DataFrame({"x": [4, 5]}), name="test")
        models = []
        with mlflow.start_run() as run:
            mlflow.log_input(train, context="training", tags={"version": "1"})
            mlflow.log_inputs(datasets=[test], contexts=["testing"], tags_list=[None])
            for name, score in (("one", 0.5), ("two", 0.75)):
                model = mlflow.initialize_logged_model(name=name)
                models.append(model.model_id)
                mlflow.log_metric("accuracy", score, step=1, dataset=train, model_id=model.model_id)
                mlflow.log_metrics({"loss": 1 - score, "nan": math.nan}, step=2, dataset=test, model_id=model.model_id)
        run = self.client.get_run(run.info.run_id)
        self.assertEqual(run.data.metrics["accuracy"], 0.75)
        inputs = {i.dataset.name: i for i in run.inputs.dataset_inputs}
        self.assertEqual(inputs["train"].dataset.digest, train.digest)
        self.assertEqual(inputs["train"].dataset.profile, '{"num_rows": 3, "num_elements": 3}')
        self.assertEqual(
            {t.key: t.value for t in inputs["train"].tags}, {"mlflow.data.context": "training", "version": "1"}
        )
        self.assertEqual(inputs["test"].tags[0].value, "testing")
        metrics = {m.key: m for m in mlflow.get_logged_model(models[0]).metrics}
        self.assertEqual(metrics["accuracy"].value, 0.5)
        self.assertEqual(metrics["accuracy"].dataset_name, "train")
        self.assertEqual(metrics["accuracy"].dataset_digest, train.digest)
        self.assertEqual(metrics["accuracy"].run_id, run.info.run_id)
        self.assertEqual(metrics["loss"].dataset_name, "test")
        self.assertTrue(math.isnan(metrics["nan"].value))

        def search(filter_string=None, **more):
            found = mlflow.search_logged_models(
                [experiment.experiment_id], filter_string=filter_string, output_format="list", **more
            )
            return [m.model_id for m in found]

        self.assertEqual(search("metrics.accuracy > 0.6"), [models[1]])
        self.assertEqual(search("metrics.accuracy > 0.6", datasets=[{"dataset_name": "test"}]), [])
        self.assertEqual(search(datasets=[{"dataset_name": "train", "dataset_digest": train.digest}]), models[::-1])
        order = [{"field_name": "metrics.accuracy", "dataset_name": "train", "ascending": True}]
        self.assertEqual(search(order_by=order), models)
        self.assertEqual(search(order_by=order, max_results=1), models[:1])
        self.assertEqual(search(f"source_run_id = '{run.info.run_id}' AND name = 'two'"), [models[1]])
        self.assertEqual(len(mlflow.search_logged_models([experiment.experiment_id])), 2)
        with self.assertRaises(MlflowException):
            search("nonsense = 1")

    def test_batch_with_a_model(self):
        experiment = mlflow.set_experiment("batch")
        run_id = self.client.create_run(experiment.experiment_id).info.run_id
        model = self.client.create_logged_model(experiment.experiment_id, name="m", source_run_id=run_id)
        points = [Metric("loss", 1 / (i + 1), 1000 + i, i, model_id=model.model_id) for i in range(10)]
        self.client.log_batch(run_id, metrics=points)
        metrics = self.client.get_logged_model(model.model_id).metrics
        self.assertEqual(sorted(m.step for m in metrics), list(range(10)))
        with self.assertRaisesRegex(MlflowException, "not found"):
            self.client.log_batch(run_id, metrics=[Metric("other", 1, 1, 1, model_id="m-" + "0" * 32)])
        self.assertNotIn("other", self.client.get_run(run_id).data.metrics)

    def test_autologging_of_scikit_learn(self):
        experiment = mlflow.set_experiment("autolog")
        mlflow.autolog()
        with mlflow.start_run() as run:
            model = self.fitted()
            model.score(X, Y)
        run = self.client.get_run(run.info.run_id)
        self.assertEqual(run.data.params["C"], "1.0")
        self.assertIn("training_accuracy_score", run.data.metrics)
        self.assertEqual([i.tags[0].value for i in run.inputs.dataset_inputs if i.tags][0], "train")
        self.assertEqual(len(run.outputs.model_outputs), 1)
        found = mlflow.search_logged_models([experiment.experiment_id], output_format="list")
        self.assertEqual(found[0].model_id, run.outputs.model_outputs[0].model_id)
        self.assertEqual(found[0].status, LoggedModelStatus.READY)
        self.assertIn("training_accuracy_score", [m.key for m in found[0].metrics])
        self.assertEqual(list(mlflow.sklearn.load_model(found[0].model_uri).predict(X)), list(Y))

    def test_autologging_of_scikit_learn_registers_the_model(self):
        mlflow.set_experiment("autolog and register")
        self.addCleanup(mlflow.sklearn.autolog, disable=True)
        mlflow.sklearn.autolog(registered_model_name="classifier", log_input_examples=True)
        search = sklearn.model_selection.GridSearchCV(sklearn.linear_model.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
        with mlflow.start_run() as parent:
            search.fit(X, Y)
        run = self.client.get_run(parent.info.run_id)
        self.assertIn("best_C", run.data.params)
        self.assertIn("best_cv_score", run.data.metrics)
        children = self.client.search_runs(
            [run.info.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
        self.assertEqual(sorted(child.data.params["C"] for child in children), ["0.1", "1.0"])
        version = self.client.get_registered_model("classifier").latest_versions[0]
        self.assertEqual(version.run_id, parent.info.run_id)
        self.client.set_registered_model_alias("classifier", "champion", version.version)
        loaded = mlflow.sklearn.load_model("models:/classifier@champion")
        self.assertEqual(list(loaded.predict(X)), list(search.predict(X)))

    def test_a_registered_model_comes_back_as_it_was_logged(self):
        mlflow.set_experiment("round trip")
        with mlflow.start_run() as run:
            info = mlflow.sklearn.log_model(self.fitted(), name="net", registered_model_name="round-trip")
        self.assertEqual(int(info.registered_model_version), 1)
        copies = []
        for uri in (info.model_uri, f"runs:/{run.info.run_id}/net", "models:/round-trip/1", "models:/round-trip/latest"):
            folder = pathlib.Path(mlflow.artifacts.download_artifacts(uri, dst_path=tempfile.mkdtemp(dir=self.work.name)))
            names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            # The client writes this one itself where it downloads a registered version.
            names = [name for name in names if name != "registered_model_meta"]
            copies.append({name: (folder / name).read_bytes() for name in names})
        self.assertIn("MLmodel", copies[0])
        for copy in copies[1:]:
            self.assertEqual(copy, copies[0])
        self.assertEqual(list(mlflow.pyfunc.load_model("models:/round-trip/1").predict(pandas.DataFrame(X))), list(Y))

    def test_a_pytorch_loop(self):
        try:
            import torch
        except ImportError as error:
            self.skipTest(str(error))
        torch.manual_seed(1)
        experiment = mlflow.set_experiment("pytorch")
        x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32).unsqueeze(1)
        model = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        optimizer, loss_of = torch.optim.SGD(model.parameters(), lr=0.1), torch.nn.BCEWithLogitsLoss()
        losses = []
        with mlflow.start_run() as run:
            mlflow.log_params({"lr": 0.1, "optimizer": "SGD"})
            for epoch in range(20):
                optimizer.zero_grad()
                loss = loss_of(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                mlflow.log_metric("loss", losses[-1], step=epoch)
                if epoch % 10 == 9:
                    torch.save(model.state_dict(), f"epoch-{epoch}.pt")
                    mlflow.log_artifact(f"epoch-{epoch}.pt", "checkpoints")
            info = mlflow.pytorch.log_model(model, name="net", registered_model_name="torch-net", input_example=x.numpy())
        history = self.client.get_metric_history(run.info.run_id, "loss")
        self.assertEqual([(point.step, point.value) for point in history], list(enumerate(losses)))
        checkpoint = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="checkpoints/epoch-19.pt")
        state = torch.load(checkpoint, weights_only=True)
        self.assertTrue(all(torch.equal(state[name], value) for name, value in model.state_dict().items()))
        for uri in (info.model_uri, "models:/torch-net/1"):
            self.assertTrue(torch.equal(mlflow.pytorch.load_model(uri)(x), model(x)), uri)
        found = mlflow.search_runs([experiment.experiment_id], "metrics.loss < 1 AND params.optimizer = 'SGD'")
        self.assertEqual(list(found.run_id), [run.info.run_id])


if __name__ == "__main__":
    unittest.main(verbosity=1, warnings="ignore")
