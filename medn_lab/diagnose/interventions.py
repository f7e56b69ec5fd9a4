"""Interventions on the branches: a concept erased from a feature, and clips in which one factor was changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import entr

from medn_lab.diagnose.leaks import BRANCHES, MEAN_OF_AUS, leakage
from medn_lab.diagnose.probing import LEVEL, encode_target
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.resampling import draw_counts, ratio, t_bounds
from medn_lab.records import BranchFeatures, Predictions, au_columns, constant_columns, constant_reason, people, require

# Directions whose deviation is below this share of the largest are rounding, and are not whitened.
SMALLEST_SHARE = 1e-5

# Canonical correlations up to this are rounding.
UNCORRELATED = 1e-8

# The factor of SynthME that each branch should hold.
OWN_FACTOR = {"motion": "au", "emotion": "cue"}

# The last columns of each table.
COLUMNS = ("n_clips", "n_subjects", "direction", "reason")


class Whitened:
    """A feature (n, d) in coordinates (n, width) with covariance 1; `down` leads there, `up` leads back."""

    def __init__(self, x: np.ndarray) -> None:
        if len(x) < 2:
            raise ValueError(f"an eraser needs 2 or more clips in which the concept is known; there are {len(x)}")
        self.mean, moving = x.mean(axis=0), ~constant_columns(x)
        spread = np.where(moving, x.std(axis=0), 1.0)
        _, sizes, axes = np.linalg.svd(np.where(moving, (x - self.mean) / spread, 0.0), full_matrices=False)
        kept = sizes > SMALLEST_SHARE * max(sizes.max(initial=0.0), 1e-300)
        deviations = sizes[kept, None] / np.sqrt(len(x))
        self.down, self.up = (axes[kept] / spread / deviations).T, deviations * axes[kept] * spread
        self.coordinates, self.width = self(x), self.down.shape[1]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Other rows in these coordinates."""
        return (x - self.mean) @ self.down

    def shared(self, concept: Whitened, *, most: int | None = None) -> np.ndarray:
        """The directions (width, k) that covary most with the concept; all that covary where `most` is None."""
        covariance = self.coordinates.T @ concept.coordinates / len(self.coordinates)
        axes, correlations, _ = np.linalg.svd(covariance, full_matrices=False)
        return axes[:, correlations > UNCORRELATED][:, :most]

    def without(self, axes: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Rows that have the mean of the fitted clips in some directions, and are as they were in all others."""
        return x - self(x) @ axes @ axes.T @ self.up


def concept_columns(table: pd.DataFrame, what: str) -> np.ndarray:
    """What is erased as (n, k) float, a row of NaN where it is not known; ValueError where the table lacks it."""
    aus = au_columns(table) if what == MEAN_OF_AUS else []
    if not aus and what not in table:
        raise ValueError(f"the table has no {what} to erase; give {MEAN_OF_AUS} or one of {', '.join(table.columns)}")
    columns = table[aus].to_numpy(dtype=float) if aus else encode_target(table[what].to_numpy(dtype=object)).columns
    return np.where(np.isfinite(columns).all(axis=1, keepdims=True), columns, np.nan)


def erase(
    features: BranchFeatures,
    *,
    what: str = MEAN_OF_AUS,
    branch: Literal["motion", "emotion", "fused"] = "emotion",
    fitted_to: BranchFeatures | None = None,
) -> BranchFeatures:
    """The features with a concept erased from one branch by LEACE, in closed form.

    The eraser is the affine map after which no linear reader finds the concept: the covariance of every coordinate with
    it is 0. Of all such maps it changes the feature least, in any norm. It whitens the feature, takes off the column
    space of the whitened covariance with the concept, turns back and adds the mean. A reader that is not linear may
    still find the concept: read the result with the other kinds of :func:`probe`.

    Parameters
    ----------
    features : BranchFeatures
    what : str
        ``AUs`` (all AU columns together) or a column of the table: names (``cue``, ``label``) or numbers. Clips in
        which it is not known are erased too, and the eraser is not fitted to them.
    branch : {"motion", "emotion", "fused"}
        A feature of 8 dimensions that covaries with 16 AUs loses everything.
    fitted_to : BranchFeatures, optional
        Clips of other persons that the eraser is fitted to; the clips themselves where None, which erases exactly. To
        probe what is left, fit to other persons: a probe that learns from some of the clips that an eraser was fitted
        to reads the others below 0.5, as their covariances add up to 0. From other persons a part of the concept
        remains; of 64 dimensions that hold it weakly (canonical correlations of 0.3) half with 256 clips, a third with
        1000.

    Returns
    -------
    BranchFeatures
        With the erased feature, float64, in place of the branch's own; everything else, the fused feature too, is
        unchanged. ``source["erased"]`` holds `what`, `branch`, ``rank`` (directions erased), ``width`` (directions in
        which the feature varied) and ``n_fitted`` (clips that the eraser was fitted to).

    Raises
    ------
    ValueError
        If the branch or the concept is not there, a feature is not finite, or the widths differ.

    See Also
    --------
    erasure_effect : whether the network uses what is erased.
    leakage : what can still be read.

    References
    ----------
    Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff, Biderman: "LEACE: Perfect linear concept erasure in closed
    form", NeurIPS 2023, theorem 4.3.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": list("abcd") * 10})
    >>> table["AU12"] = rng.integers(0, 2, 40)
    >>> emotion = rng.normal(size=(40, 3)) + table[["AU12"]].to_numpy()
    >>> erased = erase(BranchFeatures(None, emotion, emotion, table)).emotion
    >>> [bool(abs(np.cov(x[:, 0], table["AU12"])[0, 1]) > 1e-8) for x in (emotion, erased)]
    [True, False]
    """
    missing = f"there is no {branch} branch to erase from"
    fit = features if fitted_to is None else fitted_to
    given = (require(getattr(one, branch, None), otherwise=missing) for one in (features, fit))
    x, other = (check_features(values, owner=f"the {branch} features") for values in given)
    columns = concept_columns(fit.table, what)
    if x.shape[1] != other.shape[1]:
        raise ValueError(f"the {branch} features have width {x.shape[1]}, those to fit to {other.shape[1]}")
    known = np.isfinite(columns[:, 0])
    own = Whitened(other[known])
    axes = own.shared(Whitened(columns[known]))
    note = {"what": what, "branch": branch, "rank": axes.shape[1], "width": own.width, "n_fitted": int(known.sum())}
    source = {name: value for name, value in features.source.items() if name != "run"} | {"erased": note}
    return replace(features, **{branch: own.without(axes, x)}, source=source)


def counterfactual_shift(
    features: BranchFeatures,
    counterfactuals: Mapping[str, BranchFeatures],
    *,
    predictions: Predictions | None = None,
    changed_predictions: Mapping[str, Predictions] | None = None,
    reference: BranchFeatures | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """How far each branch's feature moves when one factor of the clips is changed and the others are kept.

    The shift is the length of the feature's change in standard deviations: the root of the mean over clips of
    |changed - original|^2 / V. V is the total variance of the feature (the sum over its dimensions) within the original
    clips and within the changed ones, pooled (their mean), as in Cohen's d. It does not depend on rotation, scale or
    unused dimensions. 0 is no change; the square root of 2, 1.41, is what a clip in exchange for any other clip gives.

    Parameters
    ----------
    features : BranchFeatures
        Of the original clips, of 2 or more persons for an interval.
    counterfactuals : mapping of str to BranchFeatures
        By factor: the features of the changed clips, with the ids of the originals (all, or some of them), as
        ``medn_lab.synthme.counterfactual_clips`` makes them. The factors ``au, intensity, head, person, cue`` have a
        direction.
    predictions : Predictions, optional
        Of the original clips, for the share of predicted classes that change.
    changed_predictions : mapping of str to Predictions, optional
        Of the changed clips, by factor.
    reference : BranchFeatures, optional
        Clips whose total variance is V; needed where there is one clip.
    n_resamples : int
        Draws of subjects for the 95 % intervals; 0 for none.
    seed : int

    Returns
    -------
    DataFrame
        A factor and branch a row: ``factor, branch``; ``value, low, high`` in standard deviations, at least 0 (the
        interval is Student's t over subjects, V fixed); ``n_clips, n_subjects, direction`` (which way is better
        decoupled: a motion feature moves with the AUs alone, an emotion feature with the cue alone; empty where neither
        is), ``reason`` (why a value is missing). With predictions a row more for each factor, whose branch is
        ``answer``: its value is the share of predicted classes that change, in [0, 1].

    Raises
    ------
    ValueError
        If a changed clip has no original, a feature has another width, or no variance can be computed.

    See Also
    --------
    dci : disentanglement and completeness from the same clips.

    References
    ----------
    Half the squared shift is Jansen's estimate of the total effect of a factor on the feature, as a share of its
    variance: "Analysis of variance designs for model output", Computer Physics Communications 117, 1999.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(200)], "subject": list("abcd") * 50})
    >>> one, other = rng.normal(size=(2, 200, 3))
    >>> features, changed = (BranchFeatures(x, one, x, table) for x in (one, other))
    >>> found = counterfactual_shift(features, {"au": changed}).set_index("branch")["value"]
    >>> found.round(1).to_dict()
    {'motion': 1.4, 'emotion': 0.0, 'fused': 1.4}
    """
    rows, how = [], {"n_resamples": n_resamples, "seed": seed}
    for factor, changed in counterfactuals.items():
        table = features.select(changed.table["clip_id"]).table
        for branch in (one for one in BRANCHES if getattr(features, one) is not None):
            squares, reason = _squared_shift(features, changed, factor, branch, reference)
            means, n = person_means(table, squares, **how)
            low, high = t_bounds(np.sqrt(means), n_units=n, level=LEVEL)
            own = "" if (branch, factor) == ("motion", "intensity") else OWN_FACTOR.get(branch)
            direction = "higher" if own == factor else "lower" if own else ""
            rows.append((factor, branch, np.sqrt(means[0]), max(low, 0.0), high, len(table), n, direction, reason))
        if predictions is not None and changed_predictions is not None:
            given = (one.select(table["clip_id"]).predicted for one in (predictions, changed_predictions[factor]))
            flips, n = person_means(table, 1.0 * np.not_equal(*given), **how)
            bounds = t_bounds(flips, n_units=n, n_clips=len(table), level=LEVEL, share=True)
            rows.append((factor, "answer", flips[0], *bounds, len(table), n, "", ""))
    return pd.DataFrame(rows, columns=["factor", "branch", "value", "low", "high", *COLUMNS])


def dci(
    features: BranchFeatures, counterfactuals: Mapping[str, BranchFeatures], *, n_resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Disentanglement, completeness and informativeness of the two branches, taken as two groups of codes.

    The importance of a factor for a branch is half the squared shift of :func:`counterfactual_shift`: the share of the
    feature's variance that the factor moves (up to 1.5 where a cue of three states always gets another one).
    Disentanglement of a branch is 1 minus the entropy of its importances over the factors, completeness of a factor 1
    minus the entropy of its importances over the branches, each in units of the largest entropy: 1 where each branch
    moves with one factor and each factor moves one branch, 0 where every factor moves every branch as far. The totals
    weight branches and factors by their summed importance. Informativeness is here the probe AUC of the factor from
    both branches together (in the paper it is an error).

    Parameters
    ----------
    features : BranchFeatures
        Of the original clips, with both branches.
    counterfactuals : mapping of str to BranchFeatures
        As in :func:`counterfactual_shift`, with ``au`` and ``cue``, the factor that each branch should hold.
    n_resamples : int
        Draws of subjects for the 95 % intervals; 0 for none.
    seed : int
        Of draws and folds.

    Returns
    -------
    DataFrame
        ``score, branch, factor, value, low, high, n_clips, n_subjects`` (the fewest of the factors), ``direction,
        reason``. A row of the score ``importance`` for each branch and factor (at least 0), ``disentanglement`` of each
        branch, ``completeness`` of each factor, both also in total (branch or factor ``all``), and ``informativeness``
        of ``au`` and ``cue`` where their columns are in the table; these are in [0, 1]. `direction` is ``higher``, for
        scores. Scores of a branch that nothing moves, or that is constant, are NaN, with a reason.

    Raises
    ------
    ValueError
        If a factor or a branch is missing, or the clips do not fit.

    See Also
    --------
    counterfactual_shift : the shifts with their intervals.

    References
    ----------
    Eastwood, Williams: "A framework for the quantitative evaluation of disentangled representations", ICLR 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(200)], "subject": list("abcd") * 50})
    >>> one, two, new = rng.normal(size=(3, 200, 3))
    >>> changed = {"au": BranchFeatures(new, two, two, table), "cue": BranchFeatures(one, new, two, table)}
    >>> found = dci(BranchFeatures(one, two, two, table), changed).set_index("score")
    >>> found.loc[["disentanglement", "completeness"], "value"].round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    branches, factors = list(OWN_FACTOR), list(OWN_FACTOR.values())
    if missing := [name for name in factors if name not in counterfactuals]:
        raise ValueError(f"disentanglement needs clips with a changed au and a changed cue; there are no {missing[0]}")
    importance, found = np.empty((1 + n_resamples, 2, 2)), {}
    tables = [features.select(counterfactuals[factor].table["clip_id"]).table for factor in factors]
    for (row, factor), (column, branch) in product(enumerate(factors), enumerate(branches)):
        squares, _ = _squared_shift(features, counterfactuals[factor], factor, branch)
        means, _ = person_means(tables[row], squares, n_resamples=n_resamples, seed=seed)
        found["importance", branch, factor] = importance[:, row, column] = means / 2
    of_branches, of_factors = [(branch, "all") for branch in branches], [("all", factor) for factor in factors]
    for axis, score, named in ((1, "disentanglement", of_branches), (2, "completeness", of_factors)):
        weights = importance.sum(axis=axis)
        scores = 1 - entr(ratio(importance, np.expand_dims(weights, axis))).sum(axis=axis) / np.log(2)
        found |= {(score, *name): values for name, values in zip(named, scores.T, strict=True)}
        weighted = np.where(weights == 0, 0.0, scores * weights)  # what has no weight need not have a score
        found[score, "all", "all"] = ratio(weighted.sum(axis=1), weights.sum(axis=1))
    n_clips, n_subjects = min(map(len, tables)), min(len(set(people(table))) for table in tables)
    rows = []
    for name, values in found.items():
        most, direction = (np.inf, "") if name[0] == "importance" else (1, "higher")
        bounds = np.clip(t_bounds(values, n_units=n_subjects, level=LEVEL), 0, most)
        reason = "" if np.isfinite(values[0]) else "a branch is constant, or nothing moves it"
        rows.append((*name, float(values[0]), *bounds, n_clips, n_subjects, direction, reason))
    table = pd.DataFrame(rows, columns=["score", "branch", "factor", "value", "low", "high", *COLUMNS])
    both = replace(features, fused=np.hstack([getattr(features, branch) for branch in branches]))
    read = leakage(both, branches=["fused"], allowed={}, n_shuffles=0, n_resamples=n_resamples, seed=seed)
    read = read.assign(factor=read["target"].map({MEAN_OF_AUS: "au", "cue": "cue"})).dropna(subset="factor")
    read = read.assign(score="informativeness", branch="all", direction="higher").sort_values("target")  # AUs first
    return pd.concat([table, read[table.columns]], ignore_index=True)


def _squared_shift(
    features: BranchFeatures, changed: BranchFeatures, factor: str, branch: str, reference: BranchFeatures | None = None
) -> tuple[np.ndarray, str]:
    """The squared shift of each clip in units of the pooled total variance, and why it has no value."""
    owner = f"the {branch} features"
    records = [features.select(changed.table["clip_id"]), changed, *([] if reference is None else [reference])]
    given = (require(getattr(one, branch), otherwise=f"{owner} are not in every record") for one in records)
    one, other, *of_reference = (check_features(values, owner=owner) for values in given)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"{owner} have width {one.shape[1]}, and {other.shape[1]} where {factor} was changed")
    within = of_reference or [one, other]
    if min(map(len, within)) < 2:
        raise ValueError("one clip has no variance; give 2 clips or more, or a reference")
    reason = constant_reason({branch: np.concatenate(within)})
    variance = np.mean([values.var(axis=0, ddof=1).sum() for values in within])
    return np.full(len(one), np.nan) if reason else ((other - one) ** 2).sum(axis=1) / variance, reason


def person_means(table: pd.DataFrame, values: np.ndarray, *, n_resamples: int, seed: int) -> tuple[np.ndarray, int]:
    """The mean of values by clip in the sample and in each draw of persons, (1 + n_resamples,); the number of persons.

    The draws and :func:`medn_lab.evaluate.resampling.t_bounds` give its interval.
    """
    names, person = np.unique(people(table).to_numpy(dtype=str), return_inverse=True)
    draws = draw_counts(len(names), n_draws=n_resamples, seed=seed)
    sums, counts = (np.bincount(person, weights=one) for one in (values, np.ones(len(person))))
    return ratio(draws @ sums, draws @ counts), len(names)
