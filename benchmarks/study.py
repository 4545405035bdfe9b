"""One study of trials that many workers share: each trial is claimed once, none is lost, and all see the same best.

The number of trials is settled when a study is made: so many are laid out to be claimed, and nobody adds one. Optuna's
own loop counts what each worker runs, so several workers would run more than were asked for.
"""

import hashlib
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._heartbeat import get_heartbeat_thread
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Engine, event
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from benchmarks.address import shown, sqlite_file
from benchmarks.files import explained
from benchmarks.prepare import reason
from benchmarks.taken_up import give_back, give_up, sign, take_up
from datasets.clips import UserError
from methods.base import Distribution

PLANNED = "planned"  # an attribute of a study: all its trials are laid out
REASON = "reason"  # an attribute of a trial: why it failed
PATIENCE = 30.0  # seconds after which somebody else's unfinished layout is finished
OPENINGS = 5  # attempts, for several workers may make the tables at once

Values = Mapping[str, Any]
Objective = Callable[[Values, "Watch"], float]
Watch = Callable[[float, int], None]  # a value that is known so far, and its place in the order of such values


class TuningError(UserError):
    """Nothing can be tuned, or no trial came to an end."""


@dataclass(frozen=True)
class Pulse:
    """How often a worker shows that it lives, and after how many seconds without it counts as dead."""

    every: int = 10
    dead: int = 90


@contextmanager
def opened(url: str, pulse: Pulse = Pulse()) -> Iterator[RDBStorage]:
    """The place where studies are kept, made where it is not there yet; what keeps it from being used, in one line."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = _connected(url, pulse)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, StorageInternalError, ImportError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error  # Optuna's words hide it
        if (told := explained(cause, shown(url, True))) is not cause:
            raise told from None
        raise TuningError(
            f"no studies can be kept at {shown(url, True)} ({type(error).__name__}); give an address like "
            "sqlite:///optuna.db or postgresql+psycopg2://host/name with --storage"
        ) from None


def _connected(url: str, pulse: Pulse) -> RDBStorage:
    """Several workers may make the tables at once; then all but one have to look again."""
    file = sqlite_file(url)
    options = {"connect_args": {"timeout": 120}} if file else {"pool_pre_ping": True}
    for attempt in range(1, OPENINGS + 1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # of the heartbeat
                storage = RDBStorage(url, options, heartbeat_interval=pulse.every, grace_period=pulse.dead)
            break
        except DatabaseError:
            if attempt == OPENINGS:
                raise
            time.sleep(0.2 * attempt)
    if storage.engine.dialect.name == "sqlite":  # also where a driver is named
        _one_at_a_time(storage.engine)
        busy = OperationalError, sqlite3.OperationalError  # somebody else is at it; who comes later finds it so
        with suppress(*busy), storage.engine.connect() as connection:
            connection.connection.execute("PRAGMA journal_mode = WAL")
    return storage


def _one_at_a_time(engine: Engine) -> None:
    """SQLite locks no row that is read, so two workers could claim one trial: every transaction locks the file."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections that were made without it


