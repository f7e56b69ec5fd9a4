"""The probe against scikit-learn, against what was planted, and against labels that mean nothing."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kstest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.preprocessing import KernelCenterer, StandardScaler
from slow_cases import mostly_slow

from medn_lab.diagnose import probe
from medn_lab.diagnose.probing import (
    PENALTIES,
    READERS,
    auc_under_draws,
    clip_folds,
    grouped_auc,
    held_out_scores,
    pair_counts,
    subject_folds,
)
from medn_lab.evaluate.resampling import draw_counts


def standardised(features, folds):
    """Training rows, test rows and both features standardised by scikit-learn, of each fold."""
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        scaler = StandardScaler().fit(features[train])
        yield train, test, scaler.transform(features[train]), scaler.transform(features[test])


def squared_error(model, features, target):
    """The sum and not the mean over a group, so that every clip counts the same."""
    return -((model.predict(features) - target) ** 2).sum()


def planted(*, n_subjects=8, clips=20, d=6, strength=1.0, share=0.4, seed=0):
    """Features that know a 0/1 target in their first column, and subjects with levels of their own."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"s{i}" for i in range(n_subjects)], clips)
    target = (rng.random(len(subjects)) < share).astype(float)
    features = rng.normal(size=(len(subjects), d)) + np.repeat(rng.normal(size=(n_subjects, d)), clips, axis=0)
    features[:, 0] += strength * target
    return features, target, subjects


class TestFolds:
    def test_no_subject_is_in_two_folds_and_folds_are_even_and_seeded(self):
        subjects = np.random.default_rng(0).choice([f"s{i}" for i in range(20)], size=400)
        first, again, other = (subject_folds(subjects, n_folds=5, seed=seed) for seed in (0, 0, 1))
        assert all(len(set(first[subjects == name])) == 1 for name in set(subjects))
        assert np.ptp(np.bincount(first)) < np.unique(subjects, return_counts=True)[1].max()
        assert (first == again).all()
        assert (first != other).any()
        assert set(subject_folds(np.repeat(["a", "b", "c"], 4), n_folds=5, seed=0)) == {0, 1, 2}  # a fold each

    def test_clip_folds_spread_every_class(self):
        classes = np.repeat(["a", "b", "c"], [10, 7, 5])
        folds = clip_folds(classes, n_folds=5, seed=0)
        assert all(np.ptp(np.bincount(folds[classes == name], minlength=5)) <= 1 for name in "abc")


class TestAgainstScikitLearn:
    def test_scores_are_those_of_a_ridge_whose_penalty_leaves_subjects_out(self):
        features, target, subjects = planted(seed=1, strength=0.7)
        folds = subject_folds(subjects, n_folds=4, seed=0)
        ours = held_out_scores(features, target[:, None], folds=folds, units=subjects, kind="ridge")[:, 0]
        for train, test, near, far in standardised(features, folds):
            grid = {"alpha": PENALTIES * train.sum()}
            search = GridSearchCV(Ridge(), grid, cv=LeaveOneGroupOut(), scoring=squared_error)
            fitted = search.fit(near, target[train], groups=subjects[train]).best_estimator_
            assert ours[test] == pytest.approx(fitted.predict(far) - fitted.intercept_, abs=1e-8)

    def test_the_gaussian_probe_is_a_kernel_ridge(self):
        features, target, subjects = planted(seed=2, n_subjects=4, clips=15)
        folds = subject_folds(subjects, n_folds=2, seed=0)
        ours = held_out_scores(features, target[:, None], folds=folds, units=subjects, kind="rbf")[:, 0]
        for train, test, near, far in standardised(features, folds):
            gamma = 1 / np.median(pdist(near, "sqeuclidean"))
            # A ridge with an intercept on the kernel's features: the kernel centred by the training clips.
            centre = KernelCenterer().fit(own := rbf_kernel(near, gamma=gamma))
            own, other = centre.transform(own), centre.transform(rbf_kernel(far, near, gamma=gamma))
            given = target[train] - target[train].mean()
            best = [
                KernelRidge(alpha=alpha, kernel="precomputed").fit(own, given).predict(other)
                for alpha in PENALTIES * train.sum()
            ]
            assert min(np.abs(ours[test] - one).max() for one in best) < 1e-6

    def test_it_reads_as_much_as_a_logistic_regression(self):
        ours, theirs = [], []
        for seed in range(5):
            features, target, subjects = planted(seed=seed, strength=1.5, n_subjects=12)
            folds = subject_folds(subjects, n_folds=5, seed=0)
            scores = np.zeros(len(target))
            for train, test, near, far in standardised(features, folds):
                scores[test] = LogisticRegression().fit(near, target[train]).decision_function(far)
            theirs.append(grouped_auc(scores[:, None], target[:, None], folds=folds)[0])
            ours.append(probe(features, target, subjects=subjects, n_shuffles=0).value)
        assert np.mean(ours) > np.mean(theirs) - 0.005

    def test_the_area_is_the_known_one_within_each_fold(self):
        rng = np.random.default_rng(4)
        scores, target, folds = rng.integers(0, 6, 90).astype(float), rng.integers(0, 2, 90), np.repeat([0, 1, 2], 30)
        inside = [
            (roc_auc_score(target[folds == f], scores[folds == f]), (t := target[folds == f]).sum() * (1 - t).sum())
            for f in range(3)
        ]
        expected = np.average([a for a, _ in inside], weights=[w for _, w in inside])
        columns = (scores[:, None], target[:, None].astype(float))
        assert grouped_auc(*columns, folds=folds)[0] == pytest.approx(expected)
        units = rng.integers(0, 4, 90)
        counts = pair_counts(*columns, folds=folds, units=units)
        assert auc_under_draws(*counts, np.ones((1, 4)))[0, 0] == pytest.approx(expected)


