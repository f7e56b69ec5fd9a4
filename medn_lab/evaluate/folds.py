"""The folds of a cross-validation: the plan, the training of one fold, the finished folds on disk, and the workers."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

import medn_lab
from medn_lab.data.protocols import PROTOCOLS, Fold, ProtocolName, to_classes
from medn_lab.evaluate.prediction import predict
from medn_lab.model import MEDN, MEDNConfig, check_clips
from medn_lab.model.inputs import torch_threads
from medn_lab.records import Clips, Predictions, atomic_write, check_label, people, sha256_of_file
from medn_lab.train import Callback, History, TrainConfig, fit

LAST = "last_epoch"

UnseenClasses = Literal["wrong", "leave_out"]
"""What becomes of a clip whose class no training clip of its fold has."""

Split = Callable[[pd.DataFrame], Sequence[Fold]]
"""Makes the folds of a table."""


class FoldOptions(TypedDict, total=False):
    """The options of every cross-validation, as :func:`medn_lab.evaluate.evaluate_loso` describes them."""

    protocol: ProtocolName | None
    label: str
    training: TrainConfig | None
    unseen_classes: UnseenClasses
    n_jobs: int | None
    folder: str | os.PathLike[str] | None
    progress: bool


@dataclass(frozen=True, eq=False)
class KeptClips:
    """The clips that take part. The index of `table` is the row of each clip in the arrays, which stay whole."""

    frames: np.ndarray | None
    flow: np.ndarray | None
    table: pd.DataFrame
    recipe: Mapping[str, Any]

    def take(self, clip_ids: Iterable[str]) -> Clips:
        """The named clips in the order of the table."""
        own = self.table[self.table["clip_id"].isin(set(clip_ids))]
        arrays = {"frames": self.frames, "flow": self.flow}
        taken: dict[str, Any] = {name: None if array is None else array[own.index] for name, array in arrays.items()}
        return Clips(**taken, table=own, recipe=self.recipe)

    def checksums(self) -> tuple[str, list[list[str]]]:
        """The sha256 of the table and every pixel, and the ids of clips that are the same to the last bit."""
        whole = hashlib.sha256(self.table.to_csv(index=False).encode())
        of_clip = [hashlib.sha256() for _ in range(len(self.table))]
        for array in (self.frames, self.flow):
            if array is None:
                whole.update(b"none")
                continue
            whole.update(f"{array.dtype} {array.shape[1:]}".encode())
            for row, digest in zip(self.table.index, of_clip, strict=True):
                pixels = np.ascontiguousarray(array[row]).tobytes()
                whole.update(pixels)
                digest.update(pixels)
        groups = self.table["clip_id"].groupby([digest.digest() for digest in of_clip], sort=False)
        return whole.hexdigest(), [group.tolist() for _, group in groups if len(group) > 1]


@dataclass(frozen=True, eq=False)
class Plan:
    """A cross-validation before its first fold: everything that decides the results, checked."""

    config: MEDNConfig
    training: TrainConfig
    clips: KeptClips
    dropped: pd.DataFrame
    folds: tuple[Fold, ...]
    label: str
    protocol: str
    split: str
    identity: Mapping[str, Any]
    """The plan as JSON, by which a folder knows its run."""


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """The result of a fold: predictions by the rule that chose the epoch, a row an epoch, or why the fold failed."""

    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    seconds: float = 0.0
    error: str = ""
    notes: tuple[str, ...] = ()


Task = Callable[[KeptClips, Fold], tuple[Mapping[str, Predictions], pd.DataFrame]]
"""The work on a fold: predictions of its held-out clips by rule, and the epochs of the training."""


def plan_folds(
    config: MEDNConfig,
    clips: Clips,
    *,
    split: str,
    folds: Sequence[Fold] | Split,
    protocol: ProtocolName | None = None,
    label: str = "label",
    training: TrainConfig | None = None,
    unseen_classes: UnseenClasses = "wrong",
) -> Plan:
    """Decide classes, clips and folds; ValueError if labels, clips, classes and folds do not fit together."""
    if unseen_classes not in get_args(UnseenClasses):
        raise ValueError(f"unseen_classes must be wrong or leave_out; got {unseen_classes!r}")
    table, dropped = clips.table, clips.table.iloc[:0].assign(reason="")
    if protocol is not None:
        if label != "label":
            raise ValueError(f"a protocol makes the column 'label' itself; leave out label={label!r} or the protocol")
        table, dropped = to_classes(table, protocol)
        there = set(table["label"])
        config = replace(config, classes=tuple(name for name in PROTOCOLS[protocol].classes if name in there))
    table = table.assign(**{label: check_label(table, label=label)})
    _check_labels(config, table[label])
    try:
        check_clips(config, clips)
    except ValueError:
        if len(table) == len(clips):
            raise
        check_clips(config, clips.with_table(table))  # A copy, in case only dropped clips are at fault.
    made = tuple(folds(table) if callable(folds) else folds)
    _check_folds(table, made)
    unseen = sorted({name for fold in made for name in classes_unseen(table, fold, label=label)})
    rare = table[label].isin(unseen)
    if unseen and unseen_classes == "leave_out":
        why = "no training clip of its class in the fold that tests it"
        table, dropped = table[~rare], pd.concat([dropped, table[rare].assign(reason=why)], ignore_index=True)
        config = replace(config, classes=tuple(name for name in config.classes if name not in unseen))
        made = _without(made, set(table["clip_id"]))
    elif unseen:
        warnings.warn(
            f"in some folds no training clip is of {', '.join(unseen)}: the clips of these classes tested there count"
            " as wrong; unseen_classes='leave_out' leaves the classes out",
            UserWarning,
            stacklevel=5,
        )
    rows = pd.Index(clips.table["clip_id"]).get_indexer(table["clip_id"])
    kept = KeptClips(clips.frames, clips.flow, table.set_axis(rows), clips.recipe)
    sha256, doubles = kept.checksums()
    _warn_of_doubles(doubles, made)
    training = replace(training or TrainConfig(), threads=1)
    identity = {
        "model": asdict(config),
        "training": asdict(training),
        "clips": sha256,
        "label": label,
        "protocol": protocol or "",
        "folds": [[fold.held_out, list(fold.test), len(fold.train)] for fold in made],
        "versions": {"medn_lab": medn_lab.__version__, "torch": torch.__version__},
    }
    return Plan(config, training, kept, dropped, made, label, protocol or "", split, identity)


def classes_unseen(table: pd.DataFrame, fold: Fold, *, label: str) -> list[str]:
    """Classes that a fold tests and does not train, in alphabetical order."""
    ids = table["clip_id"].astype(str)
    trained, tested = (set(table.loc[ids.isin(set(part)).to_numpy(), label]) for part in (fold.train, fold.test))
    return sorted(tested - trained)


def _without(folds: tuple[Fold, ...], kept: set[str]) -> tuple[Fold, ...]:
    """The folds with the clips that are kept; those that then test no clip are left out."""
    train, test = ([tuple(n for n in getattr(f, side) if n in kept) for f in folds] for side in ("train", "test"))
    return tuple(replace(fold, train=a, test=b) for fold, a, b in zip(folds, train, test, strict=True) if b)


def _warn_of_doubles(doubles: list[list[str]], folds: tuple[Fold, ...]) -> None:
    """Warn of clips that are trained on and tested under two names: a network recognises them."""
    group = {name: number for number, names in enumerate(doubles) for name in names}
    met = []
    for fold in folds:
        trained = {group[name] for name in fold.train if name in group}
        met += [name for name in fold.test if group.get(name) in trained]
    if met:
        other = next(name for name in doubles[group[met[0]]] if name != met[0])
        warnings.warn(
            f"{len(met)} tested clips are also trained on, under another name and person: {met[0]!r} has the same"
            f" frames and flow as {other!r}; leave doubles out",
            UserWarning,
            stacklevel=6,
        )


def _check_labels(config: MEDNConfig, labels: pd.Series) -> None:
    unknown, absent = sorted(set(labels) - set(config.classes)), sorted(set(config.classes) - set(labels))
    if unknown or absent:
        raise ValueError(
            f"the model's classes are {', '.join(config.classes)}, but {len(unknown)} other classes are labelled"
            f" ({', '.join(map(str, unknown))}) and no clip is of {', '.join(absent) or 'another'};"
            " build it with MEDNConfig.for_clips(clips), or give a protocol"
        )


def _check_folds(table: pd.DataFrame, folds: tuple[Fold, ...]) -> None:
    if not folds:
        raise ValueError("there are no folds to evaluate")
    person = people(table).set_axis(table["clip_id"].astype(str)).to_dict()
    tested: set[str] = set()
    for fold in folds:
        unknown = [name for name in (*fold.train, *fold.test) if name not in person]
        if unknown:
            raise ValueError(
                f"{len(unknown)} clips of {fold!r} are not among the {len(table)} clips, such as {unknown[0]!r}"
            )
        shared = {person[name] for name in fold.train} & {person[name] for name in fold.test}
        if shared:
            raise ValueError(
                f"{fold!r} has {', '.join(sorted(shared)[:3])} on both sides; a network that has seen a person can"
                " recognise the person instead of the expression"
            )
        twice = tested & set(fold.test)
        if twice or not fold.test:
            fault = f"tests {len(twice)} clips that an earlier fold tests" if twice else "tests no clip"
            raise ValueError(f"{fold!r} {fault}; every clip may be held out once")
        tested |= set(fold.test)


def train_network(
    config: MEDNConfig, clips: Clips, *, training: TrainConfig, label: str, callbacks: Sequence[Callback] = ()
) -> tuple[MEDN, History]:
    """A network of the classes that these clips have, trained; KeyboardInterrupt where that was interrupted."""
    there = set(clips.table[label])
    known = tuple(name for name in config.classes if name in there)
    if len(known) < 2:
        raise ValueError(f"all {len(clips)} training clips are of {' and '.join(known)}; a network needs two classes")
    model = MEDN(replace(config, classes=known), seed=training.seed)
    history = fit(model, clips, training=training, label=label, callbacks=callbacks, progress=False)
    if history.status == "interrupted":  # fit keeps a half-trained model; its fold must not count as finished.
        raise KeyboardInterrupt
    return model, history


def predict_all(model: MEDN, clips: Clips, *, classes: Sequence[str]) -> Predictions:
    """Predictions with columns for classes that the network does not know, which it never predicts.

    Their scores lie 100 below the lowest of the clip, a probability of 0.
    """
    predictions = predict(model, clips)
    known = [predictions.classes.index(name) if name in predictions.classes else -1 for name in classes]
    below = predictions.logits.min(axis=1, keepdims=True) - 100
    logits = np.hstack([predictions.logits, below])[:, known]
    return replace(predictions, logits=logits, classes=tuple(classes))


def train_and_predict(
    clips: KeptClips, fold: Fold, *, config: MEDNConfig, training: TrainConfig, label: str
) -> tuple[Mapping[str, Predictions], pd.DataFrame]:
    """Train on one side of a fold and predict the other with the weights of the last epoch."""
    model, history = train_network(config, clips.take(fold.train), training=training, label=label)
    return {LAST: predict_all(model, clips.take(fold.test), classes=config.classes)}, history.table


class FoldStore:
    """A folder with one folder a finished fold, and the identity of the run.

    FileExistsError if the folder holds something else, ValueError if it holds folds of another run.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        wanted = json.loads(json.dumps(dict(identity)))
        note, partial = self.folder / "run.json", self.folder / "run.json.new"
        if note.is_file():
            differing = _differences(json.loads(note.read_text()), wanted)
            if differing:
                raise ValueError(
                    f"{self.folder} holds folds made with another {', '.join(differing)};"
                    " give the same again, or another folder"
                )
            return
        # A kill may have left an unfinished note.
        if self.folder.exists() and (not self.folder.is_dir() or set(self.folder.iterdir()) - {partial}):
            raise FileExistsError(
                f"{self.folder} exists and holds no folds; choose another folder, nothing was written"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
        partial.replace(note)

    def save(self, number: int, outcome: FoldOutcome) -> None:
        """Write a finished fold; its folder appears when it is whole."""
        with atomic_write(self.folder / f"fold_{number:03d}") as partial:
            for rule, predictions in outcome.predictions.items():
                predictions.save(partial / rule)
            note = {
                "rules": list(outcome.predictions),
                "seconds": outcome.seconds,
                "notes": list(outcome.notes),
                "epochs": outcome.epochs.to_dict("list"),
            }
            (partial / "fold.json").write_text(json.dumps(note) + "\n")
            (partial / "fold.sha256").write_text(f"{sha256_of_file(partial / 'fold.json')}  fold.json\n")

    def load(self, number: int) -> FoldOutcome | None:
        """A finished fold; None without one, or without its checksum. ValueError if it is not what was written."""
        place = self.folder / f"fold_{number:03d}"
        note, checksum = place / "fold.json", place / "fold.sha256"
        if not place.is_dir() or (note.is_file() and not checksum.exists()):
            return None
        try:
            content = json.loads(note.read_bytes())
            outside = [rule for rule in content["rules"] if Path(rule).name != rule]
            if outside:
                raise ValueError(f"{outside[0]!r} leads out of its folder")
            if checksum.read_text().split()[:1] != [sha256_of_file(note)]:
                raise ValueError("fold.json was changed: its sha256 is not that of fold.sha256")
            predictions = {rule: Predictions.load(place / rule) for rule in content["rules"]}
            epochs, notes = pd.DataFrame(content["epochs"]), tuple(content["notes"])
            return FoldOutcome(predictions, epochs, content["seconds"], notes=notes)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"the finished fold {place} cannot be read ({error}); remove that folder and call again,"
                " the other folds are kept"
            ) from error


