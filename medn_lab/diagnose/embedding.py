"""Maps of the branches and of other layers: UMAP with its parameters and its quality, PCA for those who cannot wait."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from medn_lab.diagnose.map_quality import chance_trustworthiness, continuity, trustworthiness
from medn_lab.diagnose.neighbourhoods import Metric, nearest_in_order
from medn_lab.diagnose.sampling import sample_clips
from medn_lab.records import BranchFeatures, Embedding, constant_reason, is_constant, positions, run_record

Branch = Literal["motion", "emotion", "fused"]

SMALLEST = 5
"""Fewer clips make no map."""

JUDGED_BY = 5
"""Over how many neighbours trustworthiness and continuity are told, where there are clips enough."""


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

    At most half of the clips count as neighbours of one clip: below 31 clips `n_neighbors` is lowered, and the map says
    so (``params["n_neighbors_asked"]``, written on the picture too). Below 15 clips a map shows little that a table of
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
        Which branches to map; by default all that the features have. May be empty beside `layers`.
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
    check_parameters(min_dist=min_dist, metric=metric, n_neighbors=n_neighbors, seed=seed)
    if method not in ("umap", "pca"):
        raise ValueError(f"no method {method!r}; there are umap, pca")
    spaces = feature_spaces(features, layers=layers, branches=branches)
    table, drawn_from = features.table, len(features)
    if drawn_from > most_clips:
        rows = positions(table, sample_clips(table, most=most_clips, seed=seed), owner="these features")
        spaces, table = {name: values[rows] for name, values in spaces.items()}, table.iloc[rows].reset_index(drop=True)
    params = parameters_of(
        len(table), method=method, n_neighbors=n_neighbors, min_dist=min_dist, metric=metric, seed=seed
    )
    if drawn_from > len(table):
        params["drawn_from"] = drawn_from
    place = place_by_pca if method == "pca" else place_by_umap
    maps = {name: place(values, params) for name, values in spaces.items()}
    if method == "pca":
        params["variance"] = {name: _variance_kept(values, maps[name]) for name, values in spaces.items()}
    made = run_record("umap", table=features.table, branches=list(branches) if branches is not None else None)
    return judged(maps, spaces, table=table, params=params, source=came_about(features, made))


def warm_umap(*, aligned: bool = False) -> threading.Thread:
    """Import UMAP now (some 3 s) and compile it in the background (some 15 s), so that the first map does not wait.

    The imports are not left to the background: two threads that import packages which import each other can lock each
    other out. A map that is asked for meanwhile waits for the compilation to end.

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
    params = parameters_of(40, method="umap", n_neighbors=5, min_dist=0.1, metric="euclidean", seed=0)

    def compile_all() -> None:
        place_by_umap(points, params)
        if aligned:
            place_by_aligned_umap([points, points], params)

    thread = threading.Thread(target=compile_all, daemon=True, name="warm-umap")
    thread.start()
    return thread


def check_parameters(*, n_neighbors: int, min_dist: float, metric: str, seed: int) -> None:
    """Raise ValueError where a parameter of UMAP is out of its range."""
    if n_neighbors < 2:
        raise ValueError(f"n_neighbors is {n_neighbors}; a neighbourhood needs at least 2")
    if not 0 <= min_dist <= 1:
        raise ValueError(f"min_dist is {min_dist}; it must lie in [0, 1]")
    if metric not in get_args(Metric):
        raise ValueError(f"no metric {metric!r}; there are {', '.join(get_args(Metric))}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; it must be a whole number from 0 to 2**32 - 1")


def feature_spaces(
    features: BranchFeatures,
    *,
    layers: Mapping[str, ArrayLike | pd.DataFrame] | None,
    branches: Sequence[str] | None,
) -> dict[str, np.ndarray]:
    """What is to be mapped by name, (n, d) each, checked: the branches in their order, then the layers."""
    n = len(features)
    if n < SMALLEST:
        raise ValueError(f"a map needs at least {SMALLEST} clips, there are {n}; select more")
    names = get_args(Branch)
    unknown = sorted(set(branches or ()) - set(names))
    if unknown:
        raise ValueError(f"no branch {unknown[0]!r}; there are {', '.join(names)}; other layers go into layers=")
    absent = [name for name in names if name in (branches or ()) and getattr(features, name) is None]
    if absent:
        raise ValueError(f"these features have no {absent[0]} branch, so it has no map")
    wanted = [name for name in names if (branches is None or name in branches) and getattr(features, name) is not None]
    spaces = {name: np.asarray(getattr(features, name)) for name in wanted}
    for name, values in (layers or {}).items():
        if name in names:
            raise ValueError(f"a layer may not be called {name!r}, which is a branch; give it another name")
        spaces[name] = _layer(name, values, features.table)
    if not spaces:
        raise ValueError("nothing to map: name at least one branch or layer")
    for name, values in spaces.items():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{(~finite).sum()} of {n} clips have {name} features that are not finite; leave those clips out"
            )
    reason = constant_reason(spaces)
    if reason:
        warnings.warn(
            f"{reason}: its {n} clips lie on one spot of the map, which has no trustworthiness and no continuity",
            UserWarning,
            stacklevel=3,
        )
    return spaces