def test_a_draw_of_units_counts_pairs_as_if_the_units_were_repeated():
    rng = np.random.default_rng(5)
    scores, target = rng.normal(size=24), rng.integers(0, 2, 24).astype(float)
    units, folds = np.repeat([0, 1, 2, 3], 6), np.repeat([0, 1], 12)
    draw = np.array([2, 0, 1, 1])
    rows = np.concatenate([np.flatnonzero(units == unit) for unit in range(4) for _ in range(draw[unit])])
    expected = grouped_auc(scores[rows, None], target[rows, None], folds=folds[rows])[0]
    counts = pair_counts(scores[:, None], target[:, None], folds=folds, units=units)
    assert auc_under_draws(*counts, draw[None].astype(float))[0, 0] == pytest.approx(expected)
    assert (draw_counts(4, n_draws=50, seed=0).sum(axis=1) == 4).all()


class TestWhatIsPlanted:
    def test_a_feature_that_is_the_target_reads_it_fully(self):
        _, target, subjects = planted()
        found = probe(target[:, None], target, subjects=subjects)
        assert (found.value, found.high) == (1.0, 1.0)
        assert found.low == pytest.approx(160 / (160 + 2.364624**2))  # Wilson's bound of 160 clips, t of 8 subjects
        assert found.p_value == pytest.approx(1 / 101)
        assert abs(found.null_mean - 0.5) < 0.05

    def test_the_area_follows_the_planted_strength(self):
        # Two unit normals one apart: the area is Phi(1 / sqrt 2) = 0.760.
        rng = np.random.default_rng(6)
        target = rng.integers(0, 2, 2000)
        features = np.column_stack([target + rng.normal(size=2000), rng.normal(size=2000)])
        found = probe(features, target, subjects=np.repeat(np.arange(20), 100), n_shuffles=0)
        assert found.value == pytest.approx(0.760, abs=0.025)
        assert found.low < 0.760 < found.high

    def test_what_lies_in_a_small_direction_is_found(self):
        rng = np.random.default_rng(7)
        target = rng.integers(0, 2, 400)
        wide = rng.normal(size=(400, 1))
        features = wide @ rng.normal(size=(1, 10)) + 0.003 * rng.normal(size=(400, 10))
        features[:, 0] += 0.02 * target
        assert probe(features, target, subjects=np.repeat(np.arange(10), 40), n_shuffles=0).value > 0.95

    def test_a_subject_s_own_level_is_no_knowledge_of_the_target(self):
        # Each subject has one value of the target and a signature; a split by clips would read it fully.
        rng = np.random.default_rng(8)
        aucs = []
        for _ in range(20):
            signature, target = rng.normal(size=(10, 5)), rng.permutation(np.repeat([0, 1], 5))
            features = np.repeat(signature, 12, axis=0) + 0.01 * rng.normal(size=(120, 5))
            found = probe(features, np.repeat(target, 12), subjects=np.repeat(np.arange(10), 12), n_shuffles=0)
            aucs.append(found.value)
        assert abs(np.nanmean(aucs) - 0.5) < 0.15

    def test_only_the_gaussian_probe_reads_a_ring(self):
        rng = np.random.default_rng(9)
        target, angle = rng.integers(0, 2, 300), rng.uniform(0, 2 * np.pi, 300)
        radius = 1 + target + 0.1 * rng.normal(size=300)
        features = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
        subjects = np.repeat(np.arange(10), 30)
        linear, gaussian = (
            probe(features, target, subjects=subjects, kind=kind, n_shuffles=0) for kind in ("ridge", "rbf")
        )
        assert linear.value < 0.6
        assert gaussian.value > 0.98

    @pytest.mark.parametrize(
        "kind", mostly_slow(sorted(READERS, key=["knn", "ridge"].__contains__, reverse=True), quick=2)
    )
    def test_every_reader_finds_a_linear_dependence_and_is_at_one_half_on_noise(self, kind):
        known, blank = [], []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            features, subjects = rng.normal(size=(300, 6)), np.repeat(np.arange(10), 30)
            luck = rng.integers(0, 2, 300)
            options = {"subjects": subjects, "kind": kind, "n_shuffles": 0, "n_resamples": 0, "seed": seed}
            known.append(probe(features, features[:, 0] + 0.5 * rng.normal(size=300) > 0, **options).value)
            blank.append(probe(features, luck, **options).value)
        assert np.mean(known) > 0.85
        assert abs(np.mean(blank) - 0.5) < 0.06

    @pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "ridge"])
    def test_every_reader_but_the_ridge_finds_a_product_of_two_features(self, kind):
        rng = np.random.default_rng(2)
        features, subjects = rng.normal(size=(300, 6)), np.repeat(np.arange(10), 30)
        target = features[:, 0] * features[:, 1] > 0
        options = {"subjects": subjects, "n_shuffles": 0, "n_resamples": 0}
        assert probe(features, target, kind=kind, **options).value > 0.8
        assert probe(features, target, kind="ridge", **options).value < 0.6

    @pytest.mark.parametrize("kind", READERS)
    def test_a_reader_is_seeded_and_reads_a_target_as_if_it_were_alone(self, kind):
        features, target, subjects = planted(seed=3)
        folds = subject_folds(subjects, n_folds=3, seed=0)
        both = np.column_stack([target, 1 - target, np.zeros(len(target))])
        given = {"folds": folds, "units": subjects, "kind": kind, "seed": 1}
        together, alone = held_out_scores(features, both, **given), held_out_scores(features, both[:, :1], **given)
        assert (together[:, :1] == alone).all()
        assert np.isnan(together[:, 2]).all()
        scaled = held_out_scores(features * 8 + 4, both[:, :1], **given)
        assert grouped_auc(scaled, both[:, :1], folds=folds) == pytest.approx(
            grouped_auc(alone, both[:, :1], folds=folds), abs=0.02
        )

    def test_classes_are_averaged_one_against_the_rest(self):
        rng = np.random.default_rng(10)
        emotions = ("disgust", "happiness", "surprise")
        names = rng.choice(emotions, size=240)
        features = np.column_stack([names == "disgust", names == "happiness"]) + 0.6 * rng.normal(size=(240, 2))
        subjects = np.repeat(np.arange(8), 30)
        single = [probe(features, names == name, subjects=subjects, n_shuffles=0).value for name in emotions]
        found = probe(features, names, subjects=subjects, n_shuffles=0)
        assert found.value == pytest.approx(np.mean(single))
        assert found.n_positive == min(np.unique(names, return_counts=True)[1])

    def test_an_amount_is_read_by_its_order(self):
        rng = np.random.default_rng(11)
        speed = rng.exponential(size=200)
        subjects = np.repeat(np.arange(10), 20)
        features = rng.normal(size=(200, 3))
        assert abs(probe(features, speed, subjects=subjects, n_shuffles=20).value - 0.5) < 0.1
        features[:, 1] = 3 * speed
        found = probe(features, speed, subjects=subjects, n_shuffles=20)
        assert found.value > 0.99
        assert abs(found.null_mean - 0.5) < 0.05
        assert found.n_positive == 200


