"""A stored result made again from its source and run record, and compared with what was stored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import signature
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from medn_lab import diagnose, evaluate, records, synthme
from medn_lab.data.protocols import Fold
from medn_lab.diagnose.attribution import attribute
from medn_lab.model import MEDN, MEDNConfig, load_pretrained, pretrained_names, weights_sha256
from medn_lab.model.inputs import torch_threads
from medn_lab.model.medn import pretrained_folder
from medn_lab.records import BranchFeatures, Clips, DecouplingReport, Embedding, History, Predictions, ids_sha256
from medn_lab.train import TrainConfig, fit

__all__ = ["Rerun", "rerun"]

GivenModel = MEDN | str | os.PathLike[str]
GivenModels = GivenModel | Mapping[str, GivenModel] | None


@dataclass(frozen=True, eq=False, repr=False)
class Rerun:
    """A stored result and the same made again.

    Attributes
    ----------
    stored, again : a record, or MEDN
        The result as it was given, and as it came out now.
    identical : bool
        Whether all numbers agree to the last bit; of a training also the weights, by their sha256.
    difference : float
        The largest difference of any number; infinite where shapes or words differ.
    changed : dict
        Recorded versions and hardware that differ now: name to (then, now).
    notes : tuple of str
        What was not made again, or could not be compared, a sentence each.
    unrecorded : tuple of str
        Versions and parts of the hardware that the stored result does not hold, so that a change of them is not known.
    answers : tuple of int or None
        Clips with the same predicted class, and clips compared; None where the result predicts no class. It shows
        whether a difference matters.

    Examples
    --------
    >>> epochs = History(pd.DataFrame({"epoch": [1], "seconds": 1.0, "loss": 0.5}))
    >>> Rerun(epochs, epochs, identical=True, difference=0.0, changed={"torch": ("2.12.0", "2.13.0")})
    Rerun of History (1 row): identical to the last bit; changed since: torch 2.12.0 -> 2.13.0
    """

    stored: Any
    again: Any
    identical: bool
    difference: float
    changed: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...] = ()
    unrecorded: tuple[str, ...] = ()
    answers: tuple[int, int] | None = None

    def __repr__(self) -> str:
        found = ["identical to the last bit" if self.identical else "not identical"]
        if self.answers and not self.identical:
            found.append("the same class for {:,} of {:,} clips".format(*self.answers))
        if self.difference:
            found.append(f"the largest difference is {self.difference:.3g}")
        changes = ", ".join(f"{name} {then} -> {now}" for name, (then, now) in self.changed.items())
        known = [f"changed since: {changes}" if changes else "recorded versions and hardware are the same"]
        known += [f"not recorded: {', '.join(self.unrecorded)}"] if self.unrecorded else []
        if isinstance(self.stored, MEDN):
            named = f"the training of {self.stored.name}"
        else:
            unit = "row" if isinstance(self.stored, History | DecouplingReport) else "clip"
            n = len(self.stored.table)
            named = f"{type(self.stored).__name__} ({n} {unit}{'s' * (n != 1)})"
        return "\n  ".join([f"Rerun of {named}: {'; '.join([', '.join(found), *known])}", *self.notes])


def rerun(record: Any, *, clips: Clips | None = None, model: GivenModels = None, progress: bool = True) -> Rerun:
    """Make a stored result again from its source and run record, and compare.

    =================================  =====================================================================
    result                             how it is made again
    =================================  =====================================================================
    ``Predictions``                    by the same model; of ``evaluate_loso``, ``evaluate_cross_dataset``,
                                       ``evaluate_folds`` and ``selection_audit``: every fold trained again
    ``CrossValidation``                by its predictions
    ``BranchFeatures``                 by the same model
    ``KeptTokens``, ``Attribution``    by the same model; sanity figures are not measured again
    ``Embedding``                      the features, then the map by its parameters and seed
    ``DecouplingReport``               the features of each model, then the whole table
    ``History``                        the training: the losses of each epoch and the sha256 of the last weights
    a model                            its training, by the history kept with it or the card in ``pretrained/``
    =================================  =====================================================================

    All else that this library computes (intervals, comparisons,
    leakage, pairs) is a function of one of these and its own arguments: call it again on it.

    Parameters
    ----------
    record : a record of the table above, or MEDN
        From a folder, or just made.
    clips : Clips, optional
        Drawn clips are drawn again by their recipe. Others are not in the record: give the prepared set.
    model : MEDN or folder, or mapping of several, optional
        One that is not in ``pretrained/``: the model of the result, or of a training the one that it began from.
        Weights decide which it is, and it is not changed.
    progress : bool
        Show bars.

    Returns
    -------
    Rerun
        ``identical`` on the same machine and versions. ``changed`` names what differs, ``unrecorded`` what the result
        does not hold, ``notes`` what could not be made again (figures of your own callbacks, maps of layers that you
        gave).

    Raises
    ------
    ValueError
        If the record does not say how it was made, the clips are needed and not given or not the same ones, the
        model is missing or has other weights by now, or the result used something that is not in the record.
    TypeError
        If it is none of these records.

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=6, seed=7)
    >>> trained = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> medn.rerun(medn.predict(trained, clips), progress=False)
    Rerun of Predictions (6 clips): identical to the last bit; recorded versions and hardware are the same
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, branches="motion")
    >>> mine = medn.model.MEDN(config, seed=3)
    >>> history = medn.fit(mine, clips, training=medn.train.TrainConfig(epochs=2), progress=False)
    >>> medn.rerun(history, progress=False)
    Rerun of History (2 rows): identical to the last bit; recorded versions and hardware are the same

    ``medn.rerun(medn.load_pretrained("medn_tiny.synthme_v2"))`` draws 720 clips and trains 24 epochs, three minutes.
    """
    stored: Any = record.predictions if isinstance(record, evaluate.CrossValidation) else record
    make = next((make for kind, make in AGAIN.items() if isinstance(stored, kind)), None)
    if make is None:
        kinds = ", ".join(kind.__name__ for kind in AGAIN)
        raise TypeError(f"a {type(record).__name__} is no saved result; rerun takes CrossValidation, {kinds}")
    try:
        made = make(stored, _Given(clips, model, progress))
        facts, facts_now = _facts(stored, made.card), _facts(made.again)
        sums = [_sum(stored), _sum(made.again)]
    except KeyError as missing:
        raise ValueError(f"the record does not say how it was made: {missing} is not in it") from missing
    difference, notes, compared = _difference(stored, made.again), list(made.notes), None
    if isinstance(stored, Predictions):
        compared = stored, made.again
    elif isinstance(stored, MEDN) and sums[0] != sums[1]:
        compared = evaluate.predict(stored, made.unseen), evaluate.predict(made.again, made.unseen)
        notes.append(f"both models predicted {len(made.unseen)} clips")
    elif sums[0] != sums[1]:
        notes.append(f"the weights at the end have the sha256 {sums[1]:.12} and not {sums[0]:.12}")
    answers = None
    if compared is not None:
        answers = int((compared[0].predicted == compared[1].predicted).sum()), len(compared[0])
    changed = {name: (then, facts_now.get(name)) for name, then in facts.items() if then != facts_now.get(name)}
    unrecorded = tuple(name for name in facts_now if name not in facts)
    identical = difference == 0.0 and sums[0] == sums[1]
    return Rerun(stored, made.again, identical, difference, changed, tuple(notes), unrecorded, answers)


class _Made(NamedTuple):
    """A result made again; of a model also clips (new to it where there are any), and the facts of its card."""

    again: Any
    notes: Sequence[str] = ()
    unseen: Any = None
    card: Mapping[str, Any] | None = None


def _facts(record: Any, card: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The versions, hardware and devices that a record holds, or the card of a model."""
    history: Any = record.history if isinstance(record, MEDN) else record
    source = {"run": card} if card else history.source
    facts = {**source["run"].get("versions", {}), **source["run"].get("hardware", {})}
    runs = [one.get("features") or one.get("run") or {} for one in source.get("models", {"": source}).values()]
    devices = sorted({run["device"] for run in runs if "device" in run})
    return facts | ({"device": ", ".join(devices)} if devices else {})


