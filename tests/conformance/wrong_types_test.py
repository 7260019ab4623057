"""Every field of every call that MLflow's own description of its interface names, with values that do not belong there:
Tidemill refuses or ignores them, never fails on them. (MLflow's server answers 500 to many.)"""
import http.client
import json
import re
import unittest
import urllib.parse

import mlflow
from mlflow.protos import model_registry_pb2, service_pb2
from mlflow.utils.rest_utils import extract_all_api_info_for_service

from conformance import ConformanceTest

SERVICES = [service_pb2.MlflowService, model_registry_pb2.ModelRegistryService]
NESTED = json.loads("[" * 50 + "]" * 50)
WRONG = [None, True, 5, -1, 1.5, 2**63, -(2**63) - 1, 10**400, "", "x", "5x", "9" * 400, "\ud800", "a\0b", "'; --", "/../..",
         "x" * 100_000, [], {}, [5], ["x"], [None], [[]], [{}], {"key": 5}, [{"key": 5, "value": []}], NESTED]


@unittest.skipIf(ConformanceTest.is_mlflow(), "MLflow's server answers 500 to many of these")
@unittest.skipIf(mlflow.__version__.startswith("2."), "MLflow 3 describes the same calls, and more")
class WrongTypes(ConformanceTest):
    def setUp(self):
        address = urllib.parse.urlsplit(self.url)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self.addCleanup(self.connection.close)

    def good_values(self):
        """What makes a call go far: a run, a model and names that exist. New ones, as some calls delete them."""
        experiment, name = self.client.create_experiment(self.new_name()), self.new_name()
        run = self.client.create_run(experiment).info.run_id
        self.client.create_registered_model(name)
        self.client.create_model_version(name, "s3://bucket/model", run_id=run)
        ids = {"experiment_id": experiment, "experiment_ids": [experiment], "run_id": run, "run_ids": [run], "run_uuid": run}
        point = {"key": "k", "value": 1, "timestamp": 1, "step": 1}
        pair = {"key": "k", "value": "v"}
        return ids | pair | {
            "name": name, "new_name": self.new_name(), "version": "1", "alias": "a", "stage": "Staging", "source": "s3://b/x",
            "metric_key": "k", "timestamp": 1, "step": 1, "max_results": 5, "status": "FINISHED", "metrics": [point],
            "params": [pair], "tags": [pair], "experiment_name": "Default", "filter": "", "order_by": [],
            "datasets": [{"dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "{}"}}]}

    def ask(self, method, path, body):
        address, data = path, None
        if method == "GET":
            address += "?" + urllib.parse.urlencode({k: v if isinstance(v, str) else json.dumps(v) for k, v in body.items()},
                                                    doseq=True, errors="replace")
            address = address[:60_000]
        else:
            data = json.dumps(body)
        self.connection.request(method, address, data, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def test_in_every_field_of_every_call(self):
        calls = 0
        for service in SERVICES:
            for request, endpoints in extract_all_api_info_for_service(service, "/api/2.0").items():
                for path, method in endpoints:
                    good = self.good_values()
                    fields = [field.name for field in request.DESCRIPTOR.fields]
                    path = re.sub(r"\{(\w+)\}", lambda word: str(good.get(word[1], "m-1")), path)
                    body = {name: good[name] for name in fields if name in good}
                    for field in fields:
                        for wrong in WRONG:
                            status, text = self.ask(method, path, body | {field: wrong})
                            self.assertLess(status, 500, f"{method} {path} {field}={wrong!r:.60}: {text[:300]}")
                            calls += 1
        self.assertGreater(calls, 3000)
        self.assertEqual(self.ask("GET", "/health", {})[0], 200)


if __name__ == "__main__":
    unittest.main()
