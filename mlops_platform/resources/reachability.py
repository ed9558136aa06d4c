"""What a home still needs: the artifacts that can be reached from what is live, decided, registered, answered or young.

One artifact reaches another by naming its digest, anywhere in its manifest. More names than needed are followed rather
than fewer: what is kept for nothing costs disk, what is lost costs an answer.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlops_platform.manifest import Manifest
from mlops_platform.resources.artifacts import MANIFEST
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_LOGGED = ("checkpoint", "batch", "online")
_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One artifact of the store.

    Attributes:
        folder: Where it lies.
        manifest: Its description.
        names: Every digest that the manifest mentions.
    """

    folder: Path
    manifest: Manifest
    names: frozenset[str]


def stored(home: Home) -> dict[str, Stored]:
    """Every whole artifact of a home, by digest.

    Raises:
        CorruptArtifactError: A manifest cannot be read, so that what it reaches is not known.
    """
    found = {}
    for path in sorted(home.artifacts.glob(f"[!.]*/[!.]*/{MANIFEST}")):
        data = path.read_bytes()
        manifest = Manifest.from_json(data, source=str(path))
        found[manifest.digest] = Stored(folder=path.parent, manifest=manifest, names=mentioned(data))
    return found


def mentioned(data: bytes) -> frozenset[str]:
    """Every digest in a text."""
    return frozenset(found.decode() for found in _DIGEST.findall(data))


def roots(home: Home, door: MlflowDoor, artifacts: Mapping[str, Stored], *, young: timedelta,
          now: datetime | None = None) -> frozenset[str]:  # fmt: skip
    """The digests from which everything needed is reached.

    They are what each station stands for; what each entry of each promotion history names (challengers, champions,
    verdicts); the tags of every model version in MLflow; the checkpoints, batches and online stores in the prediction
    logs, since each logged answer must be explained by ``why``; and what was made lately.

    Args:
        home: Where.
        door: MLflow.
        artifacts: From ``stored``.
        young: How long after its making an artifact is kept whatever else holds.
        now: The moment; by default, this one.
    """
    since = (now or datetime.now(UTC)) - young
    made = {digest: datetime.fromisoformat(each.manifest.produced.at) for digest, each in artifacts.items()}
    return frozenset(
        {
            *_in_files(home.refs),
            *_in_files(home.history),
            *_registered(door),
            *_answered(home, artifacts),
            *(digest for digest, at in made.items() if at >= since),
        }
    )


def reachable(artifacts: Mapping[str, Stored], start: frozenset[str]) -> frozenset[str]:
    """The artifacts that are named by the start, or by an artifact that is reachable.

    Args:
        artifacts: By digest.
        start: Digests; those of no artifact reach nothing.
    """
    found: set[str] = set()
    waiting = [digest for digest in start if digest in artifacts]
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            waiting += [name for name in artifacts[digest].names if name in artifacts and name not in found]
    return frozenset(found)


def dependents_first(artifacts: Mapping[str, Stored], chosen: frozenset[str]) -> list[str]:
    """The chosen artifacts in an order in which none comes before one that names it, as far as no circle forbids."""
    order: list[str] = []
    seen: set[str] = set()
    for start in sorted(chosen):
        waiting = [(start, False)]
        while waiting:
            digest, done = waiting.pop()
            if done:
                order.append(digest)
            elif digest not in seen:
                seen.add(digest)
                inner = sorted(name for name in artifacts[digest].names if name in chosen and name not in seen)
                waiting += [(digest, True), *((name, False) for name in inner)]
    return order[::-1]


def _in_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.json")):
        if not path.name.startswith("."):
            yield from mentioned(path.read_bytes())


def _registered(door: MlflowDoor) -> Iterator[str]:
    """Digests in the tags of every version in the registry, whatever its model."""
    token: str | None = "" if door.exists else None
    while token is not None:
        page = door.client.search_model_versions(max_results=_PAGE, page_token=token or None)
        for version in page:
            yield from mentioned(json.dumps(dict(version.tags)).encode())
        token = page.token or None


def _answered(home: Home, artifacts: Mapping[str, Stored]) -> Iterator[str]:
    import polars as pl

    batches = {each.manifest.content.get("batch"): digest for digest, each in artifacts.items()}
    for folder in sorted((home.root / "tables").glob("*/predictions/*")):
        log = DeltaDoor(folder)
        if log.exists:
            rows = log.scan()
            columns = [name for name in _LOGGED if name in rows.collect_schema()]
            told = rows.select(pl.col(columns).unique().implode()).collect()
            values = {value for column in columns for value in told[column].explode() if value is not None}
            yield from values
            yield from (batches[value] for value in values if value in batches)