def _sum(record: Any) -> str | None:
    """The sha256 of the weights at the end of a training."""
    if isinstance(record, MEDN):
        return weights_sha256(record)
    return record.source["sha256"] if isinstance(record, History) else None


@dataclass(eq=False)
class _Given:
    """What a result is made again with: the caller's clips and models, or those that the record names."""

    own: Clips | None
    model: GivenModels
    progress: bool
    drawn: dict[str, Clips] = field(default_factory=dict)

    def clips(self, table: pd.DataFrame, recipe: Mapping[str, Any], *, n: int) -> Clips:
        """All clips of a recipe, those of the table among them: the caller's, or drawn again."""
        clips = self.own
        if clips is None:
            if recipe.get("corpus") != "SynthME":
                raise ValueError(f"the {n} clips are not in the record; give the prepared set: rerun(..., clips=...)")
            wanted = {name: recipe[name] for name in signature(synthme.synthetic_clips).parameters if name in recipe}
            if repr(wanted) not in self.drawn:
                self.drawn = {repr(wanted): synthme.synthetic_clips(**wanted, progress=self.progress)}
            clips = self.drawn[repr(wanted)]
        missing = sorted(set(table["clip_id"]) - set(clips.table["clip_id"]))
        if missing:
            raise ValueError(f"{len(missing)} of {len(table)} clips of the record are missing, such as {missing[0]!r}")
        differing = sorted(k for k in {*clips.recipe, *recipe} if clips.recipe.get(k) != recipe.get(k))
        if differing:
            raise ValueError(f"these clips were made by another recipe; they differ in {', '.join(differing)}")
        return clips

    def clips_under(self, table: pd.DataFrame, recipe: Mapping[str, Any]) -> Clips:
        """The clips of a table, with its classes, in its order."""
        clips = self.clips(table, recipe, n=len(table))
        # Beside weights only the ids are kept of clips that are not drawn; their classes are in the set that is given.
        return clips.with_table(table) if "subject" in table else clips.select(table["clip_id"])

    def models(self, name: str) -> dict[str, MEDN]:
        """The models that may be meant by the sha256 of their weights: those given, or else a pretrained one."""
        named: Any = [name] if name in pretrained_names() else []
        if self.model is not None:
            named = self.model.values() if isinstance(self.model, Mapping) else [self.model]
        loaded = [model if isinstance(model, MEDN) else load_pretrained(model) for model in named]
        return {weights_sha256(model): model for model in loaded}

    def call(self, function: Callable[..., Any], source: Mapping[str, Any], table: pd.DataFrame, **how: Any) -> Any:
        """The function called again: the same model, clips and number of threads.

        A record may hold a selection of its clips. Rounding depends on which clips share a batch, so the whole run is
        made again.
        """
        run, name, sha256 = source["run"], str(source.get("name")), source["sha256"]
        n = run["clips"]["n"]
        clips = self.clips(table, source["recipe"], n=n)
        lacking = (
            f"the record holds {len(table)} of the {n} clips of its run and does not name the others;"
            " give the clips of the run, in their order: rerun(record, clips=...)"
        )
        whole, models = _of_run(run, table, clips.table, otherwise=lacking), self.models(name)
        if sha256 not in models:
            found = f"has other weights by now: {', '.join(sha[:12] for sha in models)}" if models else "is not here"
            raise ValueError(f"the model {name!r} {found}; give the one with {sha256:.12}: rerun(record, model=...)")
        model, kind = models[sha256], str(run.get("device", "cpu")).split(" ")[0]
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self.model is None and there.get(kind):
            model = model.to(kind)
        with torch_threads(run.get("threads")):
            size = run.get("batch_size", 64)
            return function(model, clips.with_table(whole), batch_size=size, progress=self.progress, **how)

    def call_for(self, stored: Any, function: Callable[..., Any], **how: Any) -> _Made:
        """A record of one call made again, with the clips of the stored one."""
        return _Made(self.call(function, stored.source, stored.table, **how).select(stored.table["clip_id"]))


