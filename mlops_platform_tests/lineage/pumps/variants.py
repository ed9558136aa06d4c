"""The pumps, trained for longer or shorter and under other gates: a ladder of ever better versions."""

from dataclasses import replace

from mlops_platform.spec import Project
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT


def trained(epochs: int, **gate: object) -> Project:
    """The pumps, trained for so many epochs, with this gate."""
    changed = {"network": replace(MODEL.network, epochs=epochs), "gate": replace(MODEL.gate, **gate)}  # type: ignore[arg-type]
    return replace(PROJECT, models=(replace(MODEL, **changed),))  # type: ignore[arg-type]


POOR, BETTER = trained(2), trained(4)
"""Each next one beats the one before by the gate; so does ``trained(8)``."""
