"""Runs the conformance tests of this folder against Tidemill, and against MLflow's own server to learn whether they
ask for the right thing.

usage: run.py TEST_SERVER_PROGRAM [--server tidemill|mlflow]... [TEST...]
TEST is a name as unittest takes it: registry_test, registry_test.Aliases.
Exits with 77 (skipped) when mlflow cannot be imported.
"""
import argparse
import logging
import os
import pathlib
import sys
import unittest
import warnings

import client_settings  # noqa: F401

HERE = pathlib.Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tests", nargs="*")
    parser.add_argument("--server", action="append")
    options = parser.parse_args()
    try:
        import mlflow
    except ImportError as error:
        print(f"skipped: {error}; set TIDEMILL_PYTHON to a Python that has mlflow")
        return 77
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    import servers

    failed = False
    for name in options.server or ["tidemill"]:
        with servers.SERVERS[name](options.program) as url:
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