def _of_run(run: Mapping[str, Any], *tables: pd.DataFrame, otherwise: str) -> pd.DataFrame:
    """The one of these tables that holds the clips of a run, in their order."""
    n, sha256 = run["clips"]["n"], run["clips"]["sha256"]
    found = next((one for one in tables if len(one) == n and ids_sha256(one) == sha256), None)
    return records.require(found, otherwise=otherwise)


def _predictions(stored: Predictions, given: _Given) -> _Made:
    source, run, ids = stored.source, stored.source["run"], stored.table["clip_id"]
    call, n = run["call"], run["clips"]["n"]
    if call not in ("evaluate_loso", "evaluate_cross_dataset", "evaluate_folds", "selection_audit"):
        return given.call_for(stored, evaluate.predict)
    if len(ids) != n:
        raise ValueError(f"{n - len(ids)} of {n} clips have no prediction; rerun needs a whole cross-validation")
    how: dict[str, Any] = {"training": TrainConfig(**source["training"]), "label": run["label"]}
    if call == "selection_audit":
        how["validation_share"] = run["validation_share"]
    if call == "evaluate_folds":
        how["folds"] = [  # an older record holds no training clips where they are all others
            Fold(one["held_out"], tuple(one["train"] or ids[~ids.isin(one["test"])]), tuple(one["test"]))
            for one in run["folds"]
        ]
    clips = given.clips_under(stored.table, source["recipe"])
    again = getattr(evaluate, call)(MEDNConfig(**source["model"]), clips, progress=given.progress, **how).predictions
    return _Made(again[source["rule"]] if call == "selection_audit" else again)


