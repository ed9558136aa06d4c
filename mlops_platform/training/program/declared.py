"""All checks of a declared model's module, without a training: on the first rows of its dataset, or on made-up ones."""

from pathlib import Path

import polars as pl
import torch
from torch import nn

from mlops_platform.scoring import Encoding
from mlops_platform.spec import Forecast, Model, Project
from mlops_platform.training.job import LABEL
from mlops_platform.training.program.asking import Questions, invented, made_up
from mlops_platform.training.program.inputs import Rows
from mlops_platform.training.program.labels import read_labels
from mlops_platform.training.program.network import Normaliser, build
from mlops_platform.training.program.objective import program_of
from mlops_platform.training.program.preflight import ALL, ROWS, Subject, examine
from mlops_platform.training.soundness import ModuleFinding

_ENOUGH = 10_000


def examined(project: Project, model: Model, *, cardinalities: tuple[int, ...] | None = None,
             train: Path | None = None) -> list[ModuleFinding]:  # fmt: skip
    """Examines a module by every check; takes some hundredths of a second for a small one.

    Args:
        project: That declares the model.
        model: That names the module.
        cardinalities: Number of codes of each category of made-up rows; None: few for the first, some for the next,
            then very many.
        train: Parquet file of training rows, whose first ones the module is asked; None for made-up rows.

    Raises:
        InputError: A declared column is missing in the file, or of a wrong type.
        TrainingError: The module cannot be built, or nothing can be learnt from the rows.
    """
    recipe, numeric = model.network, project.numeric_columns(model)
    codes = invented(len(model.categories)) if cardinalities is None else cardinalities
    parameters = {**recipe.parameters, **model.task.arguments}
    real = None
    if train is not None:
        codes, real = _read(model, numeric, train)

    def make() -> nn.Module:
        return build(recipe.module, parameters, numeric=len(numeric), cardinalities=codes)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = make()
        rows = _made_up(model, network, len(numeric), codes) if real is None else _first(model, network, real)
        subject = Subject(make=make, network=network, rows=rows, cardinalities=codes,
                          learning_rate=recipe.learning_rate)  # fmt: skip
        return examine(subject, ALL)


def _made_up(model: Model, network: nn.Module, columns: int, codes: tuple[int, ...]) -> Questions:
    task = model.task
    # Two labels of each step, minus one and one: a mean of 0 and a deviation of 1.
    label = torch.tensor([-1.0, 1.0]).unsqueeze(1).repeat(1, task.horizon if isinstance(task, Forecast) else 1)
    program = program_of(task, Normaliser(torch.zeros(columns), torch.ones(columns)), network, label)
    return made_up(program, model.network.module, codes, ROWS)


def _first(model: Model, network: nn.Module, rows: Rows) -> Questions:
    program = program_of(model.task, Normaliser.learn(rows.numeric), network, rows.label)
    numeric, categories, label = (tensor[:ROWS] for tensor in rows.tensors)
    return Questions(program.normaliser(numeric), categories, label, program, model.network.module)


def _read(model: Model, numeric: tuple[str, ...], train: Path) -> tuple[tuple[int, ...], Rows]:
    """Number of codes of each category in all of a file, and its first rows."""
    frame = pl.scan_parquet(train)
    head = frame.head(_ENOUGH).collect()
    vocabularies = Encoding.learn(frame.select(model.categories).collect(), (), model.categories, {}).vocabularies
    encoding = Encoding(numeric, vocabularies)
    numbers, codes = encoding.encode(head)
    label = read_labels(model.task, head[LABEL], "train")
    return encoding.cardinalities, Rows(torch.from_numpy(numbers), torch.from_numpy(codes), torch.from_numpy(label))
