"""How open rollouts stand: who meets which traffic since when, and what the judge said last."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops_platform.cli.words import when
from mlops_platform.resources.home import Home
from mlops_platform.resources.rollouts import held_back, open_rollout
from mlops_platform.spec import Project


def open_rollouts(project: Project, home: Home) -> dict[str, dict[str, Any]]:
    """Each open rollout by model: versions, kind and share, since when, the newest verdict, and why it is held back."""
    found = {}
    for model in project.models:
        standing = open_rollout(home, project.name, model.name)
        if standing is None:
            continue
        begun, promise, asked = standing.begun, standing.promise, model.serving.rollout
        against = held_back(asked, begun, promise, datetime.now(UTC)) if asked else "no rollout is declared"
        found[model.name] = {
            "version": begun.version, "champion": begun.champion, "since": begun.at,
            "kind": asked.kind if asked else None, "share": asked.share if asked and asked.kind == "canary" else None,
            "verdict": promise.verdict if promise else None, "reason": promise.reason if promise else None,
            "looks": promise.looks if promise else 0, "judged": promise.at if promise else None, "held_back": against,
        }  # fmt: skip
    return found


def rollout_line(told: Mapping[str, Any]) -> str:
    """One of ``open_rollouts`` in words."""
    share = f" for {told['share']:.1%} of the entities" if told["share"] is not None else ""
    kind = f" as {told['kind']}{share}" if told["kind"] else ""
    judged = (
        f"judged {when(told['judged'])} UTC: {told['verdict']}. {told['reason']}" if told["judged"] else "not judged"
    )
    held = f" It meets nobody now: {told['held_back']}." if told["held_back"] else ""
    beside = f"beside version {told['champion']} since {when(told['since'])} UTC"
    return f"version {told['version']}{kind} {beside}; {judged}{held}"
