"""Maps of the branches and of other layers: UMAP with its parameters and its quality, or PCA, which is fast."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.neighbours import Metric, chance_trustworthiness, continuity, trustworthiness
from medn_lab.diagnose.similarity import check_features, rows_by_clip
from medn_lab.records import BranchFeatures, Embedding, constant_reason, is_constant, positions, run_record

Branch = Literal["motion", "emotion", "fused"]

# Fewer clips make no map.
SMALLEST = 5

# Neighbours over which trustworthiness and continuity are computed, where there are clips enough.
JUDGED_BY = 5

_COMPILING = threading.Lock()

# From this many clips on UMAP would search neighbours approximately, by code that takes half a minute to compile: it is
# given the exact ones.
_MANY = 4096


def umap(
    features: BranchFeatures,
    *,
    layers: Mapping[str, ArrayLike | pd.DataFrame] | None = None,
    branches: Sequence[Branch] | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Metric = "euclidean",
    seed: int = 0,
    method: Literal["umap", "pca"] = "umap",
    most_clips: int = 50_000,
) -> Embedding:
    """A map of each branch on which neighbours in feature space stay neighbours.

    Read neighbourhoods from it: which clips lie together, and whether a group on one map stays together on another.
    Distances between clusters, their sizes and the axes mean nothing. All maps get the same parameters and seed.

    At most half of the clips count as neighbours of one clip: below 31 clips `n_neighbors` is lowered and recorded
    (``params["n_neighbors_asked"]``, written on the picture too). Below 15 clips a map shows little that a table of
    the distances would not show better.

    Parameters
    ----------
    features : BranchFeatures
        Of at least 5 clips.
    layers : dict of (n, d) array-like or DataFrame, optional
        Activations of further layers by name, as :func:`medn_lab.evaluate.layer_features` returns them. A DataFrame is
        joined by its index of clip ids; an array has its rows in the order of ``features.table``. Average or flatten
        what has more axes.
    branches : sequence of {"motion", "emotion", "fused"}, optional
        Which branches to map; by default all that the features have. May be empty where `layers` are given.
    n_neighbors : int
        Clips that count as neighbours, at least 2. Few show the fine structure, many the coarse.
    min_dist : float
        How tightly points may be packed, in [0, 1].
    metric : {"euclidean", "cosine", "correlation"}
        Distance in feature space.
    seed : int
        The same seed gives the same map in every process of one machine, also from the map's own record
        (``medn.rerun``); on another processor the last digits of the features differ, and with them the whole map.
    method : {"umap", "pca"}
        ``pca`` is the quick linear fallback; of the parameters above it uses none, though `metric` still says by which
        distance the map is judged.
    most_clips : int
        Of more clips a sample is mapped, drawn by :func:`sample_clips` with this seed; the picture says of how many
        (``params["drawn_from"]``). The features keep every clip, and so does every measure taken of them.

    Returns
    -------
    Embedding
        ``motion_xy, emotion_xy, fused_xy`` (n, 2), None where there is no such map; ``layers`` by name; trustworthiness
        and continuity of each map in [0, 1], over ``params["quality_neighbors"]`` neighbours, where a random map scores
        ``params["quality_chance"]``. A branch that is constant has all clips on one spot and NaN for both, and
        ``params["reason"]`` names it. ``params["variance"]`` holds the share of variance on a ``pca`` map.

    Raises
    ------
    ValueError
        If there are fewer than 5 clips, a feature is not finite, a layer does not fit, or a parameter is out of range.

    See Also
    --------
    trustworthiness, continuity, map_stability, aligned_umap, warm_umap, sample_clips, medn_lab.view.plot_embedding

    References
    ----------
    McInnes, Healy, Melville: "UMAP: Uniform manifold approximation and projection", 2018.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    >>> features = BranchFeatures(*rng.normal(size=(3, 40, 8)), table)
    >>> umap(features, method="pca").motion_xy.shape
    (40, 2)
    """
    if method not in ("umap", "pca"):
        raise ValueError(f"no method {method!r}; there are umap, pca")
    spaces = feature_spaces(features, layers=layers, branches=branches)
    table, drawn_from = features.table, {}
    if len(features) > most_clips:
        rows = positions(table, sample_clips(table, most=most_clips, seed=seed), owner="these features")
        spaces, table = {name: values[rows] for name, values in spaces.items()}, table.iloc[rows].reset_index(drop=True)
        drawn_from = {"drawn_from": len(features)}
    params = parameters_of(len(table), method, n_neighbors, min_dist, metric, seed) | drawn_from
    maps = {name: place(values, params) for name, values in spaces.items()}
    if method == "pca":
        spread = {name: values.var(axis=0).sum() for name, values in spaces.items() if not is_constant(values)}
        params["variance"] = {name: round(float(maps[name].var(axis=0).sum() / of), 4) for name, of in spread.items()}
    made = run_record("umap", table=features.table, branches=list(branches) if branches is not None else None)
    return judged(maps, spaces, features, table=table, params=params, run=made)


def warm_umap(*, aligned: bool = False) -> threading.Thread:
    """Import UMAP now (some 3 s) and compile it in the background (some 15 s), so that the first map does not wait.

    The imports are not left to the background: two threads that import packages which import each other can lock each
    other out. A map made meanwhile waits for the compilation to end.

    Parameters
    ----------
    aligned : bool
        Compile what :func:`aligned_umap` needs too (some 15 s more).

    Returns
    -------
    Thread
        A daemon, already started; ``join`` it to wait.

    Examples
    --------
    ``medn.diagnose.warm_umap()`` in a notebook's first cell; read on meanwhile.
    """
    from umap import UMAP, AlignedUMAP  # noqa: F401

    points = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    params = parameters_of(40, "umap", 5, 0.1, "euclidean", 0)

    def compile_all() -> None:
        for several in [[points], [points, points]] if aligned else [[points]]:
            place_by_umap(several, params)

    thread = threading.Thread(target=compile_all, daemon=True, name="warm-umap")
    thread.start()
    return thread


def sample_clips(table: pd.DataFrame, *, most: int, seed: int = 0) -> list[str]:
    """Draw clips so that every subject keeps the same share, and at least one clip.

    Each subject's clips are put in random order, and the j-th of its m clips (from 0) has the rank j / m; the clips of
    the lowest ranks are drawn. So each subject gives its share of `most`, rounded up or down, and at least one clip.
    With more subjects than `most`, each of `most` subjects, drawn at random, gives one.

    Parameters
    ----------
    table : DataFrame
        With ``clip_id``, and ``subject`` where it is known; without it clips are drawn from all alike.
    most : int
        Clips to draw, at least 1.
    seed : int

    Returns
    -------
    list of str
        The ids of ``min(most, n)`` clips in the table's order; all of them where there are no more than `most`.

    Raises
    ------
    ValueError
        If `most` is below 1.

    See Also
    --------
    umap : draws so where there are more clips than its ``most_clips``.

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(9)], "subject": list("aaaaaabbc")})
    >>> drawn = sample_clips(table, most=5)
    >>> table.set_index("clip_id").loc[drawn, "subject"].value_counts().to_dict()
    {'a': 3, 'b': 1, 'c': 1}
    """
    if most < 1:
        raise ValueError(f"most is {most}; at least one clip must be drawn")
    order = np.random.default_rng(seed).permutation(len(table))
    subject = table["subject"].astype(str).iloc[order] if "subject" in table else pd.Series("", index=order)
    groups = subject.groupby(subject.to_numpy())
    rank = (groups.cumcount() / groups.transform("size")).to_numpy()
    drawn = np.sort(order[np.argsort(rank, kind="stable")[:most]])
    return table["clip_id"].astype(str).iloc[drawn].tolist()


def feature_spaces(
    features: BranchFeatures, *, layers: Mapping[str, ArrayLike | pd.DataFrame] | None, branches: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """What is to be mapped by name, (n, d) each, checked: the branches in their order, then the layers."""
    n, names = len(features), get_args(Branch)
    if n < SMALLEST:
        raise ValueError(f"a map needs at least {SMALLEST} clips, there are {n}; select more")
    there = [name for name in names if getattr(features, name) is not None]
    if missing := [name for name in branches or () if name not in there]:
        raise ValueError(f"no {missing[0]} branch to map; there are {', '.join(there)}; other layers go into layers=")
    spaces = {name: getattr(features, name) for name in there if branches is None or name in branches}
    for name, values in (layers or {}).items():
        spaces[name] = rows_by_clip(values, features.table, owner=f"layer {name!r}")
    if not spaces:
        raise ValueError("nothing to map: name at least one branch or layer")
    spaces = {name: check_features(values, owner=f"the {name} features") for name, values in spaces.items()}
    if reason := constant_reason(spaces):
        warnings.warn(f"{reason}: all {n} clips lie on one spot of its map, which has no quality", stacklevel=3)
    return spaces


def parameters_of(n: int, method: str, n_neighbors: int, min_dist: float, metric: str, seed: int) -> dict[str, Any]:
    """The parameters as used, for the record and the picture: neighbours lowered where clips are too few."""
    params: dict[str, Any] = {"method": method, "metric": metric}
    if method != "pca":
        used = max(2, min(n_neighbors, (n - 1) // 2))
        asked = {} if used == n_neighbors else {"n_neighbors_asked": n_neighbors}
        params = {"method": method, "n_neighbors": used, **asked, "min_dist": min_dist, "metric": metric, "seed": seed}
    judged_by = min(JUDGED_BY, (n - 1) // 2)
    chance = round(chance_trustworthiness(n, n_neighbors=judged_by), 4)
    return params | {"n_clips": n, "quality_neighbors": judged_by, "quality_chance": chance}


def judged(
    maps: Mapping[str, np.ndarray],
    spaces: Mapping[str, np.ndarray],
    features: BranchFeatures,
    *,
    table: pd.DataFrame,
    params: dict[str, Any],
    run: Mapping[str, Any],
) -> Embedding:
    """The record of finished maps, each with its trustworthiness and continuity, and how it was made."""
    reason = constant_reason(spaces)
    how: dict[str, Any] = {"n_neighbors": params["quality_neighbors"], "metric": params["metric"]}
    single = {name: xy.astype(np.float32) for name, xy in maps.items()}
    planes: dict[str, Any] = {f"{name}_xy": single.pop(name, None) for name in get_args(Branch)}
    return Embedding(
        **planes,
        table=table,
        params=params | ({"reason": reason} if reason else {}),
        trustworthiness={name: trustworthiness(spaces[name], xy, **how) for name, xy in maps.items()},
        continuity={name: continuity(spaces[name], xy, **how) for name, xy in maps.items()},
        layers=single,
        source={**features.source, "features": features.source.get("run", {}), "run": dict(run)},
    )


def place(values: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """One map, (n, 2); all clips on one spot where the features are constant."""
    if is_constant(values):
        return np.zeros((len(values), 2))
    if params["method"] != "pca":
        return place_by_umap([values], params)[0]
    from sklearn.decomposition import PCA

    scores = PCA(min(2, values.shape[1]), svd_solver="full").fit_transform(values)
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def place_by_umap(several: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
    """The map of a space, or those of several spaces of the same clips, held together while they are made, (n, 2)."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    how: dict[str, Any] = {name: params[name] for name in ("n_neighbors", "min_dist", "metric")}
    how["random_state"] = params["seed"]
    first, k, metric = several[0], params["n_neighbors"], params["metric"]
    # numba must not compile the same functions in two threads at once, and umap warns of its choices (n_jobs, graph
    # size) on every call. numba also sets OpenMP's threads to all cores and leaves them so: torch, which shares them,
    # would sum in another order, and a prediction after a map would differ from one before it in the last digits.
    with _COMPILING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Loads OpenMP where torch has not yet: only what is loaded has its threads set back.
        with suppress(ImportError):
            import_module("numba.np.ufunc.omppool")
        with threadpool_limits(limits=1, user_api="openmp"):
            from umap import UMAP, AlignedUMAP

            if len(several) > 1:
                same = [{row: row for row in range(len(first))}] * (len(several) - 1)
                mapper = AlignedUMAP(**how, transform_seed=params["seed"])
                return [np.asarray(xy) for xy in mapper.fit_transform(list(several), relations=same)]
            if len(first) >= _MANY:
                values = first - first.mean(axis=1, keepdims=True) if metric == "correlation" else first
                search = NearestNeighbors(n_neighbors=k, metric="euclidean" if metric == "euclidean" else "cosine")
                far, near = search.fit(values).kneighbors(values)
                how["precomputed_knn"] = (near.astype(np.int32), far.astype(np.float32), None)
            return [UMAP(**how, n_jobs=1).fit_transform(first)]