def _kept_tokens(stored: records.KeptTokens, given: _Given) -> _Made:
    # Version 0.1.0 drew no random models.
    how: dict[str, Any] = {name: stored.source.get("run", {}).get(name, 0) for name in ("n_draws", "seed")}

    def again(model: MEDN, clips: Clips, **batches: Any) -> records.KeptTokens:
        if stored.region:
            lacking = f"the cover of the {stored.region} needs the truth, which these clips lack; give the drawn ones"
            how.update(truth=records.require(clips.truth, otherwise=lacking), region=stored.region)
        return diagnose.kept_tokens(model, clips, **how, **batches)

    return given.call_for(stored, again)


def _embedding(stored: Embedding, given: _Given) -> _Made:
    """The maps of the branches; those of layers that the caller gave are left out."""
    source, run, params, ids = stored.source, stored.source["run"], stored.params, stored.table["clip_id"]
    how = {name: params[name] for name in ("method", "min_dist", "metric", "seed") if name in params}
    how["branches"] = [name for name in stored.maps if name not in stored.layers]
    if not how["branches"]:
        raise ValueError(f"the maps are of layers alone ({', '.join(stored.layers)}), which the record does not hold")
    if params["method"] != "pca":
        how["n_neighbors"] = params.get("n_neighbors_asked", params["n_neighbors"])
    if "drawn_from" in params:
        how["most_clips"] = params["n_clips"]
    features = {}
    for name, of in run.get("checkpoints", {"": {**source, "run": source.get("features")}}).items():
        found = given.call(evaluate.extract_features, of, stored.table)
        lacking = f"the record holds {len(stored)} of the {run['clips']['n']} clips that were mapped; rerun the whole"
        features[name] = found.select(_of_run(run, found.table, stored.table, otherwise=lacking)["clip_id"])
    if run["call"] == "aligned_umap":
        again = diagnose.aligned_umap(features, **how)[run["checkpoint"]]
    else:
        again = diagnose.umap(features[""], **how)
    notes = [f"the map of layer {one!r} was not made again: its activations are not stored" for one in stored.layers]
    return _Made(again.select(ids), tuple(notes))


def _report(stored: DecouplingReport, given: _Given) -> _Made:
    """The whole table, measured again on the same features."""
    source, run, parameters = stored.source, stored.source["run"], stored.source["parameters"]
    if run.get("by_hand"):
        raise ValueError(f"the caller gave {' and '.join(run['by_hand'])}, which the record does not hold")
    features = {}
    for name, of in source["models"].items():
        table = stored.clips.query("model == @name").drop(columns="model").reset_index(drop=True)
        features[name] = replace(given.call(evaluate.extract_features, of, table).select(table["clip_id"]), table=table)
    kind: Any = "ridge" if parameters["probe"] == "linear" else parameters["probe"]  # its name in 0.1.0
    again = diagnose.decoupling_report(
        features, given=run["given"], targets=run["targets"], n_permutations=parameters["permutations"],
        n_shuffles=parameters["label shuffles"], label=parameters["emotion column"], kind=kind, seed=parameters["seed"],
        scheme=parameters.get("scheme", "exchange"), protocol=source.get("protocol", ""), about=source.get("about"),
        n_exchanges=parameters.get("exchanges", 0), readers=parameters.get("readers", ()), progress=given.progress,
    )  # fmt: skip
    later = again.table.columns.difference(stored.table.columns, sort=False)  # an older version did not have them
    notes = (f"the stored report lacks {', '.join(later)}",) if len(later) else ()
    return _Made(replace(again, table=again.table.drop(columns=later)), notes)


def _history(stored: History, given: _Given) -> _Made:
    made = _trained(stored, given)
    return made._replace(again=made.again.history)


