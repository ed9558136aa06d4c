"""The look that the trainer takes at a network before the first epoch, on the first rows of its dataset."""

from mlops_platform.training.job import Job
from mlops_platform.training.program.asking import Questions
from mlops_platform.training.program.inputs import Rows
from mlops_platform.training.program.network import ScoringProgram, build
from mlops_platform.training.program.preflight import CHEAP, ROWS, Subject, examine
from mlops_platform.training.soundness import ModuleFinding, require_sound


def first_look(job: Job, program: ScoringProgram, cardinalities: tuple[int, ...], rows: Rows) -> list[ModuleFinding]:
    """Examines a network by the cheap checks, some milliseconds each; leaves it and every source of chance alone.

    Args:
        job: Names the module.
        program: As training begins with it, on the CPU.
        cardinalities: Of its categories.
        rows: To learn from.

    Raises:
        TrainingError: A check failed; it names the module and what of it is wrong.
    """
    module = job.network.module
    numeric, categories, label = (tensor[:ROWS] for tensor in rows.tensors)
    subject = Subject(
        make=lambda: build(module, job.parameters, numeric=len(job.numeric), cardinalities=cardinalities),
        network=program.network, cardinalities=cardinalities, learning_rate=job.network.learning_rate,
        rows=Questions(program.normaliser(numeric), categories, label, program, module),
    )  # fmt: skip
    found = examine(subject, CHEAP)
    require_sound(module, found)
    return found
