"""Measures of dependence against outside implementations, closed forms, invariances and degenerate input."""

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sample_records import sample_clips, sample_features
from sklearn.cross_decomposition import CCA

from medn_lab.diagnose import (
    absolute_cosine,
    branch_correlation,
    canonical_correlations,
    dependence,
    distance_correlation,
    hsic,
    linear_cka,
    partial_out,
    permutation_test,
)
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures

# Twelve clips without chance, so that another program can be given the same.
X = np.array([[i * 7 % 11, i * 5 % 13, i * i % 7] for i in range(12)], dtype=float)
Y = np.array([[i * 3 % 8, (i * i + i) % 9] for i in range(12)], dtype=float)

UNBIASED = {
    "linear_cka": linear_cka,
    "distance_correlation": distance_correlation,
    "hsic": lambda x, y: hsic(x, y, normalised=True),
    "branch_correlation": lambda x, y: branch_correlation(x, y).attrs["mean_square"],
}
EVERY = UNBIASED | {"canonical_correlations": lambda x, y: [*canonical_correlations(x, y), np.nan][0]}
ROTATION_FREE = [name for name in EVERY if name != "branch_correlation"]


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class TestAgainstOutsideNumbers:
    """The right-hand sides were printed by the lines in the comments, in an environment of their own."""

    def test_distance_correlation_is_that_of_dcor_and_hyppo(self):
        # dcor 0.7: dcor.u_distance_correlation_sqr(X, Y), dcor.distance_correlation_sqr(X, Y)
        # hyppo 0.5.2: hyppo.independence.Dcorr(bias=False).statistic(X, Y) gives the first one too.
        assert distance_correlation(X, Y) == pytest.approx(0.5416721616340657, abs=1e-12)
        assert distance_correlation(X, Y, debiased=False) == pytest.approx(0.717309422324188, abs=1e-12)

    def test_linear_cka_is_the_cosine_of_dcor_s_u_centred_products(self):
        # dcor 0.7: u = [dcor.u_centered(g - np.diag(np.diag(g))) for g in (X @ X.T, Y @ Y.T)]
        # dcor.u_product(*u) / np.sqrt(dcor.u_product(u[0], u[0]) * dcor.u_product(u[1], u[1]))
        assert linear_cka(X, Y) == pytest.approx(0.521718177625243, abs=1e-12)

    def test_hsic_is_dcor_s_product_of_scikit_learn_s_kernels(self):
        # scikit-learn 1.9.1, dcor 0.7, scipy 1.17.1: d = [pdist(v) for v in (X, Y)]
        # k = [rbf_kernel(v, gamma=1 / (2 * np.median(a[a > 0]) ** 2)) for v, a in zip((X, Y), d)]
        # u = [dcor.u_centered(1 - m) for m in k]; dcor.u_product(*u), and the same divided as for linear CKA
        assert hsic(X, Y) == pytest.approx(0.020302530790686092, abs=1e-12)
        assert hsic(X, Y, normalised=True) == pytest.approx(0.5122741870925985, abs=1e-12)

    def test_canonical_correlations_are_those_of_scikit_learn_and_hyppo(self):
        # The classical ones, without a penalty.
        x, y = noise(60, 4, seed=1), noise(60, 3, seed=2)
        y[:, 0] += x[:, 1]
        model = CCA(n_components=3, max_iter=5000, tol=1e-12).fit(x, y)
        a, b = model.transform(x, y)
        theirs = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
        assert canonical_correlations(x, y, penalty=0) == pytest.approx(theirs, abs=1e-6)

    def test_branch_correlation_is_numpy_s(self):
        found = branch_correlation(X, Y)
        assert found.to_numpy() == pytest.approx(np.corrcoef(X.T, Y.T)[:3, 3:])
        assert found.attrs["mean_abs"] == pytest.approx(np.abs(found.to_numpy()).mean())
        assert found.attrs["max_abs"] == pytest.approx(np.abs(found.to_numpy()).max())


