import argparse
import pathlib
import tempfile
import zipfile

import mlflow

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--name")
args = parser.parse_args()

with mlflow.start_run(), tempfile.TemporaryDirectory() as scratch:
    bundle = pathlib.Path(scratch) / "bundle.zip"
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.write(args.model, "model.json")
        archive.writestr("name.txt", args.name)
    mlflow.log_artifact(str(bundle))
    mlflow.set_tag("bundle", args.name)
