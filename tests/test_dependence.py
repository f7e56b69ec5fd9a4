"""Measures of dependence against outside programs, closed forms and invariances; permutation tests with their level."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from cases import assert_refuses, mostly_slow
from scipy.linalg import sqrtm
from scipy.stats import kstest

from medn_lab import diagnose
from medn_lab.diagnose import branch_correlation, hsic, linear_cka, partial_out, permutation_test, similarity
from medn_lab.records import BranchFeatures

# Twelve clips without chance, so that another program can be given the same.
X = np.array([[i * 7 % 11, i * 5 % 13, i * i % 7] for i in range(12)], dtype=float)
Y = np.array([[i * 3 % 8, (i * i + i) % 9] for i in range(12)], dtype=float)

MEASURES = [*similarity.MEASURES.values()]
# The one value of each measure that does not need one width.
VALUES = {
    "linear_cka": linear_cka,
    "distance_correlation": diagnose.distance_correlation,
    "hsic": hsic,
    "branch_correlation": lambda x, y: branch_correlation(x, y).attrs["mean_square"],
    "canonical_correlations": lambda x, y: diagnose.canonical_correlations(x, y)[0],
}


def rotation(d):
    return np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_values_are_those_of_dcor_hyppo_numpy_and_closed_forms():
    # Printed in an environment of their own. dcor 0.7: dcor.u_distance_correlation_sqr(X, Y)
    # hyppo 0.5.2: hyppo.independence.Dcorr(bias=False).statistic(X, Y) gives the same.
    assert diagnose.distance_correlation(X, Y) == pytest.approx(0.5416721616340657, abs=1e-12)
    # dcor 0.7: u = [dcor.u_centered(g - np.diag(np.diag(g))) for g in (X @ X.T, Y @ Y.T)]
    # dcor.u_product(*u) / np.sqrt(dcor.u_product(u[0], u[0]) * dcor.u_product(u[1], u[1]))
    assert linear_cka(X, Y) == pytest.approx(0.521718177625243, abs=1e-12)
    # scikit-learn 1.9.1, dcor 0.7, scipy 1.17.1: d = [pdist(v) for v in (X, Y)]
    # k = [rbf_kernel(v, gamma=1 / (2 * np.median(a[a > 0]) ** 2)) for v, a in zip((X, Y), d)]
    # u = [dcor.u_centered(1 - m) for m in k]; dcor.u_product(*u)
    assert hsic(X, Y) == pytest.approx(0.020302530790686092, abs=1e-12)
    found = branch_correlation(np.column_stack([X, np.ones(12)]), Y)
    assert found.to_numpy()[:3] == pytest.approx(np.corrcoef(X.T, Y.T)[:3, 3:])
    assert found.loc[3].isna().all()
    x, y = np.array([[[1.0, 0], [2, 0], [0, 3], [1, 1]], [[5, 0], [0, 1], [0, -1], [1, 0]]])
    assert diagnose.absolute_cosine(x, y) == pytest.approx((1 + 0 + 1 + np.sqrt(0.5)) / 4)


def test_canonical_correlations_are_those_of_covariances_with_a_ridge():
    covariance, roots = np.cov(np.hstack([X, Y]).T), []
    for rows in (slice(0, 3), slice(3, 5)):
        own = covariance[rows, rows]
        roots.append(np.linalg.inv(sqrtm(own + 0.1 * np.diag(own).mean() * np.eye(len(own))).real))
    expected = np.linalg.svd(roots[0] @ covariance[:3, 3:] @ roots[1], compute_uv=False)
    assert diagnose.canonical_correlations(X, Y) == pytest.approx(expected)


def test_a_bent_dependence_is_found_by_distances_and_kernels_alone_and_a_cosine_of_0_is_not_independence():
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 300)
    x, y = np.column_stack([np.cos(angle), np.sin(angle)]), np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    assert linear_cka(x, y) < 0.02 < min(diagnose.distance_correlation(x, y), hsic(x, y) / hsic(x, x))
    x = noise(60, 4)
    turned = np.stack([x[:, 1], -x[:, 0], x[:, 3], -x[:, 2]], axis=1)
    assert (diagnose.absolute_cosine(x, turned), linear_cka(x, turned)) == pytest.approx((0, 1))


@pytest.mark.parametrize("name", VALUES)
def test_what_must_not_matter_does_not_and_more_of_the_other_branch_gives_more(name):
    measure, order = VALUES[name], np.random.default_rng(0).permutation(12)
    if name != "canonical_correlations":  # independent noise is around 0
        values = [measure(noise(24, 8, seed=2 * s), noise(24, 6, seed=2 * s + 1)) for s in range(200)]
        assert min(values) < 0
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    moved = 0.01 * X @ rotation(3) + 7 if name != "branch_correlation" else X * [1, -20, 0.3]
    wide = np.column_stack([X, np.full(12, 3.3)])  # with a constant column
    for pair in ((X[order], Y[order]), (Y, X), (X.astype(np.float32), Y.astype(np.float32)), (wide, Y), (moved, Y)):
        assert measure(*pair) == pytest.approx(measure(X, Y))
    if name in ("linear_cka", "distance_correlation"):
        assert measure(X, 3 * X @ rotation(3) + 5) == pytest.approx(1.0)
    x, other = noise(80, 5), noise(80, 5, seed=1)
    values = [measure(x, share * x + other) for share in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)
    assert np.isfinite(measure(np.repeat(X[:2], 2, axis=0), Y[:4]))  # four clips are the fewest, copies are clips


def test_what_does_not_fit_is_refused():
    test = partial(permutation_test, linear_cka, X, X)
    assert_refuses(hsic, X, Y[:10], match="12 rows and y has 10")
    assert_refuses(linear_cka, np.where(X[0] == X, np.nan, X), Y, match="x: .* not finite")
    assert_refuses(diagnose.absolute_cosine, X, Y, match="x is 3-d but y 2-d")
    assert_refuses(partial_out, X, factors=["a", "b"], match="12 rows but factors 2")
    assert_refuses(test, groups=np.arange(12), match="12 groups")
    assert_refuses(test, groups=np.zeros(11), match="12 rows but groups 11")
    assert_refuses(test, scheme="mirror", match="'mirror'")
    assert_refuses(test, scheme="shift", match=r"12 different shifts inside 1 groups, so p cannot be below 0\.083")


def test_the_overview_is_every_measure_that_fits_the_two_branches():
    table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(12)], "subject": list("abc") * 4})
    found = diagnose.dependence(BranchFeatures(X, Y, X, table)).set_index("measure")["value"]
    expected = {name: value(X, Y) for name, value in VALUES.items()}  # the widths differ, so there is no cosine
    pd.testing.assert_series_equal(found, pd.Series(expected), check_names=False, check_like=True)
    assert len(diagnose.dependence(BranchFeatures(X, X[:, ::-1], X, table))) == 6
    assert_refuses(diagnose.dependence, BranchFeatures(X, None, X, table), match="no emotion branch")


def test_a_factor_s_means_are_taken_off_and_what_two_branches_share_beyond_it_stays():
    rng, emotion = np.random.default_rng(1), np.tile(list("abcde"), 24)
    x, factors = noise(120, 4), pd.DataFrame({"emotion": emotion, "AU4": rng.integers(0, 2, 120)})
    means = pd.DataFrame(x).groupby([factors["emotion"], factors["AU4"]]).transform("mean")
    assert partial_out(x, factors=factors) == pytest.approx(x - means.to_numpy())
    assert not partial_out([1.0, 1.0, 5.0, 5.0], factors=["a", "a", None, None]).any()  # unknown is a class
    centres, given = 3 * noise(5, 4, seed=2)[np.tile(np.arange(5), 24)], partial(partial_out, factors=emotion)
    x, y = centres + noise(120, 4, seed=3), centres + noise(120, 4, seed=4)
    assert abs(linear_cka(given(x), given(y))) < 0.05 < 0.5 < linear_cka(x, y)
    assert linear_cka(given(x), given(x @ rotation(4) + 0.3 * noise(120, 4, seed=6))) > 0.8


def uniform(p_values):
    """The p of a Kolmogorov-Smirnov test against the uniform law, of tests with 39 permutations.

    p takes 40 values; spread evenly over its step it is continuous, as the test assumes.
    """
    return kstest(np.asarray(p_values) - np.random.default_rng(0).random(len(p_values)) / 40, "uniform").pvalue


def drifting(rng, *, groups, clips):
    """Features of three columns that drift in each group: autoregressive, .9 from clip to clip, variance 1."""
    found = rng.normal(size=(groups, clips, 3))
    for clip in range(1, clips):
        found[:, clip] = 0.9 * found[:, clip - 1] + np.sqrt(1 - 0.9**2) * found[:, clip]
    return found.reshape(-1, 3)


@pytest.mark.parametrize(
    ("measure", "given"), mostly_slow(itertools.product((linear_cka, diagnose.absolute_cosine), (False, True)))
)
def test_p_is_uniform_inside_subjects_or_emotions_where_these_alone_couple_the_branches(measure, given):
    inside, over_all = [], []
    groups = np.repeat(np.arange(4), 6)
    for draw in range(120):
        rng, test = np.random.default_rng(draw), partial(permutation_test, measure, seed=draw, n_permutations=39)
        levels = rng.normal(size=(2, 4, 2))
        x, y = (level[groups] + 0.5 * rng.normal(size=(24, 2)) for level in levels[[0, 0 if given else 1]])
        pair = [partial_out(part, factors=groups) for part in (x, y)] if given else (x, y)
        inside.append(test(*pair, groups=groups).p_value)
        if draw < 40:
            over_all.append(test(x, y).p_value)
    assert uniform(inside) > 0.01
    # Permuting everything calls the groups' levels a coupling in most draws, of a cosine in more than .05 of them.
    assert np.mean(np.array(over_all) <= 0.05) > (0.1 if measure is diagnose.absolute_cosine else 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "clips"), [(1, 200), (4, 80)])
def test_shifts_keep_the_level_where_independent_branches_drift_and_exchange_does_not(groups, clips):
    rejected = {"exchange": [], "shift": []}
    for draw in range(100):
        rng = np.random.default_rng(draw)
        pair = [drifting(rng, groups=groups, clips=clips) for _ in range(2)]
        for scheme, found in rejected.items():
            how = {"scheme": scheme, "groups": np.repeat(np.arange(groups), clips), "n_permutations": 39}
            found.append(permutation_test(branch_correlation, *pair, seed=draw, **how).p_value <= 0.05)
    assert np.mean(rejected["exchange"]) > 0.4
    assert abs(np.mean(rejected["shift"]) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 100)


def orders_seen(groups, **options):
    """The orders of y that a test passes to a measure, as row numbers."""
    seen, rows = [], np.arange(len(groups))
    permutation_test(lambda a, b: float(seen.append(b[:, 0].astype(int)) or 0), rows, rows, groups=groups, **options)
    return seen


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_the_prepared_measure_gives_what_calling_the_measure_gives(measure):
    x, y = noise(18, 4), noise(18, 4, seed=1) + noise(18, 4)
    called = VALUES.get(measure.__name__, diagnose.absolute_cosine)
    test = partial(permutation_test, x=x, y=y, groups=np.repeat([0, 1, 2], 6), seed=3, n_permutations=25)
    prepared, plain = test(measure), test(lambda a, b: called(a, b))
    assert [prepared.value, *prepared.null] == pytest.approx([plain.value, *plain.null], abs=1e-10)
    assert prepared.p_value == plain.p_value == (1 + (plain.null >= plain.value).sum()) / 26
    expected = {"null_mean": plain.null.mean(), "null_95": np.quantile(plain.null, 0.95)}
    assert {name: plain.figures[name] for name in expected} == pytest.approx(expected)
    assert diagnose.family_wise_p([prepared]).tolist() == [prepared.p_value]
    assert (test(measure, seed=4).null != prepared.null).any()


def test_clips_are_exchanged_inside_their_group_or_shifted_there_in_a_circle():
    groups = np.array(list("abacbacbb"))
    assert all((groups[order] == groups).all() for order in orders_seen(groups, n_permutations=50))
    every = [tuple(order) for order in orders_seen([0] * 4, n_permutations=4800)]  # each of 24 orders as often
    assert [every.count(order) for order in itertools.permutations(range(4))] == pytest.approx([200] * 24, rel=0.25)
    table = pd.DataFrame({"subject": list("aaabbb"), "emotion": ["x", "x", "y", "x", "y", "z"]})
    both = {(0, 1, 2, 3, 4, 5), (1, 0, 2, 3, 4, 5)}
    assert {tuple(order) for order in orders_seen(table, n_permutations=20)} == both
    groups, moves = np.array(list("aabbbabbaab")), set()
    for order in orders_seen(groups, n_permutations=200, scheme="shift"):
        rows_of = [np.flatnonzero(groups == name) for name in "ab"]
        steps = [int(np.flatnonzero(rows == order[rows][0])[0]) for rows in rows_of]
        assert all((order[rows] == np.roll(rows, -step)).all() for rows, step in zip(rows_of, steps, strict=True))
        moves.add(tuple(steps))
    assert len(moves) == 5 * 6  # 200 draws meet every pair of numbers


def test_branches_that_drift_have_a_wider_null_by_shifts_and_a_report_says_what_its_null_assumes():
    rng, groups = np.random.default_rng(0), np.repeat(list("abcd"), 40)
    x, y = (drifting(rng, groups=4, clips=40) for _ in range(2))
    test = partial(permutation_test, linear_cka, x, x + y, groups=groups, n_permutations=99)
    assert test(scheme="shift").p_value == 0.01
    features = BranchFeatures(x, y, x, pd.DataFrame({"clip_id": [f"c{i}" for i in range(160)], "subject": groups}))
    report = partial(diagnose.decoupling_report, features, n_permutations=99, targets=[])
    exchange, shift = (report(scheme=scheme).table for scheme in ("exchange", "shift"))
    assert [set(rows["within"]) for rows in (exchange, shift)] == [{"subject"}, {"subject by shifts in time"}]
    assert shift["null_95"].iloc[0] > exchange["null_95"].iloc[0]


def test_the_p_of_a_family_is_the_share_of_the_largest_standardised_statistic():
    tests = [permutation_test(one, noise(30, 3), noise(30, 3, seed=1), n_permutations=99) for one in MEASURES]
    every = np.array([[test.value, *test.null] for test in tests])
    standard = (every - every.mean(axis=1, keepdims=True)) / every.std(axis=1, keepdims=True)
    p = diagnose.family_wise_p(tests)
    assert p == pytest.approx([(standard.max(axis=0) >= one).mean() for one in standard[:, 0]])
    assert (p >= [test.p_value for test in tests]).all()
    test = tests[0]  # copies, scales and tests without a value change nothing
    scaled = replace(test, value=1 + 8 * test.value, null=1 + 8 * test.null)
    dead = permutation_test(hsic, np.ones((30, 2)), noise(30, 3), n_permutations=99)
    assert diagnose.family_wise_p([dead, test, test, scaled]) == pytest.approx(
        [np.nan, *[test.p_value] * 3], nan_ok=True
    )
    assert np.isnan(diagnose.family_wise_p([dead])).all()
