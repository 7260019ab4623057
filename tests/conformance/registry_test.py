"""The model registry: through the client, and through requests as clients and browsers send them."""
import os
import pathlib
import tempfile
import unittest

import mlflow
from mlflow.exceptions import MlflowException

from conformance import DOCS, ConformanceTest, missing


IS_MLFLOW_2 = mlflow.__version__.startswith("2.")


def log_model(model, **more):
    where = {"artifact_path": "model"} if IS_MLFLOW_2 else {"name": "model"}
    return mlflow.pyfunc.log_model(python_model=model, **where, **more)


class RegistryTest(ConformanceTest):
    def new_model(self, **create):
        name = self.new_name()
        self.client.create_registered_model(name, **create)
        return name

    def new_version(self, name, source="s3://bucket/model", **create):
        return self.client.create_model_version(name, source, **create)


class RegisteredModels(RegistryTest):
    def test_created_read_and_changed(self):
        name = self.new_model(tags={"b": "2", "a": "1"}, description="what it is")
        model = self.client.get_registered_model(name)
        self.assertEqual((model.name, model.description, model.tags), (name, "what it is", {"a": "1", "b": "2"}))
        self.assertEqual(model.creation_timestamp, model.last_updated_timestamp)
        self.assertEqual((model.latest_versions, model.aliases), ([], {}))
        changed = self.client.update_registered_model(name, "new")
        self.assertEqual(changed.description, "new")
        self.client.set_registered_model_tag(name, "a", "3")
        self.client.delete_registered_model_tag(name, "b")
        self.client.delete_registered_model_tag(name, "b")
        self.assertEqual(self.client.get_registered_model(name).tags, {"a": "3"})
        self.client.delete_registered_model(name)
        with self.assertRaisesRegex(MlflowException, f"RESOURCE_DOES_NOT_EXIST: Registered Model with name={name}"):
            self.client.get_registered_model(name)

    def test_shape_of_replies(self):
        name = self.new_name()
        reply = self.ok("POST", "registered-models/create", {"name": name})["registered_model"]
        self.assertEqual(sorted(reply), ["creation_timestamp", "last_updated_timestamp", "name"])
        self.assertIsInstance(reply["creation_timestamp"], int)
        version = self.ok("POST", "model-versions/create", {"name": name, "source": "s3://b/x"})["model_version"]
        expected = {"name": name, "version": "1", "current_stage": "None", "source": "s3://b/x", "status": "READY"}
        expected |= {"description": "", "run_id": "", "run_link": ""}
        for key in ("creation_timestamp", "last_updated_timestamp"):
            self.assertIsInstance(version.pop(key), int)
        self.assertEqual(version, expected)
        self.ok("POST", "registered-models/alias", {"name": name, "alias": "champion", "version": "1"})
        model = self.ok("GET", "registered-models/get", name=name)["registered_model"]
        self.assertEqual(model["aliases"], [{"alias": "champion", "version": "1"}])
        self.assertEqual([v["version"] for v in model["latest_versions"]], ["1"])
        self.assertEqual(
            self.ok("GET", "model-versions/get", name=name, version="1")["model_version"]["aliases"], ["champion"]
        )

    def test_renamed_with_all_that_it_has(self):
        name, taken, new = self.new_model(tags={"k": "v"}), self.new_model(), self.new_name()
        self.new_version(name, tags={"x": "y"})
        self.client.set_registered_model_alias(name, "champion", "1")
        with self.assertRaisesRegex(MlflowException, r"RESOURCE_ALREADY_EXISTS: Registered Model \(name="):
            self.client.rename_registered_model(name, taken)
        self.client.rename_registered_model(name, new)
        self.assertEqual(self.client.get_registered_model(new).tags, {"k": "v"})
        version = self.client.get_model_version_by_alias(new, "champion")
        self.assertEqual((version.name, version.version, version.tags), (new, "1", {"x": "y"}))
        with self.assertRaises(MlflowException):
            self.client.get_registered_model(name)

    def test_errors(self):
        name = self.new_model()
        create = ("POST", "registered-models/create")
        self.refused(
            400, "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.", *create, {"name": name}
        )
        for bad in ("a/b", "a:b"):
            text = f"Invalid model name '{bad}'. Names cannot contain '/' or ':'."
            self.refused(400, "INVALID_PARAMETER_VALUE", text, *create, {"name": bad})
        self.refused(400, "INVALID_PARAMETER_VALUE", missing("name"), *create, {"name": ""})
        self.refused(400, "INVALID_PARAMETER_VALUE", missing("name"), *create, {})
        text = f"Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. {DOCS}"
        self.refused(400, "INVALID_PARAMETER_VALUE", text, *create, {"name": 5})
        gone = "Registered Model with name=nix not found"
        for method, path in [("PATCH", "update"), ("DELETE", "delete"), ("POST", "get-latest-versions")]:
            self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, method, f"registered-models/{path}", {"name": "nix"})
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, "GET", "registered-models/get", name="nix")
        self.refused(
            400, "INVALID_PARAMETER_VALUE", missing("new_name"), "POST", "registered-models/rename", {"name": name}
        )
        tag = {"name": name, "key": "a*b", "value": "v"}
        self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "registered-models/set-tag", tag)

    def test_methods_and_roots(self):
        name = self.new_model()
        for root in ("/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"):
            self.assertEqual(self.call("GET", "registered-models/get", root=root, name=name)[0], 200)
        self.assertEqual(self.call("POST", "registered-models/delete", {"name": name})[0], 405)
        self.assertEqual(self.call("POST", "registered-models/update", {"name": name})[0], 405)
        self.assertEqual(self.call("POST", "model-versions/get", {"name": name, "version": "1"})[0], 405)
        self.assertEqual(self.call("GET", "registered-models/nix")[0], 404)


