#!/usr/bin/env python3
"""A C++ program uses the installed SDK's client at a Tidemill and at an MLflow server; MLflow's own client then finds
what it has left there.

usage: sdk_client_test.py BUILD_FOLDER TEST_SERVER_PROGRAM
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
SERVER = sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
import client_settings  # noqa: E402,F401
import sdk_programs  # noqa: E402
import servers  # noqa: E402

try:
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)


class TidemillServer(unittest.TestCase):
    server = servers.tidemill

    def test_what_the_client_did_is_what_mlflows_client_finds(self):
        url = self.enterContext(type(self).server(SERVER))
        scratch = self.enterContext(tempfile.TemporaryDirectory())
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        done = subprocess.run([PROGRAMS / "client", scratch], env=environment | {"MLFLOW_TRACKING_URI": url}, text=True,
                              capture_output=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        client = MlflowClient(url)
        run = client.get_run(done.stdout.strip())
        self.assertEqual(run.info.run_name, "renamed")
        self.assertEqual((run.info.status, run.info.start_time, run.info.end_time),
                         ("FAILED", 1_700_000_000_000, 1_700_000_100_000))
        self.assertEqual(run.data.params, {"lr": "0.1", "depth": "11"})
        self.assertEqual(run.data.metrics["loss"], 0.5)
        self.assertGreater(run.data.metrics["endless"], 1e308)  # MLflow keeps infinity as the largest number
        self.assertTrue(math.isnan(run.data.metrics["nan"]))
        self.assertEqual([point.step for point in client.get_metric_history(run.info.run_id, "curve")], list(range(2500)))
        self.assertEqual(pathlib.Path(client.download_artifacts(run.info.run_id, "notes.txt")).read_text(), "good")
        experiment = client.get_experiment_by_name("client ü")
        self.assertEqual((experiment.tags["team"], run.info.experiment_id), ("vision", experiment.experiment_id))
        child = next(run for run in client.search_runs([experiment.experiment_id]) if run.info.run_name == "child")
        self.assertEqual(child.data.tags["mlflow.parentRunId"], run.info.run_id)
        champion = client.get_model_version_by_alias("net", "champion")
        self.assertEqual((str(champion.version), champion.description, champion.run_id), ("2", "better", run.info.run_id))
        self.assertEqual([model.name for model in client.search_registered_models()], ["net"])


class MlflowServer(TidemillServer):
    server = servers.mlflow


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as programs:
        PROGRAMS = sdk_programs.build(BUILD, pathlib.Path(programs))
        unittest.main(verbosity=2)
