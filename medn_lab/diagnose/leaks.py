"""Leakage: the probe AUC of every target from each branch, with the AUC that the branch's own factor allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.concordance import concordance, count_pairs
from medn_lab.diagnose.held_out import Kind, clip_folds, held_out_scores
from medn_lab.diagnose.reading import (
    CONSTANT,
    ProbeScore,
    Question,
    Reading,
    ask,
    chance_of,
    check_features,
    mean_known,
    read,
)
from medn_lab.evaluate.resampling import draw_counts, t_bounds
from medn_lab.records import BranchFeatures, au_columns, check_label, is_constant, people, positions

BRANCHES = ("motion", "emotion", "fused")

MEAN_OF_AUS = "AUs"
"""The target of the row that averages the AUs."""


def leakage(
    features: BranchFeatures,
    *,
    targets: Sequence[str] | None = None,
    allowed: Mapping[str, ArrayLike | pd.DataFrame] | pd.DataFrame | None = None,
    extra: Mapping[str, ArrayLike | pd.Series] | None = None,
    label: str = "label",
    min_positives: int = 8,
    kind: Kind = "ridge",
    n_folds: int = 5,
    n_shuffles: int = 20,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The AUC of AUs, emotion, cue and subject from each branch, minus what the branch's own factor allows.

    One probe (:func:`medn_lab.diagnose.probe`) reads every target from every branch, and from the truth of the factor
    that the branch should hold. A motion branch that holds the AUs and nothing else gives the emotion as well as the
    AUs do, and an emotion branch that holds the cue alone gives the AUs as well as the cue does: that is `allowed`, and
    only the `excess` over it is a leak. Without a planted cue (real data) the labels replace it: an emotion branch may
    give of the AUs what the emotion's name gives. A branch that holds its own factor has no excess there and should
    have none elsewhere; an excess well below zero means that it has not learned its factor.

    Where the exact truth is known (SynthME), give its table as `allowed`. A probe that learns from few clips then reads
    less than `allowed` even from the truth itself; `excess_high` is raised by what it misses there. In a simulation of
    features that hold the cue alone 95 % intervals of the excess held 0 in .95 of the samples or more, with 8, 12 and
    24 persons.

    Parameters
    ----------
    features : BranchFeatures
        A branch that is None has no rows. The table's ``subject`` keeps persons apart.
    targets : sequence of str, optional
        ``aus`` (each AU column and their mean), ``emotion`` (the column `label`), ``cue``, ``subject``, the name of any
        other column of the table, or a key of `extra`. By default all of the first four that the table has, and
        `extra`.
    allowed : mapping of {"motion", "emotion", "fused"} to (n, k) arrays or DataFrames, or a DataFrame, optional
        A DataFrame with ``branch, target, allowed`` (``medn.synthme.allowed_auc()``) gives the exact AUC of a perfect
        reader of the branch's own factor; rows that it lacks are estimated. A mapping gives the truth that a branch
        should hold; a DataFrame in it is joined by its ``clip_id`` (column or index), an array goes by row. ``fused``
        may be left out: it is both. By default motion: the AU columns; emotion: the column ``cue`` one-hot, or the
        label one-hot where there is no cue. An empty mapping measures without.
    extra : mapping of str to (n,) arrays or Series, optional
        More targets, such as the speed of the head (an amount is read by how well its order is kept). A Series is
        joined by its index of clip ids.
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    min_positives : int
        AUs with fewer positive (or negative) clips are listed, but neither in the mean of the AUs nor the worst of
        them.
    kind : {"ridge", "rbf", "knn", "boosting", "mlp"}
        The reader, as :func:`medn_lab.diagnose.probe` takes it. ``boosting`` and ``mlp`` take some 0.1 s for each
        target, fold and shuffle; ``n_shuffles=0`` saves most of it.
    n_folds, n_shuffles, level, n_resamples, seed : int, int, float, int, int
        As :func:`medn_lab.diagnose.probe` takes them; all branches and the truth share folds, shuffles and draws.

    Returns
    -------
    DataFrame
        A branch and target a row: ``branch, target, auc, low, high`` (interval over resampled subjects), ``chance,
        chance_95, p`` (shuffled labels), ``allowed, excess, excess_low, excess_high`` (differences under the same draws
        of subjects), ``n_clips, n_subjects, n_positive, n_unknown, split, reason``; in the row
        ``AUs``, the mean, also ``worst_target, worst_auc, worst_excess``: the AU with the largest excess (the largest
        AUC where nothing is allowed), whose interval is in its own row; the largest of many AUs lies above its mean by
        chance. All AUCs in [0, 1]. `reason` says
        why a figure is missing, such as ``the emotion branch is constant``. `split` is ``subjects``, or ``clips`` for
        the target subject alone: whom a probe has not met it cannot name, so each subject's clips are spread over the
        folds, and the interval is over subjects as classes. ``attrs`` holds the parameters.

    Raises
    ------
    ValueError
        If a target is unknown, there are fewer than 2 subjects, or rows or branches do not fit.

    See Also
    --------
    probe, decoupling_report, medn_lab.view.plot_leakage

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(80)], "subject": list("abcdefgh") * 10})
    >>> table["AU12"] = rng.integers(0, 2, 80)
    >>> motion, emotion = table[["AU12"]].to_numpy() + rng.normal(0, 0.1, (80, 3)), rng.normal(size=(80, 3))
    >>> features = BranchFeatures(motion, emotion, emotion, table)
    >>> found = leakage(features, targets=["AU12"], n_shuffles=5, n_resamples=50).set_index("branch")
    >>> found["auc"].round(1).to_dict()
    {'motion': 1.0, 'emotion': 0.4, 'fused': 0.4}
    """
    table = features.table
    who = people(table).to_numpy(dtype=object)
    if len(set(who)) < 2:
        raise ValueError("leakage is read on subjects that the probe has not met; there are fewer than 2 subjects")
    if n_folds < 2:
        raise ValueError(f"a probe needs at least 2 folds, {n_folds} were asked for")
    if label not in table and label == "label" and "emotion" in table:
        label = "emotion"
    if label in table:
        table = table.assign(**{label: check_label(table, label=label, complete=False)})
    questions = _questions(table, targets, extra or {}, label)
    truths = truths_of(table, allowed, label)
    options: dict[str, Any] = {
        "kind": kind,
        "n_folds": n_folds,
        "n_shuffles": n_shuffles,
        "level": level,
        "n_resamples": n_resamples,
    }
    exact = _exact(allowed) if isinstance(allowed, pd.DataFrame) else {}
    rows = []
    for branch in BRANCHES:
        values = getattr(features, branch)
        if values is None:
            continue
        given = check_features(values, owner=f"the {branch} features")
        found = _ask_all(questions, given, who, min_positives, seed=seed, **options)
        truth, by_truth = truths.get(branch), {}
        if truth is not None:
            by_truth = _ask_all(questions, truth, who, min_positives, seed=seed, **{**options, "n_shuffles": 0})
        own = [
            _row(branch, target, one, by_truth.get(target), exact.get((branch, target)))
            for target, one in found.items()
        ]
        worst = _worst(own, min_positives)
        rows += [row | (worst if row["target"] == MEAN_OF_AUS else _NO_WORST) for row in own]
    result = pd.DataFrame(rows)
    result.attrs = {**options, "seed": seed, "min_positives": min_positives, "label": label}
    return result


