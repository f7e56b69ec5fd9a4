"""What Action Units alone can score, and the pairs of clips that only something else can tell apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medn_lab.data.protocols import Fold, canonical_emotion, leave_one_subject_out
from medn_lab.evaluate.metrics import accuracy, uar, uf1
from medn_lab.evaluate.resampling import Draws, draw_subjects, ratio
from medn_lab.records import Predictions, au_doubt, au_set_text, au_sets, check_label, check_table, people

SIDES = {"happiness": 1, "positive": 1} | dict.fromkeys(
    ("disgust", "repression", "anger", "fear", "sadness", "contempt", "negative"), -1
)
"""Which side an emotion is on. Opposite are a positive and a negative one; surprise, others and whatever else is not
named here are on neither side and opposite to nothing. Repression counts as negative, as in the protocols of MEGC."""


def confusable_pairs(
    table: pd.DataFrame, *, label: str = "label", keep_side: bool = False, opposite: bool = False
) -> pd.DataFrame:
    """All pairs of clips with the same AU set and different emotions.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id`` and ``action_units`` or AU columns; :func:`medn_lab.records.au_sets` says which AU sets are the
        same.
    label : str
        Column of the emotion.
    keep_side : bool
        Whether an AU on one side is another AU than on both; the default drops the side, which makes more pairs.
    opposite : bool
        Only pairs of opposite emotions: happiness (or ``positive``) against disgust, repression, anger, fear, sadness,
        contempt (or ``negative``). Surprise and others are opposite to nothing.

    Returns
    -------
    DataFrame
        One row a pair: ``clip_a, clip_b, action_units, label_a, label_b``; `clip_a` comes before `clip_b` in the table.
        Clips without a label are in no pair, nor those whose AUs are unknown, disputed or incomplete, nor those in
        which no AU is coded. ``.attrs["n_doubtful"]`` counts the clips left out because their AU set is disputed or
        incomplete. Empty where there are none, as for SAMM's five classes.

    Raises
    ------
    ValueError
        If a column is missing or a clip_id appears twice.

    See Also
    --------
    pair_auc

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "action_units": ["12", "12", "4"],
    ...                       "label": ["happiness", "repression", "others"]})
    >>> confusable_pairs(table)
      clip_a clip_b action_units    label_a     label_b
    0      a      b           12  happiness  repression
    """
    table = check_table(table, owner="confusable_pairs", required=("clip_id", label))
    ids = table["clip_id"].to_numpy()
    labels = check_label(table, label=label, complete=False).to_numpy()
    names = np.array([au_set_text(aus) if aus else "" for aus in au_sets(table, keep_side=keep_side)], dtype=object)
    places = pd.Series(np.flatnonzero((names != "") & ~pd.isna(labels)))
    side = _side(labels)
    found = [np.empty((2, 0), dtype=int)]
    for _, group in places.groupby(names[places], sort=True):
        pairs = group.to_numpy()[np.array(np.triu_indices(len(group), k=1))]
        differ = labels[pairs[0]] != labels[pairs[1]]
        if opposite:
            differ &= side[pairs[0]] * side[pairs[1]] < 0
        found.append(pairs[:, differ])
    a, b = np.concatenate(found, axis=1)
    columns = {"clip_a": ids[a], "clip_b": ids[b], "action_units": names[a], "label_a": labels[a], "label_b": labels[b]}
    pairs = pd.DataFrame(columns)
    pairs.attrs["n_doubtful"] = int((au_doubt(table, keep_side=keep_side) != "").sum())
    return pairs


def _side(labels: np.ndarray) -> np.ndarray:
    """1 for a positive emotion, -1 for a negative one, 0 for neither or a missing label."""
    codes, names = pd.factorize(labels)  # Each name is looked up once; a missing label has the code -1, the last.
    return np.array([*(SIDES.get(canonical_emotion(name), 0) for name in names), 0])[codes]


@dataclass(frozen=True)
class PairAUC:
    """The result of :func:`pair_auc`: how well confusable pairs are separated.

    Attributes
    ----------
    value : float
        In [0, 1]; 0.5 is what motion alone can do; NaN where there is no pair.
    low, high : float
        Bounds at `level`, from Student's t over the subjects of the pairs; NaN where all clips are of one subject.
    level : float
    n_pairs, n_clips, n_subjects : int
    opposite : bool
        Whether only pairs of opposite emotions were counted.
    n_doubtful : int
        Clips in no pair because their AU set is disputed or incomplete.
    reason : str
        Why there is no figure; empty where there is one.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("ab"), "subject": list("12"), "label": list("xy"), "action_units": "4"})
    >>> found = pair_auc(Predictions(np.eye(2), table, ("x", "y")), n_resamples=50)
    >>> found.value, found.n_pairs
    (1.0, 1)
    """

    value: float
    low: float
    high: float
    level: float
    n_pairs: int
    n_clips: int
    n_subjects: int
    opposite: bool = False
    reason: str = ""
    n_doubtful: int = 0

    def __repr__(self) -> str:
        doubt = f"; {self.n_doubtful} clips with AUs in doubt left out" if self.n_doubtful else ""
        if not self.n_pairs:
            return f"pair AUC: none, because {self.reason}{doubt}"
        return (
            f"pair AUC {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.level:.0%}, {self.n_pairs} pairs of"
            f" {'opposite emotions, ' if self.opposite else ''}{self.n_clips} clips, {self.n_subjects} subjects{doubt})"
        )


def pair_auc(
    predictions: Predictions,
    *,
    label: str = "label",
    keep_side: bool = False,
    opposite: bool = False,
    across_folds: bool = False,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> PairAUC:
    """Over confusable pairs, how often the right clip is ranked higher for the emotion in question.

    Each pair counts twice: which of the two clips has the first one's emotion, and which the second's. The answer is
    the clip with the higher probability of that emotion; a tie counts half. A model that reads motion alone gives both
    clips nearly the same probabilities and guesses.

    Where the predictions come from a cross-validation, only pairs within a fold count: both clips were then new to the
    one network that scored them. Across folds each network has learned from the clip that the other one scores. AUs
    alone then score far below 0.5 (0.34 where a motion branch was trained on 100 clips), which is an effect of the
    split and no knowledge.

    Parameters
    ----------
    predictions : Predictions
    label : str
        Column of the true emotion.
    keep_side : bool
        As in :func:`confusable_pairs`.
    opposite : bool
        Only pairs of opposite emotions, as in :func:`confusable_pairs`; by default all that differ.
    across_folds : bool
        Count pairs of two folds too, biased as they are. Without folds every pair counts.
    level : float
        Coverage of the interval, in (0, 1).
    n_resamples : int
        Resamples of whole subjects; a pair of two subjects counts as often as both were drawn together.
    seed : int

    Returns
    -------
    PairAUC

    Raises
    ------
    ValueError
        If a column is missing, or a label is not a class of the predictions.

    See Also
    --------
    confusable_pairs

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": list("abc"), "subject": list("123"), "label": list("xyx")})
    >>> table["action_units"] = "4"
    >>> pair_auc(Predictions(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), table, ("x", "y")), n_resamples=50)
    pair AUC 0.500 [0.015, 0.985] (95%, 2 pairs of 3 clips, 3 subjects)
    """
    table = predictions.table
    every = confusable_pairs(table, label=label, keep_side=keep_side, opposite=opposite)
    doubtful = every.attrs["n_doubtful"]
    pairs = every if across_folds else pairs_within_folds(every, predictions)
    if not len(pairs):
        reason = f"the clips of each of {len(every)} pairs were held out in different folds"
        if not len(every):
            sides = set(_side(table[label].to_numpy())) if opposite else {1, -1}
            lacking = [name for side, name in ((1, "positive"), (-1, "negative")) if side not in sides]
            reason = f"no two clips share an AU set and {'have opposite emotions' if opposite else 'differ in emotion'}"
            reason = f"no clip has a {lacking[0]} emotion" if lacking else reason
            reason = aus_unknown(table, keep_side=keep_side) or reason
        return PairAUC(np.nan, np.nan, np.nan, level, 0, 0, 0, opposite, reason, doubtful)
    clips = pd.unique(pairs[["clip_a", "clip_b"]].to_numpy().ravel())
    n_subjects = people(table).set_axis(table["clip_id"])[clips].nunique()
    right = _right_answers(predictions, pairs)
    low = high = np.nan
    if (right == 0.5).all():  # The two clips of every pair have the same scores, as from a model of the AUs alone.
        low = high = 0.5
    elif n_subjects > 1:
        draws = draw_subjects(table, n_resamples=n_resamples, level=level, seed=seed)
        values = pair_values(predictions, pairs, draws=draws)
        low, high = draws.bounds(values, n_clips=len(clips), share=True, n_people=n_subjects)
    sizes = (len(pairs), len(clips), n_subjects)
    return PairAUC(float(right.mean()), low, high, level, *sizes, opposite, n_doubtful=doubtful)


def pairs_within_folds(pairs: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Those pairs whose two clips were held out together; all of them where there are no folds."""
    if predictions.fold is None:
        return pairs
    first, second = (predictions.fold[places] for places in _places(predictions, pairs))
    return pairs[first == second].reset_index(drop=True)


