"""Cross-validation: every person, or every data set, is tested by a network that never saw it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.data.protocols import Fold, ProtocolName, leave_one_subject_out
from medn_lab.evaluate.folds import LAST, Plan, Split, plan_folds, run_folds
from medn_lab.evaluate.metrics import accuracy
from medn_lab.evaluate.pairs import au_only_floor
from medn_lab.evaluate.summary import score_table, unseen_line
from medn_lab.model import MEDNConfig
from medn_lab.records import Clips, Predictions, au_columns, people, run_record
from medn_lab.records.storage import describe_source
from medn_lab.train import TrainConfig

SPLITS = {"evaluate_cross_dataset": "leave one data set out", "evaluate_folds": "given folds"}


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The result of :func:`evaluate_loso`, :func:`evaluate_cross_dataset` or :func:`evaluate_folds`.

    Attributes
    ----------
    predictions : Predictions
        Every held-out clip once, in the order of the clips' table, with its ``fold`` and the ``protocol``.
    folds : DataFrame
        One row a fold: ``fold, held_out, n_train, n_test``, ``n_<class>`` (held-out clips of each class),
        ``accuracy, seconds, error, unseen, n_unseen``; where a fold failed, `error` is the sentence and the accuracy
        NaN. `unseen` names the classes that the fold tests and does not train; their `n_unseen` clips count as wrong.
    floor : Predictions
        What AUs alone give on the same clips and the same folds, as :func:`au_only_floor`.
    epochs : DataFrame
        ``fold, held_out``, and the history of each fold's training, a row an epoch.
    label : str
        Column of the true class in the predictions' table.

    Examples
    --------
    >>> from medn_lab.evaluate import au_only_floor
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> table["action_units"] = "4"
    >>> predicted = Predictions(np.eye(2)[[0, 1, 0, 0]], table, ("x", "y"), source={"split": "leave one subject out"})
    >>> folds = pd.DataFrame({"held_out": ["1", "2"], "n_test": 2, "accuracy": [1.0, 0.5], "error": "", "n_unseen": 0})
    >>> CrossValidation(predicted, folds, au_only_floor(table), folds[:0], "label")
    leave one subject out, no protocol: 2 of 2 folds finished, 4 clips of 2 subjects
    part  measure  value   low  high  floor  n_clips  n_subjects
     all accuracy  0.750 0.010 0.999  0.500        4           2
     all      UF1  0.733 0.006 0.999  0.333        4           2
     all      UAR  0.750 0.010 0.999  0.500        4           2
    last epoch of each fold; intervals: 95%, over resampled subjects; floor: AU-only floor
    """

    predictions: Predictions
    folds: pd.DataFrame
    floor: Predictions
    epochs: pd.DataFrame
    label: str

    def scores(self) -> pd.DataFrame:
        """Accuracy, UF1 and UAR with their 95 % intervals over subjects, of all clips and of each data set.

        Returns
        -------
        DataFrame
            ``part, measure, value, low, high, floor, n_clips, n_subjects``; `part` is ``all`` or, where there are
            several, a data set's name. The bounds are NaN where a part has one subject. ``.attrs["floor"]`` is the
            floor's name.
        """
        return score_table(self.predictions, self.floor, self.label)

    def __repr__(self) -> str:
        source, failed = self.predictions.source, self.folds[self.folds["error"] != ""]
        n, n_people = len(self.predictions), people(self.predictions.table).nunique()
        notes = [
            f"{source.get('split', 'folds')}, {self.predictions.protocol or 'no protocol'}:"
            f" {len(self.folds) - len(failed)} of {len(self.folds)} folds finished, {n} clips of {n_people} subjects",
            self.scores().round(3).to_string(index=False),
            f"last epoch of each fold; intervals: 95%, over resampled subjects; floor: {self.floor.source['name']}",
            unseen_line(self.folds),
            f"{failed['n_test'].sum():.0f} clips of {len(failed)} failed folds are not scored" if len(failed) else "",
            describe_source(source),
            *(f"failed: {row.held_out} ({row.error})" for row in failed[:5].itertuples()),
        ]
        return "\n".join(filter(None, notes))