def _questions(
    table: pd.DataFrame, targets: Sequence[str] | None, extra: Mapping[str, object], label: str
) -> dict[str, Question | None]:
    """The columns of each target; None for the subject, which is asked in its own way."""
    aus = au_columns(table)
    there = {"aus": bool(aus), "emotion": label in table, "cue": "cue" in table, "subject": True}
    if targets is None:
        targets = [name for name, present in there.items() if present] + list(extra)
    if not targets:
        raise ValueError("no target was named")
    found: dict[str, Question | None] = {}
    for name in targets:
        if name in extra:
            found[name] = ask(_by_clip(table, extra[name], owner=f"extra[{name!r}]"))
        elif not there.get(name, name in table):
            known = [key for key, present in there.items() if present]
            raise ValueError(f"no target {name!r} in this table; there are {', '.join([*known, *extra])}, or a column")
        elif name == "aus":
            found |= {au: ask(table[au].to_numpy(dtype=float)) for au in aus}
        elif name == "subject":
            found[name] = None
        else:
            found[name] = ask(table[label if name == "emotion" else name].to_numpy(dtype=object))
    return found


def _exact(allowed: pd.DataFrame) -> dict[tuple[str, str], float]:
    """The exact AUC by branch and target."""
    missing = [name for name in ("branch", "target", "allowed") if name not in allowed]
    if missing:
        raise ValueError(f"the table of allowed AUCs lacks {', '.join(missing)}; it needs branch, target, allowed")
    known = allowed.dropna(subset=["allowed"])
    values = known["allowed"].to_numpy(dtype=float)
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(f"allowed AUCs must be in [0, 1]; {outside.sum()} are not")
    return dict(zip(zip(known["branch"], known["target"], strict=True), values.tolist(), strict=True))


