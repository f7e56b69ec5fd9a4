"""A stored result made again from its source and run record, and compared with what was stored."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import signature
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch

from medn_lab import diagnose, evaluate, records, synthme
from medn_lab.data.protocols import Fold
from medn_lab.diagnose.attribution import attribute
from medn_lab.model import MEDN, MEDNConfig, load_pretrained, pretrained_names, weights_sha256
from medn_lab.model.inputs import torch_threads
from medn_lab.model.medn import pretrained_folder
from medn_lab.records import Clips, DecouplingReport, History, ids_sha256, require
from medn_lab.records.table import counted
from medn_lab.train import TrainConfig, fit

__all__ = ["Rerun", "rerun"]

Model = MEDN | str | os.PathLike[str]

# The names that a decoupling report has for the arguments that it was made with.
REPORTED = {
    "n_permutations": "permutations", "n_shuffles": "label shuffles", "label": "emotion column", "kind": "probe",
    "seed": "seed", "scheme": "scheme", "n_exchanges": "exchanges", "readers": "readers",
}  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Rerun:
    """A stored result and the same made again.

    Attributes
    ----------
    stored, again : a record, or MEDN
        The result that was given, and the new one.
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
        found = "identical to the last bit" if self.identical else "not identical"
        if self.answers and not self.identical:
            found += ", the same class for {:,} of {:,} clips".format(*self.answers)
        if self.difference:
            found += f", the largest difference is {self.difference:.3g}"
        changes = ", ".join(f"{name} {then} -> {now}" for name, (then, now) in self.changed.items())
        facts = [found, f"changed since: {changes}" if changes else "recorded versions and hardware are the same"]
        facts += [f"not recorded: {', '.join(self.unrecorded)}"] if self.unrecorded else []
        if isinstance(self.stored, MEDN):
            named = f"the training of {self.stored.name}"
        else:
            table = self.stored.table
            named = f"{type(self.stored).__name__} ({counted(len(table), 'clip' if 'clip_id' in table else 'row')})"
        return "\n  ".join([f"Rerun of {named}: {'; '.join(facts)}", *self.notes])


def rerun(
    record: Any, *, clips: Clips | None = None, model: Model | Mapping[str, Model] | None = None, progress: bool = True
) -> Rerun:
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
    given = _Given(clips, model, progress)
    try:
        again = make(stored, given)
        then, now = given.facts or _facts(stored), _facts(again)
        weights = [one.source["sha256"] for one in (stored, again)] if isinstance(stored, History) else []
    except KeyError as missing:
        raise ValueError(f"the record does not say how it was made: {missing} is not in it") from missing
    if hasattr(again, "select"):  # a record may hold a selection of its clips
        again = again.select(stored.table["clip_id"])
    difference, answers = _difference(stored, again), None
    compared: tuple[Any, ...] = (stored, again)
    if isinstance(stored, MEDN) and difference:
        compared = tuple(evaluate.predict(one, given.unseen) for one in compared)
        given.notes.append(f"both models predicted {len(given.unseen)} clips")
    if len(set(weights)) > 1:
        given.notes.append(f"the weights at the end have the sha256 {weights[1]:.12} and not {weights[0]:.12}")
    if isinstance(compared[0], records.Predictions):
        answers = int((compared[0].predicted == compared[1].predicted).sum()), len(compared[0])
    changed = {name: (fact, now.get(name)) for name, fact in then.items() if fact != now.get(name)}
    unrecorded = tuple(name for name in now if name not in then)
    identical = difference == 0.0 and len(set(weights)) < 2
    return Rerun(stored, again, identical, difference, changed, tuple(given.notes), unrecorded, answers)


def _facts(record: Any) -> dict[str, Any]:
    """The versions, hardware and devices that a record holds."""
    source = record.history.source if isinstance(record, MEDN) and record.history else record.source
    facts = source["run"].get("versions", {}) | source["run"].get("hardware", {})
    runs = [one.get("features") or one.get("run") or {} for one in source.get("models", {"": source}).values()]
    devices = sorted({run["device"] for run in runs if "device" in run})
    return facts | ({"device": ", ".join(devices)} if devices else {})


