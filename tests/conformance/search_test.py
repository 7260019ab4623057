"""The search for runs: the language of filters, orders and pages."""
import unittest

from mlflow.entities import ViewType

from conformance import ConformanceTest

INVALID = "INVALID_PARAMETER_VALUE"
RUNS = [("a", "0.1", 0.5, "FINISHED"), ("b", "0.01", 0.9, "FAILED"), ("c", "abc", 0.7, "RUNNING"), ("d", None, None, "KILLED")]
# What each filter finds, the newest run first.
FILTERS = {
    "": "dcba",
    "metrics.acc > 0.6": "cb",
    "metrics.acc >= 0.5 and params.lr = '0.1'": "a",
    "metrics.acc>0.6 AND params.lr='0.01'": "b",
    "metric.`a b/c` < 0.8": "ca",
    'metrics."a b/c" < 0.8': "ca",
    "metrics.acc > 6e-1": "cb",
    "metrics.acc > -1": "cba",
    "metrics.acc != 0.5": "cb",
    "metrics.nan > 0": "b",
    "metrics.none > 0": "",
    "params.lr != '0.1'": "cb",
    "parameter.lr LIKE '0%'": "ba",
    "param.lr ILIKE 'AB%'": "c",
    "params.'lr' = '0.1'": "a",
    "params.lr IS NULL": "d",
    "params.lr IS NOT NULL": "cba",
    "tags.`odd key` = 'x y'": "dcba",
    "tag.team = 'a'": "a",
    "tags.team != 'a'": "dcb",
    "tags.none IS NULL": "dcba",
    "tags.none != 'a'": "",
    "tags.`mlflow.runName` = 'a'": "a",
    "tags.mlflow.runName = 'a'": "a",
    "attributes.status = 'FINISHED'": "a",
    "status != 'FAILED'": "dca",
    "run_name = 'a'": "a",
    "attributes.run_name ILIKE 'A%'": "a",
    "`run name` = 'a'": "a",
    "start_time > 1001": "dc",
    "start_time >= 1001 and end_time < 2003": "cb",
    "created = 1000": "a",
    "user_id = 'u0'": "ca",
    "attr.user_id LIKE 'u%'": "dcba",
    "artifact_uri LIKE '%/artifacts'": "dcba",
    "dataset.name = 'none'": "",
}
ORDERS = {
    ("metrics.acc",): "acbd",
    ("metrics.acc DESC",): "bcad",
    ("params.lr ASC",): "bacd",
    ("tags.team desc",): "dcba",
    ("start_time",): "abcd",
    ("attribute.end_time",): "abcd",
    ("status",): "badc",
    ("run_name DESC",): "dcba",
    ("metrics.nan",): "ba",
    ("user_id", "start_time"): "acbd",
    ("metrics.`a b/c` DESC",): "bcad",
}


