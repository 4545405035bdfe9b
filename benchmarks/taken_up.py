"""Trials whose worker is gone are taken up once more, with the settings that they had; a second time they have failed.

Optuna would count them as failed and lay out others beside them; here a study has as many trials as were asked for.
Who runs a trial and how often it was lost stands beside it, so of several who notice at once only one lays it back.
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

from benchmarks.processes import Owner, me

WORKER = "worker"  # an attribute of a trial: the process that runs it; empty: nobody has signed yet
LOST = "lost"  # an attribute of a trial: how often its worker was gone

Seen = tuple[str, int]  # who runs a trial, and how often it was lost


def sign(storage: RDBStorage, trial: int) -> None:
    """This process runs it."""
    storage.set_trial_user_attr(trial, WORKER, _signature())


def give_back(storage: RDBStorage, trial: int) -> None:
    """This process runs it no more, and it has not ended; it is left alone where another has taken it up."""
    lost = storage.get_trial(trial).user_attrs.get(LOST, 0)
    _become(storage, trial, TrialState.WAITING, (_signature(), lost), lost)


def give_up(storage: RDBStorage, trial: int, told: Mapping[str, str]) -> None:
    """This process runs it, and it has failed; it is left alone where another has taken it up."""
    lost = storage.get_trial(trial).user_attrs.get(LOST, 0)
    _become(storage, trial, TrialState.FAIL, (_signature(), lost), lost, told)


def take_up(study: optuna.Study, storage: RDBStorage) -> None:
    """All trials that nobody runs any more."""
    for trial in _abandoned(study, storage):
        _, lost = seen = _seen(trial.user_attrs)
        _become(storage, trial._trial_id, TrialState.FAIL if lost else TrialState.WAITING, seen, lost + 1)


def _signature() -> str:
    return json.dumps(vars(me()))


def _seen(told: Mapping[str, Any]) -> Seen:
    return told.get(WORKER, ""), told.get(LOST, 0)


def _abandoned(study: optuna.Study, storage: RDBStorage) -> Iterator[FrozenTrial]:
    """By a process that is gone from this machine, or by one that has been silent for too long."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))  # first: who is judged is who was seen
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        silent = set(storage._get_stale_trial_ids(study._study_id))
    for trial in running:
        worker, _ = _seen(trial.user_attrs)
        if trial._trial_id in silent or _gone(worker):
            yield trial


def _gone(worker: str) -> bool:
    """Whether it is known to have ended; of who has not signed, or signed as older versions do, nobody can tell."""
    try:
        return bool(Owner(**json.loads(worker)).gone)
    except (ValueError, TypeError):
        return False


def _become(
    storage: RDBStorage, number: int, state: TrialState, seen: Seen, lost: int, more: Mapping[str, str] | None = None
) -> None:
    """In one transaction, and only if it runs as it was seen: perhaps another has done so, and a third has it now."""
    with Session(storage.engine) as session, session.begin():
        trial = TrialModel.find_or_raise_by_id(number, session, for_update=True)
        told = TrialUserAttributeModel.where_trial_id(number, session)
        now = _seen({str(one.key): json.loads(str(one.value_json)) for one in told})
        if trial.state != TrialState.RUNNING or now != seen:
            return
        for name, value in {WORKER: "", LOST: lost, **(more or {})}.items():
            storage._set_trial_attr_without_commit(session, TrialUserAttributeModel, number, name, value)
        trial.state = state
        if state.is_finished():
            trial.datetime_complete = datetime.now()
