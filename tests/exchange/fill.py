"""Fills a tracking store through MLflow's client with one of everything.

usage: fill.py URI, which prints as JSON what compare.py then reads there
"""
import json
import sys
import time

import mlflow
import mlflow.data
import numpy
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.tracking import MlflowClient


def fill(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    vision = client.create_experiment("vision", tags={"team": "a", "mlflow.note.content": "many\nlines"})
    with mlflow.start_run(experiment_id=vision, run_name="parent", description="what it is") as parent:
        mlflow.log_params({"lr": "0.1", "a/b": "x y", "empty": "", "text": "grüße \U0001f600"})
        for step in range(10):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        now = int(time.time() * 1000)
        client.log_batch(parent.info.run_id, [Metric("loss", 1 / (step + 1), now, step) for step in range(10, 300)])
        mlflow.log_metric("system/cpu", float("nan"), step=3)
        mlflow.log_metric("inf", float("inf"))
        mlflow.log_metric("inf", float("-inf"), step=-4)
        mlflow.log_text("hello", "sub/hello.txt")
        data = mlflow.data.from_numpy(numpy.arange(4.0), name="d1")
        mlflow.log_input(data, context="training", tags={"x": "y"})
        mlflow.set_tag("mlflow.log-model.history", "[" + "x" * 3000 + "]")
        with mlflow.start_run(experiment_id=vision, nested=True, run_name="child"):
            mlflow.log_metric("loss", 0.5)
    run_id = parent.info.run_id
    bulk = client.create_run(vision, run_name="bulk")
    points = [Metric("many", (i * 7919 % 1000) / 8, now + i, i // 2) for i in range(3000)]
    for at in range(0, len(points), 1000):
        client.log_batch(bulk.info.run_id, points[at : at + 1000])
    client.log_batch(bulk.info.run_id, params=[Param("p", "1")], tags=[RunTag("t", "2")])
    client.set_terminated(bulk.info.run_id, "FAILED")
    client.log_inputs(
        bulk.info.run_id,
        [DatasetInput(Dataset("d2", "0123", "local", "{}"), [InputTag("mlflow.data.context", "eval")])],
    )
    if hasattr(client, "create_logged_model"):
        model = client.create_logged_model(vision, name="net", source_run_id=run_id, params={"p": "1"},
                                           tags={"t": "u"}, model_type="cnn")
        client.log_outputs(run_id, [mlflow.entities.LoggedModelOutput(model.model_id, 7)])
        client.log_metric(run_id, "acc", 0.9, step=5, model_id=model.model_id, dataset_name="d1",
                          dataset_digest=data.digest)
        client.finalize_logged_model(model.model_id, "READY")
        client.create_logged_model(vision, name="pending")
    dead = client.create_run(vision, run_name="dead")
    client.delete_run(dead.info.run_id)
    gone = client.create_experiment("gone")
    client.create_run(gone)
    client.delete_experiment(gone)
    client.create_registered_model("reg", tags={"k": "v"}, description="about")
    client.create_model_version("reg", f"{parent.info.artifact_uri}/sub", run_id=run_id, tags={"q": "w"},
                                description="first")
    client.create_model_version("reg", f"{parent.info.artifact_uri}/sub", run_id=run_id)
    client.create_model_version("reg", f"{parent.info.artifact_uri}/sub", run_id=run_id)
    client.transition_model_version_stage("reg", "2", "Production")
    client.set_registered_model_alias("reg", "champion", "1")
    client.delete_model_version("reg", "3")
    client.create_registered_model("no-version")
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "m", 1.5)


if __name__ == "__main__":
    import compare

    fill(sys.argv[1])
    print(json.dumps(compare.everything(sys.argv[1])))
