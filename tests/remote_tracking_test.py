#!/usr/bin/env python3
"""`tidemill run` with MLFLOW_TRACKING_URI naming another server, MLflow's own and Tidemill's: parent and child runs with
all that belongs to them are there, also when the server was away for a while.

usage: remote_tracking_test.py TIDEMILL
"""
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TIDEMILL = pathlib.Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import servers  # noqa: E402

PIPELINE = """
name: remote
params: {text: hello}
steps:
  make:
    command: PYTHON make.py {text}
    params: {text: "${params.text}"}
  use:
    command: sh use.sh {artifacts} {score} {maker}
    params:
      artifacts: ${steps.make.artifacts}
      score: ${steps.make.metrics.score}
      maker: ${steps.make.run_id}
"""
MAKE = """
import os, pathlib, sys, mlflow
with mlflow.start_run():
    mlflow.log_metric("score", 0.5, step=3)
    mlflow.log_param("found", "7")
    mlflow.set_tag("note", sys.argv[1])
    pathlib.Path("model.txt").write_text("weights")
    mlflow.log_artifact("model.txt", "net")
pathlib.Path(os.environ["TIDEMILL_OUTPUT_DIR"], "out.txt").write_text("written in place")
"""
USE = """
cat "$1/net/model.txt" "$1/out.txt" > "$TIDEMILL_OUTPUT_DIR/seen"
echo "$2 $3 $MLFLOW_TRACKING_URI $MLFLOW_RUN_ID $MLFLOW_EXPERIMENT_ID" > "$TIDEMILL_OUTPUT_DIR/variables"
"""
GATED = """
name: gated
params: {score: '0.5'}
steps:
  make: {command: 'mkdir $TIDEMILL_OUTPUT_DIR/net; echo weights > $TIDEMILL_OUTPUT_DIR/net/model'}
  judge:
    command: PYTHON judge.py {score}
    params: {score: "${params.score}"}
    gate: {metric: score, over_champion: 0.01, model: churn, artifacts: "${steps.make.artifacts}/net"}
"""
JUDGE = """
import sys, mlflow
with mlflow.start_run():
    mlflow.log_metric("score", float(sys.argv[1]))
"""
STUBBORN = """
name: away
steps:
  wait: {command: "echo begun > begun; while [ ! -e go ]; do sleep 0.05; done; echo made > $TIDEMILL_OUTPUT_DIR/made"}
  after: {command: "true", needs: [wait]}
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.pipeline = self.folder / "pipeline"
        self.pipeline.mkdir()

    def write(self, **files):
        for name, text in files.items():
            (self.pipeline / name.replace("_", ".")).write_text(text)

    def environment(self, url):
        return os.environ | {"MLFLOW_TRACKING_URI": url, "TIDEMILL_STORE": str(self.folder / "local.db")}

    def tidemill(self, url, *words):
        return subprocess.run([TIDEMILL, *words], env=self.environment(url), capture_output=True, text=True, timeout=280)

    def client(self, url):
        import mlflow
        return mlflow.MlflowClient(url)

    def tidemill_server(self, *arguments):
        home = self.folder / "server"
        home.mkdir()
        server = servers.Restartable(TIDEMILL, home, *arguments)
        self.addCleanup(server.go_away)
        return server

    def runs(self, client, experiment):
        found = client.get_experiment_by_name(experiment)
        self.assertIsNotNone(found)
        return client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])

    def files(self, client, run, path=None):
        found = set()
        for file in client.list_artifacts(run.info.run_id, path):
            found |= self.files(client, run, file.path) if file.is_dir else {file.path}
        return found

    def text(self, client, run, path):
        return pathlib.Path(client.download_artifacts(run.info.run_id, path, str(self.folder))).read_text()


class Recorded(Case):
    """Everything that a pipeline records is on the server, and a second run reuses what is known here."""

    def check(self, url):
        self.write(pipeline_yaml=PIPELINE.replace("PYTHON", sys.executable), make_py=MAKE, use_sh=USE)
        done = self.tidemill(url, "run", self.pipeline)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(url, done.stderr)
        client = self.client(url)
        runs = self.runs(client, "remote")
        self.assertEqual(len(runs), 3)
        by_name = {run.info.run_name: run for run in runs}
        parent, make, use = by_name["remote"], by_name["make"], by_name["use"]
        self.assertEqual({run.info.status for run in runs}, {"FINISHED"})
        self.assertEqual(parent.data.params, {"text": "hello"})
        for child in make, use:
            self.assertEqual(child.data.tags["mlflow.parentRunId"], parent.info.run_id)
        self.assertEqual(make.data.metrics["score"], 0.5)
        self.assertGreater(make.data.metrics["system/step_seconds"], 0)
        self.assertEqual(make.data.params, {"text": "hello", "found": "7"})
        self.assertEqual(make.data.tags["note"], "hello")
        self.assertEqual(self.files(client, make), {"net/model.txt", "out.txt"})
        self.assertLessEqual({"logs/make.log", "logs/use.log", "tidemill/record.json"}, self.files(client, parent))
        self.assertEqual(self.text(client, use, "seen"), "weightswritten in place")
        self.assertEqual(self.text(client, use, "variables").split(),
                         ["0.5", make.info.run_id, url, use.info.run_id, use.info.experiment_id])

        again = self.tidemill(url, "run", self.pipeline, "--json")
        states = [e["state"] for e in map(json.loads, again.stdout.splitlines()) if e["event"] == "step_finished"]
        self.assertEqual(states, ["reused", "reused"], again.stderr)
        reused = [run for run in self.runs(client, "remote")[3:] if run.info.run_name == "make"][0]
        self.assertEqual(reused.info.status, "FINISHED")
        self.assertEqual(reused.data.tags["tidemill.reused_run"], make.info.run_id)
        self.assertEqual(reused.data.metrics["score"], 0.5)
        self.assertEqual(reused.data.params["found"], "7")

    def check_gates(self, url):
        self.write(pipeline_yaml=GATED.replace("PYTHON", sys.executable), judge_py=JUDGE)
        client = self.client(url)

        def run(score):
            done = self.tidemill(url, "run", self.pipeline, "-P", f"score={score}", "--json")
            told = {e["step"]: e for e in map(json.loads, done.stdout.splitlines()) if e["event"] == "step_finished"}
            return done, told["judge"]

        done, judge = run(0.5)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("churn version 1 is champion at " + url, "".join(judge["notes"]))
        champion = client.get_model_version_by_alias("churn", "champion")
        runs = {r.info.run_name: r for r in self.runs(client, "gated")}
        self.assertEqual((champion.version, champion.run_id), ("1", runs["make"].info.run_id))
        self.assertEqual(champion.tags["tidemill.gate_run"], runs["judge"].info.run_id)
        self.assertEqual(champion.source, runs["make"].info.artifact_uri + "/net")
        self.assertEqual(self.text(client, runs["make"], "net/model"), "weights\n")
        here = self.tidemill("", "models", "list", "--json")
        self.assertEqual(json.loads(here.stdout)["models"], [], here.stderr)

        done, judge = run(0.5)
        self.assertEqual((done.returncode, judge["state"]), (0, "reused"), done.stderr)
        self.assertIn("it is churn version 1", "".join(judge["notes"]))
        done, judge = run(0.505)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the champion has 0.5", judge["reason"])
        done, judge = run(0.6)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(client.get_model_version_by_alias("churn", "champion").version, "2")

    def test_gates_ask_mlflows_registry(self):
        self.check_gates(self.stack.enter_context(servers.mlflow(None)))

    def test_gates_ask_tidemills_registry(self):
        self.check_gates(self.tidemill_server().url)

    def test_on_mlflows_server(self):
        self.check(self.stack.enter_context(servers.mlflow(None)))

    def test_on_tidemills_server(self):
        self.check(self.tidemill_server().url)

    def test_what_was_made_before_is_sent_when_it_is_reused(self):
        self.write(pipeline_yaml="name: p\nsteps:\n  a: {command: 'echo 1 > $TIDEMILL_OUTPUT_DIR/one'}\n")
        environment = self.environment("")
        del environment["MLFLOW_TRACKING_URI"]
        subprocess.run([TIDEMILL, "run", self.pipeline], env=environment, check=True, capture_output=True)
        server = self.tidemill_server()
        done = self.tidemill(server.url, "run", self.pipeline)
        self.assertEqual(done.returncode, 0, done.stderr)
        client = self.client(server.url)
        (step,) = [run for run in self.runs(client, "p") if run.info.run_name == "a"]
        self.assertEqual(self.text(client, step, "one"), "1\n")

    def test_a_server_over_the_same_store_gets_everything_once(self):
        self.write(pipeline_yaml=PIPELINE.replace("PYTHON", sys.executable), make_py=MAKE, use_sh=USE)
        server = self.tidemill_server("--store", self.folder / "local.db")
        done = self.tidemill(server.url, "run", self.pipeline)
        self.assertEqual(done.returncode, 0, done.stderr)
        runs = self.runs(self.client(server.url), "remote")
        self.assertEqual(sorted(run.info.run_name for run in runs), ["make", "remote", "use"])
        self.assertEqual({run.info.status for run in runs}, {"FINISHED"})
        self.assertFalse([run for run in runs if "tidemill.pushed_from" in run.data.tags])

    def test_a_run_within_a_step_is_its_child_there(self):
        (self.folder / "inner").mkdir()
        (self.folder / "inner" / "MLproject").write_text("entry_points: {main: {command: 'true'}}\n")
        self.write(pipeline_yaml="name: outer\nsteps:\n  call: {command: 'tidemill run ../inner'}\n")
        server = self.tidemill_server()
        done = self.tidemill(server.url, "run", self.pipeline)
        self.assertEqual(done.returncode, 0, done.stderr)
        runs = self.runs(self.client(server.url), "outer")
        step = [run for run in runs if run.info.run_name == "call"][0]
        (inner,) = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == step.info.run_id]
        self.assertEqual(inner.info.status, "FINISHED")

    def test_an_experiments_id_is_one_of_the_server(self):
        self.write(pipeline_yaml="name: p\nsteps:\n  a: {command: 'true'}\n")
        server = self.tidemill_server()
        client = self.client(server.url)
        for name in "one", "two", "three":
            last = client.create_experiment(name)
        environment = self.environment(server.url) | {"MLFLOW_EXPERIMENT_ID": last}
        done = subprocess.run([TIDEMILL, "run", self.pipeline], env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(self.runs(client, "three")), 2)

    def test_a_project_alone(self):
        self.write(MLproject="entry_points: {main: {command: 'exit 3'}}\n")
        server = self.tidemill_server()
        done = self.tidemill(server.url, "run", self.pipeline, "--experiment-name", "alone")
        self.assertEqual(done.returncode, 1, done.stderr)
        (run,) = self.runs(self.client(server.url), "alone")
        self.assertEqual(run.info.status, "FAILED")
        self.assertEqual(run.data.tags["tidemill.failure"], "exit status 3")


class Away(Case):
    """A server that is away costs patience, and nothing else."""

    def begin(self, url):
        self.write(pipeline_yaml=STUBBORN)
        run = subprocess.Popen([TIDEMILL, "run", self.pipeline, "--json"], env=self.environment(url),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(run.kill)
        while not (self.pipeline / "begun").exists():
            self.assertIsNone(run.poll(), run.stderr.read() if run.poll() is not None else "")
            time.sleep(0.02)
        return run

    def check_complete(self, url):
        client = self.client(url)
        runs = {run.info.run_name: run for run in self.runs(client, "away")}
        self.assertEqual({name: run.info.status for name, run in runs.items()},
                         {"away": "FINISHED", "wait": "FINISHED", "after": "FINISHED"})
        self.assertEqual(self.text(client, runs["wait"], "made"), "made\n")

    def test_at_the_start_nothing_is_recorded(self):
        self.write(pipeline_yaml=STUBBORN)
        url = f"http://127.0.0.1:{servers.free_port()}"
        done = self.tidemill(url, "run", self.pipeline)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count(url), 1, done.stderr)
        self.assertFalse((self.pipeline / "begun").exists())
        listed = self.tidemill(url, "runs", "list", "--json")
        self.assertEqual(json.loads(listed.stdout or '{"runs": []}')["runs"], [])

    def test_while_a_step_runs(self):
        server = self.tidemill_server()
        run = self.begin(server.url)
        server.go_away()
        (self.pipeline / "go").touch()
        time.sleep(2)
        self.assertIsNone(run.poll())
        server.come_back()
        out, errors = run.communicate(timeout=200)
        self.assertEqual(run.returncode, 0, errors)
        self.check_complete(server.url)

    def test_when_the_run_is_resumed(self):
        server = self.tidemill_server()
        run = self.begin(server.url)
        run.kill()
        run_id = json.loads(run.stdout.readline())["run_id"]
        run.wait()
        (self.pipeline / "go").touch()
        environment = self.environment("")
        del environment["MLFLOW_TRACKING_URI"]  # the run knows where it is recorded
        done = subprocess.run([TIDEMILL, "resume", run_id], env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_complete(server.url)

    def test_for_good_the_rest_can_be_sent_later(self):
        server = self.tidemill_server()
        run = self.begin(server.url)
        server.go_away()
        run.send_signal(signal.SIGINT)
        out, errors = run.communicate(timeout=200)
        self.assertEqual(run.returncode, 130, errors)
        self.assertIn("tidemill export " + server.url, errors)
        server.come_back()
        done = self.tidemill(server.url, "export", server.url)
        self.assertEqual(done.returncode, 0, done.stderr)
        states = {run.info.run_name: run.info.status for run in self.runs(self.client(server.url), "away")}
        self.assertEqual(states, {"away": "KILLED", "wait": "KILLED"})


unittest.main(verbosity=2)