class TestClosedForms:
    def test_unbiased_hsic_is_the_mean_over_quadruples_of_clips(self):
        # The definition as a U-statistic (Gretton et al. 2005), by brute force.
        x, y = X[:6, :1], Y[:6, :1]
        k, m = np.exp(-((x - x.T) ** 2) / 18), np.exp(-((y - y.T) ** 2) / 8)
        terms = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(6), 4)]
        assert hsic(x, y, bandwidths=(3.0, 2.0)) == pytest.approx(np.mean(terms), abs=1e-14)

    @pytest.mark.parametrize("n", [4, 5, 60])
    def test_linear_cka_of_many_clips_is_computed_from_covariances_with_the_same_value(self, n, monkeypatch):
        x, y = (noise(n, d, seed=d) for d in (6, 3))
        y[:, 0] += 0.5 * x[:, 1]
        test = partial(permutation_test, linear_cka, x, y, n_permutations=5)
        few = test()
        monkeypatch.setattr("medn_lab.diagnose.similarity.MANY", 0)
        many = test()
        assert many.value == pytest.approx(few.value, rel=1e-9)
        assert many.null == pytest.approx(few.null, rel=1e-9, abs=1e-12)
        assert np.isnan(linear_cka(np.ones((n, 3)), noise(n, 2)))

    def test_biased_linear_cka_is_the_squared_correlation_of_two_single_features(self):
        r = np.corrcoef(X[:, 0], Y[:, 0])[0, 1]
        assert linear_cka(X[:, 0], Y[:, 0], debiased=False) == pytest.approx(r**2)

    def test_biased_linear_cka_is_that_of_the_covariances(self):
        x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
        parts = [np.linalg.norm(a.T @ b) for a, b in ((x, y), (x, x), (y, y))]
        assert linear_cka(X, Y, debiased=False) == pytest.approx(parts[0] ** 2 / (parts[1] * parts[2]))

    def test_distance_correlation_of_a_gaussian_pair(self):
        # Székely, Rizzo, Bakirov 2007, theorem 7 (squared): r = .5 gives
        # (r asin r + sqrt(1 - r^2) - r asin(r / 2) - sqrt(4 - r^2) + 1) / (1 + pi / 3 - sqrt 3).
        r = 0.5
        known = r * np.arcsin(r) + np.sqrt(1 - r**2) - r * np.arcsin(r / 2) - np.sqrt(4 - r**2) + 1
        x = noise(1500)
        y = r * x + np.sqrt(1 - r**2) * noise(1500, seed=1)
        assert distance_correlation(x, y) == pytest.approx(known / (1 + np.pi / 3 - np.sqrt(3)), abs=0.04)

    def test_mean_square_correlation_of_a_gaussian_pair_is_the_planted_one(self):
        found = [
            branch_correlation(x := noise(50, seed=s), 0.6 * x + 0.8 * noise(50, seed=999 + s)).attrs["mean_square"]
            for s in range(300)
        ]
        assert np.mean(found) == pytest.approx(0.36, abs=0.015)

    def test_the_penalty_shrinks_a_perfect_match_as_stated(self):
        # Two directions with variances 4 and 1, mean 2.5: s / (s + penalty) with s = 1.6 and .4.
        u = np.linalg.qr(noise(30, 2) - noise(30, 2).mean(axis=0))[0]
        x = u * [2.0, 1.0]
        assert canonical_correlations(x, x, penalty=0.1) == pytest.approx([1.6 / 1.7, 0.4 / 0.5])

    def test_the_cosine_of_axes(self):
        x = np.array([[1.0, 0], [2, 0], [0, 3], [1, 1]])
        y = np.array([[5.0, 0], [0, 1], [0, -1], [1, 0]])
        assert absolute_cosine(x, y) == pytest.approx((1 + 0 + 1 + np.sqrt(0.5)) / 4)


