"""Leakage: the probe AUC of every target from each branch, with the AUC that the branch's own factor allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from medn_lab.diagnose import permutation, probing
from medn_lab.diagnose.probing import CONSTANT, Array, Kind, ProbeOptions, ProbeResult, ProbeTarget, encode_target
from medn_lab.diagnose.similarity import MEASURES, check_features
from medn_lab.evaluate.resampling import t_bounds
from medn_lab.records import BranchFeatures, au_columns, au_set_text, au_sets, check_label, people, positions

BRANCHES = ("motion", "emotion", "fused")

# Targets by name; None for the subject, whose clips and not persons are held out, and for the mean of the AUs.
Encoded = dict[str, ProbeTarget | None]

# The columns of a table of results that hold text.
TEXTS = (
    "model", "kind", "measure", "reader", "given", "branch", "target", "worst_target", "split", "within", "family",
    "direction", "reason",
)  # fmt: skip

# The columns of every table of results, in their order; a table has those that mean something in it.
COLUMNS = (
    *TEXTS[:7], "value", "low", "high", "bits", "prior_bits", "null_mean", "null_95", "p", "p_family", "n_tests",
    "allowed", "excess", "excess_low", "excess_high", "worst_target", "worst_auc", "worst_excess", "n_clips",
    "n_subjects", "n_positive", "n_unknown", *TEXTS[8:],
)  # fmt: skip

# The target of the row that averages the AUs.
MEAN_OF_AUS = "AUs"

# The columns of the AU that leaks most, in every row but that of their mean.
NO_WORST = {"worst_target": "", "worst_auc": np.nan, "worst_excess": np.nan}

# The leaks that a selection and a training are measured by: branch and target.
LEAKS = (("emotion", MEAN_OF_AUS), ("motion", "emotion"), ("motion", MEAN_OF_AUS), ("emotion", "emotion"))

# The reason of a row whose value is not computed yet.
COMPUTING = "computing"

# With fewer clips a probe's AUC is hardly above its noise.
ENOUGH_FOR_A_PROBE = 20
MOST_CLIPS = 600  # that a selection is measured by


def leakage(
    features: BranchFeatures,
    *,
    branches: Sequence[str] = BRANCHES,
    targets: Sequence[str] | None = None,
    allowed: pd.DataFrame | Mapping[str, object] | None = None,
    label: str = "label",
    kind: Kind = "ridge",
    n_shuffles: int = 20,
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
    branches : sequence of {"motion", "emotion", "fused"}
        Which branches to probe.
    targets : sequence of str, optional
        ``aus`` (each AU column and their mean), ``emotion`` (the column `label`), ``cue``, ``subject``, or the name of
        any other column of the table, such as the speed of the head (an amount is read by how well its order is kept).
        By default all of the first four that the table has.
    allowed : DataFrame or empty mapping, optional
        With ``branch, target, allowed`` (``medn.synthme.allowed_auc()``): the exact AUC of a perfect reader of the
        branch's own factor; rows that it lacks are estimated. By default all are estimated from the truth that a branch
        should hold, motion: the AU columns; emotion: the column ``cue``, or the label where there is no cue; fused:
        both. ``{}`` measures without.
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    kind : {"ridge", "rbf", "knn", "boosting", "mlp"}
        The reader, as :func:`medn_lab.diagnose.probe` takes it. ``boosting`` and ``mlp`` take some 0.1 s for each
        target, fold and shuffle; ``n_shuffles=0`` saves most of it.
    n_shuffles, n_resamples, seed : int
        As :func:`medn_lab.diagnose.probe` takes them; all branches and the truth share folds, shuffles and draws.

    Returns
    -------
    DataFrame
        A branch and target a row: ``branch, target, value, low, high`` (the AUC, with its interval over resampled
        subjects, of a single AU over as many as show it), ``null_mean, null_95, p`` (shuffled labels),
        ``allowed, excess, excess_low, excess_high`` (differences under the same draws of subjects),
        ``n_clips, n_subjects, n_positive, n_unknown, split, reason``.
        In the row ``AUs``, the mean, also ``worst_target, worst_auc, worst_excess``: the AU with the largest excess
        (the largest AUC where nothing is allowed), whose interval is in its own row; the largest of many AUs lies above
        its mean by chance; AUs with fewer than 8 clips of either kind are in neither. All AUCs are in [0, 1]. `reason`
        says why a value is missing, such as ``the emotion branch is constant``. `split` is ``subjects``, or ``clips``
        for the target subject alone: a probe cannot name a subject that it was not fitted to, so each subject's clips
        are spread over the folds, and the interval is over subjects as classes. ``attrs`` holds the parameters.

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
    >>> found["value"].round(1).to_dict()
    {'motion': 1.0, 'emotion': 0.4, 'fused': 0.4}
    """
    options = ProbeOptions(kind, n_shuffles, n_resamples, seed)
    table, who = features.table, people(features.table).to_numpy(dtype=object)
    if len(set(who)) < 2:
        raise ValueError("a probe is tested on subjects that it was not fitted to; there are fewer than 2 subjects")
    there = [branch for branch in BRANCHES if getattr(features, branch) is not None]
    chosen = [branch for branch in there if branch in branches]
    if set(branches) - set(BRANCHES) or not chosen:
        absent = " or ".join(branch for branch in branches if branch not in there)
        raise ValueError(f"these features have no {absent} branch; they have {', '.join(there)}")
    label = emotion_column(table, label)
    encoded, truths = encoded_targets(table, targets, label), truths_of(table, allowed, label)
    exact = allowed.set_index(["branch", "target"])["allowed"].dropna() if isinstance(allowed, pd.DataFrame) else {}
    rows: list[dict[str, Any]] = []
    for branch in chosen:
        values = check_features(getattr(features, branch), owner=f"the {branch} features")
        found = _probe_all(encoded, values, who, options)
        alone = options._replace(n_shuffles=0)
        by_truth = _probe_all(encoded, truths[branch], who, alone) if branch in truths else {}
        own = {name: _row(one, by_truth.get(name), exact.get((branch, name))) for name, one in found.items()}
        counted = [target for target, one in found.items() if is_au(target) and one.enough]
        if counted and MEAN_OF_AUS in own:
            worst = max(counted, key=lambda au: np.nan_to_num(own[au]["excess"], nan=own[au]["value"] - 1))
            row = own[worst]
            own[MEAN_OF_AUS] |= {"worst_target": worst, "worst_auc": row["value"], "worst_excess": row["excess"]}
        rows += [{"branch": branch, "target": target, **row} for target, row in own.items()]
    table = pd.DataFrame(rows)
    constant = "the " + table["branch"] + " branch is constant"
    split = np.where(table["target"] == "subject", "clips", "subjects")
    table = table.assign(reason=table["reason"].mask(table["reason"] == CONSTANT, constant), split=split)
    result = table.filter(items=COLUMNS)
    result.attrs = {**options._asdict(), "label": label}
    return result


