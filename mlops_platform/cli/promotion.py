"""``mlops rollback``, ``promote``, ``stop-rollout``, ``allow``, ``rehearse-rollback``: a person and the champion."""

import getpass
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape

from mlops_platform.cli.context import console, emit
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

if TYPE_CHECKING:
    from mlops_platform.registry.alias import ChampionAlias


def asking() -> str:
    """Who asks where no name is given: ``MLOPS_ACTOR``, or else the account."""
    return os.environ.get("MLOPS_ACTOR") or getpass.getuser()


def roll_back(project: Project, home: Home, model: str, to: str | None, by: str | None, because: str, *,
              as_json: bool) -> None:  # fmt: skip
    """Rolls a model back and says what is live and what is barred."""
    from mlops_platform.registry.by_person import Asked, rollback

    alias, begun = _alias(project, home, model), time.perf_counter()
    move = rollback(alias, Asked(by=by or asking(), because=because), to=to)
    seconds = time.perf_counter() - begun
    lift = f"mlops allow {model} --version {move.previous} --by NAME --because TEXT"
    told = (
        f"version {move.champion} is live again, after {seconds:.2f} s\nversion {move.previous} is barred until: {lift}"
    )
    _tell(project, model, move, told, as_json=as_json)


def promote_version(project: Project, home: Home, model: str, version: str, by: str, because: str, *,
                    as_json: bool) -> None:  # fmt: skip
    """Promotes a version by a person's word."""
    from mlops_platform.registry.by_person import Asked, promote

    move = promote(_alias(project, home, model), Asked(by=by, because=because), version=version)
    _tell(project, model, move, f"version {version} is live, before: {move.previous or 'none'}", as_json=as_json)


def stop_open_rollout(project: Project, home: Home, model: str, by: str, because: str, *,
                      as_json: bool) -> None:  # fmt: skip
    """Ends an open rollout."""
    from mlops_platform.registry.by_person import Asked, stop_rollout

    move = stop_rollout(_alias(project, home, model), Asked(by=by, because=because))
    told = f"version {move.version} meets no traffic any more; version {move.champion} answers everything"
    _tell(project, model, move, told, as_json=as_json)


def allow_version(project: Project, home: Home, model: str, version: str, by: str, because: str, *,
                  as_json: bool) -> None:  # fmt: skip
    """Lifts a version's bar."""
    from mlops_platform.registry.by_person import Asked, allow

    move = allow(_alias(project, home, model), Asked(by=by, because=because), version=version)
    told = f"version {version} may be promoted again; version {move.champion} stays live until it is"
    _tell(project, model, move, told, as_json=as_json)


def rehearse_rollback(project: Project, home: Home, model: str, by: str | None, because: str, *,
                      as_json: bool) -> None:  # fmt: skip
    """Rolls back and forward again, and says how long it took."""
    from mlops_platform.registry.by_person import Asked, rehearse

    move = rehearse(_alias(project, home, model), Asked(by=by or asking(), because=because))
    if as_json:
        emit({"model": model, "move": asdict(move)})
        return
    console().print(
        f"{model}: version {move.previous} was live after [bold]{move.seconds:.2f} s[/], and {move.champion} is again"
    )


def _tell(project: Project, model: str, move: Move, told: str, *, as_json: bool) -> None:
    if as_json:
        emit({"model": model, "move": asdict(move)})
        return
    shown = console()
    shown.print(f"{model}: {escape(told)}")
    if move.champion != move.previous:
        shown.print(f"its answers follow with: mlops materialize --select 'key:\"{project.name}/{model}/champion\"+'")


def _alias(project: Project, home: Home, model: str) -> "ChampionAlias":
    from mlops_platform.registry.alias import ChampionAlias
    from mlops_platform.resources.aliases import registered_name
    from mlops_platform.resources.mlflow import MlflowResource

    name = project.model(model, asked_by="MODEL").name
    return ChampionAlias(history=PromotionHistory(home, project.name, name), name=registered_name(project.name, name),
                         door=MlflowResource().door(home, project.name))  # fmt: skip