@dataclass(eq=False)
class _Given:
    """The clips and models of the caller or those that the record names; `notes` on what was not made again.

    Of a model these are `unseen` clips (new to it where there are any), and the `facts` of its card in ``pretrained/``.
    """

    own: Clips | None
    model: Any
    progress: bool
    notes: list[str] = field(default_factory=list)
    unseen: Any = None
    facts: dict[str, Any] | None = None
    drawn: Any = None

    def clips(self, table: pd.DataFrame, recipe: Mapping[str, Any]) -> Clips:
        """All clips of a recipe, those of the table among them: the caller's, or drawn again."""
        clips = self.own
        if clips is None:
            if recipe.get("corpus") != "SynthME":
                n = len(table)
                raise ValueError(f"the {n} clips are not in the record; give the prepared set: rerun(..., clips=...)")
            if self.drawn is None or self.drawn.recipe != recipe:
                accepted = signature(synthme.synthetic_clips).parameters
                wanted = {name: value for name, value in recipe.items() if name in accepted}
                self.drawn = synthme.synthetic_clips(**wanted, progress=self.progress)
            clips = self.drawn
        missing = sorted(set(table["clip_id"]) - set(clips.table["clip_id"]))
        if missing:
            raise ValueError(f"{len(missing)} of {len(table)} clips of the record are missing, such as {missing[0]!r}")
        differing = sorted(k for k in {*clips.recipe, *recipe} if clips.recipe.get(k) != recipe.get(k))
        if differing:
            raise ValueError(f"these clips were made by another recipe; they differ in {', '.join(differing)}")
        return clips

    def clips_under(self, table: pd.DataFrame, recipe: Mapping[str, Any]) -> Clips:
        """The clips of a table, with its classes, in its order."""
        clips = self.clips(table, recipe)
        # With weights only the ids are kept of clips that are not drawn; their classes are in the set that is given.
        return clips.with_table(table) if "subject" in table else clips.select(table["clip_id"])

    def network(self, name: str, sha256: str, *, otherwise: str) -> MEDN:
        """The model with these weights, among those given, or else a pretrained one."""
        named: Any = [name] if name in pretrained_names() else []
        if self.model is not None:
            named = self.model.values() if isinstance(self.model, Mapping) else [self.model]
        models = [model if isinstance(model, MEDN) else load_pretrained(model) for model in named]
        return require(next((one for one in models if weights_sha256(one) == sha256), None), otherwise=otherwise)

    def call(self, function: Callable[..., Any], source: Mapping[str, Any], table: pd.DataFrame, **how: Any) -> Any:
        """The function called again: the same model, number of threads, and all clips of the run.

        Rounding depends on which clips share a batch.
        """
        run, name, sha256 = source["run"], str(source.get("name")), source["sha256"]
        clips = self.clips(table, source["recipe"])
        lacking = "give the clips of the run, in their order: rerun(record, clips=...)"
        whole = _of_run(run, table, clips.table, otherwise=lacking)
        other = f"the model {name!r} is not here, or has other weights by now; give the one with {sha256:.12}"
        model = self.network(name, sha256, otherwise=f"{other}: rerun(record, model=...)")
        kind = str(run.get("device", "cpu")).split(" ")[0]
        if self.model is None and torch.get_device_module(kind).is_available():
            model = model.to(kind)
        with torch_threads(run.get("threads")):
            size = run.get("batch_size", 64)
            return function(model, clips.with_table(whole), batch_size=size, progress=self.progress, **how)


def _of_run(run: Mapping[str, Any], *tables: pd.DataFrame, otherwise: str) -> pd.DataFrame:
    """The one of these tables that holds the clips of a run, in their order."""
    n, sha256 = run["clips"]["n"], run["clips"]["sha256"]
    found = next((one for one in tables if len(one) == n and ids_sha256(one) == sha256), None)
    return require(found, otherwise=f"the record holds {len(tables[0])} of the {n} clips of its run; {otherwise}")