def _trained(stored: History, given: _Given) -> _Made:
    """The model trained again, for as many epochs as the stored training had when it ended."""
    source, run, training = stored.source, stored.source["run"], TrainConfig(**stored.config["training"])
    start, processes = source["start"], training.devices * training.num_nodes
    if processes > 1:
        raise ValueError(f"this training was of {processes} processes; start them with torchrun, and compare")
    if not len(stored):
        raise ValueError("this training ended before its first epoch: there is nothing to make again")
    parts = {name: rows.drop(columns="part").reset_index(drop=True) for name, rows in stored.clips.groupby("part")}
    clips, notes = given.clips_under(parts["training"], source["recipe"]), []
    unseen, validation = clips, None
    model = MEDN(MEDNConfig(**stored.config["model"]), seed=start["seed"])
    if weights_sha256(model) != start["sha256"]:
        models = given.models(start["name"])
        if start["sha256"] not in models:
            began = f"{start['sha256'][:12]} of {start['name']!r}"
            raise ValueError(f"the training began from the weights {began}: give that model, rerun(record, model=...)")
        model = deepcopy(models[start["sha256"]])  # the caller's own model is not trained
    if "validation" in parts:
        try:  # validation clips change nothing of a training
            unseen = validation = given.clips_under(parts["validation"], source["validation"])
        except ValueError as reason:
            notes.append(f"the validation scores were not made again: {reason}")
    stop = SimpleNamespace(on_epoch_end=lambda run: run.stop() if run.epoch >= len(stored) else None)
    how: dict[str, Any] = {"training": training, "label": run["label"], "progress": given.progress}
    with torch_threads(run.get("threads")):  # where the configuration leaves their number alone
        table = fit(model, clips, validation=validation, callbacks=[stop], **how).table
    measured = [name for name in stored.table if name not in table and not name.startswith("validation_")]
    if source["callbacks"]:
        columns = f", so {', '.join(measured)} are not compared" if measured else ""
        notes.append(f"the callbacks {', '.join(source['callbacks'])} were not called again{columns}")
    return _Made(model, notes, unseen)


def _model(stored: MEDN, given: _Given) -> _Made:
    """The model trained again, by the history that it has or the card of ``pretrained/``."""
    then = weights_sha256(stored)
    if stored.history is not None:
        if stored.history.source.get("sha256") != then:
            raise ValueError(f"the weights of {stored.name!r} were changed since: its history is not of them")
        return _trained(stored.history, given)
    file = pretrained_folder() / stored.name / "figures.json"
    if not file.is_file():
        raise ValueError(f"{stored.name!r} has no history, and no card in pretrained/ says how it was trained")
    if weights_sha256(load_pretrained(stored.name)) != then:
        raise ValueError(f"the weights of {stored.name!r} were changed after it was loaded: its card is not of them")
    card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    again, clips = MEDN(stored.config), synthme.synthetic_clips(**card["training_corpus"], progress=given.progress)
    fit(again, clips, training=TrainConfig(**card["training"]), progress=given.progress)
    unseen = clips
    if "held_out_corpus" in card:
        unseen = synthme.synthetic_clips(**card["held_out_corpus"], progress=False)
    return _Made(again, (), unseen, {"versions": {"medn-lab": card["medn_lab"]}})


# Arguments of attribution methods in 0.1.0, with the values that are built in now.
FORMER = (("stride", None), ("weights", "each"))

# How each kind of result is made again.
AGAIN: dict[Any, Callable[[Any, _Given], _Made]] = {
    Predictions: _predictions,
    BranchFeatures: lambda stored, given: given.call_for(stored, evaluate.extract_features),
    records.Attribution: lambda stored, given: given.call_for(
        stored,
        attribute,
        target=stored.target,
        method=stored.method,
        params={name: value for name, value in stored.params.items() if (name, value) not in FORMER},
    ),
    records.KeptTokens: _kept_tokens,
    Embedding: _embedding,
    DecouplingReport: _report,
    History: _history,
    MEDN: _model,
}


def _difference(stored: Any, again: Any) -> float:
    """The largest difference of any number; infinite where shapes, gaps or words differ."""
    one, other = _numbers(stored), _numbers(again)
    if one.keys() != other.keys() and not isinstance(stored, History):  # what callbacks measured is not made again
        return np.inf
    return max((_apart(one[name], other[name]) for name in one if name in other), default=0.0)


def _numbers(record: Any) -> dict[str, Any]:
    if isinstance(record, MEDN):
        return {name: value.cpu().double().numpy() for name, value in record.state_dict().items()}
    if isinstance(record, History | DecouplingReport):
        return {name: record.table[name] for name in record.table if name != "seconds"}
    return {name: value for name, value in vars(record).items() if isinstance(value, np.ndarray) and name != "fold"}


def _apart(one: Any, other: Any) -> float:
    if one.shape != other.shape:
        return np.inf
    if isinstance(one, pd.Series):  # a column of a table may hold words
        x, y = (pd.to_numeric(column, errors="coerce").to_numpy(dtype=float) for column in (one, other))
        words = (["" if pd.isna(value) else str(value) for value in column[np.isnan(x)]] for column in (one, other))
        if next(words) != next(words):
            return np.inf
        one, other = x, y
    x, y = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if not np.array_equal(np.isnan(x), np.isnan(y)):
        return np.inf
    return float(np.nanmax(np.abs(x - y), initial=0.0))
