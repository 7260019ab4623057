"""What the tests of this folder share: Tidemill's program, its server, and what an import has to bring over.

The program's path is the first argument. Exits with 77 (skipped) when mlflow cannot be imported.
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
    import servers
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

    def assert_imported(self, theirs, folder, but=(), **options):
        """theirs: a URI, or what was read from it; but: patterns of differences that are meant."""
        if isinstance(theirs, str):
            theirs = compare.everything(theirs, **options)
        self.assertGreater(len(theirs["runs"]), 5)
        with served(folder) as url:
            ours = compare.everything(url, **options)
        found = compare.differences(ours, theirs)
        self.assertEqual([line for line in found if not any(re.search(p, line) for p in but)], [])

    def check_import_from_server(self, url):
        """Of what fill.py has put there: twice, with its artifacts. The folder with the store."""
        folder = self.new_folder()
        report = json.loads(tidemill("import", url, "--copy-artifacts", "--json", folder=folder).stdout)
        self.assertEqual(report["problems"], [])
        self.assertEqual(report["files"], 1)
        self.assert_imported(url, folder)
        again = json.loads(tidemill("import", url, "--copy-artifacts", "--json", folder=folder).stdout)
        self.assertEqual((again["runs"]["new"], again["runs"]["changed"], again["metric_points"]), (0, 0, 0))
        self.assertEqual(again["files"], 0)
        with served(folder) as ours:
            client = mlflow.MlflowClient(ours, registry_uri=ours)
            local = client.download_artifacts(client.get_model_version("reg", "1").run_id, "sub/hello.txt", folder)
            self.assertEqual(pathlib.Path(local).read_text(), "hello")
        return folder