def truths_of(
    table: pd.DataFrame, allowed: Mapping[str, object] | pd.DataFrame | None, label: str
) -> dict[str, np.ndarray]:
    """The truth of the factor that each branch should hold, (n, k) by branch, as far as it is known."""
    if allowed is None or isinstance(allowed, pd.DataFrame):
        aus = au_columns(table)
        # An AU that is not known says nothing: it gets the mean of the clips in which it is.
        allowed = {"motion": table[aus].fillna(table[aus].mean()).fillna(0.0).to_numpy(dtype=float)} if aus else {}
        names = [check_label(table, label=name, complete=False) for name in ("cue", label) if name in table]
        known = [column for column in names if column.notna().any()]
        if known:
            allowed["emotion"] = _one_hot(known[0])
    strange = set(allowed) - set(BRANCHES)
    if strange:
        raise ValueError(f"allowed names {', '.join(sorted(strange))}; the branches are {', '.join(BRANCHES)}")
    truths = {
        branch: check_features(_by_clip(table, value, owner=f"allowed[{branch!r}]"), owner=f"the truths of {branch}")
        for branch, value in allowed.items()
    }
    if "fused" not in truths and {"motion", "emotion"} <= set(truths):
        truths["fused"] = np.hstack([truths["motion"], truths["emotion"]])
    return truths


def _one_hot(column: pd.Series) -> np.ndarray:
    return pd.get_dummies(column, dtype=float).to_numpy()


def _by_clip(table: pd.DataFrame, values: object, *, owner: str) -> np.ndarray:
    """Rows of `values` in the table's order: by clip id where it has them, else as they are."""
    if isinstance(values, pd.DataFrame) and "clip_id" in values:
        values = values.set_index("clip_id")
    if isinstance(values, (pd.DataFrame, pd.Series)):
        place = positions(pd.DataFrame({"clip_id": values.index.astype(str)}), table["clip_id"], owner=owner)
        return values.to_numpy()[place]
    values = np.asarray(values)
    if len(values) != len(table):
        raise ValueError(f"{owner} has {len(values)} rows but there are {len(table)} clips")
    return values


def _ask_all(
    questions: Mapping[str, Question | None],
    features: np.ndarray,
    who: np.ndarray,
    min_positives: int,
    *,
    level: float,
    seed: int,
    **options: Any,
) -> dict[str, Reading]:
    by_subject = {target: asked for target, asked in questions.items() if asked is not None}
    answers = read(list(by_subject.values()), features, subjects=who, level=level, seed=seed, **options)
    named = dict(zip(by_subject, answers, strict=True))
    found: dict[str, Reading] = {}
    aus = [target for target in named if is_au(target)]
    for target in questions:
        if target == "subject" and questions[target] is None:
            found[target] = _identity(features, who, level=level, seed=seed, **options)
        else:
            found[target] = named[target]
        if aus and target == aus[-1]:
            found[MEAN_OF_AUS] = _mean_of_aus([named[au] for au in aus], min_positives, level)
    return found


def _mean_of_aus(readings: list[Reading], min_positives: int, level: float) -> Reading:
    """The AUs with enough clips on either side, averaged, draws and shuffles with them."""
    kept = [
        one
        for one in readings
        if not one.score.reason and min(one.score.n_positive, one.score.n_clips - one.score.n_positive) >= min_positives
    ]
    most = max(readings, key=lambda one: one.score.n_clips).score
    if not kept:
        still = [one.score.reason for one in readings if one.score.reason == CONSTANT]
        reason = still[0] if still else f"no AU has {min_positives} positive and {min_positives} negative clips"
        sizes = (most.n_clips, most.n_subjects, 0, most.n_unknown)
        empty = ProbeScore(np.nan, np.nan, np.nan, level, np.nan, np.nan, np.nan, *sizes, reason=reason)
        return Reading(empty, np.full(len(readings[0].resampled), np.nan), np.empty(0))
    resampled = mean_known(np.stack([one.resampled for one in kept], axis=-1))
    shuffled = mean_known(np.stack([one.shuffled for one in kept], axis=-1))
    auc = float(np.mean([one.score.auc for one in kept]))
    score = ProbeScore(
        auc,
        *t_bounds(resampled, n_units=most.n_subjects, level=level, n_clips=most.n_clips, share=True),
        level,
        *chance_of(shuffled, auc=auc),
        n_clips=most.n_clips,
        n_subjects=most.n_subjects,
        n_positive=min(one.score.n_positive for one in kept),
        n_unknown=most.n_unknown,
    )
    return Reading(score, resampled, shuffled)


