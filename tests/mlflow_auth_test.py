"""The real mlflow client, and its AuthServiceClient, against `tidemill server --auth`.

usage: mlflow_auth_test.py TIDEMILL [POSTGRES_HOST_PROGRAM]
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import client_settings  # noqa: E402,F401
import servers  # noqa: E402

try:
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.client import AuthServiceClient
    from mlflow.tracking import MlflowClient
except ImportError as error:
    print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
    sys.exit(77)

TIDEMILL = os.path.abspath(sys.argv.pop(1))
POSTGRES = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else None
ADMIN = ("admin", "the first administrator")
PASSWORD = "a long password"


@contextlib.contextmanager
def user(name, password):
    """The environment of somebody who trains models."""
    before = {key: os.environ.get(key) for key in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")}
    for key in before:
        os.environ.pop(key, None)
    if name is None:
        os.environ["MLFLOW_TRACKING_TOKEN"] = password
    else:
        os.environ.update(MLFLOW_TRACKING_USERNAME=name, MLFLOW_TRACKING_PASSWORD=password)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def as_user(name, password=PASSWORD):
    def decorate(test):
        def run(self):
            with user(name, password):
                test(self)
        return run
    return decorate


class MlflowAuthTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.store = cls.enterClassContext(servers.postgres_database(POSTGRES)) if POSTGRES else f"{folder}/t.db"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_TRACKING")}
        environment.update(MLFLOW_AUTH_ADMIN_USERNAME=ADMIN[0], MLFLOW_AUTH_ADMIN_PASSWORD=ADMIN[1])
        cls.server = subprocess.Popen(
            [TIDEMILL, "server", "--auth", "--default-permission", "NO_PERMISSIONS", "--port", "0", "--store", cls.store],
            stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
        cls.url = re.search(r"http://[^ ,]+", cls.server.stdout.readline()).group()
        mlflow.set_tracking_uri(cls.url)
        cls.auth = AuthServiceClient(cls.url)
        with user(*ADMIN):
            for name in ("ada", "eve"):
                cls.auth.create_user(name, PASSWORD)

    @classmethod
    def tearDownClass(cls):
        cls.server.terminate()
        cls.server.wait(timeout=20)
        cls.server.stdout.close()

    def denied(self, call, *arguments, **named):
        with self.assertRaises(MlflowException) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.error_code, "PERMISSION_DENIED", str(caught.exception))

    def missing(self, call, *arguments):
        with self.assertRaises(MlflowException) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.error_code, "RESOURCE_DOES_NOT_EXIST")

    def test_users(self):
        with user(*ADMIN):
            made = self.auth.create_user("carl", PASSWORD)
            self.assertEqual((made.username, made.is_admin), ("carl", False))
            self.assertEqual(self.auth.get_user("carl").id, made.id)
            with self.assertRaises(MlflowException) as caught:
                self.auth.create_user("carl", PASSWORD)
            self.assertEqual(caught.exception.error_code, "RESOURCE_ALREADY_EXISTS")
            with self.assertRaisesRegex(MlflowException, "at least 12 characters"):
                self.auth.create_user("dora", "short")
            self.auth.update_user_admin("carl", True)
            self.assertTrue(self.auth.get_user("carl").is_admin)
            self.auth.update_user_admin("carl", False)
        with user("carl", PASSWORD):
            self.assertEqual(self.auth.get_user("carl").username, "carl")
            self.denied(self.auth.get_user, "ada")
            self.denied(self.auth.create_user, "dora", PASSWORD)
            self.denied(self.auth.update_user_admin, "carl", True)
            self.denied(self.auth.delete_user, "ada")
            self.auth.update_user_password("carl", "another long one", current_password=PASSWORD)
        with user("carl", PASSWORD):
            with self.assertRaises(MlflowException) as caught:
                self.auth.get_user("carl")
            self.assertEqual(caught.exception.get_http_status_code(), 401)
        with user("carl", "another long one"):
            self.auth.get_user("carl")
        with user(*ADMIN):
            self.auth.delete_user("carl")
            self.missing(self.auth.get_user, "carl")

    def test_strangers(self):
        for name, password in (("nobody", PASSWORD), ("ada", "a wrong password"), (None, "tidemill_x"), ("ada", "")):
            with user(name, password), self.assertRaises(MlflowException):
                mlflow.search_experiments()

    @as_user("ada")
    def test_training_script(self):
        experiment = mlflow.set_experiment("adas")
        with mlflow.start_run() as run, tempfile.TemporaryDirectory() as folder:
            mlflow.log_params({"lr": 0.1})
            for step in range(5):
                mlflow.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
            file = pathlib.Path(folder) / "notes.txt"
            file.write_text("text")
            mlflow.log_artifact(file)
            mlflow.log_dict({"a": 1}, "model/a.json")
        client = MlflowClient()
        client.create_registered_model("adas-model")
        version = client.create_model_version("adas-model", f"runs:/{run.info.run_id}/model", run.info.run_id)
        client.set_registered_model_alias("adas-model", "champion", version.version)
        self.assertEqual(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt"), "text")
        with user("eve", PASSWORD):
            self.denied(client.get_experiment, experiment.experiment_id)
            self.denied(client.get_run, run.info.run_id)
            self.denied(client.log_metric, run.info.run_id, "loss", 0.0)
            self.denied(client.get_metric_history, run.info.run_id, "loss")
            self.denied(client.list_artifacts, run.info.run_id)
            self.denied(client.get_registered_model, "adas-model")
            self.denied(client.get_model_version_by_alias, "adas-model", "champion")
            with self.assertRaises(MlflowException):
                mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt")
            self.assertEqual([e.name for e in client.search_experiments()], [])
            self.assertEqual(list(client.search_registered_models()), [])
            self.assertEqual(list(client.search_model_versions()), [])
            self.assertEqual(list(client.search_runs([experiment.experiment_id])), [])
            self.denied(client.delete_run, run.info.run_id)

    def test_permissions(self):
        with user("ada", PASSWORD):
            experiment = MlflowClient().create_experiment("shared")
            self.auth.grant_user_permission("eve", "experiment", experiment, "READ")
            granted = self.auth.get_user_permission("ada", "experiment", experiment)
            self.assertEqual((granted.allowed, granted.permission), (True, "MANAGE"))
            with self.assertRaises(MlflowException) as caught:
                self.auth.grant_user_permission("eve", "experiment", experiment, "EDIT")
            self.assertEqual(caught.exception.error_code, "RESOURCE_ALREADY_EXISTS")
        with user("eve", PASSWORD):
            self.assertEqual(MlflowClient().get_experiment(experiment).name, "shared")
            self.assertEqual(self.auth.get_user_permission("eve", "experiment", experiment).permission, "READ")
            self.denied(MlflowClient().create_run, experiment)
            self.denied(self.auth.grant_user_permission, "eve", "experiment", experiment, "MANAGE")
        with user("ada", PASSWORD):
            self.auth.revoke_user_permission("eve", "experiment", experiment)
            self.auth.grant_user_permission("eve", "experiment", experiment, "EDIT")
        with user("eve", PASSWORD):
            run = MlflowClient().create_run(experiment)
            self.denied(MlflowClient().delete_run, run.info.run_id)
            self.denied(MlflowClient().delete_experiment, experiment)
        with user("ada", PASSWORD):
            MlflowClient().delete_run(run.info.run_id)
            self.auth.revoke_user_permission("eve", "experiment", experiment)
            self.missing(self.auth.revoke_user_permission, "eve", "experiment", experiment)
        with user("eve", PASSWORD):
            self.denied(MlflowClient().get_experiment, experiment)

    def test_roles(self):
        with user("ada", PASSWORD):
            experiment = MlflowClient().create_experiment("for the role")
            self.denied(self.auth.create_role, "default", "mine")
        with user(*ADMIN):
            role = self.auth.create_role("default", "readers", description="may read")
            self.assertEqual((role.name, role.description, role.permissions), ("readers", "may read", []))
            granted = self.auth.add_role_permission(role.id, "experiment", "*", "READ")
            self.assertEqual((granted.resource_pattern, granted.permission), ("*", "READ"))
            assigned = self.auth.assign_role("eve", role.id)
            self.assertEqual(assigned.role_id, role.id)
            self.assertEqual([a.user_id for a in self.auth.list_role_users(role.id)], [assigned.user_id])
        with user("eve", PASSWORD):
            MlflowClient().get_experiment(experiment)
            self.assertIn("readers", [r.name for r in self.auth.list_user_roles("eve")])
        with user(*ADMIN):
            self.assertEqual(self.auth.update_role_permission(granted.id, "DENY").permission, "DENY")
        with user("eve", PASSWORD):
            self.denied(MlflowClient().get_experiment, experiment)
        with user(*ADMIN):
            self.assertEqual([p.permission for p in self.auth.list_role_permissions(role.id)], ["DENY"])
            self.auth.remove_role_permission(granted.id)
            self.assertEqual(self.auth.update_role(role.id, name="nothing").name, "nothing")
            self.assertIn("nothing", [r.name for r in self.auth.list_roles("default")])
            self.assertEqual(self.auth.get_role(role.id).permissions, [])
            self.auth.unassign_role("eve", role.id)
            self.auth.delete_role(role.id)
            self.missing(self.auth.get_role, role.id)
            self.assertNotIn("nothing", [r.name for r in self.auth.list_all_roles()])

    def test_tokens(self):
        command = [TIDEMILL, "users", "token", "create", "ada", "ci", "--store", self.store]
        token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with user(None, token):
            experiment = MlflowClient().create_experiment("by token")
        with user("ada", token):
            self.assertEqual(MlflowClient().get_experiment(experiment).name, "by token")
        command[3] = "revoke"
        subprocess.run(command, check=True, capture_output=True)
        with user(None, token), self.assertRaises(MlflowException):
            MlflowClient().get_experiment(experiment)


if __name__ == "__main__":
    unittest.main()
