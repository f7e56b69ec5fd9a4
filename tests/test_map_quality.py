"""What a map keeps of the neighbourhoods, against scikit-learn, closed forms and maps drawn at random."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from medn_lab.diagnose import chance_trustworthiness, continuity, neighbour_overlap, trustworthiness


def draw(n, d, *, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def rotated(x):
    return 3 * x @ np.linalg.qr(draw(x.shape[1], x.shape[1]))[0] + 7


def test_trustworthiness_is_that_of_scikit_learn_and_continuity_the_other_way_round():
    for (n, k), metric in product([(30, 1), (30, 14), (211, 5)], ["euclidean", "cosine", "correlation"]):
        x = draw(n, 9)
        xy = x[:, :2] + 0.3 * draw(n, 2, seed=1)
        expected = sklearn_trustworthiness(x, xy, n_neighbors=k, metric=metric)
        assert trustworthiness(x, xy, n_neighbors=k, metric=metric) == pytest.approx(expected, abs=1e-12)
        assert continuity(xy, x, n_neighbors=k) == trustworthiness(x, xy, n_neighbors=k)


def test_blocks_of_rows_add_up(monkeypatch):
    x, xy = draw(60, 6), draw(60, 2, seed=1)
    whole = [f(x, xy, n_neighbors=5) for f in (trustworthiness, continuity, neighbour_overlap)]
    monkeypatch.setattr("medn_lab.diagnose.neighbours._BLOCK", 60 * 7)  # seven rows at a time, the last block of four
    assert [f(x, xy, n_neighbors=5) for f in (trustworthiness, continuity, neighbour_overlap)] == whole


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(11, 60))
def test_a_map_drawn_anyhow_stays_in_range_and_a_turned_copy_is_perfect(seed, n):
    x, xy = draw(n, 5, seed=seed), draw(n, 2, seed=seed + 1)
    for measure in (trustworthiness, continuity):
        assert 0 <= measure(x, xy) <= 1 == measure(x, rotated(x))
    assert neighbour_overlap(x, rotated(x), n_neighbors=5) == 1.0
    order = np.random.default_rng(seed).permutation(n)
    assert trustworthiness(x[order], xy[order]) == pytest.approx(trustworthiness(x, xy), abs=1e-12)


def test_chance_is_the_mean_over_maps_drawn_at_random():
    for n, k in ((13, 5), (5, 2), (40, 19)):
        scores = [trustworthiness(draw(n, 3, seed=i), draw(n, 2, seed=10**6 + i), n_neighbors=k) for i in range(200)]
        assert chance_trustworthiness(n, n_neighbors=k) == pytest.approx(np.mean(scores), abs=4 * np.std(scores) / 14)


def test_heaps_of_equal_clips_may_lie_in_any_order_but_not_in_two_places():
    heap = np.repeat([0, 1, 2], [60, 40, 20])
    x = draw(3, 5)[heap]
    whole = 100 * np.eye(3)[heap][:, :2] + draw(120, 2)  # each heap a cloud
    for measure in (trustworthiness, continuity):
        assert measure(x, whole) == measure(whole, x) == 1.0  # though the five nearest in x are any of many
    torn = whole + 1000 * (np.arange(120) % 2)[:, None]
    assert continuity(x, torn) < 0.75 < trustworthiness(x, torn) == 1.0  # half of each heap is elsewhere
    order, other = np.random.default_rng(0).permutation(120), draw(120, 4)
    overlap = neighbour_overlap(x, other, n_neighbors=10)  # whichever of equal clips come first
    assert neighbour_overlap(x[order], other[order], n_neighbors=10) == pytest.approx(overlap, abs=1e-12)
    shares = [neighbour_overlap(x, draw(120, 4, seed=i), n_neighbors=10) for i in range(40)]
    assert np.mean(shares) == pytest.approx(10 / 119, abs=4 * np.std(shares) / 40**0.5)


def test_a_heap_costs_what_the_formula_says():
    # Three equal clips and seven apart: for the three, two neighbours at distance 0, on the map at ranks 8 and 9.
    x = np.array([0.0, 0, 0, 10, 21, 33, 46, 60, 75, 91])[:, None]
    xy = np.array([0.0, 2000, 4001, 110, 121, 133, 146, 160, 175, 191])[:, None]
    n, k, lost = 10, 2, 0
    for i in range(n):
        rank = np.argsort(np.argsort(np.abs(xy[:, 0] - xy[i, 0]), kind="stable"))
        apart = np.where(np.arange(n) == i, np.inf, np.abs(x[:, 0] - x[i, 0]))
        tied = apart <= np.sort(apart)[k - 1]
        size = tied.sum()
        lost += np.maximum(rank[tied] - size, 0).sum() / sum(max(r - size, 0) for r in range(n - size, n))
    assert continuity(x, xy, n_neighbors=k) == pytest.approx(1 - lost / n, abs=1e-12)


def test_what_does_not_fit_is_refused():
    x, xy = draw(20, 3), draw(20, 2)
    for (measure, a, b), options, facts in (
        ((trustworthiness, x, xy[:18]), {}, "x has 20 rows and xy has 18"),
        ((continuity, x, xy), {"n_neighbors": 10}, "n_neighbors is 10; with 20 clips it can be 1 to 9"),
        ((neighbour_overlap, x, xy), {"n_neighbors": 19}, "n_neighbors is 19; with 20 clips it can be 1 to 18"),
    ):
        with pytest.raises(ValueError, match=facts):
            measure(a, b, **options)


def test_of_many_clips_a_sample_is_judged_among_all(monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.neighbours._JUDGED_WHOLE", 1000)
    monkeypatch.setattr("medn_lab.diagnose.neighbours._SAMPLE", 500)
    x = draw(2000, 6)
    found = trustworthiness(x, x[:, :2], n_neighbors=10)
    whole = sklearn_trustworthiness(x, x[:, :2], n_neighbors=10)
    assert found != whole
    assert found == pytest.approx(whole, abs=0.015)
