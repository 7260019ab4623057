"""Experiments: their life, their names and tags, and the search for them."""
import unittest

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from conformance import ConformanceTest, missing

INVALID = "INVALID_PARAMETER_VALUE"


class Life(ConformanceTest):
    def test_created_read_and_renamed(self):
        name, new = self.new_name(), self.new_name()
        made = self.client.create_experiment(name, "s3://bucket/p", {"b": "2", "a": "1"})
        found = self.client.get_experiment(made)
        self.assertEqual((found.name, found.artifact_location, found.tags), (name, "s3://bucket/p", {"a": "1", "b": "2"}))
        self.assertEqual((found.lifecycle_stage, found.creation_time), ("active", found.last_update_time))
        self.assertEqual(self.client.get_experiment_by_name(name).experiment_id, made)
        self.client.rename_experiment(made, new)
        self.assertEqual(self.client.get_experiment(made).name, new)
        self.assertIsNone(self.client.get_experiment_by_name(name))
        self.client.set_experiment_tag(made, "a", "3")
        self.ok("POST", "experiments/delete-experiment-tag", {"experiment_id": made, "key": "b"})
        self.assertEqual(self.client.get_experiment(made).tags, {"a": "3"})

    def test_a_relative_place_goes_on_from_the_servers_folder(self):
        made = self.client.create_experiment(self.new_name(), "some/place")
        self.assertRegex(self.client.get_experiment(made).artifact_location, "^/.+/some/place$")

    def test_deleted_with_its_runs_and_restored(self):
        name = self.new_name()
        experiment = self.client.create_experiment(name)
        run = self.client.create_run(experiment).info.run_id
        self.client.delete_experiment(experiment)
        self.assertEqual(self.client.get_experiment(experiment).lifecycle_stage, "deleted")
        self.assertEqual(self.client.get_run(run).info.lifecycle_stage, "deleted")
        text = f"No Experiment with id={experiment} exists"
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", text, "POST", "experiments/delete", {"experiment_id": experiment})
        self.refused(400, "RESOURCE_ALREADY_EXISTS", None, "POST", "experiments/create", {"name": name})
        with self.assertRaisesRegex(MlflowException, "must be in the 'active' state"):
            self.client.create_run(experiment)
        self.client.restore_experiment(experiment)
        self.assertEqual(self.client.get_experiment(experiment).lifecycle_stage, "active")
        self.assertEqual(self.client.get_run(run).info.lifecycle_stage, "active")

    def test_a_deleted_one_is_not_renamed(self):
        experiment = self.client.create_experiment(self.new_name())
        self.client.delete_experiment(experiment)
        body = {"experiment_id": experiment, "new_name": self.new_name()}
        status, code = (500, "INVALID_STATE") if self.on_mlflow("renaming a deleted experiment") else (400, INVALID)
        self.refused(status, code, "Cannot rename a non-active experiment.", "POST", "experiments/update", body)

    def test_a_name_that_is_taken(self):
        name, other = self.new_name(), self.client.create_experiment(self.new_name())
        self.client.create_experiment(name)
        status, reply = self.call("POST", "experiments/create", {"name": name})
        self.assertEqual((status, reply["error_code"]), (400, "RESOURCE_ALREADY_EXISTS"))
        self.assertTrue(reply["message"].startswith(f"Experiment(name={name}) already exists."), reply)
        code = "BAD_REQUEST" if self.on_mlflow("renaming an experiment to a taken name") else "RESOURCE_ALREADY_EXISTS"
        self.refused(400, code, None, "POST", "experiments/update", {"experiment_id": other, "new_name": name})

    def test_the_default_one(self):
        self.assertEqual(self.client.get_experiment("0").name, "Default")


