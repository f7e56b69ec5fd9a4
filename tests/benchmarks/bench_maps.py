"""Which alignment of two checkpoints holds clips in their place: ``python tests/benchmarks/bench_maps.py``.

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

from medn_lab.diagnose import aligned_umap
from medn_lab.records import BranchFeatures
from medn_lab.synthme import draw_table

WIDTH = 64


def planted(n: int, *, width: int = WIDTH, seed: int = 0) -> BranchFeatures:
    """Motion features that know the AU set, emotion features that know the emotion, and both; unit noise."""
    rng = np.random.default_rng(seed)
    table = draw_table(n_subjects=-(-n // 25), clips_per_subject=25, seed=seed).iloc[:n]
    table = table.assign(label=table["emotion"]).reset_index(drop=True)
    spaces = []
    for column in ("action_units", "emotion"):
        codes, names = pd.factorize(table[column])
        centres = 2 * rng.normal(size=(len(names), width))
        spaces.append((centres[codes] + rng.normal(size=(n, width))).astype(np.float32))
    return BranchFeatures(*spaces, (spaces[0] + spaces[1]) / 2, table)


def alignments(n: int, seed: int) -> list[tuple]:
    """How far clips that stayed and clips that moved are shifted, by method."""
    first, rng = planted(n, seed=seed), np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    moved, source = rng.random(n) < 0.2, np.arange(n)
    source[moved] = rng.permutation(source[moved])
    found = []
    for name, rows in (("rotated", np.arange(n)), ("a fifth moved", source)):
        motion, stirred = first.motion[rows] @ turn, moved & (name != "rotated")
        second = BranchFeatures(motion, None, motion, first.table)
        for method in ("aligned_umap", "procrustes", "pca"):
            start = time.perf_counter()
            maps = aligned_umap({"a": first, "b": second}, method=method, branches=("motion",), seed=seed)
            one, other = maps["a"].motion_xy, maps["b"].motion_xy
            shift = np.linalg.norm(one - other, axis=1) / np.sqrt(one.var(axis=0).sum())
            away = np.median(shift[stirred]) if stirred.any() else np.nan
            quality = maps["b"].trustworthiness["motion"], time.perf_counter() - start
            found.append((name, method, seed, np.median(shift[~stirred]), away, *quality))
    return found


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--clips", type=int, default=480)
    arguments.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    chosen = arguments.parse_args()
    columns = ["second space", "method", "seed", "stayed", "moved", "trustworthiness", "s"]
    rows = [row for seed in chosen.seeds for row in alignments(chosen.clips, seed)]
    print(pd.DataFrame(rows, columns=columns).round(3).to_string(index=False))
