"""What MLflow has recorded comes over to Tidemill and back: nothing is lost, nobody is locked in. MLflow's own client
fills the stores and reads both sides. (From MLflow's server: moving_test.py.)

usage: exchange_test.py TIDEMILL_PROGRAM
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from exchange_case import HERE, PROGRAM, ExchangeTest, served, tidemill

import compare
import fill
import mlflow
import servers

# MLflow's file store forgets the step of a point that names a data set when it reads it back. The files of deleted
# experiments lie in .trash, whatever the run says.
FILE_STORE = ["/history/acc: .*, 5, '0.9'.* instead of .*, 0, '0.9'", "/artifacts: .*/.trash/.* instead of"]


MLFLOW2 = os.environ.get("TIDEMILL_PYTHON_MLFLOW2", os.path.expanduser("~/.cache/tidemill/venv-mlflow2/bin/python"))


def runs_seen_by_mlflow2(folder):
    count = ("import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]); "
             "print(len(mlflow.search_runs(search_all_experiments=True)))")
    done = subprocess.run([MLFLOW2, "-c", count, folder.as_uri()], check=True, capture_output=True, text=True)
    return int(done.stdout)


class FromFiles(ExchangeTest):
    @classmethod
    def setUpClass(cls):
        cls.source = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory())).resolve() / "mlruns"
        cls.uri = cls.source.as_uri()
        fill.fill(cls.uri)

    def test_everything_is_there_and_stays_where_it_is(self):
        folder = self.new_folder()
        report = json.loads(tidemill("import", self.source, "--json", folder=folder).stdout)
        self.assertEqual(report["problems"], [])
        self.assert_imported(self.uri, folder, FILE_STORE)
        again = json.loads(tidemill("import", self.source, "--json", folder=folder).stdout)
        for kind in ("experiments", "runs", "logged_models", "registered_models", "model_versions"):
            self.assertEqual((again[kind]["new"], again[kind]["changed"]), (0, 0), kind)
        self.assertEqual(again["metric_points"], 0)

    def test_copied_artifacts_are_served(self):
        folder = self.new_folder()
        tidemill("import", self.source, "--copy-artifacts", folder=folder)
        self.assert_imported(self.uri, folder, FILE_STORE, places=False)
        with served(folder) as url:
            client = mlflow.MlflowClient(url, registry_uri=url)
            version = client.get_model_version("reg", "1")
            self.assertTrue(version.source.startswith("mlflow-artifacts:/"), version.source)
            self.assertEqual(client.get_run(version.run_id).info.run_name, "parent")
            local = client.download_artifacts(version.run_id, "sub/hello.txt", folder)
            self.assertEqual(pathlib.Path(local).read_text(), "hello")

    def test_exported_again_it_is_the_same(self):
        folder, back = self.new_folder(), self.new_folder() / "back"
        tidemill("import", self.source, folder=folder)
        for _ in range(2):
            report = json.loads(tidemill("export", back, "--json", folder=folder).stdout)
            self.assertEqual(report["problems"], [])
        found = compare.differences(
            compare.everything(back.as_uri(), places=False), compare.everything(self.uri, places=False)
        )
        self.assertEqual([line for line in found if "/history/acc" not in line], [])
        client = mlflow.MlflowClient(back.as_uri())
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        self.assertEqual(runs_seen_by_mlflow2(back), len(runs))
        run = next(r for r in runs if r.info.run_name == "parent")
        local = mlflow.artifacts.download_artifacts(run.info.artifact_uri + "/sub/hello.txt", dst_path=str(folder))
        self.assertEqual(pathlib.Path(local).read_text(), "hello")
        self.assertEqual(sorted(p.name for p in back.iterdir() if p.name.startswith(".")), [".trash"])


class FromDatabase(ExchangeTest):
    def check_import(self, fill_database):
        """fill_database: a function of a URI that returns what the client of its MLflow says of it."""
        source, folder = self.new_folder(), self.new_folder()
        uri = f"sqlite:///{source}/mlflow.db"
        with contextlib.chdir(source):
            theirs = fill_database(uri)
        report = json.loads(tidemill("import", source / "mlflow.db", "--json", folder=folder).stdout)
        self.assertEqual(report["problems"], [])
        again = json.loads(tidemill("import", uri, "--json", folder=folder).stdout)
        self.assertEqual((again["runs"]["new"], again["runs"]["changed"], again["metric_points"]), (0, 0, 0))
        self.assert_imported(theirs, folder)

    def test_mlflow_3(self):
        def fill_database(uri):
            fill.fill(uri)
            return compare.everything(uri)

        self.check_import(fill_database)

    def test_mlflow_2(self):
        python = os.environ.get("TIDEMILL_PYTHON_MLFLOW2", str(pathlib.Path.home() / ".cache/tidemill/venv-mlflow2/bin/python"))
        if not os.path.exists(python):
            self.skipTest(f"there is no {python} with MLflow 2 (scripts/python-tools makes it)")
        self.check_import(lambda uri: json.loads(subprocess.run(
            [python, HERE / "fill.py", uri], check=True, capture_output=True, text=True, timeout=240).stdout))


class FromServer(ExchangeTest):
    def test_tidemill(self):
        url = self.enterContext(served(self.new_folder()))
        fill.fill(url)
        self.check_import_from_server(url)

    def test_an_import_that_was_killed_goes_on_without_asking_again_for_what_is_here(self):
        source = self.new_folder()
        url = self.enterContext(served(source, "--access-log", "access"))
        client = mlflow.MlflowClient(url)
        points = [mlflow.entities.Metric(f"m{key}", step / 7, 1000 + step, step) for key in range(3) for step in range(50)]
        for _ in range(60):
            run = client.create_run("0").info.run_id
            client.log_batch(run, metrics=points)
            client.set_terminated(run)
        running = client.create_run("0").info.run_id
        client.log_metric(running, "m0", 1, timestamp=5, step=1)

        def histories():
            return (source / "access").read_text().count("get-history")

        def interrupted_import(folder):
            """Whether the signal came before its end."""
            before = histories()
            importing = subprocess.Popen([PROGRAM, "import", url], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while histories() - before < 100 and importing.poll() is None:
                pass
            importing.send_signal(signal.SIGINT)  # what was taken is kept
            return importing.wait(timeout=60) == 130

        self.assertTrue(any(interrupted_import(folder := self.new_folder()) for _ in range(10)))
        before = histories()
        client.log_metric(running, "m0", 2, timestamp=6, step=2)
        report = json.loads(tidemill("import", url, "--json", folder=folder).stdout)
        self.assertEqual(report["problems"], [])
        self.assertLessEqual(histories() - before, 181 - 90, "three for each run that was not here, one for the running one")
        before = histories()
        again = json.loads(tidemill("import", url, "--json", folder=folder).stdout)
        self.assertEqual((again["metric_points"], histories() - before), (0, 1))
        with served(folder) as here:
            self.assertEqual(compare.differences(compare.everything(here), compare.everything(url)), [])
        client.log_metric(run, "m0", 9, timestamp=1, step=1)  # late, of before
        self.assertEqual(json.loads(tidemill("import", url, "--json", folder=folder).stdout)["metric_points"], 0)
        self.assertEqual(json.loads(tidemill("import", url, "--full", "--json", folder=folder).stdout)["metric_points"], 1)

    def test_pushed_to_mlflow(self):
        """Ids are the server's, so what is compared goes by names."""
        source, folder = self.new_folder(), self.new_folder()
        fill.fill((source / "mlruns").as_uri())
        tidemill("import", source, folder=folder)
        url = self.enterContext(servers.mlflow(None))
        for first in (True, False):
            report = json.loads(tidemill("export", url, "--json", folder=folder).stdout)
            self.assertEqual(report["problems"], [])
            self.assertEqual(report["metric_points"] > 0, first, "what is there is not sent again")
        with served(folder) as here:
            ours, theirs = compare.by_name(here), compare.by_name(url)
        self.assertEqual(compare.differences(theirs, ours), [])
        client = mlflow.MlflowClient(url, registry_uri=url)
        version = client.get_model_version_by_alias("reg", "champion")
        self.assertTrue(version.source.startswith("mlflow-artifacts:/"), version.source)
        local = client.download_artifacts(version.run_id, "sub/hello.txt", folder)
        self.assertEqual(pathlib.Path(local).read_text(), "hello")

    def test_what_has_come_from_a_server_is_not_doubled_there(self):
        """Neither by the way back, nor by a push to the server of the very store."""
        source, folder = self.new_folder(), self.new_folder()
        fill.fill((source / "mlruns").as_uri())
        tidemill("import", source, folder=source)
        with served(source) as there:
            tidemill("import", there, folder=folder)
            before = compare.everything(there)
            for back in (folder, source):
                report = json.loads(tidemill("export", there, "--json", folder=back).stdout)
                self.assertEqual(report["problems"], [])
                self.assertEqual(report["metric_points"], 0)
            changed = compare.differences(compare.everything(there), before)
            self.assertEqual([what for what in changed if "/updated: " not in what], [])

    def test_what_was_pushed_here_is_pushed_on_once(self):
        first, second, third = self.new_folder(), self.new_folder(), self.new_folder()
        fill.fill((first / "mlruns").as_uri())
        tidemill("import", first, folder=first)
        with served(second) as there:
            tidemill("export", there, folder=first)
        with served(third) as there:
            tidemill("export", there, folder=second)
            before = len(compare.everything(there)["runs"])
            report = json.loads(tidemill("export", there, "--json", folder=second).stdout)
            self.assertEqual(report["problems"], [])
            self.assertEqual(len(compare.everything(there)["runs"]), before)

    def test_a_tag_that_the_server_refuses_is_left_out_alone(self):
        folder, other = self.new_folder(), self.new_folder()
        run = tidemill("runs", "create", "--experiment-name", "e", "-t", "it's=1", "-t", "good=2",
                       folder=folder).stdout.strip()
        with served(other) as there:
            for _ in range(2):
                report = json.loads(tidemill("export", there, "--json", folder=folder, status=1).stdout)
                self.assertEqual([problem["where"] for problem in report["problems"]], [f"tag it's of run {run}"])
            pushed, = mlflow.MlflowClient(there).search_runs(["1"])
        self.assertEqual((pushed.data.tags["good"], pushed.info.status), ("2", "FINISHED"))

    def test_a_server_that_is_not_there(self):
        error = tidemill("import", "http://127.0.0.1:9", folder=self.new_folder(), status=1).stderr
        self.assertIn("http://127.0.0.1:9: ", error)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