class TestControls:
    @pytest.mark.parametrize("name", ["linear_cka", "distance_correlation", "hsic"])
    def test_it_is_one_for_a_copy_that_is_rotated_scaled_and_shifted(self, name):
        x = noise(40, 6)
        assert UNBIASED[name](x, 3 * x @ rotation(6) + 5) == pytest.approx(1.0)

    def test_canonical_correlations_are_one_for_any_invertible_map_without_a_penalty(self):
        x = noise(40, 5)
        found = canonical_correlations(x, x @ noise(5, 5, seed=1) - 2, penalty=0)
        assert found == pytest.approx(np.ones(5))

    @pytest.mark.parametrize("name", UNBIASED)
    def test_it_is_around_zero_for_independent_noise(self, name):
        values = [UNBIASED[name](noise(24, 8, seed=2 * s), noise(24, 6, seed=2 * s + 1)) for s in range(200)]
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values)) < 4 * error
        assert min(values) < 0

    def test_the_biased_ones_are_not(self):
        values = [linear_cka(noise(32, 8, seed=2 * s), noise(32, 8, seed=2 * s + 1), debiased=False) for s in range(50)]
        assert np.mean(values) == pytest.approx(0.2, abs=0.02)
        assert distance_correlation(noise(32, 64), noise(32, 64, seed=1), debiased=False) > 0.6

    @pytest.mark.parametrize("name", EVERY)
    def test_more_of_the_other_branch_gives_more_dependence(self, name):
        x, other = noise(80, 5), noise(80, 5, seed=1)
        values = [EVERY[name](x, share * x + other) for share in (0.0, 0.5, 1.0, 3.0)]
        assert values == sorted(values)

    @pytest.mark.parametrize(("name", "sees"), [("linear_cka", False), ("distance_correlation", True), ("hsic", True)])
    def test_a_bent_dependence_is_seen_by_distances_and_kernels_alone(self, name, sees):
        angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
        x, y = np.column_stack([np.cos(angle), np.sin(angle)]), np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
        assert (UNBIASED[name](x, y) > 0.02) == sees

    def test_a_squared_cosine_of_zero_is_not_independence(self):
        x = noise(60, 4)
        turned = np.stack([x[:, 1], -x[:, 0], x[:, 3], -x[:, 2]], axis=1)
        assert absolute_cosine(x, turned) == pytest.approx(0)
        assert linear_cka(x, turned) == pytest.approx(1)


class TestInvariance:
    @pytest.mark.parametrize("name", EVERY)
    def test_the_order_of_clips_does_not_matter_and_neither_does_which_comes_first(self, name):
        order = np.random.default_rng(0).permutation(12)
        first = EVERY[name](X, Y)
        assert EVERY[name](X[order], Y[order]) == pytest.approx(first)
        assert EVERY[name](Y, X) == pytest.approx(first)

    @pytest.mark.parametrize("name", ROTATION_FREE)
    def test_a_rotation_and_a_scale_do_not_matter(self, name):
        assert EVERY[name](0.01 * X @ rotation(3) + 7, Y) == pytest.approx(EVERY[name](X, Y))

    @pytest.mark.parametrize("name", EVERY)
    def test_a_constant_column_does_not_matter(self, name):
        assert EVERY[name](np.column_stack([X, np.full(12, 3.3)]), Y) == pytest.approx(EVERY[name](X, Y))

    def test_a_scale_of_single_columns_does_not_matter_to_correlations(self):
        scaled, plain = (branch_correlation(x, Y).attrs["mean_square"] for x in (X * [1, -20, 0.3], X))
        assert scaled == pytest.approx(plain)

    def test_single_precision_is_enough(self):
        for name, measure in EVERY.items():
            assert measure(X.astype(np.float32), Y.astype(np.float32)) == pytest.approx(measure(X, Y)), name


