"""Folds worked on side by side: through joblib, one thread a fit, with the same results wherever they run."""

from __future__ import annotations

import importlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any, Literal, get_args

import joblib
import pandas as pd
from tqdm.auto import tqdm

from medn_lab.data.protocols import Fold
from medn_lab.evaluate.fold_store import FoldOutcome, FoldStore
from medn_lab.evaluate.shared_clips import SharedClips
from medn_lab.model.inputs import torch_threads
from medn_lab.records import Predictions

Backend = Literal["loky", "threading", "dask", "ray"]

Task = Callable[[SharedClips, Fold], tuple[Mapping[str, Predictions], pd.DataFrame]]
"""What is done with a fold: predictions of its held-out clips by rule, and the training's epochs."""

_NEEDS = {
    "dask": ("distributed", "pip install 'dask[distributed]'", "from dask.distributed import Client; Client()"),
    "ray": ("ray", "pip install ray", "import ray; ray.init()"),
}
"""What the optional backends import, how it is installed, and how it is started."""

_ONE_AT_A_TIME = threading.Lock()
"""Threads of one process share torch's random state: two fits at once would take numbers from each other."""


def run_folds(
    task: Task,
    clips: SharedClips,
    folds: Sequence[Fold],
    *,
    n_jobs: int,
    backend: Backend,
    store: FoldStore | None,
    progress: bool,
) -> list[FoldOutcome]:
    """Work on every fold that is not finished yet.

    Parameters
    ----------
    task : callable
        Must be found by name when it is unpickled.
    clips : SharedClips
    folds : sequence of Fold
    n_jobs : int
        Folds at once, as joblib counts: -1 for one a core. ``dask`` and ``ray`` use what their cluster has.
    backend : {"loky", "threading", "dask", "ray"}
    store : FoldStore, optional
        Where finished folds are kept and looked for.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    list of FoldOutcome
        In the order of `folds`.

    Raises
    ------
    ValueError
        If the backend is unknown or not installed, or dask has no client.

    Warns
    -----
    UserWarning
        What the folds warned of, each sentence once.
    """
    check_backend(backend)
    stored = {n: store.load(n) for n in range(len(folds))} if store is not None else {}
    outcomes = {n: outcome for n, outcome in stored.items() if outcome is not None}
    todo = [n for n in range(len(folds)) if n not in outcomes]
    bar = tqdm(total=len(folds), initial=len(outcomes), desc="folds", unit="fold", disable=not progress)
    with bar:
        for number, outcome in _results(task, clips, folds, todo=todo, n_jobs=n_jobs, backend=backend):
            if store is not None and not outcome.error:
                store.save(number, outcome)
            outcomes[number] = outcome
            failed = sum(bool(done.error) for done in outcomes.values())
            bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
            bar.update()
    for note in dict.fromkeys(note for outcome in outcomes.values() for note in outcome.notes):
        warnings.warn(note, UserWarning, stacklevel=4)
    return [outcomes[n] for n in range(len(folds))]


def check_backend(backend: str) -> None:
    """Raise ValueError unless the backend is one of ours and what it needs is installed."""
    if backend not in get_args(Backend):
        raise ValueError(f"no backend {backend!r}; there are {', '.join(get_args(Backend))}")
    module, install, start = _NEEDS.get(backend, ("", "", ""))
    try:
        if module:
            importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"the backend {backend!r} needs {module}, which is not installed: run {install}, start it"
            f" ({start}), and call again; loky needs nothing"
        ) from error


def _results(
    task: Task, clips: SharedClips, folds: Sequence[Fold], *, todo: list[int], n_jobs: int, backend: Backend
) -> Iterator[tuple[int, FoldOutcome]]:
    """Number and outcome of each fold, as they come in."""
    if not todo:
        return
    parallel, wave = _parallel(backend, n_jobs, clips)
    waiting = list(todo)
    for start in range(0, len(todo), wave or len(todo)):
        chosen = todo[start : start + wave] if wave else todo
        results = parallel(joblib.delayed(run_fold)(task, clips, folds[n], n) for n in chosen)
        try:
            for number, outcome in results:
                waiting.remove(number)
                yield number, outcome
        except BrokenExecutor as error:
            said = (
                f"a worker process was killed, mostly for want of memory ({type(error).__name__}); a smaller n_jobs"
                " needs less, and with a folder the finished folds are kept"
            )
            yield from ((number, FoldOutcome(error=said)) for number in waiting)
            return
        finally:
            if hasattr(results, "close"):
                results.close()


def _parallel(backend: Backend, n_jobs: int, clips: SharedClips) -> tuple[joblib.Parallel, int]:
    """The workers, and how many folds to hand them at once; 0 for all.

    Ray's pool gives nothing back before all is done, so that it is handed one round of folds after another.
    """
    if backend == "ray":
        importlib.import_module("ray.util.joblib").register_ray()
    settings: dict[str, Any] = {"loky": {"inner_max_num_threads": 1}, "dask": {"scatter": [clips]}}
    returned = "list" if backend == "ray" else "generator_unordered"
    with joblib.parallel_config(backend=backend, n_jobs=n_jobs, **settings.get(backend, {})):
        parallel = joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as=returned)
        return parallel, joblib.effective_n_jobs(n_jobs) if backend == "ray" else 0


def run_fold(task: Task, clips: SharedClips, fold: Fold, number: int) -> tuple[int, FoldOutcome]:
    """One fold, in whatever process: on one thread, alone in its process, its fault told and not raised.

    Parameters
    ----------
    task : callable
    clips : SharedClips
    fold : Fold
    number : int
        Given back, because outcomes come in any order.

    Returns
    -------
    number : int
    outcome : FoldOutcome
    """
    # One thread, so that sums are taken in the same order wherever a fold runs.
    with _ONE_AT_A_TIME, torch_threads(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.perf_counter()
        try:
            predictions, epochs = task(clips, fold)
        except Exception as error:  # Whatever goes wrong in one fold must not end the others.
            return number, FoldOutcome(error=_sentence(error), seconds=time.perf_counter() - began)
        seconds = time.perf_counter() - began
    notes = dict.fromkeys(str(note.message) for note in caught if note.category is UserWarning)
    return number, FoldOutcome(predictions, epochs, seconds, notes=tuple(notes))


def _sentence(error: Exception) -> str:
    told = " ".join(str(error).split())
    return told if type(error) is ValueError and told else f"{type(error).__name__}: {told}".rstrip(": ")
