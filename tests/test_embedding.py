"""Maps of the branches: neighbours are kept, seeds hold, checkpoints lie over each other, too few clips are refused.

What a map keeps of the neighbourhoods is that of scikit-learn, of closed forms and of maps drawn at random.
"""

import os
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from cases import assert_refuses, printed
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import medn_lab as medn
from medn_lab.diagnose import continuity, neighbour_overlap, sample_clips, trustworthiness, umap
from medn_lab.records import BranchFeatures, Embedding
from medn_lab.view.maps import params_line

compiles = pytest.mark.slow(reason="UMAP is compiled by the first test that needs it")


def clustered(n, *, n_clusters=3, seed=0):
    rng, cluster = np.random.default_rng(seed), np.arange(n) % n_clusters
    motion = np.eye(n_clusters)[cluster] @ (8 * rng.normal(size=(n_clusters, 12))) + rng.normal(size=(n, 12))
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n)], "subject": "s", "cluster": cluster})
    return BranchFeatures(motion.astype(np.float32), None, rng.normal(size=(n, 6)).astype(np.float32), table, source={})


@pytest.mark.parametrize("method", [pytest.param("umap", marks=compiles), "pca"])
def test_clusters_in_feature_space_are_clusters_on_the_map(method):
    embedding = umap(clustered(90), method=method)
    neighbours = KNeighborsClassifier(n_neighbors=4).fit(embedding.motion_xy, embedding.table["cluster"])
    assert neighbours.score(embedding.motion_xy, embedding.table["cluster"]) > 0.95
    for quality in (embedding.trustworthiness, embedding.continuity):
        assert quality["motion"] > 0.8
        assert quality["motion"] > quality["fused"] > embedding.params["quality_chance"]  # noise has no true neighbours


@compiles
def test_warming_ends_and_a_map_leaves_the_threads_of_torch_alone():
    thread = medn.diagnose.warm_umap()
    thread.join(timeout=300)
    assert not thread.is_alive()
    before = torch.get_num_threads()
    try:
        # numba sets OpenMP's threads to all cores: predictions after a map then differed from those before it.
        for threads in (1, 2):
            torch.set_num_threads(threads)
            umap(clustered(40))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@compiles
