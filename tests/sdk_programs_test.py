#!/usr/bin/env python3
"""C++ programs built with the installed SDK, on Tidemill's server over both databases and on MLflow's. What one
does with the SDK's client, MLflow's own client then finds there. One records on servers that go away under it:
Tidemill's is killed, the connections to MLflow's are cut (a second start would take it seconds).

usage: sdk_programs_test.py BUILD_FOLDER
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import contextlib
import json
import math
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "conformance"))
import client_settings  # noqa: E402,F401
import servers  # noqa: E402

try:
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)


class Gate:
    """Passes connections on to a server, or cuts them all and takes no new ones."""

    def __init__(self, url):
        self.target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.come_back()

    def come_back(self):
        self.open = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def go_away(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.open:
            with contextlib.suppress(OSError):  # a reset, as when the machine is gone
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.open = []

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                ends = [listener.accept()[0], socket.create_connection(self.target)]
                self.open += ends
                for source, sink in (ends, reversed(ends)):
                    threading.Thread(target=self.pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def environment_without_mlflow():
    return {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}


class Recorder:
    def __init__(self, test, patience, **more):
        environment = environment_without_mlflow() | more
        environment |= {"MLFLOW_TRACKING_URI": test.server.url, "TIDEMILL_SPOOL_DIR": str(test.spool)}
        self.process = subprocess.Popen([PROGRAMS / "recorder", str(patience)], env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.run_id = self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def leave(self):
        """What it wrote to stderr."""
        return self.process.communicate(timeout=120)[1]


class OnAServer:
    """For each kind of server."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.spool = self.folder / "spool"
        self.server = self.new_server()
        self.addCleanup(self.server.go_away)

    def get(self, call):
        with urllib.request.urlopen(f"{self.server.url}/api/2.0/mlflow/{call}", timeout=60) as response:
            return json.load(response)

    def run_of(self, run_id):
        return self.get(f"runs/get?run_id={run_id}")["run"]

    def steps(self, run_id):
        history = self.get(f"metrics/get-history?run_id={run_id}&metric_key=loss&max_results=20000")["metrics"]
        return sorted(int(metric["step"]) for metric in history)

    def check_complete(self, run_id, steps):
        self.assertEqual(self.steps(run_id), list(range(steps)))
        run = self.run_of(run_id)
        self.assertEqual(run["info"]["status"], "FINISHED")
        self.assertEqual(run["data"]["params"], [{"key": "optimizer", "value": "adam"}])
        self.assertIn({"key": "language", "value": "C++"}, run["data"]["tags"])
        self.assertEqual(list(self.spool.glob("*")), [])

    def test_a_server_killed_and_restarted_in_the_middle_of_a_run_has_every_point(self):
        recorder = Recorder(self, patience=120)
        self.assertEqual(recorder.tell("points 0 2000"), "ok")
        self.assertEqual(recorder.tell("flush"), "ok")
        self.server.go_away()
        self.assertEqual(recorder.tell("points 2000 5000"), "ok")
        self.server.come_back()
        self.assertEqual(recorder.tell("end"), "ok")
        self.assertEqual(recorder.leave(), "")
        self.check_complete(recorder.run_id, 5000)

    def test_the_machine_is_watched_under_mlflows_names(self):
        recorder = Recorder(self, patience=120, MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING="true",
                            MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL="0.1")
        metrics = []
        while not metrics:
            self.assertEqual(recorder.tell("flush"), "ok")
            metrics = self.run_of(recorder.run_id)["data"].get("metrics", [])
        self.assertEqual(recorder.tell("end"), "ok")
        recorder.leave()
        names = {metric["key"] for metric in metrics}
        self.assertLessEqual({"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes",
                              "system/disk_available_megabytes", "system/network_receive_megabytes"}, names)

    def test_what_a_server_away_to_the_end_missed_is_sent_by_the_next_program(self):
        recorder = Recorder(self, patience=0)
        self.server.go_away()
        self.assertEqual(recorder.tell("points 0 3000"), "ok")
        self.assertIn(recorder.run_id, recorder.tell("end"))
        warning = recorder.leave()
        kept = list(self.spool.glob("*"))
        self.assertEqual(len(kept), 1)
        self.assertIn(str(kept[0]), warning)
        self.assertEqual(kept[0].stat().st_mode & 0o777, 0o600)
        self.server.come_back()
        successor = Recorder(self, patience=120)
        self.assertEqual(successor.tell("end"), "ok")
        successor.leave()
        self.check_complete(recorder.run_id, 3000)

    def test_a_program_killed_while_the_server_is_away_loses_nothing_it_has_written_down(self):
        recorder = Recorder(self, patience=0)
        self.server.go_away()
        self.assertEqual(recorder.tell("points 0 3000"), "ok")
        recorder.tell("flush")
        while sum(file.read_text().count('"step":') for file in self.spool.glob("*")) < 3000:
            self.assertIsNone(recorder.process.poll())
        recorder.process.kill()
        recorder.leave()
        self.server.come_back()
        successor = Recorder(self, patience=120)
        self.assertEqual(successor.tell("end"), "ok")
        successor.leave()
        self.assertEqual(self.steps(recorder.run_id), list(range(3000)))

    def test_what_the_client_did_is_what_mlflows_client_finds(self):
        scratch = self.folder / "scratch"
        scratch.mkdir()
        environment = environment_without_mlflow() | {"MLFLOW_TRACKING_URI": self.server.url}
        done = subprocess.run([PROGRAMS / "client", scratch], env=environment, text=True, capture_output=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        client = MlflowClient(self.server.url)
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


class TidemillServer(OnAServer, unittest.TestCase):
    def new_server(self):
        return servers.Restartable(BUILD / "bin" / "tidemill", self.folder)


class TidemillOnPostgres(OnAServer, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = cls.enterClassContext(servers.postgres_database(BUILD / "tests" / "postgres_host"))

    def new_server(self):
        return servers.Restartable(BUILD / "bin" / "tidemill", self.folder, "--store", self.store)


class MlflowServer(OnAServer, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(servers.mlflow(None))

    def new_server(self):
        return Gate(self.url)


def build_programs(folder):
    """As a user builds: against the installed SDK."""
    for command in (["cmake", "--install", BUILD, "--prefix", folder / "installed", "--component", "sdk"],
                    ["cmake", "-S", ROOT / "tests" / "sdk_consumer", "-B", folder / "build",
                     f"-DCMAKE_PREFIX_PATH={folder / 'installed'}"],
                    ["cmake", "--build", folder / "build"]):
        done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
    return folder / "build"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as programs:
        PROGRAMS = build_programs(pathlib.Path(programs))
        unittest.main(verbosity=2)
