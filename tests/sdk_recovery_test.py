#!/usr/bin/env python3
"""A C++ program built with the installed SDK records on real servers that go away under it: Tidemill's, which is killed,
and MLflow's, whose connections are cut (a second start would take it ten seconds).

usage: sdk_recovery_test.py BUILD_FOLDER
"""
import contextlib
import json
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
import sdk_programs  # noqa: E402
import servers  # noqa: E402


class Tidemill:
    """A server on the same port and the same data each time it comes back."""

    def __init__(self, folder):
        self.folder, port = folder, servers.free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.command = [BUILD / "bin" / "tidemill", "server", "--port", str(port)]
        self.come_back()

    def come_back(self):
        log = self.folder / "server.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=out, stderr=out)
        servers.wait_for(self.url, self.process, log)

    def go_away(self):
        self.process.kill()
        self.process.wait()


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


class Recorder:
    def __init__(self, test, patience, **more):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        environment |= {"MLFLOW_TRACKING_URI": test.server.url, "TIDEMILL_SPOOL_DIR": str(test.spool)} | more
        self.process = subprocess.Popen([test.program, str(patience)], env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.run_id = self.process.stdout.readline().strip()

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def leave(self):
        """What it wrote to stderr."""
        return self.process.communicate(timeout=120)[1]


class Recovery:
    """For each kind of server."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.spool = self.folder / "spool"
        self.program = PROGRAMS / "recorder"
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


class TidemillServer(Recovery, unittest.TestCase):
    def new_server(self):
        return Tidemill(self.folder)


class MlflowServer(Recovery, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = cls.enterClassContext(servers.mlflow(None))

    def new_server(self):
        return Gate(self.url)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as programs:
        PROGRAMS = sdk_programs.build(BUILD, pathlib.Path(programs))
        unittest.main(verbosity=2)
