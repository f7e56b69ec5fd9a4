"""A probe: what a simple reader that has not met the subject can tell from a feature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medn_lab.diagnose.held_out import Kind
from medn_lab.diagnose.reading import ProbeScore, ask, check_features, read


def probe(
    features: ArrayLike,
    target: ArrayLike,
    *,
    subjects: ArrayLike,
    kind: Kind = "ridge",
    n_folds: int = 5,
    n_shuffles: int = 100,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> ProbeScore:
    """How well a target can be read from a feature by a simple reader that has not met the subject.

    The default reader is a ridge on standardised features (for a 0/1 target Fisher's linear discriminant, shrunk), with
    its penalty chosen among seven inside the training folds by leaving out each training subject; a penalty that is too
    strong would overlook what lies in small directions and call a leak absent. Against a logistic regression with the
    same nested choice it read 14 AUs at .567 where that read .553, and at .995 where that read .996 (480 clips), 200
    times as fast. No subject is on both sides of a fold. Only clips of one fold are compared with each other, as scores
    of different fits have no common zero. Several classes are each read against the rest and averaged.

    A low AUC says that *this* reader finds nothing: try the other kinds before calling a feature free of the target.
    With few positive clips it lies below 0.5 where there is nothing, as positives held out are missing among those
    learned from; look at the shuffled labels (or at what a truth gives through the same probe) and not at 0.5.

    Parameters
    ----------
    features : (n, d) array-like
        Finite. A single column that is constant is left out.
    target : (n,) array-like
        0/1 (or False/True), class names, or an amount (numbers with more than two values, read by how well its order is
        kept). NaN or None where unknown: those clips are left out.
    subjects : (n,) array-like
        Who is in each clip; at least 2 persons.
    kind : {"ridge", "rbf", "knn", "boosting", "mlp"}
        ``rbf`` is the ridge on a Gaussian kernel of the median distance; ``knn`` the mean of the sqrt(n) nearest clips,
        weighted by 1 / distance; ``boosting`` gradient boosted trees; ``mlp`` a network with one hidden layer of 32.
        All read standardised features and are fitted to the training folds alone.
    n_folds : int
        At least 2; one a subject where there are fewer subjects.
    n_shuffles : int
        Label shuffles within subjects for the chance level (whole subjects change places where each has one value
        only); 0 for none.
    level : float
        Coverage aimed at by the interval, in (0, 1): Student's t over subjects, kept within [0, 1].
    n_resamples : int
        Draws of subjects for the interval; 0 for none.
    seed : int
        Of folds, shuffles and draws.

    Returns
    -------
    ProbeScore
        NaN with a reason where the features are constant, no clip (or every clip) has the target, or no fold holds both
        kinds.

    Raises
    ------
    ValueError
        If the numbers of rows differ, a feature is not a number, or there are fewer than 2 subjects.

    See Also
    --------
    leakage : of every branch and every target.

    References
    ----------
    Alain, Bengio: "Understanding intermediate layers using linear classifier probes", 2016. On pooling: Forman, Scholz:
    "Apples-to-apples in cross-validation studies", 2010.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> smiles = np.tile([0, 1], 60)
    >>> probe(smiles[:, None] + 0.1 * rng.normal(size=(120, 3)), smiles, subjects=np.repeat(range(6), 20)).auc
    1.0
    """
    x = check_features(features, owner="features")
    who = np.asarray(subjects, dtype=object)
    asked = ask(target)
    _same_length(x, asked.columns, who)
    if n_folds < 2:
        raise ValueError(f"a probe needs at least 2 folds, {n_folds} were asked for")
    if len(set(who.astype(str))) < 2:
        raise ValueError("a probe is tried on subjects that it has not met; there are fewer than 2 subjects")
    options: dict[str, Any] = {
        "kind": kind,
        "n_folds": n_folds,
        "n_shuffles": n_shuffles,
        "level": level,
        "n_resamples": n_resamples,
    }
    return read([asked], x, subjects=who, seed=seed, **options)[0].score


def _same_length(features: np.ndarray, columns: np.ndarray, subjects: np.ndarray) -> None:
    if not len(features) == len(columns) == len(subjects):
        raise ValueError(
            f"features have {len(features)} rows, target {len(columns)} and subjects {len(subjects)};"
            " all three must be of the same clips"
        )
