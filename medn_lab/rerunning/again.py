"""The one call that makes a stored result again, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medn_lab.evaluate import CrossValidation, predict
from medn_lab.model import MEDN, weights_sha256
from medn_lab.records import (
    Attribution,
    BranchFeatures,
    Clips,
    DecouplingReport,
    Embedding,
    History,
    KeptTokens,
    Predictions,
)
from medn_lab.rerunning.clips import ClipsAgain
from medn_lab.rerunning.evaluation import EVALUATIONS, evaluation_again
from medn_lab.rerunning.models import GivenModel
from medn_lab.rerunning.outcome import Rerun, Rerunnable, difference_of, difference_of_tables, same_answers, since
from medn_lab.rerunning.results import (
    Means,
    attribution_again,
    embedding_again,
    features_again,
    kept_again,
    predictions_again,
    report_again,
)
from medn_lab.rerunning.training import by_card, training_again

ON_ONE_MACHINE = "UMAP with a seed draws the same map in every process of one machine; another may differ throughout"
"""Said of maps that came out otherwise."""


def rerun(
    record: Rerunnable | CrossValidation,
    *,
    clips: Clips | None = None,
    model: GivenModel | Mapping[str, GivenModel] | None = None,
    progress: bool = True,
) -> Rerun:
    """Make a stored result again from what it says about itself, and compare.

    =================================  =====================================================================
    result                             how it is made again
    =================================  =====================================================================
    ``Predictions``                    the model asked again; of ``evaluate_loso``, ``evaluate_cross_dataset``,
                                       ``evaluate_folds`` and ``selection_audit``: every fold trained again
    ``CrossValidation``                by its predictions
    ``BranchFeatures``                 the model asked again
    ``KeptTokens``, ``Attribution``    the model asked again; sanity figures are not measured again
    ``Embedding``                      the features, then the map by its parameters and seed
    ``DecouplingReport``               the features of each model, then the whole table
    ``History``                        the training: the losses of each epoch and the sha256 of the last weights
    a model                            its training, by the history kept with it or the card in ``pretrained/``
    =================================  =====================================================================

    Trainings take as long as they took; the bar says how long, and before it a line how long it was then. All else that
    this library computes (intervals, comparisons, leakage, pairs) is a function of one of these and its own arguments:
    call it again on it.

    Parameters
    ----------
    record : a record of the table above, or MEDN
        From a folder, or just made.
    clips : Clips, optional
        Drawn clips are drawn again by their recipe. Others are not in the record: give the prepared set.
    model : MEDN or folder, or mapping of several, optional
        One that is not in ``pretrained/``: the model that was asked, or of a training the one that it began from.
        Weights decide which it is, and it stays as it is.
    progress : bool
        Show bars, and say before a training how long it took.

    Returns
    -------
    Rerun
        ``identical`` on the same machine and versions. Elsewhere ``agreement``, the share of clips with the same
        predicted class, says whether a difference matters. ``changed`` names what differs, ``unrecorded`` what the
        result does not hold, ``notes`` what could not be made again (figures of your own callbacks, maps of layers that
        were handed in).

    Raises
    ------
    ValueError
        If the record does not say how it was made, the clips are needed and not given or not the same ones, the
        model is not to be had or has other weights by now, or something was handed in that is not in the record.
    TypeError
        If it is none of these records.

    See Also
    --------
    medn_lab.records.Predictions.save, medn_lab.records.run_record

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=1, clips_per_subject=6, seed=7)
    >>> trained = medn.load_pretrained("medn_tiny.synthme_v2")
    >>> medn.rerun(medn.predict(trained, clips), progress=False)
    Rerun of 6 Predictions: identical to the last bit; recorded versions and hardware are the same
    >>> maps = medn.diagnose.umap(medn.extract_features(trained, clips), method="pca")
    >>> medn.rerun(maps, progress=False)
    Rerun of an Embedding of 6 clips: identical to the last bit; recorded versions and hardware are the same
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, branches="motion")
    >>> mine = medn.model.MEDN(config, seed=3)
    >>> history = medn.fit(mine, clips, training=medn.train.TrainConfig(epochs=2), progress=False)
    >>> medn.rerun(history, progress=False)
    Rerun of a History of 2 epochs: identical to the last bit; recorded versions and hardware are the same

    ``medn.rerun(medn.load_pretrained("medn_tiny.synthme_v2"))`` draws 720 clips and trains 24 epochs, three minutes.
    """
    means = Means(ClipsAgain(clips, progress=progress), model, progress)
    if isinstance(record, CrossValidation):
        record = record.predictions
    if isinstance(record, MEDN):
        return _model(record, means)
    if not isinstance(record, Rerunnable):
        raise TypeError(
            f"a {type(record).__name__} is no saved result; rerun takes Predictions, BranchFeatures, Embedding,"
            " Attribution, KeptTokens, DecouplingReport, History, CrossValidation or a model, and what is computed from"
            " one of these is computed again by the same call on it"
        )
    if not record.source.get("run"):
        raise ValueError(
            "this record does not say how it was made: it was put together by hand, answered live, or written by an"
            " older version"
        )
    return _record(record, means)


def _record(stored: Any, means: Means) -> Rerun:
    if isinstance(stored, History):
        return _history(stored, means)
    if isinstance(stored, DecouplingReport):
        report = report_again(stored, means)
        return _compared(stored, report, difference_of_tables(stored.table, report.table))
    if isinstance(stored, Embedding):
        maps, notes = embedding_again(stored, means)
        difference = difference_of(stored, maps, names=stored._arrays)
        notes += (ON_ONE_MACHINE,) if difference and "umap" in stored.params["method"] else ()
        return _compared(stored, maps, difference, notes)
    make: Any = {
        Predictions: evaluation_again if stored.source["run"]["call"] in EVALUATIONS else predictions_again,
        BranchFeatures: features_again,
        Attribution: attribution_again,
        KeptTokens: kept_again,
    }[type(stored)]
    again = make(stored, means)
    names = [name for name in stored._arrays if name != "fold"]
    return _compared(stored, again, difference_of(stored, again, names=names))


def _history(stored: History, means: Means) -> Rerun:
    _, again, notes, _ = training_again(stored, means)
    shared = [name for name in stored.table if name in again.table and name != "seconds"]
    difference = difference_of_tables(stored.table[shared], again.table[shared])
    found = _compared(stored, again, difference, notes)
    then, now = stored.source.get("sha256"), again.source["sha256"]
    if then is None:
        return replace(found, notes=(*notes, "the stored history does not hold the sha256 of its weights"))
    if then != now:
        told = f"the weights at the end have the sha256 {now[:12]} and not {then[:12]}"
        return replace(found, identical=False, notes=(*notes, told))
    return found


def _model(stored: MEDN, means: Means) -> Rerun:
    notes: tuple[str, ...] = ()
    if stored.history is None:
        again, card, (which, clips) = by_card(stored, means)
        run: Mapping[str, Any] = {"versions": {"medn-lab": card["medn_lab"]}}
    else:
        if stored.history.source.get("sha256") != weights_sha256(stored):
            raise ValueError(f"the weights of {stored.name!r} were changed since: its history is not of them")
        again, _, notes, (which, clips) = training_again(stored.history, means)
        run = stored.history.source["run"]
    one, other = stored.state_dict(), again.state_dict()
    apart = [(one[name].detach().cpu().double() - other[name].detach().cpu().double()).abs().max() for name in one]
    if weights_sha256(stored) == weights_sha256(again):
        return _found(stored, again, run, 0.0, notes)
    answers = same_answers(predict(stored, clips), predict(again, clips))
    notes += (f"both models were asked about the {len(clips)} {which}",)
    return replace(_found(stored, again, run, float(max(apart)), notes, answers), identical=False)


def _compared(stored: Any, again: Any, difference: float, notes: tuple[str, ...] = ()) -> Rerun:
    answers = same_answers(stored, again) if isinstance(stored, Predictions) else None
    return _found(stored, again, stored.source["run"], difference, notes, answers)


def _found(
    stored: Any,
    again: Any,
    run: Mapping[str, Any],
    difference: float,
    notes: tuple[str, ...],
    answers: tuple[int, int] | None = None,
) -> Rerun:
    changed, unrecorded = since(run)
    then, now = _devices(stored), _devices(again)
    if then and then != now:
        changed["device"] = (", ".join(then), ", ".join(now))
    elif now and not then:
        unrecorded += ("device",)
    return Rerun(stored, again, difference == 0.0, difference, changed, notes, unrecorded, answers)


def _devices(record: Any) -> list[str]:
    """The devices that a record's networks ran on, as far as the record holds them."""
    if isinstance(record, MEDN):
        record = record.history
    if record is None:
        return []
    sources = record.source["models"].values() if isinstance(record, DecouplingReport) else [record.source]
    runs = [source.get("features") or source.get("run") or {} for source in sources]
    return sorted({run["device"] for run in runs if "device" in run})
