"""Leakage, of a selection and during a training too: a branch that is a factor gives it fully, others what it allows.

Probes, leaks inside a state and the bits of readers: against scikit-learn, planted truth and labels of nothing.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from planted_branches import AUS, noise, planted
from sample_records import sample_clips, sample_features
from scipy.spatial.distance import pdist
from scipy.stats import kstest, norm
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.preprocessing import KernelCenterer, StandardScaler
from tiny_clips import tiny_clips

from medn_lab import diagnose, evaluate, view
from medn_lab.diagnose import leakage, linear_cka, probe, selection_measures
from medn_lab.diagnose.probing import PENALTIES, READERS, auc_under_draws, grouped_auc, held_out_scores, subject_folds
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.evaluate import resampling
from medn_lab.model import MEDN, MEDNConfig, weights_sha256
from medn_lab.records import BranchFeatures
from medn_lab.train import TrainConfig, fit


def one_hot(column):
    return pd.get_dummies(column, dtype=float).to_numpy()


@pytest.fixture(scope="module")
def table():
    """AU sets and a cue of 240 clips of 10 subjects, and an emotion that needs both."""
    table = planted().table
    happiness = np.where(table["cue"] == "flush", "happiness", "repression")
    return table.assign(label=np.where(table["AU12"] == 1, happiness, "others"))


def measured(table, motion=None, emotion=None, **options):
    """The leakage of these branches by branch and target; no shuffles and no draws unless they are given."""
    parts = [part for part in (motion, emotion) if part is not None]
    features = BranchFeatures(motion=motion, emotion=emotion, fused=np.hstack(parts), table=table)
    return leakage(features, **{"n_shuffles": 0, "n_resamples": 0} | options).set_index(["branch", "target"])


def test_a_branch_that_is_a_factor_gives_it_fully_and_of_the_others_what_it_allows(table):
    branches = {"motion": table[AUS].to_numpy(), "emotion": one_hot(table["cue"])}
    perfect = measured(table, **branches, n_shuffles=20, n_resamples=200)
    for branch in ("motion", "emotion", "fused"):
        assert list(perfect.loc[branch].index) == [*AUS, "AUs", "emotion", "cue", "subject"]
    assert (perfect.loc["motion"].loc[[*AUS, "AUs"], ["value", "high"]] == 1.0).all(axis=None)
    assert perfect.loc[("motion", "AU4"), ["n_clips", "n_positive"]].to_list() == [240, table["AU4"].sum()]
    rows = perfect.loc["emotion"]
    assert (rows["value"] == rows["allowed"]).all()
    assert (rows[["excess", "excess_low", "excess_high"]] == 0.0).all(axis=None)
    assert abs(rows.loc["AU12", "value"] - 0.5) < 0.1
    assert rows.loc["cue", "value"] == 1.0
    # A cue gives of AU4 some, but not all: what its shares among the clips of each cue give.
    shares = table.groupby("cue")["AU4"].transform("mean")
    assert 0.6 < rows.loc["AU4", "value"] < 0.85
    assert rows.loc["AU4", "allowed"] == pytest.approx(roc_auc_score(table["AU4"], shares), abs=0.03)
    fused = perfect.loc[("fused", "emotion")]
    assert fused["allowed"] == pytest.approx(fused["value"])
    assert fused["value"] > perfect.loc[("motion", "emotion"), "value"]
    assert np.allclose(perfect.loc[(slice(None), ["AUs", "emotion", "cue", "subject"]), "null_mean"], 0.5, atol=0.04)


def test_an_emotion_branch_that_also_holds_an_au_shows_it_as_excess_and_noise_has_none(table):
    leaky = np.hstack([one_hot(table["cue"]), table[["AU12"]].to_numpy()])
    found = measured(table, emotion=leaky, n_resamples=200).loc["emotion"]
    assert found.loc["AU12", "value"] == 1.0
    assert found.loc["AU12", "excess_low"] > 0.3
    assert abs(found.loc["AU4", "excess"]) < 0.05
    assert found.loc["AUs", "worst_target"] == "AU12"
    found = measured(table, emotion=noise(240, 6, seed=3)).loc["emotion"]
    assert found.loc["cue", "excess"] < -0.4
    assert found.loc["AUs", "excess"] < 0.03


def test_the_subject_is_read_from_clips_held_out(table):
    signature = noise(10, 12, seed=1).repeat(24, axis=0) + 0.1 * noise(240, 12, seed=2)
    options = {"targets": ["subject"], "n_shuffles": 20, "n_resamples": 200}
    rows = measured(table, motion=signature, emotion=noise(240, 4, seed=4), **options).droplevel("target")
    assert rows.loc["motion", "value"] > 0.99
    assert rows.loc["motion", "excess"] > 0.4
    assert rows.loc["emotion", ["value", "null_mean"]].to_list() == pytest.approx([0.5, 0.5], abs=0.06)
    assert rows.loc["emotion", "low"] < 0.5 < rows.loc["emotion", "high"]
    pairs = measured(table[::12], motion=noise(20, 4, seed=4), **options).loc[("motion", "subject")]
    assert abs(pairs["null_mean"] - 0.5) < 0.1  # of all shuffles, also where one puts both clips of a person in a fold
    assert pairs["p"] * 21 == pytest.approx(round(pairs["p"] * 21))


def test_each_row_is_what_the_probe_gives_alone_and_the_mean_leaves_out_aus_with_few_positives(table):
    table = table.assign(AU4=table["AU4"].mask(np.random.default_rng(2).random(240) < 0.2))
    table["AU6"] = (np.arange(240) % 60 == 0) * 1.0
    motion = table[AUS].fillna(0).to_numpy() + noise(240, 3, seed=5)
    options = {"n_shuffles": 20, "n_resamples": 100, "seed": 5}
    rows = measured(table, motion=motion, **options).loc["motion"]
    for target, column in (("AU4", "AU4"), ("AU12", "AU12"), ("emotion", "label"), ("cue", "cue")):
        alone = probe(motion, table[column], subjects=table["subject"], **options).figures
        assert rows.loc[target, list(alone)].to_dict() == pytest.approx(alone)
    assert rows.loc["AU4", "n_unknown"] == table["AU4"].isna().sum() > 20
    assert rows.loc["AU6", "n_positive"] == 4
    assert rows.loc["AUs", "value"] == pytest.approx(rows.loc[["AU4", "AU12"], "value"].mean())
    some = measured(table, motion=motion, emotion=motion, targets=["aus"], branches=["emotion"], seed=5)
    assert set(some.index.get_level_values("branch")) == {"emotion"}
    assert some.loc["emotion", "value"].to_list() == rows.loc[[*AUS, "AUs"], "value"].to_list()


def test_what_has_no_value_has_a_reason_and_what_does_not_fit_is_refused(table):
    motion = table[AUS].to_numpy()
    unknown = table.assign(**dict.fromkeys(AUS, np.nan))
    rows = measured(unknown, emotion=one_hot(table["cue"]), n_resamples=50).loc["emotion"]
    assert rows.loc["AUs", "reason"] == "no AU has 8 positive and 8 negative clips"
    assert (rows.loc["AU4", "n_unknown"], rows.loc["cue", "value"]) == (240, 1.0)
    refuses = partial(assert_refuses, measured, table, motion=motion)
    refuses(targets=["posture"], match="'posture'.* aus, emotion, cue, subject")
    refuses(branches=["both", "motion"], match="no both branch; they have motion, fused")
    refuses(branches=["emotion"], match="no emotion branch")
    refuses(allowed={"motion": motion}, match="a table of exact AUCs or {}")


def test_the_truth_that_is_allowed_is_the_label_without_a_cue_or_the_exact_auc(table):
    emotion = one_hot(table["cue"])
    rows = measured(table.drop(columns="cue"), emotion=one_hot(table["label"])).loc["emotion"]
    assert (rows["excess"] == 0).all()
    assert rows.loc["AU12", "allowed"] == 1.0  # these labels say whether the lips' corners rose
    read = partial(measured, table, emotion=emotion, targets=["cue", "aus"], n_resamples=20)
    assert read(allowed={})[["allowed", "excess"]].isna().all(axis=None)
    alike = measured(table.assign(cue="none"), emotion=emotion, targets=["aus"])
    assert (alike.loc["emotion", "allowed"] == 0.5).all()  # a factor that does not vary allows guessing
    exact = pd.DataFrame({"branch": ["emotion"], "target": ["AU12"], "allowed": [0.625]})
    estimated, given = (read(allowed=one).loc["emotion", "allowed"] for one in (None, exact))
    assert given["AU12"] == 0.625 != estimated["AU12"]
    pd.testing.assert_series_equal(given.drop("AU12"), estimated.drop("AU12"))


@pytest.fixture(scope="module")
def features() -> BranchFeatures:
    return sample_features(sample_clips(n=160, size=16))


def row_of(table, measure, branch="", target=""):
    return table.set_index(["measure", "branch", "target"]).loc[[(measure, branch, target)]].squeeze()


def test_its_values_are_those_of_dependence_and_leakage_on_the_same_clips_a_step_at_a_time(features):
    measure, ids = selection_measures(features), features.table["clip_id"][:90]
    steps = list(measure.steps(ids))
    assert [int((step["reason"] == "computing").sum()) for step in steps] == [4, 4, 3, 2, 1, 0]
    assert steps[0]["value"].notna().sum() == len(MEASURES) - 1  # the branches have other widths, so there is no cosine
    assert steps[0]["chance"].notna().sum() == 0 < steps[1]["chance"].notna().sum()
    found = measure(ids)
    pd.testing.assert_frame_equal(steps[-1], found)
    alone = diagnose.dependence(features.select(ids)).set_index("measure")["value"]
    own = found[found["kind"] == "dependence"].set_index("measure")["value"]
    pd.testing.assert_series_equal(own, alone, check_names=False)
    leaks = leakage(features.select(ids), targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for place in (("emotion", "AUs"), ("motion", "emotion"), ("motion", "AUs"), ("emotion", "emotion")):
        row, names = row_of(found, "auc", *place), ["value", "allowed"]
        assert row[names].to_list() == pytest.approx(leaks.loc[place, names].to_list())
        assert 0.3 < row["chance"] < 0.7
    assert (set(found["n_clips"]), set(found["n_subjects"])) == ({90}, {4})


def test_what_cannot_be_measured_has_a_reason_and_a_large_selection_is_drawn_from(features, monkeypatch):
    table = features.table

    def leak(branch, target, ids=None, **changed):
        return row_of(selection_measures(replace(features, **changed))(ids), "auc", branch, target)

    alone = table["clip_id"][table["subject"] == "s01"]
    assert leak("motion", "emotion", alone)["reason"] == "needs at least 20 clips of 2 subjects, there are 40 of 1"
    assert "no column subject" in leak("emotion", "AUs", table=table.drop(columns=["subject"]))["reason"]
    assert "160 of 160 clips" in leak("motion", "AUs", motion=np.full((160, 3), np.nan))["reason"]
    labels = table["label"].where(np.arange(160) % 4 > 0)
    assert leak("motion", "emotion", table=table.assign(label=labels))["n_clips"] == 120
    half = selection_measures(replace(features, emotion=None))()
    for place in (("linear_cka",), ("auc", "emotion", "AUs")):
        assert "no emotion branch" in row_of(half, *place)["reason"]
    assert np.isfinite(row_of(half, "auc", "motion", "AUs")["value"])
    monkeypatch.setattr("medn_lab.diagnose.leaks.MOST_CLIPS", 50)
    first = next(selection_measures(features).steps(table["clip_id"][:120]))
    assert (set(first["n_clips"]), set(first["drawn_from"])) == ({50}, {120})


def test_the_picture_shows_selection_all_and_chance(features):
    measure = selection_measures(features)
    some, small, every = (measure(features.table["clip_id"][:n]) for n in (60, 3, 160))
    figure, crossed = (view.plot_selection_measures(one, of_all=every) for one in (some, small))
    drawn = {trace.name: trace.x for trace in figure.data if trace.xaxis == "x2"}
    of_some, of_all = (one[one["kind"] == "leakage"] for one in (some, every))
    np.testing.assert_allclose([drawn["selected clips"], drawn["chance"]], of_some[["value", "chance"]].T)
    np.testing.assert_allclose(drawn["all clips"], of_all["value"])
    assert any("needs at least 4 clips" in note.text for note in crossed.layout.annotations)
    low = view.plot_selection_measures(some.assign(value=[-0.4, *some["value"][1:-1], 0.1]))  # as in few clips
    assert (low.layout.xaxis.range[0] < -0.4, low.layout.xaxis2.range[0] < 0.1) == (True, True)


def test_a_watch_has_the_figures_of_dependence_and_leakage_and_leaves_the_training_as_it_is():
    clips, held_out = tiny_clips(), tiny_clips(seed=1, n_subjects=6)
    alone, watched = (MEDN(MEDNConfig.for_clips(clips, dim=32, depth=1)) for _ in range(2))
    how = {"training": TrainConfig(epochs=2, batch_size=16), "progress": False}
    fit(alone, clips, **how)
    watch = diagnose.decoupling_watch(held_out)
    history = fit(watched, clips, callbacks=[watch], **how)
    assert weights_sha256(alone) == weights_sha256(watched)
    features = evaluate.extract_features(watched, held_out)
    last = watch.of(features)
    assert history.table.iloc[-1][list(last)].to_list() == pytest.approx(list(last.values()), nan_ok=True)
    assert last["dependence_linear_cka"] == pytest.approx(linear_cka(features.motion, features.emotion))
    rows = leakage(features, targets=["aus", "emotion"], n_shuffles=0).set_index(["branch", "target"])
    for name, row in (("aus_from_emotion", ("emotion", "AUs")), ("emotion_from_motion", ("motion", "emotion"))):
        found = [last[f"leak_{name}"], last[f"leak_{name}_allowed"]]
        assert found == pytest.approx(rows.loc[row, ["value", "allowed"]].to_list())
    motion = watch.of(replace(features, emotion=None))
    assert set(motion) == {"leak_emotion_from_motion", "leak_emotion_from_motion_allowed"}
    assert_refuses(diagnose.decoupling_watch, tiny_clips(n_subjects=2), match="at least 20 clips .*, there are 12 of 2")


# --- probes, leaks inside a state, bits -------------------------------------------------------------------------------


def person_features(*, n_subjects=8, clips=20, d=6, strength=1.0, seed=0):
    """Features that know a 0/1 target in their first column, and subjects with levels of their own."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i}" for i in range(n_subjects)], clips)
    target = (rng.random(len(subjects)) < 0.4).astype(float)
    features = rng.normal(size=(len(subjects), d)) + np.repeat(rng.normal(size=(n_subjects, d)), clips, axis=0)
    features[:, 0] += strength * target
    return features, target, subjects


