"""The door to Optuna: a study in the home's database, which a kill at any moment leaves ready to go on.

Whoever opens a study is alone with it (the station holds a lock), so a trial that is still running in the database is
one whose process died: it is failed there, and its values are asked for again before any new ones. The sampler is
seeded by how many trials are done or at work, not by how often it was started. So one trial at a time, a study that was
killed and continued proposes what an undisturbed one would have proposed; and trials side by side differ.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlops_platform.spec.network import Value
from mlops_platform.spec.tuning import Between, Choice, OneOf, Tuning
from mlops_platform.training.tuning.record import Trial, best_of

if TYPE_CHECKING:
    import optuna

_DIED, _FOR, _STATE, _WHY, _BEGUN = "died_before", "again_for", "state", "why", "begun"
_MOST_DEATHS = 3
_WAIT_SECONDS = 60


class Study(AbstractContextManager["Study"]):
    """A study, open in this process and in no other; its methods may be called from several threads.

    Attributes:
        name: In the database.
    """

    def __init__(self, database: Path, name: str, tuning: Tuning, *, trials: int, epochs: int,
                 first: Sequence[Mapping[str, Value]] = (), until: float | None = None) -> None:  # fmt: skip
        """Opens a study, or begins it.

        Args:
            database: An SQLite file.
            name: Of the study.
            tuning: Space, sampler and pruner.
            trials: How many are wanted in all.
            epochs: Most that a trial may take.
            first: Values to try before any others, where the study begins.
            until: ``time.monotonic()`` after which no further trial begins.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._storage = _storage(database)
        self.name, self._tuning, self._wanted, self._until = name, tuning, trials, until
        self._lock = threading.RLock()
        self._study = optuna.create_study(storage=self._storage, study_name=name, direction="minimize",
                                          pruner=_pruner(tuning, epochs), load_if_exists=True)  # fmt: skip
        self._space = {name: _distribution(choice) for name, choice in sorted(tuning.space.items())}
        if _BEGUN not in self._study.user_attrs:
            for parameters in first:
                self._study.enqueue_trial(dict(parameters), skip_if_exists=True)
            self._study.set_user_attr(_BEGUN, True)
        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            self._again(trial.number, "the process that had asked for it died")

    def __exit__(self, *raised: object) -> None:
        """Closes the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @property
    def wanted(self) -> int:
        """How many trials are wanted in all."""
        return self._wanted

    def trials(self) -> tuple[Trial, ...]:
        """The trials that are done, no more than wanted: an earlier wish may have been for more."""
        with self._lock:
            done = [trial for trial in self._study.get_trials(deepcopy=False) if _counts(trial)]
        return tuple(_told(number, trial) for number, trial in enumerate(done[: self._wanted]))

    def best(self) -> Trial | None:
        """The best one so far."""
        trials = self.trials()
        return best_of(trials) if any(trial.value is not None for trial in trials) else None

    @property
    def is_open(self) -> bool:
        """Whether there is a trial to begin."""
        return self._begun() < self._wanted and (self._until is None or time.monotonic() < self._until)

    def ask(self) -> "optuna.Trial | None":
        """A trial to do, marked as running; None where there is none to begin."""
        with self._lock:
            if not self.is_open:
                return None
            self._study.sampler = _sampler(self._tuning, self._begun())
            return self._study.ask(self._space)

    def _begun(self) -> int:
        """How many trials are done or at work."""
        with self._lock:
            trials = self._study.get_trials(deepcopy=False)
            return sum(_counts(trial) or trial.state.name == "RUNNING" for trial in trials)

    def known(self, trial: "optuna.Trial") -> dict[str, str] | None:
        """The result of a trial whose very values were tried before, and would come to the same; None where not."""
        with self._lock:
            same = next((t for t in self.trials() if t.state == "complete" and t.parameters == trial.params), None)
            for epoch, loss in enumerate(same.losses if same else ()):
                trial.report(loss, epoch)
        return {"state": "complete", "why": f"as trial {same.number + 1}"} if same else None

    def report(self, trial: "optuna.Trial", epoch: int, loss: float) -> bool:
        """Notes an epoch's validation loss; True where the trial is to be pruned."""
        with self._lock:
            trial.report(loss, epoch)
            return bool(trial.should_prune())

    def tell(self, trial: "optuna.Trial", state: str, why: str | None) -> Trial:
        """Ends a trial as complete, pruned or refused, which to the sampler is as pruned at once."""
        from optuna.trial import TrialState

        with self._lock:
            for name, told in ((_STATE, state), (_WHY, why)):
                trial.set_user_attr(name, told)
            if state == "complete":
                losses = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
                self._study.tell(trial, min(losses.values()))
            else:
                self._study.tell(trial, state=TrialState.PRUNED)
            return self._done(trial.number)

    def died(self, trial: "optuna.Trial", why: str, *, again: bool) -> Trial | None:
        """Ends a trial whose program ended without a word.

        Args:
            trial: Which.
            why: How.
            again: Whether its values are worth another try; after some tries they are not.

        Returns:
            The trial, where it is not tried again.
        """
        with self._lock:
            self._again(trial.number, why, most=_MOST_DEATHS if again else 0)
            return self._done(trial.number) if _counts(self._study.get_trials(deepcopy=False)[trial.number]) else None

    def _done(self, number: int) -> Trial:
        trials = self._study.get_trials(deepcopy=False)
        return _told(sum(_counts(trial) for trial in trials[:number]), trials[number])

    def _again(self, number: int, why: str, *, most: int = _MOST_DEATHS) -> None:
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False)
        frozen, deaths = trials[number], trials[number].user_attrs.get(_DIED, 0) + 1
        if deaths >= most:
            for name, told in ((_STATE, "died"), (_WHY, why)):
                self._storage.set_trial_user_attr(frozen._trial_id, name, told)
        elif all(trial.user_attrs.get(_FOR) != number for trial in trials):
            # Queued before it is failed: a kill between the two leaves it running and queued, which is seen above.
            parameters = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
            self._study.enqueue_trial(parameters, user_attrs={_DIED: deaths, _FOR: number})
        self._study.tell(number, state=TrialState.FAIL)


