"""The tracking servers that a conformance test can run against.

Each is a context manager that yields the server's URL. "mlflow" is MLflow's own server on SQLite: the oracle that
says what the tests should expect. "tidemill" is Tidemill's endpoint over a new store, "tidemill-postgres" over one in
PostgreSQL.
"""
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request


class NotHere(unittest.SkipTest):
    """This server cannot be started on this machine."""


@contextlib.contextmanager
def tidemill(program, **environment):
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [program, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        try:
            url = server.stdout.readline().strip()
            if not url and server.wait(timeout=20) == 77:
                raise NotHere("there is no PostgreSQL")
            yield url
        finally:
            server.stdin.close()
            status = server.wait(timeout=20)
            server.stdout.close()
        assert status in (0, 77), f"the server ended with {status}"


def tidemill_postgres(program):
    return tidemill(program, TIDEMILL_TEST_DATABASE="postgres")


def tidemill_of(arguments):
    """What starts the server that a test's arguments ask for, from which it takes --postgres away."""
    if "--postgres" not in arguments:
        return tidemill
    arguments.remove("--postgres")
    return tidemill_postgres


@contextlib.contextmanager
def postgres_database(host_program):
    """The URI of a database in a PostgreSQL that ends with this."""
    host = subprocess.Popen([host_program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        uri = host.stdout.readline().strip()
        if not uri and host.wait(timeout=60) == 77:
            raise NotHere("there is no PostgreSQL")
        yield uri
    finally:
        host.communicate()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, log):
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}:\n{log.read_text()}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return
        time.sleep(0.05)


class Restartable:
    """`tidemill server` over the store in a folder, on the same port and the same data each time it comes back."""

    def __init__(self, program, folder, *arguments):
        port = free_port()
        self.folder, self.url = pathlib.Path(folder), f"http://127.0.0.1:{port}"
        self.command = [program, "server", "--port", str(port), *arguments]
        self.come_back()

    def come_back(self):
        log = self.folder / "server.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=out, stderr=out)
        wait_for(self.url, self.process, log)

    def go_away(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def mlflow(_program):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        url = f"http://127.0.0.1:{free_port()}"
        log = root / "log"
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{root}/mlflow.db"]
        command += ["--artifacts-destination", str(root / "artifacts"), "--host", "127.0.0.1"]
        command += ["--port", url.rsplit(":", 1)[1], "--workers", "1"]
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        # Its eight processes for jobs, of which tracking knows nothing, take more time to start than all the rest.
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        with log.open("w") as out:
            server = subprocess.Popen(
                command, stdout=out, stderr=out, cwd=folder, env=environment, start_new_session=True
            )
        try:
            wait_for(url, server, log)
            yield url
        finally:
            os.killpg(server.pid, 15)
            server.wait(timeout=60)


SERVERS = {"tidemill": tidemill, "tidemill-postgres": tidemill_postgres, "mlflow": mlflow}
