"""What a map keeps of the neighbourhoods, against scikit-learn, scipy, closed forms and maps drawn at random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import procrustes as scipy_procrustes
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from slow_cases import mostly_slow

from medn_lab.diagnose import (
    chance_trustworthiness,
    continuity,
    neighbour_overlap,
    procrustes_disparity,
    trustworthiness,
)
from medn_lab.diagnose.map_comparison import superimpose

seeds = st.integers(0, 2**32 - 1)


def draw(n, d, *, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def rotated(x, *, seed=0):
    turn = np.linalg.qr(draw(x.shape[1], x.shape[1], seed=seed))[0]
    return 3 * x @ turn + 7


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize(("n", "k"), [(30, 1), (30, 14), (211, 5), (211, 40)])
def test_trustworthiness_is_that_of_scikit_learn_1_5_and_later(metric, n, k):
    x = draw(n, 9)
    xy = x[:, :2] + 0.3 * draw(n, 2, seed=1)
    expected = sklearn_trustworthiness(x, xy, n_neighbors=k, metric=metric)
    assert trustworthiness(x, xy, n_neighbors=k, metric=metric) == pytest.approx(expected, abs=1e-12)


def test_continuity_is_trustworthiness_the_other_way_round():
    x, xy = draw(80, 6), draw(80, 2, seed=1)
    assert continuity(x, xy, n_neighbors=7) == trustworthiness(xy, x, n_neighbors=7)
    assert continuity(x, xy, n_neighbors=7) == pytest.approx(sklearn_trustworthiness(xy, x, n_neighbors=7), abs=1e-12)


def test_blocks_of_rows_add_up(monkeypatch):
    x, xy = draw(60, 6), draw(60, 2, seed=1)
    whole = [f(x, xy, n_neighbors=5) for f in (trustworthiness, continuity, neighbour_overlap)]
    monkeypatch.setattr("medn_lab.diagnose.neighbours._BLOCK", 60 * 7)  # seven rows at a time, the last block of four
    assert [f(x, xy, n_neighbors=5) for f in (trustworthiness, continuity, neighbour_overlap)] == whole


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(11, 60))
def test_a_map_drawn_anyhow_stays_in_range_and_a_turned_copy_is_perfect(seed, n):
    x, xy = draw(n, 5, seed=seed), draw(n, 2, seed=seed + 1)
    for measure in (trustworthiness, continuity):
        assert 0 <= measure(x, xy) <= 1
        assert measure(x, rotated(x, seed=seed)) == 1.0
    assert 0 <= procrustes_disparity(x, xy) <= 1
    assert neighbour_overlap(x, rotated(x, seed=seed), n_neighbors=5) == 1.0
    order = np.random.default_rng(seed).permutation(n)
    assert trustworthiness(x[order], xy[order]) == pytest.approx(trustworthiness(x, xy), abs=1e-12)


@pytest.mark.parametrize(("n", "k"), mostly_slow([(5, 2), (13, 5), (40, 5), (40, 19)], quick=2))
def test_chance_is_the_mean_over_maps_drawn_at_random(n, k):
    scores = [trustworthiness(draw(n, 3, seed=i), draw(n, 2, seed=10**6 + i), n_neighbors=k) for i in range(400)]
    error = np.std(scores) / 20
    assert chance_trustworthiness(n, n_neighbors=k) == pytest.approx(np.mean(scores), abs=4 * error)


def test_a_torn_cluster_costs_continuity_and_a_folded_one_trustworthiness():
    line = np.linspace(0, 1, 60)[:, None]
    torn = np.where(line < 0.5, line, line + 100) * [1, 0]  # order kept, neighbours at the tear parted
    ring = np.hstack([np.cos(2 * np.pi * line[:-1]), np.sin(2 * np.pi * line[:-1])])
    assert continuity(ring, line[:-1]) < trustworthiness(ring, line[:-1])  # the ring cut open
    folded = np.abs(line - 0.5)
    assert trustworthiness(line, folded) < 0.8 < continuity(line, folded)
    assert trustworthiness(line, torn) > 0.99


def test_duplicates_count_as_equally_near():
    x = np.repeat(draw(10, 4), 6, axis=0)
    xy = x[:, :2] + 1e-3 * draw(60, 2, seed=1)  # the map must part what is equal, in whatever order
    assert trustworthiness(x, x[:, :4], n_neighbors=5) == 1.0
    assert trustworthiness(x, np.repeat(draw(10, 2, seed=3), 6, axis=0) + 1e-6 * draw(60, 2), n_neighbors=5) == 1.0
    assert continuity(x, xy, n_neighbors=5) > 0.9


def heaps(sizes, d, *, seed=0):
    """Rows that coincide, so many a heap, and the number of each row's heap."""
    heap = np.repeat(np.arange(len(sizes)), sizes)
    return draw(len(sizes), d, seed=seed)[heap], heap


