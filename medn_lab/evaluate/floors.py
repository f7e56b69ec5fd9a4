"""What Action Units alone can score: the floor that a network has to leave before anything else is claimed of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.data.protocols import Fold, leave_one_subject_out
from medn_lab.evaluate.metrics import accuracy, uar, uf1
from medn_lab.records import Predictions, au_doubt, au_sets, check_label, people


@dataclass(frozen=True)
class Floor:
    """The scores of :func:`au_only_floor`.

    Attributes
    ----------
    accuracy, uf1, uar : float
        Of the pooled folds, in [0, 1].
    predicted : Series
        What was decided of each clip, by ``clip_id``.
    n_clips, n_subjects : int
    n_unseen : int
        Clips whose AU set no training subject showed.
    n_unknown : int
        Clips whose AU set is unknown, disputed or incomplete; they are among the unseen, and were given the majority of
        all. They have no vote.
    n_doubtful : int
        Those of them whose AU set is disputed or incomplete.
    predictions : Predictions
        The same decisions as the record that models give, so that :func:`bootstrap_interval` and
        :func:`compare_predictions` take them; the decided class has logit 0, every other -inf.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abcd"), "subject": list("1122"), "label": list("xyxy")})
    >>> table["action_units"] = ["4", "12", "4", "12"]
    >>> floor = au_only_floor(table)
    >>> floor.accuracy, floor.predicted.tolist()
    (1.0, ['x', 'y', 'x', 'y'])
    """

    accuracy: float
    uf1: float
    uar: float
    predicted: pd.Series
    n_clips: int
    n_subjects: int
    n_unseen: int
    n_unknown: int
    predictions: Predictions
    n_doubtful: int = 0

    @property
    def name(self) -> str:
        """``"AU-only floor"``, or ``"majority class (no AUs known)"`` where the AU set of no clip is known."""
        return self.predictions.source["name"]

    def __repr__(self) -> str:
        unknown = f", {self.n_unknown} of them with unknown AUs" if self.n_unknown else ""
        unknown += f", {self.n_doubtful} of these in doubt" if self.n_doubtful else ""
        return (
            f"{self.name}: accuracy {self.accuracy:.3f}, UF1 {self.uf1:.3f}, UAR {self.uar:.3f}"
            f" ({self.n_clips} clips, {self.n_subjects} subjects, {self.n_unseen} clips with an AU set not seen before"
            f"{unknown})"
        )


def au_only_floor(table: pd.DataFrame, *, label: str = "label", folds: Sequence[Fold] | None = None) -> Floor:
    """How well a clip's AU set tells its emotion, without any network, on persons left out.

    Each clip gets the majority emotion of its AU set among the training subjects. An AU set that they do not show is
    decided by the vote of its single AUs, and if those are new too (or the AUs unknown) by the majority of all.
    Ties go to the emotion that is more frequent among the training clips, then to the alphabet.

    A clip whose AU set is disputed or incomplete counts as one with unknown AUs. Where no AU set is known at all, this
    is the majority class, and the result says so.

    It reads the coders' AUs, which a network has to detect first; a network of AUs alone will score less.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id, subject, action_units`` (or AU columns) and, where it has several data sets, ``dataset``.
    label : str
        Column of the emotion.
    folds : sequence of Fold, optional
        The split; by default each subject is left out once. Only clips that a fold tests are scored, so that the floor
        stands beside the same clips as a model's score.

    Returns
    -------
    Floor

    Raises
    ------
    ValueError
        If a column is missing or there are fewer than 2 subjects.

    See Also
    --------
    pair_auc, evaluate_loso

    Examples
    --------
    >>> table = pd.DataFrame({
    ...     "clip_id": list("abcd"), "subject": ["1", "1", "2", "2"],
    ...     "action_units": ["12", "4", "12", "4"], "label": ["happiness", "disgust", "happiness", "others"]})
    >>> au_only_floor(table)
    AU-only floor: accuracy 0.500, ...
    """
    table = table.assign(**{label: check_label(table, label=label)})
    sets, doubt = au_sets(table), pd.Series(au_doubt(table) != "", index=table["clip_id"].astype(str))
    rows = pd.DataFrame({"aus": sets, "label": table[label].to_numpy()}, index=table["clip_id"].astype(str))
    set_of = rows["aus"].to_dict()
    folds = leave_one_subject_out(table) if folds is None else folds
    decided: dict[str, str] = {}
    fold_of: dict[str, int] = {}
    unseen = 0
    (by_set, by_au), all_labels = _votes(rows), Counter(rows["label"])
    for number, fold in enumerate(folds):
        out = rows[~rows.index.isin(fold.train)]  # mostly one person: fewer to count than the others
        out_set, out_au = _votes(out)
        overall = all_labels - Counter(out["label"])
        for clip_id in fold.test:
            aus = set_of[clip_id]
            votes = by_set[aus] - out_set[aus]
            if not votes:
                unseen += 1
                votes = sum((by_au[au] - out_au[au] for au in aus or ()), Counter())
            decided[clip_id] = _winner(votes or overall, overall)
            fold_of[clip_id] = number
    scored = table[table["clip_id"].astype(str).isin(decided.keys())].reset_index(drop=True)
    predicted = pd.Series(decided).reindex(scored["clip_id"].astype(str)).rename_axis("clip_id")
    true = scored[label].to_numpy()
    right, f1, recall = (measure(true, predicted.to_numpy()) for measure in (accuracy, uf1, uar))
    unknown = sum(set_of[clip_id] is None for clip_id in predicted.index)
    name = "AU-only floor" if any(aus is not None for aus in sets) else "majority class (no AUs known)"
    classes = tuple(sorted(rows["label"].unique()))
    predictions = Predictions(
        logits=np.where(predicted.to_numpy()[:, None] == np.array(classes, dtype=object), 0, -np.inf).astype("float32"),
        table=scored,
        classes=classes,
        fold=np.array([fold_of[clip_id] for clip_id in predicted.index]),
        protocol=name,
        source={"name": name},
    )
    n_subjects = people(scored).nunique()
    doubtful = int(doubt[predicted.index].sum())
    return Floor(right, f1, recall, predicted, len(scored), n_subjects, unseen, unknown, predictions, doubtful)


def _votes(rows: pd.DataFrame) -> tuple[defaultdict[frozenset[str] | None, Counter], defaultdict[str, Counter]]:
    """How often each emotion has each AU set and each AU; what is not known has no vote."""
    by_set: defaultdict[frozenset[str] | None, Counter] = defaultdict(Counter)
    by_au: defaultdict[str, Counter] = defaultdict(Counter)
    for aus, emotion in zip(rows["aus"], rows["label"], strict=True):
        if aus is not None:
            by_set[aus][emotion] += 1
            for au in aus:
                by_au[au][emotion] += 1
    return by_set, by_au


def _winner(votes: Counter, overall: Counter) -> str:
    return min(votes, key=lambda emotion: (-votes[emotion], -overall[emotion], str(emotion)))
