"""The home folder: where every piece of state lives, by environment."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mlops_platform.errors import PlatformError

ENVIRONMENTS = ("dev", "staging", "prod")
_INSTANCE_SETTINGS = Path(__file__).parents[2] / "dagster.yaml"


@dataclass(frozen=True)
class Home:
    """Paths under one home; deleting the folder resets everything.

    Attributes:
        path: ``MLOPS_HOME``, or else ``DAGSTER_HOME``, by default ``.mlops`` in the current folder.
        environment: ``MLOPS_ENV``, by default ``dev``; part of every path below.
    """

    path: Path
    environment: str = "dev"

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
        return cls(Path(path).absolute(), environment)

    @property
    def root(self) -> Path:
        """Folder of this environment; paths in manifests are relative to it."""
        return self.path / self.environment

    @property
    def landing(self) -> Path:
        """Where source files arrive: ``landing/<raw table>/*.parquet``."""
        return self.root / "landing"

    def landing_memory(self, project: str) -> Path:
        """What the landing sensor of a project remembers, an SQLite file."""
        return self.root / "sensors" / f"{project}_landing.db"

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
    def leases(self) -> Path:
        """Locks by which training programs hold devices."""
        return self.root / "leases"

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
        os.environ.setdefault("FEAST_USAGE", "False")
        # Pickled models are never loaded, by us or by MLflow on our behalf.
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