class TestDegenerate:
    @pytest.mark.parametrize("name", EVERY)
    @pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
    def test_a_branch_without_variation_has_no_value(self, name, constant):
        assert np.isnan(EVERY[name](np.full((12, 3), constant), Y))
        assert np.isnan(EVERY[name](X, np.full((12, 2), constant)))

    @pytest.mark.parametrize("name", EVERY)
    def test_copies_of_clips_and_columns_are_borne(self, name):
        twice = EVERY[name](np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0))
        wide = EVERY[name](np.hstack([X, X]), Y)
        assert np.isfinite([twice, wide]).all()

    @pytest.mark.parametrize("name", ["linear_cka", "distance_correlation", "branch_correlation"])
    def test_a_column_that_is_there_twice_counts_as_all_columns_do(self, name):
        assert EVERY[name](np.hstack([X, X]), Y) == pytest.approx(EVERY[name](X, Y))

    def test_copied_columns_change_no_canonical_correlation(self):
        for penalty in (0, 0.1):
            plain, copied = (canonical_correlations(x, Y, penalty=penalty) for x in (X, np.hstack([X, X])))
            assert copied == pytest.approx(plain)

    @pytest.mark.parametrize("name", EVERY)
    def test_four_clips_are_the_fewest(self, name):
        assert np.isfinite(EVERY[name](X[:4], Y[:4]))
        with pytest.raises(ValueError, match="at least 4 clips, there are 3; select more"):
            EVERY[name](X[:3], Y[:3])

    def test_two_clips_stacked_twice_have_one_distance(self):
        x = np.repeat([[0.0, 0.0], [3.0, 4.0]], 3, axis=0)
        assert hsic(x, x, normalised=True) == pytest.approx(1)
        assert hsic(x, x) == pytest.approx(hsic(x, x, bandwidths=(5.0, 5.0)))

    def test_more_features_than_clips_match_fully_without_a_penalty(self):
        assert canonical_correlations(noise(10, 20), noise(10, 20, seed=1), penalty=0)[0] == pytest.approx(1)

    def test_a_constant_feature_has_no_correlations_and_is_counted(self):
        found = branch_correlation(np.column_stack([X, np.ones(12)]), Y)
        assert np.isnan(found.loc[3]).all()
        assert np.isfinite(found.loc[:2]).all(axis=None)
        assert found.attrs["n_constant"] == 1

    @pytest.mark.parametrize(
        ("x", "y", "sentence"),
        [
            (X, Y[:10], "x has 12 rows but y 10; both must be of the same clips"),
            (np.where(X[0] == X, np.nan, X), Y, "x: .* not finite"),
            (X, np.zeros((12, 2, 2)), r"y: .*\(12, 2, 2\)"),
            (X[:, :0], Y, r"x: .*\(12, 0\)"),
        ],
    )
    @pytest.mark.parametrize("measure", MEASURES.values())
    def test_an_error_says_what_is_wrong(self, measure, x, y, sentence):
        with pytest.raises(ValueError, match=sentence):
            measure(x, y)

    def test_options_out_of_range_are_refused(self):
        with pytest.raises(ValueError, match="the penalty is -1"):
            canonical_correlations(X, Y, penalty=-1)
        with pytest.raises(ValueError, match="both above 0"):
            hsic(X, Y, bandwidths=(1.0, 0.0))
        with pytest.raises(ValueError, match="x is 3-d but y 2-d"):
            absolute_cosine(X, Y)


