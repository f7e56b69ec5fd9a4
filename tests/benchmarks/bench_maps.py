"""What maps and confusable pairs cost, and which alignment of two checkpoints holds clips in their place.

Run as ``python tests/benchmarks/bench_maps.py``; seconds of wall clock, on one thread with ``OMP_NUM_THREADS=1``.
*Cold* is the first call in a process, which compiles. The features are planted: clusters as AU sets make them, 64-d.

Alignment is measured between a planted space and two others of the same clips: a rotated copy, whose neighbours are the
same throughout, and one in which a fifth of the clips has changed places. In radii of the first map (root mean square
distance from its centre): the median distance between a clip's two places, of the clips that stayed and of those that
moved, and the trustworthiness of the second map.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd

from medn_lab.diagnose import (
    aligned_umap,
    confusable_sets,
    continuity,
    pair_separation,
    rank_pairs,
    trustworthiness,
    umap,
)
from medn_lab.records import BranchFeatures
from medn_lab.synthme import draw_table

WIDTH = 64


def planted(n: int, *, seed: int = 0) -> BranchFeatures:
    """Motion features that know the AU set, emotion features that know the emotion, and both; unit noise."""
    rng = np.random.default_rng(seed)
    table = draw_table(n_subjects=-(-n // 25), clips_per_subject=25, seed=seed).iloc[:n]
    table = table.assign(label=table["emotion"]).reset_index(drop=True)
    spaces = []
    for column in ("action_units", "emotion"):
        codes, names = pd.factorize(table[column])
        centres = 2 * rng.normal(size=(len(names), WIDTH))
        spaces.append((centres[codes] + rng.normal(size=(n, WIDTH))).astype(np.float32))
    return BranchFeatures(*spaces, (spaces[0] + spaces[1]) / 2, table)


def seconds(call: object) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def costs(n: int) -> list[tuple[str, int, float]]:
    """One branch's map and its quality, and the pairs, at `n` clips."""
    features = planted(n)
    table, xy = features.table, features.motion[:, :2]
    one = {"branches": ("motion",)}
    calls = {
        "umap, one branch": lambda: umap(features, **one),
        "umap, one branch, again": lambda: umap(features, **one),
        "pca, one branch": lambda: umap(features, method="pca", **one),
        "trustworthiness": lambda: trustworthiness(features.motion, xy),
        "continuity": lambda: continuity(features.motion, xy),
        "confusable_sets": lambda: confusable_sets(table),
        "rank_pairs": lambda: rank_pairs(table, features=features),
        "pair_separation, 1000 resamples": lambda: pair_separation(table, features=features),
    }
    return [(name, n, seconds(call)) for name, call in calls.items()]


def alignments(n: int, seed: int) -> list[tuple]:
    """How far clips that stayed and clips that moved are shifted, by method."""
    first, rng = planted(n, seed=seed), np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    moved = rng.random(n) < 0.2
    source = np.arange(n)
    source[moved] = rng.permutation(source[moved])
    found = []
    for name, motion, stirred in (
        ("rotated", first.motion @ turn, np.zeros(n, dtype=bool)),
        ("a fifth moved", first.motion[source] @ turn, moved),
    ):
        second = BranchFeatures(motion, None, motion, first.table)
        for method in ("aligned_umap", "procrustes", "pca"):
            start = time.perf_counter()
            maps = aligned_umap({"a": first, "b": second}, method=method, branches=("motion",), seed=seed)
            spent = time.perf_counter() - start
            one, other = maps["a"].motion_xy, maps["b"].motion_xy
            radius = np.sqrt(((one - one.mean(axis=0)) ** 2).sum(axis=1).mean())
            shift = np.linalg.norm(one - other, axis=1) / radius
            away = np.median(shift[stirred]) if stirred.any() else np.nan
            trust = maps["b"].trustworthiness["motion"]
            found.append((name, method, seed, np.median(shift[~stirred]), away, trust, spent))
    return found


def main() -> None:
    """Print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, nargs="*", default=[500, 5000])
    arguments.add_argument("--aligned", type=int, default=480, help="clips for the alignments; 0 leaves them out")
    arguments.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    chosen = arguments.parse_args()
    print(f"import of umap: {seconds(lambda: __import__('umap')):.1f} s")
    rows = [row for n in chosen.clips for row in costs(n)]
    rows[0] = (f"{rows[0][0]}, cold", *rows[0][1:])
    print(pd.DataFrame(rows, columns=["what", "clips", "s"]).round(2).to_string(index=False), end="\n\n")
    if chosen.aligned:
        rows = [row for seed in chosen.seeds for row in alignments(chosen.aligned, seed)]
        columns = ["second space", "method", "seed", "stayed", "moved", "trustworthiness", "s"]
        print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