def pair_values(predictions: Predictions, pairs: pd.DataFrame, *, draws: Draws) -> np.ndarray:
    """The pair AUC in the sample and in each draw of its persons, (1 + n_resamples,).

    A pair of two persons counts as often as both were drawn together, a pair within one person as often as that person.
    """
    right, n = _right_answers(predictions, pairs), len(draws.names)
    a, b = _places(predictions, pairs)
    first, second = draws.person[a], draws.person[b]
    within = first == second
    sums = []
    for weights in (right, np.ones(len(right))):
        between = np.zeros((n, n))
        np.add.at(between, (first[~within], second[~within]), weights[~within])
        own = draws.tally(a[within], weights=weights[within])
        sums.append(((draws.counts @ between) * draws.counts).sum(axis=1) + draws.counts @ own)
    return ratio(*sums)


def _places(predictions: Predictions, pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the first and of the second clip of each pair."""
    place = pd.Index(predictions.table["clip_id"])
    return place.get_indexer(pairs["clip_a"]), place.get_indexer(pairs["clip_b"])


def _right_answers(predictions: Predictions, pairs: pd.DataFrame) -> np.ndarray:
    """The share of the two questions about each pair that has a right answer: 0, a quarter, ... 1."""
    classes = pd.Index(predictions.classes)
    unknown = sorted((set(pairs["label_a"]) | set(pairs["label_b"])) - set(classes))
    if unknown:
        raise ValueError(f"the pairs are labelled {', '.join(unknown)}; the classes are {', '.join(classes)}")
    (a, b), scores = _places(predictions, pairs), predictions.probabilities
    of_a, of_b = (classes.get_indexer(pairs[name]) for name in ("label_a", "label_b"))
    ahead = np.stack([scores[a, of_a] - scores[b, of_a], scores[b, of_b] - scores[a, of_b]])
    return (0.5 + 0.5 * np.sign(ahead)).mean(axis=0)


def aus_unknown(table: pd.DataFrame, *, keep_side: bool) -> str:
    """That the AU set of no clip is known, as a sentence; empty where one is."""
    if any(aus is not None for aus in au_sets(table, keep_side=keep_side)):
        return ""
    in_doubt = " or in doubt" if (au_doubt(table, keep_side=keep_side) != "").any() else ""
    return f"the AUs of all {len(table)} clips are unknown{in_doubt}"


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
            f"{self.name}: accuracy {self.accuracy:.3f}, UF1 {self.uf1:.3f}, UAR {self.uar:.3f} ({self.n_clips} clips,"
            f" {self.n_subjects} subjects, {self.n_unseen} clips with an AU set not seen before{unknown})"
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
        is of the same clips as a model's score.

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
    ids = table["clip_id"].astype(str)
    sets, doubt = au_sets(table), pd.Series(au_doubt(table) != "", index=ids)
    rows = pd.DataFrame({"aus": sets, "label": table[label].to_numpy()}, index=ids)
    set_of, n_unseen = rows["aus"].to_dict(), 0
    decided: dict[str, tuple[str, int]] = {}
    (by_set, by_au), labels = _votes(rows), Counter(rows["label"])
    for number, fold in enumerate(leave_one_subject_out(table) if folds is None else folds):
        out = rows[~rows.index.isin(fold.train)]  # Mostly one person: fewer to count than the others.
        out_set, out_au = _votes(out)
        overall = labels - Counter(out["label"])
        for clip_id in fold.test:
            aus = set_of[clip_id]
            votes = by_set[aus] - out_set[aus]
            if not votes:
                n_unseen += 1
                votes = sum((by_au[au] - out_au[au] for au in aus or ()), Counter()) or overall
            decided[clip_id] = min(votes, key=lambda name: (-votes[name], -overall[name], str(name))), number
    scored = table[ids.isin(decided.keys())].reset_index(drop=True)
    found = pd.DataFrame(decided, index=["class", "fold"]).T.reindex(scored["clip_id"].astype(str))
    predicted, classes = found["class"].rename_axis("clip_id").rename(None), tuple(sorted(rows["label"].unique()))
    name = "AU-only floor" if any(aus is not None for aus in sets) else "majority class (no AUs known)"
    chosen = predicted.to_numpy()[:, None] == np.array(classes, dtype=object)
    answers = scored[label].to_numpy(), predicted.to_numpy()
    return Floor(
        accuracy=accuracy(*answers),
        uf1=uf1(*answers),
        uar=uar(*answers),
        predicted=predicted,
        n_clips=len(scored),
        n_subjects=people(scored).nunique(),
        n_unseen=n_unseen,
        n_unknown=sum(set_of[clip_id] is None for clip_id in predicted.index),
        n_doubtful=int(doubt[predicted.index].sum()),
        predictions=Predictions(
            logits=np.where(chosen, 0, -np.inf).astype("float32"),
            table=scored,
            classes=classes,
            fold=found["fold"].to_numpy(dtype=int),
            protocol=name,
            source={"name": name},
        ),
    )


def _votes(rows: pd.DataFrame) -> tuple[defaultdict[frozenset[str] | None, Counter], defaultdict[str, Counter]]:
    """How often each emotion has each AU set and each AU; what is not known has no vote."""
    by_set: defaultdict[frozenset[str] | None, Counter] = defaultdict(Counter)
    by_au: defaultdict[str, Counter] = defaultdict(Counter)
    for aus, emotion in zip(rows["aus"], rows["label"], strict=True):
        for au in aus or ():
            by_au[au][emotion] += 1
        if aus is not None:
            by_set[aus][emotion] += 1
    return by_set, by_au
