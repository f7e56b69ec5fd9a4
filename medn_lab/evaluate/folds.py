"""The folds of a cross-validation: the plan, the training of one fold, the finished folds on disk, and the workers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

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
from medn_lab.model.medn import stated_sum, write_sum
from medn_lab.records import Clips, Predictions, atomic_write, check_label, people, sha256_of_file
from medn_lab.train import History, TrainConfig, fit

LAST = "last_epoch"


Split = Callable[[pd.DataFrame], Sequence[Fold]]
"""Makes the folds of a table."""


class FoldOptions(TypedDict, total=False):
    """The options of every cross-validation, as :func:`medn_lab.evaluate.evaluate_loso` describes them."""

    protocol: ProtocolName | None
    label: str
    training: TrainConfig | None
    n_jobs: int | None
    folder: str | os.PathLike[str] | None
    progress: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """A cross-validation before its first fold: everything that decides the results, checked.

    `table` holds the clips that take part, with their classes; `call` and `settings` are the function that was called
    and its own arguments; `identity` is the plan as JSON, by which a folder knows its run.
    """

    config: MEDNConfig
    training: TrainConfig
    clips: Clips
    table: pd.DataFrame
    dropped: pd.DataFrame
    folds: tuple[Fold, ...]
    label: str
    protocol: str
    call: str
    settings: Mapping[str, Any]
    identity: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FoldOutcome:
    """The result of a fold: predictions by the rule that chose the epoch, a row an epoch, or why the fold failed."""

    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    epochs: pd.DataFrame = field(default_factory=pd.DataFrame)
    seconds: float = 0.0
    error: str = ""
    notes: Sequence[str] = ()


def plan_folds(
    config: MEDNConfig, clips: Clips, call: str, folds: Sequence[Fold] | Split, options: FoldOptions, **settings: Any
) -> Plan:
    """Decide classes, clips and folds; ValueError if labels, clips, classes and folds do not fit together."""
    protocol, label = options.get("protocol"), options.get("label", "label")
    table, dropped = clips.table, clips.table.iloc[:0].assign(reason="")
    if protocol is not None:
        if label != "label":
            raise ValueError(f"a protocol makes the column 'label' itself; leave out label={label!r} or the protocol")
        table, dropped = to_classes(table, protocol)
        there = set(table["label"])
        config = replace(config, classes=tuple(name for name in PROTOCOLS[protocol].classes if name in there))
    table = table.assign(**{label: check_label(table, label=label)})
    if set(table[label]) != set(config.classes):
        labels = ", ".join(sorted(set(table[label])))
        raise ValueError(f"the model's classes are {', '.join(config.classes)}, but the clips are labelled {labels}")
    check_clips(config, clips)
    made = tuple(folds(table) if callable(folds) else folds)
    _check_folds(table, made)
    rows = pd.Index(clips.table["clip_id"]).get_indexer(table["clip_id"])
    arrays = [array for array in (clips.frames, clips.flow) if array is not None]
    pixels = [hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).hexdigest() for row in rows]
    unseen = sorted({name for fold in made for name in classes_unseen(table, fold, label=label)})
    found = [_doubles(dict(zip(table["clip_id"], pixels, strict=True)), made)]
    if unseen:
        found.append(
            f"in some folds no training clip is of {', '.join(unseen)}: the clips of these classes tested there count"
            " as wrong; leave the classes out, or choose a protocol that joins them with others"
        )
    for fault in filter(None, found):
        warnings.warn(fault, UserWarning, stacklevel=5)
    training = replace(options.get("training") or TrainConfig(), threads=1)
    identity = {
        "model": asdict(config),
        "training": asdict(training),
        "clips": hashlib.sha256("".join([table.to_csv(index=False), *pixels]).encode()).hexdigest(),
        "label": label,
        "protocol": protocol or "",
        "folds": [[fold.held_out, list(fold.test), len(fold.train)] for fold in made],
        "versions": {"medn_lab": medn_lab.__version__, "torch": torch.__version__},
        "call": call,
        **settings,
    }
    return Plan(config, training, clips, table, dropped, made, label, protocol or "", call, settings, identity)


def classes_unseen(table: pd.DataFrame, fold: Fold, *, label: str) -> list[str]:
    """Classes that a fold tests and does not train, in alphabetical order."""
    ids = table["clip_id"].astype(str)
    trained, tested = (set(table.loc[ids.isin(set(part)).to_numpy(), label]) for part in (fold.train, fold.test))
    return sorted(tested - trained)


def _doubles(pixels: Mapping[str, str], folds: tuple[Fold, ...]) -> str:
    """The warning of clips that are trained on and tested under two names: a network recognises them."""
    met = []
    for fold in folds:
        trained = {pixels[name]: name for name in fold.train}
        met += [(name, trained[pixels[name]]) for name in fold.test if pixels[name] in trained]
    if not met:
        return ""
    return (
        f"{len(met)} tested clips are also trained on, under another name and person: {met[0][0]!r} has the same"
        f" frames and flow as {met[0][1]!r}; leave doubles out"
    )


def _check_folds(table: pd.DataFrame, folds: tuple[Fold, ...]) -> None:
    person = people(table).set_axis(table["clip_id"].astype(str)).to_dict()
    tested: set[str] = set()
    for fold in folds:
        unknown = [name for name in (*fold.train, *fold.test) if name not in person]
        shared = {person.get(name) for name in fold.train} & {person.get(name) for name in fold.test} - {None}
        twice = tested & set(fold.test)
        if unknown:
            fault = f"has {len(unknown)} clips that are not among the {len(table)} clips, such as {unknown[0]!r}"
        elif shared:
            fault = f"has {', '.join(sorted(shared)[:3])} on both sides; a network recognises a person that it has seen"
        elif twice or not fold.test:
            fault = f"tests {len(twice)} clips that an earlier fold tests, and {len(fold.test)} in all; test each once"
        else:
            tested |= set(fold.test)
            continue
        raise ValueError(f"{fold!r} {fault}")


def train_network(
    config: MEDNConfig, clips: Clips, *, training: TrainConfig, label: str, callbacks: Sequence[object] = ()
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


def take(clips: Clips, table: pd.DataFrame, clip_ids: Sequence[str]) -> Clips:
    """The named clips with their rows of a table, in the table's order."""
    return clips.with_table(table[table["clip_id"].isin(set(clip_ids))])