class Versions(RegistryTest):
    def test_created_read_and_changed(self):
        name = self.new_model()
        made = self.new_version(name, tags={"x": "y"}, description="d", run_link="http://x")
        self.assertEqual((made.version, made.status, made.current_stage), ("1", "READY", "None"))
        self.assertEqual(self.new_version(name).version, "2")
        version = self.client.get_model_version(name, "1")
        self.assertEqual((version.description, version.tags, version.run_link), ("d", {"x": "y"}, "http://x"))
        self.assertEqual(self.client.update_model_version(name, "1", "new").description, "new")
        self.client.set_model_version_tag(name, "1", "k", "v")
        self.client.delete_model_version_tag(name, "1", "x")
        self.assertEqual(self.client.get_model_version(name, "1").tags, {"k": "v"})
        self.assertEqual(self.client.get_model_version_download_uri(name, "1"), "s3://bucket/model")
        self.client.delete_model_version(name, "2")
        with self.assertRaisesRegex(MlflowException, rf"Model Version \(name={name}, version=2\) not found"):
            self.client.get_model_version(name, "2")
        self.assertEqual(self.new_version(name).version, "3")

    def test_errors(self):
        name = self.new_model()
        gone = f"Model Version (name={name}, version=9) not found"
        bad = "Parameter 'version' must be an integer, got 'abc'."
        calls = [
            ("PATCH", "update", {}),
            ("DELETE", "delete", {}),
            ("POST", "set-tag", {"key": "k", "value": "v"}),
            ("DELETE", "delete-tag", {"key": "k"}),
            ("POST", "transition-stage", {"stage": "Staging"}),
        ]
        for method, path, more in calls:
            path = f"model-versions/{path}"
            body = {"name": name, "version": "9", **more}
            self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, method, path, body)
            self.refused(400, "INVALID_PARAMETER_VALUE", bad, method, path, {**body, "version": "abc"})
            self.refused(400, "INVALID_PARAMETER_VALUE", missing("version"), method, path, {"name": name, **more})
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, "GET", "model-versions/get", name=name, version="9")
        create = ("POST", "model-versions/create")
        self.refused(400, "INVALID_PARAMETER_VALUE", missing("source"), *create, {"name": name})
        self.refused(
            404,
            "RESOURCE_DOES_NOT_EXIST",
            "Registered Model with name=nix not found",
            *create,
            {"name": "nix", "source": "s3://b/x"},
        )

    def test_stages(self):
        name = self.new_model()
        for _ in range(3):
            self.new_version(name)
        self.client.transition_model_version_stage(name, "1", "production")
        moved = self.client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
        self.assertEqual(moved.current_stage, "Production")
        self.assertEqual(self.client.get_model_version(name, "1").current_stage, "Archived")
        newest = {v.current_stage: v.version for v in self.client.get_latest_versions(name)}
        self.assertEqual(newest, {"Archived": "1", "Production": "2", "None": "3"})
        self.assertEqual([v.version for v in self.client.get_latest_versions(name, ["Production"])], ["2"])
        self.assertEqual(self.client.get_latest_versions(name, ["Staging"]), [])
        text = "Invalid Model Version stage: foo. Value must be one of None, Staging, Production, Archived."
        body = {"name": name, "version": "1", "stage": "foo", "archive_existing_versions": False}
        self.refused(400, "INVALID_PARAMETER_VALUE", text, "POST", "model-versions/transition-stage", body)

    def test_sources_that_lead_elsewhere(self):
        name = self.new_model()
        run = self.client.create_run("0").info
        other = self.client.create_run("0").info
        refused = [
            ("/etc/passwd", None),
            ("file:///etc/passwd", run.run_id),
            ("model", None),
            ("mlflow-artifacts:/../../etc", None),
            ("mlflow-artifacts:/%2e%2e/%252e%252e/etc", None),
            ("http://host/a/..%2f..%2fetc", None),
            ("s3://bucket/a/../../b", None),
            ("s3://bucket/a%00", None),
            ("runs:/" + other.run_id + "/model", run.run_id),
            (other.artifact_uri + "/model", run.run_id),
            ("models:/m-" + "0" * 32, None),
        ]
        for source, run_id in refused:
            body = {"name": name, "source": source} | ({"run_id": run_id} if run_id else {})
            with self.subTest(source=source):
                self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "model-versions/create", body)
        text = (
            "Invalid model version source: '/etc/passwd'. To use a local path as a model version source, the run_id "
            "request parameter has to be specified and the local path has to be contained within the artifact "
            "directory of the run specified by the run_id."
        )
        body = {"name": name, "source": "/etc/passwd"}
        self.refused(400, "INVALID_PARAMETER_VALUE", text, "POST", "model-versions/create", body)
        accepted = [f"runs:/{run.run_id}/model", f"{run.artifact_uri}/model", "s3://bucket/a"]
        for source in accepted:
            self.new_version(name, source, run_id=run.run_id)

    def test_a_version_of_a_version(self):
        name, copy = self.new_model(), self.new_model()
        run_id = self.client.create_run("0").info.run_id
        self.new_version(name, f"runs:/{run_id}/model", run_id=run_id)
        self.client.set_registered_model_alias(name, "champion", "1")
        made = self.new_version(copy, f"models:/{name}@champion")
        self.assertEqual((made.source, made.run_id), (f"models:/{name}/1", run_id))
        self.assertEqual(self.client.get_model_version_download_uri(copy, "1"), f"runs:/{run_id}/model")
        copied = self.client.copy_model_version(f"models:/{name}/1", copy)
        self.assertEqual((copied.version, copied.source), ("2", f"models:/{name}/1"))


