"""What a branch holds of the other factor: of the AUs once the state is known, and in bits for each kind of reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from medn_lab.diagnose import leaks, permutation, probing
from medn_lab.diagnose.interventions import person_means
from medn_lab.diagnose.permutation import Scheme
from medn_lab.diagnose.probing import MIN_POSITIVES, Array, Kind, ProbeOptions, ProbeTarget
from medn_lab.diagnose.similarity import check_features
from medn_lab.evaluate.resampling import t_bounds
from medn_lab.records import BranchFeatures, constant_reason, people, require

Branch = Literal["motion", "emotion"]

# Shares of the subjects at which the blocks of a code end; the last block ends with the last subject.
BLOCKS = (1 / 8, 1 / 4, 1 / 2)

# Two for the first block of a code and two to code after it.
SMALLEST_SUBJECTS = 4


def conditional_leakage(
    features: BranchFeatures,
    *,
    branch: Branch = "emotion",
    given: str | None = None,
    targets: Sequence[str] | None = None,
    label: str = "label",
    kind: Kind = "ridge",
    n_exchanges: int = 199,
    n_resamples: int = 1000,
    scheme: Scheme = "exchange",
    seed: int = 0,
) -> pd.DataFrame:
    """The AUC of the AUs from the emotion branch among clips of one cue, against clips exchanged inside the cue.

    An emotion branch that holds the cue alone gives what the cue gives of the AUs; :func:`leakage` subtracts that from
    an AUC. Here it is held fixed: the mean of each state (cue, or on real data the label) is taken off the feature,
    the probe is fitted to clips of all states, and only clips of one state (and one fold) are compared. The null is the
    same probe with all targets of a clip exchanged for those of another clip of its state and subject, so that it
    keeps whatever state and subject bring. A leak that passes through the state alone is not found. One whose direction
    differs between states is found by its mean over them at most: look at the clips of one state for it.

    The p of each target alone is `p`; `p_family` is corrected for the number of targets by their largest statistic
    (:func:`family_wise_p`), as the targets share their exchanges.

    Parameters
    ----------
    features : BranchFeatures
    branch : {"motion", "emotion"}
        For ``motion`` the other way round: cue (or label) among clips of one AU set.
    given : str, optional
        ``cue``, ``emotion`` (the column `label`), ``aus`` (the AU set) or another column. By default for ``emotion``
        the cue, or the emotion where no cue differs; for ``motion`` the AU set. Clips of an unknown state are left out.
    targets : sequence of str, optional
        As :func:`leakage` takes them, without ``subject``. By default ``aus`` for ``emotion``; for ``motion`` the cue,
        or the emotion where no cue differs.
    label, kind, n_resamples : as :func:`leakage` takes them
    n_exchanges : int
        For the null; p cannot be smaller than 1 / (n_exchanges + 1), so that .05 needs 19 or more.
    scheme : {"exchange", "shift"}
        As :func:`medn_lab.diagnose.permutation_test` takes it.
    seed : int
        Of folds, exchanges and draws.

    Returns
    -------
    DataFrame
        A target a row: ``branch, target, given``; ``value, low, high`` (AUC in [0, 1], 0.5 is guessing; the interval
        is over resampled subjects); ``null_mean, null_95, p, p_family, n_tests, family``; ``within`` (inside what clips
        were exchanged: the state alone where fewer than half of the clips share state and subject with another);
        ``n_clips, n_subjects``; ``n_positive`` (clips with or without the target, whichever are fewer, in groups that
        hold both: the others cannot change); ``n_unknown, direction, reason``. In the row ``AUs``, the mean, also
        ``worst_target, worst_auc, worst_excess``: the AU with the smallest `p_family`, its AUC, and that minus its
        `null_mean`. A target needs 8 clips of either kind in such groups, of 2 subjects; `reason` says what is missing.

    Raises
    ------
    ValueError
        If the branch or the state is missing, or a target is unknown or the subject.

    See Also
    --------
    leakage : with what the branch's own factor allows subtracted.
    usable_information, family_wise_p, decoupling_report

    References
    ----------
    Berrett et al.: "The conditional permutation test for independence while controlling for confounders", 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(160)], "subject": np.repeat(list("abcdefgh"), 20)})
    >>> cue = np.tile([0, 1], 80)
    >>> table = table.assign(cue=np.array(["flush", "pallor"])[cue], AU12=(rng.random(160) < 0.2 + 0.6 * cue) * 1.0)
    >>> only_cue = cue[:, None] + rng.normal(0, 0.3, (160, 3))
    >>> leaky = only_cue + 0.5 * table[["AU12"]].to_numpy()
    >>> for emotion in (only_cue, leaky):
    ...     found = conditional_leakage(BranchFeatures(emotion, emotion, emotion, table), n_exchanges=99).iloc[0]
    ...     print(found["target"], "given the", found["given"], bool(found["p_family"] <= 0.05))
    AU12 given the cue False
    AU12 given the cue True
    """
    table, values, encoded, own, label = _read(features, branch, targets, label)
    given = given or ("aus" if branch == "motion" else own)
    rows, classes = leaks.known_classes(table, given, label)
    who = people(table).to_numpy(dtype=object)[rows]
    groups, within = permutation.exchange_groups(who, classes, given, scheme)
    lacking = f"fewer than half of the clips share their {given} with another" if groups is None else ""
    single = {name: one for name, one in encoded.items() if one is not None}
    unknown = np.isnan(np.hstack([one.columns for one in single.values()])[rows])
    groups = permutation.cells(np.column_stack([np.arange(len(rows)) if groups is None else groups, unknown]))
    options = ProbeOptions(kind, n_exchanges, n_resamples, seed)
    inside = [_inside(one, rows, groups, lacking) for one in single.values()]
    rest = permutation.partial_out(values[rows], factors=classes)
    orders = permutation.exchange_orders(groups, [np.random.default_rng(seed)] * n_exchanges, scheme)
    strata = (permutation.cells(classes), orders)
    probed = dict(zip(single, probing.probe_targets(inside, rest, who, options, strata), strict=True))
    p_family = dict(zip(probed, permutation.family_wise_p([*probed.values()]), strict=True))
    n_tests, family = sum(not one.reason for one in probed.values()), f"targets of the {branch} branch given {given}"
    found = {
        name: one.figures | {"p_family": p_family[name], "n_tests": n_tests, "family": family} | leaks.NO_WORST
        for name, one in probed.items()
    }
    if leaks.MEAN_OF_AUS in encoded:
        aus = [name for name in single if leaks.is_au(name)]
        mean = leaks.mean_of_aus([probed[au] for au in aus], options)
        row = {"p_family": mean.p_value, "n_tests": int(not mean.reason), "family": "the mean alone"} | leaks.NO_WORST
        below = {au: found[au]["null_mean"] - found[au]["value"] for au in aus if not found[au]["reason"]}
        if below:
            worst = min(below, key=lambda au: (p_family[au], below[au]))
            row |= {"worst_target": worst, "worst_auc": probed[worst].value, "worst_excess": -below[worst]}
        found[leaks.MEAN_OF_AUS] = mean.figures | row
    constant = constant_reason({branch: values[rows]}) or constant_reason({branch: rest}, given=f"the {given}")
    result = pd.DataFrame({"target": name, **found[name]} for name in encoded)
    result = result.assign(branch=branch, given=given, direction="lower", within=within)
    result = result.assign(reason=result["reason"].replace(probing.CONSTANT, constant)).filter(items=leaks.COLUMNS)
    result.attrs = {**options._asdict(), "label": label, "scheme": scheme}
    return result


def _read(
    features: BranchFeatures, branch: Branch, targets: Sequence[str] | None, label: str
) -> tuple[pd.DataFrame, Array, leaks.Encoded, str, str]:
    """Table, features, encoded targets, the emotion branch's own factor and the column of the emotion."""
    if branch not in get_args(Branch):
        raise ValueError(f"branch must be motion or emotion; got {branch!r}")
    values = require(getattr(features, branch), otherwise=f"these features have no {branch} branch")
    table, label = features.table, leaks.emotion_column(features.table, label)
    own = next(iter(leaks.varying_factors(table, ("cue",), label)), "emotion")
    encoded = leaks.encoded_targets(table, targets or [own if branch == "motion" else "aus"], label)
    if "subject" in encoded:
        raise ValueError("the subject cannot be a target here: subjects are held out")
    for name, target in encoded.items():
        if target and (kinds := len(np.unique(target.columns[np.isfinite(target.columns)]))) > 2:
            raise ValueError(f"{name!r} is an amount with {kinds} values; a target here has classes")
    return table, check_features(values, owner=f"the {branch} features"), encoded, own, label