def train_and_predict(
    clips: Clips, table: pd.DataFrame, fold: Fold, *, config: MEDNConfig, training: TrainConfig, label: str
) -> tuple[Mapping[str, Predictions], pd.DataFrame]:
    """Train on one side of a fold and predict the other with the weights of the last epoch."""
    model, history = train_network(config, take(clips, table, fold.train), training=training, label=label)
    return {LAST: predict_all(model, take(clips, table, fold.test), classes=config.classes)}, history.table


def open_store(folder: str | os.PathLike[str], identity: Mapping[str, Any]) -> Path:
    """The folder of a run, with one folder a finished fold; made where there is none.

    FileExistsError if the folder holds something else, ValueError if it holds folds of another run.
    """
    place, wanted = Path(folder), json.loads(json.dumps(dict(identity)))
    if (place / "run.json").is_file():
        stored = json.loads((place / "run.json").read_text())
        old, new = (pd.json_normalize(one, max_level=1).iloc[0] for one in (stored, wanted))
        differing = [name for name in sorted({*old.index, *new.index}) if old.get(name) != new.get(name)]
        if differing:
            raise ValueError(f"{place} holds folds made with another {', '.join(differing)}; give another folder")
        return place
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FileExistsError(f"{place} exists and holds no folds; choose another folder, nothing was written")
    with atomic_write(place) as draft:
        (draft / "run.json").write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    return place


def save_fold(place: Path, outcome: FoldOutcome) -> None:
    """Write a finished fold; its folder appears when it is whole."""
    with atomic_write(place) as draft:
        for rule, predictions in outcome.predictions.items():
            predictions.save(draft / rule)
        note = {name: getattr(outcome, name) for name in ("seconds", "notes")}
        note |= {"rules": list(outcome.predictions), "epochs": outcome.epochs.to_dict("list")}
        (draft / "fold.json").write_text(json.dumps(note) + "\n")
        write_sum(draft / "fold.json")