def parameters_of(n: int, *, method: str, n_neighbors: int, min_dist: float, metric: str, seed: int) -> dict[str, Any]:
    """The parameters as used, for the record and the picture: neighbours lowered where there are too few clips."""
    params: dict[str, Any] = {"method": method}
    if method != "pca":
        used = max(2, min(n_neighbors, (n - 1) // 2))
        params["n_neighbors"] = used
        if used != n_neighbors:
            params["n_neighbors_asked"] = n_neighbors
        params |= {"min_dist": min_dist, "metric": metric, "seed": seed}
    else:
        params["metric"] = metric
    judged_by = min(JUDGED_BY, (n - 1) // 2)
    chance = round(chance_trustworthiness(n, n_neighbors=judged_by), 4)
    return params | {"n_clips": n, "quality_neighbors": judged_by, "quality_chance": chance}


def judged(
    maps: Mapping[str, np.ndarray],
    spaces: Mapping[str, np.ndarray],
    *,
    table: pd.DataFrame,
    params: dict[str, Any],
    source: Mapping[str, Any],
) -> Embedding:
    """The record of finished maps, each with its trustworthiness and continuity."""
    reason = constant_reason(spaces)
    params = params | ({"reason": reason} if reason else {})
    how: dict[str, Any] = {"n_neighbors": params["quality_neighbors"], "metric": params["metric"]}
    branches = get_args(Branch)
    planes: dict[str, Any] = {
        f"{name}_xy": maps[name].astype(np.float32) if name in maps else None for name in branches
    }
    return Embedding(
        **planes,
        table=table,
        params=params,
        trustworthiness={name: trustworthiness(spaces[name], xy, **how) for name, xy in maps.items()},
        continuity={name: continuity(spaces[name], xy, **how) for name, xy in maps.items()},
        layers={name: xy.astype(np.float32) for name, xy in maps.items() if name not in branches},
        source=source,
    )


def came_about(features: BranchFeatures, run: Mapping[str, Any]) -> dict[str, Any]:
    """A map's source: that of its features, whose own run goes under ``features``, and the run that made the map."""
    about = {name: value for name, value in features.source.items() if name != "run"}
    return {**about, "features": features.source.get("run", {}), "run": dict(run)}


_COMPILING = threading.Lock()
_MANY = 4096
"""From so many clips on UMAP would search neighbours approximately, by code that takes half a minute to compile: they
are handed to it, found exactly."""


@contextmanager
def _umap_alone() -> Iterator[None]:
    """Keep what UMAP does to the process from those around it."""
    from threadpoolctl import threadpool_limits

    # numba must not compile the same functions in two threads at once, and umap warns of its own choices (n_jobs, graph
    # size) on every call. numba also sets OpenMP's threads to all cores and leaves them so: torch, which shares them,
    # would sum in another order, and a prediction after a map would differ from one before it in the last digits.
    with _COMPILING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Loads OpenMP where torch has not yet: only what is loaded has its threads set back.
        with suppress(ImportError):
            import_module("numba.np.ufunc.omppool")
        with threadpool_limits(limits=1, user_api="openmp"):
            yield


def place_by_umap(values: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """One map, (n, 2); all clips on one spot where the features are constant."""
    if is_constant(values):
        return np.zeros((len(values), 2))
    with _umap_alone():
        from umap import UMAP

        known = {"precomputed_knn": _neighbours(values, params)} if len(values) >= _MANY else {}
        return UMAP(**_told(params), **known, n_jobs=1).fit_transform(values)


def place_by_aligned_umap(several: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
    """Maps of several spaces of the same clips, (n, 2) each, held together while they are made."""
    with _umap_alone():
        from umap import AlignedUMAP

        same = [{row: row for row in range(len(several[0]))}] * (len(several) - 1)
        mapper = AlignedUMAP(**_told(params), transform_seed=params["seed"])
        return [np.asarray(xy) for xy in mapper.fit_transform(list(several), relations=same)]


def _neighbours(values: np.ndarray, params: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, None]:
    near, far = nearest_in_order(values.astype(np.float64), params["n_neighbors"], params["metric"])
    return near, far.astype(np.float32), None


def _told(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in ("n_neighbors", "min_dist", "metric")} | {"random_state": params["seed"]}


def place_by_pca(values: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
    """The first two principal components, (n, 2); each axis points along its largest weight; 0 if all is constant."""
    if is_constant(values):
        return np.zeros((len(values), 2))
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    left, spread, axes = np.linalg.svd(centred, full_matrices=False)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)[:, 0]
    scores = (left * spread * np.where(largest < 0, -1.0, 1.0))[:, :2]
    return np.pad(scores, ((0, 0), (0, 2 - scores.shape[1])))


def _variance_kept(values: np.ndarray, xy: np.ndarray) -> float:
    whole = float(values.var(axis=0, dtype=np.float64).sum())
    return round(float(xy.var(axis=0).sum()) / whole, 4) if whole > 0 else 1.0


def _layer(name: str, values: ArrayLike | pd.DataFrame, table: pd.DataFrame) -> np.ndarray:
    if isinstance(values, pd.DataFrame):
        ids = values.index.astype(str)
        if ids.has_duplicates:
            raise ValueError(f"layer {name!r} names {ids[ids.duplicated()][0]!r} more than once")
        missing = set(table["clip_id"]) - set(ids)
        if missing:
            raise ValueError(
                f"layer {name!r} lacks {len(missing)} of {len(table)} clips, such as {min(missing)!r}; "
                "its index must hold the clip ids"
            )
        values = values.set_axis(ids).loc[table["clip_id"]].to_numpy()
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or len(values) != len(table):
        raise ValueError(
            f"layer {name!r} has the shape {values.shape}; {len(table)} rows of features, one a clip, are needed: "
            "average or flatten the other axes"
        )
    return values