class Errors(ConformanceTest):
    def test_of_creating(self):
        create = ("POST", "experiments/create")
        self.refused(400, INVALID, missing("name"), *create, {})
        self.refused(400, INVALID, missing("name"), *create, {"name": ""})
        self.refused(400, INVALID, "'name' exceeds the maximum length of 500 characters", *create, {"name": "a" * 501})
        body = {"name": self.new_name(), "artifact_location": "s3://b/x?a=1#f"}
        self.refused(400, INVALID, "'artifact_location' URL can't include fragments or params.", *create, body)

    def test_of_reading(self):
        get = ("GET", "experiments/get")
        self.refused(400, INVALID, missing("experiment_id"), *get)
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", "No Experiment with id=99999 exists", *get, experiment_id="99999")
        text = "Invalid experiment ID 'abc'. Experiment ID must be a valid integer."
        self.refused(400, INVALID, text, *get, experiment_id="abc")
        text = "Could not find experiment with name 'nix'"
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", text, "GET", "experiments/get-by-name", experiment_name="nix")
        self.refused(400, INVALID, missing("experiment_name"), "GET", "experiments/get-by-name")

    def test_of_changing(self):
        experiment = self.client.create_experiment(self.new_name())
        update, tag = ("POST", "experiments/update"), ("POST", "experiments/set-experiment-tag")
        self.refused(400, INVALID, missing("new_name"), *update, {"experiment_id": experiment})
        self.refused(400, INVALID, missing("experiment_id"), *update, {"new_name": "x"})
        gone = "No Experiment with id=99999 exists"
        self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, *update, {"experiment_id": "99999", "new_name": "x"})
        for path in ("delete", "restore"):
            self.refused(404, "RESOURCE_DOES_NOT_EXIST", gone, "POST", f"experiments/{path}", {"experiment_id": "99999"})
        body = {"experiment_id": experiment, "key": "k"}
        self.ok(*tag, body)
        self.assertEqual(self.client.get_experiment(experiment).tags, {"k": ""})
        for bad in ({"key": ""}, {"key": "a*b"}, {"key": "k" * 251}):
            self.refused(400, INVALID, None, *tag, body | {"value": "v"} | bad)


class Search(ConformanceTest):
    def setUp(self):
        self.group = self.new_name("g")
        for name, tags in [("-b", {"team": "x"}), ("-A", {"team": "y", "odd key": "1"}), ("-c", {})]:
            self.client.create_experiment(self.group + name, tags=tags)

    def found(self, filter_string="", **search):
        mine = f"name LIKE '{self.group}%'" + (f" AND {filter_string}" if filter_string else "")
        return [e.name.removeprefix(self.group) for e in self.client.search_experiments(filter_string=mine, **search)]

    def test_filters(self):
        group = self.group
        self.assertEqual(sorted(self.found(f"name != '{group}-b'")), ["-A", "-c"])
        self.assertEqual(self.found(f"name ILIKE '{group.upper()}-a'"), ["-A"])
        self.assertEqual(self.found("tags.team = 'x'"), ["-b"])
        self.assertEqual(self.found("tags.team != 'x'"), ["-A"])
        self.assertEqual(self.found("tag.`odd key` = '1'"), ["-A"])
        self.assertEqual(len(self.found("creation_time > 0 AND attribute.last_update_time > 5")), 3)
        self.assertEqual(self.found("creation_time < 5"), [])
        number = self.client.get_experiment_by_name(f"{group}-c").experiment_id
        self.assertEqual(self.found(f"experiment_id = '{number}'"), ["-c"])
        self.assertEqual(self.found(f"experiment_id IN ('{number}', '99999')"), ["-c"])

    def test_order_and_pages(self):
        self.assertEqual(self.found(), ["-c", "-A", "-b"])
        self.assertEqual(self.found(order_by=["name"]), ["-A", "-b", "-c"])
        self.assertEqual(self.found(order_by=["name DESC"]), ["-c", "-b", "-A"])
        self.assertEqual(self.found(order_by=["experiment_id"]), ["-b", "-A", "-c"])
        self.assertEqual(self.found(order_by=["name", "name DESC"]), ["-A", "-b", "-c"])
        mine = f"name LIKE '{self.group}%'"
        page = self.client.search_experiments(filter_string=mine, max_results=2)
        rest = self.client.search_experiments(filter_string=mine, max_results=2, page_token=page.token)
        self.assertEqual([e.name.removeprefix(self.group) for e in list(page) + list(rest)], ["-c", "-A", "-b"])
        self.assertFalse(rest.token)

    def test_deleted_ones(self):
        self.client.delete_experiment(self.client.get_experiment_by_name(f"{self.group}-b").experiment_id)
        self.assertEqual(self.found(), ["-c", "-A"])
        self.assertEqual(self.found(view_type=ViewType.DELETED_ONLY), ["-b"])
        self.assertEqual(self.found(view_type=ViewType.ALL), ["-c", "-A", "-b"])

    def test_errors(self):
        search = ("POST", "experiments/search")
        for bad in ("name > 'a'", "creation_time = 'x'", "name = e", "metrics.a > 1", "name", "name =", "foo = 'x'"):
            with self.subTest(filter=bad):
                self.refused(400, INVALID, None, *search, {"max_results": 5, "filter": bad})
        for order in (["foo"], ["name SIDEWAYS"]):
            self.refused(400, INVALID, None, *search, {"max_results": 5, "order_by": order})
        for results in (0, -1, 50001):
            self.refused(400, INVALID, None, *search, {"max_results": results})
        self.refused(400, INVALID, None, *search, {"max_results": 5, "page_token": "zzz"})


if __name__ == "__main__":
    unittest.main()