class TestPartial:
    def test_what_is_left_is_uncorrelated_with_every_factor(self):
        rng = np.random.default_rng(0)
        factors = pd.DataFrame({"emotion": rng.choice(list("abc"), 60), "AU4": rng.integers(0, 2, 60) * 1.0})
        left = partial_out(noise(60, 5), factors=factors)
        design = np.column_stack([pd.get_dummies(factors["emotion"], dtype=float), factors["AU4"]])
        assert np.abs(left.T @ design).max() < 1e-10

    def test_one_factor_takes_the_class_means_off_and_several_agree_with_least_squares(self):
        rng = np.random.default_rng(1)
        x, names, more = noise(40, 3), rng.choice(list("abcd"), 40), rng.choice(list("uv"), 40)
        means = pd.DataFrame(x).groupby(names).transform("mean").to_numpy()
        assert partial_out(x, factors=names) == pytest.approx(x - means)
        design = np.column_stack([pd.get_dummies(names, dtype=float), pd.get_dummies(more, dtype=float)])
        fitted = design @ np.linalg.lstsq(design, x, rcond=None)[0]
        assert partial_out(x, factors=np.column_stack([names, more])) == pytest.approx(x - fitted)

    def test_two_branches_that_share_the_emotion_alone_are_independent_given_it(self):
        names = np.tile(np.arange(5), 24)
        centres = noise(5, 4, seed=2)
        x, y = 3 * centres[names] + noise(120, 4, seed=3), 3 * centres[names] + noise(120, 4, seed=4)
        emotion = np.array(list("abcde"))[names]
        assert linear_cka(x, y) > 0.5
        assert abs(linear_cka(partial_out(x, factors=emotion), partial_out(y, factors=emotion))) < 0.05

    def test_what_they_share_beyond_it_stays(self):
        names = np.tile(list("abcde"), 24)
        x = noise(120, 4, seed=5)
        y = x @ rotation(4) + 0.3 * noise(120, 4, seed=6)
        assert linear_cka(partial_out(x, factors=names), partial_out(y, factors=names)) > 0.8

    def test_a_feature_that_is_the_factor_leaves_exactly_nothing(self):
        names = np.tile(list("abc"), 10)
        x = pd.get_dummies(names, dtype=float).to_numpy() + 0.1
        assert not partial_out(x, factors=names).any()
        assert np.isnan(linear_cka(partial_out(x, factors=names), noise(30, 2)))

    def test_an_unknown_name_is_a_class_and_an_unknown_number_an_error(self):
        assert not partial_out([1.0, 1.0, 5.0, 5.0], factors=["a", "a", None, None]).any()
        with pytest.raises(ValueError, match="is not known of 1 clips"):
            partial_out([1.0, 2.0], factors=[np.nan, 1.0])
        with pytest.raises(ValueError, match="features have 3 rows but factors 2"):
            partial_out([1.0, 2.0, 3.0], factors=["a", "b"])


@pytest.fixture(scope="module")
def features():
    return sample_features(sample_clips(n=40, size=32))


class TestDependence:
    def test_it_is_every_measure_of_the_two_branches(self, features):
        found = dependence(features).set_index("measure")["value"]
        assert list(found.index) == [name for name in MEASURES if name != "absolute_cosine"]  # the widths differ
        for name in found.index:
            value = permutation_test(MEASURES[name], features.motion, features.emotion, n_permutations=1).value
            assert found[name] == pytest.approx(value)

    def test_a_selection_is_what_its_clips_alone_give_in_any_order(self, features):
        ids = list(features.table["clip_id"][5:25])
        first, again = dependence(features, clip_ids=ids), dependence(features, clip_ids=ids[::-1])
        assert (first["n_clips"] == 20).all()
        assert first["value"].to_numpy() == pytest.approx(again["value"].to_numpy())
        assert first["value"].iloc[0] == pytest.approx(linear_cka(features.motion[5:25], features.emotion[5:25]))

    def test_factors_are_taken_off_first(self, features):
        label = features.table["label"].to_numpy()
        found = dependence(features, factors=label).set_index("measure")["value"]
        rests = [partial_out(part, factors=label) for part in (features.motion, features.emotion)]
        assert found["linear_cka"] == pytest.approx(linear_cka(*rests))
        assert found["linear_cka"] < dependence(features).set_index("measure").loc["linear_cka", "value"]

    def test_branches_of_one_width_get_their_cosine(self, features):
        same = BranchFeatures(features.motion, features.motion[:, ::-1], features.fused, features.table)
        assert dependence(same)["measure"].tolist() == list(MEASURES)

    def test_one_branch_alone_and_too_few_clips_are_refused(self, features):
        alone = BranchFeatures(features.motion, None, features.fused, features.table)
        with pytest.raises(ValueError, match="no emotion branch"):
            dependence(alone)
        with pytest.raises(ValueError, match="at least 4 clips, there are 2"):
            dependence(features, clip_ids=features.table["clip_id"][:2])
