"""Model versions in MLflow's registry: made once for each checkpoint, found by tag."""

from collections.abc import Mapping
from pathlib import Path

from mlops_platform.resources.aliases import CHALLENGER, CHECKPOINT_TAG
from mlops_platform.resources.mlflow import MlflowDoor


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
