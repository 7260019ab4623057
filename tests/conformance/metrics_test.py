"""Metrics and their history: what is stored once, in which order points come, and how they are paged."""
import math
import unittest

from mlflow.entities import Metric

from conformance import ConformanceTest

BIG = 1.7976931348623157e308


class MetricsTest(ConformanceTest):
    def new_run(self):
        return self.client.create_run(self.client.create_experiment(self.new_name())).info.run_id

    def history(self, run_id, key):
        return [(m.timestamp, m.step, m.value) for m in self.client.get_metric_history(run_id, key)]


class History(MetricsTest):
    def test_points_are_stored_once_and_come_by_time(self):
        run_id = self.new_run()
        points = [(7, 2, 0.5), (5, 9, 0.25), (7, 1, 0.75), (7, 2, 0.5), (7, 2, 0.25), (5, 9, 0.25)]
        for timestamp, step, value in points:
            self.client.log_metric(run_id, "m", value, timestamp, step)
        self.assertEqual(sorted(self.history(run_id, "m")), sorted(set(points)))
        self.assertEqual([p[0] for p in self.history(run_id, "m")], [5, 7, 7, 7])

    def test_the_latest_is_that_of_the_highest_step(self):
        run_id = self.new_run()
        self.client.log_batch(run_id, [Metric("m", 1, 9, 3), Metric("m", 2, 8, 5), Metric("m", 3, 99, 4)])
        self.assertEqual(self.client.get_run(run_id).data.metrics, {"m": 2})
        self.client.log_batch(run_id, [Metric("m", 7, 8, 5), Metric("m", 5, 8, 5)])
        self.assertEqual(self.client.get_run(run_id).data.metrics, {"m": 7})
        self.client.log_metric(run_id, "m", -1, 100, -5)
        self.assertEqual(self.client.get_run(run_id).data.metrics, {"m": 7})

    def test_values_that_are_no_numbers(self):
        run_id = self.new_run()
        for step, value in enumerate([math.nan, math.inf, -math.inf, 5e-324, -0.0]):
            self.client.log_metric(run_id, "m", value, 1, step)
        values = [value for _, _, value in sorted(self.history(run_id, "m"), key=lambda p: p[1])]
        self.assertTrue(math.isnan(values[0]))
        self.assertEqual(values[1:], [BIG, -BIG, 5e-324, 0.0])

    def test_pages(self):
        run_id = self.new_run()
        self.client.log_batch(run_id, [Metric("m", i / 8, i, i) for i in range(25)])
        seen, query = [], {"run_id": run_id, "metric_key": "m", "max_results": 10}
        sizes = []
        while True:
            reply = self.ok("GET", "metrics/get-history", **query)
            sizes.append(len(reply["metrics"]))
            seen += [m["step"] for m in reply["metrics"]]
            if "next_page_token" not in reply:
                break
            query["page_token"] = reply["next_page_token"]
        self.assertEqual(seen, list(range(25)))
        self.assertEqual(sizes, [10, 10, 5])
        reply = self.ok("GET", "metrics/get-history", run_id=run_id, metric_key="m")
        self.assertEqual(len(reply["metrics"]), 25)
        self.assertEqual(reply["metrics"][0], {"key": "m", "value": 0.0, "timestamp": 0, "step": 0})

    def test_nothing_there(self):
        run_id = self.new_run()
        self.assertEqual(self.ok("GET", "metrics/get-history", run_id=run_id, metric_key="none"), {})
        self.refused(
            400,
            "INVALID_PARAMETER_VALUE",
            "Missing value for required parameter 'metric_key'. See the API docs for more information about request "
            "parameters.",
            "GET",
            "metrics/get-history",
            run_id=run_id,
        )

    def test_intervals(self):
        run_id = self.new_run()
        for at in range(0, 2000, 1000):
            self.client.log_batch(run_id, [Metric("m", i, i, i) for i in range(at, at + 1000)])
        path = "metrics/get-history-bulk-interval"
        status, reply = self.call("GET", path, root="/ajax-api/2.0/mlflow/", run_ids=run_id, metric_key="m",
                                  max_results=100)
        self.assertEqual(status, 200, reply)
        steps = [m["step"] for m in reply["metrics"]]
        self.assertEqual((steps[0], steps[-1]), (0, 1999))
        self.assertEqual(steps, sorted(steps))
        self.assertLessEqual(len(steps), 110)
        self.assertEqual({m["run_id"] for m in reply["metrics"]}, {run_id})
        status, reply = self.call("GET", path, root="/ajax-api/2.0/mlflow/", run_ids=run_id, metric_key="m",
                                  start_step=10, end_step=12)
        self.assertEqual([m["step"] for m in reply["metrics"]], [10, 11, 12])


class Batches(MetricsTest):
    def test_limits(self):
        run_id = self.new_run()
        metric = {"key": "m", "value": 1, "timestamp": 1, "step": 0}
        body = {"run_id": run_id, "metrics": [metric | {"step": i} for i in range(1001)]}
        self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "runs/log-batch", body)
        body["metrics"].pop()
        self.ok("POST", "runs/log-batch", body)
        self.assertEqual(len(self.history(run_id, "m")), 1000)

    def test_all_or_nothing(self):
        run_id = self.new_run()
        self.client.log_param(run_id, "p", "1")
        body = {
            "run_id": run_id,
            "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
            "params": [{"key": "p", "value": "2"}],
        }
        self.refused(400, "INVALID_PARAMETER_VALUE", None, "POST", "runs/log-batch", body)
        self.assertEqual(self.client.get_run(run_id).data.params, {"p": "1"})

    def test_a_deleted_run_takes_nothing(self):
        run_id = self.new_run()
        self.client.delete_run(run_id)
        for call, body in {
            "runs/log-metric": {"key": "m", "value": 1, "timestamp": 1},
            "runs/log-parameter": {"key": "p", "value": "1"},
            "runs/set-tag": {"key": "t", "value": "1"},
        }.items():
            status, reply = self.call("POST", call, body | {"run_id": run_id})
            self.assertEqual((status, reply["error_code"]), (400, "INVALID_PARAMETER_VALUE"), call)


if __name__ == "__main__":
    unittest.main()