def _predictions(stored: records.Predictions, given: _Given) -> records.Predictions:
    source, run, ids = stored.source, stored.source["run"], stored.table["clip_id"]
    call, n = run["call"], run["clips"]["n"]
    if call == "predict":
        return given.call(evaluate.predict, source, stored.table)
    if len(ids) != n:
        raise ValueError(f"{n - len(ids)} of {n} clips have no prediction; rerun needs a whole cross-validation")
    how: dict[str, Any] = {"training": TrainConfig(**source["training"]), "label": run["label"]}
    if call == "selection_audit":
        how["validation_share"] = run["validation_share"]
    if call == "evaluate_folds":
        how["folds"] = [Fold(one["held_out"], tuple(one["train"]), tuple(one["test"])) for one in run["folds"]]
    clips = given.clips_under(stored.table, source["recipe"])
    again = getattr(evaluate, call)(MEDNConfig(**source["model"]), clips, progress=given.progress, **how).predictions
    return again[source["rule"]] if call == "selection_audit" else again


def _kept_tokens(stored: records.KeptTokens, given: _Given) -> records.KeptTokens:
    how: dict[str, Any] = {name: stored.source["run"][name] for name in ("n_draws", "seed")}
    if stored.region:
        truth = given.clips(stored.table, stored.source["recipe"]).truth
        lacking = f"the cover of the {stored.region} needs the truth, which these clips lack; give the drawn ones"
        how |= {"truth": require(truth, otherwise=lacking), "region": stored.region}
    return given.call(diagnose.kept_tokens, stored.source, stored.table, **how)


def _embedding(stored: records.Embedding, given: _Given) -> records.Embedding:
    """The maps of the branches; those of layers that the caller gave are left out."""
    source, run, params = stored.source, stored.source["run"], stored.params
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
        whole = _of_run(run, stored.table, found.table, otherwise="give the record of all that were mapped")
        features[name] = found.select(whole["clip_id"])
    given.notes += [f"the map of layer {one!r} was not made again: no activations are stored" for one in stored.layers]
    if run["call"] == "aligned_umap":
        return diagnose.aligned_umap(features, **how)[run["checkpoint"]]
    return diagnose.umap(features[""], **how)


def _report(stored: DecouplingReport, given: _Given) -> DecouplingReport:
    """The whole table, measured again on the same features."""
    source, run, parameters = stored.source, stored.source["run"], stored.source["parameters"]
    if run.get("by_hand"):
        raise ValueError(f"the caller gave {' and '.join(run['by_hand'])}, which the record does not hold")
    features = {}
    for name, of in source["models"].items():
        table = stored.clips.query("model == @name").drop(columns="model").reset_index(drop=True)
        features[name] = replace(given.call(evaluate.extract_features, of, table).select(table["clip_id"]), table=table)
    how = {argument: parameters[name] for argument, name in REPORTED.items()}
    how |= {"given": run["given"], "targets": run["targets"], "progress": given.progress}
    return diagnose.decoupling_report(features, protocol=source["protocol"], about=source["about"], **how)


