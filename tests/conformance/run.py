"""Runs the conformance tests of this folder against Tidemill, and against MLflow's own server to learn whether they
ask for the right thing.

usage: run.py TEST_SERVER_PROGRAM [--server tidemill|tidemill-postgres|mlflow]... [--client mlflow2] [TEST...]
TEST is a name as unittest takes it: registry_test, registry_test.Aliases. --client mlflow2 runs the tests with the
client of MLflow 2 (TIDEMILL_PYTHON_MLFLOW2, else what scripts/python-tools has made).
Exits with 77 (skipped) when mlflow cannot be imported, or a server not be started here.
"""
import argparse
import contextlib
import logging
import os
import pathlib
import subprocess
import sys
import unittest
import warnings

import client_settings

HERE = pathlib.Path(__file__).resolve().parent


def with_mlflow2():
    python = os.environ.get("TIDEMILL_PYTHON_MLFLOW2", os.path.expanduser("~/.cache/tidemill/venv-mlflow2/bin/python"))
    if not os.path.exists(python):
        print(f"skipped: there is no {python} with MLflow 2 (scripts/python-tools makes it)")
        return 77
    at = sys.argv.index("--client")
    return subprocess.run([python, __file__, *sys.argv[1:at], *sys.argv[at + 2 :]], check=False).returncode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tests", nargs="*")
    parser.add_argument("--server", action="append")
    parser.add_argument("--client", choices=["mlflow2"])
    options = parser.parse_args()
    if options.client:
        return with_mlflow2()
    try:
        import mlflow
    except ImportError as error:
        print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
        return 77
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client_settings.without_inferred_requirements()
    import servers

    failed = False
    for name in options.server or ["tidemill"]:
        with contextlib.ExitStack() as stack:
            try:
                url = stack.enter_context(servers.SERVERS[name](options.program))
            except servers.NotHere as error:
                print(f"skipped: {error}")
                return 77
            os.environ["CONFORMANCE_SERVER"] = name
            os.environ["MLFLOW_TRACKING_URI"] = url
            mlflow.set_tracking_uri(url)
            loader = unittest.TestLoader()
            suite = (
                loader.loadTestsFromNames(options.tests)
                if options.tests
                else loader.discover(str(HERE), "*_test.py")
            )
            print(f"{name} at {url}", file=sys.stderr)
            result = unittest.TextTestRunner(verbosity=1, warnings="ignore").run(suite)
            failed = failed or not result.wasSuccessful() or not result.testsRun
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
