"""Artifacts in S3, through the server and by the command line, against a real S3 server on this machine (moto).

usage: s3_artifacts_test.py TIDEMILL
Exits with 77 (skipped) when mlflow or moto cannot be imported.
"""
import json
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import client_settings  # noqa: E402,F401

os.environ.update(
    AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test secret", AWS_DEFAULT_REGION="eu-central-1",
    MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="false", MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20), MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE=str(6 << 20),
    MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(5 << 20))

try:
    import boto3
    import mlflow
    import requests
    from mlflow.tracking import MlflowClient
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow and moto")
    sys.exit(77)

TIDEMILL = os.path.abspath(sys.argv.pop(1))
logging.getLogger("werkzeug").setLevel(logging.ERROR)


class S3Artifacts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        s3.start()
        cls.addClassCleanup(s3.stop)
        host, port = s3.get_host_and_port()
        cls.endpoint = f"http://{host}:{port}"
        cls.s3 = boto3.client("s3", endpoint_url=cls.endpoint)
        cls.s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
        cls.environment.update(MLFLOW_S3_ENDPOINT_URL=cls.endpoint, TIDEMILL_STORE=str(cls.folder / "t.db"),
                               TMPDIR=str(cls.folder))
        server = subprocess.Popen(
            [TIDEMILL, "server", "--port", "0", "--artifacts-destination", "s3://bucket/a prefix"],
            stdout=subprocess.PIPE, text=True, env=cls.environment)
        cls.addClassCleanup(server.stdout.close)
        cls.addClassCleanup(server.wait, timeout=20)
        cls.addClassCleanup(server.terminate)
        cls.url = re.search(r"http://[^ ,]+", server.stdout.readline()).group()
        mlflow.set_tracking_uri(cls.url)
        cls.client = MlflowClient(cls.url)

    def run_with(self, name):
        return self.client.create_run(self.client.create_experiment(name)).info

    def key_of(self, run, path):
        return f"a prefix/{run.experiment_id}/{run.run_id}/artifacts/{path}"

    def keys(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket="bucket")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def file_of(self, size):
        file = self.folder / "large.bin"
        block = bytes(range(256)) * 4096
        with file.open("wb") as out:
            for number in range(0, size, len(block)):
                out.write(number.to_bytes(8, "big") + block[8 : min(len(block), size - number)])
        return file

    def command(self, *words, **more):
        return subprocess.run([TIDEMILL, *words], check=True, capture_output=True, text=True,
                              env=self.environment | more, cwd=self.folder).stdout

    def test_files_are_stored_listed_read_and_removed(self):
        run = self.run_with("files")
        self.client.log_text(run.run_id, "text", "a/b & c/gr\u00fc\u00dfe+1.txt")
        self.client.log_text(run.run_id, "", "empty.txt")
        key = self.key_of(run, "a/b & c/gr\u00fc\u00dfe+1.txt")
        self.assertEqual(self.s3.get_object(Bucket="bucket", Key=key)["Body"].read(), b"text")
        self.assertEqual([(f.path, f.is_dir, f.file_size) for f in self.client.list_artifacts(run.run_id)],
                         [("a", True, None), ("empty.txt", False, 0)])
        self.assertEqual([f.path for f in self.client.list_artifacts(run.run_id, "a/b & c")],
                         ["a/b & c/gr\u00fc\u00dfe+1.txt"])
        uri = f"{run.artifact_uri}/a/b & c/gr\u00fc\u00dfe+1.txt"
        self.assertEqual(mlflow.artifacts.load_text(uri), "text")
        self.assertEqual(mlflow.artifacts.load_text(f"{run.artifact_uri}/empty.txt"), "")
        base = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run.run_id}/artifacts"
        self.assertEqual(requests.get(f"{base}/none.txt").status_code, 404)
        self.assertEqual(requests.get(f"{base}/../../x").status_code, 404)
        self.assertEqual(requests.get(f"{base}/%2e%2e/x").status_code, 400)
        self.assertEqual(requests.delete(f"{base}/a").status_code, 200)
        self.assertEqual(requests.delete(f"{base}/a").status_code, 404)
        self.assertEqual([k for k in self.keys() if run.run_id in k], [self.key_of(run, "empty.txt")])

    def test_ranges(self):
        run = self.run_with("ranges")
        self.client.log_text(run.run_id, "0123456789", "digits.txt")
        url = f"{self.url}/get-artifact?run_uuid={run.run_id}&path=digits.txt"
        whole = requests.get(url)
        self.assertEqual((whole.status_code, whole.text), (200, "0123456789"))
        part = requests.get(url, headers={"Range": "bytes=2-4"})
        self.assertEqual((part.status_code, part.text, part.headers["Content-Range"]), (206, "234", "bytes 2-4/10"))
        self.assertEqual(requests.get(url, headers={"Range": "bytes=-3"}).text, "789")
        self.assertEqual(requests.get(url, headers={"Range": "bytes=50-60"}).status_code, 416)
        self.assertEqual(requests.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code, 304)

    def test_large_files_go_in_parts_through_the_server(self):
        run = self.run_with("large")
        file = self.file_of((150 << 20) + 12345)
        self.client.log_artifact(run.run_id, file)
        stored = self.s3.head_object(Bucket="bucket", Key=self.key_of(run, "large.bin"))
        self.assertEqual(stored["ContentLength"], file.stat().st_size)
        self.assertIn("-3", stored["ETag"])
        back = mlflow.artifacts.download_artifacts(f"{run.artifact_uri}/large.bin", dst_path=self.folder / "back")
        self.assertEqual(pathlib.Path(back).read_bytes(), file.read_bytes())
        self.assertEqual([p for p in self.folder.glob("tidemill-s3-*/*")], [])

    def test_clients_send_and_fetch_parts_themselves(self):
        run = self.run_with("presigned")
        file = self.file_of((11 << 20) + 1)
        os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
        os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
        try:
            self.client.log_artifact(run.run_id, str(file), "model")
            stored = self.s3.head_object(Bucket="bucket", Key=self.key_of(run, "model/large.bin"))
            self.assertIn("-3", stored["ETag"])
            back = mlflow.artifacts.download_artifacts(f"{run.artifact_uri}/model/large.bin", dst_path=self.folder / "b2")
            self.assertEqual(pathlib.Path(back).read_bytes(), file.read_bytes())
        finally:
            os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "false"
            os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "false"
        base = f"{self.url}/api/2.0/mlflow-artifacts"
        made = requests.post(f"{base}/mpu/create/x", json={"path": "f", "num_parts": 1}).json()
        aborted = requests.post(f"{base}/mpu/abort/x", json={"path": "f", "upload_id": made["upload_id"]})
        self.assertEqual(aborted.status_code, 200)
        self.assertEqual(self.s3.list_multipart_uploads(Bucket="bucket").get("Uploads", []), [])
        self.assertEqual(requests.post(f"{base}/mpu/create/..", json={"path": "f", "num_parts": 1}).status_code, 404)
        self.assertEqual(requests.post(f"{base}/mpu/create/%2e%2e", json={"path": "f", "num_parts": 1}).status_code, 400)
        self.assertEqual(requests.post(f"{base}/mpu/create/x", json={"path": "f", "num_parts": 10001}).status_code, 400)

    def test_one_file_is_sent_and_fetched_under_urls(self):
        run = self.run_with("urls")
        base = f"{self.url}/api/2.0/mlflow/artifacts"
        file = {"run_id": run.run_id, "path": "a b/c.txt"}
        up = requests.post(f"{base}/presigned-upload-url", json=file | {"expiration": 60}).json()
        self.assertIn("X-Amz-Expires=60", up["presigned_url"])
        sent = requests.put(up["presigned_url"], data=b"hello", headers=up.get("headers"))
        self.assertEqual(sent.status_code, 200)
        down = requests.post(f"{base}/presigned-download-url", json=file).json()
        self.assertEqual((int(down["file_size"]), requests.get(down["presigned_url"]).content), (5, b"hello"))
        for call, wrong in (("upload", {"path": "../x"}), ("upload", {"model_id": "m-1"}), ("upload", {"run_id": ""}),
                            ("download", {"expiration": 0}), ("download", {"expiration": 604801}), ("download", {"path": ""})):
            self.assertEqual(requests.post(f"{base}/presigned-{call}-url", json=file | wrong).status_code, 400, wrong)
        self.assertEqual(requests.post(f"{base}/presigned-download-url", json=file | {"path": "none"}).status_code, 404)

    def test_many_files_are_listed_page_by_page(self):
        run = self.run_with("many")
        stored = s3_backends["123456789012"]["aws"]  # a thousand requests would take seconds
        for number in range(1003):
            stored.put_object("bucket", self.key_of(run, f"many/{number:04}"), b"x")
        self.assertEqual(len(self.client.list_artifacts(run.run_id, "many")), 1003)

    def test_command_line(self):
        run = self.run_with("command line")
        self.client.log_text(run.run_id, "one", "a/1.txt")
        self.client.log_text(run.run_id, "two", "a/b/2.txt")
        here = {"MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/a prefix"}
        self.assertIn("a/b/2.txt", self.command("artifacts", "list", run.run_id, "-r", **here))
        target = self.folder / "downloads"
        self.command("artifacts", "download", run.run_id, "-o", str(target), **here)
        self.assertEqual((target / "a/b/2.txt").read_text(), "two")
        self.command("artifacts", "download", run.run_id, "a/1.txt", "-o", str(target), **here)
        self.assertEqual((target / "1.txt").read_text(), "one")

    def test_results_of_steps_are_shared_between_stores(self):
        project = self.folder / "shared"
        project.mkdir()
        (project / "pipeline.yaml").write_text(
            "name: s\nsteps:\n"
            "  make: {command: 'echo ran >> ../ran; head -c 9000000 /dev/zero > $TIDEMILL_OUTPUT_DIR/zeros'}\n"
            "  use: {command: 'wc -c < {zeros} > $TIDEMILL_OUTPUT_DIR/count', "
            "params: {zeros: '${steps.make.artifacts}/zeros'}}\n")
        shared = {"TIDEMILL_SHARED_CACHE": "s3://bucket/shared cache"}

        def run(store):
            out = self.command("run", str(project), "--store", str(self.folder / store / "t.db"), "--json", **shared)
            events = [json.loads(line) for line in out.splitlines()]
            return {e["step"]: e for e in events if e["event"] == "step_finished"}

        (self.folder / "one").mkdir()
        (self.folder / "two").mkdir()
        self.assertEqual(run("one")["make"]["state"], "finished")
        stored = [k for k in self.keys() if k.startswith("shared cache/")]
        self.assertEqual(len(stored), 4)
        steps = run("two")
        self.assertEqual([steps[s]["state"] for s in ("make", "use")], ["reused", "reused"])
        self.assertIn("made elsewhere by ", steps["make"]["reason"])
        self.assertEqual((self.folder / "ran").read_text(), "ran\n")
        # Torn: the step runs, and what it makes is right.
        torn = next(k for k in stored if "/outputs/" in k
                    and self.s3.head_object(Bucket="bucket", Key=k)["ContentLength"] == 9000000)
        self.s3.put_object(Bucket="bucket", Key=torn, Body=b"half")
        (self.folder / "three").mkdir()
        self.assertEqual(run("three")["make"]["state"], "finished")
        self.assertEqual((self.folder / "ran").read_text(), "ran\nran\n")

    def test_deleted_runs_lose_their_objects(self):
        run, kept = self.run_with("collected"), self.run_with("kept")
        for one in (run, kept):
            self.client.log_text(one.run_id, "one", "a/1.txt")
        direct = self.client.create_experiment("collected, too", artifact_location="s3://bucket/elsewhere")
        elsewhere = self.client.create_run(direct).info
        foreign = self.client.create_run(self.client.create_experiment("no id", artifact_location="s3://bucket")).info
        self.s3.put_object(Bucket="bucket", Key=f"elsewhere/{elsewhere.run_id}/artifacts/b.bin", Body=b"b")
        self.s3.put_object(Bucket="bucket", Key=f"elsewhere/{elsewhere.run_id}0/artifacts/b.bin", Body=b"b")
        for one in (run, elsewhere, foreign):
            self.client.delete_run(one.run_id)
        before = self.keys()
        here = {"MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/a prefix"}
        self.assertIn(run.run_id, self.command("gc", "--dry-run", **here))
        self.assertEqual(self.keys(), before)
        self.command("gc", "--run-ids", f"{run.run_id},{elsewhere.run_id}", **here)
        gone = {self.key_of(run, "a/1.txt"), f"elsewhere/{elsewhere.run_id}/artifacts/b.bin"}
        self.assertEqual(set(before) - set(self.keys()), gone)
        self.assertIn(foreign.run_id, self.command("gc", **here))
        with self.assertRaises(mlflow.exceptions.MlflowException):
            self.client.get_run(run.run_id)

    def test_while_the_bucket_is_away_nothing_is_collected(self):
        run = self.run_with("kept by an error")
        self.client.log_text(run.run_id, "one", "1.txt")
        self.client.delete_run(run.run_id)
        done = subprocess.run([TIDEMILL, "gc", "--run-ids", run.run_id, "--artifacts-destination", "s3://bucket/a prefix"],
                              capture_output=True, text=True, env=self.environment | {"MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:9"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("http://127.0.0.1:9", done.stderr)
        self.assertEqual(self.client.get_run(run.run_id).info.lifecycle_stage, "deleted")
        self.assertIn(self.key_of(run, "1.txt"), self.keys())

    def test_in_a_bucket_that_is_not_there_nothing_is_collected(self):
        run = self.run_with("kept by a typing error")
        self.client.delete_run(run.run_id)
        done = subprocess.run([TIDEMILL, "gc", "--run-ids", run.run_id, "--artifacts-destination", "s3://bukcet/a prefix"],
                              capture_output=True, text=True, env=self.environment)
        self.assertEqual(done.returncode, 2)
        self.assertIn("s3://bukcet/a prefix", done.stderr)
        self.assertEqual(self.client.get_run(run.run_id).info.lifecycle_stage, "deleted")

    def test_an_import_brings_artifacts_into_the_bucket(self):
        other = {"TIDEMILL_STORE": str(self.folder / "other.db")}
        source = self.folder / "mlruns"
        run = self.command("runs", "create", "--experiment-name", "brought", **other).strip()
        (self.folder / "brought").mkdir()
        (self.folder / "brought" / "small.txt").write_text("small")
        (self.folder / "brought" / "large.bin").write_bytes(os.urandom(100_000))
        self.command("artifacts", "log-artifacts", run, "-l", str(self.folder / "brought"), "-a", "in here", **other)
        self.command("export", str(source), **other)
        for file in (source / "1" / run / "artifacts" / "in here").iterdir():
            os.utime(file, (1.7e9, 1.7e9))  # S3 tells times in seconds
        imported = {"TIDEMILL_STORE": str(self.folder / "imported.db")}
        words = ["import", str(source), "--artifacts-destination", "s3://bucket/imported", "--json"]
        self.assertEqual(json.loads(self.command(*words, **imported))["files"], 2)
        self.assertEqual(json.loads(self.command(*words, **imported))["files"], 0)
        (source / "1" / run / "artifacts" / "in here" / "small.txt").write_text("SMALL")
        os.utime(source / "1" / run / "artifacts" / "in here" / "small.txt", (4e9, 4e9))
        self.assertEqual(json.loads(self.command(*words, **imported))["files"], 1)
        self.assertEqual([key for key in self.keys() if key.startswith("imported/")],
                         [f"imported/1/{run}/artifacts/in here/{name}" for name in ("large.bin", "small.txt")])
        self.command("artifacts", "download", "-u", f"runs:/{run}/in here", "-o", str(self.folder / "back"),
                     **imported, MLFLOW_ARTIFACTS_DESTINATION="s3://bucket/imported")
        back = self.folder / "back" / "in here"
        self.assertEqual((back / "small.txt").read_text(), "SMALL")
        self.assertEqual((back / "large.bin").read_bytes(), (self.folder / "brought" / "large.bin").read_bytes())

    def test_a_pipeline_takes_objects_and_all_below_a_prefix(self):
        put = lambda key, body: self.s3.put_object(Bucket="bucket", Key=f"inputs/{key}", Body=body)  # noqa: E731
        put("table.csv", b"a,b\n")
        put("images/1.txt", b"one ")
        put("images/deep/2.txt", b"two")
        project = self.folder / "inputs"
        project.mkdir()
        (project / "pipeline.yaml").write_text("""
inputs: {table: 's3://bucket/inputs/table.csv', images: {url: 's3://bucket/inputs/images'}}
steps:
  use:
    command: cat {table} {images}/1.txt {images}/deep/2.txt > $TIDEMILL_OUTPUT_DIR/all
    params: {table: '${inputs.table}', images: '${inputs.images}'}
""")

        def run():
            events = [json.loads(line) for line in self.command("run", str(project), "--json").splitlines()]
            ended = next(event for event in events if event["event"] == "step_finished")
            uri = json.loads(self.command("runs", "show", ended["run_id"], "--json"))["artifact_uri"]
            return ended["state"], (pathlib.Path(uri) / "all").read_text()

        self.assertEqual(run(), ("finished", "a,b\none two"))
        fetched = sorted(path.stat().st_ino for path in self.folder.glob("mlartifacts/.tidemill/inputs/*/**/*") if path.is_file())
        self.assertEqual(len(fetched), 3)
        self.assertEqual(run(), ("reused", "a,b\none two"))
        self.assertEqual(sorted(path.stat().st_ino for path in self.folder.glob("mlartifacts/.tidemill/inputs/*/**/*")
                                if path.is_file()), fetched, "nothing is fetched again")
        put("images/deep/2.txt", b"three")
        self.assertEqual(run(), ("finished", "a,b\none three"))
        (project / "pipeline.yaml").write_text("inputs: {t: 's3://bucket/inputs/absent'}\nsteps: {use: {command: 'cat {t}', "
                                               "params: {t: '${inputs.t}'}}}\n")
        absent = subprocess.run([TIDEMILL, "run", project], capture_output=True, text=True, env=self.environment)
        self.assertEqual(absent.returncode, 2)
        self.assertIn("pipeline.yaml:1:10: input 't': s3://bucket/inputs/absent: ", absent.stderr)

    def test_what_is_wrong_is_said(self):
        for place, keys, text in (("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "", "HOME": str(self.folder)}, "AWS_ACCESS_KEY_ID"),
                                  ("s3:///x", {}, "bucket"), ("s3://bucket/../x", {}, "Invalid path"), ("gs://b/x", {}, "gs://b/x")):
            done = subprocess.run([TIDEMILL, "server", "--port", "0", "--artifacts-destination", place],
                                  capture_output=True, text=True, env=self.environment | keys)
            self.assertNotEqual(done.returncode, 0, place)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()