def read(features, target, *, n_subjects=10, **options):
    """The probe without shuffles and draws, of subjects with equal numbers of clips."""
    subjects = np.arange(len(features)) * n_subjects // len(features)
    return probe(features, target, **{"subjects": subjects, "n_shuffles": 0, "n_resamples": 0} | options)


def test_scores_are_those_of_ridges_on_the_features_or_on_a_gaussian_kernel():
    features, target, subjects = person_features(seed=1, strength=0.7, n_subjects=6, clips=15)
    folds = subject_folds(subjects, n_folds=3, seed=0)
    score = partial(held_out_scores, features, target[:, None], folds=folds, units=subjects)
    linear, gaussian = (score(kind=kind)[:, 0] for kind in ("ridge", "rbf"))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        near, far = map(StandardScaler().fit(features[train]).transform, (features[train], features[test]))
        # The penalty has the smallest squared error of leaving out each subject.
        alone = list(LeaveOneGroupOut().split(near, groups=subjects[train]))
        fitted = RidgeCV(PENALTIES * train.sum(), cv=alone, scoring="neg_mean_squared_error").fit(near, target[train])
        assert linear[test] == pytest.approx(fitted.predict(far) - fitted.intercept_, abs=1e-8)
        # A ridge with an intercept on the kernel's features: the kernel centred by the training clips.
        gamma = 1 / np.median(pdist(near, "sqeuclidean"))
        centre = KernelCenterer().fit(own := rbf_kernel(near, gamma=gamma))
        own, other = centre.transform(own), centre.transform(rbf_kernel(far, near, gamma=gamma))
        given, ridges = target[train] - target[train].mean(), partial(KernelRidge, kernel="precomputed")
        found = [ridges(alpha=alpha).fit(own, given).predict(other) for alpha in PENALTIES * train.sum()]
        assert min(np.abs(gaussian[test] - one).max() for one in found) < 1e-6


