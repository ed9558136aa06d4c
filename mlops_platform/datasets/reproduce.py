"""A dataset made once more from what its manifest records: the raw and feature rows at the versions that were read.

Nothing is taken from what the tables are now, nor from another dataset's features: every example is joined again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops_platform.datasets.build import build, declared
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, digest_file, digest_of, short
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.source_code import closure
from mlops_platform.spec import Model, Project


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """What came of making a dataset again.

    Attributes:
        files: Digest of each file now.
        differing: Names of files and facts that are not what the manifest says; none if it is the same dataset.
        versions: Delta version that was read of each table, by input role.
    """

    files: Mapping[str, str]
    differing: tuple[str, ...]
    versions: Mapping[str, int]


def reproduce(home: Home, project: Project, model: Model, dataset: Manifest, folder: Path) -> Reproduced:
    """Makes a dataset again and compares it with its manifest.

    Args:
        home: Where the tables and their manifests are; only read.
        project, model: The declarations.
        dataset: Manifest of the dataset, of whatever age.
        folder: Empty; receives the files.

    Raises:
        PlatformError: Code, software, declaration or Feast's objects are others by now, so that a difference would
            tell nothing.
        MissingArtifactError: A table's manifest is gone.
    """
    _require_comparable(home, project, model, dataset)
    store, inputs = ArtifactStore(home), dataset.recipe.inputs
    source = f"raw:{model.examples.source}"
    raw = store.open("raw", inputs[source]).manifest.delta
    named = project.feature_columns(model)
    tables = {name: store.open("features", inputs[f"features:{name}"]).manifest.delta for name in named}
    rows = DeltaDoor(home.root / raw.path).scan(raw.version)
    built = build(project, model, rows, FeastDoor(home, project), tables, folder)
    files = {path.name: digest_file(path) for path in sorted(folder.iterdir())}
    versions = {source: raw.version, **{f"features:{name}": table.version for name, table in tables.items()}}
    return Reproduced(files=files, differing=tuple(_differing(dataset, files, built.content)), versions=versions)


def _differing(dataset: Manifest, files: Mapping[str, str], content: Mapping[str, object]) -> Iterator[str]:
    for told, found in ((dataset.files, files), (dataset.content, content)):
        for name in sorted({*told, *found}):
            if name not in told or name not in found or digest_of(told[name]) != digest_of(found[name]):
                yield name


def _require_comparable(home: Home, project: Project, model: Model, dataset: Manifest) -> None:
    recipe, source = dataset.recipe, closure(*dataset.recipe.functions)
    registry = Refs(home).read(f"{project.name}/feast/registry").manifest.digest
    found = {
        "its code": (recipe.code, source.digest),
        "the software": (digest_of(dict(recipe.software)), digest_of(source.distributions)),
        "the declaration": (digest_of(dict(recipe.config)), digest_of(declared(model))),
        "Feast's registry": (recipe.inputs["registry"], registry),
    }
    others = [f"{name} is {short(now)}, was {short(then)}" for name, (then, now) in found.items() if then != now]
    if others:
        raise PlatformError(
            required=f"the code, software, declaration and Feast registry that made dataset {short(dataset.digest)}",
            found="; ".join(others),
            remedy=f"check out revision {dataset.produced.git_revision or '(not recorded)'} with its constraints.txt",
        )
