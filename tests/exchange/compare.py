"""All that a tracking store shows through MLflow's client, as plain values to compare."""
import json
import math

from mlflow.entities import ViewType
from mlflow.tracking import MlflowClient


def number(value):
    """NaN equals itself here, and infinities are what databases keep of them."""
    if math.isnan(value):
        return "nan"
    return max(min(value, 1.7976931348623157e308), -1.7976931348623157e308)


def pages(search, **arguments):
    found, token = [], None
    while True:
        page = search(page_token=token, **arguments)
        found += page
        token = page.token
        if not token:
            return found


def histories(client, run):
    return {
        key: sorted(
            (m.timestamp, m.step, str(number(m.value))) for m in client.get_metric_history(run.info.run_id, key)
        )
        for key in run.data.metrics
    }


def read_run(client, run, places):
    info = run.info
    seen = {
        "name": info.run_name,
        "experiment": info.experiment_id,
        "user": info.user_id,
        "status": info.status,
        "start": info.start_time,
        "end": info.end_time,
        "stage": info.lifecycle_stage,
        "params": run.data.params,
        "tags": run.data.tags,
        "latest": {key: number(value) for key, value in run.data.metrics.items()},
        "history": histories(client, run),
        "datasets": sorted(
            (i.dataset.name, i.dataset.digest, i.dataset.source_type, i.dataset.source, i.dataset.schema,
             i.dataset.profile, sorted((t.key, t.value) for t in i.tags))
            for i in run.inputs.dataset_inputs
        ),
        "model_inputs": sorted(m.model_id for m in getattr(run.inputs, "model_inputs", [])),
        "model_outputs": sorted(
            (m.model_id, m.step) for m in getattr(getattr(run, "outputs", None), "model_outputs", [])
        ),
    }
    if places:
        seen["artifacts"] = info.artifact_uri
    return seen


def read_model(client, model, places):
    seen = {
        "experiment": model.experiment_id,
        "name": model.name,
        "type": model.model_type or "",
        "run": model.source_run_id or "",
        "status": str(model.status),
        "created": model.creation_timestamp,
        "updated": model.last_updated_timestamp,
        "params": model.params,
        "tags": model.tags,
        "metrics": sorted(
            (m.key, str(number(m.value)), m.step, m.timestamp, m.run_id, m.dataset_name or "",
             m.dataset_digest or "")
            for m in model.metrics or []
        ),
    }
    if places:
        seen["artifacts"] = model.artifact_location
    return seen


def read_version(version, places):
    seen = {
        "created": version.creation_timestamp,
        "updated": version.last_updated_timestamp,
        "stage": version.current_stage,
        "description": version.description or "",
        "run": version.run_id or "",
        "tags": version.tags,
        "aliases": sorted(version.aliases),
    }
    if places:
        seen["source"] = version.source
    return seen


def read_registry(client, places):
    versions = {}
    for version in pages(client.search_model_versions):
        # A search does not promise aliases; reading one does.
        full = client.get_model_version(version.name, version.version)
        versions.setdefault(full.name, {})[str(full.version)] = read_version(full, places)
    return {
        model.name: {
            "created": model.creation_timestamp,
            "updated": model.last_updated_timestamp,
            "description": model.description or "",
            "tags": model.tags,
            "aliases": {k: str(v) for k, v in client.get_registered_model(model.name).aliases.items()},
            "versions": versions.get(model.name, {}),
        }
        for model in pages(client.search_registered_models)
    }


def everything(uri, places=True):
    """places: also where artifacts lie."""
    client = MlflowClient(uri, registry_uri=uri)
    seen = {"experiments": {}, "runs": {}, "models": {}}
    experiments = pages(client.search_experiments, view_type=ViewType.ALL)
    for e in experiments:
        seen["experiments"][e.experiment_id] = {
            "name": e.name,
            "stage": e.lifecycle_stage,
            "tags": e.tags,
        }
        if e.name != "Default":  # every store makes its own
            seen["experiments"][e.experiment_id] |= {"created": e.creation_time, "updated": e.last_update_time}
    for e in experiments:
        for run in pages(client.search_runs, experiment_ids=[e.experiment_id], run_view_type=ViewType.ALL):
            full = client.get_run(run.info.run_id)
            seen["runs"][run.info.run_id] = read_run(client, full, places)
        if e.lifecycle_stage == "active" and hasattr(client, "search_logged_models"):  # MLflow 3
            for model in client.search_logged_models([e.experiment_id]):
                seen["models"][model.model_id] = read_model(client, client.get_logged_model(model.model_id), places)
    seen["registry"] = read_registry(client, places)
    return json.loads(json.dumps(seen))


OWN_TAGS = ("mlflow.parentRunId", "mlflow.modelVersions", "tidemill.pushed_from")


def without_ids(thing):
    """Without what a server gives anew: ids, and times of its own making."""
    return {
        key: {k: v for k, v in value.items() if k not in OWN_TAGS} if key == "tags" else value
        for key, value in thing.items()
        if key not in ("experiment", "run", "created", "updated", "model_outputs", "model_inputs", "metrics", "stage")
    }


def by_name(uri):
    """What is in the store, by the names of things, so that stores with other ids compare equal."""
    seen = everything(uri, places=False)
    names = {key: e["name"] for key, e in seen["experiments"].items()}
    return {
        "experiments": {e["name"]: e["stage"] for e in seen["experiments"].values()},
        "runs": {
            f"{names[r['experiment']]}/{r['name']}": without_ids(r) | {"stage": r["stage"]}
            for r in seen["runs"].values()
        },
        "models": {m["name"]: without_ids(m) for m in seen["models"].values()},
        "registry": {
            name: {
                "description": m["description"],
                "tags": m["tags"],
                "aliases": m["aliases"],
                "versions": {n: without_ids(v) | {"stage": v["stage"]} for n, v in m["versions"].items()},
            }
            for name, m in seen["registry"].items()
        },
    }


def differences(ours, theirs, path=""):
    """Where two of these differ, one line each."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        return [] if ours == theirs else [f"{path}: {ours!r:.300} instead of {theirs!r:.300}"]
    found = []
    for key in sorted({*ours, *theirs}):
        if key not in ours or key not in theirs:
            found.append(f"{path}/{key}: only {'there' if key in theirs else 'here'}")
        else:
            found += differences(ours[key], theirs[key], f"{path}/{key}")
    return found