class TestChance:
    def test_pooled_scores_of_nothing_lie_below_one_half_but_pairs_within_folds_do_not(self):
        inside, pooled = [], []
        for seed in range(40):
            features, target, subjects = planted(strength=0.0, n_subjects=6, clips=10, d=4, seed=seed)
            folds = subject_folds(subjects, n_folds=6, seed=seed)
            scores = held_out_scores(features, target[:, None], folds=folds, units=subjects, kind="ridge")
            # What a fit with its intercept would score: the training folds' share of positives.
            intercept = np.array([target[folds != fold].mean() for fold in range(6)])[folds]
            inside.append(grouped_auc(scores, target[:, None], folds=folds)[0])
            pooled.append(roc_auc_score(target, scores[:, 0] + intercept))
        assert np.mean(pooled) < np.mean(inside) - 0.05
        assert abs(np.mean(inside) - 0.5) < 0.05

    @pytest.mark.slow
    def test_p_is_uniform_where_there_is_nothing(self):
        p_values = []
        for seed in range(200):
            features, target, subjects = planted(strength=0.0, n_subjects=5, clips=8, d=2, seed=seed)
            found = probe(features, target, subjects=subjects, n_shuffles=39, n_resamples=0, seed=seed)
            p_values.append(found.p_value)
        # p takes 40 values; half a step back makes a uniform one continuous enough for Kolmogorov and Smirnov.
        assert kstest(np.array(p_values) - 0.5 / 40, "uniform").pvalue > 0.01

    def test_labels_constant_in_each_subject_are_shuffled_between_subjects(self):
        rng = np.random.default_rng(12)
        subjects = np.repeat(np.arange(8), 10)
        target = (subjects >= 4).astype(int)
        found = probe(target[:, None] + 0.1 * rng.normal(size=(80, 1)), target, subjects=subjects, n_folds=4)
        assert found.value > 0.95
        assert found.null_mean < 0.8


