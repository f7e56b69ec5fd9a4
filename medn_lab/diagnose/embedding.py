"""Maps of the branches and of other layers by UMAP or PCA, with their quality, of one checkpoint or several."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections import namedtuple
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.neighbours import Metric, chance_trustworthiness, continuity, shared_neighbours, trustworthiness
from medn_lab.diagnose.similarity import check_features
from medn_lab.records import BranchFeatures, Embedding, constant_reason, is_constant, positions, run_record

Branch = Literal["motion", "emotion", "fused"]
Arrays = Mapping[str, np.ndarray]

SMALLEST = 5  # fewer clips make no map

_COMPILING = threading.Lock()

# What UMAP compiles anew in each process, 10 s for a first map: numba keeps the machine code on the disk instead.
_KEPT_COMPILED = {
    "umap.umap_": ["smooth_knn_dist", "compute_membership_strengths"],
    "umap.utils": ["fast_knn_indices"],
    "umap.layouts": ["_nb_optimize_layout_euclidean_single_epoch"],
    "umap.distances": ["euclidean"],
    "umap.aligned_umap": ["build_neighborhood_similarities", "procrustes_align"],
}

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
    (``params["n_neighbors_asked"]``).

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
    spaces = _feature_spaces(features, layers=layers, branches=branches)
    made = run_record("umap", table=features.table, branches=list(branches) if branches is not None else None)
    drawn = sample_clips(features.table, most=most_clips, seed=seed)
    rows = positions(features.table, drawn, owner="these features")
    spaces = {name: values[rows] for name, values in spaces.items()}
    params = _parameters(len(drawn), method, n_neighbors, min_dist, metric, seed)
    params |= {"drawn_from": len(features)} if len(drawn) < len(features) else {}
    maps = {name: _place(values, params) for name, values in spaces.items()}
    if method == "pca":
        spread = {name: values.var(axis=0).sum() for name, values in spaces.items() if not is_constant(values)}
        params["variance"] = {name: round(float(maps[name].var(axis=0).sum() / of), 4) for name, of in spread.items()}
    return _judged(maps, spaces, features.select(drawn), params, made)


def warm_umap(*, aligned: bool = False) -> threading.Thread:
    """Import UMAP now (some 3 s) and compile it in the background, so that the first map does not wait.

    The first time after an installation takes some 10 s. numba then keeps the machine code, and a new kernel needs 1 s.

    Parameters
    ----------
    aligned : bool
        Compile what :func:`aligned_umap` needs too (some 25 s more the first time, 8 s later).

    Returns
    -------
    Thread
        A daemon, already started; ``join`` it to wait, as a map made meanwhile does.

    Examples
    --------
    ``medn.diagnose.warm_umap()`` in a notebook's first cell; read on meanwhile.
    """
    from umap import UMAP, AlignedUMAP  # noqa: F401  # not in the background: importing threads can lock each other out

    points = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    params = _parameters(40, "umap", 5, 0.1, "euclidean", 0)

    maps = [[points], [points, points]] if aligned else [[points]]
    thread = threading.Thread(target=lambda: [_place_by_umap(each, params) for each in maps], daemon=True)
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
    order = np.random.default_rng(seed).permutation(len(table))
    subject = table["subject"].astype(str).iloc[order] if "subject" in table else pd.Series("", index=order)
    groups = subject.groupby(subject.to_numpy())
    rank = (groups.cumcount() / groups.transform("size")).to_numpy()
    drawn = np.sort(order[np.argsort(rank, kind="stable")[:most]])
    return table["clip_id"].astype(str).iloc[drawn].tolist()


def _feature_spaces(
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
        rows = values.reindex(features.table["clip_id"]) if isinstance(values, pd.DataFrame) else np.asarray(values)
        if len(rows) != n:
            raise ValueError(f"layer {name!r} has {len(rows)} rows but there are {n} clips")
        spaces[name] = rows
    spaces = {name: check_features(values, owner=f"the {name} features") for name, values in spaces.items()}
    if reason := constant_reason(spaces):
        warnings.warn(f"{reason}: all {n} clips lie on one spot of its map, which has no quality", stacklevel=3)
    return spaces


def _parameters(n: int, method: str, n_neighbors: int, min_dist: float, metric: str, seed: int) -> dict[str, Any]:
    """The parameters as used, for the record and the picture: neighbours lowered where clips are too few."""
    used, judged_by = max(2, min(n_neighbors, (n - 1) // 2)), min(5, (n - 1) // 2)
    params: dict[str, Any] = {"method": method, "metric": metric}
    if method != "pca":
        asked = {} if used == n_neighbors else {"n_neighbors_asked": n_neighbors}
        params = {"method": method, "n_neighbors": used, **asked, "min_dist": min_dist, "metric": metric, "seed": seed}
    chance = round(chance_trustworthiness(n, n_neighbors=judged_by), 4)
    return params | {"n_clips": n, "quality_neighbors": judged_by, "quality_chance": chance}


def _judged(
    maps: Arrays, spaces: Arrays, features: BranchFeatures, params: Mapping[str, Any], run: Mapping[str, Any]
) -> Embedding:
    """The record of finished maps, each with its trustworthiness and continuity, and how it was made."""
    reason = constant_reason(spaces)
    how: dict[str, Any] = {"n_neighbors": params["quality_neighbors"], "metric": params["metric"]}
    single = {name: xy.astype(np.float32) for name, xy in maps.items()}
    motion, emotion, fused = (single.pop(name, None) for name in get_args(Branch))
    trust = {name: trustworthiness(spaces[name], xy, **how) for name, xy in maps.items()}
    kept = {name: continuity(spaces[name], xy, **how) for name, xy in maps.items()}
    source = {**features.source, "features": features.source.get("run", {}), "run": dict(run)}
    params = {**params, "reason": reason} if reason else params
    return Embedding(motion, emotion, fused, features.table, params, trust, kept, layers=single, source=source)


def _place(values: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """One map, (n, 2); all clips on one spot where the features are constant."""
    if is_constant(values):
        return np.zeros((len(values), 2))
    if params["method"] != "pca":
        return _place_by_umap([values], params)[0]
    from sklearn.decomposition import PCA

    scores = PCA(min(2, values.shape[1]), svd_solver="full").fit_transform(values)
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


@cache
def _keep_compiled() -> None:
    """Let numba store UMAP's machine code next to UMAP or in the user's cache; without either it compiles each time."""
    for module, names in _KEPT_COMPILED.items():
        for name in names:
            with suppress(AttributeError, RuntimeError):  # another version of UMAP; no folder to write to
                getattr(import_module(module), name).enable_caching()


def _place_by_umap(several: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
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
            import numba.np.ufunc.omppool  # type: ignore[import-not-found]  # noqa: F401
        with threadpool_limits(limits=1, user_api="openmp"):
            from umap import UMAP, AlignedUMAP

            _keep_compiled()
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


def aligned_umap(
    checkpoints: Mapping[str, BranchFeatures],
    *,
    method: Literal["aligned_umap", "procrustes", "pca"] = "aligned_umap",
    branches: Sequence[Branch] | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Metric = "euclidean",
    seed: int = 0,
) -> dict[str, Embedding]:
    """Maps of several checkpoints that lie over each other: a clip that stays where it was had the same neighbours.

    Two maps made one by one cannot be compared by eye, as UMAP throws whole clusters to other places when the features
    change in the last digit. Here the first checkpoint is the reference, and the others are held to it:

    - ``aligned_umap`` makes the maps together and pulls each clip's places towards each other, gently enough that the
      trustworthiness of the maps hardly changes. Some five to ten times the time of the maps alone.
    - ``procrustes`` makes them one by one and shifts, turns, mirrors and scales each to lie best on the first. It
      cannot undo clusters that changed places, so much of what seems to move is UMAP's.
    - ``pca`` is the quick way: linear maps, then Procrustes.

    Of 480 planted clips the median one moved between a space and a rotated copy of it by .04 radii of
    the map under ``aligned_umap``, by .85 under ``procrustes`` and by 0 under ``pca``.

    Parameters
    ----------
    checkpoints : dict of BranchFeatures
        By name, two or more, of the same model or of different ones; the first is the reference. Joined by clip_id:
        the maps show the clips that all of them have, in the order of the first.
    method : {"aligned_umap", "procrustes", "pca"}
    branches : sequence of {"motion", "emotion", "fused"}, optional
        By default those that all checkpoints have. The widths need not agree.
    n_neighbors, min_dist, metric, seed
        As in :func:`umap`.

    Returns
    -------
    dict of Embedding
        By the names given. ``params["aligned_to"]`` names the reference; ``params["shift"]`` holds, for each map, the
        median distance between a clip's places on it and on the reference, in radii of the reference's map; NaN
        where the branch of one of the two is constant.

    Raises
    ------
    ValueError
        If they share fewer than 5 clips, or as :func:`umap`.

    See Also
    --------
    umap, neighbour_overlap : the same question without a map.
    medn_lab.view.plot_embeddings

    References
    ----------
    AlignedUMAP as in umap-learn, after Dadu et al.: "Application of Aligned-UMAP to longitudinal biomedical studies",
    Patterns 2023.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    >>> early, late = (BranchFeatures(*rng.normal(size=(3, 40, 8)), table) for _ in range(2))
    >>> maps = aligned_umap({"early": early, "late": late}, method="pca", n_neighbors=5)
    >>> maps["late"].emotion_xy.shape
    (40, 2)
    """
    if method not in ("aligned_umap", "procrustes", "pca"):
        raise ValueError(f"no method {method!r}; there are aligned_umap, procrustes, pca")
    if len(checkpoints) < 2:
        raise ValueError(f"alignment needs at least 2 checkpoints, there are {len(checkpoints)}; umap maps one")
    names, given = list(checkpoints), list(checkpoints.values())
    shared = set.intersection(*(set(each.table["clip_id"]) for each in given))
    ids = [name for name in given[0].table["clip_id"] if name in shared]
    given = [each.select(ids) for each in given]
    if branches is None:
        branches = [name for name in get_args(Branch) if all(getattr(each, name) is not None for each in given)]
    spaces = [_feature_spaces(each, layers=None, branches=branches) for each in given]
    params = _parameters(len(ids), method, n_neighbors, min_dist, metric, seed)
    placed = {branch: _place_all([each[branch] for each in spaces], params) for branch in spaces[0]}
    sources = {name: dict(each.source) for name, each in zip(names, given, strict=True)}
    made = run_record("aligned_umap", table=given[0].table, branches=list(placed), checkpoints=sources)
    found = {}
    for number, name in enumerate(names):
        maps, shift = {branch: several[number] for branch, several in placed.items()}, {}
        for branch, xy in maps.items():
            first = placed[branch][0]
            radius = np.linalg.norm(first - first.mean(axis=0)) / np.sqrt(len(first))
            moved = np.median(np.linalg.norm(xy - first, axis=1))
            shift[branch] = np.nan if is_constant(xy) or is_constant(first) else round(float(moved / radius), 4)
        own, run = params | {"aligned_to": names[0], "shift": shift}, made | {"checkpoint": name}
        found[name] = _judged(maps, spaces[number], given[number], own, run)
    return found


def _place_all(several: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
    """The maps of one branch by checkpoint, (n, 2) each, laid over the first; a constant branch lies on one spot."""
    from scipy.spatial import procrustes

    live = [values for values in several if not is_constant(values)]
    if params["method"] == "aligned_umap" and len(live) > 1:
        maps = _place_by_umap(live, params)
    else:
        maps = [_place(values, params) for values in live]
        for number in range(1, len(maps)):
            # Shifted, turned, mirrored and scaled so that it lies nearest on the first, in its units.
            first = maps[0].astype(np.float64)
            centre = first.mean(axis=0)
            maps[number] = procrustes(first, maps[number])[1] * np.linalg.norm(first - centre) + centre
    placed = iter(maps)
    return [np.zeros((len(values), 2)) if is_constant(values) else next(placed) for values in several]


MapStability = namedtuple("MapStability", ["table", "clips"])


def map_stability(
    features: BranchFeatures,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    branches: Sequence[Branch] | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Metric = "euclidean",
) -> MapStability:
    """How far UMAP's maps of these features depend on the seed.

    Two values for each pair of seeds. The *overlap* of neighbours says whether each clip keeps its neighbours, wherever
    they lie on the map: it is the one that matters, as neighbourhoods are all that a map shows. The *disparity* says
    whether whole groups keep their places, and is often far from 0 where the overlap is high: the reason why distances
    between clusters are not evidence. PCA has no seed and needs no such check.

    Parameters
    ----------
    features : BranchFeatures
        Of at least 5 clips.
    seeds : sequence of int
        At least two, all different. Each costs one map a branch.
    branches, n_neighbors, min_dist, metric
        As in :func:`umap`; `n_neighbors`, lowered where the clips are few, is also how many neighbours are compared.

    Returns
    -------
    table : DataFrame
        One row a map and pair of seeds: ``map, seed_a, seed_b``; ``overlap``, the share of nearest clips that both have
        in common, in [0, 1], 1 is best, with its ``chance``; ``disparity``, the share of the squared spread that is
        left between the two after the best shift, turn, reflection and scale (Gower's Procrustes), in [0, 1], 0 is
        best; ``n_neighbors, n_clips``; ``reason``, why there is no value (a constant branch).
    clips : DataFrame
        One row a clip: ``clip_id`` and, a column a map, the mean overlap of its neighbours: where it is low, the place
        of that clip is the seed's doing. Both are fields of the named tuple that is returned.

    Raises
    ------
    ValueError
        If fewer than two different seeds are given, or as :func:`umap`.

    See Also
    --------
    neighbour_overlap, medn_lab.view.plot_map_stability

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    >>> features = BranchFeatures(*np.random.default_rng(0).normal(size=(3, 40, 8)), table)
    >>> map_stability(features, seeds=[0])
    Traceback (most recent call last):
        ...
    ValueError: stability needs at least 2 different seeds; got 0
    """
    from scipy.spatial import procrustes

    if len(set(seeds)) != len(seeds) or len(seeds) < 2:
        raise ValueError(f"stability needs at least 2 different seeds; got {', '.join(map(str, seeds)) or 'none'}")
    n = len(features)
    how: dict[str, Any] = {"branches": branches, "n_neighbors": n_neighbors, "min_dist": min_dist, "metric": metric}
    made = {seed: umap(features, seed=seed, most_clips=n, **how) for seed in seeds}
    k = min(made[seeds[0]].params["n_neighbors"], n - 2)
    rows, clips = [], {"clip_id": features.table["clip_id"].to_numpy(dtype=object)}
    for name in made[seeds[0]].maps:
        reason, each = constant_reason({name: getattr(features, name)}), []
        for a, b in itertools.combinations(seeds, 2):
            both = (made[a].maps[name], made[b].maps[name])
            each.append(shared_neighbours(*both, n_neighbors=k, metric="euclidean"))
            disparity = np.nan if reason else float(procrustes(*both)[2])
            rows.append([name, a, b, float(each[-1].mean()), k / (n - 1), disparity, k, n, reason])
        clips[name] = np.mean(each, axis=0)
    columns = ["map", "seed_a", "seed_b", "overlap", "chance", "disparity", "n_neighbors", "n_clips", "reason"]
    return MapStability(pd.DataFrame(rows, columns=columns), pd.DataFrame(clips))
