#!/usr/bin/env python3
"""A user's own C++ project finds the installed SDK, is built with it and records a run on a real server.

usage: sdk_install_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDEMILL = BUILD / "bin" / "tidemill"


def command(*arguments, **options):
    result = subprocess.run([str(a) for a in arguments], text=True, capture_output=True, timeout=240, **options)
    assert result.returncode == 0, f"{arguments}\n{result.stdout}{result.stderr}"
    return result.stdout


class InstalledSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.prefix = cls.folder / "installed"
        command("cmake", "--install", BUILD, "--prefix", cls.prefix, "--component", "sdk")

    def configure(self, source, name, **options):
        return command("cmake", "-S", source, "-B", self.folder / name, f"-DCMAKE_PREFIX_PATH={self.prefix}", **options)

    def test_the_example_project_records_a_run(self):
        self.configure(ROOT / "examples" / "sdk", "example")
        command("cmake", "--build", self.folder / "example")
        server = subprocess.Popen([TIDEMILL, "server", "--port", "0"], cwd=self.folder, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        url = re.search(r"http://[0-9.:]+", next(line for line in server.stdout if "http://" in line))[0]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        run_id = command(self.folder / "example" / "train", env=environment | {"MLFLOW_TRACKING_URI": url}).strip()
        run = json.loads(command(TIDEMILL, "runs", "show", run_id, "--json", cwd=self.folder))
        self.assertEqual(run["status"], "FINISHED")
        self.assertEqual(run["params"], {"learning_rate": "0.001"})
        self.assertAlmostEqual(run["metrics"]["loss"], 0.01)
        best = command(self.folder / "example" / "best", env=environment | {"MLFLOW_TRACKING_URI": url})
        self.assertEqual(best.split(), [run_id, "0.01"])

    def test_a_new_project_in_cpp_logs_with_it(self):
        command(TIDEMILL, "init", "native", "--language", "cpp", cwd=self.folder)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        command(TIDEMILL, "run", "native", cwd=self.folder, env=environment | {"CMAKE_PREFIX_PATH": str(self.prefix)})
        runs = json.loads(command(TIDEMILL, "runs", "list", "-e", "native", "--json", cwd=self.folder))["runs"]
        trained = next(run for run in runs if run["run_name"] == "train")
        self.assertLess(trained["metrics"]["error"], 0.02)

    def test_another_minor_version_is_refused(self):
        project = self.folder / "newer"
        project.mkdir()
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(newer LANGUAGES CXX)\nfind_package(Tidemill 99.0 REQUIRED)\n")
        with self.assertRaisesRegex(AssertionError, "requested version"):
            self.configure(project, "newer_build")

    def test_no_path_of_the_build_machine_is_in_the_package(self):
        for file in (self.prefix / "lib").rglob("*.cmake"):
            self.assertNotIn(str(ROOT), file.read_text(), file.name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
