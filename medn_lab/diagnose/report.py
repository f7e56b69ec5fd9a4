"""Dependence, leakage and information of one model or several in one table, and the callback of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import entr
from tqdm.auto import tqdm

from medn_lab.diagnose import leaks, permutation, similarity
from medn_lab.diagnose.information import conditional_leakage, usable_information
from medn_lab.diagnose.interventions import person_means
from medn_lab.diagnose.leaks import leakage
from medn_lab.diagnose.permutation import PermutationTest, Scheme, permutation_test
from medn_lab.diagnose.probing import LEVEL, Kind
from medn_lab.evaluate.resampling import t_bounds
from medn_lab.records import BranchFeatures, Clips, DecouplingReport, constant_reason, people, run_record

# What a training is watched by.
WATCHED = ("linear_cka", "distance_correlation", "absolute_cosine", "auc")


def decoupling_report(
    features: BranchFeatures | Mapping[str, BranchFeatures],
    *,
    given: Sequence[str] | None = None,
    n_permutations: int = 499,
    scheme: Scheme = "exchange",
    targets: Sequence[str] | None = None,
    allowed: pd.DataFrame | Mapping[str, object] | None = None,
    label: str = "label",
    kind: Kind = "ridge",
    n_shuffles: int = 20,
    n_exchanges: int = 99,
    readers: Sequence[Kind] = (),
    protocol: str = "",
    about: Mapping[str, object] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> DecouplingReport:
    """Dependence, leakage and information of a model's branches, each with its null, in one table.

    *Dependence*: every measure between motion and emotion branch, with a permutation null inside subjects (a subject
    that both branches hold is not a coupling) under the assumption of `scheme`; then the same given each factor, whose
    class means are taken off both branches and inside whose classes clips are exchanged. Where fewer than half of the
    clips share subject and factor with another, the factor alone is kept, and `within` says so. `allowed` is the same
    measure of the two factors themselves (AUs and cue, or AUs and label): branches that hold their factors well depend
    on each other as these do. Mind that *given the emotion* even independent factors may, if both go into it: of two
    clips of one emotion, the one with the other AUs then has the other cue. SynthME's cue is fixed by the emotion, so
    there `allowed` is NaN and what is found given the emotion is a leak. *Leakage*: as :func:`leakage`.
    *Conditional*: the AUs from the emotion branch given the cue (or the label), and the cue from the motion branch
    given the AU set, as :func:`conditional_leakage`. *Readers*: where `readers` are named, the bits that each gets of
    the AUs and of the cue, as :func:`usable_information`. *Information*: with a bottleneck, the mean of the code's nats
    and the entropy of the factor that it should hold.

    Each p stands with `p_family`, corrected for the `n_tests` tests of its `family`. The measures of dependence of one
    model are one family: those given one factor share their permutations and go by their largest statistic
    (:func:`family_wise_p`), the factors among each other by Holm. The single AUs of a conditional leak are another. The
    p of leakage has no correction; a leak is judged there by the interval of its excess.

    Parameters
    ----------
    features : BranchFeatures, or mapping of str to BranchFeatures
        Of one model, or of several by name (two trainings, two checkpoints).
    given : sequence of str, optional
        ``emotion`` (the column `label`), ``aus`` (the AU set, as :func:`medn_lab.records.au_sets` reads it; clips
        without a certain one are left out there) or any column of the table. By default the first two, as far as a
        table knows them.
    n_permutations : int
        Of each measure.
    scheme : {"exchange", "shift"}
        As :func:`permutation_test` takes it. ``exchange`` assumes that the clips of a subject are exchangeable,
        ``shift`` that they are stationary in time; under ``shift`` the rows of a subject must be in their order in time
        (``features.select(features.table.sort_values("onset")["clip_id"])``).
    targets, allowed, label, kind, n_shuffles : as :func:`leakage` takes them
        No target at all (an empty sequence) leaves leakage, conditional leakage and readers out.
    n_exchanges : int
        Of the conditional leak, as :func:`conditional_leakage` takes it; 0 leaves it out.
    readers : sequence of {"ridge", "rbf", "knn", "boosting", "mlp"}
        Whose usable information is measured; by default none. All five take about a minute for 360 clips and 15 AUs.
    protocol : str
        How classes and split were made, to be written down.
    about : mapping, optional
        What else a reader must know, such as the decoupling switch; text and numbers.
    seed : int
        Of permutations, folds, shuffles and draws.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DecouplingReport
        ``report.table`` a measure a row; ``report.to_html(path)`` writes the page for a paper.

    Raises
    ------
    ValueError
        If there are no features or fewer than 2 subjects, or a column, target or array does not fit.

    See Also
    --------
    dependence : the measures without nulls.
    leakage, conditional_leakage, usable_information, permutation_test, family_wise_p
    medn_lab.view.plot_dependence, medn_lab.view.plot_leakage

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(60)], "subject": list("abcdef") * 10})
    >>> motion = rng.normal(size=(60, 4))
    >>> report = decoupling_report(BranchFeatures(motion, motion, motion, table), n_permutations=19, targets=[])
    >>> report.dependence[["measure", "p"]].head(2)
                    measure     p
    0            linear_cka  0.05
    1  distance_correlation  0.05
    """
    models = features if isinstance(features, Mapping) else {features.source.get("name", "an unnamed model"): features}
    test = partial(permutation_test, n_permutations=n_permutations, scheme=scheme, seed=seed)
    both: dict[str, Any] = {"label": label, "seed": seed}
    found, facts = [], {}
    for name, own in tqdm(models.items(), desc="measuring", disable=not progress):
        truths, varying = leaks.truths_of(own.table, allowed, label), partial(leaks.varying_factors, own.table)
        factors = varying(("emotion", "aus"), label) if given is None else given
        tested = [_dependence_rows(own, truths, factor, label, test) for factor in ("", *factors)]
        parts = [_one_family(pd.concat(tested, ignore_index=True))]
        if targets is None or len(targets):
            rows = leakage(own, targets=targets, allowed=allowed, kind=kind, n_shuffles=n_shuffles, **both)
            within = np.where(rows["split"] == "clips", "", "subject")
            rows = rows.assign(kind="leakage", measure="auc", within=within, direction=leaks.directions(rows))
            parts.append(rows)
        aus, factor = varying(("aus",), label), varying(("cue", "emotion"), label)[:1]
        for branch, target, state in (("emotion", aus, factor), ("motion", factor, aus)):
            wanted = state and (target if targets is None else [one for one in target if one in targets])
            if not wanted or getattr(own, branch) is None:
                continue
            how: dict[str, Any] = {"branch": branch, "targets": wanted, **both}
            if n_exchanges:
                how_exchanged = how | {"given": state[0], "kind": kind, "n_exchanges": n_exchanges, "scheme": scheme}
                rows = conditional_leakage(own, **how_exchanged)
                parts.append(rows.assign(kind="conditional", measure="auc"))
            if readers:
                rows = usable_information(own, readers=readers, allowed=allowed, **how)
                rows = rows[~rows["target"].map(leaks.is_au)]
                parts.append(rows.assign(kind="readers", measure=rows["reader"]))
        if own.nats is not None:
            parts.append(pd.DataFrame([_information_row(own, own.nats, label, seed)]))
        found += [part.assign(model=name) for part in parts]
        widths = {one: values.shape[1] for one in leaks.BRANCHES if (values := getattr(own, one)) is not None}
        sets = own.table["dataset"].value_counts().sort_index().to_dict() if "dataset" in own.table else {}
        sizes = {"clips": len(own), "subjects": len(set(people(own.table)))}
        facts[name] = {**own.source, "data sets": sets, **sizes, "widths": widths}
    table = pd.concat(found, ignore_index=True).reindex(columns=leaks.COLUMNS)
    table = table.drop(columns=["reader", "bits", "prior_bits", "split"])  # the reader is the measure
    texts = [name for name in leaks.TEXTS if name in table]
    table[texts] = table[texts].astype(object).fillna("")
    measured = pd.concat([own.table.assign(model=name) for name, own in models.items()], ignore_index=True)
    measured = measured.drop(columns=["frames_folder", "filename"], errors="ignore")  # where the originals lie
    chosen = {name: None if one is None else list(one) for name, one in (("given", given), ("targets", targets))}
    by_hand = [] if allowed is None else ["allowed"]
    run = run_record("decoupling_report", table=measured, **chosen, by_hand=by_hand)
    source = {
        "models": facts, "protocol": protocol,
        "parameters": {
            "seed": seed, "permutations": n_permutations, "scheme": scheme, "label shuffles": n_shuffles, "probe": kind,
            "exchanges": n_exchanges, "readers": list(readers), "emotion column": label,
            "given": table.query("kind == 'dependence' and given != ''")["given"].unique().tolist(),
        },
        "versions": run["versions"] | {name: version(name) for name in ("pandas", "scikit-learn", "scipy")},
        "about": dict(about or {}), "run": run,
    }  # fmt: skip
    return DecouplingReport(table, source, measured)


def _dependence_rows(
    features: BranchFeatures, truths: Mapping[str, np.ndarray], factor: str, label: str, test: partial[PermutationTest]
) -> pd.DataFrame:
    """A row a measure: of the two branches, or of what is left of them given a factor."""
    classes, rest = None, lambda values: values
    if factor:
        known, classes = leaks.known_classes(features.table, factor, label)
        features = features.select(features.table["clip_id"].iloc[known])
        truths = {branch: values[known] for branch, values in truths.items()}
        rest = partial(permutation.partial_out, factors=classes)
    who = people(features.table).to_numpy(dtype=object)
    common = {"kind": "dependence", "given": factor, "n_clips": len(features), "n_subjects": len(set(who))}
    try:
        x, y = permutation.both_branches(features)
    except ValueError as fault:
        rows = [{"measure": measure, "reason": str(fault)} for measure in similarity.MEASURES]
        return pd.DataFrame(rows).assign(**common, direction="lower")
    groups, within = permutation.exchange_groups(who, classes, factor, test.keywords["scheme"])
    named = {"aus": "the AU set", "emotion": "the emotion"}.get(factor, factor)
    reason = constant_reason({"motion": x, "emotion": y})
    x, y = rest(x), rest(y)
    reason = reason or constant_reason({"motion": x, "emotion": y}, given=named) or permutation.UNDEFINED
    # The cosine of two factors means nothing: their columns are not paired.
    pair = [rest(truths[branch]) for branch in ("motion", "emotion") if branch in truths]
    true = (similarity.figures(*pair) if len(pair) == 2 else {}) | {"absolute_cosine": np.nan}
    measures = similarity.measures_of(x, y)
    tests = [test(measure, x, y, groups=groups) for measure in measures.values()]
    table = pd.DataFrame([one.figures for one in tests]).assign(measure=list(measures), **common, within=within)
    table["allowed"], table["p_family"] = table["measure"].map(true), permutation.family_wise_p(tests)
    return table.assign(direction="lower", reason=np.where(table["value"].isna(), reason, ""))


def _one_family(rows: pd.DataFrame) -> pd.DataFrame:
    """The p of each measure in the family of all measures and factors: of one factor as they are, then Holm's."""
    if "p_family" not in rows:
        return rows
    factors = rows.groupby("given")["p_family"].min().dropna().sort_values()
    least = 0.0
    for place, factor in enumerate(factors.index):
        own = rows["given"] == factor
        p = (rows.loc[own, "p_family"] * (len(factors) - place)).clip(least, 1.0)
        rows.loc[own, "p_family"], least = p, p.min()
    return rows.assign(n_tests=rows["p"].notna().sum(), family="measures and given factors of one model")


