"""Which of a network's embedding tables belongs to which category: found by asking it, not by names.

The network answers a few made-up rows while its embedding modules are listened to: the one that is asked for exactly
the codes of one column is that category's. What is asked for in any other way (one table for several columns, shifted
codes, a parameter indexed by hand) belongs to none, and is never taken apart.
"""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 256
_Hook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Tensor], Tensor | None]


def tables(network: nn.Module, width: int, cardinalities: tuple[int, ...]) -> dict[str, int]:
    """Place of the category that each embedding table belongs to, by the name of its weight.

    Args:
        network: Anything of the form that declarations name; left as it is.
        width: Of its numeric input.
        cardinalities: Of its categories.
    """
    numeric, codes = _rows(width, cardinalities)
    asked: dict[str, list[Tensor | None]] = {}

    def listen(name: str) -> _Hook:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
            asked.setdefault(name, []).append(args[0] if args else kwargs.get("input"))

        return hook

    twin = copy.deepcopy(network)
    named = {name: module for name, module in twin.named_modules() if isinstance(module, nn.Embedding)}
    _answer(twin, numeric, codes, {module: listen(name) for name, module in named.items()})
    found: dict[str, int] = {}
    for name, questions in asked.items():
        places = [p for p in range(len(cardinalities)) if all(_same(question, codes[:, p]) for question in questions)]
        if len(places) == 1 and named[name].num_embeddings == cardinalities[places[0]]:
            found[f"{name}.weight"] = places[0]
    return found


def read_elsewhere(
    network: nn.Module, width: int, cardinalities: tuple[int, ...], belongs: Mapping[str, int], places: Iterable[int]
) -> list[int]:
    """Those of the places whose codes reach the answer past their own embedding tables.

    Args:
        network: With learned weights, since fresh ones may be zero and hide it; left as it is.
        width, cardinalities, belongs: As ``tables`` has them.
        places: Of the categories in question.
    """
    numeric, codes = _rows(width, cardinalities)
    found = []
    for place in places:
        twin = copy.deepcopy(network)
        silent = {
            twin.get_submodule(name.removesuffix(".weight")): _zeros for name, own in belongs.items() if own == place
        }
        other = codes.clone()
        other[:, place] = codes[:, place].flip(0)
        if not torch.equal(_answer(twin, numeric, codes, silent), _answer(twin, numeric, other, silent)):
            found.append(place)
    return found


def _rows(width: int, cardinalities: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Rows of chance numbers and codes, always the same."""
    chance = torch.Generator().manual_seed(0)
    numeric = torch.randn(_ROWS, width, generator=chance)
    columns = [torch.randint(0, codes, (_ROWS,), generator=chance) for codes in cardinalities]
    return numeric, torch.stack(columns, dim=1) if columns else torch.empty(_ROWS, 0, dtype=torch.int64)


def _answer(network: nn.Module, numeric: Tensor, codes: Tensor, hooks: Mapping[nn.Module, _Hook]) -> Tensor:
    with ExitStack() as held, torch.inference_mode(), torch.random.fork_rng(devices=[]):
        for module, hook in hooks.items():
            held.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
        answer: Tensor = network.eval()(numeric, codes)
        return answer


def _zeros(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
    return torch.zeros_like(output)


def _same(question: Tensor | None, column: Tensor) -> bool:
    return question is not None and torch.equal(question.flatten(), column)