def test_the_area_is_the_known_one_within_each_fold_and_a_draw_counts_units_as_if_repeated():
    rng = np.random.default_rng(4)
    scores, target, folds = rng.integers(0, 6, 90).astype(float), rng.integers(0, 2, 90), np.repeat([0, 1, 2], 30)
    areas = [roc_auc_score(target[folds == fold], scores[folds == fold]) for fold in range(3)]
    ones = np.bincount(folds, weights=target)
    expected = np.average(areas, weights=ones * (30 - ones))
    columns = (scores[:, None], target[:, None].astype(float))
    assert grouped_auc(*columns, folds=folds)[0] == pytest.approx(expected)
    units, draw = rng.integers(0, 4, 90), np.array([2, 0, 1, 1])
    rows = np.repeat(np.arange(90), draw[units])
    repeated = grouped_auc(*(one[rows] for one in columns), folds=folds[rows])[0]
    found = auc_under_draws(*columns, folds=folds, units=units, counts=np.array([[1, 1, 1, 1.0], draw]))
    assert found[:, 0] == pytest.approx([expected, repeated])


def test_folds_keep_subjects_together_and_are_of_nearly_one_size():
    subjects = np.random.default_rng(0).choice([f"s{i}" for i in range(20)], size=400)
    first, other = (subject_folds(subjects, n_folds=5, seed=seed) for seed in (0, 1))
    assert all(len(set(first[subjects == name])) == 1 for name in set(subjects))
    assert np.ptp(np.bincount(first)) < np.unique(subjects, return_counts=True)[1].max()
    assert (first != other).any()


