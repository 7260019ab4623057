
import click
from mlflow import run as start

def _get_or_run(entrypoint, parameters, use_cache=True):
    print("Launching %s" % entrypoint)
    submitted = start(".", entrypoint, parameters=parameters, env_manager="local")
    return MlflowClient().get_run(submitted.run_id)

@click.command()
@click.option("--max-rows", default=100, type=int)
def workflow(max_rows):
    with mlflow.start_run() as active:
        load = _get_or_run("load", {})
        table = os.path.join(load.info.artifact_uri, "table")
        _get_or_run("etl", {"table": table, "rows": max_rows})

if __name__ == "__main__":
    workflow()
