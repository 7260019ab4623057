"""What the conformance tests share: a test case that knows its server, and raw calls beside the client's."""
import json
import os
import re
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid

from mlflow.tracking import MlflowClient

API = "/api/2.0/mlflow/"
DOCS = "See the API docs for more information about request parameters."


def missing(name):
    return f"Missing value for required parameter '{name}'. {DOCS}"


class ConformanceTest(unittest.TestCase):
    """One server for the whole run (run.py starts it), so tests use names of their own: self.new_name()."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.server = os.environ["CONFORMANCE_SERVER"]  # "tidemill", "mlflow", ...
        cls.url = os.environ["MLFLOW_TRACKING_URI"]
        cls.client = MlflowClient(cls.url)

    @staticmethod
    def is_mlflow():
        return os.environ.get("CONFORMANCE_SERVER") == "mlflow"

    @staticmethod
    def new_name(prefix="m"):
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    def call(self, method, path, body=None, /, root=API, **query):
        """(status, parsed reply or text) of one request; body: a JSON value, or bytes as they are."""
        address = self.url + root + path
        if query:
            address += "?" + urllib.parse.urlencode(query, doseq=True)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, text = reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ok(self, method, path, body=None, /, **query):
        status, reply = self.call(method, path, body, **query)
        self.assertEqual(status, 200, reply)
        return reply

    def on_mlflow(self, difference):
        """Whether this is MLflow's own server, for what docs/differences-from-mlflow.md lists under this name."""
        del difference  # differences_test.py reads it
        return self.is_mlflow()

    def refused(self, status, code, message, method, path, body=None, /, **query):
        """The call fails with this status, error code and (unless None) text, but for the place that Tidemill adds."""
        got, reply = self.call(method, path, body, **query)
        self.assertEqual((got, reply.get("error_code")), (status, code), reply)
        if message is not None:
            self.assertEqual(re.sub(r" \(column \d+ of the filter\)$", "", reply["message"]), message)