def _differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The parts that differ, with the fields of those that are mappings."""
    names = []
    for part in sorted(k for k in stored.keys() | wanted.keys() if stored.get(k) != wanted.get(k)):
        old, new = stored.get(part), wanted.get(part)
        if isinstance(old, dict) and isinstance(new, dict):
            part += f" ({', '.join(sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k)))})"
        names.append(part)
    return names


_ONE_AT_A_TIME = threading.Lock()
"""Threads of one process share torch's random state: two trainings at once would take numbers from each other."""


def run_folds(
    config: MEDNConfig, clips: Clips, split: str, folds: Sequence[Fold] | Split, task: Callable[..., Any],
    options: FoldOptions, *, name: str = LAST, **settings: Any,
) -> tuple[Plan, list[FoldOutcome]]:  # fmt: skip
    """Plan a cross-validation and work on every fold that is not finished yet, through joblib.

    The outcomes are in the order of the folds; that of a fold that fails is its error. What the folds warned of is a
    warning here, each sentence once. `name` and `settings` (further arguments of the task) belong to the identity.
    """
    choices: dict[str, Any] = dict(options)
    n_jobs, folder, progress = (choices.pop(k, v) for k, v in (("n_jobs", None), ("folder", None), ("progress", True)))
    plan = plan_folds(config, clips, split=split, folds=folds, **choices)
    task = partial(task, config=plan.config, training=plan.training, label=plan.label, **settings)
    store = None if folder is None else FoldStore(folder, {**plan.identity, "task": name, **settings})
    if n_jobs is None:  # One fold a core on CPUs; one at a time where a GPU would be shared.
        accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
        device = plan.training.device
        n_jobs = 1 if device in ("cuda", "mps") or (device == "auto" and accelerated) else -1
    stored = {} if store is None else {n: store.load(n) for n in range(len(plan.folds))}
    outcomes = {n: outcome for n, outcome in stored.items() if outcome is not None}
    todo = [n for n in range(len(plan.folds)) if n not in outcomes]
    bar = tqdm(total=len(plan.folds), initial=len(outcomes), desc="folds", unit="fold", disable=not progress)
    with bar:
        for number, outcome in _results(plan, task, todo, n_jobs):
            if store is not None and not outcome.error:
                store.save(number, outcome)
            outcomes[number] = outcome
            failed = sum(bool(done.error) for done in outcomes.values())
            bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
            bar.update()
    for note in dict.fromkeys(note for outcome in outcomes.values() for note in outcome.notes):
        warnings.warn(note, UserWarning, stacklevel=4)
    return plan, [outcomes[n] for n in range(len(plan.folds))]