class TestWhatHasNoValue:
    def test_clips_with_an_unknown_target_are_left_out(self):
        features, target, subjects = planted(seed=13)
        some = np.where(np.arange(160) % 5, target, np.nan)
        found = probe(features, some, subjects=subjects)
        known = np.isfinite(some)
        alone = probe(features[known], target[known], subjects=subjects[known])
        assert repr(found) == repr(alone)
        assert (found.draws == alone.draws).all()
        assert (found.n_unknown, alone.n_unknown) == (32, 0)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"target": np.zeros(160)}, "no clip has it"),
            ({"target": np.ones(160)}, "every clip has it"),
            ({"target": np.full(160, np.nan)}, "no clip's target is known"),
            ({"target": ["fear"] * 160}, "there is one class only"),
            ({"target": np.arange(160) % 2 * (np.arange(160) // 20 == 3)}, "no fold holds clips with and without it"),
            ({"features": np.full((160, 3), 7.0)}, "the features are constant"),
        ],
    )
    def test_a_probe_without_a_value_says_why(self, change, reason):
        features, target, subjects = planted()
        arguments = {"features": features, "target": target, "n_shuffles": 3, "n_folds": 8} | change
        found = probe(arguments.pop("features"), arguments.pop("target"), subjects=subjects, **arguments)
        assert found.reason == reason
        assert reason in repr(found)
        assert np.isnan([found.value, found.low, found.high, found.null_mean, found.p_value]).all()

    def test_a_copied_or_scaled_or_shifted_feature_changes_nothing(self):
        features, target, subjects = planted(seed=14)
        first = probe(features, target, subjects=subjects, n_shuffles=0)
        other = probe(features * np.array([1, 10, 0.1, 2, 3, 1e-3]) + 5, target, subjects=subjects, n_shuffles=0)
        assert other.value == pytest.approx(first.value, abs=1e-9)

    def test_more_features_than_clips_are_read(self):
        rng = np.random.default_rng(15)
        target = np.tile([0, 1], 30)
        features = rng.normal(size=(60, 300))
        features[:, :30] += target[:, None]
        found = probe(features, target, subjects=np.repeat(np.arange(6), 10), n_shuffles=0)
        assert found.value > 0.9

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ({"features": np.zeros((159, 2))}, "159 rows, target 160 and subjects 160"),
            ({"features": np.zeros(160)}, r"\(160,\)"),
            ({"features": np.full((160, 1), np.nan)}, "160 of 160 clips"),
            ({"subjects": ["a"] * 160}, "fewer than 2 subjects"),
            ({"n_folds": 1}, "at least 2 folds"),
            ({"kind": "forest"}, "kind is 'forest'; it must be one of ridge, rbf, knn, boosting, mlp"),
            ({"target": np.zeros((160, 2))}, r"it must be \(n,\)"),
        ],
    )
    def test_an_error_says_what_is_wrong(self, change, sentence):
        features, target, subjects = planted()
        arguments = {"features": features, "target": target, "subjects": subjects} | change
        with pytest.raises(ValueError, match=sentence):
            probe(arguments.pop("features"), arguments.pop("target"), **arguments)


def test_the_same_seed_gives_the_same_score_and_the_repr_tells_it():
    features, target, subjects = planted(seed=16)
    first, again = (probe(features, target, subjects=subjects, seed=3) for _ in range(2))
    assert (first.draws == again.draws).all()
    assert (first.null == again.null).all()
    assert repr(first).startswith(f"probe AUC {first.value:.3f} [{first.low:.3f}, {first.high:.3f}] (95%, 8 subjects")
