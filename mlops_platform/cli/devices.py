"""The devices of this machine in ``mlops status``: which there are, and which training holds which."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.console import Console

from mlops_platform.cli.context import plural
from mlops_platform.cli.words import ranges
from mlops_platform.resources.devices import DeviceState


def plain_devices(found: Sequence[DeviceState]) -> list[dict[str, Any]]:
    """The devices as JSON has them."""
    return [asdict(state) for state in found]


def show_devices(shown: Console, found: Sequence[DeviceState]) -> None:
    """Prints a line a GPU, one for all processors, and one for each training that holds some of those."""
    shown.print("\ndevices", style="bold")
    for state in (each for each in found if each.kind == "cuda"):
        held = f"[yellow]held by {state.holder}[/]" if state.holder else "[green]free[/]"
        shown.print(f"  cuda {state.index}  {state.model}  {held}", soft_wrap=True)
    processors = [each for each in found if each.kind == "cpu"]
    free = sum(each.holder is None for each in processors)
    shown.print(f"  cpu     {plural(len(processors), 'processor')} ({processors[0].model}), {free} free")
    held_ones = sorted((each for each in processors if each.holder), key=lambda each: str(each.holder))
    for holder, states in groupby(held_ones, key=lambda each: each.holder):
        numbers = ranges(sorted(int(each.index) for each in states))
        shown.print(f"  cpu {numbers:<3} [yellow]held by {holder}[/]", soft_wrap=True)