def _information_row(features: BranchFeatures, nats: np.ndarray, label: str, seed: int) -> dict[str, Any]:
    values = similarity.check_features(nats[:, None], owner="the nats")[:, 0]
    if reason := constant_reason({"emotion": features.emotion}):
        values = np.full(len(values), np.nan)
    drawn, n_subjects = person_means(features.table, values, n_resamples=1000, seed=seed)
    low, high = t_bounds(drawn, n_units=n_subjects, level=LEVEL)
    factor = next((column for column in ("cue", label, "emotion") if column in features.table), "")
    held = float(entr(features.table[factor].value_counts(normalize=True)).sum()) if factor else np.nan
    return {
        "kind": "information", "measure": "nats", "branch": "emotion", "target": factor, "value": drawn[0], "low": low,
        "high": high, "allowed": held, "excess": drawn[0] - held, "n_clips": len(values), "n_subjects": n_subjects,
        "direction": "at most allowed", "reason": reason,
    }  # fmt: skip


def decoupling_watch(clips: Clips, *, label: str = "label", seed: int = 0) -> DecouplingWatch:
    """Make a callback for ``fit`` that measures how far the branches are decoupled after each epoch.

    It reads the model and changes nothing, so that a training with it gives the same weights. Its figures become
    columns of the history: ``dependence_linear_cka``, ``dependence_distance_correlation``, and
    ``dependence_absolute_cosine`` where the branches have one width; ``leak_aus_from_emotion`` and
    ``leak_emotion_from_motion`` (AUC of a linear probe on held-out subjects), each with the AUC that the branch's own
    factor would allow (``..._allowed``). A figure without a value, as of a constant branch, is left out. They have no
    null; :func:`decoupling_report` has. If the epoch is chosen by them, these clips have been trained on: take others
    for the report.

    Parameters
    ----------
    clips : Clips
        Of persons that are not trained on; at least 20 clips of 2 subjects. 180 of 64 px take about 0.3 s an epoch.
    label : str
        Column of the emotion; ``emotion`` where the table has no such column.
    seed : int
        Of the probe's folds.

    Returns
    -------
    DecouplingWatch

    Raises
    ------
    ValueError
        If there are fewer than 20 clips or 2 subjects.

    See Also
    --------
    leakage, decoupling_report, medn_lab.train.fit, medn_lab.widgets.TrainingMonitor, medn_lab.view.plot_history

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(20)], "subject": list("ab") * 10})
    >>> clips = Clips(None, np.zeros((20, 64, 64, 2), np.float32), table)
    >>> watch = decoupling_watch(clips)  # then fit(model, others, callbacks=[watch])
    >>> decoupling_watch(clips.with_table(table[:8]))
    Traceback (most recent call last):
        ...
    ValueError: watching a leak needs at least 20 clips of 2 subjects, there are 8 of 2
    """
    n, n_subjects = len(clips), len(set(people(clips.table)))
    if n < leaks.ENOUGH_FOR_A_PROBE or n_subjects < 2:
        least = f"at least {leaks.ENOUGH_FOR_A_PROBE} clips of 2 subjects"
        raise ValueError(f"watching a leak needs {least}, there are {n} of {n_subjects}")
    return DecouplingWatch(clips, label, seed)