def _results(plan: Plan, task: Task, todo: list[int], n_jobs: int) -> Iterator[tuple[int, FoldOutcome]]:
    """Number and outcome of each fold, as they come in."""
    clips, waiting = plan.clips, list(todo)
    # Arrays and tables are arguments by themselves: joblib then maps them into memory or sends them once a worker.
    shared = (_by_name(clips.frames), _by_name(clips.flow), clips.table, clips.recipe)
    streams = get_active_backend()[0].supports_return_generator  # Ray's pool returns nothing before all is done.
    wave = len(todo) if streams else joblib.effective_n_jobs(n_jobs)
    parallel = joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered" if streams else "list")
    try:
        for start in range(0, len(todo), max(wave, 1)):
            numbers = todo[start : start + wave]
            results: Any = parallel(joblib.delayed(run_fold)(task, n, plan.folds[n], *shared) for n in numbers)
            try:
                for number, outcome in results:
                    waiting.remove(number)
                    yield number, outcome
            finally:
                if streams:  # After an error or an interrupt here, the workers stop at once.
                    results.close()
    except BrokenExecutor as error:
        text = (
            f"a worker process was killed, mostly for want of memory ({type(error).__name__}); a smaller n_jobs"
            " needs less, and with a folder the finished folds are kept"
        )
        yield from ((number, FoldOutcome(error=text)) for number in waiting)


