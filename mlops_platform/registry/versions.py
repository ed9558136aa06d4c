"""Model versions in MLflow's registry: made once for each checkpoint, found by tag, moved by alias."""

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from mlops_platform.resources.mlflow import MlflowDoor

CHECKPOINT_TAG = "mlops.checkpoint"
CHALLENGER, CHAMPION = "challenger", "champion"
_WORKSPACES = "MLFLOW_ENABLE_WORKSPACES"
_ALIAS = {"workspace", "name", "alias", "version"}
_VERSION = {"workspace", "name", "version", "current_stage"}
# As MLflow's own store asks: a version that was deleted keeps its row.
_POINTED = """
SELECT v.version FROM registered_model_aliases a
JOIN model_versions v ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version
WHERE a.workspace = 'default' AND a.name = ? AND a.alias = ? AND v.current_stage != 'Deleted_Internal'
"""


def registered_name(project: str, model: str) -> str:
    """A model's name in the registry."""
    return f"{project}.{model}"


def register(
    door: MlflowDoor,
    name: str,
    package: Path,
    checkpoint: str,
    tags: Mapping[str, str],
    *,
    run_id: str | None,
    description: str,
) -> str:
    """The version of a checkpoint, made if there is none, with the alias ``challenger``.

    Args:
        door: MLflow.
        name: Registered name.
        package: MLmodel folder.
        checkpoint: Digest of the checkpoint.
        tags: Of the version.
        run_id: MLflow run of the training.
        description: Of the version, for people.
    """
    from mlflow.exceptions import MlflowException

    try:
        door.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = version_of(door, name, checkpoint)
    if found is None:
        every = {**tags, CHECKPOINT_TAG: checkpoint}
        version = door.client.create_model_version(
            name, source=str(package), run_id=run_id, tags=every, description=description
        )
        found = str(version.version)
    door.client.set_registered_model_alias(name, CHALLENGER, found)
    return found


def version_of(door: MlflowDoor, name: str, checkpoint: str) -> str | None:
    """The version made from a checkpoint, if there is one."""
    found = door.client.search_model_versions(f"name = '{name}' and tag.`{CHECKPOINT_TAG}` = '{checkpoint}'")
    return str(found[0].version) if found else None


def alias_version(door: MlflowDoor, name: str, alias: str) -> str | None:
    """The version that an alias points to, if it points; MLflow is not imported where its store is the home's SQLite.

    Args:
        door: MLflow.
        name: Registered name.
        alias: Any but ``latest``, which MLflow computes.
    """
    if door.uri or os.environ.get(_WORKSPACES):
        return _asked_of_mlflow(door, name, alias)
    if not door.exists:
        return None
    with contextlib.closing(sqlite3.connect(door.home.mlflow / "mlflow.db", timeout=20)) as database:
        if (
            _columns(database, "registered_model_aliases") >= _ALIAS
            and _columns(database, "model_versions") >= _VERSION
        ):
            found = database.execute(_POINTED, (name, alias)).fetchone()
            return str(found[0]) if found else None
    # Tables of another MLflow, which it brings up to date when it is asked, or none at all yet.
    return _asked_of_mlflow(door, name, alias)


def _columns(database: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in database.execute(f"PRAGMA table_info({table})")}


def _asked_of_mlflow(door: MlflowDoor, name: str, alias: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        return str(door.client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
