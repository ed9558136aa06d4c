"""The home folder: where every piece of state lives, by environment."""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_platform.errors import PlatformError

if TYPE_CHECKING:
    from upath import UPath

ENVIRONMENTS = ("dev", "staging", "prod")
_INSTANCE_SETTINGS = Path(__file__).parents[2] / "dagster.yaml"


@dataclass(frozen=True)
class Home:
    """Paths under one home; deleting the folder resets everything.

    Attributes:
        path: ``MLOPS_HOME``, or else ``DAGSTER_HOME``, by default ``.mlops`` in the current folder.
        environment: ``MLOPS_ENV``, by default ``dev``; part of every path below.
        landing_at: ``MLOPS_LANDING``, another landing than the home's own: a folder or ``s3://bucket/prefix``.
    """

    path: Path
    environment: str = "dev"
    landing_at: str = ""

    @classmethod
    def from_environment(cls) -> "Home":
        """The home that ``MLOPS_HOME``, or else ``DAGSTER_HOME``, and ``MLOPS_ENV`` name.

        Raises:
            PlatformError: ``MLOPS_ENV`` is not one of dev, staging, prod.
        """
        environment = os.environ.get("MLOPS_ENV", "dev")
        if environment not in ENVIRONMENTS:
            raise PlatformError(
                required=f"MLOPS_ENV to be one of {', '.join(ENVIRONMENTS)}",
                found=f"MLOPS_ENV={environment!r}",
                remedy="export MLOPS_ENV=dev",
            )
        path = os.environ.get("MLOPS_HOME") or os.environ.get("DAGSTER_HOME") or ".mlops"
        landing = os.environ.get("MLOPS_LANDING", "")
        if landing and "://" not in landing:
            landing = str(Path(landing).absolute())
        return cls(Path(path).absolute(), environment, landing)

    @property
    def root(self) -> Path:
        """Folder of this environment; paths in manifests are relative to it."""
        return self.path / self.environment

    @property
    def landing(self) -> "Path | UPath":
        """Where source files arrive: ``landing/<raw table>/*.parquet``, in the home or where ``landing_at`` says.

        Raises:
            PlatformError: ``landing_at`` is a URI of another scheme than s3, or of no such form.
        """
        scheme, separator, _ = self.landing_at.partition("://")
        if not separator:
            return Path(self.landing_at) if self.landing_at else self.root / "landing"
        if scheme != "s3":
            raise PlatformError(
                required="MLOPS_LANDING to be a folder or s3://BUCKET/PREFIX",
                # What follows a scheme may hold a password.
                found=f"a URI of scheme {scheme!r}",
                remedy="give a folder's path without a scheme, an s3:// prefix, or unset MLOPS_LANDING",
            )
        from mlops_platform.resources.object_store import object_path

        return object_path(self.landing_at)

    def landing_memory(self, project: str) -> Path:
        """What the landing sensor of a project remembers of this landing, an SQLite file."""
        other = "_" + hashlib.sha256(self.landing_at.encode()).hexdigest()[:12] if self.landing_at else ""
        return self.root / "sensors" / f"{project}_landing{other}.db"

    @property
    def artifacts(self) -> Path:
        """Content-addressed artifacts and their manifests."""
        return self.root / "artifacts"

    @property
    def refs(self) -> Path:
        """What each station made last."""
        return self.root / "refs"

    @property
    def history(self) -> Path:
        """Promotion history, one folder a model."""
        return self.root / "history"

    @property
    def feast(self) -> Path:
        """Feast's registry and online store."""
        return self.root / "feast"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def studies(self) -> Path:
        """Optuna's database, and the folders through which studies and their programs talk."""
        return self.root / "studies"

    @property
    def leases(self) -> Path:
        """Locks by which training programs hold devices."""
        return self.root / "leases"

    @property
    def trainings(self) -> Path:
        """Folders of saves, of trainings that have not ended well."""
        return self.root / "training"

    def saves(self, recipe: str) -> Path:
        """Folder in which the training of a recipe, by its key, is saved on the way."""
        return self.trainings / recipe.removeprefix("sha256:")

    def raw_table(self, project: str, table: str) -> Path:
        """Folder of a raw Delta table."""
        return self.root / "tables" / project / "raw" / table

    def quarantine_table(self, project: str, table: str) -> Path:
        """Folder of the Delta table of rows refused from a raw table."""
        return self.root / "tables" / project / "quarantine" / table

    def feature_table(self, project: str, table: str) -> Path:
        """Folder of a feature Delta table; ``feature_repo`` spells the same path."""
        return self.root / "tables" / project / "features" / table

    def prediction_log(self, project: str, model: str) -> Path:
        """Folder of a model's prediction log, a Delta table."""
        return self.root / "tables" / project / "predictions" / model

    def journals(self, project: str, model: str) -> Path:
        """Folder of the journals in which live answers wait for the prediction log."""
        return self.root / "serving" / project / model / "journals"

    def refusals(self, project: str, model: str) -> Path:
        """Folder of the records of versions that did not verify or warm, one file each."""
        return self.root / "serving" / project / model / "refused"

    def rollout(self, project: str, model: str) -> Path:
        """Folder of the records that judge and serving processes keep of an open rollout."""
        return self.root / "serving" / project / model / "rollout"

    def relative(self, path: Path) -> str:
        """A path as manifests write it."""
        return path.relative_to(self.root).as_posix()

    def prepare(self) -> None:
        """Makes the home, places ``dagster.yaml`` in it and points Dagster and Feast at it."""
        self.root.mkdir(parents=True, exist_ok=True)
        settings = self.path / "dagster.yaml"
        if _INSTANCE_SETTINGS.is_file() and not settings.exists():
            shutil.copyfile(_INSTANCE_SETTINGS, settings)
        self.export()

    def export(self) -> None:
        """Sets the variables that Dagster, ``feature_repo`` and child programs read."""
        os.environ["MLOPS_HOME"] = os.environ["DAGSTER_HOME"] = str(self.path)
        os.environ["MLOPS_ENV"] = self.environment
        if self.landing_at:
            os.environ["MLOPS_LANDING"] = self.landing_at
        os.environ.setdefault("FEAST_USAGE", "False")
        # Pickled models are never loaded, by us or by MLflow on our behalf.
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
