"""The folds of a cross-validation: the plan, the training of one fold, the finished folds on disk, and the workers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.parallel import get_active_backend
from tqdm.auto import tqdm

import medn_lab
from medn_lab.data.protocols import PROTOCOLS, Fold, ProtocolName, hold_out_subjects, to_classes
from medn_lab.evaluate.metrics import accuracy
from medn_lab.evaluate.prediction import predict
from medn_lab.model import MEDN, MEDNConfig, check_clips
from medn_lab.model.inputs import torch_threads
from medn_lab.records import Clips, Predictions, atomic_write, check_label, people
from medn_lab.records.storage import is_made
from medn_lab.train import Run, TrainConfig, fit

# The rules by which the weights of an epoch are chosen, and the column of the epochs whose best value decides.
LAST = "last_epoch"
CHOSEN_BY = {"validation": "validation_accuracy", "best_on_test": "held_out_accuracy"}

# Draws of validation subjects before a fold fails because each draw takes a whole class from the training.
TRIES = 20

Split = Callable[[pd.DataFrame], Sequence[Fold]]
Outcome = dict[str, Predictions] | str  # of a fold: the predictions by rule, or why it failed


@dataclass(frozen=True, eq=False)
class Plan:
    """A cross-validation before its first fold: everything that decides the results, checked.

    `table` holds the clips that take part, with their classes; `summary` has a row a fold; `call` and `settings` are
    the function that was called and its own arguments.
    """

    config: MEDNConfig
    training: TrainConfig
    clips: Clips
    table: pd.DataFrame
    folds: tuple[Fold, ...]
    summary: pd.DataFrame
    label: str
    protocol: str
    call: str
    settings: Mapping[str, Any]


def plan_folds(
    config: MEDNConfig, clips: Clips, call: str, split: Sequence[Fold] | Split, validation_share: float | None, /, *,
    protocol: ProtocolName | None = None, label: str = "label", training: TrainConfig | None = None,
) -> Plan:  # fmt: skip
    """Decide classes, clips and folds; ValueError if labels, clips, classes and folds do not fit together."""
    table = clips.table
    settings = {} if validation_share is None else {"validation_share": validation_share}
    if protocol is not None:
        if label != "label":
            raise ValueError(f"a protocol makes the column 'label' itself; leave out label={label!r} or the protocol")
        table, _ = to_classes(table, protocol)
        there = table["label"].unique()
        config = replace(config, classes=tuple(name for name in PROTOCOLS[protocol].classes if name in there))
    table = table.assign(**{label: check_label(table, label=label)})
    if set(table[label]) != set(config.classes):
        labels = ", ".join(sorted(set(table[label])))
        raise ValueError(f"the model's classes are {', '.join(config.classes)}, but the clips are labelled {labels}")
    check_clips(config, clips)
    folds = tuple(split(table) if callable(split) else split)
    person, scored = people(table).set_axis(table["clip_id"]).to_dict(), set[str]()
    rows, lacking = [], set[str]()
    for number, fold in enumerate(folds):
        unknown = [name for name in (*fold.train, *fold.test) if name not in person]
        shared = {person.get(name) for name in fold.train} & {person.get(name) for name in fold.test} - {None}
        twice, fault = scored & set(fold.test), ""
        if unknown:
            fault = f"names clips that are not among the {len(table)}: {len(unknown)}, such as {unknown[0]!r}"
        elif shared:
            fault = f"has {', '.join(sorted(shared)[:3])} on both sides; a network recognises a person that it has seen"
        elif twice or not fold.test:
            fault = f"has {len(fold.test)} to test, of which an earlier fold tests {len(twice)}; test each clip once"
        if fault:
            raise ValueError(f"{fold!r} {fault}")
        scored |= set(fold.test)
        tested, trained = (table.loc[table["clip_id"].isin(set(ids)), label] for ids in (fold.test, fold.train))
        unseen = sorted(set(tested) - set(trained))
        lacking |= set(unseen)
        row = {"fold": number, "held_out": fold.held_out, "n_train": len(fold.train), "n_test": len(fold.test)}
        row |= {f"n_{name}": int((tested == name).sum()) for name in config.classes}
        rows.append(row | {"unseen": ", ".join(unseen), "n_unseen": int(tested.isin(unseen).sum())})
    if lacking:
        lost = f"in some folds no training clip is of {', '.join(sorted(lacking))}: clips of these classes tested there"
        warnings.warn(f"{lost} count as wrong; leave the classes out, or join them by a protocol", stacklevel=4)
    training, bare = replace(training or TrainConfig(), threads=1), replace(clips, truth=None, viewing=None)
    return Plan(config, training, bare, table, folds, pd.DataFrame(rows), label, protocol or "", call, settings)


def identity_of(plan: Plan) -> dict[str, Any]:
    """The plan as JSON, by which a folder knows its run; warns of clips that are trained on and tested by two names."""
    ids, arrays = plan.table["clip_id"], [part for part in (plan.clips.frames, plan.clips.flow) if part is not None]
    rows = pd.Index(plan.clips.table["clip_id"]).get_indexer(ids)
    pixels = [hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).hexdigest() for row in rows]
    of_clip, met = dict(zip(ids, pixels, strict=True)), []
    for fold in plan.folds:
        trained = {of_clip[name]: name for name in fold.train}
        met += [(name, trained[of_clip[name]]) for name in fold.test if of_clip[name] in trained]
    if met:
        twice = f"{met[0][0]!r}, which has the frames and flow of {met[0][1]!r}; leave doubles out"
        what = "tested clips that are also trained on, under another name and person"
        warnings.warn(f"{what}: {len(met)}, such as {twice}", stacklevel=5)
    return {
        "call": plan.call, "model": asdict(plan.config), "training": asdict(plan.training), "label": plan.label,
        "clips": hashlib.sha256("".join([plan.table.to_csv(index=False), *pixels]).encode()).hexdigest(),
        "folds": [[fold.held_out, list(fold.test), len(fold.train)] for fold in plan.folds], "protocol": plan.protocol,
        "versions": {"medn_lab": medn_lab.__version__, "torch": torch.__version__}, **plan.settings,
    }  # fmt: skip


def open_store(folder: str | os.PathLike[str], identity: Mapping[str, Any]) -> Path:
    """The folder of a run, with one folder a finished fold; made where there is none.

    FileExistsError if the folder holds something else, ValueError if it holds folds of another run.
    """
    place, wanted = Path(folder), json.loads(json.dumps(identity))
    if not is_made(place, "run.json"):
        with atomic_write(place) as draft:
            (draft / "run.json").write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    stored = json.loads((place / "run.json").read_text())
    old, new = (pd.json_normalize(one, max_level=1).iloc[0] for one in (stored, wanted))
    differing = [name for name in sorted({*old.index, *new.index}) if old.get(name) != new.get(name)]
    if differing:
        raise ValueError(f"{place} holds folds made with another {', '.join(differing)}; give another folder")
    return place


def train_fold(plan: Plan, fold: Fold) -> tuple[dict[str, Predictions], pd.DataFrame]:
    """Train on one side of a fold and predict the other: the predictions by rule, and a row an epoch.

    With a validation share some training subjects are kept back, and both sides are predicted after each epoch.
    """
    watchers, classes = [], plan.config.classes
    kept: list[Predictions] = []
    rows: list[dict[str, float]] = []

    def take(ids: Sequence[str]) -> Clips:
        return plan.clips.with_table(plan.table[plan.table["clip_id"].isin(set(ids))])

    def look(run: Run) -> None:
        row: dict[str, float] = {"epoch": run.epoch}
        for name, part in (("validation", validation), ("held_out", held_out)):
            found = predict_all(run.model, part, classes=classes)
            true = part.table[plan.label].to_numpy(dtype=object)
            row |= {f"{name}_accuracy": accuracy(true, found.predicted), f"n_{name}": len(part)}
        rows.append(row)
        kept.append(found)

    held_out, train = take(fold.test), take(fold.train)
    if (share := plan.settings.get("validation_share")) is not None:
        train, validation = map(take, keep_back(train.table, fold, plan, share=share))
        watchers = [SimpleNamespace(on_epoch_end=look)]
    there = set(train.table[plan.label])
    known = tuple(name for name in classes if name in there)
    if len(known) < 2:
        raise ValueError(f"all {len(train)} training clips are of {' and '.join(known)}; a network needs two classes")
    model = MEDN(replace(plan.config, classes=known), seed=plan.training.seed)
    history = fit(model, train, training=plan.training, label=plan.label, callbacks=watchers, progress=False)
    if history.status == "interrupted":  # fit keeps a half-trained model; its fold must not count as finished.
        raise KeyboardInterrupt
    if share is None:
        return {LAST: predict_all(model, held_out, classes=classes)}, history.table
    epochs = pd.DataFrame(rows)
    chosen = {rule: kept[epochs[column].idxmax()] for rule, column in CHOSEN_BY.items()}  # The first of equals.
    return {LAST: kept[-1]} | chosen, epochs


def keep_back(table: pd.DataFrame, fold: Fold, plan: Plan, *, share: float) -> tuple[list[str], list[str]]:
    """Training and validation clip ids of a fold: a share of its subjects is kept back so that every class trains."""
    n_people = people(table).nunique()
    n = min(max(1, round(share * n_people)), n_people - 1)
    # Another draw in each fold: the same one or two persons everywhere would decide every choice.
    seed = (plan.training.seed + zlib.crc32(fold.held_out.encode())) % 2**31
    for extra in range(TRIES):
        train_ids, validation_ids = hold_out_subjects(table, n=n, seed=seed + extra)
        if set(table.loc[table["clip_id"].isin(train_ids), plan.label]) == set(table[plan.label]):
            return train_ids, validation_ids
    raise ValueError("each draw of validation subjects takes a whole class from the training; lower validation_share")


def predict_all(model: MEDN, clips: Clips, *, classes: Sequence[str]) -> Predictions:
    """Predictions with columns for classes that the network does not know, which it never predicts.

    Their scores lie 100 below the lowest of the clip, a probability of 0.
    """
    predictions = predict(model, clips)
    known = [predictions.classes.index(name) if name in predictions.classes else -1 for name in classes]
    below = predictions.logits.min(axis=1, keepdims=True) - 100
    logits = np.hstack([predictions.logits, below])[:, known]
    return replace(predictions, logits=logits, classes=tuple(classes))


_ONE_AT_A_TIME = threading.Lock()  # Threads of a process share torch's random state: two trainings would mix theirs.


def run_fold(plan: Plan, number: int) -> tuple[int, Outcome]:
    """One fold in any process: on one thread, alone in its process; the predictions by rule, or the error as text.

    ``source["fold"]`` of the predictions holds the seconds, the epochs, and what the fold warned of.
    """
    # One thread, so that sums are taken in the same order wherever a fold runs.
    with _ONE_AT_A_TIME, torch_threads(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        began = time.perf_counter()
        try:
            predictions, epochs = train_fold(plan, plan.folds[number])
        except Exception as error:  # Any error of one fold must not end the others.
            text = " ".join(str(error).split())
            plain = type(error) is ValueError and text
            return number, text if plain else f"{type(error).__name__}: {text}".rstrip(": ")
        facts: dict[str, Any] = {"seconds": round(time.perf_counter() - began, 3), "epochs": epochs.to_dict("list")}
    facts["notes"] = list(dict.fromkeys(str(note.message) for note in caught if note.category is UserWarning))
    return number, {rule: replace(one, source={**one.source, "fold": facts}) for rule, one in predictions.items()}


def run_folds(plan: Plan, n_jobs: int | None, folder: str | os.PathLike[str] | None, progress: bool) -> list[Outcome]:
    """Work on every fold of a plan that is not finished yet, through joblib; the results of :func:`run_fold` in order.

    What the folds warned of is a warning here, each sentence once.
    """
    outcomes: dict[int, Outcome] = {}
    rules = (LAST, *CHOSEN_BY) if "validation_share" in plan.settings else (LAST,)
    identity, numbers = identity_of(plan), range(len(plan.folds))
    store = None if folder is None else open_store(folder, identity)
    places = {number: store / f"fold_{number:03d}" for number in numbers} if store else {}
    for number, place in places.items():
        if place.is_dir():
            try:
                outcomes[number] = {rule: Predictions.load(place / rule) for rule in rules}
            except (OSError, ValueError) as error:
                raise ValueError(f"the fold {place} cannot be read ({error}); remove that folder") from error
    if n_jobs is None:  # One fold a core on CPUs; one at a time where a GPU would be shared.
        accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
        n_jobs = 1 if plan.training.device != "cpu" and accelerated else -1
    todo = [number for number in numbers if number not in outcomes]
    streams = get_active_backend()[0].supports_return_generator  # multiprocessing and Ray return a list
    parallel = joblib.Parallel(n_jobs, batch_size=1, return_as="generator_unordered" if streams else "list")
    with tqdm(total=len(plan.folds), initial=len(outcomes), desc="folds", unit="fold", disable=not progress) as bar:
        try:  # Closed, so that after an error or an interrupt here the workers stop at once.
            made = parallel(joblib.delayed(run_fold)(plan, number) for number in todo)
            with closing(one for one in made) as results:
                for number, outcome in results:
                    outcomes[number] = outcome
                    if places and not isinstance(outcome, str):
                        with atomic_write(places[number]) as draft:
                            for rule, predictions in outcome.items():
                                predictions.save(draft / rule)
                    bar.update()
        except BrokenExecutor:
            text = "a worker process was killed, mostly because memory ran out; call again with a smaller n_jobs"
            text += "" if folder is None else ": the finished folds are kept"
            outcomes |= {number: text for number in todo if number not in outcomes}
    ordered = [outcomes[number] for number in numbers]
    notes = [note for one in ordered if not isinstance(one, str) for note in one[LAST].source["fold"]["notes"]]
    for note in dict.fromkeys(notes):
        warnings.warn(note, stacklevel=4)
    return ordered