def directions(rows: pd.DataFrame) -> np.ndarray:
    """Which way is good for each branch and target: ``higher`` for what a branch should hold."""
    factor = "cue" if "cue" in set(rows["target"]) else "emotion"
    of_aus = rows["target"].map(lambda target: target == MEAN_OF_AUS or is_au(target))
    held = rows["target"].eq(factor).where(rows["branch"] == "emotion", of_aus)
    held |= rows["branch"].eq("fused") & rows["target"].isin(["cue", "emotion"])
    return np.where(held, "higher", "at most allowed")


def is_au(target: str) -> bool:
    """Whether a target is a single AU."""
    return target.startswith("AU") and target[2:].isdigit()


def emotion_column(table: pd.DataFrame, label: str) -> str:
    """The column of the emotion: ``emotion`` where the table has it and no ``label``."""
    return "emotion" if label == "label" and label not in table and "emotion" in table else label


def class_names(table: pd.DataFrame, factor: str, label: str) -> pd.Series:
    """The class of each clip; missing where it is not known or the AU set is in doubt."""
    if factor == "aus" and au_columns(table):
        return pd.Series([None if aus is None else au_set_text(aus) for aus in au_sets(table)], dtype=object)
    column = emotion_column(table, label) if factor == "emotion" else factor
    unknown = pd.Series(None, index=table.index, dtype=object)
    return check_label(table, label=column, complete=False) if column in table else unknown


def varying_factors(table: pd.DataFrame, factors: Sequence[str], label: str) -> list[str]:
    """Those of the factors of which the table knows more than one class."""
    return [factor for factor in factors if len(class_names(table, factor, label).dropna().unique()) > 1]