class Aliases(RegistryTest):
    def test_set_moved_and_deleted(self):
        name = self.new_model()
        self.new_version(name)
        self.new_version(name)
        self.client.set_registered_model_alias(name, "champion", "1")
        self.client.set_registered_model_alias(name, "challenger", "1")
        self.assertEqual(sorted(self.client.get_model_version(name, "1").aliases), ["challenger", "champion"])
        self.client.set_registered_model_alias(name, "champion", "2")
        self.assertEqual(self.client.get_model_version_by_alias(name, "champion").version, "2")
        self.assertEqual(self.client.get_registered_model(name).aliases, {"challenger": "1", "champion": "2"})
        self.assertEqual(self.client.get_model_version_by_alias(name, "latest").version, "2")
        self.client.delete_registered_model_alias(name, "champion")
        self.client.delete_registered_model_alias(name, "champion")
        self.client.delete_model_version(name, "1")
        self.assertEqual(self.client.get_registered_model(name).aliases, {})

    def test_errors(self):
        name = self.new_model()
        self.new_version(name)
        for alias, text in [
            ("latest", "'latest' alias name (case insensitive) is reserved."),
            ("v1", "Version alias name 'v1' is reserved."),
            ("a b", "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and dashes (-)."),
            ("a" * 256, "'Registered model alias name' exceeds the maximum length of 255 characters"),
        ]:
            body = {"name": name, "alias": alias, "version": "1"}
            self.refused(400, "INVALID_PARAMETER_VALUE", text, "POST", "registered-models/alias", body)
        gone = f"Model Version (name={name}, version=99) not found"
        body = {"name": name, "alias": "x", "version": "99"}
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, "POST", "registered-models/alias", body)
        text = "Registered model alias nope not found."
        self.refused(
            400, "INVALID_PARAMETER_VALUE", text, "GET", "registered-models/alias", name=name, alias="nope"
        )


