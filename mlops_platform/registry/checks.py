"""What must hold of the registered model and of the champion."""

from collections.abc import Iterable

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.spec import Model, Project

LARGEST_DIFFERENCE = 1e-6


def model_registry_checks(project: Project, model: Model) -> list[dg.AssetChecksDefinition]:
    """Signature and scores as MLflow's users get them; a champion is live, and the alias says the same."""
    return [_registered_checks(project, model), _champion_checks(project, model)]


def _registered_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([project.name, model.name, "registered_model"])
    specs = [
        dg.AssetCheckSpec("signature_matches", asset=key, blocking=True,
                          description="the registered signature is that of the exported program"),
        dg.AssetCheckSpec("scores_match", asset=key, blocking=True,
                          description="MLflow's own loader gives the scores that ours gives"),
        dg.AssetCheckSpec("torch_form_is_the_checkpoints", asset=key, blocking=True,
                          description="beside ONNX lies torch's form of the program, as the trainer compared it"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__registered_model_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        content = stations.input(f"{project.name}/{model.name}/registered_model").manifest.content
        difference = content["largest_difference"]
        yield dg.AssetCheckResult(check_name="signature_matches", asset_key=key, passed=content["signature"])
        yield dg.AssetCheckResult(
            check_name="scores_match",
            asset_key=key,
            passed=difference <= LARGEST_DIFFERENCE,
            metadata={"largest_difference": difference, "allowed": LARGEST_DIFFERENCE},
        )
        yield dg.AssetCheckResult(
            check_name="torch_form_is_the_checkpoints", asset_key=key, passed=content["torch_form"]
        )

    return checks


def _champion_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([project.name, model.name, "champion"])
    specs = [
        dg.AssetCheckSpec("a_champion_is_live", asset=key, description="a version passed the gate once"),
        dg.AssetCheckSpec("alias_matches_history", asset=key,
                          description="MLflow's alias points where the promotion history says"),
        dg.AssetCheckSpec("alias_moved_by_nobody_else", asset=key,
                          description="this run did not find MLflow's alias moved outside the platform"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__champion_checks")
    def checks(context: dg.AssetCheckExecutionContext, stations: Stations) -> Iterable[dg.AssetCheckResult]:
        from mlops_platform.resources.aliases import CHAMPION, alias_version, registered_name
        from mlops_platform.resources.history import FOUND, PromotionHistory

        history = PromotionHistory(stations.home, project.name, model.name)
        live = history.live()
        said = live.champion if live else None
        yield dg.AssetCheckResult(check_name="a_champion_is_live", asset_key=key, passed=said is not None,
                                  metadata={"champion": said or "none"})  # fmt: skip
        alias = alias_version(stations.tracking(project.name), registered_name(project.name, model.name), CHAMPION)
        yield dg.AssetCheckResult(
            check_name="alias_matches_history", asset_key=key, passed=alias == said,
            description=None if alias == said else "materialize the champion: the alias then follows the history",
            metadata={"alias": alias or "none", "history": said or "none"},
        )  # fmt: skip
        every = [move for move in history.moves() if move.action == FOUND]
        found = [move for move in every if move.run_id == context.run.run_id]
        yield dg.AssetCheckResult(
            check_name="alias_moved_by_nobody_else", asset_key=key, passed=not found,
            severity=dg.AssetCheckSeverity.WARN, description=found[-1].reason if found else None,
            metadata={"found_ever": len(every)},
        )  # fmt: skip

    return checks