def test_a_feature_that_is_the_target_reads_it_fully_and_the_area_follows_the_planted_strength():
    _, target, subjects = person_features()
    found, again = (probe(target[:, None], target, subjects=subjects) for _ in range(2))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(160 / (160 + 2.364624**2))  # Wilson's bound of 160 clips, t of 8 subjects
    assert found.p_value == pytest.approx(1 / 101)
    assert abs(found.figures["null_mean"] - 0.5) < 0.05
    assert (found.null == again.null).all()
    # Two unit normals one apart: the area is Phi(1 / sqrt 2) = 0.760.
    rng = np.random.default_rng(6)
    target = rng.integers(0, 2, 2000)
    features = np.column_stack([target + rng.normal(size=2000), rng.normal(size=2000)])
    found = read(features, target, n_subjects=20, n_resamples=200)
    assert found.value == pytest.approx(0.760, abs=0.025)
    assert found.low < 0.760 < found.high
    small = rng.normal(size=(400, 1)) @ rng.normal(size=(1, 10)) + 0.003 * rng.normal(size=(400, 10))
    small[:, 0] += 0.02 * target[:400]
    assert read(small, target[:400]).value > 0.95
    wide = rng.normal(size=(60, 300))  # more features than clips
    wide[:, :30] += target[:60, None]
    assert read(wide, target[:60], n_subjects=6).value > 0.9