class Search(RegistryTest):
    def setUp(self):
        self.group = self.new_name("g")

    def models(self, filter_string, **search):
        found = self.client.search_registered_models(filter_string, **search)
        return [m.name.removeprefix(self.group) for m in found]

    def test_models(self):
        group = self.group
        for name, tags in [("-b", {"team": "x"}), ("-A", {"team": "y", "odd key": "1"}), ("-c", {})]:
            self.client.create_registered_model(group + name, tags=tags)
        mine = f"name LIKE '{group}%'"
        self.assertEqual(self.models(mine), ["-A", "-b", "-c"])
        self.assertEqual(self.models(f"name = '{group}-b'"), ["-b"])
        self.assertEqual(self.models(f"name ILIKE '{group.upper()}-a%'"), ["-A"])
        self.assertEqual(self.models(f"name LIKE '{group}-a%'"), [])
        self.assertEqual(self.models(f"name IN ('{group}-b', '{group}-c')"), ["-b", "-c"])
        self.assertEqual(self.models(f"{mine} AND name != '{group}-b'"), ["-A", "-c"])
        self.assertEqual(self.models(f"{mine} AND tags.team != 'x'"), ["-A"])
        self.assertEqual(self.models(f"{mine} and tag.`odd key` = '1'"), ["-A"])
        self.assertEqual(self.models(mine, order_by=["name DESC"]), ["-c", "-b", "-A"])
        self.assertEqual(self.models(mine, order_by=["last_updated_timestamp ASC"]), ["-b", "-A", "-c"])
        self.assertEqual(self.models(mine, order_by=["timestamp DESC"]), ["-c", "-A", "-b"])
        page = self.client.search_registered_models(mine, max_results=2)
        rest = self.client.search_registered_models(mine, max_results=2, page_token=page.token)
        self.assertEqual([m.name.removeprefix(group) for m in list(page) + list(rest)], ["-A", "-b", "-c"])
        self.assertFalse(rest.token)

    def test_versions(self):
        a, b = self.new_model(), self.new_model()
        run_id = self.client.create_run("0").info.run_id
        self.new_version(a, tags={"t": "x"})
        self.new_version(a, f"runs:/{run_id}/m", run_id=run_id)
        self.new_version(b, f"runs:/{run_id}/n", run_id=run_id)

        def found(filter_string, **search):
            return [(v.name, v.version) for v in self.client.search_model_versions(filter_string, **search)]

        self.assertEqual(found(f"name = '{a}'"), [(a, "2"), (a, "1")])
        self.assertEqual(found(f"name = '{a}'", order_by=["version_number ASC"]), [(a, "1"), (a, "2")])
        self.assertEqual(found(f"run_id = '{run_id}'", order_by=["creation_timestamp"]), [(a, "2"), (b, "1")])
        self.assertEqual(found(f"run_id IN ('{run_id}', 'none') and name = '{b}'"), [(b, "1")])
        self.assertEqual(found(f"name = '{a}' AND version_number > 1"), [(a, "2")])
        self.assertEqual(found(f"name = '{a}' AND tags.t = 'x'"), [(a, "1")])
        self.assertEqual(found(f"source_path = 'runs:/{run_id}/n'"), [(b, "1")])
        page = self.client.search_model_versions(f"name = '{a}'", max_results=1)
        rest = self.client.search_model_versions(f"name = '{a}'", max_results=1, page_token=page.token)
        self.assertEqual([v.version for v in page + rest], ["2", "1"])
        self.client.delete_model_version(a, "2")
        self.assertEqual(found(f"name = '{a}'"), [(a, "1")])

    def test_errors(self):
        models, versions = ("GET", "registered-models/search"), ("GET", "model-versions/search")
        code = "INVALID_PARAMETER_VALUE"
        text = "Invalid attribute key 'foo' specified. Valid keys are '{'name'}'"
        self.refused(400, code, text, *models, filter="foo = 'x'")
        text = "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags')"
        self.refused(400, code, text, *models, filter="metrics.m = 'x'")
        self.refused(400, code, "Invalid comparator for attribute: >", *models, filter="name > 'x'")
        self.refused(400, code, None, *models, filter="name = x")
        self.refused(400, code, None, *models, filter="name = 5")
        self.refused(400, code, None, *models, filter="name LIKE 'a' nonsense")
        self.refused(400, code, None, *models, order_by="foo DESC")
        self.refused(400, code, None, *models, order_by="name SIDEWAYS")
        self.refused(400, code, "Invalid page token, could not base64-decode", *models, page_token="x")
        text = (
            f"Invalid value \"1001\" for parameter 'max_results' supplied:  Hint: Value was of type 'str'. {DOCS}"
        )
        self.refused(400, code, text, *models, max_results=1001)
        text = "Invalid comparator for attribute version_number: LIKE"
        self.refused(400, code, text, *versions, filter="version_number LIKE '1'")
        self.refused(400, code, None, *versions, filter="version_number = 'abc'")
        text = "Invalid value for max_results. It must be a positive integer, but got 0"
        self.refused(400, code, text, *versions, max_results=0)


