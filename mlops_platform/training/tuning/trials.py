"""How the trials of a study are run: some programs side by side, each talking with the study.

A program does one trial after the other, since starting one costs more than a small trial does. It is the training
program, started by the model's launcher on leased devices as any training is. One that dies is started again, as long
as the study has trials to begin.
"""

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_platform.errors import KilledError, TrainingError
from mlops_platform.training.job import Job
from mlops_platform.training.tuning.dialogue import Dialogue
from mlops_platform.training.tuning.record import Trial, line
from mlops_platform.training.tuning.study import Study

if TYPE_CHECKING:
    import optuna

Slot = Callable[[Callable[[], bool]], AbstractContextManager[bool]]
watchers: list[Callable[[Study, Trial], None]] = []
"""Who hears of each trial that ends, such as a terminal."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """What it takes to run programs.

    Attributes:
        job: The training without its values: any trial's but for its network.
        folder: Of the dialogues; everything in it is removed before and after.
        run: Runs the training program on a job's file to its end; raises as the launchers do.
        slot: Waits for the right to run a further program beside the first, as long as it is told that one is wanted;
            False where it never came.
        say: Hears what happens, in words.
    """

    job: Job
    folder: Path
    run: Callable[[Path], object]
    slot: Slot
    say: Callable[[str], None]


def run_study(study: Study, programs: Programs, *, parallel: int) -> None:
    """Does trials until the study has all that are wanted.

    Args:
        study: Open.
        programs: What runs them.
        parallel: How many programs at most.

    Raises:
        TrainingError: A program refused the job or failed; what was done until then stands in the study.
    """
    shutil.rmtree(programs.folder, ignore_errors=True)
    programs.folder.mkdir(parents=True)
    ended = threading.Event()
    with ThreadPoolExecutor(parallel, thread_name_prefix="trials") as threads:
        beside = [threads.submit(_beside, study, programs, ended) for _ in range(1, parallel)]
        # The first one runs in this thread, where a cancelled run or Ctrl-C is told.
        _work(study, programs, ended)
    for future in beside:
        future.result()
    shutil.rmtree(programs.folder)


def _beside(study: Study, programs: Programs, ended: threading.Event) -> None:
    with programs.slot(lambda: study.is_open and not ended.is_set()) as granted:
        if granted:
            _work(study, programs, ended)


def _work(study: Study, programs: Programs, ended: threading.Event) -> None:
    """Starts a program as long as there is a trial to begin."""
    try:
        while study.is_open and not ended.is_set():
            folder = programs.folder / uuid.uuid4().hex
            folder.mkdir()
            path = replace(programs.job, trials=folder, output=folder).write(folder / "job.json")
            with _answering(_Answers(study, programs, Dialogue(folder), ended)):
                programs.run(path)
    except BaseException:
        ended.set()
        raise


class _Answers:
    """The study's side of one dialogue."""

    def __init__(self, study: Study, programs: Programs, talk: Dialogue, ended: threading.Event) -> None:
        self.study, self.programs, self.talk, self.ended = study, programs, talk, ended
        self.gone = threading.Event()
        self.at_work: optuna.Trial | None = None

    def answer(self) -> None:
        """Asks for trials and answers epochs until there are no more trials, or the program is gone."""
        try:
            place = 0
            while (trial := self.study.ask()) is not None:
                self.at_work = trial
                told = self.study.known(trial)
                if told is None:
                    told = self._follow(place, trial)
                    place += 1
                if told is None:
                    return
                done = self.study.tell(trial, told["state"], told.get("why"))
                self.at_work = None
                self._show(done)
            self.talk.say(f"order-{place}", {})
        except BaseException:
            self.talk.stop()
            raise

    def account(self, error: TrainingError | None) -> None:
        """Accounts for the trial that a program left behind, which is done again where the program was killed."""
        if self.at_work is not None:
            again = error is None or isinstance(error, KilledError) or self.ended.is_set()
            done = self.study.died(self.at_work, error.found if error else "its program ended", again=again)
            if done is not None:
                self._show(done)

    def _follow(self, place: int, trial: "optuna.Trial") -> dict[str, Any] | None:
        """Follows one trial to its result; None where the program went first."""
        job = self.programs.job
        folder = self.talk.folder / f"trial-{place}"
        folder.mkdir()
        order = replace(job, network=job.network.with_values(trial.params), output=folder)
        self.talk.say(f"order-{place}", {"number": trial.number, "job": str(order.write(folder / "job.json"))})
        for epoch in count():
            told, name = self.talk.first(f"result-{place}", f"epoch-{place}-{epoch}", until=self._is_over)
            if told is None:
                self.talk.stop()
                return None
            if name.startswith("result"):
                return told
            prune = self.study.report(trial, epoch, told["validation_loss"])
            self.talk.say(f"answer-{place}-{epoch}", {"prune": prune})
        raise AssertionError("count() ends never")

    def _is_over(self) -> bool:
        return self.gone.is_set() or self.ended.is_set()

    def _show(self, trial: Trial) -> None:
        self.programs.say(line(trial, of=self.study.wanted, best=self.study.best()))
        for watch in watchers:
            watch(self.study, trial)


@contextmanager
def _answering(answers: _Answers) -> Iterator[None]:
    """Answers a program beside the block that runs it; one that was killed is no error, since another follows."""
    error: TrainingError | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="study") as thread:
        talking = thread.submit(answers.answer)
        try:
            yield
        except TrainingError as raised:
            error = raised
        finally:
            answers.gone.set()
    talking.result()
    answers.account(error)
    if isinstance(error, KilledError):
        answers.programs.say(f"a program of trials died: {error.found}")
    elif error is not None and not answers.ended.is_set():
        raise error
