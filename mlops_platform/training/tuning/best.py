"""How a declaration points to a tuning: its best values take the place of those declared."""

import json
from collections.abc import Mapping

from mlops_platform.errors import MissingArtifactError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Network
from mlops_platform.spec.network import LATEST
from mlops_platform.training.tuning.record import BEST

ROLE = "tuning"


def tuned(refs: Refs, station: str, network: Network) -> tuple[Network, Mapping[str, str]]:
    """The network as it is trained, and the tuning it comes from as a further input of the recipe.

    Args:
        refs: Of the home.
        station: The tuning station of the model, an asset key joined by slashes.
        network: As declared.

    Returns:
        The network declared, and no input, where it asks for no tuning.

    Raises:
        MissingArtifactError: The tuning it asks for is not in this home.
    """
    if network.tuned is None:
        return network, {}
    artifact = pointed_to(refs, station, network.tuned)
    best = json.loads(artifact.file(BEST).read_bytes())
    return network.with_values(best["parameters"]), {ROLE: artifact.manifest.digest}


def pointed_to(refs: Refs, station: str, which: str) -> Artifact:
    """The tuning that a declaration points to.

    Args:
        refs: Of the home.
        station: As above.
        which: ``latest`` or a digest.

    Raises:
        MissingArtifactError: It is not in this home.
    """
    model = station.split("/")[1]
    try:
        found = refs.find(station) if which == LATEST else refs.store.open(ROLE, which)
    except MissingArtifactError as error:
        raise _missing(model, which, error.found) from error
    if found is None:
        raise _missing(model, which, f"none was made in {refs.home.root}")
    return found


def _missing(model: str, which: str, found: str) -> MissingArtifactError:
    return MissingArtifactError(
        required=f"the tuning that {model} declares: Network(tuned={which!r})", found=found,
        remedy=f"run mlops tune {model}, or leave tuned out of its Network",
    )  # fmt: skip
