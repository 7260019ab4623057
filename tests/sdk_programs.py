"""The programs of sdk_consumer, built as a user builds: against the installed SDK."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def build(build_folder, folder):
    """The folder with the programs, below `folder`."""
    for command in (["cmake", "--install", build_folder, "--prefix", folder / "installed", "--component", "sdk"],
                    ["cmake", "-S", ROOT / "tests" / "sdk_consumer", "-B", folder / "build",
                     f"-DCMAKE_PREFIX_PATH={folder / 'installed'}"],
                    ["cmake", "--build", folder / "build"]):
        done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
    return folder / "build"