@dataclass(frozen=True, eq=False)
class DecouplingWatch:
    """Callback that :func:`decoupling_watch` makes; a training calls its ``measure`` after each epoch.

    Attributes
    ----------
    clips, label, seed
        As :func:`decoupling_watch` takes them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(20)], "subject": list("ab") * 10})
    >>> clips = Clips(None, np.zeros((20, 64, 64, 2), np.float32), table)
    >>> sorted(decoupling_watch(clips).of(BranchFeatures(*rng.normal(size=(3, 20, 4)), table)))[1:]
    ['dependence_distance_correlation', 'dependence_linear_cka']
    """

    clips: Clips
    label: str
    seed: int

    def measure(self, run: Any) -> dict[str, float]:
        """The figures of the model as it is after this epoch."""
        from medn_lab.evaluate import extract_features

        return self.of(extract_features(run.model, self.clips))

    def of(self, features: BranchFeatures) -> dict[str, float]:
        """The same figures of features, name to value; without those that have no value."""
        *_, table = leaks.branch_measures(features, label=self.label, seed=self.seed, watch=True)
        rows = table[table["value"].notna() & table["measure"].isin(WATCHED)]
        leak = "leak_" + rows["target"].str.lower() + "_from_" + rows["branch"]
        rows = rows.set_index(leak.where(rows["kind"] == "leakage", "dependence_" + rows["measure"]))
        return rows["value"].to_dict() | rows["allowed"].dropna().add_suffix("_allowed").to_dict()
