"""Follows docs/moving-from-mlflow.md to the letter: every command of the page, in its order, in one folder, with an
mlflow.db, an mlruns folder and an old server that MLflow itself has filled. Before that, an import from that server.

usage: moving_test.py TIDEMILL_PROGRAM
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import os
import re
import signal
import subprocess
import sys
import time
import unittest
import urllib.request

from exchange_case import HERE, PROGRAM, ExchangeTest, tidemill

import compare
import fill
import mlflow
import servers

PAGE = HERE.parents[1] / "docs" / "moving-from-mlflow.md"
TRAIN = "import mlflow\nwith mlflow.start_run(run_name='after the move'):\n    mlflow.log_metric('loss', 0.25)\n"


def blocks():
    """The commands of each console block."""
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S):
        yield [line[2:] for line in block.splitlines() if line.startswith("$ ")]


class Moving(ExchangeTest):
    def setUp(self):
        self.folder = self.new_folder()
        self.old_server = self.enterContext(servers.mlflow(None))
        self.port = str(servers.free_port())
        self.servers = []
        (self.folder / "train.py").write_text(TRAIN)

    def tearDown(self):
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=20)

    def run_command(self, command):
        command = command.replace("http://old-server:5000", self.old_server).replace("5000", self.port)
        command = re.sub(r"^python |(?<= )python ", f"{sys.executable} ", command)
        environment = os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
        if command.endswith("&"):
            self.servers.append(
                subprocess.Popen(command[:-1], shell=True, cwd=self.folder, env=environment, start_new_session=True)
            )
            self.wait_for_server()
            return
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=200
        )
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")

    def wait_for_server(self):
        while True:
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5).close()
            except OSError:
                self.assertIsNone(self.servers[-1].poll(), "the server ended")
                time.sleep(0.02)

    def test_the_page(self):
        # One MLflow in three forms: what the page names must be the same things, as it is for one who moves.
        fill.fill(self.old_server)
        old = compare.everything(self.old_server, places=False)
        copy = self.check_import_from_server(self.old_server)
        tidemill("export", self.folder / "mlruns", "--no-artifacts", folder=copy)
        subprocess.run([sys.executable, "-m", "mlflow", "migrate-filestore", "--source", self.folder / "mlruns",
                        "--target", f"sqlite:///{self.folder}/mlflow.db"], check=True, capture_output=True)
        commands = [command for block in blocks() for command in block]
        self.assertGreater(len(commands), 8)
        for command in commands:
            self.run_command(command)
        now = compare.everything(f"http://127.0.0.1:{self.port}", places=False)
        self.assertEqual([d for d in compare.differences(now, old) if not d.endswith("only here")], [])
        experiment = mlflow.MlflowClient((self.folder / "exported").as_uri()).get_experiment_by_name("Default")
        runs = mlflow.MlflowClient(self.old_server).search_runs(
            [experiment.experiment_id], "attributes.run_name = 'after the move'")
        self.assertEqual(len(runs), 1)


if __name__ == "__main__":
    unittest.main(warnings="ignore")