@dataclass(frozen=True)
class Shared:
    """A study as asked for; every worker that asks for the same shares it."""

    name: str
    trials: int
    first: Values  # the configuration as it stands: the first trial
    space: Mapping[str, Distribution]
    storage: RDBStorage

    def work(self, objective: Objective, told: Callable[[Sequence[FrozenTrial]], None], most: int = 0) -> int:
        """Run trials while there are any to claim, `most` of them if a number is given; `told` after each; how many."""
        study, done = self._study(), 0
        while (not most or done < most) and (trial := self._claimed(study)):
            done += 1
            self._run(study, trial, objective)
            told(self._trials(study))
        return done

    def wait(self, objective: Objective, told: Callable[[Sequence[FrozenTrial]], None]) -> list[FrozenTrial]:
        """Work, then wait for others' trials until each has ended or its worker counts as dead; all of them."""
        study, pause = self._study(), 0.1
        while True:
            self.work(objective, told)
            trials = self._trials(study)
            if all(trial.state.is_finished() for trial in trials):
                return trials
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
            take_up(study, self.storage)

    def known(self) -> list[FrozenTrial] | None:
        """All trials if they have ended; None if there is something to run."""
        if not (study := self._begun()):
            return None
        trials = self._trials(study)
        ended = len(trials) == self.trials and all(trial.state.is_finished() for trial in trials)
        return trials if ended else None

    @property
    def laid_out(self) -> bool:
        """Whether somebody has begun it in this store."""
        study = self._begun()
        return study is not None and PLANNED in study.user_attrs

    def _begun(self) -> optuna.Study | None:
        try:
            return optuna.load_study(study_name=self.name, storage=self.storage)
        except KeyError:
            return None

    def _study(self) -> optuna.Study:
        """Whoever makes the study lays out its trials; should that worker die meanwhile, another does the rest."""
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
        try:
            study = optuna.create_study(storage=self.storage, study_name=self.name, direction="maximize", pruner=pruner)
            return self._laid_out(study)
        except DuplicatedStudyError:
            study = optuna.load_study(study_name=self.name, storage=self.storage, pruner=pruner)
        count, since = -1, time.monotonic()
        while PLANNED not in study.user_attrs:
            if (now := len(study.get_trials(deepcopy=False))) != count:
                count, since = now, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                return self._laid_out(study)
            time.sleep(0.05)
        return study

    def _laid_out(self, study: optuna.Study) -> optuna.Study:
        for number in range(len(study.get_trials(deepcopy=False)), self.trials):
            study.enqueue_trial(dict(self.first) if number == 0 else {})
        study.set_user_attr(PLANNED, self.trials)
        return study

    def _trials(self, study: optuna.Study) -> list[FrozenTrial]:
        """By number; should two workers have laid out too many, the last are nobody's."""
        return [trial for trial in study.get_trials(deepcopy=False) if trial.number < self.trials]

    def _claimed(self, study: optuna.Study) -> Trial | None:
        """A trial that is this worker's alone; None where none waits."""
        take_up(study, self.storage)
        for waiting in self._trials(study):
            if waiting.state != TrialState.WAITING:
                continue
            number = waiting._trial_id
            try:
                self.storage.record_heartbeat(number)  # before: a worker that dies at once must be missed too
                if self.storage.set_trial_state_values(number, TrialState.RUNNING):
                    study.sampler = self._sampler(waiting.number)
                    study._thread_local.cached_all_trials = None  # as `ask` does: the sampler sees what there is now
                    return Trial(study, number)
            except UpdateFinishedTrialError:
                continue
        return None

    def _sampler(self, number: int) -> optuna.samplers.TPESampler:
        """Of a seed of its own for each trial, so that it draws alike whoever runs it and whatever was run before."""
        seed = int.from_bytes(hashlib.sha256(f"{self.name} {number}".encode()).digest()[:4])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=10, constant_liar=True)

    def _run(self, study: optuna.Study, trial: Trial, objective: Objective) -> None:
        """To an end, whatever it is; only an interruption lays the trial back."""
        with get_heartbeat_thread(trial._trial_id, self.storage):
            try:
                sign(self.storage, trial._trial_id)
                values = {name: _drawn(trial, name, where) for name, where in sorted(self.space.items())}
                study.tell(trial, *_outcome(trial, objective, values))
            except UpdateFinishedTrialError:
                return  # it was taken for dead, and is counted as failed
            except (SQLAlchemyError, StorageInternalError):  # the store's fault, not the trial's
                with suppress(SQLAlchemyError, StorageInternalError):
                    give_back(self.storage, trial._trial_id)
                raise
            except Exception as error:  # what is tried may be impossible; that must not cost the study
                give_up(self.storage, trial._trial_id, {REASON: reason(error)[:500]})
            except BaseException:
                give_back(self.storage, trial._trial_id)
                raise


def _outcome(trial: Trial, objective: Objective, values: Values) -> tuple[float | None, TrialState | None]:
    """A value, or that it was ended early."""
    try:
        return objective(values, _watch(trial)), None
    except optuna.TrialPruned:
        return None, TrialState.PRUNED


def _drawn(trial: Trial, name: str, where: Distribution) -> Any:
    match where:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, where.choices)
        case IntDistribution():
            return trial.suggest_int(name, where.low, where.high, step=where.step, log=where.log)
        case FloatDistribution():
            return trial.suggest_float(name, where.low, where.high, step=where.step, log=where.log)


def _watch(trial: Trial) -> Watch:
    """Keeps what is told; ends the trial where others were better at that point, but for the first."""
    before = trial.storage.get_trial(trial._trial_id).intermediate_values  # of one that was interrupted

    def watch(value: float, step: int) -> None:
        if step not in before:
            trial.report(value, step)
        if trial.number and trial.should_prune():
            raise optuna.TrialPruned

    return watch


def best(trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """The highest value; of equals the first, so that nothing is changed for nothing."""
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not ended:
        told = next((told for trial in trials if (told := why(trial))), "none came to an end")
        raise TuningError(f"all {len(trials)} trials failed; the first: {told}; another --storage begins anew")
    return max(ended, key=lambda trial: (trial.value, -trial.number))


def why(trial: FrozenTrial) -> str:
    """What a failed trial failed of."""
    if trial.state != TrialState.FAIL:
        return ""
    return str(trial.user_attrs.get(REASON, "its worker was lost, and the one that took it up too"))


def importances(trials: Sequence[FrozenTrial]) -> dict[str, float]:
    """How much each setting decides, by fANOVA; nothing where too few trials ended, or all alike."""
    ended = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(ended) < 4 or len({trial.value for trial in ended}) < 2:
        return {}
    study = optuna.create_study(direction="maximize")
    study.add_trials(ended)
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return {
        name: float(share)
        for name, share in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
    }