def test_heaps_of_equal_clips_may_lie_in_any_order_but_not_in_two_places():
    x, heap = heaps([60, 40, 20], 5)
    whole = 100 * np.eye(3)[heap][:, :2] + draw(120, 2)  # each heap a cloud
    for measure in (trustworthiness, continuity):
        assert measure(x, whole) == 1.0  # though the five nearest in x are any of many
        assert measure(whole, x) == 1.0
    torn = whole + 1000 * (np.arange(120) % 2)[:, None]
    assert trustworthiness(x, torn) == 1.0  # whom it shows as near is near
    assert continuity(x, torn) < 0.75  # but half of each heap is elsewhere


def test_without_ties_in_the_way_a_heap_costs_what_the_formula_says():
    # Three equal clips and seven apart: for the three, two neighbours at distance 0, on the map at ranks 8 and 9.
    x = np.array([0.0, 0, 0, 10, 21, 33, 46, 60, 75, 91])[:, None]
    xy = np.array([0.0, 2000, 4001, 110, 121, 133, 146, 160, 175, 191])[:, None]
    n, k = 10, 2
    ranks = [np.argsort(np.argsort(np.abs(xy[:, 0] - at), kind="stable")) for at in xy[:, 0]]
    lost = 0
    for i, rank in enumerate(ranks):
        near = np.argsort(np.where(np.arange(n) == i, np.inf, np.abs(x[:, 0] - x[i, 0])), kind="stable")
        tied = np.abs(x[:, 0] - x[i, 0]) <= np.abs(x[near[k - 1], 0] - x[i, 0])
        tied[i] = False
        size = tied.sum()
        most = sum(max(r - size, 0) for r in sorted(range(1, n))[-size:])
        lost += np.maximum(rank[tied] - size, 0).sum() / most
    assert continuity(x, xy, n_neighbors=k) == pytest.approx(1 - lost / n, abs=1e-12)


def test_a_clip_that_all_are_equally_far_from_has_no_say():
    x, _ = heaps([59, 1], 3)
    xy = draw(60, 2)
    xy[59] = [0.5, 2.5]
    distance = np.linalg.norm(xy[:59, None] - xy[None], axis=2)
    expected = (distance.argmax(axis=1) == 59).mean()  # the 59 have nothing to lose but their order to the last
    assert 0 < expected < 1
    assert continuity(x, xy) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sizes", [[30] * 4, [60, 40, 20], [1] * 90 + [30]])
def test_a_random_map_of_heaps_scores_about_chance(sizes):
    x, _ = heaps(sizes, 5)
    scores = [continuity(x, draw(120, 2, seed=i)) for i in range(40)]
    assert np.mean(scores) == pytest.approx(chance_trustworthiness(120), abs=0.1)


