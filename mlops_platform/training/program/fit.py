"""The work of the training program: a job in, a checkpoint's files out, the same bytes whenever the job is the same."""

import copy
import logging
import random
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import pytorch_lightning as lightning
import safetensors.torch
import torch

from mlops_platform.errors import TrainingError
from mlops_platform.manifest import canonical_json
from mlops_platform.scoring import PROGRAM, SCORING, Encoding
from mlops_platform.scoring.parity import PARITY
from mlops_platform.scoring.torch_archive import ARCHIVE
from mlops_platform.training.attempts import Attempt
from mlops_platform.training.job import Job
from mlops_platform.training.program.export import export, largest_difference
from mlops_platform.training.program.finite import FiniteSaves, naming_the_save
from mlops_platform.training.program.first_look import first_look
from mlops_platform.training.program.goodput import Ledger, Parts, Watched
from mlops_platform.training.program.inputs import Rows, read_splits
from mlops_platform.training.program.learner import Learner
from mlops_platform.training.program.loader import OrderedBatches, ShuffledBatches
from mlops_platform.training.program.network import Normaliser, ScoringProgram, build
from mlops_platform.training.program.objective import objective_of, program_of
from mlops_platform.training.program.parity import compare
from mlops_platform.training.program.pieces import VALIDATION_BATCH, fitting_memory, in_pieces
from mlops_platform.training.program.pulse import PULSE
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.recurrent import CLIP
from mlops_platform.training.program.saver import Saver
from mlops_platform.training.program.sequences import SequenceRows, Windows, read_sequences, windows
from mlops_platform.training.program.sharing import learner_of
from mlops_platform.training.program.start import warm
from mlops_platform.training.program.stepping import OneStep, carrying, require_form
from mlops_platform.training.program.steps import Steps
from mlops_platform.training.program.strategy import launched, trainer_options
from mlops_platform.training.record import CURVES, TRAINING, WEIGHTS, Epoch, Training, WarmStart, curves_json
from mlops_platform.training.soundness import SOUNDNESS, soundness_json


@dataclass(frozen=True)
class Timing:
    """How long it took; varies, so it is in no file.

    Attributes:
        read_seconds, fit_seconds, export_seconds: Wall time of the three parts.
        rows_per_second: Training rows of this process over the time of the fit, its validations included.
        attempts: All attempts at the training, the last one this, see ``Attempt``.
        saves: How many were taken, and their cost, see ``Saver.figures``; nothing where none were asked for.
    """

    read_seconds: float
    fit_seconds: float
    export_seconds: float
    rows_per_second: float
    attempts: tuple[Attempt, ...]
    saves: Mapping[str, float] = field(default_factory=dict)


def train(
    job: Job, report: Callable[[Epoch], None], say: Callable[[str], None] = print
) -> tuple[Training, Timing] | None:
    """Trains, exports, compares, and only then writes the checkpoint's files.

    Args:
        job: What to train.
        report: Hears of each epoch.
        say: Hears of everything else that people want to know.

    Returns:
        Facts and times; None in all but the first of several processes.

    Raises:
        InputError: A declared column is missing or of a wrong type.
        CorruptArtifactError: The checkpoint to begin from is damaged.
        TrainingError: Nothing can be learnt from the rows or taken from the checkpoint to begin from, the network is
            not sound or cannot be exported, the loss is no number, or the export differs.
        StoppedError: It was asked to stop, and is saved.
    """
    with Ledger(job) as ledger:
        return _trained(job, report, say, ledger)


def _trained(
    job: Job, report: Callable[[Epoch], None], say: Callable[[str], None], ledger: Ledger
) -> tuple[Training, Timing] | None:
    _prepare(job)
    begun = time.perf_counter()
    rank = launched(job.device)
    read_rows = read_sequences if job.network.sequence else read_splits
    encoding, rows, validation = read_rows(job, sharing=rank.together)
    read = time.perf_counter()
    program, begun_from = _begin(job, encoding, rows)
    sound = first_look(job, program, encoding.cardinalities, rows)
    # Training may leave a sharded or compiled network.
    scorer = copy.deepcopy(program)
    learner, steps, saver = _fit(job, program, rows, validation, report, rank, ledger, say)
    fitted = time.perf_counter()
    if rank.number > 0:
        return None
    PULSE.phase("the export")
    ledger.enter("export")
    scorer.load_state_dict(learner.best)
    scorer.float().eval()
    whole = OneStep(scorer) if job.network.sequence else scorer
    encoding = carrying(scorer, encoding, job.network) if job.network.sequence else encoding
    exported = export(whole, validation, job.network.module)
    difference = largest_difference(whole, encoding, exported.onnx, validation)
    compared = compare(job, whole, encoding, exported.onnx, exported.archive) if job.holdout is not None else None
    training = replace(
        _describe(job, learner, steps, rows, validation, difference), warm_start=begun_from, **in_pieces(job)
    )
    files = {
        WEIGHTS: _weights(scorer),
        PROGRAM: exported.onnx,
        ARCHIVE: exported.archive,
        SCORING: canonical_json(encoding.to_json()),
        CURVES: canonical_json(curves_json(learner.curves)),
        TRAINING: canonical_json(training.to_json()),
        SOUNDNESS: canonical_json(soundness_json(sound)),
        **({PARITY: canonical_json(compared.to_json())} if compared is not None else {}),
    }
    for name, data in files.items():
        (job.output / name).write_bytes(data)
    if saver is not None:
        saver.finish()
    saves = saver.figures() if saver is not None else {}
    speed = len(rows) * job.network.epochs * (steps - ledger.begun) / steps / (fitted - read)
    export_seconds = time.perf_counter() - fitted
    return training, Timing(read - begun, fitted - read, export_seconds, speed, ledger.close(), saves)


