"""The tests of control groups in a virtual machine of their own, whose root may make any: most machines that tests run on
may not, or have cgroup v1. Wants qemu-system-x86_64, a static busybox, and a kernel: the file TIDEMILL_TEST_KERNEL, or
the latest in /boot (of a Debian package, without installing it: apt-get download, dpkg -x).

    control_group_test.py SYS_TEST
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
/sys_test --gtest_filter='ControlGroup.*' --gtest_color=no 2>&1
echo "left: $(ls /sys/fs/cgroup | grep tidemill)."
poweroff -f
"""
TOOLS = ("sh", "mount", "ls", "grep", "echo", "poweroff", "cat", "sleep", "setsid")


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def find_kernel():
    named = os.environ.get("TIDEMILL_TEST_KERNEL")
    kernels = [pathlib.Path(named)] if named else sorted(pathlib.Path("/boot").glob("vmlinuz*"))
    return kernels[-1] if kernels and kernels[-1].exists() else skip("no kernel: set TIDEMILL_TEST_KERNEL")


def make_root(root, busybox, program):
    for folder in ("bin", "proc", "sys", "dev", "tmp"):
        (root / folder).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for tool in TOOLS:
        (root / "bin" / tool).symlink_to("busybox")
    libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"/\S+", libraries):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(library), target)
    shutil.copy(program, root / "sys_test")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def main():
    qemu, busybox, cpio = map(shutil.which, ("qemu-system-x86_64", "busybox", "cpio"))
    if not (qemu and busybox and cpio):
        skip("wants qemu-system-x86, busybox-static and cpio")
    kernel = find_kernel()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        root = folder / "root"
        root.mkdir()
        make_root(root, busybox, sys.argv[1])
        files = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
        with open(folder / "root.cpio", "wb") as archive:
            subprocess.run([cpio, "-o", "-H", "newc", "--quiet"], cwd=root, input=files.encode(), stdout=archive,
                           check=True)
        done = subprocess.run(
            [qemu, "-accel", "tcg", "-cpu", "max", "-m", "1024", "-net", "none", "-nographic", "-no-reboot", "-kernel",
             kernel, "-initrd", folder / "root.cpio", "-append", "console=ttyS0 quiet panic=1"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=240)
    print(done.stdout[-4000:])
    assert "[  PASSED  ] 4 tests." in done.stdout and "[  SKIPPED ]" not in done.stdout, "the tests have not passed"
    assert "left: ." in done.stdout, "a group is left behind"


main()