class Models(RegistryTest):
    """From a logged model to its registered version and back to its files."""

    class Plus(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return [x + 1 for x in model_input]

    def setUp(self):
        work = tempfile.TemporaryDirectory()
        self.addCleanup(work.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(work.name)

    def check_version(self, name, version, run_id):
        registered = self.client.get_model_version(name, version)
        self.assertEqual((registered.run_id, registered.status), (run_id, "READY"))
        for uri in (f"models:/{name}/{version}", f"models:/{name}@champion"):
            self.client.set_registered_model_alias(name, "champion", version)
            self.assertEqual(mlflow.pyfunc.load_model(uri).predict([1, 2]), [2, 3])

    def test_registered_while_logged(self):
        name = self.new_name()
        with mlflow.start_run() as run:
            logged = log_model(self.Plus(), registered_model_name=name)
        self.assertEqual(str(logged.registered_model_version), "1")
        self.check_version(name, "1", run.info.run_id)
        if IS_MLFLOW_2:
            return  # it has no logged models
        tag = self.client.get_logged_model(logged.model_id).tags["mlflow.modelVersions"]
        self.assertIn(name, tag)

    def test_registered_later(self):
        name = self.new_name()
        with mlflow.start_run() as run:
            logged = log_model(self.Plus())
        made = [
            mlflow.register_model(uri, name)
            for uri in (f"runs:/{run.info.run_id}/model", logged.model_uri)
        ]
        self.assertEqual([v.version for v in made], ["1", "2"])
        self.check_version(name, "2", run.info.run_id)
        files = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path="copy"))
        self.assertTrue((files / "MLmodel").is_file())
        text = self.call("GET", "get-artifact", root="/model-versions/", name=name, version=2, path="MLmodel")
        self.assertEqual(text[0], 200)

    @unittest.skipIf(IS_MLFLOW_2, "MLflow 2 has no mlflow.genai")
    def test_prompts_are_not_models(self):
        name = self.new_name("p")
        mlflow.genai.register_prompt(name, "Hello {{name}}")
        mlflow.genai.register_prompt(name, "Hi {{name}}")
        self.assertEqual(mlflow.genai.load_prompt(name, version=2).format(name="you"), "Hi you")
        self.assertEqual(self.client.search_registered_models(f"name = '{name}'"), [])
        with self.assertRaises(MlflowException):
            self.client.create_registered_model(name)
        body = {"name": name, "source": "s3://b/x", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
        self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "model-versions/create", body)