def _trained(stored: History, given: _Given) -> MEDN:
    """The model trained again, for as many epochs as the stored training had when it ended."""
    source, run, training = stored.source, stored.source["run"], TrainConfig(**stored.config["training"])
    start, processes = source["start"], training.devices * training.num_nodes
    if processes > 1:
        raise ValueError(f"this training was of {processes} processes; start them with torchrun, and compare")
    parts = {name: rows.drop(columns="part").reset_index(drop=True) for name, rows in stored.clips.groupby("part")}
    clips, validation = given.clips_under(parts["training"], source["recipe"]), None
    model = MEDN(MEDNConfig(**stored.config["model"]), seed=start["seed"])
    if weights_sha256(model) != start["sha256"]:
        began = f"the training began from the weights {start['sha256']:.12} of {start['name']!r}: give that model,"
        began += " rerun(record, model=...)"
        model = deepcopy(given.network(start["name"], start["sha256"], otherwise=began))  # the caller's stays as it is
    if "validation" in parts:
        try:  # validation clips change nothing of a training
            validation = given.clips_under(parts["validation"], source["validation"])
        except ValueError as reason:
            given.notes.append(f"the validation scores were not made again: {reason}")
    given.unseen = validation or clips
    stop = SimpleNamespace(on_epoch_end=lambda run: run.stop() if run.epoch >= len(stored) else None)
    how: dict[str, Any] = {"training": training, "label": run["label"], "progress": given.progress}
    with torch_threads(run.get("threads")):  # where the configuration leaves their number alone
        fit(model, clips, validation=validation, callbacks=[stop], **how)
    if source["callbacks"]:
        given.notes.append(f"the callbacks {', '.join(source['callbacks'])} were not called again")
    return model


def _model(stored: MEDN, given: _Given) -> MEDN:
    """The model trained again, by the history that it has or the card of ``pretrained/``."""
    if stored.history is not None:
        if stored.history.source.get("sha256") != weights_sha256(stored):
            raise ValueError(f"the weights of {stored.name!r} were changed since: its history is not of them")
        return _trained(stored.history, given)
    if not (file := pretrained_folder() / stored.name / "figures.json").is_file():
        raise ValueError(f"{stored.name!r} has no history, and no card in pretrained/ says how it was trained")
    card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    again, clips = MEDN(stored.config), synthme.synthetic_clips(**card["training_corpus"], progress=given.progress)
    fit(again, clips, training=TrainConfig(**card["training"]), progress=given.progress)
    corpus = card.get("held_out_corpus", card["training_corpus"])
    given.unseen = synthme.synthetic_clips(**corpus, progress=False)
    given.facts = {"medn-lab": card["medn_lab"]}
    return again


# How each kind of result is made again.
AGAIN: dict[Any, Callable[[Any, _Given], Any]] = {
    records.Predictions: _predictions,
    records.BranchFeatures: lambda stored, given: given.call(evaluate.extract_features, stored.source, stored.table),
    records.Attribution: lambda stored, given: given.call(
        attribute, stored.source, stored.table, target=stored.target, method=stored.method, params=stored.params
    ),
    records.KeptTokens: _kept_tokens,
    records.Embedding: _embedding,
    DecouplingReport: _report,
    History: lambda stored, given: _trained(stored, given).history,
    MEDN: _model,
}


def _difference(stored: Any, again: Any) -> float:
    """The largest difference of any number; infinite where shapes, gaps or words differ."""
    one, other, largest = _values(stored), _values(again), 0.0
    if one.keys() != other.keys() and not isinstance(stored, History):  # what callbacks measured is not made again
        return np.inf
    for name in one.keys() & other.keys():
        x, y = one[name], other[name]
        words = x.dtype == object
        if x.shape != y.shape or not np.array_equal(*((x, y) if words else (np.isnan(x), np.isnan(y)))):
            return np.inf
        largest = largest if words else max(largest, float(np.nanmax(np.abs(x - y), initial=0.0)))
    return largest


def _values(record: Any) -> dict[str, np.ndarray]:
    """The arrays of a record, float64; of a table for each column its numbers, and its words as objects."""
    if isinstance(record, MEDN):
        return {name: value.cpu().double().numpy() for name, value in record.state_dict().items()}
    if not isinstance(record, History | DecouplingReport):
        arrays = {name: value for name, value in vars(record).items() if isinstance(value, np.ndarray)}
        return {name: value.astype(np.float64) for name, value in arrays.items() if name != "fold"}
    found = {}
    for name, column in record.table.drop(columns="seconds", errors="ignore").items():
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
        found[name] = numbers
        found[f"{name}, words"] = column.astype(str).where(np.isnan(numbers) & column.notna(), "").to_numpy(object)
    return found