def known_classes(table: pd.DataFrame, factor: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of which a factor is known, and their :func:`class_names`; ValueError where there are none."""
    names = class_names(table, factor, label).to_numpy()
    rows = np.flatnonzero(~pd.isna(names))
    if not len(rows):
        raise ValueError(f"nothing can be given {factor!r}: it is known of none of {len(table)} clips")
    return rows, names[rows]


def truths_of(table: pd.DataFrame, allowed: pd.DataFrame | Mapping[str, object] | None, label: str) -> dict[str, Array]:
    """The truth of the factor that each branch should hold, (n, k) by branch, as far as known; none for ``{}``."""
    truths: dict[str, Array] = {}
    if isinstance(allowed, Mapping):
        if allowed:
            raise ValueError("allowed must be a table of exact AUCs or {}; write the truth of a branch as AUs and cue")
        return truths
    if aus := au_columns(table):  # an AU that is not known gets the mean of the clips in which it is
        truths["motion"] = table[aus].fillna(table[aus].mean()).fillna(0.0).to_numpy(dtype=float)
    names = [class_names(table, factor, label) for factor in ("cue", "emotion")]
    if known := [one for one in names if one.notna().any()]:
        truths["emotion"] = pd.get_dummies(known[0], dtype=float).to_numpy()
    return truths | ({"fused": np.hstack([*truths.values()])} if len(truths) == 2 else {})


def encoded_targets(table: pd.DataFrame, targets: Sequence[str] | None, label: str) -> Encoded:
    """Each target encoded; the mean of the AUs stands after them."""
    aus = au_columns(table)
    there = {"aus": bool(aus), "emotion": label in table, "cue": "cue" in table, "subject": True}
    known = [name for name, present in there.items() if present]
    found: Encoded = {}
    for name in known if targets is None else targets:
        column = label if name == "emotion" else name
        if name == "aus" and aus:
            found |= {au: encode_target(table[au].to_numpy(dtype=float)) for au in aus} | {MEAN_OF_AUS: None}
        elif name == "subject":
            found[name] = None
        elif column in table:
            values = class_names(table, name, label) if name == "emotion" else table[column]
            found[name] = encode_target(values.to_numpy(dtype=object))
        else:
            raise ValueError(f"no target {name!r} in this table; there are {', '.join(known)}, or a column")
    return found


def _probe_all(encoded: Encoded, features: Array, who: Array, options: ProbeOptions) -> dict[str, ProbeResult]:
    """The probe of each target, the subject and the mean of the AUs."""
    by_subject = {target: one for target, one in encoded.items() if one is not None}
    results = probing.probe_targets(list(by_subject.values()), features, who, options)
    found = dict(zip(by_subject, results, strict=True))
    if "subject" in encoded:
        found["subject"] = probing.probe_subject(features, who, options)
    if MEAN_OF_AUS in encoded:
        found[MEAN_OF_AUS] = mean_of_aus([one for target, one in found.items() if is_au(target)], options)
    return {name: found[name] for name in encoded}


def mean_of_aus(results: list[ProbeResult], options: ProbeOptions) -> ProbeResult:
    """The AUs with enough clips on either side, averaged, draws and shuffles with them."""
    kept, values = [one for one in results if one.enough], None
    if kept:
        draws, null = (np.transpose([getattr(one, part) for one in kept]) for part in ("draws", "null"))
        values = probing.mean_known(draws), probing.mean_known(null)
    constant = any(one.reason == CONSTANT for one in results)
    few = f"no AU has {probing.MIN_POSITIVES} positive and {probing.MIN_POSITIVES} negative clips"
    most = max(results, key=lambda one: one.n_clips)
    sizes = {name: getattr(most, name) for name in ("n_clips", "n_subjects", "n_unknown")}
    sizes |= {"n_units": most.n_subjects, "n_positive": min((one.n_positive for one in kept), default=0)}
    return probing.result_of(values, options, reason=CONSTANT if constant else few, **sizes)


def _row(found: ProbeResult, truth: ProbeResult | None, exact: float | None) -> dict[str, Any]:
    allowed, low, high = np.nan if truth is None else truth.value, np.nan, np.nan
    if exact is not None:
        missed = np.fmax(exact - allowed, 0.0)  # 0 where the truth has no value
        allowed, low, high = exact, found.low - exact, found.high - exact + missed
    elif truth is not None and np.isfinite(found.value):
        by_draw = truth.draws
        if truth.reason == CONSTANT:  # a truth that is the same for all clips allows guessing and no more
            allowed, by_draw = 0.5, np.full(len(by_draw), 0.5)
        low, high = np.clip(t_bounds(found.draws - by_draw, n_units=found.n_units, level=probing.LEVEL), -1.0, 1.0)
    excess = {"allowed": allowed, "excess": found.value - allowed, "excess_low": low, "excess_high": high}
    return found.figures | excess | NO_WORST


def branch_measures(features: BranchFeatures, *, label: str, seed: int, watch: bool = False) -> Iterator[pd.DataFrame]:
    """Dependence and leakage of some clips as :func:`selection_measures` describes them, a step at a time.

    To `watch` a training, two leaks are measured and no null.
    """
    leaks = LEAKS[:2] if watch else LEAKS
    n, who, n_subjects = len(features), None, np.nan
    with suppress(ValueError):  # there is a subject for each clip
        who = people(features.table).to_numpy(dtype=object)
        n_subjects = len(set(who))
    try:
        values = permutation.dependence(features).drop(columns="direction")
    except ValueError as fault:  # of two branches of one width there is a cosine as well
        names = [name for name in MEASURES if name != "absolute_cosine"]
        values = pd.DataFrame({"measure": names, "value": np.nan, "reason": str(fault)})
    of_leaks = pd.DataFrame(leaks, columns=["branch", "target"]).assign(kind="leakage", measure="auc", reason=COMPUTING)
    found = pd.concat([values.assign(kind="dependence", branch="", target=""), of_leaks], ignore_index=True)
    found = found.assign(chance=np.nan, allowed=np.nan, n_clips=n, n_subjects=n_subjects, drawn_from=n)
    found = found[["kind", "measure", "branch", "target", "value", "chance", "allowed", "n_clips", "n_subjects",
                   "drawn_from", "reason"]]  # fmt: skip
    yield found.copy()
    if not watch and values["value"].notna().any():
        groups = None if who is None else permutation.exchange_groups(who, None, "", "exchange")[0]
        test = partial(permutation.permutation_test, groups=groups, seed=seed, n_permutations=19)
        x, y = permutation.both_branches(features)
        tests = [test(MEASURES[name], x, y) for name in values["measure"]]
        found.loc[values.index, "chance"] = [one.figures["null_mean"] for one in tests]
    yield found.copy()
    columns = ["value", "chance", "allowed", "n_clips", "reason"]
    how: dict[str, Any] = {"label": label, "n_shuffles": 0 if watch else 10, "n_resamples": 0, "seed": seed}
    for place, (branch, target) in enumerate(leaks, start=len(values)):
        try:
            if who is not None and (n < ENOUGH_FOR_A_PROBE or n_subjects < 2):
                raise ValueError(
                    f"needs at least {ENOUGH_FOR_A_PROBE} clips of 2 subjects, there are {n} of {n_subjects}"
                )
            targets = ["aus" if target == MEAN_OF_AUS else target]
            leak = leakage(features, branches=[branch], targets=targets, **how).set_index("target").loc[target]
            found.loc[place, columns] = leak.rename({"null_mean": "chance"})[columns]
        except ValueError as fault:
            found.loc[place, "reason"] = str(fault)
        yield found.copy()


def selection_measures(features: BranchFeatures, *, label: str = "label", seed: int = 0) -> Callable[..., pd.DataFrame]:
    """Make the callable that measures dependence and leakage of any selection of these clips.

    For :class:`medn_lab.widgets.BranchExplorer`, which calls it at each lasso. The values describe the selected clips.
    They are no test: a lasso round a cluster on a map selects clips for being alike, which changes every value.
    Compare with the values of all clips, and publish those of
    :func:`decoupling_report`.

    Parameters
    ----------
    features : BranchFeatures
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    seed : int

    Returns
    -------
    callable
        Call it with clip ids, or with none for all clips. It returns a DataFrame, a measure a row: ``kind``
        (``dependence`` or ``leakage``), ``measure``, ``branch``, ``target``, ``value`` (lower is better decoupled; a
        leak is an AUC in [0, 1]), ``chance`` (the mean with clips exchanged, or labels shuffled, inside the subjects of
        the same selection), ``allowed`` (the AUC of the truth of the branch's own factor), ``n_clips``, ``n_subjects``,
        ``drawn_from`` (the size of the selection; 600 clips of a larger one are drawn, so that no step takes long),
        ``reason`` (why there is no value). Its attribute ``steps``, a function of the same clip ids, yields the same
        table again and again, with more values each time; the reason of the others is ``computing``.

    Raises
    ------
    ValueError
        If a feature is not finite; of the callable, if a clip is not in the table.

    See Also
    --------
    dependence, leakage, decoupling_report, medn_lab.view.plot_selection_measures

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)], "subject": list("abcd") * 10})
    >>> both = rng.normal(size=(40, 3))
    >>> measure = selection_measures(BranchFeatures(both, both, both, table))
    >>> measure(table["clip_id"][:20])["value"].iloc[0].round(6).item()
    1.0
    """

    def steps(clip_ids: Iterable[str] | None = None) -> Iterator[pd.DataFrame]:
        every = features.table["clip_id"]
        rows = np.unique(positions(features.table, every if clip_ids is None else clip_ids, owner="the features"))
        drawn = np.random.default_rng(seed).choice(rows, min(len(rows), MOST_CLIPS), replace=False)
        chosen = features.select(every.iloc[np.sort(drawn)])
        for found in branch_measures(chosen, label=label, seed=seed):
            yield found.assign(drawn_from=len(rows))

    def measure(clip_ids: Iterable[str] | None = None) -> pd.DataFrame:
        *_, last = steps(clip_ids)
        return last

    measure.steps = steps  # type: ignore[attr-defined]
    return measure
