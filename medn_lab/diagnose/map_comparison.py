"""Several maps of the same clips: checkpoints laid over each other, and what depends on the seed alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from medn_lab.diagnose.embedding import Branch, feature_spaces, judged, parameters_of, place, place_by_umap, umap
from medn_lab.diagnose.neighbours import Metric, shared_neighbours
from medn_lab.records import BranchFeatures, Embedding, constant_reason, is_constant, run_record


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

    Two maps made one by one cannot be compared by eye: their turn is arbitrary, and UMAP throws whole clusters to other
    places when the features change in the last digit. Here the first checkpoint is the reference, and the others are
    held to it:

    - ``aligned_umap`` makes the maps together and pulls each clip's places towards each other, gently enough that the
      trustworthiness of the maps hardly changes. Some five to ten times the time of the maps alone.
    - ``procrustes`` makes them one by one and shifts, turns, mirrors and scales each to lie best on the first. It
      cannot undo clusters that changed places, so much of what seems to move is UMAP's.
    - ``pca`` is the quick way: linear maps, then Procrustes.

    Measured on 480 planted clips with 64-d features, two seeds, in radii of the map (root mean square distance from its
    centre; ``tests/benchmarks/bench_maps.py``). Between a space and a rotated copy of it, which has the same neighbours
    throughout, the median clip moved by .03 to .04 under ``aligned_umap``, by .69 to .85 under ``procrustes`` and by 0
    under ``pca``; where a fifth of the clips had changed places in feature space, those moved by 1.1 to 1.2 under
    ``aligned_umap`` and the others by .05, against .9 to 1.0 and .8 to .9 under ``procrustes``, which cannot tell them
    apart. The trustworthiness of both was the same to .002 (.98; ``pca`` .85).

    Parameters
    ----------
    checkpoints : dict of BranchFeatures
        By name, at least two, of the same model or of different ones; the first is the reference. Joined by clip_id:
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
        If fewer than two checkpoints are given, they share fewer than 5 clips, or as :func:`umap`.

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
    >>> import numpy as np
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    >>> early, late = (BranchFeatures(*rng.normal(size=(3, 40, 8)), table) for _ in range(2))
    >>> maps = aligned_umap({"early": early, "late": late}, method="pca", n_neighbors=5)
    >>> list(maps), maps["late"].emotion_xy.shape
    (['early', 'late'], (40, 2))
    """
    if len(checkpoints) < 2:
        raise ValueError(f"alignment needs at least 2 checkpoints; got {len(checkpoints)}: map one with umap()")
    if method not in ("aligned_umap", "procrustes", "pca"):
        raise ValueError(f"no method {method!r}; there are aligned_umap, procrustes, pca")
    names, given = list(checkpoints), list(checkpoints.values())
    shared = set.intersection(*(set(each.table["clip_id"]) for each in given))
    ids = [name for name in given[0].table["clip_id"] if name in shared]
    if not ids:
        raise ValueError(f"the checkpoints {', '.join(names)} share no clip; give features of the same clips")
    given = [each.select(ids) for each in given]
    if branches is None:
        branches = [name for name in get_args(Branch) if all(getattr(each, name) is not None for each in given)]
    spaces = [feature_spaces(each, layers=None, branches=branches) for each in given]
    params = parameters_of(len(ids), method, n_neighbors, min_dist, metric, seed)
    placed = {branch: _place_all([each[branch] for each in spaces], params) for branch in spaces[0]}
    sources = {name: dict(each.source) for name, each in zip(names, given, strict=True)}
    table = given[0].table
    made = run_record("aligned_umap", table=table, branches=list(placed), checkpoints=sources)
    found = {}
    for number, name in enumerate(names):
        maps, shift = {branch: several[number] for branch, several in placed.items()}, {}
        for branch, xy in maps.items():
            first = placed[branch][0]
            radius = np.sqrt(((first - first.mean(axis=0)) ** 2).sum(axis=1).mean())
            constant = is_constant(xy) or is_constant(first)
            moved = float(np.median(np.linalg.norm(xy - first, axis=1)))
            shift[branch] = np.nan if constant else round(moved / float(radius), 4)
        own, run = params | {"aligned_to": names[0], "shift": shift}, made | {"checkpoint": name}
        found[name] = judged(maps, spaces[number], given[number], table=table, params=own, run=run)
    return found


def _place_all(several: Sequence[np.ndarray], params: Mapping[str, Any]) -> list[np.ndarray]:
    """The maps of one branch by checkpoint, (n, 2) each, laid over the first; a constant branch lies on one spot."""
    from scipy.spatial import procrustes

    live = [values for values in several if not is_constant(values)]
    if params["method"] == "aligned_umap" and len(live) > 1:
        maps = place_by_umap(live, params)
    else:
        maps = [place(values, params) for values in live]
        for number in range(1, len(maps)):
            # Shifted, turned, mirrored and scaled so that it lies nearest on the first, in its units.
            first = maps[0].astype(np.float64)
            centre = first.mean(axis=0)
            maps[number] = procrustes(first, maps[number])[1] * np.linalg.norm(first - centre) + centre
    placed = iter(maps)
    return [np.zeros((len(values), 2)) if is_constant(values) else next(placed) for values in several]


class MapStability(NamedTuple):
    """How far maps of the same features agree that differ in their seed alone.

    Attributes
    ----------
    table : DataFrame
        One row a map and pair of seeds: ``map, seed_a, seed_b``; ``overlap``, the share of nearest clips that both have
        in common, in [0, 1], 1 is best, with its ``chance``; ``disparity``, the share of the squared spread that is
        left between the two after the best shift, turn, reflection and scale (Gower's Procrustes), in [0, 1], 0 is
        best; ``n_neighbors, n_clips``; ``reason``, why there is no value (a constant branch).
    clips : DataFrame
        One row a clip: ``clip_id`` and, a column a map, the mean overlap of its neighbours: where it is low, the place
        of that clip is the seed's doing.

    Examples
    --------
    >>> clips = pd.DataFrame({"clip_id": ["a", "b"], "motion": [0.9, 0.4]})
    >>> MapStability(pd.DataFrame(), clips).clips["motion"].idxmin()
    1
    """

    table: pd.DataFrame
    clips: pd.DataFrame


def map_stability(
    features: BranchFeatures,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    branches: Sequence[Branch] | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Metric = "euclidean",
    progress: bool = False,
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
    progress : bool
        Show a progress bar.

    Returns
    -------
    MapStability

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
    bar = tqdm(seeds, desc="mapping", unit="seed", disable=not progress)
    made = {seed: umap(features, seed=seed, most_clips=n, **how) for seed in bar}
    k = min(made[seeds[0]].params["n_neighbors"], n - 2)
    pairs, clips = [], {"clip_id": features.table["clip_id"].to_numpy(dtype=object)}
    for name in made[seeds[0]].maps:
        reason, each = constant_reason({name: getattr(features, name)}), []
        for a, b in itertools.combinations(seeds, 2):
            one, other = (made[seed].maps[name] for seed in (a, b))
            each.append(shared_neighbours(one, other, n_neighbors=k, metric="euclidean"))
            pairs.append(
                {
                    "map": name, "seed_a": a, "seed_b": b, "overlap": float(each[-1].mean()), "chance": k / (n - 1),
                    "disparity": np.nan if reason else float(procrustes(one, other)[2]), "n_neighbors": k,
                    "n_clips": n, "reason": reason,
                }
            )  # fmt: skip
        clips[name] = np.mean(each, axis=0)
    return MapStability(pd.DataFrame(pairs), pd.DataFrame(clips))
