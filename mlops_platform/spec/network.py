"""Declaration of a network and how it is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlops_platform.spec.fields import require, require_reference


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network and how it is trained.

    Attributes:
        module: Reference to a plain ``nn.Module`` class, called with ``numeric`` (width), ``cardinalities`` and
            ``parameters``; its ``forward(numeric, categories)`` returns one logit a row.
        parameters: Further keyword arguments of the module.
        epochs, batch_size, learning_rate, weight_decay, seed: The recipe; the number of steps is constant.
        warm_start: Whether training begins with what the live champion's weights hold that this network can take,
            instead of fresh weights; where none is live, with fresh ones.
    """

    module: str
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    epochs: int = 8
    batch_size: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0
    warm_start: bool = False

    def __post_init__(self) -> None:
        require_reference("Network.module", self.module)
        for name in ("epochs", "batch_size", "learning_rate"):
            value = getattr(self, name)
            require(value > 0, f"Network.{name}", value, "a number above zero", "raise it")
        # Whatever else counts as true would be another recipe for the same work.
        yes_or_no = isinstance(self.warm_start, bool)
        require(yes_or_no, "Network.warm_start", self.warm_start, "True or False", "write True for a warm start")

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: ``warm_start`` only where it is asked for, so that others keep theirs."""
        told = asdict(self)
        if not self.warm_start:
            del told["warm_start"]
        return told
