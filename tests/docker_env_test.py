"""A project with a docker_env runs in its container, under podman: paths, variables, caching and Ctrl-C.

    docker_env_test.py FOLDER_OF_PROGRAMS
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import small_image

SKIPPED = 77
PROGRAMS = pathlib.Path(sys.argv[1])
IMAGE = f"localhost/tidemill-test-env:{os.getpid()}"  # nobody else's: tests run side by side


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def import_image(folder, marker=b"yes\n"):
    archive = folder / "image.tar"
    small_image.write_archive(archive, marker)
    done = subprocess.run(["podman", "import", "-q", str(archive), IMAGE], capture_output=True, text=True)
    if done.returncode != 0:
        skip("podman cannot import an image: " + done.stderr.strip())


def tidemill(*words, **more):
    return subprocess.run([PROGRAMS / "tidemill", *words], capture_output=True, text=True, timeout=120, **more)


def events(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def write_project(folder):
    (folder / "data").mkdir(parents=True)
    (folder / "volume").mkdir()
    (folder / "volume" / "word").write_text("mounted\n")
    (folder / "MLproject").write_text(f"""
name: contained
docker_env:
  image: {IMAGE}
  volumes: ["./volume:/volume:ro"]
  environment: [["GIVEN", "a value"], "TAKEN"]
entry_points:
  main:
    parameters: {{data: path}}
    command: "sh work.sh {{data}}"
  built:
    command: "{{{{ pwd; cat data/input; }}}} > $TIDEMILL_OUTPUT_DIR/here"
  wait:
    command: "echo waiting; sleep 600"
  limited:
    command: "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max > $TIDEMILL_OUTPUT_DIR/limit; true"
  greedy:
    command: "a=x; while true; do a=$a$a; done"
""")
    (folder / "limits.yaml").write_text("""
steps:
  limited: {project: ., entry_point: limited, resources: {memory: 64Mi, cpus: 1}}
  greedy: {project: ., entry_point: greedy, resources: {memory: 64Mi}, needs: limited}
""")
    (folder / "work.sh").write_text("""
{ cat /inside /volume/word "$1"; echo "$GIVEN, $TAKEN, $SECRET"; } > "$TIDEMILL_OUTPUT_DIR/result"
echo "$MLFLOW_TRACKING_URI $MLFLOW_RUN_ID" > "$TIDEMILL_OUTPUT_DIR/run"
""")
    (folder / "pipeline.yaml").write_text("""
name: contained
secrets:
  SECRET: {env: TOKEN}
steps:
  work:
    project: .
    params: {data: data/input}
    secrets: [SECRET]
""")
    (folder / "data" / "input").write_text("read\n")


def containers():
    return subprocess.run(["podman", "ps", "-aq", "--filter", f"ancestor={IMAGE}"], capture_output=True,
                          text=True).stdout.split()


def main():
    if not shutil.which("podman"):
        skip("no podman")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        project = folder / "project"
        write_project(project)
        os.environ |= {"TIDEMILL_STORE": str(folder / "store.db"), "MLFLOW_ENV_ROOT": str(folder / "environments"),
                       "TAKEN": "outside", "TOKEN": "quite secret"}

        foreseen = tidemill("run", project, "-n")
        assert foreseen.returncode == 0 and "work" in foreseen.stdout, foreseen
        absent = tidemill("run", project)
        assert absent.returncode != 0 and IMAGE in absent.stderr and "MLproject:4:" in absent.stderr, absent

        import_image(folder)
        try:
            check(project)
        finally:
            subprocess.run(["podman", "rmi", "-f", IMAGE], capture_output=True)


def check_limits(project):
    ran = tidemill("run", project / "limits.yaml", "--json")
    if "cannot limit containers here" in ran.stderr:
        return
    started = [e for e in events(ran) if e["event"] == "step_started"]
    assert (pathlib.Path(started[0]["artifacts"]) / "limit").read_text().strip() == str(64 << 20)
    failed = next(e for e in events(ran) if e["event"] == "step_finished" and e["step"] == "greedy")
    assert "memory ran out" in failed["reason"], failed
    assert not (project / "oom").exists(), "podman's mark of it is no part of the project"


def check(project):
    ran = tidemill("run", project, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    step = next(e for e in events(ran) if e["event"] == "step_started")
    artifacts = pathlib.Path(step["artifacts"])
    result = (artifacts / "result").read_text()
    assert result == "yes\nmounted\nread\na value, outside, quite secret\n", result
    uri, run_id = (artifacts / "run").read_text().split()
    assert uri.startswith("http://127.0.0.1:") and run_id == step["run_id"]

    again = tidemill("run", project, "--json")
    assert [e["state"] for e in events(again) if e["event"] == "step_finished"] == ["reused"], again.stdout

    import_image(project.parent, b"new\n")  # the same name, another image
    retagged = tidemill("run", project, "--json")
    step = next(e for e in events(retagged) if e["event"] == "step_started")
    assert "environment" in step["reason"], step
    assert (pathlib.Path(step["artifacts"]) / "result").read_text().startswith("new\n")

    told = tidemill("run", project, "--json", "-A", "env=GIVEN=by hand", "-A", "hostname=elsewhere")
    assert told.returncode == 0, told.stdout + told.stderr
    step = next(e for e in events(told) if e["event"] == "step_started")
    assert "environment" in step["reason"], step
    assert "by hand, outside" in (pathlib.Path(step["artifacts"]) / "result").read_text()

    built = tidemill("run", project, "-e", "built", "--build-image", "--json")
    try:
        assert built.returncode == 0, built.stdout + built.stderr
        step = next(e for e in events(built) if e["event"] == "step_started")
        assert (pathlib.Path(step["artifacts"]) / "here").read_text() == "/mlflow/projects/code\nread\n"
        tags = json.loads(tidemill("runs", "show", step["run_id"], "--json").stdout)["tags"]
        assert tags["mlflow.project.env"] == "docker" and tags["mlflow.docker.image.uri"] == "contained", tags
        assert re.fullmatch("(sha256:)?[0-9a-f]{64}", tags["mlflow.docker.image.id"]), tags
    finally:
        subprocess.run(["podman", "rmi", "-f", "localhost/contained"], capture_output=True)

    check_limits(project)

    waiting = subprocess.Popen([PROGRAMS / "tidemill", "run", project, "-e", "wait", "--json"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while not containers():
        assert waiting.poll() is None, "the run has ended by itself"
        time.sleep(0.05)
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(60) == 130
    assert not containers(), "a container is left behind"


main()
