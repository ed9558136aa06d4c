"""Declaration of a network and how it is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mlops_platform.spec.fields import require, require_reference

OnOutOfMemory = Literal["stop", "halve"]


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """That the rows are the steps of sequences, through which a network carries a state.

    The rows of one entity are one sequence, in the order of their event timestamps; one row is one step, and an hour
    without a row is no step. Training goes through the sequences window by window and carries the state on without its
    gradient (truncated backpropagation through time); the state begins anew where a sequence begins. Rows without a
    label, and rows that the split leaves out, move the state and teach nothing.

    Attributes:
        entity: Columns whose values name a sequence.
        window: Steps through which one backward pass goes; None: through the whole sequence, whose activations are
            then all in memory at once.
        parallel: How many sequences go side by side; None: all. Those of similar length go together.
    """

    entity: tuple[str, ...]
    window: int | None = 64
    parallel: int | None = None

    def __post_init__(self) -> None:
        # Whatever came through JSON is a list.
        object.__setattr__(self, "entity", tuple(self.entity))
        require(bool(self.entity), "Sequence.entity", self.entity, "a column", "name what has a sequence of its own")
        for name in ("window", "parallel"):
            value = getattr(self, name)
            require(value is None or value > 0, f"Sequence.{name}", value, "at least one, or None", "64 is usual")


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network and how it is trained.

    A network of rows is a plain ``nn.Module`` whose ``forward(numeric, categories)`` takes float32 [N, W] and int64
    [N, C] and returns one logit a row. A network of sequences is one, too, and has two methods:

    - ``forward(numeric, categories, state)`` takes float32 [S, T, W] and int64 [S, T, C], T steps of S sequences side
      by side, and the state before them; it returns the answers, one for each row, and the state after them. An answer
      may depend on its own row, on earlier ones and on the state, and on no other sequence.
    - ``initial_state(sequences)`` returns the state before any row: one floating tensor [S, ...], each sequence's the
      same. What has several (an LSTM) keeps them side by side in one.

    Attributes:
        module: Reference to the class, called with ``numeric`` (width), ``cardinalities`` and ``parameters``.
        parameters: Further keyword arguments of the module.
        epochs, batch_size, learning_rate, weight_decay, seed: The recipe; the number of steps is constant.
        warm_start: Whether training begins with what the live champion's weights hold that this network can take,
            instead of fresh weights; where none is live, with fresh ones.
        sequence: That the module is a network of sequences, and how it is trained; ``batch_size`` means nothing then.
            None: it is a network of rows.
        on_out_of_memory: ``stop``, or ``halve``: train again with each batch in two pieces, then in four, and so on,
            whose gradients add up to those of the whole batch; what fitted is recorded with the checkpoint.
    """

    module: str
    parameters: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    epochs: int = 8
    batch_size: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0
    warm_start: bool = False
    sequence: Sequence | None = None
    on_out_of_memory: OnOutOfMemory = "stop"

    def __post_init__(self) -> None:
        require_reference("Network.module", self.module)
        for name in ("epochs", "batch_size", "learning_rate"):
            value = getattr(self, name)
            require(value > 0, f"Network.{name}", value, "a number above zero", "raise it")
        # Whatever else counts as true would be another recipe for the same work.
        yes_or_no = isinstance(self.warm_start, bool)
        require(yes_or_no, "Network.warm_start", self.warm_start, "True or False", "write True for a warm start")
        begun = self.sequence is None or not self.warm_start
        require(begun, "Network.warm_start", self.warm_start, "False for a network of sequences", "leave it out")
        choices, asked = get_args(OnOutOfMemory), self.on_out_of_memory
        require(asked in choices, "Network.on_out_of_memory", asked, f"one of {', '.join(choices)}", "choose one")
        possible = self.sequence is None or asked == "stop"
        require(possible, "Network.on_out_of_memory", asked, "stop for a network of sequences",
                "shorten Sequence.window or lower Sequence.parallel")  # fmt: skip

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: what is new only where it is asked for, so that others keep theirs."""
        told = asdict(self)
        for name in ("warm_start", "sequence"):
            if not told[name]:
                del told[name]
        if self.on_out_of_memory == "stop":
            del told["on_out_of_memory"]
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Network":
        """Reads back what ``dataclasses.asdict`` made of a declaration."""
        sequence = told.get("sequence")
        return cls(**{**told, "sequence": Sequence(**sequence) if sequence else None})
