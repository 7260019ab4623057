
import argparse
import os

import mlflow


def main():
    parser = argparse.ArgumentParser(description="Train.")
    parser.add_argument("--source", type=str, default="small", choices=["small", "large"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("-r", "--learning-rate", type=float, required=True)
    args = parser.parse_args()
    experiment_id = int(os.getenv("MLFLOW_EXPERIMENT_ID", 0))

    with mlflow.start_run() as parent:
        prepare_run = mlflow.run(
            uri="./prepare",
            entry_point="prepare",
            backend="local",
            parameters={"source": args.source, "target": "/tmp/out"},  # a comment
        )
        prepare_run = mlflow.tracking.MlflowClient().get_run(prepare_run.run_id)
        data = os.path.join(os.getcwd(), "mlruns/", str(experiment_id), prepare_run.info.run_id, "artifacts/data")

        train_run = mlflow.run(uri="./train", parameters={
            "data": data,
            "epochs": args.epochs, "rate": args.learning_rate,
        })
        train_run = mlflow.tracking.MlflowClient().get_run(train_run.run_id)

        build_run = mlflow.run(
            "./build_image", "build",
            parameters={"model": os.path.join(str(experiment_id), train_run.info.run_id, "artifacts/", "model.onnx"),
                        "tag": os.environ["TAG"]},
        )
        mlflow.run("evaluate", parameters={
            "data": f"{prepare_run.info.artifact_uri}/test", "accuracy": train_run.data.metrics["accuracy"]})
        mlflow.log_metric("done", 1)


if __name__ == "__main__":
    main()
