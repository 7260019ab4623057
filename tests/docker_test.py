"""A server image, and projects with a docker_env, run under a Docker engine: one of our own, which touches neither the
machine's network nor its images.

    docker_test.py OCI_TEST FOLDER_OF_PROGRAMS
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import small_image

SKIPPED = 77


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def start_engine(folder):
    """The daemon, once it answers on its socket."""
    log = open(folder / "log", "w")
    daemon = subprocess.Popen(
        ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
         f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid",
         f"--host=unix://{folder}/socket"], stdout=log, stderr=log)
    while subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
        if daemon.poll() is not None:
            skip("dockerd cannot run here: " + (folder / "log").read_text().strip().splitlines()[-1])
        time.sleep(0.1)
    return daemon


def main():
    if not shutil.which("dockerd") or not shutil.which("docker"):
        skip("no dockerd: apt-get install docker.io")
    if os.geteuid() != 0:
        skip("dockerd wants to be root")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        os.environ["DOCKER_HOST"] = f"unix://{folder}/socket"
        daemon = start_engine(folder)
        try:
            check_server_image(sys.argv[1])
            check_projects(pathlib.Path(sys.argv[2]), folder)
        finally:
            daemon.terminate()
            daemon.wait()


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True).stdout.split()


def check_server_image(oci_test):
    tested = subprocess.run([oci_test, "--gtest_filter=Runtime.DockerRunsTheImageAndRemovesIt"],
                            capture_output=True, text=True)
    print(tested.stdout, tested.stderr)
    assert tested.returncode == 0 and "[       OK ]" in tested.stdout, "the image did not run"
    left = docker("ps", "-aq"), docker("images", "-q")
    assert left == ([], []), f"left behind: containers and images {left!r}"


def wait_until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def check_projects(programs, folder):
    """What a project runs in its container ends with the run, even if it does not want to."""
    archive = folder / "image.tar"
    small_image.write_archive(archive)
    image = docker("import", str(archive), "tidemill-test:1")[0]
    project = folder / "project"
    project.mkdir()
    (project / "MLproject").write_text("""
name: contained
docker_env: {image: "tidemill-test:1"}
entry_points:
  main: {command: "cat /inside"}
  stubborn: {command: "trap '' TERM; echo waiting; while true; do sleep 1; done"}
""")
    # podman is chosen where it is installed.
    tools = folder / "tools"
    tools.mkdir()
    for tool in ("docker", "bash", "sh", "git"):
        (tools / tool).symlink_to(shutil.which(tool))
    environment = os.environ | {"PATH": str(tools), "MLFLOW_ENV_ROOT": str(folder / "environments"),
                                "TIDEMILL_STORE": str(folder / "store.db")}

    done = subprocess.run([programs / "tidemill", "run", project, "--json"], env=environment, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run_id = json.loads(done.stdout.splitlines()[0])["run_id"] or json.loads(done.stdout.splitlines()[-1])["run_id"]
    record = next(folder.glob(f"mlartifacts/*/{run_id}/artifacts/tidemill/record.json"))
    assert json.loads(record.read_text())["projects"]["."]["environment"]["image_id"] == image

    for how in (signal.SIGINT, signal.SIGKILL):
        run = subprocess.Popen([programs / "tidemill", "run", project, "-e", "stubborn", "--json"], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: docker("ps", "-q"), "no container has started")
        run.send_signal(how)
        run.wait(60)
        wait_until(lambda: not docker("ps", "-aq"), f"after {how!r} a container is left behind")
    subprocess.run(["docker", "rmi", "-f", image], capture_output=True)


main()