def load_fold(place: Path) -> FoldOutcome | None:
    """A finished fold, None without one; ValueError if it is not what was written."""
    if not place.is_dir():
        return None
    try:
        content = json.loads((place / "fold.json").read_bytes())
        outside = [rule for rule in content["rules"] if Path(rule).name != rule]
        if outside:
            raise ValueError(f"{outside[0]!r} leads out of its folder")
        if stated_sum(place / "fold.json") != sha256_of_file(place / "fold.json"):
            raise ValueError("fold.json was changed: its sha256 is not that of fold.sha256")
        predictions = {rule: Predictions.load(place / rule) for rule in content["rules"]}
        return FoldOutcome(predictions, pd.DataFrame(content["epochs"]), content["seconds"], "", content["notes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the finished fold {place} cannot be read ({error}); remove that folder") from error


_ONE_AT_A_TIME = threading.Lock()
"""Threads of one process share torch's random state: two trainings at once would take numbers from each other."""


def run_folds(
    config: MEDNConfig, clips: Clips, call: str, folds: Sequence[Fold] | Split, task: Callable[..., Any],
    options: FoldOptions, **settings: Any,
) -> tuple[Plan, list[FoldOutcome]]:  # fmt: skip
    """Plan a cross-validation and work on every fold that is not finished yet, through joblib.

    The outcomes are in the order of the folds; that of a fold that fails is its error. What the folds warned of is a
    warning here, each sentence once. `settings` are further arguments of the task and belong to the identity.
    """
    plan = plan_folds(config, clips, call, folds, options, **settings)
    task = partial(task, config=plan.config, training=plan.training, label=plan.label, **settings)
    folder, n_jobs, progress = options.get("folder"), options.get("n_jobs"), options.get("progress", True)
    store = None if folder is None else open_store(folder, plan.identity)
    places = [None if store is None else store / f"fold_{number:03d}" for number in range(len(plan.folds))]
    if n_jobs is None:  # One fold a core on CPUs; one at a time where a GPU would be shared.
        accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
        device = plan.training.device
        n_jobs = 1 if device in ("cuda", "mps") or (device == "auto" and accelerated) else -1
    outcomes = {n: done for n, place in enumerate(places) if place is not None and (done := load_fold(place))}
    todo = [n for n in range(len(plan.folds)) if n not in outcomes]
    streams = get_active_backend()[0].supports_return_generator  # Ray's pool returns nothing before all is done.
    parallel = joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered" if streams else "list")
    bare, results = replace(clips, truth=None, viewing=None), None
    with tqdm(total=len(plan.folds), initial=len(outcomes), desc="folds", unit="fold", disable=not progress) as bar:
        try:
            results = parallel(joblib.delayed(run_fold)(task, n, plan.folds[n], bare, plan.table) for n in todo)
            for number, outcome in results:
                if (place := places[number]) is not None and not outcome.error:
                    save_fold(place, outcome)
                outcomes[number] = outcome
                failed = sum(bool(done.error) for done in outcomes.values())
                bar.set_postfix({"failed": failed} if failed else {}, refresh=False)
                bar.update()
        except BrokenExecutor as error:
            text = (
                f"a worker process was killed, mostly for want of memory ({type(error).__name__}); a smaller n_jobs"
                " needs less, and with a folder the finished folds are kept"
            )
            outcomes |= {number: FoldOutcome(error=text) for number in todo if number not in outcomes}
        finally:
            if streams and results is not None:  # After an error or an interrupt here, the workers stop at once.
                results.close()
    for note in dict.fromkeys(note for outcome in outcomes.values() for note in outcome.notes):
        warnings.warn(note, UserWarning, stacklevel=4)
    return plan, [outcomes[n] for n in range(len(plan.folds))]


def run_fold(
    task: Callable[..., Any], number: int, fold: Fold, clips: Clips, table: pd.DataFrame
) -> tuple[int, FoldOutcome]:
    """One fold in any process: on one thread, alone in its process, its error returned and not raised."""
    # One thread, so that sums are taken in the same order wherever a fold runs.
    with _ONE_AT_A_TIME, torch_threads(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began, text = time.perf_counter(), ""
        predictions, epochs = {}, pd.DataFrame()
        try:
            predictions, epochs = task(clips, table, fold)
        except Exception as error:  # Any error of one fold must not end the others.
            text = " ".join(str(error).split())
            text = text if type(error) is ValueError and text else f"{type(error).__name__}: {text}".rstrip(": ")
        seconds = time.perf_counter() - began
    notes = dict.fromkeys(str(note.message) for note in caught if note.category is UserWarning and not text)
    return number, FoldOutcome(predictions, epochs, seconds, text, tuple(notes))
