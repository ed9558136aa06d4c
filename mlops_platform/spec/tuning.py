"""Declaration of a tuning: where better values of a network's declaration are looked for, and how."""

import ast
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from mlops_platform.spec.fields import require
from mlops_platform.spec.network import PARAMETER, Network, Value

FIELDS = ("learning_rate", "weight_decay", "batch_size", "epochs")
_COUNTS = ("batch_size", "epochs")
Sampler = Literal["tpe", "random"]
Pruner = Literal["median", "hyperband", "none"]


@dataclass(frozen=True)
class Between:
    """Any number of a range.

    Attributes:
        low, high: Its ends, both in it.
        log: Whether it is searched by orders of magnitude, as learning rates are.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_range("Between", self.low, self.high, log=self.log, kinds=(int, float))

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must fit the network for all between them to fit."""
        return self.low, self.high

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return _is(value, int, float) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True)
class Whole:
    """Any whole number of a range.

    Attributes:
        low, high: Its ends, both in it.
        log: Whether it is searched by orders of magnitude.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _require_range("Whole", self.low, self.high, log=self.log, kinds=(int,))

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must fit the network for all between them to fit."""
        return self.low, self.high

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return _is(value, int) and self.low <= value <= self.high  # type: ignore[operator]


@dataclass(frozen=True)
class OneOf:
    """One of some values, between which there is no order.

    Attributes:
        values: Numbers, texts, or True and False; at least two, all different.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        plain = isinstance(self.values, tuple | list) and all(_is(v, int, float, str, bool) for v in self.values)
        require(
            plain, "OneOf.values", self.values, "a tuple of numbers, texts, or True and False", "write OneOf((1, 2))"
        )
        object.__setattr__(self, "values", tuple(self.values))
        different = len({(type(value), value) for value in self.values}) == len(self.values) >= 2
        require(different, "OneOf.values", self.values, "at least two different values", "add one, or drop the name")

    @property
    def ends(self) -> tuple[Value, ...]:
        """The values that must fit the network."""
        return self.values

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return any(type(value) is type(own) and value == own for own in self.values)


Choice = Between | Whole | OneOf


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Where better values of a network's declaration are looked for: ``mlops tune`` does it, and only when asked.

    Each trial trains the network with other values; the lowest validation loss of an epoch is its value. The first
    trial is the declaration as it stands, as far as the space holds it.

    Attributes:
        space: What may vary: ``learning_rate``, ``weight_decay``, ``batch_size``, ``epochs``, and the module's own
            parameters as ``parameters.hidden``.
        trials: How many in all; a person may ask for more.
        parallel: How many at a time, each on devices of its own; bounded by the pool of the model's compute as well.
        sampler: What proposes values: ``tpe`` learns from the trials before it (J. Bergstra and others, NeurIPS 2011).
        pruner: What ends a trial that does worse than the others did at its age: ``median`` of the trials before it,
            ``hyperband`` (L. Li and others, JMLR 18, 2018), or ``none``.
        startup_trials: Trials of chance values before the sampler learns, and before the median prunes.
        seed: Of the proposals; one trial at a time, equal seeds propose equal values, killed in between or not.
    """

    space: Mapping[str, Choice]
    trials: int = 20
    parallel: int = 1
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    startup_trials: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        require(bool(self.space), "Tuning.space", self.space, "something that may vary",
                'write for example {"learning_rate": Between(1e-4, 1e-1, log=True)}')  # fmt: skip
        for name, choice in self.space.items():
            known = name in FIELDS or (name.startswith(PARAMETER) and name.removeprefix(PARAMETER).isidentifier())
            require(known, f"Tuning.space[{name}]", name, f"one of {', '.join(FIELDS)}, or {PARAMETER}NAME",
                    f"write {PARAMETER}{name} for a parameter of the module")  # fmt: skip
            require(isinstance(choice, Choice), f"Tuning.space[{name}]", choice, "Between, Whole or OneOf",
                    "write for example Between(0.0, 0.5)")  # fmt: skip
            self._require_type(name, choice)
        for name, choices in (("sampler", get_args(Sampler)), ("pruner", get_args(Pruner))):
            value = getattr(self, name)
            require(value in choices, f"Tuning.{name}", value, f"one of {', '.join(choices)}", "choose one")
        for name in ("trials", "parallel", "startup_trials"):
            value = getattr(self, name)
            require(_is(value, int) and value > 0, f"Tuning.{name}", value, "a whole number above zero", "raise it")

    def _require_type(self, name: str, choice: Choice) -> None:
        if name not in FIELDS:
            return
        kinds = (int,) if name in _COUNTS else (int, float)
        whole = name not in _COUNTS or not isinstance(choice, Between)
        fits = whole and all(_is(value, *kinds) for value in choice.ends)
        required, example = ("whole numbers", "Whole(1, 8)") if name in _COUNTS else ("numbers", "Between(0.001, 0.1)")
        require(fits, f"Tuning.space[{name}]", choice, required, f"write for example {example}")

    def require_fits(self, network: Network) -> None:
        """Refuses a space that the network cannot take.

        Raises:
            SpecError: A value makes no valid network, or the module takes no such parameter.
        """
        means = network.sequence is None or "batch_size" not in self.space
        require(means, "Tuning.space[batch_size]", "batch_size", "what a network of sequences reads",
                "leave it out: such a network has no batches of rows")  # fmt: skip
        for name, choice in self.space.items():
            for value in choice.ends:
                network.with_values({name: value})
        taken = _keywords(network.module)
        for name in (name.removeprefix(PARAMETER) for name in self.space if name.startswith(PARAMETER)):
            require(taken is None or name in taken, f"Tuning.space[{PARAMETER}{name}]", name,
                    f"a keyword of {network.module}, one of {', '.join(sorted(taken or ())) or 'none'}",
                    "correct the name, or let the module take it")  # fmt: skip

    def declared(self, network: Network) -> dict[str, Value]:
        """What the declaration, or else the module's own default, says of the space, as far as the space holds it."""
        own = {f"{PARAMETER}{name}": value for name, value in (_keywords(network.module) or {}).items()}
        told = {name: own.get(name) if (value := network.value(name)) is None else value for name in self.space}
        return {name: value for name, value in told.items() if value is not None and self.space[name].holds(value)}

    def recipe(self) -> dict[str, Any]:
        """The declaration as recipes hold it: without what only says how fast, and how many trials were asked for."""
        told = {name: value for name, value in asdict(self).items() if name not in ("parallel", "trials", "space")}
        space = {name: {"kind": type(c).__name__, **asdict(c)} for name, c in sorted(self.space.items())}
        return {**told, "space": space}


