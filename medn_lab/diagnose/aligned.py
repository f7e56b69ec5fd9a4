"""Maps of several checkpoints on which the same clip keeps its place, so that what moved is the model's doing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from medn_lab.diagnose.embedding import (
    Branch,
    came_about,
    check_parameters,
    feature_spaces,
    judged,
    parameters_of,
    place_by_aligned_umap,
    place_by_pca,
    place_by_umap,
)
from medn_lab.diagnose.neighbourhoods import Metric
from medn_lab.diagnose.procrustes import superimpose
from medn_lab.records import BranchFeatures, Embedding, is_constant, run_record


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
    check_parameters(min_dist=min_dist, metric=metric, n_neighbors=n_neighbors, seed=seed)
    checkpoints = _same_clips(checkpoints)
    names, first = list(checkpoints), next(iter(checkpoints.values()))
    shared = _shared_branches(checkpoints, branches)
    spaces = {name: feature_spaces(each, layers=None, branches=shared) for name, each in checkpoints.items()}
    params = parameters_of(
        len(first), method=method, n_neighbors=n_neighbors, min_dist=min_dist, metric=metric, seed=seed
    )
    maps: dict[str, dict[str, np.ndarray]] = {name: {} for name in names}
    shift: dict[str, dict[str, float]] = {name: {} for name in names}
    for branch in shared:
        placed = _place([spaces[name][branch] for name in names], params)
        for name, xy in zip(names, placed, strict=True):
            maps[name][branch] = xy
            shift[name][branch] = _shift(xy, placed[0])
    sources = {name: dict(each.source) for name, each in checkpoints.items()}
    made = run_record("aligned_umap", table=first.table, branches=list(shared), checkpoints=sources)
    return {
        name: judged(
            maps[name],
            spaces[name],
            table=first.table,
            params=params | {"aligned_to": names[0], "shift": shift[name]},
            source=came_about(checkpoints[name], made | {"checkpoint": name}),
        )
        for name in names
    }


def _place(several: Sequence[np.ndarray], params: Mapping[str, object]) -> list[np.ndarray]:
    live = [place for place, values in enumerate(several) if not is_constant(values)]
    found = [np.zeros((len(values), 2)) for values in several]
    if params["method"] == "aligned_umap" and len(live) > 1:
        maps = place_by_aligned_umap([several[place] for place in live], params)
    else:
        alone = place_by_pca if params["method"] == "pca" else place_by_umap
        maps = [alone(several[place], params) for place in live]
        maps = [*maps[:1], *(superimpose(xy, maps[0]) for xy in maps[1:])]
    for place, xy in zip(live, maps, strict=True):
        found[place] = xy
    return found


def _same_clips(checkpoints: Mapping[str, BranchFeatures]) -> dict[str, BranchFeatures]:
    first, *others = checkpoints.values()
    shared = set(first.table["clip_id"]).intersection(*(set(each.table["clip_id"]) for each in others))
    if not shared:
        raise ValueError(
            f"the checkpoints {', '.join(checkpoints)} share no clip; their features must be of the same clips"
        )
    ids = [name for name in first.table["clip_id"] if name in shared]
    return {name: each.select(ids) for name, each in checkpoints.items()}


def _shared_branches(checkpoints: Mapping[str, BranchFeatures], branches: Sequence[Branch] | None) -> list[Branch]:
    order: tuple[Branch, ...] = ("motion", "emotion", "fused")
    if branches is not None:
        return [name for name in order if name in branches] + [name for name in branches if name not in order]
    return [name for name in order if all(getattr(each, name) is not None for each in checkpoints.values())]


def _shift(xy: np.ndarray, reference: np.ndarray) -> float:
    if is_constant(xy) or is_constant(reference):
        return float("nan")
    radius = np.sqrt(((reference - reference.mean(axis=0)) ** 2).sum(axis=1).mean())
    return round(float(np.median(np.linalg.norm(xy - reference, axis=1)) / max(radius, 1e-12)), 4)