def run_fold(task: Task, number: int, fold: Fold, *shared: Any) -> tuple[int, FoldOutcome]:
    """One fold in any process: on one thread, alone in its process, its error returned and not raised."""
    # One thread, so that sums are taken in the same order wherever a fold runs.
    with _ONE_AT_A_TIME, torch_threads(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.perf_counter()
        try:
            clips = KeptClips(*(part() if callable(part) else part for part in shared))
            predictions, epochs = task(clips, fold)
        except Exception as error:  # Any error of one fold must not end the others.
            text = " ".join(str(error).split())
            text = text if type(error) is ValueError and text else f"{type(error).__name__}: {text}".rstrip(": ")
            return number, FoldOutcome(error=text, seconds=time.perf_counter() - began)
        seconds = time.perf_counter() - began
    notes = dict.fromkeys(str(note.message) for note in caught if note.category is UserWarning)
    return number, FoldOutcome(predictions, epochs, seconds, notes=tuple(notes))


def _by_name(array: np.ndarray | None) -> np.ndarray | Callable[[], np.ndarray] | None:
    """A whole memory-mapped file as the call that opens it on any machine; any other array as it is."""
    if not isinstance(array, np.memmap) or not isinstance(array.base, mmap.mmap) or array.filename is None:
        return array  # No file, or a part of one.
    order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
    return partial(np.memmap, str(array.filename), array.dtype, "r", array.offset, array.shape, order)