def _is(value: object, *kinds: type) -> bool:
    """Whether a value is of a kind; True and False are no numbers."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _require_range(name: str, low: object, high: object, *, log: bool, kinds: tuple[type, ...]) -> None:
    for end, value in (("low", low), ("high", high)):
        number = _is(value, *kinds) and math.isfinite(value)  # type: ignore[arg-type]
        required = "a number" if float in kinds else "a whole number"
        require(number, f"{name}.{end}", value, required, "write a number")
    require(low < high, f"{name}.low", low, f"less than high ({high})", "exchange them")  # type: ignore[operator]
    positive = not log or low > 0  # type: ignore[operator]
    require(positive, f"{name}.low", low, "above zero, since log=True", "raise it, or leave log out")


def _keywords(reference: str) -> dict[str, Value | None] | None:
    """What a module's class takes by keyword, and its plain defaults, read from its source; None where none tells."""
    module, _, name = reference.partition(":")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return None
    classes = (n for n in ast.walk(ast.parse(Path(found.origin).read_text(encoding="utf-8")))
               if isinstance(n, ast.ClassDef) and n.name == name)  # fmt: skip
    for inner in (inner for own in classes for inner in own.body):
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            given = inner.args
            before = [None] * (len(given.args) - len(given.defaults))
            defaults = zip(
                (*given.args, *given.kwonlyargs), (*before, *given.defaults, *given.kw_defaults), strict=True
            )
            taken = {argument.arg: _plain(default) for argument, default in defaults}
            told = {name: value for name, value in taken.items() if name not in ("self", "numeric", "cardinalities")}
            return None if given.kwarg else told
    return None


def _plain(default: ast.expr | None) -> Value | None:
    value = default.value if isinstance(default, ast.Constant) else None
    return value if _is(value, int, float, str, bool) else None  # type: ignore[return-value]