class Hostile(RegistryTest):
    def test_wrong_types_in_every_field(self):
        name = self.new_model()
        self.new_version(name)
        texts = {"name": name, "new_name": name, "description": "d", "key": "k", "value": "v", "alias": "a"}
        texts |= {"version": "1", "stage": "None", "source": "s3://b/x", "run_id": "r", "run_link": "l"}
        calls = [
            ("POST", "registered-models/create", ["name", "description"]),
            ("POST", "registered-models/rename", ["name", "new_name"]),
            ("PATCH", "registered-models/update", ["name", "description"]),
            ("DELETE", "registered-models/delete", ["name"]),
            ("POST", "registered-models/get-latest-versions", ["name"]),
            ("POST", "registered-models/set-tag", ["name", "key", "value"]),
            ("DELETE", "registered-models/delete-tag", ["name", "key"]),
            ("POST", "registered-models/alias", ["name", "alias", "version"]),
            ("DELETE", "registered-models/alias", ["name", "alias"]),
            ("POST", "model-versions/create", ["name", "source", "run_id", "run_link", "description"]),
            ("PATCH", "model-versions/update", ["name", "version", "description"]),
            ("POST", "model-versions/transition-stage", ["name", "version", "stage"]),
            ("DELETE", "model-versions/delete", ["name", "version"]),
            ("POST", "model-versions/set-tag", ["name", "version", "key", "value"]),
            ("DELETE", "model-versions/delete-tag", ["name", "version", "key"]),
        ]
        for method, path, fields in calls:
            for field in fields:
                for wrong in (5, True, 1.5, [], ["x"], {}, {"a": 1}):
                    body = {key: texts[key] for key in fields} | {field: wrong}
                    status, reply = self.call(method, path, body)
                    with self.subTest(path=path, field=field, wrong=wrong):
                        self.assertEqual((status, reply["error_code"]), (400, "INVALID_PARAMETER_VALUE"))
        for tags in (5, "x", {"a": 1}, [5], ["x"], [[]], [{"key": 5}]):
            status, _ = self.call("POST", "registered-models/create", {"name": self.new_name(), "tags": tags})
            self.assertEqual(status, 400, tags)
        self.assertEqual(self.client.get_model_version(name, "1").version, "1")

    def test_sql_in_every_string(self):
        evil = "'); DROP TABLE registered_models; --"
        name = self.new_name() + evil
        self.client.create_registered_model(name, tags={"k": evil}, description=evil)
        self.client.create_model_version(name, "s3://b/x'; --", run_link=evil, description=evil, tags={"k": evil})
        self.assertEqual(self.client.get_registered_model(name).tags, {"k": evil})
        self.assertEqual(self.client.get_model_version(name, "1").description, evil)
        for path in ("registered-models/search", "model-versions/search"):
            for query in ({"filter": evil}, {"order_by": evil}, {"page_token": evil}, {"filter": f"name = '{evil}'"}):
                self.assertIn(self.call("GET", path, **query)[0], (200, 400), query)
        self.assertEqual(self.client.get_registered_model(name).name, name)

    def test_much_too_long(self):
        long = "a" * 10_000_000
        status, _ = self.call("POST", "registered-models/create", {"name": long, "description": "d"})
        if not self.on_mlflow("a name of ten million letters"):
            self.assertEqual(status, 400)
        name = self.new_model()
        tag = {"name": name, "key": "k", "value": long}
        text = "'value' exceeds the maximum length of 100000 characters"
        self.refused(400, "INVALID_PARAMETER_VALUE", text, "POST", "registered-models/set-tag", tag)
        tag = {"name": name, "key": long, "value": "v"}
        text = "'key' exceeds the maximum length of 250 characters"
        self.refused(400, "INVALID_PARAMETER_VALUE", text, "POST", "registered-models/set-tag", tag)
        alias = {"name": name, "alias": long, "version": "1"}
        self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "registered-models/alias", alias)

    def test_bodies_that_are_no_objects(self):
        bodies = [b"", b"{", b"null"]
        if not self.on_mlflow("bodies that are no objects"):
            bodies += [b"[]", b"5", b'"x"', b'"\\ud800"', b"\xff\xfe", b"[" * 100_000]
        for body in bodies:
            status, reply = self.call("POST", "registered-models/create", body)
            message = reply.get("message").partition(" (the body is ")[0]
            self.assertEqual((status, message), (400, missing("name")), body[:20])


if __name__ == "__main__":
    unittest.main()
