"""An image with nothing but a shell and a few programs of this machine, for the tests of containers."""
import io
import os
import re
import shutil
import subprocess
import tarfile


def _files_of(program):
    """A program and the libraries it loads."""
    path = shutil.which(program)
    yield path
    for library in re.findall(r"(/\S+)", subprocess.run(["ldd", path], capture_output=True, text=True).stdout):
        yield library


def write_archive(archive, content=b"yes\n"):
    """Its root file system, as `podman import` and `docker import` take it; it has a file /inside."""
    with tarfile.open(archive, "w") as tar:
        seen = set()
        for program in ("sh", "cat", "sleep", "true"):
            for path in _files_of(program):
                if path not in seen:
                    seen.add(path)
                    tar.add(os.path.realpath(path), path)
        marker = tarfile.TarInfo("inside")
        marker.size = len(content)
        tar.addfile(marker, io.BytesIO(content))