def evaluate_loso(
    config: MEDNConfig, clips: Clips, *, protocol: ProtocolName | None = None, label: str = "label",
    training: TrainConfig | None = None, n_jobs: int | None = None, folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> CrossValidation:  # fmt: skip
    """Leave one subject out: train a network for each person on all others, and pool its predictions of that person.

    The last epoch counts; nothing is chosen by a held-out clip (:func:`selection_audit` shows what choosing would do).
    Clips of several data sets are one composite, as in MEGC 2019, in which subject 01 of one is not subject 01 of
    another; the scores are given for all and for each data set. A clip whose class no training clip of its fold has
    (such as the one clip of a class) counts as wrong, with a warning; ``folds["unseen"]`` names the classes.

    Each fold starts from the same seed (``training.seed``, for the weights too) and works on one thread, so that on
    CPUs the predictions do not depend on `n_jobs` or on the workers, and equal those of a fold trained by hand with
    ``fit(MEDN(config, seed=seed), ...)``.

    The context of joblib chooses the workers: processes of this machine by default, and under ``with
    joblib.parallel_config(backend="dask")`` (after ``dask.distributed.Client(...)``) those of a cluster, which must
    find the files of a prepared set. Under ``"threading"`` folds run one after another, because threads share torch's
    random state.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
        A prepared set stays on the disk; each running fold holds a copy of its own training clips.
    protocol : str, optional
        Which emotions make which classes, such as ``megc2019``; its classes replace those of `config`, and clips that
        it drops take no part (``medn.data.to_classes``). Without one, `label` must name the model's classes.
    label : str
        Column of the class, without a protocol.
    training : TrainConfig, optional
    n_jobs : int, optional
        Folds at once; by default one a core, or one where the training runs on a GPU.
    folder : path-like, optional
        Keeps each finished fold, as predictions. Called again with the same arguments after a kill, a failure or an
        interrupt, finished folds are read and the others made, with the results of a run that was never cut off.
    progress : bool
        Show a bar over the folds with the time left.

    Returns
    -------
    CrossValidation
        Pooled ``predictions`` with their ``fold``, a table of ``folds``, the AU-only ``floor``; prints as UF1, UAR and
        accuracy with intervals over subjects. A fold that fails is a row with its sentence, and the others finish; its
        clips are not scored.

    Raises
    ------
    ValueError
        If labels, classes and clips do not fit, there is one subject, the folder belongs to another run, or every
        fold fails.

    See Also
    --------
    evaluate_cross_dataset, evaluate_folds, selection_audit, compare_predictions, medn_lab.view.plot_folds

    References
    ----------
    See et al.: "MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge", FG 2019, for the pooling.

    Examples
    --------
    ``medn.evaluate.evaluate_loso(MEDNConfig.for_clips(clips), clips, protocol="casme2_5class", folder="runs/casme2")``

    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=2, seed=5)
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1)
    >>> result = evaluate_loso(config, clips, training=TrainConfig(epochs=1), n_jobs=1, progress=False)
    >>> result.folds["n_test"].tolist(), result.predictions.table["subject"].nunique()
    ([2, 2], 2)
    """
    options: dict[str, Any] = {"protocol": protocol, "label": label, "training": training}
    options |= {"n_jobs": n_jobs, "folder": folder, "progress": progress}
    return cross_validate(config, clips, "evaluate_loso", leave_one_subject_out, **options)[LAST]


def evaluate_folds(config: MEDNConfig, clips: Clips, *, folds: Sequence[Fold], **options: Any) -> CrossValidation:
    """Train and test on given folds: five groups of subjects, for instance, or a published list.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    folds : sequence of Fold
        No person may be on both sides of one, and no clip may be tested twice; clips that no fold tests are not scored.
    **options
        ``protocol, label, training, n_jobs, folder, progress`` of :func:`evaluate_loso`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        As :func:`evaluate_loso` does, or if a fold breaks one of the rules above.

    See Also
    --------
    evaluate_loso, medn_lab.data.Fold

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=2, seed=5)
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1)
    >>> ids = clips.table["clip_id"].tolist()
    >>> folds = [Fold("s02", train=tuple(ids[:2]), test=tuple(ids[2:]))]
    >>> result = evaluate_folds(config, clips, folds=folds, training=TrainConfig(epochs=1), n_jobs=1, progress=False)
    >>> result.predictions.table["subject"].unique().tolist()
    ['synthme5-s02']
    """
    return cross_validate(config, clips, "evaluate_folds", folds, **options)[LAST]


def leave_one_dataset_out(table: pd.DataFrame) -> list[Fold]:
    """One fold a data set, in the order of their names; ValueError if there are fewer than two."""
    if "dataset" not in table or len(set(table["dataset"])) < 2:
        raise ValueError(f"leaving one out needs at least 2 data sets; the {len(table)} clips are of one")
    return leave_one_subject_out(table.assign(subject=table["dataset"]).drop(columns="dataset"))


def evaluate_cross_dataset(config: MEDNConfig, clips: Clips, **options: Any) -> CrossValidation:
    """Leave one data set out: train on all others and test on it.

    Harder than leaving out a subject: cameras, frame rates, lighting and coders change too. The interval is over the
    tested subjects; what it cannot say is how the next data set would do.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
        Of at least two data sets; join their prepared sets or indexes first (``medn.data.join_indexes``).
    **options
        ``protocol, label, training, n_jobs, folder, progress`` of :func:`evaluate_loso`. Choose a
        protocol in which the data sets share classes, such as ``megc2019``.

    Returns
    -------
    CrossValidation
        Its scores are given for all clips and for each data set.

    Raises
    ------
    ValueError
        As :func:`evaluate_loso` does, or if there is one data set.

    See Also
    --------
    evaluate_loso

    Examples
    --------
    >>> import medn_lab as medn
    >>> clips = medn.synthetic_clips(n_subjects=2, clips_per_subject=2, seed=5)
    >>> clips = clips.with_table(clips.table.assign(dataset=["here", "here", "there", "there"]))
    >>> config = medn.model.MEDNConfig.for_clips(clips, dim=16, depth=1)
    >>> result = evaluate_cross_dataset(config, clips, training=TrainConfig(epochs=1), n_jobs=1, progress=False)
    >>> result.folds["held_out"].tolist()
    ['here', 'there']
    """
    return cross_validate(config, clips, "evaluate_cross_dataset", leave_one_dataset_out, **options)[LAST]


def cross_validate(
    config: MEDNConfig, clips: Clips, call: str, split: Sequence[Fold] | Split, share: float | None = None, /, *,
    n_jobs: int | None = None, folder: str | os.PathLike[str] | None = None, progress: bool = True, **options: Any,
) -> dict[str, CrossValidation]:  # fmt: skip
    """The result of all finished folds, by the rule that chose the epoch; `options` are those of `plan_folds`."""
    plan = plan_folds(config, clips, call, split, share, **options)
    outcomes = run_folds(plan, n_jobs=n_jobs, folder=folder, progress=progress)
    finished = {number: one for number, one in enumerate(outcomes) if not isinstance(one, str)}
    errors = {number: one for number, one in enumerate(outcomes) if isinstance(one, str)}
    if not finished:
        causes = "; ".join(list(dict.fromkeys(errors.values()))[:3])
        raise ValueError(f"none of {len(outcomes)} folds finished: {causes}")
    last = {number: one[LAST] for number, one in finished.items()}
    folds = plan.summary.assign(
        accuracy=pd.Series({number: accuracy(one.table[plan.label], one.predicted) for number, one in last.items()}),
        seconds=pd.Series({number: one.source["fold"]["seconds"] for number, one in last.items()}),
        error=pd.Series(errors, plan.summary.index, dtype=object).fillna(""),
    )
    each = {(n, plan.folds[n].held_out): pd.DataFrame(one.source["fold"]["epochs"]) for n, one in last.items()}
    epochs = pd.concat(each, names=["fold", "held_out"]).reset_index(["fold", "held_out"]).reset_index(drop=True)
    table = plan.table
    if "action_units" not in table and not au_columns(table):
        table = table.assign(action_units="?")  # The floor is then the majority class.
    floor = au_only_floor(table, label=plan.label, folds=[plan.folds[number] for number in finished])
    results = {}
    for rule in next(iter(finished.values())):
        pooled = pool({number: one[rule] for number, one in finished.items()}, plan, rule=rule)
        results[rule] = CrossValidation(pooled, folds, floor, epochs, plan.label)
    return results


def pool(finished: dict[int, Predictions], plan: Plan, *, rule: str) -> Predictions:
    """The held-out predictions of all finished folds as one record, in the order of the plan's table."""
    parts, settings = list(finished.values()), dict(plan.settings)
    ids = pd.Index(np.concatenate([part.table["clip_id"] for part in parts]))
    table = plan.table[plan.table["clip_id"].isin(ids)].reset_index(drop=True)
    order = ids.get_indexer(table["clip_id"])
    if plan.call == "evaluate_folds":
        settings["folds"] = [asdict(fold) for fold in plan.folds]
    names = [fold.held_out for fold in plan.folds]
    names = [f"{name} (fold {n})" if names.count(name) > 1 else name for n, name in enumerate(names)]
    first, split = parts[0], SPLITS.get(plan.call, "leave one subject out")
    settings |= {"label": plan.label, "device": first.source["run"]["device"]}
    source = {
        "name": f"MEDN, {split}", "split": split, "rule": rule, "recipe": dict(plan.clips.recipe),
        "model": asdict(plan.config), "training": asdict(plan.training),
        "sha256": {names[n]: part.source["sha256"] for n, part in finished.items()},
        "run": run_record(plan.call, table=plan.table, **settings),
    }  # fmt: skip
    whole: dict[str, Any] = {"aus": first.aus, "protocol": plan.protocol, "source": source}
    whole["fold"] = np.repeat(list(finished), [len(part) for part in parts])[order]
    if first.au_logits is not None:
        whole["au_logits"] = np.concatenate([part.au_logits for part in parts])[order]
    return Predictions(np.concatenate([part.logits for part in parts])[order], table, first.classes, **whole)