def test_a_fresh_process_makes_the_same_map_from_its_record_alone(shipped, tmp_path):
    features = medn.extract_features(shipped, medn.synthetic_clips(n_subjects=2, clips_per_subject=5, seed=3))
    made, other = (umap(features, n_neighbors=4, seed=seed) for seed in (2, 3))
    made.save(tmp_path / "map")
    features.save(tmp_path / "features")
    script = (
        "import sys, medn_lab as medn\n"
        "read = medn.records.BranchFeatures.load(sys.argv[1] + '/features')\n"
        "medn.diagnose.umap(read, n_neighbors=4, branches=['motion'])\n"
        "found = medn.rerun(medn.records.Embedding.load(sys.argv[1] + '/map'), progress=False)\n"
        "from umap.utils import fast_knn_indices\n"
        "assert fast_knn_indices.stats.cache_hits, 'UMAP was compiled again'\n"
        "import torch\n"
        "assert torch.get_num_threads() == 1  # torch came after numba, and shares OpenMP's threads with it\n"
        "assert found.identical and found.again.trustworthiness == found.stored.trustworthiness, found\n"
    )
    printed("-c", script, tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert not np.array_equal(made.motion_xy, other.motion_xy)
    params = {"method": "umap", "n_neighbors": 4, "min_dist": 0.1, "metric": "euclidean", "seed": 2, "n_clips": 10}
    assert params.items() <= made.params.items()


@compiles
def test_many_clips_are_mapped_by_their_exact_neighbours_and_few_say_how_these_were_lowered(monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.embedding._MANY", 10)
    for metric in ("euclidean", "cosine", "correlation"):
        assert umap(clustered(60), metric=metric, branches=("motion",)).trustworthiness["motion"] > 0.8
    few = umap(clustered(14))
    assert (few.params["n_neighbors"], few.params["n_neighbors_asked"]) == (6, 15)
    assert "n_neighbors_asked 15" in repr(few)


def test_what_does_not_fit_is_refused():
    refuses = partial(assert_refuses, umap, clustered(20), method="pca")
    refuses(metric="l1", match="no metric 'l1'; there are euclidean, cosine, correlation")
    refuses(method="tsne", match="no method 'tsne'; there are umap, pca")
    refuses(branches=("emotion",), match="no emotion branch to map; there are motion, fused")
    refuses(layers={"stem": np.zeros((19, 3))}, match="layer 'stem' has 19 rows but there are 20 clips")
    refuses(layers={"stem": pd.DataFrame(np.zeros((20, 3)))}, match="stem features: 20 of 20 clips")
    assert_refuses(medn.diagnose.map_stability, clustered(20), seeds=(2, 2), match="at least 2 different seeds")
    assert_refuses(umap, clustered(4), match="at least 5 clips, there are 4")


def test_pca_is_that_of_scikit_learn_up_to_signs_and_maps_any_layer(tmp_path):
    features = clustered(20)
    reference = PCA(n_components=2, svd_solver="full").fit(features.motion)
    embedding = umap(features, layers={"blocks/0.norm": features.motion}, method="pca")
    np.testing.assert_allclose(np.abs(embedding.motion_xy), np.abs(reference.transform(features.motion)), atol=1e-4)
    assert embedding.params["variance"]["motion"] == pytest.approx(reference.explained_variance_ratio_.sum(), abs=1e-4)
    np.testing.assert_array_equal(embedding.layers["blocks/0.norm"], embedding.motion_xy)
    assert list(embedding.maps) == list(embedding.trustworthiness) == ["motion", "fused", "blocks/0.norm"]
    layer = pd.DataFrame(features.motion, index=features.table["clip_id"]).sample(frac=1, random_state=0)
    alone = umap(features, layers={"stem": layer}, branches=(), method="pca")
    assert list(alone.maps) == ["stem"]
    np.testing.assert_allclose(alone.layers["stem"], embedding.motion_xy, atol=1e-5)  # joined by clip_id
    back = Embedding.load(embedding.select(["c7", "c3"]).save(tmp_path / "map"))
    np.testing.assert_array_equal(back.layers["blocks/0.norm"], embedding.layers["blocks/0.norm"][[7, 3]])
    for part in ("params", "trustworthiness", "continuity", "emotion_xy"):
        assert getattr(back, part) == getattr(embedding, part)


@compiles
def test_seeds_agree_on_clusters_and_less_on_noise():
    found = medn.diagnose.map_stability(clustered(60), seeds=(0, 1, 2))
    overlap = found.table.groupby("map")["overlap"].mean()
    assert overlap["motion"] > 0.6 > found.table["chance"].max() == 15 / 59
    assert overlap["motion"] > overlap["fused"] > found.table["chance"].max()
    assert len(found.table) == 2 * 3
    assert found.clips["motion"].mean() == pytest.approx(overlap["motion"])
    assert found.table["disparity"].between(0, 1).all()


@pytest.fixture(scope="module")
def checkpoints():
    """Two checkpoints with other axes and other clip order, in which every fifth clip has moved to another cluster."""
    first, rng = clustered(100, n_clusters=4), np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    moved = np.arange(100) % 5 == 0
    source = np.where(moved, (np.arange(100) + 1) % 100, np.arange(100))  # a clip of the next cluster
    motion = (first.motion[source] + rng.normal(scale=0.05, size=(100, 12))) @ turn
    second = BranchFeatures(motion.astype(np.float32), None, first.fused, first.table, source={})
    return {"early": first, "late": second.select(first.table["clip_id"][::-1])}, moved


@pytest.mark.parametrize("method", [pytest.param("aligned_umap", marks=compiles), "pca"])
def test_maps_laid_over_each_other_keep_the_clips_that_stayed_and_move_those_that_moved(checkpoints, method):
    features, moved = checkpoints
    branches = ["motion", "fused"] if method == "pca" else ["motion"]
    maps = medn.diagnose.aligned_umap(features, method=method, branches=branches)
    assert maps["late"].table["clip_id"].tolist() == maps["early"].table["clip_id"].tolist()
    assert (maps["early"].params["aligned_to"], maps["early"].params["shift"]["motion"]) == ("early", 0.0)
    one, other = (each.motion_xy for each in maps.values())
    late = features["late"].select(maps["late"].table["clip_id"])
    moves = np.linalg.norm(one - other, axis=1) / np.sqrt(((one - one.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert maps["late"].params["shift"]["motion"] == pytest.approx(np.median(moves), abs=1e-3)
    assert maps["late"].trustworthiness["motion"] == trustworthiness(late.motion, maps["late"].motion_xy)
    if method == "pca":  # the maps are linear, so what stayed lies where it lay
        assert np.median(moves[~moved]) < np.median(moves[moved])
        np.testing.assert_allclose(maps["late"].fused_xy, umap(features["early"], method="pca").fused_xy, atol=1e-4)
        overlap = neighbour_overlap(features["early"].motion, late.motion)  # needs no map
        assert 15 / 99 < overlap < 0.9 < neighbour_overlap(features["early"].fused, late.fused) == 1.0
    else:
        assert np.median(moves[~moved]) < 0.1
        assert np.median(moves[moved]) > 0.5
        single = umap(late, branches=("motion",)).trustworthiness["motion"]
        assert maps["late"].trustworthiness["motion"] > single - 0.05


def test_checkpoints_that_do_not_fit_are_refused(checkpoints):
    features, ids = checkpoints[0], checkpoints[0]["early"].table["clip_id"]
    few = {"a": features["early"].select(ids[:52]), "b": features["late"].select(ids[48:])}
    for maps, options, facts in ((few, {}, "at least 5 clips, there are 4"), (features, {"method": "icp"}, "'icp'")):
        assert_refuses(medn.diagnose.aligned_umap, maps, **options, match=facts)


def clips_of(counts) -> pd.DataFrame:
    subjects = np.repeat([f"s{k}" for k in range(len(counts))], counts)
    return pd.DataFrame({"clip_id": [f"c{k}" for k in range(len(subjects))], "subject": subjects})


@settings(max_examples=30, derandomize=True)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 120), st.integers(0, 5))
def test_as_many_clips_as_wanted_in_order_each_once_and_every_subject_near_its_share(counts, most, seed):
    table, n = clips_of(counts), min(most, sum(counts))
    places = pd.Index(table["clip_id"]).get_indexer(sample_clips(table, most=most, seed=seed))
    assert len(places) == n
    assert (np.diff(places) > 0).all()
    held = table["subject"].iloc[places].value_counts().reindex(table["subject"].unique(), fill_value=0).to_numpy()
    if most >= len(counts):
        assert ((held >= 1) & (held <= np.maximum(np.ceil(np.array(counts) * n / len(table)), 1))).all()


def test_a_map_of_a_sample_says_so_and_its_points_are_those_of_its_clips():
    table = clips_of([30, 20, 10])
    features = BranchFeatures(*np.random.default_rng(0).normal(size=(3, 60, 8)), table)
    drawn = umap(features, method="pca", most_clips=24)
    assert drawn.table["clip_id"].tolist() == sample_clips(table, most=24) != sample_clips(table, most=24, seed=1)
    assert drawn.table["subject"].value_counts().to_dict() == {"s0": 12, "s1": 8, "s2": 4}
    assert "24 clips sampled from 60" in params_line(drawn)
    np.testing.assert_allclose(drawn.motion_xy, umap(features.select(drawn.table["clip_id"]), method="pca").motion_xy)
    assert len(umap(features, method="pca")) == 60
    assert len(sample_clips(table.drop(columns="subject"), most=7)) == 7


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
        chance = medn.diagnose.chance_trustworthiness(n, n_neighbors=k)
        assert chance == pytest.approx(np.mean(scores), abs=4 * np.std(scores) / 14)


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


def test_spaces_that_do_not_fit_are_refused():
    x, xy = draw(20, 3), draw(20, 2)
    assert_refuses(trustworthiness, x, xy[:18], match="x has 20 rows and xy has 18")
    assert_refuses(continuity, x, xy, n_neighbors=10, match="n_neighbors is 10; with 20 clips it can be 1 to 9")
    assert_refuses(neighbour_overlap, x, xy, n_neighbors=19, match="is 19; with 20 clips it can be 1 to 18")


def test_of_many_clips_a_sample_is_judged_among_all(monkeypatch):
    monkeypatch.setattr("medn_lab.diagnose.neighbours._JUDGED_WHOLE", 1000)
    monkeypatch.setattr("medn_lab.diagnose.neighbours._SAMPLE", 500)
    x = draw(2000, 6)
    found, whole = (of(x, x[:, :2], n_neighbors=10) for of in (trustworthiness, sklearn_trustworthiness))
    assert found != whole
    assert found == pytest.approx(whole, abs=0.015)
