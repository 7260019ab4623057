#!/usr/bin/env python3
"""tidemill server is killed with SIGKILL at random moments under load, again and again on one store: every write that was
answered is there, every batch that was not is there as a whole or not at all, and the store opens clean.

usage: kill_test.py TIDEMILL [--count 15] [--seed N] [--store URI | --postgres POSTGRES_HOST_PROGRAM]
TIDEMILL_KILLS: another count. Exits with 77 (skipped) when PostgreSQL is asked for and not there.
"""
import argparse
import collections
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "conformance"))
import servers  # noqa: E402

CLIENTS = 8
POINTS = 20  # of a batch
LONGEST = 0.3  # seconds from the server's start to its end


class Refused(Exception):
    """The server refused what it should take."""


class Client:
    """Writes to runs of its own, one call after the other, and keeps in mind what the server has answered."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, path, body=None):
        self.connection.request(method, "/api/2.0/mlflow/" + path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Refused(f"{path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def new_run(self):
        return self.call("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]


class Writer(threading.Thread):
    def __init__(self, port):
        super().__init__()
        self.client = Client(port)
        self.written = []  # (run, kind, number): answered
        self.under_way = None  # asked for, not answered
        self.error = None

    def run(self):
        try:
            self.write()
        except (OSError, http.client.HTTPException):
            pass  # it has been killed
        except Refused as error:
            self.error = error

    def write(self):
        for number in itertools.count():
            if number % 20 == 0:
                run = self.client.new_run()
                self.written.append((run, "run", 0))
            kind = random.choice(["batch", "batch", "metric", "param", "tag"])
            self.under_way = (run, kind, number)
            self.ask(run, kind, number)
            self.written.append(self.under_way)
            self.under_way = None

    def ask(self, run, kind, number):
        point = {"value": number, "timestamp": number}
        if kind == "batch":
            points = [point | {"key": "b", "step": number * POINTS + i} for i in range(POINTS)]
            body = {"run_id": run, "metrics": points, "tags": [{"key": f"b{number}", "value": "x"}]}
            self.client.call("POST", "runs/log-batch", body)
        elif kind == "metric":
            self.client.call("POST", "runs/log-metric", point | {"run_id": run, "key": "m", "step": number})
        elif kind == "param":
            self.client.call("POST", "runs/log-parameter", {"run_id": run, "key": f"p{number}", "value": str(number)})
        else:
            self.client.call("POST", "runs/set-tag", {"run_id": run, "key": f"t{number}", "value": str(number)})


class Store:
    """What the server says of the runs, read once for each."""

    def __init__(self, port):
        self.client, self.runs = Client(port), {}

    def of(self, run):
        if run not in self.runs:
            data = self.client.call("GET", f"runs/get?run_id={run}")["run"]["data"]
            steps = {}
            for key in ("b", "m"):
                history = self.client.call("GET", f"metrics/get-history?run_id={run}&metric_key={key}").get("metrics", [])
                steps[key] = {metric["step"] for metric in history}
            names = {kind: {item["key"] for item in data.get(kind, [])} for kind in ("params", "tags")}
            self.runs[run] = steps | names
        return self.runs[run]

    def share(self, write):
        """How much of a write is there: 0 to 1."""
        run, kind, number = write
        found = self.of(run)
        if kind == "batch":
            steps = found["b"].intersection(range(number * POINTS, (number + 1) * POINTS))
            return (len(steps) + (f"b{number}" in found["tags"])) / (POINTS + 1)
        where = {"metric": ("m", number), "param": ("params", f"p{number}"), "tag": ("tags", f"t{number}")}
        return 1 if kind == "run" else float(where[kind][1] in found[where[kind][0]])


def start(program, store, port, log):
    command = [program, "server", "--port", str(port), "--store", store]
    return subprocess.Popen(command, stdout=log, stderr=log)


def wait_until_up(server, port, end=float("inf")):
    """False: not before `end`."""
    while time.monotonic() < end:
        try:
            probe = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            probe.request("GET", "/health")
            return probe.getresponse().status == 200
        except OSError:
            assert server.poll() is None, "the server does not start any more"
            time.sleep(0.002)
    return False


def one_round(program, store, port, log):
    """The writers of one life of the server, which ends at a moment that nobody chose, also before it is up."""
    server = start(program, store, port, log)
    end = time.monotonic() + random.uniform(0, LONGEST)
    writers = []
    try:
        if wait_until_up(server, port, end):
            writers = [Writer(port) for _ in range(CLIENTS)]
            for writer in writers:
                writer.start()
            time.sleep(max(0, end - time.monotonic()))
    finally:
        server.kill()
        server.wait()
        for writer in writers:
            writer.join()
    for writer in writers:
        if writer.error:
            raise writer.error
    return writers


def check(found, writers):
    """What was written of each kind, and how many of the writes that were under way are there (1) or not (0)."""
    answered, under_way = collections.Counter(), collections.Counter()
    for writer in writers:
        for write in writer.written:
            assert found.share(write) == 1, f"{write} was answered and is not there"
            answered[write[1]] += 1
        if writer.under_way:
            share = found.share(writer.under_way)
            assert share in (0, 1), f"{share:.0%} of {writer.under_way} is there"
            under_way[share] += 1
    return answered, under_way


def check_store(program, store, folder):
    doctor = subprocess.run([program, "doctor", "--store", store, "--json"], capture_output=True, text=True, cwd=folder)
    levels = [finding["level"] for finding in json.loads(doctor.stdout) if finding["subject"] == "store"]
    assert levels and set(levels) == {"ok"}, doctor.stdout
    if "://" not in store:
        with contextlib.closing(sqlite3.connect(store)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=int(os.environ.get("TIDEMILL_KILLS", 15)))
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--store", default="tidemill.db")
    parser.add_argument("--postgres")
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        if options.postgres:
            options.store = stack.enter_context(servers.postgres_database(options.postgres))
        run(options, pathlib.Path(folder))


def run(options, folder):
    program = str(pathlib.Path(options.program).resolve())
    store = options.store if "://" in options.store else str(folder / options.store)
    port = servers.free_port()
    with (folder / "log").open("w+") as log:
        writers = [writer for _ in range(options.count) for writer in one_round(program, store, port, log)]
        server = start(program, store, port, log)
        wait_until_up(server, port)
        try:
            answered, under_way = check(Store(port), writers)
        finally:
            server.terminate()
            status = server.wait()
    assert status == 0, f"the server ended with {status}"
    check_store(program, store, folder)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(answered.items()))
    print(f"{options.count} kills: all {answered.total()} answered writes are there ({kinds}); of {under_way.total()} that were "
          f"under way, {under_way[1]} are there as a whole, the others not at all")


if __name__ == "__main__":
    try:
        main()
    except servers.NotHere as reason:
        print(f"skipped: {reason}")
        sys.exit(77)
