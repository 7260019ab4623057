"""What MLflow has recorded comes over to Tidemill and back: nothing is lost, nobody is locked in. MLflow's own client
fills the stores and reads both sides.

usage: exchange_test.py TIDEMILL_PROGRAM
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance")]
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import client_settings  # noqa: E402,F401

try:
    import compare
    import fill
    import mlflow
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)

warnings.simplefilter("ignore")
PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()


def tidemill(*arguments, folder, status=0):
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=folder, text=True, capture_output=True, timeout=240
    )
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def served(folder, *arguments):
    """The URL of `tidemill server` on the store in this folder."""
    server = subprocess.Popen(
        [PROGRAM, "server", "--port", "0", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        yield server.stdout.readline().split(" at ")[1].split(",")[0]
    finally:
        server.terminate()
        server.wait(timeout=20)
        server.stdout.close()


class ExchangeTest(unittest.TestCase):
    maxDiff = 4000

    def new_folder(self):
        return pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())).resolve()

    def assert_imported(self, source, folder, but=(), **options):
        """but: patterns of differences that are meant."""
        theirs = compare.everything(source, **options)
        self.assertGreater(len(theirs["runs"]), 5)
        with served(folder) as url:
            ours = compare.everything(url, **options)
        found = compare.differences(ours, theirs)
        self.assertEqual([line for line in found if not any(re.search(p, line) for p in but)], [])


# MLflow's file store forgets the step of a point that names a data set when it reads it back. The files of deleted
# experiments lie in .trash, whatever the run says.
FILE_STORE = ["/history/acc: .*, 5, '0.9'.* instead of .*, 0, '0.9'", "/artifacts: .*/.trash/.* instead of"]


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


if __name__ == "__main__":
    unittest.main(warnings="ignore")
