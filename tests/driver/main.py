"""Four projects one after the other, each in a run of its own below the run of this driver."""
import argparse
import os

import mlflow
from mlflow.tracking import MlflowClient


def main():
    parser = argparse.ArgumentParser(description="Fit a line")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--dataset", type=str, default="numbers")
    args = parser.parse_args()

    with mlflow.start_run():
        client = MlflowClient()

        preprocess_run = mlflow.run(
            uri="./preprocess",
            entry_point="preprocess",
            backend="local",
            env_manager="local",
            parameters={"rows": args.rows, "dataset": args.dataset},
        )
        preprocessed = client.get_run(preprocess_run.run_id).info.artifact_uri
        data = os.path.join(preprocessed, args.dataset)

        train_run = mlflow.run(
            uri="./train",
            entry_point="train",
            backend="local",
            env_manager="local",
            parameters={"data": data, "epochs": args.epochs, "rate": args.rate},
        )
        trained = client.get_run(train_run.run_id)

        build_run = mlflow.run(
            uri="./build",
            entry_point="build",
            backend="local",
            env_manager="local",
            parameters={"model": os.path.join(trained.info.artifact_uri, "model.json"), "name": "it's the slope"},
        )
        built = client.get_run(build_run.run_id)

        mlflow.run(
            uri="./evaluate",
            entry_point="evaluate",
            backend="local",
            env_manager="local",
            parameters={"bundle": os.path.join(built.info.artifact_uri, "bundle.zip"), "data": data},
        )


if __name__ == "__main__":
    main()
