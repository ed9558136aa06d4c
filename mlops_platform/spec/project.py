"""Declaration of a project: its tables and models, checked against each other."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlops_platform.spec.fields import duration, require, require_name, require_reference
from mlops_platform.spec.model import Model
from mlops_platform.spec.tables import Column, FeatureTable, RawTable

_Named = TypeVar("_Named", RawTable, FeatureTable, Model)


@dataclass(frozen=True, kw_only=True)
class Project:
    """All that a team declares; ``build_definitions(project)`` makes its lineage.

    Attributes:
        name: First part of every asset key.
        raw_tables, feature_tables, models: The declarations.
        feature_repo: Folder of the project's Feast repository.
        owner: E-mail address of a person, or ``team:name``, shown on every asset.
        upstream: Function ``(through: "YYYY-MM") -> iterator of (table, month, DataFrame)`` behind ``mlops land``;
            None where files arrive by other means.
    """

    name: str
    raw_tables: tuple[RawTable, ...]
    feature_tables: tuple[FeatureTable, ...]
    models: tuple[Model, ...]
    feature_repo: Path
    owner: str
    upstream: str | None = None

    def __post_init__(self) -> None:
        require_name("Project.name", self.name)
        require("@" in self.owner or self.owner.startswith("team:"), "Project.owner", self.owner,
                "an e-mail address or team:name", 'write for example "team:planning"')  # fmt: skip
        repo = Path(self.feature_repo) / "feature_store.yaml"
        require(repo.is_file(), "Project.feature_repo", str(self.feature_repo), "a folder with feature_store.yaml",
                "point it at the Feast repository")  # fmt: skip
        if self.upstream is not None:
            require_reference("Project.upstream", self.upstream)
        for kind in ("raw_tables", "feature_tables", "models"):
            names = [item.name for item in getattr(self, kind)]
            require(len(set(names)) == len(names), f"Project.{kind}", names, "names once each", "rename one")
        for feature_table in self.feature_tables:
            self._check_feature_table(feature_table)
        for model in self.models:
            self._check_model(model)

    def raw_table(self, name: str, *, asked_by: str = "raw_table") -> RawTable:
        """The declared raw table of that name, or a SpecError that lists those there are."""
        return self._find(self.raw_tables, name, asked_by)

    def feature_table(self, name: str, *, asked_by: str = "feature_table") -> FeatureTable:
        """The declared feature table of that name, or a SpecError that lists those there are."""
        return self._find(self.feature_tables, name, asked_by)

    def model(self, name: str, *, asked_by: str = "model") -> Model:
        """The declared model of that name, or a SpecError that lists those there are."""
        return self._find(self.models, name, asked_by)

    def feature_columns(self, model: Model) -> dict[str, tuple[Column, ...]]:
        """The columns a model reads, by feature table, in the order it declares them."""
        chosen: dict[str, tuple[Column, ...]] = {}
        for reference in model.features:
            table_name, _, column_name = reference.partition(":")
            where = f"Model({model.name}).features"
            table = self.feature_table(table_name, asked_by=where)
            found = tuple(c for c in table.columns if column_name in ("", c.name))
            require(bool(found), where, reference, f"a column of {table_name}", "name a declared feature column")
            chosen[table_name] = chosen.get(table_name, ()) + found
        return chosen

    def numeric_columns(self, model: Model) -> tuple[str, ...]:
        """Names of a model's numeric inputs, context first, then features in declared order."""
        names = [*(column.name for column in model.context), *self.feature_names(model)]
        return tuple(name for name in names if name not in model.categories)

    def feature_names(self, model: Model) -> tuple[str, ...]:
        """A model's features as datasets name them, Feast's full names: ``table__column``."""
        return tuple(f"{t}__{c.name}" for t, group in self.feature_columns(model).items() for c in group)

    def entity_keys(self, model: Model) -> tuple[str, ...]:
        """Keys of all feature tables that a model reads, each once."""
        keys = (key for name in self.feature_columns(model) for key in self.feature_table(name).keys)
        return tuple(dict.fromkeys(keys))

    def _find(self, among: tuple[_Named, ...], name: str, asked_by: str) -> _Named:
        known = {item.name: item for item in among}
        require(
            name in known,
            asked_by,
            name,
            f"one of {', '.join(sorted(known)) or 'none declared'}",
            "declare or rename it",
        )
        return known[name]

    def _check_feature_table(self, table: FeatureTable) -> None:
        where = f"FeatureTable({table.name})"
        source = self.raw_table(table.source, asked_by=f"{where}.source")
        names = {column.name for column in source.columns}
        for key in table.keys:
            require(key in names, f"{where}.keys", key, f"a column of raw table {source.name}", "name its column")

    def _check_model(self, model: Model) -> None:
        where = f"Model({model.name})"
        for name in ("source", "upcoming_source"):
            self.raw_table(getattr(model.examples, name), asked_by=f"{where}.examples.{name}")
        read = self.feature_columns(model)
        names = [*self.feature_names(model), *(column.name for column in (*model.context, *model.carried))]
        repeated = sorted({name for name in names if names.count(name) > 1})
        require(not repeated, f"{where}.features", repeated, "column names once each", "rename or drop one")
        for name in ("categories", "slices"):
            for column in getattr(model, name):
                require(
                    column in {*self.entity_keys(model), *names},
                    f"{where}.{name}",
                    column,
                    "a key, context, carried or feature column (table__column)",
                    "name one that the dataset has",
                )
        for column in model.task.columns:
            known = {*self.entity_keys(model), *names}
            require(column in known, f"{where}.task", column, "a key, context, carried or feature column "
                    "(table__column)", "name one that the dataset has")  # fmt: skip
        for column in model.network.sequence.entity if model.network.sequence is not None else ():
            known = {*self.entity_keys(model), *names}
            require(column in known, f"{where}.network.sequence.entity", column,
                    "a key, context, carried or feature column", "name one that the dataset has")  # fmt: skip
        for column in model.gate.slice_margins:
            require(column in model.slices, f"{where}.gate.slice_margins", column,
                    f"one of its slices: {', '.join(model.slices) or 'none declared'}", "add it to slices")  # fmt: skip
        for feature in model.skew.tolerances:
            require(feature in self.feature_names(model), f"{where}.skew.tolerances", feature,
                    "a feature that it reads, table__column", "name one of them")  # fmt: skip
        for key in model.serving.rollout.sticky if model.serving.rollout is not None else ():
            require(key in self.entity_keys(model), f"{where}.serving.rollout.sticky", key,
                    f"one of its entity keys: {', '.join(self.entity_keys(model))}", "name one")  # fmt: skip
        windows = [self.feature_table(name).window for name in read]
        longest = max((duration(window) for window in windows if window), default=None)
        if longest is not None:
            embargo = model.split.embargo
            require(duration(embargo) >= longest, f"{where}.split.embargo", embargo,
                    f"at least the longest feature window, {longest}", "lengthen the embargo")  # fmt: skip
