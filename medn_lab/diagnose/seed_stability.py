"""What of a map is the data and what the seed: the same features mapped over several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from medn_lab.diagnose.embedding import Branch, check_parameters, feature_spaces, parameters_of, place_by_umap
from medn_lab.diagnose.map_quality import trustworthiness
from medn_lab.diagnose.neighbourhoods import Metric, nearest, shared_neighbours
from medn_lab.diagnose.procrustes import procrustes_disparity
from medn_lab.records import BranchFeatures, constant_reason


@dataclass(frozen=True, eq=False, repr=False)
class MapStability:
    """How far maps of the same features agree that differ in their seed alone.

    Attributes
    ----------
    table : DataFrame
        One row a map and pair of seeds: ``map, seed_a, seed_b``; ``overlap``, the share of nearest clips that both have
        in common, in [0, 1], 1 is best, with its ``chance``; ``disparity``, what is left after the best shift, turn and
        scale, in [0, 1], 0 is best; ``n_neighbors, n_clips``; ``reason``, why there is no figure (a constant branch).
    clips : DataFrame
        One row a clip: ``clip_id`` and, a column a map, the mean overlap of its neighbours: where it is low, the place
        of that clip is the seed's doing.
    trustworthiness : DataFrame
        One row a map and seed: ``map, seed, trustworthiness``.
    params : dict
        As the maps were made.

    Examples
    --------
    >>> table = pd.DataFrame({"map": "motion", "seed_a": [0], "seed_b": [1], "overlap": [0.8], "chance": [0.1]})
    >>> table = table.assign(disparity=0.2, n_clips=2, n_neighbors=15)
    >>> trust = pd.DataFrame({"map": ["motion", "motion"], "seed": [0, 1], "trustworthiness": [0.97, 0.96]})
    >>> MapStability(table, pd.DataFrame({"clip_id": ["a", "b"]}), trust, {"n_neighbors": 15})
    MapStability: 2 clips over 2 seeds, 15 neighbours, chance overlap 0.100; motion neighbour overlap 0.800 ...
    """

    table: pd.DataFrame
    clips: pd.DataFrame
    trustworthiness: pd.DataFrame
    params: Mapping[str, Any]

    def __repr__(self) -> str:
        told = []
        for name, rows in self.table.groupby("map", sort=False):
            if not np.isfinite(rows["overlap"]).any():
                told.append(str(rows["reason"].iloc[0]))
                continue
            trust = self.trustworthiness.loc[self.trustworthiness["map"] == name, "trustworthiness"]
            told.append(
                f"{name} neighbour overlap {rows['overlap'].mean():.3f} (lowest {rows['overlap'].min():.3f}), disparity"
                f" {rows['disparity'].mean():.3f}, trustworthiness {trust.min():.3f} to {trust.max():.3f}"
            )
        first = self.table.iloc[0]
        n_seeds = self.trustworthiness["seed"].nunique()
        return (
            f"MapStability: {first['n_clips']} clips over {n_seeds} seeds, {first['n_neighbors']} neighbours, chance"
            f" overlap {first['chance']:.3f}; {'; '.join(told)}"
        )


def map_stability(
    features: BranchFeatures,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    layers: Mapping[str, ArrayLike | pd.DataFrame] | None = None,
    branches: Sequence[Branch] | None = None,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    metric: Metric = "euclidean",
    progress: bool = False,
) -> MapStability:
    """How far UMAP's maps of these features depend on the seed.

    Two figures for each pair of seeds. The *overlap* of neighbours says whether each clip keeps its company, wherever
    on the sheet that is: it is the one that matters, as neighbourhoods are all that a map shows. The *disparity* says
    whether whole groups keep their places, and is often far from 0 where the overlap is high: the reason why distances
    between clusters are not evidence. PCA has no seed and needs no such check.

    Parameters
    ----------
    features : BranchFeatures
        Of at least 5 clips.
    seeds : sequence of int
        At least two, all different. Each costs one map a branch.
    layers, branches, n_neighbors, min_dist, metric
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
    neighbour_overlap, procrustes_disparity, medn_lab.view.plot_map_stability

    Examples
    --------
    >>> table = pd.DataFrame({"clip_id": [f"c{k}" for k in range(40)]})
    >>> features = BranchFeatures(*np.random.default_rng(0).normal(size=(3, 40, 8)), table)
    >>> map_stability(features, seeds=[0])
    Traceback (most recent call last):
        ...
    ValueError: stability needs at least 2 different seeds; got 0
    """
    seeds = [int(seed) for seed in seeds]
    if len(set(seeds)) != len(seeds) or len(seeds) < 2:
        raise ValueError(f"stability needs at least 2 different seeds; got {', '.join(map(str, seeds)) or 'none'}")
    for seed in seeds:
        check_parameters(min_dist=min_dist, metric=metric, n_neighbors=n_neighbors, seed=seed)
    spaces = feature_spaces(features, layers=layers, branches=branches)
    n = len(features)
    how: dict[str, Any] = {"method": "umap", "n_neighbors": n_neighbors, "min_dist": min_dist, "metric": metric}
    params = {seed: parameters_of(n, seed=seed, **how) for seed in seeds}
    k = min(params[seeds[0]]["n_neighbors"], n - 2)
    judged_by = params[seeds[0]]["quality_neighbors"]
    pairs, trust, clips = [], [], {"clip_id": features.table["clip_id"].to_numpy(dtype=object)}
    bar = tqdm(total=len(spaces) * len(seeds), desc="mapping", unit="map", disable=not progress)
    for name, values in spaces.items():
        maps = {}
        for seed in seeds:
            maps[seed] = place_by_umap(values, params[seed])
            told = trustworthiness(values, maps[seed], n_neighbors=judged_by, metric=metric)
            trust.append({"map": name, "seed": seed, "trustworthiness": told})
            bar.update()
        reason = constant_reason({name: values})
        near = {seed: nearest(xy.astype(np.float64), k, "euclidean") for seed, xy in maps.items()}
        each = []
        for a, b in itertools.combinations(seeds, 2):
            each.append(np.full(n, np.nan) if reason else shared_neighbours(near[a], near[b]))
            pairs.append(
                {
                    "map": name,
                    "seed_a": a,
                    "seed_b": b,
                    "overlap": float(each[-1].mean()),
                    "chance": k / (n - 1),
                    "disparity": np.nan if reason else procrustes_disparity(maps[a], maps[b]),
                    "n_neighbors": k,
                    "n_clips": n,
                    "reason": reason,
                }
            )
        clips[name] = np.mean(each, axis=0)
    bar.close()
    shared = {name: value for name, value in params[seeds[0]].items() if name != "seed"} | {"seeds": seeds}
    return MapStability(pd.DataFrame(pairs), pd.DataFrame(clips), pd.DataFrame(trust), shared)
