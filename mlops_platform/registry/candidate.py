"""What must be known of a candidate before anything is decided about it: its verdict, its version and its skew."""

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, short
from mlops_platform.registry.promotion import Judged
from mlops_platform.spec import Model, Project


def judged_candidate(project: Project, model: Model, gate: Manifest, registered: Manifest, skew: Manifest) -> Judged:
    """The challenger and its verdict.

    Args:
        project, model: The declarations.
        gate: The verdict.
        registered: The registered version.
        skew: The skew report.

    Raises:
        PlatformError: They are not about one checkpoint.
    """
    checkpoint, station = registered.content["checkpoint"], f"{project.name}/{model.name}"
    if gate.content["challenger_checkpoint"] != checkpoint:
        raise PlatformError(
            required="the gate and the registered model to be about one checkpoint",
            found=f"{short(gate.content['challenger_checkpoint'])} judged, {short(checkpoint)} registered",
            remedy=f"mlops materialize --select 'key:\"{station}/registered_model\"'",
        )
    if skew.content["checkpoint"] != checkpoint:
        raise PlatformError(
            required="the skew of the registered model to be measured",
            found=f"{short(skew.content['checkpoint'])} measured, {short(checkpoint)} registered",
            remedy=f"mlops materialize --select 'key:\"{station}/skew\"'",
        )
    return Judged(version=registered.content["version"], checkpoint=checkpoint, verdict=gate.digest,
                  passed=gate.content["passed"], reason=gate.content["reason"], skew=skew.digest,
                  skewed=_skewed(skew, station))  # fmt: skip


def _skewed(skew: Manifest, station: str) -> str | None:
    """Why no champion may be made of a candidate, if the online path does not tell it what it learned from."""
    if skew.content["agrees"]:
        return None
    different = ", ".join({**skew.content["mismatched"], **skew.content["coded_otherwise"]}) or "its scores"
    return (
        f"the online path tells it otherwise than it learned: {different}; see the report of {station}/skew, and mend "
        "what brings these features online, or allow for it in Model.skew"
    )