def _storage(database: Path) -> "optuna.storages.RDBStorage":
    """The database; with a write-ahead log it survives a kill at any moment without waiting for the disk each time."""
    import optuna
    import sqlalchemy

    database.parent.mkdir(parents=True, exist_ok=True)
    patient = {"connect_args": {"timeout": _WAIT_SECONDS}}
    storage = optuna.storages.RDBStorage(f"sqlite:///{database}", engine_kwargs=patient)

    def begin(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    sqlalchemy.event.listen(storage.engine, "connect", begin)
    storage.engine.dispose()
    return storage


def _counts(trial: "optuna.trial.FrozenTrial") -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or trial.user_attrs.get(_STATE) == "died"


def _told(number: int, trial: "optuna.trial.FrozenTrial") -> Trial:
    state = trial.user_attrs.get(_STATE, "complete" if trial.state.name == "COMPLETE" else "pruned")
    losses = tuple(loss for _, loss in sorted(trial.intermediate_values.items()))
    return Trial(number=number, state=state, parameters=dict(trial.params), losses=losses,
                 why=trial.user_attrs.get(_WHY))  # fmt: skip


def _sampler(tuning: Tuning, begun: int) -> "optuna.samplers.BaseSampler":
    import optuna

    seed = tuning.seed * 1_000_003 + begun
    if tuning.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=tuning.startup_trials)


def _pruner(tuning: Tuning, epochs: int) -> "optuna.pruners.BasePruner":
    import optuna

    if tuning.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=tuning.startup_trials)
    if tuning.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    return optuna.pruners.NopPruner()


def _distribution(choice: Choice) -> Any:
    import optuna

    if isinstance(choice, OneOf):
        return optuna.distributions.CategoricalDistribution(cast(Any, choice.values))
    if isinstance(choice, Between):
        return optuna.distributions.FloatDistribution(choice.low, choice.high, log=choice.log)
    return optuna.distributions.IntDistribution(choice.low, choice.high, log=choice.log)
