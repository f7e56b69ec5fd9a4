"""Cross-validation by subject: every person is tested by a network that never saw that person."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from medn_lab.data.protocols import Fold, ProtocolName, leave_one_subject_out
from medn_lab.evaluate.cross_validation import CrossValidation, floor_of, fold_table, pool
from medn_lab.evaluate.fold_store import FoldStore
from medn_lab.evaluate.folds import UnseenClasses, plan_folds
from medn_lab.evaluate.parallel import Backend, run_folds
from medn_lab.evaluate.prediction import predict
from medn_lab.evaluate.shared_clips import SharedClips
from medn_lab.model import MEDN, MEDNConfig
from medn_lab.records import Clips, Predictions
from medn_lab.train import TrainConfig, fit

LAST = "last_epoch"


def evaluate_loso(
    config: MEDNConfig,
    clips: Clips,
    *,
    protocol: ProtocolName | None = None,
    label: str = "label",
    training: TrainConfig | None = None,
    unseen_classes: UnseenClasses = "wrong",
    n_jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Leave one subject out: train a network for each person on all others, and pool what they say of that person.

    The last epoch counts; nothing is chosen by a held-out clip (:func:`selection_audit` shows what choosing would do).
    Clips of several data sets are one composite, as in MEGC 2019, in which subject 01 of one is not subject 01 of
    another; the scores are given for all and for each data set.

    Each fold starts from the same seed (``training.seed``, for the weights too) and works on one thread, so that on
    CPUs the predictions depend neither on `n_jobs` nor on `backend`, and equal those of a fold trained by hand with
    ``fit(MEDN(config, seed=seed), ...)``.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
        A prepared set stays on the disk; each running fold holds a copy of its own training clips.
    protocol : str, optional
        Which emotions make which classes, such as ``megc2019``; its classes replace those of `config`. Without one,
        `label` must name the model's classes.
    label : str
        Column of the class, without a protocol.
    training : TrainConfig, optional
    unseen_classes : {"wrong", "leave_out"}
        What becomes of a clip whose class no training clip of its fold has, such as the one clip of a class, or all
        clips where one subject alone shows it. ``wrong``: the network of that fold does not know the class, and the
        clip counts as wrong; ``folds["unseen"]`` names the classes. ``leave_out``: all clips of such classes are left
        out, and are rows of ``dropped``.
    n_jobs : int, optional
        Folds at once; by default one a core, or one where the training runs on a GPU.
    backend : {"loky", "threading", "dask", "ray"}
        Through joblib. ``loky`` makes processes on this machine. ``dask`` and ``ray`` use a cluster that you have
        started: ``from dask.distributed import Client; Client()`` or ``import ray; ray.init()`` on one machine, or with
        the address of a scheduler; a prepared set must then lie where every worker finds it. Under ``threading`` folds
        run one after another, because threads share torch's random state.
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
        If labels, classes and clips do not fit, there is one subject, the backend is not installed, the folder belongs
        to another run, or every fold fails.

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
    >>> result.folds["n_test"].tolist(), result.floor.accuracy
    ([2, 2], 1.0)
    """
    return cross_validate(
        config,
        clips,
        split="leave one subject out",
        folds=leave_one_subject_out,
        protocol=protocol,
        label=label,
        training=training,
        unseen_classes=unseen_classes,
        n_jobs=n_jobs,
        backend=backend,
        folder=folder,
        progress=progress,
    )


