"""Maps of the branches: neighbours are kept, seeds hold, and too few clips are refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from medn_lab.diagnose import umap, warm_umap
from medn_lab.records import BranchFeatures


def clustered(n, *, n_clusters=3, seed=0):
    generator = np.random.default_rng(seed)
    cluster = np.arange(n) % n_clusters
    motion = np.eye(n_clusters)[cluster] @ (8 * generator.normal(size=(n_clusters, 12))) + generator.normal(
        size=(n, 12)
    )
    table = pd.DataFrame({"clip_id": [f"c{i}" for i in range(n)], "subject": "s", "cluster": cluster})
    return BranchFeatures(
        motion.astype(np.float32), None, generator.normal(size=(n, 6)).astype(np.float32), table, source={}
    )


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_clusters_in_feature_space_are_clusters_on_the_map(method):
    features = clustered(90)
    embedding = umap(features, method=method)
    neighbours = KNeighborsClassifier(n_neighbors=4).fit(embedding.motion_xy, embedding.table["cluster"])
    assert neighbours.score(embedding.motion_xy, embedding.table["cluster"]) > 0.95
    assert embedding.trustworthiness["motion"] > 0.8
    assert embedding.trustworthiness["motion"] > embedding.trustworthiness["fused"]  # noise has no true neighbours


def test_a_branch_that_is_not_there_has_no_map():
    embedding = umap(clustered(20), method="pca")
    assert embedding.emotion_xy is None
    assert "emotion" not in embedding.trustworthiness


def test_the_same_seed_gives_the_same_map():
    features = clustered(40)
    first, second, third = umap(features, seed=1), umap(features, seed=1), umap(features, seed=2)
    np.testing.assert_array_equal(first.motion_xy, second.motion_xy)
    assert not np.array_equal(first.motion_xy, third.motion_xy)
    assert first.params == {"method": "umap", "n_neighbors": 15, "min_dist": 0.1, "metric": "euclidean", "seed": 1}


@pytest.mark.parametrize("n", [5, 6, 11])
def test_a_handful_of_clips_still_makes_a_map(n):
    embedding = umap(clustered(n))
    assert np.isfinite(embedding.motion_xy).all()
    assert embedding.params["n_neighbors"] <= (n - 1) // 2 or embedding.params["n_neighbors"] == 2


def test_fewer_than_five_clips_are_refused():
    with pytest.raises(ValueError, match="a map needs at least 5 clips, there are 4; select more"):
        umap(clustered(4))


def test_features_that_are_not_numbers_are_counted():
    features = clustered(10)
    features.motion[2, 3] = np.nan
    with pytest.raises(ValueError, match="the motion features of 1 clips are not numbers"):
        umap(features)


def test_duplicated_clips_do_not_break_the_map():
    features = clustered(30)
    features.motion[:] = features.motion[0]
    assert np.isfinite(umap(features).motion_xy).all()


def test_warming_ends_and_leaves_umap_imported():
    import sys

    thread = warm_umap()
    thread.join(timeout=300)
    assert not thread.is_alive()
    assert "umap" in sys.modules
