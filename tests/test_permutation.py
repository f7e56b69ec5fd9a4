"""The permutation test, calibrated: uniform where there is nothing, and of stated power where something is planted."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from medn_lab.diagnose import (
    branch_correlation,
    canonical_correlations,
    decoupling_report,
    distance_correlation,
    hsic,
    linear_cka,
    partial_out,
    permutation_test,
)
from medn_lab.diagnose.similarity import MEASURES
from medn_lab.records import BranchFeatures
from medn_lab.view.decoupling_words import explain_row

every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def uniform(p_values, *, n_permutations):
    """The p of a Kolmogorov-Smirnov test against the uniform law.

    p takes n_permutations + 1 values; spread evenly over its step it is continuous, as the test asks.
    """
    spread = np.random.default_rng(0).random(len(p_values)) / (n_permutations + 1)
    return kstest(np.asarray(p_values) - spread, "uniform").pvalue


def one_value(result):
    return result.attrs["mean_square"] if hasattr(result, "attrs") else np.ravel(result)[0]


class TestCalibration:
    @every_measure
    def test_p_is_uniform_for_independent_factors(self, measure):
        # Two hundred draws of fourteen clips: an AU-like factor in one branch, a cue-like one in the other.
        p_values = []
        for draw in range(200):
            rng = np.random.default_rng(draw)
            x = rng.integers(0, 2, size=(14, 1)) + 0.5 * rng.normal(size=(14, 3))
            y = rng.integers(0, 3, size=(14, 1)) + 0.5 * rng.normal(size=(14, 3))
            p_values.append(permutation_test(measure, x, y, seed=draw, n_permutations=39).p_value)
        assert uniform(p_values, n_permutations=39) > 0.01

    @pytest.mark.parametrize("measure", [linear_cka, hsic, branch_correlation])
    def test_p_is_uniform_inside_subjects_where_the_subject_alone_couples_the_branches(self, measure):
        inside, over_all = [], []
        subjects = np.repeat(np.arange(4), 6)
        for draw in range(200):
            rng = np.random.default_rng(draw)
            level_x, level_y = rng.normal(size=(2, 4, 2))
            x, y = (
                level_x[subjects] + 0.5 * rng.normal(size=(24, 2)),
                level_y[subjects] + 0.5 * rng.normal(size=(24, 2)),
            )
            inside.append(permutation_test(measure, x, y, groups=subjects, seed=draw, n_permutations=39).p_value)
            if draw < 60:
                over_all.append(permutation_test(measure, x, y, seed=draw, n_permutations=39).p_value)
        assert uniform(inside, n_permutations=39) > 0.01
        # Permuting everything calls the subjects' levels a coupling in most draws.
        assert np.mean(np.array(over_all) <= 0.05) > 0.5

    @pytest.mark.parametrize("measure", [linear_cka, distance_correlation])
    def test_p_is_uniform_for_branches_that_share_the_emotion_and_nothing_else(self, measure):
        partial, raw = [], []
        emotion = np.tile(list("abcd"), 6)
        for draw in range(200):
            rng = np.random.default_rng(draw)
            centres = rng.normal(size=(4, 3))[np.tile(np.arange(4), 6)]
            x, y = centres + 0.6 * rng.normal(size=(24, 3)), centres + 0.6 * rng.normal(size=(24, 3))
            rests = [partial_out(part, factors=emotion) for part in (x, y)]
            partial.append(permutation_test(measure, *rests, groups=emotion, seed=draw, n_permutations=39).p_value)
            if draw < 40:
                raw.append(permutation_test(measure, x, y, seed=draw, n_permutations=39).p_value)
        assert uniform(partial, n_permutations=39) > 0.01
        assert np.mean(np.array(raw) <= 0.05) > 0.9

    @pytest.mark.parametrize(
        ("measure", "power"),
        [(linear_cka, 0.92), (distance_correlation, 0.87), (hsic, 0.73), (branch_correlation, 0.92)],
        ids=lambda value: getattr(value, "__name__", str(value)),
    )
    def test_a_correlation_of_one_half_is_found_in_forty_clips_with_the_stated_power(self, measure, power):
        # The t test of one normal pair with r = .5 and n = 40 finds it at .05 in 92 of 100. The powers stated are
        # those of 1000 draws; 150 draws stay within three standard errors of them.
        found = []
        for draw in range(150):
            x, rest = noise(2, 40, seed=draw)
            test = permutation_test(measure, x, 0.5 * x + np.sqrt(0.75) * rest, seed=draw, n_permutations=99)
            found.append(test.p_value <= 0.05)
        assert np.mean(found) == pytest.approx(power, abs=3 * np.sqrt(power * (1 - power) / 150))

    def test_a_shared_direction_among_many_is_found_by_canonical_correlations(self):
        found = []
        for draw in range(40):
            rng = np.random.default_rng(draw)
            x, y = rng.normal(size=(2, 60, 8))
            y[:, 3] = 0.8 * x[:, 5] + 0.6 * y[:, 3]
            found.append(permutation_test(canonical_correlations, x, y, seed=draw, n_permutations=39).p_value <= 0.05)
        assert np.mean(found) > 0.9

    def test_a_coupling_within_subjects_is_found_inside_them(self):
        subjects = np.repeat(np.arange(5), 12)
        x = noise(60, 3) + 3 * noise(5, 3, seed=1)[subjects]
        y = 0.7 * x + noise(60, 3, seed=2) + 3 * noise(5, 3, seed=3)[subjects]
        found = permutation_test(linear_cka, x, y, groups=subjects, n_permutations=199)
        assert found.p_value <= 0.01
        # The null keeps what the subjects alone bring.
        assert found.null_mean > permutation_test(linear_cka, x, y, n_permutations=199).null_mean + 0.05


def drifting(rng, *, groups, clips, memory):
    """Features of three columns that drift in each group: autoregressive, variance 1."""
    found = np.empty((groups, clips, 3))
    found[:, 0] = rng.normal(size=(groups, 3))
    for clip in range(1, clips):
        found[:, clip] = memory * found[:, clip - 1] + np.sqrt(1 - memory**2) * rng.normal(size=(groups, 3))
    return found.reshape(-1, 3)


class TestDrift:
    @pytest.mark.parametrize(("groups", "clips"), [(1, 200), (4, 80)])
    def test_shifts_keep_the_level_where_independent_branches_drift_and_exchange_does_not(self, groups, clips):
        rejected = []
        who = np.repeat(np.arange(groups), clips)
        for draw in range(150):
            rng = np.random.default_rng(draw)
            x, y = (drifting(rng, groups=groups, clips=clips, memory=0.9) for _ in range(2))
            options = {"groups": who, "seed": draw, "n_permutations": 39}
            rejected.append(
                [
                    permutation_test(branch_correlation, x, y, scheme=scheme, **options).p_value <= 0.05
                    for scheme in ("exchange", "shift")
                ]
            )
        exchange, shift = np.mean(rejected, axis=0)
        assert exchange > 0.4
        assert abs(shift - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 150)

    def test_shifts_find_a_dependence_of_drifting_branches(self):
        rng = np.random.default_rng(0)
        x, noise_of_y = (drifting(rng, groups=4, clips=50, memory=0.9) for _ in range(2))
        test = permutation_test(
            linear_cka, x, x + noise_of_y, groups=np.repeat(range(4), 50), scheme="shift", n_permutations=199
        )
        assert test.p_value == test.smallest_p == 1 / 200
        assert "199 circular shifts inside 4 groups" in repr(test)

    def test_each_group_is_shifted_in_a_circle_by_a_number_of_places_of_its_own(self):
        groups = np.array(list("aabbbabbaab"))
        seen = []
        permutation_test(
            lambda a, b: float(len(seen) if seen.append(b[:, 0].astype(int)) else 0), np.arange(11), np.arange(11),
            groups=groups, n_permutations=200, scheme="shift",
        )  # fmt: skip
        moves = []
        for order in seen:
            steps = []
            for name in "ab":
                rows = np.flatnonzero(groups == name)
                steps.append(int(np.flatnonzero(rows == order[rows][0])[0]))
                assert (order[rows] == np.roll(rows, -steps[-1])).all()
            moves.append(tuple(steps))
        assert len(set(moves)) == 5 * 6  # 200 draws meet every pair of numbers

    def test_too_few_shifts_are_refused_with_the_smallest_p(self):
        with pytest.raises(ValueError, match=r"12 different shifts inside 1 groups, so p cannot be below 0\.083"):
            permutation_test(linear_cka, noise(12, 2), noise(12, 2, seed=1), scheme="shift")
        few = permutation_test(linear_cka, noise(25, 2), noise(25, 2, seed=1), scheme="shift")
        assert few.smallest_p == pytest.approx(1 / 25)
        assert few.p_value >= 0.02
        with pytest.raises(ValueError, match="scheme is 'mirror'; it must be one of exchange, shift"):
            permutation_test(linear_cka, noise(25, 2), noise(25, 2, seed=1), scheme="mirror")

    def test_the_report_says_what_its_null_assumes(self):
        rng = np.random.default_rng(0)
        x, y = (drifting(rng, groups=4, clips=40, memory=0.9) for _ in range(2))
        table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(160)], "subject": np.repeat(list("abcd"), 40)})
        table["emotion"] = np.tile(["fear", "anger"], 80)
        options = {"n_permutations": 99, "targets": []}
        features = BranchFeatures(x, y, np.hstack([x, y]), table)
        exchange, shift = (decoupling_report(features, scheme=s, **options).table for s in ("exchange", "shift"))
        assert set(shift["within"]) == {"subject by shifts in time", "subject and emotion by shifts in time"}
        assert set(exchange["within"]) == {"subject", "subject and emotion"}
        for rows, assumed in ((shift, "are stationary in time"), (exchange, "are exchangeable, without a drift")):
            assert assumed in explain_row(rows.iloc[0].to_dict())[1]
        assert (shift["null_95"] > exchange["null_95"])[shift["measure"] == "linear_cka"].all()


class TestTheTest:
    @every_measure
    def test_the_quick_way_gives_what_calling_the_measure_gives(self, measure):
        x, y = noise(18, 4), noise(18, 4, seed=1) + noise(18, 4)
        groups = np.repeat([0, 1, 2], 6)
        quick = permutation_test(measure, x, y, groups=groups, seed=3, n_permutations=25)
        plain = permutation_test(lambda a, b: one_value(measure(a, b)), x, y, groups=groups, seed=3, n_permutations=25)
        assert quick.null == pytest.approx(plain.null, abs=1e-10)
        assert quick.value == pytest.approx(plain.value, abs=1e-10)
        assert quick.p_value == plain.p_value

    def test_p_counts_the_truth_as_one_of_the_permutations(self):
        x = noise(30, 2)
        assert permutation_test(linear_cka, x, x, n_permutations=19).p_value == pytest.approx(1 / 20)
        test = permutation_test(linear_cka, x, noise(30, 2, seed=1), n_permutations=99, seed=1)
        assert test.p_value == (1 + (test.null >= test.value).sum()) / 100
        assert test.null_mean == test.null.mean()
        assert test.null_95 == np.quantile(test.null, 0.95)

    def test_the_null_of_all_permutations_is_the_exact_one(self):
        # Four clips have 24 orders; a measure that tells the order apart must see each as often.
        x = np.array([0.0, 1.0, 3.0, 7.0])
        test = permutation_test(lambda a, b: float(a[:, 0] @ b[:, 0]), x, x, n_permutations=4800, seed=0)
        values, counts = np.unique(np.round(test.null, 9), return_counts=True)
        exact = np.array([x @ x[list(order)] for order in permutations(range(4))])
        known, times = np.unique(np.round(exact, 9), return_counts=True)
        assert values == pytest.approx(known)
        assert counts == pytest.approx(200 * times, rel=0.25)
        assert test.p_value == pytest.approx(1 / 24, abs=0.01)

    def test_clips_are_exchanged_inside_their_group_alone(self):
        groups = np.array(list("abacbacbb"))
        seen = []
        permutation_test(
            lambda a, b: float(len(seen) if seen.append(b[:, 0].astype(int)) else 0), np.arange(9), np.arange(9),
            groups=groups, n_permutations=50,
        )  # fmt: skip
        assert len(seen) == 51
        assert all((groups[order] == groups).all() and sorted(order) == list(range(9)) for order in seen)
        assert len({tuple(order) for order in seen}) > 30

    def test_groups_may_be_of_several_columns_and_lone_clips_stay(self):
        table = pd.DataFrame({"subject": list("aaabbb"), "emotion": ["x", "x", "y", "x", "y", "z"]})
        test = permutation_test(linear_cka, noise(6, 2), noise(6, 2, seed=1), groups=table, n_permutations=9)
        assert (test.n_groups, test.n_movable, test.n_clips) == (5, 2, 6)

    def test_the_same_seed_gives_the_same_null(self):
        x, y = noise(20, 2), noise(20, 2, seed=1)
        first, again, other = (permutation_test(hsic, x, y, seed=s, n_permutations=20).null for s in (0, 0, 1))
        assert (first == again).all()
        assert (first != other).any()

    @every_measure
    def test_a_dead_branch_has_neither_value_nor_p(self, measure):
        test = permutation_test(measure, np.ones((10, 2)), noise(10, 2), n_permutations=9)
        assert np.isnan([test.value, test.p_value]).all()
        assert test.reason == "x is constant"

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"n_permutations": 0}, "at least 1 permutation"),
            ({"groups": np.arange(12)}, "none of the 12 groups has two clips"),
            ({"groups": np.zeros(11)}, "x has 12 rows but groups 11"),
        ],
    )
    def test_an_error_says_what_is_wrong(self, options, sentence):
        with pytest.raises(ValueError, match=sentence):
            permutation_test(linear_cka, noise(12, 2), noise(12, 2), **options)

    def test_the_result_tells_itself(self):
        test = permutation_test(linear_cka, noise(12, 2), noise(12, 2, seed=1), groups=list("ab") * 6, n_permutations=9)
        assert "9 permutations inside 2 groups" in repr(test)
        assert f"p = {test.p_value:.3g} (12 clips)" in repr(test)