class SearchRuns(ConformanceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.experiment = cls.client.create_experiment(cls.new_name())
        cls.runs = {}
        for at, (name, rate, accuracy, status) in enumerate(RUNS):
            body = {"experiment_id": cls.experiment, "start_time": 1000 + at, "user_id": f"u{at % 2}", "run_name": name,
                    "tags": [{"key": "team", "value": name}, {"key": "odd key", "value": "x y"}]}
            run = cls.ok(cls(), "POST", "runs/create", body)["run"]["info"]["run_id"]
            cls.runs[name] = run
            if rate:
                cls.client.log_param(run, "lr", rate)
                cls.client.log_metric(run, "acc", accuracy)
                cls.client.log_metric(run, "a b/c", accuracy)
            cls.client.set_terminated(run, status, 2000 + at)
        cls.client.log_metric(cls.runs["a"], "nan", float("nan"))
        cls.client.log_metric(cls.runs["b"], "nan", 1)

    def found(self, filter_string="", **search):
        return "".join(r.info.run_name for r in self.client.search_runs([self.experiment], filter_string, **search))

    def test_filters(self):
        for text, names in FILTERS.items():
            with self.subTest(filter=text):
                self.assertEqual(self.found(text), names)
        a, b = self.runs["a"], self.runs["b"]
        self.assertEqual(self.found(f"run_id = '{a}'"), "a")
        self.assertEqual(self.found(f"attributes.run_id IN ('{a}', '{b}')"), "ba")
        self.assertEqual(self.found(f"run_id NOT IN ('{a}', '{b}')"), "dc")
        self.assertEqual(self.found(f"run_id IN ('{a}',)"), "a")

    def test_orders(self):
        for keys, names in ORDERS.items():
            with self.subTest(order=keys):
                self.assertEqual(self.found(order_by=list(keys))[: len(names)], names)

    def test_more_than_mlflow_has(self):
        for text, names in {
            "metrics.acc > 0.8 OR params.lr = '0.1'": "ba",
            "NOT metrics.acc > 0.6": "da",
            "(status = 'FAILED' OR status = 'RUNNING') AND metrics.acc > 0.8": "b",
            "tags.team IN ('a', 'b')": "ba",
            "params.lr NOT IN ('0.1')": "cb",
            "run_name RLIKE '^[ab]$'": "ba",
            "metrics.acc IN (0.5, 0.7)": "ca",
        }.items():
            with self.subTest(filter=text):
                if self.on_mlflow("OR, NOT, parentheses, IN and RLIKE in every filter"):
                    body = {"experiment_ids": [self.experiment], "filter": text}
                    self.refused(400, INVALID, None, "POST", "runs/search", body)
                else:
                    self.assertEqual(self.found(text), names)

    def test_lowest_and_highest_values(self):
        for text, order, names in (("min(metrics.acc) > 0.6", [], "cb"),
                                   ("MAX(metrics.acc) < 0.8 AND last(metrics.acc) IS NOT NULL", [], "ca"),
                                   ("min(metrics.acc) IS NULL", [], "d"),
                                   ("", ["max(metrics.acc) DESC"], "bcad")):
            with self.subTest(filter=text, order=order):
                if self.on_mlflow("`min(metrics.m)`, `max(metrics.m)`, `last(metrics.m)` in filters and `order_by` of runs"):
                    body = {"experiment_ids": [self.experiment], "filter": text, "order_by": order}
                    self.refused(400, INVALID, None, "POST", "runs/search", body)
                else:
                    self.assertEqual(self.found(text, order_by=order), names)

    def test_filters_that_are_none(self):
        for text in ("params.lr > '0.05'", "metrics.acc = 'x'", "metrics.acc > abc", "params.lr = 5", "params.lr = abc",
                     "foo.bar = 'x'", "lifecycle_stage = 'active'", "status > 'A'", "metrics.acc LIKE '5'", "metrics", "= 5",
                     "metrics.acc >", "metrics.acc BETWEEN 0 AND 1", "start_time LIKE '1'", "dataset.foo = 'x'",
                     "params.x = ''; DROP TABLE runs", "params.lr = '0.1"):
            with self.subTest(filter=text):
                body = {"experiment_ids": [self.experiment], "filter": text}
                self.refused(400, INVALID, None, "POST", "runs/search", body)

    def test_filters_with_a_word_too_many_or_too_few(self):
        for text in ("metrics.acc > 0.5 and", "and metrics.acc > 0.5", "metrics.acc > 0.6 metrics.acc < 5"):
            body = {"experiment_ids": [self.experiment], "filter": text}
            with self.subTest(filter=text):
                if self.on_mlflow("filters with a word too many or too few"):
                    self.ok("POST", "runs/search", body)
                else:
                    self.refused(400, INVALID, None, "POST", "runs/search", body)

    def test_pages(self):
        page = self.client.search_runs([self.experiment], max_results=3, order_by=["start_time"])
        self.assertEqual([run.info.run_name for run in page], ["a", "b", "c"])
        rest = self.client.search_runs([self.experiment], max_results=3, order_by=["start_time"], page_token=page.token)
        self.assertEqual([run.info.run_name for run in rest], ["d"])
        self.assertFalse(rest.token)

    def test_experiments_and_views(self):
        other = self.client.create_experiment(self.new_name())
        gone = self.client.create_run(other, run_name="gone").info.run_id
        self.client.create_run(other, run_name="here")
        self.client.delete_run(gone)
        both = self.client.search_runs([self.experiment, other])
        self.assertEqual(sorted(run.info.run_name for run in both), ["a", "b", "c", "d", "here"])
        views = {view: [r.info.run_name for r in self.client.search_runs([other], run_view_type=view)]
                 for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL)}
        self.assertEqual([sorted(names) for names in views.values()], [["here"], ["gone"], ["gone", "here"]])
        self.assertEqual(self.ok("POST", "runs/search", {"experiment_ids": ["99999"]}), {})
        self.assertEqual(self.ok("POST", "runs/search", {"experiment_ids": []}), {})

    def test_errors(self):
        body = {"experiment_ids": [self.experiment]}
        for results in (0, -1, 50001):
            self.refused(400, INVALID, None, "POST", "runs/search", body | {"max_results": results})
        text = "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer"
        self.refused(400, INVALID, text, "POST", "runs/search", body | {"max_results": 0})
        self.refused(400, INVALID, None, "POST", "runs/search", body | {"page_token": "zz"})
        for order in ("foo", "metrics.acc SIDEWAYS", "metrics.acc; drop", "experiment_id", "dataset.name"):
            with self.subTest(order=order):
                self.refused(400, INVALID, None, "POST", "runs/search", body | {"order_by": [order]})


if __name__ == "__main__":
    unittest.main()
