"""Declaration of a network and how it is trained."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from mlops_platform.spec.fields import require, require_reference

OnOutOfMemory = Literal["stop", "halve"]
Value = float | int | str | bool
LATEST, PARAMETER = "latest", "parameters."
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
        tuned: Which tuning's best values take the place of those declared here: ``latest``, or a tuning's digest
            (``sha256:...``), which stays whatever is tuned later; None for those declared.
    """

    module: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    epochs: int = 8
    batch_size: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    seed: int = 0
    warm_start: bool = False
    sequence: Sequence | None = None
    on_out_of_memory: OnOutOfMemory = "stop"
    tuned: str | None = None

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
        pinned = self.tuned in (None, LATEST) or (isinstance(self.tuned, str) and _DIGEST.fullmatch(self.tuned))
        require(bool(pinned), "Network.tuned", self.tuned, f"{LATEST!r} or a digest sha256:...",
                "copy the line that mlops tune ends with")  # fmt: skip

    def value(self, name: str) -> Value | None:
        """What is declared under a name, ``parameters.hidden`` for a parameter; None where nothing is."""
        found = self.parameters.get(name.removeprefix(PARAMETER)) if name.startswith(PARAMETER) else getattr(self, name)
        return found

    def with_values(self, values: Mapping[str, Value]) -> "Network":
        """The declaration with other values, by their names as ``value`` takes them; asks for no tuning any more.

        Raises:
            SpecError: A value is none that a network can have.
        """
        own = {name: value for name, value in values.items() if not name.startswith(PARAMETER)}
        inner = {n.removeprefix(PARAMETER): value for n, value in values.items() if n.startswith(PARAMETER)}
        return replace(self, **own, parameters={**self.parameters, **inner}, tuned=None)  # type: ignore[arg-type]

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: what is new only where it is asked for, so that others keep theirs.

        ``tuned`` is never in it: what it stands for is, as values and as an input.
        """
        told = asdict(self)
        del told["tuned"]
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