def _prepare(job: Job) -> None:
    device = job.device
    if device.accelerator == "cuda" and not torch.cuda.is_available():
        raise TrainingError(
            required="a CUDA device that torch can use", found=f"torch {torch.__version__}, which sees none",
            remedy="install a CUDA build of torch, or declare Compute(accelerator='cpu')",
        )  # fmt: skip
    torch.set_num_threads(device.threads)
    torch.use_deterministic_algorithms(True)
    random.seed(job.network.seed)
    np.random.seed(job.network.seed % 2**32)
    torch.manual_seed(job.network.seed)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # Lightning 2.6.6 asks torch 2.13 about a class that torch is about to retire.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)


def _begin(job: Job, encoding: Encoding, rows: Rows) -> tuple[ScoringProgram, WarmStart | None]:
    """The scorer as training begins with it, and what it has of an earlier checkpoint."""
    recipe = job.network
    network = build(recipe.module, job.parameters, numeric=len(job.numeric), cardinalities=encoding.cardinalities)
    require_form(network, recipe)
    program = program_of(job.task, Normaliser.of(rows.finite()), network, rows.label)
    return program, warm(program, encoding, job.start) if job.start is not None else None


def _fit(
    job: Job, program: ScoringProgram, rows: Rows, validation: Rows, report: Callable[[Epoch], None],
    rank: Rank, ledger: Ledger, say: Callable[[str], None],
) -> tuple[Learner, int, Saver | None]:  # fmt: skip
    recipe, device = job.network, job.device
    batches, late = _batches(job, rows, validation, rank)
    learner, steps = learner_of(job, program, batches, report, rank), recipe.epochs * len(batches)
    saver = Saver(job, batches, steps, ledger, say) if job.saves is not None else None
    options = trainer_options(device, rank)
    options["plugins"] = [*options.get("plugins", []), *(saver.plugins if saver else [])]
    trainer = lightning.Trainer(
        max_epochs=recipe.epochs, accelerator=device.accelerator, devices=device.devices,
        precision=cast(Any, device.precision), deterministic=True,
        gradient_clip_val=CLIP if learner.automatic_optimization else None,
        num_sanity_val_steps=0, use_distributed_sampler=False, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[Parts(ledger), Steps(PULSE), FiniteSaves(), *([saver] if saver else [])], **options,
    )  # fmt: skip
    with fitting_memory(job), naming_the_save(job):
        trainer.fit(learner, Watched(batches, ledger), late, ckpt_path=saver.path if saver else None)
    return learner.cpu(), steps, saver


def _batches(
    job: Job, rows: Rows, validation: Rows, rank: Rank
) -> tuple[ShuffledBatches | Windows, OrderedBatches | Windows]:
    """This process's parts of the training's batches, and of those of its validations."""
    recipe = job.network
    if isinstance(rows, SequenceRows) and isinstance(validation, SequenceRows):
        return windows(recipe, rows, validation)
    place = {"rank": rank.number, "world": rank.world}
    batches = ShuffledBatches(rows.tensors, batch_size=recipe.batch_size, seed=recipe.seed, ahead=rows.path is not None,
                              **place)  # fmt: skip
    return batches, OrderedBatches(validation.tensors, batch_size=VALIDATION_BATCH // job.pieces, **place)


def _weights(program: ScoringProgram) -> bytes:
    # Cloned, for safetensors refuses tensors that share memory, as tied weights do.
    return safetensors.torch.save({name: value.clone().contiguous() for name, value in program.state_dict().items()})


def _describe(job: Job, learner: Learner, steps: int, rows: Rows, validation: Rows, difference: float) -> Training:
    best = min(learner.curves, key=lambda epoch: epoch.validation_loss)
    constant = objective_of(learner.program).constant_loss(rows.known_label, validation.known_label)
    return Training(
        epochs=job.network.epochs, steps=steps, best_epoch=best.epoch, seed=job.network.seed,
        parameters=sum(weight.numel() for weight in learner.program.parameters()),
        train_rows=len(rows), validation_rows=len(validation), train_loss=learner.curves[-1].train_loss,
        validation_loss=best.validation_loss, validation_auc=best.validation_auc, validation_mae=best.validation_mae,
        constant_loss=constant, export_max_difference=difference,
    )  # fmt: skip
