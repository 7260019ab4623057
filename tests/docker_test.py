"""A server image runs under a Docker engine: one of our own, which touches neither the machine's network nor its
images.

    docker_test.py OCI_TEST
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

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
            tested = subprocess.run([sys.argv[1], "--gtest_filter=Runtime.DockerRunsTheImageAndRemovesIt"],
                                    capture_output=True, text=True)
            left = subprocess.run(["docker", "ps", "-aq"], capture_output=True, text=True).stdout
            images = subprocess.run(["docker", "images", "-q"], capture_output=True, text=True).stdout
        finally:
            daemon.terminate()
            daemon.wait()
    print(tested.stdout, tested.stderr)
    assert tested.returncode == 0 and "[       OK ]" in tested.stdout, "the image did not run"
    assert not left and not images, f"left behind: containers {left!r}, images {images!r}"


main()
