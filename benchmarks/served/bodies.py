"""The same rows in each form that a service is asked in."""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.spec import Model, Project

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
_BODIES = 20


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way to ask.

    Attributes:
        name: Of the row in the table.
        path, headers: Of its requests.
        bodies: Some, of which each is other rows.
    """

    name: str
    path: str
    headers: Mapping[str, str]
    bodies: tuple[bytes, ...]

    def plan(self, port: int, connections: int, seconds: float, rate: float | None = None) -> dict[str, Any]:
        """What the load generator is told."""
        return {
            "port": port, "path": self.path, "headers": dict(self.headers), "connections": connections,
            "seconds": seconds, "rate": rate, "bodies": [base64.b64encode(body).decode() for body in self.bodies],
        }  # fmt: skip


def forms(home: Home, project: Project, model: Model, rows: int) -> dict[str, Form]:
    """``features``, ``arrow``, ``entities`` of ours and ``peer``: requests of so many whole holdout rows.

    The peer is asked in MLflow's protocol for tensors, by encoded inputs: its model knows no columns.
    """
    refs = Refs(home)
    dataset = refs.read(f"{project.name}/{model.name}/dataset")
    names = list(project.feature_names(model))
    keys = list(dict.fromkeys([*project.entity_keys(model), *(column.name for column in model.context)]))
    known = pl.read_parquet(dataset.file("holdout.parquet")).drop_nulls(names)
    # Features are asked for as of the newest example, or all of them would be stale by years.
    asked_at = pl.lit(known["event_timestamp"].max()).dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("event_timestamp")
    frames = [known.slice(place * rows, rows) for place in range(_BODIES)]
    given = [frame.select(*keys, *names) for frame in frames]
    assert all(frame.height == rows for frame in frames), "a holdout of more rows"
    scorer = Scorer.load(refs.read(f"{project.name}/{model.name}/checkpoint"))
    path, json_type = f"/v1/models/{model.name}/predict", {"Content-Type": JSON}
    return {
        "features": _form("features in JSON", path, json_type, [_json("features", f) for f in given]),
        "arrow": _form("features in Arrow", f"{path}?kind=features", {"Content-Type": ARROW, "Accept": ARROW},
                       [_arrow(f) for f in given]),
        "entities": _form("entities in JSON", path, json_type,
                          [_json("entities", f.select(*keys, asked_at)) for f in frames]),
        "peer": _form("mlflow models serve", "/invocations", json_type, [_tensors(scorer, f) for f in frames]),
    }  # fmt: skip


def _form(name: str, path: str, headers: Mapping[str, str], bodies: list[bytes]) -> Form:
    return Form(name=name, path=path, headers=headers, bodies=tuple(bodies))


def _json(kind: str, frame: pl.DataFrame) -> bytes:
    return json.dumps({kind: frame.to_dicts()}, default=str).encode()


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer)
    return buffer.getvalue()


def _tensors(scorer: Scorer, frame: pl.DataFrame) -> bytes:
    numeric, categories = scorer.encode(frame)
    return json.dumps({"inputs": {"numeric": numeric.tolist(), "categories": categories.tolist()}}).encode()
