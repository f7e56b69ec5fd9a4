"""Cross-dataset evaluation: every data set is tested by a network that learned from the others alone."""

from __future__ import annotations

import os

import pandas as pd

from medn_lab.data.protocols import Fold, ProtocolName
from medn_lab.evaluate.cross_validation import CrossValidation
from medn_lab.evaluate.folds import UnseenClasses
from medn_lab.evaluate.loso import cross_validate
from medn_lab.evaluate.parallel import Backend
from medn_lab.model import MEDNConfig
from medn_lab.records import Clips
from medn_lab.train import TrainConfig


def leave_one_dataset_out(table: pd.DataFrame) -> list[Fold]:
    """One fold a data set: all of its clips are tested, those of the others train.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id`` and ``dataset``.

    Returns
    -------
    list of Fold
        In the order of the data sets' names.

    Raises
    ------
    ValueError
        If there is no column ``dataset``, or fewer than two data sets.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": ["a", "b", "c"], "dataset": ["samm", "smic", "samm"], "subject": "01"})
    >>> leave_one_dataset_out(table)
    [Fold without samm: 1 clips to train, 2 to test, Fold without smic: 2 clips to train, 1 to test]
    """
    if "dataset" not in table:
        raise ValueError(f"the table has no column dataset; it has {', '.join(map(str, table.columns))}")
    where, ids = table["dataset"].astype(str).to_numpy(), table["clip_id"].astype(str).to_numpy()
    names = sorted(set(where))
    if len(names) < 2:
        raise ValueError(
            f"leaving one data set out needs at least 2 data sets; the {len(table)} clips are of {names[0]}"
        )
    return [Fold(name, tuple(ids[where != name]), tuple(ids[where == name])) for name in names]


def evaluate_cross_dataset(
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
    """Leave one data set out: train on all others and test on it.

    Harder than leaving out a subject: cameras, frame rates, lighting and coders change too. The interval is over the
    tested subjects; what it cannot say is how the next data set would do.

    Parameters
    ----------
    config : MEDNConfig
    clips : Clips
        Of at least two data sets; join their prepared sets or indexes first (``medn.data.join_indexes``).
    protocol : str, optional
        A protocol in which the data sets share classes, such as ``megc2019``.
    label, training, unseen_classes, n_jobs, backend, folder, progress
        As :func:`evaluate_loso` takes them.

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
    evaluate_loso, leave_one_dataset_out

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
    return cross_validate(
        config,
        clips,
        split="leave one data set out",
        folds=leave_one_dataset_out,
        protocol=protocol,
        label=label,
        training=training,
        unseen_classes=unseen_classes,
        n_jobs=n_jobs,
        backend=backend,
        folder=folder,
        progress=progress,
    )
