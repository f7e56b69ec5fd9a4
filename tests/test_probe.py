"""The probe against scikit-learn, against what was planted, and against labels that mean nothing."""

from functools import partial

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kstest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.preprocessing import KernelCenterer, StandardScaler
from slow_cases import mostly_slow

from medn_lab.diagnose import probe
from medn_lab.diagnose.probing import PENALTIES, READERS, auc_under_draws, grouped_auc, held_out_scores, subject_folds


def planted(*, n_subjects=8, clips=20, d=6, strength=1.0, seed=0):
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
    features, target, subjects = planted(seed=1, strength=0.7, n_subjects=6, clips=15)
    folds = subject_folds(subjects, n_folds=3, seed=0)
    score = partial(held_out_scores, features, target[:, None], folds=folds, units=subjects)
    linear, gaussian = (score(kind=kind)[:, 0] for kind in ("ridge", "rbf"))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        near, far = map(StandardScaler().fit(features[train]).transform, (features[train], features[test]))
        # The penalty has the smallest squared error of leaving out each subject.
        alone = list(LeaveOneGroupOut().split(near, groups=subjects[train]))
        ridge = RidgeCV(PENALTIES * train.sum(), cv=alone, scoring="neg_mean_squared_error")
        fitted = ridge.fit(near, target[train])
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
    _, target, subjects = planted()
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
    features, target, subjects = planted(seed=3, n_subjects=6, clips=15)
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
        features, target, subjects = planted(strength=0.0, n_subjects=5, clips=8, d=2, seed=seed)
        found = probe(features, target, subjects=subjects, n_shuffles=39, n_resamples=0, seed=seed)
        p_values.append(found.p_value)
    # p takes 40 values; half a step back makes a uniform one continuous enough for Kolmogorov and Smirnov.
    assert kstest(np.array(p_values) - 0.5 / 40, "uniform").pvalue > 0.01


def test_unknown_clips_are_left_out_a_probe_without_a_value_says_why_and_what_does_not_fit_is_refused():
    features, target, subjects = planted(seed=13)
    known = np.arange(160) % 5 > 0
    found = probe(features, np.where(known, target, np.nan), subjects=subjects)
    alone = probe(features[known], target[known], subjects=subjects[known])
    assert (found.draws == alone.draws).all()
    assert (found.n_unknown, alone.n_unknown) == (32, 0)
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
    with pytest.raises(ValueError, match="159 rows, target 160 and subjects 160"):
        probe(features[1:], target, subjects=subjects)
    with pytest.raises(ValueError, match=r"'forest'.* ridge, rbf, knn, boosting, mlp"):
        probe(features, target, subjects=subjects, kind="forest")