def evaluate_folds(
    config: MEDNConfig,
    clips: Clips,
    *,
    folds: Sequence[Fold],
    protocol: ProtocolName | None = None,
    label: str = "label",
    training: TrainConfig | None = None,
    unseen_classes: UnseenClasses = "wrong",
    n_jobs: int | None = None,
    backend: Backend = "loky",
    folder: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Train and test on folds of your own: five groups of subjects, for instance, or a published list.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    folds : sequence of Fold
        No person may be on both sides of one, and no clip may be tested twice; clips that no fold tests are not scored.
    protocol, label, training, unseen_classes, n_jobs, backend, folder, progress
        As :func:`evaluate_loso` takes them.

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
    return cross_validate(
        config,
        clips,
        split="given folds",
        folds=folds,
        protocol=protocol,
        label=label,
        training=training,
        unseen_classes=unseen_classes,
        n_jobs=n_jobs,
        backend=backend,
        folder=folder,
        progress=progress,
    )


def cross_validate(
    config: MEDNConfig,
    clips: Clips,
    *,
    split: str,
    folds: Sequence[Fold] | Callable[[pd.DataFrame], Sequence[Fold]],
    protocol: ProtocolName | None,
    label: str,
    training: TrainConfig | None,
    unseen_classes: UnseenClasses,
    n_jobs: int | None,
    backend: Backend,
    folder: str | os.PathLike[str] | None,
    progress: bool,
) -> CrossValidation:
    """What :func:`evaluate_loso` and its kin do, over any folds.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
    split : str
        How the folds are made, in words.
    folds : sequence of Fold, or a function of the kept table that makes them
    protocol, label, training, unseen_classes, n_jobs, backend, folder, progress
        As :func:`evaluate_loso` takes them.

    Returns
    -------
    CrossValidation
    """
    plan = plan_folds(
        config, clips, split=split, folds=folds, protocol=protocol, label=label, training=training,
        unseen_classes=unseen_classes,
    )  # fmt: skip
    task = partial(train_and_predict, config=plan.config, training=plan.training, label=label)
    store = None if folder is None else FoldStore(folder, plan.identity(task=LAST))
    jobs = jobs_by_default(plan.training) if n_jobs is None else n_jobs
    outcomes = run_folds(task, plan.clips, plan.folds, n_jobs=jobs, backend=backend, store=store, progress=progress)
    predictions = pool(outcomes, plan, rule=LAST)
    table = fold_table(outcomes, plan, rule=LAST)
    found = CrossValidation(predictions, table, floor_of(predictions, plan), plan.dropped, split, label)
    found.scores()  # their intervals are kept, so that printing needs no bootstrap
    return found


def jobs_by_default(training: TrainConfig) -> int:
    """One fold a core on CPUs (joblib's -1); one at a time where a GPU would be shared."""
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return 1 if training.device in ("cuda", "mps") or (training.device == "auto" and accelerated) else -1


def train_and_predict(
    clips: SharedClips, fold: Fold, *, config: MEDNConfig, training: TrainConfig, label: str
) -> tuple[Mapping[str, Predictions], pd.DataFrame]:
    """Train on one side of a fold and predict the other.

    Parameters
    ----------
    clips : SharedClips
    fold : Fold
    config : MEDNConfig
    training : TrainConfig
    label : str

    Returns
    -------
    predictions : dict of Predictions
        Those of the last epoch.
    epochs : DataFrame
        The training's history.
    """
    trained = clips.take(fold.train)
    model = MEDN(seen_classes(config, trained, label=label), seed=training.seed)
    history = fit(model, trained, training=training, label=label, progress=False)
    if history.status == "interrupted":  # fit keeps a half-trained model; a fold of one would be no fold
        raise KeyboardInterrupt
    return {LAST: with_all_classes(predict(model, clips.take(fold.test)), config.classes)}, history.table


def seen_classes(config: MEDNConfig, clips: Clips, *, label: str) -> MEDNConfig:
    """The configuration with the classes that these training clips have."""
    there = set(clips.table[label])
    seen = tuple(name for name in config.classes if name in there)
    if len(seen) < 2:
        raise ValueError(f"all {len(clips)} training clips are of {' and '.join(seen)}; a network needs two classes")
    return replace(config, classes=seen)


def with_all_classes(predictions: Predictions, classes: Sequence[str]) -> Predictions:
    """The predictions with columns for classes that the network does not know, which it never predicts.

    Their scores lie 100 below the lowest of the clip, a probability of 0.
    """
    known = [predictions.classes.index(name) if name in predictions.classes else -1 for name in classes]
    below = predictions.logits.min(axis=1, keepdims=True) - 100
    logits = np.hstack([predictions.logits, below])[:, known]
    return replace(predictions, logits=logits, classes=tuple(classes))