def test_a_subject_s_level_is_no_knowledge_of_the_target_and_subjects_of_one_label_change_places():
    # Each subject has one value of the target and a signature; a split by clips would read it fully.
    rng, aucs = np.random.default_rng(8), []
    for _ in range(20):
        signature, target = rng.normal(size=(10, 5)), rng.permutation(np.repeat([0, 1], 5))
        features = np.repeat(signature, 12, axis=0) + 0.01 * rng.normal(size=(120, 5))
        aucs.append(read(features, np.repeat(target, 12)).value)
    assert abs(np.nanmean(aucs) - 0.5) < 0.15
    target = np.arange(80) // 40
    found = read(target[:, None] + 0.1 * rng.normal(size=(80, 1)), target, n_subjects=8, n_folds=4, n_shuffles=100)
    assert found.figures["null_mean"] < 0.8 < 0.95 < found.value


@pytest.mark.parametrize("kind", mostly_slow(sorted(READERS, key=["knn", "ridge"].__contains__, reverse=True), quick=2))
def test_readers_find_a_linear_dependence_but_the_ridge_no_product_and_none_anything_in_noise(kind):
    found = []
    for seed in range(3):
        rng, how = np.random.default_rng(seed), {"kind": kind, "seed": seed}
        features, luck = rng.normal(size=(300, 6)), rng.integers(0, 2, 300)
        known, product = features[:, 0] + 0.5 * rng.normal(size=300) > 0, features[:, 0] * features[:, 1] > 0
        found.append([read(features, target, **how).value for target in (known, luck, product)])
    known, luck, product = np.mean(found, axis=0)
    assert known > 0.85
    assert abs(luck - 0.5) < 0.06
    assert product < 0.6 if kind == "ridge" else product > 0.7


@pytest.mark.parametrize("kind", READERS)
def test_a_reader_is_seeded_and_reads_a_target_as_if_it_were_alone(kind):
    features, target, subjects = person_features(seed=3, n_subjects=6, clips=15)
    folds = subject_folds(subjects, n_folds=3, seed=0)
    both = np.column_stack([target, 1 - target, np.zeros(len(target))])
    score = partial(held_out_scores, folds=folds, units=subjects, kind=kind, seed=1)
    together, alone = score(features, both), score(features, both[:, :1])
    assert (together[:, :1] == alone).all()
    assert np.isnan(together[:, 2]).all()
    scaled = score(features * [1, 10, 0.1, 2, 3, 1e-3] + 4, both[:, :1])
    auc, same = (grouped_auc(one, both[:, :1], folds=folds) for one in (alone, scaled))
    assert same == pytest.approx(auc, abs=0.03)


def test_classes_are_averaged_one_against_the_rest_and_an_amount_is_read_by_its_order():
    rng = np.random.default_rng(10)
    emotions = ("disgust", "happiness", "surprise")
    names = rng.choice(emotions, size=240)
    features = np.column_stack([names == "disgust", names == "happiness"]) + 0.6 * rng.normal(size=(240, 2))
    found = read(features, names)
    assert found.value == pytest.approx(np.mean([read(features, names == name).value for name in emotions]))
    assert found.n_positive == min(np.unique(names, return_counts=True)[1])
    in_digits = pd.Series(names).map({"disgust": "1", "happiness": "0", "surprise": "2"})  # as data sets write classes
    assert read(features, in_digits).value == pytest.approx(found.value)
    speed = rng.exponential(size=240)
    assert abs(read(features, speed).value - 0.5) < 0.1
    found = read(3 * speed[:, None], speed, n_shuffles=20)
    assert found.value > 0.99
    assert abs(found.figures["null_mean"] - 0.5) < 0.05
    assert found.n_positive == 240