def _identity(
    features: np.ndarray,
    who: np.ndarray,
    *,
    kind: Kind,
    n_folds: int,
    n_shuffles: int,
    level: float,
    n_resamples: int,
    seed: int,
) -> Reading:
    """Who is in the clip, each subject against the rest: clips are held out, not subjects."""
    names, person, clips = np.unique(who.astype(str), return_inverse=True, return_counts=True)
    kept = np.flatnonzero(clips >= 2)
    sizes = (len(who), len(names), int(clips[kept].min()) if len(kept) else 0, 0)
    if not len(kept) or is_constant(features):
        reason = "every subject has one clip only" if not len(kept) else CONSTANT
        score = ProbeScore(np.nan, np.nan, np.nan, level, np.nan, np.nan, np.nan, *sizes, reason=reason)
        return Reading(score, np.full(1 + n_resamples, np.nan), np.empty(0))
    generator = np.random.default_rng(seed)
    folds = clip_folds(who, n_folds=n_folds, seed=seed)
    columns = (person[:, None] == kept).astype(float)
    asked = np.concatenate([columns, *(columns[generator.permutation(len(who))] for _ in range(n_shuffles))], axis=1)
    # A subject's clips are never left out together here, so the penalty is chosen by leaving out single clips.
    scores = held_out_scores(features, asked, folds=folds, units=np.arange(len(who)), kind=kind, seed=seed)
    one_unit = np.zeros(len(who), dtype=int)
    values = count_pairs(scores[:, : len(kept)], columns, folds=folds, units=one_unit).values
    shuffled = concordance(scores, asked, folds=folds)[len(kept) :].reshape(n_shuffles, len(kept)).mean(axis=1)
    drawn = draw_counts(len(kept), n_draws=n_resamples, seed=seed)
    resampled = drawn @ values / len(kept)
    auc = float(values.mean())
    chance = chance_of(shuffled, auc=auc)
    bounds = t_bounds(resampled, n_units=len(kept), level=level, n_clips=len(who), share=True)
    return Reading(ProbeScore(auc, *bounds, level, *chance, *sizes), resampled, shuffled)


def is_au(target: str) -> bool:
    """Whether a target is a single AU."""
    return target.startswith("AU") and target[2:].isdigit()


_NO_WORST: dict[str, object] = {"worst_target": "", "worst_auc": np.nan, "worst_excess": np.nan}


def _worst(rows: list[dict[str, Any]], min_positives: int) -> dict[str, object]:
    """The single AU with the largest excess, of those that enter the mean; by its AUC where nothing is allowed."""
    some = [
        row
        for row in rows
        if is_au(row["target"])
        and np.isfinite(row["auc"])
        and min(row["n_positive"], row["n_clips"] - row["n_positive"]) >= min_positives
    ]
    if not some:
        return _NO_WORST
    row = max(some, key=lambda row: row["excess"] if np.isfinite(row["excess"]) else row["auc"] - 1)
    return {"worst_target": row["target"], "worst_auc": row["auc"], "worst_excess": row["excess"]}


def _row(branch: str, target: str, reading: Reading, truth: Reading | None, exact: float | None) -> dict[str, object]:
    score = reading.score
    allowed = truth.score.auc if truth is not None else np.nan
    low, high = (np.nan, np.nan)
    if exact is not None:
        missed = max(exact - allowed, 0.0) if np.isfinite(allowed) else 0.0
        allowed = exact
        low, high = score.low - exact, score.high - exact + missed
    elif truth is not None and np.isfinite(score.auc):
        by_draw = truth.resampled
        if truth.score.reason == CONSTANT:  # a truth that is the same for all clips allows guessing and no more
            allowed, by_draw = 0.5, np.full(len(by_draw), 0.5)
        low, high = t_bounds(reading.resampled - by_draw, n_units=score.n_subjects, level=score.level)
    return {
        "branch": branch,
        "target": target,
        "auc": score.auc,
        "low": score.low,
        "high": score.high,
        "chance": score.chance,
        "chance_95": score.chance_95,
        "p": score.p_value,
        "allowed": allowed,
        "excess": score.auc - allowed,
        "excess_low": low,
        "excess_high": high,
        "n_clips": score.n_clips,
        "n_subjects": score.n_subjects,
        "n_positive": score.n_positive,
        "n_unknown": score.n_unknown,
        "split": "clips" if target == "subject" else "subjects",
        "reason": f"the {branch} branch is constant" if score.reason == CONSTANT else score.reason,
    }