def test_overlap_does_not_depend_on_which_of_equal_clips_come_first():
    x, _ = heaps([40, 20, 30, 30], 6)
    assert neighbour_overlap(x, rotated(x), n_neighbors=10) == pytest.approx(1.0)
    order = np.random.default_rng(0).permutation(120)
    other = draw(120, 4)
    expected = neighbour_overlap(x, other, n_neighbors=10)
    assert neighbour_overlap(x[order], other[order], n_neighbors=10) == pytest.approx(expected, abs=1e-12)
    shares = [neighbour_overlap(x, draw(120, 4, seed=i), n_neighbors=10) for i in range(40)]
    assert np.mean(shares) == pytest.approx(10 / 119, abs=4 * np.std(shares) / 40**0.5)


def test_disparity_is_that_of_scipy_and_symmetric():
    x, y = draw(50, 2), draw(50, 2, seed=1) + draw(50, 2)
    assert procrustes_disparity(x, y) == pytest.approx(scipy_procrustes(x, y)[2], abs=1e-12)
    assert procrustes_disparity(x, y) == pytest.approx(procrustes_disparity(y, x), abs=1e-12)
    assert procrustes_disparity(x, rotated(y)) == pytest.approx(procrustes_disparity(x, y), abs=1e-12)
    assert procrustes_disparity(x, rotated(x)) == pytest.approx(0, abs=1e-12)
    apart = [procrustes_disparity(draw(500, 2, seed=i), draw(500, 2, seed=99 + i)) for i in range(20)]
    assert np.mean(apart) > 0.97  # of independent maps


def test_superimposing_undoes_shift_turn_mirror_and_scale():
    x = draw(40, 2)
    mirrored = rotated(x) * [1, -1]
    np.testing.assert_allclose(superimpose(mirrored, x), x, atol=1e-10)
    noisy = mirrored + 0.1 * draw(40, 2, seed=1)
    left = superimpose(noisy, x) - x
    assert 0 < (left**2).sum() < ((noisy - x) ** 2).sum() / 100
    for turn in (0.01, -0.01):  # no other turn lies nearer
        c, s = np.cos(turn), np.sin(turn)
        moved = (superimpose(noisy, x) - x.mean(axis=0)) @ np.array([[c, -s], [s, c]]) + x.mean(axis=0)
        assert ((moved - x) ** 2).sum() > (left**2).sum()


@pytest.mark.parametrize(
    ("x", "xy", "k", "sentence"),
    [
        (draw(60, 3), draw(58, 2), 5, "x has 60 rows but xy 58; both must be of the same clips"),
        (draw(20, 3), draw(20, 2), 10, "n_neighbors is 10; with 20 clips it can be 1 to 9"),
        (draw(20, 3), draw(20, 2), 0, "n_neighbors is 0; with 20 clips it can be 1 to 9"),
        (draw(20, 3), draw(20, 2)[:, 0], 5, r"xy: .*\(20,\)"),
        (draw(20, 3) * np.where(np.arange(20) < 2, np.nan, 1)[:, None], draw(20, 2), 5, "x: 2 of 20 clips"),
        (draw(2, 3), draw(2, 2), 1, "2 clips have no neighbourhoods to compare"),
    ],
)
def test_bad_input_gets_one_sentence(x, xy, k, sentence):
    for measure in (trustworthiness, continuity):
        with pytest.raises(ValueError, match=sentence):
            measure(x, xy, n_neighbors=k)


def test_unknown_metrics_and_single_spots_are_named():
    with pytest.raises(ValueError, match="no metric 'manhattan'; there are euclidean, cosine, correlation"):
        trustworthiness(draw(20, 3), draw(20, 2), metric="manhattan")
    with pytest.raises(ValueError, match="all 20 points of y lie on one spot"):
        procrustes_disparity(draw(20, 2), np.ones((20, 2)))
    with pytest.raises(ValueError, match="19 rows but"):
        superimpose(draw(20, 2), draw(19, 2))
    with pytest.raises(ValueError, match="n_neighbors is 19; with 20 clips it can be 1 to 18"):
        neighbour_overlap(draw(20, 2), draw(20, 2), n_neighbors=19)