@pytest.mark.slow
def test_p_is_uniform_where_there_is_nothing():
    p_values = []
    for seed in range(150):
        features, target, subjects = person_features(strength=0.0, n_subjects=5, clips=8, d=2, seed=seed)
        p_values.append(probe(features, target, subjects=subjects, n_shuffles=39, n_resamples=0, seed=seed).p_value)
    # p takes 40 values; half a step back makes a uniform one continuous enough for Kolmogorov and Smirnov.
    assert kstest(np.array(p_values) - 0.5 / 40, "uniform").pvalue > 0.01


def test_unknown_clips_are_left_out_a_probe_without_a_value_says_why_and_what_does_not_fit_is_refused():
    features, target, subjects = person_features(seed=13)
    known = np.arange(160) % 5 > 0
    found = probe(features, np.where(known, target, np.nan), subjects=subjects)
    alone = probe(features[known], target[known], subjects=subjects[known])
    assert (found.draws == alone.draws).all()
    assert (found.n_unknown, alone.n_unknown) == (32, 0)
    rare = probe(features, np.isin(np.arange(160), (0, 1, 50, 100)), subjects=subjects)  # three persons show it
    assert (rare.low, rare.high) == resampling.t_bounds(rare.draws, n_units=3, n_clips=160, level=0.95, share=True)
    for change, reason in (
        ({"target": np.zeros(160)}, "no clip has it"),
        ({"target": np.full(160, np.nan)}, "no clip's target is known"),
        ({"target": ["fear"] * 160}, "there is one class only"),
        ({"subjects": ["a"] * 160}, "one subject alone has a known target"),
        ({"target": np.arange(160) % 2 * (np.arange(160) // 20 == 3)}, "no fold holds clips with and without it"),
    ):
        found = probe(features, **{"target": target, "subjects": subjects, "n_shuffles": 3, "n_folds": 8} | change)
        assert (found.reason, reason in repr(found)) == (reason, True)
        assert np.isnan([found.value, found.low, found.high, found.p_value]).all()
    assert_refuses(probe, features[1:], target, subjects=subjects, match="159 rows, target 160 and subjects 160")
    assert_refuses(probe, features, target, subjects=subjects, kind="forest", match="'forest'.* ridge, .*, mlp")


def conditional(features, **options):
    found = diagnose.conditional_leakage(features, **{"n_exchanges": 99, "n_resamples": 50} | options)
    return found.set_index("target")


def coded(features, **options):
    given = {"targets": ["y"], "readers": ["ridge"], "allowed": {}, "n_resamples": 50}
    return diagnose.usable_information(features, **given | options).set_index("target")


def simple(values, y, *, n_subjects):
    """Features whose emotion branch is `values`, with `y` as a column of the table."""
    table = pd.DataFrame({"clip_id": [f"c{i:04d}" for i in range(len(y))], "dataset": "planted", "y": y})
    table["subject"] = np.repeat([f"s{i:02d}" for i in range(n_subjects)], len(y) // n_subjects)
    return BranchFeatures(values, values, values, table)


def test_what_passes_through_the_cue_alone_is_a_marginal_leak_and_a_leak_inside_the_cue_is_found():
    features = planted()
    marginal = leakage(features, branches=["emotion"], targets=["aus"], allowed={}, n_resamples=0)
    marginal = marginal.set_index("target").loc[["AU4", "AU6", "AUs"]]
    assert (marginal["value"] > 0.57).all()
    assert (marginal["p"] <= 0.05).all()
    found = conditional(features)
    assert (found["p_family"] > 0.05).all()
    assert (found["value"] - found["null_mean"]).abs().max() < 0.06
    assert found["null_mean"].to_numpy() == pytest.approx(0.5, abs=0.05)
    assert found["within"].unique().tolist() == ["subject and cue"]
    # Without a cue the label is held fixed.
    named = conditional(replace(features, table=features.table.rename(columns={"cue": "label"})))
    assert set(named["given"]) == {"emotion"}
    assert named["value"].to_list() == found["value"].to_list()
    found = conditional(planted(inside=1.5))
    leak = found.loc["AU6"]
    assert leak["p_family"] == 0.01
    assert (found.loc[["AU4", "AU12"], "p_family"] > 0.05).all()
    assert found.loc["AUs", ["worst_target", "worst_auc"]].to_list() == ["AU6", leak["value"]]
    assert found.loc["AUs", "worst_excess"] == pytest.approx(leak["value"] - leak["null_mean"])
    # AU6 shifts one of six unit normals, with a level for each subject, by 1.5: an AUC of .75 to .86.
    assert 0.7 < leak["low"] < leak["value"] < leak["high"] < 0.95


def test_the_value_is_the_auc_of_a_ridge_among_clips_of_one_cue_and_fold():
    features = planted(inside=1.0, seed=2)
    table, target = features.table, features.table["AU6"].to_numpy()
    means = pd.DataFrame(features.emotion).groupby(table["cue"].to_numpy()).transform("mean").to_numpy()
    folds = subject_folds(table["subject"].to_numpy(), n_folds=5, seed=0)
    who = {"units": table["subject"].to_numpy(), "kind": "ridge"}
    scores = held_out_scores(features.emotion - means, target[:, None], folds=folds, **who)[:, 0]
    scored = pd.DataFrame({"fold": folds, "cue": table["cue"], "target": target, "score": scores})
    compared = scored.groupby(["fold", "cue"])
    areas = [roc_auc_score(one["target"], one["score"]) for _, one in compared]
    weights = [one["target"].sum() * (1 - one["target"]).sum() for _, one in compared]
    assert conditional(features).loc["AU6", "value"] == pytest.approx(np.average(areas, weights=weights), abs=1e-9)


def test_the_cue_in_a_motion_branch_is_found_given_the_au_set():
    for strength, found in ((0.0, False), (2.0, True)):
        row = conditional(planted(cue_in_motion=strength, clips=40), branch="motion").loc["cue"]
        assert (row["given"], row["n_tests"], row["p_family"]) == ("aus", 1, row["p"])
        assert (row["p"] <= 0.05) == found


@pytest.mark.slow
def test_at_most_one_in_twenty_families_is_found_where_nothing_is_inside():
    alone, family = [], []
    for draw in range(120):
        features, how = planted(n_subjects=5, clips=20, seed=draw), {"n_exchanges": 19, "n_resamples": 0, "seed": draw}
        rows = conditional(features, **how).drop(index="AUs")
        alone.append(rows["p"].min() <= 0.05)
        family.append(rows["p_family"].min() <= 0.05)
    error = np.sqrt(0.05 * 0.95 / 120)
    assert np.mean(family) == pytest.approx(0.05, abs=3 * error)
    assert np.mean(alone) > 0.05 + 2 * error  # three tests, not corrected


def test_clips_of_an_unknown_cue_are_left_out_and_a_target_without_a_value_says_why():
    features = planted(inside=1.5)
    table, known, every = features.table, np.arange(240) % 6 > 0, np.arange(240)
    partly = conditional(replace(features, table=table.assign(cue=table["cue"].where(known, None))))
    pd.testing.assert_frame_equal(partly, conditional(features.select(table["clip_id"][known])))
    assert (partly["n_clips"] == 200).all()
    found = conditional(replace(features, table=table.assign(AU4=table["AU4"].where(every % 4 > 0))))
    assert found.loc["AU4", ["n_clips", "n_unknown"]].to_list() == [180, 60]
    assert found.loc["AU6", "value"] == conditional(features).loc["AU6", "value"]
    named = {"AU4": (every < 7) * 1.0, "AU6": table["cue"].eq("flush") * 1.0, "AU12": 0.0}
    found = conditional(replace(features, table=table.assign(**named)))
    assert "needs 8 with and without it" in found.loc["AU4", "reason"]
    assert found.loc["AU6", "reason"].startswith("0 clips")  # the cue decides it
    assert found["reason"].str.len().min() > 5
    assert found[["value", "p", "p_family"]].isna().all(axis=None)
    only = replace(features, emotion=pd.get_dummies(table["cue"], dtype=float).to_numpy())
    assert set(conditional(only)["reason"]) == {"the emotion branch is constant given the cue"}
    table = table.assign(take=np.where(every < 110, "first", table["clip_id"]), speed=every * 1.0)
    features = replace(features, table=table)
    row = conditional(features, given="take").loc["AU4"]  # no two clips share the other takes
    assert (row["within"], "fewer than half of the clips share their take" in row["reason"]) == ("", True)
    assert_refuses(conditional, features, branch="fused", match="'fused'")
    assert_refuses(conditional, features, targets=["subject"], match="subject cannot be a target")
    assert_refuses(conditional, features, targets=["speed"], match="'speed' is an amount with 240 values")
    assert_refuses(conditional, features, given="posture", match="nothing can be given 'posture'")


@pytest.mark.parametrize("reader", mostly_slow(READERS, quick=2))
def test_noise_costs_its_entropy_and_a_known_label_the_first_block_and_little_more(reader):
    rng = np.random.default_rng(1)
    y = rng.permuted(np.tile([0.0, 1.0], (12, 10)), axis=1).ravel()
    row = coded(simple(rng.normal(size=(240, 5)), y, n_subjects=12), readers=[reader]).loc["y"]
    assert row["prior_bits"] == pytest.approx(240)  # 240 clips of one bit: each subject has ten of either kind
    assert row["bits"] == pytest.approx(240, rel=0.03)
    assert row["value"] == pytest.approx((row["prior_bits"] - row["bits"]) / 240)
    y = rng.permuted(np.tile([0.0, 1.0], (16, 12)), axis=1).ravel()
    found = coded(simple(y[:, None] + 0.01 * rng.normal(size=(384, 3)), y, n_subjects=16), readers=[reader])
    assert found.attrs["subjects"] == [2, 4, 8, 16]
    assert 48 < found.loc["y", "bits"] < 48 + 0.07 * 336  # two subjects of 24 clips cost one bit a clip


def test_the_prior_code_is_that_of_shares_with_half_a_clip_more():
    names = np.tile(["anger", "fear", "joy"], 80)
    row = coded(simple(np.random.default_rng(3).normal(size=(240, 2)), names, n_subjects=10)).loc["y"]
    assert row["prior_bits"] == pytest.approx(240 * np.log2(3))
    assert coded(simple(np.eye(3)[np.arange(240) % 3], names, n_subjects=10)).loc["y", "value"] > 0.7 * np.log2(3)
    # One positive clip of four in every subject: a block costs its entropy under the smoothed share so far.
    y = np.tile([1.0, 0.0, 0.0, 0.0], 40)
    row = coded(simple(np.random.default_rng(4).normal(size=(160, 2)), y, n_subjects=8)).loc["y"]
    expected = 40.0  # the first two subjects
    for known, new in ((40, 40), (80, 80)):
        p = (known / 4 + 0.5) / (known + 1)
        expected -= new * (0.25 * np.log2(p) + 0.75 * np.log2(1 - p))
    assert row["prior_bits"] == pytest.approx(expected)


@pytest.mark.slow
def test_it_approaches_the_mutual_information_of_two_normals():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 3200).astype(float)
    features = simple(2 * y[:, None] + rng.normal(size=(3200, 1)), y, n_subjects=32)
    at = np.linspace(-8, 10, 4001)
    parts = np.stack([norm.pdf(at), norm.pdf(at, 2)])
    information = np.trapezoid(0.5 * (parts * np.log2(parts / parts.mean(axis=0))).sum(axis=0), at)
    assert coded(features).loc["y", "value"] == pytest.approx(7 / 8 * information, abs=0.02)  # no first block


def test_a_branch_that_is_the_cue_has_what_the_cue_allows_and_a_leak_is_an_excess():
    features = planted()
    only = replace(features, emotion=pd.get_dummies(features.table["cue"], dtype=float).to_numpy())
    found = diagnose.usable_information(only, readers=["ridge", "knn"], n_resamples=50, n_orders=1)
    assert (found["value"] == found["allowed"]).all()
    assert (found[["excess", "excess_low", "excess_high"]] == 0).all(axis=None)
    assert (found["direction"] == "at most allowed").all()
    # The AUs are coded one after the other.
    ridge = found[found["reader"] == "ridge"].set_index("target")
    assert ridge.loc[AUS, "n_positive"].tolist() == features.table[AUS].sum().tolist()
    sums = ["value", "bits", "prior_bits"]
    assert ridge.loc["AUs", sums].to_list() == pytest.approx(ridge.loc[AUS, sums].sum().to_list())
    features = planted(inside=3.0)
    mixed = features.select(features.table["clip_id"].sample(frac=1, random_state=0))
    how = {"readers": ["ridge"], "n_resamples": 200}
    found, again = (diagnose.usable_information(one, **how).set_index("target") for one in (features, mixed))
    assert found.loc["AU6", "excess_low"] > 0
    assert again["value"].to_numpy() == pytest.approx(found["value"].to_numpy(), abs=1e-4)


def test_unknown_labels_are_left_out_and_a_target_without_a_value_says_why():
    rng = np.random.default_rng(7)
    y = np.where(np.arange(240) % 5 > 0, rng.integers(0, 2, 240), np.nan)
    features = simple(rng.normal(size=(240, 3)), y, n_subjects=12)
    row = coded(features).loc["y"]
    assert row[["n_clips", "n_unknown", "n_subjects"]].to_list() == [192, 48, 12]
    assert coded(features.select(features.table["clip_id"][np.isfinite(y)])).loc["y", "bits"] == row["bits"]
    noise, y = rng.normal(size=(120, 2)), np.tile([0.0, 1.0], 60)
    for values, target, n_subjects, reason in (
        (noise, y, 3, "of 4 subjects; there are 60 of the rarer kind, of 3 subjects"),
        (noise, (np.arange(120) < 7) * 1.0, 6, "there are 7 of the rarer kind"),
        (np.ones((120, 2)), y, 6, "the emotion branch is constant"),
    ):
        row = coded(simple(values, target, n_subjects=n_subjects)).loc["y"]
        assert reason in row["reason"]
        assert row[["value", "low", "bits"]].isna().all()
