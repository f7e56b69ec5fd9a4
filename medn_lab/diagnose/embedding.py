"""Maps of the branches: UMAP with its parameters and its trustworthiness, and PCA for those who cannot wait."""

from __future__ import annotations

import threading
import warnings
from typing import Literal

import numpy as np

from medn_lab.records import BranchFeatures, Embedding

SMALLEST = 5
"""Fewer clips make no map."""


def umap(
    features: BranchFeatures,
    *,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Literal["euclidean", "cosine", "correlation"] = "euclidean",
    seed: int = 0,
    method: Literal["umap", "pca"] = "umap",
) -> Embedding:
    """A map of each branch on which neighbours in feature space stay neighbours.

    Read neighbourhoods from it: which clips lie together, and whether a group on one map stays together on another.
    Distances between clusters, their sizes and the axes mean nothing. All branches get the same parameters and seed.

    Parameters
    ----------
    features : BranchFeatures
        Of at least 5 clips.
    n_neighbors : int
        Clips that count as neighbours; at most half of the clips are used.
    min_dist : float
        How tightly points may be packed, in [0, 1].
    metric : {"euclidean", "cosine", "correlation"}
        Distance in feature space.
    seed : int
        The same seed gives the same map on the same machine.
    method : {"umap", "pca"}
        ``pca`` is the quick linear fallback; it takes no neighbours.

    Returns
    -------
    Embedding
        ``motion_xy, emotion_xy, fused_xy`` (n, 2), None where there is no such feature; trustworthiness in [0, 1] of
        each map.

    Raises
    ------
    ValueError
        If there are fewer than 5 clips, or a feature is not a number.

    See Also
    --------
    medn_lab.view.plot_embedding, warm_umap

    References
    ----------
    McInnes, Healy, Melville: "UMAP: Uniform manifold approximation and projection", 2018. Trustworthiness: Venna and
    Kaski, 2001, as in scikit-learn.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import trustworthiness

    n = len(features)
    if n < SMALLEST:
        raise ValueError(f"a map needs at least {SMALLEST} clips, there are {n}; select more")
    neighbors = int(max(2, min(n_neighbors, (n - 1) // 2)))
    maps: dict[str, np.ndarray | None] = {}
    trust: dict[str, float] = {}
    for branch in ("motion", "emotion", "fused"):
        values = getattr(features, branch)
        if values is None:
            maps[f"{branch}_xy"] = None
            continue
        if not np.isfinite(values).all():
            raise ValueError(
                f"the {branch} features of {(~np.isfinite(values)).any(axis=1).sum()} clips are not numbers"
            )
        if method == "pca":
            placed = PCA(n_components=2, svd_solver="full").fit_transform(values)
        else:
            placed = _umap(values, neighbors, min_dist, metric, seed)
        maps[f"{branch}_xy"] = placed.astype(np.float32)
        trust[branch] = float(trustworthiness(values, placed, n_neighbors=min(5, (n - 1) // 2), metric=metric))
    params: dict[str, object] = {"method": method}
    if method == "umap":
        params |= {"n_neighbors": neighbors, "min_dist": min_dist, "metric": metric, "seed": seed}
    return Embedding(**maps, table=features.table, params=params, trustworthiness=trust)


def warm_umap() -> threading.Thread:
    """Import UMAP now (some 3 s) and compile it in the background (some 15 s), so that the first map does not wait.

    The imports are not left to the background: two threads that import packages which import each other can lock each
    other out.

    Returns
    -------
    Thread
        A daemon, already started; ``join`` it to wait.

    Examples
    --------
    ``medn.diagnose.warm_umap()`` in a notebook's first cell; read on meanwhile.
    """
    from sklearn.manifold import trustworthiness
    from umap import UMAP  # noqa: F401

    points = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    trustworthiness(points, points[:, :2])  # scikit-learn imports more at its first use
    thread = threading.Thread(target=_umap, args=(points, 5, 0.1, "euclidean", 0), daemon=True, name="warm-umap")
    thread.start()
    return thread


_COMPILING = threading.Lock()


def _umap(values: np.ndarray, n_neighbors: int, min_dist: float, metric: str, seed: int) -> np.ndarray:
    # numba must not compile the same functions in two threads at once.
    with _COMPILING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns of its own choices (n_jobs, graph size) on every call
        from umap import UMAP

        mapper = UMAP(n_neighbors=n_neighbors, min_dist=min_dist, metric=metric, random_state=seed, n_jobs=1)
        return mapper.fit_transform(values)
