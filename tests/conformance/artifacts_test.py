"""Artifacts through the server's proxy: up, listed, down, and no way out of a run's folder."""
import pathlib
import tempfile
import unittest

import mlflow
from mlflow.exceptions import MlflowException

from conformance import ConformanceTest

INVALID = "INVALID_PARAMETER_VALUE"


class Artifacts(ConformanceTest):
    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.folder = pathlib.Path(work.name)
        experiment = self.client.create_experiment(self.new_name())
        self.run_id = self.client.create_run(experiment).info.run_id

    def listed(self, path=None):
        return [(f.path, f.is_dir, f.file_size) for f in self.client.list_artifacts(self.run_id, path)]

    def test_up_listed_and_down(self):
        (self.folder / "in" / "deep er").mkdir(parents=True)
        (self.folder / "out").mkdir()
        (self.folder / "in" / "ü x.txt").write_text("odd")
        (self.folder / "in" / "deep er" / "b.bin").write_bytes(bytes(range(256)) * 1000)
        self.client.log_artifacts(self.run_id, self.folder / "in", "model")
        self.client.log_text(self.run_id, "text", "notes.txt")
        self.client.log_dict(self.run_id, {"a": 1}, "model/config.json")
        self.assertEqual(self.listed(), [("model", True, None), ("notes.txt", False, 4)])
        self.assertEqual(sorted(p for p, _, _ in self.listed("model")),
                         ["model/config.json", "model/deep er", "model/ü x.txt"])
        self.assertEqual(self.listed("model/deep er"), [("model/deep er/b.bin", False, 256000)])
        copy = pathlib.Path(mlflow.artifacts.download_artifacts(f"runs:/{self.run_id}/", dst_path=self.folder / "out"))
        self.assertEqual((copy / "model" / "ü x.txt").read_text(), "odd")
        self.assertEqual((copy / "model" / "deep er" / "b.bin").read_bytes(), bytes(range(256)) * 1000)
        self.assertEqual(mlflow.artifacts.load_dict(f"runs:/{self.run_id}/model/config.json"), {"a": 1})
        self.assertEqual(mlflow.artifacts.load_text(f"runs:/{self.run_id}/notes.txt"), "text")

    def test_what_is_not_there(self):
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.listed("none"), [])
        with self.assertRaises(MlflowException):
            mlflow.artifacts.download_artifacts(f"runs:/{self.run_id}/none.txt", dst_path=self.folder)
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", "Run with id=nix not found", "GET", "artifacts/list", run_id="nix")

    def test_no_way_out(self):
        for path in ("../x", "/etc", "a/../../x", "%2e%2e/x"):
            with self.subTest(path=path):
                self.refused(400, INVALID, None, "GET", "artifacts/list", run_id=self.run_id, path=path)
        for path in ("..%2Fx", "a/%2e%2e/%2e%2e/x", "%252e%252e%252fx"):
            status, reply = self.call("GET", f"artifacts/{path}", root="/api/2.0/mlflow-artifacts/")
            with self.subTest(path=path):
                self.assertIn(status, (400, 404), reply)


if __name__ == "__main__":
    unittest.main()