def _inside(target: ProbeTarget, rows: Array, groups: Array, lacking: str) -> ProbeTarget:
    """The classes of a target that an exchange inside the groups can change in enough clips."""
    columns, least = target.columns[rows], MIN_POSITIVES
    varies = pd.DataFrame(columns).groupby(groups).transform("nunique").to_numpy() > 1
    ones = np.where(varies, columns, 0).sum(axis=0)
    fewer = np.minimum(ones, varies.sum(axis=0) - ones).astype(int)
    reason = target.reason or lacking
    if not reason and fewer.max() < least:
        reason = f"{fewer.max()} clips can be exchanged for one that differs; it needs {least} with and without it"
    if reason:
        return ProbeTarget(columns, int(fewer.max()), reason)
    return ProbeTarget(columns[:, fewer >= least], int(fewer[fewer >= least].min()))


def usable_information(
    features: BranchFeatures,
    *,
    branch: Branch = "emotion",
    targets: Sequence[str] | None = None,
    readers: Sequence[Kind] = get_args(Kind),
    allowed: pd.DataFrame | Mapping[str, object] | None = None,
    label: str = "label",
    n_orders: int = 3,
    n_resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The bits of the AUs that each kind of reader gets from the emotion branch, by the length of an online code.

    The labels are coded block by block. The first eighth of the subjects costs log2(classes) bits a clip; then a reader
    is fitted to all subjects coded so far, and the next block (to a quarter, to half, to all of the subjects) costs
    -log2 of the probability that the reader gives to each label. So a reader counts both by what it finds and by how
    few clips it needs, and a large reader is not favoured. The same code with the shares of the classes in place of a
    reader is `prior_bits`; the *usable information* is what the reader saves of it, in bits a clip. It is at most the
    entropy of the target, about 0 for a feature that does not hold it, and a little below 0 where a reader took noise
    for a dependence.

    A reader's scores become probabilities by a logistic regression on scores of subjects held out inside the coded
    part, and each class gets half a clip more than was seen. No subject is in two blocks.

    Parameters
    ----------
    features : BranchFeatures
    branch : {"motion", "emotion"}
    targets : sequence of str, optional
        As :func:`leakage` takes them, without ``subject`` and amounts. By default ``aus`` for ``emotion``; for
        ``motion`` the cue, or the emotion where no cue differs.
    readers : sequence of {"ridge", "rbf", "knn", "boosting", "mlp"}
        As `kind` of :func:`probe`. With 15 AUs, 360 clips of 64-d: ridge 1 s, boosting and mlp half a minute each.
    allowed : as :func:`leakage` takes it
        A table of exact AUCs has no bits: the truth that the branch should hold is read. ``{}`` measures without.
    label : as :func:`leakage` takes it
    n_orders : int
        Random orders of the subjects; the bits of a clip are its mean over them.
    n_resamples : int
        Draws of subjects for the 95 % interval.
    seed : int
        Of orders, readers and draws.

    Returns
    -------
    DataFrame
        A reader and target a row: ``reader, branch, target``; ``value, low, high`` (usable information in bits a clip;
        the interval is over resampled subjects); ``bits, prior_bits`` (the two codes of all clips);
        ``allowed, excess, excess_low, excess_high`` (the usable information of the branch's own factor by the same
        reader, and what is beyond it); ``n_clips, n_subjects, n_positive, n_unknown, direction, reason``. The row
        ``AUs`` is the code of all AUs of a clip, one after the other. A target needs 8 clips with it and 8 without it,
        of 4 subjects; `reason` says what is missing. ``attrs`` holds the parameters and the numbers of `subjects` at
        which the blocks end.

    Raises
    ------
    ValueError
        If the branch is missing, a target is unknown, an amount or the subject, or there is no such reader.

    See Also
    --------
    leakage, conditional_leakage
    medn_lab.records.DecouplingReport.reader_order : whether the order of models depends on the reader.

    References
    ----------
    Voita, Titov: "Information-Theoretic Probing with Minimum Description Length", 2020. Xu et al.: "A Theory of Usable
    Information under Computational Constraints", 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(160)], "subject": np.repeat(list("abcdefgh"), 20)})
    >>> table["AU12"] = np.tile([0.0, 1.0], 80)
    >>> emotion = table[["AU12"]].to_numpy() + rng.normal(0, 0.1, (160, 2))
    >>> found = usable_information(BranchFeatures(emotion, emotion, emotion, table), readers=["ridge"]).iloc[0]
    >>> float(found["prior_bits"]), bool(found["value"] > 0.7)
    (160.0, True)
    """
    table, values, encoded, _, label = _read(features, branch, targets, label)
    units = np.unique(people(table).to_numpy(dtype=str), return_inverse=True)[1]
    truth = leaks.truths_of(table, allowed, label).get(branch)
    constant = constant_reason({branch: values})
    single = {name: one for name, one in encoded.items() if one is not None}
    reasons = {name: constant or one.reason or _too_few(one.columns, units) for name, one in single.items()}
    coded = [name for name in single if not reasons[name]]
    parts = {name: [name] for name in encoded}
    if leaks.MEAN_OF_AUS in encoded:
        aus = [name for name in single if leaks.is_au(name)]
        parts[leaks.MEAN_OF_AUS] = some = [name for name in aus if name in coded] or aus
        reasons[leaks.MEAN_OF_AUS] = reasons[some[0]]
    found: list[dict[str, Any]] = []
    for reader in readers:
        options = ProbeOptions(reader, 0, n_resamples, seed, 3)
        read = [single[name] for name in coded]
        with probing.unchecked():
            codes = [_codes(one, read, units, n_orders, options) for one in (values, truth) if one is not None]
        for name, some in parts.items():
            at = [coded.index(part) for part in some if part in coded]
            bits = [len(at) * probing.mean_known(one[:, :, at]) for one in codes]
            known = np.isfinite(np.hstack([single[part].columns for part in some])).any(axis=1)
            found.append({
                "reader": reader, "branch": branch, "target": name, "reason": reasons[name],
                "n_positive": min(single[part].n_positive for part in some), "n_clips": known.sum(),
                "n_subjects": len(set(units[known])), "n_unknown": (~known).sum(), **_saved_bits(bits, table, options),
            })  # fmt: skip
    result = pd.DataFrame(found)
    result = result.assign(direction=leaks.directions(result)).filter(items=leaks.COLUMNS)
    stops = _block_ends(int(units.max()) + 1)
    result.attrs = {"readers": list(readers), "subjects": stops, "n_orders": n_orders, "seed": seed, "label": label}
    return result


def _too_few(columns: Array, units: Array) -> str:
    """Why the classes of a target cannot be coded; empty where they can."""
    known = np.isfinite(columns[:, 0])
    fewer, n_subjects = known.sum() - np.bincount(_classes(columns[known])).max(), len(set(units[known]))
    if fewer >= MIN_POSITIVES and n_subjects >= SMALLEST_SUBJECTS:
        return ""
    least = f"{MIN_POSITIVES} clips with and without it, of {SMALLEST_SUBJECTS} subjects"
    return f"a code needs {least}; there are {fewer} of the rarer kind, of {n_subjects} subjects"


def _classes(columns: Array) -> Array:
    """The class of each clip, (n,) int, from 0: with one column 1 where it is 1."""
    return columns[:, 0].astype(int) if columns.shape[1] == 1 else columns.argmax(axis=1)


def _block_ends(n_subjects: int) -> list[int]:
    """The numbers of subjects at which the blocks of a code end."""
    return sorted({max(2, int(np.ceil(n_subjects * share))) for share in BLOCKS} | {n_subjects})


def _codes(features: Array, targets: list[ProbeTarget], units: Array, n_orders: int, options: ProbeOptions) -> Array:
    """The bits of each clip and target by the reader and by the shares of the classes, (2, n, k); NaN where unknown."""
    found = np.full((2, len(features), len(targets)), np.nan)
    for places, rows in probing.of_one_pattern(targets):
        columns = [targets[place].columns[rows] for place in places]
        who = np.unique(units[rows], return_inverse=True)[1]
        orders = (np.random.default_rng([options.seed, turn]).permutation(who.max() + 1) for turn in range(n_orders))
        bits = [_one_code(features[rows], columns, order[who], options) for order in orders]
        found[:, rows[:, None], places] = np.mean(bits, axis=0)
    return found


def _one_code(features: Array, columns: list[Array], place: Array, options: ProbeOptions) -> Array:
    """The bits of each clip and target, (2, n, k), where `place` is the place of its subject in the order."""
    read = partial(probing.held_out_scores, kind=options.kind, seed=options.seed)
    every, splits = np.hstack(columns), np.cumsum([one.shape[1] for one in columns])[:-1]
    first, *later = _block_ends(int(place.max()) + 1)
    bits = np.tile(np.log2([max(2, one.shape[1]) for one in columns]), (2, len(place), 1))
    for start, stop in pairwise([first, *later]):
        known, new = place < start, (place >= start) & (place < stop)
        folds = probing.subject_folds(place[known], n_folds=options.n_folds, seed=options.seed)
        near = read(features[known], every[known], folds=folds, units=place[known])
        both = known | new
        far = read(features[both], every[both], folds=np.where(new[both], 0, -1), units=place[both])
        scores = zip(np.split(near, splits, axis=1), np.split(far[new[both]], splits, axis=1), strict=True)
        for target, (pair, one) in enumerate(zip(scores, columns, strict=True)):
            own = _classes(one)
            given = _probabilities(pair, own[known], max(2, one.shape[1]))
            bits[:, new, target] = -np.log2([way[np.arange(new.sum()), own[new]] for way in given])
    return bits


def _probabilities(scores: tuple[Array, Array], classes: Array, n_classes: int) -> list[Array]:
    """Of the classes of new clips, (n, k), by the scores of known and new clips, and by the shares of known classes."""
    from sklearn.linear_model import LogisticRegression

    # A score is in units of probability; four of its units are one of the logit at even chances.
    near, far = (4 * np.nan_to_num(one) for one in scores)
    n = len(classes)
    shares = np.tile(np.bincount(classes, minlength=n_classes) / n, (len(far), 1))
    by_score, seen = shares.copy(), np.flatnonzero(shares[0])
    if near.std(axis=0).any() and len(seen) > 1:
        fitted = LogisticRegression(max_iter=1000).fit(near, classes)
        if n_classes > 2 or fitted.coef_[0, -1] > 0:  # scores that order held-out subjects the wrong way are not used
            by_score[:, seen] = fitted.predict_proba(far)
    return [(n * given + 0.5) / (n + n_classes / 2) for given in (by_score, shares)]


def _saved_bits(codes: list[Array], table: pd.DataFrame, options: ProbeOptions) -> dict[str, float]:
    """What the reader saves, in bits a clip, with what it saves from the branch's own factor."""
    names = ("value", "low", "high", "bits", "prior_bits", "allowed", "excess", "excess_low", "excess_high")
    found, known = dict.fromkeys(names, np.nan), np.isfinite(codes[0][0])
    if not known.any():
        return found
    how = {"n_resamples": options.n_resamples, "seed": options.seed}
    (saved, n), *of_truth = (person_means(table[known], (prior - bits)[known], **how) for bits, prior in codes)
    bounds = partial(t_bounds, n_units=n, level=probing.LEVEL)
    found |= {"value": saved[0], "bits": codes[0][0][known].sum(), "prior_bits": codes[0][1][known].sum()}
    found["low"], found["high"] = bounds(saved)
    for own, _ in of_truth:
        found |= {"allowed": own[0], "excess": saved[0] - own[0]}
        found["excess_low"], found["excess_high"] = bounds(saved - own)
    return found
